//! Endpoints that fail, hang or answer too much: the message comes again, and nobody else waits.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use bellwire::domain::job::Mark;
use bellwire::domain::{Job, JobId, Work};
use futures_util::future::join_all;
use reqwest::Method;

use super::{declined, endpoint};
use crate::support::receiver::{Answer, Receiver, Told};
use crate::support::{BUSY, Http, SOON, Stage, bearer, rfc3339};

#[tokio::test]
async fn a_message_that_is_not_taken_comes_again_with_the_same_id() {
    let receiver = Receiver::answering(|number, _| Answer::Status(if number < 2 { 503 } else { 200 })).await;
    let stage = Stage::with(&endpoint(&receiver)).await;
    stage.pixel("bob", "phone").await;
    let call = declined(&stage).await;
    let told = receiver.wait_longer(SOON * 2, 3, |_| true).await;
    let ids: BTreeSet<&str> = told.iter().map(Told::id).collect();
    assert_eq!(ids.len(), 1, "one message");
    assert!(told.iter().all(|told| told.json["data"]["id"] == call));
    assert!(told[2].sent_at() > told[0].sent_at(), "signed anew with each try");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_not_asked_again() {
    let receiver = Receiver::answering(|_, _| Answer::Status(410)).await;
    let stage = Stage::with(&endpoint(&receiver)).await;
    stage.pixel("bob", "phone").await;
    let first = declined(&stage).await;
    receiver.wait_for(1, |_| true).await;
    // The next one is told of; what would come again of the first would have come before.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = declined(&stage).await;
    receiver.wait_for(1, |told| told.json["data"]["id"] == second).await;
    assert_eq!(receiver.all().iter().filter(|told| told.json["data"]["id"] == first).count(), 1);
    let ops = Http::new(format!("http://{}", stage.gateway.ops));
    let metrics = ops.request(Method::GET, "/metrics").send().await.expect("an answer").text().await.expect("a text");
    assert!(metrics.contains("bellwire_jobs_total{kind=\"webhook\",outcome=\"given_up\"}"), "{metrics}");
}

#[tokio::test]
async fn what_is_refused_for_longer_becomes_a_job_and_arrives() {
    let receiver = Receiver::answering(|number, _| match number {
        0 => Answer::With(429, "retry-after", "2".to_owned()),
        _ => Answer::Status(200),
    });
    let receiver = receiver.await;
    let stage = Stage::with(&endpoint(&receiver)).await;
    stage.pixel("bob", "phone").await;
    declined(&stage).await;
    let told = receiver.wait_for(2, |_| true).await;
    assert_eq!((told[0].id(), &told[0].body), (told[1].id(), &told[1].body), "byte for byte");
    assert!(told[1].at - told[0].at >= Duration::from_secs(2), "not before it was asked to");
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_neither_the_other_nor_a_ring() {
    const CALLS: usize = 40;
    let (hanging, other) = (Receiver::answering(|_, _| Answer::Never).await, Receiver::start().await);
    let stage = Stage::with(&format!("{}{}", endpoint(&hanging), endpoint(&other))).await;
    stage.pixel("bob", "phone").await;
    stage.pixel("carol", "phone").await;
    let mut took = Vec::new();
    for number in 1..=CALLS {
        let call = declined(&stage).await;
        let ended = Instant::now();
        other.wait_for(number, |told| told.kind() == "call.ended").await;
        took.push(ended.elapsed());
        assert!(stage.call(&call).await["ended_at"].is_string());
    }
    took.sort();
    println!("told after {:?} at the worst, beside an endpoint that hangs", took[CALLS - 1]);
    // A try there hangs for 4 s at least. That none waits for it shows in most; a machine that is busy makes some wait for itself.
    assert!(took[CALLS * 3 / 4] < Duration::from_secs(3), "{took:?}");
    // More than its share of tries is under way there; a ring still ends on time.
    let reply = stage.invite_for("alice", "carol", 5).await.expect(201);
    let events = stage.events(&bearer("alice"), "").await;
    let mut stream = events.0;
    stream.until("call.ended", &reply["call"]["id"]).await;
    let call = stage.call(&reply["call"]["id"]).await;
    let late = rfc3339(&call["ended_at"]).since(rfc3339(&call["ring_until"]));
    assert!(late < BUSY, "{late:?}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_it() {
    let receiver = Receiver::answering(|_, _| Answer::Endless).await;
    let stage = Stage::with(&endpoint(&receiver)).await;
    stage.pixel("bob", "phone").await;
    let first = declined(&stage).await;
    let second = declined(&stage).await;
    for call in [&first, &second] {
        receiver.wait_for(1, |told| told.json["data"]["id"] == *call).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(receiver.all().len(), 2, "its status was good, so both were taken");
}

#[tokio::test]
async fn a_backlog_of_jobs_is_swept_without_a_pause() {
    const JOBS: u64 = 3000;
    let stage = Stage::new().await;
    let engine = &stage.gateway.engine;
    // So late that it is left to the sweep.
    let due = stage.clock.now() + Duration::from_mins(20);
    let queued = (0..JOBS).map(|number| {
        let job = Job::new(JobId::usage_check(number), Work::UsageWarned(Mark::default()), due, due);
        async move { engine.queue(&job).await.expect("queued") }
    });
    assert!(join_all(queued).await.into_iter().all(|queued| queued));
    stage.clock.advance(Duration::from_mins(21));
    let swept = async {
        while !engine.overdue_jobs(Duration::ZERO, 1, &HashSet::new()).await.expect("an answer").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // One pause before the first sweep, of 6 s at the most; with one after each it would be 22 s at least.
    tokio::time::timeout(Duration::from_secs(20), swept).await.expect("swept in time");
}
