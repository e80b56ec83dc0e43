//! The domain from outside: the table of `docs/STATE-MACHINE.md`, its rules one by one, and what holds in any history.
//!
//! Here are the call that the tests begin with and a stage on which inputs are given to it. Alice calls Bob, who has
//! an iPhone and a Pixel.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "Clippy knows a test by its attribute, not the functions that help it"
)]

mod again;
mod gone;
mod histories;
mod presence;
mod properties;
mod receipts;
mod recordings;
mod ring;
mod rooms;
mod scenes;
mod table;
mod task;
mod timing;

use std::time::Duration;

use bellwire::domain::{
    Acks, AppId, Call, CallId, DeclineReason, DeclineScope, Device, DeviceId, Environment, Input, Invite, IosPushMode,
    LegState, Media, Outcome, Party, Platform, PushRules, PushToken, Receipt, RefusalReason, Rules, State, TaskKind,
    TaskResult, Timestamp, Unknown, UserId, begin, step,
};

use crate::rules::rules;

/// When the call of these tests begins.
const START: Timestamp = Timestamp::from_millis(1_770_000_000_000);
const RING: Duration = Duration::from_secs(45);
const CONNECT: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_hours(4);
const RETENTION: Duration = Duration::from_hours(7 * 24);
const IPHONE: &str = "iphone-1";
const PIXEL: &str = "pixel-1";
const BROWSER: &str = "web-1";

fn id(device: &str) -> DeviceId {
    DeviceId::new(device).expect("a device id")
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a user id")
}

fn token(text: &str) -> PushToken {
    PushToken::new(text).expect("a token")
}

fn device(name: &str, platform: Platform) -> Device {
    let ios = platform == Platform::Ios;
    Device {
        id: id(name),
        platform,
        app: AppId::new("com.example.phone").expect("an app id"),
        environment: Environment::Production,
        voip_token: ios.then(|| token(&"a1".repeat(32))),
        alert_token: ios.then(|| token(&"b2".repeat(32))),
        fcm_token: (platform == Platform::Android).then(|| token(&"f".repeat(163))),
        fcm_fid: None,
        ios_push_mode: IosPushMode::Voip,
        name: Some(format!("Bob's {name}")),
        locale: Some("tr-TR".to_owned()),
        app_version: Some("3.1.0".to_owned()),
        acks: Acks::default(),
        registered_at: START,
        unknown: Unknown::default(),
    }
}

fn invite() -> Invite {
    Invite {
        id: CallId::parse("019a3c5e-7c3a-7c3a-8c3a-0192f3d17c3a").expect("a call id"),
        caller: Party { id: user("alice"), name: Some("Alice".to_owned()), avatar: None, unknown: Unknown::default() },
        caller_device: Some(id("alice-phone")),
        callee_device: None,
        callee: user("bob"),
        media: Media::Video,
        room: "bw_test_room".to_owned(),
        metadata: Some(serde_json::json!({"thread": "42"}).into()),
        rules: rules(),
        ring_until: START + RING,
        devices: vec![device(IPHONE, Platform::Ios), device(PIXEL, Platform::Android)],
        busy: false,
        hidden: false,
    }
}

fn decline_ends_the_device(mut invite: Invite) -> Invite {
    invite.rules.decline = DeclineScope::Device;
    invite
}

/// With a VoIP budget of two rings.
fn counted(mut invite: Invite) -> Invite {
    invite.rules.push.voip_budget = 2;
    invite
}

/// With rooms that are made and closed for calls, and LiveKit asked every five minutes.
fn with_rooms(mut invite: Invite) -> Invite {
    invite.rules.rooms = true;
    invite.rules.ask_every_ms = 300_000;
    invite
}

fn answer(device: &str) -> Input {
    Input::Answer(id(device))
}

fn alerting(device: &str) -> Input {
    Input::DeviceAlerting(id(device))
}

fn not_rung(device: &str) -> Input {
    Input::DeviceNotRung(id(device), "do_not_disturb".to_owned())
}

fn gone() -> Input {
    Input::DeviceGone(id(BROWSER))
}

fn back() -> Input {
    Input::DeviceBack(id(BROWSER))
}

fn declined(device: &str) -> Input {
    Input::Decline(id(device), DeclineReason::Declined)
}

fn busy(device: &str) -> Input {
    Input::Decline(id(device), DeclineReason::Busy)
}

fn joined(who: &str, session: &str) -> Input {
    Input::ParticipantJoined(user(who), session.to_owned())
}

/// A party leaves by themselves.
fn left(who: &str, session: &str) -> Input {
    Input::ParticipantLeft { user: user(who), session: session.to_owned(), reason: "CLIENT_INITIATED".to_owned() }
}

/// A party is lost.
fn lost(who: &str, session: &str) -> Input {
    Input::ParticipantLeft { user: user(who), session: session.to_owned(), reason: "SIGNAL_CLOSE".to_owned() }
}

/// A party's session ends, for it goes on in another one.
fn replaced(who: &str, session: &str) -> Input {
    Input::ParticipantLeft { user: user(who), session: session.to_owned(), reason: "DUPLICATE_IDENTITY".to_owned() }
}

/// LiveKit's list has these users, each in their first session: `A1` for Alice.
fn present(users: &[&str]) -> TaskResult {
    let first = |name: &&str| (user(name), format!("{}1", name[..1].to_uppercase()));
    TaskResult::Present(users.iter().map(first).collect())
}

/// LiveKit's list has these users in these sessions.
fn listed(users: &[(&str, &str)]) -> TaskResult {
    TaskResult::Present(users.iter().map(|(name, session)| (user(name), (*session).to_owned())).collect())
}

fn receipt(reason: &str, at: Timestamp) -> Receipt {
    Receipt {
        at,
        provider: "apns".into(),
        push: "ring".into(),
        status: Some(200),
        reason: reason.to_owned(),
        provider_id: Some("8f14e45f-ceea-467f-a83c-1b0c7e3e1a55".to_owned()),
        latency_ms: 41,
        number: 1,
        attempt: 1,
        ..Receipt::default()
    }
}

/// A task in a few words: `ring iphone-1`, `ring iphone-1 #2`, `alert iphone-1`, `stop pixel-1: cancelled`, `missed iphone-1`, `free alice`, `ask`, `open room`,
/// `close room`, `close room without alice`.
fn name(kind: &TaskKind) -> String {
    match kind {
        TaskKind::Ring { device, number: 1, .. } => format!("ring {device}"),
        TaskKind::Ring { device, number, .. } => format!("ring {device} #{number}"),
        TaskKind::RingAlert { device, .. } => format!("alert {device}"),
        TaskKind::StopRing { device, reason, .. } => format!("stop {device}: {}", reason.as_str()),
        TaskKind::NotifyMissed { device, .. } => format!("missed {device}"),
        TaskKind::FreeLine { user } => format!("free {user}"),
        TaskKind::AskPresence => "ask".to_owned(),
        TaskKind::OpenRoom => "open room".to_owned(),
        TaskKind::CloseRoom { eject: None } => "close room".to_owned(),
        TaskKind::CloseRoom { eject: Some(user) } => format!("close room without {user}"),
        TaskKind::Report { event, endpoint } => format!("tell {endpoint}: {event}"),
        TaskKind::Account => "account".to_owned(),
        TaskKind::StartRecording => "start recording".to_owned(),
        TaskKind::StopRecording => "stop recording".to_owned(),
    }
}

/// A call and the time.
#[derive(Clone)]
struct Stage {
    call: Call,
    now: Timestamp,
}

impl Stage {
    fn new(invite: Invite) -> Self {
        Self { call: begin(invite, START), now: START }
    }

    /// Alice's call, answered by the iPhone, with both in the room and nothing left to do.
    fn connected() -> Self {
        let mut stage = Self::new(invite());
        stage.settle().all([alerting(IPHONE), answer(IPHONE), joined("alice", "A1"), joined("bob", "B1")]).settle();
        stage
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        self
    }

    /// Gives an input that may be ignored but not refused; says whether it changed anything.
    #[expect(clippy::needless_pass_by_value, reason = "most inputs are made where they are given")]
    fn give(&mut self, input: Input) -> bool {
        match step(&self.call, &input, self.now) {
            Ok(Outcome::Applied(next)) => {
                self.call = *next;
                true
            }
            Ok(Outcome::Ignored(_)) => false,
            Err(refusal) => panic!("{refusal}"),
        }
    }

    fn all<const N: usize>(&mut self, inputs: [Input; N]) -> &mut Self {
        for input in inputs {
            self.give(input);
        }
        self
    }

    fn refuses(&self, input: &Input) -> RefusalReason {
        step(&self.call, input, self.now).expect_err("a refusal").why
    }

    /// The task of this name, with its attempt.
    fn task(&self, wanted: &str) -> (u32, u32) {
        let found = self.call.tasks.iter().find(|task| name(&task.kind) == wanted);
        let task = found.unwrap_or_else(|| panic!("no task {wanted} in {:?}", self.tasks()));
        (task.id, task.attempt)
    }

    /// The current attempt of a task has a result.
    fn finish(&mut self, task: &str, result: TaskResult) -> bool {
        let (task, attempt) = self.task(task);
        self.give(Input::TaskFinished { task, attempt, result })
    }

    /// Every open task is done.
    fn settle(&mut self) -> &mut Self {
        for task in self.call.tasks.clone() {
            self.give(Input::TaskFinished {
                task: task.id,
                attempt: task.attempt,
                result: TaskResult::Done(Vec::new()),
            });
        }
        self
    }

    /// Goes on to the next wake-up, and wakes the call.
    fn wake(&mut self) -> bool {
        self.now = self.now.max(self.call.wake_up().at);
        self.give(Input::Wake)
    }

    fn tasks(&self) -> Vec<String> {
        self.call.tasks.iter().map(|task| name(&task.kind)).collect()
    }

    fn leg(&self, device: &str) -> LegState {
        self.call.leg(&id(device)).expect("a leg").state
    }

    /// The names of the events, without `call.`.
    fn events(&self) -> Vec<String> {
        let events = self.call.events.iter().map(|event| serde_json::to_value(event).expect("JSON"));
        events.map(|event| event["type"].as_str().expect("a name").replace("call.", "")).collect()
    }

    /// The state, with the reason if it has ended.
    fn stands(&self) -> String {
        match (self.call.state, self.call.end_reason) {
            (State::Ended, Some(reason)) => format!("ended ({reason})"),
            (state, None) => state.to_string(),
            (state, Some(reason)) => panic!("{state} with the reason {reason}"),
        }
    }
}
