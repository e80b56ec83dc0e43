//! Wake-ups that no gateway here can act on: of records that a newer release wrote, and of records that somebody removed by hand.
//! They hold nobody else's up.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{Call, CallId, State};
use bellwire::store::redis::Redis;
use bellwire::store::{Commit, Slot, Store};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::store_laws::fixture::new_call;
use crate::support::redis::{RedisServer, store_config};
use crate::support::{Fleet, SOON};

/// More than one sweep takes.
const OF_EACH: usize = 600;

/// Commits a call that has rung for too long for so many minutes.
async fn overdue(store: &Redis, clock: &Clock, minutes: u64) -> Call {
    let call = new_call(clock);
    let ring_until = clock.now() - Duration::from_mins(minutes);
    // Presence is asked about by tasks, which are none of this.
    let call = Call { ring_until, tasks: Vec::new(), ..call };
    store.commit(Commit { call: Arc::new(call.clone()), expected: None, announced: 0 }).await.expect("written");
    call
}

/// Changes the records of these calls by a command on each key.
async fn spoil(server: &RedisServer, prefix: &str, calls: &[Call], words: &[&str]) {
    let keys: Vec<String> = server.read(&["KEYS", &format!("{prefix}:*:call:*")]).await;
    let (command, arguments) = words.split_first().expect("a command");
    let arguments = arguments.iter().map(|argument| format!(", '{argument}'")).collect::<Vec<_>>().concat();
    let lines = calls.iter().map(|call| {
        let key = keys.iter().find(|key| key.ends_with(&call.id.to_string())).expect("its key");
        format!("redis.call('{command}', '{key}'{arguments})\n")
    });
    let script = lines.collect::<Vec<_>>().concat();
    server.command(&["EVAL", &script, "0"]).await;
}

#[tokio::test]
async fn wake_ups_that_cannot_be_acted_on_hold_no_other_up() {
    let Some(server) = RedisServer::shared().await else { return };
    let (config, clock) = (store_config(&server.url(), &[]), Clock::system());
    let store = &Redis::open(&config, SOON, clock.clone()).await.expect("a store");
    let removed = join_all((0..OF_EACH).map(|_| overdue(store, &clock, 20))).await;
    let newer = join_all((0..OF_EACH).map(|_| overdue(store, &clock, 10))).await;
    let call = overdue(store, &clock, 1).await;
    spoil(server, &config.key_prefix, &removed, &["DEL"]).await;
    spoil(server, &config.key_prefix, &newer, &["SETRANGE", "10", "9"]).await;

    let _fleet = Fleet::with_prefix(server, config.key_prefix.clone(), &[0, 0], 0).await;
    let ended = async {
        while !matches!(store.load(call.id).await, Ok(Slot::Call(call)) if call.state == State::Ended) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, ended).await.expect("it is timed out");
    // What has no record is forgotten; what a newer release wrote waits for one.
    let forgotten = async {
        loop {
            let due: HashSet<CallId> =
                store.due(clock.now(), usize::MAX, &HashSet::new()).await.expect("what is due").into_iter().collect();
            assert!(newer.iter().all(|call| due.contains(&call.id)));
            if due.len() == OF_EACH {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, forgotten).await.expect("they are forgotten");
}
