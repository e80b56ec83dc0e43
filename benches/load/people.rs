//! Callers and callees: their tokens and the requests that they make. Each callee has an iPhone and an Android phone, some a tablet too.

use std::sync::LazyLock;
use std::time::Duration;

use bellwire::domain::Timestamp;
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;
use serde_json::json;

use crate::Failure;
use crate::client::{Client, Request, Transport};
use crate::services::{APP, AUDIENCE, ISSUER, USER_SECRET};

/// Far in the future; the figures are none of expiry.
const EXPIRES_AT: u64 = 4_000_000_000;
const IPHONE: &str = "6d7f2c1e-iphone";
const PIXEL: &str = "0b9a4e35-pixel";
const TABLET: &str = "5e1d83b0-tablet";

static KEY: LazyLock<EncodingKey> = LazyLock::new(|| EncodingKey::from_secret(USER_SECRET.as_bytes()));

/// Two people of whom the first one calls the second.
pub struct Pair {
    callee: String,
    caller_token: String,
    callee_token: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    name: &'a str,
    exp: u64,
}

impl Pair {
    pub fn new(number: usize) -> Result<Self, Failure> {
        Self::calling(number, number)
    }

    /// A caller of their own for the callee of another pair.
    pub fn calling(caller: usize, callee: usize) -> Result<Self, Failure> {
        let callee = format!("auth0|callee-{callee:06}");
        let caller_token = token(&format!("auth0|caller-{caller:06}"))?;
        let callee_token = token(&callee)?;
        Ok(Self { callee, caller_token, callee_token })
    }

    /// Opens the callee's event stream.
    pub async fn listen(&self, client: &mut Client, transport: Transport) -> Result<(), Failure> {
        client.listen(&self.callee_token, transport).await
    }

    /// Registers as many of the callee's devices, at most three.
    pub async fn register(&self, client: &mut Client, devices: usize) -> Result<(), Failure> {
        let hex = |kind| data_encoding::HEXLOWER.encode(format!("{kind}/{:0>27}", self.callee).as_bytes());
        let iphone = json!({
            "platform": "ios", "app": APP, "voip_token": hex("voip"), "alert_token": hex("look"),
            "name": "iPhone", "locale": "en-GB", "app_version": "1.4.2",
        });
        let android = |kind, name| {
            json!({
                "platform": "android", "app": APP, "fcm_token": format!("{}:APA91b{}", hex(kind), "x".repeat(64)),
                "name": name, "locale": "en-GB", "app_version": "1.4.2",
            })
        };
        let all = [(IPHONE, iphone), (PIXEL, android("text", "Pixel")), (TABLET, android("slab", "Tablet"))];
        for (device, body) in all.into_iter().take(devices) {
            let (path, body) = (format!("/v1/devices/{device}"), body.to_string());
            client.send(Request { method: "PUT", path: &path, token: &self.callee_token, body: &body }, 200).await?;
        }
        Ok(())
    }

    /// Starts a call that rings for as long, and gives its id and until when it rings; nothing if the callee is busy.
    pub async fn try_invite(
        &self,
        client: &mut Client,
        ring_seconds: u64,
    ) -> Result<Option<(String, Timestamp)>, Failure> {
        let body = format!(
            r#"{{"callee":"{}","media":"video","ring_seconds":{ring_seconds},"metadata":{{"chat":"c-1881"}}}}"#,
            self.callee
        );
        let request = Request { method: "POST", path: "/v1/calls", token: &self.caller_token, body: &body };
        let answer = std::str::from_utf8(client.send(request, 201).await?)?;
        if answer.contains(r#""end_reason":"busy""#) {
            return Ok(None);
        }
        if !answer.contains(r#""state":"calling""#) {
            return Err(format!("a call that does not ring: {answer}").into());
        }
        Ok(Some((text(answer, "id")?.to_owned(), time(answer, "ring_until")?)))
    }

    /// As [`try_invite`](Self::try_invite), of a callee who must not be busy.
    pub async fn invite(&self, client: &mut Client, ring_seconds: u64) -> Result<(String, Timestamp), Failure> {
        Ok(self.try_invite(client, ring_seconds).await?.ok_or("the callee is busy")?)
    }

    /// How long after the end of its ring a call ended as timed out.
    pub async fn lateness(&self, client: &mut Client, call: &str) -> Result<Duration, Failure> {
        let path = format!("/v1/calls/{call}");
        let request = Request { method: "GET", path: &path, token: &self.caller_token, body: "" };
        let answer = std::str::from_utf8(client.send(request, 200).await?)?;
        if text(answer, "end_reason").ok() != Some("timed_out") {
            return Err(format!("a call that has not timed out: {answer}").into());
        }
        let (until, ended) = (time(answer, "ring_until")?, time(answer, "ended_at")?);
        if ended < until {
            return Err(format!("a call that ended too early: {answer}").into());
        }
        Ok(ended.since(until))
    }

    pub async fn alert(&self, client: &mut Client, call: &str) -> Result<(), Failure> {
        self.callee_does(client, call, "alerting").await
    }

    pub async fn answer(&self, client: &mut Client, call: &str) -> Result<(), Failure> {
        self.callee_does(client, call, "answer").await
    }

    pub async fn cancel(&self, client: &mut Client, call: &str) -> Result<(), Failure> {
        act(client, call, "cancel", &self.caller_token, "").await
    }

    pub async fn hang_up(&self, client: &mut Client, call: &str) -> Result<(), Failure> {
        act(client, call, "hangup", &self.caller_token, "").await
    }

    async fn callee_does(&self, client: &mut Client, call: &str, verb: &str) -> Result<(), Failure> {
        act(client, call, verb, &self.callee_token, &format!(r#"{{"device_id":"{IPHONE}"}}"#)).await
    }
}

async fn act(client: &mut Client, call: &str, verb: &str, token: &str, body: &str) -> Result<(), Failure> {
    let path = format!("/v1/calls/{call}/{verb}");
    client.send(Request { method: "POST", path: &path, token, body }, 200).await.map(drop)
}

/// The first text of this name in an answer. Reading all of the JSON would cost more than the rest of this program.
fn text<'a>(answer: &'a str, name: &str) -> Result<&'a str, Failure> {
    let (_, rest) = answer.split_once(&format!(r#""{name}":""#)).ok_or_else(|| format!("an answer without {name}"))?;
    Ok(rest.split('"').next().unwrap_or_default())
}

fn time(answer: &str, name: &str) -> Result<Timestamp, Failure> {
    let text = text(answer, name)?;
    Timestamp::parse_rfc3339(text).ok_or_else(|| format!("{name} is no time: {text}").into())
}

fn token(user: &str) -> Result<String, Failure> {
    let claims = Claims { iss: ISSUER, aud: AUDIENCE, sub: user, name: "Ann Example", exp: EXPIRES_AT };
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &KEY)?)
}
