//! Law 22: which missed calls a callee is told of, and law 16's numbers among them.

use std::time::Duration;

use bellwire::domain::CallId;
use bellwire::store::{MISSED_TOLD_AN_HOUR, MISSED_TOLD_EVERY, Missed, Role, Tell};

use super::Subject;
use super::fixture::{at_once, claim, open, user};

/// A call of a caller that Bob missed.
async fn miss(subject: &Subject, caller: &str, call: CallId) -> Missed {
    subject.store.count_missed(&user("bob"), &user(caller), call).await.expect("a count")
}

const fn missed(count: u32, tell: Tell) -> Missed {
    Missed { count, tell }
}

pub async fn law_22_a_caller_who_calls_on_is_told_of_now_and_then(subject: &Subject) {
    let clock = &subject.clock;
    let calls: Vec<CallId> = (0..1000).map(|_| clock.call_id()).collect();
    let before = clock.now() + MISSED_TOLD_EVERY;
    assert_eq!(miss(subject, "ann", calls[0]).await, missed(1, Tell::Now));
    let next = clock.now() + MISSED_TOLD_EVERY;
    let Missed { count: 2, tell: Tell::Later(at) } = miss(subject, "ann", calls[1]).await else { panic!("too soon") };
    assert!(before <= at && at <= next, "{at:?} is not from {before:?} to {next:?}");
    assert_eq!(miss(subject, "ann", calls[1]).await.tell, Tell::Later(at), "asked again too soon");
    let mut told = 0;
    for (number, call) in (3..).zip(&calls[2..]) {
        let found = miss(subject, "ann", *call).await;
        told += usize::from(found.tell != Tell::NotAtAll);
        assert_eq!(found.count, number);
    }
    assert_eq!(told, 0, "the second one tells of them");
    assert_eq!(miss(subject, "cid", clock.call_id()).await, missed(1, Tell::Now), "another caller's is told at once");
    clock.advance(MISSED_TOLD_EVERY);
    // Each device of Bob, and each as often as it takes.
    for _ in 0..3 {
        assert_eq!(miss(subject, "ann", calls[1]).await, missed(1000, Tell::Now));
    }
    assert_eq!(miss(subject, "ann", calls[990]).await, missed(991, Tell::NotAtAll), "another one has told");
    // Ann has called a thousand times, and is told of more seldom.
    clock.advance(MISSED_TOLD_EVERY);
    let late = clock.call_id();
    let Missed { count: 1001, tell: Tell::Later(at) } = miss(subject, "ann", late).await else { panic!("too soon") };
    clock.advance(at.since(clock.now()));
    assert_eq!(miss(subject, "ann", late).await, missed(1001, Tell::Now));
    // When they have talked she is told of as anybody.
    subject.store.forget_missed(&user("bob"), &user("ann")).await.expect("forgotten");
    clock.advance(MISSED_TOLD_EVERY);
    assert_eq!(miss(subject, "ann", clock.call_id()).await, missed(1, Tell::Now));
}

pub async fn law_22_one_caller_leaves_room_for_others(subject: &Subject) {
    let clock = &subject.clock;
    let mut told = 0;
    for _ in 0..60 {
        clock.advance(Duration::from_secs(59));
        told += usize::from(miss(subject, "ann", clock.call_id()).await.tell == Tell::Now);
    }
    assert!((5..MISSED_TOLD_AN_HOUR / 2).contains(&told), "told of {told} times");
    assert_eq!(miss(subject, "cid", clock.call_id()).await, missed(1, Tell::Now));
}

pub async fn law_22_a_thousand_callers_are_told_of_thirty_times_an_hour(subject: &Subject) {
    let clock = &subject.clock;
    let mut told = 0;
    for caller in 0..200 {
        let found = miss(subject, &format!("caller-{caller}"), clock.call_id()).await;
        told += usize::from(found == missed(1, Tell::Now));
    }
    assert_eq!(told, MISSED_TOLD_AN_HOUR);
    assert_eq!(miss(subject, "late", clock.call_id()).await.tell, Tell::NotAtAll);
    clock.advance(Duration::from_mins(59));
    assert_eq!(miss(subject, "late", clock.call_id()).await.tell, Tell::NotAtAll);
    clock.advance(Duration::from_mins(2));
    assert_eq!(miss(subject, "late", clock.call_id()).await, missed(3, Tell::Now));
    let other = subject.store.count_missed(&user("eve"), &user("late"), clock.call_id()).await.expect("a count");
    assert_eq!(other, missed(1, Tell::Now), "another callee");
}

pub async fn law_22_of_many_missed_at_once_one_tells_and_one_will(subject: &Subject) {
    const CALLS: usize = 40;
    let Subject { store, clock, .. } = subject;
    let calls: Vec<CallId> = (0..CALLS).map(|_| clock.call_id()).collect();
    let found = at_once(CALLS, |number| {
        let (store, call) = (store.clone(), calls[number]);
        async move { store.count_missed(&user("bob"), &user("ann"), call).await.expect("a count").tell }
    })
    .await;
    assert_eq!(found.iter().filter(|tell| **tell == Tell::Now).count(), 1);
    assert_eq!(found.iter().filter(|tell| matches!(tell, Tell::Later(_))).count(), 1);
}

pub async fn law_22_what_was_forgotten_is_not_told(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, bob) = (user("ann"), user("bob"));
    for by_calling_back in [false, true] {
        let (first, second) = (clock.call_id(), clock.call_id());
        assert_eq!(miss(subject, "ann", first).await, missed(1, Tell::Now));
        assert_ne!(miss(subject, "ann", second).await.tell, Tell::Now);
        if by_calling_back {
            open(&**store, &claim(clock, "bob", "ann", Role::Caller)).await;
        } else {
            store.forget_missed(&bob, &ann).await.expect("forgotten");
            store.forget_missed(&bob, &ann).await.expect("forgotten again");
        }
        clock.advance(MISSED_TOLD_EVERY);
        assert_eq!(miss(subject, "ann", first).await.tell, Tell::NotAtAll, "a second device comes late");
        for _ in 0..2 {
            assert_eq!(miss(subject, "ann", second).await.tell, Tell::NotAtAll, "each device of it");
        }
        assert_eq!(miss(subject, "ann", clock.call_id()).await, missed(1, Tell::Now), "the next one is the first");
        store.forget_missed(&bob, &ann).await.expect("forgotten");
        clock.advance(MISSED_TOLD_EVERY);
    }
}

pub async fn law_22_a_teller_that_never_comes_back_keeps_nobody_silent_for_long(subject: &Subject) {
    let clock = &subject.clock;
    miss(subject, "ann", clock.call_id()).await;
    let Tell::Later(at) = miss(subject, "ann", clock.call_id()).await.tell else { panic!("too soon") };
    // It has a minute.
    clock.advance(at.since(clock.now()) + Duration::from_secs(45));
    assert_eq!(miss(subject, "ann", clock.call_id()).await.tell, Tell::NotAtAll);
    clock.advance(Duration::from_secs(15));
    assert_eq!(miss(subject, "ann", clock.call_id()).await, missed(4, Tell::Now));
}
