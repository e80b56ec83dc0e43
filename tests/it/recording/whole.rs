//! The whole way: asked for, told to both, over with the call, told to the backend, watched again.

use std::time::Duration;

use serde_json::json;

use super::{Studio, fetch};
use crate::support::people::path;
use crate::support::receiver::Receiver;
use crate::support::{bearer, service_bearer};

#[tokio::test]
async fn a_party_has_a_call_recorded_and_watches_it_again() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    let asked = studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    assert_eq!(
        (&asked["asked_by"], &asked["user_id"], &asked["media"]),
        (&json!("party"), &json!("alice"), &json!("audio"))
    );
    assert_eq!(asked.get("file"), None, "only the backend sees where the file lies");
    let told = talk.both("call.recording_started").await;
    assert_eq!(told["data"], json!({"media": "audio", "user_id": "alice"}));
    assert_eq!(studio.stage.call(&talk.id).await["recording"], "on");
    // Asking again changes nothing.
    assert_eq!(studio.ask(&talk.id, &bearer("bob")).await.expect(200)["state"], "active");
    studio.hang_up(&talk.id).await;
    talk.both("call.recording_stopped").await;
    talk.both("call.ended").await;

    let recording = studio.until(&talk.id, "complete").await;
    assert_eq!(
        (&recording["duration_seconds"], &recording["started_at"]),
        (&json!(9), &json!("2024-04-05T19:34:38.000Z"))
    );
    let key = recording["file"]["key"].as_str().expect("a key");
    assert_eq!(key, format!("recordings/{}.mp4", talk.id.as_str().expect("an id")));
    let file = studio.storage.file(key).expect("the file");
    assert_eq!(recording["bytes"], file.len());
    for party in ["alice", "bob"] {
        let seen = studio.see(&talk.id, &bearer(party)).await.expect(200);
        assert_eq!(fetch(&seen).await, (200, file.clone()), "{party}");
    }
    assert_eq!(studio.livekit.starts().len(), 1);
}

#[tokio::test]
async fn sound_is_recorded_with_the_parties_on_two_channels() {
    let studio = Studio::with("policy = \"service\"").await;
    let talk = studio.recorded().await;
    let starts = studio.livekit.starts();
    let request = &starts[0].body;
    assert_eq!(request["room_name"], talk.room);
    assert_eq!((&request["audio_only"], &request["audio_mixing"]), (&json!(true), &json!("DUAL_CHANNEL_ALTERNATE")));
    assert_eq!(request.get("layout"), None, "a layout needs a browser");
    let output = &request["file_outputs"][0];
    assert_eq!((&output["file_type"], &output["disable_manifest"]), (&json!("MP4"), &json!(true)));
}

#[tokio::test]
async fn sound_may_be_an_ogg_file() {
    let studio = Studio::with("policy = \"service\"\naudio_format = \"ogg\"").await;
    let talk = studio.recorded().await;
    let output = &studio.livekit.starts()[0].body["file_outputs"][0];
    assert_eq!(output["file_type"], "OGG");
    let key = studio.see(&talk.id, service_bearer()).await.expect(200)["file"]["key"].clone();
    assert_eq!(key, format!("recordings/{}.ogg", talk.id.as_str().expect("an id")));
    studio.end(&talk.id, service_bearer()).await.expect(200);
    studio.until(&talk.id, "erased").await;
    assert_eq!(studio.storage.deleted(), [key.as_str().expect("a key")]);
}

#[tokio::test]
async fn pictures_are_recorded_as_a_composite() {
    let studio = Studio::with("policy = \"service\"\nmedia = \"composite\"\nprefix = \"\"").await;
    let mut talk = studio.connected().await;
    studio.ask(&talk.id, service_bearer()).await.expect(202);
    let told = talk.both("call.recording_started").await;
    assert_eq!(told["data"], json!({"media": "composite"}));
    let starts = studio.livekit.starts();
    let request = &starts[0].body;
    assert_eq!((request.get("audio_only"), &request["layout"]), (None, &json!("grid")));
    assert_eq!(request["file_outputs"][0]["filepath"], format!("{}.mp4", talk.id.as_str().expect("an id")));
}

#[tokio::test]
async fn it_begins_once_both_are_connected_and_one_publishes() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.answered().await;
    let asked = studio.ask(&talk.id, &bearer("bob")).await.expect(202);
    assert_eq!(asked["state"], "requested");
    studio.livekit.joins(&talk.room, "alice", false).await;
    assert!(studio.livekit.requests("ListEgress").is_empty(), "one alone is not recorded");
    studio.livekit.joins(&talk.room, "bob", false).await;
    talk.both("call.connected").await;
    let asked_twice = |livekit: &super::LiveKit| livekit.requests("ListParticipants").len() >= 2;
    studio.livekit.until("it is asked who publishes", asked_twice).await;
    assert!(studio.livekit.starts().is_empty(), "nobody publishes");
    studio.livekit.publishes(&talk.room, "alice");
    talk.both("call.recording_started").await;
}

#[tokio::test]
async fn where_the_policy_says_always_every_call_is_recorded() {
    let studio = Studio::with("policy = \"always\"").await;
    let mut talk = studio.connected().await;
    let told = talk.both("call.recording_started").await;
    assert_eq!(told["data"], json!({"media": "audio"}), "nobody asked for it");
    assert_eq!(studio.see(&talk.id, &bearer("bob")).await.expect(200)["asked_by"], "policy");
    studio.hang_up(&talk.id).await;
    studio.until(&talk.id, "complete").await;
}

#[tokio::test]
async fn a_recording_is_stopped_and_the_call_goes_on() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    talk.both("call.recording_started").await;
    assert_eq!(studio.end(&talk.id, &bearer("bob")).await.expect(200)["state"], "stopping");
    talk.both("call.recording_stopped").await;
    studio.until(&talk.id, "complete").await;
    let call = studio.stage.call(&talk.id).await;
    assert_eq!((&call["state"], &call["recording"]), (&json!("active"), &json!("over")));
    // A call has one recording.
    studio.ask(&talk.id, &bearer("alice")).await.expect_problem(409, "recording-over");
    studio.hang_up(&talk.id).await;
    talk.both("call.ended").await;
}

#[tokio::test]
async fn a_link_is_good_for_its_time_and_made_anew_each_time() {
    let studio = Studio::with("policy = \"party\"\nlink_ttl = \"1m\"").await;
    let talk = studio.recorded().await;
    let old = studio.see(&talk.id, &bearer("alice")).await.expect(200);
    assert_eq!(fetch(&old).await.0, 200);
    studio.advance(Duration::from_secs(62));
    let (status, why) = fetch(&old).await;
    assert_eq!((status, String::from_utf8_lossy(&why).as_ref()), (403, "Request has expired"));
    let new = studio.see(&talk.id, &bearer("alice")).await.expect(200);
    assert_ne!(old["link"]["url"], new["link"]["url"]);
    assert_eq!(fetch(&new).await.0, 200);
    // It is for this file alone.
    let mut other = new.clone();
    other["link"]["url"] = new["link"]["url"].as_str().expect("a URL").replace(".mp4", "-2.mp4").into();
    assert_eq!(fetch(&other).await.0, 403);
}

#[tokio::test]
async fn the_backend_is_told_once_when_it_can_be_watched() {
    let backend = Receiver::start().await;
    let endpoint = format!(
        "[[webhooks]]\nurl = \"{}\"\nsecrets = [\"whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM=\"]\nevents = [\"recording.ready\"]\n",
        backend.url
    );
    let studio = Studio::and("policy = \"service\"", &endpoint).await;
    let talk = studio.recorded().await;
    let told = backend.wait_for(1, |told| told.kind() == "recording.ready").await;
    let data = &told[0].json["data"];
    let seen = studio.see(&talk.id, service_bearer()).await.expect(200);
    assert_eq!(
        (&data["call_id"], &data["key"], &data["bucket"]),
        (&talk.id, &seen["file"]["key"], &seen["file"]["bucket"])
    );
    for field in ["media", "duration_seconds", "bytes", "kept_until", "started_at", "ended_at"] {
        assert_eq!(data[field], seen[field], "{field}");
    }
    studio.end(&talk.id, service_bearer()).await.expect(200);
    studio.until(&talk.id, "erased").await;
    assert_eq!(backend.all().len(), 1);
}

#[tokio::test]
async fn it_outlives_the_call() {
    let studio = Studio::and("policy = \"party\"\nretention = \"90d\"", "[call]\nretention = \"20m\"\n").await;
    let talk = studio.recorded().await;
    studio.advance(Duration::from_mins(31));
    let gone = async {
        while studio.stage.http.get(&path(&talk.id, ""), &bearer("alice")).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(3 * crate::support::SOON, gone).await.expect("the call's record is removed");
    for party in ["alice", "bob"] {
        let seen = studio.see(&talk.id, &bearer(party)).await.expect(200);
        assert_eq!((&seen["state"], fetch(&seen).await.0), (&json!("complete"), 200), "{party}");
    }
    studio.see(&talk.id, &bearer("carol")).await.expect_problem(404, "call-not-found");
    studio.end(&talk.id, &bearer("carol")).await.expect_problem(404, "call-not-found");
    studio.end(&talk.id, &bearer("bob")).await.expect(200);
    studio.until(&talk.id, "erased").await;
}
