//! A record for every cause, and what is said of it: one file for each kind of cause.

mod outside;
mod refused;
mod said;
mod scene;
mod summary;
mod unheard;

use std::collections::HashSet;
use std::time::Duration;

use self::scene::*;
use super::Cause;
use crate::domain::*;

/// A scene with the device that it is about, its cause, and what must stand in its sentence.
type Row = (Scene, &'static str, Cause, &'static str);

fn scenes() -> Vec<Row> {
    [said::scenes(), unheard::scenes(), refused::scenes(), outside::scenes()].into_iter().flatten().collect()
}

#[test]
fn every_scene_has_its_cause_and_its_sentence() {
    for (scene, device, cause, sentence) in scenes() {
        let explanation = scene.explain();
        let found = explanation.devices.iter().find(|found| found.device.id.as_str() == device).expect("the device");
        assert_eq!(found.cause, cause, "{}", found.verdict);
        assert!(found.verdict.contains(sentence), "{cause:?}: {:?} is not in {:?}", sentence, found.verdict);
    }
}

#[test]
fn every_cause_has_a_scene_and_sentences_for_people() {
    let shown: HashSet<_> = scenes().iter().map(|(_, _, cause, _)| *cause).collect();
    let mut words = HashSet::new();
    for cause in Cause::ALL {
        assert!(shown.contains(cause), "{cause:?} has no scene");
        let word = cause.as_str();
        assert!(words.insert(word) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{word}");
        for sentence in [cause.meaning(), cause.advice()] {
            assert!(is_sentence(sentence), "{word}: {sentence:?}");
        }
    }
    for (scene, ..) in scenes() {
        let explanation = scene.explain();
        assert!(is_sentence(&explanation.summary), "{:?}", explanation.summary);
        for found in explanation.devices {
            let (who, what) = found.verdict.split_once(" of bob: ").expect("whose device");
            assert!(["iPhone", "Android phone", "browser"].contains(&who), "{who}");
            assert!(what.ends_with('.') && !what.contains("..") && !what.contains("  "), "{what:?}");
        }
    }
}

fn is_sentence(text: &str) -> bool {
    text.len() > 10 && text.ends_with('.') && text.trim() == text && !text.contains("  ")
}

#[test]
fn a_dead_token_is_dead_since_the_providers_word_for_it() {
    let mut scene = apple(410, "Unregistered", "drop_token");
    scene.call.legs[0].receipts[0].dead_since = Some(START - Duration::from_mins(5));
    let verdict = scene.explain().devices.remove(0).verdict;
    let expected =
        "iPhone of bob: APNs answered 410 Unregistered at +52 ms: its token is dead since 2026-02-02T02:35:00.000Z.";
    assert_eq!(verdict, expected);
}

#[test]
fn no_sentence_has_a_push_token() {
    for (scene, ..) in scenes() {
        let explanation = scene.explain();
        let texts = explanation.devices.iter().map(|found| &found.verdict).chain([&explanation.summary]);
        assert!(texts.into_iter().all(|text| !text.contains("5ec2e7")));
    }
}

#[test]
fn a_compacted_record_still_tells_why() {
    for (scene, device, cause, _) in scenes().into_iter().filter(|(scene, ..)| scene.call.is_ended()) {
        let mut scene = scene;
        scene.call.compact();
        let explanation = scene.explain();
        let found = explanation.devices.iter().find(|found| found.device.id.as_str() == device).expect("the device");
        assert_eq!(found.cause, cause, "{}", found.verdict);
    }
}

#[test]
fn an_ack_and_a_stop_are_told_apart() {
    let scene = two().at(900).alerting("ios-1").at(4000).give(&Input::Answer(id("android-1")));
    let explanation = scene.explain();
    let [iphone, pixel] = &explanation.devices[..] else { panic!("two devices") };
    let ack = iphone.ack.as_ref().expect("an ack");
    assert_eq!((ack.kind, ack.at), ("alerting", Some(START + Duration::from_millis(900))));
    let stop = iphone.stop.as_ref().expect("a stop");
    assert_eq!((stop.reason, stop.at), (Some("answered_elsewhere"), Some(START + Duration::from_secs(4))));
    assert_eq!((stop.told_by, pixel.ack.as_ref().map(|ack| ack.kind), &pixel.stop), (None, Some("answered"), &None));
}

#[test]
fn the_page_about_pushes_has_every_cause_with_its_advice_in_the_same_order() {
    let page = include_str!("../../../../docs/PUSH.md");
    let (_, section) = page.split_once("## Why a phone did not ring").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let table: Vec<_> = Cause::ALL
        .iter()
        .map(|cause| format!("| `{}` | {} | {} |", cause.as_str(), cause.meaning(), cause.advice()))
        .collect();
    assert!(rows == table, "the table should be:\n{}", table.join("\n"));
}
