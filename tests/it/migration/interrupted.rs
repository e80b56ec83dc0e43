//! Runs that do not come to their end, and two at a time.

use std::sync::Arc;
use std::time::Duration;

use bellwire::store::Store;
use bellwire::store::migration::{MigrationError, Phase};
use bellwire::store::redis::{OpenError, Redis, TargetError};
use tokio::sync::Notify;

use super::{Old, TIMEOUT, blocker};
use crate::store_laws::fixture::user;
use crate::support::redis::{RedisServer, store_config};

/// How many users have blocked somebody: several batches.
const MANY: usize = 5000;

/// Runs a migration until so much was moved or compared, and then as if the process had been killed.
async fn killed_at(old: &Old, config: &bellwire::config::store::Redis, phase: Phase, done: u64) {
    let reached = Arc::new(Notify::new());
    let told = Arc::clone(&reached);
    let migration = old.migration(config, &[]).await;
    let run = migration.run(move |at, so_much| {
        if at == phase && so_much >= done {
            told.notify_one();
        }
    });
    tokio::select! {
        biased;
        () = reached.notified() => {}
        ended = run => panic!("it ended before: {ended:?}"),
    }
}

#[tokio::test]
async fn a_run_that_was_killed_keeps_gateways_off_and_the_next_one_begins_anew() {
    let Some(server) = RedisServer::shared().await else { return };
    let config = store_config(&server.url(), &[]);
    let old = Old::with_blocks(MANY).await;
    killed_at(&old, &config, Phase::Moving, 2000).await;
    let refused = Redis::open(&config, TIMEOUT, old.clock.clone()).await.err().expect("half a store");
    assert!(matches!(refused, OpenError::Unfit { .. }), "{refused}");
    assert!(refused.to_string().contains("bellwire migrate-store"), "{refused}");

    // Meanwhile the old gateway runs again, and a block is lifted that was moved already.
    let store = old.open();
    for number in 0..MANY {
        store.set_block(&user(&blocker(number)), &user("eve"), number % 2 == 0).await.expect("changed");
    }
    store.close().await;
    let moved = old.migrate(&config).await.expect("moved");
    assert_eq!(moved.counts["blocks"], MANY as u64 / 2);
    assert!((2000..=MANY as u64).contains(&moved.removed), "{}", moved.removed);
    let new = old.new_store(&config).await;
    for number in 0..MANY {
        let blocks = new.blocks(&user(&blocker(number))).await.expect("blocks");
        assert_eq!(blocks.len(), (number + 1) % 2, "{number}");
    }
}

#[tokio::test]
async fn a_run_that_was_killed_before_its_end_was_known_is_repeated() {
    let Some(server) = RedisServer::shared().await else { return };
    let config = store_config(&server.url(), &[]);
    let old = Old::with_blocks(MANY).await;
    killed_at(&old, &config, Phase::Comparing, 1).await;
    assert!(Redis::open(&config, TIMEOUT, old.clock.clone()).await.is_err(), "nobody knows yet that all is there");
    assert_eq!(old.migrate(&config).await.expect("moved").removed, MANY as u64);
    old.new_store(&config).await;
}

#[tokio::test]
async fn of_two_runs_at_a_time_one_is_refused() {
    let Some(server) = RedisServer::shared().await else { return };
    let config = store_config(&server.url(), &[]);
    let old = Old::with_blocks(10).await;
    let (first, second) = (old.migration(&config, &[]).await, old.migration(&config, &[]).await);
    first.target.begin_filling().await.expect("held");
    let holding = async {
        loop {
            first.target.keep_filling().await.expect("held");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = holding => {}
        refused = second.run(|_, _| {}) => {
            assert!(matches!(refused, Err(MigrationError::Target(TargetError::Busy(_)))), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn a_run_that_stood_still_for_too_long_writes_no_more() {
    let Some(server) = RedisServer::shared().await else { return };
    let config = store_config(&server.url(), &[]);
    let old = Old::with_blocks(10).await;
    let first = old.migration(&config, &[]).await;
    first.target.begin_filling().await.expect("held");
    assert_eq!(old.migrate(&config).await.expect("it waits until the other one is taken for dead").removed, 0);
    assert!(matches!(first.target.keep_filling().await, Err(TargetError::Lost(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_lost_meanwhile_is_found() {
    let Some(server) = RedisServer::shared().await else { return };
    let config = store_config(&server.url(), &[]);
    let old = Old::with_blocks(10).await;
    let migration = old.migration(&config, &[]).await;
    let lose = async || {
        let pattern = format!("{}:*:blocks:{}", config.key_prefix, blocker(3));
        let keys: Vec<String> = server.read(&["KEYS", &pattern]).await;
        server.command(&["DEL", &keys[0]]).await;
    };
    // As an eviction would, when all is written and nothing compared yet.
    let told = |phase, _| {
        if phase == Phase::Moving {
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(lose()));
        }
    };
    let found = migration.run(told).await.expect_err("something is missing").to_string();
    assert_eq!(found, "the target does not hold what was written to it: 1 differ, blocks of user-3");
    assert!(Redis::open(&config, TIMEOUT, old.clock.clone()).await.is_err(), "no gateway shall run on it");
    drop(migration);
    old.migrate(&config).await.expect("moved");
}
