//! The steps of a ring, as they are read off two records.

use super::*;
use bellwire::domain::timing::marks;
use bellwire::domain::{Mark, Step};

const MS: Duration = Duration::from_millis(1);

/// What a commit of the call as it is brought, in words.
fn seen(before: Option<&Call>, after: &Call) -> Vec<String> {
    let told = |mark: &Mark| match mark.step {
        Step::Sent(after) => format!("sent after {after:?}"),
        Step::Alerting(after) => format!("alerting after {after:?}"),
        Step::Rang(after) => format!("rang after {after:?}"),
        Step::Picked(after) => format!("picked after {after:?}"),
        Step::Connected(after) => format!("connected after {after:?}"),
        Step::Closed => mark.leg.state.as_str().to_owned(),
    };
    marks(before, after).map(|mark| format!("{} {}", mark.leg.device.platform.as_str(), told(&mark))).collect()
}

/// Gives each input a second after the one before; what each brought.
fn steps(stage: &mut Stage, inputs: impl IntoIterator<Item = Input>) -> Vec<Vec<String>> {
    let step = |input| {
        let before = stage.after(Duration::from_secs(1)).call.clone();
        stage.give(input);
        seen(Some(&before), &stage.call)
    };
    inputs.into_iter().map(step).collect()
}

#[test]
fn each_step_of_a_ring_is_seen_once() {
    let mut stage = Stage::new(invite());
    assert!(seen(None, &stage.call).is_empty());
    let result = |task, answers| Input::TaskFinished { task, attempt: 1, result: answers };
    let busy = |ms: u32| receipt("503", START + MS * ms);
    let found = steps(
        &mut stage,
        [
            result(2, TaskResult::Retry(GRACE, vec![busy(80), busy(300)])),
            result(2, TaskResult::Retry(GRACE, vec![busy(900)])),
            result(1, TaskResult::Done(vec![receipt("ok", START + MS * 141)])),
            alerting(IPHONE),
            alerting(IPHONE),
            answer(IPHONE),
            Input::Cancel,
        ],
    );
    let expected: [&[&str]; 7] = [
        &["android sent after 39ms"],
        &[],
        &["ios sent after 100ms"],
        &["ios alerting after 3.859s", "ios rang after 4s"],
        &[],
        &["ios picked after 2s", "ios answered", "android stopped"],
        &[],
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_phone_that_took_its_push_and_said_nothing_is_seen() {
    let mut stage = Stage::new(invite());
    stage.settle();
    let found = steps(&mut stage, [not_rung(PIXEL), Input::Cancel]);
    assert_eq!(found, [vec![], ["ios stopped", "android stopped"].map(str::to_owned).to_vec()]);
}
