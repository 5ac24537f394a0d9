use anyhow::Context;
use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    app::App,
    config::Config,
    http::{serve::serve, tls},
    telemetry,
};

/// Serve pictures over HTTP, until SIGTERM or Ctrl-C; running jobs get `drain.timeout_s` to finish.
#[derive(Debug, Args)]
pub struct Arguments {}

impl Arguments {
    /// Serves until the process is told to stop.
    pub async fn run(self, config: Config) -> anyhow::Result<()> {
        telemetry::start(&config.log)?;
        let listen = config.http.listen.clone();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let tls = tls::acceptor(&config.http)?;
        let app = App::start(config).await?;
        if app.door.guarded && app.door.tokens.is_none() && app.store.keys().await?.is_empty() {
            tracing::warn!("a key is needed and there is none yet: `darkroom keys add NAME` makes one");
        }
        let listener = TcpListener::bind(&listen).await.with_context(|| format!("http.listen {listen}"))?;
        println!("{}", greeting(&app, &listener.local_addr()?.to_string()));
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        serve(app, listener, tls, stop).await;
        Ok(())
    }
}

/// Where the service is, one line that makes a picture, and where to read on.
fn greeting(app: &App, address: &str) -> String {
    let model = app.catalog.default();
    let wish = if model.text.is_some() { r#"{"prompt": "a red heart, twemoji style"}"# } else { r#"{"label": 0}"# };
    let secure = !app.config.http.tls_certificate.as_os_str().is_empty();
    let base = format!("{}://{address}", if secure { "https" } else { "http" });
    let key = if app.door.guarded { "-H 'authorization: Bearer dk_...' " } else { "" };
    format!(
        "darkroom {} serves {} on {base}\n\
         docs:      {base}/docs\n\
         a picture: curl -s {base}/v1/generations {key}-H 'content-type: application/json' -H 'prefer: wait=60' \
         -d '{wish}' | grep -o '/v1/images/[^\"]*' | head -1 | xargs -I% curl -s '{base}%' -o picture.png",
        env!("CARGO_PKG_VERSION"),
        model.id,
    )
}
