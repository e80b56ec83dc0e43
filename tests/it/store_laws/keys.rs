//! Law 8: idempotency keys.

use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::CallId;
use bellwire::store::{Claim, Opening, Reservation, Role, Store};

use super::Subject;
use super::fixture::{at_once, claim, line, user};

fn reservation(clock: &Clock, key: &str, body: &str) -> Reservation {
    let until = clock.now() + Duration::from_hours(24);
    Reservation { key: key.to_owned(), body: body.to_owned(), replaces: None, until }
}

async fn open_with(store: &dyn Store, claim: &Claim, reservation: &Reservation) -> Opening {
    store.open_line(claim.clone(), Some(reservation.clone()), &[]).await.expect("an opening")
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
