//! The page on which operators see one gateway at work: a file that reads `/readyz` and `/metrics` beside it, every few seconds.
//!
//! What it plots it keeps in the browser; the gateway keeps and computes nothing for it. Whoever may see those two may see it.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{Html, IntoResponse};
use data_encoding::BASE64;
use ring::digest::{SHA256, digest};

const PAGE: &str = include_str!("status.html");

/// The page's own style and script run, and nothing else; it asks whoever served it alone, and makes no HTML of what it hears.
/// Source: <https://www.w3.org/TR/CSP3/>.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (style, script) = (hash_of("style"), hash_of("script"));
    format!(
        "default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
});

/// The hash of what stands in an element of the page, as a policy names it.
fn hash_of(element: &str) -> String {
    let rest = PAGE.split_once(&format!("<{element}>")).unwrap_or_default().1;
    let inside = rest.split_once(&format!("</{element}>")).unwrap_or_default().0;
    format!("'sha256-{}'", BASE64.encode(digest(&SHA256, inside.as_bytes()).as_ref()))
}

/// What the gateway does now, as a page.
#[utoipa::path(get, path = "/status", tag = "ops", security(()), responses((status = 200, description = "a page")))]
pub async fn status() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(PAGE))
}
