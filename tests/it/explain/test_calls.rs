//! A call of the backend that is a test: to one device or all, and nobody has missed a call after it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Http, Reply, Stage, bearer, service_bearer};

fn body(more: &Value) -> Value {
    let mut body = json!({"callee": "bob", "media": "audio", "caller": {"id": "tester"}});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

async fn call(stage: &Stage, more: &Value) -> Value {
    stage.http.post("/v1/calls", service_bearer(), body(more)).await.expect(201)["call"]["id"].take()
}

/// Rings one device of bob's, with an idempotency key.
async fn call_with_key(stage: &Stage) -> Reply {
    let request = stage.http.request(Method::POST, "/v1/calls").bearer_auth(service_bearer());
    let request = request.header("idempotency-key", "k").header("content-type", "application/json");
    Http::send(request.body(body(&json!({"callee_device": "pixel-1"})).to_string())).await
}

async fn cancel(stage: &Stage, call: &Value) {
    stage.http.post(&path(call, "cancel"), service_bearer(), json!({})).await.expect(200);
}

#[tokio::test]
async fn only_the_named_device_is_pushed_to_and_no_missed_call_follows() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = call(&stage, &json!({"callee_device": "pixel-1"})).await;
    stage.ring(&pixel, &call).await;
    stage.explained(&call, "iphone-1", "not_addressed").await;
    cancel(&stage, &call).await;
    stage.push("cancel", &pixel.ring_token, &call).await;
    assert_eq!((stage.pushed("ring", &call), stage.pushed("missed", &call)), (1, 0));

    // The next call that is none is for all devices, and the first that was missed.
    let call = stage.call_to("bob").await;
    stage.ticket(&iphone, &call).await;
    stage.ticket(&pixel, &call).await;
    stage.give_up(&call).await;
    let missed = stage.push("missed", &iphone.notice_token, &call).await;
    assert_eq!(crate::support::people::push_data(&missed)["count"].to_string().trim_matches('"'), "1");
}

#[tokio::test]
async fn other_devices_hear_nothing_of_a_call_to_one_and_cannot_take_it() {
    let stage = Stage::new().await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    stage.browser("bob", "tab").await;
    let (mut tab, _) = stage.events(&bearer("bob"), "?device_id=tab").await;
    let (mut unnamed, _) = stage.events(&bearer("bob"), "").await;
    let (mut phone, _) = stage.events(&bearer("bob"), "?device_id=pixel-1").await;
    let aimed = call(&stage, &json!({"callee_device": "pixel-1"})).await;
    let ticket = stage.ring(&pixel, &aimed).await;
    for kind in ["call.invited", "call.ringing"] {
        let event = phone.next().await;
        assert_eq!((&event["call_id"], &event["type"]), (&aimed, &json!(kind)), "{event}");
    }
    let (_, snapshot) = stage.events(&bearer("bob"), "?device_id=tab").await;
    assert_eq!(snapshot["calls"], json!([]));
    let answer = json!({"device_id": "tab"});
    let refused = stage.http.post(&path(&aimed, "answer"), &bearer("bob"), answer).await;
    refused.expect_problem(409, "device-not-rung");
    stage.http.post(&path(&aimed, "decline"), &ticket, json!({})).await.expect(200);
    assert_eq!(stage.seen_by("bob", &aimed).await["state"], "ended");

    // The next thing that they hear of is the next call.
    let next = stage.call_to("bob").await;
    for stream in [&mut tab, &mut unnamed] {
        assert_eq!(stream.next().await["call_id"], next);
    }
}

#[tokio::test]
async fn a_test_without_a_device_rings_all_of_them() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = call(&stage, &json!({"test": true})).await;
    stage.ring(&iphone, &call).await;
    stage.ring(&pixel, &call).await;
    cancel(&stage, &call).await;
    stage.push("cancel", &iphone.notice_token, &call).await;
    stage.push("cancel", &pixel.ring_token, &call).await;
    assert_eq!(stage.pushed("missed", &call), 0);
}

#[tokio::test]
async fn a_device_that_is_none_is_refused_and_leaves_nothing() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    stage.pixel("carol", "pixel-2").await;
    for device in ["pixel-2", "nothing"] {
        let refused = stage.http.post("/v1/calls", service_bearer(), body(&json!({"callee_device": device}))).await;
        refused.expect_problem(404, "device-not-found");
    }
    let history = stage.http.get("/v1/calls", &bearer("bob")).await.expect(200);
    assert_eq!(history["calls"], json!([]));
}

#[tokio::test]
async fn a_replay_tells_of_the_call_although_its_device_has_gone() {
    let stage = Stage::new().await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let first = call_with_key(&stage).await.expect(201);
    stage.ticket(&pixel, &first["call"]["id"]).await;
    stage.http.delete("/v1/devices/pixel-1", &bearer("bob")).await.expect(204);
    assert_eq!(call_with_key(&stage).await.expect(201)["call"]["id"], first["call"]["id"]);
}

#[tokio::test]
async fn a_key_of_what_was_refused_for_its_device_is_good_once_there_is_one() {
    let stage = Stage::new().await;
    call_with_key(&stage).await.expect_problem(404, "device-not-found");
    let pixel = stage.pixel("bob", "pixel-1").await;
    let call = call_with_key(&stage).await.expect(201);
    stage.ring(&pixel, &call["call"]["id"]).await;
}

#[tokio::test]
async fn users_name_no_device_of_others_and_make_no_tests() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    for (field, value) in [("callee_device", json!("pixel-1")), ("test", json!(true)), ("test", json!(false))] {
        let mut body = json!({"callee": "bob", "media": "audio"});
        body[field] = value;
        let refused = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect_problem(400, "invalid-field");
        assert_eq!(refused["errors"][0], json!({"pointer": format!("/{field}"), "detail": "is for services only"}));
    }
}
