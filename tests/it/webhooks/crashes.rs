//! Messages and bans over SIGKILL, and from two gateways on one Redis.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use bellwire::domain::{Job, JobId, UserId, Work, job};
use bellwire::store::embedded::Embedded;
use bellwire::store::{Ban, Store};
use serde_json::json;

use super::{declined, endpoint};
use crate::store_laws::fixture::ban_at;
use crate::support::people::{invite_body, path};
use crate::support::receiver::{Answer, Receiver};
use crate::support::redis::RedisServer;
use crate::support::{Fleet, SOON, Stage, bearer};

/// A lease of a job, its sweep, and the start: 40 s on a machine that is not busy.
const TAKEN_UP_WITHIN: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_message_on_its_way_survives_a_kill() {
    // The first try hangs, so that the gateway dies in the middle of it.
    let receiver = Receiver::answering(|number, _| if number == 0 { Answer::Never } else { Answer::Status(200) }).await;
    let mut stage = Stage::of_process(&endpoint(&receiver)).await;
    stage.pixel("bob", "phone").await;
    declined(&stage).await;
    receiver.wait_for(1, |_| true).await;
    stage.gateway.kill().await;
    stage.start_again().await;
    let told = receiver.wait_longer(TAKEN_UP_WITHIN, 2, |_| true).await;
    assert_eq!((told[0].id(), &told[0].body), (told[1].id(), &told[1].body));
}

#[tokio::test]
async fn a_message_that_became_a_job_survives_a_kill() {
    let answers = |number, _: &_| match number {
        0 => Answer::With(503, "retry-after", "3".to_owned()),
        _ => Answer::Status(200),
    };
    let receiver = Receiver::answering(answers).await;
    let mut stage = Stage::of_process(&endpoint(&receiver)).await;
    stage.pixel("bob", "phone").await;
    let call = declined(&stage).await;
    receiver.wait_for(1, |_| true).await;
    // Once it is a job, nothing of it is left to the call, which is kept for the time being.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.gateway.kill().await;
    let file = stage.config_file.with_file_name("calls.redb");
    let store = Embedded::open(&file, SOON, stage.clock.clone()).expect("the store");
    let jobs = store.due_jobs(stage.clock.now() + Duration::from_hours(1), 9, &HashSet::new()).await.expect("jobs");
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    store.close().await;
    drop(store);
    stage.start_again().await;
    let told = receiver.wait_longer(TAKEN_UP_WITHIN, 2, |_| true).await;
    assert_eq!((told[0].id(), &told[0].json["data"]["id"]), (told[1].id(), &call));
}

#[tokio::test]
async fn a_gateway_that_does_not_know_an_endpoint_yet_leaves_its_messages_to_another() {
    let receiver = Receiver::start().await;
    let mut stage = Stage::of_process(&endpoint(&receiver)).await;
    stage.pixel("bob", "phone").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let new = std::fs::read_to_string(&stage.config_file).expect("a configuration");
    let start_with = async |stage: &mut Stage<_>, config: &str| {
        std::fs::write(&stage.config_file, config).expect("written");
        stage.start_again().await
    };
    stage.gateway.kill().await;
    start_with(&mut stage, &new.replace(&endpoint(&receiver), "")).await;
    stage.http.post(&path(&call, "decline"), &bearer("bob"), json!({"device_id": "phone"})).await.expect(200);
    // What is under way is finished.
    stage.gateway.terminate();
    stage.gateway.exit().await;
    let store = Embedded::open(&stage.config_file.with_file_name("calls.redb"), SOON, stage.clock.clone());
    let store = store.expect("the store");
    let jobs = store.due_jobs(stage.clock.now() + Duration::from_hours(1), 9, &HashSet::new()).await.expect("jobs");
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let job = store.load_job(&jobs[0]).await.expect("a job").expect("a job");
    store.commit_job(&job.put_off(stage.clock.now()), Some(job.version)).await.expect("due now");
    store.close().await;
    drop(store);
    start_with(&mut stage, &new).await;
    let told = receiver.wait_for(1, |_| true).await;
    assert_eq!(told[0].json["data"]["id"], call);
}

#[tokio::test]
async fn a_ban_whose_gateway_died_before_it_ended_the_calls_ends_them() {
    let receiver = Receiver::start().await;
    let mut stage = Stage::of_process(&endpoint(&receiver)).await;
    let phone = stage.pixel("bob", "phone").await;
    let active = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.answer(&phone, &active).await;
    stage.pixel("carol", "phone").await;
    let ringing =
        stage.http.post("/v1/calls", &bearer("dave"), invite_body("carol", 120)).await.expect(201)["call"]["id"].take();
    stage.gateway.kill().await;
    // What a gateway has written that dies between the ban and the ends.
    let file = stage.config_file.with_file_name("calls.redb");
    let store = Embedded::open(&file, SOON, stage.clock.clone()).expect("the store");
    let now = stage.clock.now();
    for (number, name) in ["alice", "carol", "nobody"].into_iter().enumerate() {
        let user = UserId::new(name).expect("a user");
        let work = Work::Ban(job::Ban { user: user.clone(), ..ban_at(now) });
        let job =
            Job::new(JobId::new(format!("ban:{number}")).expect("an id"), work, now, now + Duration::from_secs(1));
        store.commit_job(&job, None).await.expect("queued");
        if name != "nobody" {
            store.put_ban(Ban { user, reason: None, created_at: now, until: None }).await.expect("banned");
        }
    }
    store.close().await;
    drop(store);
    stage.start_again().await;
    let told = receiver.wait_longer(TAKEN_UP_WITHIN, 2, |told| told.kind() == "user.banned").await;
    for call in [&active, &ringing] {
        assert_eq!(stage.call(call).await["end_reason"], "banned");
    }
    let banned: BTreeSet<_> = told.iter().map(|told| told.json["data"]["user"].as_str()).collect();
    assert_eq!(banned, BTreeSet::from([Some("alice"), Some("carol")]), "the job of one who is not banned does nothing");
}

#[tokio::test]
async fn two_gateways_tell_of_every_call_though_one_is_killed() {
    const CALLS: usize = 30;
    let Some(server) = RedisServer::shared().await else { return };
    let receiver = Receiver::start().await;
    let mut fleet = Fleet::of_processes(server, 2, &endpoint(&receiver)).await;
    let mut calls = Vec::new();
    for number in 0..CALLS {
        let callee = format!("callee-{number}");
        fleet[1].pixel(&callee, "phone").await;
        let gateway = &fleet[number % 2];
        let call = gateway.invite(&format!("caller-{number}"), &callee).await["call"]["id"].take();
        let caller = bearer(&format!("caller-{number}"));
        gateway.http.post(&path(&call, "cancel"), &caller, json!({})).await.expect(200);
        calls.push(call);
        if number == CALLS - 2 {
            fleet[0].gateway.kill().await;
            // The last call is ended at the gateway that lives.
        }
    }
    for call in &calls {
        for kind in ["call.ended", "call.missed"] {
            receiver
                .wait_longer(TAKEN_UP_WITHIN, 1, |told| told.kind() == kind && told.json["data"]["id"] == *call)
                .await;
        }
    }
    let by_id = receiver.by_id();
    assert_eq!(by_id.len(), 2 * CALLS, "one id for each message, however often it came");
    println!("{CALLS} calls, {} messages came", by_id.values().sum::<usize>());
}
