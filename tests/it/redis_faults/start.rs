//! A gateway does not start on a Redis that it cannot use, and says why, as `bellwire check` does; what would lose calls it tells.
//! Asked to end before it is ready, it does.

use std::net::TcpListener;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::program::{check, log_to_its_end, serve, start};
use super::{TRIES, every_request, readiness, stage_with};
use crate::support::command::Ended;
use crate::support::ports::ClosedPort;
use crate::support::redis::{PASSWORD, RedisCluster, RedisServer, USER, store_config};
use crate::support::{Http, SOON};

const WRONG: &str = "a-wrong-password";
/// What is said of a server that is silent, and of one that is late on a busy machine: redis-rs gives a Sentinel half a second.
const LATE: &str = "did not answer in time";

/// Checks that neither command takes this store, that both say these words and that none says a password.
async fn expect_refused(store: &[(&str, &str)], words: &str) {
    let is_late = |ended: &Ended| !words.contains(LATE) && format!("{ended:?}").contains(LATE);
    let mut again = 1..TRIES;
    let (served, checked) = loop {
        let (served, checked) = tokio::join!(serve(store), check(store));
        if !(is_late(&served) || is_late(&checked)) || again.next().is_none() {
            break (served, checked);
        }
    };
    assert_eq!(served.code, Some(1), "{served:?}");
    assert!(served.stderr.contains("bellwire: ") && served.stderr.contains(words), "not {words}: {}", served.stderr);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let line = checked.stdout.lines().find(|line| line.starts_with("FAIL  store: "));
    let line = line.unwrap_or_else(|| panic!("{checked:?}"));
    assert!(line.contains(words), "not {words}: {line}");
    for said in [served.stdout, served.stderr, checked.stdout, checked.stderr] {
        assert!(!said.contains(PASSWORD) && !said.contains(WRONG), "{said}");
    }
}

#[tokio::test]
async fn where_nothing_listens_nothing_answers_or_something_else_does() {
    let (Some(redis), Some(cluster)) = (RedisServer::shared().await, RedisCluster::shared().await) else { return };
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = ClosedPort::hold();
    let closed_port = closed.address().port();
    let silent_port = silent.local_addr().expect("its address").port();
    let node = cluster.masters[0].port();
    let cases = [
        ("redis", closed_port, "", "Redis refuses connections"),
        ("redis-cluster", closed_port, "", "Redis refuses connections"),
        ("redis-sentinel", closed_port, "/main", "Redis refuses connections"),
        ("redis", silent_port, "", "Redis did not answer in time"),
        ("redis-cluster", silent_port, "", "Redis did not answer in time"),
        ("redis-sentinel", silent_port, "/main", "Redis did not answer in time"),
        ("redis-cluster", redis.port(), "", "it is no node of a cluster"),
        ("redis-sentinel", redis.port(), "/main", "Address does not point to a sentinel"),
        ("redis", node, "", "store.url must begin with redis-cluster://"),
    ];
    let runs = cases.iter().map(async |(scheme, port, path, words)| {
        expect_refused(&[("url", &format!("{scheme}://:{PASSWORD}@127.0.0.1:{port}{path}"))], words).await;
    });
    join_all(runs).await;
}

#[tokio::test]
async fn asked_to_end_while_it_waits_for_an_answer_it_does() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", silent.local_addr().expect("its address"));
    let gateway = start(&["serve", "--without-push"], &[("url", &url)]);
    let asked = timeout(SOON, spawn_blocking(move || silent.accept())).await.expect("in time").expect("no panic");
    gateway.signal("TERM");
    let ended = gateway.end().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
    drop(asked);
}

#[tokio::test]
async fn where_it_is_a_replica() {
    let (Some(redis), Some(master)) = (RedisServer::start().await, RedisServer::shared().await) else { return };
    redis.command(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
    expect_refused(&[("url", &redis.url())], "it is a replica, which cannot be written").await;
}

#[tokio::test]
async fn where_the_certificate_or_the_password_is_wrong() {
    let Some(redis) = RedisServer::shared_with_tls_and_acl().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate").cert.pem();
    let other_ca = folder.path().join("ca.pem");
    std::fs::write(&other_ca, other).expect("a file");
    let (ca, other_ca) = (redis.ca_file(), other_ca.to_str().expect("a path"));
    let (url, ca) = (redis.url(), ca.to_str().expect("a path"));
    let cases = [
        (vec![("username", USER), ("password", PASSWORD), ("ca_file", other_ca)], "invalid peer certificate"),
        (
            vec![("username", USER), ("password", PASSWORD), ("ca_file", "/nowhere/ca.pem")],
            "store.ca_file /nowhere/ca.pem",
        ),
        (vec![("username", USER), ("password", WRONG), ("ca_file", ca)], "Redis says WRONGPASS"),
        (vec![("ca_file", ca)], "Redis says NOAUTH"),
    ];
    let runs = cases.into_iter().map(async |(mut store, words)| {
        store.push(("url", &url));
        expect_refused(&store, words).await;
    });
    join_all(runs).await;
}

#[tokio::test]
async fn where_the_user_lacks_a_right() {
    let Some(redis) = RedisServer::with_tls_and_acl().await else { return };
    let (url, ca) = (redis.url(), redis.ca_file());
    let mine = "~bw:* &bw:* +@all";
    let cases = [
        ("~other:* &bw:* +@all".to_owned(), "the keys of store.key_prefix"),
        ("~bw:* resetchannels +@all".to_owned(), "the channels of store.key_prefix"),
        (format!("{mine} -info"), "the command info"),
        (format!("{mine} -time"), "the command time"),
        (format!("{mine} -evalsha"), "the command evalsha"),
        (format!("{mine} -eval"), "the command eval"),
        (format!("{mine} -ssubscribe"), "the command ssubscribe"),
        (format!("{mine} -spublish"), "the command spublish"),
        (format!("{mine} -zadd"), "the command zadd"),
    ];
    for (number, (rights, missing)) in cases.iter().enumerate() {
        let (user, password) = (format!("user{number}"), format!(">{PASSWORD}"));
        let mut words = vec!["ACL", "SETUSER", &user, "on", &password];
        words.extend(rights.split(' '));
        redis.command(&words).await;
        let store = [
            ("url", url.as_str()),
            ("username", &user),
            ("password", PASSWORD),
            ("ca_file", ca.to_str().expect("a path")),
        ];
        expect_refused(&store, &format!("Redis does not allow its user {missing}")).await;
    }
}

/// Whoever sets Redis up by docs/OPERATIONS.md.
#[tokio::test]
async fn the_rights_of_the_documentation_are_enough() {
    let Some(redis) = RedisServer::with_tls_and_acl().await else { return };
    let page = include_str!("../../../docs/OPERATIONS.md");
    let (_, rights) = page.split_once("user bellwire on ><password> ").expect("the user");
    let (rights, _) = rights.split_once("```").expect("its end");
    let password = format!(">{PASSWORD}");
    let mut words = vec!["ACL", "SETUSER", "documented", "on", &password];
    words.extend(rights.split_whitespace());
    redis.command(&words).await;
    let ca = redis.ca_file();
    let keys = [("username", "documented"), ("password", PASSWORD), ("ca_file", ca.to_str().expect("a path"))];
    let stage = stage_with(store_config(&redis.url(), &keys)).await;
    let phone = stage.pixel("bob", "phone").await;
    let call = stage.invite("ann", "bob").await["call"]["id"].clone();
    for (method, path, token, body) in every_request(&call) {
        let request =
            stage.http.request(method.clone(), &path).bearer_auth(token).header("accept", "text/event-stream");
        let request = request.header("content-type", "application/json");
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let status = request.send().await.expect("an answer").status().as_u16();
        assert!(status < 500, "{method} {path}: {status}");
    }
    stage.push("ring", &phone.ring_token, &call).await;
    assert!(redis.read::<Vec<String>>(&["KEYS", "*:call:*"]).await.len() >= 2);
    let denied: Vec<redis::Value> = redis.read(&["ACL", "LOG"]).await;
    assert!(denied.is_empty(), "{denied:?}");
}

/// Some servers that are no Redis of today repeat what they were sent when they refuse it.
#[tokio::test]
async fn what_a_server_says_is_not_repeated() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("its address"));
    let parrot = async {
        loop {
            let (mut client, _) = listener.accept().await.expect("a client");
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = client.read(&mut buffer).await {
                    let sent = String::from_utf8_lossy(&buffer[..length]).replace("\r\n", " ");
                    let answers = format!("-ERR no such command: {sent}\r\n").repeat(3);
                    if client.write_all(answers.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    };
    let store = [("url", url.as_str()), ("password", PASSWORD)];
    tokio::select! {
        () = expect_refused(&store, "Redis says ERR") => {}
        () = parrot => {}
    }
}

#[tokio::test]
async fn settings_that_lose_calls_are_told_everywhere() {
    let settings = [("appendonly", "no"), ("maxmemory-policy", "allkeys-lru")];
    let Some(redis) = RedisServer::with(&settings).await else { return };
    let url = redis.url();
    let store = [("url", url.as_str())];
    let mut running = start(&["serve", "--without-push"], &store);
    let http = Http::new(running.ready().await.expect("it starts"));
    let (ready, detail) = readiness(&http).await;
    assert!(ready, "{detail}");
    let (log, checked) = (log_to_its_end(running).await, check(&store).await);
    let line = checked.stdout.lines().find(|line| line.starts_with("ok    store: "));
    for said in [detail.as_str(), &log, line.unwrap_or_else(|| panic!("{checked:?}"))] {
        assert!(said.contains("maxmemory-policy is allkeys-lru") && said.contains("appendonly is off"), "{said}");
    }
}

#[tokio::test]
async fn no_log_error_or_readiness_has_the_password() {
    let Some(mut redis) = RedisServer::with_tls_and_acl().await else { return };
    let url = redis.url().replace("://", &format!("://{USER}:{PASSWORD}@"));
    let ca = redis.ca_file();
    let store = [("url", url.as_str()), ("ca_file", ca.to_str().expect("a path"))];
    let mut running = start(&["serve", "--without-push"], &store);
    let http = Http::new(running.ready().await.expect("it starts"));
    let mut said = vec![readiness(&http).await.1];
    redis.kill();
    said.push(readiness(&http).await.1);
    let reply = http.get("/v1/bans", "bw_sk_unknown").await;
    said.extend([reply.text, log_to_its_end(running).await, check(&store).await.stdout]);
    assert!(said[1].contains("Redis"), "it says what is wrong: {said:?}");
    for text in said {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}
