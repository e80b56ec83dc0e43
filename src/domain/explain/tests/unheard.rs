//! Devices that said nothing, or too late.

use std::time::Duration;

use super::scene::*;
use super::{Cause, Row};
use crate::domain::*;

pub(super) fn scenes() -> Vec<Row> {
    let in_alert_mode = Device {
        ios_push_mode: IosPushMode::Alert,
        alert_token: device("ios").voip_token,
        voip_token: None,
        ..device("ios")
    };
    let silent = |mut device: Device, rings| {
        device.alert_token = device.voip_token.clone();
        device.acks.silent = rings;
        device
    };
    vec![
        (two().at(900), "ios-1", Cause::WaitingForWord, "APNs accepted at +41 ms, and it has not spoken yet"),
        (
            two().at(900).give(&Input::Cancel).at(52_000).give(&Input::DeviceLate(id("ios-1"))),
            "ios-1",
            Cause::CameLate,
            "APNs accepted at +41 ms, but it first spoke at +52.0 s, when its ring was over at +900 ms",
        ),
        (two().at(900).give(&Input::Cancel), "ios-1", Cause::StoppedSoon, "the call was over at +900 ms, too soon"),
        (
            Scene::new(vec![known("ios")]).at(41).taken().times_out(),
            "ios-1",
            Cause::SilentIphone,
            "though its app has acknowledged rings since 2026-02-01; the app may be deleted, offline or force-quit",
        ),
        (
            Scene::of(Invite { ring_until: START + Duration::from_secs(5), ..invite(vec![known("android")]) })
                .at(0)
                .taken()
                .at(5000)
                .give(&Input::Wake),
            "android-1",
            Cause::SilentAndroid,
            "though its app has acknowledged rings since 2026-02-01",
        ),
        (
            ios().at(41).taken().times_out(),
            "ios-1",
            Cause::UnackedIphone,
            "iPhone of bob: APNs accepted at +41 ms, no alerting ack; the app may be deleted, offline or force-quit",
        ),
        (
            android().at(41).taken().times_out(),
            "android-1",
            Cause::UnackedAndroid,
            "FCM accepted at +41 ms, no alerting ack; the phone may be off",
        ),
        (android().at(41).taken().at(20_000), "android-1", Cause::UnackedAndroid, "it has never acknowledged a ring"),
        (
            Scene::new(vec![in_alert_mode]).at(41).taken().times_out(),
            "ios-1",
            Cause::AlertMode,
            "which iOS shows without starting the app",
        ),
        (
            Scene::new(vec![silent(device("ios"), 1)])
                .at(41)
                .taken()
                .at(700)
                .give(&Input::DeviceContacted(id("ios-1")))
                .times_out(),
            "ios-1",
            Cause::SilentInTouch,
            "in touch with the gateway at +700 ms",
        ),
        (
            beside_alert(silent(device("ios"), 5)),
            "ios-1",
            Cause::SilentBesideAlert,
            "an alert beside it, since its app was awake in its last 5 rings without a word",
        ),
        (
            Scene::new(vec![known("android")]).at(41).taken().at(6050).give(&Input::Wake).at(6090).taken().times_out(),
            "android-1",
            Cause::PushedAgain,
            "FCM accepted 2 pushes (+41 ms, +6090 ms), no alerting ack",
        ),
        (ios().at(41), "ios-1", Cause::OnItsWay, "on its way to Apple"),
        (
            android().at(41).give(&Input::Cancel),
            "android-1",
            Cause::EndedBeforePush,
            "over at +41 ms, before Google had answered",
        ),
        (ios().times_out(), "ios-1", Cause::NoRecord, "nothing is recorded of any push"),
        (
            Scene::new(vec![device("web")]).times_out(),
            "web-1",
            Cause::BrowserSilent,
            "browser of bob: it was connected when the call began, and said nothing",
        ),
        (
            Scene::new(vec![device("web")]).at(1200).give(&Input::DeviceGone(id("web-1"))).at(6200).give(&Input::Wake),
            "web-1",
            Cause::BrowserGone,
            "its page had no event stream any more at +1200 ms, and was not back within 5 s",
        ),
    ]
}

fn beside_alert(device: Device) -> Scene {
    let scene = Scene::new(vec![device]).at(41);
    let alert = scene.call.tasks.iter().find(|task| matches!(task.kind, TaskKind::RingAlert { .. })).expect("an alert");
    let (task, attempt) = (alert.id, alert.attempt);
    let result = TaskResult::Done(vec![receipt("ring_alert", TAKEN, scene.now)]);
    scene.give(&Input::TaskFinished { task, attempt, result }).taken().times_out()
}
