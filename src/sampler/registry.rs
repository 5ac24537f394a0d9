//! The list of samplers.

use serde_json::Value;

use super::{
    AnySolver, Marching, Rule, Single, Solver, bdia, ddim, ddpm, deis, dpm_adaptive, dpm_fast, dpm_solver, dpm2,
    dpm2_a, dpmpp_2m, dpmpp_2m_sde, dpmpp_2s, dpmpp_2s_a, dpmpp_3m, dpmpp_3m_sde, dpmpp_3s, dpmpp_sde, edict, edm,
    euler, euler_a, ghvb, heun, lcm, lms, plms, pndm, restart, rk, tcd, unipc, usf,
};
use crate::{
    error::Fault,
    registry::{Entry, Options, read_options},
    schedule::{End, Ends, Start, Time},
};

/// One line of [`SAMPLERS`].
pub struct Sampler {
    /// Name, paper and options.
    pub entry: Entry<dyn AnySolver>,
    /// Global order of convergence; `None` where order does not apply (stochastic, adaptive).
    pub order: Option<Order>,
    /// Evaluations as a function of the steps, for people: `N`, `2 N - 1`.
    pub evaluations: &'static str,
    /// How a path starts and ends unless the schedule says otherwise.
    pub ends: Ends,
    /// The schedule that it was made for, where it needs one of its own.
    pub schedule: Option<&'static str>,
}

/// How fast a sampler's error falls with the steps N: as `N^-order`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// As published: full order from the first step to the last.
    pub formal: u32,
    /// With a start from noise alone and the order lowered at the end, as requests run it.
    pub in_practice: u32,
}

/// Starts at unit variance, integer times, ends at zero.
const DISCRETE: Ends = Ends { start: Start::Unit, time: Time::Integer, end: End::Zero };
/// The k-diffusion habit: starts at `sigma_T z`, real times, ends at zero.
const CONTINUOUS: Ends = Ends { start: Start::Sigma, time: Time::Real, end: End::Zero };
/// As the discrete one, down to the least noisy training level.
const TO_FIRST: Ends = Ends { start: Start::Unit, time: Time::Integer, end: End::First };

const DPM: &str = "Lu et al. 2022, arXiv 2206.00927";
const DPMPP: &str = "Lu et al. 2022, arXiv 2211.01095";
const EDM: &str = "Karras et al. 2022, arXiv 2206.00364";
const EDM_KD: &str = "Karras et al. 2022, arXiv 2206.00364; k-diffusion";
const DPMPP_KD: &str = "Lu et al. 2022, arXiv 2211.01095; k-diffusion";
const DEIS: &str = "Zhang and Chen 2023, arXiv 2204.13902";
const PNDM: &str = "Liu et al. 2022, arXiv 2202.09778";
const DDPM: &str = "Ho et al. 2020, arXiv 2006.11239";
const DDIM: &str = "Song et al. 2021, arXiv 2010.02502";

/// Every sampler, in the order in which lists show them.
#[rustfmt::skip]
pub const SAMPLERS: &[Sampler] = &[
    Sampler::rule::<ddpm::Ddpm>("ddpm", "DDPM ancestral", DDPM, None, DISCRETE),
    Sampler::rule::<ddim::Ddim>("ddim", "DDIM", DDIM, order(1, 1), DISCRETE),
    Sampler::rule::<euler::Euler>("euler", "Euler", EDM, order(1, 1), CONTINUOUS),
    Sampler::rule::<euler_a::EulerA>("euler_a", "Euler ancestral", EDM_KD, None, CONTINUOUS),
    Sampler::of::<heun::Heun>("heun", "Heun", EDM, order(2, 2), CONTINUOUS).costing("2 N - 1"),
    Sampler::of::<edm::Edm>("edm", "EDM, with churn", EDM, order(2, 2), CONTINUOUS).costing("2 N - 1"),
    Sampler::of::<rk::Rk>("rk", "Runge-Kutta", "Kutta 1901; Butcher 1964", order(4, 4), CONTINUOUS).costing("4 N - 3"),
    Sampler::of::<dpm2::Dpm2>("dpm2", "DPM2", EDM_KD, order(2, 2), CONTINUOUS).costing("2 N - 1"),
    Sampler::of::<dpm2_a::Dpm2A>("dpm2_a", "DPM2 ancestral", EDM_KD, None, CONTINUOUS).costing("2 N - 1"),
    Sampler::rule::<lms::Lms>("lms", "Linear multistep", DEIS, order(4, 2), CONTINUOUS),
    Sampler::of::<dpm_solver::DpmSolver>("dpm_solver", "DPM-Solver", DPM, order(3, 2), DISCRETE),
    Sampler::of::<dpm_fast::DpmFast>("dpm_fast", "DPM fast", DPM, order(2, 2), CONTINUOUS),
    Sampler::of::<dpm_adaptive::DpmAdaptive>("dpm_adaptive", "DPM adaptive", DPM, None, CONTINUOUS).costing("as needed"),
    Sampler::of::<dpmpp_2s::Dpmpp2s>("dpmpp_2s", "DPM-Solver++ 2S", DPMPP, order(2, 2), DISCRETE),
    Sampler::of::<dpmpp_3s::Dpmpp3s>("dpmpp_3s", "DPM-Solver++ 3S", DPMPP, order(3, 2), DISCRETE),
    Sampler::of::<dpmpp_2s_a::Dpmpp2sA>("dpmpp_2s_a", "DPM-Solver++ 2S ancestral", DPMPP_KD, None, CONTINUOUS).costing("2 N - 1"),
    Sampler::rule::<dpmpp_2m::Dpmpp2m>("dpmpp_2m", "DPM-Solver++ 2M", DPMPP, order(2, 2), DISCRETE),
    Sampler::rule::<dpmpp_3m::Dpmpp3m>("dpmpp_3m", "DPM-Solver++ 3M", DPMPP, order(3, 2), DISCRETE),
    Sampler::of::<dpmpp_sde::DpmppSde>("dpmpp_sde", "DPM-Solver++ SDE", DPMPP_KD, None, CONTINUOUS).costing("2 N - 1"),
    Sampler::rule::<dpmpp_2m_sde::Dpmpp2mSde>("dpmpp_2m_sde", "DPM-Solver++ 2M SDE", DPMPP, None, CONTINUOUS),
    Sampler::rule::<dpmpp_3m_sde::Dpmpp3mSde>("dpmpp_3m_sde", "DPM-Solver++ 3M SDE", DPMPP_KD, None, CONTINUOUS),
    Sampler::rule::<unipc::UniPc>("unipc", "UniPC", "Zhao et al. 2023, arXiv 2302.04867", order(3, 2), DISCRETE),
    Sampler::of::<deis::Deis>("deis", "DEIS", DEIS, order(3, 2), DISCRETE),
    Sampler::of::<pndm::Pndm>("pndm", "PNDM", PNDM, order(2, 2), DISCRETE).costing("N + 9"),
    Sampler::of::<plms::Plms>("plms", "PLMS", PNDM, order(2, 2), DISCRETE).costing("N + 1"),
    Sampler::of::<ghvb::Ghvb>("ghvb", "Generalised heavy ball", "Wizadwongsa et al. 2023, arXiv 2307.11118", order(2, 2), DISCRETE),
    Sampler::of::<restart::Restart>("restart", "Restart", "Xu et al. 2023, arXiv 2306.14878", None, CONTINUOUS).costing("2 N - 1 + 2 `steps` `times`"),
    Sampler::rule::<lcm::Lcm>("lcm", "Latent consistency", "Luo et al. 2023, arXiv 2310.04378", None, DISCRETE).over("distilled"),
    Sampler::rule::<tcd::Tcd>("tcd", "Trajectory consistency", "Zheng et al. 2024, arXiv 2402.19159", None, TO_FIRST).over("distilled"),
    Sampler::of::<bdia::Bdia>("bdia", "BDIA", "Zhang et al. 2024, arXiv 2307.10829", order(2, 2), DISCRETE),
    Sampler::of::<edict::Edict>("edict", "EDICT", "Wallace et al. 2023, arXiv 2211.12446", order(1, 1), DISCRETE).costing("2 N - 1"),
    Sampler::of::<usf::Usf>("usf", "Unified sampling framework", "Liu et al. 2024, arXiv 2312.07243", order(2, 2), DISCRETE),
];

const fn order(formal: u32, in_practice: u32) -> Option<Order> {
    Some(Order { formal, in_practice })
}

impl Sampler {
    const fn of<S: Solver>(
        name: &'static str,
        title: &'static str,
        paper: &'static str,
        order: Option<Order>,
        ends: Ends,
    ) -> Self {
        Self::line(Entry::new::<S>(name, title, paper, read_solver::<S>), order, ends)
    }

    const fn rule<R: Rule + Options + Send + Sync>(
        name: &'static str,
        title: &'static str,
        paper: &'static str,
        order: Option<Order>,
        ends: Ends,
    ) -> Self {
        Self::line(Entry::new::<R>(name, title, paper, read_rule::<R>), order, ends)
    }

    const fn line(entry: Entry<dyn AnySolver>, order: Option<Order>, ends: Ends) -> Self {
        Self { entry, order, evaluations: "N", ends, schedule: None }
    }

    /// With so many evaluations.
    const fn costing(self, evaluations: &'static str) -> Self {
        Self { evaluations, ..self }
    }

    /// With a schedule that it needs unless told otherwise.
    const fn over(self, schedule: &'static str) -> Self {
        Self { schedule: Some(schedule), ..self }
    }
}

fn read_solver<S: Solver>(options: Value) -> Result<Box<dyn AnySolver>, Fault> {
    let solver = read_options::<S>(options)?;
    solver.check()?;
    Ok(Box::new(Single(solver)))
}

fn read_rule<R: Rule + Options + Send + Sync>(options: Value) -> Result<Box<dyn AnySolver>, Fault> {
    Ok(Box::new(Marching(read_options::<R>(options)?)))
}
