//! What a Redis is, whether it can be used, and what in its settings would lose calls.
//!
//! Read at the start and whenever somebody asks after the store's health; nothing is changed there.

use std::collections::HashMap;

use redis::{Value, cmd, from_redis_value};

use super::link::Link;
use crate::store::StoreError;

/// The oldest Redis with what is used here: sharded channels and `PEXPIRETIME`
/// (<https://redis.io/docs/latest/commands/spublish/>).
const OLDEST: u32 = 7;

/// A server as it describes itself.
pub(super) struct Server(HashMap<String, String>);

/// The servers behind a link: one, or the masters of a cluster.
pub(super) async fn look(link: &Link) -> Result<Vec<Server>, StoreError> {
    let answer = link.ask(&cmd("INFO")).await?;
    let texts: Vec<String> = match answer {
        Value::Map(nodes) => nodes.into_iter().filter_map(|(_, text)| from_redis_value(text).ok()).collect(),
        text => from_redis_value(text).into_iter().collect(),
    };
    let servers: Vec<Server> = texts.iter().map(|text| Server::parse(text)).collect();
    if servers.is_empty() { Err(StoreError::Unavailable("Redis does not say what it is".into())) } else { Ok(servers) }
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
    pub(super) fn version(&self) -> String {
        match self.field("valkey_version") {
            "" => format!("Redis {}", self.field("redis_version")),
            version => format!("Valkey {version}"),
        }
    }

    /// Why it cannot be used, if it cannot.
    pub(super) fn refusal(&self) -> Option<String> {
        // Valkey goes on counting where Redis 7.2 was, also in this field.
        let major = self.field("redis_version").split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < OLDEST) {
            return Some(format!("{} is too old: {OLDEST}.0 is the oldest that can be used", self.version()));
        }
        (self.field("role") == "slave").then(|| "it is a replica, which cannot be written".to_owned())
    }

    /// What in its settings would lose calls, in words.
    pub(super) fn warnings(&self) -> Vec<String> {
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
        assert_eq!((server.version().as_str(), server.refusal()), ("Redis 7.2.4", None));
        assert!(server.warnings().is_empty());
    }

    #[test]
    fn a_server_that_is_too_old_or_a_replica_is_refused() {
        assert!(server("redis_version:6.2.14\r\n").refusal().expect("refused").contains("too old"));
        assert!(server("role:slave\r\n").refusal().expect("refused").contains("replica"));
        assert!(Server::parse("").refusal().is_some(), "nothing is known of it");
    }

    #[test]
    fn settings_that_lose_calls_are_told() {
        let warnings =
            server("maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\nrdb_last_bgsave_status:err\r\n").warnings();
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[0].contains("allkeys-lru"));
    }
}
