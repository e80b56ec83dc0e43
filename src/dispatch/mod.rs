//! Carries out the tasks that commits of this instance began, all at once, and tells the engine how each went.
//!
//! Nothing is queued here that is not in a call's record: an attempt that dies with this instance is begun again by the
//! wake-up after its lease. Quick retries inside a lease stay in memory. A ring that is still on its way to the provider
//! when its call is answered or over is called back, so that no phone rings for nothing.

pub mod jobs;
mod plan;
pub mod proofs;
mod pushing;
pub mod recording;
mod report;
mod rooms;
pub mod sweep;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{AbortHandle, JoinSet};

use crate::domain::{Call, CallId, Task, TaskKind, TaskResult, TraceParent, UserId};
use crate::engine::{Begun, Engine, EngineError};
use crate::lifecycle::Stop;
use crate::live::Live;
use crate::livekit::rooms::Rooms;
use crate::outbound::Webhooks;
use crate::push::Pushers;
use crate::telemetry::Metrics;
use crate::telemetry::traces::{Place, Span, within};
use crate::ticket::Tickets;
use recording::Recorder;
pub use rooms::Turns;

/// The pause before the first retry; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause where somebody waits: a provider that is back is found out soon.
const LONGEST_PAUSE: Duration = Duration::from_millis(1600);
/// The longest pause of what may come late.
const LONGEST_PAUSE_OF_MISSED: Duration = Duration::from_mins(10);
/// How long a try that began within the time of its attempt may go on after it; the lease is a second longer than that time.
const AFTER_ITS_TIME: Duration = Duration::from_millis(700);
/// The pause after an attempt of anything else.
const NEXT_ATTEMPT: Duration = Duration::from_millis(500);

/// What carrying out tasks needs.
pub struct Dispatcher {
    /// Told how tasks went.
    pub engine: Engine,
    /// Sends pushes.
    pub pushers: Arc<Pushers>,
    /// LiveKit's rooms, if the gateway is to look after them.
    pub rooms: Option<Rooms>,
    /// Limits how many tasks are at LiveKit at once.
    pub livekit_turns: Turns,
    /// Makes recordings, where there is a storage for them.
    pub recorder: Option<Recorder>,
    /// Tells the app's backend.
    pub webhooks: Arc<Webhooks>,
    /// Makes the tickets in pushes.
    pub tickets: Live<Tickets>,
    /// Where devices reach the gateway.
    pub public_url: Arc<str>,
    /// Counts what providers answer.
    pub metrics: Arc<Metrics>,
}

/// Rings on their way, by call, so that they can be called back.
#[derive(Default)]
struct Rings(HashMap<CallId, Vec<AbortHandle>>);

impl Rings {
    fn add(&mut self, call: CallId, handle: AbortHandle) {
        self.0.entry(call).or_default().push(handle);
    }

    fn call_back(&mut self, call: CallId) {
        for handle in self.0.remove(&call).into_iter().flatten() {
            handle.abort();
        }
    }

    fn forget_finished(&mut self, call: CallId) {
        if let Some(handles) = self.0.get_mut(&call) {
            handles.retain(|handle| !handle.is_finished());
            if handles.is_empty() {
                self.0.remove(&call);
            }
        }
    }
}

/// Carries out tasks until `stop`; what has begun by then is finished.
pub async fn run(dispatcher: Arc<Dispatcher>, mut begun: UnboundedReceiver<Begun>, mut stop: Stop) {
    let mut running = JoinSet::new();
    let mut rings = Rings::default();
    loop {
        tokio::select! {
            // Stopping comes last, so that what was committed before it is still begun.
            biased;
            Some(begun) = begun.recv() => start(&dispatcher, begun, &mut running, &mut rings),
            Some(finished) = running.join_next(), if !running.is_empty() => {
                if let Ok(call) = finished {
                    rings.forget_finished(call);
                }
            }
            () = stop.given() => break,
        }
    }
    while running.join_next().await.is_some() {}
}

fn start(dispatcher: &Arc<Dispatcher>, begun: Begun, running: &mut JoinSet<CallId>, rings: &mut Rings) {
    let Begun { call, tasks, trace } = begun;
    if !call.is_unanswered() {
        rings.call_back(call.id);
    }
    for task in tasks {
        let is_ring = task.kind.is_ring();
        let handle = running.spawn(carry_out(Arc::clone(dispatcher), Arc::clone(&call), task, trace));
        if is_ring {
            rings.add(call.id, handle);
        }
    }
}

async fn carry_out(dispatcher: Arc<Dispatcher>, call: Arc<Call>, task: Task, trace: Option<TraceParent>) -> CallId {
    let mut span = dispatcher.engine.traces().below(trace, task.kind.name());
    span.text("bellwire.call.id", &call.id);
    span.number("bellwire.attempt", task.attempt);
    if let Some(device) = task.kind.device() {
        span.text("bellwire.device.id", device);
    }
    within(Place::of(&span), attempt(&dispatcher, &call, &task, &mut span)).await;
    call.id
}

async fn attempt(dispatcher: &Dispatcher, call: &Call, task: &Task, span: &mut Span) {
    let carrying = dispatcher.metrics.carrying(&task.kind);
    let result = match &task.kind {
        TaskKind::Ring { .. }
        | TaskKind::RingAlert { .. }
        | TaskKind::StopRing { .. }
        | TaskKind::NotifyMissed { .. } => dispatcher.push_until_settled(call, task).await,
        TaskKind::FreeLine { user } => match dispatcher.free_line(call, user).await {
            Ok(()) => Some(TaskResult::Done(Vec::new())),
            Err(error) => {
                tracing::warn!(call_id = %call.id, %error, "a line could not be freed yet");
                Some(TaskResult::Retry(NEXT_ATTEMPT, Vec::new()))
            }
        },
        // Requests of HTTP are large while they are under way: in boxes, so that pushes need not have room for them.
        TaskKind::StartRecording | TaskKind::StopRecording => {
            Some(Box::pin(dispatcher.hand_over_recording(call, task)).await)
        }
        TaskKind::AskPresence | TaskKind::OpenRoom | TaskKind::CloseRoom { .. } => {
            Some(Box::pin(dispatcher.ask_livekit(call, task)).await)
        }
        TaskKind::Report { event, endpoint } => Some(Box::pin(dispatcher.report(call, task, *event, endpoint)).await),
        TaskKind::Account => Some(dispatcher.account(call).await),
    };
    if let Some(result) = &result {
        carrying.ends(result.word());
        span.word("bellwire.outcome", result.word());
    }
    if let Some(result) = result
        && let Err(error) = dispatcher.engine.task_finished(call.id, task, result).await
    {
        // Its lease passes, and the wake-up begins another attempt.
        tracing::warn!(call_id = %call.id, task = task.id, %error, "the result of a task could not be recorded");
    }
}

/// The time that an attempt has, and the pauses of its quick retries.
struct Patience {
    ends: Instant,
    pause: Duration,
    longest: Duration,
}

impl Patience {
    /// Of an attempt of a push; a later one goes on about where the one before it left off, which was after three pauses or four.
    fn new(kind: &TaskKind, attempt: u32) -> Self {
        let longest = match kind {
            TaskKind::NotifyMissed { .. } => LONGEST_PAUSE_OF_MISSED,
            _ => LONGEST_PAUSE,
        };
        let doublings = attempt.saturating_sub(1).saturating_mul(3).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(longest);
        Self { ends: Instant::now() + kind.deadline(), pause, longest }
    }

    /// Waits until an attempt under way must be given up, since its lease is about to pass.
    async fn used_up(&self) {
        tokio::time::sleep_until(self.given_up_at().into()).await;
    }

    fn given_up_at(&self) -> Instant {
        self.ends + AFTER_ITS_TIME
    }

    /// The next pause, or, if there is no time for it, how long the record shall wait.
    fn next(&mut self, dispatcher: &Dispatcher, after: Option<Duration>) -> Result<Duration, Duration> {
        let pause = dispatcher.engine.clock().jitter(self.pause);
        self.pause = (self.pause * 2).min(self.longest);
        let pause = after.map_or(pause, |after| after.max(pause));
        if Instant::now() + pause < self.ends { Ok(pause) } else { Err(pause) }
    }
}

impl Dispatcher {
    /// A line is free; and whoever has talked to a caller has missed none of their calls any more.
    async fn free_line(&self, call: &Call, user: &UserId) -> Result<(), EngineError> {
        if *user == call.callee.id && call.answered_at.is_some() {
            self.engine.forget_missed(user, &call.caller.id).await?;
        }
        self.engine.free_line(user, call.id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeviceId, Platform};

    /// The wake-up begins the next attempt at the end of the lease: there must not be two of them.
    #[test]
    fn an_attempt_has_its_time_and_ends_before_its_lease() {
        let device = DeviceId::new("phone").expect("a device id");
        for platform in [Platform::Ios, Platform::Android] {
            let kind = TaskKind::Ring { device: device.clone(), platform, number: 1 };
            let before = Instant::now();
            let end = Patience::new(&kind, 1).given_up_at();
            assert!(before + kind.deadline() < end && end < Instant::now() + kind.lease());
        }
    }
}
