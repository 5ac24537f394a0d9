//! Connections: accepting them, bounding how long a client may take over its headers, and letting them go at the end.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{app::App, http::service};

/// How long answers in flight get once the service closes.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How long to wait before accepting again when the system has no more sockets.
const PAUSE: Duration = Duration::from_millis(50);

/// What every connection is served with.
#[derive(Clone)]
struct Service {
    router: Router,
    http: http1::Builder,
    tls: Option<TlsAcceptor>,
    /// How long a client may take over its handshake.
    patience: Duration,
    closing: CancellationToken,
}

/// Serves until `stop` comes true, then drains the app and closes the connections.
pub async fn serve(app: Arc<App>, listener: TcpListener, tls: Option<TlsAcceptor>, stop: impl Future<Output = ()>) {
    let connections = TaskTracker::new();
    let (mut http, patience) = (http1::Builder::new(), Duration::from_secs(app.config.http.request_timeout_s));
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let service = Service { router: service(app.clone()), http, tls, patience, closing: app.closing.clone() };
    let accepting = accept(listener, service, connections.clone());
    let ending = async {
        stop.await;
        tracing::info!("draining");
        app.drain().await;
    };
    tokio::join!(accepting, ending);
    connections.close();
    if timeout(LAST_ANSWERS, connections.wait()).await.is_err() {
        tracing::warn!("some clients did not take their answers in time");
    }
}

/// Connections are accepted while draining too, so that clients hear of it and can fetch what is finished.
async fn accept(listener: TcpListener, service: Service, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = service.closing.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(service.clone().greet(stream))),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Service {
    async fn greet(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.speak(stream).await };
        match timeout(self.patience, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
            Err(_) => tracing::debug!("a handshake took too long"),
        }
    }

    async fn speak(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let answering = TowerToHyperService::new(self.router.clone());
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), answering));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke off");
        }
    }
}
