//! A call between Alice and Bob: how it is begun, what each of them hears and is told, and what must be true of it at its end.

use std::path::Path;
use std::time::Duration;

use bellwire::domain::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::app::{AT_ONCE, App, at};
use crate::network::Network;
use crate::support::people::path;
use crate::support::{Http, Reply, Sse, bearer, rfc3339};
use crate::told::Told;
use crate::world::World;

/// By how many seconds the gateway's clock of the talk may differ from what the clients heard: it starts when both are in the room, and
/// they hear each other once the media flows; LiveKit tells of a departure in the order of a second.
const SLACK: f64 = 3.0;

/// One party of a call.
pub struct Side {
    pub user: &'static str,
    pub app: App,
    /// The tone that this one plays.
    pub hz: u32,
    /// What lets this one in.
    pub livekit: Value,
    /// With what this one speaks to the gateway: a session, or the ticket of the push.
    pub credential: String,
    events: Told,
    http: Http,
}

impl Side {
    async fn new(world: &World, user: &'static str, hz: u32) -> Self {
        let app = App::start(&world.python, user);
        let events = events_of(&world.stage.http, user).await;
        let http = world.stage.http.clone();
        Self { user, app, hz, livekit: Value::Null, credential: bearer(user), events, http }
    }

    /// Enters the room with the token at hand, and plays.
    pub async fn join(&mut self) {
        let url = self.livekit["url"].as_str().expect("a URL").to_owned();
        self.join_by(&url).await;
    }

    /// As [`join`](Self::join), on a network of their own.
    pub async fn join_by(&mut self, url: &str) {
        self.app.try_join(url, &self.livekit["token"]).await.expect("entered");
        self.app.play(self.hz);
    }

    /// Starts the app anew, gets a fresh token, and enters again.
    pub async fn come_back(&mut self, python: &Path, call: &Value) {
        self.app = App::start(python, self.user);
        self.livekit = self.ask(call, "token").await.expect(200)["livekit"].clone();
        self.join().await;
    }

    /// Leaves the room without hanging up, and gives when, in seconds.
    pub async fn leave(&mut self) -> f64 {
        self.app.leave();
        at(&self.app.tells("left", AT_ONCE).await)
    }

    /// Asks the gateway for something about the call.
    pub async fn ask(&self, call: &Value, verb: &str) -> Reply {
        self.http.post(&path(call, verb), &self.credential, json!({})).await
    }

    /// Waits until the gateway tells this one of an event.
    pub async fn is_told(&mut self, kind: &str, within: Duration) -> Value {
        self.events.until(kind, within, |event| event["type"] == kind).await
    }

    /// The types of all events so far.
    pub fn kinds(&self) -> Vec<String> {
        self.events.so_far().iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
    }
}

/// What a user's event stream tells after its snapshot.
async fn events_of(http: &Http, user: &str) -> Told {
    let mut stream = Sse::open(http, &bearer(user), "").await;
    let snapshot = stream.next().await;
    assert_eq!(snapshot["type"], "snapshot", "{snapshot}");
    let (teller, told) = Told::by(&format!("{user}'s event stream"));
    tokio::spawn(async move {
        while let Some(event) = stream.read().await {
            teller.send_modify(|all| all.push(event));
        }
    });
    told
}

/// A call that Bob has answered.
pub struct Talk {
    pub id: Value,
    pub room: String,
    pub alice: Side,
    pub bob: Side,
    /// When each heard the other, in seconds.
    pub heard_at: f64,
}

impl Talk {
    /// Alice calls, Bob's phone rings, and he answers. Nobody is in the room.
    pub async fn answered(world: &World) -> Self {
        let stage = &world.stage;
        let (mut alice, mut bob) = (Side::new(world, "alice", 440).await, Side::new(world, "bob", 660).await);
        let phone = stage.pixel("bob", "pixel-1").await;
        let invited = stage.invite("alice", "bob").await;
        let id = invited["call"]["id"].clone();
        alice.livekit = invited["livekit"].clone();
        bob.credential = stage.ring(&phone, &id).await;
        bob.livekit = bob.ask(&id, "answer").await.expect(200)["livekit"].clone();
        let room = alice.livekit["room"].as_str().expect("a room").to_owned();
        Self { id, room, alice, bob, heard_at: 0.0 }
    }

    /// As [`answered`](Self::answered), and both hear each other.
    pub async fn connected(world: &World) -> Self {
        let mut talk = Self::answered(world).await;
        tokio::join!(talk.alice.join(), talk.bob.join());
        talk.begins().await;
        talk
    }

    /// As [`connected`](Self::connected), with Bob on a network of his own.
    pub async fn connected_by(world: &World, bobs: &Network) -> Self {
        let mut talk = Self::answered(world).await;
        tokio::join!(talk.alice.join(), talk.bob.join_by(bobs.url()));
        talk.begins().await;
        talk
    }

    /// Waits until both hear each other and are told that they are connected.
    pub async fn begins(&mut self) {
        self.heard_at = self.hear_each_other().await;
        self.alice.is_told("call.connected", AT_ONCE).await;
        self.bob.is_told("call.connected", AT_ONCE).await;
    }

    /// Waits until each hears the other's tone, and gives when the later one did.
    pub async fn hear_each_other(&mut self) -> f64 {
        let (alices, bobs) = (self.alice.hz, self.bob.hz);
        let (alice, bob) = tokio::join!(self.alice.app.hears("bob", bobs), self.bob.app.hears("alice", alices));
        alice.max(bob)
    }

    /// Waits until neither hears the other, who both did until now.
    pub async fn hear_each_other_no_more(&mut self) {
        tokio::join!(self.alice.app.hears_no_more_of("bob"), self.bob.app.hears_no_more_of("alice"));
    }

    /// Waits until both apps tell of something that happens at once.
    pub async fn both_tell(&mut self, event: &str) {
        tokio::join!(self.alice.app.tells(event, AT_ONCE), self.bob.app.tells(event, AT_ONCE));
    }

    /// Waits until both are told of the end and both apps are out of the room; the room is gone then, and the call is as expected.
    pub async fn ends(&mut self, world: &World, reason: &str, within: Duration) -> Value {
        for side in [&mut self.alice, &mut self.bob] {
            let ended = side.is_told("call.ended", within).await;
            assert_eq!(ended["data"]["reason"], reason, "{ended}");
        }
        self.expect_no_room(world).await;
        let call = world.stage.call(&self.id).await;
        assert_eq!((&call["state"], &call["end_reason"]), (&json!("ended"), &json!(reason)), "{call}");
        assert_eq!(self.alice.kinds(), self.bob.kinds(), "both are told the same");
        call
    }

    /// Waits until LiveKit does not have the room any more.
    pub async fn expect_no_room(&self, world: &World) {
        let gone = world.livekit.until_it_has(&self.room, false);
        timeout(AT_ONCE, gone).await.expect("the room of an ended call is deleted");
    }

    /// Waits until LiveKit has the room.
    pub async fn expect_room(&self, world: &World) {
        let there = world.livekit.until_it_has(&self.room, true);
        timeout(AT_ONCE, there).await.expect("the room of a call is made");
    }

    /// For how many seconds one of them was away, as both were told.
    pub fn apart(&self) -> f64 {
        let (mut apart, mut away) = (0.0, None);
        for event in self.alice.events.so_far() {
            let at = seconds(rfc3339(&event["at"]));
            match event["type"].as_str() {
                Some("call.reconnecting") => away = away.or(Some(at)),
                Some("call.reconnected") => apart += away.take().map_or(0.0, |since| at - since),
                _ => {}
            }
        }
        apart
    }

    /// Checks that both were told exactly this, in this order.
    pub fn expect_events(&self, after_the_answer: &[&str]) {
        let kinds = self.alice.kinds();
        let all = [&["call.invited", "call.ringing", "call.answered"], after_the_answer].concat();
        assert_eq!(kinds, all);
    }

    /// Checks the times of an ended call: they talked from when both heard each other until `over`, but for `apart`, in seconds.
    pub fn expect_talk(&self, call: &Value, over: f64, apart: f64) {
        let heard = over - self.heard_at - apart;
        let counted = call["statistics"]["talk_ms"].as_f64().expect("talk time") / 1000.0;
        assert!((counted - heard).abs() <= SLACK, "{counted} s were counted and {heard} s were heard: {call}");
        assert_eq!(call["talk_seconds"].as_f64(), Some(counted.floor()), "{call}");
        assert_eq!(call["peak_participants"], 2, "{call}");
        let times = ["created_at", "ringing_at", "answered_at", "connected_at", "ended_at"];
        assert!(times.map(|name| rfc3339(&call[name])).is_sorted(), "{call}");
    }
}

/// A time of the gateway in seconds, as the apps tell theirs.
pub fn seconds(time: Timestamp) -> f64 {
    std::time::Duration::from_millis(time.as_millis()).as_secs_f64()
}

/// Checks how often the parties of an ended call came back, and LiveKit's reasons why whoever left did.
pub fn expect_returns(call: &Value, reconnects: u32, reasons: &[(&str, &str)]) {
    let reasons = reasons.iter().map(|(user, reason)| json!({"user": user, "reasons": [reason]}));
    let seen = &call["statistics"];
    assert_eq!((&seen["reconnects"], &seen["disconnects"]), (&json!(reconnects), &reasons.collect()), "{call}");
}
