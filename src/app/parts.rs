//! How the parts are, in words: for `/readyz`, and as warnings at the start.

use std::sync::Arc;

use super::reload::Reload;
use crate::config::Config;
use crate::domain::recording::Policy;
use crate::http::connections::too_few_files;
use crate::http::health::Part;
use crate::live::Live;
use crate::livekit::rooms::Rooms;
use crate::outbound::{self, Postgres};
use crate::push::Pushers;
use crate::store::Store;
use crate::telemetry::Traces;

/// What the parts say when they are asked.
pub(super) fn parts(
    pushers: Arc<Pushers>,
    rooms: Option<Rooms>,
    postgres: Option<Arc<Postgres>>,
    policy: Live<Option<Arc<outbound::Policy>>>,
    traces: Traces,
    reload: Arc<Reload>,
) -> Arc<dyn Fn() -> Vec<Part> + Send + Sync> {
    Arc::new(move || {
        let others = rooms.as_ref().map(livekit_part).into_iter().chain(postgres.as_deref().map(history_part));
        let policy = policy.now();
        let others =
            others.chain(policy.as_deref().map(policy_part)).chain(traces_part(&traces)).chain([reload.part()]);
        push_parts(&pushers).into_iter().chain(others).collect()
    })
}

/// The providers' connections.
fn push_parts(pushers: &Pushers) -> Vec<Part> {
    let parts = pushers.states().into_iter().map(|state| Part {
        ok: state.is_good(),
        detail: match state.problem() {
            Some(problem) => format!("{} of {} connections: {problem}", state.connected, state.of),
            None => format!("{} of {} connections", state.connected, state.of),
        },
        name: state.name,
    });
    parts.collect()
}

fn history_part(postgres: &Postgres) -> Part {
    let problem = postgres.problem();
    let ok = problem.is_none();
    Part { name: "postgres".into(), ok, detail: problem.unwrap_or_else(|| "history is written".into()) }
}

fn policy_part(policy: &outbound::Policy) -> Part {
    let then = if policy.fails_open() { "calls go on without" } else { "no call can be made" };
    let trouble = policy.trouble();
    let ok = trouble.is_none();
    let detail = trouble.map(|(since, why)| format!("since {since}: {why}; {then}"));
    Part { name: "policy".into(), ok, detail: detail.unwrap_or_else(|| "no question went without an answer".into()) }
}

fn traces_part(traces: &Traces) -> Option<Part> {
    let trouble = traces.trouble()?;
    let ok = trouble.is_none();
    let detail = trouble.map(|(since, why)| format!("since {since}: {why}; spans are lost meanwhile"));
    Some(Part { name: "traces".into(), ok, detail: detail.unwrap_or_else(|| "spans are handed over".into()) })
}

fn livekit_part(rooms: &Rooms) -> Part {
    let health = rooms.health();
    let detail = match (&health.problem, health.answered_at) {
        (Some((since, why)), _) => format!("since {since}: {why}; calls go on, and rooms are made and closed later"),
        (None, Some(at)) => format!("answered at {at}"),
        (None, None) => "not asked yet".to_owned(),
    };
    Part { name: "livekit".into(), ok: health.problem.is_none(), detail }
}

/// What operators should know at the start.
pub(super) async fn warnings(config: &Config, pushers: &Pushers, store: &dyn Store) -> Vec<String> {
    let mut warnings = unreachable_platforms(pushers);
    warnings.extend(store.warnings().await);
    warnings.extend(never_recorded(config));
    warnings.extend(unguarded_history(config));
    warnings.extend(too_few_files(&config.limits));
    warnings
}

/// Recordings begin when both parties are connected, which nobody knows without LiveKit's rooms.
fn never_recorded(config: &Config) -> Option<String> {
    let wanted = config.recording.policy != Policy::Off && !config.livekit.rooms;
    wanted.then(|| "no call is recorded: recording.policy needs livekit.rooms".to_owned())
}

/// What must be known of a database that somebody else could pose as, or that is connected to in another way than the configuration says.
fn unguarded_history(config: &Config) -> Vec<String> {
    let Some(url) = &config.history.postgres else { return Vec::new() };
    let open = url.is_open_to_others().then(|| {
        format!(
            "history.postgres_url has sslmode={}, so whoever is on the way to {} may read and change what is sent, the password perhaps too: use \
             verify-full",
            url.tls, url.server
        )
    });
    open.into_iter().chain(Postgres::warnings()).collect()
}

fn unreachable_platforms(pushers: &Pushers) -> Vec<String> {
    use crate::domain::Platform;
    let served = pushers.platforms();
    let missing = |platform: Platform| served.iter().all(|one| one.platform != platform);
    let warn = |platform: Platform, section| {
        missing(platform).then(|| format!("{} devices cannot be rung: there is no [[{section}]]", platform.as_str()))
    };
    [warn(Platform::Ios, "push.apns"), warn(Platform::Android, "push.fcm")].into_iter().flatten().collect()
}
