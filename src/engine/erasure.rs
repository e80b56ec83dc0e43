//! Erasing what is held of a user, at the word of the app's backend: a job, so that neither a crash nor a database that is down leaves half.
//!
//! Records of their calls go whole, for both parties: what is left of one without one of its parties would still tell of them. Live calls end
//! first, and a call goes when nothing is left to do for it; a recording when its file is gone, of which a record without names waits for a day,
//! since LiveKit may upload the file once more. A ban stays unless it is to go too, so that
//! nobody is rid of one by asking to be forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use super::lines::COMMIT_WITHIN;
use super::{Engine, EngineError, LOADS_AT_ONCE};
use crate::crypto::uuid_of;
use crate::domain::job::{Erased, Erasure};
use crate::domain::recording::RecordingState;
use crate::domain::{CallId, Input, Job, JobId, Recording, RefusalReason, Timestamp, Unknown, UserId, Work};
use crate::store::{Slot, StoreError};

/// How long whoever asks waits for it to be complete.
const WAITED_FOR: Duration = Duration::from_secs(5);
/// Within what time one that was queued is begun.
const BEGUN_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it is known that an erasure is complete, and what it erased.
const KNOWN_FOR: Duration = Duration::from_mins(1);
/// What is left where the store could not be gone through.
pub const STORE: &str = "store";
/// How often it is tried to queue one against other instances.
const MAX_TRIES: usize = 8;

/// An erasure as whoever asked for it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasing {
    /// What has gone.
    pub erased: Erased,
    /// What is still to go, in words; nothing once it is complete.
    pub left: Vec<String>,
    /// Whether nothing is left.
    pub complete: bool,
    /// Whether the user is banned.
    pub banned: bool,
}

/// Erasures of which an attempt is under way here, each until the end of its lease.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<HashMap<JobId, Timestamp>>);

impl UnderWay {
    fn begin(&self, id: &JobId, until: Timestamp) {
        self.attempts().insert(id.clone(), until);
    }

    fn has(&self, id: &JobId, now: Timestamp) -> bool {
        self.attempts().get(id).is_some_and(|until| now < *until)
    }

    fn end(&self, id: &JobId) {
        self.attempts().remove(id);
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<JobId, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a call, or a recording.
enum Gone {
    /// It had gone, or was none of theirs.
    Before,
    Now,
    NotYet,
}

impl Engine {
    /// Erases what is held of a user, with their ban if `ban`, and waits a moment for that.
    pub async fn erase(&self, user: &UserId, ban: bool) -> Result<Erasing, EngineError> {
        let id = JobId::erasure(uuid_of(&format!("erasure/{user}")));
        self.queue_erasure(&id, user, ban).await?;
        let asked = Instant::now();
        loop {
            let job = self.job(&id).await?;
            let (erased, left, complete) = match job.map(|job| job.work) {
                Some(Work::Erasure(erasure)) => (erasure.erased, erasure.left, false),
                Some(Work::Erased(erased)) => (erased, Vec::new(), true),
                _ => (Erased::default(), Vec::new(), true),
            };
            if complete || asked.elapsed() > WAITED_FOR {
                let banned = self.ban_of(user).await?.is_some();
                return Ok(Erasing { erased, left, complete, banned });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Queues the job and begins it, or hastens the one that stands, unless an attempt of it is under way here.
    async fn queue_erasure(&self, id: &JobId, user: &UserId, ban: bool) -> Result<(), EngineError> {
        for _ in 0..MAX_TRIES {
            let now = self.clock().now();
            let stands = self.job(id).await?;
            let mut erasure = Erasure {
                user: user.clone(),
                ban,
                asked_at: now,
                forgotten: false,
                erased: Erased::default(),
                left: Vec::new(),
                unknown: Unknown::default(),
            };
            // It is begun here, at once, and by a wake-up only if that fails.
            let due = now + BEGUN_WITHIN;
            let queued = match stands {
                None => self.queue(&Job::new(id.clone(), Work::Erasure(erasure), now, due)).await?,
                Some(job) => {
                    if let Work::Erasure(under_way) = &job.work {
                        if (under_way.ban || !ban) && self.0.erasing.has(id, now) {
                            // Its end is waited for.
                            return Ok(());
                        }
                        let ban = ban || under_way.ban;
                        erasure = Erasure { ban, asked_at: now, forgotten: false, ..under_way.clone() };
                    }
                    let next = Job { attempt: 0, work: Work::Erasure(erasure), ..job.put_off(due) };
                    self.rewrite_job(&job, &next).await?
                }
            };
            if queued {
                return self.hasten_job(id).await;
            }
        }
        Err(StoreError::Unavailable("other instances keep changing the job of this erasure".into()).into())
    }

    /// Erases what can be erased by now; says what has gone, and what has not, in words.
    pub async fn carry_out_erasure(&self, job: &Job, erasure: &Erasure) -> Result<(Erased, Vec<String>), EngineError> {
        self.0.erasing.begin(&job.id, job.due);
        let (mut erased, mut left) = (Erased::default(), Vec::new());
        let user = &erasure.user;
        let mut ids = self.store().calls_naming(user).await?;
        ids.extend(self.store().line(user).await?.into_iter().map(|claim| claim.call));
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| id.made_at() <= erasure.asked_at);
        let each = ids.into_iter().map(|id| self.erase_call(id, user));
        let each: Vec<_> = stream::iter(each).buffer_unordered(LOADS_AT_ONCE).collect().await;
        for gone in each {
            // One that cannot be read keeps nothing else from going.
            let (call, recording) = gone.unwrap_or_else(|error| {
                tracing::warn!(%error, "a call could not be erased yet");
                (Gone::NotYet, Gone::Before)
            });
            for (gone, count, what) in
                [(call, &mut erased.calls, "calls"), (recording, &mut erased.recordings, "recordings")]
            {
                match gone {
                    Gone::Before => {}
                    Gone::Now => *count += 1,
                    Gone::NotYet if left.iter().any(|known| known == what) => {}
                    Gone::NotYet => left.push(what.to_owned()),
                }
            }
        }
        if erasure.forgotten {
            return Ok((erased, left));
        }
        // After the calls, whose ends write some of it. What a living app does meanwhile is new.
        let forgotten = self.store().forget_user(user).await?;
        erased.devices = forgotten.devices;
        erased.blocks = forgotten.blocks;
        erased.blocked_by = forgotten.blocked_by;
        erased.contacts = forgotten.contacts;
        erased.missed = forgotten.missed;
        erased.idempotency_keys = forgotten.idempotency_keys;
        erased.rates = forgotten.rates;
        if erasure.ban {
            erased.bans = u64::from(self.lift_ban(user).await?);
        }
        Ok((erased, left))
    }

    /// An attempt has erased this, and that is left. What an attempt beside it has erased counts too; whether something is left is for the one to
    /// say that began last.
    pub async fn erasure_attempted(
        &self,
        job: &Job,
        erasure: &Erasure,
        erased: &Erased,
        left: Vec<String>,
    ) -> Result<(), EngineError> {
        self.0.erasing.end(&job.id);
        for _ in 0..MAX_TRIES {
            let Some(stands) = self.job(&job.id).await? else { return Ok(()) };
            let now = self.clock().now();
            let next = match &stands.work {
                Work::Erasure(known) => {
                    let mut next = known.clone();
                    next.erased.add(erased);
                    let began_last = (stands.attempt, known.asked_at) == (job.attempt, erasure.asked_at);
                    if !began_last {
                        Job { version: stands.version + 1, work: Work::Erasure(next), ..stands.clone() }
                    } else if left.is_empty() {
                        Job { work: Work::Erased(next.erased), ..stands.put_off(now + KNOWN_FOR) }
                    } else {
                        next.forgotten |= !left.iter().any(|what| what == STORE);
                        next.left.clone_from(&left);
                        let pause = self.clock().jitter(stands.pause());
                        Job { work: Work::Erasure(next), ..stands.put_off(now + pause) }
                    }
                }
                Work::Erased(known) => {
                    let mut next = known.clone();
                    next.add(erased);
                    Job { version: stands.version + 1, work: Work::Erased(next), ..stands.clone() }
                }
                _ => return Ok(()),
            };
            if self.rewrite_job(&stands, &next).await? {
                if matches!((&stands.work, &next.work), (Work::Erasure(_), Work::Erased(_))) {
                    self.0.metrics.job_ended(job.work.name(), "done");
                    tracing::info!(job_id = %job.id, "what was held of a user is erased");
                }
                return Ok(());
            }
        }
        Err(StoreError::Unavailable("other instances keep changing the job of this erasure".into()).into())
    }

    async fn erase_call(&self, id: CallId, user: &UserId) -> Result<(Gone, Gone), EngineError> {
        let call = self.erase_record(id, user).await?;
        let recording = match call {
            // Its recording may not have begun, and would not end without it.
            Gone::NotYet => Gone::Before,
            Gone::Before | Gone::Now => self.erase_recording(id, user).await?,
        };
        if !matches!((&call, &recording), (Gone::NotYet, _) | (_, Gone::NotYet)) {
            self.store().free_line(user, id).await?;
            self.store().forget_call(user, id).await?;
        }
        Ok((call, recording))
    }

    /// Removes the record of a call of theirs, once nothing is left to do for it; a live one ends as if they had hung up.
    async fn erase_record(&self, id: CallId, user: &UserId) -> Result<Gone, EngineError> {
        let Slot::Call(call) = self.committed_or_buried(id, id.made_at() + COMMIT_WITHIN).await? else {
            return Ok(Gone::Before);
        };
        if call.party(user).is_none() {
            return Ok(Gone::Before);
        }
        if !call.is_ended() {
            return match self.apply(id, Input::HangUp(user.clone())).await {
                // A call that they do not know of ends by itself soon.
                Err(EngineError::Refused(refusal, _)) if refusal.why == RefusalReason::NotAParty => Ok(Gone::NotYet),
                Ok(_) | Err(EngineError::NotFound) => Ok(Gone::NotYet),
                Err(error) => Err(error),
            };
        }
        if !call.tasks.is_empty() {
            return Ok(Gone::NotYet);
        }
        let other = if call.caller.id == *user { &call.callee.id } else { &call.caller.id };
        self.store().free_line(other, id).await?;
        self.store().forget_call(other, id).await?;
        match self.store().remove(id, call.version).await {
            Ok(()) => Ok(Gone::Now),
            Err(StoreError::Conflict) => Ok(Gone::NotYet),
            Err(error) => Err(error.into()),
        }
    }

    /// Has the file of a recording of theirs deleted, and forgets whose it was once it is.
    async fn erase_recording(&self, id: CallId, user: &UserId) -> Result<Gone, EngineError> {
        let Some(recording) = self.load_recording(id).await?.filter(|recording| recording.has_party(user)) else {
            return Ok(Gone::Before);
        };
        let now = self.clock().now();
        if recording.state == RecordingState::Erased {
            let gone = if recording.was_never_started() {
                self.remove_recording(&recording).await?
            } else {
                self.forget_recorded(id, now).await?
            };
            return Ok(if gone { Gone::Now } else { Gone::NotYet });
        }
        self.change_recording(id, |recording: &mut Recording| {
            if recording.state.is_over() {
                recording.ask_erase(now);
            } else {
                recording.ask_stop(now);
            }
            true
        })
        .await?;
        Ok(Gone::NotYet)
    }

    /// Takes the parties out of the record of a recording that is erased; says whether it was.
    async fn forget_recorded(&self, id: CallId, now: Timestamp) -> Result<bool, EngineError> {
        let forget = |recording: &mut Recording| {
            let is_erased = recording.state == RecordingState::Erased;
            if is_erased {
                recording.forget_parties(now);
            }
            is_erased
        };
        Ok(self.change_recording(id, forget).await?.is_some_and(|recording| recording.parties.is_empty()))
    }
}
