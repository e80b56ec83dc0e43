//! A client of the event stream that goes away and comes back, and counts what it is told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Http, Sse, bearer};

/// A user's reader, which panics at a gap or a repetition.
pub struct Reader {
    user: String,
    /// Whether it comes back as browsers do, with the last event's id alone; else with the last number that it saw of each call.
    by_last_id: bool,
    last_id: Option<String>,
    /// By call: the last number, and whether the call has ended.
    seen: BTreeMap<String, (u64, bool)>,
}

impl Reader {
    pub fn new(user: &str, by_last_id: bool) -> Self {
        Self { user: user.to_owned(), by_last_id, last_id: None, seen: BTreeMap::new() }
    }

    /// How many calls it has seen end.
    pub fn ended(&self) -> usize {
        self.seen.values().filter(|(_, ended)| *ended).count()
    }

    /// Connects, reads so many events or until as many calls have ended in all, and goes away. False: the stream broke off.
    pub async fn read(&mut self, http: &Http, events: usize, until_ended: usize) -> bool {
        let since = self.since();
        let query = if since.is_empty() { String::new() } else { format!("?since={since}") };
        let Some(mut stream) = Sse::try_open(http, &bearer(&self.user), &query).await else { return false };
        let Some(snapshot) = stream.next_or_end().await else { return false };
        assert_eq!(snapshot["type"], "snapshot", "{snapshot}");
        if since.is_empty() {
            self.begin(&snapshot);
        }
        for _ in 0..events {
            if self.ended() >= until_ended {
                return true;
            }
            let Some(event) = stream.next_or_end().await else { return false };
            self.note(&event);
            self.last_id = stream.last_id.take();
        }
        true
    }

    fn since(&self) -> String {
        if self.by_last_id {
            return self.last_id.clone().unwrap_or_default();
        }
        let numbers: Vec<String> = self.seen.iter().map(|(call, (seq, _))| format!("{call}:{seq}")).collect();
        numbers.join(",")
    }

    /// The first time, what was before is in the snapshot.
    fn begin(&mut self, snapshot: &Value) {
        for call in snapshot["calls"].as_array().expect("calls") {
            let (id, seq) = (call["id"].as_str().expect("an id"), call["seq"].as_u64().expect("a number"));
            self.seen.insert(id.to_owned(), (seq, call["state"] == "ended"));
        }
    }

    fn note(&mut self, event: &Value) {
        let call = event["call_id"].as_str().expect("a call").to_owned();
        let seq = event["seq"].as_u64().expect("a number");
        let (last, ended) = self.seen.entry(call).or_default();
        assert_eq!(seq, *last + 1, "{} saw {last} and then {event}", self.user);
        assert!(!*ended, "{} was told of something after the end: {event}", self.user);
        *last = seq;
        *ended = event["type"] == "call.ended";
    }
}
