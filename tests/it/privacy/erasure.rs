//! `DELETE /v1/users/{user}`: what is held of a user goes, also with a crash on the way, and a ban stays.

use std::time::{Duration, Instant};

use bellwire::crypto::uuid_of;
use bellwire::domain::{JobId, Work};
use futures_util::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::dump;
use crate::support::people::path;
use crate::support::postgres::{Database, PostgresServer};
use crate::support::redis::{RedisCluster, RedisServer};
use crate::support::{Fleet, Http, SOON, Stage, bearer, service_bearer};

/// A name that stands nowhere else.
const ZOE: &str = "zoe-who-is-to-be-forgotten";

/// Asks until nothing is left; the last answer, and the sums of what all of them together erased are in it.
async fn erased(http: &Http, user: &str) -> Value {
    let mut last = String::new();
    let complete = async {
        loop {
            let reply = http.delete(&format!("/v1/users/{user}"), service_bearer()).await;
            let complete = reply.json["complete"] == true;
            assert_eq!(reply.status, if complete { 200 } else { 202 }, "{}", reply.text);
            if complete {
                return reply.json;
            }
            last = reply.text;
            sleep(Duration::from_millis(100)).await;
        }
    };
    let complete = timeout(6 * SOON, complete).await;
    complete.unwrap_or_else(|_| panic!("it is not complete in time: {last}"))
}

/// Zoe has calls with bob and carol, who each block somebody; the ids of her calls.
async fn a_life(one: &Stage, other: &Stage) -> Vec<Value> {
    let (iphone, pixel) = (one.iphone(ZOE, "iphone").await, other.pixel("bob", "pixel").await);
    one.pixel(ZOE, "pixel").await;
    let verb = async |call: &Value, verb: &str, user: &str| {
        let body = if verb == "decline" { json!({"device_id": "pixel"}) } else { json!({}) };
        one.http.post(&path(call, verb), &bearer(user), body).await.expect(200);
    };
    let talk = one.invite("bob", ZOE).await["call"]["id"].clone();
    other.answer(&iphone, &talk).await;
    verb(&talk, "hangup", "bob").await;
    let request = one.http.request(Method::POST, "/v1/calls").bearer_auth(bearer(ZOE)).header("idempotency-key", "k-1");
    let body = json!({"callee": "bob", "media": "audio", "metadata": {"of": ZOE}}).to_string();
    let request = request.header("content-type", "application/json").body(body);
    let declined = Http::send(request).await.expect(201)["call"]["id"].clone();
    verb(&declined, "decline", "bob").await;
    let missed = other.invite("carol", ZOE).await["call"]["id"].clone();
    verb(&missed, "cancel", "carol").await;
    one.push("missed", &iphone.notice_token, &missed).await;
    for (user, peer) in [("bob", ZOE), (ZOE, "carol"), ("bob", "carol")] {
        one.http.put(&format!("/v1/blocks/{peer}"), &bearer(user), json!({})).await.expect(204);
    }
    // Zoe calls on, and bob, who has blocked her, does not hear of it.
    let hidden = other.invite(ZOE, "bob").await["call"]["id"].clone();
    verb(&hidden, "cancel", ZOE).await;
    let _ = pixel;
    vec![talk, declined, missed, hidden]
}

fn counts(answer: &Value, what: &[&str]) -> Vec<u64> {
    what.iter().map(|what| answer["erased"][what].as_u64().unwrap_or_else(|| panic!("no {what}: {answer}"))).collect()
}

async fn nothing_is_left(fleet: &Fleet, servers: &[&RedisServer]) {
    let calls = a_life(&fleet[0], &fleet[1]).await;
    assert!(dump(servers, &fleet.prefix).await.contains(ZOE));
    let (mut stream, _) = fleet[1].events(&bearer(ZOE), "").await;
    let before = fleet[0].http.get("/v1/calls", &bearer("bob")).await.expect(200);
    assert_eq!(before["calls"].as_array().map(Vec::len), Some(2));

    let answer = erased(&fleet[0].http, ZOE).await;
    assert_eq!(counts(&answer, &["calls", "devices", "blocks", "blocked_by", "idempotency_keys"]), [4, 2, 1, 1, 1]);
    assert_eq!((&answer["left"], &answer["ban_kept"]), (&json!([]), &json!(false)));
    while stream.next_or_end().await.is_some() {}
    // What stands for the erasure itself names nobody, and goes too.
    let dumped = dump(servers, &fleet.prefix).await;
    let trace = dumped.lines().find(|line| line.contains(ZOE));
    assert_eq!(trace, None);
    for call in &calls {
        let gone = fleet[1].http.get(&path(call, ""), service_bearer()).await;
        gone.expect_problem(404, "call-not-found");
    }
    let bobs = fleet[1].http.get("/v1/calls", &bearer("bob")).await.expect(200);
    assert_eq!(bobs["calls"], json!([]));
    let blocks = fleet[1].http.get("/v1/blocks", &bearer("bob")).await.expect(200);
    assert_eq!(blocks["blocks"], json!(["carol"]), "what is bob's stays");
    assert_eq!(fleet[0].http.get("/v1/devices", &bearer("bob")).await.expect(200)["devices"][0]["device_id"], "pixel");
}

#[tokio::test]
async fn nothing_is_left_of_an_erased_user_in_redis() {
    let Some(server) = RedisServer::shared().await else { return };
    nothing_is_left(&Fleet::at(&server.url(), 2).await, &[server]).await;
}

#[tokio::test]
async fn nothing_is_left_of_an_erased_user_in_a_cluster() {
    let Some(cluster) = RedisCluster::shared().await else { return };
    let servers: Vec<&RedisServer> = cluster.masters.iter().collect();
    nothing_is_left(&Fleet::at(&cluster.url(), 2).await, &servers).await;
}

#[tokio::test]
async fn a_ban_outlasts_an_erasure_unless_it_is_to_go_too() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::at(&server.url(), 1).await;
    let http = &fleet[0].http;
    http.put(&format!("/v1/bans/{ZOE}"), service_bearer(), json!({"reason": "spam"})).await.expect(200);
    assert_eq!(erased(http, ZOE).await["ban_kept"], true);
    let dumped = dump(&[server], &fleet.prefix).await;
    let traces: Vec<&str> = dumped.lines().filter(|line| line.contains(ZOE)).collect();
    assert!(traces.len() == 1 && traces[0].contains("}:bans "), "{traces:?}");
    let put = json!({"platform": "web", "app": crate::support::APP});
    http.put("/v1/devices/d", &bearer(ZOE), put).await.expect_problem(403, "banned");

    let answer = http.delete(&format!("/v1/users/{ZOE}?bans=true"), service_bearer()).await.expect(200);
    assert_eq!((&answer["ban_kept"], &answer["erased"]["bans"]), (&json!(false), &json!(1)));
    assert!(!dump(&[server], &fleet.prefix).await.contains(ZOE));
}

#[tokio::test]
async fn nothing_is_left_of_an_erased_user_in_an_embedded_store() {
    let stage = Stage::new().await;
    let calls = a_life(&stage, &stage).await;
    let answer = erased(&stage.http, ZOE).await;
    assert_eq!(counts(&answer, &["calls", "devices", "blocks", "blocked_by", "idempotency_keys"]), [4, 2, 1, 1, 1]);
    for call in &calls {
        stage.http.get(&path(call, ""), service_bearer()).await.expect_problem(404, "call-not-found");
    }
    for (list, key) in [("/v1/calls", "calls"), ("/v1/devices", "devices"), ("/v1/blocks", "blocks")] {
        assert_eq!(stage.http.get(list, &bearer(ZOE)).await.expect(200)[key], json!([]), "{list}");
    }
    // Once more finds nothing.
    stage.clock.advance(Duration::from_mins(2));
    let again = erased(&stage.http, ZOE).await;
    let all: u64 = again["erased"].as_object().expect("counts").values().filter_map(Value::as_u64).sum();
    assert_eq!(all, 0, "{again}");
}

#[tokio::test]
async fn a_live_call_ends_first_as_if_the_user_had_hung_up() {
    let stage = Stage::new().await;
    let (phone, bobs) = (stage.iphone(ZOE, "iphone").await, stage.pixel("bob", "pixel").await);
    let (mut bob, _) = stage.events(&bearer("bob"), "").await;
    let talk = stage.invite("bob", ZOE).await["call"]["id"].clone();
    stage.answer(&phone, &talk).await;
    erased(&stage.http, ZOE).await;
    assert_eq!(bob.until("call.ended", &talk).await["data"]["reason"], "completed");

    let ringing = stage.invite(ZOE, "bob").await["call"]["id"].clone();
    stage.ring(&bobs, &ringing).await;
    erased(&stage.http, ZOE).await;
    // To an Android phone that stops the ring, too.
    stage.push("missed", &bobs.notice_token, &ringing).await;
    assert_eq!(bob.until("call.ended", &ringing).await["data"]["reason"], "cancelled");
    // Bob is free again.
    assert_eq!(stage.invite("carol", "bob").await["call"]["state"], "calling");
}

#[tokio::test]
async fn only_the_backend_erases() {
    let stage = Stage::new().await;
    stage.iphone(ZOE, "iphone").await;
    for who in [ZOE, "bob"] {
        let refused = stage.http.delete(&format!("/v1/users/{ZOE}"), &bearer(who)).await;
        refused.expect_problem(403, "services-only");
    }
    stage.http.delete(&format!("/v1/users/{ZOE}"), "").await.expect_problem(401, "token-missing");
    let unknown = stage.http.delete(&format!("/v1/users/{ZOE}?ban=true"), service_bearer()).await;
    unknown.expect_problem(400, "invalid-query");
    assert_eq!(stage.http.get("/v1/devices", &bearer(ZOE)).await.expect(200)["devices"][0]["device_id"], "iphone");
}

#[tokio::test]
async fn rows_of_the_history_go_too_as_soon_as_the_database_is_back() {
    let Some(mut server) = PostgresServer::start().await else { return };
    let database = server.database().await;
    let stage = Stage::with(&database.section()).await;
    stage.iphone(ZOE, "iphone").await;
    for (caller, callee) in [("bob", ZOE), ("bob", "carol")] {
        let call = stage.invite(caller, callee).await["call"]["id"].clone();
        stage.http.post(&path(&call, "cancel"), &bearer(caller), json!({})).await;
        database.row(&format!("SELECT id FROM bellwire.calls WHERE id = '{}'", call.as_str().expect("an id"))).await;
    }
    let name = database.name.clone();
    drop(database);
    server.stop();
    let reply = stage.http.delete(&format!("/v1/users/{ZOE}"), service_bearer()).await;
    assert_eq!((reply.status, &reply.json["left"]), (202, &json!(["history"])), "{}", reply.text);
    server.start_again().await;
    let answer = erased(&stage.http, ZOE).await;
    assert_eq!(answer["erased"]["history_rows"], 1);
    let rows = server.existing(&name).rows("SELECT caller_id, callee_id FROM bellwire.calls").await;
    assert_eq!(rows, [json!({"caller_id": "bob", "callee_id": "carol"})]);
}

/// Statements that wait for a lock on what they are to delete.
const WAITING: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'DELETE%'";

/// Waits until so many of them do.
async fn waiting(database: &Database<'_>, many: usize) {
    let so_many = async {
        while database.rows(WAITING).await.len() != many {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, so_many).await.unwrap_or_else(|_| panic!("not {many} are waiting"));
}

/// A gateway whose database has a row of Zoe's, which is locked until the transaction of the connection ends.
async fn with_a_locked_row(database: &Database<'_>) -> (Stage, sqlx::PgConnection) {
    let stage = Stage::with(&format!("{}statement_timeout = \"5s\"", database.section())).await;
    stage.iphone(ZOE, "iphone").await;
    let call = stage.invite("bob", ZOE).await["call"]["id"].clone();
    stage.http.post(&path(&call, "cancel"), &bearer("bob"), json!({})).await;
    database.row(&format!("SELECT id FROM bellwire.calls WHERE id = '{}'", call.as_str().expect("an id"))).await;
    let mut holder = database.admin().await;
    sqlx::raw_sql("BEGIN; SELECT id FROM bellwire.calls FOR UPDATE").execute(&mut holder).await.expect("locked");
    (stage, holder)
}

/// What an erasure of Zoe has erased, once nothing is left.
async fn complete(stage: &Stage) -> bellwire::domain::job::Erased {
    let id = JobId::erasure(uuid_of(&format!("erasure/{ZOE}")));
    let complete = async {
        loop {
            if let Some(Work::Erased(erased)) =
                stage.gateway.engine.job(&id).await.expect("the store").map(|job| job.work)
            {
                return erased;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, complete).await.expect("it is complete in time")
}

#[tokio::test]
async fn an_erasure_that_is_under_way_is_waited_for_by_whoever_asks_again() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let (stage, mut holder) = with_a_locked_row(&database).await;
    let ask = async || stage.http.delete(&format!("/v1/users/{ZOE}"), service_bearer()).await;
    let unlocked = async {
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            assert!(database.rows(WAITING).await.len() <= 1, "another attempt is begun beside it");
        }
        sqlx::raw_sql("COMMIT").execute(&mut holder).await.expect("unlocked");
    };
    let again = async {
        waiting(&database, 1).await;
        join(ask(), unlocked).await
    };
    join(ask(), again).await;
    let erased = complete(&stage).await;
    assert_eq!((erased.calls, erased.devices, erased.history_rows), (1, 1, 1));
}

#[tokio::test]
async fn what_an_attempt_beside_another_one_erased_counts_too() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let (stage, mut holder) = with_a_locked_row(&database).await;
    let ask = async |more: &str| stage.http.delete(&format!("/v1/users/{ZOE}{more}"), service_bearer()).await;
    let unlocked = async {
        waiting(&database, 2).await;
        sqlx::raw_sql("COMMIT").execute(&mut holder).await.expect("unlocked");
    };
    // It wants more than the first one does, and so is no part of it.
    let with_bans = async {
        waiting(&database, 1).await;
        join(ask("?bans=true"), unlocked).await
    };
    join(ask(""), with_bans).await;
    let erased = complete(&stage).await;
    assert_eq!((erased.calls, erased.devices), (1, 1));
    let all_told = async {
        while complete(&stage).await.history_rows != 1 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, all_told).await.expect("the first one's row counts");
}
