//! Calls and LiveKit: rooms, who is in them, webhooks, the sweep; on a LiveKit that does as it is told.
//!
//! The real server is in `livekit_server`.

mod failures;
mod presence;
mod rooms;
mod sweep;
mod webhooks;

use serde_json::{Value, json};

use crate::support::livekit_fake::FakeLiveKit;
use crate::support::people::path;
use crate::support::{Device, Stage, bearer};

/// Alice, Bob with an iPhone, and a LiveKit that shares their clock.
struct Scene {
    stage: Stage,
    livekit: FakeLiveKit,
    iphone: Device,
}

/// A call between the two.
struct Call {
    id: Value,
    room: String,
}

impl Scene {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With these lines in `[livekit]` and after it.
    async fn with(extra: &str) -> Self {
        let clock = bellwire::clock::Clock::system();
        let livekit = FakeLiveKit::start(&clock).await;
        let stage = Stage::on_clock(clock, &format!("{}{extra}", livekit.section())).await;
        let iphone = stage.iphone("bob", "iphone-1").await;
        Self { stage, livekit, iphone }
    }

    async fn invite(&self) -> Call {
        let answer = self.stage.invite("alice", "bob").await;
        let room = answer["livekit"]["room"].as_str().expect("a room").to_owned();
        Call { id: answer["call"]["id"].clone(), room }
    }

    /// A call that Bob has answered, whose room is there.
    async fn answered(&self) -> Call {
        let call = self.invite().await;
        self.stage.answer(&self.iphone, &call.id).await;
        self.livekit.until("made", |livekit| livekit.room(&call.room).is_some()).await;
        call
    }

    /// A call with both in the room; their sessions.
    async fn connected(&self) -> (Call, [String; 2]) {
        let call = self.answered().await;
        let alice = self.stage.comes(&self.livekit, &call.room, "alice").await;
        let bob = self.stage.comes(&self.livekit, &call.room, "bob").await;
        self.stage.event("alice", "call.connected", &call.id).await;
        (call, [alice, bob])
    }

    /// The same where nobody makes rooms but who joins.
    async fn connected_without_room(&self) -> (Call, [String; 2]) {
        let call = self.invite().await;
        self.stage.answer(&self.iphone, &call.id).await;
        let alice = self.stage.comes(&self.livekit, &call.room, "alice").await;
        let bob = self.stage.comes(&self.livekit, &call.room, "bob").await;
        (call, [alice, bob])
    }

    async fn hang_up(&self, call: &Call) {
        self.stage.http.post(&path(&call.id, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    }

    /// The state of a call, and why it ended.
    async fn state(&self, call: &Call) -> String {
        let call = self.stage.call(&call.id).await;
        let word = |key: &str| call[key].as_str().map(str::to_owned);
        word("end_reason").or_else(|| word("state")).expect("a state")
    }

    /// Whether there is something left to do for a call.
    async fn has_tasks(&self, call: &Call) -> bool {
        let id = bellwire::domain::CallId::parse(call.id.as_str().expect("an id")).expect("an id");
        let call = self.stage.gateway.engine.call(id, &bellwire::engine::Asker::Service).await.expect("the call");
        !call.tasks.is_empty()
    }

    /// What readiness says of LiveKit.
    async fn health(&self) -> (bool, String) {
        let reply = self.stage.http.get("/readyz", "").await;
        let parts = reply.expect(200)["parts"].take();
        let part = parts.as_array().expect("parts").iter().find(|part| part["name"] == "livekit").expect("LiveKit");
        (part["ok"] == true, part["detail"].as_str().expect("words").to_owned())
    }
}
