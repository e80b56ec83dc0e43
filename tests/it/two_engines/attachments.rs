//! A browser is rung while it listens, at whatever instance.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwire::domain::{Call, Device, Input};
use serde_json::json;
use tokio::time::timeout;

use super::wire::{Attached, Wire};
use super::{Ground, ann, invite};
use crate::store_laws::fixture::{device_id, user};
use crate::support::SOON;

fn browser(ground: &Ground) -> Device {
    let json = json!({"id": "browser", "platform": "web", "app": "a", "registered_at": ground.clock.now()});
    serde_json::from_value(json).expect("a device")
}

fn rung(call: &Call) -> Vec<&str> {
    call.legs.iter().map(|leg| leg.device.id.as_str()).collect()
}

#[tokio::test]
async fn a_browser_that_listens_at_another_instance_is_rung_until_its_last_stream_is_closed() {
    let ground = Ground::new();
    ground.register(browser(&ground)).await;
    let attached = Attached::default();
    let wire = || Wire::to(&ground.store, &attached);
    let ((here, _here), (there, _there)) = (ground.engine_on(wire()), ground.engine_on(wire()));
    let (bob, browser) = (user("bob"), device_id("browser"));
    assert!(rung(&invite(&here).await.expect("invited")).is_empty(), "nobody listens yet");

    let first = there.read(&bob, Some(browser.clone()), 10).await.expect("a reader");
    let second = there.read(&bob, Some(browser.clone()), 10).await.expect("a reader");
    // A stream of no device is none of a browser.
    let _unnamed = there.read(&bob, None, 10).await.expect("a reader");
    drop(first);
    let call = invite(&here).await.expect("invited");
    assert_eq!(rung(&call), ["browser"]);
    here.cancel(call.id, &ann()).await.expect("cancelled");

    drop(second);
    let mut attached = attached.subscribe();
    timeout(SOON, attached.wait_for(BTreeSet::is_empty)).await.expect("in time").expect("detached");
    assert!(rung(&invite(&here).await.expect("invited")).is_empty());
}

#[tokio::test]
async fn streams_that_come_and_go_leave_what_is_true() {
    let ground = Ground::new();
    let attached = Attached::default();
    let (there, _there) = ground.engine_on(Wire::to(&ground.store, &attached));
    let (bob, browser) = (user("bob"), device_id("browser"));
    let mut open = None;
    for number in 0..30 {
        if number % 3 == 0 {
            // Its last stream is closed, and that is noted while the next one opens.
            drop(open.take());
        }
        open = Some(there.read(&bob, Some(browser.clone()), 10).await.expect("a reader"));
    }
    // One more has its turn after all that were begun before.
    let _last = there.read(&bob, Some(browser.clone()), 10).await.expect("a reader");
    assert_eq!(*attached.borrow(), BTreeSet::from([(bob.clone(), browser.clone())]));
}

#[tokio::test]
async fn who_is_banned_is_not_attached() {
    let ground = Ground::new();
    let attached = Attached::default();
    let (there, _there) = ground.engine_on(Wire::to(&ground.store, &attached));
    super::bans::ban(&there, "bob").await;
    let refused = there.read(&user("bob"), Some(device_id("browser")), 10).await;
    assert!(refused.is_err());
    assert!(attached.borrow().is_empty());
}

/// Nobody else would say it, and the device hears of nothing new.
#[tokio::test]
async fn a_browser_that_is_there_is_called_back_until_the_store_has_it() {
    let ground = Ground::new();
    ground.register(browser(&ground)).await;
    let attached = Attached::default();
    let wire = Wire::to(&ground.store, &attached);
    let (here, _here) = ground.engine_on(Wire::to(&ground.store, &attached));
    let (there, _there) = ground.engine_on(Arc::clone(&wire) as _);
    let mut reader = there.read(&user("bob"), Some(device_id("browser")), 10).await.expect("a reader");
    wire.cut();
    let call = invite(&here).await.expect("invited");
    let call = here.apply(call.id, Input::DeviceGone(device_id("browser"))).await.expect("noted");
    assert!(call.legs[0].gone_at.is_some());
    reader.begin(&[]).await.expect("a beginning");
    // What that has begun has its turn when this waits, and meets a store that fails.
    wire.failing.store(2, Ordering::SeqCst);
    let back = async {
        while here.call(call.id, &ann()).await.expect("a call").legs[0].gone_at.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, back).await.expect("in time");
    assert_eq!(wire.failing.load(Ordering::SeqCst), 0, "it did fail");
}
