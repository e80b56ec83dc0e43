//! What proving costs: a user's token checked, a ticket made and checked, a LiveKit token made.
//!
//! `cargo bench --bench tokens`.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::config::Config;
use bellwire::domain::{DeviceId, UserId};
use bellwire::http::auth::Authenticator;
use bellwire::livekit::token::{Join, TokenMinter};
use bellwire::ticket::{Ticket, Tickets};
use divan::{Bencher, black_box};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

const SECRET: &str = "a-secret-of-the-identity-provider-00";

fn main() {
    bellwire::crypto::install().expect("the JWT provider");
    divan::main();
}

fn config() -> Config {
    let variables = [
        ("AUTH__TICKET_SECRET", "a-secret-for-the-tickets-of-the-bench"),
        ("AUTH__USERS__0__ISSUER", "bench"),
        ("AUTH__USERS__0__ALGORITHM", "HS256"),
        ("AUTH__USERS__0__SECRET", SECRET),
        ("AUTH__USERS__0__NAME_CLAIM", "name"),
    ];
    let variables = variables.map(|(name, value)| (format!("BELLWIRE__{name}"), value.to_owned()));
    Config::load(None, variables).expect("a configuration")
}

fn user() -> UserId {
    UserId::new("auth0|5f7c8ec7c33c6c004bbafe83").expect("a user id")
}

#[divan::bench]
fn check_a_users_token(bencher: Bencher) {
    let (config, clock) = (config(), Clock::system());
    let tickets = Tickets::new(&config.auth.ticket_secrets).expect("tickets");
    let auth = Authenticator::new(&config.auth, tickets, clock).expect("an authenticator");
    let claims = json!({"iss": "bench", "sub": user(), "name": "Ann Example", "iat": 1, "exp": 4_000_000_000_u64});
    let token = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()));
    let token = token.expect("a token");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    bencher.bench_local(|| runtime.block_on(auth.authenticate(black_box(&token))).expect("a user"));
}

#[divan::bench]
fn make_a_ticket(bencher: Bencher) {
    let (tickets, ticket) = ticket();
    bencher.bench(|| tickets.mint(black_box(&ticket)).expect("a ticket"));
}

#[divan::bench]
fn check_a_ticket(bencher: Bencher) {
    let ((tickets, ticket), now) = (ticket(), Clock::system().now());
    let text = tickets.mint(&ticket).expect("a ticket");
    bencher.bench(|| tickets.check(black_box(&text), now).expect("a good ticket"));
}

fn ticket() -> (Tickets, Ticket) {
    let clock = Clock::system();
    let tickets = Tickets::new(&config().auth.ticket_secrets).expect("tickets");
    let device = DeviceId::new("iphone").expect("a device id");
    let ticket =
        Ticket { call: clock.call_id(), user: user(), device, expires_at: clock.now() + Duration::from_mins(5) };
    (tickets, ticket)
}

#[divan::bench]
fn make_a_livekit_token(bencher: Bencher) {
    let (config, clock) = (config(), Clock::system());
    let livekit = &config.livekit;
    let minter = TokenMinter::new(&livekit.url, &livekit.api_key, &livekit.api_secret);
    let (room, identity) = (format!("bw_main_{}", clock.uuid()), user());
    let join = Join {
        room: &room,
        identity: &identity,
        name: Some("Ann"),
        video: true,
        valid_for: Duration::from_secs(105),
        empty_timeout: Duration::from_secs(125),
        departure_timeout: Duration::from_secs(40),
    };
    let now = clock.now();
    bencher.bench(|| minter.mint(black_box(&join), now).expect("a token"));
}
