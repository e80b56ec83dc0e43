//! How many round trips in sequence the requests that a person waits for take.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwire::domain::DeclineReason;

use super::wire::{Attached, Wire};
use super::{Ground, ann, bob, invite};
use crate::store_laws::fixture::{android, user};

/// What the requests took since the last time that this was asked.
fn taken(wire: &Wire) -> usize {
    wire.in_sequence.swap(0, Ordering::SeqCst)
}

#[tokio::test]
async fn an_invite_takes_three_round_trips_and_an_answer_two() {
    let ground = Ground::new();
    let mut phone = android("phone", "token", ground.clock.now());
    // The first ack of all is written to the registration, beside the request.
    phone.acks.since = Some(ground.clock.now());
    ground.register(phone).await;
    let wire = Wire::to(&ground.store, &Attached::default());
    let (here, _here) = ground.engine_on(Arc::clone(&wire) as _);
    // What the first commit is remembered for is no help to another instance.
    let (there, _there) = ground.engine_on(Arc::clone(&wire) as _);

    let call = invite(&here).await.expect("invited");
    assert_eq!(taken(&wire), 3, "an invite");
    there.alerting(call.id, &bob()).await.expect("rings");
    assert_eq!(taken(&wire), 2, "a device that rings");
    there.answer(call.id, &bob()).await.expect("answered");
    assert_eq!(taken(&wire), 2, "an answer");
    there.hang_up(call.id, &ann()).await.expect("over");
    assert_eq!(taken(&wire), 2, "hanging up");

    for user in [&call.caller.id, &call.callee.id] {
        here.free_line(user, call.id).await.expect("freed");
    }
    let call = invite(&here).await.expect("invited");
    taken(&wire);
    there.decline(call.id, &bob(), DeclineReason::Declined).await.expect("declined");
    assert_eq!(taken(&wire), 2, "a decline");
}

#[tokio::test]
async fn an_answer_of_a_device_that_is_new_to_the_call_takes_three() {
    let ground = Ground::new();
    ground.register(android("tablet", "token-1", ground.clock.now())).await;
    let wire = Wire::to(&ground.store, &Attached::default());
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine_on(Arc::clone(&wire) as _));
    let call = invite(&here).await.expect("invited");
    ground.register(android("phone", "token-2", ground.clock.now())).await;
    there.answer(call.id, &bob()).await.expect("answered");
    assert_eq!(taken(&wire), 3);
}

#[tokio::test]
async fn calls_are_loaded_together() {
    const CALLS: usize = 20;
    let ground = Ground::new();
    let wire = Wire::to(&ground.store, &Attached::default());
    let ((here, _here), (there, _there)) = (ground.engine(), ground.engine_on(Arc::clone(&wire) as _));
    for _ in 0..CALLS {
        // Nobody can be reached, so each is over at once.
        invite(&here).await.expect("invited");
    }
    let page = there.history(&user("ann"), None, CALLS).await.expect("a page");
    assert_eq!(page.calls.len(), CALLS);
    assert!(page.calls.is_sorted_by(|newer, older| newer.id > older.id), "newest first");
    assert_eq!(taken(&wire), 2);
}
