//! How calls end: by either party's wish, and by the clock.

use std::time::Duration;

use serde_json::json;

use crate::support::people::path;
use crate::support::{BUSY, Stage, bearer, rfc3339, service_bearer};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn cancel_and_hang_up_may_be_said_again() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    for (verb, answered, reason) in [
        ("cancel", false, "cancelled"),
        ("cancel", true, "completed"),
        ("hangup", false, "cancelled"),
        ("hangup", true, "completed"),
    ] {
        let call = stage.invite("alice", "bob").await["call"]["id"].clone();
        if answered {
            stage.answer(&iphone, &call).await;
        }
        let mut before = None;
        for _ in 0..3 {
            let ended = stage.http.post(&path(&call, verb), &bearer("alice"), json!({})).await.expect(200);
            assert_eq!((&ended["call"]["state"], &ended["call"]["end_reason"]), (&json!("ended"), &json!(reason)));
            assert_eq!(ended.get("livekit"), None);
            assert_eq!(before.get_or_insert_with(|| ended["call"].clone()), &ended["call"], "nothing changes");
        }
        for (verb, body) in [("hangup", json!({})), ("decline", json!({"device_id": "iphone-1"}))] {
            let late = stage.http.post(&path(&call, verb), &bearer("bob"), body).await.expect(200);
            assert_eq!(late["call"]["end_reason"], reason, "too late, and no error");
        }
    }
}

#[tokio::test]
async fn only_the_caller_cancels() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ticket(&iphone, &call).await;
    for token in [ticket.as_str(), &bearer("bob")] {
        stage.http.post(&path(&call, "cancel"), token, json!({})).await.expect_problem(403, "not-allowed");
    }
    assert_eq!(stage.seen_by("bob", &call).await["state"], "calling");
    stage.http.post(&path(&call, "cancel"), service_bearer(), json!({})).await.expect(200);
}

#[tokio::test]
async fn a_callee_who_hangs_up_before_the_answer_declines() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    for by_ticket in [false, true] {
        let call = stage.invite("alice", "bob").await["call"]["id"].clone();
        let ticket = stage.ticket(&iphone, &call).await;
        let token = if by_ticket { ticket } else { bearer("bob") };
        let ended = stage.http.post(&path(&call, "hangup"), &token, json!({})).await.expect(200);
        assert_eq!(ended["call"]["end_reason"], "declined");
        assert_eq!(stage.pushed("missed", &call), 0);
    }
}

#[tokio::test]
async fn an_ended_call_tells_its_times() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.clock.advance(SECOND);
    let ticket = stage.ring(&iphone, &call).await;
    stage.clock.advance(SECOND);
    stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    stage.clock.advance(60 * SECOND);
    stage.http.post(&path(&call, "hangup"), &ticket, json!({})).await.expect(200);
    let seen = stage.seen_by("alice", &call).await;
    let times = ["created_at", "ringing_at", "answered_at", "ended_at"].map(|field| rfc3339(&seen[field]));
    assert!(times.is_sorted() && times[3].since(times[2]) >= 60 * SECOND, "{seen}");
    assert_eq!((&seen["answered_by"], &seen["talk_seconds"]), (&json!("iphone-1"), &json!(0)), "media never came up");
    assert_eq!(seen["peak_participants"], 0);
}

#[tokio::test]
async fn a_call_times_out_when_its_ring_is_over_and_never_before() {
    let stage = Stage::new().await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    for (seconds, rings) in [(45, false), (45, true), (5, false), (120, true)] {
        let body = json!({"callee": "bob", "media": "audio", "ring_seconds": seconds});
        let answer = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect(201);
        let call = answer["call"]["id"].clone();
        if rings {
            stage.ring(&pixel, &call).await;
        }
        let until = rfc3339(&answer["call"]["ring_until"]);
        let (mut alice, _) = stage.events(&bearer("alice"), "").await;
        // As near as the speed of a busy machine lets the test come from below.
        stage.clock.advance(until.since(stage.clock.now()).saturating_sub(BUSY));
        assert_ne!(stage.seen_by("alice", &call).await["state"], "ended");
        stage.clock.advance(until.since(stage.clock.now()).saturating_sub(SECOND));
        alice.until("call.ended", &call).await;
        let seen = stage.seen_by("alice", &call).await;
        let ended = rfc3339(&seen["ended_at"]);
        assert_eq!(seen["end_reason"], "timed_out");
        assert!(ended >= until && ended.since(until) < BUSY, "{seen}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_the_time_and_before_its_commit_is_an_answer_or_says_timed_out() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    for _ in 0..10 {
        let call = stage.invite("alice", "bob").await["call"]["id"].clone();
        let ticket = stage.ring(&iphone, &call).await;
        stage.clock.advance(45 * SECOND);
        let reply = stage.http.post(&path(&call, "answer"), &ticket, json!({})).await;
        if reply.status == 200 {
            assert_eq!(reply.json["call"]["state"], "active");
            assert_eq!(stage.seen_by("alice", &call).await["state"], "active");
            stage.http.post(&path(&call, "hangup"), &ticket, json!({})).await.expect(200);
        } else {
            assert_eq!(reply.expect_problem(409, "call-ended")["end_reason"], "timed_out");
        }
    }
}

#[tokio::test]
async fn a_call_ends_when_it_has_lasted_as_long_as_it_may() {
    let stage = Stage::with("[call]\nmax_duration = \"10m\"").await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let answered = rfc3339(&stage.answer(&iphone, &call).await["call"]["answered_at"]);
    stage.clock.advance(590 * SECOND);
    assert_eq!(stage.seen_by("alice", &call).await["state"], "active");
    stage.clock.advance(10 * SECOND);
    assert_eq!(stage.ended("alice", &call).await, "max_duration");
    let ended = rfc3339(&stage.seen_by("alice", &call).await["ended_at"]);
    assert!(ended >= answered + 600 * SECOND);
    assert_eq!(stage.pushed("missed", &call), 0);
    assert_eq!(stage.invite("carol", "bob").await["call"]["state"], "calling", "the line is free");
}

#[tokio::test]
async fn an_answered_call_does_not_end_with_its_ring() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.answer(&iphone, &call).await;
    stage.clock.advance(3600 * SECOND);
    // Whatever was due has been woken by the time that another call has timed out.
    stage.pixel("dave", "pixel-1").await;
    let other = stage.invite("carol", "dave").await["call"]["id"].clone();
    stage.clock.advance(45 * SECOND);
    assert_eq!(stage.ended("carol", &other).await, "timed_out");
    assert_eq!(stage.seen_by("alice", &call).await["state"], "active");
}

#[tokio::test]
async fn a_call_is_kept_for_its_retention_and_then_forgotten() {
    let stage = Stage::with("[call]\nretention = \"1d\"").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.clock.advance(Duration::from_hours(23));
    assert_eq!(stage.seen_by("alice", &call).await["end_reason"], "unreachable");
    stage.clock.advance(Duration::from_hours(2));
    let forgotten = async {
        // Removal is nobody's event, and the sweep comes once a second.
        while stage.http.get(&path(&call, ""), &bearer("alice")).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(crate::support::SOON, forgotten).await.expect("it is forgotten");
    assert_eq!(stage.http.get("/v1/calls", &bearer("alice")).await.expect(200)["calls"], json!([]));
}
