//! Four people who can all be rung, three instances, and what they were told.

use std::fmt;
use std::sync::Arc;

use bellwire::domain::{Call, CallId, Media, Party, State, Timestamp, Unknown, UserId};
use bellwire::engine::{Asker, Ban, Engine, EngineError, InviteRequest, Key};
use bellwire::store::Slot;
use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::ground::{Ground, Instance};
use crate::store_laws::fixture::{android, device_id, user};
use crate::two_engines::stops::Stops;

/// The people of one scene, whom no other scene on its ground knows.
#[derive(Debug, Clone)]
pub struct Cast {
    pub ann: UserId,
    pub bob: UserId,
    pub cid: UserId,
    pub dan: UserId,
}

impl Cast {
    pub fn all(&self) -> [&UserId; 4] {
        [&self.ann, &self.bob, &self.cid, &self.dan]
    }
}

pub struct Scene<'g> {
    pub ground: &'g Ground,
    pub cast: Cast,
    /// Where the invite under fire runs.
    pub here: Instance,
    /// Where the others go meanwhile.
    pub there: Instance,
    /// Where nothing is held up: what was before, and what is asked in the end.
    pub aside: Instance,
    /// Those of others, once they are done.
    pub others: Vec<Instance>,
    /// Ids that were seen to be out of use.
    pub buried: Vec<CallId>,
}

impl<'g> Scene<'g> {
    /// A scene in which nobody is held up, but for actors.
    pub async fn free(ground: &'g Ground) -> Self {
        Self::new(ground, &Stops::none(), &Stops::none()).await
    }

    /// A scene in which those at `here` and `there` can be held up.
    pub async fn new(ground: &'g Ground, here: &Arc<Stops>, there: &Arc<Stops>) -> Self {
        let number = ground.next_scene();
        let name = |name: &str| user(&format!("{name}-{number}"));
        let cast = Cast { ann: name("ann"), bob: name("bob"), cid: name("cid"), dan: name("dan") };
        let now = ground.clock.now();
        let registered = cast.all().map(|user| {
            let phone = android("phone", &format!("token-of-{user}"), now);
            ground.store().put_device(user, phone, 10, &[])
        });
        join_all(registered).await.into_iter().for_each(|put| put.expect("registered"));
        Self {
            ground,
            cast,
            here: ground.instance(0, here),
            there: ground.instance(1, there),
            aside: ground.instance(2, &Stops::none()),
            others: Vec::new(),
            buried: Vec::new(),
        }
    }

    /// Looks which of Ann's calls are out of use.
    pub async fn look_for_tombstones(&mut self) {
        let store = self.ground.store();
        for id in store.history(&self.cast.ann, None, 100).await.expect("a history") {
            if store.load(id).await.expect("a slot") == Slot::Tombstone {
                self.buried.push(id);
            }
        }
    }
}

/// An invite and what came of it.
pub struct Said {
    pub by: &'static str,
    pub from: UserId,
    pub to: UserId,
    pub key: Option<&'static str>,
    pub answer: Result<Arc<Call>, EngineError>,
}

impl Said {
    pub fn call(&self) -> Option<&Arc<Call>> {
        self.answer.as_ref().ok()
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.answer {
            Ok(call) => write!(f, "{}: {}", self.by, in_short(call)),
            Err(error) => write!(f, "{}: {error}", self.by),
        }
    }
}

/// A call in a line.
pub fn in_short(call: &Call) -> String {
    let end = call.end_reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let hidden = if call.hidden { " hidden" } else { "" };
    format!("{} {}>{} {:?}{end}{hidden}", call.id, call.caller.id, call.callee.id, call.state)
}

pub fn party(user: &UserId) -> Party {
    Party { id: user.clone(), name: None, avatar: None, unknown: Unknown::default() }
}

/// One calls another on their phone.
pub fn request(from: &UserId, to: &UserId, key: Option<&str>) -> InviteRequest {
    InviteRequest {
        caller: party(from),
        caller_device: Some(device_id("phone")),
        callee: to.clone(),
        callee_device: None,
        by_service: false,
        test: false,
        media: Media::Audio,
        ring: None,
        metadata: None,
        key: key.map(|key| Key { key: key.to_owned(), body: format!("to {to}") }),
    }
}

/// Begins to call.
pub fn inviting(
    by: &'static str,
    engine: &Engine,
    from: &UserId,
    to: &UserId,
    key: Option<&'static str>,
) -> JoinHandle<Said> {
    let (engine, from, to) = (engine.clone(), from.clone(), to.clone());
    tokio::spawn(async move {
        let answer = engine.invite(request(&from, &to, key)).await;
        Said { by, from, to, key, answer }
    })
}

/// Calls.
pub async fn invite(by: &'static str, engine: &Engine, from: &UserId, to: &UserId, key: Option<&'static str>) -> Said {
    inviting(by, engine, from, to, key).await.expect("no panic")
}

/// On their phone.
pub fn on_phone(user: &UserId) -> Asker {
    Asker::User(user.clone(), Some(device_id("phone")))
}

pub fn ban_of(user: &UserId, at: Timestamp) -> Ban {
    Ban { user: user.clone(), reason: None, created_at: at, until: None }
}

/// Whether it rings or waits for its first ring.
pub fn rings(call: &Call) -> bool {
    matches!(call.state, State::Calling | State::Ringing)
}
