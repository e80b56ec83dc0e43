//! The simulator's inputs: pushes and questions for tokens, orders by its control port, files and lines of rules.
#![no_main]

use std::sync::LazyLock;

use bellwire::clock::Clock;
use bellwire::crypto::{Es256Key, Rs256Key};
use bellwire::domain::Environment;
use bellwire::simulator::{Options, Rule, Simulator};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

/// The most requests of one input.
const REQUESTS: usize = 6;

struct World {
    runtime: Runtime,
    simulator: Simulator,
    provider_token: String,
    assertion: String,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        bellwire::crypto::install().expect("first");
        // Its time goes on when nothing else does: whoever waits a minute is not waited for.
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let clock = Clock::system();
        let options = Options { log_capacity: 50, ..Options::new(clock.clone()) };
        let simulator = runtime.block_on(Simulator::start(options)).expect("a simulator");
        let credentials = simulator.credentials();
        let now = clock.now().as_secs();
        let key = Es256Key::from_pem(&credentials.apns_key_pem).expect("a key");
        let claims = json!({"iss": credentials.apns_team_id, "iat": now});
        let provider_token = key.sign_jwt(&json!({"kid": credentials.apns_key_id}), &claims).expect("signed");
        let account: Value = serde_json::from_str(&credentials.service_account_json).expect("json");
        let key = Rs256Key::from_pem(account["private_key"].as_str().expect("a key")).expect("a key");
        let claims = json!({"iss": account["client_email"], "aud": account["token_uri"], "iat": now, "exp": now + 3600,
            "scope": "https://www.googleapis.com/auth/firebase.messaging"});
        let assertion = key.sign_jwt(&json!({}), &claims).expect("signed");
        Self { runtime, simulator, provider_token, assertion }
    }

    /// Puts genuine tokens where an input asks for them.
    fn filled(&self, text: &str) -> String {
        let mut text = text.replace("{apns}", &self.provider_token).replace("{assertion}", &self.assertion);
        if text.contains("{oauth}") {
            let form = format!(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
                self.assertion
            );
            let request = Request::post("/token").header("content-type", "application/x-www-form-urlencoded");
            let answer = self.simulator.answer(None, request.body(form.into()).expect("a request"));
            let answer: Value = serde_json::from_slice(answer.body()).expect("json");
            text = text.replace("{oauth}", answer["access_token"].as_str().expect("a token"));
        }
        text
    }

    fn order(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.runtime.block_on(async {
            let (head, body) = self.simulator.order(request.map(Full::new)).await.into_parts();
            Response::from_parts(head, body.collect().await.expect("in memory").to_bytes())
        })
    }
}

// Requests, a line `===` between them. The first byte of each: 0 and 1 for Apple's hosts, 2 for Google's, 3 for the control port, then
// `METHOD path`, headers, an empty line and the body; 4 a file of rules, 5 a rule.
fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let world = &*WORLD;
    let mut is_ordered = false;
    for part in text.split("\n===\n").take(REQUESTS) {
        let Some(kind) = part.bytes().next().filter(u8::is_ascii) else { continue };
        let text = world.filled(&part[1..]);
        match kind % 6 {
            0 => push(world, Some(Environment::Production), &text, is_ordered),
            1 => push(world, Some(Environment::Sandbox), &text, is_ordered),
            2 => push(world, None, &text, is_ordered),
            3 => {
                is_ordered = true;
                order(world, &text);
            }
            4 => {
                if let Ok(rules) = Rule::parse_file(&text) {
                    rules.iter().for_each(comes_back);
                    is_ordered = true;
                    world.simulator.replace_file_rules(rules);
                }
            }
            _ => {
                if let Ok(rule) = text.parse() {
                    comes_back(&rule);
                }
            }
        }
    }
    if is_ordered {
        world.simulator.reset();
    }
});

fn request(text: &str) -> Option<Request<Bytes>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request = request.header(name, value);
    }
    request.body(Bytes::copy_from_slice(body.as_bytes())).ok()
}

fn push(world: &World, apple: Option<Environment>, text: &str, is_ordered: bool) {
    let Some(request) = request(text) else { return };
    let is_genuine = request.headers().get("authorization").is_some_and(|value| {
        let value = value.to_str().unwrap_or_default();
        value.split_once(' ').is_some_and(|(_, token)| token == world.provider_token)
    });
    let answer = world.simulator.answer(apple, request);
    let status = answer.status().as_u16();
    if !answer.body().is_empty() {
        let said = serde_json::from_slice::<Value>(answer.body());
        assert!(said.is_ok(), "{status}: {:?}", answer.body());
    }
    if !is_ordered {
        assert!(status < 500, "{status}: {:?}", answer.body());
        assert!(apple.is_none() || status != 200 || is_genuine, "taken without a token");
    }
}

fn order(world: &World, text: &str) {
    let Some(request) = request(text) else { return };
    let answer = world.order(request);
    let status = answer.status().as_u16();
    assert!(status < 500, "{status}: {:?}", answer.body());
    // What the control port shows of a rule makes the same rule again.
    let rules = world.order(get("/rules"));
    let rules: Value = serde_json::from_slice(rules.body()).expect("json");
    for rule in rules["rules"].as_array().expect("a list").iter().take(5) {
        for body in [rule["rule"].clone(), json!({"line": rule["line"]})] {
            let again =
                Request::post("/rules").header("host", "localhost").body(body.to_string().into()).expect("a request");
            let again = world.order(again);
            assert_eq!(again.status(), 201, "{body}: {:?}", again.body());
            let again: Value = serde_json::from_slice(again.body()).expect("json");
            assert_eq!(again["line"], rule["line"]);
            assert_eq!(again["rule"], rule["rule"]);
        }
    }
}

fn get(path: &str) -> Request<Bytes> {
    Request::get(path).header("host", "localhost").body(Bytes::new()).expect("a request")
}

fn comes_back(rule: &Rule) {
    let line = rule.to_string();
    let again: Rule = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(again.to_string(), line);
}
