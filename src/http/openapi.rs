//! The description of the API, generated from the handlers, and a page that shows it.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use utoipa::OpenApi;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Object, OpenApi as Document, RefOr, Response, Type};

use super::constraints;

/// What a problem's headers may say beside it.
const HEADERS: [(&str, &str); 3] = [
    ("Retry-After", "With 429 and 503: in how many seconds to try again."),
    ("RateLimit-Policy", "Where a rate was the reason: its name, and how many (`q`) in how many seconds (`w`)."),
    ("RateLimit", "Where a rate was the reason: how many are left (`r`), and in how many seconds there is more (`t`)."),
];
/// The status of problems in the description of every route.
const PROBLEMS: &str = "4XX";
/// That of the gateway's own failures: it cannot serve the request now, or ever.
const FAILURES: &str = "5XX";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bellwire",
        description = "Call signalling for LiveKit. Errors are application/problem+json (RFC 9457).",
        license(name = "Apache-2.0")
    ),
    components(schemas(super::view::EventView, super::events::Snapshot))
)]
struct Description;

/// What the routes are added to.
pub fn description() -> Document {
    let mut document = Description::openapi();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    // The token of a webhook, with the hash of its body in it, stands there alone.
    let livekit = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("Authorization")));
    let schemes = &mut document.components.get_or_insert_default().security_schemes;
    schemes.insert("bearer".to_owned(), bearer.into());
    schemes.insert("livekit".to_owned(), livekit.into());
    document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    document
}

/// Says of every answer what the handlers leave to be said once: that it has a description, which the standard asks for, that problems
/// have a media type of their own, and that there may be failures; and of requests what `constraints` has. As JSON.
pub fn finished(mut document: Document) -> String {
    let operations = document.paths.paths.values().flat_map(|item| [&item.get, &item.put, &item.post, &item.delete]);
    let problem = operations.flatten().find_map(|operation| operation.responses.responses.get(PROBLEMS)).cloned();
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            for status in [PROBLEMS, FAILURES] {
                // Also where nothing is asked of who asks: its address may have asked too often.
                responses.extend(problem.clone().map(|problem| (status.to_owned(), problem)));
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    finish(status, response);
                }
            }
        }
    }
    let mut document = serde_json::to_value(document).unwrap_or_default();
    constraints::add(&mut document);
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn finish(status: &str, response: &mut Response) {
    let is_problem = status == PROBLEMS || status == FAILURES;
    if is_problem && let Some(content) = response.content.shift_remove("application/json") {
        response.content.insert("application/problem+json".to_owned(), content);
        for (name, description) in HEADERS {
            let header = HeaderBuilder::new().schema(Some(Object::with_type(Type::String)));
            response.headers.insert(name.to_owned(), header.description(Some(description)).build().into());
        }
    }
    if response.description.is_empty() {
        let description = if is_problem { "A problem, with its code." } else { "Done." };
        response.description.push_str(description);
    }
}

/// This API as an `OpenAPI` 3.1 document.
#[utoipa::path(get, path = "/openapi.json", tag = "ops", security(()), responses((status = 200)))]
pub async fn document() -> impl IntoResponse {
    // Anybody may ask, and making it takes milliseconds.
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| super::openapi_json().into());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}

/// The same as a page.
#[utoipa::path(get, path = "/docs", tag = "ops", security(()), responses((status = 200)))]
pub async fn docs() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}
