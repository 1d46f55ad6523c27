//! The listener of the control plane.

use std::net::SocketAddr;

use axum::{Router, serve::ListenerExt};
use tokio::{net::TcpListener, sync::watch};

/// Serves until `stop` is true and all requests that had begun are answered.
pub async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    // Answers are written at once and whole.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
    let served = axum::serve(listener, service).with_graceful_shutdown(stopped).await;
    if let Err(error) = served {
        tracing::error!(%error, "the control listener failed");
    }
}
