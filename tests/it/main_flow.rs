//! The main job, end to end: a call rings two phones, one answers, the other is told, it ends.

use serde_json::json;

use crate::support::people::{path, push_data};
use crate::support::{Stage, bearer};

#[tokio::test]
async fn a_call_rings_two_phones_and_one_answers() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let (mut alice, _) = stage.events(&bearer("alice"), "").await;

    let answer = stage.invite("alice", "bob").await;
    let call = &answer["call"]["id"];
    assert_eq!(answer["call"]["state"], "calling");
    assert_eq!(answer["call"]["caller"], json!({"id": "alice", "name": "Alice"}));
    assert!(answer["livekit"]["token"].is_string());

    let ring = stage.push("ring", &iphone.ring_token, call).await;
    assert_eq!(ring.header("apns-push-type"), Some("voip"));
    assert_eq!(push_data(&ring)["caller_name"], "Alice");
    stage.push("ring", &pixel.ring_token, call).await;

    let ticket = stage.ring(&iphone, call).await;
    alice.until("call.ringing", call).await;
    let answered = stage.http.post(&path(call, "answer"), &ticket, json!({})).await.expect(200);
    assert_eq!(answered["call"]["answered_by"], "iphone-1");
    assert_eq!(answered["livekit"]["room"], answer["livekit"]["room"]);
    alice.until("call.answered", call).await;
    let cancel = stage.push("cancel", &pixel.notice_token, call).await;
    assert_eq!(push_data(&cancel)["reason"], "answered_elsewhere");

    stage.http.post(&path(call, "hangup"), &ticket, json!({})).await.expect(200);
    let ended = alice.until("call.ended", call).await;
    assert_eq!(ended["data"]["reason"], "completed");
}
