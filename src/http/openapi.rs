//! The description of the API, generated from the handlers, and a page that shows it.

use axum::http::header;
use axum::response::{Html, IntoResponse};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};

#[derive(OpenApi)]
#[openapi(info(
    title = "Bellwire",
    description = "Call signalling for LiveKit. Errors are application/problem+json (RFC 9457).",
    license(name = "Apache-2.0")
))]
struct Description;

/// What the routes are added to.
pub fn description() -> Document {
    let mut document = Description::openapi();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().security_schemes.insert("bearer".to_owned(), bearer.into());
    document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    document
}

/// This API as an `OpenAPI` 3.1 document.
#[utoipa::path(get, path = "/openapi.json", tag = "ops", security(()), responses((status = 200)))]
pub async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], super::openapi_json())
}

/// The same as a page.
#[utoipa::path(get, path = "/docs", tag = "ops", security(()), responses((status = 200)))]
pub async fn docs() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}
