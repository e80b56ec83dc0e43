//! Laws 27 to 29: claims that are not made yet, and contacts.

use std::time::Duration;

use bellwire::domain::UserId;
use bellwire::domain::rate::SPANS;
use bellwire::domain::{Limit, Rate};
use bellwire::store::{Admits, Ban, Charge, Opening, Reservation, Role, StoreError};

use super::Subject;
use super::fixture::{android, at_once, claim, line, user};

fn users(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|name| user(name)).collect()
}

pub async fn law_30_a_claim_that_has_lapsed_is_not_made(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let ann = user("ann");
    let standing = claim(clock, "ann", "cid", Role::Caller);
    store.open_line(standing.clone(), None, &[]).await.expect("opened");
    let mut asked_about = claim(clock, "ann", "bob", Role::Caller);
    let rate = Rate { count: 1, per: SPANS[2].1 };
    let charges: Vec<Charge> = Charge::of_user(Limit::InvitesPerUser, Some(rate)).into_iter().collect();
    let reservation = |replaces| {
        let until = clock.now() + Duration::from_hours(24);
        Some(Reservation { key: "key".to_owned(), body: "body".to_owned(), replaces, until })
    };
    asked_about.until = asked_about.at;
    for _ in 0..2 {
        let opening = store.open_line(asked_about.clone(), reservation(None), &charges).await.expect("an opening");
        assert_eq!(opening, Opening::Claimed(vec![standing.clone()]), "charged once");
    }
    assert_eq!(line(&**store, clock, "ann").await, [standing.call], "no claim");
    let history = store.history(&ann, None, 10).await.expect("a history");
    assert!(!history.contains(&asked_about.call), "nor in the history");
    let other = claim(clock, "ann", "bob", Role::Caller);
    let taken = store.open_line(other.clone(), reservation(None), &charges).await.expect("an opening");
    assert_eq!(taken, Opening::Reserved { call: asked_about.call, same_body: true }, "the key is reserved");
    let refused = store.open_line(other, None, &charges).await;
    assert!(matches!(refused, Err(StoreError::Limited(_))), "the rate is used up: {refused:?}");

    // Then it is made after all.
    asked_about.until = clock.now() + Duration::from_hours(1);
    let opening = store.open_line(asked_about.clone(), reservation(None), &charges).await.expect("an opening");
    assert!(matches!(opening, Opening::Claimed(_)), "{opening:?}");
    assert_eq!(line(&**store, clock, "ann").await, [standing.call, asked_about.call]);
    assert!(store.history(&ann, None, 10).await.expect("a history").contains(&asked_about.call));

    let now = clock.now();
    store.put_ban(Ban { user: ann, reason: None, created_at: now, until: None }).await.expect("banned");
    asked_about.until = asked_about.at;
    assert_eq!(store.open_line(asked_about, None, &[]).await.expect("an opening"), Opening::Banned);
}

pub async fn law_30_a_call_without_a_key_is_charged_once_before_its_claim_is_made(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let rate = Rate { count: 2, per: SPANS[2].1 };
    let charges: Vec<Charge> = Charge::of_user(Limit::InvitesPerUser, Some(rate)).into_iter().collect();
    let lapsed = || {
        let claim = claim(clock, "ann", "bob", Role::Caller);
        bellwire::store::Claim { until: claim.at, ..claim }
    };
    let (first, second) = (lapsed(), lapsed());
    for asked_about in [&first, &first, &second, &second, &first] {
        let opening = store.open_line(asked_about.clone(), None, &charges).await.expect("an opening");
        assert_eq!(opening, Opening::Claimed(Vec::new()));
    }
    let refused = store.open_line(lapsed(), None, &charges).await;
    assert!(matches!(refused, Err(StoreError::Limited(_))), "both were charged: {refused:?}");
    let made = store.open_line(claim(clock, "ann", "bob", Role::Caller), None, &[]).await.expect("an opening");
    assert_eq!(made, Opening::Claimed(Vec::new()), "nothing was claimed");
}

pub async fn law_31_where_contacts_alone_are_admitted_a_stranger_changes_nothing(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let bob = user("bob");
    store.put_device(&bob, android("phone", "token", clock.now()), 10, &[]).await.expect("registered");
    store.put_contacts(&bob, &users(&["cid", "dan"])).await.expect("listed");
    store.set_block(&bob, &user("dan"), true).await.expect("blocked");
    store.set_block(&bob, &user("eve"), true).await.expect("blocked");
    let rate = Rate { count: 1, per: SPANS[2].1 };
    let charges: Vec<Charge> = Charge::of_user(Limit::InvitesPerCallee, Some(rate)).into_iter().collect();
    for stranger in ["ann", "eve", "ann", "bob"] {
        let callee = store.ring_line(claim(clock, "bob", stranger, Role::Callee), &charges, Admits::Contacts).await;
        let callee = callee.expect("a callee");
        assert!(callee.is_stranger && callee.devices.is_empty() && !callee.blocked, "{stranger}: {callee:?}");
    }
    assert!(store.history(&bob, None, 10).await.expect("a history").is_empty());
    assert!(store.line(&bob).await.expect("a line").is_empty());

    let blocked = store.ring_line(claim(clock, "bob", "dan", Role::Callee), &charges, Admits::Contacts).await;
    let blocked = blocked.expect("a callee");
    assert!(blocked.blocked && !blocked.is_stranger, "a contact is no stranger");
    let incoming = claim(clock, "bob", "cid", Role::Callee);
    let callee = store.ring_line(incoming.clone(), &charges, Admits::Contacts).await.expect("a callee");
    assert!(!callee.is_stranger && callee.devices.len() == 1);
    assert_eq!(store.line(&bob).await.expect("a line"), [incoming]);
    // What is used up is no news to a stranger.
    let stranger = store.ring_line(claim(clock, "bob", "ann", Role::Callee), &charges, Admits::Contacts).await;
    assert!(stranger.expect("a callee").is_stranger);
    let anybody = store.ring_line(claim(clock, "bob", "ann", Role::Callee), &[], Admits::All).await;
    assert!(!anybody.expect("a callee").is_stranger);
}

pub async fn law_32_contacts_are_listed_in_order_and_by_user(subject: &Subject) {
    let Subject { store, .. } = subject;
    let (ann, bob) = (user("ann"), user("bob"));
    assert!(store.contacts(&ann).await.expect("contacts").is_empty());
    store.put_contacts(&ann, &users(&["zoe", "bob", "mia", "bob"])).await.expect("listed");
    assert_eq!(store.contacts(&ann).await.expect("contacts"), users(&["bob", "mia", "zoe"]));
    assert!(store.contacts(&bob).await.expect("contacts").is_empty(), "of one side alone");
    store.put_contacts(&ann, &users(&["eve"])).await.expect("listed");
    assert_eq!(store.contacts(&ann).await.expect("contacts"), users(&["eve"]));

    let set = async |peer: &str, listed, most| store.set_contact(&ann, &user(peer), listed, most).await;
    assert!(set("bob", true, 2).await.expect("added"));
    assert!(!set("bob", true, 2).await.expect("there before"));
    assert!(matches!(set("cid", true, 2).await, Err(StoreError::TooMany)));
    assert!(!set("cid", false, 2).await.expect("not there"));
    assert!(set("eve", false, 2).await.expect("taken off"));
    assert!(set("cid", true, 2).await.expect("there is room"));
    assert_eq!(store.contacts(&ann).await.expect("contacts"), users(&["bob", "cid"]));
    store.put_contacts(&ann, &[]).await.expect("none");
    assert!(store.contacts(&ann).await.expect("contacts").is_empty());
    // More than a script can be given at once by Lua's stack.
    let many: Vec<UserId> = (0..5000).map(|number| user(&format!("contact-{number:04}"))).collect();
    store.put_contacts(&ann, &many).await.expect("listed");
    assert_eq!(store.contacts(&ann).await.expect("contacts"), many);
}

pub async fn law_32_of_many_that_are_added_at_once_as_many_as_may_are(subject: &Subject) {
    const MOST: usize = 7;
    let Subject { store, .. } = subject;
    let added = at_once(20, |number| {
        let store = store.clone();
        async move { store.set_contact(&user("ann"), &user(&format!("peer-{number}")), true, MOST).await.is_ok() }
    });
    assert_eq!(added.await.into_iter().filter(|added| *added).count(), MOST);
    assert_eq!(store.contacts(&user("ann")).await.expect("contacts").len(), MOST);
}
