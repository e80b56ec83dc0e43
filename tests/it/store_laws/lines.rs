//! Laws 7, 10, 11, 26 and 35: users' lines.

use std::collections::HashSet;
use std::time::Duration;

use bellwire::store::{Admits, CLAIMS_BEFORE, Claim, HISTORY_LENGTH, Role};

use super::Subject;
use super::fixture::{android, at_once, claim, line, open, user};

pub async fn law_07_claims_are_returned_in_the_order_in_which_they_were_made(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = claim(clock, "ann", "bob", Role::Caller);
    let second = claim(clock, "ann", "cid", Role::Callee);
    let third = claim(clock, "ann", "dee", Role::Caller);
    // The order is that of claiming, whatever the ids say.
    assert!(open(&**store, &second).await.is_empty());
    assert_eq!(open(&**store, &third).await, std::slice::from_ref(&second));
    assert_eq!(store.ring_line(first.clone(), &[], Admits::All).await.expect("a callee").others, [second, third]);
    assert!(open(&**store, &claim(clock, "eve", "ann", Role::Caller)).await.is_empty(), "a line is one user's");
}

pub async fn law_07_a_claim_made_again_changes_nothing(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = claim(clock, "ann", "bob", Role::Caller);
    let second = claim(clock, "ann", "cid", Role::Caller);
    for _ in 0..2 {
        assert!(open(&**store, &first).await.is_empty());
    }
    for _ in 0..2 {
        assert_eq!(open(&**store, &second).await, std::slice::from_ref(&first), "never itself");
    }
    assert!(open(&**store, &first).await.is_empty(), "the other one is not before it");
    assert_eq!(line(&**store, clock, "ann").await, [first.call, second.call]);
}

pub async fn law_07_a_claim_past_its_time_is_gone(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let short = Claim { until: clock.now() + Duration::from_secs(30), ..claim(clock, "ann", "bob", Role::Caller) };
    let long = claim(clock, "ann", "cid", Role::Caller);
    open(&**store, &short).await;
    open(&**store, &long).await;
    clock.advance(Duration::from_secs(20));
    assert_eq!(line(&**store, clock, "ann").await, [short.call, long.call]);
    clock.advance(Duration::from_secs(10));
    assert_eq!(line(&**store, clock, "ann").await, [long.call]);
    clock.advance(Duration::from_hours(1));
    assert!(line(&**store, clock, "ann").await.is_empty());
}

pub async fn law_07_of_many_that_claim_each_sees_all_before_it(subject: &Subject) {
    const MANY: usize = 40;
    let Subject { store, clock, .. } = subject;
    let seen = at_once(MANY, |_| {
        let (store, claim) = (store.clone(), claim(clock, "ann", "bob", Role::Caller));
        async move { open(&*store, &claim).await.len() }
    })
    .await;
    let distinct: HashSet<usize> = seen.into_iter().collect();
    assert_eq!(distinct, (0..MANY).collect(), "they stand in one row");
}

pub async fn law_10_ringing_claims_and_reads_what_an_invite_must_know(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let bob = user("bob");
    let devices = [android("phone", "t1", clock.now()), android("tablet", "t2", clock.now())];
    for device in devices.clone() {
        store.put_device(&bob, device, 10, &[]).await.expect("registered");
    }
    let first = claim(clock, "bob", "ann", Role::Callee);
    let second = claim(clock, "bob", "cid", Role::Callee);
    let callee = store.ring_line(first.clone(), &[], Admits::All).await.expect("a callee");
    assert_eq!((callee.others, callee.blocked), (Vec::new(), false));
    assert_eq!(callee.devices, devices);
    let callee = store.ring_line(second.clone(), &[], Admits::All).await.expect("a callee");
    assert_eq!(callee.others, std::slice::from_ref(&first));
    let again = store.ring_line(first.clone(), &[], Admits::All).await.expect("a callee");
    assert!(again.others.is_empty(), "a claim made again changes nothing");
    let history = store.history(&bob, None, 10).await.expect("a history");
    assert_eq!(history, [second.call, first.call]);
    assert_eq!(line(&**store, clock, "bob").await, [first.call, second.call]);
}

pub async fn law_10_a_blocked_caller_claims_nothing_and_is_not_recorded(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let bob = user("bob");
    let device = android("phone", "t1", clock.now());
    store.put_device(&bob, device.clone(), 10, &[]).await.expect("registered");
    let standing = claim(clock, "bob", "cid", Role::Callee);
    store.ring_line(standing.clone(), &[], Admits::All).await.expect("a callee");
    store.set_block(&bob, &user("ann"), true).await.expect("blocked");

    let callee = store.ring_line(claim(clock, "bob", "ann", Role::Callee), &[], Admits::All).await.expect("a callee");
    assert!(callee.blocked);
    assert_eq!(callee.devices, [device]);
    assert_eq!(callee.others, std::slice::from_ref(&standing));
    assert_eq!(store.history(&bob, None, 10).await.expect("a history"), [standing.call]);
    assert_eq!(line(&**store, clock, "bob").await, [standing.call]);

    // A block has one direction, and an end.
    assert!(
        !store.ring_line(claim(clock, "ann", "bob", Role::Callee), &[], Admits::All).await.expect("a callee").blocked
    );
    store.set_block(&bob, &user("ann"), false).await.expect("unblocked");
    assert!(
        !store.ring_line(claim(clock, "bob", "ann", Role::Callee), &[], Admits::All).await.expect("a callee").blocked
    );
}

pub async fn law_11_a_freed_line_keeps_its_other_claims(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let claims: Vec<Claim> = (0..3).map(|_| claim(clock, "ann", "bob", Role::Caller)).collect();
    for claim in &claims {
        open(&**store, claim).await;
    }
    for _ in 0..2 {
        store.free_line(&user("ann"), claims[1].call).await.expect("freed");
        assert_eq!(line(&**store, clock, "ann").await, [claims[0].call, claims[2].call]);
    }
    store.free_line(&user("nobody"), claims[0].call).await.expect("nothing to free");
    assert_eq!(line(&**store, clock, "ann").await, [claims[0].call, claims[2].call]);
    store.free_line(&user("ann"), claims[0].call).await.expect("freed");
    store.free_line(&user("ann"), claims[2].call).await.expect("freed");
    assert!(line(&**store, clock, "ann").await.is_empty());
}

pub async fn law_26_a_line_names_a_live_call_that_the_history_names_no_more(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let short = Claim { until: clock.now() + Duration::from_secs(30), ..claim(clock, "ann", "cid", Role::Caller) };
    let live = claim(clock, "ann", "bob", Role::Caller);
    open(&**store, &short).await;
    open(&**store, &live).await;
    for _ in 0..=HISTORY_LENGTH {
        let busy = claim(clock, "ann", "dee", Role::Callee);
        store.ring_line(busy.clone(), &[], Admits::All).await.expect("a callee");
        store.free_line(&busy.user, busy.call).await.expect("freed");
    }
    assert!(!store.history(&user("ann"), None, HISTORY_LENGTH).await.expect("a history").contains(&live.call));
    assert_eq!(store.line(&user("ann")).await.expect("a line"), [short, live.clone()]);
    clock.advance(Duration::from_secs(30));
    assert_eq!(store.line(&user("ann")).await.expect("a line"), [live]);
    assert!(store.line(&user("nobody")).await.expect("a line").is_empty());
}

pub async fn law_35_a_crowded_line_is_not_claimed_but_told_of(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let incoming = || claim(clock, "bob", "ann", Role::Callee);
    let ring = async |claim: &Claim| store.ring_line(claim.clone(), &[], Admits::All).await.expect("a callee");
    // Those of both roles count.
    let own = claim(clock, "bob", "cid", Role::Caller);
    open(&**store, &own).await;
    let mut before = vec![own];
    while before.len() < CLAIMS_BEFORE {
        let one = incoming();
        let callee = ring(&one).await;
        assert!(!callee.crowded);
        assert_eq!(callee.others, before);
        before.push(one);
    }
    let late = incoming();
    for _ in 0..2 {
        let callee = ring(&late).await;
        assert!(callee.crowded);
        assert_eq!(callee.others, before);
    }
    assert_eq!(store.line(&user("bob")).await.expect("a line"), before);
    assert_eq!(store.history(&user("bob"), None, 1).await.expect("a history"), [late.call], "it is recorded");
    assert!(store.calls_naming(&user("bob")).await.expect("calls").contains(&late.call));
    let last = before.last().expect("claims");
    assert!(!ring(last).await.crowded, "it stands");

    // What Bob himself begins is claimed all the same.
    let own = claim(clock, "bob", "cid", Role::Caller);
    assert_eq!(open(&**store, &own).await, before);
    store.free_line(&own.user, own.call).await.expect("freed");

    store.free_line(&last.user, last.call).await.expect("freed");
    let callee = ring(&late).await;
    assert!(!callee.crowded, "there is room");
    assert_eq!(callee.others, before[..CLAIMS_BEFORE - 1]);
    assert_eq!(line(&**store, clock, "bob").await.last(), Some(&late.call));

    // A blocked caller learns of no crowd.
    store.set_block(&user("bob"), &user("ann"), true).await.expect("blocked");
    let callee = ring(&incoming()).await;
    assert!(callee.blocked && !callee.crowded);
}

pub async fn law_35_of_many_that_ring_at_once_few_claim(subject: &Subject) {
    const MANY: usize = 200;
    let Subject { store, clock, .. } = subject;
    let callees = at_once(MANY, |_| {
        let (store, claim) = (store.clone(), claim(clock, "bob", "ann", Role::Callee));
        async move { store.ring_line(claim, &[], Admits::All).await.expect("a callee") }
    })
    .await;
    assert_eq!(callees.iter().filter(|callee| !callee.crowded).count(), CLAIMS_BEFORE);
    assert_eq!(callees.iter().map(|callee| callee.others.len()).max(), Some(CLAIMS_BEFORE));
    assert_eq!(store.line(&user("bob")).await.expect("a line").len(), CLAIMS_BEFORE);
}
