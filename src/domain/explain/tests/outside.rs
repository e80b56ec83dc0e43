//! Devices that the call did not go to.

use std::time::Duration;

use super::scene::*;
use super::{Cause, Row};
use crate::domain::*;

pub(super) fn scenes() -> Vec<Row> {
    let later = Device { registered_at: START + Duration::from_secs(1), ..device("ios") };
    vec![
        (
            Scene::of(Invite { busy: true, ..invite(vec![device("ios")]) }),
            "ios-1",
            Cause::CalleeBusy,
            "bob was on another call, so nothing was pushed",
        ),
        (outside(device("web")), "web-1", Cause::BrowserNotConnected, "it had no event stream open"),
        (outside(later), "ios-1", Cause::RegisteredLater, "refreshed at 2026-02-02T02:40:01.000Z"),
        (hidden(), "ios-1", Cause::BlockedCaller, "bob has blocked alice"),
        (Scene { banned_at: Some(START), ..outside(device("ios")) }, "ios-1", Cause::CalleeBanned, "bob is banned"),
        (outside(device("ios")), "ios-1", Cause::NotAddressed, "for another device only"),
    ]
}
