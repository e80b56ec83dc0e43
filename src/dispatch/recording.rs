//! Looks after recordings: does what is next for each, over LiveKit and the storage, and reports what came of it.
//!
//! What is next, and what follows from an answer, is `domain::recording`'s. Nothing is kept here: a recording whose instance dies is taken
//! up by the wake-up after its lease. The call is never harmed by what goes wrong with its recording.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Dispatcher, NEXT_ATTEMPT};
use crate::domain::recording::{Next, Outcome, Tell};
use crate::domain::{Call, JobId, Recording, Task, TaskKind, TaskResult, WebhookEvent};
use crate::engine::EngineError;
use crate::livekit::egress::Egress;
use crate::livekit::storage::Storage;
use crate::outbound::message;

/// What recordings are made and kept with.
pub struct Recorder {
    /// LiveKit's egress.
    pub egress: Egress,
    /// The storage.
    pub storage: Arc<Storage>,
}

/// Why nothing can be done about a recording where `[recording.s3]` is gone.
const NO_STORAGE: &str = "no storage is configured";

impl Dispatcher {
    /// A call wants its recording, or is over: from here on that goes its own way.
    pub(super) async fn hand_over_recording(&self, call: &Call, task: &Task) -> TaskResult {
        let handed_over = if task.kind == TaskKind::StartRecording {
            self.engine.start_recording(call.id).await
        } else {
            self.engine.stop_recording(call.id).await.map(|()| true)
        };
        match handed_over {
            Ok(true) => TaskResult::Done(Vec::new()),
            Ok(false) => TaskResult::Retry(NEXT_ATTEMPT, Vec::new()),
            Err(error) => {
                tracing::warn!(call_id = %call.id, %error, "a recording could not be handed over yet");
                TaskResult::Retry(NEXT_ATTEMPT, Vec::new())
            }
        }
    }

    /// Does all that is due for a recording.
    pub(super) async fn look_after(&self, id: &JobId) {
        if let Err(error) = self.do_what_is_due(id).await {
            // The wake-up comes back to it.
            tracing::warn!(job_id = %id, %error, "a recording could not be looked after");
        }
    }

    async fn do_what_is_due(&self, id: &JobId) -> Result<(), EngineError> {
        while let Some((recording, next)) = self.engine.begin_recording(id).await? {
            let outcome = self.do_next(&recording, next).await;
            if (next, &outcome) == (Next::Remove, &Outcome::Done) {
                return self.engine.remove_recording(&recording).await.map(drop);
            }
            if let Outcome::Refused(why) | Outcome::Unavailable(why) | Outcome::Unsure(why) = &outcome {
                tracing::warn!(call_id = %recording.call, step = ?next, why, "a recording meets a problem");
            }
            self.engine.finish_recording(&recording, next, outcome).await?;
        }
        Ok(())
    }

    async fn do_next(&self, recording: &Recording, next: Next) -> Outcome {
        match next {
            Next::Tell(Tell::Ready) => told(self.tell_of_ready(recording).await.map(|()| true)),
            Next::Tell(tell) => told(self.engine.tell_of_recording(recording, tell).await),
            Next::Erase | Next::Remove => self.erase(recording).await,
            Next::Start | Next::Look if recording.stop_at.is_none() => {
                match self.engine.is_recording_wanted(recording).await {
                    Ok(true) => self.ask_egress(recording, next).await,
                    Ok(false) => Outcome::NotWanted,
                    Err(error) => Outcome::Unavailable(error.to_string()),
                }
            }
            Next::Start | Next::Look | Next::Stop | Next::StopStray => self.ask_egress(recording, next).await,
        }
    }

    async fn ask_egress(&self, recording: &Recording, next: Next) -> Outcome {
        let Some(recorder) = &self.recorder else { return Outcome::Refused(NO_STORAGE.to_owned()) };
        match next {
            Next::Start => recorder.egress.start(recording).await,
            Next::Stop => recorder.egress.stop(recording).await,
            Next::StopStray => recorder.egress.stop_stray(recording).await,
            _ => recorder.egress.look(recording).await,
        }
    }

    /// Deletes every file of a recording, at once, so that many take no longer than a lease.
    async fn erase(&self, recording: &Recording) -> Outcome {
        let Some(recorder) = &self.recorder else { return Outcome::Unavailable(NO_STORAGE.to_owned()) };
        let now = self.engine.clock().now();
        let mut deletions = JoinSet::new();
        for key in recording.keys() {
            let (storage, bucket) = (Arc::clone(&recorder.storage), recording.bucket.clone());
            deletions.spawn(async move { storage.erase(&bucket, &key, now).await });
        }
        let mut outcome = Outcome::Done;
        while let Some(deleted) = deletions.join_next().await {
            match deleted {
                Ok(Ok(())) => {}
                Ok(Err(error)) if error.may_pass() => outcome = Outcome::Unavailable(error.to_string()),
                Ok(Err(error)) => return Outcome::Refused(error.to_string()),
                Err(error) => outcome = Outcome::Unavailable(error.to_string()),
            }
        }
        outcome
    }

    /// Tells the app's backend that a recording can be watched.
    async fn tell_of_ready(&self, recording: &Recording) -> Result<(), EngineError> {
        match message::of_recording(recording) {
            Ok(body) => {
                let key = format!("{}/{}", recording.call, recording.number);
                self.tell_backend(WebhookEvent::RecordingReady, &key, &body, &[]).await
            }
            Err(error) => {
                tracing::error!(call_id = %recording.call, %error, "a webhook could not be made");
                Ok(())
            }
        }
    }
}

fn told(result: Result<bool, EngineError>) -> Outcome {
    match result {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::NotWanted,
        Err(error) => Outcome::Unavailable(error.to_string()),
    }
}
