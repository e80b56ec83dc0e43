//! One scene for every row of the table: a call in the state of a column, and the input of the row.
//!
//! What comes of it is compared to the cell by `table`.

use super::*;

/// The call in this state and the row's input; `None` where the two cannot meet.
pub(super) fn scene(row: &str, state: State) -> Option<(Stage, Input)> {
    let (input, _) = row.split_once(" (").unwrap_or((row, ""));
    match input {
        "wake" => wake(row, state),
        "task finished" => task_finished(row, state),
        "participant joined" | "participant left" | "room finished" => presence(row, state),
        _ => party(row, state),
    }
}

/// A call in this state. `prepare` comes before the answer.
fn reach(state: State, invite: Invite, prepare: impl FnOnce(&mut Stage)) -> Stage {
    let mut stage = Stage::new(invite);
    if state != State::Calling {
        stage.give(alerting(IPHONE));
    }
    prepare(&mut stage);
    if matches!(state, State::Active | State::Ended) {
        stage.all([answer(IPHONE), joined("alice", "A1"), joined("bob", "B1")]);
    }
    if state == State::Ended {
        stage.give(Input::HangUp(user("alice")));
    }
    stage
}

/// A call in this state with nothing left to do but to wait.
fn quiet(state: State) -> Stage {
    let mut stage = reach(state, invite(), |stage| _ = stage.settle());
    stage.settle();
    stage
}

/// A call whose other device has said this, which an answered call's had no time for.
fn alone(state: State, invite: Invite, said: Input) -> Stage {
    let unanswered = matches!(state, State::Calling | State::Ringing);
    reach(state, invite, |stage| _ = unanswered.then(|| stage.give(said)))
}

fn party(row: &str, state: State) -> Option<(Stage, Input)> {
    let per_device = || decline_ends_the_device(invite());
    Some(match row {
        "leg added (D3)" => (quiet(state), Input::LegAdded(Box::new(device("ipad-1", Platform::Ios)))),
        "leg added (D2)" => (quiet(state), Input::LegAdded(Box::new(device(PIXEL, Platform::Android)))),
        "device alerting (D1)" => (quiet(state), alerting(IPHONE)),
        "device alerting (D2)" => (quiet(state), alerting(PIXEL)),
        "device alerting (D3)" => (quiet(state), alerting("ipad-1")),
        "device not rung (D1)" => (quiet(state), not_rung(IPHONE)),
        "device not rung (D2)" => (quiet(state), not_rung(PIXEL)),
        "device not rung (D3)" => (quiet(state), not_rung("ipad-1")),
        "answer (D1)" => (quiet(state), answer(IPHONE)),
        "answer (D2)" => (quiet(state), answer(PIXEL)),
        "answer (D2, which has declined)" => {
            (reach(state, per_device(), |stage| _ = stage.give(declined(PIXEL))), answer(PIXEL))
        }
        "answer (D3)" => (quiet(state), answer("ipad-1")),
        "invited back (from D1)" => (quiet(state), Input::InvitedBack(Some(id(IPHONE)))),
        "invited back (from D2)" => (quiet(state), Input::InvitedBack(Some(id(PIXEL)))),
        "invited back (from no named device)" => (quiet(state), Input::InvitedBack(None)),
        "invited back (the call is hidden)" => (hidden(state)?, Input::InvitedBack(None)),
        "decline (D1, declined)" => (quiet(state), declined(IPHONE)),
        "decline (D2, declined)" => (quiet(state), declined(PIXEL)),
        "decline (D2, declined; `decline = \"device\"`)" => (reach(state, per_device(), |_| ()), declined(PIXEL)),
        "decline (D2, declined; the last device)" => (alone(state, per_device(), declined(IPHONE)), declined(PIXEL)),
        "decline (D2, busy)" => (quiet(state), busy(PIXEL)),
        "decline (D2, busy; the last device)" => (alone(state, invite(), busy(IPHONE)), busy(PIXEL)),
        "decline (D2, again)" => (reach(state, per_device(), |stage| _ = stage.give(declined(PIXEL))), declined(PIXEL)),
        "decline (D3)" => (quiet(state), declined("ipad-1")),
        "cancel" => (quiet(state), Input::Cancel),
        "hang up (the caller)" => (quiet(state), Input::HangUp(user("alice"))),
        "hang up (the callee)" => (quiet(state), Input::HangUp(user("bob"))),
        "hang up (the callee; the call is hidden)" => (hidden(state)?, Input::HangUp(user("bob"))),
        "hang up (a stranger)" => (quiet(state), Input::HangUp(user("carol"))),
        "banned (a party)" => (quiet(state), Input::Banned(user("bob"))),
        "banned (a stranger)" => (quiet(state), Input::Banned(user("carol"))),
        unknown => panic!("no scene for the row {unknown}"),
    })
}

fn hidden(state: State) -> Option<Stage> {
    let mut stage = Stage::new(Invite { hidden: true, ..invite() });
    match state {
        State::Calling => {}
        State::Ringing | State::Active => return None,
        State::Ended => _ = stage.wake(),
    }
    Some(stage)
}

fn task_finished(row: &str, state: State) -> Option<(Stage, Input)> {
    // The ring tasks are the first that a call has.
    let d2 = |attempt, result| Input::TaskFinished { task: 2, attempt, result };
    let answered = state == State::Active || state == State::Ended;
    let refused = TaskResult::Failed(receipt("BadDeviceToken", START));
    Some(match row {
        "task finished (ring: done)" => (reach(state, invite(), |_| ()), d2(1, TaskResult::Done(None))),
        "task finished (ring: to be retried)" => {
            (reach(state, invite(), |_| ()), d2(1, TaskResult::Retry(Duration::from_millis(200), None)))
        }
        "task finished (ring: failed)" => (reach(state, invite(), |_| ()), d2(1, refused)),
        "task finished (ring: failed; every other device failed)" => {
            let first = Input::TaskFinished { task: 1, attempt: 1, result: refused.clone() };
            (if state == State::Ringing { None } else { Some(alone(state, invite(), first)) }?, d2(1, refused))
        }
        "task finished (ring: failed; every other device busy)" => {
            (alone(state, invite(), busy(IPHONE)), d2(1, refused))
        }
        "task finished (ring: an earlier attempt failed)" => (second_attempt(state), d2(1, refused)),
        "task finished (ring: an earlier attempt is done)" => (second_attempt(state), d2(1, TaskResult::Done(None))),
        "task finished (stop: done)" if answered => {
            let mut stage = reach(State::Active, invite(), |_| ());
            let (task, attempt) = stage.task("stop pixel-1: answered_elsewhere");
            if state == State::Ended {
                stage.give(Input::Cancel);
            }
            (stage, Input::TaskFinished { task, attempt, result: TaskResult::Done(None) })
        }
        "task finished (missed call: done)" if state == State::Ended => {
            let mut stage = quiet(State::Calling);
            stage.give(Input::Cancel);
            finished(stage, "missed pixel-1", TaskResult::Done(None))
        }
        "task finished (free line: done)" if state == State::Ended => {
            finished(reach(state, invite(), |_| ()), "free bob", TaskResult::Done(None))
        }
        "task finished (presence: both there)" if answered => asked(state, None, GRACE, present(&["alice", "bob"])),
        "task finished (presence: one missing; in time)" if answered => {
            asked(state, Some(lost("bob", "B1")), Duration::ZERO, present(&["alice"]))
        }
        "task finished (presence: one missing; `connect_timeout` over)" if answered => never_met(state),
        "task finished (presence: one missing; `reconnect_grace` over)" if answered => {
            asked(state, Some(lost("bob", "B1")), GRACE, present(&["alice"]))
        }
        "task finished (presence: both left on purpose)" if answered => {
            let (mut stage, input) = asked(State::Active, Some(left("bob", "B1")), Duration::ZERO, present(&[]));
            stage.give(left("alice", "A1"));
            if state == State::Ended {
                stage.give(Input::Cancel);
            }
            (stage, input)
        }
        "task finished (presence: LiveKit could not be asked)" if answered => {
            asked(state, Some(lost("bob", "B1")), GRACE, TaskResult::Failed(None))
        }
        "task finished (no such task)" => {
            (quiet(state), Input::TaskFinished { task: 99, attempt: 1, result: TaskResult::Done(None) })
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
fn second_attempt(state: State) -> Stage {
    reach(state, invite(), |stage| _ = stage.after(Duration::from_secs(5)).give(Input::Wake))
}

/// A call about which LiveKit has been asked, this long after somebody went; perhaps it has ended since.
fn asked(state: State, gone: Option<Input>, after: Duration, result: TaskResult) -> (Stage, Input) {
    let mut stage = quiet(State::Active);
    gone.map(|input| stage.give(input));
    stage.after(after).all([Input::RoomFinished]);
    let (mut stage, input) = finished(stage, "ask", result);
    if state == State::Ended {
        stage.give(Input::Cancel);
    }
    (stage, input)
}

fn never_met(state: State) -> (Stage, Input) {
    let mut stage = Stage::new(invite());
    stage.settle().all([answer(IPHONE), joined("bob", "B1")]).settle().wake();
    let (mut stage, input) = finished(stage, "ask", present(&["bob"]));
    if state == State::Ended {
        stage.give(Input::Cancel);
    }
    (stage, input)
}

fn presence(row: &str, state: State) -> Option<(Stage, Input)> {
    let mut alice_there = quiet(state);
    alice_there.give(joined("alice", "A1"));
    Some(match row {
        "participant joined (a new session)" => (quiet(state), joined("alice", "A2")),
        "participant joined (a known session)" => (alice_there, joined("alice", "A1")),
        "participant joined (a stranger)" => (quiet(state), joined("carol", "C1")),
        "participant left (the session that is there)" => (alice_there, lost("alice", "A1")),
        "participant left (a session not seen yet)" => (alice_there, lost("alice", "A2")),
        "participant left (a session that is over)" => {
            alice_there.give(lost("alice", "A1"));
            (alice_there, lost("alice", "A1"))
        }
        "participant left (a stranger)" => (quiet(state), lost("carol", "C1")),
        "room finished" => (quiet(state), Input::RoomFinished),
        "room finished (LiveKit is being asked)" => {
            let mut stage = quiet(state);
            stage.give(Input::RoomFinished);
            (stage, Input::RoomFinished)
        }
        "room finished (LiveKit cannot be asked)" => {
            let blind = Invite { rules: Rules { presence: false, ..rules() }, ..invite() };
            (reach(state, blind, |_| ()), Input::RoomFinished)
        }
        unknown => panic!("no scene for the row {unknown}"),
    })
}

fn wake(row: &str, state: State) -> Option<(Stage, Input)> {
    let active = (state == State::Active).then(|| quiet(state));
    let ended = (state == State::Ended).then(|| quiet(state));
    let mut stage = match row {
        "wake (nothing is due)" => quiet(state),
        "wake (a task is due)" => {
            let mut stage = reach(state, invite(), |_| ());
            stage.after(Duration::from_secs(5));
            stage
        }
        "wake (ring over)" => {
            let mut stage = quiet(state);
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
