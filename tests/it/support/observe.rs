//! What can be seen of a call from outside: its events, its end, what was pushed about it, what a token says.

use bellwire::domain::Timestamp;
use serde_json::Value;

use super::people::{Sse, path, push_data};
use super::{Stage, bearer, service_bearer};

impl<G> Stage<G> {
    /// The event of this type of a call, as its party hears it, whether it has happened or is yet to come.
    pub async fn event(&self, user: &str, kind: &str, call: &Value) -> Value {
        let since = format!("?since={}:0", call.as_str().expect("a call id"));
        let mut stream = Sse::open(&self.http, &bearer(user), &since).await;
        stream.until(kind, call).await
    }

    /// Waits for the end of a call, as its caller hears it; the reason.
    pub async fn ended(&self, caller: &str, call: &Value) -> String {
        let event = self.event(caller, "call.ended", call).await;
        event["data"]["reason"].as_str().expect("a reason").to_owned()
    }

    /// The call as one of its parties sees it.
    pub async fn seen_by(&self, user: &str, call: &Value) -> Value {
        self.http.get(&path(call, ""), &bearer(user)).await.expect(200)
    }

    /// How many pushes of a type there were about a call so far, to any device.
    pub fn pushed(&self, kind: &str, call: &Value) -> usize {
        let all = self.pushes().all();
        all.iter().map(|push| push_data(push)).filter(|data| data["type"] == kind && data["call_id"] == *call).count()
    }

    /// The state of a device's leg, as the backend sees it.
    pub async fn leg(&self, device: &str, call: &Value) -> String {
        let call = self.http.get(&path(call, ""), service_bearer()).await.expect(200);
        let legs = call["legs"].as_array().expect("legs");
        let leg = legs.iter().find(|leg| leg["device_id"] == device).expect("the device's leg");
        leg["state"].as_str().expect("a state").to_owned()
    }
}

/// The claims of a JWT.
pub fn claims(token: &Value) -> Value {
    let payload = token.as_str().expect("a token").split('.').nth(1).expect("claims");
    let json = data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).expect("base64url");
    serde_json::from_slice(&json).expect("JSON")
}

/// Checks that an invite's answer is of a call that has ended for this reason, and gives its id.
pub fn expect_ended(answer: &Value, reason: &str) -> Value {
    assert_eq!(answer["call"]["state"], "ended", "{answer}");
    assert_eq!(answer["call"]["end_reason"], reason, "{answer}");
    assert_eq!(answer.get("livekit"), None);
    answer["call"]["id"].clone()
}

/// A time of the API.
pub fn rfc3339(time: &Value) -> Timestamp {
    let text = time.as_str().expect("a time");
    Timestamp::parse_rfc3339(text).unwrap_or_else(|| panic!("{text} is not RFC 3339"))
}
