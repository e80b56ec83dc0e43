//! Tokens that prove nothing, on every route that asks for one.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::raw;
use super::route::{self, Who};
use super::world::World;
use crate::support::{Http, SERVICE_KEY, USER_SECRET, bearer, user_token};

const LATER: u64 = 4_000_000_000;

fn claims() -> Value {
    json!({"iss": "tests", "aud": "bellwire", "sub": "bob", "exp": LATER})
}

/// Good claims, but for one.
fn but(claim: &str, value: Value) -> String {
    let mut claims = claims();
    claims[claim] = value;
    user_token(&claims)
}

fn signed(header: &Header, claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
}

/// A token of these parts as they are, signed by nobody.
fn forged(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}.{signature}", part(header), part(claims))
}

fn bad_tokens(world: &World) -> Vec<(&'static str, String, &'static str)> {
    let good = bearer("bob");
    let (start, signature) = good.rsplit_once('.').expect("a signature");
    let ticket_header = Header { typ: Some("bw-ticket".into()), ..Header::default() };
    let ticket = json!({"aud": "bw", "c": world.call, "u": "bob", "d": "iphone-1", "exp": LATER});
    let (ticket_start, ticket_signature) = world.ticket.rsplit_once('.').expect("a signature");
    let swapped = format!("{ticket_start}.{signature}");
    // The same claims and signature under a header that calls it a user's token.
    let relabelled = world
        .ticket
        .split_once('.')
        .map(|(_, rest)| format!("{}.{rest}", BASE64URL_NOPAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#)));
    let critical = json!({"alg": "HS256", "crit": ["exp"], "exp": 1});
    let truncated_key = &SERVICE_KEY[..SERVICE_KEY.len() - 1];
    vec![
        ("nothing in it", "x".into(), "token-malformed"),
        ("dots", "..".into(), "token-malformed"),
        ("five parts", "a.b.c.d.e".into(), "token-malformed"),
        ("no JSON in it", "e30.e30.e30".into(), "token-malformed"),
        ("too long", format!("{good}{}", "x".repeat(9000)), "token-too-long"),
        ("alg none", forged(&json!({"alg": "none"}), &claims(), ""), "token-malformed"),
        ("alg None", forged(&json!({"alg": "None", "typ": "JWT"}), &claims(), signature), "token-malformed"),
        ("no alg", forged(&json!({"typ": "JWT"}), &claims(), signature), "token-malformed"),
        ("alg RS256", forged(&json!({"alg": "RS256"}), &claims(), signature), "token-wrong-algorithm"),
        ("alg HS512", forged(&json!({"alg": "HS512"}), &claims(), signature), "token-wrong-algorithm"),
        ("critical extension", forged(&critical, &claims(), signature), "token-malformed"),
        ("unsigned", format!("{start}."), "token-bad-signature"),
        (
            "wrongly signed",
            signed(&Header::default(), &claims(), "another-secret-of-another-provider"),
            "token-bad-signature",
        ),
        ("signed with nothing", signed(&Header::default(), &claims(), ""), "token-bad-signature"),
        ("cut short", good[..good.len() - 2].into(), "token-bad-signature"),
        ("other claims", forged(&json!({"alg": "HS256"}), &claims(), signature), "token-bad-signature"),
        ("expired", but("exp", json!(1_700_000_000)), "token-expired"),
        ("expires never", but("exp", Value::Null), "token-wrong-claim"),
        ("expires in words", but("exp", json!("4000000000")), "token-wrong-claim"),
        ("expires at -1", but("exp", json!(-1)), "token-wrong-claim"),
        ("not yet", but("nbf", json!(LATER - 1)), "token-not-yet-valid"),
        ("made in the future", but("iat", json!(LATER - 1)), "token-not-yet-valid"),
        ("another audience", but("aud", json!("other")), "token-wrong-audience"),
        ("audience by case", but("aud", json!("Bellwire")), "token-wrong-audience"),
        ("audiences without ours", but("aud", json!(["a", {"b": "bellwire"}])), "token-wrong-audience"),
        ("another issuer", but("iss", json!("tests.evil.example")), "token-unknown-issuer"),
        ("issuers", but("iss", json!(["tests"])), "token-unknown-issuer"),
        ("no user", but("sub", Value::Null), "token-missing-claim"),
        ("user 1.5", but("sub", json!(1.5)), "token-wrong-claim"),
        ("user with a space", but("sub", json!("bob ")), "token-bad-user-id"),
        ("user with a NUL", but("sub", json!("bob\u{0}")), "token-bad-user-id"),
        ("user that turns text", but("sub", json!("\u{202e}bob")), "token-bad-user-id"),
        ("empty user", but("sub", json!("")), "token-bad-user-id"),
        ("long user", but("sub", json!("b".repeat(129))), "token-bad-user-id"),
        ("ticket by the users' secret", signed(&ticket_header, &ticket, USER_SECRET), "ticket-invalid"),
        ("user token as a ticket", signed(&ticket_header, &claims(), USER_SECRET), "ticket-invalid"),
        ("ticket as a user token", relabelled.expect("parts"), "token-unknown-issuer"),
        ("ticket without signature", format!("{ticket_start}."), "ticket-invalid"),
        ("ticket with another signature", swapped, "ticket-invalid"),
        ("ticket's signature alone", ticket_signature.to_owned(), "token-malformed"),
        ("service key cut short", truncated_key.into(), "service-key-unknown"),
        ("service key and more", format!("{SERVICE_KEY}x"), "service-key-unknown"),
        ("service key's start", "bw_sk_".into(), "service-key-unknown"),
        ("service key in capitals", SERVICE_KEY.to_uppercase(), "token-malformed"),
        ("hash of the service key", "sha256:00".into(), "token-malformed"),
    ]
}

#[tokio::test]
async fn no_route_believes_a_bad_token() {
    let world = World::behind_a_proxy("").await;
    let before = world.state().await;
    let tokens = bad_tokens(&world);
    for route in route::all(&world).await.iter().filter(|route| route.who != Who::Anybody) {
        let body = route.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let request = || route.request(&world.stage.http).header("content-type", "application/json").body(body.clone());
        for (what, token, code) in &tokens {
            let reply = Http::send(request().bearer_auth(token)).await;
            let what = format!("{}, token {what}", route.name());
            world.expect_code(&reply, &what, &[code]);
            assert_eq!(reply.status, 401, "{what}");
            assert!(!reply.text.contains(token.as_str()), "{what}: {}", reply.text);
        }
        world.expect_code(&Http::send(request()).await, &route.name(), &["token-missing"]);
        for header in ["", "Bearer", "Bearer ", "Basic Ym9iOmJvYg==", "bearer", &route.token, "Token x y z"] {
            let reply = Http::send(request().header("authorization", header)).await;
            world.expect_code(&reply, &format!("{}, {header:.20}", route.name()), &["token-missing"]);
        }
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_token_in_the_url_is_no_token() {
    let world = World::new().await;
    for name in ["access_token", "token", "bearer", "authorization"] {
        let target = format!("/v1/events?{name}={}", bearer("bob"));
        let request = raw::request(&format!("GET {target}"), &[("accept", "text/event-stream")], b"");
        world.expect_code(&raw::send(&world.stage, request).await, name, &["token-missing"]);
    }
}

#[tokio::test]
async fn the_same_body_with_the_right_token_would_have_done_it() {
    // Each route is asked in a world of its own calls' making, so that one good request does not spoil the next.
    let world = World::new().await;
    let mut routes = route::all(&world).await;
    // Deletions last, and what ends the call before them.
    routes.sort_by_key(|route| {
        let ends = ["cancel", "hangup", "decline", "answer"].iter().position(|verb| route.template.ends_with(verb));
        (route.method == reqwest::Method::DELETE, ends.is_some(), ends)
    });
    for route in routes.iter().filter(|route| !route.template.ends_with("events")) {
        let mut request = route.request(&world.stage.http).bearer_auth(&route.token);
        if let Some(body) = &route.body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let reply = Http::send(request).await;
        let after_its_end = ["/hangup", "/decline", "/answer"].iter().any(|verb| route.template.ends_with(verb));
        // No call of this world is recorded.
        let none_there = route.template.ends_with("/recording") && matches!(reply.status, 404 | 409);
        let fine = reply.status < 300 || none_there || (after_its_end && reply.status == 409);
        assert!(fine, "{}: {}", route.name(), reply.text);
    }
}
