//! Law 6: wake-ups.

use std::collections::HashSet;
use std::time::Duration;

use bellwire::domain::{Call, CallId, Input};
use ring::digest::{SHA256, digest};

use super::Subject;
use super::fixture::{after, create, is_conflict, new_call, replace};

pub async fn law_06_a_call_is_due_from_its_time_until_a_commit_moves_it(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let first = new_call(clock);
    create(&**store, &first).await.expect("written");
    let at = first.wake_up().at;
    let millisecond = Duration::from_millis(1);
    assert!(store.due(at - millisecond, 10, &HashSet::new()).await.expect("due").is_empty(), "never before its time");
    for _ in 0..2 {
        assert_eq!(store.due(at, 10, &HashSet::new()).await.expect("due"), [first.id], "again and again");
    }
    let second = after(&first, &Input::Wake, at);
    let moved = second.wake_up().at;
    assert!(moved > at);
    replace(&**store, &first, &second).await.expect("written");
    assert!(store.due(moved - millisecond, 10, &HashSet::new()).await.expect("due").is_empty(), "it has one wake-up");
    assert_eq!(store.due(moved, 10, &HashSet::new()).await.expect("due"), [first.id]);

    let refused = after(&first, &Input::Cancel, clock.now());
    assert!(is_conflict(&replace(&**store, &first, &refused).await));
    assert_eq!(store.due(moved, 10, &HashSet::new()).await.expect("due"), [first.id], "what is refused moves nothing");
}

pub async fn law_06_urgent_calls_come_first_then_by_time_up_to_the_limit(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let call = new_call(clock);
        create(&**store, &call).await.expect("written");
        ids.push(call.id);
        clock.advance(Duration::from_secs(1));
    }
    let far = clock.now() + Duration::from_hours(1);
    assert_eq!(store.due(far, 10, &HashSet::new()).await.expect("due"), ids, "by time");
    assert_eq!(store.due(far, 3, &HashSet::new()).await.expect("due"), ids[..3], "the first of them");
    assert!(store.due(far, 0, &HashSet::new()).await.expect("due").is_empty());
}

pub async fn law_06_ended_calls_wait_behind_the_urgent_ones(subject: &Subject) {
    let Subject { store, clock, .. } = subject;
    // An ended call with nothing left to do but its compaction.
    let ended = {
        let first = new_call(clock);
        create(&**store, &first).await.expect("written");
        let mut last = after(&first, &Input::Cancel, clock.now());
        last.tasks.clear();
        assert!(!last.wake_up().urgent);
        replace(&**store, &first, &last).await.expect("written");
        last
    };
    clock.advance(Duration::from_hours(1));
    let urgent = new_call(clock);
    create(&**store, &urgent).await.expect("written");

    let far = clock.now() + Duration::from_hours(1);
    assert_eq!(
        store.due(far, 10, &HashSet::new()).await.expect("due"),
        [urgent.id, ended.id],
        "though it has been due for longer"
    );
    assert_eq!(store.due(far, 1, &HashSet::new()).await.expect("due"), [urgent.id]);
    let due: Vec<CallId> = store.due(ended.wake_up().at, 10, &HashSet::new()).await.expect("due");
    assert_eq!(due, [ended.id]);

    let compacted = after(&ended, &Input::Wake, ended.wake_up().at);
    replace(&**store, &ended, &compacted).await.expect("written");
    assert_eq!(store.due(ended.wake_up().at, 10, &HashSet::new()).await.expect("due"), []);
    assert_eq!(store.due(compacted.wake_up().at, 10, &HashSet::new()).await.expect("due"), [urgent.id, ended.id]);
    store.remove(ended.id, compacted.version).await.expect("removed");
    assert_eq!(store.due(compacted.wake_up().at, 10, &HashSet::new()).await.expect("due"), [urgent.id]);
}

pub async fn law_06_what_is_known_to_be_due_takes_no_other_ones_place(subject: &Subject) {
    const KNOWN: usize = 100;
    let Subject { store, clock, .. } = subject;
    // As a store on Redis spreads them: all of one partition.
    let of_one = |id: &CallId| digest(&SHA256, id.as_uuid().as_bytes()).as_ref()[0] == 7;
    let ids: Vec<CallId> = std::iter::repeat_with(|| clock.call_id()).filter(of_one).take(KNOWN + 2).collect();
    let mut all = Vec::new();
    for (number, id) in (0..).zip(ids) {
        let call = new_call(clock);
        let call = Call { id, ring_until: call.ring_until + Duration::from_millis(number), tasks: Vec::new(), ..call };
        create(&**store, &call).await.expect("written");
        all.push(call.id);
    }
    let known: HashSet<CallId> = all[..KNOWN].iter().copied().collect();
    let far = clock.now() + Duration::from_hours(1);
    assert_eq!(store.due(far, 9, &known).await.expect("due"), all);
    assert_eq!(store.due(far, 1, &known).await.expect("due"), all[..=KNOWN]);
    assert_eq!(store.due(far, 9, &HashSet::new()).await.expect("due"), all[..9]);
}
