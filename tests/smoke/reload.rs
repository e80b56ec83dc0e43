//! SIGHUP: the gateway reads its configuration again, tells what came of it, and goes on.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use data_encoding::HEXLOWER;
use jsonwebtoken::{EncodingKey, Header};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{PATIENCE, Running, field, http};
use super::simple::{TICKETS, write_config};

const SERVE: [&str; 4] = ["serve", "--without-push", "--config", "bellwire.toml"];
const OLD: &str = "bw_sk_old-old-old-old-old-old-old-old";
const NEW: &str = "bw_sk_new-new-new-new-new-new-new-new";
/// As `write_config` has it.
const USER_SECRET: &str = "a-secret-of-the-identity-provider-00";
const IN_FORCE: &str = "what has changed is in force";

/// A gateway, with a configuration that is written again.
struct Scene {
    folder: TempDir,
    gateway: Running,
    api: String,
    ops: String,
}

impl Scene {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_config(folder.path(), more);
        let gateway = Running::start(folder.path(), &SERVE);
        let ready = gateway.line("ready ");
        Self { folder, api: field(&ready, "http"), ops: field(&ready, "ops"), gateway }
    }

    /// Writes another configuration, and gives the lines of the log up to one that has this text.
    fn reload(&self, text: &str, until: &str) -> Vec<String> {
        fs::write(self.folder.path().join("bellwire.toml"), text).expect("written");
        self.gateway.signal("HUP");
        self.gateway.error_lines_until(until)
    }

    /// The configuration as it was written.
    fn text(&self) -> String {
        fs::read_to_string(self.folder.path().join("bellwire.toml")).expect("the configuration")
    }

    fn bans(&self, key: &str) -> u16 {
        http(&self.api, "GET", "/v1/bans", key, &Value::Null).0
    }

    /// What `/readyz` says of the configuration.
    fn part(&self) -> Value {
        let (status, body) = http(&self.ops, "GET", "/readyz", "", &Value::Null);
        assert_eq!((status, &body["ready"]), (200, &json!(true)));
        let parts = body["parts"].as_array().expect("parts");
        parts.iter().find(|part| part["name"] == "configuration").expect("the configuration").clone()
    }

    /// Ends it, and gives the rest of the log.
    fn end(mut self) -> Vec<String> {
        self.gateway.signal("TERM");
        let (status, _, stderr) = self.gateway.end();
        assert_eq!(status.code(), Some(0), "{stderr:?}");
        stderr
    }
}

fn service_keys(keys: &[&str]) -> String {
    let hashes =
        keys.iter().map(|key| format!("\"sha256:{}\"", HEXLOWER.encode(digest(&SHA256, key.as_bytes()).as_ref())));
    format!("{TICKETS}service_keys = [{}]\n", hashes.collect::<Vec<_>>().join(", "))
}

fn token(secret: &str, user: &str) -> String {
    bellwire::crypto::install().expect("the JWT provider");
    let claims = json!({"iss": "smoke", "aud": "bellwire", "sub": user, "exp": 4_000_000_000_u64});
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
}

/// Opens an event stream, of which the answer's head is read.
fn events(api: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(api).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nhost: {api}\r\naccept: text/event-stream\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let head = read_until(&mut stream, "snapshot");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream
}

fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let (mut all, mut part) = (String::new(), [0; 1024]);
    while !all.contains(text) {
        let read = stream.read(&mut part).expect("in time");
        assert_ne!(read, 0, "it ended: {all}");
        all.push_str(std::str::from_utf8(&part[..read]).expect("UTF-8"));
    }
    all
}

#[test]
fn keys_change_while_a_stream_goes_on() {
    const NEW_SECRET: &str = "another-secret-of-the-provider-000000";
    let scene = Scene::start(&service_keys(&[OLD]));
    let mut stream = events(&scene.api, &token(USER_SECRET, "alice"));
    assert_eq!((scene.bans(OLD), scene.bans(NEW)), (200, 401));

    let text = scene.text().replace(&service_keys(&[OLD]), &service_keys(&[NEW])).replace(USER_SECRET, NEW_SECRET);
    let mut log = scene.reload(&text, IN_FORCE);
    let last = log.last().expect("a line");
    assert!(last.contains("INFO") && last.contains("keys=\"auth.service_keys, auth.users[0].secret\""), "{last}");
    assert_eq!((scene.bans(OLD), scene.bans(NEW)), (401, 200));
    let invite = |secret: &str| {
        http(&scene.api, "POST", "/v1/calls", &token(secret, "alice"), &json!({"callee": "bob", "media": "audio"}))
    };
    assert_eq!(invite(USER_SECRET).0, 401);
    let (status, answer) = invite(NEW_SECRET);
    assert_eq!(status, 201, "{answer}");
    read_until(&mut stream, answer["call"]["id"].as_str().expect("an id"));
    drop(stream);

    log.extend(scene.end());
    for secret in [OLD, NEW, USER_SECRET, NEW_SECRET, TICKETS.split('"').nth(1).expect("a secret")] {
        assert!(!log.iter().any(|line| line.contains(secret)), "{log:?}");
    }
}

#[test]
fn a_broken_file_changes_nothing_and_is_told() {
    let scene = Scene::start(&service_keys(&[OLD]));
    let good = scene.text().replace(&service_keys(&[OLD]), &service_keys(&[NEW]));
    let broken =
        format!("{good}\n[call]\nring = \"1h\"\n").replace(TICKETS, "[auth]\nticket_secret = \"hidden-and-short\"\n");
    let mut log = scene.reload(&broken, "refused: nothing has changed");
    let line = log.last().expect("a line");
    assert!(
        line.contains("ERROR") && line.contains("call.ring: expected") && line.contains("auth.ticket_secret: expected"),
        "{line}"
    );
    let part = scene.part();
    let detail = part["detail"].as_str().expect("words");
    assert!(part["ok"] == false && detail.contains("auth.ticket_secret, call.ring"), "{detail}");

    log.extend(scene.reload("hidden = hidden", "refused: nothing has changed"));
    assert!(log.last().expect("a line").contains("bellwire.toml:1:"), "{log:?}");
    fs::remove_file(scene.folder.path().join("bellwire.toml")).expect("removed");
    scene.gateway.signal("HUP");
    log.extend(scene.gateway.error_lines_until("cannot read the configuration"));
    assert_eq!((scene.bans(OLD), scene.bans(NEW)), (200, 401));

    log.extend(scene.reload(&good, IN_FORCE));
    assert_eq!((scene.bans(OLD), scene.bans(NEW)), (401, 200));
    assert_eq!(scene.part()["ok"], true);
    log.extend(scene.end());
    assert!(!log.iter().any(|line| line.contains("hidden")), "{log:?}");
}

#[test]
fn level_and_limits_change_and_what_needs_a_restart_is_named() {
    let scene = Scene::start(&format!("{}[limits]\nip = \"1000/s\"\n", service_keys(&[OLD])));
    // What is logged as it is refused, by who wants to know it.
    let refused = || assert_eq!(http(&scene.api, "POST", "/v1/livekit/webhook", "x", &json!({})).0, 401);
    refused();
    let text = scene.text().replace("ops_listen = \"127.0.0.1:0\"", "ops_listen = \"127.0.0.1:9\"");
    let text = text.replace("ip = \"1000/s\"", "ip = \"1/h\"");
    let text = text.replace("url = \"embedded", "timeout = \"2s\"\nurl = \"embedded");
    let log = scene.reload(&format!("{text}\n[telemetry]\nlog_level = \"debug\"\n"), IN_FORCE);
    assert!(!log.iter().any(|line| line.contains("DEBUG")), "{log:?}");
    for told in
        ["http.ops_listen needs a restart: still \"127.0.0.1:0\"", "store.timeout needs a restart: still \"1s\""]
    {
        assert!(log.iter().any(|line| line.contains("WARN") && line.contains(told)), "{told} in {log:?}");
    }
    assert!(log.last().expect("a line").contains("keys=\"limits.ip, telemetry.log_level\""), "{log:?}");
    refused();
    scene.gateway.error_lines_until("a webhook was refused");
    let nobody = || http(&scene.api, "GET", "/v1/calls", "x", &json!({})).0;
    assert_eq!((nobody(), nobody()), (401, 429));
    let detail = scene.part()["detail"].as_str().expect("words").to_owned();
    assert!(detail.ends_with("for a restart waits: http.ops_listen, store.timeout"), "{detail}");
    scene.end();
}

#[test]
fn signals_that_come_together_end_with_the_last_file() {
    let scene = Scene::start(&service_keys(&[OLD]));
    let good = scene.text();
    for number in 0..20 {
        let key = format!("{NEW}-{number}");
        let text = good.replace(&service_keys(&[OLD]), &service_keys(&[&key]));
        fs::write(scene.folder.path().join("other.toml"), text).expect("written");
        // At once, so that no file is ever half there.
        fs::rename(scene.folder.path().join("other.toml"), scene.folder.path().join("bellwire.toml")).expect("renamed");
        scene.gateway.signal("HUP");
    }
    while scene.bans(&format!("{NEW}-19")) != 200 {
        scene.gateway.error_lines_until(IN_FORCE);
    }
    scene.end();
}

#[test]
fn it_kills_nothing_that_starts_or_stops() {
    let mut scene = Scene::start(&service_keys(&[OLD]));
    scene.gateway.signal("TERM");
    for _ in 0..20 {
        scene.gateway.signal("HUP");
    }
    assert_eq!(scene.gateway.end().0.code(), Some(0));

    // A Redis that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", silent.local_addr().expect("an address"));
    let text = scene.text().replace("embedded:calls.redb", &url);
    fs::write(scene.folder.path().join("bellwire.toml"), text).expect("written");
    let mut gateway = Running::start(scene.folder.path(), &SERVE);
    let connection = silent.accept().expect("a connection");
    gateway.signal("HUP");
    drop((connection, silent));
    let (status, _, stderr) = gateway.end();
    assert_eq!(status.code(), Some(1), "{stderr:?}");
}
