//! Laws 27 to 29: which calls name a user, what is forgotten of them, and devices that are not registered again.

use std::time::Duration;

use bellwire::domain::{Limit, Rate, Timestamp};
use bellwire::store::{Admits, Ban, Charge, Claim, Forgotten, Keeping, Opening, Reservation, Role, StoreError};

use super::Subject;
use super::fixture::{android, claim, closed, create, new_call, user};

pub async fn law_27_calls_that_name_a_user_are_found_also_those_that_are_hidden_from_them(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    store.set_block(&user("bob"), &user("ann"), true).await.expect("blocked");
    let call = new_call(clock);
    let of_call = |claim: Claim| Claim { call: call.id, ..claim };
    store.open_line(of_call(claim(clock, "ann", "bob", Role::Caller)), None, &[]).await.expect("an opening");
    assert!(
        store
            .ring_line(of_call(claim(clock, "bob", "ann", Role::Callee)), &[], Admits::All)
            .await
            .expect("a callee")
            .blocked
    );
    create(&**store, &call).await.expect("created");
    for name in ["ann", "bob"] {
        assert_eq!(store.calls_naming(&user(name)).await.expect("calls"), [call.id], "{name}");
    }
    for name in ["an", "ann2", "x:ann"] {
        assert!(store.calls_naming(&user(name)).await.expect("calls").is_empty(), "{name}");
    }
    store.remove(call.id, call.version).await.expect("removed");
    for name in ["ann", "bob", "ann"] {
        store.forget_call(&user(name), call.id).await.expect("forgotten");
        assert!(store.calls_naming(&user(name)).await.expect("calls").is_empty(), "{name}");
    }
    assert!(store.history(&user("ann"), None, 10).await.expect("a history").is_empty());
}

fn once_an_hour(limit: Limit, of: Option<&str>) -> Vec<Charge> {
    let rate = Rate { count: 1, per: Duration::from_hours(1) };
    vec![Charge { limit, rate, of: of.map(str::to_owned) }]
}

/// Gives a user one of everything that they and others can have of each other, twice of some.
async fn live(subject: &Subject, name: &str, peer: &str, token: &str) {
    let Subject { store, clock, .. } = subject;
    let (ann, bob) = (user(name), user(peer));
    store.put_device(&ann, android("phone", token, clock.now()), 10, &[]).await.expect("a device");
    for (one, other) in [(&ann, &bob), (&bob, &ann)] {
        store.set_block(one, other, true).await.expect("blocked");
        store.set_contact(one, other, true, 10).await.expect("listed");
        store.count_missed(one, other, clock.call_id()).await.expect("counted");
    }
    let until = clock.now() + Duration::from_hours(24);
    let key = Reservation { key: "key".to_owned(), body: "digest".to_owned(), replaces: None, until };
    let invite = claim(clock, name, "nobody", Role::Caller);
    let opened = store.open_line(invite.clone(), Some(key), &[]).await.expect("an opening");
    assert!(matches!(opened, Opening::Claimed(_)));
    store.free_line(&ann, invite.call).await.expect("freed");
    store.forget_call(&ann, invite.call).await.expect("forgotten");
    for charges in [once_an_hour(Limit::TokensPerUser, None), once_an_hour(Limit::InvitesPerPair, Some(peer))] {
        store.admit(&ann, &charges).await.expect("the first one");
    }
    store.admit(&bob, &once_an_hour(Limit::InvitesPerPair, Some(name))).await.expect("the first one");
}

/// Names that end or begin as `ann` does, would be a pattern, or look like the rest of a key.
const OTHERS: [&str; 6] = ["x:ann", "ann2", "a*", "an", "x}:blocks:y", "x}:contacts:ann"];

pub async fn law_28_what_is_kept_of_a_user_is_forgotten_and_what_others_have_stays(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    live(subject, "ann", "bob", "token-1").await;
    for (number, other) in OTHERS.into_iter().enumerate() {
        live(subject, other, "carol", &format!("other-{number}")).await;
    }
    let ban = |name: &str| Ban { user: user(name), reason: None, created_at: clock.now(), until: None };
    store.put_ban(ban("ann")).await.expect("banned");
    let mut announcements = store.announcements();

    let forgotten = store.forget_user(&user("ann")).await.expect("forgotten");
    let expected =
        Forgotten { devices: 1, blocks: 1, blocked_by: 1, contacts: 2, missed: 2, idempotency_keys: 1, rates: 3 };
    assert_eq!(forgotten, expected);
    loop {
        if closed(&mut announcements).await == (user("ann"), None) {
            break;
        }
    }
    assert_eq!(store.forget_user(&user("ann")).await.expect("nothing"), Forgotten::default());
    assert!(store.ban(&user("ann"), clock.now()).await.expect("a look").is_some(), "a ban stays");
    assert!(store.devices(&user("ann")).await.expect("devices").is_empty());
    for name in ["ann", "bob"] {
        assert!(store.blocks(&user(name)).await.expect("blocks").is_empty(), "{name}");
        assert!(store.contacts(&user(name)).await.expect("contacts").is_empty(), "{name}");
    }
    for (one, other) in [("ann", "bob"), ("bob", "ann")] {
        let missed = store.count_missed(&user(one), &user(other), clock.call_id()).await.expect("counted");
        assert_eq!(missed.count, 1, "{one} of {other}");
    }
    store.admit(&user("bob"), &once_an_hour(Limit::InvitesPerPair, Some("ann"))).await.expect("as never before");
    // The token is free.
    store.put_device(&user("bob"), android("phone", "token-1", clock.now()), 10, &[]).await.expect("a device");

    let others = Forgotten { blocked_by: 1, ..expected };
    for other in OTHERS {
        assert_eq!(store.forget_user(&user(other)).await.expect("forgotten"), others, "{other} had lost something");
    }
}

pub async fn law_28_a_ban_that_is_over_is_forgotten(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let until = Some(clock.now() + Duration::from_mins(1));
    store.put_ban(Ban { user: user("ann"), reason: None, created_at: clock.now(), until }).await.expect("banned");
    clock.advance(Duration::from_secs(61));
    store.forget_user(&user("ann")).await.expect("forgotten");
    assert!(store.bans(Timestamp::from_millis(0)).await.expect("bans").is_empty(), "nothing is left of it");
}

pub async fn law_29_a_device_that_is_not_registered_again_goes_in_time(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let day = Duration::from_hours(24);
    let put = async |id: &str| store.put_device(&user("ann"), android(id, id, clock.now()), 10, &[]).await;
    put("old").await.expect("a device");
    put("kept").await.expect("a device");
    clock.advance(Keeping::default().devices.saturating_sub(day));
    put("kept").await.expect("registered again");
    assert_eq!(store.devices(&user("ann")).await.expect("devices").len(), 2);
    clock.advance(2 * day);
    let ids = |devices: Vec<bellwire::domain::Device>| {
        devices.into_iter().map(|device| device.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(store.devices(&user("ann")).await.expect("devices")), ["kept"]);
    let callee = store.ring_line(claim(clock, "ann", "bob", Role::Callee), &[], Admits::All).await.expect("a callee");
    assert_eq!(ids(callee.devices), ["kept"]);
    put("new").await.expect("a device");
    let dropped = store.remove_device(&user("ann"), &super::fixture::device_id("old")).await;
    assert!(matches!(dropped, Ok(false) | Err(StoreError::Conflict)), "it is gone: {dropped:?}");
}
