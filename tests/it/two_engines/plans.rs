//! A plan that is changed while what is used of it has been warned of.

use std::sync::Arc;
use std::time::Duration;

use bellwire::domain::usage::{Day, Plan, Stay, shares};
use bellwire::store::Store;

use super::Ground;

#[tokio::test]
async fn of_a_plan_that_was_raised_there_is_a_warning_again() {
    let ground = Ground::new();
    let from = Day::of(ground.clock.now()).begins();
    let stay = Stay { from, to: from + Duration::from_mins(100), there_ms: 6_000_000 };
    assert!(ground.store.account(ground.clock.call_id(), &shares(&[stay])).await.expect("added"));
    let engine = |participant_minutes_per_month| {
        let plan = Plan { participant_minutes_per_month, concurrent_participants: 0, warn_at: vec![50] };
        ground.engine_of(Arc::clone(&ground.store) as _, plan)
    };
    let ((before, _before), (raised, _raised)) = (engine(100), engine(200));
    let crossed = before.crossings().await.expect("an answer");
    assert_eq!(crossed.len(), 1);
    before.warned(&crossed[0]).await.expect("noted");
    assert_eq!(before.crossings().await.expect("an answer"), []);
    let crossed = raised.crossings().await.expect("an answer");
    assert_eq!(crossed.iter().map(|crossing| (crossing.per_cent, crossing.limit)).collect::<Vec<_>>(), [(50, 200)]);
}
