//! The three calls: one that is answered, one that nobody takes, one that is declined.

use serde_json::json;

use super::client::{Events, SOON};
use super::expect::{fcm_ring, in_time, same, voip_ring};
use super::play::{Play, Stopped};
use super::screen::Screen;
use super::seen::Seen;
use super::stage::Stage;

/// Plays all calls.
pub(super) async fn play(stage: &Stage, screen: Screen) -> Seen {
    let mut seen = Seen::default();
    let alice = begin(stage).await;
    seen.check("Alice's event stream begins with a snapshot", alice.as_ref().map(drop).map_err(Clone::clone));
    let Ok(alice) = alice else { return seen };
    let mut play = Play::new(stage, screen, alice, seen);
    let played = play.every_call().await;
    if played.is_err() {
        play.close();
    }
    let found = played.map_err(|Stopped| "a call could not go on".to_owned());
    play.seen.check("all three calls were played", found);
    play.seen
}

async fn begin(stage: &Stage) -> Result<Events, String> {
    let mut alice = stage.client.events(&stage.alice).await?;
    let snapshot = alice.next(SOON).await?;
    same(&[("type", snapshot["type"].as_str(), "snapshot")])?;
    Ok(alice)
}

impl Play<'_> {
    async fn every_call(&mut self) -> Result<(), Stopped> {
        self.answered_call().await?;
        self.missed_call().await?;
        self.declined_call().await
    }

    async fn answered_call(&mut self) -> Result<(), Stopped> {
        let (iphone, pixel) = (&self.stage.iphone, &self.stage.pixel);
        self.open("Alice calls Bob (video), the iPhone answers, the Pixel stops ringing");
        let invited = self.invite(&json!({"callee": "bob", "media": "video"})).await?;
        self.livekit("Alice", "alice", &invited);
        let (ring, ticket) = self.ring_push(iphone).await?;
        self.screen.push(self.since(ring.at), iphone.name, &ring, "ring");
        self.check("the ring to Bob's iPhone is a VoIP push of highest priority", voip_ring(&ring));
        let (ring, pixels_ticket) = self.ring_push(pixel).await?;
        self.screen.push(self.since(ring.at), pixel.name, &ring, "ring");
        self.check("the ring to Bob's Pixel is a data message of high priority", fcm_ring(&ring));
        self.accepted().await?;
        self.device(iphone, "alerting", &ticket, &json!({})).await?;
        self.event("call.ringing").await?;
        let answered = self.device(iphone, "answer", &ticket, &json!({})).await?;
        let by = same(&[("answered_by", answered["call"]["answered_by"].as_str(), iphone.id)]);
        self.check("the answer says which phone has the call", by);
        let rooms = same(&[(
            "room",
            answered["livekit"]["room"].as_str(),
            invited["livekit"]["room"].as_str().unwrap_or_default(),
        )]);
        self.check("both are let into the same room", rooms);
        self.event("call.answered").await?;
        self.livekit("Bob", "bob", &answered);
        let cancel = self.cancel_push(pixel, "answered_elsewhere").await?;
        self.screen.push(self.since(cancel.at), pixel.name, &cancel, "cancel");
        self.late_answer(pixel, &pixels_ticket).await;
        self.hang_up().await?;
        self.ended("completed").await?;
        self.close();
        Ok(())
    }

    async fn missed_call(&mut self) -> Result<(), Stopped> {
        let (iphone, pixel) = (&self.stage.iphone, &self.stage.pixel);
        self.open("Alice calls Bob (audio, ring_seconds 5), and nobody takes it");
        let invited = self.invite(&json!({"callee": "bob", "media": "audio", "ring_seconds": 5})).await?;
        for phone in [iphone, pixel] {
            let (ring, _) = self.ring_push(phone).await?;
            self.screen.push_line(self.since(ring.at), phone.name, &ring, "ring");
        }
        self.accepted().await?;
        self.screen.line("               (the ring lasts five seconds, which pass in real time)");
        self.ended("timed_out").await?;
        let ended = self.now.call["ended_at"].as_str();
        let in_time = in_time(invited["call"]["ring_until"].as_str(), ended);
        self.check("it ends when the ring ends, never before and at most 2 s later", in_time);
        let cancel = self.cancel_push(iphone, "timed_out").await?;
        self.screen.push_line(self.since(cancel.at), iphone.name, &cancel, "cancel (timed_out)");
        for phone in [iphone, pixel] {
            let missed = self.missed_push(phone).await?;
            self.screen.push(self.since(missed.at), phone.name, &missed, "missed call");
        }
        self.close();
        Ok(())
    }

    async fn declined_call(&mut self) -> Result<(), Stopped> {
        let (iphone, pixel) = (&self.stage.iphone, &self.stage.pixel);
        self.open("Alice calls Bob (audio), and the Pixel declines");
        self.invite(&json!({"callee": "bob", "media": "audio"})).await?;
        let (ring, _) = self.ring_push(iphone).await?;
        self.screen.push_line(self.since(ring.at), iphone.name, &ring, "ring");
        let (ring, ticket) = self.ring_push(pixel).await?;
        self.screen.push_line(self.since(ring.at), pixel.name, &ring, "ring");
        self.accepted().await?;
        self.device(pixel, "alerting", &ticket, &json!({})).await?;
        self.event("call.ringing").await?;
        self.device(pixel, "decline", &ticket, &json!({"reason": "declined"})).await?;
        self.event("call.declined").await?;
        self.ended("declined").await?;
        let cancel = self.cancel_push(iphone, "declined_elsewhere").await?;
        self.screen.push(self.since(cancel.at), iphone.name, &cancel, "cancel");
        self.close();
        Ok(())
    }
}
