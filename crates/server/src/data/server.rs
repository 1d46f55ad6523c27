//! Accepts connections and serves them until told to stop; then every connection ends after its current request.

use std::{convert::Infallible, future::Future, io, net::IpAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::plane::DataPlane;

/// Longest time for the head of a request to arrive once it has begun.
const HEAD_ARRIVAL: Duration = Duration::from_secs(15);
/// After an error of `accept`, such as too many open files, which does not go away by itself at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `plane` on `listener` until `stop` is ready and all requests that had begun are answered.
pub async fn serve(listener: TcpListener, plane: Arc<DataPlane>, stop: impl Future<Output = ()>) {
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(plane.config.connections));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let connection = connection(stream, peer, plane.clone());
                let connection = connections.watch(connection);
                tokio::spawn(async move {
                    // A broken connection is the client's business.
                    let _ = connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are written at once and whole.
    stream.set_nodelay(true)?;
    Ok((stream, peer.ip(), place))
}

fn connection(
    stream: TcpStream,
    peer: IpAddr,
    plane: Arc<DataPlane>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    let head_bytes = plane.config.head_bytes;
    let service = service_fn(move |request| {
        let plane = plane.clone();
        async move { Ok::<_, Infallible>(plane.answer(request, peer).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_ARRIVAL)
        .max_buf_size(head_bytes)
        .serve_connection(TokioIo::new(stream), service)
}
