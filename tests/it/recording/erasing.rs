//! Files that are deleted: by a wish, or when their time is over.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use super::{Studio, fetch};
use crate::support::{bearer, service_bearer};

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
    tokio::time::timeout(3 * crate::support::SOON, gone).await.expect("its record is removed");
    assert_eq!((studio.storage.file(&key), studio.storage.deleted()), (None, vec![key]));
}

#[tokio::test]
async fn a_storage_that_is_down_is_asked_again() {
    let studio = Studio::with("policy = \"party\"").await;
    let talk = studio.recorded().await;
    studio.storage.fails(Some(StatusCode::FORBIDDEN));
    assert_eq!(studio.end(&talk.id, &bearer("alice")).await.expect(200)["state"], "erasing");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(studio.see(&talk.id, &bearer("alice")).await.expect(200)["state"], json!("erasing"));
    studio.storage.fails(None);
    studio.advance(Duration::from_hours(1));
    studio.until(&talk.id, "erased").await;
}
