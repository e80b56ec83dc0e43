//! What readers who have nothing to read cost Redis: nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::Stream;
use crate::support::Fleet;
use crate::support::redis::RedisServer;

const READERS: usize = 200;
/// Long enough for two comparisons of what was heard with what was said.
const WATCHED_FOR: Duration = Duration::from_secs(11);

/// How often Redis was asked for each command so far, by its own count.
async fn commands(server: &RedisServer) -> BTreeMap<String, u64> {
    let info: String = server.read(&["INFO", "commandstats"]).await;
    let stats = info.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    let counted = stats.map(|(name, rest)| {
        let calls = rest.split(',').next().expect("a number");
        (name.to_owned(), calls.parse().expect("a number"))
    });
    counted.collect()
}

/// What was asked of a server while it was watched, beside what the sweeps ask, which keep no even pace.
async fn watch(server: &RedisServer) -> (u64, BTreeMap<String, u64>) {
    let before = commands(server).await;
    sleep(WATCHED_FOR).await;
    let mut asked = commands(server).await;
    for (name, count) in &mut asked {
        *count -= before.get(name).copied().unwrap_or_default();
    }
    let all = asked.values().sum();
    asked.retain(|name, count| name != "zrange" && *count > 0);
    (all, asked)
}

#[tokio::test]
async fn readers_who_have_nothing_to_read_cost_redis_nothing() {
    let (Some(lonely), Some(crowded)) = (RedisServer::start().await, RedisServer::start().await) else { return };
    let (_without, with) = tokio::join!(Fleet::start(&lonely, 2), Fleet::start(&crowded, 2));
    let open = async |number: usize| {
        let (user, stage) = (format!("user-{number}"), &with[number % 2]);
        if number % 4 < 2 { Stream::sse(stage, &user, "").await } else { Stream::socket(stage, &user, "").await }
    };
    let _readers: Vec<Stream> = join_all((0..READERS).map(open)).await;
    let ((all_without, without), (all_with, with)) = tokio::join!(watch(&lonely), watch(&crowded));
    println!(
        "commands in {WATCHED_FOR:?}: {all_without} without readers, {all_with} with {READERS}: {without:?}, {with:?}"
    );
    // One question of each reader would show: a comparison more or less is 256 of `get`, at two gateways.
    for (name, count) in with {
        let slack = if name == "get" { 2 * 256 } else { 20 };
        assert!(count <= without.get(&name).copied().unwrap_or_default() + slack, "{name}: {count}");
    }
    assert!(all_with <= all_without + all_without / 4, "{all_with} instead of {all_without}");
}
