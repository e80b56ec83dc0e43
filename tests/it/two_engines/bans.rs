//! A ban and an invite at two instances at once, the invite stalled between its steps.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwire::domain::job::{self, JobResult};
use bellwire::domain::{Call, CallId, EndReason, Job, JobId, State, Work};
use bellwire::engine::{Engine, EngineError, FollowUps};
use bellwire::store::{Admits, Ban, Claim, Opening, Role, Slot, Store};

use super::lost::committed_call;
use super::stops::Stops;
use super::wire::{Attached, Wire};
use super::{Ground, HOUR, ann, bob, invite};
use crate::store_laws::fixture::{android, ban_at, closed, create, is_conflict, loaded, new_call, user};

pub async fn ban(engine: &Engine, name: &str) {
    let ban = Ban { user: user(name), reason: None, created_at: engine.clock().now(), until: None };
    engine.ban(ban).await.expect("banned");
}

/// An invite of Ann that has claimed both lines and is stalled before its commit.
async fn stalled(ground: &Ground) -> Call {
    let call = new_call(&ground.clock);
    let at = call.created_at;
    let claim = |name: &str, peer: &str, role| Claim {
        user: user(name),
        call: call.id,
        peer: user(peer),
        role,
        at,
        until: at + HOUR,
    };
    let opening = ground.store.open_line(claim("ann", "bob", Role::Caller), None, &[]).await.expect("an opening");
    assert_eq!(opening, Opening::Claimed(Vec::new()));
    let callee = ground.store.ring_line(claim("bob", "ann", Role::Callee), &[], Admits::All).await.expect("a callee");
    assert!(!callee.banned);
    call
}

/// Begins to ban one of the two through an engine, and returns once the ban is written.
async fn banning(ground: &Ground, name: &'static str) -> tokio::task::JoinHandle<()> {
    let (engine, _follow_ups) = ground.engine();
    let mut announcements = ground.store.announcements();
    let banning = tokio::spawn(async move { ban(&engine, name).await });
    assert_eq!(closed(&mut announcements).await, (user(name), None));
    banning
}

async fn expect_banned(ground: &Ground, id: CallId) {
    let call = loaded(&*ground.store, id).await;
    assert_eq!((call.state, call.end_reason), (State::Ended, Some(EndReason::Banned)));
}

#[tokio::test]
async fn an_invite_that_is_committed_after_the_ban_is_ended_by_it() {
    for name in ["ann", "bob"] {
        let ground = Ground::new();
        let call = stalled(&ground).await;
        let banning = banning(&ground, name).await;
        create(&*ground.store, &call).await.expect("committed in time");
        banning.await.expect("no panic");
        expect_banned(&ground, call.id).await;
    }
}

#[tokio::test]
async fn an_invite_that_is_stalled_for_longer_comes_to_nothing() {
    for name in ["ann", "bob"] {
        let ground = Ground::new();
        let call = stalled(&ground).await;
        let banning = banning(&ground, name).await;
        ground.clock.advance(Duration::from_secs(2));
        banning.await.expect("no panic");
        assert!(is_conflict(&create(&*ground.store, &call).await));
        assert_eq!(ground.store.load(call.id).await.expect("a slot"), Slot::Tombstone);
    }
}

#[tokio::test]
async fn an_invite_that_begins_after_the_ban_starts_nothing_or_rings_nobody() {
    let ground = Ground::new();
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine());
    let before = ground.ringing(&here).await;
    ban(&there, "bob").await;
    expect_banned(&ground, before.id).await;
    let call = invite(&here).await.expect("a call");
    assert_eq!((call.end_reason, call.legs.len()), (Some(EndReason::Unreachable), 0));
    ban(&there, "ann").await;
    assert!(matches!(invite(&here).await, Err(EngineError::Banned)));
    assert!(matches!(here.answer(before.id, &bob()).await, Err(EngineError::Banned)));
}

/// Whatever comes first, nothing lives that the banned user is in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_and_an_invite_at_two_instances_leave_no_live_call() {
    for round in 0..30 {
        let ground = Ground::new();
        let ((here, _here), (there, _there)) = (ground.engine(), ground.engine());
        let name = if round % 2 == 0 { "ann" } else { "bob" };
        ground.register(android("phone", "token", ground.clock.now())).await;
        let inviting = tokio::spawn(async move { invite(&here).await });
        ban(&there, name).await;
        match inviting.await.expect("no panic") {
            Ok(call) => {
                let call = there.call(call.id, &ann()).await.expect("a call");
                assert!(call.is_ended(), "round {round}: {call:?}");
            }
            Err(error) => assert!(matches!(error, EngineError::Banned), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_ban_closes_readers_at_every_instance() {
    let ground = Ground::new();
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine());
    let mut readers = Vec::new();
    for engine in [&here, &there] {
        readers.push(engine.read(&user("ann"), None, 10).await.expect("a reader"));
    }
    let mut other = there.read(&user("bob"), None, 10).await.expect("a reader");
    ban(&here, "ann").await;
    for reader in &mut readers {
        assert!(reader.next().await.is_none());
    }
    create(&*ground.store, &new_call(&ground.clock)).await.expect("written");
    assert!(other.next().await.is_some(), "another user's goes on");
}

#[tokio::test]
async fn a_call_that_cannot_be_ended_keeps_no_other_alive() {
    const CALLS: usize = 5;
    let ground = Ground::new();
    let wire = Wire::to(&ground.store, &Attached::default());
    let (engine, _follow_ups) = ground.engine_on(Arc::clone(&wire) as _);
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        calls.push(committed_call(&ground).await.id);
    }
    let now = ground.clock.now();
    ground.store.put_ban(Ban { user: user("ann"), reason: None, created_at: now, until: None }).await.expect("banned");
    wire.failing.store(1, Ordering::SeqCst);
    engine.carry_out_ban(&ban_at(now)).await.expect_err("one cannot be read");
    let mut ended = 0;
    for call in calls {
        ended += usize::from(loaded(&*ground.store, call).await.is_ended());
    }
    assert_eq!(ended, CALLS - 1);
}

#[tokio::test]
async fn a_job_that_was_over_before_its_ban_was_written_is_queued_again() {
    let ground = Ground::new();
    // The job is queued, the ban not yet written.
    let stops = Stops::behind(6);
    let wire = Wire::with_stops(&(Arc::clone(&ground.store) as _), &stops);
    let (engine, mut follow_ups) = ground.engine_on(wire);
    let banning = tokio::spawn(async move { ban(&engine, "ann").await });
    stops.held().await;
    let queued = ground.store.due_jobs(ground.clock.now() + HOUR, 9, &HashSet::new()).await.expect("jobs");
    assert_eq!(queued.len(), 1);
    assert!(ground.store.ban(&user("ann"), ground.clock.now()).await.expect("an answer").is_none());
    ground.store.remove_job(&queued[0], 1).await.expect("carried out");
    stops.release();
    banning.await.expect("no panic");
    let begun = follow_ups.begun_jobs.recv().await.expect("it is begun again");
    assert_eq!(begun.id, queued[0]);
}

/// What a job of a ban says of it when it is carried out.
async fn told(engine: &Engine, follow_ups: &mut FollowUps) -> (bool, job::Ban) {
    let job = follow_ups.begun_jobs.recv().await.expect("a job");
    let Work::Ban(ban) = job.work else { panic!("{job:?}") };
    (engine.carry_out_ban(&ban).await.expect("carried out"), ban)
}

#[tokio::test]
async fn a_ban_that_was_replaced_or_lifted_before_its_job_ran_is_told_all_the_same() {
    let ground = Ground::new();
    let (engine, mut follow_ups) = ground.engine();
    let of = |reason: &str| Ban {
        user: user("ann"),
        reason: Some(reason.to_owned()),
        created_at: ground.clock.now(),
        until: Some(ground.clock.now() + HOUR),
    };
    let first = of("first");
    engine.ban(first.clone()).await.expect("banned");
    ground.clock.advance(Duration::from_millis(1));
    let second = of("second");
    engine.ban(second.clone()).await.expect("banned again");
    assert!(engine.lift_ban(&user("ann")).await.expect("lifted"));
    for ban in [first, second] {
        let (is_told, job) = told(&engine, &mut follow_ups).await;
        assert!(is_told);
        assert_eq!((job.reason, job.created_at, job.until), (ban.reason, ban.created_at, ban.until));
    }
}

#[tokio::test]
async fn a_ban_whose_gateway_died_after_it_was_written_is_told_though_it_was_lifted() {
    for replaced in [false, true] {
        let ground = Ground::new();
        let (engine, mut follow_ups) = ground.engine();
        let now = ground.clock.now();
        // What a gateway leaves that dies as soon as the ban is written.
        let stops = Stops::behind(8);
        let wire = Wire::with_stops(&(Arc::clone(&ground.store) as _), &stops);
        let (dying, _follow_ups) = ground.engine_on(wire);
        let banning = tokio::spawn(async move { ban(&dying, "ann").await });
        stops.held().await;
        banning.abort();
        assert!(engine.ban_of(&user("ann")).await.expect("an answer").is_some());
        ground.clock.advance(Duration::from_secs(1));
        if replaced {
            ban(&engine, "ann").await;
            assert!(told(&engine, &mut follow_ups).await.0);
        } else {
            assert!(engine.lift_ban(&user("ann")).await.expect("lifted"));
        }
        ground.clock.advance(Duration::from_secs(10));
        let due = ground.store.due_jobs(ground.clock.now(), 9, &HashSet::new()).await.expect("jobs");
        let mut jobs = Vec::new();
        for id in &due {
            jobs.extend(ground.store.load_job(id).await.expect("a job"));
        }
        let of_first =
            |job: &&Job| matches!(&job.work, Work::Ban(ban) if ban.created_at < now + Duration::from_millis(900));
        let job = jobs.iter().find(of_first).expect("the job of the first ban");
        engine.wake_job(&job.id).await.expect("begun");
        assert!(told(&engine, &mut follow_ups).await.0, "replaced: {replaced}");
    }
}

#[tokio::test]
async fn a_job_whose_ban_was_never_written_tells_nothing() {
    let ground = Ground::new();
    let (engine, _follow_ups) = ground.engine();
    assert!(!engine.carry_out_ban(&ban_at(ground.clock.now())).await.expect("carried out"));
    ground
        .store
        .put_ban(Ban { user: user("ann"), reason: None, created_at: ground.clock.now() + HOUR, until: None })
        .await
        .expect("banned");
    assert!(!engine.carry_out_ban(&ban_at(ground.clock.now())).await.expect("carried out"), "it is another one");
}

#[tokio::test]
async fn a_job_that_is_not_for_this_gateway_is_not_kept_in_its_mind() {
    let ground = Ground::new();
    let (engine, mut follow_ups) = ground.engine();
    let now = ground.clock.now();
    let work = Work::Ban(ban_at(now));
    let job = Job::new(JobId::new("ban:1").expect("an id"), work, now - Duration::from_hours(2), now);
    assert!(engine.queue(&job).await.expect("queued"));
    let mut since = None;
    for minutes in [0, 30, 31] {
        ground.clock.advance(Duration::from_mins(minutes));
        engine.wake_job(&job.id).await.expect("begun");
        let begun = follow_ups.begun_jobs.recv().await.expect("an attempt");
        while follow_ups.job_wake_ups.try_recv().is_ok() {}
        engine.job_finished(&begun, JobResult::NotHere).await.expect("recorded");
        engine.wake_job(&job.id).await.expect("its lease would be over");
        assert!(follow_ups.job_wake_ups.try_recv().is_err(), "others come first");
        let left = engine.job(&job.id).await.expect("an answer");
        let first = *since.get_or_insert(ground.clock.now());
        match left {
            Some(left) => assert!(left.due > ground.clock.now() && left.not_here_since.is_some_and(|at| at <= first)),
            None => assert_eq!(minutes, 31, "it is given up after an hour without a gateway for it, however old it is"),
        }
    }
    assert!(engine.job(&job.id).await.expect("an answer").is_none());
}
