//! The demo for people: lines on stdout as things happen, plain text.

use std::io::Write;

use serde_json::Value;

use super::seen::{CallSeen, Moment, Seen, shortened};
use super::stage::Stage;
use crate::domain::Environment;
use crate::simulator::Received;

const INDENT: &str = "                           ";

/// Where lines go, unless only a document is wanted.
#[derive(Clone, Copy)]
pub(super) struct Screen {
    on: bool,
}

/// Writes a line to stdout. That its reader went away is no reason to stop, least of all halfway through a clean-up.
pub(super) fn print(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

impl Screen {
    pub(super) fn new(on: bool) -> Self {
        Self { on }
    }

    pub(super) fn line(self, line: &str) {
        if self.on {
            print(line);
        }
    }

    /// What somebody did or saw, so many milliseconds after the invite.
    pub(super) fn step(self, ms: u64, who: &str, what: &str) {
        self.line(&format!("{ms:>6} ms  {who:<14}  {what}"));
    }

    /// Lines that belong to the step before.
    fn detail(self, text: &str) {
        for line in text.lines() {
            self.line(&format!("{INDENT}{line}"));
        }
    }

    /// JSON that belongs to the step before.
    pub(super) fn json(self, value: &Value) {
        self.detail(&serde_json::to_string_pretty(value).unwrap_or_default());
    }

    /// An object that belongs to the step before, a line for each field.
    pub(super) fn fields(self, object: &Value) {
        for (name, value) in object.as_object().into_iter().flatten() {
            self.detail(&format!("{name}: {value}"));
        }
    }

    /// A push in one line.
    pub(super) fn push_line(self, ms: u64, phone: &str, push: &Received, what: &str) {
        let at = if push.body["message"].is_object() { "FCM" } else { "APNs" };
        self.step(ms, at, &format!("{what} to {phone}: {} bytes, answered {}", push.bytes, push.status));
    }

    /// A push with all headers and its payload.
    pub(super) fn push(self, ms: u64, phone: &str, push: &Received, what: &str) {
        self.push_line(ms, phone, push, what);
        let shown = shortened(push);
        self.detail(&format!("{} {} (HTTP/2 over TLS, connection {})", push.method, push.path, push.connection));
        for (name, value) in shown["headers"].as_object().into_iter().flatten() {
            self.detail(&format!("{name}: {}", value.as_str().unwrap_or_default()));
        }
        self.json(&shown["body"]);
    }

    /// What runs where.
    pub(super) fn opening(self, stage: &Stage) {
        let (gateway, simulator) = (&stage.url, &stage.simulator);
        let (apns, fcm) = (simulator.apns_url(Environment::Production), simulator.fcm_url());
        if stage.is_alone() {
            self.line("Bellwire's demo. All of it runs in this process, on loopback, with keys made a moment ago.\n");
        } else {
            self.line("Bellwire's demo, through a gateway of its own process, with keys made a moment ago.\n");
        }
        self.line(&format!("  gateway  {gateway:<25}HTTP"));
        self.line(&format!("  APNs     {apns:<25}simulator, HTTP/2 over TLS"));
        self.line(&format!("  FCM      {fcm:<25}simulator, HTTP/2 over TLS"));
        self.line(&format!("  files    {}", stage.folder.path().display()));
        if stage.is_alone() {
            self.line("           configuration, keys and store; removed at the end");
            self.line("  LiveKit  not needed: tokens are made for it, and it is never asked");
        }
        self.line("");
        self.line("Alice's phone, Bob's iPhone (APNs) and Bob's Pixel (FCM) were registered over HTTP.");
        self.line("Times are when a thing happened, in milliseconds after the invite was sent. Tickets are cut short.");
    }

    /// The heading of a call.
    pub(super) fn call(self, number: usize, title: &str) {
        let heading = format!("Call {number}: {title}");
        self.line(&format!("\n{heading}\n{}", "-".repeat(heading.chars().count())));
    }

    /// The timelines side by side, and what was not seen.
    pub(super) fn closing(self, seen: &Seen) {
        self.line("\nTimeline in milliseconds after the invite was sent\n");
        let columns = |cell: &dyn Fn(&CallSeen) -> String| {
            seen.calls.iter().fold(String::new(), |line, call| format!("{line}{:>10}", cell(call)))
        };
        self.line(&format!("  {:<34}{}", "", columns(&|call| format!("call {}", call.number))));
        for (what, name) in Moment::ALL {
            let times = columns(&|call| call.ms(what).map_or("-".to_owned(), |ms| ms.to_string()));
            self.line(&format!("  {name:<34}{times}"));
        }
        self.line("");
        let (met, all) = (seen.checks.iter().filter(|check| check.ok).count(), seen.checks.len());
        self.line(&format!("{met} of {all} expectations were seen."));
        for check in seen.missing() {
            self.line(&format!("  MISSING  {}: {}", check.name, check.found.as_deref().unwrap_or_default()));
        }
    }
}
