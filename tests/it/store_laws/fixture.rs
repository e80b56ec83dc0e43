//! Users, devices, calls and claims to put into a store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::job::Ban;
use bellwire::domain::recording::RecordingPlan;
use bellwire::domain::usage::Plan;
use bellwire::domain::{
    Call, CallId, Device, DeviceId, Input, Invite, Media, Outcome, Party, PushToken, Timestamp, Unknown, UserId, begin,
    step,
};
use bellwire::engine::{Policy, Rates, Settings};
use bellwire::store::{Announcement, Claim, Commit, Committed, Opening, Role, Slot, Store, StoreError};
use serde_json::json;
use tokio::sync::broadcast::Receiver;

pub use crate::rules::rules;

pub fn user(name: &str) -> UserId {
    UserId::new(name).expect("a user id")
}

pub fn device_id(name: &str) -> DeviceId {
    DeviceId::new(name).expect("a device id")
}

pub fn token(name: &str) -> PushToken {
    PushToken::new(name).expect("a token")
}

/// An Android device with one token.
pub fn android(id: &str, token: &str, registered_at: Timestamp) -> Device {
    let json = json!({"id": id, "platform": "android", "app": "com.example.phone", "fcm_token": token, "registered_at": registered_at});
    serde_json::from_value(json).expect("a device")
}

/// An iPhone with a token to ring and one for alerts.
pub fn iphone(id: &str, voip: &str, alert: &str, registered_at: Timestamp) -> Device {
    let json = json!({
        "id": id, "platform": "ios", "app": "com.example.phone", "voip_token": voip, "alert_token": alert,
        "registered_at": registered_at,
    });
    serde_json::from_value(json).expect("a device")
}

/// The settings of the default configuration, without limits and policy.
pub fn settings() -> Settings {
    Settings {
        ring: Duration::from_secs(45),
        rules: rules(),
        call_waiting: false,
        devices_per_user: 10,
        rates: Rates::default(),
        deployment: "main".to_owned(),
        plan: Plan::default(),
        told_of_bans: Vec::new(),
        recording: RecordingPlan::default(),
        policy: Policy::default(),
        takeover: None,
    }
}

/// A call from `ann` to `bob` that rings for 45 s, made now.
pub fn new_call(clock: &Clock) -> Call {
    let now = clock.now();
    let invite = Invite {
        id: clock.call_id(),
        caller: Party { id: user("ann"), name: Some("Ann".to_owned()), avatar: None, unknown: Unknown::default() },
        caller_device: None,
        callee_device: None,
        callee: user("bob"),
        media: Media::Video,
        room: "room-1".to_owned(),
        metadata: Some(json!({"order": 42, "note": "Käse \u{1F9C0}"}).into()),
        rules: rules(),
        ring_until: now + Duration::from_secs(45),
        devices: vec![iphone("phone", "aa11", "bb22", now), android("tablet", "fcm-1", now)],
        busy: false,
        hidden: false,
    };
    begin(invite, now)
}

/// The record after an input, with the next version.
pub fn after(call: &Call, input: &Input, now: Timestamp) -> Call {
    match step(call, input, now).expect("the input is allowed") {
        Outcome::Applied(next) => Call { version: call.version + 1, ..*next },
        Outcome::Ignored(why) => panic!("{} was ignored: {why}", input.name()),
    }
}

/// Commits a call's first record.
pub async fn create(store: &dyn Store, call: &Call) -> Result<(), StoreError> {
    store.commit(Commit { call: Arc::new(call.clone()), expected: None, announced: 0 }).await
}

/// Commits the record that follows `before`.
pub async fn replace(store: &dyn Store, before: &Call, next: &Call) -> Result<(), StoreError> {
    let (expected, announced) = (Some(before.version), before.last_seq());
    store.commit(Commit { call: Arc::new(next.clone()), expected, announced }).await
}

/// The call that stands under an id.
pub async fn loaded(store: &dyn Store, id: CallId) -> Call {
    match store.load(id).await.expect("a slot") {
        Slot::Call(call) => *call,
        other => panic!("{id} is {other:?}"),
    }
}

/// The news of the next commit that is announced.
pub async fn committed(announcements: &mut Receiver<Arc<Announcement>>) -> Committed {
    loop {
        match &*announcements.recv().await.expect("an announcement") {
            Announcement::Committed(news) => return news.clone(),
            Announcement::Closed { .. } => {}
            Announcement::Lost => panic!("nothing was lost here"),
        }
    }
}

/// The user, or the device of theirs, that is announced as closed next.
pub async fn closed(announcements: &mut Receiver<Arc<Announcement>>) -> (UserId, Option<DeviceId>) {
    loop {
        match &*announcements.recv().await.expect("an announcement") {
            Announcement::Closed { user, device } => return (user.clone(), device.clone()),
            Announcement::Committed(_) => {}
            Announcement::Lost => panic!("nothing was lost here"),
        }
    }
}

/// A claim of a new call, from now on for an hour.
pub fn claim(clock: &Clock, owner: &str, peer: &str, role: Role) -> Claim {
    let now = clock.now();
    // Ids made in one millisecond do not sort.
    clock.advance(Duration::from_millis(1));
    Claim {
        user: user(owner),
        call: clock.call_id(),
        peer: user(peer),
        role,
        at: now,
        until: now + Duration::from_hours(1),
    }
}

/// Claims an outgoing call and returns the claims before it.
pub async fn open(store: &dyn Store, claim: &Claim) -> Vec<Claim> {
    match store.open_line(claim.clone(), None, &[]).await.expect("an opening") {
        Opening::Claimed(others) => others,
        other @ (Opening::Reserved { .. } | Opening::Banned) => panic!("{other:?} without a key or a ban"),
    }
}

/// The claims of a user, seen by one more.
pub async fn line(store: &dyn Store, clock: &Clock, owner: &str) -> Vec<CallId> {
    let probe = claim(clock, owner, "nobody", Role::Caller);
    let seen = open(store, &probe).await;
    store.free_line(&probe.user, probe.call).await.expect("freed");
    seen.into_iter().map(|claim| claim.call).collect()
}

pub fn is_conflict<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Conflict))
}

/// Runs `many` tasks at once and returns what they made, in any order.
pub async fn at_once<T, F>(many: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..many {
        tasks.spawn(task(number));
    }
    tasks.join_all().await
}

/// What the job of a ban of Ann has, which nobody put.
pub fn ban_at(created_at: Timestamp) -> Ban {
    Ban {
        user: user("ann"),
        reason: None,
        created_at,
        until: None,
        was_put: false,
        tell: Vec::new(),
        unknown: Unknown::default(),
    }
}
