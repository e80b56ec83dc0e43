//! The composition root: from a configuration to a running gateway, and to a gentle end of it.
//!
//! Every part is made here and handed what it needs; none finds another by itself.

mod certificates;
mod measure;
mod parts;
mod policy;
pub mod reload;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::store::StoreUrl;
use crate::config::{Config, ConfigError};
use crate::crypto::AlreadyInstalled;
use crate::dispatch::recording::Recorder;
use crate::dispatch::{self, Dispatcher, Turns};
use crate::domain::AppId;
use crate::engine::{Engine, FollowUps};
use crate::http::auth::{AuthConfigError, Authenticator};
use crate::http::connections::Connections;
use crate::http::load::Load;
use crate::http::server::{Bounds, Server};
use crate::http::{self, App, Links, Shared};
use crate::lifecycle::{Stop, Stopper, stop_signal};
use crate::live::Live;
use crate::livekit::egress::Egress;
use crate::livekit::rooms::Rooms;
use crate::livekit::storage::{Storage, StorageError};
use crate::livekit::token::TokenMinter;
use crate::livekit::twirp::SetUpError;
use crate::livekit::webhook::Webhooks;
use crate::outbound::{self, Policy, Postgres, Webhooks as Backend};
use crate::push::{PushError, Pushers};
use crate::scheduler;
use crate::store::Store;
use crate::store::embedded::{self, Embedded};
use crate::store::measured::Measured;
use crate::store::redis::{self, Redis};
use crate::telemetry::Metrics;
use crate::telemetry::traces::{self, Exporter, Traces, TracesError};
use crate::ticket::{Tickets, TicketsError};
use measure::measure;
use parts::{parts, warnings};
use reload::Reload;
pub(crate) use settings::keeping;
use settings::settings;

/// How long connections that wait for a request go on after the signal to stop, at the most.
const LINGERS_FOR: Duration = Duration::from_secs(2);
/// How long the last words on event streams may take.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);

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
    reload: Arc<Reload>,
    requests: Phase,
    work: Phase,
    traces: Phase,
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
    /// Traces cannot be exported.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// Webhooks, questions whether a call may be, or traces cannot be sent.
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
        if !without_push && config.push.apns.is_empty() && config.push.fcm.is_empty() {
            return Err(StartError::NoPush);
        }
        let tickets = Tickets::new(&config.auth.ticket_secrets)?;
        let auth = Live::new(Authenticator::new(&config.auth, tickets.clone(), clock.clone())?);
        let tickets = Live::new(tickets);
        let livekit = &config.livekit;
        let minter = Live::new(TokenMinter::new(&livekit.url, &livekit.api_key, &livekit.api_secret));
        let limits = &config.limits;
        let bounds = Bounds::of(limits, LINGERS_FOR.min(config.http.shutdown_grace / 5));
        let api = bind("http.listen", config.http.listen, bounds).await?;
        let ops = bind("http.ops_listen", config.http.ops_listen, bounds).await?;
        let pushers = Arc::new(Pushers::start(&config.push, clock.clone()).await?);
        let metrics = Arc::new(Metrics::new(apps(config)));
        let store = open_store(config, clock.clone()).await?;
        let store: Arc<dyn Store> = Arc::new(Measured::new(store, Arc::clone(&metrics)));
        let public_url = config.http.public_url.clone().unwrap_or_else(|| format!("http://{}", api.address()));
        let webhooks = Arc::new(Webhooks::new(&config.livekit, clock.clone())?);
        let rooms = Rooms::new(&config.livekit, clock.clone(), Arc::clone(&metrics))?;
        let (storage, recorder) = recorder(config, &rooms)?;
        let (livekit, rooms) = (rooms.twirp().clone(), config.livekit.rooms.then_some(rooms));
        let (work_stopper, work_stop) = stop_signal();
        let postgres = config.history.postgres.as_ref().map(|url| Arc::new(Postgres::new(url, &config.history)));
        let backend = Backend::new(&config.webhooks, clock.clone(), work_stop.clone())?;
        let backend = Arc::new(backend.with_history(postgres.as_ref()));
        let hook = Policy::of(&config.policy, clock.clone(), Arc::clone(&metrics))?.map(Arc::new);
        let settings = settings(config, &backend.endpoints(), hook.clone());
        let (engine, follow_ups) = Engine::new(Arc::clone(&store), clock, settings, Arc::clone(&metrics));
        let (traces, exporter) = traces(config, engine.clock(), &metrics)?;
        engine.trace_by(traces.clone());
        let (requests_stopper, requests_stop) = stop_signal();
        let dispatcher = Arc::new(Dispatcher {
            engine: engine.clone(),
            pushers: Arc::clone(&pushers),
            webhooks: Arc::clone(&backend),
            rooms: rooms.clone(),
            livekit_turns: Turns::default(),
            recorder,
            tickets: tickets.clone(),
            public_url: public_url.into(),
            metrics: Arc::clone(&metrics),
        });
        let warnings = warnings(config, &pushers, &*store).await;
        let load = Arc::new(Load::new(limits, &config.http, Arc::clone(&metrics)));
        let doors = Connections::of_api(limits, &config.http, &metrics);
        let in_force = Live::new(config.clone());
        let live = reload::Parts {
            auth: auth.clone(),
            tickets,
            minter: minter.clone(),
            limits: Live::new(limits.clone()),
            load: Arc::clone(&load),
            doors: doors.clone(),
            livekit_webhooks: Arc::clone(&webhooks),
            livekit,
            backend,
            policy: Live::new(hook),
            pushers: Arc::clone(&pushers),
            engine: engine.clone(),
            metrics: Arc::clone(&metrics),
        };
        let (live_limits, policy) = (live.limits.clone(), live.policy.clone());
        let reload = Arc::new(Reload::new(in_force.clone(), live));
        reload.fetch_keys();
        let work = work(dispatcher, follow_ups, rooms.as_ref(), postgres.as_ref(), &work_stop);
        let app = App::new(Shared {
            engine: engine.clone(),
            auth,
            minter,
            webhooks,
            links: storage.map(|storage| Arc::new(Links { storage, ttl: config.recording.link_ttl })),
            limits: live_limits,
            store_health: Arc::default(),
            load,
            measure: measure(Arc::clone(&pushers), Arc::clone(&metrics), in_force),
            parts: parts(pushers, rooms, postgres, policy, traces, Arc::clone(&reload)),
            metrics: Arc::clone(&metrics),
            stop: requests_stop.clone(),
        });
        let addresses = (api.address(), ops.address());
        let router = http::api(app.clone(), &config.http);
        let requests = vec![tokio::spawn(api.serve(router, doors, Arc::clone(&metrics), requests_stop))];
        // The operators' listener goes on while requests drain, to say so.
        let mut work = Phase { stopper: work_stopper, parts: work };
        let doors = Connections::of_operators(&metrics);
        work.parts.push(tokio::spawn(ops.serve(http::ops(app), doors, metrics, work_stop)));
        Ok(Self {
            http: addresses.0,
            ops: addresses.1,
            engine,
            warnings,
            store,
            reload,
            requests: Phase { stopper: requests_stopper, parts: requests },
            work,
            traces: exporting(exporter),
            grace: config.http.shutdown_grace,
        })
    }

    /// The API's base URL on this machine.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Goes by another configuration, as far as that can be done without a restart, and logs what came of it; where anything in it is wrong,
    /// nothing changes.
    pub async fn reload(&self, read: Result<Config, ConfigError>) {
        self.reload.run(read).await;
    }

    /// Stops: no new requests, those under way finish, then tasks do, as far as the grace reaches; then the store is closed, and the last
    /// spans are handed over, for about 2 s.
    pub async fn stop(self) -> Result<(), NotStopped> {
        let Self { engine, requests, work, traces, store, grace, .. } = self;
        engine.stops();
        let stopped = timeout(grace, async {
            requests.stop().await;
            work.stop().await;
        })
        .await;
        store.close().await;
        // A collector that takes nothing is no reason to say that something had not stopped.
        traces.stop().await;
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

/// Begins all that goes on without a request.
fn work(
    dispatcher: Arc<Dispatcher>,
    follow_ups: FollowUps,
    rooms: Option<&Rooms>,
    postgres: Option<&Arc<Postgres>>,
    stop: &Stop,
) -> Vec<JoinHandle<()>> {
    let engine = dispatcher.engine.clone();
    let mut work = vec![
        tokio::spawn(dispatch::run(Arc::clone(&dispatcher), follow_ups.begun, stop.clone())),
        tokio::spawn(dispatch::proofs::run(Arc::clone(&dispatcher), follow_ups.proofs, stop.clone())),
        tokio::spawn(dispatch::jobs::run(dispatcher, follow_ups.begun_jobs, stop.clone())),
        tokio::spawn(scheduler::run(engine.clone(), follow_ups.wake_ups, stop.clone())),
        tokio::spawn(scheduler::jobs::run(engine.clone(), follow_ups.job_wake_ups, stop.clone())),
    ];
    if let Some(rooms) = rooms.cloned() {
        work.push(tokio::spawn(dispatch::sweep::run(engine, rooms, stop.clone())));
    }
    if let Some(postgres) = postgres.cloned() {
        let stop = stop.clone();
        work.push(tokio::spawn(async move { postgres.keep(stop).await }));
    }
    work
}

async fn bind(key: &'static str, address: SocketAddr, bounds: Bounds) -> Result<Server, StartError> {
    Server::bind(address, bounds).await.map_err(|source| StartError::Listen { key, address, source })
}

/// Where recordings are kept, and what makes them, if calls are recorded.
fn recorder(config: &Config, rooms: &Rooms) -> Result<(Option<Arc<Storage>>, Option<Recorder>), StorageError> {
    let Some(s3) = &config.recording.s3 else { return Ok((None, None)) };
    let storage = Arc::new(Storage::new(s3)?);
    let recorder = Recorder { egress: Egress::new(rooms.twirp().clone(), s3.clone()), storage: Arc::clone(&storage) };
    Ok((Some(storage), Some(recorder)))
}

/// Where spans are made, and what hands them over, if they go anywhere.
fn traces(config: &Config, clock: &Clock, metrics: &Arc<Metrics>) -> Result<(Traces, Option<Exporter>), StartError> {
    let Some(endpoint) = &config.telemetry.otlp_endpoint else { return Ok((Traces::default(), None)) };
    let client = outbound::client(traces::REQUEST_WITHIN)?;
    let ratio = config.telemetry.trace_ratio;
    let (traces, exporter) = Traces::to(endpoint, ratio, client, clock.clone(), Arc::clone(metrics))?;
    Ok((traces, Some(exporter)))
}

/// Hands spans over until all else has stopped.
fn exporting(exporter: Option<Exporter>) -> Phase {
    let (stopper, stop) = stop_signal();
    Phase { stopper, parts: exporter.map(|exporter| tokio::spawn(exporter.run(stop))).into_iter().collect() }
}

/// The apps whose devices can be pushed to.
fn apps(config: &Config) -> impl Iterator<Item = AppId> + '_ {
    let (apns, fcm) = (config.push.apns.iter(), config.push.fcm.iter());
    apns.map(|section| section.app.clone()).chain(fcm.map(|section| section.app.clone()))
}

/// Opens the store that `store.url` names.
async fn open_store(config: &Config, clock: Clock) -> Result<Arc<dyn Store>, StartError> {
    let keeping = keeping(config);
    let config = &config.store;
    Ok(match &config.url {
        StoreUrl::Embedded(path) => {
            Arc::new(Embedded::open(path, config.timeout, clock)?.sealed_by(&config.encryption).keeping(keeping))
        }
        StoreUrl::Redis(url) => {
            Arc::new(Redis::open(url, config.timeout, clock).await?.sealed_by(&config.encryption).keeping(keeping))
        }
    })
}
