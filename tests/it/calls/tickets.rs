//! The ticket in a push: one call, one device, while the call lives; after it, the outcome for five minutes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{APP, Sse, Stage, bearer};

const MINUTE: Duration = Duration::from_mins(1);

/// What a ticket can still do with its own call, a verb of each kind.
async fn expect_outcome_only(stage: &Stage, call: &Value, ticket: &str, code: &str) {
    stage.http.get(&path(call, ""), ticket).await.expect(200);
    for verb in ["alerting", "answer", "token"] {
        stage.http.post(&path(call, verb), ticket, json!({})).await.expect_problem(409, code);
    }
}

/// A ticket that is good for nothing: no request of it says anything about the call.
async fn expect_useless(stage: &Stage, call: &Value, ticket: &str) {
    for verb in ["alerting", "answer", "decline", "cancel", "hangup", "token"] {
        let reply = stage.http.post(&path(call, verb), ticket, json!({})).await;
        assert!([401, 404].contains(&reply.status), "{verb}: {}", reply.text);
    }
    let reply = stage.http.get(&path(call, ""), ticket).await;
    assert!([401, 404].contains(&reply.status), "{}", reply.text);
    let request = stage.http.request(reqwest::Method::GET, "/v1/events").bearer_auth(ticket);
    let response = request.header("accept", "text/event-stream").send().await.expect("an answer");
    assert!([401, 404].contains(&response.status().as_u16()), "{}", response.status());
}

#[tokio::test]
async fn a_ticket_does_what_its_device_needs() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ring(&iphone, &call).await;
    assert_eq!(stage.http.get(&path(&call, ""), &ticket).await.expect(200)["state"], "ringing");
    let body = json!({"device_id": "iphone-1"});
    stage.http.post(&path(&call, "answer"), &ticket, body).await.expect(200);
    let token = stage.http.post(&path(&call, "token"), &ticket, json!({})).await.expect(200);
    assert!(token["livekit"]["token"].is_string());
    let (_, snapshot) = stage.events(&ticket, "").await;
    assert_eq!(snapshot["calls"][0]["id"], call);
    let ended = stage.http.post(&path(&call, "hangup"), &ticket, json!({})).await.expect(200);
    assert_eq!(ended["call"]["end_reason"], "completed");
}

#[tokio::test]
async fn a_ticket_is_for_its_call_and_device_only() {
    let stage = Stage::with("[call]\ncall_waiting = true").await;
    let (iphone, _pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ticket(&iphone, &call).await;
    let other = stage.invite("carol", "bob").await["call"]["id"].clone();
    stage.http.get(&path(&other, ""), &ticket).await.expect_problem(403, "wrong-call");
    for verb in ["alerting", "answer", "decline", "cancel", "hangup", "token"] {
        stage.http.post(&path(&other, verb), &ticket, json!({})).await.expect_problem(403, "wrong-call");
    }
    for verb in ["alerting", "answer", "decline", "token"] {
        let body = json!({"device_id": "pixel-1"});
        stage.http.post(&path(&call, verb), &ticket, body).await.expect_problem(403, "wrong-device");
    }
    let invite = json!({"callee": "carol", "media": "audio"});
    stage.http.post("/v1/calls", &ticket, invite).await.expect_problem(403, "users-only");
    let web = json!({"platform": "web", "app": APP});
    stage.http.put("/v1/devices/web", &ticket, web).await.expect_problem(403, "users-only");
    for path in ["/v1/calls", "/v1/devices", "/v1/blocks"] {
        stage.http.get(path, &ticket).await.expect_problem(403, "users-only");
    }
    stage.http.put("/v1/blocks/alice", &ticket, json!({})).await.expect_problem(403, "users-only");
    stage.http.get("/v1/bans", &ticket).await.expect_problem(403, "services-only");
}

#[tokio::test]
async fn after_the_end_a_ticket_reads_the_outcome_for_five_minutes() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    for answered in [false, true] {
        let call = stage.invite("alice", "bob").await["call"]["id"].clone();
        let ticket = stage.ticket(&iphone, &call).await;
        if answered {
            stage.answer(&iphone, &call).await;
            stage.clock.advance(10 * MINUTE);
        }
        stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
        expect_outcome_only(&stage, &call, &ticket, "call-ended").await;
        stage.clock.advance(4 * MINUTE + Duration::from_secs(55));
        expect_outcome_only(&stage, &call, &ticket, "call-ended").await;
        stage.clock.advance(Duration::from_secs(6));
        expect_useless(&stage, &call, &ticket).await;
        assert_eq!(stage.seen_by("bob", &call).await["state"], "ended", "as a user one still sees it");
    }
}

#[tokio::test]
async fn a_device_that_was_stopped_reads_the_outcome_for_five_minutes() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ring(&pixel, &call).await;
    stage.answer(&iphone, &call).await;
    expect_outcome_only(&stage, &call, &ticket, "answered-elsewhere").await;
    for verb in ["decline", "hangup"] {
        stage.http.post(&path(&call, verb), &ticket, json!({})).await.expect_problem(409, "answered-elsewhere");
    }
    stage.clock.advance(5 * MINUTE + Duration::from_secs(1));
    expect_useless(&stage, &call, &ticket).await;
    // The end of the talk, an hour later, is none of its business either.
    stage.clock.advance(60 * MINUTE);
    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    expect_useless(&stage, &call, &ticket).await;
}

#[tokio::test]
async fn a_device_that_declined_is_out_once_another_has_answered() {
    let stage = Stage::with("[call]\ndecline = \"device\"").await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ring(&pixel, &call).await;
    stage.http.post(&path(&call, "decline"), &ticket, json!({})).await.expect(200);
    stage.answer(&iphone, &call).await;
    expect_outcome_only(&stage, &call, &ticket, "answered-elsewhere").await;
    stage.clock.advance(5 * MINUTE + Duration::from_secs(1));
    expect_useless(&stage, &call, &ticket).await;
}

#[tokio::test]
async fn a_stream_by_ticket_hears_of_its_ring_and_not_of_the_talk() {
    let stage = Stage::with("[call]\ncall_waiting = true").await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let (winner, loser) = (stage.ticket(&iphone, &call).await, stage.ticket(&pixel, &call).await);
    let (mut winner, snapshot) = stage.events(&winner, "").await;
    assert_eq!(snapshot["calls"].as_array().map(Vec::len), Some(1));
    let (mut loser, _) = stage.events(&loser, "").await;
    let other = stage.invite("carol", "bob").await["call"]["id"].clone();
    stage.http.post(&path(&other, "cancel"), &bearer("carol"), json!({})).await.expect(200);
    stage.answer(&iphone, &call).await;
    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);

    assert_eq!(kinds(&mut winner, &call, 2).await, ["call.answered", "call.ended"]);
    assert_eq!(kinds(&mut loser, &call, 1).await, ["call.answered"]);
    // It hears nothing more, and when its ticket is good for nothing its stream ends.
    stage.clock.advance(5 * MINUTE + Duration::from_secs(1));
    assert_eq!(loser.next_or_end().await, None);
}

async fn kinds(stream: &mut Sse, call: &Value, count: usize) -> Vec<String> {
    let mut kinds = Vec::new();
    for _ in 0..count {
        let event = stream.next().await;
        assert_eq!(event["call_id"], *call, "of its own call only");
        kinds.push(event["type"].as_str().expect("a type").to_owned());
    }
    kinds
}

#[tokio::test]
async fn a_forged_ticket_is_refused() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ticket(&iphone, &call).await;
    let (head, signature) = ticket.rsplit_once('.').expect("a signature");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let tampered = format!("{head}.{first}{}", &signature[1..]);
    stage.http.post(&path(&call, "answer"), &tampered, json!({})).await.expect_problem(401, "ticket-invalid");
    assert_eq!(stage.seen_by("alice", &call).await["state"], "calling");
}
