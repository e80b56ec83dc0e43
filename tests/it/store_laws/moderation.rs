//! Laws 17, 19 and 20: bans, and who may not read on; and blocks.

use std::time::Duration;

use bellwire::domain::{Timestamp, UserId};
use bellwire::store::{Admits, Ban, Opening, Reservation, Role};

use super::Subject;
use super::fixture::{android, claim, closed, device_id, line, user};

fn ban(name: &str, from: Timestamp, lasting: Option<Duration>) -> Ban {
    Ban {
        user: user(name),
        reason: Some("spam \u{1F4E3}".to_owned()),
        created_at: from,
        until: lasting.map(|lasting| from + lasting),
    }
}

pub async fn law_17_a_ban_ends_at_its_time(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let now = clock.now();
    let (short, forever) = (ban("ann", now, Some(Duration::from_hours(1))), ban("bob", now, None));
    store.put_ban(forever.clone()).await.expect("banned");
    store.put_ban(short.clone()).await.expect("banned");
    let just_before = now + Duration::from_millis(3_599_999);
    assert_eq!(store.ban(&short.user, just_before).await.expect("an answer"), Some(short.clone()));
    assert_eq!(store.bans(just_before).await.expect("bans"), [short.clone(), forever.clone()], "by user");
    let over = now + Duration::from_hours(1);
    assert_eq!(store.ban(&short.user, over).await.expect("an answer"), None);
    assert_eq!(store.bans(over).await.expect("bans"), std::slice::from_ref(&forever));
    clock.advance(Duration::from_hours(2));
    assert!(!store.lift_ban(&short.user).await.expect("an answer"), "a ban that is over is none");
    assert_eq!(store.ban(&user("cid"), now).await.expect("an answer"), None);
    assert_eq!(store.ban(&forever.user, over).await.expect("an answer"), Some(forever));
}

pub async fn law_17_a_ban_is_replaced_and_lifted(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let now = clock.now();
    let ann = user("ann");
    store.put_ban(ban("ann", now, Some(Duration::from_hours(1)))).await.expect("banned");
    let longer = ban("ann", now, Some(Duration::from_hours(3)));
    store.put_ban(longer.clone()).await.expect("banned for longer");
    clock.advance(Duration::from_hours(2));
    // The time of the first has passed, and something else is written.
    store.put_ban(ban("bob", now, None)).await.expect("banned");
    assert_eq!(store.ban(&ann, clock.now()).await.expect("an answer"), Some(longer));
    assert!(store.lift_ban(&ann).await.expect("lifted"));
    assert!(!store.lift_ban(&ann).await.expect("an answer"));
    assert_eq!(store.ban(&ann, now).await.expect("an answer"), None);
}

pub async fn law_19_a_banned_user_opens_no_line(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let now = clock.now();
    let ann = user("ann");
    let key = |replaces| {
        let until = now + Duration::from_hours(24);
        Some(Reservation { key: "key".to_owned(), body: "body".to_owned(), replaces, until })
    };
    let standing = claim(clock, "ann", "bob", Role::Caller);
    store.open_line(standing.clone(), key(None), &[]).await.expect("opened");
    store.put_ban(ban("ann", now, Some(Duration::from_hours(1)))).await.expect("banned");
    let refused = claim(clock, "ann", "cid", Role::Caller);
    for reservation in [None, key(None), key(Some(standing.call))] {
        let opening = store.open_line(refused.clone(), reservation, &[]).await.expect("an opening");
        assert_eq!(opening, Opening::Banned, "before anything else");
    }
    assert_eq!(store.history(&ann, None, 10).await.expect("a history"), [standing.call]);

    clock.advance(Duration::from_hours(1));
    assert_eq!(line(&**store, clock, "ann").await, Vec::new(), "the claim of before has lapsed, and no other was made");
    let taken = store.open_line(claim(clock, "ann", "cid", Role::Caller), key(None), &[]).await.expect("an opening");
    assert_eq!(taken, Opening::Reserved { call: standing.call, same_body: true }, "the key is where it was");
}

pub async fn law_19_a_banned_callee_is_claimed_as_any_other(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let bob = user("bob");
    store.put_ban(ban("bob", clock.now(), None)).await.expect("banned");
    let incoming = claim(clock, "bob", "ann", Role::Callee);
    assert!(store.ring_line(incoming.clone(), &[], Admits::All).await.expect("a callee").banned);
    store.lift_ban(&bob).await.expect("lifted");
    let callee = store.ring_line(claim(clock, "bob", "cid", Role::Callee), &[], Admits::All).await.expect("a callee");
    assert_eq!((callee.banned, callee.others), (false, vec![incoming]));
}

/// Whoever reads the history after the ban finds each claim that did not see it.
pub async fn law_19_a_claim_sees_the_ban_or_is_seen(subject: &Subject) {
    const MANY: usize = 20;
    let Subject { store, clock, .. } = subject;
    let ann = user("ann");
    let claiming: Vec<_> = (0..MANY)
        .map(|number| {
            let role = if number % 2 == 0 { Role::Caller } else { Role::Callee };
            let (store, claim) = (store.clone(), claim(clock, "ann", "bob", role));
            tokio::spawn(async move {
                let seen = match role {
                    Role::Caller => {
                        store.open_line(claim.clone(), None, &[]).await.expect("an opening") == Opening::Banned
                    }
                    Role::Callee => store.ring_line(claim.clone(), &[], Admits::All).await.expect("a callee").banned,
                };
                (!seen).then_some(claim.call)
            })
        })
        .collect();
    store.put_ban(ban("ann", clock.now(), None)).await.expect("banned");
    let history = store.history(&ann, None, 100).await.expect("a history");
    for claimed in claiming {
        if let Some(call) = claimed.await.expect("no panic") {
            assert!(history.contains(&call), "{call} is found");
        }
    }
}

pub async fn law_20_who_may_not_read_on_is_announced(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, bob) = (user("ann"), user("bob"));
    let mut news = store.announcements();
    store.put_ban(ban("ann", clock.now(), None)).await.expect("banned");
    assert_eq!(closed(&mut news).await, (ann.clone(), None));

    let put = async |owner, device, most| store.put_device(owner, device, most, &[]).await.expect("registered");
    put(&ann, android("phone", "token-1", clock.now()), 10).await;
    assert!(!store.remove_device(&ann, &device_id("none")).await.expect("an answer"));
    assert!(store.remove_device(&ann, &device_id("phone")).await.expect("removed"));
    assert_eq!(closed(&mut news).await, (ann.clone(), Some(device_id("phone"))), "nothing of the others");

    put(&ann, android("phone", "token-1", clock.now()), 10).await;
    put(&bob, android("mine", "token-1", clock.now()), 10).await;
    assert_eq!(closed(&mut news).await, (ann.clone(), Some(device_id("phone"))), "its token was taken");

    clock.advance(Duration::from_secs(1));
    put(&bob, android("mine", "token-1", clock.now()), 1).await;
    clock.advance(Duration::from_secs(1));
    put(&bob, android("newer", "token-2", clock.now()), 1).await;
    assert_eq!(closed(&mut news).await, (bob.clone(), Some(device_id("mine"))), "its place was taken, after a refresh");
}

pub async fn blocks_are_kept_in_order_and_by_user(subject: &Subject) {
    let Subject { store, .. } = subject;
    let ann = user("ann");
    for peer in ["zoe", "bob", "mia"] {
        assert!(store.set_block(&ann, &user(peer), true).await.expect("blocked"));
    }
    assert!(!store.set_block(&ann, &user("bob"), true).await.expect("an answer"), "it stood");
    let blocked = |names: &[&str]| names.iter().map(|name| user(name)).collect::<Vec<UserId>>();
    assert_eq!(store.blocks(&ann).await.expect("blocks"), blocked(&["bob", "mia", "zoe"]));
    assert!(store.set_block(&ann, &user("mia"), false).await.expect("unblocked"));
    assert!(!store.set_block(&ann, &user("mia"), false).await.expect("an answer"));
    assert_eq!(store.blocks(&ann).await.expect("blocks"), blocked(&["bob", "zoe"]));
    assert!(store.blocks(&user("bob")).await.expect("blocks").is_empty());
}

/// Ids may have any character that is neither white space nor control; none of them may lead into another user's keys.
pub async fn users_with_similar_names_stay_apart(subject: &Subject) {
    let Subject { store, .. } = subject;
    let names =
        ["a", "a:", "a:b", "a:b:c", "a|b", "a{b}", "{a}", "a/b", "a*", "ab", "\u{e4}", "\u{10FFFF}", "a\u{10FFFF}"];
    for name in names {
        store.set_block(&user(name), &user(&format!("peer-of-{name}")), true).await.expect("blocked");
    }
    for name in names {
        let blocks = store.blocks(&user(name)).await.expect("blocks");
        assert_eq!(blocks, [user(&format!("peer-of-{name}"))], "{name}");
    }
    store.set_block(&user("a:b"), &user("c"), true).await.expect("blocked");
    assert!(!store.blocks(&user("a")).await.expect("blocks").contains(&user("b:c")));
}
