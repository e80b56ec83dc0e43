//! Jobs that wait for long: for a gateway that knows their endpoint, behind others that nobody can read, and all at once after an outage.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use bellwire::clock::Clock;
use bellwire::domain::job::{self, Mark, Webhook};
use bellwire::domain::{EndpointId, Job, JobId, Timestamp, Unknown, WebhookEvent, Work};
use bellwire::store::Store;
use bellwire::store::redis::Redis;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{SECRET, endpoint};
use crate::store_laws::fixture::ban_at;
use crate::support::receiver::Receiver;
use crate::support::redis::{RedisServer, store_config};
use crate::support::{Fleet, SOON, Stage};

/// The job of a message to this endpoint, which was queued then and is due now.
fn job_to(endpoint: &str, number: u128, queued_at: Timestamp, due: Timestamp) -> Job {
    let message = Uuid::from_u128(number);
    let webhook = Webhook {
        endpoint: EndpointId::new(endpoint).expect("an id"),
        event: WebhookEvent::CallEnded,
        message,
        body: "{\"type\": \"call.ended\"}".to_owned(),
        trace: None,
        unknown: Unknown::default(),
    };
    Job::new(JobId::webhook(message), Work::Webhook(webhook), queued_at, due)
}

#[tokio::test]
async fn a_message_to_an_endpoint_that_nobody_knows_is_given_up_after_an_hour_of_that() {
    let stage = Stage::new().await;
    let engine = &stage.gateway.engine;
    // However long it could not be delivered before.
    let job = job_to("0123456789abcdef", 1, stage.clock.now() - Duration::from_hours(9), stage.clock.now());
    assert!(engine.queue(&job).await.expect("queued"));
    let is_left = async {
        while engine.job(&job.id).await.expect("an answer").expect("it is there yet").not_here_since.is_none() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, is_left).await.expect("it is left to others in time");
    stage.clock.advance(Duration::from_mins(61));
    let is_given_up = async {
        while engine.job(&job.id).await.expect("an answer").is_some() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, is_given_up).await.expect("it is given up in time");
}

/// Lets time pass until the endpoint is told of something.
async fn expect_told(receiver: &Receiver, fleet: &Fleet) {
    let told = async {
        while receiver.all().is_empty() {
            fleet[0].clock.advance(Duration::from_secs(20));
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(SOON * 6, told).await.expect("it is told");
}

#[tokio::test]
async fn a_message_that_waited_for_hours_survives_a_gateway_that_does_not_know_its_endpoint() {
    let Some(server) = RedisServer::shared().await else { return };
    let receiver = Receiver::start().await;
    let fleet = Fleet::of_each(server, &["", &endpoint(&receiver)]).await;
    let id = HEXLOWER.encode(&digest(&SHA256, receiver.url.as_bytes()).as_ref()[..8]);
    let now = fleet[0].clock.now();
    // The gateway that does not know it has the first try.
    let job = job_to(&id, 2, now - Duration::from_hours(5), now);
    assert!(fleet[0].gateway.engine.queue(&job).await.expect("queued"));
    expect_told(&receiver, &fleet).await;
}

#[tokio::test]
async fn a_ban_is_told_to_the_endpoints_of_the_gateway_that_was_asked_for_it() {
    let Some(server) = RedisServer::shared().await else { return };
    let receiver = Receiver::start().await;
    let fleet = Fleet::of_each(server, &["", &endpoint(&receiver)]).await;
    let now = fleet[0].clock.now();
    // The ban comes to the gateway that is configured, which dies; its job comes to the other one.
    let id = HEXLOWER.encode(&digest(&SHA256, receiver.url.as_bytes()).as_ref()[..8]);
    let tell = vec![EndpointId::new(id).expect("an id")];
    let ban = job::Ban { was_put: true, tell, ..ban_at(now) };
    let job = Job::new(JobId::new("ban:1").expect("an id"), Work::Ban(ban), now, now);
    assert!(fleet[0].gateway.engine.queue(&job).await.expect("queued"));
    expect_told(&receiver, &fleet).await;
    assert_eq!(receiver.all()[0].kind(), "user.banned");
}

#[tokio::test]
async fn jobs_that_nobody_here_can_read_hide_none() {
    const UNREADABLE: usize = 700;
    let Some(server) = RedisServer::shared().await else { return };
    let (config, clock) = (store_config(&server.url(), &[]), Clock::system());
    let redis = Redis::open(&config, SOON, clock.clone()).await.expect("a store");
    let early = clock.now() - Duration::from_mins(9);
    // All in one partition.
    let of_one = |id: &String| digest(&SHA256, id.as_bytes()).as_ref()[0] == 7;
    let mut names = (0..).map(|number| format!("usage-check:{number}")).filter(of_one);
    let job =
        |name: String| Job::new(JobId::new(name).expect("an id"), Work::UsageWarned(Mark::default()), early, early);
    let newer: Vec<Job> = names.by_ref().take(UNREADABLE).map(job).collect();
    for job in &newer {
        redis.commit_job(job, None).await.expect("queued");
    }
    let keys: Vec<String> = server.read(&["KEYS", &format!("{}:*:job:*", config.key_prefix)]).await;
    let spoil = keys.iter().map(|key| format!("redis.call('SETRANGE', '{key}', 10, '9')\n"));
    server.command(&["EVAL", &spoil.collect::<Vec<_>>().concat(), "0"]).await;
    let tag = keys[0].split(":job:").next().expect("a tag").to_owned();
    let names_of_none =
        (0..UNREADABLE).map(|number| format!("redis.call('ZADD', '{tag}:jobs', 1, 'no name {number}')\n"));
    server.command(&["EVAL", &names_of_none.collect::<Vec<_>>().concat(), "0"]).await;
    let readable = job(names.next().expect("a name"));
    let readable = Job { due: clock.now() - Duration::from_mins(1), ..readable };
    redis.commit_job(&readable, None).await.expect("queued");

    let _fleet = Fleet::with_prefix(server, config.key_prefix.clone(), &[0], 0).await;
    let done = async {
        while redis.load_job(&readable.id).await.expect("an answer").is_some() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON * 2, done).await.expect("it is carried out");
    let newer: HashSet<JobId> = newer.into_iter().map(|job| job.id).collect();
    let due = redis.due_jobs(clock.now(), 1, &newer).await.expect("jobs");
    assert_eq!(HashSet::from_iter(due), newer, "they wait for a release that can read them");
}

#[tokio::test]
async fn after_an_outage_few_are_told_at_a_time() {
    const JOBS: u128 = 60;
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let router = Router::new().fallback({
        let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
        move || async move {
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(200)).await;
            under_way.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    let stage = Stage::with(&format!("[[webhooks]]\nurl = \"{url}\"\nsecrets = [\"{SECRET}\"]\n")).await;
    let engine = &stage.gateway.engine;
    let id = HEXLOWER.encode(&digest(&SHA256, url.as_bytes()).as_ref()[..8]);
    let now = stage.clock.now();
    let jobs: Vec<Job> = (0..JOBS).map(|number| job_to(&id, number, now, now)).collect();
    for job in &jobs {
        assert!(engine.queue(job).await.expect("queued"));
    }
    let told = async {
        for job in &jobs {
            while engine.job(&job.id).await.expect("an answer").is_some() {
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    timeout(SOON * 3, told).await.expect("all are told");
    let most = most.load(Ordering::SeqCst);
    assert!((2..=8).contains(&most), "{most} at a time");
    serving.abort();
}
