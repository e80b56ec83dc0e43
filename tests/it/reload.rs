//! The configuration read again while a gateway runs: what changes takes effect at once, and what is under way goes on.
//!
//! That SIGHUP does it is tested with the binary, in `smoke`; which keys can change, in `config`.

use std::fs;

use bellwire::config::Config;
use bellwire::crypto::Es256Key;
use bellwire::simulator::Received;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::limits::expect_limited;
use crate::support::livekit_fake::webhook_token;
use crate::support::people::{path, push_data};
use crate::support::receiver::{Answer, Receiver, Told};
use crate::support::{APP, Http, SERVICE_KEY, SOON, Stage, USER_SECRET, bearer, claims, service_bearer};

const TICKETS: &str = "\"a-secret-for-the-tickets-of-the-tests\"";
const SECRET: &str = "whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM=";
const OTHER_SECRET: &str = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3RzISE=";

/// Puts another text in place of one in the configuration file, and has the gateway read it.
async fn replace(stage: &Stage, from: &str, to: &str) {
    let text = fs::read_to_string(&stage.config_file).expect("the configuration");
    assert!(text.contains(from), "{from} in {text}");
    fs::write(&stage.config_file, text.replace(from, to)).expect("written");
    stage.gateway.reload(Config::load(Some(&stage.config_file), [])).await;
}

/// What `/readyz` says of the configuration: whether it is as it is in the file, and in words.
async fn told(stage: &Stage) -> (bool, String) {
    let ready = stage.http.get("/readyz", "").await.expect(200);
    let parts = ready["parts"].as_array().expect("parts");
    let part = parts.iter().find(|part| part["name"] == "configuration").expect("the configuration");
    (part["ok"] == true, part["detail"].as_str().expect("words").to_owned())
}

#[tokio::test]
async fn ticket_secrets_rotate_without_a_gap() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let rung = async || {
        let call = stage.invite("alice", "bob").await["call"]["id"].take();
        let ticket = stage.ticket(&phone, &call).await;
        (call, ticket)
    };
    let alerting = async |(call, ticket): &(Value, String)| {
        stage.http.post(&path(call, "alerting"), ticket, json!({})).await.status
    };
    let cancel = async |(call, _): &(Value, String)| {
        stage.http.post(&path(call, "cancel"), &bearer("alice"), json!({})).await.expect(200)
    };
    let new = "\"the-ticket-secret-that-takes-its-place-00\"";
    let old = rung().await;
    replace(&stage, TICKETS, &format!("[{new}, {TICKETS}]")).await;
    assert_eq!(alerting(&old).await, 200, "the old secret is good for what it signed");
    cancel(&old).await;
    let newer = rung().await;
    replace(&stage, &format!("[{new}, {TICKETS}]"), new).await;
    assert_eq!((alerting(&newer).await, alerting(&old).await), (200, 401), "the new one signs from the first step on");
    cancel(&newer).await;
    assert_eq!(alerting(&rung().await).await, 200);
}

#[tokio::test]
async fn a_proof_that_was_pushed_is_good_under_the_next_secrets() {
    let stage = Stage::with("[devices]\ntakeover = \"newest\"").await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    replace(&stage, "takeover = \"newest\"", "takeover = \"proof\"").await;
    let mut body = json!({"platform": "android", "app": APP, "fcm_token": pixel.ring_token});
    let register = async |body: &Value| stage.http.put("/v1/devices/mine", &bearer("eve"), body.clone()).await.status;
    assert_eq!(register(&body).await, 202);
    let is_it = |received: &Received| push_data(received)["type"] == "device_proof";
    let pushed = stage.pushes().wait_for(SOON, is_it).await.expect("a proof");
    body["proof"] = push_data(&pushed)["proof"].clone();
    replace(&stage, TICKETS, &format!("[\"the-ticket-secret-that-takes-its-place-00\", {TICKETS}]")).await;
    assert_eq!(register(&body).await, 200);
}

#[tokio::test]
async fn a_key_file_that_was_written_over_is_read_again() {
    let stage = Stage::new().await;
    let file = stage.config_file.with_file_name("jwt.pem");
    let [old, new] = [(); 2].map(|()| KeyPair::generate().expect("a key"));
    let asks = async |key: &KeyPair| {
        let claims = json!({"iss": "tests", "aud": "bellwire", "sub": "alice", "exp": 4_000_000_000_u64});
        let token = Es256Key::from_pem(&key.serialize_pem()).expect("a key").sign_jwt(&json!({}), &claims);
        stage.http.get("/v1/calls", &token.expect("signed")).await.status
    };
    fs::write(&file, old.public_key_pem()).expect("written");
    let secret = format!("algorithm = \"HS256\"\n        secret = \"{USER_SECRET}\"");
    replace(&stage, &secret, "algorithm = \"ES256\"\n        public_key_file = \"jwt.pem\"").await;
    assert_eq!((asks(&old).await, asks(&new).await), (200, 401));
    fs::write(&file, new.public_key_pem()).expect("written");
    stage.gateway.reload(Config::load(Some(&stage.config_file), [])).await;
    assert_eq!((asks(&old).await, asks(&new).await), (401, 200));
    fs::write(&file, "no key").expect("written");
    stage.gateway.reload(Config::load(Some(&stage.config_file), [])).await;
    assert_eq!((asks(&new).await, told(&stage).await.0), (200, false));
}

#[tokio::test]
async fn a_key_of_livekit_takes_the_place_of_another() {
    let stage = Stage::with("[livekit]\nrooms = false\napi_key = \"older\"\napi_secret = \"older-secret\"\n").await;
    stage.iphone("bob", "iphone-1").await;
    let webhook = async |key: &str| {
        let body = json!({"event": "nothing"}).to_string().into_bytes();
        let token = webhook_token(&stage.clock, key, &format!("{key}-secret"), &body, |_| ());
        stage.webhook(&token, &body).await.status
    };
    let signs = async || {
        let answer = stage.invite("alice", "bob").await;
        let call = &answer["call"]["id"];
        stage.http.post(&path(call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
        claims(&answer["livekit"]["token"])["iss"].take()
    };
    assert_eq!((signs().await, webhook("older").await, webhook("newer").await), (json!("older"), 200, 401));
    replace(&stage, "older", "newer").await;
    assert_eq!((signs().await, webhook("older").await, webhook("newer").await), (json!("newer"), 401, 200));
}

#[tokio::test]
async fn endpoints_and_their_secrets_change() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let section = |receiver: &Receiver, secret: &str| {
        format!("[[webhooks]]\nurl = \"{}\"\nsecrets = [\"{secret}\"]\nevents = [\"call.ended\"]\n", receiver.url)
    };
    let stage = Stage::with(&section(&first, SECRET)).await;
    let call = async || stage.invite("alice", "bob").await["call"]["id"].take();
    let of = |call: Value| move |told: &Told| is_of(told, &call);

    let before = call().await;
    assert!(first.wait_for(1, of(before)).await[0].is_signed_by(SECRET));
    replace(
        &stage,
        &section(&first, SECRET),
        &format!("{}{}", section(&first, OTHER_SECRET), section(&second, SECRET)),
    )
    .await;
    let after = call().await;
    let told = first.wait_for(1, of(after.clone())).await;
    assert!(told[0].is_signed_by(OTHER_SECRET) && !told[0].is_signed_by(SECRET));
    assert!(second.wait_for(1, of(after)).await[0].is_signed_by(SECRET));

    replace(&stage, &section(&first, OTHER_SECRET), "").await;
    let last = call().await;
    second.wait_for(1, of(last.clone())).await;
    assert!(!first.all().iter().any(|told| is_of(told, &last)));
}

fn is_of(told: &Told, call: &Value) -> bool {
    told.json["data"]["id"] == *call
}

#[tokio::test]
async fn whoever_is_asked_about_calls_changes() {
    let backend = Receiver::answering(|_, _| Answer::Text(200, json!({"allow": false}).to_string())).await;
    let stage = Stage::with("[policy]\nallow = \"all\"\n").await;
    let invite = async || {
        stage.http.post("/v1/calls", &bearer("alice"), json!({"callee": "bob", "media": "audio"})).await.status
    };
    assert_eq!(invite().await, 201);
    let hook = format!("allow = \"all\"\nurl = \"{}\"\nsecrets = [\"{SECRET}\"]\n", backend.url);
    replace(&stage, "allow = \"all\"\n", &hook).await;
    assert_eq!(invite().await, 403);
    let parts = stage.http.get("/readyz", "").await.expect(200)["parts"].to_string();
    assert!(parts.contains("no question went without an answer"), "{parts}");
    replace(&stage, &hook, "allow = \"contacts\"\n").await;
    stage
        .http
        .post("/v1/calls", service_bearer(), json!({"caller": {"id": "alice"}, "callee": "bob", "media": "audio"}))
        .await
        .expect(201);
    assert_eq!((invite().await, backend.all().len()), (403, 1));
}

#[tokio::test]
async fn limits_change() {
    let stage = Stage::with("[limits]\ninvites_per_user = \"1000/h\"\nip = \"\"\n").await;
    let invite =
        async || stage.http.post("/v1/calls", &bearer("alice"), json!({"callee": "bob", "media": "audio"})).await;
    for _ in 0..3 {
        invite().await.expect(201);
    }
    replace(&stage, "invites_per_user = \"1000/h\"", "invites_per_user = \"1/h\"").await;
    // What was taken of the old rate is taken of the new one.
    expect_limited(invite().await, "invites_per_user", "q=1;w=3600");
    replace(&stage, "ip = \"\"", "ip = \"1/h\"").await;
    let nobody = async || stage.http.get("/v1/calls", "").await;
    nobody().await.expect(401);
    expect_limited(nobody().await, "ip", "q=1;w=3600");
    replace(&stage, "ip = \"1/h\"", "ip = \"\"").await;
    nobody().await.expect(401);
}

#[tokio::test]
async fn how_much_there_may_be_changes() {
    let stage = Stage::new().await;
    let (_alices, _) = stage.events(&bearer("alice"), "").await;
    let bobs = async || {
        stage
            .http
            .request(reqwest::Method::GET, "/v1/events")
            .bearer_auth(bearer("bob"))
            .header("accept", "text/event-stream")
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    replace(&stage, "[limits]\n", "[limits]\nevent_streams = 1\n").await;
    assert_eq!(bobs().await, 503);
    replace(&stage, "event_streams = 1\n", "event_streams = 2\n").await;
    assert_eq!(bobs().await, 200);
}

#[tokio::test]
async fn what_is_wrong_in_any_part_changes_nothing() {
    let stage = Stage::new().await;
    assert_eq!(told(&stage).await, (true, "as at the start".to_owned()));
    let new_key = "bw_sk_new-new-new-new-new-new-new-new";
    let hash = |key: &str| {
        data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref())
    };
    let (old_hash, new_hash) = (hash(SERVICE_KEY), hash(new_key));
    let bans = async |key: &str| stage.http.get("/v1/bans", key).await.status;
    // A section that is good beside one whose key is none.
    fs::write(stage.config_file.with_file_name("broken.p8"), "no key").expect("written");
    let text = fs::read_to_string(&stage.config_file).expect("the configuration");
    let key_file = text.lines().find(|line| line.trim().starts_with("key_file")).expect("a key").trim();
    replace(&stage, key_file, "key_file = \"broken.p8\"").await;
    replace(&stage, &old_hash, &new_hash).await;
    assert_eq!((bans(SERVICE_KEY).await, bans(new_key).await), (200, 401));
    let (ok, detail) = told(&stage).await;
    assert!(!ok && detail.contains("what was in force before still is"), "{detail}");
    replace(&stage, "[limits]", "[limits]\nip_rate = \"1/s\"").await;
    let (ok, detail) = told(&stage).await;
    assert!(!ok && detail.contains("limits.ip_rate"), "{detail}");
    let metrics = Http::new(format!("http://{}", stage.gateway.ops)).get("/metrics", "").await.text;
    assert!(metrics.contains("bellwire_config_reloads_total{outcome=\"refused\"} 3"), "{metrics}");
    assert!(metrics.contains("bellwire_part_up{part=\"configuration\"} 0"), "{metrics}");

    replace(&stage, "ip_rate = \"1/s\"", "").await;
    replace(&stage, "key_file = \"broken.p8\"", key_file).await;
    assert_eq!((bans(SERVICE_KEY).await, bans(new_key).await), (401, 200));
    let (ok, detail) = told(&stage).await;
    assert!(ok && detail.starts_with("read again at "), "{detail}");
}

#[tokio::test]
async fn what_needs_a_restart_is_named_until_there_is_one() {
    let stage = Stage::new().await;
    replace(&stage, "timeout = \"20s\"", "timeout = \"2s\"").await;
    let (ok, detail) = told(&stage).await;
    assert!(ok && detail.ends_with("for a restart waits: store.timeout"), "{detail}");
    replace(&stage, "[limits]\n", "[limits]\nrequests_per_user = 5\n").await;
    assert!(told(&stage).await.1.ends_with(": store.timeout"));
    replace(&stage, "timeout = \"2s\"", "timeout = \"20s\"").await;
    assert!(!told(&stage).await.1.contains("restart"));
}

/// The stream is of a token whose key is good no longer; it goes on until that would have expired.
#[tokio::test]
async fn streams_and_calls_go_on() {
    let stage = Stage::with("[call]\ndecline = \"call\"\nconnect_timeout = \"20s\"\n").await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let (mut stream, _) = stage.events(&bearer("alice"), "").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ring(&phone, &call).await;
    replace(&stage, USER_SECRET, "another-secret-of-the-provider-000000").await;
    stage.http.get("/v1/calls", &bearer("alice")).await.expect(401);
    replace(&stage, "connect_timeout = \"20s\"", "connect_timeout = \"10s\"").await;
    stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    stream.until("call.answered", &call).await;
}
