//! A cluster of three masters, whose slots can be moved.

use std::time::Duration;

use redis::Value;
use tokio::sync::OnceCell;

use super::server::{Kind, RedisServer};
use super::{binary, expect};
use crate::support::ports::free_port;

/// How many slots a cluster has: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
const SLOTS: u16 = 16_384;

/// Three masters with a third of the slots each.
pub struct RedisCluster {
    /// The masters: each can be killed, paused and started again by itself.
    pub masters: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one. Without a redis-server on this machine it says that the test is skipped, and gives none.
    pub async fn start() -> Option<Self> {
        // Short, so that a dead master is missed soon.
        Self::with_node_timeout(Duration::from_secs(5)).await
    }

    async fn with_node_timeout(node_timeout: Duration) -> Option<Self> {
        let binary = binary()?;
        let node_timeout = node_timeout.as_millis();
        let settings = || {
            let bus = free_port();
            format!("cluster-enabled yes\ncluster-port {bus}\ncluster-node-timeout {node_timeout}\n")
        };
        let start = || RedisServer::launch(&binary, Kind::Plain, settings);
        let (first, second, third) = tokio::join!(start(), start(), start());
        let cluster = Self { masters: vec![first, second, third] };
        cluster.meet().await;
        cluster.expect_state("ok").await;
        Some(cluster)
    }

    /// The cluster that the tests of this process share: nobody stops it, empties it or moves its slots, and each test uses
    /// a [`fresh_prefix`](super::fresh_prefix).
    pub async fn shared() -> Option<&'static Self> {
        static CLUSTER: OnceCell<Option<RedisCluster>> = OnceCell::const_new();
        binary()?;
        // Long, so that no machine is too busy for it.
        CLUSTER.get_or_init(|| Self::with_node_timeout(Duration::from_secs(30))).await.as_ref()
    }

    /// Gives each its slots, and makes them known to one another.
    async fn meet(&self) {
        let share = SLOTS.div_ceil(3);
        for (at, first) in (0..SLOTS).step_by(share.into()).enumerate() {
            let last = (first + share).min(SLOTS) - 1;
            let master = &self.masters[at];
            master.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]).await;
            master.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
            let bus: Vec<String> = master.read(&["CONFIG", "GET", "cluster-port"]).await;
            if at > 0 {
                self.masters[0].command(&["CLUSTER", "MEET", "127.0.0.1", &master.port().to_string(), &bus[1]]).await;
            }
        }
    }

    /// The addresses of all masters, as `store.url` takes them.
    pub fn url(&self) -> String {
        let nodes: Vec<_> = self.masters.iter().map(|master| format!("127.0.0.1:{}", master.port())).collect();
        format!("redis-cluster://{}", nodes.join(","))
    }

    /// Waits until every master that runs sees the cluster in this state, `ok` or `fail`.
    pub async fn expect_state(&self, state: &str) {
        for master in self.masters.iter().filter(|master| master.is_running()) {
            let in_state =
                async || master.try_command(&["CLUSTER", "INFO"]).await.is_ok_and(|info| in_state(info, state));
            expect(&format!("a cluster with the state {state}"), in_state).await;
        }
    }

    /// The slot of a key.
    pub async fn slot(&self, key: &str) -> u16 {
        self.masters[0].read(&["CLUSTER", "KEYSLOT", key]).await
    }

    /// Which of the masters has a slot, as it sees itself.
    pub async fn owner(&self, slot: u16) -> usize {
        for (at, master) in self.masters.iter().enumerate() {
            let nodes: String = master.read(&["CLUSTER", "NODES"]).await;
            let itself = nodes.lines().find(|line| line.contains("myself")).expect("its own line");
            if itself.split(' ').skip(8).any(|range| covers(range, slot)) {
                return at;
            }
        }
        panic!("nobody has the slot {slot}");
    }

    /// Moves a slot to another master, with its keys, while the cluster runs.
    pub async fn move_slot(&self, slot: u16, to: usize) {
        self.begin_move(slot, to).await.finish().await;
    }

    /// Begins to move a slot: keys that are not there yet are made at `to`, and clients are sent on by `ASK`.
    pub async fn begin_move(&self, slot: u16, to: usize) -> SlotMove<'_> {
        let from = self.owner(slot).await;
        assert_ne!(from, to, "the slot is there already");
        let (source, target, number) = (&self.masters[from], &self.masters[to], slot.to_string());
        target.command(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &id(source).await]).await;
        source.command(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &id(target).await]).await;
        SlotMove { masters: &self.masters, slot: number, from, to }
    }
}

/// A slot between two masters.
#[must_use = "the slot stays between two masters until it is finished"]
pub struct SlotMove<'a> {
    masters: &'a [RedisServer],
    slot: String,
    from: usize,
    to: usize,
}

impl SlotMove<'_> {
    /// Moves the keys, and then tells every master.
    pub async fn finish(self) {
        let (source, target) = (&self.masters[self.from], &self.masters[self.to]);
        let port = target.port().to_string();
        loop {
            let keys: Vec<String> = source.read(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "100"]).await;
            if keys.is_empty() {
                break;
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            source.command(&words).await;
        }
        let id = id(target).await;
        // The new owner first: a slot that nobody has would be a cluster that fails.
        for master in [target, source].into_iter().chain(self.masters) {
            master.command(&["CLUSTER", "SETSLOT", &self.slot, "NODE", &id]).await;
        }
    }
}

async fn id(master: &RedisServer) -> String {
    master.read(&["CLUSTER", "MYID"]).await
}

/// Whether a range of `CLUSTER NODES` has a slot: `7`, `0-5461`, or `[7->-id]` of a slot that moves, which does not count.
fn covers(range: &str, slot: u16) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
}

fn in_state(info: Value, state: &str) -> bool {
    let info: String = redis::from_redis_value(info).expect("a text");
    let all_known = info.contains("cluster_known_nodes:3\r\n") && info.contains("cluster_slots_assigned:16384\r\n");
    all_known && info.contains(&format!("cluster_state:{state}\r\n"))
}
