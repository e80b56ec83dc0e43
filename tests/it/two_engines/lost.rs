//! Announcements that were lost, and commits that a fail-over lost: readers find out from the records.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{Call, EventKind, Input};
use bellwire::engine::{Engine, FollowUps, Reader};
use bellwire::store::{Announcement, Ban, Claim, Commit, Role, Slot, Store};

use super::readers::{next, numbers};
use super::wire::{Attached, Wire};
use super::{Ground, HOUR};
use crate::store_laws::fixture::{after, create, device_id, new_call, replace, user};

/// A reader of Ann at an instance that hears nothing, and what her call came to.
struct Scene {
    ground: Ground,
    wire: Arc<Wire>,
    engine: Engine,
    _follow_ups: FollowUps,
    reader: Reader,
    first: Call,
    second: Call,
}

impl Scene {
    /// The reader has seen the second record.
    async fn new() -> Self {
        let ground = Ground::new();
        let wire = Wire::to(&ground.store, &Attached::default());
        let (engine, follow_ups) = ground.engine_on(Arc::clone(&wire) as _);
        let first = committed_call(&ground).await;
        let second = after(&first, &Input::DeviceAlerting(device_id("phone")), ground.clock.now());
        replace(&*ground.store, &first, &second).await.expect("written");
        let mut reader = engine.read(&user("ann"), None, 100).await.expect("a reader");
        let beginning = reader.begin(&[]).await.expect("a beginning");
        assert_eq!(beginning.snapshot.len(), 1);
        wire.cut();
        Self { ground, wire, engine, _follow_ups: follow_ups, reader, first, second }
    }

    fn lose(&self) {
        self.wire.say(Announcement::Lost);
    }
}

/// A call of Ann that is in her history.
pub async fn committed_call(ground: &Ground) -> Call {
    let call = new_call(&ground.clock);
    let claim = Claim {
        user: user("ann"),
        call: call.id,
        peer: user("bob"),
        role: Role::Caller,
        at: call.created_at,
        until: call.created_at + HOUR,
    };
    ground.store.open_line(claim, None, &[]).await.expect("opened");
    create(&*ground.store, &call).await.expect("written");
    call
}

fn answered(call: &Call, device: &str, clock: &Clock) -> Call {
    after(call, &Input::Answer(device_id(device)), clock.now())
}

#[tokio::test]
async fn what_was_not_heard_is_read_once_it_is_known() {
    let mut scene = Scene::new().await;
    let third = answered(&scene.second, "phone", &scene.ground.clock);
    replace(&*scene.ground.store, &scene.second, &third).await.expect("written");
    // Events of two calls at the same millisecond have no order.
    scene.ground.clock.advance(Duration::from_millis(1));
    let other = committed_call(&scene.ground).await;
    scene.lose();
    let news = next(&mut scene.reader).await.expect("it is open");
    let told: Vec<_> = news.iter().map(|news| (news.call.id, news.event.seq)).collect();
    assert_eq!(told, [(third.id, 3), (other.id, 1)]);
}

#[tokio::test]
async fn a_ban_that_was_not_heard_ends_the_reader() {
    let mut scene = Scene::new().await;
    let ban = Ban { user: user("ann"), reason: None, created_at: scene.ground.clock.now(), until: None };
    scene.ground.store.put_ban(ban).await.expect("banned");
    scene.lose();
    assert!(next(&mut scene.reader).await.is_none());
}

#[tokio::test]
async fn a_reader_that_cannot_read_again_ends() {
    let mut scene = Scene::new().await;
    scene.wire.failing.store(1, Ordering::SeqCst);
    scene.lose();
    assert!(next(&mut scene.reader).await.is_none());
}

#[tokio::test]
async fn a_call_whose_end_is_too_long_ago_ends_the_reader_which_finds_it_by_its_number() {
    let mut scene = Scene::new().await;
    let ended = after(&scene.second, &Input::Cancel, scene.ground.clock.now());
    replace(&*scene.ground.store, &scene.second, &ended).await.expect("written");
    scene.ground.clock.advance(HOUR);
    scene.lose();
    assert!(next(&mut scene.reader).await.is_none());
    let mut reader = scene.engine.read(&user("ann"), None, 100).await.expect("a reader");
    let beginning = reader.begin(&[(ended.id, 2)]).await.expect("a beginning");
    let missed: Vec<_> = beginning.missed.iter().map(|news| &news.event).collect();
    assert_eq!(missed, ended.events[2..].iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_whose_numbers_went_back_ends() {
    let mut scene = Scene::new().await;
    // The fail-over lost the second commit.
    scene.wire.put_instead(scene.first.id, Slot::Call(Box::new(scene.first.clone())));
    scene.lose();
    assert!(next(&mut scene.reader).await.is_none());
    // The client comes back with what it has seen, and begins with what there is.
    let mut reader = scene.engine.read(&user("ann"), None, 100).await.expect("a reader");
    let beginning = reader.begin(&[(scene.first.id, 2)]).await.expect("a beginning");
    assert_eq!(beginning.snapshot.iter().map(|call| call.last_seq()).collect::<Vec<_>>(), [1]);
    assert!(beginning.missed.is_empty(), "the snapshot has all of it");
    assert_eq!(beginning.seen.iter().map(|news| news.event.seq).collect::<Vec<_>>(), [1], "from there on");
    // What happens now is told, under numbers that were used before.
    let second = after(&scene.first, &Input::Answer(device_id("tablet")), scene.ground.clock.now());
    scene.wire.put_instead(second.id, Slot::Call(Box::new(second)));
    scene.lose();
    assert_eq!(numbers(&mut reader).await, [2]);
}

#[tokio::test]
async fn a_reader_ends_where_another_event_has_the_number_that_it_saw() {
    for by_record in [true, false] {
        let mut scene = Scene::new().await;
        // Lost was that the phone rang; then the tablet answered, and things went on.
        let second = answered(&scene.first, "tablet", &scene.ground.clock);
        assert_eq!(second.last_seq(), scene.second.last_seq());
        let third = after(&second, &Input::HangUp(user("ann")), scene.ground.clock.now());
        if by_record {
            let commit = Commit { call: Arc::new(third), expected: Some(2), announced: 2 };
            scene.wire.say(Announcement::Committed(commit.news().expect("it has news")));
        } else {
            scene.wire.put_instead(third.id, Slot::Call(Box::new(third)));
            scene.lose();
        }
        assert!(next(&mut scene.reader).await.is_none(), "by record: {by_record}");
    }
}

#[tokio::test]
async fn the_same_event_at_another_time_is_another_one() {
    let mut scene = Scene::new().await;
    scene.ground.clock.advance(std::time::Duration::from_millis(1));
    let again = after(&scene.first, &Input::DeviceAlerting(device_id("phone")), scene.ground.clock.now());
    assert_eq!(again.events[1].kind, EventKind::Ringing {});
    scene.wire.put_instead(again.id, Slot::Call(Box::new(again)));
    scene.lose();
    assert!(next(&mut scene.reader).await.is_none());
}

#[tokio::test]
async fn a_reader_of_a_call_that_is_gone_ends() {
    let mut scene = Scene::new().await;
    scene.wire.put_instead(scene.first.id, Slot::Vacant);
    scene.lose();
    assert!(next(&mut scene.reader).await.is_none());
    let mut reader = scene.engine.read(&user("ann"), None, 100).await.expect("a reader");
    let beginning = reader.begin(&[(scene.first.id, 2)]).await.expect("a beginning");
    assert!(beginning.snapshot.is_empty() && beginning.missed.is_empty());
}

/// A commit without events was lost: the numbers have not gone back.
#[tokio::test]
async fn a_lost_commit_without_events_is_nothing_to_a_reader() {
    let mut scene = Scene::new().await;
    let back = Call { version: 1, ..scene.second.clone() };
    scene.wire.put_instead(back.id, Slot::Call(Box::new(back.clone())));
    scene.lose();
    let other = Call { version: 2, ..answered(&back, "phone", &scene.ground.clock) };
    scene.wire.put_instead(back.id, Slot::Call(Box::new(other)));
    scene.lose();
    assert_eq!(numbers(&mut scene.reader).await, [3]);
}

#[tokio::test]
async fn many_readers_read_again_a_few_at_a_time() {
    const READERS: usize = 80;
    let mut scene = Scene::new().await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = scene.engine.read(&user("ann"), None, 100).await.expect("a reader");
        reader.begin(&[]).await.expect("a beginning");
        readers.push(reader);
    }
    let third = answered(&scene.second, "phone", &scene.ground.clock);
    replace(&*scene.ground.store, &scene.second, &third).await.expect("written");
    scene.wire.most_at_once.store(0, Ordering::SeqCst);
    scene.lose();
    let told = readers.iter_mut().map(async |reader| numbers(reader).await);
    for numbers in futures_util::future::join_all(told).await {
        assert_eq!(numbers, [3]);
    }
    assert_eq!(numbers(&mut scene.reader).await, [3]);
    // Each asks for the history, the line and the ban at once.
    assert!(scene.wire.most_at_once.load(Ordering::SeqCst) <= 3 * 32);
}
