//! Connections: accepting them, bounding how long a client may take over its headers, and letting them go at the end.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{app::App, http::service};

/// How long answers in flight get once the service closes.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How long to wait before accepting again when the system has no more sockets.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` comes true, then drains the app and closes the connections.
pub async fn serve(app: Arc<App>, listener: TcpListener, stop: impl Future<Output = ()>) {
    let connections = TaskTracker::new();
    let mut time = http1::Builder::new();
    time.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(app.config.http.request_timeout_s));
    let accepting = accept(listener, service(app.clone()), time, app.closing.clone(), connections.clone());
    let ending = async {
        stop.await;
        tracing::info!("draining");
        app.drain().await;
    };
    tokio::join!(accepting, ending);
    connections.close();
    if tokio::time::timeout(LAST_ANSWERS, connections.wait()).await.is_err() {
        tracing::warn!("some clients did not take their answers in time");
    }
}

/// Connections are accepted while draining too, so that clients hear of it and can fetch what is finished.
async fn accept(
    listener: TcpListener,
    router: Router,
    http: http1::Builder,
    closing: CancellationToken,
    connections: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(speak(stream, router.clone(), http.clone(), closing.clone()))),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn speak(stream: TcpStream, router: Router, http: http1::Builder, closing: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
