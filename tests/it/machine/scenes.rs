//! One scene for every row of the table: a call in the state of a column, and the input of the row.
//!
//! What comes of it is compared to the cell by `table`.

use super::*;
use bellwire::domain::leg::BACK_WITHIN;

/// The call in this column and the row's input; `None` where the two cannot meet.
pub(super) fn scene(row: &str, column: State) -> Option<(Stage, Input)> {
    let (input, _) = row.split_once(" (").unwrap_or((row, ""));
    match input {
        "wake" => wake(row, column),
        "task finished" => task_finished(row, column),
        "participant joined" | "participant left" | "room finished" | "presence doubted" => Some(presence(row, column)),
        "room started" | "token given" => Some(room(row, column)),
        "recording asked" | "recording started" | "recording stopped" | "recording failed" => {
            recordings::scene(row, quiet(column))
        }
        _ => party(row, column),
    }
}

/// A call in this column. `prepare` comes before the answer.
fn reach(column: State, invite: Invite, prepare: impl FnOnce(&mut Stage)) -> Stage {
    let mut stage = Stage::new(invite);
    if column != State::Calling {
        stage.give(alerting(IPHONE));
    }
    prepare(&mut stage);
    if matches!(column, State::Active | State::Ended) {
        stage.all([answer(IPHONE), joined("alice", "A1"), joined("bob", "B1")]);
    }
    if column == State::Ended {
        stage.give(Input::HangUp(user("alice")));
    }
    stage
}

/// A call in this column with nothing left to do but to wait.
fn quiet(column: State) -> Stage {
    let mut stage = reach(column, invite(), |stage| _ = stage.settle());
    stage.settle();
    stage
}

/// The same, with rooms that are made and closed for calls.
fn with_room(column: State) -> Stage {
    let mut stage = reach(column, with_rooms(invite()), |stage| _ = stage.settle());
    stage.settle();
    stage
}

/// A call whose other device has said this, which an answered call's had no time for.
fn alone(column: State, invite: Invite, said: Input) -> Stage {
    let unanswered = matches!(column, State::Calling | State::Ringing);
    reach(column, invite, |stage| _ = unanswered.then(|| stage.give(said)))
}

fn party(row: &str, column: State) -> Option<(Stage, Input)> {
    let per_device = || decline_ends_the_device(invite());
    Some(match row {
        "leg added (D3)" => (quiet(column), Input::LegAdded(Box::new(device("ipad-1", Platform::Ios)))),
        "leg added (D2)" => (quiet(column), Input::LegAdded(Box::new(device(PIXEL, Platform::Android)))),
        "device alerting (D1)" => (quiet(column), alerting(IPHONE)),
        "device alerting (D2)" => (quiet(column), alerting(PIXEL)),
        "device alerting (D3)" => (quiet(column), alerting("ipad-1")),
        "device not rung (D1)" => (quiet(column), not_rung(IPHONE)),
        "device not rung (D2)" => (quiet(column), not_rung(PIXEL)),
        "device not rung (D3)" => (quiet(column), not_rung("ipad-1")),
        "device late (D2)" => (quiet(column), Input::DeviceLate(id(PIXEL))),
        "device late (D2, known already)" => {
            let mut stage = quiet(column);
            stage.give(Input::DeviceLate(id(PIXEL)));
            (stage, Input::DeviceLate(id(PIXEL)))
        }
        "device late (D3)" => (quiet(column), Input::DeviceLate(id("ipad-1"))),
        "device contacted (D1)" => (quiet(column), Input::DeviceContacted(id(IPHONE))),
        "device contacted (D1, whose silence is counted)" => {
            (reach(column, counted(invite()), |_| ()), Input::DeviceContacted(id(IPHONE)))
        }
        "device contacted (D3)" => (quiet(column), Input::DeviceContacted(id("ipad-1"))),
        "device gone (D1)" => (quiet(column), Input::DeviceGone(id(IPHONE))),
        "device gone (a browser)" => (with_browser(column), gone()),
        "device gone (a browser, known already)" => (browser_gone(column), gone()),
        "device gone (D3)" => (quiet(column), Input::DeviceGone(id("ipad-1"))),
        "device back (a browser that is gone)" => (browser_gone(column), back()),
        "device back (a browser that is there)" => (with_browser(column), back()),
        "answer (D1)" => (quiet(column), answer(IPHONE)),
        "answer (D2)" => (quiet(column), answer(PIXEL)),
        "answer (D2, which has declined)" => {
            (reach(column, per_device(), |stage| _ = stage.give(declined(PIXEL))), answer(PIXEL))
        }
        "answer (D3)" => (quiet(column), answer("ipad-1")),
        "invited back (from D1)" => (quiet(column), Input::InvitedBack(Some(id(IPHONE)))),
        "invited back (from D2)" => (quiet(column), Input::InvitedBack(Some(id(PIXEL)))),
        "invited back (from no named device)" => (quiet(column), Input::InvitedBack(None)),
        "invited back (the call is hidden)" => (hidden(column)?, Input::InvitedBack(None)),
        "decline (D1, declined)" => (quiet(column), declined(IPHONE)),
        "decline (D2, declined)" => (quiet(column), declined(PIXEL)),
        "decline (D2, declined; `decline = \"device\"`)" => (reach(column, per_device(), |_| ()), declined(PIXEL)),
        "decline (D2, declined; the last device)" => (alone(column, per_device(), declined(IPHONE)), declined(PIXEL)),
        "decline (D2, busy)" => (quiet(column), busy(PIXEL)),
        "decline (D2, busy; the last device)" => (alone(column, invite(), busy(IPHONE)), busy(PIXEL)),
        "decline (D2, again)" => {
            (reach(column, per_device(), |stage| _ = stage.give(declined(PIXEL))), declined(PIXEL))
        }
        "decline (D3)" => (quiet(column), declined("ipad-1")),
        "cancel" => (quiet(column), Input::Cancel),
        "redialled" => (quiet(column), Input::Redialled),
        "hang up (the caller)" => (quiet(column), Input::HangUp(user("alice"))),
        "hang up (the callee)" => (quiet(column), Input::HangUp(user("bob"))),
        "hang up (the callee; the call is hidden)" => (hidden(column)?, Input::HangUp(user("bob"))),
        "hang up (a stranger)" => (quiet(column), Input::HangUp(user("carol"))),
        "push told (D2)" => (quiet(column), told(PIXEL)),
        "push told (D2, known already)" => {
            let mut stage = quiet(column);
            stage.give(told(PIXEL));
            (stage, told(PIXEL))
        }
        "push told (D3)" => (quiet(column), told("ipad-1")),
        "banned (a party)" => (quiet(column), Input::Banned(user("bob"))),
        "banned (a stranger)" => (quiet(column), Input::Banned(user("carol"))),
        unknown => panic!("no scene for the row {unknown}"),
    })
}

fn told(device: &str) -> Input {
    Input::PushTold(id(device), vec![receipt("Unregistered", START)])
}

/// A call of a phone and a browser.
fn with_browser(column: State) -> Stage {
    let devices = vec![device(IPHONE, Platform::Ios), device(BROWSER, Platform::Web)];
    reach(column, Invite { devices, ..invite() }, |stage| _ = stage.settle())
}

fn browser_gone(column: State) -> Stage {
    let mut stage = with_browser(column);
    if stage.call.is_unanswered() {
        stage.give(gone());
    }
    stage
}

fn hidden(column: State) -> Option<Stage> {
    let mut stage = Stage::new(Invite { hidden: true, ..invite() });
    match column {
        State::Calling => {}
        State::Ringing | State::Active => return None,
        State::Ended => _ = stage.wake(),
    }
    Some(stage)
}

fn task_finished(row: &str, column: State) -> Option<(Stage, Input)> {
    // The ring tasks are the first that a call has.
    let d2 = |attempt, result| Input::TaskFinished { task: 2, attempt, result };
    let answered = column == State::Active || column == State::Ended;
    let refused = TaskResult::Failed(vec![receipt("BadDeviceToken", START)]);
    Some(match row {
        "task finished (ring: done)" => (reach(column, invite(), |_| ()), d2(1, TaskResult::Done(Vec::new()))),
        "task finished (ring: to be retried)" => {
            (reach(column, invite(), |_| ()), d2(1, TaskResult::Retry(Duration::from_millis(200), Vec::new())))
        }
        "task finished (ring: failed)" => (reach(column, invite(), |_| ()), d2(1, refused)),
        "task finished (ring: failed; every other device failed)" => {
            let first = Input::TaskFinished { task: 1, attempt: 1, result: refused.clone() };
            (if column == State::Ringing { None } else { Some(alone(column, invite(), first)) }?, d2(1, refused))
        }
        "task finished (ring: failed; every other device busy)" => {
            (alone(column, invite(), busy(IPHONE)), d2(1, refused))
        }
        "task finished (ring: an earlier attempt failed)" => (second_attempt(column), d2(1, refused)),
        "task finished (ring: an earlier attempt is done)" => {
            (second_attempt(column), d2(1, TaskResult::Done(Vec::new())))
        }
        "task finished (stop: done)" if answered => {
            let mut stage = reach(State::Active, invite(), |_| ());
            let (task, attempt) = stage.task("stop pixel-1: answered_elsewhere");
            if column == State::Ended {
                stage.give(Input::Cancel);
            }
            (stage, Input::TaskFinished { task, attempt, result: TaskResult::Done(Vec::new()) })
        }
        "task finished (missed call: done)" if column == State::Ended => {
            let mut stage = quiet(State::Calling);
            stage.give(Input::Cancel);
            finished(stage, "missed pixel-1", TaskResult::Done(Vec::new()))
        }
        "task finished (free line: done)" if column == State::Ended => {
            finished(reach(column, invite(), |_| ()), "free bob", TaskResult::Done(Vec::new()))
        }
        "task finished (presence: both there)" if answered => asked(column, None, GRACE, present(&["alice", "bob"])),
        "task finished (presence: one missing; in time)" if answered => {
            asked(column, Some(lost("bob", "B1")), Duration::ZERO, present(&["alice"]))
        }
        "task finished (presence: one missing; `connect_timeout` over)" if answered => never_met(column),
        "task finished (presence: one missing; `reconnect_grace` over)" if answered => {
            asked(column, Some(lost("bob", "B1")), GRACE, present(&["alice"]))
        }
        "task finished (presence: both left on purpose)" if answered => {
            let (mut stage, input) = asked(State::Active, Some(left("bob", "B1")), Duration::ZERO, present(&[]));
            stage.give(left("alice", "A1"));
            if column == State::Ended {
                stage.give(Input::Cancel);
            }
            (stage, input)
        }
        "task finished (presence: LiveKit could not be asked)" if answered => {
            asked(column, Some(lost("bob", "B1")), GRACE, TaskResult::Failed(Vec::new()))
        }
        "task finished (open room: done)" => {
            finished(reach(column, with_rooms(invite()), |_| ()), "open room", TaskResult::Done(Vec::new()))
        }
        "task finished (close room: done)" if column == State::Ended => {
            finished(reach(column, with_rooms(invite()), |_| ()), "close room", TaskResult::Done(Vec::new()))
        }
        "task finished (no such task)" => {
            (quiet(column), Input::TaskFinished { task: 99, attempt: 1, result: TaskResult::Done(Vec::new()) })
        }
        _ if row.starts_with("task finished (ring") => panic!("no scene for the row {row}"),
        _ => return None,
    })
}

fn finished(stage: Stage, task: &str, result: TaskResult) -> (Stage, Input) {
    let (task, attempt) = stage.task(task);
    (stage, Input::TaskFinished { task, attempt, result })
}

/// The Pixel's first push has had its time, and the second attempt is under way.
fn second_attempt(column: State) -> Stage {
    reach(column, invite(), |stage| _ = stage.after(Duration::from_secs(5)).give(Input::Wake))
}

/// A call about which LiveKit has been asked, this long after somebody went; perhaps it has ended since.
fn asked(column: State, gone: Option<Input>, after: Duration, result: TaskResult) -> (Stage, Input) {
    let mut stage = quiet(State::Active);
    gone.map(|input| stage.give(input));
    stage.after(after).all([Input::RoomFinished]);
    let (mut stage, input) = finished(stage, "ask", result);
    if column == State::Ended {
        stage.give(Input::Cancel);
    }
    (stage, input)
}

fn never_met(column: State) -> (Stage, Input) {
    let mut stage = Stage::new(invite());
    stage.settle().all([answer(IPHONE), joined("bob", "B1")]).settle().wake();
    let (mut stage, input) = finished(stage, "ask", present(&["bob"]));
    if column == State::Ended {
        stage.give(Input::Cancel);
    }
    (stage, input)
}

fn presence(row: &str, column: State) -> (Stage, Input) {
    let mut alice_there = quiet(column);
    alice_there.give(joined("alice", "A1"));
    match row {
        "participant joined (a new session)" => (quiet(column), joined("alice", "A2")),
        "participant joined (a new session; rooms are managed)" => (with_room(column), joined("alice", "A2")),
        "participant joined (a known session)" => (alice_there, joined("alice", "A1")),
        "participant joined (a stranger)" => (quiet(column), joined("carol", "C1")),
        "participant left (the session that is there)" => (alice_there, lost("alice", "A1")),
        "participant left (the session that is there; the party goes on in another)" => {
            (alice_there, replaced("alice", "A1"))
        }
        "participant left (a session not seen yet)" => (alice_there, lost("alice", "A2")),
        "participant left (a session that is over)" => {
            alice_there.give(lost("alice", "A1"));
            (alice_there, lost("alice", "A1"))
        }
        "participant left (a stranger)" => (quiet(column), lost("carol", "C1")),
        "room finished" => (quiet(column), Input::RoomFinished),
        "room finished (rooms are managed)" => (with_room(column), Input::RoomFinished),
        "presence doubted" => (quiet(column), Input::PresenceDoubted),
        "presence doubted (LiveKit is being asked)" => {
            let mut stage = quiet(column);
            stage.give(Input::PresenceDoubted);
            (stage, Input::PresenceDoubted)
        }
        "room finished (LiveKit is being asked)" => {
            let mut stage = quiet(column);
            stage.give(Input::RoomFinished);
            (stage, Input::RoomFinished)
        }
        "room finished (LiveKit cannot be asked)" => {
            let blind = Invite { rules: Rules { presence: false, ..rules() }, ..invite() };
            (reach(column, blind, |_| ()), Input::RoomFinished)
        }
        unknown => panic!("no scene for the row {unknown}"),
    }
}

fn room(row: &str, column: State) -> (Stage, Input) {
    match row {
        "room started" => (quiet(column), Input::RoomStarted),
        "room started (rooms are managed)" => (with_room(column), Input::RoomStarted),
        "room started (it is being closed)" => {
            let mut stage = with_room(column);
            stage.give(Input::RoomStarted);
            (stage, Input::RoomStarted)
        }
        "token given" => (quiet(column), Input::TokenGiven),
        "token given (rooms are managed)" => (with_room(column), Input::TokenGiven),
        "token given (the room is being made)" => {
            let mut stage = with_room(column);
            stage.give(Input::TokenGiven);
            (stage, Input::TokenGiven)
        }
        unknown => panic!("no scene for the row {unknown}"),
    }
}

fn wake(row: &str, column: State) -> Option<(Stage, Input)> {
    let ring = matches!(column, State::Calling | State::Ringing);
    let active = (column == State::Active).then(|| quiet(column));
    let ended = (column == State::Ended).then(|| quiet(column));
    let mut stage = match row {
        "wake (nothing is due)" => quiet(column),
        "wake (a task is due)" => {
            let mut stage = reach(column, invite(), |_| ());
            stage.after(Duration::from_secs(5));
            stage
        }
        "wake (a browser has been gone for 5 s)" => {
            let mut stage = ring.then(|| browser_gone(column))?;
            stage.after(BACK_WITHIN);
            stage
        }
        "wake (a browser has been gone for 5 s; the last device)" => {
            let devices = vec![device(BROWSER, Platform::Web)];
            let mut stage = ring.then(|| Stage::new(Invite { devices, ..invite() }))?;
            if column == State::Ringing {
                stage.give(alerting(BROWSER));
            }
            stage.all([gone()]).after(BACK_WITHIN);
            stage
        }
        "wake (ring over)" => {
            let mut stage = quiet(column);
            stage.after(RING);
            stage
        }
        "wake (`connect_timeout` over)" => {
            let mut stage = active.map(|_| Stage::new(invite()))?;
            stage.settle().all([answer(IPHONE), joined("bob", "B1")]).settle().after(CONNECT);
            stage
        }
        "wake (`reconnect_grace` over)" => {
            let mut stage = active?;
            stage.all([lost("bob", "B1")]).after(GRACE);
            stage
        }
        "wake (both there; five minutes since LiveKit was asked)" => {
            let mut stage = active.map(|_| with_room(column))?;
            stage.after(Duration::from_mins(5));
            stage
        }
        "wake (`max_duration` over)" => {
            let mut stage = active?;
            stage.after(LONGEST);
            stage
        }
        "wake (ten minutes after the end)" => ended?,
        "wake (retention over)" => {
            let mut stage = ended?;
            stage.wake();
            stage
        }
        unknown => panic!("no scene for the row {unknown}"),
    };
    if row.starts_with("wake (ten") || row.starts_with("wake (retention") {
        stage.now = stage.call.wake_up().at;
    }
    Some((stage, Input::Wake))
}
