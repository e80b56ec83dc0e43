//! The use cases: load a call, step it, commit it, and try again when someone else was quicker.
//!
//! Everything that changes a call goes through [`Engine::apply`]; an invite, which spans two users, is the saga in `invite`. The
//! engine decides nothing that `domain` can decide, and carries nothing out: attempts of tasks that a commit began go to `dispatch`, and
//! next wake-ups to `scheduler`, each over a channel that the engine was given.

mod acks;
mod attachments;
mod calls;
mod devices;
mod erasure;
mod inbox;
mod invite;
mod jobs;
mod limits;
mod lines;
mod meetings;
mod moderation;
pub mod policy;
mod reader;
mod readers;
mod recent;
mod recordings;
mod rooms;
mod takeover;
mod usage;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;

pub use calls::{Asker, Page, joins};
pub use erasure::{Erasing, STORE};
pub use invite::{InviteRequest, Key};
pub use limits::Rates;
pub use policy::{MOST_CONTACTS, Policy};
pub use reader::{ANNOUNCED_WITHIN, Beginning, News, Reader};
pub use recordings::Shown;
pub use takeover::{Proof, Registration};

pub use crate::store::{Ban, Missed, StoreError, Tell};

use crate::clock::Clock;
use crate::crypto::proof::Proofs;
use crate::domain::recording::RecordingPlan;
use crate::domain::usage::Plan;
use crate::domain::{
    Call, CallId, EndpointId, Job, JobId, Limited, Refusal, Rules, Task, Timestamp, TraceParent, WakeUp,
};
use crate::live::Live;
use crate::store::Store;
use crate::telemetry::{Metrics, Traces};
use attachments::Attachments;
use inbox::Inbox;
use lines::Awaited;
use readers::Readers;
use recent::Recent;

/// How many of a user's calls are loaded at once; at a store on the network each is a round trip.
const LOADS_AT_ONCE: usize = 32;

/// How many pushes that prove whose a phone is may wait to be sent.
const PROOFS_WAITING: usize = 64;

/// What the engine must know of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a call rings if the invite does not say.
    pub ring: Duration,
    /// The rules that new calls begin with.
    pub rules: Rules,
    /// Whether a user on a call is rung for a second one.
    pub call_waiting: bool,
    /// How many devices a user may have.
    pub devices_per_user: usize,
    /// How often users may do what is limited.
    pub rates: Rates,
    /// How calls are recorded.
    pub recording: RecordingPlan,
    /// Part of every room's name, so that deployments that share a LiveKit project tell theirs apart.
    pub deployment: String,
    /// Of how much use to warn.
    pub plan: Plan,
    /// Who is told of bans.
    pub told_of_bans: Vec<EndpointId>,
    /// Who may call whom.
    pub policy: Policy,
    /// What proves that a phone is its new user's, where they are not simply believed.
    pub takeover: Option<Proofs>,
}

/// Attempts of tasks that a commit of this instance began, to be carried out now.
#[derive(Debug)]
pub struct Begun {
    /// The record as committed.
    pub call: Arc<Call>,
    /// The attempts.
    pub tasks: Vec<Task>,
    /// Where in a trace they belong.
    pub trace: Option<TraceParent>,
}

/// What a commit asks of the rest of the instance.
pub struct FollowUps {
    /// To `dispatch`.
    pub begun: mpsc::UnboundedReceiver<Begun>,
    /// To `scheduler`.
    pub wake_ups: mpsc::UnboundedReceiver<(CallId, WakeUp)>,
    /// Attempts of jobs, to `dispatch`.
    pub begun_jobs: mpsc::UnboundedReceiver<Job>,
    /// When jobs are due, to `scheduler`.
    pub job_wake_ups: mpsc::UnboundedReceiver<(JobId, Timestamp)>,
    /// Pushes that prove whose a phone is, to `dispatch`.
    pub proofs: mpsc::Receiver<Proof>,
}

/// The use cases on one store. Clones share everything.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Clock,
    settings: Live<Settings>,
    metrics: Arc<Metrics>,
    traces: OnceLock<Traces>,
    inbox: Inbox,
    recent: Recent,
    awaited: Awaited,
    readers: Readers,
    attachments: Attachments,
    told_of: rooms::ToldOf,
    erasing: erasure::UnderWay,
    begun: mpsc::UnboundedSender<Begun>,
    wake_ups: mpsc::UnboundedSender<(CallId, WakeUp)>,
    begun_jobs: mpsc::UnboundedSender<Job>,
    job_wake_ups: mpsc::UnboundedSender<(JobId, Timestamp)>,
    proofs: mpsc::Sender<Proof>,
}

/// Why a use case was not carried out.
#[derive(Debug, Error)]
pub enum EngineError {
    /// There is no such call, or the asker may not know of it.
    #[error("there is no such call")]
    NotFound,
    /// The user has no such device.
    #[error("the user has no such device")]
    UnknownDevice,
    /// The call's state does not allow it; the record as it stands comes along.
    #[error("{0}")]
    Refused(Refusal, Arc<Call>),
    /// The asker is a party, but not the one that may do this.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// The caller is on a call already, or began this one while the invite was held up.
    #[error("the caller is on the call {0}")]
    CallerBusy(CallId),
    /// The idempotency key was used with another request.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// The user has as many readers of events as they may have.
    #[error("close one of the other event streams")]
    TooManyReaders,
    /// The call has no recording.
    #[error("the call has no recording")]
    NoRecording,
    /// The call was recorded, and is so once.
    #[error("the call was recorded, which is done once")]
    RecordingOver,
    /// Whoever rules on calls refused this one; why, if they said so.
    #[error("{}", .0.as_deref().unwrap_or("the call is not allowed"))]
    CallRefused(Option<String>),
    /// Whoever rules on calls cannot be asked.
    #[error("whether the call is allowed cannot be found out now")]
    PolicyUnavailable,
    /// It is still asked about other calls of the caller.
    #[error("whether other calls of the user are allowed is still being found out")]
    TooManyInvites,
    /// Another user's phone has the token, and cannot be asked whose it is.
    #[error("the token is of another user's phone, to which no proof can be pushed: it has no alert token")]
    TokenHeld,
    /// What was said back is not what was pushed, or came too late. Another one was pushed.
    #[error("is not the proof that was pushed last, or came too late; another one was pushed")]
    ProofRefused,
    /// The policy of recordings does not let the asker.
    #[error("{0}")]
    RecordingNotAllowed(&'static str),
    /// The user is banned.
    #[error("the user is banned")]
    Banned,
    /// The user has done it as often as they may for now.
    #[error("{0}")]
    Limited(Limited),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Limited(limited) => Self::Limited(limited),
            error => Self::Store(error),
        }
    }
}

impl Engine {
    /// An engine on a store. What its commits ask for comes out of the [`FollowUps`].
    ///
    /// Must be called within a tokio runtime: it begins to listen to the store's announcements.
    pub fn new(store: Arc<dyn Store>, clock: Clock, settings: Settings, metrics: Arc<Metrics>) -> (Self, FollowUps) {
        let (begun, begun_receiver) = mpsc::unbounded_channel();
        let (wake_ups, wake_ups_receiver) = mpsc::unbounded_channel();
        let (begun_jobs, begun_jobs_receiver) = mpsc::unbounded_channel();
        let (job_wake_ups, job_wake_ups_receiver) = mpsc::unbounded_channel();
        let (proofs, proofs_receiver) = mpsc::channel(PROOFS_WAITING);
        let readers = Readers::new(Arc::clone(&store));
        let inner = Inner {
            store,
            clock,
            settings: Live::new(settings),
            metrics,
            traces: OnceLock::new(),
            inbox: Inbox::default(),
            recent: Recent::default(),
            awaited: Awaited::default(),
            readers,
            attachments: Attachments::default(),
            told_of: rooms::ToldOf::default(),
            erasing: erasure::UnderWay::default(),
            begun,
            wake_ups,
            begun_jobs,
            job_wake_ups,
            proofs,
        };
        let follow_ups = FollowUps {
            begun: begun_receiver,
            wake_ups: wake_ups_receiver,
            begun_jobs: begun_jobs_receiver,
            job_wake_ups: job_wake_ups_receiver,
            proofs: proofs_receiver,
        };
        (Self(Arc::new(inner)), follow_ups)
    }

    /// The clock of this instance.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Goes by other settings from now on; calls keep the rules that they began with.
    pub fn set(&self, settings: Settings) {
        self.0.settings.set(settings);
    }

    fn settings(&self) -> Arc<Settings> {
        self.0.settings.now()
    }

    /// What this instance measures.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Has what is done for calls traced; to be said once, before anything is done.
    pub fn trace_by(&self, traces: Traces) {
        let _ = self.0.traces.set(traces);
    }

    /// Where this instance traces what it does.
    pub fn traces(&self) -> &Traces {
        self.0.traces.get_or_init(Traces::default)
    }

    /// Measures what waits in the store, and says whether that can be asked.
    pub async fn measure_store(&self) -> bool {
        let waiting = self.store().waiting().await.ok();
        self.0.metrics.waiting(waiting.map(|waiting| (waiting.calls, waiting.jobs)));
        waiting.is_some()
    }

    /// What the store is, or why it cannot be used now.
    pub async fn store_health(&self) -> Result<String, StoreError> {
        self.0.store.health().await
    }

    fn store(&self) -> &dyn Store {
        self.0.store.as_ref()
    }

    /// Hands on what a commit asks for. Receivers that are gone belong to an instance that stops.
    fn follow_up(&self, call: &Arc<Call>, before: Option<&Call>, trace: Option<TraceParent>) {
        self.0.metrics.committed(call, before);
        let tasks: Vec<Task> = call.begun_since(before).cloned().collect();
        let _ = self.0.wake_ups.send((call.id, call.wake_up()));
        // That it rings no more calls back what is on its way.
        let falls_silent = before.is_some_and(Call::is_unanswered) && !call.is_unanswered();
        if falls_silent || !tasks.is_empty() {
            let _ = self.0.begun.send(Begun { call: Arc::clone(call), tasks, trace });
        }
    }
}
