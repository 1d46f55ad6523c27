//! Local HTTP servers, each on a free port of 127.0.0.1, which end with the test's runtime.

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::Path,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::any,
};
use futures_util::stream;
use rustls::{ServerConfig, crypto::ring, pki_types::CertificateDer};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// A web server with the routes of [`routes`].
pub(crate) async fn web() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes()).await });
    address
}

fn routes() -> Router {
    Router::new()
        .route("/echo", any(echo))
        .route("/headers", any(headers))
        .route("/to/{status}/{*place}", any(redirect))
        .route("/loop", any(|| async { (StatusCode::FOUND, [(header::LOCATION, "/loop")]) }))
        .route("/bytes/{count}", any(sized))
        .route("/endless", any(endless))
        .route("/slow/{ms}", any(slow))
        .fallback(|| async { (StatusCode::NOT_FOUND, "nothing here") })
}

/// What arrived.
async fn echo(
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Json<serde_json::Value> {
    let mut shown: Vec<_> = headers
        .iter()
        .filter(|(name, _)| *name != header::HOST)
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    shown.sort();
    let body = String::from_utf8_lossy(&body);
    Json(
        json!({ "method": method.as_str(), "uri": uri.to_string(), "headers": shown, "body": body }),
    )
}

async fn headers() -> Response {
    let mut response = (StatusCode::IM_A_TEAPOT, "").into_response();
    let headers = response.headers_mut();
    headers.append("set-cookie", "a=1".parse().unwrap());
    headers.append("set-cookie", "b=2".parse().unwrap());
    headers.append("x-latin", header::HeaderValue::from_bytes(b"caf\xe9").unwrap());
    response
}

async fn redirect(Path((status, place)): Path<(u16, String)>) -> Response {
    let place = if place.contains("://") { place } else { format!("/{place}") };
    (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, place)]).into_response()
}

async fn sized(Path(count): Path<usize>) -> Vec<u8> {
    vec![b'x'; count]
}

async fn slow(Path(ms): Path<u64>, method: Method, body: Bytes) -> String {
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    format!("{method} {ms} {}", body.len())
}

/// A body without a length and without an end.
async fn endless() -> Body {
    let chunk = Bytes::from(vec![b'x'; 64 << 10]);
    Body::from_stream(stream::repeat_with(move || Ok::<_, std::convert::Infallible>(chunk.clone())))
}

/// Answers each connection as `serve` does.
pub(crate) async fn raw<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection));
        }
    });
    address
}

/// Sends fixed bytes to whoever has sent a request, and keeps the connection open.
pub(crate) async fn canned(answer: &'static [u8]) -> SocketAddr {
    raw(move |mut connection| async move {
        let _ = connection.read(&mut [0; 4096]).await;
        let _ = connection.write_all(answer).await;
        let _ = connection.read(&mut [0; 1]).await;
    })
    .await
}

/// A whole response, and the end of the connection.
pub(crate) async fn answer_nothing(connection: &mut TcpStream) {
    let _ = connection.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
}

/// An HTTPS server for `localhost`, and the certificate of the authority that vouches for it.
pub(crate) async fn tls() -> (SocketAddr, CertificateDer<'static>) {
    let (authority, config) = certificates();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = raw(move |connection| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut connection) = acceptor.accept(connection).await else { return };
            let _ = connection.read(&mut [0; 4096]).await;
            let _ =
                connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
            let _ = connection.flush().await;
            let _ = connection.read(&mut [0; 1]).await;
        }
    });
    (address.await, authority)
}

fn certificates() -> (CertificateDer<'static>, ServerConfig) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap();
    (authority_certificate.der().clone(), config)
}
