//! What LiveKit is asked to do for a call: make its room, close it, say who is in it.
//!
//! While LiveKit is down or slow the call goes on. A task that failed comes back, later each time, as long as it has a purpose.

use std::time::Duration;

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

impl Dispatcher {
    pub(super) async fn ask_livekit(&self, call: &Call, task: &Task) -> TaskResult {
        let Some(rooms) = &self.rooms else {
            // The call began under another configuration.
            return TaskResult::Retry(ASK_LATER, Vec::new());
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

/// Takes a user out of the room, then closes it, in this order: so LiveKit Cloud refuses the user's tokens for it. What is not there
/// need not be closed.
async fn close(rooms: &Rooms, call: &Call, eject: Option<&UserId>) -> Result<(), ApiError> {
    if let Some(user) = eject {
        match rooms.remove(&call.room, user.as_str()).await {
            // A room that is closed has nobody in it either.
            Err(error) if error.meaning() == Meaning::Refused => {
                tracing::error!(call_id = %call.id, %error, "LiveKit will not take a participant out of a room");
            }
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    match rooms.delete(&call.room).await {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}

fn log(call: &Call, task: &Task, error: &ApiError) {
    let what = if task.kind == TaskKind::OpenRoom { "made" } else { "closed" };
    if error.meaning() == Meaning::Refused {
        tracing::error!(call_id = %call.id, attempt = task.attempt, %error, "a room could not be {what}: see docs/LIVEKIT.md");
    } else {
        tracing::warn!(call_id = %call.id, attempt = task.attempt, %error, "a room could not be {what} yet");
    }
}
