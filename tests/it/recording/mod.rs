//! Recordings: from a party's wish to a file that can be watched again, and to its end.
//!
//! LiveKit and the storage are stand-ins on the wire (`livekit`, `s3`); `moto` tries the storage on a real S3 server.

mod erasing;
mod fleet;
pub mod livekit;
mod lost;
mod moto;
mod policy;
mod race;
pub mod s3;
mod trouble;
mod whole;

use std::time::Duration;

use bellwire::clock::Clock;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Reply, SOON, Sse, Stage, bearer, service_bearer};
use livekit::LiveKit;
use s3::S3;

/// A stage with a LiveKit and a storage.
struct Studio {
    stage: Stage,
    livekit: LiveKit,
    storage: S3,
}

/// A call under way.
struct Talk {
    id: Value,
    room: String,
    alice: Sse,
    bob: Sse,
}

impl Studio {
    /// With these lines in `[recording]`.
    async fn with(lines: &str) -> Self {
        Self::and(lines, "").await
    }

    /// As [`with`](Self::with), and with these sections beside it.
    async fn and(lines: &str, sections: &str) -> Self {
        // The gateway of a stage has a clock of its own; the storage reads the same one.
        let clock = Clock::system();
        let storage = S3::start(clock.clone()).await;
        let livekit = LiveKit::start(Some(storage.clone())).await;
        let extra = format!("{}[recording]\n{lines}\n{}{sections}", livekit.section(), storage.section());
        let stage = Stage::on_clock(clock, &extra).await;
        livekit.tells(stage.http.base());
        Self { stage, livekit, storage }
    }

    async fn ask(&self, id: &Value, token: &str) -> Reply {
        self.stage.http.post(&path(id, "recording"), token, json!({})).await
    }

    async fn see(&self, id: &Value, token: &str) -> Reply {
        self.stage.http.get(&path(id, "recording"), token).await
    }

    async fn end(&self, id: &Value, token: &str) -> Reply {
        self.stage.http.delete(&path(id, "recording"), token).await
    }

    async fn hang_up(&self, id: &Value) {
        self.stage.http.post(&path(id, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    }

    /// Alice calls Bob, who answers.
    async fn answered(&self) -> Talk {
        answered(&self.stage).await
    }

    /// As [`answered`](Self::answered), and both come into the room and publish.
    async fn connected(&self) -> Talk {
        let mut talk = self.answered().await;
        talk.meet(&self.livekit).await;
        talk
    }

    /// A call whose recording is complete.
    async fn recorded(&self) -> Talk {
        let mut talk = self.connected().await;
        self.ask(&talk.id, service_bearer()).await.expect(202);
        talk.both("call.recording_started").await;
        self.hang_up(&talk.id).await;
        self.until(&talk.id, "complete").await;
        talk
    }

    /// Waits until the recording of a call is in a state, and gives it as the backend sees it.
    async fn until(&self, id: &Value, state: &str) -> Value {
        until(&self.stage, id, state).await
    }

    fn advance(&self, by: Duration) {
        self.stage.clock.advance(by);
    }
}

/// Waits until the recording of a call is in a state at a gateway, and gives it as the backend sees it.
async fn until<G>(stage: &Stage<G>, id: &Value, state: &str) -> Value {
    let mut last = Value::Null;
    let waiting = async {
        loop {
            last = stage.http.get(&path(id, "recording"), service_bearer()).await.expect(200);
            if last["state"] == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let in_time = tokio::time::timeout(3 * SOON, waiting).await;
    assert!(in_time.is_ok(), "not {state}: {last}");
    last
}

async fn answered<G>(stage: &Stage<G>) -> Talk {
    let pixel = stage.pixel("bob", "pixel-1").await;
    let invited = stage.invite("alice", "bob").await;
    let id = invited["call"]["id"].clone();
    let room = invited["livekit"]["room"].as_str().expect("a room").to_owned();
    let (alice, _) = stage.events(&bearer("alice"), "").await;
    let (bob, _) = stage.events(&bearer("bob"), "").await;
    stage.answer(&pixel, &id).await;
    Talk { id, room, alice, bob }
}

impl Talk {
    /// Both come into the room and publish.
    async fn meet(&mut self, livekit: &LiveKit) {
        for party in ["alice", "bob"] {
            livekit.joins(&self.room, party, true).await;
        }
        self.both("call.connected").await;
    }

    /// Waits until both are told of something, and gives what Alice hears.
    async fn both(&mut self, kind: &str) -> Value {
        self.bob.until(kind, &self.id).await;
        self.alice.until(kind, &self.id).await
    }
}

/// What is behind a link.
async fn fetch(recording: &Value) -> (u16, Vec<u8>) {
    let url = recording["link"]["url"].as_str().unwrap_or_else(|| panic!("no link: {recording}"));
    let response = crate::support::plain_client().get(url).send().await.expect("an answer");
    (response.status().as_u16(), response.bytes().await.expect("bytes").to_vec())
}
