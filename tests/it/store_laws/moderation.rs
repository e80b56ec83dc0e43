//! Law 17, and blocks.

use std::time::Duration;

use bellwire::domain::{Timestamp, UserId};
use bellwire::store::Ban;

use super::Subject;
use super::fixture::user;

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
