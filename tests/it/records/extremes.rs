//! Records with numbers at their limits, as damage or a clock that was wrong may leave them: whatever can be read is taken further and written
//! back, and no sum on the way overflows.

use std::collections::BTreeSet;

use bellwire::domain::explain::{Around, explain};
use bellwire::domain::usage::shares;
use bellwire::domain::{Call, Input, Outcome, TaskResult, Timestamp, step};
use bellwire::outbound::record::CallView;
use bellwire::store::Slot;
use serde_json::{Value, json};

use super::json::places;
use super::{calls, decode, read, written};

/// The greatest numbers of the types that records have.
const GREATEST: [u64; 3] = [u64::MAX, u32::MAX as u64, u8::MAX as u64];

/// Each number that a record has, in a record of each state.
#[test]
fn numbers_at_their_limits_overflow_nothing() {
    let mut tried = BTreeSet::new();
    for (name, record) in calls() {
        for place in places(&record).into_iter().filter(|place| is_number(&record, &place.pointer)) {
            if !tried.insert((place.shape, record["state"].to_string())) {
                continue;
            }
            for numbers in [&GREATEST[..], &[0]] {
                let call = numbers.iter().find_map(|number| {
                    let mut changed = record.clone();
                    *changed.pointer_mut(&place.pointer)? = json!(number);
                    decode(&changed).ok()
                });
                if let Some(Slot::Call(call)) = call {
                    take_further(&call, &format!("{name} with a {} of {numbers:?}", place.pointer));
                }
            }
        }
    }
    assert!(tried.len() > 100, "only {}", tried.len());
}

fn is_number(record: &Value, pointer: &str) -> bool {
    record.pointer(pointer).is_some_and(Value::is_number)
}

fn take_further(call: &Call, what: &str) {
    assert_eq!(read(&written(call, &Value::Null)), *call, "{what}");
    let now = Timestamp::from_millis(1_800_000_000_000);
    drop((call.retained_until(), call.statistics(now), shares(&call.stays())));
    drop(explain(call, &Around { devices: &[], callee_banned_at: None, now }));
    drop((CallView::for_service(call), CallView::for_party(call)));
    for at in [call.wake_up().at, now, Timestamp::from_millis(u64::MAX)] {
        for input in inputs(call) {
            if let Ok(Outcome::Applied(next)) = step(call, &input, at) {
                assert_eq!(read(&written(&next, &Value::Null)), *next, "{what}, then {}", input.name());
            }
        }
    }
}

fn inputs(call: &Call) -> Vec<Input> {
    let callee = call.callee.id.clone();
    let mut inputs = vec![
        Input::Wake,
        Input::Cancel,
        Input::RoomStarted,
        Input::RoomFinished,
        Input::PresenceDoubted,
        Input::HangUp(call.caller.id.clone()),
        Input::Banned(callee.clone()),
        Input::ParticipantJoined(callee.clone(), "a new session".to_owned()),
        Input::ParticipantLeft { user: callee, session: "a new session".to_owned(), reason: String::new() },
    ];
    for task in &call.tasks {
        for result in [TaskResult::Done(Vec::new()), TaskResult::Failed(Vec::new()), TaskResult::Present(Vec::new())] {
            inputs.push(Input::TaskFinished { task: task.id, attempt: task.attempt, result });
        }
    }
    for leg in &call.legs {
        let device = &leg.device.id;
        inputs.extend([Input::DeviceAlerting(device.clone()), Input::Answer(device.clone())]);
    }
    inputs
}
