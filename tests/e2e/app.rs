//! A person's app: a process of `client.py`, with LiveKit's own client in it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::told::Told;

/// How long a client may take for what it does at once, on a machine that does much else.
pub const AT_ONCE: Duration = Duration::from_secs(20);

/// A running app; killed when dropped. It also ends with the tests, which close its standard input.
pub struct App {
    process: Child,
    told: Told,
}

/// The Python that has LiveKit's client, if there is one.
pub fn python() -> Option<PathBuf> {
    let named = std::env::var_os("BELLWIRE_TEST_PYTHON").map(PathBuf::from);
    let path = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e-venv/bin/python"));
    if path.is_file() {
        return Some(path);
    }
    println!("SKIPPED: no Python with LiveKit's client at {}, which ./test makes", path.display());
    None
}

impl App {
    /// Starts one.
    pub fn start(python: &Path, user: &str) -> Self {
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/client.py");
        let mut command = Command::new(python);
        let process = command.arg(client).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = process.expect("python starts");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let (teller, told) = Told::by(&format!("{user}'s app"));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let told = serde_json::from_str(&line).expect("JSON");
                teller.send_modify(|all: &mut Vec<Value>| all.push(told));
            }
        });
        Self { process, told }
    }

    /// Begins to enter a room.
    pub fn join(&mut self, url: &str, token: &Value) {
        self.order(&json!({"do": "join", "url": url, "token": token}));
    }

    /// Enters a room; an error is why it could not.
    pub async fn try_join(&mut self, url: &str, token: &Value) -> Result<(), String> {
        self.join(url, token);
        let is_it = |told: &Value| told["event"] == "joined" || told["event"] == "refused";
        let told = self.told.until("joined or refused", AT_ONCE, is_it).await;
        if told["event"] == "joined" { Ok(()) } else { Err(told["why"].to_string()) }
    }

    /// Plays a tone into the room.
    pub fn play(&mut self, hz: u32) {
        self.order(&json!({"do": "publish", "hz": hz}));
    }

    /// Leaves the room on purpose.
    pub fn leave(&mut self) {
        self.order(&json!({"do": "leave"}));
    }

    /// Waits until a tone is heard from another, and gives when, in seconds.
    pub async fn hears(&mut self, who: &str, hz: u32) -> f64 {
        let is_it = |told: &Value| {
            told["event"] == "hears"
                && told["of"] == who
                && told["hz"].as_f64().is_some_and(|heard| (heard - f64::from(hz)).abs() < 20.0)
        };
        at(&self.told.until(&format!("{hz} Hz from {who}"), AT_ONCE, is_it).await)
    }

    /// Waits until another, who is heard now, is heard no more.
    pub async fn hears_no_more_of(&mut self, who: &str) {
        self.told.pass_over_all();
        let is_it = |told: &Value| told["event"] == "silence" && told["of"] == who;
        self.told.until(&format!("silence of {who}"), AT_ONCE, is_it).await;
    }

    /// Waits for something of this name.
    pub async fn tells(&mut self, event: &str, within: Duration) -> Value {
        self.told.until(event, within, |told| told["event"] == event).await
    }

    /// Waits until it is out of the room, and gives LiveKit's reason.
    pub async fn is_out(&mut self) -> (String, f64) {
        let told = self.tells("disconnected", AT_ONCE).await;
        (told["reason"].as_str().expect("a reason").to_owned(), at(&told))
    }

    /// The last token that the server gave it by itself.
    pub fn refreshed_token(&self) -> Value {
        let told = self.told.so_far();
        let token = told.iter().rev().find(|told| told["event"] == "token").expect("LiveKit refreshes tokens at once");
        token["token"].clone()
    }

    /// Whether it has told of something of this name.
    pub fn has_told(&self, event: &str) -> bool {
        self.told.so_far().iter().any(|told| told["event"] == event)
    }

    /// SIGKILL, as when the system needs the memory.
    pub fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("it ends");
    }

    fn order(&mut self, order: &Value) {
        let input = self.process.stdin.as_mut().expect("a pipe");
        writeln!(input, "{order}").expect("it lives");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// When something was told, in seconds.
pub fn at(told: &Value) -> f64 {
    told["at"].as_f64().expect("a time")
}
