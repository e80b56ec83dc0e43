//! Laws 7 to 12 and 16: lines, idempotency keys, histories and missed calls.

use std::collections::HashSet;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::CallId;
use bellwire::store::{Claim, HISTORY_LENGTH, Opening, Reservation, Role, Store};

use super::Subject;
use super::fixture::{android, at_once, claim, user};

fn reservation(clock: &Clock, key: &str, body: &str) -> Reservation {
    let until = clock.now() + Duration::from_hours(24);
    Reservation { key: key.to_owned(), body: body.to_owned(), replaces: None, until }
}

/// Claims an outgoing call and returns the claims before it.
async fn open(store: &dyn Store, claim: &Claim) -> Vec<Claim> {
    match store.open_line(claim.clone(), None).await.expect("an opening") {
        Opening::Claimed(others) => others,
        other @ Opening::Reserved { .. } => panic!("{other:?} without a key"),
    }
}

async fn open_with(store: &dyn Store, claim: &Claim, reservation: &Reservation) -> Opening {
    store.open_line(claim.clone(), Some(reservation.clone())).await.expect("an opening")
}

/// The claims of a user, seen by one more.
async fn line(store: &dyn Store, clock: &Clock, owner: &str) -> Vec<CallId> {
    let probe = claim(clock, owner, "nobody", Role::Caller);
    let seen = open(store, &probe).await;
    store.free_line(&probe.user, probe.call).await.expect("freed");
    seen.into_iter().map(|claim| claim.call).collect()
}

pub async fn law_07_claims_are_returned_in_the_order_in_which_they_were_made(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = claim(clock, "ann", "bob", Role::Caller);
    let second = claim(clock, "ann", "cid", Role::Callee);
    let third = claim(clock, "ann", "dee", Role::Caller);
    // The order is that of claiming, whatever the ids say.
    assert!(open(&**store, &second).await.is_empty());
    assert_eq!(open(&**store, &third).await, std::slice::from_ref(&second));
    assert_eq!(store.ring_line(first.clone()).await.expect("a callee").others, [second, third]);
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
    let seen = at_once(MANY, |number| {
        let role = if number % 2 == 0 { Role::Caller } else { Role::Callee };
        let (store, claim) = (store.clone(), claim(clock, "ann", "bob", role));
        async move {
            match role {
                Role::Caller => open(&*store, &claim).await.len(),
                Role::Callee => store.ring_line(claim).await.expect("a callee").others.len(),
            }
        }
    })
    .await;
    let distinct: HashSet<usize> = seen.into_iter().collect();
    assert_eq!(distinct, (0..MANY).collect(), "they stand in one row");
}

pub async fn law_08_a_key_belongs_to_the_first_call(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = claim(clock, "ann", "bob", Role::Caller);
    let again = claim(clock, "ann", "bob", Role::Caller);
    let key = reservation(clock, "key-1", "digest-1");
    assert_eq!(open_with(&**store, &first, &key).await, Opening::Claimed(Vec::new()));
    let taken = |same_body| Opening::Reserved { call: first.call, same_body };
    assert_eq!(open_with(&**store, &again, &key).await, taken(true));
    let other_body = Reservation { body: "digest-2".to_owned(), ..key.clone() };
    assert_eq!(open_with(&**store, &again, &other_body).await, taken(false));

    assert_eq!(line(&**store, clock, "ann").await, [first.call], "it claimed nothing");
    let history = store.history(&user("ann"), None, 10).await.expect("a history");
    assert!(!history.contains(&again.call), "and it is in no history");
    let other_key = reservation(clock, "key-2", "digest-1");
    assert_eq!(open_with(&**store, &again, &other_key).await, Opening::Claimed(vec![first]));
}

pub async fn law_08_a_key_gives_way_to_its_own_call_and_to_the_replacing_one(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = claim(clock, "ann", "bob", Role::Caller);
    let second = claim(clock, "ann", "bob", Role::Caller);
    let third = claim(clock, "ann", "bob", Role::Caller);
    let key = reservation(clock, "key", "digest");
    for _ in 0..2 {
        assert_eq!(
            open_with(&**store, &first, &key).await,
            Opening::Claimed(Vec::new()),
            "the same call may repeat it"
        );
    }
    store.free_line(&user("ann"), first.call).await.expect("freed");
    let replacing = Reservation { replaces: Some(first.call), ..key };
    assert_eq!(open_with(&**store, &second, &replacing).await, Opening::Claimed(Vec::new()));
    // The first is replaced already, and the second is not the one to be replaced.
    let taken = Opening::Reserved { call: second.call, same_body: true };
    assert_eq!(open_with(&**store, &third, &replacing).await, taken);
}

pub async fn law_08_a_key_is_free_again_after_its_time(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let key = reservation(clock, "key", "digest");
    let first = claim(clock, "ann", "bob", Role::Caller);
    open_with(&**store, &first, &key).await;
    clock.advance(Duration::from_hours(23));
    let second = claim(clock, "ann", "bob", Role::Caller);
    let taken = Opening::Reserved { call: first.call, same_body: true };
    assert_eq!(open_with(&**store, &second, &key).await, taken);
    clock.advance(Duration::from_hours(2));
    let third = claim(clock, "ann", "bob", Role::Caller);
    let renewed = reservation(clock, "key", "digest");
    assert_eq!(open_with(&**store, &third, &renewed).await, Opening::Claimed(Vec::new()));
    let fourth = claim(clock, "ann", "bob", Role::Caller);
    let taken = Opening::Reserved { call: third.call, same_body: true };
    assert_eq!(
        open_with(&**store, &fourth, &renewed).await,
        taken,
        "the renewed one is not forgotten with the old one"
    );
}

pub async fn law_08_keys_of_two_users_do_not_meet(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    for owner in ["ann", "bob", "ann:key", "a"] {
        let opening =
            open_with(&**store, &claim(clock, owner, "zoe", Role::Caller), &reservation(clock, "key", "digest")).await;
        assert_eq!(opening, Opening::Claimed(Vec::new()), "{owner}");
    }
    let opening =
        open_with(&**store, &claim(clock, "ann", "zoe", Role::Caller), &reservation(clock, "key:key", "digest")).await;
    assert!(matches!(opening, Opening::Claimed(_)));
}

pub async fn law_08_of_many_that_take_a_key_one_gets_it(subject: &Subject) {
    const MANY: usize = 40;
    let Subject { store, clock, .. } = subject;
    let key = reservation(clock, "key", "digest");
    let openings = at_once(MANY, |_| {
        let (store, key, claim) = (store.clone(), key.clone(), claim(clock, "ann", "bob", Role::Caller));
        async move { (claim.call, open_with(&*store, &claim, &key).await) }
    })
    .await;
    let claimed = |opening: &Opening| matches!(opening, Opening::Claimed(_));
    let winners: Vec<CallId> = openings.iter().filter(|(_, opening)| claimed(opening)).map(|(call, _)| *call).collect();
    assert_eq!(winners.len(), 1);
    for (_, opening) in openings.iter().filter(|(_, opening)| !claimed(opening)) {
        assert_eq!(*opening, Opening::Reserved { call: winners[0], same_body: true });
    }
    assert_eq!(line(&**store, clock, "ann").await, winners);
}

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
        assert_eq!(store.count_missed(&bob, &ann, clock.call_id()).await.expect("a count"), expected);
    }
    assert_eq!(store.count_missed(&bob, &cid, clock.call_id()).await.expect("a count"), 1);
    // Ann calls again, which resets nothing; then Bob calls her.
    open(&**store, &claim(clock, "ann", "bob", Role::Caller)).await;
    store.ring_line(claim(clock, "bob", "ann", Role::Callee)).await.expect("a callee");
    assert_eq!(store.count_missed(&bob, &ann, clock.call_id()).await.expect("a count"), 3);
    open(&**store, &claim(clock, "bob", "ann", Role::Caller)).await;
    assert_eq!(store.count_missed(&bob, &ann, clock.call_id()).await.expect("a count"), 1);
    assert_eq!(store.count_missed(&bob, &cid, clock.call_id()).await.expect("a count"), 2, "another peer's stands");
}

pub async fn law_10_ringing_claims_and_reads_what_an_invite_must_know(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let bob = user("bob");
    let devices = [android("phone", "t1", clock.now()), android("tablet", "t2", clock.now())];
    for device in devices.clone() {
        store.put_device(&bob, device, 10).await.expect("registered");
    }
    let first = claim(clock, "bob", "ann", Role::Callee);
    let second = claim(clock, "bob", "cid", Role::Callee);
    let callee = store.ring_line(first.clone()).await.expect("a callee");
    assert_eq!((callee.others, callee.blocked), (Vec::new(), false));
    assert_eq!(callee.devices, devices);
    let callee = store.ring_line(second.clone()).await.expect("a callee");
    assert_eq!(callee.others, std::slice::from_ref(&first));
    let again = store.ring_line(first.clone()).await.expect("a callee");
    assert!(again.others.is_empty(), "a claim made again changes nothing");
    let history = store.history(&bob, None, 10).await.expect("a history");
    assert_eq!(history, [second.call, first.call]);
    assert_eq!(line(&**store, clock, "bob").await, [first.call, second.call]);
}

pub async fn law_10_a_blocked_caller_claims_nothing_and_is_not_recorded(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let bob = user("bob");
    let device = android("phone", "t1", clock.now());
    store.put_device(&bob, device.clone(), 10).await.expect("registered");
    let standing = claim(clock, "bob", "cid", Role::Callee);
    store.ring_line(standing.clone()).await.expect("a callee");
    store.set_block(&bob, &user("ann"), true).await.expect("blocked");

    let callee = store.ring_line(claim(clock, "bob", "ann", Role::Callee)).await.expect("a callee");
    assert!(callee.blocked);
    assert_eq!(callee.devices, [device]);
    assert_eq!(callee.others, std::slice::from_ref(&standing));
    assert_eq!(store.history(&bob, None, 10).await.expect("a history"), [standing.call]);
    assert_eq!(line(&**store, clock, "bob").await, [standing.call]);

    // A block has one direction, and an end.
    assert!(!store.ring_line(claim(clock, "ann", "bob", Role::Callee)).await.expect("a callee").blocked);
    store.set_block(&bob, &user("ann"), false).await.expect("unblocked");
    assert!(!store.ring_line(claim(clock, "bob", "ann", Role::Callee)).await.expect("a callee").blocked);
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

pub async fn law_12_the_history_keeps_the_newest(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let mut made = Vec::new();
    for number in 0..HISTORY_LENGTH + 5 {
        let (role, owner) = if number % 2 == 0 { (Role::Caller, "ann") } else { (Role::Callee, "ann") };
        let claim = claim(clock, owner, "bob", role);
        made.push(claim.call);
        match role {
            Role::Caller => drop(open(&**store, &claim).await),
            Role::Callee => drop(store.ring_line(claim.clone()).await.expect("a callee")),
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
        let counted = store.count_missed(&bob, &ann, calls[call]).await.expect("a count");
        assert_eq!(counted, number, "call {call}");
    }
    assert_eq!(store.count_missed(&ann, &bob, calls[0]).await.expect("a count"), 1, "the other way round is another");
}

pub async fn law_16_of_many_counted_at_once_each_has_its_own_number(subject: &Subject) {
    const CALLS: usize = 20;
    let Subject { store, clock, .. } = subject;
    let calls: Vec<CallId> = (0..CALLS).map(|_| clock.call_id()).collect();
    // Two devices of each call.
    let counted = at_once(CALLS * 2, |number| {
        let (store, call) = (store.clone(), calls[number % CALLS]);
        async move { (call, store.count_missed(&user("bob"), &user("ann"), call).await.expect("a count")) }
    })
    .await;
    let distinct: HashSet<(CallId, u32)> = counted.into_iter().collect();
    assert_eq!(distinct.len(), CALLS, "both devices of a call say the same");
    let numbers: HashSet<u32> = distinct.into_iter().map(|(_, number)| number).collect();
    assert_eq!(numbers, (1..=20).collect());
}
