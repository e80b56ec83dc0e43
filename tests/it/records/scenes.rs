//! Calls in every state and after every end that the state machine knows, with every field that a record can have.
//!
//! Ann calls Bob. Nothing in them is anybody's: people, devices and tokens are made up.

use std::time::Duration;

use bellwire::domain::recording::{AskedBy, Content};
use bellwire::domain::{
    Acks, Call, CallId, DeclineReason, DeclineScope, EndpointId, Environment, Input, Invite, Job, Media, Outcome,
    Platform, PushRules, Receipt, Subscribers, TaskResult, Timestamp, TraceParent, Unknown, begin, step,
};
use bellwire::store::codec;
use serde_json::json;

use super::jobs;
use crate::store_laws::fixture::{device_id, rules, user};

/// When each of these calls begins.
pub const START: Timestamp = Timestamp::from_millis(1_770_000_000_000);
const RING: Duration = Duration::from_secs(45);

/// Every scene as a record, by name.
pub fn records() -> Vec<(String, Vec<u8>)> {
    let record = |call: &Call, commit: &str| codec::encode(call, commit).expect("a record");
    let calls = scenes().into_iter().map(|(name, call)| (name.to_owned(), record(&call, "")));
    let job = |job: &Job, commit: &str| codec::encode_job(job, commit).expect("a record");
    let jobs = jobs::scenes().into_iter().map(|(name, scene)| (name, job(&scene, "")));
    let on_redis = "00000000f1c7f1c7";
    let others = [
        ("on-redis", record(&Scene::new().call, on_redis)),
        ("job-on-redis", job(&jobs::scenes()[0].1, on_redis)),
        ("tombstone", codec::TOMBSTONE.to_vec()),
    ];
    calls.chain(jobs).chain(others.map(|(name, record)| (name.to_owned(), record))).collect()
}

fn scenes() -> Vec<(&'static str, Call)> {
    vec![
        ("calling", Scene::new().call),
        ("ringing", Scene::ringing().call),
        ("active", Scene::connected().call),
        ("active-asking", asking().call),
        ("active-unlisted", unlisted().call),
        ("ended-completed", Scene::connected().then(Input::HangUp(user("bob"))).call),
        ("ended-declined", Scene::ringing().then(declined("iphone-1")).call),
        ("ended-cancelled", Scene::ringing().then(Input::Cancel).call),
        ("ended-timed-out", Scene::ringing().wait(RING).then(Input::Wake).call),
        ("ended-busy", busy().call),
        ("ended-unreachable", unreachable().call),
        ("ended-not-connected", alone(Scene::new().then(Input::Answer(device_id("iphone-1")))).call),
        ("ended-connection-lost", alone(Scene::connected().then(left("bob", "bob-2", "CONNECTION_TIMEOUT"))).call),
        ("ended-max-duration", Scene::connected().wait(Duration::from_hours(5)).then(Input::Wake).call),
        ("ended-banned", Scene::ringing().then(Input::Banned(user("ann"))).call),
        ("compacted", compacted().call),
        ("pushed-again", pushed_again().call),
        ("kept-silent", kept_silent().call),
        ("to-one-device", to_one_device().call),
        ("ended-told", told().call),
        ("room-opening", Scene::of(with_room()).call),
        ("room-checked", checked().call),
        ("room-closing", checked().then(Input::Banned(user("bob"))).call),
        ("browser-gone", Scene::new().then(Input::DeviceGone(device_id("web-1"))).call),
        ("recording-begins", recorded(&[]).call),
        ("recording-on", recorded(&[STARTED]).call),
        ("recording-stopped", recorded(&[STARTED, Input::RecordingStopped(1)]).call),
        ("recording-ended", recorded(&[STARTED, Input::HangUp(user("bob"))]).call),
        ("recorded-by-policy", recorded_by_policy().call),
        ("traced", traced().call),
        ("hidden", Scene::of(Invite { hidden: true, ..invite() }).call),
    ]
}

/// A call and the time.
pub struct Scene {
    pub call: Call,
    now: Timestamp,
}

impl Scene {
    pub fn new() -> Self {
        Self::of(invite())
    }

    fn of(invite: Invite) -> Self {
        Self { call: begin(invite, START), now: START }
    }

    /// The iPhone rings, the push to the Pixel is to be repeated, and the iPad says that it may not ring.
    fn ringing() -> Self {
        Self::new()
            .finish(1, TaskResult::Done(vec![receipt("apns", 200, "accepted")]))
            .finish(2, TaskResult::Retry(Duration::from_secs(1), vec![receipt("fcm", 503, "UNAVAILABLE")]))
            .then(Input::DeviceAlerting(device_id("iphone-1")))
            .then(Input::DeviceNotRung(device_id("ipad-1"), "do_not_disturb".to_owned()))
    }

    /// The iPhone has answered, and both are in the room, Bob for the second time.
    fn connected() -> Self {
        Self::ringing()
            .then(Input::Answer(device_id("iphone-1")))
            .then(Input::ParticipantJoined(user("ann"), "ann-1".to_owned()))
            .then(Input::ParticipantJoined(user("bob"), "bob-1".to_owned()))
            .wait(Duration::from_secs(61))
            .then(left("bob", "bob-1", "CLIENT_INITIATED"))
            .then(Input::ParticipantJoined(user("bob"), "bob-2".to_owned()))
    }

    fn wait(mut self, time: Duration) -> Self {
        self.now = self.now + time;
        self
    }

    /// An input, a moment later; it must change something.
    #[expect(clippy::needless_pass_by_value, reason = "inputs are made where they are given")]
    fn then(mut self, input: Input) -> Self {
        self.now = self.now + Duration::from_millis(40);
        match step(&self.call, &input, self.now) {
            Ok(Outcome::Applied(next)) => Self { call: Call { version: self.call.version + 1, ..*next }, ..self },
            other => panic!("{}: {other:?}", input.name()),
        }
    }

    fn finish(self, task: u32, result: TaskResult) -> Self {
        self.then(Input::TaskFinished { task, attempt: 1, result })
    }

    /// Every open task is done.
    fn settle(mut self) -> Self {
        while let Some(task) = self.call.tasks.first() {
            let (task, attempt) = (task.id, task.attempt);
            self = self.then(Input::TaskFinished { task, attempt, result: TaskResult::Done(Vec::new()) });
        }
        self
    }
}

/// LiveKit could not be asked who is there, and is asked again.
fn asking() -> Scene {
    let asked = Scene::connected().settle().then(left("ann", "ann-1", "CONNECTION_TIMEOUT")).then(Input::RoomFinished);
    let task = asked.call.tasks[0].id;
    asked.finish(task, TaskResult::Failed(Vec::new())).then(Input::RoomFinished)
}

/// LiveKit's list lacks Bob, of whom no webhook has told that he left.
fn unlisted() -> Scene {
    let asked = Scene::connected().settle().then(Input::PresenceDoubted);
    let task = asked.call.tasks[0].id;
    asked.finish(task, TaskResult::Present(vec![(user("ann"), "ann-1".to_owned())]))
}

/// LiveKit says that nobody else has come, or come back.
fn alone(scene: Scene) -> Scene {
    let asked = scene.settle().wait(Duration::from_mins(1)).then(Input::Wake);
    let task = asked.call.tasks[0].id;
    asked.finish(task, TaskResult::Present(vec![(user("ann"), "ann-1".to_owned())]))
}

/// Every device has another call, and this one is of sound alone.
fn busy() -> Scene {
    let devices = ["ipad-1", "pixel-1", "pixel-2", "web-1", "iphone-1"];
    let call = Scene::of(Invite { media: Media::Audio, ..invite() });
    devices.into_iter().fold(call, |scene, device| scene.then(Input::Decline(device_id(device), DeclineReason::Busy)))
}

/// Apple knows none of the devices any more; had one declined, the others would have rung on.
fn unreachable() -> Scene {
    let refused = || TaskResult::Failed(vec![receipt("apns", 410, "Unregistered")]);
    let mut invite = invite();
    invite.rules.decline = DeclineScope::Device;
    invite.devices.retain(|device| device.platform == Platform::Ios);
    Scene::of(invite).finish(1, refused()).finish(2, refused())
}

/// With every push that there can be: the Pixel, known to ack, waits for the next one, and an alert goes beside the iPhone's.
fn pushed_again() -> Scene {
    let mut invite = invite();
    invite.rules.push = PushRules {
        repush_after_ms: 6_000,
        repush_max: 2,
        repush_ios_after_ms: Some(10_000),
        cancel_by_voip: true,
        voip_budget: 2,
        unknown: Unknown::default(),
    };
    for device in &mut invite.devices {
        let (since, call) = (Some(START - Duration::from_hours(1)), Some(invite.id));
        device.acks = Acks { since, silent: 2, call, unknown: Unknown::default() };
    }
    let again = |ms: u64, environment| Receipt {
        at: START + Duration::from_millis(ms),
        again: 1,
        since: Some(START + Duration::from_millis(40)),
        environment,
        verdict: "retry".into(),
        ..receipt("apns", 503, "ServiceUnavailable")
    };
    // The rings are the first tasks, the alert among them.
    Scene::of(invite)
        .finish(1, TaskResult::Retry(Duration::from_secs(1), vec![again(80, Some(Environment::Sandbox))]))
        .finish(2, TaskResult::Retry(Duration::from_secs(1), vec![again(90, Some(Environment::Production))]))
        .finish(3, TaskResult::Done(vec![receipt("fcm", 200, "")]))
        .then(Input::DeviceContacted(device_id("iphone-1")))
        .then(Input::DeviceNotRung(device_id("ipad-1"), "do_not_disturb".to_owned()))
}

/// The iPhone was in touch and silent until the caller gave up, and the Pixel came too late.
fn kept_silent() -> Scene {
    pushed_again().then(Input::Cancel).then(Input::DeviceLate(device_id("pixel-1")))
}

/// The backend tries whether the Pixel rings.
fn to_one_device() -> Scene {
    let pixel = device_id("pixel-1");
    let mut invite = Invite { callee_device: Some(pixel.clone()), ..invite() };
    invite.devices.retain(|device| device.id == pixel);
    Scene::of(invite)
}

/// The caller waited in the room and gave up, of which the backend is told at two endpoints.
fn told() -> Scene {
    let mut invite = invite();
    let endpoints = ["0011223344556677", "8899aabbccddeeff"].map(|id| EndpointId::new(id).expect("an endpoint"));
    let (ended, missed) = (endpoints.to_vec(), endpoints[1..].to_vec());
    invite.rules.webhooks = Subscribers { ended, missed, unknown: Unknown::default() };
    Scene::of(invite).then(Input::ParticipantJoined(user("ann"), "ann-1".to_owned())).then(Input::Cancel)
}

/// With a room that the gateway makes and closes, and asks about.
fn with_room() -> Invite {
    let mut invite = invite();
    invite.rules.rooms = true;
    invite.rules.ask_every_ms = 300_000;
    invite
}

/// Both are in the room, Bob in his second session, and LiveKit has said so.
fn checked() -> Scene {
    let talking = Scene::of(with_room())
        .settle()
        .then(Input::Answer(device_id("iphone-1")))
        .then(Input::ParticipantJoined(user("ann"), "ann-1".to_owned()))
        .then(Input::ParticipantJoined(user("bob"), "bob-1".to_owned()))
        .wait(Duration::from_secs(61))
        .then(left("bob", "bob-1", "SIGNAL_CLOSE"))
        .then(Input::ParticipantJoined(user("bob"), "bob-2".to_owned()))
        .settle();
    let asked = talking.then(Input::PresenceDoubted);
    let task = asked.call.tasks[0].id;
    asked.finish(task, TaskResult::Present(vec![(user("ann"), "ann-1".to_owned()), (user("bob"), "bob-2".to_owned())]))
}

const STARTED: Input = Input::RecordingStarted(1, Content::Composite);

/// Ann has the call recorded, and then this happens.
fn recorded(then: &[Input]) -> Scene {
    let asked = Scene::connected().then(Input::RecordingAsked(AskedBy::Party(user("ann"))));
    then.iter().fold(asked, |scene, input| scene.then(input.clone()))
}

/// Every call is recorded, and this one could not be.
fn recorded_by_policy() -> Scene {
    let mut invite = invite();
    invite.rules.record = true;
    let answered = Scene::of(invite).settle().then(Input::Answer(device_id("iphone-1")));
    let joined = |who: &str| Input::ParticipantJoined(user(who), format!("{who}-1"));
    answered.then(joined("ann")).then(joined("bob")).then(Input::RecordingFailed(1))
}

fn compacted() -> Scene {
    let ended = Scene::ringing().then(declined("pixel-1")).settle();
    ended.wait(Duration::from_mins(11)).then(Input::Wake)
}

fn declined(device: &str) -> Input {
    Input::Decline(device_id(device), DeclineReason::Declined)
}

fn left(who: &str, session: &str, reason: &str) -> Input {
    Input::ParticipantLeft { user: user(who), session: session.to_owned(), reason: reason.to_owned() }
}

fn receipt(provider: &str, status: u16, reason: &str) -> Receipt {
    Receipt {
        at: START + Duration::from_millis(80),
        provider: provider.to_owned().into(),
        push: "ring".into(),
        status: Some(status),
        reason: reason.to_owned(),
        provider_id: Some("00000000-0000-4000-8000-00000000f1c7".to_owned()),
        latency_ms: 41,
        number: 1,
        attempt: 1,
        ..Receipt::default()
    }
}

/// One that its caller's app traces.
fn traced() -> Scene {
    let trace = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let mut scene = Scene::new();
    scene.call.trace = trace;
    scene
}

fn invite() -> Invite {
    let devices = json!([
        {"id": "iphone-1", "platform": "ios", "voip_token": "decafbad".repeat(8), "alert_token": "0badf00d".repeat(8),
            "name": "Bob's iPhone", "locale": "tr-TR", "app_version": "3.1.0"},
        {"id": "pixel-1", "platform": "android", "fcm_token": "fictitious-fcm-token-of-pixel-1", "name": "Pixel \"6\""},
        {"id": "ipad-1", "platform": "ios", "alert_token": "facade00".repeat(8), "ios_push_mode": "alert",
            "environment": "sandbox"},
        {"id": "pixel-2", "platform": "android", "fcm_fid": "fictitious-fid-of-pixel-2"},
        {"id": "web-1", "platform": "web"},
    ]);
    let device = |mut device: serde_json::Value| {
        device["app"] = json!("com.example.phone");
        device["registered_at"] = json!(START - Duration::from_hours(24));
        device
    };
    let devices: Vec<_> = devices.as_array().expect("an array").iter().cloned().map(device).collect();
    Invite {
        id: CallId::parse("019c1b2a-f1c7-7000-8000-00000000f1c7").expect("a call id"),
        caller: serde_json::from_value(
            json!({"id": "ann", "name": "Ann Änderung", "avatar": "https://example.com/ann.png"}),
        )
        .expect("a party"),
        caller_device: Some(device_id("ann-phone")),
        callee_device: None,
        callee: user("bob"),
        media: Media::Video,
        room: "bw_fictitious_room".to_owned(),
        metadata: Some(json!({"thread": "42", "of": [1, null, {"deep": true}]}).into()),
        rules: rules(),
        ring_until: START + RING,
        devices: serde_json::from_value(devices.into()).expect("devices"),
        busy: false,
        hidden: false,
    }
}
