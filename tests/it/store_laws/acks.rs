//! Law 21: what is known of a device's app.

use std::time::Duration;

use bellwire::domain::{Acks, Device, Heard};
use bellwire::store::Store;

use super::Subject;
use super::fixture::{android, at_once, device_id, iphone, token, user};

async fn acks(store: &dyn Store) -> Vec<Acks> {
    store.devices(&user("ann")).await.expect("devices").into_iter().map(|device| device.acks).collect()
}

async fn put(store: &dyn Store, owner: &str, device: Device) {
    store.put_device(&user(owner), device, 10, &[]).await.expect("registered");
}

pub async fn law_21_a_note_stays_when_the_device_registers_again(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, phone, call) = (user("ann"), device_id("phone"), clock.call_id());
    put(&**store, "ann", android("phone", "token-1", clock.now())).await;
    put(&**store, "ann", android("tablet", "token-2", clock.now())).await;
    let first = clock.now();
    store.note_heard(&ann, &phone, Heard::Acked(first)).await.expect("noted");
    for _ in 0..2 {
        store.note_heard(&ann, &phone, Heard::Silent(call)).await.expect("noted");
    }
    store.note_heard(&ann, &device_id("none"), Heard::Acked(first)).await.expect("nobody to note it of");
    let known = Acks { since: Some(first), silent: 1, call: Some(call), ..Acks::default() };
    assert_eq!(acks(&**store).await, [known.clone(), Acks::default()]);
    clock.advance(Duration::from_mins(1));
    put(&**store, "ann", android("phone", "token-3", clock.now())).await;
    assert_eq!(acks(&**store).await, [known.clone(), Acks::default()], "with another token");
    store.note_heard(&ann, &phone, Heard::Acked(clock.now())).await.expect("noted");
    assert_eq!(acks(&**store).await[0], Acks { silent: 0, ..known }, "the first ack's time");
    // What a newer release knows beside is kept, too.
    let devices = store.devices(&ann).await.expect("devices");
    assert_eq!(devices[0].tokens().collect::<Vec<_>>(), [&token("token-3")]);
}

pub async fn law_21_a_note_goes_with_the_device_and_with_its_app(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let (ann, phone) = (user("ann"), device_id("phone"));
    let known = async || {
        store.note_heard(&ann, &phone, Heard::Acked(clock.now())).await.expect("noted");
        assert!(acks(&**store).await[0].since.is_some());
    };
    put(&**store, "ann", android("phone", "token-1", clock.now())).await;
    known().await;
    store.remove_device(&ann, &phone).await.expect("removed");
    put(&**store, "ann", android("phone", "token-1", clock.now())).await;
    assert_eq!(acks(&**store).await, [Acks::default()], "removed and registered again");
    known().await;
    let mut other = android("phone", "token-1", clock.now());
    other.app = bellwire::domain::AppId::new("com.example.other").expect("an app id");
    put(&**store, "ann", other).await;
    assert_eq!(acks(&**store).await, [Acks::default()], "another app");
    known().await;
    put(&**store, "ann", iphone("phone", "aa11", "bb22", clock.now())).await;
    assert_eq!(acks(&**store).await, [Acks::default()], "another platform");
    known().await;
    put(&**store, "bob", iphone("phone", "aa11", "bb22", clock.now())).await;
    let of_bob = store.devices(&user("bob")).await.expect("devices");
    assert_eq!(of_bob[0].acks, Acks::default(), "another owner");
}

pub async fn law_21_of_notes_and_registrations_at_once_none_is_lost(subject: &Subject) {
    const MANY: usize = 20;
    let Subject { store, clock, .. } = subject;
    put(&**store, "ann", android("phone", "token-0", clock.now())).await;
    let calls: Vec<_> = (0..MANY).map(|_| clock.call_id()).collect();
    at_once(2 * MANY, |number| {
        let (store, clock, call) = (store.clone(), clock.clone(), calls[number % MANY]);
        async move {
            if number < MANY {
                store.note_heard(&user("ann"), &device_id("phone"), Heard::Silent(call)).await.expect("noted");
            } else {
                put(&*store, "ann", android("phone", &format!("token-{number}"), clock.now())).await;
            }
        }
    })
    .await;
    assert_eq!(acks(&**store).await[0].silent, 20);
}
