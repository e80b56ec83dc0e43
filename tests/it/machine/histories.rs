//! Random histories of a call: how it begins, who does what, and how long they wait before it.
//!
//! A turn becomes an input only when it is played, since what a task's result can say depends on the record. What must hold is
//! `properties`' affair.

use bellwire::domain::recording::{AskedBy, Content};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// The devices of Bob; a call begins with the first few, and the others may come late.
const DEVICES: [(&str, Platform); 5] = [
    (IPHONE, Platform::Ios),
    (PIXEL, Platform::Android),
    ("tab-1", Platform::Web),
    ("ipad-1", Platform::Ios),
    ("pixel-2", Platform::Android),
];

#[derive(Debug, Clone)]
pub(super) struct Turn {
    wait: Wait,
    act: Act,
}

#[derive(Debug, Clone)]
enum Wait {
    For(Duration),
    UntilDue,
}

#[derive(Debug, Clone)]
enum Act {
    Give(Input),
    /// A result of a task that is or was there.
    Finish {
        task: u32,
        earlier_attempt: bool,
        answer: Answer,
    },
}

#[derive(Debug, Clone)]
enum Answer {
    Done,
    Pause(Duration),
    Failed,
    Present(Vec<&'static str>),
}

/// What begins a call, in every variety.
pub(super) fn invites() -> impl Strategy<Value = Invite> {
    let chance = prop::bool::weighted;
    (0..=DEVICES.len(), chance(0.1), chance(0.1), any::<[bool; 5]>(), any::<[bool; 4]>()).prop_map(
        |(
            devices,
            busy,
            hidden,
            [per_device, missed_call, presence, rooms, checked],
            [again, acks, silent, cancel_by_voip],
        )| {
            let decline = if per_device { DeclineScope::Device } else { DeclineScope::Call };
            let push = PushRules { cancel_by_voip, ..if again { every_push() } else { PushRules::default() } };
            let device = |(name, platform): &(&str, Platform)| {
                let mut device = device(name, *platform);
                device.acks = Acks { since: acks.then_some(START), silent: u32::from(silent), ..Acks::default() };
                device
            };
            Invite {
                devices: DEVICES[..devices].iter().map(device).collect(),
                busy,
                hidden,
                rules: Rules {
                    decline,
                    missed_call,
                    presence,
                    rooms,
                    // Any of them will do.
                    record: silent,
                    ask_every_ms: u64::from(checked) * 300_000,
                    push,
                    ..rules()
                },
                ..invite()
            }
        },
    )
}

/// All that can be pushed again or beside is.
pub(super) fn every_push() -> PushRules {
    PushRules {
        repush_after_ms: 6_000,
        repush_max: 2,
        repush_ios_after_ms: Some(10_000),
        voip_budget: 1,
        ..PushRules::default()
    }
}

pub(super) fn turns(most: usize) -> impl Strategy<Value = Vec<Turn>> {
    vec(turn(), 1..most)
}

/// A long talk over a bad line: each time one of these users is lost, something else happens, and they are back.
pub(super) fn talk(users: [String; 2], losses: usize) -> impl Strategy<Value = Vec<Turn>> {
    let asked = finish().prop_map(|act| match act {
        Act::Finish { task, earlier_attempt, .. } => Act::Finish { task, earlier_attempt, answer: Answer::Failed },
        act @ Act::Give(_) => act,
    });
    let meanwhile =
        prop_oneof![2 => asked, 1 => Just(Act::Give(Input::Wake)), 1 => Just(Act::Give(Input::RoomFinished))];
    let pause = || (0..3000_u64).prop_map(|ms| Wait::For(Duration::from_millis(ms)));
    let losses = vec((0..2_usize, pause(), meanwhile, pause()), losses);
    losses.prop_map(move |losses| {
        let mut session = [0, 0];
        let mut turns = Vec::new();
        for (who, first, meanwhile, then) in losses {
            let name = |session: u32| format!("session {session}");
            turns.push(Turn { wait: first, act: Act::Give(lost(&users[who], &name(session[who]))) });
            turns.push(Turn { wait: Wait::For(Duration::ZERO), act: meanwhile });
            session[who] += 1;
            turns.push(Turn { wait: then, act: Act::Give(joined(&users[who], &name(session[who]))) });
        }
        turns
    })
}

fn turn() -> impl Strategy<Value = Turn> {
    let wait = prop_oneof![
        4 => Just(Wait::For(Duration::ZERO)),
        6 => (0..5000_u64).prop_map(|ms| Wait::For(Duration::from_millis(ms))),
        2 => (0..60_u64).prop_map(|secs| Wait::For(Duration::from_secs(secs))),
        1 => (0..300_u64).prop_map(|mins| Wait::For(Duration::from_mins(mins))),
        5 => Just(Wait::UntilDue),
    ];
    (wait, act()).prop_map(|(wait, act)| Turn { wait, act })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => finish(),
        4 => Just(Act::Give(Input::Wake)),
        6 => callee().prop_map(Act::Give),
        5 => presence().prop_map(Act::Give),
        1 => ending().prop_map(Act::Give),
    ]
}

fn finish() -> impl Strategy<Value = Act> {
    let there = select(vec![vec![], vec!["alice"], vec!["bob"], vec!["alice", "bob"], vec!["alice", "bob"]]);
    let answer = prop_oneof![
        3 => Just(Answer::Done),
        2 => (0..90_000_u64).prop_map(|ms| Answer::Pause(Duration::from_millis(ms))),
        2 => Just(Answer::Failed),
        3 => there.prop_map(Answer::Present),
    ];
    (0..12_u32, prop::bool::weighted(0.2), answer).prop_map(|(task, earlier_attempt, answer)| Act::Finish {
        task,
        earlier_attempt,
        answer,
    })
}

fn callee() -> impl Strategy<Value = Input> {
    let any_device = || select(DEVICES.as_slice());
    prop_oneof![
        1 => any_device().prop_map(|(name, platform)| Input::LegAdded(Box::new(device(name, platform)))),
        3 => any_device().prop_map(|(name, _)| alerting(name)),
        1 => any_device().prop_map(|(name, _)| not_rung(name)),
        1 => any_device().prop_map(|(name, _)| Input::DeviceContacted(id(name))),
        1 => any_device().prop_map(|(name, _)| Input::DeviceLate(id(name))),
        1 => any_device().prop_map(|(name, _)| Input::DeviceGone(id(name))),
        1 => any_device().prop_map(|(name, _)| Input::PushTold(id(name), vec![receipt("Unregistered", START)])),
        1 => any_device().prop_map(|(name, _)| Input::DeviceBack(id(name))),
        2 => any_device().prop_map(|(name, _)| answer(name)),
        1 => any_device().prop_map(|(name, _)| declined(name)),
        2 => any_device().prop_map(|(name, _)| busy(name)),
    ]
}

fn presence() -> impl Strategy<Value = Input> {
    let someone = || (select(vec!["alice", "bob", "bob", "alice", "carol"]), 0..4_u8);
    prop_oneof![
        4 => someone().prop_map(|(who, session)| joined(who, &format!("{who} {session}"))),
        2 => someone().prop_map(|(who, session)| lost(who, &format!("{who} {session}"))),
        1 => someone().prop_map(|(who, session)| left(who, &format!("{who} {session}"))),
        1 => someone().prop_map(|(who, session)| replaced(who, &format!("{who} {session}"))),
        1 => Just(Input::RoomFinished),
        1 => Just(Input::RoomStarted),
        1 => Just(Input::PresenceDoubted),
        1 => Just(Input::TokenGiven),
        3 => recording(),
    ]
}

fn recording() -> impl Strategy<Value = Input> {
    let by = select(vec![AskedBy::Service, AskedBy::Party(user("alice")), AskedBy::Party(user("bob"))]);
    prop_oneof![
        3 => by.prop_map(Input::RecordingAsked),
        2 => (1..3_u32).prop_map(|number| Input::RecordingStarted(number, Content::Audio)),
        1 => (1..3_u32).prop_map(Input::RecordingStopped),
        1 => (1..3_u32).prop_map(Input::RecordingFailed),
    ]
}

fn ending() -> impl Strategy<Value = Input> {
    prop_oneof![
        Just(Input::Cancel),
        Just(Input::Redialled),
        select(vec!["alice", "bob", "carol"]).prop_map(|who| Input::HangUp(user(who))),
        select(vec!["alice", "bob", "carol"]).prop_map(|who| Input::Banned(user(who))),
        Just(Input::InvitedBack(None)),
        select(vec![IPHONE, PIXEL, "unknown"]).prop_map(|name| Input::InvitedBack(Some(id(name)))),
    ]
}

impl Stage {
    /// Waits as the turn says, and names the input that it is now.
    pub(super) fn input(&mut self, turn: &Turn) -> Input {
        self.now = match turn.wait {
            Wait::For(time) => self.now + time,
            Wait::UntilDue => self.now.max(self.call.wake_up().at),
        };
        match &turn.act {
            Act::Give(input) => input.clone(),
            Act::Finish { task, earlier_attempt, answer } => self.result(*task, *earlier_attempt, answer),
        }
    }

    fn result(&self, pick: u32, earlier_attempt: bool, answer: &Answer) -> Input {
        // Mostly a task that is open; else one that was, or never.
        let open = self.call.tasks.get(pick as usize % (self.call.tasks.len() + 1));
        let asks = open.is_some_and(|task| task.kind == TaskKind::AskPresence);
        let said = || vec![receipt("503", self.now)];
        let result = match answer {
            Answer::Present(users) if asks => present(users),
            Answer::Done if asks => present(&["alice", "bob"]),
            Answer::Done | Answer::Present(_) => TaskResult::Done(vec![receipt("accepted", self.now)]),
            Answer::Pause(pause) => TaskResult::Retry(*pause, said()),
            Answer::Failed => TaskResult::Failed(said()),
        };
        let attempt = open.map_or(1, |task| task.attempt);
        let attempt = if earlier_attempt { attempt.saturating_sub(1).max(1) } else { attempt };
        Input::TaskFinished { task: open.map_or(pick, |task| task.id), attempt, result }
    }
}
