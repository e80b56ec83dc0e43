//! Promises 3 and 4: every device is tried, and none rings for nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bellwire::simulator::Received;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::people::{path, push_data};
use crate::support::{BUSY, Device, Dice, SOON, Stage, bearer, rfc3339};

/// What one device's provider does to its ring, and how often it must have been asked, at least and at most.
struct Trouble {
    rule: &'static str,
    asked: std::ops::RangeInclusive<usize>,
}

const fn trouble(rule: &'static str, asked: std::ops::RangeInclusive<usize>) -> Trouble {
    Trouble { rule, asked }
}

impl Stage {
    fn add_rule(&self, rule: &str, token: &str) {
        self.simulator.add_rule(format!("{rule} for {token}").parse().expect(rule));
    }

    /// The ring pushes of a call to a device, in order.
    fn rings(&self, device: &Device, call: &Value) -> Vec<Arc<Received>> {
        let mut rings = self.pushes().all();
        rings.retain(|push| {
            let data = push_data(push);
            push.target.as_deref() == Some(&device.ring_token) && data["type"] == "ring" && data["call_id"] == *call
        });
        rings
    }

    /// Waits until the provider has taken the ring of a device.
    async fn accepted(&self, device: &Device, call: &Value) -> Arc<Received> {
        let taken = |push: &Received| {
            let data = push_data(push);
            push.status == 200
                && push.target.as_deref() == Some(&device.ring_token)
                && data["type"] == "ring"
                && data["call_id"] == *call
        };
        let found = self.pushes().wait_for(SOON, taken).await;
        found.unwrap_or_else(|| panic!("{} was not rung: {:?}", device.id, self.rings(device, call)))
    }
}

#[tokio::test]
async fn promise_3_a_provider_that_answers_badly_is_asked_again_and_other_devices_do_not_wait() {
    let stage = Stage::new().await;
    let troubles = [
        trouble("apns 503 times 3", 4..=4),
        trouble("apns 500 times 5", 6..=6),
        trouble("apns refuse times 3", 4..=4),
        trouble("apns 429 retry-after 1s times 1", 2..=2),
        trouble("fcm 503 times 3", 4..=4),
        trouble("fcm 429 retry-after 1s times 2", 3..=3),
        trouble("fcm refuse times 3", 4..=4),
    ];
    let mut phones = Vec::new();
    for (n, trouble) in troubles.iter().enumerate() {
        let id = format!("phone-{n}");
        let is_iphone = trouble.rule.starts_with("apns");
        let phone = if is_iphone { stage.iphone("bob", &id).await } else { stage.pixel("bob", &id).await };
        stage.add_rule(trouble.rule, &phone.ring_token);
        phones.push(phone);
    }
    let healthy =
        [stage.iphone("bob", "good-1").await, stage.iphone("bob", "good-2").await, stage.pixel("bob", "good-3").await];

    let invite = stage.invite("alice", "bob").await;
    let call = &invite["call"]["id"];
    let created = rfc3339(&invite["call"]["created_at"]);
    // With its pauses, the one that fails five times takes two seconds at least.
    let last = stage.accepted(&phones[1], call).await;
    for phone in &healthy {
        let rung = stage.accepted(phone, call).await;
        assert!(rung.number < last.number, "{} waited for a phone that is in trouble", phone.id);
    }
    for (phone, trouble) in phones.iter().zip(&troubles) {
        let rung = stage.accepted(phone, call).await;
        println!("{}: taken after {:?}", trouble.rule, rung.at.since(created));
        let rings = stage.rings(phone, call);
        assert!(trouble.asked.contains(&rings.len()), "{}: asked {} times", trouble.rule, rings.len());
        assert!(rings.iter().all(|ring| ring.header("apns-id") == rung.header("apns-id")), "the same id every time");
        if trouble.rule.contains("retry-after") {
            let pauses = rings.windows(2).map(|pair| pair[1].at.since(pair[0].at));
            assert!(pauses.min() >= Some(Duration::from_secs(1)), "Retry-After is honoured");
        }
    }
    // What was taken is not sent again, whatever time passes.
    stage.clock.advance(Duration::from_secs(20));
    let other = stage.iphone("carol", "iphone-1").await;
    let second = stage.invite("dave", "carol").await["call"]["id"].take();
    stage.accepted(&other, &second).await;
    for (phone, most) in phones.iter().zip(troubles.iter().map(|trouble| *trouble.asked.end())) {
        assert!(stage.rings(phone, call).len() <= most, "{} was rung again", phone.id);
    }
    for phone in &healthy {
        assert_eq!(stage.rings(phone, call).len(), 1, "{} was rung again", phone.id);
    }
}

#[tokio::test]
async fn promise_3_connections_that_break_or_fall_silent_do_not_lose_a_ring() {
    let rules = ["apns reset times 2", "apns goaway times 2", "apns half-open times 1", "apns delay 2500ms times 1"];
    let google = ["fcm reset times 2", "fcm goaway times 2", "fcm half-open times 1", "fcm delay 4500ms times 1"];
    // Each on a stage of its own, since a broken connection is felt by all who share it.
    let tried = rules.into_iter().chain(google).map(|rule| async move {
        let stage = Stage::new().await;
        let mut phones = Vec::new();
        for n in 0..5 {
            let id = format!("phone-{n}");
            let is_iphone = rule.starts_with("apns");
            phones.push(if is_iphone { stage.iphone("bob", &id).await } else { stage.pixel("bob", &id).await });
        }
        let is_slow = rule.contains("delay");
        stage.add_rule(rule, &phones[2].ring_token);
        let call = stage.invite("alice", "bob").await["call"]["id"].take();
        for phone in &phones {
            let mut rung = stage.accepted(phone, &call).await;
            if is_slow && phone.id == "phone-2" {
                // The first one counts as unanswered: the same push goes out again.
                let first = rung.number;
                let again = |push: &Received| push.number > first && push.target == rung.target;
                rung = stage.pushes().wait_for(SOON, again).await.expect("again");
            }
            let rings = stage.rings(phone, &call);
            assert!(rings.iter().all(|ring| ring.header("apns-id") == rung.header("apns-id")), "{rule}");
            // Apple and Google may have shown each of them; the app tells them by the call's id.
            assert!(rings.len() <= 4, "{rule}: {} pushes", rings.len());
        }
    });
    join_all(tried).await;
}

#[tokio::test]
async fn promise_3_a_provider_that_never_takes_it_is_asked_until_the_ring_is_over_and_no_longer() {
    let stage = Stage::new().await;
    let down = [stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await];
    stage.add_rule("apns 500", &down[0].ring_token);
    stage.add_rule("fcm 503", &down[1].ring_token);
    let gone = stage.pixel("bob", "pixel-2").await;
    stage.add_rule("fcm UNREGISTERED", &gone.ring_token);
    let call = stage.invite_for("alice", "bob", 12).await.expect(201)["call"].take();
    let ended = stage.event("alice", "call.ended", &call["id"]).await;
    assert_eq!(ended["data"]["reason"], "timed_out", "as long as one may still be taken, the call rings");
    for phone in &down {
        let rings = stage.rings(phone, &call["id"]);
        let (first, last) = (rings[0].at, rings[rings.len() - 1].at);
        println!("{}: asked {} times in {:?}", phone.id, rings.len(), last.since(first));
        assert!(rings.len() >= 5, "{} was given up after {} times", phone.id, rings.len());
        // In the last second Google is given a second.
        let over = rfc3339(&call["ring_until"]) + Duration::from_secs(1);
        assert!(rings.iter().all(|ring| expires(ring) <= over), "a ring that outlives its call");
        assert!(rfc3339(&call["ring_until"]).since(last) < Duration::from_secs(8), "it was given up early");
    }
    // What was still on its way when the ring ended has arrived before what followed its end.
    stage.push("missed", &down[0].notice_token, &call["id"]).await;
    let asked = down.each_ref().map(|phone| stage.rings(phone, &call["id"]).len());
    stage.clock.advance(Duration::from_secs(20));
    let other = stage.iphone("carol", "iphone-1").await;
    let second = stage.invite("dave", "carol").await["call"]["id"].take();
    stage.accepted(&other, &second).await;
    assert_eq!(down.each_ref().map(|phone| stage.rings(phone, &call["id"]).len()), asked, "rung after the ring");
    assert_eq!(stage.rings(&gone, &call["id"]).len(), 1, "refused for good");
}

#[tokio::test]
async fn promise_4_no_phone_rings_after_the_end_under_slow_providers() {
    const CALLS: usize = 50;
    let stage = Stage::new().await;
    let mut dice = Dice::new("cancels at random moments");
    let moments: Vec<u64> = (0..CALLS).map(|_| dice.roll(0..2 * CALLS) as u64).collect();
    for rule in [
        "30% of apns 503",
        "30% of fcm 503",
        "10% of apns 429 retry-after 20s kind ring",
        "10% of fcm 429 retry-after 20s kind ring",
    ] {
        stage.simulator.add_rule(rule.parse().expect(rule));
    }
    for rule in ["50% of apns delay 400ms", "50% of fcm delay 700ms", "5% of apns delay 3s", "5% of fcm reset"] {
        stage.simulator.add_rule(rule.parse().expect(rule));
    }
    let bench = &stage;
    let phones = join_all((0..CALLS).map(|n| async move {
        let callee = format!("callee-{n}");
        [bench.iphone(&callee, "iphone-1").await, bench.pixel(&callee, "pixel-1").await]
    }))
    .await;
    let before = stage.pushes().count();
    let calls = join_all(moments.into_iter().enumerate().map(|(n, moment)| {
        let stage = &stage;
        async move {
            let caller = bearer(&format!("caller-{n}"));
            let invite = stage.invite(&format!("caller-{n}"), &format!("callee-{n}")).await;
            let call = &invite["call"]["id"];
            // So many pushes are in: a moment at which some of its own are out, some wait, and some are tried again.
            stage.pushes().wait_for(SOON, |push| push.number > before + moment).await.expect("pushes");
            stage.http.post(&path(call, "cancel"), &caller, json!({})).await.expect(200)["call"].take()
        }
    }))
    .await;
    stage.simulator.clear_rules();
    for rule in ["apns 503 kind ring", "fcm 503 kind ring"] {
        stage.simulator.add_rule(rule.parse().expect(rule));
    }
    let mut missed = Vec::new();
    for ([_, pixel], call) in phones.iter().zip(&calls) {
        missed.push(stage.push("missed", &pixel.notice_token, &call["id"]).await.number);
    }
    // Whatever might still be due becomes due while the rings are not over: what was on its way has arrived.
    stage.clock.advance(2 * BUSY);
    stage.simulator.clear_rules();
    let other = stage.iphone("carol", "iphone-1").await;
    let last = stage.invite("dave", "carol").await["call"]["id"].take();
    stage.accepted(&other, &last).await;
    for ((phones, call), missed) in phones.iter().zip(&calls).zip(missed) {
        for phone in phones {
            let rings = stage.rings(phone, &call["id"]);
            let after = rings.iter().filter(|ring| ring.number > missed).count();
            assert!(after <= 1, "{after} rings after the end: more than was on its way");
        }
    }
    let mut latest = Duration::ZERO;
    let ends: HashMap<&Value, _> = calls.iter().map(|call| (&call["id"], call)).collect();
    let rings = stage.pushes().all();
    for ring in rings.iter().filter(|push| push_data(push)["type"] == "ring" && push_data(push)["call_id"] != last) {
        let call = ends[&push_data(ring)["call_id"]];
        let late = ring.at.since(rfc3339(&call["ended_at"]));
        latest = latest.max(late);
        assert!(late <= BUSY, "a ring {late:?} after the end of its call");
        assert!(expires(ring) <= rfc3339(&call["ring_until"]), "a ring that outlives its call");
    }
    println!("{} rings, the latest {latest:?} after its call's end", rings.len());
}

/// When a provider drops a ring that it could not deliver.
fn expires(ring: &Received) -> bellwire::domain::Timestamp {
    use bellwire::domain::Timestamp;
    if let Some(seconds) = ring.header("apns-expiration") {
        return Timestamp::from_millis(seconds.parse::<u64>().expect("seconds") * 1000);
    }
    let ttl = ring.body["message"]["android"]["ttl"].as_str().expect("a ttl");
    let ttl = humantime::parse_duration(ttl).expect("seconds");
    let sent = push_data(ring)["server_time"].as_str().expect("a time").parse().expect("milliseconds");
    Timestamp::from_millis(sent) + ttl
}
