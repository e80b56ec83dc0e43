//! Records to explain: a call of alice to bob that is stepped on.

use std::time::Duration;

use crate::domain::explain::{Around, Explanation, explain};
use crate::domain::*;

pub(super) const START: Timestamp = Timestamp::from_millis(1_770_000_000_000);
pub(super) const RING: Duration = Duration::from_secs(45);

/// A call of alice to bob that is stepped on, each input so many milliseconds after the invite.
pub(super) struct Scene {
    pub(super) call: Call,
    pub(super) devices: Vec<Device>,
    pub(super) banned_at: Option<Timestamp>,
    pub(super) now: Timestamp,
}

pub(super) fn user(id: &str) -> UserId {
    UserId::new(id).expect("a user id")
}

pub(super) fn id(device: &str) -> DeviceId {
    DeviceId::new(device).expect("a device id")
}

pub(super) fn device(platform: &str) -> Device {
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
pub(super) fn known(platform: &str) -> Device {
    let mut device = device(platform);
    device.acks.since = Some(START - Duration::from_hours(24));
    device
}

pub(super) fn party(id: &str) -> Party {
    Party { id: user(id), name: None, avatar: None, unknown: Unknown::default() }
}

pub(super) fn invite(devices: Vec<Device>) -> Invite {
    let rules = serde_json::json!({
        "connect_timeout_ms": 20_000, "reconnect_grace_ms": 30_000, "max_duration_ms": 60_000, "retention_ms": 86_400_000,
        "decline": "call", "missed_call": false, "presence": true,
        "push": {"repush_after_ms": 6000, "repush_max": 2, "voip_budget": 5},
    });
    Invite {
        id: CallId::parse("019c1bd2-9400-7c3a-8c3a-0192f3d17c3a").expect("a call id"),
        caller: party("alice"),
        caller_device: None,
        callee_device: None,
        callee: user("bob"),
        media: Media::Audio,
        room: "room".to_owned(),
        metadata: None,
        rules: serde_json::from_value(rules).expect("rules"),
        ring_until: START + RING,
        devices,
        busy: false,
        hidden: false,
    }
}

pub(super) fn receipt(push: &str, answer: (Option<u16>, &str, &str), at: Timestamp) -> Receipt {
    let (status, reason, verdict) = answer;
    Receipt {
        at,
        provider: "apns".into(),
        push: push.to_owned().into(),
        status,
        reason: reason.to_owned(),
        latency_ms: 30,
        number: 1,
        attempt: 1,
        verdict: verdict.to_owned().into(),
        ..Receipt::default()
    }
}

pub(super) const TAKEN: (Option<u16>, &str, &str) = (Some(200), "", "accepted");

impl Scene {
    pub(super) fn new(devices: Vec<Device>) -> Self {
        Self::of(invite(devices))
    }

    pub(super) fn of(invite: Invite) -> Self {
        Self { call: begin(invite, START), devices: Vec::new(), banned_at: None, now: START }
    }

    pub(super) fn at(mut self, ms: u64) -> Self {
        self.now = START + Duration::from_millis(ms);
        self
    }

    pub(super) fn give(mut self, input: &Input) -> Self {
        match step(&self.call, input, self.now).expect("an input that is allowed") {
            Outcome::Applied(call) => self.call = *call,
            Outcome::Ignored(why) => panic!("{} was ignored: {why}", input.name()),
        }
        self
    }

    /// The ring that is open has this result, about the first device that has one.
    pub(super) fn ring(self, result: impl FnOnce(Receipt) -> TaskResult, answer: (Option<u16>, &str, &str)) -> Self {
        let open = self.call.tasks.iter().find(|task| matches!(task.kind, TaskKind::Ring { .. }) && task.attempt > 0);
        let (task, attempt, number) = match open.expect("an open ring") {
            Task { id, attempt, kind: TaskKind::Ring { number, .. }, .. } => (*id, *attempt, *number),
            _ => unreachable!(),
        };
        let result = result(Receipt { number, attempt, ..receipt("ring", answer, self.now) });
        self.give(&Input::TaskFinished { task, attempt, result })
    }

    pub(super) fn taken(self) -> Self {
        self.ring(|receipt| TaskResult::Done(vec![receipt]), TAKEN)
    }

    pub(super) fn refused(self, status: impl Into<Option<u16>>, reason: &str, verdict: &str) -> Self {
        self.ring(|receipt| TaskResult::Failed(vec![receipt]), (status.into(), reason, verdict))
    }

    pub(super) fn failing(self, status: impl Into<Option<u16>>, reason: &str) -> Self {
        self.ring(
            |receipt| TaskResult::Retry(Duration::from_millis(200), vec![receipt]),
            (status.into(), reason, "retry"),
        )
    }

    pub(super) fn alerting(self, device: &str) -> Self {
        self.give(&Input::DeviceAlerting(id(device)))
    }

    pub(super) fn not_rung(self, device: &str, reason: &str) -> Self {
        self.give(&Input::DeviceNotRung(id(device), reason.to_owned()))
    }

    pub(super) fn times_out(self) -> Self {
        self.at(45_000).give(&Input::Wake)
    }

    pub(super) fn explain(&self) -> Explanation<'_> {
        explain(&self.call, &Around { devices: &self.devices, callee_banned_at: self.banned_at, now: self.now })
    }
}

pub(super) fn ios() -> Scene {
    Scene::new(vec![device("ios")])
}

pub(super) fn android() -> Scene {
    Scene::new(vec![device("android")])
}

/// An iPhone whose only push Apple refused.
pub(super) fn apple(status: u16, reason: &str, verdict: &str) -> Scene {
    ios().at(52).refused(status, reason, verdict)
}

/// An Android phone whose only push Google refused.
pub(super) fn google(status: u16, reason: &str, verdict: &str) -> Scene {
    android().at(52).refused(status, reason, verdict)
}

/// What the device said, and who answered elsewhere.
pub(super) fn two() -> Scene {
    Scene::new(vec![device("ios"), device("android")]).at(41).taken().at(60).taken()
}

pub(super) fn hidden() -> Scene {
    let mut scene = Scene::of(Invite { hidden: true, ..invite(vec![device("ios")]) });
    scene.devices = vec![device("ios")];
    scene
}

/// A device that bob has now, of a call that it takes no part in.
pub(super) fn outside(device: Device) -> Scene {
    let mut scene = Scene::new(vec![known("android")]);
    scene.devices = vec![device];
    scene
}
