//! Law 23: rates.

use std::time::Duration;

use bellwire::domain::{Limit, Limited, Rate};
use bellwire::store::{Admits, Ban, Charge, Claim, Opening, Reservation, Role, Store, StoreError};

use super::Subject;
use super::fixture::{android, at_once, claim, device_id, line, user};

const USER: Limit = Limit::InvitesPerUser;
const PAIR: Limit = Limit::InvitesPerPair;

const fn an_hour(count: u32) -> Rate {
    Rate { count, per: Duration::from_hours(1) }
}

fn of_user(limit: Limit, rate: Rate) -> Vec<Charge> {
    vec![Charge { limit, rate, of: None }]
}

fn of_caller(peer: &str, user_rate: u32, pair_rate: u32) -> Vec<Charge> {
    let of_pair = Charge::of_pair(PAIR, Some(an_hour(pair_rate)), &user(peer));
    of_user(USER, an_hour(user_rate)).into_iter().chain(of_pair).collect()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Limited {
    match result {
        Err(StoreError::Limited(limited)) => limited,
        other => panic!("{other:?} is not limited"),
    }
}

fn is_limited<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Limited(_)))
}

async fn admitted(store: &dyn Store, owner: &str, charges: &[Charge]) -> bool {
    match store.admit(&user(owner), charges).await {
        Ok(admitted) => admitted,
        Err(StoreError::Limited(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

pub async fn law_23_as_many_as_the_rate_has_come_at_once_and_then_one_for_each_interval(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let charges = of_user(USER, an_hour(3));
    let open = async || store.open_line(claim(clock, "ann", "bob", Role::Caller), None, &charges).await;
    for _ in 0..3 {
        open().await.expect("a burst");
    }
    let Limited { limit, rate, wait } = refusal(open().await);
    assert_eq!((limit, rate), (USER, an_hour(3)));
    // The test itself takes a moment.
    assert!(wait > Duration::from_mins(19) && wait <= Duration::from_mins(20), "{wait:?}");
    clock.advance(wait + Duration::from_millis(1));
    open().await.expect("one more");
    assert!(is_limited(&open().await));
    clock.advance(Duration::from_hours(2));
    for _ in 0..3 {
        open().await.expect("a burst again");
    }
    assert!(is_limited(&open().await));
}

pub async fn law_23_what_is_too_far_ahead_to_be_of_the_rate_counts_for_nothing(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let charges = |per| of_user(USER, Rate { count: 2, per });
    let (minute, second) = (Duration::from_mins(1), Duration::from_secs(1));
    let take = async |per| admitted(&**store, "ann", &charges(per)).await;
    assert!(take(minute).await && take(minute).await && !take(minute).await);
    // As after a clock that went back: what stands there is a minute ahead of a rate of a second.
    assert!(take(second).await);
    // What is only a little ahead may be of another instance, and counts.
    assert!(take(minute).await && !take(minute).await);
    assert!(!take(Duration::from_secs(20)).await);
    clock.advance(minute);
    assert!(take(minute).await);
}

pub async fn law_23_what_is_refused_changes_nothing(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let ann = user("ann");
    let first = claim(clock, "ann", "bob", Role::Caller);
    store.open_line(first.clone(), None, &of_caller("bob", 2, 1)).await.expect("opened");
    let until = clock.now() + Duration::from_hours(24);
    let key = || Some(Reservation { key: "key".into(), body: "digest".into(), replaces: None, until });
    let refused = claim(clock, "ann", "bob", Role::Caller);
    let limited = refusal(store.open_line(refused.clone(), key(), &of_caller("bob", 2, 1)).await);
    assert_eq!(limited.limit, PAIR);
    assert_eq!(line(&**store, clock, "ann").await, [first.call]);
    let history = store.history(&ann, None, 10).await.expect("a history");
    assert!(!history.contains(&refused.call), "{history:?}");

    // Neither the key nor the user's own rate was taken.
    let third = claim(clock, "ann", "cid", Role::Caller);
    let opening = store.open_line(third, key(), &of_caller("cid", 2, 1)).await.expect("opened");
    assert_eq!(opening, Opening::Claimed(vec![first]));
    let fourth = claim(clock, "ann", "dee", Role::Caller);
    assert_eq!(refusal(store.open_line(fourth, None, &of_caller("dee", 2, 1)).await).limit, USER);

    let (old, new) = (android("phone", "old", clock.now()), android("phone", "new", clock.now()));
    let charges = of_user(Limit::RegistrationsPerUser, an_hour(1));
    store.put_device(&ann, old.clone(), 9, &charges).await.expect("registered");
    assert!(is_limited(&store.put_device(&ann, new, 9, &charges).await));
    assert_eq!(store.devices(&ann).await.expect("devices"), [old]);
}

pub async fn law_23_a_call_that_is_known_is_not_charged(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let charges = of_user(USER, an_hour(1));
    let until = clock.now() + Duration::from_hours(24);
    let key = || Some(Reservation { key: "key".into(), body: "digest".into(), replaces: None, until });
    let keyed = claim(clock, "ann", "bob", Role::Caller);
    for _ in 0..3 {
        store.open_line(keyed.clone(), key(), &charges).await.expect("the same call");
    }
    // What was put off the line is known by its key.
    store.free_line(&user("ann"), keyed.call).await.expect("freed");
    store.open_line(keyed.clone(), key(), &charges).await.expect("the same call");
    let replay = store.open_line(claim(clock, "ann", "bob", Role::Caller), key(), &charges).await;
    assert_eq!(replay.expect("an opening"), Opening::Reserved { call: keyed.call, same_body: true });
    assert!(is_limited(&store.open_line(claim(clock, "ann", "bob", Role::Caller), None, &charges).await));

    let incoming = claim(clock, "bob", "ann", Role::Callee);
    for _ in 0..3 {
        store.ring_line(incoming.clone(), &charges, Admits::All).await.expect("the same call");
    }
    assert!(is_limited(&store.ring_line(claim(clock, "bob", "cid", Role::Callee), &charges, Admits::All).await));
}

pub async fn law_23_a_blocked_caller_takes_nothing_and_is_refused_as_any_other(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let charges = of_user(Limit::InvitesPerCallee, an_hour(2));
    store.set_block(&user("bob"), &user("ann"), true).await.expect("blocked");
    let ring = async |caller| store.ring_line(claim(clock, "bob", caller, Role::Callee), &charges, Admits::All).await;
    for _ in 0..5 {
        assert!(ring("ann").await.expect("a callee").blocked);
    }
    ring("cid").await.expect("the first");
    ring("dee").await.expect("the second");
    let (refused, blocked) = (refusal(ring("cid").await), refusal(ring("ann").await));
    assert_eq!((refused.limit, refused.rate), (blocked.limit, blocked.rate));
    assert!(refused.wait.abs_diff(blocked.wait) < Duration::from_secs(30), "{refused:?} {blocked:?}");
    assert_eq!(line(&**store, clock, "bob").await.len(), 2);
}

pub async fn law_23_a_refused_ring_claims_nothing_and_is_in_no_history(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let charges = of_user(Limit::InvitesPerCallee, an_hour(1));
    let (first, refused): (Claim, Claim) =
        (claim(clock, "bob", "ann", Role::Callee), claim(clock, "bob", "cid", Role::Callee));
    store.ring_line(first.clone(), &charges, Admits::All).await.expect("a callee");
    refusal(store.ring_line(refused, &charges, Admits::All).await);
    assert_eq!(store.history(&user("bob"), None, 10).await.expect("a history"), [first.call]);
    assert_eq!(line(&**store, clock, "bob").await, [first.call]);
}

pub async fn law_23_users_pairs_and_limits_do_not_meet(subject: &Subject) {
    let Subject { store, .. } = subject;
    let (tokens, invites) = (of_user(Limit::TokensPerUser, an_hour(1)), of_user(USER, an_hour(1)));
    let pair = |peer: &str| Charge::of_pair(PAIR, Some(an_hour(1)), &user(peer)).into_iter().collect::<Vec<Charge>>();
    let device = |id: &str| {
        Charge::of_device(Limit::TokensPerDevice, Some(an_hour(1)), &device_id(id)).into_iter().collect::<Vec<Charge>>()
    };
    for owner in ["ann", "bob", "ann:bob"] {
        for charges in [&tokens, &invites, &pair("ann"), &pair("bob"), &device("ann"), &device("phone")] {
            assert!(admitted(&**store, owner, charges).await, "{owner} {charges:?}");
            assert!(!admitted(&**store, owner, charges).await, "{owner} {charges:?}");
        }
    }
}

pub async fn law_23_of_many_at_once_as_many_as_may_are_admitted(subject: &Subject) {
    const MANY: usize = 40;
    let Subject { store, .. } = subject;
    let admitted = at_once(MANY, |_| {
        let (store, charges) = (store.clone(), of_user(Limit::TokensPerUser, an_hour(10)));
        async move { admitted(&*store, "ann", &charges).await }
    })
    .await;
    assert_eq!(admitted.into_iter().filter(|admitted| *admitted).count(), 10);
}

pub async fn law_23_a_banned_user_is_neither_charged_nor_limited(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, charges) = (user("ann"), of_user(Limit::TokensPerUser, an_hour(1)));
    let ban = Ban { user: ann.clone(), reason: None, created_at: clock.now(), until: None };
    store.put_ban(ban.clone()).await.expect("banned");
    assert!(!store.admit(&ann, &charges).await.expect("an answer"));
    store.lift_ban(&ann).await.expect("lifted");
    assert!(store.admit(&ann, &charges).await.expect("an answer"));
    store.put_ban(ban).await.expect("banned");
    assert!(!store.admit(&ann, &charges).await.expect("an answer"), "rather than limited");
    let opening = store.open_line(claim(clock, "ann", "bob", Role::Caller), None, &of_user(USER, an_hour(1))).await;
    assert_eq!(opening.expect("an opening"), Opening::Banned);
}

pub async fn law_23_of_several_that_are_used_up_the_longest_wait_is_told(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let open = async || store.open_line(claim(clock, "ann", "bob", Role::Caller), None, &of_caller("bob", 2, 2)).await;
    open().await.expect("opened");
    // Another peer's call leaves more of the pair's than of the user's.
    store.open_line(claim(clock, "ann", "cid", Role::Caller), None, &of_caller("cid", 2, 2)).await.expect("opened");
    let refused = refusal(open().await);
    assert_eq!(refused.limit, USER);
    clock.advance(refused.wait + Duration::from_millis(1));
    open().await.expect("opened");
    assert!(is_limited(&open().await));
}
