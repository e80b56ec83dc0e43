//! Files that are deleted: by a wish, or when their time is over.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Studio, Talk, fetch};
use crate::support::{SOON, bearer, service_bearer};

#[tokio::test]
async fn an_erased_recording_is_gone_for_good() {
    let studio = Studio::with("policy = \"party\"").await;
    let talk = studio.recorded().await;
    let seen = studio.see(&talk.id, &bearer("alice")).await.expect(200);
    assert_eq!(studio.end(&talk.id, &bearer("alice")).await.expect(200)["state"], "erasing");
    let erased = studio.until(&talk.id, "erased").await;
    assert_eq!(erased.get("link"), None);
    assert_eq!(fetch(&seen).await.0, 404, "also behind a link that is still good");
    // Once more changes nothing.
    assert_eq!(studio.end(&talk.id, &bearer("bob")).await.expect(200)["state"], "erased");
    assert_eq!(studio.storage.deleted().len(), 1);
    studio.ask(&talk.id, &bearer("alice")).await.expect_problem(409, "call-ended");
}

#[tokio::test]
async fn its_file_and_its_record_go_when_its_time_is_over() {
    let studio = Studio::with("policy = \"service\"\nretention = \"30d\"").await;
    let talk = studio.recorded().await;
    let recording = studio.see(&talk.id, service_bearer()).await.expect(200);
    let key = recording["file"]["key"].as_str().expect("a key").to_owned();
    studio.advance(Duration::from_hours(29 * 24));
    assert!(studio.storage.file(&key).is_some());
    studio.advance(Duration::from_hours(25));
    let gone = async {
        while studio.see(&talk.id, service_bearer()).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(3 * SOON, gone).await.expect("its record is removed");
    assert_eq!((studio.storage.file(&key), studio.storage.deleted()), (None, vec![key]));
}

#[tokio::test]
async fn a_storage_that_is_down_is_asked_again() {
    let studio = Studio::with("policy = \"party\"").await;
    let talk = studio.recorded().await;
    studio.storage.fails(Some((StatusCode::FORBIDDEN, "")));
    assert_eq!(studio.end(&talk.id, &bearer("alice")).await.expect(200)["state"], "erasing");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(studio.see(&talk.id, &bearer("alice")).await.expect(200)["state"], json!("erasing"));
    studio.storage.fails(None);
    studio.advance(Duration::from_hours(1));
    studio.until(&talk.id, "erased").await;
}

/// The clock goes on until the storage was asked again and the recording is in a state.
async fn in_time(studio: &Studio, id: &Value, state: &str) {
    let waiting = async {
        while studio.see(id, service_bearer()).await.expect(200)["state"] != state {
            studio.advance(Duration::from_mins(1));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(3 * SOON, waiting).await.unwrap_or_else(|_| panic!("not {state}"));
}

#[tokio::test]
async fn only_an_answer_about_the_file_says_that_it_is_gone() {
    let studio = Studio::with("policy = \"party\"").await;
    let talk = studio.recorded().await;
    for (status, body) in [
        (StatusCode::NOT_FOUND, "<Error><Code>NoSuchBucket</Code><Message>NoSuchKey</Message></Error>"),
        (StatusCode::NOT_FOUND, "404 page not found"),
        (StatusCode::NOT_FOUND, ""),
        (StatusCode::SERVICE_UNAVAILABLE, "<Error><Code>SlowDown</Code></Error>"),
    ] {
        studio.storage.fails(Some((status, body)));
        studio.end(&talk.id, &bearer("alice")).await.expect(200);
        studio.advance(Duration::from_hours(1));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(studio.see(&talk.id, &bearer("alice")).await.expect(200)["state"], "erasing", "{status} {body}");
    }
    // Google's storage says so of a file that is not there.
    let gone = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchKey</Code></Error>";
    studio.storage.fails(Some((StatusCode::NOT_FOUND, gone)));
    in_time(&studio, &talk.id, "erased").await;
}

/// A recording that LiveKit seemed to have lost, and that is erased; it runs on.
async fn erased_while_it_runs(studio: &Studio) -> Talk {
    let mut talk = studio.connected().await;
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    talk.both("call.recording_started").await;
    studio.livekit.hold_still();
    studio.livekit.denies(true);
    in_time(studio, &talk.id, "failed").await;
    studio.livekit.until("it is told to stop", |livekit| livekit.requests("StopEgress").len() == 1).await;
    studio.end(&talk.id, &bearer("alice")).await.expect(200);
    studio.until(&talk.id, "erased").await;
    talk
}

#[tokio::test]
async fn a_file_that_arrives_after_it_was_erased_is_deleted() {
    let studio = Studio::with("policy = \"party\"").await;
    let talk = erased_while_it_runs(&studio).await;
    let key = studio.see(&talk.id, service_bearer()).await.expect(200)["file"]["key"].clone();
    studio.livekit.moves("EG_1", "EGRESS_COMPLETE", "").await;
    studio.until(&talk.id, "erased").await;
    assert_eq!((studio.storage.file(key.as_str().expect("a key")), studio.storage.deleted().len()), (None, 2));
}

#[tokio::test]
async fn a_file_that_nobody_told_of_is_deleted_with_the_record() {
    let studio = Studio::with("policy = \"party\"\nretention = \"30d\"").await;
    let talk = erased_while_it_runs(&studio).await;
    let key = studio.see(&talk.id, service_bearer()).await.expect(200)["file"]["key"].clone();
    studio.livekit.mute(true);
    studio.livekit.moves("EG_1", "EGRESS_COMPLETE", "").await;
    assert!(studio.storage.file(key.as_str().expect("a key")).is_some());
    studio.hang_up(&talk.id).await;
    studio.advance(Duration::from_hours(31 * 24));
    let gone = async {
        while studio.see(&talk.id, service_bearer()).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(3 * SOON, gone).await.expect("its record is removed");
    assert_eq!(studio.storage.file(key.as_str().expect("a key")), None);
}

#[tokio::test]
async fn of_one_whose_time_is_over_before_its_calls_nothing_is_left() {
    let studio = Studio::with("policy = \"party\"\nretention = \"1h\"").await;
    let talk = studio.recorded().await;
    studio.advance(Duration::from_mins(61));
    let gone = async {
        while studio.see(&talk.id, &bearer("alice")).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(3 * SOON, gone).await.expect("its record is removed");
    studio.see(&talk.id, &bearer("alice")).await.expect_problem(404, "recording-not-found");
    assert_eq!(studio.stage.call(&talk.id).await["state"], "ended");
}

#[tokio::test]
async fn a_file_that_arrives_after_its_user_was_erased_is_deleted_and_the_record_names_nobody() {
    let studio = Studio::with("policy = \"party\"").await;
    let talk = erased_while_it_runs(&studio).await;
    let key = studio.see(&talk.id, service_bearer()).await.expect(200)["file"]["key"].clone();
    let key = key.as_str().expect("a key");
    let erased = async {
        while studio.stage.http.delete("/v1/users/alice", service_bearer()).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(6 * SOON, erased).await.expect("erased in time");
    for party in ["alice", "bob"] {
        studio.see(&talk.id, &bearer(party)).await.expect_problem(404, "call-not-found");
    }
    studio.livekit.moves("EG_1", "EGRESS_COMPLETE", "").await;
    let deleted = async {
        while studio.storage.deleted().len() < 2 {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    tokio::time::timeout(SOON, deleted).await.expect("deleted in time");
    assert_eq!(studio.storage.file(key), None);
    studio.advance(Duration::from_hours(25));
    let gone = async {
        while studio.see(&talk.id, service_bearer()).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(3 * SOON, gone).await.expect("its record is removed");
}
