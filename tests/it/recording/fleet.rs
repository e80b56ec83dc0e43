//! Several gateways on one Redis: whichever is asked, told or left alone, there is one recording.

use std::time::Duration;

use bellwire::clock::Clock;
use serde_json::json;

use super::livekit::{Fault, LiveKit};
use super::s3::S3;
use super::{answered, fetch, until};
use crate::support::people::path;
use crate::support::redis::RedisServer;
use crate::support::{Fleet, bearer};

async fn gateways() -> Option<(Fleet, LiveKit)> {
    let server = RedisServer::shared().await?;
    let storage = S3::start(Clock::system()).await;
    let livekit = LiveKit::start(Some(storage.clone())).await;
    let extra = format!("{}[recording]\npolicy = \"party\"\n{}", livekit.section(), storage.section());
    let fleet = Fleet::with(&server.url(), 2, &extra).await;
    (0..2).for_each(|gateway| livekit.tells(fleet[gateway].http.base()));
    Some((fleet, livekit))
}

#[tokio::test]
async fn asked_of_both_at_once_there_is_one_recording() {
    let Some((fleet, livekit)) = gateways().await else { return };
    let mut talk = answered(&fleet[0]).await;
    talk.meet(&livekit).await;
    let ask = |gateway: usize, who| {
        let (http, path, token) = (fleet[gateway].http.clone(), path(&talk.id, "recording"), bearer(who));
        async move { http.post(&path, &token, json!({})).await.status }
    };
    let mut statuses = [0; 2];
    (statuses[0], statuses[1]) = tokio::join!(ask(0, "alice"), ask(1, "bob"));
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 202]);
    talk.both("call.recording_started").await;
    fleet[1].http.post(&path(&talk.id, "hangup"), &bearer("bob"), json!({})).await.expect(200);
    let recording = until(&fleet[1], &talk.id, "complete").await;
    assert_eq!((livekit.starts().len(), fetch(&recording).await.0), (1, 200));
}

#[tokio::test]
async fn one_takes_up_what_another_hangs_on_between_start_and_answer() {
    let Some((fleet, livekit)) = gateways().await else { return };
    let mut talk = answered(&fleet[0]).await;
    talk.meet(&livekit).await;
    livekit.mute(true);
    livekit.fault("StartRoomCompositeEgress", Fault::LoseAnswer);
    fleet[0].http.post(&path(&talk.id, "recording"), &bearer("alice"), json!({})).await.expect(202);
    livekit.until("it is started", |livekit| !livekit.egresses().is_empty()).await;
    // To the other one its lease has passed.
    fleet[1].clock.advance(Duration::from_secs(40));
    talk.both("call.recording_started").await;
    // What the first one hears at last, that nobody answered, changes nothing.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(until(&fleet[0], &talk.id, "active").await["problem"], json!(null));
    fleet[0].http.post(&path(&talk.id, "hangup"), &bearer("bob"), json!({})).await.expect(200);
    until(&fleet[0], &talk.id, "complete").await;
    assert_eq!((livekit.starts().len(), livekit.egresses().len()), (1, 1));
}
