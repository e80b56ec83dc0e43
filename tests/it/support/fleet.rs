//! Several gateways on one Redis and one simulator, in this process or as processes of their own.
//!
//! Each is a [`Stage`], so whatever is asked of one gateway can be asked of any of them.

use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::Duration;

use bellwire::app::Gateway;
use bellwire::clock::Clock;
use bellwire::config::Config;
use bellwire::simulator::{Log, Simulator};
use futures_util::future::join_all;

use super::proxy::Proxy;
use super::redis::{RedisServer, fresh_prefix};
use super::{Process, Stage, start_simulator};

/// How long a gateway waits for its store: longer than by default, since what a slow Redis does is tested elsewhere, and a machine that is
/// busy with other tests is slow.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// What has the last word on a gateway's configuration.
pub type Change = Box<dyn FnOnce(&mut Config)>;

/// Gateways that carry calls together.
pub struct Fleet<G = Gateway> {
    stages: Vec<Stage<G>>,
    proxies: Vec<Proxy>,
    /// The key prefix of their store.
    pub prefix: String,
}

impl Fleet {
    /// So many in this process.
    pub async fn start(server: &RedisServer, count: usize) -> Self {
        Self::at(&server.url(), count).await
    }

    /// So many, on the store at this URL.
    pub async fn at(url: &str, count: usize) -> Self {
        Self::with(url, count, "").await
    }

    /// So many, on the store at this URL, with these configuration lines too.
    pub async fn with(url: &str, count: usize, extra: &str) -> Self {
        let prefix = fresh_prefix();
        let simulator = start_simulator(&Clock::system()).await;
        let store = store_lines(url, &prefix);
        let started = (0..count).map(|_| Stage::on(&store, simulator.clone(), Clock::system(), extra, |_| {}));
        Self { stages: join_all(started).await, proxies: Vec::new(), prefix }
    }

    /// One for each of these configuration lines, all on one clock.
    pub async fn of_each(server: &RedisServer, extras: &[&str]) -> Self {
        let prefix = fresh_prefix();
        let clock = Clock::system();
        let simulator = start_simulator(&clock).await;
        let store = store_lines(&server.url(), &prefix);
        let started = extras.iter().map(|extra| Stage::on(&store, simulator.clone(), clock.clone(), extra, |_| {}));
        Self { stages: join_all(started).await, proxies: Vec::new(), prefix }
    }

    /// One for each of these, which has the last word on its configuration.
    pub async fn configured(server: &RedisServer, changes: Vec<Change>) -> Self {
        let prefix = fresh_prefix();
        let simulator = start_simulator(&Clock::system()).await;
        let store = store_lines(&server.url(), &prefix);
        let started =
            changes.into_iter().map(|change| Stage::on(&store, simulator.clone(), Clock::system(), "", change));
        Self { stages: join_all(started).await, proxies: Vec::new(), prefix }
    }

    /// One for each clock, which is wrong by so many milliseconds.
    pub async fn with_clocks(server: &RedisServer, wrong_by_ms: &[i64]) -> Self {
        Self::behind_proxies(server, wrong_by_ms, 0).await
    }

    /// As [`with_clocks`](Self::with_clocks), and the first so many reach Redis by a proxy each.
    pub async fn behind_proxies(server: &RedisServer, wrong_by_ms: &[i64], proxied: usize) -> Self {
        Self::with_prefix(server, fresh_prefix(), wrong_by_ms, proxied).await
    }

    /// As [`behind_proxies`](Self::behind_proxies), on what is stored under a prefix already.
    pub async fn with_prefix(server: &RedisServer, prefix: String, wrong_by_ms: &[i64], proxied: usize) -> Self {
        let simulator = start_simulator(&Clock::system()).await;
        let proxies = join_all((0..proxied).map(|_| Proxy::start(server.port()))).await;
        let started = wrong_by_ms.iter().enumerate().map(|(number, wrong)| {
            let url = proxies.get(number).map_or_else(|| server.url(), |proxy| format!("redis://{}", proxy.address()));
            let (store, clock, simulator) = (store_lines(&url, &prefix), Clock::off_by_ms(*wrong), simulator.clone());
            async move { Stage::on(&store, simulator, clock, "", |_| {}).await }
        });
        Self { stages: join_all(started).await, proxies, prefix }
    }

    /// One, which reaches Redis by a proxy, with these configuration lines too.
    pub async fn proxied(server: &RedisServer, extra: &str) -> Self {
        let prefix = fresh_prefix();
        let simulator = start_simulator(&Clock::system()).await;
        let proxy = Proxy::start(server.port()).await;
        let store = store_lines(&format!("redis://{}", proxy.address()), &prefix);
        let stage = Stage::on(&store, simulator, Clock::system(), extra, |_| {}).await;
        Self { stages: vec![stage], proxies: vec![proxy], prefix }
    }

    /// The proxy between a gateway and Redis.
    pub fn proxy(&self, gateway: usize) -> &Proxy {
        &self.proxies[gateway]
    }
}

impl Fleet<Process> {
    /// So many processes, with these configuration lines too.
    pub async fn of_processes(server: &RedisServer, count: usize, extra: &str) -> Self {
        let prefix = fresh_prefix();
        let clock = Clock::system();
        let simulator = start_simulator(&clock).await;
        let store = store_lines(&server.url(), &prefix);
        let started = (0..count).map(|_| Stage::on_store(&store, Arc::clone(&simulator), clock.clone(), extra));
        Self { stages: join_all(started).await, proxies: Vec::new(), prefix }
    }
}

impl<G> Fleet<G> {
    /// What the providers received.
    pub fn pushes(&self) -> &Log {
        self.stages[0].pushes()
    }

    /// Apple and Google, as all of them see them.
    pub fn simulator(&self) -> &Simulator {
        &self.stages[0].simulator
    }
}

impl<G> Index<usize> for Fleet<G> {
    type Output = Stage<G>;

    fn index(&self, gateway: usize) -> &Stage<G> {
        &self.stages[gateway]
    }
}

impl<G> IndexMut<usize> for Fleet<G> {
    fn index_mut(&mut self, gateway: usize) -> &mut Stage<G> {
        &mut self.stages[gateway]
    }
}

fn store_lines(url: &str, prefix: &str) -> String {
    format!("url = \"{url}\"\nkey_prefix = \"{prefix}\"\ntimeout = \"{}ms\"", STORE_TIMEOUT.as_millis())
}
