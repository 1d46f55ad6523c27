//! Reads a request's body whole, within a limit.
//!
//! A body that is too large is read to its end (within bounds) and thrown away: a client that is cut off while it
//! still writes sees a broken connection instead of the answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

/// Longest time that a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Most that is read of a body only to be thrown away. Bytes.
const DISCARD_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge {
        limit: u64,
    },
    /// The client broke off, or took too long.
    Incomplete,
}

/// The body, if it has at most `limit` bytes.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    limit: u64,
) -> Result<Bytes, BodyError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced = body.size_hint().lower();
    if announced > limit && headers.contains_key(header::EXPECT) {
        // The client waits for leave to send, and does not get it.
        return Err(BodyError::TooLarge { limit });
    }
    timeout(ARRIVAL, collect(&mut body, limit)).await.unwrap_or(Err(BodyError::Incomplete))
}

async fn collect(body: &mut Incoming, limit: u64) -> Result<Bytes, BodyError> {
    let Some(first) = data(body).await? else { return Ok(Bytes::new()) };
    // Most bodies come in one piece, which is not copied.
    if body.is_end_stream() && first.len() as u64 <= limit {
        return Ok(first);
    }
    let mut all = BytesMut::from(first);
    while all.len() as u64 <= limit {
        let Some(more) = data(body).await? else { return Ok(all.freeze()) };
        all.extend_from_slice(&more);
    }
    discard(body, all.len() as u64).await?;
    Err(BodyError::TooLarge { limit })
}

async fn discard(body: &mut Incoming, mut read: u64) -> Result<(), BodyError> {
    while let (true, Some(more)) = (read < DISCARD_BYTES, data(body).await?) {
        read += more.len() as u64;
    }
    Ok(())
}

/// The next piece that holds data; none at the end.
async fn data(body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| BodyError::Incomplete)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
