//! What a record keeps of providers' answers, and of devices' words.

use super::*;
use bellwire::domain::Leg;

fn leg<'a>(stage: &'a Stage, device: &str) -> &'a Leg {
    stage.call.leg(&id(device)).expect("a leg")
}

/// A provider's `n`-th answer to the Pixel's ring.
fn busy_provider(reason: &str, at: Timestamp) -> Receipt {
    Receipt { provider: "fcm".into(), status: Some(503), verdict: "retry".into(), ..receipt(reason, at) }
}

#[test]
fn the_same_answer_again_is_counted() {
    let mut stage = Stage::new(invite());
    let at = |ms: u64| START + Duration::from_millis(ms);
    let answers = [80, 300, 700].map(|ms| busy_provider("UNAVAILABLE", at(ms)));
    stage.after(Duration::from_millis(700));
    stage.finish("ring pixel-1", TaskResult::Retry(Duration::from_millis(200), answers.to_vec()));
    let kept = &leg(&stage, PIXEL).receipts;
    assert_eq!((kept.len(), kept[0].times()), (1, 3));
    assert_eq!((kept[0].since, kept[0].at), (Some(at(80)), at(700)));
    stage.wake();
    let other = vec![busy_provider("UNAVAILABLE", stage.now), busy_provider("INTERNAL", stage.now)];
    stage.finish("ring pixel-1", TaskResult::Done(other));
    let kept: Vec<_> = leg(&stage, PIXEL).receipts.iter().map(|kept| (kept.reason.as_str(), kept.times())).collect();
    assert_eq!(kept, [("UNAVAILABLE", 4), ("INTERNAL", 1)]);
}

#[test]
fn a_result_that_comes_twice_is_counted_once() {
    let mut stage = Stage::new(invite());
    let answers = vec![busy_provider("UNAVAILABLE", START), busy_provider("UNAVAILABLE", START + GRACE)];
    let result = TaskResult::Retry(Duration::from_millis(200), answers);
    stage.finish("ring pixel-1", result.clone());
    assert!(!stage.finish("ring pixel-1", result));
    assert_eq!(leg(&stage, PIXEL).receipts[0].times(), 2);
}

#[test]
fn a_leg_says_when_its_push_was_taken_and_when_its_device_spoke() {
    let mut stage = Stage::new(invite());
    // Its result may wait for others before it is stepped.
    let sent = START + Duration::from_millis(40);
    stage.after(Duration::from_millis(90)).finish("ring pixel-1", TaskResult::Done(vec![receipt("", sent)]));
    stage.after(Duration::from_secs(1)).give(alerting(PIXEL));
    let alerted = stage.now;
    stage.after(Duration::from_secs(1)).give(answer(PIXEL));
    let found = leg(&stage, PIXEL);
    assert_eq!((found.sent_at, found.alerting_at, found.acked_at), (Some(sent), Some(alerted), Some(alerted)));
    assert_eq!(found.closed_at, Some(stage.now));
    let stopped = leg(&stage, IPHONE);
    assert_eq!((stopped.reason.as_deref(), stopped.closed_at), (Some("answered_elsewhere"), Some(stage.now)));
    assert_eq!(stopped.acked_at, None);
}

#[test]
fn why_a_device_could_not_ring_outlives_its_leg() {
    let mut stage = Stage::new(invite());
    stage.all([not_rung(PIXEL), Input::Cancel]);
    let found = leg(&stage, PIXEL);
    assert_eq!((found.state, found.reason.as_deref()), (LegState::Stopped, Some("cancelled")));
    assert_eq!(found.not_rung.as_deref(), Some("do_not_disturb"));
}

#[test]
fn the_environment_that_took_a_push_is_that_of_the_next_ones() {
    let mut stage = Stage::new(invite());
    let sandbox = Receipt { environment: Some(Environment::Sandbox), ..receipt("", START) };
    stage.finish("ring iphone-1", TaskResult::Done(vec![sandbox]));
    assert_eq!(leg(&stage, IPHONE).device.environment, Environment::Sandbox);
}

#[test]
fn ten_devices_whose_providers_never_come_to_rest_fit_the_record() {
    let devices = (0..10).map(|n| device(&format!("device-{n}"), [Platform::Ios, Platform::Android][n % 2]));
    let mut stage = Stage::new(Invite { devices: devices.collect(), ..invite() });
    for round in 0..20 {
        for task in stage.tasks() {
            let answers = (0..3).map(|n| Receipt {
                reason: format!("{round}-{n}-").repeat(12).chars().take(64).collect(),
                provider_id: Some("projects/a-project-with-a-long-name/messages/0:".repeat(4)[..128].to_owned()),
                number: 3,
                attempt: 12,
                again: 100,
                since: Some(START),
                environment: Some(Environment::Production),
                verdict: "drop_token".into(),
                ..receipt("", stage.now + Duration::from_millis(n))
            });
            let answers = answers.collect();
            stage.finish(&task, TaskResult::Retry(Duration::from_millis(200), answers));
        }
        stage.wake();
    }
    let json = serde_json::to_vec(&stage.call.legs.iter().map(|leg| &leg.receipts).collect::<Vec<_>>());
    let bytes = json.expect("JSON").len();
    assert!(bytes <= 8 * 1024, "{bytes}");
    assert!(stage.call.legs.iter().all(|leg| !leg.receipts.is_empty()), "each says something");
}
