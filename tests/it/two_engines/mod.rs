//! Two engines on one store, as two instances are: what one remembers of a call never counts against the store, and what one
//! commits the readers of the other hear of.

mod attachments;
mod bans;
mod lost;
mod plans;
mod readers;
pub mod stops;
mod trips;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::usage::Plan;
use bellwire::domain::{
    Call, Device, EndReason, Input, LegState, Media, Party, Receipt, Rules, State, TaskResult, Unknown,
};
use bellwire::engine::{Asker, Engine, EngineError, FollowUps, InviteRequest, Settings};
use bellwire::store::Store;
use bellwire::store::embedded::Embedded;
use tempfile::TempDir;

use crate::store_laws::fixture::{android, device_id, rules, settings, user};
use crate::support::SOON;

const HOUR: Duration = Duration::from_hours(1);

/// An empty store and its clock.
struct Ground {
    store: Arc<Embedded>,
    clock: Clock,
    _folder: TempDir,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::system();
        let store = Embedded::open(&folder.path().join("store"), HOUR, clock.clone()).expect("a store");
        Self { store: Arc::new(store), clock, _folder: folder }
    }

    /// An instance that uses the store as its own.
    fn engine(&self) -> (Engine, FollowUps) {
        self.engine_on(Arc::clone(&self.store) as Arc<dyn Store>)
    }

    fn engine_on(&self, store: Arc<dyn Store>) -> (Engine, FollowUps) {
        self.engine_of(store, Plan::default())
    }

    fn engine_of(&self, store: Arc<dyn Store>, plan: Plan) -> (Engine, FollowUps) {
        let settings = Settings { rules: Rules { presence: false, ..rules() }, plan, ..settings() };
        Engine::new(store, self.clock.clone(), settings, Arc::default())
    }

    async fn register(&self, device: Device) {
        self.store.put_device(&user("bob"), device, 10, &[]).await.expect("registered");
    }

    /// Ann calls Bob, whose phone is about to be pushed to.
    async fn ringing(&self, engine: &Engine) -> Arc<Call> {
        self.register(android("phone", "token", self.clock.now())).await;
        invite(engine).await.expect("invited")
    }
}

/// Ann calls Bob.
async fn invite(engine: &Engine) -> Result<Arc<Call>, EngineError> {
    let invite = InviteRequest {
        caller: Party { id: user("ann"), name: None, avatar: None, unknown: Unknown::default() },
        caller_device: None,
        callee: user("bob"),
        callee_device: None,
        by_service: false,
        test: false,
        media: Media::Audio,
        ring: None,
        metadata: None,
        key: None,
    };
    engine.invite(invite).await
}

fn ann() -> Asker {
    Asker::User(user("ann"), None)
}

/// Bob on his phone.
fn bob() -> Asker {
    Asker::User(user("bob"), Some(device_id("phone")))
}

/// The phone that answers is the only one, so nothing is to be done; the push of it that is still under way is called back all the same.
#[tokio::test]
async fn whoever_pushes_hears_of_an_answer_that_leaves_nothing_to_do() {
    let ground = Ground::new();
    let (here, mut follow_ups) = ground.engine();
    let call = ground.ringing(&here).await;
    let begun = follow_ups.begun.recv().await.expect("the ring");
    assert_eq!((begun.call.id, begun.tasks.len()), (call.id, 1));
    here.answer(call.id, &bob()).await.expect("answered");
    let begun = tokio::time::timeout(SOON, follow_ups.begun.recv()).await.expect("in time").expect("the answer");
    assert_eq!((begun.call.state, begun.tasks.len()), (State::Active, 0));
}

/// The task of a push is gone with the ring; what its provider said tells why the phone rang or not.
#[tokio::test]
async fn what_a_provider_says_after_the_end_is_kept_once() {
    let ground = Ground::new();
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine());
    let call = ground.ringing(&here).await;
    let task = call.tasks[0].clone();
    there.cancel(call.id, &ann()).await.expect("cancelled");
    let receipt = Receipt { at: ground.clock.now(), push: "ring".into(), status: Some(200), ..Receipt::default() };
    for _ in 0..2 {
        here.task_finished(call.id, &task, TaskResult::Done(vec![receipt.clone()])).await.expect("recorded");
        let call = there.call(call.id, &ann()).await.expect("a call");
        assert_eq!(call.legs[0].receipts, std::slice::from_ref(&receipt));
        assert_eq!((call.version, call.is_ended()), (3, true));
    }
}

#[tokio::test]
async fn an_engine_steps_what_the_other_one_committed() {
    let ground = Ground::new();
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine());
    let call = ground.ringing(&here).await;
    let task = call.tasks[0].clone();

    there.cancel(call.id, &ann()).await.expect("cancelled");
    // The push of the first record; its task is gone by now.
    here.task_finished(call.id, &task, TaskResult::Done(Vec::new())).await.expect("recorded");
    let call = here.call(call.id, &ann()).await.expect("a call");
    assert_eq!((call.state, call.end_reason), (State::Ended, Some(EndReason::Cancelled)));
    assert_eq!(call.version, 2);
}

#[tokio::test]
async fn a_call_that_ended_elsewhere_is_not_cancelled_again() {
    let ground = Ground::new();
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine());
    let call = ground.ringing(&here).await;

    there.cancel(call.id, &ann()).await.expect("cancelled");
    // In the record that this engine committed last the call still rings.
    let seen = here.cancel(call.id, &ann()).await.expect("a duplicate");
    assert_eq!((seen.state, seen.version), (State::Ended, 2));
}

#[tokio::test]
async fn what_changes_nothing_in_a_remembered_record_is_asked_of_the_store() {
    let ground = Ground::new();
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine());
    ground.register(android("tablet", "token-2", ground.clock.now())).await;
    let call = ground.ringing(&here).await;
    let answered = here.answer(call.id, &bob()).await.expect("answered");
    assert!(!answered.tasks.is_empty(), "this engine remembers it until the tablet has been told");

    there.hang_up(call.id, &ann()).await.expect("over");
    // An answered call is not redialled, and a call that is over is not either.
    let seen = here.apply(call.id, Input::Redialled).await.expect("ignored");
    assert_eq!((seen.state, seen.version), (State::Ended, 3));
}

/// Each commit is a record written and a notice to all instances.
#[tokio::test]
async fn what_several_providers_answer_is_one_commit() {
    let ground = Ground::new();
    let (here, _follow_ups) = ground.engine();
    ground.register(android("tablet", "token-2", ground.clock.now())).await;
    let call = ground.ringing(&here).await;
    let receipt = Receipt { at: ground.clock.now(), push: "ring".into(), status: Some(200), ..Receipt::default() };
    let [phone, tablet] = call.tasks.as_slice() else { panic!("{:?}", call.tasks) };
    let done = |task| here.task_finished(call.id, task, TaskResult::Done(vec![receipt.clone()]));
    let (one, other) = tokio::join!(done(phone), done(tablet));
    one.and(other).expect("recorded");
    let call = here.call(call.id, &ann()).await.expect("a call");
    assert!(call.legs.iter().all(|leg| leg.state == LegState::Sent && leg.sent_at == Some(receipt.at)));
    assert_eq!(call.version, 2);
}

#[tokio::test]
async fn an_answer_does_not_wait_for_another_provider_that_says_nothing() {
    let ground = Ground::new();
    let (here, _follow_ups) = ground.engine();
    ground.register(android("tablet", "token-2", ground.clock.now())).await;
    let call = ground.ringing(&here).await;
    let recorded = here.task_finished(call.id, &call.tasks[0], TaskResult::Done(Vec::new()));
    tokio::time::timeout(SOON, recorded).await.expect("in time").expect("recorded");
    let states = here.call(call.id, &ann()).await.expect("a call").legs.iter().map(|leg| leg.state).collect::<Vec<_>>();
    assert_eq!(states, [LegState::Sent, LegState::Queued]);
}
