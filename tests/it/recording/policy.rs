//! Who may do what, by `recording.policy`.

use serde_json::{Value, json};

use super::Studio;
use crate::support::{Reply, Stage, bearer, service_bearer};

/// How a request went: its status, and the code of a refusal.
fn word(reply: &Reply) -> String {
    match reply.json["code"].as_str() {
        Some(code) => format!("{} {code}", reply.status),
        None => reply.status.to_string(),
    }
}

#[tokio::test]
async fn each_policy_lets_these_ask_see_and_end() {
    const NO: &str = "403 recording-not-allowed";
    // By the backend, then by a party: asking, seeing, ending.
    for (policy, service, party) in [
        ("service", ["202", "200", "200"], [NO, NO, NO]),
        ("party", ["202", "200", "200"], ["202", "200", "200"]),
        // Asked for by the policy already.
        ("always", ["200", "200", "200"], ["200", "200", NO]),
    ] {
        for (token, expected) in [(service_bearer().to_owned(), service), (bearer("bob"), party)] {
            let studio = Studio::with(&format!("policy = \"{policy}\"")).await;
            let mut talk = studio.connected().await;
            if policy == "always" {
                talk.both("call.recording_started").await;
            }
            let asked = word(&studio.ask(&talk.id, &token).await);
            if asked == NO {
                // There is one, and they may not see it.
                studio.ask(&talk.id, service_bearer()).await.expect(202);
            }
            let seen = word(&studio.see(&talk.id, &token).await);
            let ended = word(&studio.end(&talk.id, &token).await);
            assert_eq!([asked.as_str(), &seen, &ended], expected, "{policy}");
            for (who, reply) in [
                ("asks", studio.ask(&talk.id, &bearer("carol")).await),
                ("sees", studio.see(&talk.id, &bearer("carol")).await),
                ("ends", studio.end(&talk.id, &bearer("carol")).await),
            ] {
                assert_eq!(word(&reply), "404 call-not-found", "a stranger {who}");
            }
        }
    }
}

#[tokio::test]
async fn off_is_the_default_and_records_nobody() {
    let stage = Stage::new().await;
    let talk = super::answered(&stage).await;
    for token in [bearer("alice"), service_bearer().to_owned()] {
        let path = crate::support::people::path(&talk.id, "recording");
        stage.http.post(&path, &token, json!({})).await.expect_problem(403, "recording-not-allowed");
    }
    let path = crate::support::people::path(&talk.id, "recording");
    stage.http.get(&path, &bearer("alice")).await.expect_problem(403, "recording-not-allowed");
    stage.http.get(&path, service_bearer()).await.expect_problem(404, "recording-not-found");
    stage.http.delete(&path, service_bearer()).await.expect_problem(404, "recording-not-found");
}

#[tokio::test]
async fn a_call_that_is_not_answered_or_over_is_not_recorded() {
    let studio = Studio::with("policy = \"party\"").await;
    studio.stage.pixel("bob", "pixel-1").await;
    let id: Value = studio.stage.invite("alice", "bob").await["call"]["id"].clone();
    studio.ask(&id, &bearer("alice")).await.expect_problem(409, "call-not-answered");
    studio.see(&id, &bearer("alice")).await.expect_problem(404, "recording-not-found");
    studio.hang_up(&id).await;
    studio.ask(&id, &bearer("alice")).await.expect_problem(409, "call-ended");
    studio
        .ask(&json!("019a3c5e-7c3a-7c3a-8c3a-0192f3d17c3a"), &bearer("alice"))
        .await
        .expect_problem(404, "call-not-found");
}

#[tokio::test]
async fn a_ticket_is_not_good_for_recordings() {
    let studio = Studio::with("policy = \"party\"").await;
    let pixel = studio.stage.pixel("bob", "pixel-1").await;
    let id: Value = studio.stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = studio.stage.ticket(&pixel, &id).await;
    studio.stage.answer(&pixel, &id).await;
    studio.ask(&id, &ticket).await.expect_problem(403, "users-only");
    studio.see(&id, &ticket).await.expect_problem(403, "users-only");
    studio.end(&id, &ticket).await.expect_problem(403, "users-only");
}

#[tokio::test]
async fn one_that_was_asked_for_and_has_not_begun_is_taken_back() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.answered().await;
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    assert_eq!(studio.end(&talk.id, &bearer("alice")).await.expect(200)["state"], "aborted");
    talk.meet(&studio.livekit).await;
    assert_eq!(studio.see(&talk.id, &bearer("bob")).await.expect(200)["state"], "aborted");
    assert!(studio.livekit.starts().is_empty());
    // And asked for again.
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    talk.both("call.recording_started").await;
}

#[tokio::test]
async fn who_is_banned_neither_sees_nor_erases_a_recording() {
    let studio = Studio::with("policy = \"party\"").await;
    let talk = studio.recorded().await;
    studio.stage.http.put("/v1/bans/alice", service_bearer(), json!({})).await.expect(200);
    studio.see(&talk.id, &bearer("alice")).await.expect_problem(403, "banned");
    studio.end(&talk.id, &bearer("alice")).await.expect_problem(403, "banned");
    assert_eq!(studio.see(&talk.id, &bearer("bob")).await.expect(200)["state"], "complete");
    studio.stage.http.delete("/v1/bans/alice", service_bearer()).await;
    assert_eq!(studio.end(&talk.id, &bearer("alice")).await.expect(200)["state"], "erasing");
}
