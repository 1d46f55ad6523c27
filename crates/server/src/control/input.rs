//! Bodies, paths and queries of requests; what is wrong with them is refused in the control plane's own form.

use std::time::Duration;

use axum::{
    body::{Body as RequestBody, Bytes},
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{PathRejection, QueryRejection},
    },
    response::IntoResponse,
};
use http::{StatusCode, request::Parts};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::ApiError;

/// A JSON body. The content type is not looked at: what is not JSON is refused by its content.
pub(super) struct Body<T>(pub(super) T);

/// Parameters of the path.
pub(super) struct InPath<T>(pub(super) T);

/// Parameters of the query.
pub(super) struct InQuery<T>(pub(super) T);

/// Bytes, whatever they are, up to [`BodyMax`].
pub(super) struct Raw(pub(super) Bytes);

/// Most bytes of a body; an extension that the router puts on each route.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyMax(pub(super) usize);

/// A part of a list that may be long.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Goes on behind this one: the `next` of the answer before.
    pub(super) after: Option<String>,
    /// At most so many; 1 to 1000.
    #[serde(default = "Page::limit_default")]
    pub(super) limit: usize,
}

/// What was done, where there is nothing else to say.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Done {
    pub(super) ok: bool,
}

impl Page {
    const LIMIT_MAX: usize = 1_000;

    fn limit_default() -> usize {
        100
    }

    /// How many there are at most.
    pub(super) fn size(&self) -> usize {
        self.limit.clamp(1, Self::LIMIT_MAX)
    }

    /// The part of `all` that was asked for, and what to ask for next. `after` compares as the list is sorted.
    pub(super) fn cut<T>(
        &self,
        all: impl Iterator<Item = T>,
        key: impl Fn(&T) -> String,
        is_behind: impl Fn(&T, &str) -> bool,
    ) -> (Vec<T>, Option<String>) {
        let limit = self.size();
        let behind = |item: &T| self.after.as_ref().is_none_or(|after| is_behind(item, after));
        let mut page: Vec<T> = all.filter(behind).take(limit + 1).collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = more.then(|| page.last().map(key)).flatten();
        (page, next)
    }
}

impl Done {
    pub(super) const OK: Self = Self { ok: true };
}

impl IntoResponse for Done {
    fn into_response(self) -> axum::response::Response {
        axum::Json(self).into_response()
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| ApiError::bad_request(format!("the body is not as expected: {error}")))
    }
}

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let max = request.extensions().get().map_or(BodyMax::DEFAULT, |BodyMax(max)| *max);
        read(request.into_body(), max).await.map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path(path)| Self(path))
            .map_err(|error: PathRejection| ApiError::bad_request(error.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for InQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Query::from_request_parts(parts, state).await;
        read.map(|Query(query)| Self(query))
            .map_err(|error: QueryRejection| ApiError::bad_request(error.body_text()))
    }
}

impl BodyMax {
    pub(super) const DEFAULT: usize = 1 << 20;
    /// What is read beyond the limit and thrown away: many a client looks for the answer only when it has sent all.
    const DISCARD: usize = 64 << 20;
    const DISCARD_TIME: Duration = Duration::from_secs(10);
}

async fn read(mut body: RequestBody, max: usize) -> Result<Bytes, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next_chunk(&mut body).await? {
        if bytes.len() + chunk.len() > max {
            drop(bytes);
            discard(body).await;
            let message = format!("the body is longer than the {max} bytes that are accepted here");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

async fn discard(mut body: RequestBody) {
    let rest = async {
        let mut bytes = 0;
        while let Ok(Some(chunk)) = next_chunk(&mut body).await {
            bytes += chunk.len();
            if bytes > BodyMax::DISCARD {
                break;
            }
        }
    };
    drop(tokio::time::timeout(BodyMax::DISCARD_TIME, rest).await);
}

/// Data of the body; trailers are skipped.
async fn next_chunk(body: &mut RequestBody) -> Result<Option<Bytes>, ApiError> {
    while let Some(frame) = body.frame().await {
        let broken = |error| ApiError::bad_request(format!("the body broke off: {error}"));
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
