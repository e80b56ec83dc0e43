//! Recordings of calls: who may ask for one, see it and have it erased, and the record of each, a job of its own that outlives its call.
//!
//! How a recording goes on is `domain::recording`'s; `dispatch` carries out what is next. What the parties are told goes through the
//! call's own record, so that their events stay in order.

use super::{Asker, Engine, EngineError};
use crate::domain::recording::{AskedBy, InCall, Next, Outcome, Policy, RecordingState, Report, Stage, Tell};
use crate::domain::room::call_of_room;
use crate::domain::{Call, CallId, Input, Job, JobId, Recording, Work};
use crate::store::StoreError;

/// How often in a row somebody else's change of a recording may come first.
const TRIES: usize = 16;

/// A recording as its asker may see it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The recording.
    pub recording: Recording,
    /// Whether it was wanted just now.
    pub is_new: bool,
}

/// What an asker wants of a recording.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Start,
    See,
    End,
}

impl Engine {
    /// Has a call recorded; asking again changes nothing.
    pub async fn ask_recording(&self, id: CallId, asker: &Asker) -> Result<Shown, EngineError> {
        let call = self.find_call(id, asker).await?;
        self.refuse_banned_asker(asker).await?;
        self.allow(asker, Wish::Start)?;
        let by = match asker {
            Asker::User(user, _) | Asker::Ticket(user, _) => AskedBy::Party(user.clone()),
            Asker::Service => AskedBy::Service,
        };
        if call.recording.as_ref().is_some_and(|recording| recording.stage == Stage::Over) && !call.is_ended() {
            return Err(EngineError::RecordingOver);
        }
        let number = |call: &Call| call.recording.as_ref().map_or(0, |recording| recording.number);
        let before = number(&call);
        let mut inputs = vec![Input::RecordingAsked(by.clone())];
        let known = self.load_recording(id).await?.filter(|known| known.number == before);
        if known.is_some_and(|known| matches!(known.state, RecordingState::Failed | RecordingState::Aborted)) {
            // The call is about to be told so.
            inputs.insert(0, Input::RecordingFailed(before));
        }
        let call = self.apply_all(id, inputs, Some(call)).await?;
        let wanted = call.recording.as_ref();
        let is_new = wanted.is_some_and(|wanted| wanted.number > before && wanted.asked_by == by);
        let recording = match self.load_recording(id).await? {
            Some(recording) if number(&call) <= recording.number => recording,
            _ => self.wanted(&call).ok_or(EngineError::NoRecording)?,
        };
        Ok(Shown { recording, is_new })
    }

    /// The recording of a call, also when the call's own record is gone.
    pub async fn recording(&self, id: CallId, asker: &Asker) -> Result<Shown, EngineError> {
        self.refuse_banned_asker(asker).await?;
        let found = self.find_recording(id).await?;
        self.shown(id, asker, found, Wish::See).await
    }

    /// Ends the recording of a call if it runs, and has it erased if it is over. Whoever was banned for what they did in a call must not erase
    /// what shows it.
    pub async fn end_recording(&self, id: CallId, asker: &Asker) -> Result<Shown, EngineError> {
        self.refuse_banned_asker(asker).await?;
        let found = self.find_recording(id).await?;
        let is_there = found.is_some();
        let mut shown = self.shown(id, asker, found, Wish::End).await?;
        let number = shown.recording.number;
        if !is_there {
            let call = self.apply(id, Input::RecordingFailed(number)).await?;
            shown.recording = self.wanted(&call).unwrap_or(shown.recording);
        }
        let now = self.clock().now();
        // Its record may be made at this moment: whoever is to begin it sees then that its call does not want it.
        let changed = self.change_recording(id, |recording| {
            if recording.number < number {
                return false;
            }
            if recording.state.is_over() {
                recording.ask_erase(now);
            } else {
                recording.ask_stop(now);
            }
            true
        });
        let changed = changed.await?.filter(|recording| recording.number >= number);
        Ok(Shown { recording: changed.unwrap_or(shown.recording), is_new: false })
    }

    async fn shown(
        &self,
        id: CallId,
        asker: &Asker,
        found: Option<Recording>,
        wish: Wish,
    ) -> Result<Shown, EngineError> {
        let Some(recording) = found else {
            let call = self.find_call(id, asker).await?;
            self.allow(asker, wish)?;
            let recording = self.wanted(&call).ok_or(EngineError::NoRecording)?;
            return Ok(Shown { recording, is_new: false });
        };
        let is_party = match asker {
            Asker::User(user, _) | Asker::Ticket(user, _) => recording.has_party(user),
            Asker::Service => true,
        };
        if !is_party {
            return Err(EngineError::NotFound);
        }
        self.allow(asker, wish)?;
        Ok(Shown { recording, is_new: false })
    }

    /// Whether the policy lets the asker, who is a party of the call or the app's backend.
    fn allow(&self, asker: &Asker, wish: Wish) -> Result<(), EngineError> {
        let why = match (self.settings().recording.policy, asker, wish) {
            (Policy::Off, _, Wish::Start) => "recording.policy is off",
            (_, Asker::Service, _) | (Policy::Party, _, _) | (Policy::Always, _, Wish::Start | Wish::See) => {
                return Ok(());
            }
            (Policy::Always, _, Wish::End) => "every call is recorded; only the app's backend ends and erases that",
            (Policy::Off | Policy::Service, _, _) => "recordings are for the app's backend alone",
        };
        Err(EngineError::RecordingNotAllowed(why))
    }

    /// The recording that a call wants and that has no record yet. One that is over had a record, which is gone.
    fn wanted(&self, call: &Call) -> Option<Recording> {
        let settings = self.settings();
        let plan = &settings.recording;
        let wanted = call.recording.as_ref().filter(|wanted| wanted.stage != Stage::Over)?;
        let (by, bucket) = (wanted.asked_by.clone(), plan.bucket.clone().unwrap_or_default());
        let mut recording = Recording::new(call, plan, bucket, by, wanted.number, wanted.asked_at);
        if wanted.stage == Stage::Failed || call.is_ended() {
            recording.ask_stop(call.ended_at.unwrap_or_else(|| self.clock().now()));
        }
        Some(recording)
    }

    /// Makes the record of the recording that a call wants, unless the call is over. Says whether that is dealt with: while there is still
    /// something to be done for the one before, which failed, it is not.
    pub async fn start_recording(&self, id: CallId) -> Result<bool, EngineError> {
        for _ in 0..TRIES {
            let call = match self.find_call(id, &Asker::Service).await {
                Ok(call) => call,
                Err(EngineError::NotFound) => return Ok(true),
                Err(error) => return Err(error),
            };
            let wanted = self.wanted(&call).filter(|recording| !recording.state.is_over());
            let Some(recording) = wanted else { return Ok(true) };
            if recording.bucket.is_empty() {
                // The configuration has lost its storage since the call began.
                return self.apply(id, Input::RecordingFailed(recording.number)).await.map(|_| true);
            }
            let job_id = JobId::recording(id);
            let now = self.clock().now();
            let (job, expected) = match self.store().load_job(&job_id).await? {
                Some(Job { work: Work::Recording(known), .. }) if known.number >= recording.number => return Ok(true),
                Some(Job { work: Work::Recording(known), .. }) if !known.is_settled() => return Ok(false),
                Some(job) => (
                    Job { version: job.version + 1, due: now, work: work(recording), ..job.clone() },
                    Some(job.version),
                ),
                None => (Job::new(job_id, work(recording), now, now), None),
            };
            match self.store().commit_job(&job, expected).await {
                Ok(()) => {
                    self.remind(&job);
                    return Ok(true);
                }
                // Another instance has made it, or changed the one before.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// The call is over, and so is its recording.
    pub async fn stop_recording(&self, id: CallId) -> Result<(), EngineError> {
        let now = self.clock().now();
        let stop = |recording: &mut Recording| {
            let runs = !recording.state.is_over() && recording.stop_at.is_none();
            recording.ask_stop(now);
            runs
        };
        self.change_recording(id, stop).await.map(drop)
    }

    /// LiveKit says how a recording in a room stands.
    pub async fn recording_reported(&self, room: &str, report: &Report) -> Result<(), EngineError> {
        let Some(id) = call_of_room(&self.settings().deployment, room) else { return Ok(()) };
        let now = self.clock().now();
        let note = |recording: &mut Recording| recording.room == room && recording.reported(report, now);
        self.change_recording(id, note).await.map(drop)
    }

    /// Begins what is next for a recording, if it is time; until it is finished or its lease has passed, nobody else does.
    pub async fn begin_recording(&self, id: &JobId) -> Result<Option<(Recording, Next)>, EngineError> {
        for _ in 0..TRIES {
            let now = self.clock().now();
            let Some(mut job) = self.store().load_job(id).await? else { return Ok(None) };
            let Work::Recording(recording) = &mut job.work else { return Ok(None) };
            let Some(next) = recording.next(now) else { return Ok(None) };
            recording.begin(now);
            let begun = recording.as_ref().clone();
            match self.commit_recording(job).await {
                Ok(()) => return Ok(Some((begun, next))),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// What came of it.
    pub async fn finish_recording(&self, begun: &Recording, next: Next, outcome: Outcome) -> Result<(), EngineError> {
        let now = self.clock().now();
        let finish = |recording: &mut Recording| {
            recording.finish(begun.busy_until, next, outcome.clone(), now);
            true
        };
        self.change_recording(begun.call, finish).await.map(drop)
    }

    /// Tells a call of its recording. Says whether it wants it still, as far as that is known.
    pub async fn tell_of_recording(&self, recording: &Recording, tell: Tell) -> Result<bool, EngineError> {
        let input = match tell {
            Tell::Started => Input::RecordingStarted(recording.number, recording.content),
            Tell::Stopped => Input::RecordingStopped(recording.number),
            Tell::Failed => Input::RecordingFailed(recording.number),
            Tell::Ready => return Ok(true),
        };
        match self.apply(recording.call, input).await {
            // Parties that do not hear of it must not be recorded.
            Ok(call) => Ok(tell != Tell::Started || wants(&call, recording)),
            // Its record is gone, and nobody listens any more.
            Err(EngineError::NotFound | EngineError::Refused(..)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the call of a recording goes on and wants this one.
    pub async fn is_recording_wanted(&self, recording: &Recording) -> Result<bool, EngineError> {
        match self.find_call(recording.call, &Asker::Service).await {
            Ok(call) => Ok(wants(&call, recording)),
            Err(EngineError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the record of a recording whose retention has passed, if it stands as it did when that was begun; says whether it did.
    pub async fn remove_recording(&self, begun: &Recording) -> Result<bool, EngineError> {
        let id = JobId::recording(begun.call);
        let version = match self.store().load_job(&id).await? {
            Some(Job { version, work: Work::Recording(stands), .. }) if *stands == *begun => version,
            Some(_) | None => return Ok(false),
        };
        match self.store().remove_job(&id, version).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The record of a call's recording; none where the call wants another one by now, which has no record yet.
    async fn find_recording(&self, id: CallId) -> Result<Option<Recording>, EngineError> {
        let Some(found) = self.load_recording(id).await? else { return Ok(None) };
        let wants_another =
            |call: &Call| call.is_recorded() && call.recording.as_ref().is_some_and(|last| last.number > found.number);
        match self.find_call(id, &Asker::Service).await {
            Ok(call) if wants_another(&call) => Ok(None),
            Ok(_) | Err(EngineError::NotFound) => Ok(Some(found)),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn load_recording(&self, id: CallId) -> Result<Option<Recording>, EngineError> {
        Ok(match self.store().load_job(&JobId::recording(id)).await? {
            Some(Job { work: Work::Recording(recording), .. }) => Some(*recording),
            Some(_) | None => None,
        })
    }

    /// Changes the record of a recording, if there is one and `change` says that it did; the answer is what stands there then.
    pub(super) async fn change_recording(
        &self,
        id: CallId,
        change: impl Fn(&mut Recording) -> bool,
    ) -> Result<Option<Recording>, EngineError> {
        let id = JobId::recording(id);
        for _ in 0..TRIES {
            let Some(mut job) = self.store().load_job(&id).await? else { return Ok(None) };
            let Work::Recording(recording) = &mut job.work else { return Ok(None) };
            let changed = change(recording);
            let stands = recording.as_ref().clone();
            if !changed {
                return Ok(Some(stands));
            }
            match self.commit_recording(job).await {
                Ok(()) => return Ok(Some(stands)),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Commits the next record of a recording's job, due when that says.
    async fn commit_recording(&self, mut job: Job) -> Result<(), StoreError> {
        let expected = job.version;
        if let Work::Recording(recording) = &job.work {
            job.due = recording.due();
        }
        job.version += 1;
        self.store().commit_job(&job, Some(expected)).await?;
        self.remind(&job);
        Ok(())
    }
}

fn work(recording: Recording) -> Work {
    Work::Recording(Box::new(recording))
}

/// Whether a call goes on and wants this recording of it.
fn wants(call: &Call, recording: &Recording) -> bool {
    let this = |wanted: &&InCall| wanted.number == recording.number;
    let stage = call.recording.as_deref().filter(this).map(|wanted| wanted.stage);
    !call.is_ended() && matches!(stage, Some(Stage::Starting | Stage::On))
}
