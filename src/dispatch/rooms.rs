//! What LiveKit is asked to do for a call: make its room, close it, say who is in it.
//!
//! While LiveKit is down or slow the call goes on. A task that failed comes back, later each time, as long as it has a purpose.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::Dispatcher;
use crate::domain::{Call, Task, TaskKind, TaskResult, UserId};
use crate::livekit::rooms::Rooms;
use crate::livekit::twirp::{ApiError, Meaning};

/// The pause after the first attempt; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(400);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long what needs LiveKit waits where the gateway is configured not to call it.
const ASK_LATER: Duration = Duration::from_secs(30);

/// How many tasks may be at LiveKit at once. A LiveKit that restarts has every call asked about.
const AT_ONCE: usize = 64;
/// How long a task waits for its turn: with one request of 2.4 s it is done within its lease.
const TURN_WITHIN: Duration = Duration::from_millis(2400);

/// Turns at LiveKit, first come, first served.
pub struct Turns {
    free: Semaphore,
    within: Duration,
}

impl Turns {
    const fn new(most: usize, within: Duration) -> Self {
        Self { free: Semaphore::const_new(most), within }
    }

    /// A turn, unless it does not come in time.
    async fn take(&self) -> Option<SemaphorePermit<'_>> {
        timeout(self.within, self.free.acquire()).await.ok()?.ok()
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self::new(AT_ONCE, TURN_WITHIN)
    }
}

impl Dispatcher {
    pub(super) async fn ask_livekit(&self, call: &Call, task: &Task) -> TaskResult {
        let Some(rooms) = &self.rooms else {
            // The call began under another configuration.
            return TaskResult::Retry(ASK_LATER, Vec::new());
        };
        let Some(_turn) = self.livekit_turns.take().await else {
            tracing::warn!(call_id = %call.id, task = task.id, "too many calls wait for LiveKit");
            return match task.kind {
                TaskKind::AskPresence => TaskResult::Failed(Vec::new()),
                _ => TaskResult::Retry(self.pause(task.attempt), Vec::new()),
            };
        };
        let done = match &task.kind {
            TaskKind::OpenRoom => rooms.create(call, self.engine.clock().now()).await,
            TaskKind::CloseRoom { eject } => close(rooms, call, eject.as_ref()).await,
            _ => return self.who_is_there(rooms, call).await,
        };
        match done {
            Ok(()) => TaskResult::Done(Vec::new()),
            Err(error) => {
                log(call, task, &error);
                TaskResult::Retry(self.pause(task.attempt), Vec::new())
            }
        }
    }

    async fn who_is_there(&self, rooms: &Rooms, call: &Call) -> TaskResult {
        match rooms.participants(&call.room).await {
            Ok(there) => TaskResult::Present(
                there.into_iter().filter_map(|(name, session)| Some((UserId::new(&name).ok()?, session))).collect(),
            ),
            Err(error) if error.is_not_found() => TaskResult::Present(Vec::new()),
            Err(error) => {
                tracing::warn!(call_id = %call.id, %error, "LiveKit could not be asked who is in the room");
                TaskResult::Failed(Vec::new())
            }
        }
    }

    fn pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        self.engine.clock().jitter(FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE))
    }
}

/// Takes a user out of the room, then closes it, in this order: so LiveKit Cloud refuses the user's tokens for it. The room is closed
/// whatever came of the removal, which is tried again. What is not there need not be closed.
async fn close(rooms: &Rooms, call: &Call, eject: Option<&UserId>) -> Result<(), ApiError> {
    let removed = match eject {
        Some(user) => rooms.remove(&call.room, user.as_str()).await,
        None => Ok(()),
    };
    let removed = match removed {
        // A room that is closed has nobody in it either.
        Err(error) if error.meaning() == Meaning::Refused => {
            tracing::error!(call_id = %call.id, %error, "LiveKit will not take a participant out of a room");
            Ok(())
        }
        result => unless_gone(result),
    };
    let deleted = unless_gone(rooms.delete(&call.room).await);
    removed.and(deleted)
}

fn unless_gone(result: Result<(), ApiError>) -> Result<(), ApiError> {
    result.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
}

fn log(call: &Call, task: &Task, error: &ApiError) {
    let what = if task.kind == TaskKind::OpenRoom { "made" } else { "closed" };
    if error.meaning() == Meaning::Refused {
        tracing::error!(call_id = %call.id, attempt = task.attempt, %error, "a room could not be {what}: see docs/LIVEKIT.md");
    } else {
        tracing::warn!(call_id = %call.id, attempt = task.attempt, %error, "a room could not be {what} yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_get_a_turn_in_time_gives_up_and_the_next_one_gets_it() {
        let turns = Turns::new(2, Duration::from_millis(20));
        let (first, _second) = (turns.take().await.expect("a turn"), turns.take().await.expect("a turn"));
        assert!(turns.take().await.is_none());
        drop(first);
        assert!(turns.take().await.is_some());
    }
}
