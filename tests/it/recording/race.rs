//! The record of a recording and its call's, changed at once: what is recorded is what the call wants and the parties are told of.
//!
//! Engines without a dispatcher: what it would do is done by hand, so that anything can come between.

use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::recording::{Next, Outcome, Policy, RecordingPlan, RecordingState, Stage, Tell};
use bellwire::domain::room::room_name;
use bellwire::domain::{Call, Input, JobId, Recording, Rules, State};
use bellwire::engine::{Asker, Engine, FollowUps, Settings};
use bellwire::store::Store;
use bellwire::store::embedded::Embedded;
use tempfile::TempDir;

use crate::store_laws::fixture::{create, new_call, rules, settings, user};
use crate::support::SOON;

struct Scene {
    engine: Engine,
    call: Call,
    _kept: (FollowUps, TempDir),
}

/// Ann and Bob are on a call.
async fn scene() -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    let store: Arc<dyn Store> =
        Arc::new(Embedded::open(&folder.path().join("store"), SOON, clock.clone()).expect("a store"));
    let recording = RecordingPlan {
        policy: Policy::Party,
        retention: Duration::from_hours(24),
        bucket: Some("calls".to_owned()),
        ..RecordingPlan::default()
    };
    let settings = Settings { rules: Rules { presence: false, ..rules() }, recording, ..settings() };
    let (engine, follow_ups) = Engine::new(Arc::clone(&store), clock.clone(), settings, Arc::default());
    let mut call = new_call(&clock);
    call.room = room_name("main", call.id, &[7; 16]);
    let now = clock.now();
    (call.state, call.answered_at, call.presence.connected_at) = (State::Active, Some(now), Some(now));
    create(&*store, &call).await.expect("a call");
    Scene { engine, call, _kept: (follow_ups, folder) }
}

impl Scene {
    async fn ask(&self) {
        assert!(self.engine.ask_recording(self.call.id, &ann()).await.expect("asked").is_new);
    }

    async fn stage(&self) -> (u32, Stage) {
        let call = self.engine.call(self.call.id, &ann()).await.expect("a call");
        call.recording.as_ref().map(|recording| (recording.number, recording.stage)).expect("a recording")
    }

    async fn record(&self) -> Recording {
        let job = self.engine.job(&JobId::recording(self.call.id)).await.expect("read").expect("a job");
        match job.work {
            bellwire::domain::Work::Recording(recording) => *recording,
            other => panic!("{other:?}"),
        }
    }

    /// What is next is this, and this comes of it.
    async fn goes(&self, next: Next, outcome: Outcome) {
        let begun = self.engine.begin_recording(&JobId::recording(self.call.id)).await.expect("begun");
        let (begun, is) = begun.expect("something is due");
        assert_eq!(is, next);
        self.engine.finish_recording(&begun, next, outcome).await.expect("finished");
    }
}

fn ann() -> Asker {
    Asker::User(user("ann"), None)
}

/// Whoever takes the wish back finds no record, and it is made only then.
async fn taken_back_too_soon() -> Scene {
    let scene = scene().await;
    scene.ask().await;
    assert!(scene.engine.start_recording(scene.call.id).await.expect("made"));
    scene.engine.tell_of_recording(&scene.record().await, Tell::Failed).await.expect("told");
    assert_eq!(scene.stage().await, (1, Stage::Failed));
    scene
}

#[tokio::test]
async fn a_record_that_is_made_after_the_wish_was_taken_back_begins_nothing() {
    let scene = taken_back_too_soon().await;
    let recording = scene.record().await;
    assert_eq!(recording.state, RecordingState::Requested);
    assert!(!scene.engine.is_recording_wanted(&recording).await.expect("known"));
}

#[tokio::test]
async fn parties_who_cannot_be_told_are_not_recorded() {
    let scene = taken_back_too_soon().await;
    let recording = scene.record().await;
    assert!(!scene.engine.tell_of_recording(&recording, Tell::Started).await.expect("told"));
    scene.engine.room_input(&scene.call.room, Input::HangUp(user("ann"))).await.expect("ended");
    assert!(!scene.engine.tell_of_recording(&recording, Tell::Started).await.expect("told"));
}

#[tokio::test]
async fn one_that_its_call_wants_is_told_of_and_goes_on() {
    let scene = scene().await;
    scene.ask().await;
    assert!(scene.engine.start_recording(scene.call.id).await.expect("made"));
    let recording = scene.record().await;
    for _ in 0..2 {
        assert!(scene.engine.is_recording_wanted(&recording).await.expect("known"));
        assert!(scene.engine.tell_of_recording(&recording, Tell::Started).await.expect("told"));
    }
    assert_eq!(scene.stage().await, (1, Stage::On));
}

#[tokio::test]
async fn the_next_one_waits_until_nothing_is_left_to_do_for_the_one_before() {
    let scene = taken_back_too_soon().await;
    scene.ask().await;
    assert_eq!(scene.stage().await, (2, Stage::Starting));
    let start = || async { scene.engine.start_recording(scene.call.id).await.expect("dealt with") };
    assert!(!start().await, "the first one is not over");
    scene.goes(Next::Start, Outcome::NotWanted).await;
    assert!(!start().await, "its call is not told");
    scene.goes(Next::Tell(Tell::Failed), Outcome::Done).await;
    assert!(start().await);
    assert_eq!((scene.record().await.number, scene.stage().await), (2, (2, Stage::Starting)));
    assert!(start().await, "made already");
}

#[tokio::test]
async fn the_end_of_one_that_has_no_record_yet_is_not_the_erasure_of_the_one_before() {
    let scene = taken_back_too_soon().await;
    scene.goes(Next::Start, Outcome::NotWanted).await;
    scene.goes(Next::Tell(Tell::Failed), Outcome::Done).await;
    scene.ask().await;
    let seen = scene.engine.recording(scene.call.id, &ann()).await.expect("seen").recording;
    assert_eq!((seen.number, seen.state), (2, RecordingState::Requested));
    let ended = scene.engine.end_recording(scene.call.id, &ann()).await.expect("ended").recording;
    assert_eq!((ended.number, ended.state), (2, RecordingState::Aborted));
    assert_eq!(scene.stage().await, (2, Stage::Failed));
    assert_eq!(scene.record().await.state, RecordingState::Aborted, "the first one");
    assert!(scene.engine.start_recording(scene.call.id).await.expect("dealt with"));
    assert_eq!(scene.record().await.number, 1, "nobody wants the second one");
}

#[tokio::test]
async fn a_record_that_changes_while_its_file_is_deleted_is_not_removed() {
    let scene = taken_back_too_soon().await;
    let stale = scene.record().await;
    scene.goes(Next::Start, Outcome::NotWanted).await;
    scene.engine.remove_recording(&stale).await.expect("left");
    let stands = scene.record().await;
    scene.engine.remove_recording(&stands).await.expect("removed");
    assert!(scene.engine.job(&JobId::recording(scene.call.id)).await.expect("read").is_none());
}
