//! Laws 13 to 15: devices, and whose a push token is.

use std::time::Duration;

use bellwire::domain::{Device, Environment, UserId};
use bellwire::store::Store;

use super::Subject;
use super::fixture::{android, at_once, closed, device_id, iphone, token, user};

const MOST: usize = 10;

async fn put(store: &dyn Store, owner: &UserId, device: &Device) {
    store.put_device(owner, device.clone(), MOST, &[]).await.expect("registered");
}

async fn ids(store: &dyn Store, owner: &UserId) -> Vec<String> {
    let devices = store.devices(owner).await.expect("devices");
    devices.into_iter().map(|device| device.id.to_string()).collect()
}

pub async fn law_13_the_device_registered_longest_ago_gives_way(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let ann = user("ann");
    for (number, id) in ["c", "a", "b"].into_iter().enumerate() {
        let device = android(id, &format!("token-{number}"), clock.now());
        store.put_device(&ann, device, 3, &[]).await.expect("registered");
        clock.advance(Duration::from_secs(1));
    }
    let mut news = store.announcements();
    store.put_device(&ann, android("d", "token-3", clock.now()), 3, &[]).await.expect("registered");
    assert_eq!(ids(&**store, &ann).await, ["a", "b", "d"], "c was the first");
    assert_eq!(closed(&mut news).await, (ann.clone(), Some(device_id("c"))));
    // The limit may have become smaller meanwhile.
    clock.advance(Duration::from_secs(1));
    store.put_device(&ann, android("b", "token-2", clock.now()), 2, &[]).await.expect("refreshed");
    assert_eq!(ids(&**store, &ann).await, ["b", "d"]);

    // The token of the one that gave way is free: whoever registers it takes nothing away, not even from its next life.
    store.put_device(&ann, android("c", "token-4", clock.now()), 3, &[]).await.expect("registered");
    put(&**store, &user("bob"), &android("phone", "token-0", clock.now())).await;
    assert_eq!(ids(&**store, &ann).await, ["b", "c", "d"]);
}

pub async fn law_13_a_refreshed_device_takes_no_second_place(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let ann = user("ann");
    for (id, token) in [("a", "token-a"), ("b", "token-b")] {
        store.put_device(&ann, android(id, token, clock.now()), 2, &[]).await.expect("registered");
        clock.advance(Duration::from_secs(1));
    }
    let refreshed = android("a", "token-new", clock.now());
    store.put_device(&ann, refreshed.clone(), 2, &[]).await.expect("refreshed");
    let devices = store.devices(&ann).await.expect("devices");
    assert_eq!(devices.len(), 2);
    assert_eq!(devices[0], refreshed, "with its new token and time");
    clock.advance(Duration::from_secs(1));
    store.put_device(&ann, android("c", "token-c", clock.now()), 2, &[]).await.expect("registered");
    assert_eq!(ids(&**store, &ann).await, ["a", "c"], "b has become the oldest");
}

pub async fn law_14_a_token_moves_from_user_to_user_and_takes_the_device_away(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, bob) = (user("ann"), user("bob"));
    put(&**store, &ann, &iphone("phone", "aa11", "bb22", clock.now())).await;
    put(&**store, &ann, &iphone("pad", "aa33", "bb44", clock.now())).await;
    // The phone changed hands; its alert token has changed, the other has not.
    let mut news = store.announcements();
    put(&**store, &bob, &iphone("mine", "aa11", "bb99", clock.now())).await;
    assert_eq!(closed(&mut news).await, (ann.clone(), Some(device_id("phone"))));
    assert_eq!(ids(&**store, &ann).await, ["pad"]);
    assert_eq!(ids(&**store, &bob).await, ["mine"]);

    // With the device its other token went too, so that nobody loses anything to whoever has it now.
    put(&**store, &user("cid"), &iphone("third", "aa55", "bb22", clock.now())).await;
    assert_eq!(ids(&**store, &bob).await, ["mine"]);
    // And back again.
    put(&**store, &ann, &iphone("phone", "aa11", "bb99", clock.now())).await;
    assert_eq!(ids(&**store, &ann).await, ["pad", "phone"]);
    assert!(ids(&**store, &bob).await.is_empty());
    // One registration may rob two.
    put(&**store, &bob, &iphone("two", "aa33", "bb22", clock.now())).await;
    assert_eq!(ids(&**store, &ann).await, ["phone"]);
    assert!(ids(&**store, &user("cid")).await.is_empty());
}

pub async fn law_14_a_token_moves_between_devices_of_a_user(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let ann = user("ann");
    put(&**store, &ann, &iphone("old", "aa11", "bb22", clock.now())).await;
    let device = iphone("new", "aa11", "bb22", clock.now());
    // The app was installed again and has another name for itself; a repetition is harmless.
    for _ in 0..2 {
        put(&**store, &ann, &device).await;
        assert_eq!(store.devices(&ann).await.expect("devices"), std::slice::from_ref(&device));
    }
    // At the limit, the one that the token leaves makes the room.
    store.put_device(&ann, android("other", "t", clock.now()), 2, &[]).await.expect("registered");
    store.put_device(&ann, iphone("newer", "aa11", "bb22", clock.now()), 2, &[]).await.expect("registered");
    assert_eq!(ids(&**store, &ann).await, ["newer", "other"]);
}

pub async fn law_14_a_token_given_up_is_free(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, bob) = (user("ann"), user("bob"));
    // By a refresh, by removal, and by being dropped.
    put(&**store, &ann, &android("a", "token-1", clock.now())).await;
    put(&**store, &ann, &android("a", "token-2", clock.now())).await;
    put(&**store, &ann, &android("b", "token-3", clock.now())).await;
    store.remove_device(&ann, &device_id("b")).await.expect("removed");
    put(&**store, &ann, &iphone("c", "aa11", "bb22", clock.now())).await;
    assert!(store.drop_token(&ann, &device_id("c"), &token("bb22"), None).await.expect("dropped"));

    put(&**store, &ann, &android("b", "token-b", clock.now())).await;
    put(&**store, &bob, &android("x", "token-1", clock.now())).await;
    put(&**store, &bob, &android("y", "token-3", clock.now())).await;
    put(&**store, &bob, &iphone("z", "aa99", "bb22", clock.now())).await;
    assert_eq!(ids(&**store, &ann).await, ["a", "b", "c"], "nothing was taken away");
    assert_eq!(ids(&**store, &bob).await, ["x", "y", "z"]);
}

pub async fn law_14_of_many_that_register_a_token_one_keeps_it(subject: &Subject) {
    const MANY: usize = 20;
    let Subject { store, clock, .. } = subject;
    at_once(MANY, |number| {
        let (store, device) = (store.clone(), iphone("phone", "aa11", &format!("bb{number}"), clock.now()));
        async move { put(&*store, &user(&format!("user-{number}")), &device).await }
    })
    .await;
    let mut owners = 0;
    for number in 0..MANY {
        owners += store.devices(&user(&format!("user-{number}"))).await.expect("devices").len();
    }
    assert_eq!(owners, 1);
}

pub async fn law_15_a_dead_token_is_dropped_only_where_it_stands(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, phone) = (user("ann"), device_id("phone"));
    put(&**store, &ann, &iphone("phone", "aa11", "bb22", clock.now())).await;
    put(&**store, &ann, &android("tablet", "fcm-1", clock.now())).await;
    for (owner, device, dead) in [
        ("ann", "phone", "cc33"),
        ("ann", "phone", "fcm-1"),
        ("ann", "tablet", "aa11"),
        ("ann", "none", "aa11"),
        ("bob", "phone", "aa11"),
    ] {
        let dropped = store.drop_token(&user(owner), &device_id(device), &token(dead), None).await;
        assert!(!dropped.expect("an answer"), "{owner} {device} {dead}");
    }
    assert!(store.drop_token(&ann, &phone, &token("aa11"), None).await.expect("dropped"));
    assert!(!store.drop_token(&ann, &phone, &token("aa11"), None).await.expect("an answer"), "it is gone");
    let devices = store.devices(&ann).await.expect("devices");
    assert_eq!((&devices[0].voip_token, &devices[0].alert_token), (&None, &Some(token("bb22"))));
    assert_eq!(devices[1].fcm_token, Some(token("fcm-1")));
}

pub async fn law_15_a_token_registered_again_since_stays(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, phone, voip) = (user("ann"), device_id("phone"), token("aa11"));
    let registered = clock.now();
    put(&**store, &ann, &iphone("phone", "aa11", "bb22", registered)).await;
    let millisecond = Duration::from_millis(1);
    let since = Some(registered - millisecond);
    assert!(!store.drop_token(&ann, &phone, &voip, since).await.expect("an answer"), "it proves nothing");
    assert!(store.devices(&ann).await.expect("devices")[0].voip_token.is_some());
    assert!(store.drop_token(&ann, &phone, &voip, Some(registered)).await.expect("dropped"));
    assert!(store.drop_token(&ann, &phone, &token("bb22"), Some(registered + millisecond)).await.expect("dropped"));
}

pub async fn law_15_a_device_without_tokens_is_removed(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let ann = user("ann");
    put(&**store, &ann, &iphone("phone", "aa11", "bb22", clock.now())).await;
    put(&**store, &ann, &android("tablet", "fcm-1", clock.now())).await;
    assert!(store.drop_token(&ann, &device_id("phone"), &token("aa11"), None).await.expect("dropped"));
    assert_eq!(ids(&**store, &ann).await, ["phone", "tablet"], "it has another token");
    assert!(store.drop_token(&ann, &device_id("phone"), &token("bb22"), None).await.expect("dropped"));
    assert!(store.drop_token(&ann, &device_id("tablet"), &token("fcm-1"), None).await.expect("dropped"));
    assert!(ids(&**store, &ann).await.is_empty());
}

pub async fn devices_are_listed_by_id_and_removed_one_by_one(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let ann = user("ann");
    for id in ["m", "z", "a"] {
        put(&**store, &ann, &android(id, &format!("token-{id}"), clock.now())).await;
    }
    assert_eq!(ids(&**store, &ann).await, ["a", "m", "z"]);
    assert!(store.remove_device(&ann, &device_id("m")).await.expect("removed"));
    assert!(!store.remove_device(&ann, &device_id("m")).await.expect("an answer"));
    assert!(!store.remove_device(&user("bob"), &device_id("a")).await.expect("an answer"));
    assert_eq!(ids(&**store, &ann).await, ["a", "z"]);
}

pub async fn an_environment_is_noted_at_its_device_alone(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let ann = user("ann");
    let phone = iphone("phone", "aa11", "bb22", clock.now());
    put(&**store, &ann, &phone).await;
    put(&**store, &ann, &iphone("pad", "aa33", "bb44", clock.now())).await;
    store.set_environment(&ann, &device_id("phone"), Environment::Sandbox).await.expect("noted");
    store.set_environment(&ann, &device_id("none"), Environment::Sandbox).await.expect("nothing to note");
    let devices = store.devices(&ann).await.expect("devices");
    assert_eq!(devices[0].environment, Environment::Production);
    assert_eq!(devices[1], Device { environment: Environment::Sandbox, ..phone });
}

pub async fn law_33_a_token_leads_to_the_device_that_has_it(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, bob) = (user("ann"), user("bob"));
    let holder = async |name: &str| store.holder(&token(name)).await.expect("an answer");
    assert_eq!(holder("aa11").await, None);
    let phone = iphone("phone", "aa11", "bb22", clock.now());
    put(&**store, &ann, &phone).await;
    assert_eq!(holder("aa11").await, Some((ann.clone(), phone.clone())));
    assert_eq!(holder("bb22").await, Some((ann.clone(), phone)));
    // By a refresh, to another user, by being dropped, and by removal.
    let refreshed = iphone("phone", "aa11", "bb33", clock.now());
    put(&**store, &ann, &refreshed).await;
    assert_eq!((holder("bb22").await, holder("bb33").await), (None, Some((ann.clone(), refreshed))));
    let taken = iphone("mine", "aa11", "bb44", clock.now());
    put(&**store, &bob, &taken).await;
    assert_eq!((holder("aa11").await, holder("bb33").await), (Some((bob.clone(), taken)), None));
    assert!(store.drop_token(&bob, &device_id("mine"), &token("bb44"), None).await.expect("dropped"));
    assert_eq!(holder("bb44").await, None);
    assert!(store.remove_device(&bob, &device_id("mine")).await.expect("removed"));
    assert_eq!(holder("aa11").await, None);
}
