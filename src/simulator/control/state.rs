//! The rest of the control port: where everything is, what the simulator knows of tokens and keys, and starting anew.

use std::sync::atomic::Ordering;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::ask::{Ask, field};
use super::reply::{Page, Refusal, bad, done, expected, ok, refuse, reply};
use crate::domain::{Environment, Timestamp};
use crate::simulator::rule::Moment;
use crate::simulator::{Shared, apns, credentials};

const MAX_TOKENS: usize = 100_000;
const MAX_TOKEN_BYTES: usize = 4096;
const MAX_KEYS: usize = 100;
const ENVIRONMENT: &str = "production or sandbox";
const MOMENT: &str = "a time such as 2026-01-31T12:00:00Z, or a duration from now such as 10s";

pub(super) fn about(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    let credentials = &shared.keys.credentials;
    Ok(ok(&json!({
        "apns": shared.urls.apns,
        "apns_sandbox": shared.urls.sandbox,
        "fcm": shared.urls.fcm,
        "team_id": credentials.apns_team_id,
        "key_id": credentials.apns_key_id,
        "project_id": credentials.fcm_project_id,
        "requests": shared.log.count(),
        "connections": shared.connections.load(Ordering::Relaxed),
        "paths": ["/", "/reset", "/rules", "/requests", "/counts", "/tokens", "/apns-keys", "/access-tokens"],
    })))
}

pub(super) fn reset(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    shared.reset();
    Ok(done())
}

pub(super) fn tokens(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    let shown = |(token, known): (String, super::super::device::Known)| {
        json!({
            "token": token,
            "unregistered_since": known.unregistered.map(Timestamp::rfc3339),
            "environment": known.environment.map(Environment::as_str),
        })
    };
    let tokens: Vec<Value> = shared.devices.all().into_iter().map(shown).collect();
    Ok(ok(&json!({ "tokens": tokens })))
}

pub(super) fn put_token(ask: &Ask, token: &str, shared: &Shared) -> Result<Response<Page>, Refusal> {
    let fields = ask.fields_of(&["unregistered_since", "environment"])?;
    let since = |text: &str| if text == "now" { Some(shared.clock.now()) } else { Timestamp::parse_rfc3339(text) };
    let since = field(&fields, "unregistered_since", "now, or a time such as 2026-01-31T12:00:00Z", since)?;
    let environment = field(&fields, "environment", ENVIRONMENT, environment)?;
    if since.is_none() && environment.is_none() {
        return Err(bad("body", "expected unregistered_since, environment, or both"));
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(bad("token", format!("expected at most {MAX_TOKEN_BYTES} bytes")));
    }
    if shared.devices.count() >= MAX_TOKENS && !shared.devices.knows(token) {
        return Err(refuse(StatusCode::CONFLICT, "tokens", format!("there may be at most {MAX_TOKENS}")));
    }
    if let Some(since) = since {
        shared.devices.unregister(token, since);
    }
    if let Some(environment) = environment {
        shared.devices.belongs_to(token, environment);
    }
    Ok(done())
}

pub(super) fn forget_token(ask: &Ask, token: &str, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    let is_known = shared.devices.forget(token);
    let unknown = || refuse(StatusCode::NOT_FOUND, "token", "nothing was said of this token");
    is_known.then(done).ok_or_else(unknown)
}

pub(super) fn keys(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    let keys: Vec<Value> = shared.apns_keys.all().iter().map(shown).collect();
    Ok(ok(&json!({ "apns_keys": keys })))
}

/// Makes a key, whose private half is then in the answer, or says anew when and where one is good.
pub(super) fn put_key(ask: &Ask, id: &str, shared: &Shared) -> Result<Response<Page>, Refusal> {
    if id.len() != 10 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(expected("id", "ten letters and digits, as Apple's are", id));
    }
    let fields = ask.fields_of(&["environment", "from", "until"])?;
    let now = shared.clock.now();
    let moment = |text: &str| Moment::parse(text).map(|moment| moment.seen_from(now));
    let (from, until) = (field(&fields, "from", MOMENT, moment)?, field(&fields, "until", MOMENT, moment)?);
    let environment = field(&fields, "environment", ENVIRONMENT, environment)?;
    let known = shared.apns_keys.all();
    if let Some(key) = known.iter().find(|key| key.id == id) {
        let key = apns::Key { environment, from, until, ..key.clone() };
        let said = shown(&key);
        shared.apns_keys.put(key);
        return Ok(ok(&said));
    }
    if known.len() >= MAX_KEYS {
        return Err(refuse(StatusCode::CONFLICT, "apns_keys", format!("there may be at most {MAX_KEYS}")));
    }
    let made = credentials::make_apns_key(id);
    let (pem, key) = made.map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, "id", error.to_string()))?;
    let key = apns::Key { environment, from, until, ..key };
    let mut said = shown(&key);
    said["key_pem"] = pem.into();
    shared.apns_keys.put(key);
    Ok(reply(StatusCode::CREATED, &said))
}

pub(super) fn revoke_access_tokens(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    shared.access_tokens.revoke();
    Ok(done())
}

fn environment(text: &str) -> Option<Environment> {
    [Environment::Production, Environment::Sandbox].into_iter().find(|environment| environment.as_str() == text)
}

fn shown(key: &apns::Key) -> Value {
    json!({
        "key_id": key.id,
        "environment": key.environment.map(Environment::as_str),
        "from": key.from.map(Timestamp::rfc3339),
        "until": key.until.map(Timestamp::rfc3339),
    })
}
