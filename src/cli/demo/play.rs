//! What happens on the stage, step by step: each verb does one thing over HTTP or waits for one on the wire, shows it,
//! and checks it. Which calls are played is in `scenes`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Events, SOON};
use super::expect::{joins, livekit_claims, same};
use super::screen::Screen;
use super::seen::{CallSeen, Mark, Moment, Seen, push_data};
use super::stage::{Phone, Stage};
use crate::cli::explain::devices;
use crate::domain::{Platform, Timestamp};
use crate::simulator::Received;

/// How often the backend looks whether the pushes were accepted.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The calls so far and the one that is going on.
pub(super) struct Play<'a> {
    pub(super) stage: &'a Stage,
    pub(super) screen: Screen,
    pub(super) seen: Seen,
    alice: Events,
    pub(super) now: CallSeen,
    /// When the invite was sent.
    began: Timestamp,
    /// The call's id, or nothing before it has one.
    id: String,
}

/// Something was not seen without which the play cannot go on.
pub(super) struct Stopped;

impl<'a> Play<'a> {
    pub(super) fn new(stage: &'a Stage, screen: Screen, alice: Events, seen: Seen) -> Self {
        let (now, began, id) = (CallSeen::default(), stage.clock.now(), String::new());
        Self { stage, screen, seen, alice, now, began, id }
    }

    /// Begins a call.
    pub(super) fn open(&mut self, title: &'static str) {
        let number = self.seen.calls.len() + 1;
        self.now = CallSeen { number, title, ..CallSeen::default() };
        self.id.clear();
        self.screen.call(number, title);
    }

    /// Ends it.
    pub(super) fn close(&mut self) {
        self.seen.calls.push(std::mem::take(&mut self.now));
    }

    /// Notes whether something of this call was seen as it must be.
    pub(super) fn check(&mut self, name: &str, result: Result<(), String>) {
        self.seen.check(format!("call {}: {name}", self.now.number), result);
    }

    /// The same for what the play needs to go on.
    pub(super) fn need<T>(&mut self, name: &str, result: Result<T, String>) -> Result<T, Stopped> {
        match result {
            Ok(value) => {
                self.check(name, Ok(()));
                Ok(value)
            }
            Err(found) => {
                self.check(name, Err(found));
                Err(Stopped)
            }
        }
    }

    fn mark(&mut self, what: Moment, at: Timestamp) -> u64 {
        let ms = self.since(at);
        self.now.timeline.push(Mark { what, ms });
        ms
    }

    pub(super) fn since(&self, at: Timestamp) -> u64 {
        crate::domain::time::millis(at.since(self.began))
    }

    fn ms(&self) -> u64 {
        self.since(self.stage.clock.now())
    }

    /// Sends somebody's request about the call, without judging the answer.
    async fn post(&self, who: &str, verb: &str, token: &str, body: &Value) -> Result<(u16, Value), String> {
        let path = format!("/v1/calls/{}/{verb}", self.id);
        let reply = self.stage.client.send(Method::POST, &path, token, Some(body)).await?;
        self.screen.step(self.ms(), who, &format!("POST …/{verb} {body}: {}", reply.status));
        Ok((reply.status, reply.body))
    }

    async fn post_ok(&self, who: &str, verb: &str, token: &str, body: &Value) -> Result<Value, String> {
        match self.post(who, verb, token, body).await? {
            (200, body) => Ok(body),
            (status, body) => Err(format!("POST {verb} was answered {status} {}", body["code"])),
        }
    }

    /// Alice calls Bob; gives the answer's body.
    pub(super) async fn invite(&mut self, body: &Value) -> Result<Value, Stopped> {
        self.began = self.stage.clock.now();
        self.now.invited_at = self.began.rfc3339();
        self.mark(Moment::InviteSent, self.began);
        let reply = self.stage.client.send(Method::POST, "/v1/calls", &self.stage.alice, Some(body)).await;
        let answer = reply.and_then(|reply| reply.expect(201));
        let answer = self.need("the invite is answered 201", answer)?;
        let ms = self.mark(Moment::InviteAnswered, self.stage.clock.now());
        answer["call"]["id"].as_str().unwrap_or_default().clone_into(&mut self.id);
        self.screen.step(ms, "Alice", &format!("POST /v1/calls {body}: 201, call {}", self.id));
        self.event("call.invited").await?;
        Ok(answer)
    }

    /// Waits for the ring at a phone, and gives the ticket in it.
    pub(super) async fn ring_push(&mut self, phone: &Phone) -> Result<(Arc<Received>, String), Stopped> {
        let push = self.push("ring", phone, &phone.ring_token).await?;
        let is_iphone = phone.platform == Platform::Ios;
        self.mark(if is_iphone { Moment::RingToIphone } else { Moment::RingToPixel }, push.at);
        let ticket = push_data(&push)["ticket"].as_str().map(str::to_owned).ok_or_else(|| "no ticket".to_owned());
        let ticket = self.need(&format!("the ring to {} carries a ticket", phone.name), ticket)?;
        Ok((push, ticket))
    }

    /// Waits for the push that stops the ring of a phone.
    pub(super) async fn cancel_push(&mut self, phone: &Phone, reason: &str) -> Result<Arc<Received>, Stopped> {
        let push = self.push("cancel", phone, &phone.notice_token).await?;
        let is_iphone = phone.platform == Platform::Ios;
        self.mark(if is_iphone { Moment::CancelToIphone } else { Moment::CancelToPixel }, push.at);
        let found = same(&[("reason", push_data(&push)["reason"].as_str(), reason)]);
        self.check(&format!("{} is told \"{reason}\"", phone.name), found);
        Ok(push)
    }

    /// Waits for the push that tells a phone of a missed call.
    pub(super) async fn missed_push(&mut self, phone: &Phone) -> Result<Arc<Received>, Stopped> {
        let push = self.push("missed", phone, &phone.notice_token).await?;
        let is_iphone = phone.platform == Platform::Ios;
        self.mark(if is_iphone { Moment::MissedToIphone } else { Moment::MissedToPixel }, push.at);
        Ok(push)
    }

    /// Waits for an accepted push of a type about this call; and gives it.
    async fn push(&mut self, kind: &str, phone: &Phone, token: &str) -> Result<Arc<Received>, Stopped> {
        let id = self.id.clone();
        let is_meant = |push: &Received| {
            let data = push_data(push);
            push.target.as_deref() == Some(token) && data["type"] == kind && data["call_id"] == id
        };
        let log = self.stage.simulator.log();
        let found = log.wait_for(SOON, |push| is_meant(push) && push.status == 200).await;
        let found = found.ok_or_else(|| match log.all().iter().rev().find(|push| is_meant(push)) {
            Some(push) => format!("answered {} {}", push.status, push.reason.as_deref().unwrap_or_default()),
            None => "no such push on the wire".to_owned(),
        });
        self.need(&format!("a {kind} push to {} is accepted on the wire", phone.name), found)
    }

    /// Looks, as the app's backend, until the gateway has noted that both rings were accepted.
    pub(super) async fn accepted(&mut self) -> Result<(), Stopped> {
        let noted = tokio::time::timeout(SOON, async {
            loop {
                let call = self.read(&self.stage.service).await?;
                let legs = call["legs"].as_array().map(Vec::as_slice).unwrap_or_default();
                if legs.len() == 2 && legs.iter().all(|leg| leg["state"] == "sent") {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        let noted = noted.await.unwrap_or_else(|_| Err("not within 10 s".to_owned()));
        self.need("both rings are noted as accepted (leg state \"sent\")", noted)?;
        self.mark_receipts().await;
        self.screen.step(self.ms(), "gateway", "both legs are \"sent\": the providers accepted");
        Ok(())
    }

    /// When the providers accepted, as the gateway explains it to the backend.
    async fn mark_receipts(&mut self) {
        let path = format!("/v1/calls/{}/explain", self.id);
        let explanation = self.stage.client.send(Method::GET, &path, &self.stage.service, None).await;
        let Ok(explanation) = explanation.and_then(|reply| reply.expect(200)) else { return };
        for device in devices(&explanation) {
            let what = if device["platform"] == "ios" { Moment::ApnsAccepted } else { Moment::FcmAccepted };
            if let Some(at) = device["sent"]["at"].as_str().and_then(Timestamp::parse_rfc3339) {
                self.mark(what, at);
            }
        }
    }

    /// A phone does something with the ticket of its push; gives the answer's body.
    pub(super) async fn device(
        &mut self,
        phone: &Phone,
        verb: &str,
        ticket: &str,
        body: &Value,
    ) -> Result<Value, Stopped> {
        let answer = self.post_ok(phone.name, verb, ticket, body).await;
        self.need(&format!("{}'s {verb} by the ticket of its push is answered 200", phone.name), answer)
    }

    /// Alice hangs up.
    pub(super) async fn hang_up(&mut self) -> Result<(), Stopped> {
        let answer = self.post_ok("Alice", "hangup", &self.stage.alice, &json!({})).await;
        self.need("Alice's hangup is answered 200", answer).map(drop)
    }

    /// The next event on Alice's stream, which must be this one, with the next number.
    pub(super) async fn event(&mut self, kind: &str) -> Result<Value, Stopped> {
        let event = self.alice.next(SOON).await;
        let event = self.need(&format!("Alice's event stream says {kind}"), event)?;
        let at = event["at"].as_str().and_then(Timestamp::parse_rfc3339);
        let seq = self.now.events.len() + 1;
        let found = same(&[
            ("type", event["type"].as_str(), kind),
            ("call_id", event["call_id"].as_str(), &self.id),
            ("seq", Some(&event["seq"].to_string()), &seq.to_string()),
        ]);
        let at = found.and(at.ok_or_else(|| "no time".to_owned()));
        let at = self.need(&format!("{kind} is number {seq} of this call"), at)?;
        let moment = match kind {
            "call.ringing" => Some(Moment::Alerting),
            "call.answered" => Some(Moment::Answered),
            "call.declined" => Some(Moment::Declined),
            "call.ended" => Some(Moment::Ended),
            _ => None,
        };
        if let Some(moment) = moment {
            self.mark(moment, at);
        }
        let mut shown = event["data"].clone();
        if let Some(data) = shown.as_object_mut() {
            data.remove("call");
        }
        self.screen.step(self.since(at), "Alice", &format!("event stream, number {seq}: {kind} {shown}"));
        self.now.events.push(event.clone());
        Ok(event)
    }

    /// The end, on Alice's stream and as she reads the call afterwards.
    pub(super) async fn ended(&mut self, reason: &str) -> Result<(), Stopped> {
        let event = self.event("call.ended").await?;
        let found = same(&[("reason", event["data"]["reason"].as_str(), reason)]);
        self.check(&format!("the event says \"{reason}\""), found);
        let call = self.read(&self.stage.alice).await;
        self.now.call = self.need("Alice can read the call after its end", call)?;
        let call = &self.now.call;
        let found =
            same(&[("state", call["state"].as_str(), "ended"), ("end_reason", call["end_reason"].as_str(), reason)]);
        self.check(&format!("the call has ended as \"{reason}\""), found);
        Ok(())
    }

    async fn read(&self, token: &str) -> Result<Value, String> {
        let path = format!("/v1/calls/{}", self.id);
        self.stage.client.send(Method::GET, &path, token, None).await?.expect(200)
    }

    /// Shows and checks the LiveKit token in an answer.
    pub(super) fn livekit(&mut self, name: &str, user: &str, answer: &Value) {
        let claims = livekit_claims(answer, self.stage.config.livekit.api_secret.reveal());
        let room = answer["livekit"]["room"].as_str().unwrap_or_default();
        let found = claims.as_ref().map_err(Clone::clone).and_then(|claims| joins(claims, user, room));
        self.check(&format!("{name} has a LiveKit token, signed, for this room"), found);
        if let Ok(claims) = claims {
            self.screen.step(self.ms(), name, "may join LiveKit by a token with these claims:");
            self.screen.fields(&claims);
            self.now.livekit.push(claims);
        }
    }

    /// The late answer of a phone that another one was quicker than.
    pub(super) async fn late_answer(&mut self, phone: &Phone, ticket: &str) {
        let found = self.post(phone.name, "answer", ticket, &json!({})).await.and_then(|(status, body)| {
            let status = status.to_string();
            same(&[("status", Some(&status), "409"), ("code", body["code"].as_str(), "answered-elsewhere")])
        });
        self.check(&format!("{}'s late answer is refused", phone.name), found);
    }
}
