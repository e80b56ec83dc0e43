//! Two engines on one store, as two instances are: what one remembers of a call never counts against the store.

use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{Call, EndReason, Media, Party, Rules, State, TaskResult, Unknown};
use bellwire::engine::{Asker, Engine, FollowUps, InviteRequest, Settings};
use bellwire::store::Store;
use bellwire::store::embedded::Embedded;
use serde_json::json;

use crate::store_laws::fixture::{rules, user};

const HOUR: Duration = Duration::from_hours(1);

fn engine(store: &Arc<Embedded>, clock: &Clock) -> (Engine, FollowUps) {
    let rules = Rules { presence: false, ..rules() };
    let deployment = "main".to_owned();
    let settings =
        Settings { ring: Duration::from_secs(45), rules, call_waiting: false, devices_per_user: 10, deployment };
    Engine::new(Arc::clone(store) as Arc<dyn Store>, clock.clone(), settings)
}

/// Ann calls Bob, whose phone is about to be pushed to.
async fn ringing(engine: &Engine, store: &Embedded, clock: &Clock) -> Arc<Call> {
    let phone = json!({
        "id": "phone", "platform": "android", "app": "a", "fcm_token": "token", "registered_at": clock.now(),
    });
    store.put_device(&user("bob"), serde_json::from_value(phone).expect("a device"), 10).await.expect("registered");
    let invite = InviteRequest {
        caller: Party { id: user("ann"), name: None, avatar: None, unknown: Unknown::default() },
        caller_device: None,
        callee: user("bob"),
        media: Media::Audio,
        ring: None,
        metadata: None,
        key: None,
    };
    engine.invite(invite).await.expect("invited")
}

#[tokio::test]
async fn an_engine_steps_what_the_other_one_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    let store = Arc::new(Embedded::open(&folder.path().join("store"), HOUR, clock.clone()).expect("a store"));
    let ((here, _here), (there, _there)) = (engine(&store, &clock), engine(&store, &clock));
    let call = ringing(&here, &store, &clock).await;
    let (task, ann) = (call.tasks[0].clone(), Asker::User(user("ann"), None));

    there.cancel(call.id, &ann).await.expect("cancelled");
    // The push of the first record; its task is gone by now.
    here.task_finished(call.id, task.id, task.attempt, TaskResult::Done(None)).await.expect("recorded");
    let call = here.call(call.id, &ann).await.expect("a call");
    assert_eq!((call.state, call.end_reason), (State::Ended, Some(EndReason::Cancelled)));
    assert_eq!(call.version, 2);
}

#[tokio::test]
async fn a_call_that_ended_elsewhere_is_not_cancelled_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    let store = Arc::new(Embedded::open(&folder.path().join("store"), HOUR, clock.clone()).expect("a store"));
    let ((here, _here), (there, _there)) = (engine(&store, &clock), engine(&store, &clock));
    let call = ringing(&here, &store, &clock).await;

    there.cancel(call.id, &Asker::User(user("ann"), None)).await.expect("cancelled");
    // In the record that this engine committed last the call still rings.
    let seen = here.cancel(call.id, &Asker::User(user("ann"), None)).await.expect("a duplicate");
    assert_eq!((seen.state, seen.version), (State::Ended, 2));
}
