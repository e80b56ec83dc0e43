//! A master, its replica, and a Sentinel that puts the replica in the master's place.

use redis::Value;

use super::server::{Kind, RedisServer};
use super::{binary, expect};

/// What the Sentinel calls the two.
const NAME: &str = "mymaster";

/// Two servers under a Sentinel.
pub struct Sentinels {
    /// The master at first, and its replica.
    pub servers: [RedisServer; 2],
    sentinel: RedisServer,
}

impl Sentinels {
    /// Starts them. Without a redis-server on this machine it says that the test is skipped, and gives none.
    pub async fn start() -> Option<Self> {
        let binary = binary()?;
        // Otherwise the master waits for more replicas before it sends its data, and is long silent.
        let lively = "repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n";
        let first = RedisServer::launch(&binary, Kind::Plain, || lively.to_owned()).await;
        let port = first.port();
        let replica = || format!("{lively}replicaof 127.0.0.1 {port}\n");
        let second = RedisServer::launch(&binary, Kind::Plain, replica).await;
        expect_replica(&first).await;
        let watch = || {
            format!(
                "sentinel monitor {NAME} 127.0.0.1 {port} 1\n\
                 sentinel down-after-milliseconds {NAME} 1000\n\
                 sentinel failover-timeout {NAME} 10000\n"
            )
        };
        let sentinel = RedisServer::launch(&binary, Kind::Sentinel, watch).await;
        let replicas = async || sentinel.command(&["SENTINEL", "REPLICAS", NAME]).await;
        expect("a replica that the Sentinel knows", async || replicas().await != Value::Array(Vec::new())).await;
        Some(Self { servers: [first, second], sentinel })
    }

    /// The Sentinel's address, as `store.url` takes it.
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/{NAME}", self.sentinel.port())
    }

    /// Which of the servers is the master, as the Sentinel says.
    pub async fn master(&self) -> usize {
        let (_, port): (String, u16) = self.sentinel.read(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).await;
        self.servers.iter().position(|server| server.port() == port).expect("one of the two")
    }

    /// Asks the Sentinel to change the two, and waits until it is done. What the old master accepts meanwhile is lost, but
    /// nothing from before; from then on it answers `READONLY`.
    pub async fn fail_over(&self) {
        let old = self.master().await;
        expect_replica(&self.servers[old]).await;
        // It is refused as long as the Sentinel has not heard from the replica.
        let begin = async || self.sentinel.try_command(&["SENTINEL", "FAILOVER", NAME]).await.is_ok();
        expect("a fail-over that begins", begin).await;
        self.expect_other_master(old).await;
        // The Sentinel itself would tell it 8 seconds later.
        let new = self.servers[1 - old].port().to_string();
        self.servers[old].command(&["REPLICAOF", "127.0.0.1", &new]).await;
        expect_replica(&self.servers[1 - old]).await;
    }

    /// Kills the master, and waits until the replica has its place. Gives which one was killed.
    pub async fn kill_master(&mut self) -> usize {
        let old = self.master().await;
        self.servers[old].kill();
        self.expect_other_master(old).await;
        old
    }

    async fn expect_other_master(&self, old: usize) {
        expect("another master", async || self.master().await != old).await;
    }
}

/// Waits until the replica of a master has all that the master has accepted by now.
async fn expect_replica(master: &RedisServer) {
    let accepted = number(master, "master_repl_offset:").await;
    let has_all = async || number(master, "state=online,offset=").await >= accepted.max(Some(1));
    expect("a replica that has all", has_all).await;
}

/// The number behind these words of `INFO replication`, if the server answers and says them.
async fn number(server: &RedisServer, words: &str) -> Option<u64> {
    // The Sentinel ends the connections of a server whose place it changes.
    let info = server.try_command(&["INFO", "replication"]).await.ok()?;
    let info: String = redis::from_redis_value(info).expect("a text");
    let (_, rest) = info.split_once(words)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
