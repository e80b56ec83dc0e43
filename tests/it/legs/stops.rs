//! How a phone is told to stop: by its event stream, by a quiet push, and by VoIP only where that is configured.

use serde_json::{Value, json};

use crate::support::people::{path, push_data};
use crate::support::{APP, Device, Stage, bearer};

/// An iPhone that has given no alert token.
async fn bare_iphone(stage: &Stage) -> Device {
    let body = json!({"platform": "ios", "app": APP, "voip_token": "decafbad"});
    stage.http.put("/v1/devices/iphone-1", &bearer("bob"), body).await.expect(200);
    let token = "decafbad".to_owned();
    Device { user: "bob".into(), id: "iphone-1".into(), ring_token: token.clone(), notice_token: token }
}

#[tokio::test]
async fn a_voip_cancel_reaches_an_iphone_without_an_alert_token() {
    let stage = Stage::configured("", |config| config.push.apns[0].cancel_by_voip = true).await;
    let phone = bare_iphone(&stage).await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.ring(&phone, &call).await;
    stage.cancel("alice", &call).await;
    let cancel = stage.push("cancel", &phone.ring_token, &call).await;
    assert_eq!(cancel.header("apns-push-type"), Some("voip"));
    assert_eq!(push_data(&cancel)["reason"], "cancelled");
}

#[tokio::test]
async fn no_voip_cancel_goes_out_unless_it_is_configured() {
    let stage = Stage::new().await;
    let phone = bare_iphone(&stage).await;
    let full = stage.iphone("bob", "iphone-2").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.ring(&phone, &call).await;
    stage.ring(&full, &call).await;
    stage.cancel("alice", &call).await;
    let cancel = stage.push("cancel", &full.notice_token, &call).await;
    assert_eq!(cancel.header("apns-push-type"), Some("background"));
    stage.pass().await;
    for token in [&phone.ring_token, &full.ring_token] {
        assert!(stage.pushes_of("cancel", token, &call).is_empty());
    }
}

/// The last event of a call on the stream of a ticket, and the quiet pushes to the two phones.
async fn told(stage: &Stage, phones: &[Device; 2], call: &Value, verb: &str) -> [Value; 3] {
    let tickets = [stage.ring(&phones[0], call).await, stage.ring(&phones[1], call).await];
    let (mut stream, _) = stage.events(&tickets[1], "").await;
    stage.http.post(&path(call, verb), &tickets[0], json!({})).await.expect(200);
    let kind = if verb == "answer" { "call.answered" } else { "call.declined" };
    let event = stream.until(kind, call).await;
    let stop = stage.push("cancel", &phones[1].notice_token, call).await;
    [event["type"].clone(), event["data"].clone(), push_data(&stop)["reason"].clone()]
}

#[tokio::test]
async fn answered_and_declined_elsewhere_are_told_apart_on_every_path() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    for phones in [[iphone.clone(), pixel.clone()], [pixel, iphone]] {
        let call = stage.invite("alice", "bob").await["call"]["id"].take();
        let [kind, data, reason] = told(&stage, &phones, &call, "answer").await;
        assert_eq!((kind, data["device_id"].clone()), (json!("call.answered"), json!(phones[0].id)));
        assert_eq!(reason, "answered_elsewhere");
        stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
        let call = stage.invite("alice", "bob").await["call"]["id"].take();
        let [kind, _, reason] = told(&stage, &phones, &call, "decline").await;
        assert_eq!((kind, reason), (json!("call.declined"), json!("declined_elsewhere")));
    }
}
