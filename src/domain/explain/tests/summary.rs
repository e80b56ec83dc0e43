//! The sentence about the whole call.

use super::scene::*;
use crate::domain::*;

#[test]
fn the_summary_says_how_the_call_went() {
    let answered = || two().at(900).alerting("ios-1").at(4000).give(&Input::Answer(id("ios-1")));
    let unknown = |reason| {
        let mut scene = two();
        scene.call.end(reason, scene.now);
        scene
    };
    for (scene, sentence) in vec![
        (two(), "No device of bob has said yet that it rings."),
        (two().at(900).alerting("ios-1"), "ios-1 rings for alice's call; nobody has answered yet."),
        (answered(), "bob answered on ios-1 at +4000 ms, and the call goes on."),
        (
            two().at(900).give(&Input::InvitedBack(None)),
            "bob called alice at the same moment, which answered at +900 ms, and the call goes on.",
        ),
        (
            answered().at(65_000).give(&Input::HangUp(user("bob"))),
            "bob answered on ios-1 at +4000 ms, and the call was hung up at +65.0 s, after 0 s of talk.",
        ),
        (Scene::new(vec![]), "bob had no registered device that could be rung."),
        (Scene { banned_at: Some(START), ..Scene::new(vec![]) }, "bob is banned, so no device was rung."),
        (apple(410, "Unregistered", "drop_token"), "No device of bob could be rung: the last of 1 failed after 52 ms."),
        (
            Scene::of(Invite { busy: true, ..invite(vec![device("ios")]) }),
            "bob was on another call, so no device was rung.",
        ),
        (
            ios().at(2000).give(&Input::Decline(id("ios-1"), DeclineReason::Busy)),
            "Every device that could have answered said that bob is on another call; the call ended at +2000 ms.",
        ),
        (
            hidden(),
            "bob has blocked alice, so nothing was pushed, and alice cannot tell it from a call that nobody answers.",
        ),
        (
            two().at(900).give(&Input::Banned(user("alice"))),
            "A party was banned at +900 ms, which ended the call; no device had said that it rings.",
        ),
        (
            ios().at(900).give(&Input::Decline(id("ios-1"), DeclineReason::Declined)),
            "bob declined on ios-1 at +900 ms.",
        ),
        (two().at(900).give(&Input::HangUp(user("bob"))), "bob declined at +900 ms."),
        (two().at(900).give(&Input::Cancel), "alice gave up at +900 ms; no device had said that it rings."),
        (
            two().at(900).alerting("ios-1").at(950).alerting("android-1").times_out(),
            "Nobody answered within 45 s; it rang on ios-1 and android-1.",
        ),
        (unknown(EndReason::Failed), "The gateway could not go on at +60 ms; its log says why."),
    ] {
        assert_eq!(scene.explain().summary, sentence);
    }
    for (reason, part) in [
        (EndReason::NotConnected, "but the two were not both in the room within 20 s"),
        (EndReason::ConnectionLost, "a party was lost"),
        (EndReason::MaxDuration, "as long as calls may last"),
    ] {
        let mut scene = answered();
        scene.call.end(reason, scene.now);
        assert!(scene.explain().summary.contains(part), "{}", scene.explain().summary);
    }
}
