//! The same invite sent again, because its 201 was lost: at another instance, while the first still runs, and after its id was taken
//! out of use.

use std::sync::Arc;
use std::time::Duration;

use bellwire::domain::{Call, CallId, EndReason};
use bellwire::engine::EngineError;
use bellwire::store::Slot;
use tokio::task::JoinHandle;

use super::ground::{Ground, Instance, LONGER_THAN_ITS_LEASE};
use super::scene::{Said, Scene, ban_of, in_short, invite, inviting, on_phone, rings};
use super::verdict::Verdict;
use crate::two_engines::stops::Stops;

const KEY: Option<&str> = Some("key");

/// Ann begins to call Bob with the key, at an instance that is held behind so many places.
async fn held(scene: &mut Scene<'_>, behind: usize) -> (Arc<Stops>, JoinHandle<Said>) {
    let stops = Stops::behind(behind);
    let instance: Instance = scene.ground.instance(scene.others.len(), &stops);
    let invite = inviting("one held", &instance.engine, &scene.cast.ann, &scene.cast.bob, KEY);
    scene.others.push(instance);
    stops.held().await;
    (stops, invite)
}

async fn released((stops, invite): (Arc<Stops>, JoinHandle<Said>)) -> Said {
    stops.release();
    invite.await.expect("no panic")
}

async fn again(scene: &Scene<'_>) -> Said {
    invite("again", &scene.there.engine, &scene.cast.ann, &scene.cast.bob, KEY).await
}

fn call(said: &Said) -> &Arc<Call> {
    said.call().unwrap_or_else(|| panic!("{said}"))
}

/// The id that Ann's newest invite has, committed or not.
async fn newest(scene: &Scene<'_>) -> CallId {
    scene.ground.store().history(&scene.cast.ann, None, 1).await.expect("a history")[0]
}

async fn expect_no_problem(mut scene: Scene<'_>, said: &[Said]) {
    let verdict = Verdict::on(&mut scene, said, false).await;
    assert!(verdict.problems.is_empty(), "{:?}\n{said:?}", verdict.problems);
}

async fn many_at_once_are_one_call(ground: Ground) {
    for _ in 0..20 {
        let scene = Scene::free(&ground).await;
        let sent: Vec<_> = [&scene.here, &scene.there, &scene.aside, &scene.here, &scene.there]
            .map(|instance| inviting("one of many", &instance.engine, &scene.cast.ann, &scene.cast.bob, KEY))
            .into();
        let mut said = Vec::new();
        for sent in sent {
            said.push(sent.await.expect("no panic"));
        }
        assert!(said.iter().all(|told| call(told).id == call(&said[0]).id && rings(call(told))), "{said:?}");
        expect_no_problem(scene, &said).await;
    }
}

async fn the_late_commit_of_a_buried_id_starts_over_and_the_key_moves_with_it(ground: Ground) {
    let mut scene = Scene::free(&ground).await;
    // Both lines are claimed.
    let first = held(&mut scene, 4).await;
    let buried = newest(&scene).await;
    assert_eq!(ground.store().bury(buried).await.expect("buried"), Slot::Tombstone);
    let first = released(first).await;
    assert!(rings(call(&first)) && call(&first).id != buried, "{first}");
    let again = again(&scene).await;
    assert_eq!(call(&again).id, call(&first).id);
    assert_eq!(ground.store().load(buried).await.expect("a slot"), Slot::Tombstone);
    expect_no_problem(scene, &[first, again]).await;
}

async fn a_retry_of_a_buried_id_and_the_first_are_the_same_new_call(ground: Ground) {
    for retry_is_first in [false, true] {
        let mut scene = Scene::free(&ground).await;
        let first = held(&mut scene, 4).await;
        let buried = newest(&scene).await;
        ground.store().bury(buried).await.expect("buried");
        let said = if retry_is_first {
            let again = again(&scene).await;
            [again, released(first).await]
        } else {
            let first = released(first).await;
            [first, again(&scene).await]
        };
        assert_eq!(call(&said[0]).id, call(&said[1]).id);
        assert_ne!(call(&said[0]).id, buried);
        expect_no_problem(scene, &said).await;
    }
}

/// It has seen that nothing stands under the id that the key means; before it claims that, the key has come to mean another call.
async fn a_retry_that_stalls_while_the_key_moves_is_the_same_call(ground: Ground) {
    let mut scene = Scene::free(&ground).await;
    let first = held(&mut scene, 4).await;
    let retry = held(&mut scene, 4).await;
    ground.store().bury(newest(&scene).await).await.expect("buried");
    let first = released(first).await;
    assert!(rings(call(&first)), "{first}");
    let retry = released(retry).await;
    assert_eq!(call(&retry).id, call(&first).id, "and it has not cancelled that");
    assert!(rings(call(&retry)), "{retry}");
    expect_no_problem(scene, &[first, retry]).await;
}

/// The retry is refused, since Ann talks by then; what it gives up must not come to be a call without its place on her line.
async fn a_retry_that_is_refused_and_the_first_agree(ground: Ground) {
    let mut scene = Scene::free(&ground).await;
    let cast = scene.cast.clone();
    let other = invite("dan", &scene.there.engine, &cast.dan, &cast.ann, None).await;
    // It has met Dan's call, which was not answered.
    let first = held(&mut scene, 4).await;
    scene.there.engine.answer(call(&other).id, &on_phone(&cast.ann)).await.expect("answered");
    let retry = again(&scene).await;
    let first = released(first).await;
    match (&retry.answer, &first.answer) {
        (Err(EngineError::CallerBusy(on)), Err(EngineError::CallerBusy(too))) => {
            assert_eq!((on, too), (&call(&other).id, &call(&other).id));
        }
        _ => panic!("{retry}; {first}"),
    }
    let third = invite("cid", &scene.there.engine, &cast.cid, &cast.bob, None).await;
    assert!(rings(call(&third)), "Bob's line is free: {third}");
    expect_no_problem(scene, &[other, retry, first, third]).await;
}

/// The retry answers Bob's call, which is over when the first comes to answer it.
async fn a_retry_that_answers_a_call_and_the_first_agree(ground: Ground) {
    let mut scene = Scene::free(&ground).await;
    let cast = scene.cast.clone();
    let other = invite("bob", &scene.there.engine, &cast.bob, &cast.ann, None).await;
    // It has seen that call, and that it waits for an answer.
    let first = held(&mut scene, 4).await;
    let retry = again(&scene).await;
    assert_eq!(call(&retry).id, call(&other).id);
    scene.there.engine.hang_up(call(&other).id, &on_phone(&cast.bob)).await.expect("hung up");
    let first = released(first).await;
    assert_eq!(call(&first).id, call(&other).id);
    expect_no_problem(scene, &[other, retry, first]).await;
}

/// As before; but the first has committed its call before the retry says so.
async fn a_retry_that_answers_a_call_too_late_and_the_first_agree(ground: Ground) {
    let mut scene = Scene::free(&ground).await;
    let cast = scene.cast.clone();
    let other = invite("bob", &scene.there.engine, &cast.bob, &cast.ann, None).await;
    let first = held(&mut scene, 4).await;
    // It has answered.
    let retry = held(&mut scene, 12).await;
    scene.there.engine.hang_up(call(&other).id, &on_phone(&cast.bob)).await.expect("hung up");
    let first = released(first).await;
    assert!(rings(call(&first)), "{first}");
    let retry = released(retry).await;
    assert_eq!(call(&retry).id, call(&first).id);
    let third = invite("cid", &scene.there.engine, &cast.cid, &cast.bob, None).await;
    assert_eq!(call(&third).end_reason, Some(EndReason::Busy), "the first is still on his line: {third}");
    expect_no_problem(scene, &[other, first, retry, third]).await;
}

/// The first had claimed Bob's line before he blocked her; what is hidden from him does not make him busy.
async fn a_retry_after_a_block_takes_nothing_of_the_line(ground: Ground) {
    let mut scene = Scene::free(&ground).await;
    let cast = scene.cast.clone();
    let (stops, first) = held(&mut scene, 4).await;
    stops.kill();
    first.await.expect("no panic").answer.expect_err("it died");
    scene.there.engine.set_block(&cast.bob, &cast.ann, true).await.expect("blocked");
    let retry = again(&scene).await;
    assert!(call(&retry).hidden && rings(call(&retry)), "{retry}");
    let other = invite("cid", &scene.there.engine, &cast.cid, &cast.bob, None).await;
    assert!(rings(call(&other)), "{other}");
    let back = invite("bob", &scene.there.engine, &cast.bob, &cast.ann, None).await;
    assert!(call(&back).end_reason == Some(EndReason::Busy), "Ann is calling: {back}");
    expect_no_problem(scene, &[retry, other, back]).await;
}

/// Hours later: the call is one of now, which a ban finds and readers are told of.
async fn a_retry_of_what_died_long_ago_is_a_call_of_now(ground: Ground) {
    let mut scene = Scene::free(&ground).await;
    let cast = scene.cast.clone();
    let (stops, first) = held(&mut scene, 4).await;
    stops.kill();
    first.await.expect("no panic").answer.expect_err("it died");
    ground.clock.advance(Duration::from_hours(5));
    let retry = again(&scene).await;
    assert!(rings(call(&retry)), "{retry}");
    let mut reader = scene.aside.engine.read(&cast.bob, None, 10).await.expect("a reader");
    let snapshot = reader.begin(&[]).await.expect("a beginning").snapshot;
    assert_eq!(snapshot.iter().map(|known| known.id).collect::<Vec<_>>(), [call(&retry).id]);
    drop(reader);
    scene.aside.engine.ban(ban_of(&cast.ann, ground.clock.now())).await.expect("banned");
    let known = scene.aside.engine.call(call(&retry).id, &on_phone(&cast.bob)).await.expect("a call");
    assert_eq!(known.end_reason, Some(EndReason::Banned), "{}", in_short(&known));
    expect_no_problem(scene, &[retry]).await;
}

/// Ann has given up waiting, and calls Dan; what she began before comes to its end after that.
async fn a_retry_that_comes_late_leaves_what_the_caller_began_since(ground: Ground) {
    let mut scene = Scene::free(&ground).await;
    let cast = scene.cast.clone();
    // One is held before its commit, and its retry where it has seen that nothing is committed.
    let first = held(&mut scene, 4).await;
    let retry = held(&mut scene, 4).await;
    ground.clock.advance(LONGER_THAN_ITS_LEASE);
    let since = invite("since", &scene.there.engine, &cast.ann, &cast.dan, None).await;
    for late in [first, retry] {
        match released(late).await.answer {
            Err(EngineError::CallerBusy(on)) => assert_eq!(on, call(&since).id),
            other => panic!("{other:?}"),
        }
    }
    let known = scene.aside.engine.call(call(&since).id, &on_phone(&cast.ann)).await.expect("a call");
    assert!(rings(&known), "{}", in_short(&known));
    expect_no_problem(scene, &[since]).await;
}

super::on_each_store! {
    many_at_once_are_one_call,
    the_late_commit_of_a_buried_id_starts_over_and_the_key_moves_with_it,
    a_retry_of_a_buried_id_and_the_first_are_the_same_new_call,
    a_retry_that_stalls_while_the_key_moves_is_the_same_call,
    a_retry_that_is_refused_and_the_first_agree,
    a_retry_that_answers_a_call_and_the_first_agree,
    a_retry_that_answers_a_call_too_late_and_the_first_agree,
    a_retry_after_a_block_takes_nothing_of_the_line,
    a_retry_of_what_died_long_ago_is_a_call_of_now,
    a_retry_that_comes_late_leaves_what_the_caller_began_since,
}
