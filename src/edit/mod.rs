//! Edits: how a given picture becomes another one. One file each.
//!
//! A method that starts from noise says which legs of the schedule are walked and what is held to the given picture on the
//! way; the sampler, its wrappers and the guidance are the request's. A method that inverts finds a [`Code`] that leads back
//! to the picture under its own prompt, and walks on from there under another.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    error::{Fault, Result},
    process::{Grid, Named, share_of},
    registry::{Entry, Options, find, read_options},
    sampler::{SAMPLERS, Sampler},
};

mod adam;
pub mod attention;
mod bdia;
mod code;
mod ddim;
mod direct;
mod edict;
mod edit_friendly;
pub mod file;
mod infedit;
mod inpaint;
mod invert;
mod null_text;
mod paired;
mod prompt_to_prompt;
mod sdedit;
mod walker;

pub use code::{Code, Part, Sizes};
pub use invert::{Cost, Invert, Target, Words};
pub use walker::Walker;

/// An editing method; its options are the method.
pub trait Method: Send + Sync {
    /// The legs that are walked, one after the other, of the last steps of a schedule. Where a leg starts noisier than the
    /// one before it ended, fresh noise leads up.
    fn legs(&self, tail: Grid) -> Vec<Grid> {
        vec![tail]
    }

    /// What a request's `strength` is when it does not say.
    fn strength(&self) -> f64 {
        1.0
    }

    /// Pixels over which the edge of a mask is spread.
    fn feather(&self) -> u32;

    /// How the part that a mask keeps is held on the way; needs a mask.
    fn hold(&self) -> Option<Hold> {
        None
    }

    /// What the part of the picture that may change starts from.
    fn fill(&self) -> Fill {
        Fill::Original
    }

    /// The sampler of a request that names none; `None` leaves the model's.
    fn sampler(&self) -> Option<Value> {
        None
    }

    /// Whether a sampler can carry it.
    ///
    /// # Errors
    /// What of the sampler it cannot use, and what it can; pointers are below the request's `sampler`.
    fn carried_by(&self, walker: &Walker) -> Result<(), Fault> {
        let _ = walker;
        Ok(())
    }

    /// Itself, where it starts from a code of the picture.
    fn invert(&self) -> Option<&dyn Invert> {
        None
    }
}

/// What stands in the part of a picture that may change, before the noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// The picture itself.
    Original,
    /// The colours around.
    Surroundings,
    /// The seed's noise.
    Noise,
    /// Latents of 0.
    Nothing,
}

/// How the network sees the part of a picture that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// With the noise that it has had since the start, which only the sampler renews.
    Path,
    /// With fresh noise at each evaluation.
    Fresh,
}

/// One line of [`EDIT_METHODS`].
pub struct Kind {
    /// Name, paper and options.
    pub entry: Entry<dyn Method>,
}

/// Every editing method, in the order in which lists show them.
#[rustfmt::skip]
pub const EDIT_METHODS: &[Kind] = &[
    Kind::of::<sdedit::SdEdit>("sdedit", "SDEdit", "Meng et al. 2022, arXiv 2108.01073"),
    Kind::of::<inpaint::Inpaint>("inpaint", "Inpainting", "Lugmayr et al. 2022, arXiv 2201.09865"),
    Kind::of::<ddim::Ddim>("ddim", "DDIM inversion", "Song et al. 2021, arXiv 2010.02502"),
    Kind::of::<null_text::NullText>("null_text", "Null-text inversion", "Mokady et al. 2023, arXiv 2211.09794"),
    Kind::of::<direct::Direct>("direct", "Direct inversion", "Ju et al. 2024, arXiv 2310.01506"),
    Kind::of::<edit_friendly::EditFriendly>("edit_friendly", "Edit-friendly DDPM inversion", "Huberman-Spiegelglas et al. 2024, arXiv 2304.06140"),
    Kind::of::<bdia::Bdia>("bdia", "BDIA inversion", "Zhang et al. 2024, arXiv 2307.10829"),
    Kind::of::<edict::Edict>("edict", "EDICT", "Wallace et al. 2023, arXiv 2211.12446"),
    Kind::of::<infedit::InfEdit>("infedit", "InfEdit", "Xu et al. 2024, arXiv 2312.04965"),
    Kind::of::<prompt_to_prompt::PromptToPrompt>("prompt_to_prompt", "Prompt-to-Prompt", "Hertz et al. 2023, arXiv 2208.01626"),
];

impl Kind {
    const fn of<M: Method + Options>(name: &'static str, title: &'static str, paper: &'static str) -> Self {
        Self { entry: Entry::new::<M>(name, title, paper, read_method::<M>) }
    }
}

impl Kind {
    /// The method with its default options.
    ///
    /// # Panics
    /// Never: default options are valid, which a test shows.
    pub fn method(&self) -> Box<dyn Method> {
        self.entry.read(serde_json::Map::new()).expect("default options are valid")
    }

    /// The names of the samplers that it goes with, with the default options of both and on a common process; those whose
    /// steps are given one by one, which it takes at strength 1 only, are left out.
    pub fn samplers(&self) -> Vec<&'static str> {
        let (method, process) = (self.method(), Named::ScaledLinear.process());
        let grid = Grid::new([800.0, 600.0, 400.0, 200.0].map(|t| process.at(t)).to_vec());
        let goes = |sampler: &&Sampler| {
            let options = serde_json::Map::new();
            let solver = sampler.entry.read(options.clone()).expect("default options are valid");
            let value = sampler.entry.canonical(&options).expect("default options are valid");
            let walker = Walker { value: &value, solver: &*solver, wrapped: false, grid: &grid };
            solver.divides() && method.carried_by(&walker).is_ok()
        };
        SAMPLERS.iter().filter(goes).map(|sampler| sampler.entry.name).collect()
    }
}

fn read_method<M: Method + Options>(options: Value) -> Result<Box<dyn Method>, Fault> {
    Ok(Box::new(read_options::<M>(options)?))
}

/// The method of `"name"` or `{"name": .., options}`.
///
/// # Errors
/// As [`find`] and [`Entry::read`].
pub fn read(value: &Value) -> Result<Box<dyn Method>, Fault> {
    let (kind, options) = find(value, EDIT_METHODS, |kind: &Kind| &kind.entry)?;
    kind.entry.read(options)
}

/// `"name"` or `{"name": .., options}` with every option filled in.
///
/// # Errors
/// As [`read`].
pub fn canonical(value: &Value) -> Result<Value, Fault> {
    let (kind, options) = find(value, EDIT_METHODS, |kind: &Kind| &kind.entry)?;
    kind.entry.canonical(&options)
}

/// The last steps that a strength asks for: `floor(steps strength)`, one at least above 0; `None` at 0.
pub fn tail(grid: &Grid, steps: usize, strength: f64) -> Option<Grid> {
    if strength <= 0.0 {
        return None;
    }
    grid.after(grid.len() - share_of(steps, strength).clamp(1, grid.len()))
}
