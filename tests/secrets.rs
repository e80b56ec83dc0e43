//! What must never be seen: a call is made from end to end, and bad requests with it, while everything that is logged and answered is kept;
//! then no secret is in it. A binary of its own, since the log is one for the whole process.

#![expect(clippy::expect_used, reason = "Clippy knows a test by its attribute, not the functions that help it")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "it/recording/livekit.rs"]
mod livekit;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "it/recording/s3.rs"]
mod s3;
#[expect(dead_code, unused_imports, reason = "other tests use the rest")]
#[path = "it/support/mod.rs"]
mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use bellwire::clock::Clock;
use livekit::LiveKit;
use reqwest::Method;
use s3::S3;
use serde_json::{Value, json};
use support::people::{path, push_data};
use support::{APP, Http, Reply, SERVICE_KEY, Stage, USER_SECRET, bearer, panics, service_bearer};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const LIVEKIT_SECRET: &str = livekit::API_SECRET;
const WEBHOOK_SECRET: &str = "whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM=";
const WEBHOOK_PATH: &str = "a-path-that-nobody-guesses";
const TICKET_SECRET: &str = "a-secret-for-the-tickets-of-the-tests";

/// Everything that was logged or answered.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a lock").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Seen {
    /// All of Bellwire's lines, and others' down to debug.
    fn log() -> Self {
        let seen = Self::default();
        let writer = seen.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let all = Targets::new().with_default(LevelFilter::DEBUG).with_target("bellwire", LevelFilter::TRACE);
        tracing_subscriber::registry().with(lines.with_filter(all)).init();
        seen
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("a lock")).into_owned()
    }

    fn keep(&self, what: &str) {
        writeln!(self.clone(), "{what}").expect("memory");
    }
}

/// What nobody may see, each with its name.
#[derive(Default)]
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 8, "{name} is too short to be found: {secret}");
        self.0.push((name.to_owned(), secret.to_owned()));
    }

    /// A JWT, whose signature alone is secret too.
    fn add_token(&mut self, name: &str, token: &Value) -> String {
        let token = token.as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
        self.add(name, &token);
        if let Some((_, signature)) = token.rsplit_once('.').filter(|(_, signature)| signature.len() > 8) {
            self.add(&format!("signature of {name}"), signature);
        }
        token
    }

    /// The lines of a PEM, as a file has them and as JSON does.
    fn add_pem(&mut self, name: &str, text: &str) {
        let lines = text.lines().flat_map(|line| line.split("\\n"));
        for line in lines.filter(|line| line.len() > 30 && !line.contains([' ', '"'])) {
            self.add(name, line);
        }
    }

    fn check(&self, seen: &str, place: &str) {
        for (name, secret) in &self.0 {
            let line = seen.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{name} is in {place}");
        }
    }
}

#[tokio::test]
async fn no_secret_is_logged_or_answered() {
    panics::watch();
    let logged = Seen::log();
    let answered = Seen::default();
    let clock = Clock::system();
    let storage = S3::start(clock.clone()).await;
    let livekit = LiveKit::start(Some(storage.clone())).await;
    let recording = format!("[recording]\npolicy = \"party\"\n{}", storage.section());
    // Nobody listens there, so that errors are logged too.
    let webhook =
        format!("[[webhooks]]\nurl = \"http://127.0.0.1:1/{WEBHOOK_PATH}\"\nsecrets = [\"{WEBHOOK_SECRET}\"]");
    let extra = format!("{}{recording}{webhook}", livekit.section());
    let stage = Stage::on_clock(clock, &extra).await;
    livekit.tells(stage.http.base());
    let mut secrets = configured(&stage);
    secrets.add("webhook secret", &WEBHOOK_SECRET["whsec_".len()..]);
    secrets.add("path of a webhook", WEBHOOK_PATH);

    a_call(&stage, &mut secrets, &answered).await;
    refusals_of_providers(&stage, &mut secrets).await;
    let link = a_recording(&stage, &livekit, &answered).await;
    let personal = a_life(&stage).await;
    bad_requests(&stage, &secrets, &answered).await;
    for text in [stage.http.get("/readyz", "").await.text, stage.http.get("/openapi.json", "").await.text] {
        answered.keep(&text);
    }
    for received in stage.pushes().all() {
        if let Some((_, token)) = received.header("authorization").and_then(|value| value.split_once(' ')) {
            secrets.add_token("authorization at a provider", &json!(token));
        }
    }
    stage.gateway.stop().await.expect("stopped in time");

    assert!(logged.text().contains("bellwire"), "nothing was logged: {}", logged.text());
    secrets.check(&logged.text(), "the log");
    personal.check(&logged.text(), "the log");
    // Whom it was given to may see it.
    assert!(!logged.text().contains(&link) && !logged.text().contains("X-Amz-Signature"), "a link is in the log");
    secrets.check(&answered.text(), "an answer");
    assert_eq!(panics::count(), 0);
}

/// The secrets of the configuration and of the files that it names.
fn configured(stage: &Stage) -> Secrets {
    let mut secrets = Secrets::default();
    secrets.add("auth.users.secret", USER_SECRET);
    secrets.add("the service key", SERVICE_KEY);
    secrets.add("auth.ticket_secret", TICKET_SECRET);
    secrets.add("livekit.api_secret", LIVEKIT_SECRET);
    secrets.add("recording.s3.secret", s3::SECRET);
    let config = std::fs::read_to_string(&stage.config_file).expect("the configuration");
    assert!(config.contains(TICKET_SECRET) && config.contains(LIVEKIT_SECRET));
    let files: Vec<&str> = config
        .lines()
        .filter(|line| line.contains("key_file") || line.contains("service_account_file"))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        secrets.add_pem(file, &std::fs::read_to_string(file).expect("a key"));
    }
    secrets
}

/// From registration to hang-up, with everything that a client or an operator is shown of it.
async fn a_call(stage: &Stage, secrets: &mut Secrets, answered: &Seen) {
    let iphone = stage.iphone("bob", "iphone-1").await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    for token in [&iphone.ring_token, &iphone.notice_token, &pixel.ring_token] {
        secrets.add("a push token", token);
    }
    for user in ["alice", "bob"] {
        secrets.add_token("a user's token", &json!(bearer(user)));
    }
    let (mut alice, snapshot) = stage.events(&bearer("alice"), "").await;
    answered.keep(&snapshot.to_string());
    let invited = stage.invite("alice", "bob").await;
    secrets.add_token("the caller's LiveKit token", &invited["livekit"]["token"]);
    answered.keep(&invited["call"].to_string());
    let call = &invited["call"]["id"];
    let ticket = stage.ring(&iphone, call).await;
    secrets.add_token("a ticket", &json!(ticket));
    let other = stage.push("ring", &pixel.ring_token, call).await;
    secrets.add_token("another ticket", &push_data(&other)["ticket"]);
    let (mut bob, snapshot) = stage.events(&ticket, "").await;
    answered.keep(&snapshot.to_string());
    let answer = stage.http.post(&path(call, "answer"), &ticket, json!({})).await.expect(200);
    secrets.add_token("the callee's LiveKit token", &answer["livekit"]["token"]);
    answered.keep(&answer["call"].to_string());
    let fresh = stage.http.post(&path(call, "token"), &ticket, json!({})).await.expect(200);
    secrets.add_token("a fresh LiveKit token", &fresh["livekit"]["token"]);
    stage.push("cancel", &pixel.notice_token, call).await;
    stage.http.post(&path(call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    for stream in [&mut alice, &mut bob] {
        loop {
            let event = stream.next().await;
            answered.keep(&event.to_string());
            if event["type"] == "call.ended" {
                break;
            }
        }
    }
    for (path, token) in [
        (path(call, ""), service_bearer().to_owned()),
        (path(call, ""), bearer("bob")),
        ("/v1/calls".to_owned(), bearer("bob")),
        ("/v1/devices".to_owned(), bearer("bob")),
    ] {
        answered.keep(&stage.http.get(&path, &token).await.text);
    }
}

/// What logs have no word of though it is no secret: who people are. All that somebody can give of themselves is given, in calls by the backend
/// and by users, by a client that says where it comes from, until it is erased.
async fn a_life(stage: &Stage) -> Secrets {
    const ADDRESS: &str = "203.0.113.177";
    let mut personal = Secrets::default();
    let mut planted = |name: &str, text: &str| {
        personal.add(name, text);
        text.to_owned()
    };
    let caller = json!({
        "id": "olivia",
        "name": planted("a name", "Olivia Plantagenet-Quux"),
        "avatar": planted("an avatar", "https://avatars.example/olivia-7f3a9c.png"),
    });
    let metadata = json!({planted("a key of metadata", "planted-key-7f3a"): planted("metadata", "planted-value-7f3a")});
    let device = json!({
        "platform": "android", "app": APP, "fcm_token": planted("a push token", "planted-fcm-token-7f3a"),
        "name": planted("the name of a device", "Peggy's planted telephone"), "locale": planted("a language", "de-CH-1996-x-planted"),
        "app_version": planted("a version", "3.1.0-planted"),
    });
    planted("an address", ADDRESS);
    let reason = json!({"reason": planted("the reason of a ban", "planted reason 7f3a")});
    let claims = json!({
        "iss": "tests", "aud": "bellwire", "sub": "peggy", "exp": 4_000_000_000_u64,
        "name": planted("a name of a token", "Peggy Planted-Surname"), "email": planted("an email", "peggy.planted@example.com"),
    });
    let peggy = support::user_token(&claims);
    let send = async |method: Method, path: &str, token: &str, body: &Value| {
        let request = stage.http.request(method, path).bearer_auth(token).header("x-forwarded-for", ADDRESS);
        let request = request.header("forwarded", format!("for={ADDRESS}")).header("content-type", "application/json");
        Http::send(request.body(body.to_string())).await
    };
    let nothing = json!({});
    send(Method::PUT, "/v1/devices/phone", &peggy, &device).await.expect(200);
    let invite = json!({"caller": caller, "callee": "peggy", "media": "audio", "metadata": metadata});
    for verb in ["answer", "decline", "wrong"] {
        let call = send(Method::POST, "/v1/calls", service_bearer(), &invite).await.expect(201)["call"]["id"].clone();
        stage.push("ring", "planted-fcm-token-7f3a", &call).await;
        let body = json!({"device_id": "phone"});
        let reply = send(Method::POST, &path(&call, verb), &peggy, &body).await;
        assert_eq!(reply.status, if verb == "wrong" { 404 } else { 200 }, "{}", reply.text);
        send(Method::POST, &path(&call, "hangup"), &peggy, &nothing).await;
        send(Method::GET, &format!("{}/explain", path(&call, "")), service_bearer(), &nothing).await.expect(200);
    }
    let outgoing = json!({"callee": "olivia", "media": "audio", "metadata": metadata});
    send(Method::POST, "/v1/calls", &peggy, &outgoing).await.expect(201);
    let wrong = json!({"callee": "olivia", "media": "audio", "metadata": [metadata], "name": caller["name"]});
    assert!(send(Method::POST, "/v1/calls", &peggy, &wrong).await.status >= 400);
    send(Method::PUT, "/v1/bans/peggy", service_bearer(), &reason).await.expect(200);
    while send(Method::DELETE, "/v1/users/peggy?bans=true", service_bearer(), &nothing).await.json["complete"] != true {
    }
    personal
}

/// A call that is recorded, after a start that LiveKit refuses with the storage's keys in its words; then erased by a storage that
/// refuses too, at first. The answer is the signature of a link to it.
async fn a_recording(stage: &Stage, livekit: &LiveKit, answered: &Seen) -> String {
    let pixel = stage.pixel("dave", "pixel-1").await;
    let invited = stage.invite("alice", "dave").await;
    let call = &invited["call"]["id"];
    stage.answer(&pixel, call).await;
    let room = invited["livekit"]["room"].as_str().expect("a room");
    for party in ["alice", "dave"] {
        livekit.joins(room, party, true).await;
    }
    let words = Box::leak(format!("no upload with {} and {}", s3::ACCESS_KEY, s3::SECRET).into_boxed_str());
    livekit.fault("StartRoomCompositeEgress", livekit::Fault::Answer(400, "invalid_argument", words));
    let token = bearer("alice");
    let until = async |state: &str| loop {
        let seen = stage.http.get(&path(call, "recording"), service_bearer()).await;
        if seen.json["state"] == state {
            return seen.json;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    for (state, verb) in [("failed", "recording"), ("active", "recording"), ("complete", "hangup")] {
        answered.keep(&stage.http.post(&path(call, verb), &token, json!({})).await.text);
        answered.keep(&until(state).await.to_string().replace("X-Amz", ""));
    }
    let seen = stage.http.get(&path(call, "recording"), &token).await.expect(200);
    stage.http.delete(&path(call, "recording"), &token).await.expect(200);
    until("erased").await;
    let link = seen["link"]["url"].as_str().expect("a link");
    link.rsplit('=').next().expect("a signature").to_owned()
}

/// Pushes that fail in the ways that are logged: a dead token, a refused one, a provider that fails, one that hangs up.
async fn refusals_of_providers(stage: &Stage, secrets: &mut Secrets) {
    for (rule, user) in [
        ("apns 410", "erin"),
        ("apns 400", "frank"),
        ("apns 403", "grace"),
        ("apns reset times 1", "ivan"),
        ("fcm 404", "heidi"),
        ("fcm 401", "judy"),
        ("fcm 503 times 1", "niaj"),
    ] {
        stage.simulator.add_rule(rule.parse().expect("a rule"));
        let apns = rule.starts_with("apns");
        let phone = if apns { stage.iphone(user, "phone").await } else { stage.pixel(user, "phone").await };
        secrets.add("a push token", &phone.ring_token);
        let call = stage.invite("carol", user).await["call"]["id"].clone();
        let ticket = stage.ticket(&phone, &call).await;
        secrets.add_token("a ticket", &json!(ticket));
        stage.simulator.clear_rules();
    }
}

/// Requests with a secret where none belongs, whose refusals are kept.
async fn bad_requests(stage: &Stage, secrets: &Secrets, answered: &Seen) {
    let http = &stage.http;
    let token = bearer("bob");
    let json = "application/json";
    for (_, secret) in &secrets.0 {
        let mut replies: Vec<Reply> = vec![
            http.get("/v1/devices", secret).await,
            http.get("/v1/devices", &format!("{secret}x")).await,
            http.get("/v1/devices", &secret[..secret.len() - 1]).await,
            http.put("/v1/devices/x", &token, json!({"platform": secret, "app": APP})).await,
            http.put("/v1/devices/x", &token, json!({"platform": "ios", "app": APP, "environment": secret})).await,
            http.put("/v1/devices/x", &token, json!({"platform": "web", "app": APP, "fcm_token": secret})).await,
            http.put("/v1/devices/x", &token, json!({"platform": "ios", "app": APP, "voip_token": [secret]})).await,
            http.put(
                "/v1/devices/x",
                &token,
                json!({"platform": "ios", "app": APP, "voip_token": format!("/{secret}")}),
            )
            .await,
            http.post("/v1/calls", &token, json!({"callee": format!("{secret} "), "media": "audio"})).await,
            http.post("/v1/calls", &token, json!({"callee": "erin", "media": secret})).await,
            http.post("/v1/calls", &token, json!({"callee": "erin", "media": "audio", "ring_seconds": secret})).await,
            http.post("/v1/calls", &token, json!(secret)).await,
            http.get(&format!("/v1/calls?cursor={secret}"), &token).await,
            http.get(&format!("/v1/events?since={secret}"), &token).await,
            http.get(&format!("/v1/calls/{secret}"), &token).await,
        ];
        let post = || http.request(Method::POST, "/v1/calls").bearer_auth(&token);
        let half = format!("{{\"callee\": \"{secret}");
        replies.push(Http::send(post().header("content-type", json).body(half)).await);
        replies.push(Http::send(post().header("content-type", secret.as_str()).body("{}")).await);
        replies.push(Http::send(post().header("authorization", format!("Basic {secret}"))).await);
        let events = || http.request(Method::GET, "/v1/events").header("accept", "text/event-stream");
        replies.push(Http::send(events().bearer_auth(&token).header("last-event-id", secret.as_str())).await);
        for reply in replies {
            assert!(reply.status < 500, "{}", reply.text);
            if reply.status >= 400 {
                answered.keep(&format!("{:?} {}", reply.headers, reply.text));
            }
        }
    }
}
