//! What is used, as the API tells it, and the warning when it is much.

use std::collections::HashSet;
use std::time::Duration;

use bellwire::domain::usage::Day;
use bellwire::domain::{CallId, Input, UserId};
use serde_json::{Value, json};

use super::{SECRET, endpoint};
use crate::support::people::path;
use crate::support::receiver::{Receiver, Told};
use crate::support::redis::RedisServer;
use crate::support::{Fleet, SOON, Stage, bearer, service_bearer};

/// Two talk for so long.
async fn talk(stage: &Stage, caller: &str, callee: &str, minutes: u64) -> Value {
    let phone = stage.pixel(callee, "phone").await;
    let call = stage.invite(caller, callee).await["call"]["id"].take();
    stage.answer(&phone, &call).await;
    let id = CallId::parse(call.as_str().expect("an id")).expect("an id");
    for user in [caller, callee] {
        let user = UserId::new(user).expect("a user");
        let joined = Input::ParticipantJoined(user.clone(), format!("session-of-{user}"));
        stage.gateway.engine.apply(id, joined).await.expect("joined");
    }
    stage.clock.advance(Duration::from_mins(minutes));
    stage.http.post(&path(&call, "hangup"), &bearer(caller), json!({})).await.expect(200);
    call
}

/// What was used, once so many calls were added.
async fn used(stage: &Stage, query: &str, calls: u64) -> Value {
    let wait = async {
        loop {
            let usage = stage.http.get(&format!("/v1/usage{query}"), service_bearer()).await.expect(200);
            let days = usage["days"].as_array().expect("days");
            if days.iter().filter_map(|day| day["calls"].as_u64()).sum::<u64>() >= calls {
                return usage;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("added in time")
}

/// Moves the clock to ten minutes before the end of the month.
fn end_of_month(stage: &Stage) -> Day {
    let now = stage.clock.now();
    let ends = Day::of(now).month_ends().begins();
    let ends = if ends.since(now) < Duration::from_mins(11) { Day::of(ends).month_ends().begins() } else { ends };
    stage.clock.advance((ends - Duration::from_mins(10)).since(now));
    Day::of(ends).before()
}

#[tokio::test]
async fn a_call_over_the_end_of_a_month_is_used_on_both_days() {
    let stage = Stage::new().await;
    let last = end_of_month(&stage);
    talk(&stage, "alice", "bob", 15).await;
    let usage = used(&stage, &format!("?from={last}"), 2).await;
    let days = usage["days"].as_array().expect("days");
    let of = |day: &Value| (day["day"].clone(), day["participant_minutes"].as_u64().expect("minutes"));
    let ((first, before), (second, after)) = (of(&days[0]), of(&days[1]));
    assert_eq!((first, second), (json!(last.to_string()), json!(last.after().to_string())));
    assert!((19..=21).contains(&before) && (9..=12).contains(&after), "{usage}");
    assert_eq!((&days[0]["peak_concurrent_participants"], &usage["to"]), (&json!(2), &json!(last.after().to_string())));
    assert!(usage["participant_minutes"].as_u64().expect("minutes") <= before + after);
    // Asked without days, it is this month's.
    let usage = used(&stage, "", 1).await;
    assert_eq!((&usage["from"], usage["days"].as_array().map(Vec::len)), (&json!(last.after().to_string()), Some(1)));
}

#[tokio::test]
async fn usage_is_for_the_backend_and_for_days_that_there_are() {
    let stage = Stage::new().await;
    stage.http.get("/v1/usage", &bearer("alice")).await.expect_problem(403, "services-only");
    for query in ["?from=yesterday", "?from=2026-11-02&to=2026-11-01", "?from=2020-01-01&to=2026-11-01"] {
        let reply = stage.http.get(&format!("/v1/usage{query}"), service_bearer()).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text);
    }
}

#[tokio::test]
async fn each_share_of_the_plan_is_warned_of_once() {
    let receiver = Receiver::start().await;
    let plan = "[usage]\nparticipant_minutes_per_month = 100\nwarn_at = [0.5, 1.0]\n";
    let stage = Stage::with(&format!("{}{plan}", endpoint(&receiver))).await;
    end_of_month(&stage);
    let warned = |told: &Told| told.kind() == "usage.warning";
    for minutes in [1, 1] {
        talk(&stage, "alice", "bob", minutes).await;
    }
    // The month is over before the next ones end; of the old one there is nothing to warn.
    stage.clock.advance(Duration::from_mins(30));
    talk(&stage, "alice", "bob", 30).await;
    used(&stage, "", 1).await;
    stage.clock.advance(Duration::from_mins(2));
    let told = receiver.wait_for(1, warned).await.remove(0);
    assert!(told.is_signed_by(SECRET));
    let data = &told.json["data"];
    assert_eq!(
        (&data["limit"], &data["share"], &data["of"]),
        (&json!("participant_minutes"), &json!(0.5), &json!(100))
    );
    assert_eq!(data["period"], Day::of(stage.clock.now()).month());
    assert!(data["used"].as_u64().is_some_and(|used| (60..=63).contains(&used)), "{data}");
    for _ in 0..2 {
        talk(&stage, "alice", "bob", 25).await;
        stage.clock.advance(Duration::from_mins(2));
    }
    let told = receiver.wait_for(2, warned).await;
    assert_eq!(told[1].json["data"]["share"], 1.0);
    assert_ne!(told[0].id(), told[1].id());
    let all = receiver.wait_for(5, |told| told.kind() == "call.ended").await;
    assert_eq!(all.len(), 5);
    assert_eq!(receiver.all().iter().filter(|told| warned(told)).count(), 2, "each once");
}

#[tokio::test]
async fn two_gateways_give_one_warning() {
    let Some(server) = RedisServer::shared().await else { return };
    let receiver = Receiver::start().await;
    let lines = format!("{}[usage]\nparticipant_minutes_per_month = 10\nwarn_at = [0.5]\n", endpoint(&receiver));
    let fleet = Fleet::of_each(server, &[&lines, &lines]).await;
    let clock = &fleet[0].clock;
    // In the middle of a day, so that no month ends meanwhile.
    clock.advance(Day::of(clock.now()).after().begins().since(clock.now()) + Duration::from_hours(12));
    let warned = |told: &Told| told.kind() == "usage.warning";
    // Each of them is enough to cross the share, and both gateways add and look.
    for round in 0..3 {
        let (one, two) = (format!("alice-{round}"), format!("carol-{round}"));
        tokio::join!(talk(&fleet[0], &one, "bob", 0), talk(&fleet[1], &two, "dave", 0));
        talk(&fleet[round % 2], &one, "bob", 6).await;
        talk(&fleet[(round + 1) % 2], &two, "dave", 6).await;
        used(&fleet[0], "", 4 * (round as u64 + 1)).await;
        clock.advance(Duration::from_secs(90));
        receiver.wait_for(1, warned).await;
        // Whatever is to come of this minute has come: its check is over.
        let engine = &fleet[1].gateway.engine;
        let checked = async {
            while !engine.overdue_jobs(Duration::ZERO, 9, &HashSet::new()).await.expect("jobs").is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(SOON * 3, checked).await.expect("checked in time");
    }
    receiver.wait_for(12, |told| told.kind() == "call.ended").await;
    let warnings: Vec<Told> = receiver.all().into_iter().filter(warned).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}
