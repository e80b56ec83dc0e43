//! What the command refuses, in which words, and what it leaves alone.

use std::path::Path;

use redb::{Database, TableDefinition};
use serde_json::json;

use super::{Old, Target, bytes, store_of};
use crate::support::command::{Ended, Running};
use crate::support::ports::ClosedPort;
use crate::support::redis::RedisServer;
use crate::support::{Stage, bearer, service_bearer};

#[track_caller]
fn expect(ended: &Ended, code: i32, words: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.stderr.contains(words), "{words}: {ended:?}");
}

/// A configuration that names no store.
const CONFIG: &str = "[auth]\nticket_secret = \"a-secret-for-the-tickets-of-the-tests\"\n";

impl Old {
    /// A configuration beside its file.
    fn config(&self) -> std::path::PathBuf {
        let path = self.folder.path().join("bellwire.toml");
        std::fs::write(&path, CONFIG).expect("written");
        std::fs::rename(self.path(), store_of(&path)).expect("moved");
        path
    }
}

/// Writes a row of a table, as no gateway would.
fn write(file: &Path, table: &str, key: &str, value: &[u8]) {
    let table: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(table);
    let database = Database::open(file).expect("a database");
    let txn = database.begin_write().expect("a transaction");
    txn.open_table(table).expect("a table").insert(key, value).expect("written");
    txn.commit().expect("committed");
}

#[tokio::test]
async fn a_gateway_that_runs_on_either_store_is_in_the_way() {
    let Some(target) = Target::new().await else { return };
    let old = Stage::new().await;
    old.pixel("bob", "pixel-1").await;
    expect(&target.move_from(&old.config_file, &[]).await, 1, "calls.redb is in use: stop the gateway");
    old.gateway.stop().await.expect("stopped");

    let new = Stage::on(&target.lines(), old.simulator.clone(), old.clock.clone(), "", |_| {}).await;
    expect(&target.move_from(&old.config_file, &[]).await, 1, "has a gateway running on it");
    new.pixel("carol", "pixel-2").await;
    new.gateway.stop().await.expect("stopped");
    expect(&target.move_from(&old.config_file, &[]).await, 1, "is not empty");
    // Nothing of that keeps the gateway from its store.
    let new = Stage::on(&target.lines(), old.simulator.clone(), old.clock.clone(), "", |_| {}).await;
    let devices = async |user: &str| new.http.get("/v1/devices", &bearer(user)).await.expect(200)["devices"].clone();
    assert_eq!(devices("bob").await, json!([]));
    assert_eq!(devices("carol").await.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_gateway_that_was_tried_on_the_target_is_not() {
    let Some(target) = Target::new().await else { return };
    let old = Stage::new().await;
    let new = Stage::on(&target.lines(), old.simulator.clone(), old.clock.clone(), "", |_| {}).await;
    new.http.get("/v1/bans", service_bearer()).await.expect(200);
    new.gateway.stop().await.expect("stopped");
    old.gateway.stop().await.expect("stopped");
    expect(&target.move_from(&old.config_file, &[]).await, 0, "");
}

#[tokio::test]
async fn what_was_moved_is_not_moved_again() {
    let Some(target) = Target::new().await else { return };
    let old = Old::with_blocks(10).await;
    let config = old.config();
    let ended = target.move_from(&config, &["--json"]).await;
    expect(&ended, 0, "");
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&document["moved"], &document["over"]), (&json!({"blocks": 10}), &json!(0)));
    expect(&target.move_from(&config, &[]).await, 1, "is not empty");
}

#[tokio::test]
async fn a_command_that_is_killed_is_run_again() {
    let Some(target) = Target::new().await else { return };
    let old = Old::with_blocks(20_000).await;
    let config = old.config();
    target.start(&config, &[]).kill_at("moving: 1000 of 20000").await;
    let ended = target.move_from(&config, &[]).await;
    expect(&ended, 0, "comparing: ");
    assert!(ended.stdout.contains("20000 blocks\n"), "{ended:?}");
    assert!(ended.stdout.contains("keys of a run that did not come to its end were removed first"), "{ended:?}");
}

#[tokio::test]
async fn the_file_of_a_gateway_that_was_killed_is_moved() {
    let Some(target) = Target::new().await else { return };
    let mut stage = Stage::of_process("").await;
    stage.pixel("bob", "pixel-1").await;
    stage.gateway.kill().await;
    let ended = target.move_from(&stage.config_file, &[]).await;
    expect(&ended, 0, "");
    assert!(ended.stdout.contains(" 1 devices\n"), "{ended:?}");
    // And one can go back to it.
    stage.start_again().await;
    let devices = stage.http.get("/v1/devices", &bearer("bob")).await.expect(200);
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
}

#[tokio::test]
async fn a_damaged_record_is_named_before_anything_is_written_and_left_behind_if_that_is_wished() {
    let Some(target) = Target::new().await else { return };
    let old = Old::with_blocks(10).await;
    let config = old.config();
    write(&store_of(&config), "devices", "bro\u{7}ken", b"[{\"fcm_token\":\"secret-token\"");
    write(&store_of(&config), "bans", "eve", b"{}");
    let before = bytes(&store_of(&config));
    for _ in 0..2 {
        let ended = target.move_from(&config, &[]).await;
        expect(&ended, 1, "2 records cannot be read, and would be left behind. Nothing was written");
        expect(&ended, 1, "devices \"bro\\u{7}ken\": a stored record cannot be read");
        expect(&ended, 1, "bans \"eve\": a stored record cannot be read");
        assert!(!ended.stderr.contains("secret-token"), "{ended:?}");
    }
    let ended = target.move_from(&config, &["--skip-damaged"]).await;
    expect(&ended, 0, "2 records cannot be read");
    assert!(ended.stdout.contains("10 blocks\n") && ended.stdout.contains(" 2 could not be read"), "{ended:?}");
    assert!(bytes(&store_of(&config)) == before, "the file is as it was");
}

/// redb panics on a key that is no text, in the middle of the table.
#[tokio::test]
async fn a_file_that_is_damaged_itself_is_not_taken_for_one_that_is_shorter() {
    let Some(target) = Target::new().await else { return };
    let old = Old::with_blocks(5000).await;
    let config = old.config();
    let file = store_of(&config);
    let mut damaged = bytes(&file);
    // Wherever it stands: pages that are out of use have it too.
    for place in 0..damaged.len() {
        if damaged[place..].starts_with(b"user-4321") {
            damaged[place] = 0xff;
        }
    }
    std::fs::write(&file, &damaged).expect("written");
    for arguments in [&[][..], &["--skip-damaged"]] {
        let ended = target.move_from(&config, arguments).await;
        expect(&ended, 1, "the file is damaged, and cannot be read on");
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn a_source_that_is_none_is_refused_and_not_made() {
    let Some(target) = Target::new().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("bellwire.toml");
    std::fs::write(&config, CONFIG).expect("written");
    let file = store_of(&config);
    expect(&target.move_from(&config, &[]).await, 1, "calls.redb cannot be opened");
    assert!(!file.exists());
    std::fs::write(&file, "not a database, but dear to somebody").expect("written");
    expect(&target.move_from(&config, &[]).await, 1, "calls.redb cannot be ");
    assert_eq!(bytes(&file), b"not a database, but dear to somebody");
    drop(Database::create(folder.path().join("novel")).expect("a database"));
    std::fs::rename(folder.path().join("novel"), &file).expect("moved");
    write(&file, "novel", "key", b"");
    expect(&target.move_from(&config, &[]).await, 1, "does not know its table \"novel\"");
}

#[tokio::test]
async fn a_target_that_is_none_is_refused_without_a_secret() {
    let old = Old::with_blocks(1).await;
    let config = old.config();
    let (from, config_file) = (store_of(&config), config.to_str().expect("a path"));
    let args = ["migrate-store", "--from", from.to_str().expect("a path"), "--config", config_file];
    expect(&Running::with(&[], &args).end().await, 2, "store.url of the configuration is no Redis");
    let closed = ClosedPort::hold();
    let url = format!("redis://bellwire:a-password@{}", closed.address());
    let ended = Running::with(&[("BELLWIRE__STORE__URL", &url)], &args).end().await;
    expect(&ended, 1, "cannot be reached");
    assert!(!ended.stderr.contains("a-password"), "{ended:?}");
}

#[tokio::test]
async fn a_target_that_fails_on_the_way_is_filled_by_the_next_run() {
    let Some(server) = RedisServer::start().await else { return };
    let target = Target { url: server.url(), prefix: "bw".to_owned() };
    let old = Old::with_blocks(5000).await;
    let config = old.config();
    // It has no memory for all of it.
    let info: String = server.read(&["INFO", "memory"]).await;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("how much");
    let most = used.trim().parse::<u64>().expect("a number") + 200_000;
    server.command(&["CONFIG", "SET", "maxmemory", &most.to_string()]).await;
    expect(&target.move_from(&config, &[]).await, 1, "OOM");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let ended = target.move_from(&config, &[]).await;
    expect(&ended, 0, "");
    assert!(ended.stdout.contains(" 5000 blocks\n"), "{ended:?}");
}
