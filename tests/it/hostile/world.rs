//! A small world that hostile requests must not change: people, phones, calls, blocks and bans, all at rest.

use bellwire::config::Config;
use serde_json::{Value, json};

use crate::support::panics;
use crate::support::people::path;
use crate::support::{Http, Reply, SERVICE_KEY, SOON, Stage, USER_SECRET, bearer, service_bearer};

/// Bob's two phones ring with Alice's call; Carol's call to Dave was declined.
pub struct World {
    pub stage: Stage,
    /// Alice's call to Bob, which rings.
    pub call: Value,
    /// Of Bob's iPhone, in that call.
    pub ticket: String,
    /// Of Bob's other phone, in that call.
    pub other_ticket: String,
    /// Carol's call to Dave, which has ended.
    pub ended: Value,
    /// Of Dave's phone, in that call.
    pub ended_ticket: String,
    secrets: Vec<String>,
}

/// Parties may ask for recordings, and nobody gets one: no call of this world was answered.
const RECORDING: &str = r#"
    [recording]
    policy = "party"
    [recording.s3]
    bucket = "calls"
    region = "us-east-1"
    access_key = "nobody-has-this-key"
    secret = "nobody-has-this-secret"
"#;

impl World {
    pub async fn new() -> Self {
        Self::with("").await
    }

    pub async fn with(extra: &str) -> Self {
        Self::configured(extra, |_| {}).await
    }

    /// As [`with`](Self::with), asked by a proxy that is trusted: one that is refused all the time does not have to wait.
    pub async fn behind_a_proxy(extra: &str) -> Self {
        let trust = |config: &mut Config| config.http.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        Self::configured(extra, trust).await
    }

    /// As [`with`](Self::with), changed like this.
    pub async fn configured(extra: &str, change: impl FnOnce(&mut Config)) -> Self {
        panics::watch();
        let stage = Stage::configured(&format!("{RECORDING}{extra}"), change).await;
        let iphone = stage.iphone("bob", "iphone-1").await;
        let pixel = stage.pixel("bob", "pixel-1").await;
        let phone = stage.pixel("dave", "pixel-2").await;
        stage.http.put("/v1/blocks/mallory", &bearer("bob"), json!({})).await.expect(204);
        stage.http.put("/v1/bans/mallory", service_bearer(), json!({"reason": "spam"})).await.expect(200);
        let contact = stage.http.put("/v1/users/dave/contacts/mallory", service_bearer(), json!({})).await;
        assert_eq!(contact.status, 204);

        let ended = stage.invite("carol", "dave").await["call"]["id"].clone();
        let ended_ticket = stage.ring(&phone, &ended).await;
        stage.http.post(&path(&ended, "decline"), &ended_ticket, json!({})).await.expect(200);

        let body = json!({"callee": "bob", "media": "audio", "ring_seconds": 120});
        let invited = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect(201);
        let call = invited["call"]["id"].clone();
        let ticket = stage.ring(&iphone, &call).await;
        let other_ticket = stage.ring(&pixel, &call).await;
        let mut secrets = vec![USER_SECRET.to_owned(), SERVICE_KEY.to_owned(), ticket.clone(), other_ticket.clone()];
        secrets.extend([iphone.ring_token, iphone.notice_token, pixel.ring_token, phone.ring_token]);
        secrets.push(invited["livekit"]["token"].as_str().expect("a token").to_owned());
        Self { stage, call, ticket, other_ticket, ended, ended_ticket, secrets }
    }

    /// Two people who have nothing to do with it call each other: the phone rings and is answered.
    pub async fn expect_honest_call(&self) {
        let phone = self.stage.pixel("frank", "pixel-3").await;
        let call = self.stage.invite("erin", "frank").await["call"]["id"].take();
        let ticket = self.stage.ring(&phone, &call).await;
        let answer = self.stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
        assert_eq!(answer["call"]["state"], "active");
        self.stage.http.post(&path(&call, "hangup"), &bearer("erin"), json!({})).await.expect(200);
    }

    /// The operators' listener answers, and a series of `/metrics` there comes to this value.
    pub async fn expect_metric(&self, series: &str, is: impl Fn(i64) -> bool) {
        let wait = async {
            loop {
                let text = self.metrics().await;
                let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
                if value.is_some_and(&is) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("{series} does not come to it"));
    }

    /// What the operators' listener tells.
    pub async fn metrics(&self) -> String {
        let ops = Http::new(format!("http://{}", self.stage.gateway.ops));
        Http::send(ops.request(reqwest::Method::GET, "/metrics")).await.text
    }

    /// Everything that a request could change, as the API shows it, and how many pushes and panics there were.
    pub async fn state(&self) -> Value {
        let http = &self.stage.http;
        let mut state = json!({"pushes": self.stage.pushes().count(), "panics": panics::count()});
        for user in ["alice", "bob", "carol", "dave", "mallory"] {
            let bearer = bearer(user);
            for of in ["calls", "devices", "blocks"] {
                state[user][of] = http.get(&format!("/v1/{of}"), &bearer).await.expect(200);
            }
        }
        state["bans"] = http.get("/v1/bans", service_bearer()).await.expect(200);
        for user in ["dave", "frank"] {
            let path = format!("/v1/users/{user}/contacts");
            state["contacts"][user] = http.get(&path, service_bearer()).await.expect(200);
        }
        for call in [&self.call, &self.ended] {
            state["calls"][call.as_str().expect("an id")] = self.stage.call(call).await;
        }
        state
    }

    /// Checks that a reply is a refusal as it must be: a problem of the status that its code has, and nothing secret in it.
    pub fn expect_refused(&self, reply: &Reply, what: &str) -> String {
        let code = expect_problem(reply, what);
        assert!((400..500).contains(&reply.status), "{what}: {} {}", reply.status, reply.text);
        for secret in &self.secrets {
            assert!(!reply.text.contains(secret.as_str()), "{what}: a secret in {}", reply.text);
        }
        code
    }

    /// As [`expect_refused`](Self::expect_refused), with one of these codes.
    pub fn expect_code(&self, reply: &Reply, what: &str, codes: &[&str]) {
        let code = self.expect_refused(reply, what);
        assert!(codes.contains(&code.as_str()), "{what}: {code} is none of {codes:?}: {}", reply.text);
    }
}

/// Checks that a reply is a problem in every respect, and gives its code.
pub fn expect_problem(reply: &Reply, what: &str) -> String {
    let code = reply.json["code"].as_str().unwrap_or_else(|| panic!("{what}: {} {}", reply.status, reply.text));
    let content_type = reply.headers.get("content-type").map(|value| value.to_str().expect("text"));
    assert_eq!(content_type, Some("application/problem+json"), "{what}");
    assert_eq!(reply.json["status"], reply.status, "{what}: {}", reply.text);
    let known = bellwire::http::code::Code::ALL.iter().find(|known| known.as_str() == code);
    assert_eq!(known.map(|code| code.status().as_u16()), Some(reply.status), "{what}: {}", reply.text);
    assert_eq!(reply.json["type"], format!("https://bellwire.invalid/errors/{code}"), "{what}");
    assert_eq!(reply.headers.contains_key("www-authenticate"), reply.status == 401, "{what}");
    assert!(reply.json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}");
    code.to_owned()
}
