use clap::Args;

use super::{in_memory, made::make, wish::Wish};
use crate::{
    app::App,
    config::Config,
    http::{caller::Caller, generations::accept},
    telemetry,
};

/// Make pictures here and now, without a server and without touching a server's store.
///
/// Prints the path of each picture. The same fields make the same pictures as POST /v1/generations.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What the picture shows.
    #[arg(default_value = "")]
    prompt: String,
    #[command(flatten)]
    wish: Wish,
}

impl Arguments {
    /// Makes the pictures and writes them.
    pub async fn run(self, mut config: Config) -> anyhow::Result<()> {
        in_memory(&mut config, self.wish.model.as_deref());
        telemetry::start(&config.log)?;
        let mut fields = self.wish.fields()?;
        fields.insert("prompt".into(), self.prompt.into());
        let app = App::start(config).await?;
        let made = make(&app, accept(&app, &Caller::anyone(), fields.into()).await, &self.wish.output).await;
        app.drain().await;
        made
    }
}
