//! The control plane put together: routes with their body limits, then what guards all of them. The document tells of
//! both: what a route answers is said where the route is, what any may answer is added here.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Extension, Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use belay_weave::SourceLimits;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, ResponseBuilder,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

use super::{
    Access, ApiError, Control, Rate, alerts, aliases, apps, blobs, flips, functions,
    guard::{OPEN, guard},
    input::BodyMax,
    letters, logs, node, policies,
    rate::{Limiter, limit},
    secrets, stats, stories, transactions, versions,
};

/// Bytes of a manifest, or of a list of hashes: all the modules that an app may have, with their edges.
const MANIFEST_MAX: usize = 32 << 20;
/// Bytes of the largest event that a function may accept.
const EVENT_MAX: usize = 64 << 20;

/// The control plane, guarded.
pub fn router(control: Control, access: Access, rate: Rate) -> Router {
    let (router, _) = api().split_for_parts();
    let (access, limiter) = (Arc::new(access), Arc::new(Limiter::new(rate)));
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(control)
        .layer(from_fn(move |request, next| guard(access.clone(), request, next)))
        .layer(from_fn(move |request, next| limit(limiter.clone(), request, next)))
        .layer(from_fn(catch_panic))
}

/// The OpenAPI 3.1 document of [`router`].
pub fn document() -> OpenApi {
    let (_, mut document) = api().split_for_parts();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    document.paths.paths.iter_mut().for_each(|(path, item)| declare_common(path, item));
    document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
    document
}

/// Adds what is answered before a route is asked, and when its input cannot be read.
fn declare_common(path: &str, item: &mut PathItem) {
    let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
    for operation in operations.into_iter().flatten() {
        let (has_body, has_input) =
            (operation.request_body.is_some(), operation.parameters.is_some());
        let common = [
            ("400", "The request cannot be read", has_body || has_input),
            ("401", "The server wants another token", path != OPEN),
            ("403", "The host or origin is foreign", true),
            ("413", "The body is too long", has_body),
            ("429", "Too much at once; see `retry-after`", true),
            ("500", "The server failed", true),
            ("503", "The server is stopping", path != OPEN),
        ];
        for (status, description, _) in common.into_iter().filter(|(.., answered)| *answered) {
            let responses = &mut operation.responses.responses;
            responses.entry(status.to_owned()).or_insert_with(|| refusal(description).into());
        }
    }
}

fn refusal(description: &str) -> utoipa::openapi::Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    ResponseBuilder::new().description(description).content("application/json", body).build()
}

fn api() -> OpenApiRouter<Control> {
    let info = InfoBuilder::new()
        .title("Belay control plane")
        .description(Some("Deploy and manage functions. A token is needed if the server has one."))
        .version(env!("CARGO_PKG_VERSION"));
    let document = OpenApiBuilder::new().info(info.build()).build();
    OpenApiRouter::with_openapi(document).nest("/api/v1", v1()).routes(routes!(stats::metrics))
}

fn v1() -> OpenApiRouter<Control> {
    let manifest = || Extension(BodyMax(MANIFEST_MAX));
    let source = Extension(BodyMax(SourceLimits::DEFAULT.file_bytes));
    OpenApiRouter::new()
        .routes(routes!(node::health))
        .routes(routes!(node::openapi))
        .routes(routes!(blobs::missing).layer(manifest()))
        .routes(routes!(blobs::put).layer(source))
        .routes(routes!(apps::list))
        .routes(routes!(apps::get, apps::remove))
        .routes(routes!(versions::list, versions::deploy).layer(manifest()))
        .routes(routes!(versions::get))
        .routes(routes!(versions::replay).layer(manifest()))
        .routes(routes!(versions::compared).layer(manifest()))
        .routes(routes!(versions::blocks))
        .routes(routes!(flips::list))
        .routes(routes!(flips::get))
        .routes(routes!(flips::programs))
        .routes(routes!(flips::take_back))
        .routes(routes!(flips::restore))
        .routes(routes!(flips::settle))
        .routes(routes!(stories::get))
        .routes(routes!(stories::promote))
        .routes(routes!(flips::effective))
        .routes(routes!(versions::graph))
        .routes(routes!(policies::get, policies::patch))
        .routes(routes!(alerts::list))
        .routes(routes!(aliases::list))
        .routes(routes!(aliases::get, aliases::put, aliases::delete))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::put, secrets::delete))
        .routes(routes!(functions::list))
        .routes(routes!(functions::disable, functions::enable))
        .routes(routes!(functions::invoke).layer(Extension(BodyMax(EVENT_MAX))))
        .routes(routes!(logs::get))
        .routes(routes!(stats::function))
        .routes(routes!(stats::node))
        .routes(routes!(transactions::list))
        .routes(routes!(transactions::show))
        .routes(routes!(transactions::of_request))
        .routes(routes!(letters::list))
        .routes(routes!(letters::retry))
        .routes(routes!(letters::get, letters::delete))
}

async fn unknown_path(request: Request) -> ApiError {
    let path: String = request.uri().path().chars().take(200).collect();
    ApiError::not_found("unknown-path", format!("the control plane has nothing at {path}"))
        .help("see /api/v1/openapi.json; functions are called on the data plane")
}

async fn wrong_method(method: Method, request: Request) -> ApiError {
    let path: String = request.uri().path().chars().take(200).collect();
    let message = format!("{path} does not answer to {method}");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", message)
}

/// A bug must not take the connection with it. The panic itself has been reported by the hook.
async fn catch_panic(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| {
        let message = "the server failed on this request";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message).into_response()
    })
}
