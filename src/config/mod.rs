//! The configuration: compiled-in defaults, then a file, then variables; one file per section.
//!
//! `layers` lays these over one another, `fields` reads a table of the result, and each section says which keys
//! it has and of which `kind` they are. Every problem is told at once, and no secret is ever shown. Files that a
//! section names (`key_file`, `ca_file`) are opened by whoever needs them; only those with a secret (`x_file`) here.

pub mod auth;
pub mod call;
mod describe;
pub mod devices;
mod differences;
mod error;
mod fields;
pub mod history;
pub mod http;
mod kind;
mod layers;
pub mod limits;
pub mod livekit;
pub mod policy;
pub mod push;
pub mod recording;
mod redis_url;
pub mod secret;
pub mod store;
pub mod telemetry;
pub mod usage;
pub mod webhooks;

use std::fs;
use std::path::Path;

pub use auth::Auth;
pub use call::Call;
pub use devices::Devices;
pub use differences::Difference;
pub use error::{ConfigError, Problem};
pub use history::History;
pub use http::Http;
pub use limits::Limits;
pub use livekit::LiveKit;
pub use policy::Policy;
pub use push::Push;
pub use recording::Recording;
pub use secret::Secret;
pub use store::Store;
pub use telemetry::Telemetry;
pub use usage::Usage;
pub use webhooks::Webhook;

use describe::{Description, Line};
use fields::Fields;
use webhooks::MOST_ENDPOINTS;

/// Every key with its default and what it means, as TOML.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// What is in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listening.
    pub http: Http,
    /// Who is believed.
    pub auth: Auth,
    /// Where calls are kept.
    pub store: Store,
    /// How calls go.
    pub call: Call,
    /// The media server.
    pub livekit: LiveKit,
    /// Apple and Google.
    pub push: Push,
    /// Who may call whom.
    pub policy: Policy,
    /// How a push token comes from one user to another.
    pub devices: Devices,
    /// Recordings of calls.
    pub recording: Recording,
    /// How much anybody may ask for.
    pub limits: Limits,
    /// Where the backend is told of what happened.
    pub webhooks: Vec<Webhook>,
    /// Where ended calls are kept for good.
    pub history: History,
    /// What the plan allows.
    pub usage: Usage,
    /// Logs and traces.
    pub telemetry: Telemetry,
}

impl Config {
    /// Lays `file` over the defaults and the `BELLWIRE__SECTION__KEY` variables of `env` over both.
    ///
    /// Relative paths start in the folder of the file that has them; those of variables and defaults in the current
    /// folder. Other variables are not looked at.
    pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut tree = layers::parse(DEFAULTS, Path::new("config/default.toml"), Path::new(""))?;
        if let Some(path) = file {
            let text =
                fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
            tree.lay(layers::parse(&text, path, path.parent().unwrap_or(Path::new("")))?);
        }
        let mut problems = layers::lay_variables(&mut tree, env);
        let mut fields = Fields::of(&tree);
        let config = Self::read(&mut fields);
        problems.extend(fields.finish());
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid(problems)),
        }
    }

    fn read(fields: &mut Fields) -> Option<Self> {
        let http = fields.section("http", http::read);
        let auth = fields.section("auth", auth::read);
        let store = fields.section("store", store::read);
        let call = fields.section("call", call::read);
        let livekit = fields.section("livekit", livekit::read);
        let push = fields.section("push", push::read);
        let policy = fields.section("policy", policy::read);
        let devices = fields.section("devices", devices::read);
        let recording = fields.section("recording", recording::read);
        let limits = fields.section("limits", limits::read);
        let webhooks = fields.sections("webhooks", webhooks::read);
        let webhooks = match webhooks {
            Some(many) if many.len() > MOST_ENDPOINTS => {
                fields.problem("webhooks", format!("expected at most {MOST_ENDPOINTS} endpoints"))
            }
            Some(many) => match webhooks::twice(&many) {
                Some((first, second)) => {
                    let why = format!("the same as webhooks[{first}].url; an endpoint is known by its URL");
                    fields.problem(&format!("webhooks[{second}].url"), why)
                }
                None => Some(many),
            },
            None => None,
        };
        let history = fields.section("history", history::read);
        let usage = fields.section("usage", usage::read);
        let telemetry = fields.section("telemetry", telemetry::read);
        Some(Self {
            http: http?,
            auth: auth?,
            store: store?,
            call: call?,
            livekit: livekit?,
            push: push?,
            policy: policy?,
            devices: devices?,
            recording: recording?,
            limits: limits?,
            webhooks: webhooks?,
            history: history?,
            usage: usage?,
            telemetry: telemetry?,
        })
    }

    /// Every key and the value in force, as it would stand in the file; secrets as `(secret)`.
    pub fn describe(&self) -> Vec<(String, String)> {
        self.lines().into_iter().map(|line| (line.key, line.shown)).collect()
    }

    fn lines(&self) -> Vec<Line> {
        let mut out = Description::new();
        out.section("http");
        self.http.describe(&mut out);
        self.auth.describe(&mut out);
        out.section("store");
        self.store.describe(&mut out);
        out.section("call");
        self.call.describe(&mut out);
        out.section("livekit");
        self.livekit.describe(&mut out);
        self.push.describe(&mut out);
        out.section("policy");
        self.policy.describe(&mut out);
        out.section("devices");
        self.devices.describe(&mut out);
        self.recording.describe(&mut out);
        out.section("limits");
        self.limits.describe(&mut out);
        for (index, webhook) in self.webhooks.iter().enumerate() {
            out.section(format!("webhooks[{index}]"));
            webhook.describe(&mut out);
        }
        out.section("history");
        self.history.describe(&mut out);
        out.section("usage");
        self.usage.describe(&mut out);
        out.section("telemetry");
        self.telemetry.describe(&mut out);
        out.into_lines()
    }
}
