//! The exact JSON of every message in every profile, which apps rely on: `golden/<profile>.<platform>.json`.

use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{alice, android, iphone};
use crate::config::push::{Apns, Fcm, MissedCallAs, PayloadProfile, Privacy};
use crate::domain::{AppId, CallId, Device, Environment, IosPushMode, Party, StopReason, Timestamp, UserId};
use crate::push::apns::payload::{self as apns, Notification};
use crate::push::fcm::payload as fcm;
use crate::push::payload::{LeftOut, TooLarge};
use crate::push::{Message, Push, Ring};

pub(super) const PROFILES: [PayloadProfile; 4] = [
    PayloadProfile::Bellwire,
    PayloadProfile::Callkeep,
    PayloadProfile::ExpoCallkitTelecom,
    PayloadProfile::FlutterCallkitIncoming,
];

const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(super) fn apns_section(payload: PayloadProfile, localize: bool) -> Apns {
    Apns {
        app: AppId::new(super::APP).expect("an app"),
        environment: Environment::Production,
        payload,
        localize,
        ring_sound: "default".to_owned(),
        team_id: String::new(),
        key_id: String::new(),
        key_id_file: None,
        key_file: "apns.p8".into(),
        endpoint: String::new(),
        ca_file: None,
        connections: 1,
        cancel_by_voip: false,
        ring_expiration: Duration::from_secs(10),
    }
}

pub(super) fn fcm_section(payload: PayloadProfile, localize: bool, missed_call_as: MissedCallAs) -> Fcm {
    Fcm {
        app: AppId::new(super::APP).expect("an app"),
        payload,
        localize,
        missed_call_as,
        project_id: None,
        service_account_file: None,
        endpoint: String::new(),
        ca_file: None,
        connections: 1,
    }
}

pub(super) fn push(device: &Device, message: Message) -> Push {
    let owner = UserId::new("bob").expect("a user");
    Push { id: Uuid::nil(), owner, device: device.clone().into(), expires_at: NOON + Duration::from_secs(30), message }
}

pub(super) fn ring(caller: Party, metadata: Option<Value>) -> Message {
    Message::Ring(Ring {
        call_id: call_id(),
        caller,
        video: true,
        created_at: NOON - Duration::from_millis(400),
        ring_until: NOON + Duration::from_secs(30),
        ticket: "the.signed.ticket".to_owned(),
        url: "https://calls.example.com".into(),
        metadata: metadata.map(Into::into),
    })
}

pub(super) fn cancel() -> Message {
    Message::Cancel { call_id: call_id(), reason: StopReason::AnsweredElsewhere }
}

pub(super) fn missed(caller: Party, count: u32) -> Message {
    Message::Missed { call_id: call_id(), caller, count, at: NOON - Duration::from_secs(2) }
}

fn call_id() -> CallId {
    CallId::parse("0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a").expect("a call id")
}

/// What Apple is sent by the first push that the message takes.
pub(super) fn to_apple(
    push: &Push,
    section: &Apns,
    privacy: Privacy,
) -> Result<(apns::PushType, Vec<u8>, LeftOut), TooLarge> {
    let rules = apns::Rules::new(section, privacy);
    let (push_type, token) = rules.pushes(&push.device, push.message.kind())[0];
    let notification = Notification::new(push, push.id, push_type, token, &rules, NOON)?;
    Ok((push_type, notification.body.to_vec(), notification.left_out))
}

/// What Google is sent.
pub(super) fn to_google(push: &Push, section: &Fcm, privacy: Privacy) -> Result<(Vec<u8>, LeftOut), TooLarge> {
    let body = fcm::body(push, fcm::Rules::new(section, privacy), NOON).expect("a target");
    body.map(|(body, left_out)| (body.to_vec(), left_out))
}

fn json_to_apple(device: &Device, message: Message, section: &Apns, privacy: Privacy) -> Value {
    let (_, body, left_out) = to_apple(&push(device, message), section, privacy).expect("room");
    assert_eq!(left_out, LeftOut::default());
    serde_json::from_slice(&body).expect("JSON")
}

fn json_to_google(message: Message, section: &Fcm, privacy: Privacy) -> Value {
    let (body, left_out) = to_google(&push(&android(1), message), section, privacy).expect("room");
    assert_eq!(left_out, LeftOut::default());
    serde_json::from_slice(&body).expect("JSON")
}

fn messages() -> [(&'static str, Message); 3] {
    let metadata = Some(json!({"thread": "42", "seats": 2}));
    [("ring", ring(alice(), metadata)), ("cancel", cancel()), ("missed", missed(alice(), 3))]
}

fn in_alert_mode() -> Device {
    Device { ios_push_mode: IosPushMode::Alert, ..iphone(1) }
}

/// Compares with a golden file, and shows what the file would have to be.
fn is_golden(file: &str, golden: &str, found: Map<String, Value>) {
    let expected: Value = serde_json::from_str(golden).expect("a golden file");
    let found = Value::Object(found);
    assert!(found == expected, "{file} should be\n{}", serde_json::to_string_pretty(&found).expect("JSON"));
}

#[test]
fn apple_gets_these_bodies() {
    let golden = [
        ("bellwire.ios.json", include_str!("golden/bellwire.ios.json")),
        ("callkeep.ios.json", include_str!("golden/callkeep.ios.json")),
        ("expo-callkit-telecom.ios.json", include_str!("golden/expo-callkit-telecom.ios.json")),
        ("flutter-callkit-incoming.ios.json", include_str!("golden/flutter-callkit-incoming.ios.json")),
    ];
    for (profile, (file, golden)) in PROFILES.into_iter().zip(golden) {
        let section = apns_section(profile, false);
        let mut found = Map::new();
        for (name, message) in messages() {
            found.insert(name.to_owned(), json_to_apple(&iphone(1), message, &section, Privacy::Full));
        }
        let message = ring(alice(), None);
        found.insert("ring by alert".into(), json_to_apple(&in_alert_mode(), message, &section, Privacy::Full));
        let message = ring(alice(), None);
        found.insert("ring, no_names".into(), json_to_apple(&iphone(1), message, &section, Privacy::NoNames));
        is_golden(file, golden, found);
    }
}

#[test]
fn google_gets_these_bodies() {
    let golden = [
        ("bellwire.android.json", include_str!("golden/bellwire.android.json")),
        ("callkeep.android.json", include_str!("golden/callkeep.android.json")),
        ("expo-callkit-telecom.android.json", include_str!("golden/expo-callkit-telecom.android.json")),
        ("flutter-callkit-incoming.android.json", include_str!("golden/flutter-callkit-incoming.android.json")),
    ];
    for (profile, (file, golden)) in PROFILES.into_iter().zip(golden) {
        let section = fcm_section(profile, false, MissedCallAs::Data);
        let mut found = Map::new();
        for (name, message) in messages() {
            found.insert(name.to_owned(), json_to_google(message, &section, Privacy::Full));
        }
        let message = ring(alice(), None);
        found.insert("ring, no_names".into(), json_to_google(message, &section, Privacy::NoNames));
        is_golden(file, golden, found);
    }
}

#[test]
fn notifications_have_these_words() {
    let mut found = Map::new();
    for (privacy, with) in [(Privacy::Full, ""), (Privacy::NoNames, ", no_names")] {
        for (localize, how) in [(false, "in English"), (true, "localized")] {
            let apns = apns_section(PayloadProfile::Bellwire, localize);
            let alert = |message| json_to_apple(&in_alert_mode(), message, &apns, privacy)["aps"]["alert"].take();
            found.insert(format!("ios, ring {how}{with}"), alert(ring(alice(), None)));
            found.insert(format!("ios, missed once {how}{with}"), alert(missed(alice(), 1)));
            found.insert(format!("ios, missed 3 times {how}{with}"), alert(missed(alice(), 3)));

            let fcm = fcm_section(PayloadProfile::Bellwire, localize, MissedCallAs::Notification);
            let shown = |message| json_to_google(message, &fcm, privacy)["message"]["android"]["notification"].take();
            found.insert(format!("android, missed once {how}{with}"), shown(missed(alice(), 1)));
            found.insert(format!("android, missed 3 times {how}{with}"), shown(missed(alice(), 3)));
            assert_eq!(shown(ring(alice(), None)), Value::Null, "the app rings, not Google's client");
            assert_eq!(shown(cancel()), Value::Null);
        }
    }
    is_golden("words.json", include_str!("golden/words.json"), found);
}
