//! Readers hear of what another instance commits: without the record in the announcement, once each, in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwire::domain::{Call, Input};
use bellwire::engine::{News, Reader};
use bellwire::store::{Announcement, Commit, Store};
use tokio::time::timeout;

use super::wire::{Attached, Wire};
use super::{Ground, ann, bob};
use crate::store_laws::fixture::{after, android, committed, create, device_id, new_call, replace, user};
use crate::support::SOON;

pub async fn next(reader: &mut Reader) -> Option<Vec<News>> {
    timeout(SOON, reader.next()).await.expect("news in time")
}

/// The numbers of the next events.
pub async fn numbers(reader: &mut Reader) -> Vec<u32> {
    next(reader).await.expect("it is open").iter().map(|news| news.event.seq).collect()
}

/// The numbers of all events up to this one.
async fn up_to(reader: &mut Reader, last: u32) -> Vec<u32> {
    let mut all = Vec::new();
    while all.last() != Some(&last) {
        all.extend(numbers(reader).await);
    }
    all
}

#[tokio::test]
async fn a_reader_hears_of_what_another_instance_commits() {
    let ground = Ground::new();
    let wire = Wire::to(&ground.store, &Attached::default());
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine_on(Arc::clone(&wire) as _));
    let mut caller = there.read(&user("ann"), None, 10).await.expect("a reader");
    let mut callee = there.read(&user("bob"), None, 10).await.expect("a reader");
    for reader in [&mut caller, &mut callee] {
        reader.begin(&[]).await.expect("a beginning");
    }
    let call = ground.ringing(&here).await;
    here.alerting(call.id, &bob()).await.expect("rings");
    here.answer(call.id, &bob()).await.expect("answered");
    let call = here.hang_up(call.id, &ann()).await.expect("over");
    let all: Vec<u32> = (1..=call.last_seq()).collect();
    for reader in [&mut caller, &mut callee] {
        assert_eq!(up_to(reader, call.last_seq()).await, all);
    }
}

#[tokio::test]
async fn a_record_that_nobody_reads_here_is_not_loaded() {
    let ground = Ground::new();
    let wire = Wire::to(&ground.store, &Attached::default());
    let (there, _there) = ground.engine_on(Arc::clone(&wire) as _);
    let mut reader = there.read(&user("cid"), None, 10).await.expect("a reader");
    create(&*ground.store, &new_call(&ground.clock)).await.expect("written");
    // A call that is hidden from its callee is not loaded for them.
    let mut hidden = new_call(&ground.clock);
    (hidden.callee.id, hidden.hidden) = (user("cid"), true);
    create(&*ground.store, &hidden).await.expect("written");
    let mut own = new_call(&ground.clock);
    own.caller.id = user("cid");
    create(&*ground.store, &own).await.expect("written");
    assert_eq!(next(&mut reader).await.expect("it is open")[0].call.id, own.id);
    assert_eq!(*wire.loads.borrow(), 1);
}

#[tokio::test]
async fn what_changes_while_its_record_is_loaded_costs_one_more_load() {
    let ground = Ground::new();
    let wire = Wire::to(&ground.store, &Attached::default());
    let (there, _there) = ground.engine_on(Arc::clone(&wire) as _);
    let mut reader = there.read(&user("ann"), None, 10).await.expect("a reader");
    let mut news = wire.announcements();
    let held_up = wire.gate.write().await;
    let mut call = new_call(&ground.clock);
    create(&*ground.store, &call).await.expect("written");
    // It is read as it is now, and that is long on its way.
    wire.loads.subscribe().wait_for(|loads| *loads == 1).await.expect("it lives");
    for input in
        [Input::DeviceAlerting(device_id("phone")), Input::Answer(device_id("phone")), Input::HangUp(user("ann"))]
    {
        let next = after(&call, &input, ground.clock.now());
        replace(&*ground.store, &call, &next).await.expect("written");
        call = next;
    }
    // A later announcement that has had its effect shows that the engine has heard all of these.
    let mut sign = there.read(&user("dee"), None, 10).await.expect("a reader");
    while committed(&mut news).await.version < call.version {}
    wire.say(Announcement::Closed { user: user("dee"), device: None });
    assert!(next(&mut sign).await.is_none());
    drop(held_up);
    assert_eq!(up_to(&mut reader, call.last_seq()).await, (1..=call.last_seq()).collect::<Vec<_>>());
    assert!(*wire.loads.borrow() == 2, "{} loads", *wire.loads.borrow());
}

#[tokio::test]
async fn a_load_that_fails_has_the_readers_read_their_calls_again() {
    let ground = Ground::new();
    let wire = Wire::to(&ground.store, &Attached::default());
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine_on(Arc::clone(&wire) as _));
    let mut reader = there.read(&user("ann"), None, 10).await.expect("a reader");
    wire.failing.store(1, Ordering::SeqCst);
    ground.ringing(&here).await;
    assert_eq!(numbers(&mut reader).await, [1]);
    assert_eq!(*wire.loads.borrow(), 2);
}

/// An older record that comes late, as announcements overtake one another, is neither news nor a sign that something was lost.
#[tokio::test]
async fn a_record_that_was_overtaken_changes_nothing() {
    let ground = Ground::new();
    let wire = Wire::to(&ground.store, &Attached::default());
    let (there, _there) = ground.engine_on(Arc::clone(&wire) as _);
    let mut reader = there.read(&user("ann"), None, 10).await.expect("a reader");
    wire.cut();
    let first = new_call(&ground.clock);
    let second = after(&first, &Input::DeviceAlerting(device_id("phone")), ground.clock.now());
    let third = after(&second, &Input::Answer(device_id("phone")), ground.clock.now());
    let say = |call: &Call, announced| {
        let commit = Commit { call: Arc::new(call.clone()), expected: None, announced };
        wire.say(Announcement::Committed(commit.news().expect("it has news")));
    };
    // In the mailbox together, and after it was emptied.
    say(&second, first.last_seq());
    say(&first, 0);
    assert_eq!(numbers(&mut reader).await, [1, 2]);
    say(&first, 0);
    say(&third, second.last_seq());
    assert_eq!(numbers(&mut reader).await, [3]);
    say(&second, first.last_seq());
    let other = Call { id: ground.clock.call_id(), ..first.clone() };
    say(&other, 0);
    assert_eq!(next(&mut reader).await.expect("it is open")[0].call.id, other.id, "nothing of the old one");
}

#[tokio::test]
async fn a_device_that_goes_ends_its_readers_at_every_instance() {
    let ground = Ground::new();
    let wire = Wire::to(&ground.store, &Attached::default());
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine_on(Arc::clone(&wire) as _));
    ground.register(android("phone", "token-1", ground.clock.now())).await;
    ground.register(android("tablet", "token-2", ground.clock.now())).await;
    let read = async |device: &str| there.read(&user("bob"), Some(device_id(device)), 10).await.expect("a reader");
    let (mut phone, mut tablet, mut other) = (read("phone").await, read("tablet").await, read("other").await);
    here.register(&user("cid"), android("mine", "token-1", ground.clock.now()), None).await.expect("registered");
    assert!(next(&mut phone).await.is_none(), "its token was taken");
    here.remove_device(&user("bob"), &device_id("tablet")).await.expect("removed");
    assert!(next(&mut tablet).await.is_none(), "it was removed");
    create(&*ground.store, &new_call(&ground.clock)).await.expect("written");
    assert_eq!(numbers(&mut other).await, [1]);
}
