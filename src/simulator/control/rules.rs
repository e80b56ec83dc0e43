//! Rules by the control port: put, listed, removed.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::ask::Ask;
use super::reply::{Page, Refusal, done, ok, refuse, reply};
use crate::simulator::Shared;
use crate::simulator::rule::Rule;
use crate::simulator::rules::{Entry, Origin};

/// Each costs time with every request.
const MAX_RULES: usize = 1000;

pub(super) fn list(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    let rules: Vec<Value> = shared.rules.all().iter().map(shown).collect();
    Ok(ok(&json!({ "rules": rules })))
}

pub(super) fn get(ask: &Ask, id: &str, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    find(id, shared).map(|rule| ok(&rule))
}

pub(super) fn add(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    place(Rule::from_fields(ask.fields()?)?, shared)
}

pub(super) fn put(ask: &Ask, id: &str, shared: &Shared) -> Result<Response<Page>, Refusal> {
    let fields = ask.fields()?;
    if let Some((_, other)) = fields.iter().find(|(name, other)| name == "id" && other != id) {
        return Err(super::reply::expected("id", "the id of the path, or none", other));
    }
    place(Rule::from_fields(fields)?.named(id)?, shared)
}

pub(super) fn remove(ask: &Ask, id: &str, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    if shared.rules.remove(id) { Ok(done()) } else { Err(unknown()) }
}

pub(super) fn clear(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    shared.rules.clear();
    Ok(done())
}

fn place(rule: Rule, shared: &Shared) -> Result<Response<Page>, Refusal> {
    if shared.rules.count() >= MAX_RULES {
        return Err(refuse(StatusCode::CONFLICT, "rules", format!("there may be at most {MAX_RULES}")));
    }
    let (id, is_new) = shared.rules.add(rule, shared.clock.now());
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(reply(status, &find(&id, shared)?))
}

fn find(id: &str, shared: &Shared) -> Result<Value, Refusal> {
    shared.rules.all().iter().find(|entry| entry.id == id).map(shown).ok_or_else(unknown)
}

fn unknown() -> Refusal {
    refuse(StatusCode::NOT_FOUND, "id", "there is no rule of this id")
}

/// A rule with its fields, which make the same rule again, its line, and how often it has befallen something.
fn shown(entry: &Entry) -> Value {
    let fields = entry.rule.fields().into_iter();
    let rule: Map<String, Value> = fields.map(|(name, text)| (name.to_owned(), text.into())).collect();
    let origin = if entry.origin == Origin::File { "file" } else { "order" };
    json!({
        "id": entry.id,
        "rule": rule,
        "line": entry.rule.to_string(),
        "origin": origin,
        "befell": entry.befell,
    })
}
