//! Promise 9: secrets and tokens never appear in events, records, problems or what operators see. Logs have a test of their own.

use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{SERVICE_KEY, Stage, USER_SECRET, bearer, service_bearer};

/// Texts that were answered, by what was asked.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    fn note(&mut self, what: &str, text: impl Into<String>) {
        self.0.push((what.to_owned(), text.into()));
    }
}

#[tokio::test]
async fn promise_9_no_secret_and_no_token_in_events_records_problems_or_readiness() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let mut seen = Seen::default();
    // Refused for good, so that a provider's word on the tokens is in the record too.
    stage.simulator.add_rule(format!("fcm INVALID_ARGUMENT for {}", pixel.ring_token).parse().unwrap());
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ring(&iphone, &call).await;
    stage.push("ring", &pixel.ring_token, &call).await;
    look(&stage, &mut seen, &call, &ticket).await;
    let answered = stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    let livekit_token = answered["livekit"]["token"].as_str().expect("a token").to_owned();
    look(&stage, &mut seen, &call, &ticket).await;
    stage.http.post(&path(&call, "hangup"), &ticket, json!({})).await.expect(200);
    look(&stage, &mut seen, &call, &ticket).await;
    problems(&stage, &mut seen, &call, &ticket).await;
    for (user, token) in [("alice", bearer("alice")), ("bob", bearer("bob")), ("ticket", ticket.clone())] {
        let since = format!("?since={}:0", call.as_str().unwrap());
        let (mut stream, snapshot) = stage.events(&token, &since).await;
        seen.note(user, snapshot.to_string());
        loop {
            let event = stream.next().await;
            seen.note(user, event.to_string());
            if event["type"] == "call.ended" {
                break;
            }
        }
    }
    let credentials = stage.simulator.credentials();
    let secrets = [
        ("VoIP token", iphone.ring_token.as_str()),
        ("alert token", &iphone.notice_token),
        ("FCM token", &pixel.ring_token),
        ("ticket", &ticket),
        ("LiveKit token", &livekit_token),
        ("LiveKit secret", "\"secret\""),
        ("service key", SERVICE_KEY),
        ("secret of users", USER_SECRET),
        ("ticket secret", "a-secret-for-the-tickets-of-the-tests"),
        ("key id of APNs", &credentials.apns_key_id),
        ("any JWT", "eyJ"),
    ];
    assert!(seen.0.len() > 40, "{} texts were looked at", seen.0.len());
    for (what, text) in &seen.0 {
        for (name, secret) in &secrets {
            assert!(!text.contains(secret), "the {name} is in {what}: {text}");
        }
    }
}

/// Reads everything that can be read about a call and the gateway.
async fn look(stage: &Stage, seen: &mut Seen, call: &Value, ticket: &str) {
    let (alice, bob) = (bearer("alice"), bearer("bob"));
    for token in [alice.as_str(), &bob, ticket, service_bearer()] {
        for what in [path(call, ""), "/v1/calls".to_owned(), "/v1/devices".to_owned(), "/v1/bans".to_owned()] {
            seen.note(&what, stage.http.get(&what, token).await.text);
        }
    }
    for what in ["/readyz", "/livez"] {
        seen.note(what, stage.http.get(what, "").await.text);
    }
}

/// Provokes every kind of problem with secrets in the request.
async fn problems(stage: &Stage, seen: &mut Seen, call: &Value, ticket: &str) {
    let token = "fcm-a-token-that-must-not-come-back";
    let bodies = [
        (
            "/v1/devices/x",
            json!({"platform": "android", "app": "com.example.phone", "fcm_token": 7, "voip_token": token}),
        ),
        ("/v1/devices/x", json!({"platform": "ios", "app": "com.example.phone", "voip_token": token})),
        ("/v1/devices/x", json!({"platform": "android", "app": "com.example.phone", "fcm_token": format!("{token} ")})),
        ("/v1/devices/x", json!({"platform": "android", "app": "com.example.phone", "fcm_token": "x".repeat(9000)})),
    ];
    for (at, body) in bodies {
        let reply = stage.http.put(at, &bearer("bob"), body).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert!(!reply.text.contains(token), "{}", reply.text);
        seen.note("a bad registration", reply.text);
    }
    let spoiled = format!("{ticket}x");
    for bearer in [&spoiled, "bw_sk_wrong-wrong-wrong", "eyJhbGciOiJub25lIn0.e30.", &bearer("alice")] {
        for verb in ["answer", "alerting", "decline", "token"] {
            let reply = stage.http.post(&path(call, verb), bearer, json!({"device_id": "iphone-1"})).await;
            assert!(reply.status >= 400 || verb == "decline", "{}", reply.text);
            seen.note("a refused request", reply.text);
        }
    }
}
