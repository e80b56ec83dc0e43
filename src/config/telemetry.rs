//! `[telemetry]`: what the gateway tells of itself, and how.

use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};

/// `[telemetry]`.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// From which level on something is logged.
    pub log_level: LogLevel,
    /// How a log line looks.
    pub log_format: LogFormat,
    /// Where traces go, if they go anywhere.
    pub otlp_endpoint: Option<String>,
    /// Which share of the traces that nobody else began is kept, 0 to 1.
    pub trace_ratio: f64,
}

/// `telemetry.log_level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What an operator must see to.
    Error,
    /// What an operator should know.
    Warn,
    /// What happens.
    Info,
    /// Why it happens.
    Debug,
    /// Everything.
    Trace,
}

/// `telemetry.log_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal.
    Human,
    /// One JSON object a line, for a log collector.
    Json,
}

const LEVELS: &[(&str, LogLevel)] = &[
    ("off", LogLevel::Off),
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
const FORMATS: &[(&str, LogFormat)] = &[("human", LogFormat::Human), ("json", LogFormat::Json)];

pub(super) fn read(fields: &mut Fields) -> Option<Telemetry> {
    let log_level = fields.required("log_level", &kind::one_of(LEVELS));
    let log_format = fields.required("log_format", &kind::one_of(FORMATS));
    let otlp_endpoint = fields.optional("otlp_endpoint", &kind::base_url(&["https", "http"], "http://127.0.0.1:4318"));
    let trace_ratio = fields.required("trace_ratio", &ratio());
    Some(Telemetry { log_level: log_level?, log_format: log_format?, otlp_endpoint, trace_ratio: trace_ratio? })
}

fn ratio() -> Kind<f64> {
    Kind::new("a share from 0 to 1, such as 0.1", |node| {
        let scalar = node.scalar()?;
        let whole = || scalar.as_integer().and_then(|whole| i32::try_from(whole).ok()).map(f64::from);
        scalar.as_float().or_else(whole).filter(|ratio| (0.0..=1.0).contains(ratio))
    })
}

impl Telemetry {
    pub(super) fn describe(&self, out: &mut Description) {
        out.one_of("log_level", self.log_level, LEVELS);
        out.one_of("log_format", self.log_format, FORMATS);
        out.optional("otlp_endpoint", self.otlp_endpoint.as_ref());
        out.plain("trace_ratio", self.trace_ratio);
    }
}
