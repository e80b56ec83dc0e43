//! Whatever callers are called and apps hang on their calls: pushes stay within the providers' limits, and say what was left out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::golden::{PROFILES, apns_section, cancel, fcm_section, missed, push, ring, to_apple, to_google};
use super::{alice, android, iphone};
use crate::config::push::{MissedCallAs, PayloadProfile, Privacy};
use crate::domain::{Device, IosPushMode, Party};
use crate::push::Message;
use crate::push::fcm::payload::MAX_BYTES;
use crate::push::payload::LeftOut;

/// Names with characters of four bytes, of control, that turn text, that JSON escapes, and combining ones.
fn hostile() -> impl Strategy<Value = String> {
    let characters = prop_oneof![
        4 => any::<char>(),
        2 => prop::char::range('\u{1F300}', '\u{1FAFF}'),
        1 => prop::sample::select(vec!['\u{0}', '\n', '\u{1b}', '"', '\\', '\u{202E}', '\u{2066}', '\u{200D}', '\u{301}']),
    ];
    prop::collection::vec(characters, 0..400).prop_map(String::from_iter)
}

fn metadata() -> impl Strategy<Value = Option<Value>> {
    prop::option::of(prop_oneof![
        hostile().prop_map(|text| json!({"note": text})),
        (0..3000_usize).prop_map(|length| json!({"quotes": "\"".repeat(length)})),
        Just(json!({"from": "app", "google.x": {"gcm": [1, null, true]}})),
    ])
}

fn callers() -> impl Strategy<Value = Party> {
    let parts = (prop::option::of(hostile()), prop::option::of("[a-z]{1,2000}"));
    parts.prop_map(|(name, avatar)| Party { name, avatar, ..alice() })
}

fn messages() -> impl Strategy<Value = Message> {
    prop_oneof![
        3 => (callers(), metadata()).prop_map(|(caller, metadata)| ring(caller, metadata)),
        2 => (callers(), any::<u32>()).prop_map(|(caller, count)| missed(caller, count)),
        1 => Just(cancel()),
    ]
}

fn privacies() -> impl Strategy<Value = Privacy> {
    prop::sample::select(vec![Privacy::Full, Privacy::NoNames])
}

fn profiles() -> impl Strategy<Value = PayloadProfile> {
    prop::sample::select(PROFILES.to_vec())
}

/// <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#Message>
fn is_reserved(key: &str) -> bool {
    matches!(key, "from" | "message_type" | "collapse_key") || key.starts_with("google.") || key.starts_with("gcm")
}

/// The call that a push is about, wherever its profile has that.
fn call_id(fields: &Value) -> Option<String> {
    let nested = |value: &Value| match value {
        Value::String(json) => serde_json::from_str(json).unwrap_or_default(),
        other => other.clone(),
    };
    let event = nested(&fields["incoming_call"]);
    [&fields["call_id"], &nested(&fields["extra"])["call_id"], &event["metadata"]["call_id"]]
        .into_iter()
        .find_map(|id| id.as_str().map(str::to_owned))
}

proptest! {
    #[test]
    fn what_apple_gets_is_within_its_limits(
        message in messages(), profile in profiles(), privacy in privacies(), by_alert: bool, localize: bool
    ) {
        let ios_push_mode = if by_alert { IosPushMode::Alert } else { IosPushMode::Voip };
        let push = push(&Device { ios_push_mode, ..iphone(1) }, message);
        let (push_type, body, _) = to_apple(&push, &apns_section(profile, localize), privacy).expect("room");
        prop_assert!(body.len() <= push_type.max_bytes(), "{} bytes", body.len());
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        prop_assert!(body["aps"].is_object());
        prop_assert_eq!(call_id(&body), push.message.call_id().map(|id| id.to_string()));
    }

    #[test]
    fn what_google_gets_is_within_its_limits(
        message in messages(), profile in profiles(), privacy in privacies(), as_notification: bool, localize: bool
    ) {
        let missed_call_as = if as_notification { MissedCallAs::Notification } else { MissedCallAs::Data };
        let push = push(&android(1), message);
        let (body, _) = to_google(&push, &fcm_section(profile, localize, missed_call_as), privacy).expect("room");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let data = body["message"]["data"].as_object().expect("data");
        prop_assert!(data.values().all(Value::is_string));
        prop_assert!(!data.keys().any(|key| is_reserved(key)));
        let bytes: usize = data.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
        prop_assert!(bytes <= MAX_BYTES, "{} bytes", bytes);
        prop_assert_eq!(call_id(&body["message"]["data"]), push.message.call_id().map(|id| id.to_string()));
    }

    #[test]
    fn a_name_that_fits_is_told_as_it_is(name in hostile().prop_filter("a name", |name| !name.is_empty())) {
        prop_assume!(name.len() <= 256);
        let caller = Party { name: Some(name.clone()), avatar: None, ..alice() };
        let push = push(&iphone(1), ring(caller, None));
        let (_, body, left_out) = to_apple(&push, &apns_section(PROFILES[0], false), Privacy::Full).expect("room");
        prop_assert_eq!(left_out, LeftOut::default());
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        prop_assert_eq!(&body["caller_name"], &json!(name));
    }

    #[test]
    fn no_name_gets_out_where_names_stay_at_home(profile in profiles(), by_alert: bool, localize: bool, count in 1..9_u32) {
        let caller = || Party {
            name: Some("Queen of Hearts".to_owned()), avatar: Some("https://example.com/queen.png".to_owned()), ..alice()
        };
        let ios_push_mode = if by_alert { IosPushMode::Alert } else { IosPushMode::Voip };
        for message in [ring(caller(), None), missed(caller(), count), cancel()] {
            let to_iphone = push(&Device { ios_push_mode, ..iphone(1) }, message.clone());
            let section = apns_section(profile, localize);
            let (_, apple, _) = to_apple(&to_iphone, &section, Privacy::NoNames).expect("room");
            let section = fcm_section(profile, localize, MissedCallAs::Notification);
            let (google, _) = to_google(&push(&android(1), message), &section, Privacy::NoNames).expect("room");
            for body in [apple, google] {
                let body = String::from_utf8(body).expect("text");
                prop_assert!(!body.contains("Queen") && !body.contains("queen"), "{}", body);
            }
        }
    }

    #[test]
    fn what_is_left_out_is_the_same_each_time(message in messages(), profile in profiles()) {
        let push = push(&android(1), message);
        let section = fcm_section(profile, false, MissedCallAs::Data);
        let first = to_google(&push, &section, Privacy::Full);
        prop_assert_eq!(first, to_google(&push, &section, Privacy::Full));
    }
}

#[test]
fn the_metadata_goes_first_then_the_avatar_then_the_end_of_the_name() {
    let with = |name: usize, avatar: usize, metadata: usize| {
        let caller = Party { name: Some("n".repeat(name)), avatar: Some("a".repeat(avatar)), ..alice() };
        let push = push(&android(1), ring(caller, Some(json!("m".repeat(metadata)))));
        let section = fcm_section(PayloadProfile::Bellwire, false, MissedCallAs::Data);
        to_google(&push, &section, Privacy::Full).expect("room").1.to_string()
    };
    assert_eq!(with(100, 100, 2000), "");
    assert_eq!(with(100, 100, 5000), "metadata");
    assert_eq!(with(100, 5000, 100), "metadata, avatar");
    assert_eq!(with(5000, 100, 100), "metadata, avatar, name");
}
