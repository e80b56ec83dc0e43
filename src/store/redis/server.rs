//! What a Redis is, whether it can be used, and what in its settings would lose calls.
//!
//! Read at the start and whenever somebody asks after the store's health; nothing is changed there.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures_util::future::join_all;
use redis::{cmd, from_redis_value};

use super::keys::{Keys, Partition};
use super::link::Link;
use super::unreadable;
use crate::store::StoreError;

/// The oldest Redis with what is used here: sharded channels and `PEXPIRETIME`
/// (<https://redis.io/docs/latest/commands/spublish/>).
const OLDEST: u32 = 7;
/// How long what was written for a try stands.
const PROBE_KEPT_MS: u32 = 1000;

/// A server as it describes itself.
struct Server(HashMap<String, String>);

/// What is known of the servers: one, or the masters of a cluster.
pub(super) struct Fitness {
    pub(super) versions: Vec<String>,
    /// What in their settings would lose calls.
    pub(super) warnings: Vec<String>,
    /// Why some cannot be used.
    pub(super) failures: Vec<StoreError>,
    /// How many servers there are.
    pub(super) of: usize,
}

impl Fitness {
    /// Asks each server what it is, and has it write something.
    pub(super) async fn of(link: &Link, keys: &Keys, instance: &str) -> Self {
        let looks = one_of_each(link, keys).into_iter().map(|partition| look(link, partition.key("probe", instance)));
        let looks: Vec<_> = looks.collect();
        let of = looks.len();
        let (mut versions, mut warnings, mut failures) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for look in join_all(looks).await {
            match look {
                Ok(server) => {
                    versions.insert(server.version());
                    warnings.extend(server.warnings());
                }
                Err(error) => failures.push(error),
            }
        }
        Self { versions: versions.into_iter().collect(), warnings: warnings.into_iter().collect(), failures, of }
    }
}

/// One partition of each server.
pub(super) fn one_of_each<'a>(link: &Link, keys: &'a Keys) -> Vec<Partition<'a>> {
    let mut places = HashSet::new();
    keys.all().filter(|partition| places.insert(link.place_of(&partition.one("probe")))).collect()
}

/// The server that has a key, if it can be used.
async fn look(link: &Link, key: String) -> Result<Server, StoreError> {
    let write = async {
        // A server may answer, and not be able to write.
        link.ask(cmd("SET").arg(&key).arg(1).arg("PX").arg(PROBE_KEPT_MS)).await
    };
    let info = cmd("INFO");
    let (answer, written) = tokio::join!(link.ask_beside(&key, &info), write);
    let text: String = from_redis_value(answer?).map_err(unreadable)?;
    let server = Server::parse(&text);
    match server.refusal(link.is_cluster()) {
        Some(why) => Err(StoreError::Unavailable(why)),
        None => written.map(|_| server),
    }
}

impl Server {
    fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Its name and version.
    fn version(&self) -> String {
        match self.field("valkey_version") {
            "" => format!("Redis {}", self.field("redis_version")),
            version => format!("Valkey {version}"),
        }
    }

    /// Why it cannot be used, as one of a cluster or alone, if it cannot.
    fn refusal(&self, of_cluster: bool) -> Option<String> {
        // Valkey goes on counting where Redis 7.2 was, also in this field.
        let major = self.field("redis_version").split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < OLDEST) {
            return Some(format!("{} is too old: {OLDEST}.0 is the oldest that can be used", self.version()));
        }
        if self.field("role") == "slave" {
            return Some("it is a replica, which cannot be written".to_owned());
        }
        let lonely = self.field("cluster_enabled") == "1" && !of_cluster;
        lonely.then(|| "it is a node of a cluster: store.url must begin with redis-cluster://".to_owned())
    }

    /// What in its settings would lose calls, in words.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let policy = self.field("maxmemory_policy");
        if policy != "noeviction" {
            warnings.push(format!(
                "maxmemory-policy is {policy}: when memory is short, Redis throws calls and devices away; set noeviction"
            ));
        }
        if self.field("aof_enabled") != "1" {
            warnings.push(
                "appendonly is off: a restart of Redis loses the calls and devices since its last snapshot".to_owned(),
            );
        }
        if self.field("aof_last_write_status") == "err" || self.field("rdb_last_bgsave_status") == "err" {
            warnings.push("Redis cannot write to its disk".to_owned());
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(fields: &str) -> Server {
        let usual =
            "# Server\r\nredis_version:7.2.4\r\nrole:master\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n";
        Server::parse(&format!("{usual}{fields}"))
    }

    #[test]
    fn a_server_as_it_should_be_is_taken_without_a_word() {
        let server = server("");
        assert_eq!((server.version().as_str(), server.refusal(false)), ("Redis 7.2.4", None));
        assert!(server.warnings().is_empty());
    }

    #[test]
    fn a_server_that_is_too_old_or_a_replica_is_refused() {
        assert!(server("redis_version:6.2.14\r\n").refusal(true).expect("refused").contains("too old"));
        assert!(server("role:slave\r\n").refusal(true).expect("refused").contains("replica"));
        assert!(Server::parse("").refusal(true).is_some(), "nothing is known of it");
    }

    #[test]
    fn a_node_of_a_cluster_is_refused_where_it_is_named_alone() {
        let node = server("cluster_enabled:1\r\n");
        assert_eq!(node.refusal(true), None);
        assert!(node.refusal(false).expect("refused").contains("redis-cluster://"));
    }

    #[test]
    fn settings_that_lose_calls_are_told() {
        let warnings =
            server("maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\nrdb_last_bgsave_status:err\r\n").warnings();
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[0].contains("allkeys-lru"));
    }
}
