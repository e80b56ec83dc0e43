//! `bellwire migrate-store`: from an embedded store to Redis with nothing lost, whatever happens on the way.

mod everything;
mod interrupted;
mod refused;
mod scene;
mod whole;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwire::clock::Clock;
use bellwire::config::store::{EncryptionKey, Redis as RedisConfig};
use bellwire::store::Store;
use bellwire::store::embedded::{Embedded, OpenError, Source};
use bellwire::store::migration::{Migration, MigrationError, Moved, Survey};
use bellwire::store::redis::Redis;
use tempfile::TempDir;

use crate::store_laws::fixture::user;
use crate::support::command::{Ended, Running};
use crate::support::redis::{RedisServer, fresh_prefix};

/// How long a store's command may take here.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A Redis that is to be moved to.
struct Target {
    url: String,
    prefix: String,
}

impl Target {
    async fn new() -> Option<Self> {
        Some(Self { url: RedisServer::shared().await?.url(), prefix: fresh_prefix() })
    }

    /// The lines of `[store]` of the gateways to come.
    fn lines(&self) -> String {
        format!("url = \"{}\"\nkey_prefix = \"{}\"\ntimeout = \"2s\"", self.url, self.prefix)
    }

    /// The command, by the configuration of the gateway that was, with this store in it.
    fn start(&self, config_file: &Path, args: &[&str]) -> Running {
        let (from, config) = (store_of(config_file), config_file.to_str().expect("a path"));
        let from = from.to_str().expect("a path");
        let variables = [("BELLWIRE__STORE__URL", self.url.as_str()), ("BELLWIRE__STORE__KEY_PREFIX", &self.prefix)];
        Running::with(&variables, &[&["migrate-store", "--from", from, "--config", config], args].concat())
    }

    async fn move_from(&self, config_file: &Path, args: &[&str]) -> Ended {
        self.start(config_file, args).end().await
    }
}

/// The file of the gateway that has this configuration.
fn store_of(config_file: &Path) -> PathBuf {
    config_file.with_file_name("calls.redb")
}

/// An embedded store that is to be moved.
struct Old {
    folder: TempDir,
    clock: Clock,
}

impl Old {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), clock: Clock::system() }
    }

    /// One in which so many users have blocked somebody.
    async fn with_blocks(count: usize) -> Self {
        let old = Self::new();
        let store = Arc::new(old.open());
        for first in (0..count).step_by(1000) {
            let blocked = crate::store_laws::fixture::at_once(1000.min(count - first), |number| {
                let (store, owner) = (Arc::clone(&store), blocker(first + number));
                async move { store.set_block(&user(&owner), &user("eve"), true).await.expect("blocked") }
            });
            assert!(blocked.await.into_iter().all(|changed| changed));
        }
        store.close().await;
        old
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bellwire.redb")
    }

    /// Opens it, once whoever has read it has let go of it.
    fn open(&self) -> Embedded {
        let began = Instant::now();
        loop {
            match Embedded::open(&self.path(), TIMEOUT, self.clock.clone()) {
                Err(OpenError::InUse(_)) if began.elapsed() < TIMEOUT => std::thread::yield_now(),
                opened => return opened.expect("an embedded store"),
            }
        }
    }

    async fn migration(&self, config: &RedisConfig, keys: &[EncryptionKey]) -> Migration {
        let source = Arc::new(Source::open(&self.path()).expect("a source"));
        let target = Redis::to_be_filled(config, TIMEOUT, self.clock.clone()).await.expect("a target").sealed_by(keys);
        Migration { source, target }
    }

    async fn survey(&self, config: &RedisConfig, keys: &[EncryptionKey]) -> Survey {
        self.migration(config, keys).await.survey(|_, _| {}).await.expect("a survey")
    }

    async fn migrate(&self, config: &RedisConfig) -> Result<Moved, MigrationError> {
        self.migration(config, &[]).await.run(|_, _| {}).await
    }

    /// The store that was filled, as a gateway opens it.
    async fn new_store(&self, config: &RedisConfig) -> Redis {
        Redis::open(config, TIMEOUT, self.clock.clone()).await.expect("the new store")
    }
}

/// A user who has blocked somebody.
fn blocker(number: usize) -> String {
    format!("user-{number}")
}

/// All that a file is, to see that it does not change.
fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the file")
}
