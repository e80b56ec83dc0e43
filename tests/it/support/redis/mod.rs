//! Redis servers for tests: one, one with TLS and users, a cluster of three, and a master with its replica under a Sentinel.
//!
//! They run where there is a server of Redis 7: `BELLWIRE_TEST_REDIS` names it, or `redis-server` is on the path. Each has ports
//! and folders of its own, and ends with its value, and in any case with the process of the tests.

mod cluster;
mod sentinel;
pub(super) mod server;
pub(super) mod tls;

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bellwire::config::Config;
use bellwire::config::store::{Redis, StoreUrl};
use tokio::time::{sleep, timeout};

use super::SOON;

pub use cluster::RedisCluster;
pub use sentinel::Sentinels;
pub use server::RedisServer;
pub use tls::{PASSWORD, USER};

/// A value of `store.key_prefix` that no other test of this process has, and that [`USER`] may use.
pub fn fresh_prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("bw:t{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The program, or why there is none.
static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    let named = std::env::var_os("BELLWIRE_TEST_REDIS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || std::env::split_paths(&path).map(|folder| folder.join("redis-server")).find(|path| path.is_file());
    let program = named.or_else(found).ok_or("no redis-server on the path, and BELLWIRE_TEST_REDIS is not set")?;
    let told = Command::new(&program).arg("--version").output().expect("redis-server runs").stdout;
    let told = String::from_utf8_lossy(&told);
    let version = told.split_once(" v=").map_or("", |(_, rest)| rest);
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major < Some(7) {
        return Err(format!("{} is older than Redis 7: {}", program.display(), told.trim()));
    }
    Ok(program)
});

/// The server to run; without one, says that this test is skipped.
fn binary() -> Option<PathBuf> {
    PROGRAM.as_ref().map_err(|reason| println!("SKIPPED: {reason}")).ok().cloned()
}

/// The configuration of a store at `url`, with keys of its own, and with these other keys of `[store]`.
pub fn store_config(url: &str, others: &[(&str, &str)]) -> Redis {
    let prefix = fresh_prefix();
    let keys = [("url", url), ("key_prefix", prefix.as_str())].into_iter().chain(others.iter().copied());
    let mut variables: Vec<(String, String)> =
        keys.map(|(key, value)| (format!("BELLWIRE__STORE__{}", key.to_uppercase()), value.to_owned())).collect();
    variables.push(("BELLWIRE__AUTH__TICKET_SECRET".to_owned(), "a-secret-for-the-tickets-of-the-tests".to_owned()));
    match Config::load(None, variables).expect("a configuration").store.url {
        StoreUrl::Redis(redis) => redis,
        StoreUrl::Embedded(_) => panic!("{url} is no Redis"),
    }
}

/// Waits for something that is not announced.
async fn expect(what: &str, reached: impl AsyncFn() -> bool) {
    let waiting = async {
        while !reached().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(6 * SOON, waiting).await.unwrap_or_else(|_| panic!("there is never {what}"));
}
