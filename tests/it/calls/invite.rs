//! The invite: what it takes, what it answers, and what the phones are told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::people::{path, push_data};
use crate::support::{APP, Http, Stage, bearer, expect_ended, rfc3339, service_bearer};

#[tokio::test]
async fn the_answer_has_the_call_and_the_way_into_its_room() {
    let stage = Stage::with("[livekit]\nurl = \"wss://lk.example.com\"\nrooms = false").await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let body = json!({"callee": "bob", "media": "video", "ring_seconds": 45, "device_id": "alice-phone",
        "metadata": {"thread": "42"}});
    let before = stage.clock.now();
    let reply = stage.http.post("/v1/calls", &bearer("alice"), body).await;
    let location = reply.headers["location"].to_str().expect("text").to_owned();
    let answer = reply.expect(201);
    let call = answer["call"].clone();
    assert_eq!(location, path(&call["id"], ""));
    assert_eq!(call["state"], "calling");
    assert_eq!(call["media"], "video");
    assert_eq!(call["caller"], json!({"id": "alice", "name": "Alice"}));
    assert_eq!(call["callee"], json!({"id": "bob"}));
    assert_eq!(call["metadata"], json!({"thread": "42"}));
    let (created, until) = (rfc3339(&call["created_at"]), rfc3339(&call["ring_until"]));
    assert!(before <= created && created <= stage.clock.now());
    assert_eq!(until.since(created), Duration::from_secs(45));
    for absent in ["end_reason", "ringing_at", "answered_at", "answered_by", "connected_at", "ended_at", "legs"] {
        assert_eq!(call.get(absent), None, "{absent}");
    }
    let livekit = answer["livekit"].as_object().expect("livekit");
    assert_eq!(livekit.keys().collect::<Vec<_>>(), ["expires_at", "room", "token", "url"]);
    assert_eq!(livekit["url"], "wss://lk.example.com");
    assert_eq!(stage.seen_by("alice", &call["id"]).await["metadata"], json!({"thread": "42"}));

    let ring = stage.push("ring", &iphone.ring_token, &call["id"]).await;
    assert_eq!(push_data(&ring)["metadata"], json!({"thread": "42"}));
    assert_eq!(push_data(&ring)["video"], true);
}

#[tokio::test]
async fn a_push_says_all_that_a_killed_app_needs() {
    let stage = Stage::configured("", |config| config.http.public_url = Some("https://calls.example.com".into())).await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let body = json!({"callee": "bob", "media": "audio", "metadata": {"thread": "42"}, "ring_seconds": 30});
    let answer = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect(201);
    let call = &answer["call"];
    let (created, until) = (rfc3339(&call["created_at"]).as_millis(), rfc3339(&call["ring_until"]).as_millis());

    let apns = stage.push("ring", &iphone.ring_token, &call["id"]).await;
    let data = push_data(&apns);
    assert_eq!((&data["caller_id"], &data["caller_name"]), (&json!("alice"), &json!("Alice")));
    assert_eq!((&data["video"], &data["url"]), (&json!(false), &json!("https://calls.example.com")));
    assert_eq!((&data["created_at"], &data["expires_at"]), (&json!(created), &json!(until)));
    assert!(data["server_time"].as_u64().expect("a time") >= created);
    assert!(data["ticket"].is_string());
    assert_eq!(apns.header("apns-topic"), Some(format!("{APP}.voip").as_str()));
    assert_eq!(apns.header("apns-priority"), Some("10"));

    let fcm = stage.push("ring", &pixel.ring_token, &call["id"]).await;
    let data = push_data(&fcm).as_object().expect("data");
    assert!(data.values().all(Value::is_string), "{data:?}");
    assert_eq!((&data["video"], &data["expires_at"]), (&json!("false"), &json!(until.to_string())));
    assert_eq!(data["metadata"], json!({"thread": "42"}).to_string());
    let android = &fcm.body["message"]["android"];
    assert_eq!((&android["priority"], &android["collapse_key"]), (&json!("HIGH"), &call["id"]));
    assert_eq!(android["direct_boot_ok"], true);
    let ttl: u64 = android["ttl"].as_str().and_then(|ttl| ttl.strip_suffix('s')).expect("s").parse().expect("seconds");
    assert!((25..=30).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn ring_seconds_are_from_5_to_120_and_45_by_default() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    let invite = async |seconds: Value| {
        let mut body = json!({"callee": "bob", "media": "audio"});
        if !seconds.is_null() {
            body["ring_seconds"] = seconds;
        }
        stage.http.post("/v1/calls", &bearer("alice"), body).await
    };
    for (asked, given) in [(json!(null), 45), (json!(5), 5), (json!(120), 120)] {
        let call = invite(asked).await.expect(201)["call"].clone();
        assert_eq!(rfc3339(&call["ring_until"]).since(rfc3339(&call["created_at"])), Duration::from_secs(given));
    }
    for bad in [json!(4), json!(121), json!(0), json!(-1), json!(4.5), json!("45")] {
        let problem = invite(bad.clone()).await.expect_problem(400, "invalid-field");
        assert_eq!(problem["errors"][0]["pointer"], "/ring_seconds", "{bad}");
    }
}

#[tokio::test]
async fn a_bad_invite_is_refused_with_a_pointer_to_the_field() {
    let stage = Stage::new().await;
    for (field, value) in [
        ("callee", json!("")),
        ("callee", json!("a b")),
        ("callee", json!(null)),
        ("callee", json!("alice")),
        ("media", json!("hologram")),
        ("media", json!(null)),
        ("device_id", json!("a/b")),
        ("metadata", json!("x".repeat(2047))),
        ("caller", json!({"id": "carol"})),
        ("calee", json!("bob")),
    ] {
        let mut body = json!({"callee": "bob", "media": "audio"});
        body[field] = value.clone();
        let problem = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect_problem(400, "invalid-field");
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{value}");
    }
    let answer = stage.http.post("/v1/calls", &bearer("alice"), json!({})).await.expect_problem(400, "invalid-field");
    assert_eq!(answer["errors"][0]["pointer"], "/callee");
    let just_fits = json!({"callee": "bob", "media": "audio", "metadata": "x".repeat(2046)});
    stage.http.post("/v1/calls", &bearer("alice"), just_fits).await.expect(201);
}

#[tokio::test]
async fn the_backend_invites_for_a_user_under_a_name_of_its_choice() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let caller = json!({"id": "alice", "name": "Dr Alice", "avatar": "https://cdn.example.com/a.png"});
    let body = json!({"callee": "bob", "media": "audio", "caller": caller});
    let answer = stage.http.post("/v1/calls", service_bearer(), body).await.expect(201);
    assert_eq!(answer["call"]["caller"], caller);
    assert!(answer["livekit"]["token"].is_string(), "the caller's, for the backend to hand on");
    let ring = stage.push("ring", &iphone.ring_token, &answer["call"]["id"]).await;
    assert_eq!(push_data(&ring)["caller_name"], "Dr Alice");
    assert_eq!(push_data(&ring)["caller_avatar"], "https://cdn.example.com/a.png");
    let seen = stage.seen_by("alice", &answer["call"]["id"]).await;
    assert_eq!((&seen["caller"], seen.get("legs")), (&caller, None));
}

#[tokio::test]
async fn the_backend_must_name_a_caller_who_is_not_the_callee() {
    let stage = Stage::new().await;
    for (caller, pointer) in [
        (json!(null), "/caller"),
        (json!({"name": "Alice"}), "/caller/id"),
        (json!({"id": "bob"}), "/callee"),
        (json!({"id": "alice", "name": ""}), "/caller/name"),
        (json!({"id": "alice", "avatar": "http://cdn.example.com/a.png"}), "/caller/avatar"),
        (json!({"id": "alice", "mail": "a@example.com"}), "/caller/mail"),
    ] {
        let body = json!({"callee": "bob", "media": "audio", "caller": caller});
        let problem = stage.http.post("/v1/calls", service_bearer(), body).await.expect_problem(400, "invalid-field");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn a_callee_without_devices_is_unreachable_at_once() {
    let stage = Stage::new().await;
    let answer = stage.invite("alice", "bob").await;
    let call = expect_ended(&answer, "unreachable");
    rfc3339(&answer["call"]["ended_at"]);
    assert_eq!(stage.ended("alice", &call).await, "unreachable");
    let history = stage.http.get("/v1/calls", &bearer("bob")).await.expect(200);
    assert_eq!(history["calls"][0]["id"], call, "the callee sees whom they missed");
}

#[tokio::test]
async fn a_call_is_unreachable_as_soon_as_the_last_push_has_failed_for_good() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    stage.simulator.unregister(&iphone.ring_token, stage.clock.now() + Duration::from_secs(1));
    stage.simulator.unregister(&pixel.ring_token, stage.clock.now());
    stage.clock.advance(Duration::from_secs(2));
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    assert_eq!(stage.ended("alice", &call).await, "unreachable");
    stage.push("missed", &iphone.notice_token, &call).await;
    assert!(stage.clock.now() < rfc3339(&stage.seen_by("alice", &call).await["ring_until"]));
}

#[tokio::test]
async fn a_callers_own_devices_do_not_ring() {
    let stage = Stage::new().await;
    let (own, bobs) = (stage.pixel("alice", "tablet").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.push("ring", &bobs.ring_token, &call).await;
    assert!(stage.pushes().all().iter().all(|push| push.target.as_deref() != Some(&own.ring_token)));
}

#[tokio::test]
async fn a_web_device_rings_while_it_listens() {
    let stage = Stage::new().await;
    let body = json!({"platform": "web", "app": APP});
    stage.http.put("/v1/devices/browser", &bearer("bob"), body).await.expect(200);
    expect_ended(&stage.invite("alice", "bob").await, "unreachable");

    let (mut bob, _) = stage.events(&bearer("bob"), "?device_id=browser").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let invited = bob.until("call.invited", &call).await;
    assert_eq!(invited["data"]["call"]["caller"]["name"], "Alice");
    let body = json!({"device_id": "browser"});
    let answer = stage.http.post(&path(&call, "answer"), &bearer("bob"), body).await.expect(200);
    assert_eq!(answer["call"]["answered_by"], "browser");
}

#[tokio::test]
async fn a_bad_idempotency_key_is_refused() {
    let stage = Stage::new().await;
    for key in [String::new(), "k".repeat(256)] {
        let request = stage.http.request(reqwest::Method::POST, "/v1/calls").bearer_auth(bearer("alice"));
        let request = request.header("idempotency-key", key).header("content-type", "application/json");
        let reply = Http::send(request.body(json!({"callee": "bob", "media": "audio"}).to_string())).await;
        reply.expect_problem(400, "invalid-header");
    }
}
