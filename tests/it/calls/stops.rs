//! Declines, and what each platform is told when a ring is over.

use bellwire::store::MISSED_TOLD_EVERY;
use serde_json::{Value, json};

use crate::support::people::{path, push_data};
use crate::support::{Device, Stage, bearer};

struct Ringing {
    stage: Stage,
    iphone: Device,
    pixel: Device,
    call: Value,
    iphone_ticket: String,
    pixel_ticket: String,
}

/// Bob's two phones ring for a call of Alice.
async fn ringing(extra: &str) -> Ringing {
    let stage = Stage::with(extra).await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let iphone_ticket = stage.ring(&iphone, &call).await;
    let pixel_ticket = stage.ring(&pixel, &call).await;
    Ringing { stage, iphone, pixel, call, iphone_ticket, pixel_ticket }
}

impl Ringing {
    async fn post(&self, verb: &str, token: &str, body: Value) -> Value {
        self.stage.http.post(&path(&self.call, verb), token, body).await.expect(200)
    }

    async fn expect_stop(&self, device: &Device, reason: &str) {
        let push = self.stage.push("cancel", &device.notice_token, &self.call).await;
        assert_eq!(push_data(&push)["reason"], reason);
        if let Some(kind) = push.header("apns-push-type") {
            assert_eq!((kind, push.header("apns-priority")), ("background", Some("5")));
        } else {
            let android = &push.body["message"]["android"];
            assert_eq!((&android["priority"], &android["collapse_key"]), (&json!("NORMAL"), &self.call));
        }
    }

    async fn expect_missed(&self, device: &Device, count: u32) {
        let push = self.stage.push("missed", &device.notice_token, &self.call).await;
        let data = push_data(&push);
        assert_eq!((&data["caller_id"], &data["caller_name"]), (&json!("alice"), &json!("Alice")));
        if let Some(kind) = push.header("apns-push-type") {
            assert_eq!((kind, &data["count"]), ("alert", &json!(count)));
        } else {
            assert_eq!(data["count"], count.to_string());
            assert_eq!(push.body["message"]["android"]["collapse_key"], self.call, "it replaces the ring");
        }
    }
}

#[tokio::test]
async fn the_others_are_told_that_one_has_answered() {
    for winner_is_iphone in [true, false] {
        let r = ringing("").await;
        let (ticket, loser) =
            if winner_is_iphone { (&r.iphone_ticket, &r.pixel) } else { (&r.pixel_ticket, &r.iphone) };
        r.post("answer", ticket, json!({})).await;
        r.expect_stop(loser, "answered_elsewhere").await;
        assert_eq!(r.stage.pushed("cancel", &r.call), 1, "and not the winner");
        r.post("hangup", &bearer("alice"), json!({})).await;
        assert_eq!(r.stage.ended("alice", &r.call).await, "completed");
        assert_eq!(r.stage.pushed("missed", &r.call), 0);
    }
}

#[tokio::test]
async fn a_decline_ends_the_call_on_every_device() {
    for iphone_declines in [true, false] {
        let r = ringing("").await;
        let (ticket, other) = if iphone_declines { (&r.iphone_ticket, &r.pixel) } else { (&r.pixel_ticket, &r.iphone) };
        for _ in 0..3 {
            let declined = r.post("decline", ticket, json!({"reason": "declined"})).await;
            assert_eq!(declined["call"]["end_reason"], "declined");
        }
        r.expect_stop(other, "declined_elsewhere").await;
        r.stage.event("alice", "call.declined", &r.call).await;
        assert_eq!(r.stage.ended("alice", &r.call).await, "declined");
        assert_eq!((r.stage.pushed("missed", &r.call), r.stage.pushed("cancel", &r.call)), (0, 1));
    }
}

#[tokio::test]
async fn a_decline_of_the_device_alone_leaves_the_others_ringing() {
    let r = ringing("[call]\ndecline = \"device\"").await;
    for _ in 0..2 {
        let declined = r.post("decline", &r.iphone_ticket, json!({})).await;
        assert_eq!(declined["call"]["state"], "ringing");
    }
    let answer = path(&r.call, "answer");
    r.stage.http.post(&answer, &r.iphone_ticket, json!({})).await.expect_problem(409, "declined-before");
    assert_eq!(r.stage.leg("iphone-1", &r.call).await, "declined");
    r.post("decline", &r.pixel_ticket, json!({})).await;
    assert_eq!(r.stage.ended("alice", &r.call).await, "declined", "the last one has");
    assert_eq!(r.stage.pushed("missed", &r.call), 0);
}

#[tokio::test]
async fn busy_stops_the_device_and_ends_the_call_when_all_say_so() {
    let r = ringing("").await;
    for _ in 0..2 {
        let declined = r.post("decline", &r.pixel_ticket, json!({"reason": "busy"})).await;
        assert_eq!(declined["call"]["state"], "ringing");
    }
    assert_eq!(r.stage.leg("pixel-1", &r.call).await, "busy");
    let declined = r.post("decline", &r.iphone_ticket, json!({"reason": "busy"})).await;
    assert_eq!(declined["call"]["end_reason"], "busy");
    r.expect_missed(&r.iphone, 1).await;
    r.expect_missed(&r.pixel, 1).await;
    assert_eq!(r.stage.pushed("cancel", &r.call), 0, "nothing rings any more");
}

#[tokio::test]
async fn a_device_that_could_not_ring_waits_for_the_others_or_the_time() {
    let r = ringing("").await;
    r.post("alerting", &r.pixel_ticket, json!({"rung": false, "reason": "do_not_disturb"})).await;
    let declined = r.post("decline", &r.iphone_ticket, json!({"reason": "busy"})).await;
    assert_eq!(declined["call"]["state"], "ringing");
    r.stage.clock.advance(std::time::Duration::from_secs(45));
    assert_eq!(r.stage.ended("alice", &r.call).await, "timed_out");
}

#[tokio::test]
async fn a_cancelled_call_stops_iphones_and_is_missed_everywhere() {
    let r = ringing("").await;
    r.post("cancel", &bearer("alice"), json!({})).await;
    r.expect_stop(&r.iphone, "cancelled").await;
    r.expect_missed(&r.iphone, 1).await;
    r.expect_missed(&r.pixel, 1).await;
    r.stage.event("alice", "call.cancelled", &r.call).await;
    assert_eq!(r.stage.pushed("cancel", &r.call), 1, "on Android the missed call takes the ring's place");
}

#[tokio::test]
async fn where_missed_calls_are_not_pushed_android_is_stopped_as_well() {
    let r = ringing("[push]\nmissed_call = false").await;
    r.post("cancel", &bearer("alice"), json!({})).await;
    r.expect_stop(&r.iphone, "cancelled").await;
    r.expect_stop(&r.pixel, "cancelled").await;
    assert_eq!(r.stage.pushed("missed", &r.call), 0);
}

#[tokio::test]
async fn a_call_that_nobody_answers_stops_and_is_missed() {
    let r = ringing("").await;
    r.stage.clock.advance(std::time::Duration::from_secs(45));
    r.expect_stop(&r.iphone, "timed_out").await;
    r.expect_missed(&r.iphone, 1).await;
    r.expect_missed(&r.pixel, 1).await;
}

#[tokio::test]
async fn missed_calls_are_counted_by_caller_until_called_back() {
    let mut r = ringing("").await;
    for count in 1..=3 {
        // Of calls that come sooner bob would be told together.
        r.stage.clock.advance(MISSED_TOLD_EVERY);
        r.post("cancel", &bearer("alice"), json!({})).await;
        r.expect_missed(&r.iphone, count).await;
        r.expect_missed(&r.pixel, count).await;
        r.call = r.stage.invite("alice", "bob").await["call"]["id"].clone();
    }
    r.post("cancel", &bearer("alice"), json!({})).await;
    r.stage.ended("alice", &r.call).await;
    r.stage.pixel("alice", "alice-phone").await;
    let back = r.stage.invite("bob", "alice").await["call"]["id"].clone();
    r.stage.http.post(&path(&back, "cancel"), &bearer("bob"), json!({})).await.expect(200);
    r.stage.clock.advance(MISSED_TOLD_EVERY);
    r.call = r.stage.invite("alice", "bob").await["call"]["id"].clone();
    r.post("cancel", &bearer("alice"), json!({})).await;
    r.expect_missed(&r.pixel, 1).await;
}

#[tokio::test]
async fn a_decline_by_the_device_that_answered_hangs_up() {
    let r = ringing("").await;
    r.post("answer", &r.iphone_ticket, json!({})).await;
    let decline = path(&r.call, "decline");
    r.stage.http.post(&decline, &r.pixel_ticket, json!({})).await.expect_problem(409, "answered-elsewhere");
    let ended = r.post("decline", &r.iphone_ticket, json!({})).await;
    assert_eq!(ended["call"]["end_reason"], "completed");
}

#[tokio::test]
async fn a_bad_decline_is_refused() {
    let r = ringing("").await;
    for (body, pointer) in [(json!({"reason": "angry"}), "/reason"), (json!({"why": "busy"}), "/why")] {
        let refused = r.stage.http.post(&path(&r.call, "decline"), &r.iphone_ticket, body).await;
        assert_eq!(refused.expect_problem(400, "invalid-field")["errors"][0]["pointer"], pointer);
    }
    assert_eq!(r.stage.seen_by("alice", &r.call).await["state"], "ringing");
}
