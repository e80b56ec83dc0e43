//! What a message says, who gets it, and how it is signed.

use std::time::Duration;

use serde_json::json;

use super::{OTHER_SECRET, SECRET, declined, endpoint, endpoint_for};
use crate::support::people::path;
use crate::support::receiver::{Answer, Receiver, Told};
use crate::support::{Stage, bearer, rfc3339, service_bearer};

#[tokio::test]
async fn a_call_that_ends_is_told_with_all_that_is_known_of_it() {
    let (all, missed) = (Receiver::start().await, Receiver::start().await);
    let stage = Stage::with(&format!("{}{}", endpoint(&all), endpoint_for(&missed, "call.missed"))).await;
    stage.pixel("bob", "phone").await;
    let first = declined(&stage).await;
    let told = all.wait_for(1, |told| told.json["data"]["id"] == first).await.remove(0);
    assert_eq!(told.kind(), "call.ended");
    assert_eq!(told.header("content-type"), "application/json");
    assert!(told.is_signed_by(SECRET) && !told.is_signed_by(OTHER_SECRET));
    assert!(rfc3339(&told.json["timestamp"]).since(told.sent_at()) < Duration::from_secs(1), "in whole seconds");
    assert!(told.sent_at() <= stage.clock.now());
    let call = stage.call(&first).await;
    assert_eq!(told.json["timestamp"], call["ended_at"]);
    assert_eq!(told.json["data"], call, "as the backend reads it");
    assert_eq!(call["statistics"]["talk_ms"], 0);
    assert!(call["statistics"]["total_ms"].is_u64() && call["statistics"]["answer_ms"].is_null(), "{call}");

    let second = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.http.post(&path(&second, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    let told = all.wait_for(2, |told| told.json["data"]["id"] == second).await;
    let mut kinds: Vec<&str> = told.iter().map(Told::kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["call.ended", "call.missed"]);
    assert_ne!(told[0].id(), told[1].id());
    let told = missed.wait_for(1, |_| true).await;
    assert_eq!((told[0].kind(), &told[0].json["data"]["id"]), ("call.missed", &second));
    assert_eq!(missed.all().len(), 1, "of the other call it is told nothing");
}

#[tokio::test]
async fn a_call_that_the_callee_must_not_notice_is_not_told_as_missed() {
    let all = Receiver::start().await;
    let stage = Stage::with(&endpoint(&all)).await;
    stage.pixel("bob", "phone").await;
    stage.http.put("/v1/blocks/alice", &bearer("bob"), json!({})).await.expect(204);
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    all.wait_for(1, |told| told.kind() == "call.ended").await;
    let lifted = stage.http.request(reqwest::Method::DELETE, "/v1/blocks/alice").bearer_auth(bearer("bob"));
    assert_eq!(lifted.send().await.expect("an answer").status(), 204);
    declined(&stage).await;
    all.wait_for(2, |told| told.kind() == "call.ended").await;
    assert!(all.all().iter().all(|told| told.kind() == "call.ended"), "{:?}", all.all());
}

#[tokio::test]
async fn every_secret_signs_while_one_is_being_changed() {
    let receiver = Receiver::start().await;
    let lines = format!("[[webhooks]]\nurl = \"{}\"\nsecrets = [\"{OTHER_SECRET}\", \"{SECRET}\"]\n", receiver.url);
    let stage = Stage::with(&lines).await;
    stage.pixel("bob", "phone").await;
    declined(&stage).await;
    let told = receiver.wait_for(1, |_| true).await.remove(0);
    assert!(told.is_signed_by(SECRET) && told.is_signed_by(OTHER_SECRET));
    assert_eq!(told.header("webhook-signature").split(' ').count(), 2);
}

#[tokio::test]
async fn a_ban_is_told_once_its_calls_have_ended() {
    let receiver = Receiver::start().await;
    let stage = Stage::with(&endpoint(&receiver)).await;
    stage.pixel("bob", "phone").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ban = stage.http.put("/v1/bans/alice", service_bearer(), json!({"reason": "spam"})).await.expect(200);
    assert_eq!(stage.call(&call).await["end_reason"], "banned", "at once");
    let told = receiver.wait_for(1, |told| told.kind() == "user.banned").await.remove(0);
    assert_eq!(told.json["data"], ban);
    assert!(told.is_signed_by(SECRET));
    // Lifted before its job comes to it, a ban is not told; banned again, it is another message.
    let lift = stage.http.request(reqwest::Method::DELETE, "/v1/bans/alice").bearer_auth(service_bearer());
    assert_eq!(lift.send().await.expect("an answer").status(), 204);
    stage.http.put("/v1/bans/alice", service_bearer(), json!({})).await.expect(200);
    let told = receiver.wait_for(2, |told| told.kind() == "user.banned").await;
    assert_ne!(told[0].id(), told[1].id());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start().await;
    let target = elsewhere.url.clone();
    let receiver = Receiver::answering(move |number, _| match number {
        0 => Answer::With(307, "location", target.clone()),
        _ => Answer::Status(200),
    });
    let receiver = receiver.await;
    let stage = Stage::with(&endpoint(&receiver)).await;
    stage.pixel("bob", "phone").await;
    declined(&stage).await;
    receiver.wait_for(2, |_| true).await;
    assert!(elsewhere.all().is_empty(), "{:?}", elsewhere.all());
}
