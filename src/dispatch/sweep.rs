//! The sweep over LiveKit's rooms: what webhooks failed to tell, and rooms that nobody needs any more.
//!
//! Every 18 s or so LiveKit is asked once for all its rooms. Only a room that is new or made anew, has gone, in which the number of people has
//! changed, or of which a webhook has told since is looked at, and each once in ten minutes: so hardly anything is read from the store for calls that go on quietly.
//! Whatever does not fit a call's record leads to a question about that call, and never ends it. What was seen is remembered by this instance alone; where that is lost, each
//! call's own check (`rules.ask_every_ms`) finds out.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use crate::domain::{Call, Input, State, Timestamp};
use crate::engine::{Engine, EngineError};
use crate::lifecycle::Stop;
use crate::livekit::rooms::{Room, Rooms};

/// The pause between sweeps, jittered by half: with the questions that follow a lost webhook is made good within 30 s.
const EVERY: Duration = Duration::from_secs(18);
/// How many calls are looked at, and rooms closed, at a time.
const AT_ONCE: usize = 16;
/// The most rooms that are looked at and remembered: beyond them none is taken for gone. The list itself is read up to 32 MiB
/// (`livekit::twirp`), which is some thirty thousand rooms with LiveKit's codecs in each; beyond that there is no sweep.
const MOST: usize = 100_000;
/// How old a room is at least that no call is known for when it is closed.
const ORPHAN_AFTER: Duration = Duration::from_mins(5);

/// How long a room that was all right is, as long as nothing of it changes: what its call's end asked for may have been given up since.
const GOOD_FOR: Duration = Duration::from_mins(10);

/// Rooms of this deployment by name, each as it was when it was looked at, and when that was, if it was all right and no webhook told
/// of anything since.
type Seen = HashMap<String, Option<(Room, Timestamp)>>;

/// Compares LiveKit's rooms with the records until `stop`.
pub async fn run(engine: Engine, rooms: Rooms, mut stop: Stop) {
    let mut seen = Seen::new();
    while !stop.is_given() {
        tokio::select! {
            () = once(&engine, &rooms, &mut seen) => {}
            () = stop.given() => return,
        }
        tokio::select! {
            () = next(&engine) => {}
            () = stop.given() => {}
        }
    }
}

/// When the next sweep is due.
async fn next(engine: &Engine) {
    let clock = engine.clock();
    clock.sleep_until(clock.now() + clock.jitter(EVERY)).await;
}

/// One sweep. A room about which nothing could be found out is looked at again.
async fn once(engine: &Engine, rooms: &Rooms, seen: &mut Seen) {
    let listed = match rooms.list().await {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!(%error, "LiveKit's rooms could not be listed");
            return;
        }
    };
    let (ours, is_whole) = at_most(MOST, listed.into_iter().filter(|room| engine.call_of_room(&room.name).is_some()));
    let mut before = std::mem::take(seen);
    for room in engine.rooms_told_of() {
        before.entry(room).and_modify(|settled| *settled = None);
    }
    let now = engine.clock().now();
    let looked_at = stream::iter(ours).map(|room| {
        let known = before.remove(&room.name).flatten();
        async move {
            let settled = match known {
                Some((seen, at)) if seen == room && now.since(at) < GOOD_FOR => Some(at),
                _ => settle(engine, rooms, &room).await.then_some(now),
            };
            (room.name.clone(), settled.map(|at| (room, at)))
        }
    });
    seen.extend(looked_at.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    if !is_whole {
        // What is not among these may be there all the same.
        return;
    }
    // What is left was there before and is no more.
    let gone = stream::iter(before).map(|(name, _)| async move {
        let told = arrived(engine.room_input(&name, Input::RoomFinished).await);
        (!told).then_some((name, None))
    });
    seen.extend(gone.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect::<Vec<_>>().await);
}

/// The first of these, and whether that is all.
fn at_most(most: usize, mut rooms: impl Iterator<Item = Room>) -> (Vec<Room>, bool) {
    let first = rooms.by_ref().take(most).collect();
    (first, rooms.next().is_none())
}

/// Looks at a room that has changed. Says whether it need not be looked at again before it changes the next time.
async fn settle(engine: &Engine, rooms: &Rooms, room: &Room) -> bool {
    match engine.call_in_room(&room.name).await {
        Ok(Some(call)) if call.is_ended() => {
            if !call.closes_room() {
                close(rooms, room, "its call has ended").await;
            }
            false
        }
        Ok(Some(call)) if fits(&call, room) => true,
        Ok(Some(call)) => {
            if call.state == State::Active {
                arrived(engine.room_input(&room.name, Input::PresenceDoubted).await);
            }
            false
        }
        Ok(None) => {
            close_orphan(engine, rooms, room).await;
            false
        }
        // A record of a newer release, or no store.
        Err(error) => arrived(Err(error)),
    }
}

/// Whether as many are in the room as the record says.
fn fits(call: &Call, room: &Room) -> bool {
    u32::from(call.presence.count()) == room.participants
}

/// A room that is ours by its name, of which no store knows anything, is closed if nobody is in it and it is not new.
async fn close_orphan(engine: &Engine, rooms: &Rooms, room: &Room) {
    let is_old = engine.clock().now().since(room.made_at) >= ORPHAN_AFTER;
    if room.participants == 0 && is_old && engine.is_orphan(&room.name).await.unwrap_or(false) {
        close(rooms, room, "it is empty and of no call").await;
    }
}

async fn close(rooms: &Rooms, room: &Room, why: &str) {
    match rooms.delete(&room.name).await {
        Ok(()) => tracing::info!(room = room.name, why, "a room was closed by the sweep"),
        Err(error) if error.is_not_found() => {}
        Err(error) => tracing::warn!(room = room.name, %error, "a room could not be closed by the sweep"),
    }
}

/// Says whether LiveKit's news has arrived.
fn arrived(told: Result<bool, EngineError>) -> bool {
    match told {
        Ok(_) | Err(EngineError::NotFound | EngineError::Refused(..)) => true,
        Err(error) => {
            tracing::warn!(%error, "a call could not be looked at");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_cut_says_so() {
        let (name, sid) = ("bw".to_owned(), "RM_1".to_owned());
        let room = Room { name, sid, participants: 1, made_at: Timestamp::from_millis(0) };
        let rooms = |count| std::iter::repeat_n(room.clone(), count);
        for (count, kept, is_whole) in [(0, 0, true), (2, 2, true), (3, 2, false)] {
            let (first, whole) = at_most(2, rooms(count));
            assert_eq!((first.len(), whole), (kept, is_whole));
        }
    }
}
