//! The three calls: one that is answered, one that nobody takes, one that is declined.

use serde_json::json;

use super::client::SOON;
use super::expect::{fcm_ring, in_time, same, voip_ring};
use super::play::{Play, Stopped};
use super::screen::Screen;
use super::seen::Check;
use super::stage::Stage;

impl<'a> Play<'a> {
    /// Plays all calls.
    pub(super) async fn all(stage: &'a Stage, screen: Screen) -> Result<Self, String> {
        let mut alice = stage.client.events(&stage.alice).await?;
        let snapshot = alice.next(SOON).await?;
        let mut play = Self::new(stage, screen, alice);
        let found = same(&[("type", snapshot["type"].as_str(), "snapshot")]);
        play.check("Alice's event stream begins with a snapshot", found);
        let played = play.every_call().await;
        if played.is_err() {
            play.close();
        }
        let found = played.map_err(|Stopped| "the play ended at the last check above".to_owned());
        play.checks.push(Check {
            name: "all three calls were played".to_owned(),
            ok: found.is_ok(),
            found: found.err(),
        });
        Ok(play)
    }

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
