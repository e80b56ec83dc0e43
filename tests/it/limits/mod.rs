//! How often somebody may do something: what they hear who ask too often, and what is never limited.

mod addresses;
mod invites;
mod others;

use crate::support::Reply;

/// Checks that a limit refused, and gives the seconds after which to try again.
pub fn expect_limited(reply: Reply, limit: &str, rate: &str) -> u64 {
    let header = |name: &str| reply.headers[name].to_str().expect("a text").to_owned();
    let (policy, state, wait) = (header("ratelimit-policy"), header("ratelimit"), header("retry-after"));
    assert_eq!(policy, format!("\"{limit}\";{rate}"));
    assert_eq!(state, format!("\"{limit}\";r=0;t={wait}"));
    reply.expect_problem(429, "rate-limited");
    wait.parse().expect("seconds")
}
