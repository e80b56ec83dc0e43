//! `[livekit]`: the media server, for clients and for the gateway.

use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};
use super::secret::Secret;

/// `[livekit]`.
#[derive(Debug, Clone)]
pub struct LiveKit {
    /// What clients get; `ws` or `wss`, without a closing slash.
    pub url: String,
    /// What the gateway calls; `http` or `https`, without a closing slash.
    pub api_url: String,
    /// Names the secret.
    pub api_key: String,
    /// Signs tokens and checks webhooks.
    pub api_secret: Secret,
    /// Sets this gateway's rooms apart from those of others on the same server: `bw_<deployment>_...`.
    pub deployment: String,
    /// Whether the gateway calls LiveKit's API: makes and closes rooms, and asks who is in them.
    pub rooms: bool,
    /// Further keys that webhooks may be signed with.
    pub webhook_keys: Vec<WebhookKey>,
}

/// `[[livekit.webhook_keys]]`: a key that LiveKit may sign webhooks with.
#[derive(Debug, Clone)]
pub struct WebhookKey {
    /// Names the secret.
    pub api_key: String,
    /// What webhooks are signed with.
    pub api_secret: Secret,
}

pub(super) fn read(fields: &mut Fields) -> Option<LiveKit> {
    let url = fields.required("url", &kind::base_url(&["wss", "ws"], "wss://livekit.example.com"));
    let api_url_given = fields.has("api_url");
    let api_url = fields.optional("api_url", &kind::base_url(&["https", "http"], "https://livekit.example.com"));
    let api_key = fields.required("api_key", &kind::text());
    let api_secret = fields.secret("api_secret", 1);
    let deployment = fields.required("deployment", &deployment());
    let rooms = fields.required("rooms", &kind::boolean());
    let webhook_keys = fields.sections("webhook_keys", |fields| {
        let (api_key, api_secret) = (fields.required("api_key", &kind::text()), fields.secret("api_secret", 1));
        Some(WebhookKey { api_key: api_key?, api_secret: api_secret? })
    });
    let url = url?;
    Some(LiveKit {
        api_url: if api_url_given { api_url? } else { http_from_ws(&url) },
        url,
        api_key: api_key?,
        api_secret: api_secret?,
        deployment: deployment?,
        rooms: rooms?,
        webhook_keys: webhook_keys?,
    })
}

fn deployment() -> Kind<String> {
    Kind::text("1 to 32 lower-case letters, digits and -, such as \"main\"", |text| {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ((1..=32).contains(&text.len()) && text.chars().all(good)).then(|| text.to_owned())
    })
}

/// `ws` becomes `http` and `wss` becomes `https`: LiveKit has its signalling and its API on one port.
fn http_from_ws(url: &str) -> String {
    url.strip_prefix("ws").map_or_else(|| url.to_owned(), |rest| format!("http{rest}"))
}

impl LiveKit {
    pub(super) fn describe(&self, out: &mut Description) {
        out.text("url", &self.url);
        out.text("api_url", &self.api_url);
        out.text("api_key", &self.api_key);
        out.secret("api_secret", [self.api_secret.reveal()]);
        out.text("deployment", &self.deployment);
        out.plain("rooms", self.rooms);
        for (index, key) in self.webhook_keys.iter().enumerate() {
            out.section(format!("livekit.webhook_keys[{index}]"));
            out.text("api_key", &key.api_key);
            out.secret("api_secret", [key.api_secret.reveal()]);
        }
    }
}
