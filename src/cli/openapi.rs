use clap::Args;

use crate::http::api;

/// Print the API's description, as it is in openapi.yaml.
#[derive(Debug, Args)]
pub struct Arguments {
    /// In JSON instead of YAML.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Prints the description.
    pub fn run(self) -> anyhow::Result<()> {
        let text = if self.json { api().to_pretty_json()? } else { api().to_yaml()? };
        super::print(&text)
    }
}
