//! What a client is told that asks too often: 429, when to try again, and which limit it was.
//!
//! `RateLimit-Policy` and `RateLimit` are those of <https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/> (draft 10):
//! lists of structured fields (RFC 9651), whose one item names the limit by its key in `[limits]`.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::code::Code;
use super::problem::Problem;
use crate::domain::{Limited, Rate};

/// How often one may: `q` in a window of `w` seconds.
pub(super) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// How often one may now (`r`), and in how many seconds again (`t`).
pub(super) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        let seconds = wait_seconds(&limited);
        let mut problem = Self::new(Code::RateLimited, format!("{limited}; try again in {seconds} s"));
        problem.retry_after = Some(seconds);
        problem.limited = Some(Box::new(limited));
        problem
    }
}

/// Says in an answer's headers which limit it was.
pub(super) fn tell(headers: &mut HeaderMap, limited: &Limited) {
    let name = limited.limit.as_str();
    let Rate { count, per } = limited.rate;
    let policy = format!("\"{name}\";q={count};w={}", per.as_secs().max(1));
    let state = format!("\"{name}\";r=0;t={}", wait_seconds(limited));
    for (header, value) in [(RATELIMIT_POLICY, policy), (RATELIMIT, state)] {
        // A name in quotes and numbers: always a header's value.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(header, value);
        }
    }
}

/// The wait in whole seconds, at least one.
fn wait_seconds(limited: &Limited) -> u32 {
    u32::try_from(limited.wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::Limit;

    fn told(wait: Duration, rate: Rate) -> (String, String, u32) {
        let limited = Limited { limit: Limit::InvitesPerUser, rate, wait };
        let mut headers = HeaderMap::new();
        tell(&mut headers, &limited);
        let text = |name: HeaderName| headers[name].to_str().expect("a text").to_owned();
        (text(RATELIMIT_POLICY), text(RATELIMIT), wait_seconds(&limited))
    }

    #[test]
    fn the_headers_name_the_limit_and_the_wait_in_whole_seconds() {
        let (policy, state, wait) =
            told(Duration::from_millis(11_001), Rate { count: 30, per: Duration::from_mins(1) });
        assert_eq!((&*policy, &*state), (r#""invites_per_user";q=30;w=60"#, r#""invites_per_user";r=0;t=12"#));
        assert_eq!(wait, 12);
        let (policy, state, wait) = told(Duration::from_micros(1), Rate { count: 50, per: Duration::from_secs(1) });
        assert_eq!((&*policy, &*state), (r#""invites_per_user";q=50;w=1"#, r#""invites_per_user";r=0;t=1"#));
        assert_eq!(wait, 1);
    }
}
