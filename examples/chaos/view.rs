//! A call as an answer of the API shows it.

use bellwire::domain::{CallId, Timestamp};
use serde_json::Value;

/// What the checks need of it. Texts are those of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub id: CallId,
    pub state: String,
    pub caller: String,
    pub callee: String,
    pub created_at: Timestamp,
    pub ring_until: Timestamp,
    pub answered_at: Option<Timestamp>,
    pub answered_by: Option<String>,
    pub ended_at: Option<Timestamp>,
    pub end_reason: Option<String>,
    /// The number of its last event.
    pub seq: u64,
}

impl View {
    /// The call in the body of an answer, whether it is the whole of it or stands beside a token.
    pub fn of(body: &Value) -> Option<Self> {
        let call = if body["call"].is_object() { &body["call"] } else { body };
        let text = |name: &str| call[name].as_str().map(ToOwned::to_owned);
        let time = |name: &str| call[name].as_str().and_then(Timestamp::parse_rfc3339);
        Some(Self {
            id: CallId::parse(call["id"].as_str()?).ok()?,
            state: text("state")?,
            caller: call["caller"]["id"].as_str()?.to_owned(),
            callee: call["callee"]["id"].as_str()?.to_owned(),
            created_at: time("created_at")?,
            ring_until: time("ring_until")?,
            answered_at: time("answered_at"),
            answered_by: text("answered_by"),
            ended_at: time("ended_at"),
            end_reason: text("end_reason"),
            seq: call["seq"].as_u64()?,
        })
    }

    pub fn is_ended(&self) -> bool {
        self.state == "ended"
    }

    pub fn ended_as(&self, reason: &str) -> bool {
        self.end_reason.as_deref() == Some(reason)
    }
}
