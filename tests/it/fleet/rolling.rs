//! A rolling restart: SIGTERM to one gateway after the other while calls are made through both.
//!
//! Clients do what a load balancer does: where a connection is refused, or one that was kept is given up after a while, the request goes
//! to the other gateway. A request that reached a gateway must not fail.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bellwire::simulator::{Log, Received};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Stream;
use crate::support::people::{invite_body, path, push_data};
use crate::support::redis::RedisServer;
use crate::support::{BUSY, Fleet, Http, Process, Reader, SOON, bearer, rfc3339};

/// Pairs of users, each of which begins a call so often: with answers and ends, some 60 requests a second.
const PAIRS: usize = 12;
const EACH: Duration = Duration::from_millis(800);
/// Pairs of whom one never answers.
const UNANSWERED: usize = 10;
/// The shortest ring that there is, in seconds: of the calls that nobody answers.
const RING: u64 = 5;
/// After its ring such a call is timed out, and its caller calls again.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a gateway that was asked to stop reads requests on connections that were kept for certain: a quarter of what it does, since a
/// request that began may take a while to get there.
const READ_FOR: Duration = Duration::from_millis(500);

/// Where the two gateways are, as the clients know.
struct Clients {
    gateways: [watch::Sender<Http>; 2],
    /// When each was asked to stop.
    asked: [Mutex<Option<Instant>>; 2],
    sent: AtomicUsize,
    refused: AtomicUsize,
    /// Requests that reached a gateway and failed.
    failed: Mutex<Vec<String>>,
    /// Turns true when nobody shall begin another call.
    over: watch::Sender<bool>,
}

impl Clients {
    fn new(fleet: &Fleet<Process>) -> Self {
        Self {
            gateways: [0, 1].map(|n| watch::Sender::new(fleet[n].http.clone())),
            asked: Default::default(),
            sent: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            failed: Mutex::default(),
            over: watch::Sender::new(false),
        }
    }

    fn http(&self, gateway: usize) -> Http {
        self.gateways[gateway % 2].borrow().clone()
    }

    /// Sends a request to a gateway, or to the other one where the connection is refused.
    async fn post(&self, first: usize, path: &str, token: &str, body: Value) -> Option<Value> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        for gateway in first.. {
            let began = Instant::now();
            match self.http(gateway).try_post(path, token, &body).await {
                Ok(reply) if reply.status < 300 => return Some(reply.json),
                Ok(reply) => self.note(path, &reply.text),
                Err(error) if error.is_connect() || self.is_given_up(gateway, began) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    assert!(gateway < first + 100, "both refuse connections");
                    sleep(Duration::from_millis(10)).await;
                    continue;
                }
                Err(error) => self.note(path, &format!("{error:?}")),
            }
            return None;
        }
        None
    }

    /// Whether a gateway was asked to stop so long before that it reads nothing more on connections that were kept.
    fn is_given_up(&self, gateway: usize, began: Instant) -> bool {
        self.asked[gateway % 2].lock().expect("no panic").is_some_and(|asked| began > asked + READ_FOR)
    }

    fn note(&self, path: &str, why: &str) {
        self.failed.lock().expect("no panic").push(format!("{path}: {why}"));
    }
}

/// One pair's calls, each step at another gateway than the last one; how many they were.
async fn call_often(clients: &Clients, pushes: &Log, pair: usize) -> usize {
    let (caller, callee) = (format!("caller-{pair}"), format!("callee-{pair}"));
    // Not all of them at once.
    sleep(EACH * u32::try_from(pair).expect("a few") / u32::try_from(PAIRS).expect("a few")).await;
    let mut beginnings = interval(EACH);
    beginnings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0.. {
        beginnings.tick().await;
        if *clients.over.borrow() {
            return round;
        }
        let gateway = pair + round;
        let answer = clients.post(gateway, "/v1/calls", &bearer(&caller), invite_body(&callee, 30)).await;
        let Some(call) = answer.map(|mut answer| answer["call"].take()) else { continue };
        let is_ring = |push: &Received| push_data(push)["type"] == "ring" && push_data(push)["call_id"] == call["id"];
        let push = pushes.wait_for(SOON, is_ring).await.expect("a ring");
        let ticket = push_data(&push)["ticket"].as_str().expect("a ticket");
        for (after, verb) in [(1, "alerting"), (2, "answer"), (1, "hangup")] {
            clients.post(gateway + after, &path(&call["id"], verb), ticket, json!({})).await;
        }
    }
    unreachable!("it ends when it is told to")
}

/// Calls of one pair that nobody answers, which are timed out by whoever is there.
async fn call_in_vain(clients: &Clients, pair: usize) -> Vec<Value> {
    let (caller, callee) = (format!("caller-{pair}"), format!("callee-{pair}"));
    let mut calls = Vec::new();
    while !*clients.over.borrow() {
        let gateway = pair + calls.len();
        let answer = clients.post(gateway, "/v1/calls", &bearer(&caller), invite_body(&callee, RING)).await;
        calls.extend(answer.map(|mut answer| answer["call"].take()));
        sleep(Duration::from_secs(RING) + PAUSE).await;
    }
    calls
}

/// Reads a user's events at a gateway until its streams end, and then at the other one from the last event on, until as many calls have
/// ended as there were in all. How often it moved.
async fn read_on(clients: &Clients, user: &str, first: usize, mut all: watch::Receiver<Option<usize>>) -> usize {
    let mut reader = Reader::new(user, first.is_multiple_of(2));
    let mut moves = 0;
    loop {
        let goal = all.borrow_and_update().unwrap_or(usize::MAX);
        if reader.ended() >= goal {
            return moves;
        }
        let http = clients.http(first + moves);
        tokio::select! {
            goes_on = reader.read(&http, usize::MAX, goal) => moves += usize::from(!goes_on),
            _ = all.changed() => {}
        }
    }
}

/// Stops a gateway, which tells its streams so, and starts it again.
async fn restart(clients: &Clients, fleet: &mut Fleet<Process>, gateway: usize) {
    let streams = join_all((0..10).map(async |n| Stream::both(&fleet[gateway], &format!("idle-{n}"), "").await)).await;
    let asked = Instant::now();
    *clients.asked[gateway].lock().expect("no panic") = Some(asked);
    fleet[gateway].gateway.terminate();
    join_all(streams.into_iter().flatten().map(Stream::end)).await;
    let told = asked.elapsed();
    assert!(fleet[gateway].gateway.exit().await.success());
    println!("gateway {gateway}: streams told after {told:?}, ended after {:?}", asked.elapsed());
    assert!(asked.elapsed() < SOON);
    fleet[gateway].start_again().await;
    *clients.asked[gateway].lock().expect("no panic") = None;
    clients.gateways[gateway].send_replace(fleet[gateway].http.clone());
    sleep(2 * EACH).await;
}

#[tokio::test]
async fn a_rolling_restart_fails_no_request_and_loses_no_event_and_no_call_is_late() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 2, "").await;
    join_all((0..PAIRS + UNANSWERED).map(async |pair| fleet[0].pixel(&format!("callee-{pair}"), "pixel").await)).await;
    let (clients, pushes) = (&Clients::new(&fleet), fleet.pushes().clone());
    let calling = async |pair: usize| {
        let (all, known) = watch::channel(None);
        let (caller, callee) = (format!("caller-{pair}"), format!("callee-{pair}"));
        let count = async {
            let count = call_often(clients, &pushes, pair).await;
            all.send_replace(Some(count));
            count
        };
        let readers = [(&caller, 0), (&caller, 1), (&callee, 1)];
        let reading = join_all(readers.map(|(user, first)| read_on(clients, user, pair + first, known.clone())));
        tokio::join!(count, reading)
    };
    let restarting = async {
        for gateway in [0, 1] {
            sleep(2 * EACH).await;
            restart(clients, &mut fleet, gateway).await;
        }
        clients.over.send_replace(true);
    };
    let in_vain = join_all((PAIRS..PAIRS + UNANSWERED).map(|pair| call_in_vain(clients, pair)));
    let (talked, in_vain, ()) = tokio::join!(join_all((0..PAIRS).map(calling)), in_vain, restarting);
    let talks: usize = talked.iter().map(|(count, _)| count).sum();
    let moves: usize = talked.iter().flat_map(|(_, moves)| moves).sum();
    let in_vain: Vec<Value> = in_vain.into_iter().flatten().collect();
    let (sent, refused) = (clients.sent.load(Ordering::Relaxed), clients.refused.load(Ordering::Relaxed));
    println!(
        "{talks} talks, {} calls in vain, {sent} requests, {refused} connections refused, {moves} moves",
        in_vain.len()
    );
    assert_eq!(*clients.failed.lock().expect("no panic"), Vec::<String>::new());
    let mut latest = Duration::ZERO;
    for call in &in_vain {
        let ended = fleet[0].call(&call["id"]).await;
        assert_eq!(ended["end_reason"], "timed_out", "{ended}");
        let (due, at) = (rfc3339(&call["ring_until"]), rfc3339(&ended["ended_at"]));
        assert!(at >= due, "ended {:?} before it was due", due.since(at));
        latest = latest.max(at.since(due));
    }
    println!("the last timeout was {latest:?} late");
    assert!(latest <= BUSY);
}
