//! Everything that a store holds, on each kind of Redis.

use std::collections::BTreeSet;

use bellwire::config::store::{EncryptionKey, Redis as RedisConfig};
use bellwire::store::Store;
use bellwire::store::embedded::Embedded;

use super::scene::{HOUR, Scene, answers, deeds, fill};
use super::{Old, bytes};
use crate::store_laws::fixture::{token, user};
use crate::support::redis::{PASSWORD, RedisCluster, RedisServer, USER, store_config};

/// Every kind of thing that there is.
const KINDS: [&str; 16] = [
    "accounted",
    "bans",
    "blocks",
    "calls",
    "contacts",
    "devices",
    "history",
    "jobs",
    "keys",
    "lines",
    "missed",
    "rates",
    "told",
    "told_at",
    "tombstones",
    "usage_days",
];

async fn filled() -> (Old, Scene) {
    let old = Old::new();
    let store = old.open();
    let scene = fill(&store, &old.clock).await;
    store.close().await;
    (old, scene)
}

/// Moves a store with some of everything to this Redis, and sees that it answers and goes on as the old one.
async fn all_is_there(config: &RedisConfig) {
    let (old, scene) = filled().await;
    let before = bytes(&old.path());
    // A ban and what Bob was told are over by now.
    old.clock.advance(HOUR * 2 / 3);
    let moved = old.migrate(config).await.expect("moved");
    assert_eq!(moved.counts.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from(KINDS));
    let count = |kind| moved.counts[kind];
    assert_eq!((count("devices"), count("bans"), count("blocks"), count("calls")), (3, 2, 3, 2));
    assert_eq!((moved.over, moved.removed), (1, 0), "Trudy's ban");
    assert!(bytes(&old.path()) == before, "the file is as it was");

    let (new, store) = (old.new_store(config).await, old.open());
    let now = old.clock.now();
    assert_eq!(answers(&new, &scene, now).await, answers(&store, &scene, now).await);
    assert_eq!(deeds(&new, &scene, &old.clock, now).await, deeds(&store, &scene, &old.clock, now).await);
    assert_eq!(answers(&new, &scene, now).await, answers(&store, &scene, now).await, "after that too");
}

#[tokio::test]
async fn everything_is_there_on_one_redis() {
    let Some(server) = RedisServer::shared().await else { return };
    all_is_there(&store_config(&server.url(), &[])).await;
}

#[tokio::test]
async fn everything_is_there_on_a_cluster() {
    let Some(cluster) = RedisCluster::shared().await else { return };
    all_is_there(&store_config(&cluster.url(), &[])).await;
}

#[tokio::test]
async fn everything_is_there_by_tls_and_a_user_who_may_no_more_than_gateways() {
    let Some(server) = RedisServer::shared_with_tls_and_acl().await else { return };
    let ca = server.ca_file();
    let keys = [("username", USER), ("password", PASSWORD), ("ca_file", ca.to_str().expect("a path"))];
    all_is_there(&store_config(&server.url(), &keys)).await;
}

#[tokio::test]
async fn users_are_erased_from_the_new_store_as_from_the_old_one() {
    let Some(server) = RedisServer::shared().await else { return };
    let config = store_config(&server.url(), &[]);
    let (old, _) = filled().await;
    old.migrate(&config).await.expect("moved");
    let (new, store) = (old.new_store(&config).await, old.open());
    for name in ["ann", "bob", "dan", "mallory"] {
        let (on_new, on_old) = (new.forget_user(&user(name)).await, store.forget_user(&user(name)).await);
        assert_eq!(on_new.expect("forgotten"), on_old.expect("forgotten"), "{name}");
    }
}

fn sealed(store: Embedded, number: u8) -> Embedded {
    store.sealed_by(&[EncryptionKey::Key([number; 32])])
}

#[tokio::test]
async fn tokens_are_moved_to_the_first_key_of_the_new_store() {
    let Some(server) = RedisServer::shared().await else { return };
    let config = store_config(&server.url(), &[]);
    let (old, keys) = (Old::new(), [EncryptionKey::Key([2; 32]), EncryptionKey::Key([1; 32])]);
    let store = sealed(old.open(), 1);
    let scene = fill(&store, &old.clock).await;
    store.close().await;
    let migration = old.migration(&config, &keys).await;
    assert_eq!(migration.survey(|_, _| {}).await.expect("a survey").unopened, 0);
    migration.run(|_, _| {}).await.expect("moved");
    drop(migration);
    // The old key is not needed any more.
    let new = old.new_store(&config).await.sealed_by(&keys[..1]);
    let (now, store) = (old.clock.now(), sealed(old.open(), 1));
    assert_eq!(answers(&new, &scene, now).await, answers(&store, &scene, now).await);
    assert_eq!(new.devices(&user("bob")).await.expect("devices")[0].voip_token, Some(token("aa11")));
}

#[tokio::test]
async fn tokens_that_the_new_store_could_not_open_are_found_before_anything_is_written() {
    let Some(server) = RedisServer::shared().await else { return };
    let config = store_config(&server.url(), &[]);
    let old = Old::new();
    let store = sealed(old.open(), 1);
    fill(&store, &old.clock).await;
    store.close().await;
    for keys in [&[][..], &[EncryptionKey::Key([2; 32])]] {
        let survey = old.survey(&config, keys).await;
        assert_eq!((survey.unopened, survey.damaged.len()), (3, 0));
        assert!(survey.trouble.expect("told").contains("store.encryption_key"));
    }
    // Who moves them all the same can open them later.
    old.migration(&config, &[]).await.run(|_, _| {}).await.expect("moved");
    let new = old.new_store(&config).await;
    assert_eq!(new.devices(&user("ann")).await.expect("devices")[0].tokens().count(), 0);
    let new = new.sealed_by(&[EncryptionKey::Key([1; 32])]);
    assert_eq!(new.devices(&user("ann")).await.expect("devices")[0].fcm_token, Some(token("fcm-ann")));
}
