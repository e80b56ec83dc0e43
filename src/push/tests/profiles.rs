//! Every profile on the wire: the simulator takes what each makes of every message.

use serde_json::{Value, json};

use super::golden::PROFILES;
use super::{Stage, alice, all_accepted, android, device, iphone, token};
use crate::config::push::{MissedCallAs, PayloadProfile, Privacy};
use crate::domain::{Device, StopReason};
use crate::push::Message;
use crate::simulator::Provider;

/// Of every kind one.
fn messages(stage: &Stage) -> [Message; 3] {
    let (call_id, at) = (stage.clock.call_id(), stage.clock.now());
    [
        Message::Ring(stage.ring()),
        Message::Cancel { call_id, reason: StopReason::DeclinedElsewhere },
        Message::Missed { call_id, caller: alice(), count: 2, at },
    ]
}

/// Of every way to reach a device one.
fn devices() -> [Device; 4] {
    let in_alert_mode = json!({"platform": "ios", "ios_push_mode": "alert", "alert_token": token(2)});
    let by_installation = json!({"platform": "android", "fcm_fid": "installation-1"});
    [iphone(1), device(&in_alert_mode), android(1), device(&by_installation)]
}

async fn staged(profile: PayloadProfile) -> Stage {
    Stage::with(|config| {
        config.apns.iter_mut().for_each(|apns| apns.payload = profile);
        config.fcm.iter_mut().for_each(|fcm| fcm.payload = profile);
    })
    .await
}

#[tokio::test]
async fn every_profile_is_taken_in_every_message_by_every_way() {
    for profile in PROFILES {
        let stage = staged(profile).await;
        for device in devices() {
            for message in messages(&stage) {
                all_accepted(&[stage.pushers.send(&stage.message(&device, message)).await]);
            }
        }
        assert_eq!(stage.received(Provider::Apns).len(), 6);
        let targets: Vec<_> = stage.received(Provider::Fcm).iter().map(|received| received.target.clone()).collect();
        assert_eq!(targets[..3], [Some("registration:1".to_owned()), targets[0].clone(), targets[0].clone()]);
        assert_eq!(targets[3..], [Some("installation-1".to_owned()), targets[3].clone(), targets[3].clone()]);
    }
}

#[tokio::test]
async fn an_app_has_a_profile_of_its_own() {
    let stage = Stage::with(|config| config.fcm[0].payload = PayloadProfile::FlutterCallkitIncoming).await;
    let ring = Message::Ring(stage.ring());
    let (_, to_apple) = stage.push(&iphone(1), ring.clone()).await;
    assert_eq!(to_apple.body["type"], "ring");
    let (_, to_google) = stage.push(&android(1), ring).await;
    assert_eq!(to_google.body["message"]["data"]["nameCaller"], "Alice Liddell");
}

#[tokio::test]
async fn expo_is_told_all_by_the_metadata_that_its_kit_hands_on() {
    let stage = staged(PayloadProfile::ExpoCallkitTelecom).await;
    let ring = stage.ring();
    let (_, received) = stage.push(&android(1), Message::Ring(ring.clone())).await;
    let event = received.body["message"]["data"]["incoming_call"].as_str().expect("a text");
    let event: Value = serde_json::from_str(event).expect("JSON");
    let (_, received) = stage.push(&iphone(1), Message::Ring(ring.clone())).await;
    for event in [event, received.body["incoming_call"].clone()] {
        assert_eq!(event["serverCallId"], ring.call_id.to_string());
        assert_eq!(event["startedAt"], ring.created_at.rfc3339());
        assert_eq!(event["caller"]["displayName"], "Alice Liddell");
        let told = &event["metadata"];
        assert_eq!((&told["type"], &told["ticket"]), (&json!("ring"), &json!("the ticket")));
        assert_eq!((&told["url"], &told["metadata"]["topic"]), (&json!("https://calls.example.com"), &json!("lunch")));
        assert_eq!(told["expires_at"], ring.ring_until.as_millis());
    }
}

#[tokio::test]
async fn google_can_be_asked_to_show_a_missed_call_and_the_app_is_told_that_the_ring_is_over() {
    let stage = Stage::with(|config| config.fcm[0].missed_call_as = MissedCallAs::Notification).await;
    let (at, first, second) = (stage.clock.now(), stage.clock.call_id(), stage.clock.call_id());
    for (call_id, count) in [(first, 1), (second, 2)] {
        let missed = Message::Missed { call_id, caller: alice(), count, at };
        all_accepted(&[stage.pushers.send(&stage.message(&android(1), missed)).await]);
    }
    let received = stage.received(Provider::Fcm);
    let android: Vec<_> = received.iter().map(|received| &received.body["message"]["android"]).collect();
    let (shown, stops): (Vec<_>, Vec<_>) =
        android.into_iter().partition(|android| android.get("notification").is_some());
    let [once, twice] = shown[..] else { panic!("{shown:?}") };
    assert_eq!((&twice["priority"], &twice["notification"]["title"]), (&json!("HIGH"), &json!("2 missed calls")));
    assert_eq!(twice["notification"]["body"], "Alice Liddell");
    assert_eq!(twice["notification"]["tag"], once["notification"]["tag"], "the newer takes the place of the older");
    assert_eq!(twice["collapse_key"], once["collapse_key"], "also before it has arrived");

    let [stop, _] = stops[..] else { panic!("{stops:?}") };
    assert_eq!((&stop["priority"], &stop["collapse_key"]), (&json!("NORMAL"), &json!(first.to_string())));
    let data: Vec<_> = received.iter().map(|received| &received.body["message"]["data"]).collect();
    let told = |call_id: String| {
        let cancel =
            |data: &&&Value| data["type"] == "cancel" && data["call_id"] == call_id && data["reason"] == "ended";
        data.iter().find(cancel).is_some()
    };
    assert!(told(first.to_string()) && told(second.to_string()), "{data:?}");
}

#[tokio::test]
async fn a_localized_missed_call_names_texts_of_the_app() {
    let stage = Stage::with(|config| {
        config.privacy = Privacy::NoNames;
        config.apns[0].localize = true;
        config.fcm[0].localize = true;
        config.fcm[0].missed_call_as = MissedCallAs::Notification;
    })
    .await;
    let missed =
        || Message::Missed { call_id: stage.clock.call_id(), caller: alice(), count: 7, at: stage.clock.now() };
    let (_, received) = stage.push(&iphone(1), missed()).await;
    let alert = json!({"title-loc-key": "bellwire_missed_calls", "title-loc-args": ["7"]});
    assert_eq!(received.body["aps"]["alert"], alert);
    all_accepted(&[stage.pushers.send(&stage.message(&android(1), missed())).await]);
    let received = stage.received(Provider::Fcm);
    let shown = received.iter().map(|received| &received.body["message"]["android"]["notification"]);
    let shown = shown.into_iter().find(|shown| shown.is_object()).expect("a notification");
    assert_eq!((&shown["title_loc_key"], &shown["title_loc_args"]), (&json!("bellwire_missed_calls"), &json!(["7"])));
}
