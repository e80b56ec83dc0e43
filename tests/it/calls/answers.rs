//! Answers: the first device wins, the others are told, and what comes too late says why.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{APP, Device, Stage, bearer, rfc3339, service_bearer};

async fn phones(stage: &Stage, user: &str, count: usize) -> Vec<Device> {
    let mut phones = Vec::new();
    for number in 0..count {
        let id = format!("phone-{number}");
        phones.push(if number % 2 == 0 { stage.iphone(user, &id).await } else { stage.pixel(user, &id).await });
    }
    phones
}

#[tokio::test]
async fn of_ten_devices_that_answer_at_once_one_wins() {
    let stage = Stage::new().await;
    let phones = phones(&stage, "bob", 10).await;
    for _ in 0..5 {
        let call = stage.invite("alice", "bob").await["call"]["id"].clone();
        let tickets = join_all(phones.iter().map(|phone| stage.ticket(phone, &call))).await;
        let answer = path(&call, "answer");
        let replies = join_all(tickets.iter().map(|ticket| stage.http.post(&answer, ticket, json!({})))).await;
        let winners: Vec<usize> = (0..10).filter(|number| replies[*number].status == 200).collect();
        let [winner] = winners[..] else { panic!("{winners:?} answered") };
        for (number, reply) in replies.into_iter().enumerate() {
            if number == winner {
                let answered = reply.expect(200);
                assert_eq!(answered["call"]["state"], "active");
                assert_eq!(answered["call"]["answered_by"], phones[winner].id);
                rfc3339(&answered["call"]["answered_at"]);
                // The winner asking again gets its answer again.
                let again = stage.http.post(&answer, &tickets[winner], json!({})).await.expect(200);
                assert_eq!(again["call"], answered["call"]);
                assert_eq!(again["livekit"]["room"], answered["livekit"]["room"]);
            } else {
                let problem = reply.expect_problem(409, "answered-elsewhere");
                assert!(
                    problem["type"].as_str().is_some_and(|kind| kind.ends_with("/answered-elsewhere")),
                    "{problem}"
                );
                assert_eq!(problem.get("livekit"), None);
            }
        }
        stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn a_user_names_the_device_that_speaks() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    for verb in ["alerting", "answer", "decline"] {
        let problem =
            stage.http.post(&path(&call, verb), &bearer("bob"), json!({})).await.expect_problem(400, "invalid-field");
        assert_eq!(problem["errors"][0]["pointer"], "/device_id");
        let body = json!({"device_id": "no-such-phone"});
        stage.http.post(&path(&call, verb), &bearer("bob"), body).await.expect_problem(404, "device-not-found");
        let body = json!({"device_id": iphone.id});
        stage.http.post(&path(&call, verb), &bearer("alice"), body).await.expect_problem(403, "not-allowed");
        let body = json!({"device_id": iphone.id});
        stage.http.post(&path(&call, verb), service_bearer(), body).await.expect_problem(403, "not-allowed");
    }
    assert_eq!(stage.seen_by("alice", &call).await["state"], "calling");
    let body = json!({"device_id": iphone.id});
    let ringing = stage.http.post(&path(&call, "alerting"), &bearer("bob"), body.clone()).await.expect(200);
    assert_eq!(ringing["call"]["state"], "ringing");
    stage.http.post(&path(&call, "answer"), &bearer("bob"), body).await.expect(200);
}

#[tokio::test]
async fn a_device_registered_after_the_invite_may_answer() {
    let stage = Stage::new().await;
    let early = stage.pixel("bob", "pixel-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.ring(&early, &call).await;
    let body = json!({"platform": "web", "app": APP});
    stage.http.put("/v1/devices/browser", &bearer("bob"), body).await.expect(200);
    let answer = stage.http.post(&path(&call, "answer"), &bearer("bob"), json!({"device_id": "browser"})).await;
    assert_eq!(answer.expect(200)["call"]["answered_by"], "browser");
    stage.push("cancel", &early.notice_token, &call).await;
    assert_eq!(stage.leg("pixel-1", &call).await, "stopped");
}

#[tokio::test]
async fn a_late_answer_says_how_the_call_ended_and_never_revives_it() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    for (user, verb, reason) in [("alice", "cancel", "cancelled"), ("bob", "hangup", "declined")] {
        let call = stage.invite("alice", "bob").await["call"]["id"].clone();
        let ticket = stage.ring(&iphone, &call).await;
        stage.http.post(&path(&call, verb), &bearer(user), json!({})).await.expect(200);
        for (token, body) in [(ticket.as_str(), json!({})), (&bearer("bob"), json!({"device_id": "iphone-1"}))] {
            let late = stage.http.post(&path(&call, "answer"), token, body.clone()).await;
            assert_eq!(late.expect_problem(409, "call-ended")["end_reason"], reason);
            let late = stage.http.post(&path(&call, "alerting"), token, body).await;
            assert_eq!(late.expect_problem(409, "call-ended")["end_reason"], reason);
        }
        let seen = stage.seen_by("alice", &call).await;
        assert_eq!((&seen["state"], seen.get("answered_at")), (&json!("ended"), None));
    }
}

#[tokio::test]
async fn ringing_is_told_once_and_an_ack_again_changes_nothing() {
    let stage = Stage::new().await;
    let phones = phones(&stage, "bob", 3).await;
    let (mut alice, _) = stage.events(&bearer("alice"), "").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let tickets = join_all(phones.iter().map(|phone| stage.ring(phone, &call))).await;
    for ticket in tickets.iter().chain(&tickets) {
        let again = stage.http.post(&path(&call, "alerting"), ticket, json!({})).await.expect(200);
        assert_eq!(again["call"]["state"], "ringing");
    }
    stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    let mut kinds = Vec::new();
    while kinds.last() != Some(&json!("call.ended")) {
        kinds.push(alice.next().await["type"].clone());
    }
    assert_eq!(kinds, ["call.invited", "call.ringing", "call.cancelled", "call.ended"].map(Value::from));
}

#[tokio::test]
async fn a_device_on_do_not_disturb_says_so_and_the_caller_does_not_learn_it() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ticket(&iphone, &call).await;
    let body = json!({"rung": false, "reason": "do_not_disturb"});
    let told = stage.http.post(&path(&call, "alerting"), &ticket, body).await.expect(200);
    assert_eq!(told["call"]["state"], "calling");
    assert_eq!(stage.leg("iphone-1", &call).await, "not_rung");
    assert!(!stage.seen_by("alice", &call).await.to_string().contains("disturb"));
    let body = json!({"rung": true, "reason": "do_not_disturb"});
    let refused = stage.http.post(&path(&call, "alerting"), &ticket, body).await;
    assert_eq!(refused.expect_problem(400, "invalid-field")["errors"][0]["pointer"], "/reason");
    // Its owner may still look at the screen and answer.
    stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
}
