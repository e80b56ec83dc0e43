//! A record for every cause, and what is said of it.

use std::collections::HashSet;
use std::time::Duration;

use super::*;
use crate::domain::*;

const START: Timestamp = Timestamp::from_millis(1_770_000_000_000);
const RING: Duration = Duration::from_secs(45);

/// A call of alice to bob that is stepped on, each input so many milliseconds after the invite.
struct Scene {
    call: Call,
    devices: Vec<Device>,
    banned_at: Option<Timestamp>,
    now: Timestamp,
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("a user id")
}

fn id(device: &str) -> DeviceId {
    DeviceId::new(device).expect("a device id")
}

fn device(platform: &str) -> Device {
    let mut json = serde_json::json!({
        "id": format!("{platform}-1"), "platform": platform, "app": "com.example.phone",
        "registered_at": (START - Duration::from_hours(1)).as_millis(),
    });
    match platform {
        "ios" => json["voip_token"] = "5ec2e7".into(),
        "android" => json["fcm_token"] = "5ec2e7".into(),
        _ => {}
    }
    serde_json::from_value(json).expect("a device")
}

/// A device whose app is known to say that it rings.
fn known(platform: &str) -> Device {
    let mut device = device(platform);
    device.acks.since = Some(START - Duration::from_hours(24));
    device
}

fn party(id: &str) -> Party {
    Party { id: user(id), name: None, avatar: None, unknown: Unknown::default() }
}

fn invite(devices: Vec<Device>) -> Invite {
    Invite {
        id: CallId::parse("019c1bd2-9400-7c3a-8c3a-0192f3d17c3a").expect("a call id"),
        caller: party("alice"),
        caller_device: None,
        callee: user("bob"),
        media: Media::Audio,
        room: "room".to_owned(),
        metadata: None,
        rules: Rules {
            connect_timeout_ms: 20_000,
            reconnect_grace_ms: 30_000,
            max_duration_ms: 60_000,
            retention_ms: 86_400_000,
            decline: DeclineScope::Call,
            missed_call: false,
            presence: true,
            rooms: false,
            ask_every_ms: 0,
            push: PushRules { repush_after_ms: 6000, repush_max: 2, voip_budget: 5, ..PushRules::default() },
            webhooks: Subscribers::default(),
            unknown: Unknown::default(),
        },
        ring_until: START + RING,
        devices,
        busy: false,
        hidden: false,
    }
}

fn receipt(push: &str, answer: (Option<u16>, &str, &str), at: Timestamp) -> Receipt {
    let (status, reason, verdict) = answer;
    Receipt {
        at,
        provider: "apns".to_owned(),
        push: push.to_owned(),
        status,
        reason: reason.to_owned(),
        latency_ms: 30,
        number: 1,
        attempt: 1,
        verdict: verdict.to_owned(),
        ..Receipt::default()
    }
}

const TAKEN: (Option<u16>, &str, &str) = (Some(200), "", "accepted");

impl Scene {
    fn new(devices: Vec<Device>) -> Self {
        Self::of(invite(devices))
    }

    fn of(invite: Invite) -> Self {
        Self { call: begin(invite, START), devices: Vec::new(), banned_at: None, now: START }
    }

    fn at(mut self, ms: u64) -> Self {
        self.now = START + Duration::from_millis(ms);
        self
    }

    fn give(mut self, input: &Input) -> Self {
        match step(&self.call, input, self.now).expect("an input that is allowed") {
            Outcome::Applied(call) => self.call = *call,
            Outcome::Ignored(why) => panic!("{} was ignored: {why}", input.name()),
        }
        self
    }

    /// The ring that is open has this result, about the first device that has one.
    fn ring(self, result: impl FnOnce(Receipt) -> TaskResult, answer: (Option<u16>, &str, &str)) -> Self {
        let open = self.call.tasks.iter().find(|task| matches!(task.kind, TaskKind::Ring { .. }) && task.attempt > 0);
        let (task, attempt, number) = match open.expect("an open ring") {
            Task { id, attempt, kind: TaskKind::Ring { number, .. }, .. } => (*id, *attempt, *number),
            _ => unreachable!(),
        };
        let result = result(Receipt { number, attempt, ..receipt("ring", answer, self.now) });
        self.give(&Input::TaskFinished { task, attempt, result })
    }

    fn taken(self) -> Self {
        self.ring(|receipt| TaskResult::Done(vec![receipt]), TAKEN)
    }

    fn refused(self, status: impl Into<Option<u16>>, reason: &str, verdict: &str) -> Self {
        self.ring(|receipt| TaskResult::Failed(vec![receipt]), (status.into(), reason, verdict))
    }

    fn failing(self, status: impl Into<Option<u16>>, reason: &str) -> Self {
        self.ring(
            |receipt| TaskResult::Retry(Duration::from_millis(200), vec![receipt]),
            (status.into(), reason, "retry"),
        )
    }

    fn alerting(self, device: &str) -> Self {
        self.give(&Input::DeviceAlerting(id(device)))
    }

    fn not_rung(self, device: &str, reason: &str) -> Self {
        self.give(&Input::DeviceNotRung(id(device), reason.to_owned()))
    }

    fn times_out(self) -> Self {
        self.at(45_000).give(&Input::Wake)
    }

    fn explain(&self) -> Explanation<'_> {
        explain(&self.call, &Around { devices: &self.devices, callee_banned_at: self.banned_at, now: self.now })
    }
}

fn ios() -> Scene {
    Scene::new(vec![device("ios")])
}

fn android() -> Scene {
    Scene::new(vec![device("android")])
}

/// An iPhone whose only push Apple refused.
fn apple(status: u16, reason: &str, verdict: &str) -> Scene {
    ios().at(52).refused(status, reason, verdict)
}

/// An Android phone whose only push Google refused.
fn google(status: u16, reason: &str, verdict: &str) -> Scene {
    android().at(52).refused(status, reason, verdict)
}

/// What the device said, and who answered elsewhere.
fn two() -> Scene {
    Scene::new(vec![device("ios"), device("android")]).at(41).taken().at(60).taken()
}

fn hidden() -> Scene {
    let mut scene = Scene::of(Invite { hidden: true, ..invite(vec![device("ios")]) });
    scene.devices = vec![device("ios")];
    scene
}

/// A device that bob has now, of a call that it takes no part in.
fn outside(device: Device) -> Scene {
    let mut scene = Scene::new(vec![known("android")]);
    scene.devices = vec![device];
    scene
}

/// Every scene with the device that it is about, its cause, and what must stand in its sentence.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn scenes() -> Vec<(Scene, &'static str, Cause, &'static str)> {
    let answer = |device: &str| Input::Answer(id(device));
    let decline = |device: &str, reason| Input::Decline(id(device), reason);
    let in_alert_mode = Device {
        ios_push_mode: IosPushMode::Alert,
        alert_token: device("ios").voip_token,
        voip_token: None,
        ..device("ios")
    };
    let silent = |mut device: Device, rings| {
        device.alert_token = device.voip_token.clone();
        device.acks.silent = rings;
        device
    };
    let without_token = Device { fcm_token: None, ..device("android") };
    let later = Device { registered_at: START + Duration::from_secs(1), ..device("ios") };
    let called_back = || Input::InvitedBack(None);
    vec![
        (
            ios().at(41).taken().at(3000).alerting("ios-1").at(8000).give(&answer("ios-1")),
            "ios-1",
            Cause::Answered,
            "it answered at +8000 ms",
        ),
        (
            ios().at(41).taken().at(2000).give(&decline("ios-1", DeclineReason::Declined)),
            "ios-1",
            Cause::Declined,
            "it declined at +2000 ms",
        ),
        (
            ios().at(41).taken().at(2000).give(&decline("ios-1", DeclineReason::Busy)),
            "ios-1",
            Cause::BusyOnDevice,
            "said at +2000 ms that it is on another call",
        ),
        (ios().at(41).taken().at(3000).alerting("ios-1"), "ios-1", Cause::Rings, "it rings since +3000 ms"),
        (
            ios().at(41).taken().at(3000).alerting("ios-1").times_out(),
            "ios-1",
            Cause::RangUnanswered,
            "rang from +3000 ms to +45.0 s, and nobody answered",
        ),
        (
            ios().at(3000).alerting("ios-1").at(9000).give(&Input::Cancel),
            "ios-1",
            Cause::RangCancelled,
            "rang from +3000 ms to +9000 ms, when alice gave up",
        ),
        (
            two().at(900).alerting("ios-1").at(4000).give(&answer("android-1")),
            "ios-1",
            Cause::RangAnsweredElsewhere,
            "when android-1 of bob answered",
        ),
        (
            two().at(900).alerting("ios-1").at(4000).give(&decline("android-1", DeclineReason::Declined)),
            "ios-1",
            Cause::RangDeclinedElsewhere,
            "when bob declined elsewhere",
        ),
        (
            two().at(900).alerting("ios-1").at(4000).give(&Input::Banned(user("bob"))),
            "ios-1",
            Cause::RangUntilEnd,
            "to +4000 ms, when the call ended",
        ),
        (
            two().at(900).alerting("ios-1").at(4000).give(&called_back()),
            "ios-1",
            Cause::CalledElsewhere,
            "at +4000 ms bob called alice from elsewhere",
        ),
        (
            two().at(900).give(&called_back()),
            "android-1",
            Cause::CalledElsewhere,
            "FCM accepted at +60 ms, and at +900 ms bob called alice",
        ),
        (
            two().at(900).not_rung("ios-1", "do_not_disturb"),
            "ios-1",
            Cause::DoNotDisturb,
            "APNs accepted at +41 ms, and it is on Do Not Disturb",
        ),
        (
            two().at(900).not_rung("ios-1", "block_list").times_out(),
            "ios-1",
            Cause::BlockedOnDevice,
            "its own block list has alice",
        ),
        (
            two().at(900).not_rung("android-1", "no_permission"),
            "android-1",
            Cause::NoPermission,
            "it may not ring: no_permission",
        ),
        (
            two().at(900).alerting("ios-1").at(950).not_rung("ios-1", "silo").times_out(),
            "ios-1",
            Cause::CouldNotRing,
            "could not ring: silo",
        ),
        (
            two().at(900).not_rung("ios-1", "silo").at(950).alerting("ios-1").times_out(),
            "ios-1",
            Cause::RangUnanswered,
            "rang from +950 ms",
        ),
        (two().at(900), "ios-1", Cause::WaitingForWord, "APNs accepted at +41 ms, and it has not spoken yet"),
        (
            two().at(900).give(&Input::Cancel).at(52_000).give(&Input::DeviceLate(id("ios-1"))),
            "ios-1",
            Cause::CameLate,
            "APNs accepted at +41 ms, but it first spoke at +52.0 s, when its ring was over at +900 ms",
        ),
        (two().at(900).give(&Input::Cancel), "ios-1", Cause::StoppedSoon, "the call was over at +900 ms, too soon"),
        (
            Scene::new(vec![known("ios")]).at(41).taken().times_out(),
            "ios-1",
            Cause::SilentIphone,
            "though its app has acknowledged rings since 2026-02-01; the app may be deleted, offline or force-quit",
        ),
        (
            Scene::of(Invite { ring_until: START + Duration::from_secs(5), ..invite(vec![known("android")]) })
                .at(0)
                .taken()
                .at(5000)
                .give(&Input::Wake),
            "android-1",
            Cause::SilentAndroid,
            "though its app has acknowledged rings since 2026-02-01",
        ),
        (
            ios().at(41).taken().times_out(),
            "ios-1",
            Cause::UnackedIphone,
            "iPhone of bob: APNs accepted at +41 ms, no alerting ack; the app may be deleted, offline or force-quit",
        ),
        (
            android().at(41).taken().times_out(),
            "android-1",
            Cause::UnackedAndroid,
            "FCM accepted at +41 ms, no alerting ack; the phone may be off",
        ),
        (android().at(41).taken().at(20_000), "android-1", Cause::UnackedAndroid, "it has never acknowledged a ring"),
        (
            Scene::new(vec![in_alert_mode]).at(41).taken().times_out(),
            "ios-1",
            Cause::AlertMode,
            "which iOS shows without starting the app",
        ),
        (
            Scene::new(vec![silent(device("ios"), 1)])
                .at(41)
                .taken()
                .at(700)
                .give(&Input::DeviceContacted(id("ios-1")))
                .times_out(),
            "ios-1",
            Cause::SilentInTouch,
            "in touch with the gateway at +700 ms",
        ),
        (
            beside_alert(silent(device("ios"), 5)),
            "ios-1",
            Cause::SilentBesideAlert,
            "an alert beside it, since its app was awake in its last 5 rings without a word",
        ),
        (
            Scene::new(vec![known("android")]).at(41).taken().at(6050).give(&Input::Wake).at(6090).taken().times_out(),
            "android-1",
            Cause::PushedAgain,
            "FCM accepted 2 pushes (+41 ms, +6090 ms), no alerting ack",
        ),
        (ios().at(41), "ios-1", Cause::OnItsWay, "on its way to Apple"),
        (
            android().at(41).give(&Input::Cancel),
            "android-1",
            Cause::EndedBeforePush,
            "over at +41 ms, before Google had answered",
        ),
        (ios().times_out(), "ios-1", Cause::NoRecord, "nothing is recorded of any push"),
        (
            Scene::of(Invite { busy: true, ..invite(vec![device("ios")]) }),
            "ios-1",
            Cause::CalleeBusy,
            "bob was on another call, so nothing was pushed",
        ),
        (Scene::new(vec![without_token]), "android-1", Cause::NoToken, "holds no token that rings"),
        (
            ios().refused(None, "no-provider", "give_up"),
            "ios-1",
            Cause::NoProvider,
            "no [[push.apns]] section is for the app com.example.phone and environment production",
        ),
        (
            android().refused(None, "no-provider", "give_up"),
            "android-1",
            Cause::NoProvider,
            "no [[push.fcm]] section is for the app com.example.phone",
        ),
        (
            apple(410, "Unregistered", "drop_token"),
            "ios-1",
            Cause::TokenDead,
            "APNs answered 410 Unregistered at +52 ms: the token registered at 2026-02-02T01:40:00.000Z is dead",
        ),
        (apple(410, "ExpiredToken", "drop_token"), "ios-1", Cause::TokenDead, "APNs answered 410 ExpiredToken"),
        (
            google(404, "UNREGISTERED", "drop_token"),
            "android-1",
            Cause::TokenDead,
            "FCM answered 404 UNREGISTERED at +52 ms",
        ),
        (google(400, "INVALID_ARGUMENT", "drop_token"), "android-1", Cause::TokenInvalid, "is no token"),
        (
            apple(400, "BadDeviceToken", "drop_token"),
            "ios-1",
            Cause::RefusedInBothEnvironments,
            "production and sandbox both call its token bad",
        ),
        (
            apple(400, "BadDeviceToken", "give_up"),
            "ios-1",
            Cause::RefusedInOneEnvironment,
            "production calls its token bad, and sandbox could not be asked",
        ),
        (
            apple(400, "DeviceTokenNotForTopic", "drop_token"),
            "ios-1",
            Cause::WrongTopic,
            "its token is of another app than com.example.phone",
        ),
        (
            apple(400, "TopicDisallowed", "our_fault"),
            "ios-1",
            Cause::TopicRefused,
            "the key may not push to com.example.phone",
        ),
        (google(403, "SENDER_ID_MISMATCH", "our_fault"), "android-1", Cause::WrongProject, "another Firebase project"),
        (
            apple(403, "BadEnvironmentKeyInToken", "our_fault"),
            "ios-1",
            Cause::KeyOfOtherEnvironment,
            "the APNs key is not for production",
        ),
        (
            apple(403, "BadEnvironmentKeyIdInToken", "our_fault"),
            "ios-1",
            Cause::KeyOfOtherEnvironment,
            "the APNs key is not for production",
        ),
        (
            apple(403, "InvalidProviderToken", "our_fault"),
            "ios-1",
            Cause::CredentialRefused,
            "403 InvalidProviderToken at +52 ms: the credential",
        ),
        (google(401, "UNAUTHENTICATED", "our_fault"), "android-1", Cause::CredentialRefused, "401 UNAUTHENTICATED"),
        (
            android().at(9).refused(None, "credential-refused: the token endpoint answered 400", "our_fault"),
            "android-1",
            Cause::CredentialRefused,
            "the token endpoint answered 400 at +9 ms",
        ),
        (
            ios().refused(None, "cannot sign", "our_fault"),
            "ios-1",
            Cause::CredentialRefused,
            "APNs: cannot sign at +0 ms: the credential for the app com.example.phone is not accepted",
        ),
        (
            google(401, "THIRD_PARTY_AUTH_ERROR", "our_fault"),
            "android-1",
            Cause::ThirdPartyCredential,
            "another push service",
        ),
        (google(404, "NOT_FOUND", "our_fault"), "android-1", Cause::NoProject, "is not known"),
        (
            google(400, "INVALID_ARGUMENT", "our_fault"),
            "android-1",
            Cause::PayloadRefused,
            "the push itself is called wrong",
        ),
        (apple(413, "PayloadTooLarge", "our_fault"), "ios-1", Cause::PayloadRefused, "413 PayloadTooLarge"),
        (
            ios().refused(None, "too-many-bad-tokens", "give_up"),
            "ios-1",
            Cause::TooManyBadTokens,
            "bob registered too many tokens that Apple calls bad",
        ),
        (
            google(429, "QUOTA_EXCEEDED", "retry"),
            "android-1",
            Cause::Throttled,
            "Google takes no more pushes for a while",
        ),
        (
            failing_all_the_ring(),
            "ios-1",
            Cause::ProviderFailing,
            "APNs answered 503 ServiceUnavailable 20 times from +0 ms to +38.0 s",
        ),
        (
            ios().at(30).failing(500, "InternalServerError"),
            "ios-1",
            Cause::ProviderFailing,
            "at +30 ms; it is still being tried",
        ),
        (
            ios().at(2000).failing(None, "deadline").times_out(),
            "ios-1",
            Cause::ProviderSilent,
            "Apple did not answer in time at +2000 ms",
        ),
        (
            ios().at(2000).failing(None, "not-connected: cannot connect to api").times_out(),
            "ios-1",
            Cause::ProviderUnreachable,
            "not-connected: cannot connect to api",
        ),
        (
            ios().at(2000).failing(None, "cannot resolve api.example").times_out(),
            "ios-1",
            Cause::ProviderUnreachable,
            "cannot resolve",
        ),
        (
            ios().at(3).failing(None, "held-back: 503 ServiceUnavailable").times_out(),
            "ios-1",
            Cause::HeldBack,
            "held back at +3 ms, since Apple failed on everything",
        ),
        (apple(302, "Moved", "give_up"), "ios-1", Cause::Refused, "APNs answered 302 Moved"),
        (
            Scene::new(vec![device("web")]).times_out(),
            "web-1",
            Cause::BrowserSilent,
            "browser of bob: it was connected when the call began, and said nothing",
        ),
        (outside(device("web")), "web-1", Cause::BrowserNotConnected, "it had no event stream open"),
        (outside(later), "ios-1", Cause::RegisteredLater, "refreshed at 2026-02-02T02:40:01.000Z"),
        (hidden(), "ios-1", Cause::BlockedCaller, "bob has blocked alice"),
        (Scene { banned_at: Some(START), ..outside(device("ios")) }, "ios-1", Cause::CalleeBanned, "bob is banned"),
        (outside(device("ios")), "ios-1", Cause::NotAddressed, "for another device only"),
    ]
}

fn beside_alert(device: Device) -> Scene {
    let scene = Scene::new(vec![device]).at(41);
    let alert = scene.call.tasks.iter().find(|task| matches!(task.kind, TaskKind::RingAlert { .. })).expect("an alert");
    let (task, attempt) = (alert.id, alert.attempt);
    let result = TaskResult::Done(vec![receipt("ring_alert", TAKEN, scene.now)]);
    scene.give(&Input::TaskFinished { task, attempt, result }).taken().times_out()
}

/// Apple says 503 to each attempt, every two seconds.
fn failing_all_the_ring() -> Scene {
    let tried = (0..20).fold(ios(), |scene, number| {
        let scene = scene.at(number * 2000).failing(503, "ServiceUnavailable");
        scene.at(number * 2000 + 300).give(&Input::Wake)
    });
    tried.times_out()
}

#[test]
fn every_scene_has_its_cause_and_its_sentence() {
    for (scene, device, cause, sentence) in scenes() {
        let explanation = scene.explain();
        let found = explanation.devices.iter().find(|found| found.device.id.as_str() == device).expect("the device");
        assert_eq!(found.cause, cause, "{}", found.verdict);
        assert!(found.verdict.contains(sentence), "{cause:?}: {:?} is not in {:?}", sentence, found.verdict);
    }
}

#[test]
fn every_cause_has_a_scene_and_sentences_for_people() {
    let shown: HashSet<_> = scenes().iter().map(|(_, _, cause, _)| *cause).collect();
    let mut words = HashSet::new();
    for cause in Cause::ALL {
        assert!(shown.contains(cause), "{cause:?} has no scene");
        let word = cause.as_str();
        assert!(words.insert(word) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{word}");
        for sentence in [cause.meaning(), cause.advice()] {
            assert!(is_sentence(sentence), "{word}: {sentence:?}");
        }
    }
    for (scene, ..) in scenes() {
        let explanation = scene.explain();
        assert!(is_sentence(&explanation.summary), "{:?}", explanation.summary);
        for found in explanation.devices {
            let (who, what) = found.verdict.split_once(" of bob: ").expect("whose device");
            assert!(["iPhone", "Android phone", "browser"].contains(&who), "{who}");
            assert!(what.ends_with('.') && !what.contains("..") && !what.contains("  "), "{what:?}");
        }
    }
}

fn is_sentence(text: &str) -> bool {
    text.len() > 10 && text.ends_with('.') && text.trim() == text && !text.contains("  ")
}

#[test]
fn a_dead_token_is_dead_since_the_providers_word_for_it() {
    let mut scene = apple(410, "Unregistered", "drop_token");
    scene.call.legs[0].receipts[0].dead_since = Some(START - Duration::from_mins(5));
    let verdict = scene.explain().devices.remove(0).verdict;
    let expected =
        "iPhone of bob: APNs answered 410 Unregistered at +52 ms: its token is dead since 2026-02-02T02:35:00.000Z.";
    assert_eq!(verdict, expected);
}

#[test]
fn no_sentence_has_a_push_token() {
    for (scene, ..) in scenes() {
        let explanation = scene.explain();
        let texts = explanation.devices.iter().map(|found| &found.verdict).chain([&explanation.summary]);
        assert!(texts.into_iter().all(|text| !text.contains("5ec2e7")));
    }
}

#[test]
fn a_compacted_record_still_tells_why() {
    for (scene, device, cause, _) in scenes().into_iter().filter(|(scene, ..)| scene.call.is_ended()) {
        let mut scene = scene;
        scene.call.compact();
        let explanation = scene.explain();
        let found = explanation.devices.iter().find(|found| found.device.id.as_str() == device).expect("the device");
        assert_eq!(found.cause, cause, "{}", found.verdict);
    }
}

#[test]
fn the_summary_says_how_the_call_went() {
    let answered = || two().at(900).alerting("ios-1").at(4000).give(&Input::Answer(id("ios-1")));
    let unknown = |reason| {
        let mut scene = two();
        scene.call.end(reason, scene.now);
        scene
    };
    for (scene, sentence) in vec![
        (two(), "No device of bob has said yet that it rings."),
        (two().at(900).alerting("ios-1"), "ios-1 rings for alice's call; nobody has answered yet."),
        (answered(), "bob answered on ios-1 at +4000 ms, and the call goes on."),
        (
            two().at(900).give(&Input::InvitedBack(None)),
            "bob called alice at the same moment, which answered at +900 ms, and the call goes on.",
        ),
        (
            answered().at(65_000).give(&Input::HangUp(user("bob"))),
            "bob answered on ios-1 at +4000 ms, and the call was hung up at +65.0 s, after 0 s of talk.",
        ),
        (Scene::new(vec![]), "bob had no registered device that could be rung."),
        (Scene { banned_at: Some(START), ..Scene::new(vec![]) }, "bob is banned, so no device was rung."),
        (apple(410, "Unregistered", "drop_token"), "No device of bob could be rung: the last of 1 failed after 52 ms."),
        (
            Scene::of(Invite { busy: true, ..invite(vec![device("ios")]) }),
            "bob was on another call, so no device was rung.",
        ),
        (
            ios().at(2000).give(&Input::Decline(id("ios-1"), DeclineReason::Busy)),
            "Every device that could have answered said that bob is on another call; the call ended at +2000 ms.",
        ),
        (
            hidden(),
            "bob has blocked alice, so nothing was pushed, and alice cannot tell it from a call that nobody answers.",
        ),
        (
            two().at(900).give(&Input::Banned(user("alice"))),
            "A party was banned at +900 ms, which ended the call; no device had said that it rings.",
        ),
        (
            ios().at(900).give(&Input::Decline(id("ios-1"), DeclineReason::Declined)),
            "bob declined on ios-1 at +900 ms.",
        ),
        (two().at(900).give(&Input::HangUp(user("bob"))), "bob declined at +900 ms."),
        (two().at(900).give(&Input::Cancel), "alice gave up at +900 ms; no device had said that it rings."),
        (
            two().at(900).alerting("ios-1").at(950).alerting("android-1").times_out(),
            "Nobody answered within 45 s; it rang on ios-1 and android-1.",
        ),
        (unknown(EndReason::Failed), "The gateway could not go on at +60 ms; its log says why."),
    ] {
        assert_eq!(scene.explain().summary, sentence);
    }
    for (reason, part) in [
        (EndReason::NotConnected, "but the two were not both in the room within 20 s"),
        (EndReason::ConnectionLost, "a party was lost"),
        (EndReason::MaxDuration, "as long as calls may last"),
    ] {
        let mut scene = answered();
        scene.call.end(reason, scene.now);
        assert!(scene.explain().summary.contains(part), "{}", scene.explain().summary);
    }
}

#[test]
fn an_ack_and_a_stop_are_told_apart() {
    let scene = two().at(900).alerting("ios-1").at(4000).give(&Input::Answer(id("android-1")));
    let explanation = scene.explain();
    let [iphone, pixel] = &explanation.devices[..] else { panic!("two devices") };
    let ack = iphone.ack.as_ref().expect("an ack");
    assert_eq!((ack.kind, ack.at), ("alerting", Some(START + Duration::from_millis(900))));
    let stop = iphone.stop.as_ref().expect("a stop");
    assert_eq!((stop.reason, stop.at), (Some("answered_elsewhere"), Some(START + Duration::from_secs(4))));
    assert_eq!((stop.told_by, pixel.ack.as_ref().map(|ack| ack.kind), &pixel.stop), (None, Some("answered"), &None));
}

#[test]
fn the_page_about_pushes_has_every_cause_with_its_advice_in_the_same_order() {
    let page = include_str!("../../../docs/PUSH.md");
    let (_, section) = page.split_once("## Why a phone did not ring").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let table: Vec<_> = Cause::ALL
        .iter()
        .map(|cause| format!("| `{}` | {} | {} |", cause.as_str(), cause.meaning(), cause.advice()))
        .collect();
    assert!(rows == table, "the table should be:\n{}", table.join("\n"));
}
