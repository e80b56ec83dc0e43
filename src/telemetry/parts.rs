//! What is measured of the gateway's parts, read when somebody looks: whether they work, connections and credentials of push providers,
//! certificates, and what it was built of.

use prometheus_client::encoding::EncodeLabelSet;

use super::metrics::Metrics;
use crate::domain::Timestamp;

/// A part of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Named {
    /// As readyz names it.
    part: String,
}

/// One section of push providers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProviderLabels {
    /// `apns` or `fcm`.
    provider: String,
    app: String,
    /// Apple's; empty for Google.
    environment: String,
}

/// One thing that hinders pushes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Hindrance {
    provider: String,
    app: String,
    environment: String,
    /// `unreachable`, `held_back`, `stale` or `refused`.
    problem: &'static str,
}

/// A file with certificates.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Certificate {
    /// The key of the configuration that names it.
    key: String,
}

/// Times that the configuration was read again of which the same came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reloaded {
    /// `applied` or `refused`.
    outcome: &'static str,
}

/// What the gateway was built of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Build {
    version: &'static str,
    rustc: &'static str,
}

/// A push provider, as it is now.
#[derive(Debug)]
pub struct Provider<'a> {
    /// `apns com.example.phone production` or `fcm com.example.phone`.
    pub name: &'a str,
    /// Connections that are open.
    pub connections: usize,
    /// Connections that there should be.
    pub wanted: usize,
    /// What hinders pushes, and whether it does.
    pub problems: [(&'static str, bool); 4],
    /// When its token expires, if it has one.
    pub token_expires_at: Option<Timestamp>,
}

impl Metrics {
    /// Notes of what this program was built.
    pub(super) fn tell_build(&self) {
        let build = Build { version: env!("CARGO_PKG_VERSION"), rustc: env!("BELLWIRE_RUSTC") };
        self.build_info.get_or_create(&build).set(1);
    }

    /// Counts that the configuration was read again, `applied` or `refused`.
    pub fn config_reloaded(&self, outcome: &'static str) {
        self.config_reloads.get_or_create(&Reloaded { outcome }).inc();
    }

    /// Notes which parts work.
    pub fn parts<'a>(&self, parts: impl IntoIterator<Item = (&'a str, bool)>) {
        for (part, works) in parts {
            self.part_up.get_or_create(&Named { part: part.to_owned() }).set(works.into());
        }
    }

    /// Notes how a push provider is.
    pub fn provider(&self, state: &Provider<'_>) {
        let labels = labels(state.name);
        let count = |count: usize| count.try_into().unwrap_or(i64::MAX);
        self.provider_connections.get_or_create(&labels).set(count(state.connections));
        self.provider_connections_wanted.get_or_create(&labels).set(count(state.wanted));
        if let Some(at) = state.token_expires_at {
            self.provider_token_expires_timestamp_seconds.get_or_create(&labels).set(seconds(at));
        }
        let ProviderLabels { provider, app, environment } = labels;
        for (problem, is_there) in state.problems {
            let (provider, app, environment) = (provider.clone(), app.clone(), environment.clone());
            let labels = Hindrance { provider, app, environment, problem };
            self.provider_problem.get_or_create(&labels).set(is_there.into());
        }
    }

    /// Notes when the first certificate of a file expires, by the key that names it; `None`: the file cannot be read now.
    pub fn certificate(&self, key: &str, expires_at: Option<Timestamp>) {
        let labels = Certificate { key: key.to_owned() };
        match expires_at {
            Some(at) => drop(self.certificate_expires_timestamp_seconds.get_or_create(&labels).set(seconds(at))),
            None => drop(self.certificate_expires_timestamp_seconds.remove(&labels)),
        }
    }
}

/// A section's name has the app after the provider.
fn labels(name: &str) -> ProviderLabels {
    let mut words = name.split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    ProviderLabels { provider: word(), app: word(), environment: word() }
}

fn seconds(at: Timestamp) -> i64 {
    at.as_secs().try_into().unwrap_or(i64::MAX)
}
