//! What the device said of its ring: that it rings or could not, an answer, a decline.

use super::scene::*;
use super::{Cause, Row};
use crate::domain::*;

pub(super) fn scenes() -> Vec<Row> {
    let answer = |device: &str| Input::Answer(id(device));
    let decline = |device: &str, reason| Input::Decline(id(device), reason);
    let called_back = || Input::InvitedBack(None);
    vec![
        (
            ios().at(41).taken().at(3000).alerting("ios-1").at(8000).give(&answer("ios-1")),
            "ios-1",
            Cause::Answered,
            "it answered at +8000 ms",
        ),
        (
            ios().at(41).taken().at(2000).give(&decline("ios-1", DeclineReason::Declined)),
            "ios-1",
            Cause::Declined,
            "it declined at +2000 ms",
        ),
        (
            ios().at(41).taken().at(2000).give(&decline("ios-1", DeclineReason::Busy)),
            "ios-1",
            Cause::BusyOnDevice,
            "said at +2000 ms that it is on another call",
        ),
        (ios().at(41).taken().at(3000).alerting("ios-1"), "ios-1", Cause::Rings, "it rings since +3000 ms"),
        (
            ios().at(41).taken().at(3000).alerting("ios-1").times_out(),
            "ios-1",
            Cause::RangUnanswered,
            "rang from +3000 ms to +45.0 s, and nobody answered",
        ),
        (
            ios().at(3000).alerting("ios-1").at(9000).give(&Input::Cancel),
            "ios-1",
            Cause::RangCancelled,
            "rang from +3000 ms to +9000 ms, when alice gave up",
        ),
        (
            two().at(900).alerting("ios-1").at(4000).give(&answer("android-1")),
            "ios-1",
            Cause::RangAnsweredElsewhere,
            "when android-1 of bob answered",
        ),
        (
            two().at(900).alerting("ios-1").at(4000).give(&decline("android-1", DeclineReason::Declined)),
            "ios-1",
            Cause::RangDeclinedElsewhere,
            "when bob declined elsewhere",
        ),
        (
            two().at(900).alerting("ios-1").at(4000).give(&Input::Banned(user("bob"))),
            "ios-1",
            Cause::RangUntilEnd,
            "to +4000 ms, when the call ended",
        ),
        (
            two().at(900).alerting("ios-1").at(4000).give(&called_back()),
            "ios-1",
            Cause::CalledElsewhere,
            "at +4000 ms bob called alice from elsewhere",
        ),
        (
            two().at(900).give(&called_back()),
            "android-1",
            Cause::CalledElsewhere,
            "FCM accepted at +60 ms, and at +900 ms bob called alice",
        ),
        (
            two().at(900).not_rung("ios-1", "do_not_disturb"),
            "ios-1",
            Cause::DoNotDisturb,
            "APNs accepted at +41 ms, and it is on Do Not Disturb",
        ),
        (
            two().at(900).not_rung("ios-1", "block_list").times_out(),
            "ios-1",
            Cause::BlockedOnDevice,
            "its own block list has alice",
        ),
        (
            two().at(900).not_rung("android-1", "no_permission"),
            "android-1",
            Cause::NoPermission,
            "it may not ring: no_permission",
        ),
        (
            two().at(900).alerting("ios-1").at(950).not_rung("ios-1", "silo").times_out(),
            "ios-1",
            Cause::CouldNotRing,
            "could not ring: silo",
        ),
        (
            two().at(900).not_rung("ios-1", "silo").at(950).alerting("ios-1").times_out(),
            "ios-1",
            Cause::RangUnanswered,
            "rang from +950 ms",
        ),
    ]
}
