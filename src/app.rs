//! The composition root: from a configuration to a running gateway, and to a gentle end of it.
//!
//! Every part is made here and handed what it needs; none finds another by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::store::{Store as StoreConfig, StoreUrl};
use crate::config::{self, Config};
use crate::crypto::AlreadyInstalled;
use crate::dispatch::recording::Recorder;
use crate::dispatch::{self, Dispatcher, Turns};
use crate::domain::recording::{Policy, RecordingPlan};
use crate::domain::time::millis;
use crate::domain::usage::Plan;
use crate::domain::{AppId, PushRules, Rules, Unknown};
use crate::engine::{Engine, Rates, Settings};
use crate::http::auth::{AuthConfigError, Authenticator};
use crate::http::health::Part;
use crate::http::server::{Server, Times};
use crate::http::{self, App, Links};
use crate::lifecycle::{Stopper, stop_signal};
use crate::livekit::egress::Egress;
use crate::livekit::rooms::Rooms;
use crate::livekit::storage::{Storage, StorageError};
use crate::livekit::token::TokenMinter;
use crate::livekit::twirp::SetUpError;
use crate::livekit::webhook::Webhooks;
use crate::outbound::{self, Postgres, Webhooks as Backend};
use crate::push::{PushError, Pushers};
use crate::scheduler;
use crate::store::Store;
use crate::store::embedded::{self, Embedded};
use crate::store::redis::{self, Redis};
use crate::telemetry::Metrics;
use crate::ticket::{Tickets, TicketsError};

/// How long connections that wait for a request go on after the signal to stop, at the most.
const LINGERS_FOR: Duration = Duration::from_secs(2);
/// How long the last words on event streams may take.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);
/// How often LiveKit is asked about a call in which all seems well.
const ASK_EVERY: Duration = Duration::from_mins(5);
/// How many devices a user may have; the one that was registered longest ago gives way.
const DEVICES_PER_USER: usize = 10;

/// A running gateway. It goes on until [`stop`](Self::stop).
pub struct Gateway {
    /// The address of the API.
    pub http: SocketAddr,
    /// The address of the operators' listener.
    pub ops: SocketAddr,
    /// The use cases, for whoever runs a gateway in their own process.
    pub engine: Engine,
    /// Why some device will not ring or calls may be lost, in words.
    pub warnings: Vec<String>,
    store: Arc<dyn Store>,
    requests: Phase,
    work: Phase,
    grace: Duration,
}

/// Parts that stop together.
struct Phase {
    stopper: Stopper,
    parts: Vec<JoinHandle<()>>,
}

/// Why a gateway cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another JWT provider was installed in this process.
    #[error(transparent)]
    Crypto(#[from] AlreadyInstalled),
    /// The embedded store cannot be opened.
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    /// The Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
    /// A key of users is no good.
    #[error("auth.users: {0}")]
    Auth(#[from] AuthConfigError),
    /// A ticket secret is no good.
    #[error("auth.ticket_secret: {0}")]
    Tickets(#[from] TicketsError),
    /// A key or certificate of a push provider is no good.
    #[error(transparent)]
    Push(#[from] PushError),
    /// Webhooks cannot be sent.
    #[error(transparent)]
    Webhooks(#[from] outbound::ClientError),
    /// LiveKit's API cannot be called.
    #[error(transparent)]
    LiveKit(#[from] SetUpError),
    /// No phone could be rung at all.
    #[error("no push provider is configured: add [[push.apns]] or [[push.fcm]], or start with --without-push")]
    NoPush,
    /// Recordings cannot be kept.
    #[error("recording.s3: {0}")]
    Storage(#[from] StorageError),
    /// An address cannot be listened on.
    #[error("{key} {address} cannot be listened on: {source}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Something still ran when the grace was over; what it was doing is taken up by the next start.
#[derive(Debug, Error)]
#[error("the grace of http.shutdown_grace was over before everything had stopped")]
pub struct NotStopped;

impl Gateway {
    /// Starts a gateway and returns once it takes calls.
    pub async fn start(config: &Config, clock: Clock, without_push: bool) -> Result<Self, StartError> {
        crate::crypto::install()?;
        let has_push = !config.push.apns.is_empty() || !config.push.fcm.is_empty();
        if !has_push && !without_push {
            return Err(StartError::NoPush);
        }
        let tickets = Tickets::new(&config.auth.ticket_secrets)?;
        let auth = Authenticator::new(&config.auth, tickets.clone(), clock.clone())?;
        let minter = TokenMinter::new(&config.livekit.url, &config.livekit.api_key, &config.livekit.api_secret)?;
        let lingers = LINGERS_FOR.min(config.http.shutdown_grace / 5);
        let times = Times { headers: config.limits.header_timeout, lingers };
        let api = bind("http.listen", config.http.listen, times).await?;
        let ops = bind("http.ops_listen", config.http.ops_listen, times).await?;
        let pushers = Arc::new(Pushers::start(&config.push, clock.clone()).await?);
        let store = open_store(&config.store, clock.clone()).await?;

        let public_url = config.http.public_url.clone().unwrap_or_else(|| format!("http://{}", api.address()));
        let metrics = Arc::new(Metrics::new(apps(config)));
        let webhooks = Arc::new(Webhooks::new(&config.livekit, clock.clone())?);
        let rooms = Rooms::new(&config.livekit, clock.clone(), Arc::clone(&metrics))?;
        let storage = config.recording.s3.as_ref().map(Storage::new).transpose()?.map(Arc::new);
        let recorder = storage
            .clone()
            .zip(config.recording.s3.clone())
            .map(|(storage, s3)| Recorder { egress: Egress::new(rooms.twirp().clone(), s3), storage });
        let rooms = config.livekit.rooms.then_some(rooms);
        let (work_stopper, work_stop) = stop_signal();
        let postgres = config.history.postgres.as_ref().map(|url| Arc::new(Postgres::new(url, &config.history)));
        let backend = Backend::new(&config.webhooks, clock.clone(), work_stop.clone())?;
        let backend = Arc::new(backend.with_history(postgres.as_ref()));
        let settings = settings(config, &backend);
        let (engine, follow_ups) = Engine::new(Arc::clone(&store), clock, settings, Arc::clone(&metrics));
        let (requests_stopper, requests_stop) = stop_signal();
        let dispatcher = Arc::new(Dispatcher {
            engine: engine.clone(),
            pushers: Arc::clone(&pushers),
            webhooks: backend,
            rooms: rooms.clone(),
            livekit_turns: Turns::default(),
            recorder,
            tickets,
            public_url: public_url.into(),
            metrics: Arc::clone(&metrics),
        });
        let mut warnings = unreachable_platforms(&pushers);
        warnings.extend(store.warnings().await);
        warnings.extend(unguarded_history(config));
        let auth = Arc::new(auth);
        let mut work = vec![
            tokio::spawn(dispatch::run(Arc::clone(&dispatcher), follow_ups.begun, work_stop.clone())),
            tokio::spawn(dispatch::jobs::run(dispatcher, follow_ups.begun_jobs, work_stop.clone())),
            tokio::spawn(scheduler::run(engine.clone(), follow_ups.wake_ups, work_stop.clone())),
            tokio::spawn(scheduler::jobs::run(engine.clone(), follow_ups.job_wake_ups, work_stop.clone())),
        ];
        if let Some(rooms) = rooms.clone() {
            work.push(tokio::spawn(dispatch::sweep::run(engine.clone(), rooms, work_stop.clone())));
        }
        if let Some(postgres) = postgres.clone() {
            let stop = work_stop.clone();
            work.push(tokio::spawn(async move { postgres.keep(stop).await }));
        }
        tokio::spawn({
            let auth = Arc::clone(&auth);
            async move { auth.prefetch().await }
        });
        let app = App {
            engine: engine.clone(),
            auth,
            minter: Arc::new(minter),
            webhooks,
            links: storage.map(|storage| Arc::new(Links { storage, ttl: config.recording.link_ttl })),
            limits: Arc::new(config.limits.clone()),
            parts: Arc::new(move || {
                let others = rooms.as_ref().map(livekit_part).into_iter().chain(postgres.as_deref().map(history_part));
                push_parts(&pushers).into_iter().chain(others).collect()
            }),
            metrics,
            stop: requests_stop.clone(),
        };
        let addresses = (api.address(), ops.address());
        let requests = vec![tokio::spawn(api.serve(http::api(app.clone(), &config.http), requests_stop))];
        // The operators' listener goes on while requests drain, to say so.
        let mut work = Phase { stopper: work_stopper, parts: work };
        work.parts.push(tokio::spawn(ops.serve(http::ops(app), work_stop)));
        Ok(Self {
            http: addresses.0,
            ops: addresses.1,
            engine,
            warnings,
            store,
            requests: Phase { stopper: requests_stopper, parts: requests },
            work,
            grace: config.http.shutdown_grace,
        })
    }

    /// The API's base URL on this machine.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Stops: no new requests, those under way finish, then tasks do, as far as the grace reaches; then the store is closed.
    pub async fn stop(self) -> Result<(), NotStopped> {
        let Self { requests, work, store, grace, .. } = self;
        let stopped = timeout(grace, async {
            requests.stop().await;
            work.stop().await;
        })
        .await;
        store.close().await;
        stopped.map_err(|_| NotStopped)
    }
}

impl Phase {
    async fn stop(self) {
        self.stopper.stop();
        for part in self.parts {
            if let Err(error) = part.await {
                tracing::error!(%error, "a part ended badly");
            }
        }
        // A client that takes nothing has no say in it.
        let _ = timeout(LAST_WORDS_WITHIN, self.stopper.released()).await;
    }
}

async fn bind(key: &'static str, address: SocketAddr, times: Times) -> Result<Server, StartError> {
    Server::bind(address, times).await.map_err(|source| StartError::Listen { key, address, source })
}

fn settings(config: &Config, backend: &Backend) -> Settings {
    let call = &config.call;
    Settings {
        ring: call.ring,
        rules: Rules {
            connect_timeout_ms: millis(call.connect_timeout),
            reconnect_grace_ms: millis(call.reconnect_grace),
            max_duration_ms: millis(call.max_duration),
            retention_ms: millis(call.retention),
            decline: call.decline,
            missed_call: config.push.missed_call,
            presence: config.livekit.rooms,
            rooms: config.livekit.rooms,
            ask_every_ms: if config.livekit.rooms { millis(ASK_EVERY) } else { 0 },
            record: config.recording.policy == Policy::Always,
            push: push_rules(&config.push),
            webhooks: backend.subscribers(),
            unknown: Unknown::default(),
        },
        call_waiting: call.call_waiting,
        devices_per_user: DEVICES_PER_USER,
        rates: rates(&config.limits),
        recording: recording_plan(config),
        deployment: config.livekit.deployment.clone(),
        plan: Plan {
            participant_minutes_per_month: config.usage.participant_minutes_per_month.into(),
            concurrent_participants: config.usage.concurrent_participants,
            warn_at: config.usage.warn_at.clone(),
        },
    }
}

fn rates(limits: &config::Limits) -> Rates {
    Rates {
        invites_per_user: limits.invites_per_user,
        invites_per_pair: limits.invites_per_pair,
        invites_per_callee: limits.invites_per_callee,
        tokens_per_user: limits.tokens_per_user,
        registrations_per_user: limits.registrations_per_user,
    }
}

fn recording_plan(config: &Config) -> RecordingPlan {
    let recording = &config.recording;
    RecordingPlan {
        policy: recording.policy,
        content: recording.media,
        audio_format: recording.audio_format,
        retention: recording.retention,
        bucket: recording.s3.as_ref().map(|s3| s3.bucket.clone()),
        prefix: recording.prefix.clone(),
    }
}

/// The apps whose devices can be pushed to.
fn apps(config: &Config) -> impl Iterator<Item = AppId> + '_ {
    let (apns, fcm) = (config.push.apns.iter(), config.push.fcm.iter());
    apns.map(|section| section.app.clone()).chain(fcm.map(|section| section.app.clone()))
}

/// What calls are to know of `[push]`.
fn push_rules(config: &config::push::Push) -> PushRules {
    // Apple may deliver the first push until it expires, at whichever host it went to.
    let expired = config.apns.iter().map(|apns| apns.ring_expiration).max().unwrap_or_default();
    PushRules {
        repush_after_ms: millis(config.repush_after),
        repush_max: config.repush_max.into(),
        repush_ios_after_ms: config.repush_ios.then(|| millis(config.repush_after.max(expired))),
        cancel_by_voip: config.apns.iter().any(|apns| apns.cancel_by_voip),
        voip_budget: config.voip_budget.into(),
        unknown: Unknown::default(),
    }
}

/// Opens the store that `store.url` names.
async fn open_store(config: &StoreConfig, clock: Clock) -> Result<Arc<dyn Store>, StartError> {
    Ok(match &config.url {
        StoreUrl::Embedded(path) => Arc::new(Embedded::open(path, config.timeout, clock)?),
        StoreUrl::Redis(url) => Arc::new(Redis::open(url, config.timeout, clock).await?),
    })
}

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

/// What must be known of a database that somebody else could pose as.
fn unguarded_history(config: &Config) -> Option<String> {
    let url = config.history.postgres.as_ref().filter(|url| url.is_open_to_others())?;
    Some(format!(
        "history.postgres_url has sslmode={}, so whoever is on the way to {} may read and change what is sent, the password perhaps too: use \
         verify-full",
        url.tls, url.server
    ))
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

fn unreachable_platforms(pushers: &Pushers) -> Vec<String> {
    use crate::domain::Platform;
    let served = pushers.platforms();
    let missing = |platform: Platform| served.iter().all(|one| one.platform != platform);
    let warn = |platform: Platform, section| {
        missing(platform).then(|| format!("{} devices cannot be rung: there is no [[{section}]]", platform.as_str()))
    };
    [warn(Platform::Ios, "push.apns"), warn(Platform::Android, "push.fcm")].into_iter().flatten().collect()
}
