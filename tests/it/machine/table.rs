//! `docs/STATE-MACHINE.md` is true: its tables are walked, cell by cell.
//!
//! How a call comes into a row's situation is `scenes`' affair.

use std::collections::BTreeSet;

use super::scenes::scene;
use super::*;
use bellwire::domain::{EndReason, EndpointId, WebhookEvent};

const PAGE: &str = include_str!("../../../docs/STATE-MACHINE.md");
const STATES: [State; 4] = [State::Calling, State::Ringing, State::Active, State::Ended];
/// How many inputs there are; `number` counts them.
const INPUTS: usize = 27;

/// The rows of the table whose head begins with this.
fn rows(head: &str) -> Vec<Vec<&'static str>> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    let table = PAGE.lines().skip_while(|line| !line.starts_with(head)).take_while(|line| line.starts_with('|'));
    table.skip(2).map(cells).collect()
}

/// Every input has a number below `INPUTS`: a new one does not compile until it is given one, and then lacks its row.
fn number(input: &Input) -> usize {
    match input {
        Input::LegAdded(_) => 0,
        Input::DeviceAlerting(_) => 1,
        Input::DeviceNotRung(..) => 2,
        Input::Answer(_) => 3,
        Input::InvitedBack(_) => 4,
        Input::Decline(..) => 5,
        Input::Cancel => 6,
        Input::HangUp(_) => 7,
        Input::TaskFinished { .. } => 8,
        Input::ParticipantJoined(..) => 9,
        Input::ParticipantLeft { .. } => 10,
        Input::RoomFinished => 11,
        Input::Banned(_) => 12,
        Input::Redialled => 13,
        Input::DeviceContacted(_) => 14,
        Input::DeviceLate(_) => 15,
        Input::RoomStarted => 16,
        Input::PresenceDoubted => 17,
        Input::TokenGiven => 18,
        Input::DeviceGone(_) => 19,
        Input::DeviceBack(_) => 20,
        Input::PushTold(..) => 21,
        Input::RecordingAsked(_) => 22,
        Input::RecordingStarted(..) => 23,
        Input::RecordingStopped(_) => 24,
        Input::RecordingFailed(_) => 25,
        Input::Wake => INPUTS - 1,
    }
}

/// What comes of an input, in the words of the table.
fn outcome(before: &Stage, input: &Input) -> String {
    match step(&before.call, input, before.now) {
        Ok(Outcome::Applied(next)) if next.state == before.call.state => "stays".to_owned(),
        Ok(Outcome::Applied(next)) => format!("→ {}", Stage { call: *next, now: before.now }.stands()),
        Ok(Outcome::Ignored(_)) => "ignored".to_owned(),
        Err(refusal) => match refusal.why {
            RefusalReason::Ended(_) => "refused: the call has ended".to_owned(),
            why => format!("refused: {why}"),
        },
    }
}

#[test]
fn every_state_meets_every_input_as_the_page_says() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for row in rows("| input |") {
        let mut found = vec![row[0].to_owned()];
        for state in STATES {
            let Some((stage, input)) = scene(row[0], state) else {
                found.push("—".to_owned());
                continue;
            };
            assert_eq!(stage.call.state, state, "the scene of {} begins elsewhere", row[0]);
            assert!(row[0].starts_with(input.name()), "{} is given {}", row[0], input.name());
            seen.insert(number(&input));
            found.push(outcome(&stage, &input));
        }
        if found != row {
            wrong.push(format!("| {} |", found.join(" | ")));
        }
    }
    assert!(wrong.is_empty(), "the page should say:\n{}", wrong.join("\n"));
    assert_eq!(seen, (0..INPUTS).collect(), "an input has no row");
}

#[test]
fn every_row_stands_once_with_a_cell_for_every_state() {
    let rows = rows("| input |");
    let names: BTreeSet<_> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(names.len(), rows.len(), "a row stands twice");
    assert!(rows.iter().all(|row| row.len() == 1 + STATES.len()));
}

/// A call that has ended for this reason, with what is to be done at its end.
fn ended(reason: EndReason, how: &str) -> Option<Stage> {
    let mut stage = Stage::new(match (reason, how) {
        (EndReason::Busy, "at once") => Invite { busy: true, ..invite() },
        (EndReason::Unreachable, "no device") => Invite { devices: Vec::new(), ..invite() },
        (EndReason::TimedOut, "hidden") => Invite { hidden: true, ..invite() },
        _ => invite(),
    });
    let refused = || TaskResult::Failed(vec![receipt("Unregistered", START)]);
    match (reason, how) {
        (EndReason::Busy, "at once") | (EndReason::Unreachable, "no device") => {}
        (EndReason::Busy, _) => _ = stage.all([busy(IPHONE), busy(PIXEL)]),
        (EndReason::Unreachable, _) => {
            stage.finish("ring iphone-1", refused());
            stage.finish("ring pixel-1", refused());
        }
        (EndReason::Cancelled, _) => _ = stage.give(Input::Cancel),
        (EndReason::Declined, _) => _ = stage.give(Input::HangUp(user("bob"))),
        (EndReason::TimedOut, _) => _ = stage.settle().wake(),
        (EndReason::Banned, "before the answer") => _ = stage.give(Input::Banned(user("alice"))),
        (EndReason::Banned, _) => _ = after_answer(&mut stage).give(Input::Banned(user("alice"))),
        (EndReason::Completed, _) => _ = after_answer(&mut stage).give(Input::Cancel),
        (EndReason::MaxDuration, _) => _ = after_answer(&mut stage).after(LONGEST).give(Input::Wake),
        (EndReason::NotConnected, _) => {
            stage.all([answer(IPHONE)]).settle().wake();
            stage.finish("ask", present(&[]));
        }
        (EndReason::ConnectionLost, _) => {
            after_answer(&mut stage).give(lost("bob", "B1"));
            stage.wake();
            stage.finish("ask", present(&["alice"]));
        }
        // The gateway has no way to give up on a call in this version.
        (EndReason::Failed, _) => return None,
    }
    Some(stage)
}

fn after_answer(stage: &mut Stage) -> &mut Stage {
    stage.all([answer(IPHONE), joined("alice", "A1"), joined("bob", "B1")]).settle()
}

/// The devices of the tasks that begin with this word, and what is said behind them.
fn told(stage: &Stage, word: &str) -> String {
    let tasks = stage.tasks();
    let tasks: Vec<_> = tasks.iter().filter_map(|task| task.strip_prefix(word)).map(str::trim).collect();
    let reason = tasks.iter().find_map(|task| task.split_once(": ")).map(|(_, reason)| format!(": `{reason}`"));
    let who = |task: &&str| {
        task.split(':').next().unwrap_or_default().replace("iphone-1", "iOS").replace("pixel-1", "Android")
    };
    match tasks.iter().map(who).collect::<Vec<_>>().join(", ") {
        nobody if nobody.is_empty() => "none".to_owned(),
        who => who + &reason.unwrap_or_default(),
    }
}

#[test]
fn every_end_opens_what_the_page_says() {
    let mut seen = BTreeSet::new();
    for row in rows("| end reason |") {
        let (reason, how) = row[0].split_once(" (").unwrap_or((row[0], ""));
        let reason: EndReason = serde_json::from_value(reason.trim_matches('`').into()).expect("an end reason");
        seen.insert(reason.as_str());
        let Some(stage) = ended(reason, how.trim_end_matches(')')) else {
            assert_eq!(row[1..], ["—", "—", "—"], "{}", row[0]);
            continue;
        };
        assert_eq!(stage.call.end_reason, Some(reason), "{}", row[0]);
        assert_eq!(row[1..], [told(&stage, "stop"), told(&stage, "missed"), told(&stage, "free")], "{}", row[0]);
    }
    assert_eq!(seen.len(), 11, "a reason has no row");
}

#[test]
fn the_page_names_every_event_once() {
    let named: Vec<_> = rows("| event |").iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let mut stage = Stage::connected();
    stage.all([lost("bob", "B1"), joined("bob", "B2"), Input::Cancel]);
    let mut told: BTreeSet<_> = stage.events().into_iter().collect();
    told.extend(recordings::stopped().events());
    for end in [Input::Cancel, declined(IPHONE)] {
        let mut stage = Stage::new(invite());
        stage.give(end);
        told.extend(stage.events());
    }
    assert_eq!(named.iter().map(|name| name.replace("call.", "")).collect::<BTreeSet<_>>(), told);
    assert_eq!(named.len(), told.len());
}

#[test]
fn the_page_knows_how_long_an_attempt_is_left_alone() {
    let (device, platform) = (id(IPHONE), Platform::Ios);
    let pixel = TaskKind::Ring { device: id(PIXEL), platform: Platform::Android, number: 1 };
    for (row, kind) in [
        ("push to iOS", TaskKind::Ring { device, platform, number: 1 }),
        ("push to Android", pixel),
        ("free line", TaskKind::FreeLine { user: user("bob") }),
        ("presence", TaskKind::AskPresence),
        ("open room", TaskKind::OpenRoom),
        ("close room", TaskKind::CloseRoom { eject: None }),
        ("what was used", TaskKind::Account),
        (
            "webhook",
            TaskKind::Report { event: WebhookEvent::CallEnded, endpoint: EndpointId::new("e").expect("an id") },
        ),
        ("recording", TaskKind::StartRecording),
    ] {
        let times = [kind.deadline(), kind.lease()].map(|time| format!("{} s", time.as_secs()));
        let rows = rows("| attempt |");
        let found = rows.iter().find(|found| found[0] == row).expect("a row");
        assert_eq!(found[1..3], times, "{row}");
    }
}
