//! The two lines that tell of calls: one of each request, one of each turn that a call takes. docs/LOGGING.md lists their fields.
//!
//! What they name is shown by reference and made into text only where the line is wanted.

use std::fmt;
use std::time::Duration;

use tracing::Level;

use crate::domain::{Call, CallId, EndReason, Input, TraceParent};

/// Who has asked a request of which nobody knows who asked it.
pub const NOBODY: &str = "none";

/// A request that is over.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// Its method, one of those that are known.
    pub method: &'static str,
    /// The template by which its route was found, if it was.
    pub route: Option<&'a str>,
    /// The status of the answer; `None`: whoever asked went away before it.
    pub status: Option<u16>,
    /// Until the head of the answer.
    pub took: Duration,
    /// Its id, which the answer names too.
    pub id: Option<&'a str>,
    /// The call that it names or made.
    pub call: Option<CallId>,
    /// Who asked: `user`, `ticket`, `service`, `livekit` or `none`.
    pub who: &'static str,
    /// The code of the problem that was answered.
    pub code: Option<&'static str>,
    /// Its place in a trace that is kept.
    pub trace: Option<TraceParent>,
    /// Whether it is not worth a line to most: a probe, or one of a flood.
    pub is_quiet: bool,
}

/// A commit of a call.
#[derive(Debug)]
pub struct Turn<'a> {
    /// The record.
    pub call: &'a Call,
    /// The record before it.
    pub before: Option<&'a Call>,
    /// What came, in the order in which it was taken.
    pub inputs: &'a [&'a [Input]],
}

macro_rules! request_line {
    ($level:expr, $request:expr) => {
        tracing::event!(
            target: "bellwire::request",
            $level,
            method = $request.method,
            route = $request.route,
            status = $request.status,
            took_ms = millis($request.took),
            request_id = $request.id,
            call_id = $request.call.map(display),
            who = $request.who,
            code = $request.code,
            trace_id = $request.trace.map(TraceId).map(display),
            "request"
        )
    };
}

/// Whether requests, or quiet ones, are told of.
pub fn tells_requests(are_quiet: bool) -> bool {
    if are_quiet {
        tracing::enabled!(target: "bellwire::request", Level::DEBUG)
    } else {
        tracing::enabled!(target: "bellwire::request", Level::INFO)
    }
}

impl Request<'_> {
    /// Tells of it.
    pub fn log(&self) {
        if self.is_quiet {
            request_line!(Level::DEBUG, self);
        } else {
            request_line!(Level::INFO, self);
        }
    }
}

impl Turn<'_> {
    /// Tells of it.
    pub fn log(&self) {
        let Self { call, before, inputs } = self;
        tracing::info!(
            target: "bellwire::turn",
            call_id = %call.id,
            revision = call.version,
            inputs = %Inputs(inputs),
            from = before.map(|before| before.state.as_str()),
            to = call.state.as_str(),
            end_reason = call.end_reason.map(EndReason::as_str),
            tasks = %Tasks(call, *before),
            trace_id = call.trace.filter(|place| place.sampled).map(TraceId).map(display),
            "turn"
        );
    }
}

/// The names of inputs, with commas.
pub struct Inputs<'a>(pub &'a [&'a [Input]]);

impl fmt::Display for Inputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("invite");
        }
        list(f, self.0.iter().copied().flatten().map(Input::name))
    }
}

/// The tasks that were made or begun anew.
struct Tasks<'a>(&'a Call, Option<&'a Call>);

impl fmt::Display for Tasks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0.begun_since(self.1).map(|task| task.kind.name()))
    }
}

fn list<'a>(f: &mut fmt::Formatter<'_>, names: impl Iterator<Item = &'a str>) -> fmt::Result {
    for (place, name) in names.enumerate() {
        write!(f, "{}{name}", if place > 0 { ", " } else { "" })?;
    }
    Ok(())
}

struct TraceId(TraceParent);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0.trace)
    }
}

/// In milliseconds, to the microsecond.
fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
