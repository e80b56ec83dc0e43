//! Every metric of the gateway: its name, what it says, its labels and buckets, in one place.
//!
//! No label grows with users: what comes from outside (an app's id, a provider's reason) is one of a few known values, or `other`.
//! When something is counted is for the parts to say; `ring` reads most of it off a call's records. Format:
//! <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use super::api::{Request, Route, Transport};
use super::parts::{Build, Certificate, Hindrance, Named, ProviderLabels, Reloaded};
use super::process;
use super::ring::Reached;
use super::storage::{Failure, Operation, Waiting};
use super::timers::{Attempted, Of, TaskLabels};
use crate::domain::{AppId, Device, Limit};

/// What [`Metrics::text`] is, for the header of an answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In seconds: from what a gateway itself takes up to the longest ring.
const BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0, 120.0];
/// The same for what a gateway and its store do by themselves, which nobody waits for long for.
const QUICK: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// What the name of every metric of ours begins with.
const PREFIX: &str = "bellwire";
/// A label's value that stands for all that are not known.
const OTHER: &str = "other";
/// The longest reason of a provider that becomes a label.
const LONGEST_REASON: usize = 40;
/// How many of them do.
const MOST_REASONS: usize = 100;

/// Time spans in seconds, by labels.
pub(super) type Seconds<Labels> = Family<Labels, Histogram, fn() -> Histogram>;
/// Counts, by labels.
pub(super) type Counts<Labels> = Family<Labels, Counter>;
/// What there is now, by labels.
pub(super) type Gauges<Labels> = Family<Labels, Gauge>;

/// What is said of a metric beside its samples.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its name; samples of counts have `_total` after it, those of histograms `_bucket`, `_count` and `_sum`.
    pub name: String,
    /// What it is.
    pub kind: MetricType,
    /// What it says.
    pub help: &'static str,
}

/// Devices of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    pub(super) platform: &'static str,
    pub(super) app: String,
}

/// Pushes to one provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Pushed {
    pub(super) provider: &'static str,
    pub(super) app: String,
    /// `ring`, `ring_alert`, `stop`, `missed` or `proof`.
    pub(super) push: &'static str,
}

/// One kind of a provider's answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Answered {
    pub(super) provider: &'static str,
    pub(super) app: String,
    pub(super) push: &'static str,
    /// What was done about it.
    pub(super) verdict: &'static str,
    /// The HTTP status; 0: there was no answer.
    pub(super) status: u16,
    pub(super) reason: String,
}

/// Legs that came to the same end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LegEnd {
    pub(super) platform: &'static str,
    pub(super) app: String,
    /// The state in which it ended.
    pub(super) state: &'static str,
    /// Whether its app said a word: `yes`, `no`, or `too_soon` where it had no time to.
    pub(super) acked: &'static str,
}

/// Calls that came to the same end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallEnd {
    pub(super) media: &'static str,
    pub(super) reason: &'static str,
}

/// Requests that one limit refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Refused {
    pub(super) limit: &'static str,
}

/// What is open at a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Listener {
    /// `api` or `ops`.
    pub(super) listener: &'static str,
}

/// Webhooks of which the same came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Told {
    /// The number of its section in the configuration, from 0; `postgres`, or `unknown` where it is in there no more.
    pub(super) endpoint: String,
    pub(super) event: &'static str,
    /// `taken`, `later` or `gone`.
    pub(super) outcome: &'static str,
}

/// Jobs of one kind that came to the same end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct JobEnd {
    pub(super) kind: &'static str,
    /// `done` or `given_up`.
    pub(super) outcome: &'static str,
}

/// Warnings of one limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Warned {
    pub(super) limit: &'static str,
    pub(super) per_cent: u32,
}

/// Calls of LiveKit's API.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LiveKitCall {
    /// The method, such as `CreateRoom`.
    pub(super) method: &'static str,
    /// `ok`, `not_found`, `unavailable` or `refused`.
    pub(super) outcome: &'static str,
}

/// Questions whether a call may be that came to the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Asked {
    /// `allowed`, `refused`, or why there was no answer.
    pub(super) outcome: &'static str,
}

/// Webhooks of LiveKit that came to the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Webhook {
    /// `applied`, `repeated`, `refused` or `failed`.
    pub(super) outcome: &'static str,
}

/// Makes the struct of all metrics: a field's comment is its help text.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ty = $make:expr,)+) => {
        /// All that is measured, by the names under which it is shown (`bellwire_` before each, `_total` after counts).
        pub struct Metrics {
            registry: Registry,
            descriptions: Vec<Description>,
            apps: HashSet<AppId>,
            reasons: Mutex<HashSet<String>>,
            $($(#[doc = $help])+ pub(super) $name: $kind,)+
        }

        impl Metrics {
            /// Nothing measured yet. Devices of other `apps` are counted as `other`.
            pub fn new(apps: impl IntoIterator<Item = AppId>) -> Self {
                let mut registry = Registry::with_prefix(PREFIX);
                let mut descriptions = Vec::new();
                $(
                    let $name: $kind = $make;
                    let help = concat!($($help),+).trim().trim_end_matches('.');
                    let name = format!("{PREFIX}_{}", stringify!($name));
                    descriptions.push(Description { name, kind: <$kind as TypedMetric>::TYPE, help });
                    registry.register(stringify!($name), help, $name.clone());
                )+
                descriptions.extend(process::descriptions());
                let reasons = Mutex::default();
                Self { registry, descriptions, apps: apps.into_iter().collect(), reasons, $($name,)+ }
            }
        }
    };
}

metrics! {
    /// Calls that have ended, by why.
    calls: Counts<CallEnd> = Family::default(),
    /// Devices that were rung and are done with, by the state in which they ended; acked tells whether they ever said a word, or had no time to.
    legs: Counts<LegEnd> = Family::default(),
    /// From a call's beginning until the first push to a device that its provider answered was handed to the connections to it; what it waited for a connection is not in it.
    ring_sent_seconds: Seconds<Kind> = Family::new_with_constructor(seconds),
    /// From the provider's taking the ring until the device said that it rings.
    ring_alerting_seconds: Seconds<Kind> = Family::new_with_constructor(seconds),
    /// From when the device said that it rings until it answered.
    ring_answer_seconds: Seconds<Kind> = Family::new_with_constructor(seconds),
    /// From handing a push to the connections to its provider until the answer.
    push_seconds: Seconds<Pushed> = Family::new_with_constructor(seconds),
    /// Requests that were refused since somebody had asked as often as they may, and what was refused or ended since there was too much at a time, by the limit.
    limited: Counts<Refused> = Family::default(),
    /// Connections that are open.
    open_connections: Family<Listener, Gauge> = Family::default(),
    /// Requests to the API that are in flight, event streams not among them.
    requests_in_flight: Gauge = Gauge::default(),
    /// What providers answered to pushes, and what was made of it.
    pushes: Counts<Answered> = Family::default(),
    /// Tries to deliver a webhook, by what came of them; later means that it is tried again.
    webhooks: Counts<Told> = Family::default(),
    /// How long a try to deliver a webhook took, the wait for its turn included.
    webhook_seconds: Seconds<Told> = Family::new_with_constructor(seconds),
    /// Jobs (work that belongs to no live call) that are over.
    jobs: Counts<JobEnd> = Family::default(),
    /// Warnings that a share of the plan is used.
    usage_warnings: Counts<Warned> = Family::default(),
    /// Webhooks of LiveKit, by what was done about them.
    livekit_webhooks: Counts<Webhook> = Family::default(),
    /// Calls of LiveKit's API, by method and outcome, from the request until the answer or until it was given up.
    livekit_seconds: Seconds<LiveKitCall> = Family::new_with_constructor(seconds),
    /// Questions to policy.url whether a call may be, by the answer (allowed, refused) or why there was none, from the question until the answer or until it was given up.
    policy_seconds: Seconds<Asked> = Family::new_with_constructor(seconds),
    /// Calls that came to a state: rates of it add up over gateways, also where one is started again in between.
    call_states: Counts<Reached> = Family::default(),
    /// From a call's beginning until a device said that it rings: what its caller waits for.
    ring_seconds: Seconds<Kind> = Family::new_with_constructor(seconds),
    /// From the answer until LiveKit had both parties in the room, of the device that answered.
    ring_media_seconds: Seconds<Kind> = Family::new_with_constructor(seconds),
    /// From the end of a call's ring until the call was ended as timed out.
    ring_end_late_seconds: Histogram = seconds(),
    /// Requests to the API by route, method and class of the answer's status; gone is for those who went away before it.
    http_requests: Counts<Request> = Family::default(),
    /// From a request to the API until the head of its answer.
    http_seconds: Seconds<Route> = Family::new_with_constructor(quick),
    /// Event streams that are read now.
    event_readers: Gauges<Transport> = Family::default(),
    /// What the store was asked for, by operation, until its answer.
    store_seconds: Seconds<Operation> = Family::new_with_constructor(quick),
    /// What the store did not do, by why: a conflict is tried again, limited and full are refusals, and the others are trouble.
    store_failures: Counts<Failure> = Family::default(),
    /// Calls that live or have tasks open, and jobs that are not done, in the whole store: each of its gateways tells the same number.
    store_waiting: Gauges<Waiting> = Family::default(),
    /// From when a call or a job was due that this gateway had in mind until it began to wake it.
    wake_up_late_seconds: Seconds<Of> = Family::new_with_constructor(seconds),
    /// Calls or jobs of any gateway that the last sweep found overdue; calls that are over and only to be tidied up are among them.
    overdue: Gauges<Of> = Family::default(),
    /// Tasks of calls that this gateway carries out now.
    tasks_running: Gauges<TaskLabels> = Family::default(),
    /// How long an attempt of a task took, by what came of it; dropped is for what had lost its purpose.
    task_seconds: Seconds<Attempted> = Family::new_with_constructor(seconds),
    /// From when a further attempt of a task was due until it was begun, at whichever gateway it had been.
    task_late_seconds: Seconds<TaskLabels> = Family::new_with_constructor(seconds),
    /// Whether a part works, as readyz says: 1 or 0.
    part_up: Gauges<Named> = Family::default(),
    /// Connections to a push provider that are open.
    provider_connections: Gauges<ProviderLabels> = Family::default(),
    /// Connections to a push provider that there should be.
    provider_connections_wanted: Gauges<ProviderLabels> = Family::default(),
    /// What hinders pushes to a provider, 1 or 0: no connection or token, all held back, a changed key not in use, the credential refused.
    provider_problem: Gauges<Hindrance> = Family::default(),
    /// Unix time at which the token in use with a provider expires; that for Apple is renewed when there is a push.
    provider_token_expires_timestamp_seconds: Gauges<ProviderLabels> = Family::default(),
    /// Unix time at which the first of the certificates in a file of the configuration expires.
    certificate_expires_timestamp_seconds: Gauges<Certificate> = Family::default(),
    /// Spans of traces that were handed over to the collector.
    trace_spans: Counter = Counter::default(),
    /// Spans of traces that were lost, since too many waited or the collector did not take them.
    trace_spans_lost: Counter = Counter::default(),
    /// How often the configuration was read again, by whether it came into force.
    config_reloads: Counts<Reloaded> = Family::default(),
    /// What this gateway was built of; always 1.
    build_info: Gauges<Build> = Family::default(),
}

fn seconds() -> Histogram {
    Histogram::new(BUCKETS)
}

fn quick() -> Histogram {
    Histogram::new(QUICK)
}

impl Metrics {
    /// All metrics, as Prometheus reads them.
    pub fn text(&self) -> String {
        self.tell_build();
        let mut text = String::new();
        // A String takes all that is written to it.
        let _ = text::encode_registry(&mut text, &process::registry());
        let _ = text::encode(&mut text, &self.registry);
        text
    }

    /// Every metric that there is, also those without a sample yet.
    pub fn descriptions(&self) -> &[Description] {
        &self.descriptions
    }

    /// Counts a request that a limit refused.
    pub fn limited(&self, limit: Limit) {
        self.limited.get_or_create(&Refused { limit: limit.as_str() }).inc();
    }

    /// Counts spans that were handed over.
    pub fn spans_handed_over(&self, count: usize) {
        self.trace_spans.inc_by(count as u64);
    }

    /// Counts spans that were lost.
    pub fn spans_lost(&self, count: usize) {
        self.trace_spans_lost.inc_by(count as u64);
    }

    /// Counts what was refused or ended since there was too much at a time; by the key in `[limits]`, or a word of its own.
    pub fn shed(&self, limit: &'static str) {
        self.limited.get_or_create(&Refused { limit }).inc();
    }

    /// How many connections are open at a listener.
    pub fn open_connections(&self, listener: &'static str) -> Gauge {
        self.open_connections.get_or_create_owned(&Listener { listener })
    }

    /// How many requests to the API are in flight.
    pub fn requests_in_flight(&self) -> Gauge {
        self.requests_in_flight.clone()
    }

    /// Notes how a call of LiveKit's API went.
    pub fn livekit_called(&self, method: &'static str, outcome: &'static str, latency: Duration) {
        observe(&self.livekit_seconds, &LiveKitCall { method, outcome }, latency);
    }

    /// Notes what came of a question whether a call may be.
    pub fn policy_asked(&self, outcome: &'static str, latency: Duration) {
        observe(&self.policy_seconds, &Asked { outcome }, latency);
    }

    /// Notes what was done about a webhook of LiveKit.
    pub fn livekit_told(&self, outcome: &'static str) {
        self.livekit_webhooks.get_or_create(&Webhook { outcome }).inc();
    }

    /// The labels of a device.
    pub(super) fn kind(&self, device: &Device) -> Kind {
        Kind { platform: device.platform.as_str(), app: self.app(device) }
    }

    /// A device's app, if it is one of those that are known.
    pub(super) fn app(&self, device: &Device) -> String {
        if self.apps.contains(&device.app) { device.app.to_string() } else { OTHER.to_owned() }
    }

    /// A provider's reason, if it is a word and not one too many: what stands before a colon.
    pub(super) fn reason(&self, reason: &str) -> String {
        let word = reason.split(':').next().unwrap_or_default();
        let is_word = word.len() <= LONGEST_REASON
            && word.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_'));
        let mut known = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if is_word && (known.contains(word) || known.len() < MOST_REASONS) {
            known.insert(word.to_owned());
            word.to_owned()
        } else {
            OTHER.to_owned()
        }
    }
}

/// Observes a time span.
pub(super) fn observe<L>(seconds: &Seconds<L>, labels: &L, span: Duration)
where
    L: Clone + std::hash::Hash + Eq,
{
    seconds.get_or_create(labels).observe(span.as_secs_f64());
}

impl Default for Metrics {
    /// For no known app.
    fn default() -> Self {
        Self::new([])
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_words_and_not_too_many() {
        let metrics = Metrics::default();
        assert_eq!(metrics.reason("Unregistered"), "Unregistered");
        assert_eq!(metrics.reason("not-connected: connection refused by 10.0.0.1"), "not-connected");
        assert_eq!(metrics.reason("a sentence"), OTHER);
        assert_eq!(metrics.reason(&"x".repeat(LONGEST_REASON + 1)), OTHER);
        for number in 0..MOST_REASONS {
            metrics.reason(&format!("reason-{number}"));
        }
        assert_eq!(metrics.reason("one-too-many"), OTHER);
        assert_eq!(metrics.reason("Unregistered"), "Unregistered");
    }
}
