use clap::Args;

use crate::{catalog::Catalog, config::Config};

/// List the models that can be asked for; the default is marked with a star.
#[derive(Debug, Args)]
pub struct Arguments {}

impl Arguments {
    /// Prints a line for each model.
    pub fn run(self, config: &Config) -> anyhow::Result<()> {
        let catalog = Catalog::open(config)?;
        let lines = catalog.iter().map(|card| {
            let mark = if card.id == catalog.default().id { '*' } else { ' ' };
            let (width, height) = card.native();
            format!("{mark} {:<20} {:<18} {width}x{height}  {}", card.id, card.family, card.defaults.title)
        });
        super::print(&lines.collect::<Vec<_>>().join("\n"))
    }
}
