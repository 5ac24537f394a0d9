use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    EVERYWHERE, Place, Rule, Run, Solver, Span, Weights, adams,
    exponential::{Form, through},
    march,
    rk::{Coordinate, Rk},
    tableau::Tableau,
};
use crate::{error::Result, process::Grid};

/// DEIS: the noise as the polynomial through its estimates, in a coordinate of one's choice (Zhang and Chen 2023,
/// arXiv 2204.13902).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Deis {
    /// The coordinate: `tab` the network's time, `rhoab` sigma / alpha, `logrho` its logarithm; or `rhork`, a Runge-Kutta
    /// method in sigma / alpha with `order` evaluations in a step.
    #[schema(inline)]
    pub variant: Variant,
    /// Estimates that the polynomial goes through; the paper's r + 1.
    #[schema(minimum = 1, maximum = 4)]
    pub order: u32,
    /// Whether the order falls towards the end.
    pub lower_order_final: bool,
}

/// How DEIS extrapolates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// In the network's time.
    Tab,
    /// In sigma / alpha.
    Rhoab,
    /// In log(sigma / alpha).
    Logrho,
    /// Not at all: Runge and Kutta.
    Rhork,
}

impl Default for Deis {
    fn default() -> Self {
        Self { variant: Variant::Tab, order: 3, lower_order_final: true }
    }
}

impl Deis {
    fn rk(&self) -> Option<Rk> {
        let tableau = match self.order {
            1 => Tableau::Euler,
            2 => Tableau::Heun,
            3 => Tableau::Kutta,
            _ => Tableau::Rk4,
        };
        (self.variant == Variant::Rhork).then_some(Rk { tableau, coordinate: Coordinate::Ratio })
    }
}

impl Solver for Deis {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        self.rk().map_or(Some(grid.len()), |rk| rk.evaluations(grid))
    }

    fn carries(&self) -> &'static [Place] {
        self.rk().map_or(EVERYWHERE, |rk| rk.carries())
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        match self.rk() {
            Some(rk) => rk.sample(run),
            None => Box::pin(march(self, run)),
        }
    }
}

impl Rule for Deis {
    fn history(&self) -> usize {
        self.order as usize
    }

    fn lower_order_final(&self) -> bool {
        self.lower_order_final
    }

    fn predict(&self, span: &Span) -> Weights {
        match self.variant {
            Variant::Tab => adams::in_time(span),
            Variant::Rhoab => adams::in_ratio(span),
            Variant::Logrho | Variant::Rhork => through(Form::Noise, span),
        }
    }
}
