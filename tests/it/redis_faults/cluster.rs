//! One of the masters of a cluster is away: who needs it is told so in time, and nobody else notices.

use std::future::Future;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::store::{Admits, Role, Store};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{TIMEOUT, expect_ready, expect_unavailable, in_time, readiness, stage_on, stage_with, store_with};
use crate::store_laws::fixture::{claim, device_id, user};
use crate::support::redis::{RedisCluster, store_config};
use crate::support::{Http, Reply, SOON, Stage, bearer, service_bearer};

/// The master that goes away.
const AWAY: usize = 2;
const USERS: usize = 24;

/// A cluster whose masters go on without one another.
async fn cluster() -> Option<RedisCluster> {
    let cluster = RedisCluster::start().await?;
    for master in &cluster.masters {
        master.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    Some(cluster)
}

/// The master that has a key that matches a pattern.
async fn home(cluster: &RedisCluster, pattern: &str) -> usize {
    for (number, master) in cluster.masters.iter().enumerate() {
        if !master.read::<Vec<String>>(&["KEYS", pattern]).await.is_empty() {
            return number;
        }
    }
    panic!("no master has {pattern}")
}

fn name(number: usize) -> String {
    format!("user{number}")
}

/// A request that needs nothing but one user's partition.
async fn block(http: &Http, user: &str) -> Reply {
    http.put("/v1/blocks/eve", &bearer(user), json!({})).await
}

/// A request that needs nothing but one call's partition.
async fn look_at(http: &Http, call: &Value) -> Reply {
    http.get(&format!("/v1/calls/{}", call.as_str().expect("an id")), service_bearer()).await
}

/// Users and calls of a gateway on a cluster, each with the master that has it.
struct Scene {
    stage: Stage,
    users: Vec<(String, usize)>,
    calls: Vec<(Value, usize)>,
}

impl Scene {
    async fn on(cluster: &RedisCluster) -> Self {
        let stage = stage_on(&cluster.url()).await;
        let (mut users, mut calls) = (Vec::new(), Vec::new());
        for number in 0..USERS {
            let user = name(number);
            assert_eq!(block(&stage.http, &user).await.status, 204);
            let call = stage.invite(&user, "nobody").await["call"]["id"].clone();
            calls.push((call.clone(), home(cluster, &format!("*:call:{}", call.as_str().expect("an id"))).await));
            users.push((user.clone(), home(cluster, &format!("*:blocks:{user}")).await));
        }
        for of in
            [&users.iter().map(|(_, home)| *home).collect::<Vec<_>>(), &calls.iter().map(|(_, home)| *home).collect()]
        {
            assert!((0..3).all(|master| of.contains(&master)), "some of each: {of:?}");
        }
        Self { stage, users, calls }
    }

    /// Checks that who needs the master that is away is told so, and that the others are served as ever.
    async fn expect_only_its_own_to_wait(&self) {
        let http = &self.stage.http;
        let until = Instant::now() + 4 * TIMEOUT;
        let users = self.users.iter().map(async |(user, home)| {
            let mut took = Vec::new();
            while Instant::now() < until {
                took.extend(expect_served(in_time(block(http, user)), *home != AWAY).await);
            }
            took
        });
        let calls = self.calls.iter().map(async |(call, home)| {
            let mut took = Vec::new();
            while Instant::now() < until {
                took.extend(expect_served(in_time(look_at(http, call)), *home != AWAY).await);
            }
            took
        });
        let (users, calls) = tokio::join!(join_all(users), join_all(calls));
        expect_most_at_once(users.concat());
        expect_most_at_once(calls.concat());
    }
}

/// How long it took, if it is to be served. A pause between requests, so that the machine is not what is slow.
async fn expect_served(request: impl Future<Output = Reply>, is_served: bool) -> Option<Duration> {
    let begun = Instant::now();
    let reply = request.await;
    let took = begun.elapsed();
    if is_served {
        assert!(reply.status < 300, "{}", reply.text);
    } else {
        expect_unavailable(reply);
    }
    sleep(Duration::from_millis(50)).await;
    is_served.then_some(took)
}

/// Checks that most of what took so long did not wait for a command that failed: a machine that is busy makes some of it slow.
fn expect_most_at_once(mut took: Vec<Duration>) {
    took.sort();
    assert!(took[took.len() / 2] < TIMEOUT, "{took:?}");
}

#[tokio::test]
async fn a_master_that_was_killed_stops_nobody_who_does_not_need_it() {
    let Some(mut cluster) = cluster().await else { return };
    let scene = Scene::on(&cluster).await;
    cluster.masters[AWAY].kill();
    scene.expect_only_its_own_to_wait().await;
    let (ready, words) = readiness(&scene.stage.http).await;
    assert!(ready && words.contains("1 of 3 masters cannot be used: "), "{words}");
    cluster.masters[AWAY].start_again().await;
    scene.expect_all_served().await;
}

/// As where its machine has lost its power: nobody refuses anything.
#[tokio::test]
async fn a_master_that_answers_nothing_stops_nobody_who_does_not_need_it() {
    let Some(mut cluster) = cluster().await else { return };
    let scene = Scene::on(&cluster).await;
    cluster.masters[AWAY].pause();
    scene.expect_only_its_own_to_wait().await;
    let (ready, words) = readiness(&scene.stage.http).await;
    assert!(ready && words.contains("1 of 3 masters cannot be used: "), "{words}");
    cluster.masters[AWAY].resume();
    scene.expect_all_served().await;
}

/// As clusters are unless they are told otherwise.
#[tokio::test]
async fn a_cluster_that_fails_as_a_whole_is_well_again_by_itself() {
    let Some(mut cluster) = RedisCluster::start().await else { return };
    let scene = Scene::on(&cluster).await;
    let http = &scene.stage.http;
    cluster.masters[AWAY].kill();
    cluster.expect_state("fail").await;
    for (user, _) in &scene.users[..3] {
        expect_unavailable(in_time(block(http, user)).await);
    }
    let (ready, words) = readiness(http).await;
    assert!(!ready && words.contains("CLUSTERDOWN"), "{words}");
    assert_eq!(in_time(http.get("/livez", "")).await.status, 200);
    cluster.masters[AWAY].start_again().await;
    scene.expect_all_served().await;
}

#[tokio::test]
async fn events_are_heard_while_a_master_is_away_and_all_of_them_when_it_is_back() {
    let Some(mut cluster) = cluster().await else { return };
    let config = store_config(&cluster.url(), &[]);
    let (here, there) = (stage_with(config.clone()).await, stage_with(config).await);
    let mut calls = Vec::new();
    for number in 0..USERS {
        let (caller, callee) = (name(number), format!("callee{number}"));
        let phone = there.pixel(&callee, "phone").await;
        let call = there.invite(&caller, &callee).await["call"]["id"].clone();
        let mut homes = Vec::new();
        for what in
            [format!("call:{}", call.as_str().expect("an id")), format!("line:{caller}"), format!("line:{callee}")]
        {
            homes.push(home(&cluster, &format!("*:{what}")).await);
        }
        let (reader, _) = here.events(&bearer(&caller), "").await;
        calls.push((call, phone, reader, !homes.contains(&AWAY)));
    }
    cluster.masters[AWAY].kill();
    let (mut spared, mut struck) = (Vec::new(), 0);
    for (call, phone, reader, _) in calls.iter_mut().filter(|(_, _, _, is_spared)| *is_spared) {
        let begun = Instant::now();
        there.answer(phone, call).await;
        reader.until("call.answered", call).await;
        spared.push(begun.elapsed());
    }
    assert!(!spared.is_empty());
    expect_most_at_once(spared);
    cluster.masters[AWAY].start_again().await;
    expect_all_masters(&there.http).await;
    for (call, phone, reader, _) in calls.iter_mut().filter(|(_, _, _, is_spared)| !*is_spared) {
        there.answer(phone, call).await;
        reader.until("call.answered", call).await;
        struck += 1;
    }
    assert!(struck > 0);
}

/// What each of those streams leaves to be noted once Redis is back must not be waited for by others.
#[tokio::test]
async fn streams_that_cannot_be_opened_keep_nobody_waiting_who_can_open_one() {
    const STREAMS: usize = 20;
    let Some(mut cluster) = cluster().await else { return };
    let scene = Scene::on(&cluster).await;
    let http = &scene.stage.http;
    cluster.masters[AWAY].kill();
    let open = async |user: &str, number: usize| {
        let request = http.request(Method::GET, &format!("/v1/events?device_id=tab{number}")).bearer_auth(bearer(user));
        let begun = Instant::now();
        let response = request.header("accept", "text/event-stream").send().await.expect("an answer");
        (response.status().as_u16(), begun.elapsed())
    };
    for _ in 0..4 {
        let struck = scene.users.iter().filter(|(_, home)| *home == AWAY);
        let opened = struck.flat_map(|(user, _)| (0..STREAMS).map(move |number| open(user, number)));
        assert!(join_all(opened).await.into_iter().all(|(status, _)| status == 503));
    }
    let spared = scene.users.iter().filter(|(_, home)| *home != AWAY);
    let opened = join_all(spared.map(|(user, _)| open(user, 0))).await;
    assert!(opened.iter().all(|(status, _)| *status == 200), "{opened:?}");
    expect_most_at_once(opened.into_iter().map(|(_, took)| took).collect());
}

/// Which instances live is written down at one of the masters; without it a browser counts as listening where it was.
#[tokio::test]
async fn a_browser_is_rung_when_nobody_knows_which_instances_live() {
    let Some(mut cluster) = cluster().await else { return };
    let clock = Clock::system();
    let store = store_with(&store_config(&cluster.url(), &[]), &clock).await;
    let away = home(&cluster, "*:instances").await;
    let mut users = Vec::new();
    for number in 0..USERS {
        let id = user(&name(number));
        store.attach(&id, &device_id("browser")).await.expect("attached");
        users.push((name(number), home(&cluster, &format!("*:attached:{id}")).await));
    }
    cluster.masters[away].kill();
    let spared: Vec<_> = users.iter().filter(|(_, home)| *home != away).collect();
    assert!(!spared.is_empty());
    join_all(spared.into_iter().map(async |(user, _)| {
        let callee = store.ring_line(claim(&clock, user, "ann", Role::Callee), &[], Admits::All).await.expect("rung");
        assert_eq!(callee.attached, [device_id("browser")]);
    }))
    .await;
}

/// Waits until every master can be used.
async fn expect_all_masters(http: &Http) {
    let all = async { while readiness(http).await.1.contains("cannot be used") {} };
    timeout(SOON, all).await.expect("all masters in time");
}

impl Scene {
    /// Checks that all are served when every master can be used again.
    async fn expect_all_served(&self) {
        expect_ready(&self.stage.http).await;
        expect_all_masters(&self.stage.http).await;
        for (user, _) in &self.users {
            expect_served(in_time(block(&self.stage.http, user)), true).await;
        }
        for (call, _) in &self.calls {
            expect_served(in_time(look_at(&self.stage.http, call)), true).await;
        }
    }
}
