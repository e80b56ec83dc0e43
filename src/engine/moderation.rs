//! Bans by the backend, and blocks between users.
//!
//! A ban refuses new calls, answers and tokens from the moment it is written, ends the user's live calls and closes their event streams. The
//! end takes the user out of the LiveKit room and closes it (`domain::room`).

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::lines::COMMIT_WITHIN;
use super::{Engine, EngineError, LOADS_AT_ONCE};
use crate::crypto::uuid_of;
use crate::domain::{CallId, Input, Job, JobId, Timestamp, Unknown, UserId, Work, job};
use crate::store::{Ban, Slot, StoreError};

/// How long a ban's job waits for the request that queued it.
const LEFT_TO_THE_REQUEST: Duration = Duration::from_secs(5);
/// How often that is tried against other instances.
const MAX_TRIES: usize = 8;

impl Engine {
    /// Bans a user and ends their live calls, also those that are about to be committed. Their event streams tell so and close.
    ///
    /// A job is queued first, which ends what this leaves should it not come to its end, and tells of the ban. Once the ban is written it is
    /// a success: what cannot be ended now, the job ends.
    pub async fn ban(&self, ban: Ban) -> Result<(), EngineError> {
        let user = ban.user.clone();
        let mut work = job::Ban {
            user: user.clone(),
            reason: ban.reason.clone(),
            created_at: ban.created_at,
            until: ban.until,
            was_put: false,
            tell: self.settings().told_of_bans.clone(),
            unknown: Unknown::default(),
        };
        self.keep_telling(&user).await?;
        let job = self.queue_ban(&work).await?;
        self.store().put_ban(ban).await?;
        work.was_put = true;
        if let Err(error) = self.queue_ban(&work).await {
            // Before another one takes its place, or it is lifted, that is noted.
            tracing::warn!(%error, "that a ban was written could not be noted yet");
        }
        if let Err(error) = self.end_calls_of(&user).await {
            tracing::warn!(%error, "the calls of a banned user could not all be ended yet");
        }
        if let Err(error) = self.hasten_job(&job).await {
            tracing::warn!(%error, "the job of a ban could not be begun yet");
        }
        Ok(())
    }

    /// Ends what the user of a ban has of live calls, unless they are not banned any more. Says whether that ban is, or was, in force.
    pub async fn carry_out_ban(&self, ban: &job::Ban) -> Result<bool, EngineError> {
        let stands = self.ban_of(&ban.user).await?;
        if stands.is_some() {
            self.end_calls_of(&ban.user).await?;
        }
        Ok(ban.was_put || stands.is_some_and(|stands| stands.created_at == ban.created_at))
    }

    /// Queues the job of a ban, or brings the one that stands up to date and puts it off, to after this request. Where the store was slow it
    /// may have been over before there was a ban: then it is queued again.
    async fn queue_ban(&self, ban: &job::Ban) -> Result<JobId, EngineError> {
        let id = job_of(&ban.user, ban.created_at);
        for _ in 0..MAX_TRIES {
            let now = self.clock().now();
            let due = now + LEFT_TO_THE_REQUEST;
            let work = Work::Ban(ban.clone());
            let queued = match self.job(&id).await? {
                Some(job) => self.rewrite_job(&job, &Job { work, ..job.put_off(due) }).await?,
                None => self.queue(&Job::new(id.clone(), work, now, due)).await?,
            };
            if queued {
                return Ok(id);
            }
        }
        Err(contended())
    }

    /// The ban that stands is about to stand no more: its job, if there still is one, is to tell of it all the same.
    async fn keep_telling(&self, user: &UserId) -> Result<(), EngineError> {
        let Some(ban) = self.ban_of(user).await? else { return Ok(()) };
        let id = job_of(user, ban.created_at);
        for _ in 0..MAX_TRIES {
            let Some(job) = self.job(&id).await? else { return Ok(()) };
            let Work::Ban(work) = &job.work else { return Ok(()) };
            if work.was_put {
                return Ok(());
            }
            let work = Work::Ban(job::Ban { was_put: true, ..work.clone() });
            if self.rewrite_job(&job, &Job { work, ..job.put_off(job.due) }).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Ends the live calls of a user who was banned before.
    ///
    /// An invite is stopped by its claim, or found by it. The store orders the ban and each claim of the user: a claim that came
    /// after the ban saw it, so that its invite starts nothing or rings nobody; one that came before stands on the line and in the history,
    /// which are read after the ban. There its call is committed and is ended, or it is still to come: then it is waited for and ended
    /// too, or its time is up and its commit fails (an invite that starts over then sees the ban).
    async fn end_calls_of(&self, user: &UserId) -> Result<(), EngineError> {
        let ids = self.recent_ids(user).await?;
        let ends = ids.into_iter().map(async |id| (id, self.end_as_banned(id, user).await));
        // One that cannot be ended keeps no other alive.
        let ended: Vec<_> = stream::iter(ends).buffer_unordered(LOADS_AT_ONCE).collect().await;
        let mut first = Ok(());
        for (id, result) in ended {
            if let Err(error) = &result {
                tracing::warn!(call_id = %id, %error, "a call of a banned user could not be ended yet");
            }
            first = first.and(result);
        }
        first
    }

    async fn end_as_banned(&self, id: CallId, user: &UserId) -> Result<(), EngineError> {
        match self.committed_or_buried(id, id.made_at() + COMMIT_WITHIN).await? {
            Slot::Call(call) if !call.is_ended() => {
                self.apply_all(id, vec![Input::Banned(user.clone())], Some(Arc::from(call))).await.map(drop)
            }
            Slot::Call(_) | Slot::Tombstone | Slot::Vacant => Ok(()),
        }
    }

    /// The ban of a user.
    pub async fn ban_of(&self, user: &UserId) -> Result<Option<Ban>, EngineError> {
        Ok(self.store().ban(user, self.clock().now()).await?)
    }

    /// Lifts a ban; says whether there was one.
    pub async fn lift_ban(&self, user: &UserId) -> Result<bool, EngineError> {
        self.keep_telling(user).await?;
        Ok(self.store().lift_ban(user).await?)
    }

    /// Every ban in force.
    pub async fn bans(&self) -> Result<Vec<Ban>, EngineError> {
        Ok(self.store().bans(self.clock().now()).await?)
    }

    /// Blocks or unblocks a peer; says whether that changed anything.
    pub async fn set_block(&self, user: &UserId, peer: &UserId, blocked: bool) -> Result<bool, EngineError> {
        Ok(self.store().set_block(user, peer, blocked).await?)
    }

    /// Whom the user has blocked.
    pub async fn blocks(&self, user: &UserId) -> Result<Vec<UserId>, EngineError> {
        Ok(self.store().blocks(user).await?)
    }

    pub(super) async fn refuse_banned(&self, user: &UserId) -> Result<(), EngineError> {
        match self.ban_of(user).await? {
            Some(_) => Err(EngineError::Banned),
            None => Ok(()),
        }
    }
}

fn job_of(user: &UserId, created_at: Timestamp) -> JobId {
    JobId::ban(uuid_of(&format!("ban/{user}/{}", created_at.as_millis())))
}

fn contended() -> EngineError {
    StoreError::Unavailable("other instances keep changing the job of this ban".into()).into()
}
