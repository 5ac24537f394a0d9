use serde_json::Value;

use crate::{
    error::{Fault, Result},
    process::Grid,
    sampler::AnySolver,
};

/// The sampler of an edit, as its method judges it.
pub struct Walker<'a> {
    /// `{"name": .., options}`, every option filled in.
    pub value: &'a Value,
    /// Itself.
    pub solver: &'a dyn AnySolver,
    /// Whether wrappers are around it.
    pub wrapped: bool,
    /// The steps that it walks.
    pub grid: &'a Grid,
}

impl Walker<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        self.value["name"].as_str().unwrap_or_default()
    }

    /// Whether nothing is around it.
    ///
    /// # Errors
    /// There is.
    pub fn bare(&self) -> Result<(), Fault> {
        match self.wrapped {
            false => Ok(()),
            true => Err(Fault::new("/wrap", "must be left out: this method takes the sampler alone")),
        }
    }

    /// Whether its path starts with some signal, without which no way leads back.
    ///
    /// # Errors
    /// It does not.
    pub fn has_signal(&self) -> Result<(), Fault> {
        match self.grid.first().alpha > 0.0 {
            true => Ok(()),
            false => Err(Fault::new("", "starts without any signal here: a `strength` below 1 has a way back")),
        }
    }

    /// Whether it is DDIM without fresh noise, whose steps can be written down.
    ///
    /// # Errors
    /// It is not.
    pub fn is_plain_ddim(&self) -> Result<(), Fault> {
        self.bare()?;
        self.has_signal()?;
        let plain = self.name() == "ddim" && self.value["eta"] == 0.0 && self.value["threshold"].is_null();
        match plain {
            true => Ok(()),
            false => {
                Err(Fault::new("", "must be `ddim` with `eta` 0 and no threshold: this method retraces its steps"))
            }
        }
    }
}
