//! What is held of people: encrypted where it is stored, erased when that is asked for, and not kept for longer than it must be.

mod encryption;
mod erasure;
mod history;

use std::fmt::Write as _;

use crate::support::redis::RedisServer;

/// All that is stored under a prefix on these servers, names of keys and values, as text.
async fn dump(servers: &[&RedisServer], prefix: &str) -> String {
    let mut dump = String::new();
    for server in servers {
        let mut cursor = "0".to_owned();
        loop {
            let pattern = format!("{prefix}:*");
            let scan = ["SCAN", &cursor, "MATCH", &pattern, "COUNT", "1000"];
            let (next, keys): (String, Vec<String>) = server.read(&scan).await;
            for key in keys {
                let kind: String = server.read(&["TYPE", &key]).await;
                let read: &[&str] = match kind.as_str() {
                    "string" => &["GET", &key],
                    "hash" => &["HGETALL", &key],
                    "set" => &["SMEMBERS", &key],
                    "list" => &["LRANGE", &key, "0", "-1"],
                    "zset" => &["ZRANGE", &key, "0", "-1"],
                    // It went meanwhile.
                    "none" => continue,
                    other => panic!("{key} is a {other}"),
                };
                writeln!(dump, "{key} {:?}", server.command(read).await).expect("memory");
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
    }
    dump
}
