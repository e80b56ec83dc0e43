//! Laws 9, 12 and 16: what is remembered of calls that are over.

use std::collections::HashSet;
use std::time::Duration;

use bellwire::domain::CallId;
use bellwire::store::{Admits, HISTORY_LENGTH, MISSED_KEPT, Role};

use super::Subject;
use super::fixture::{at_once, claim, open, user};

pub async fn law_09_an_outgoing_call_is_the_newest_of_the_history(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = claim(clock, "ann", "bob", Role::Caller);
    let second = claim(clock, "ann", "cid", Role::Caller);
    open(&**store, &first).await;
    open(&**store, &second).await;
    open(&**store, &first).await;
    let history = store.history(&user("ann"), None, 10).await.expect("a history");
    assert_eq!(history, [second.call, first.call], "newest first, each once");
    assert!(store.history(&user("bob"), None, 10).await.expect("a history").is_empty());
}

pub async fn law_09_calling_back_counts_missed_calls_from_zero(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, bob, cid) = (user("ann"), user("bob"), user("cid"));
    for expected in 1..=2 {
        assert_eq!(store.count_missed(&bob, &ann, clock.call_id()).await.expect("a count").count, expected);
    }
    assert_eq!(store.count_missed(&bob, &cid, clock.call_id()).await.expect("a count").count, 1);
    // Ann calls again, which resets nothing; then Bob calls her.
    open(&**store, &claim(clock, "ann", "bob", Role::Caller)).await;
    store.ring_line(claim(clock, "bob", "ann", Role::Callee), &[], Admits::All).await.expect("a callee");
    assert_eq!(store.count_missed(&bob, &ann, clock.call_id()).await.expect("a count").count, 3);
    open(&**store, &claim(clock, "bob", "ann", Role::Caller)).await;
    assert_eq!(store.count_missed(&bob, &ann, clock.call_id()).await.expect("a count").count, 1);
    assert_eq!(
        store.count_missed(&bob, &cid, clock.call_id()).await.expect("a count").count,
        2,
        "another peer's stands"
    );
}

pub async fn law_12_the_history_keeps_the_newest(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let mut made = Vec::new();
    for number in 0..HISTORY_LENGTH + 5 {
        let (role, owner) = if number % 2 == 0 { (Role::Caller, "ann") } else { (Role::Callee, "ann") };
        let claim = claim(clock, owner, "bob", role);
        made.push(claim.call);
        match role {
            Role::Caller => drop(open(&**store, &claim).await),
            Role::Callee => drop(store.ring_line(claim.clone(), &[], Admits::All).await.expect("a callee")),
        }
        store.free_line(&claim.user, claim.call).await.expect("freed");
    }
    made.reverse();
    let history = store.history(&user("ann"), None, 1000).await.expect("a history");
    assert_eq!(history, made[..HISTORY_LENGTH]);
}

pub async fn law_12_the_history_is_read_in_pages(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let ann = user("ann");
    let mut made = Vec::new();
    for _ in 0..10 {
        let claim = claim(clock, "ann", "bob", Role::Caller);
        open(&**store, &claim).await;
        made.push(claim.call);
    }
    made.reverse();
    let (mut read, mut before) = (Vec::new(), None);
    loop {
        let page = store.history(&ann, before, 4).await.expect("a page");
        assert!(page.len() <= 4);
        let Some(last) = page.last() else { break };
        before = Some(*last);
        read.extend(page);
    }
    assert_eq!(read, made, "every call once");
    clock.advance(Duration::from_millis(1));
    let unknown = Some(clock.call_id());
    assert_eq!(store.history(&ann, unknown, 2).await.expect("a page"), made[..2], "older than a call of somebody else");
    assert!(store.history(&ann, None, 0).await.expect("a page").is_empty());
}

pub async fn law_16_a_missed_call_counts_once(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, bob) = (user("ann"), user("bob"));
    let calls: Vec<CallId> = (0..3).map(|_| clock.call_id()).collect();
    for (call, number) in [(0, 1), (0, 1), (1, 2), (0, 1), (2, 3), (1, 2), (2, 3)] {
        let counted = store.count_missed(&bob, &ann, calls[call]).await.expect("a count").count;
        assert_eq!(counted, number, "call {call}");
    }
    assert_eq!(
        store.count_missed(&ann, &bob, calls[0]).await.expect("a count").count,
        1,
        "the other way round is another"
    );
}

pub async fn law_16_a_caller_who_does_not_give_up_is_counted_on(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, bob) = (user("ann"), user("bob"));
    for number in 1..=150 {
        let call = clock.call_id();
        for _ in 0..2 {
            assert_eq!(store.count_missed(&bob, &ann, call).await.expect("a count").count, number);
        }
    }
    clock.advance(MISSED_KEPT);
    assert_eq!(store.count_missed(&bob, &ann, clock.call_id()).await.expect("a count").count, 1, "long forgotten");
}

pub async fn law_16_of_many_counted_at_once_each_has_its_own_number(subject: &Subject) {
    const CALLS: usize = 20;
    let Subject { store, clock, .. } = subject;
    let calls: Vec<CallId> = (0..CALLS).map(|_| clock.call_id()).collect();
    // Two devices of each call.
    let counted = at_once(CALLS * 2, |number| {
        let (store, call) = (store.clone(), calls[number % CALLS]);
        async move { (call, store.count_missed(&user("bob"), &user("ann"), call).await.expect("a count").count) }
    })
    .await;
    let distinct: HashSet<(CallId, u32)> = counted.into_iter().collect();
    assert_eq!(distinct.len(), CALLS, "both devices of a call say the same");
    let numbers: HashSet<u32> = distinct.into_iter().map(|(_, number)| number).collect();
    assert_eq!(numbers, (1..=20).collect());
}
