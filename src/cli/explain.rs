//! `bellwire explain`: why each phone of a call rang or did not, as the gateway that runs tells it.

use serde_json::Value;

use super::CliError;
use super::gateway::{Gateway, Reach, plain};
use crate::domain::CallId;

/// Tell why each phone of a call rang or did not.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// The id of the call.
    #[arg(value_parser = CallId::parse)]
    call: CallId,
    /// Print the document of the API instead.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Explain {
    pub(super) async fn run(&self) -> Result<(), CliError> {
        let document = explanation(&self.reach.gateway()?, &self.call.to_string()).await?;
        if self.json {
            println!("{document:#}");
        } else {
            print!("{}", for_people(&document));
        }
        Ok(())
    }
}

/// The explanation of a call, as the API gives it.
pub(super) async fn explanation(gateway: &Gateway, call: &str) -> Result<Value, CliError> {
    gateway.get(&format!("/v1/calls/{call}/explain")).await
}

/// Something that happened to a device, and how many milliseconds after the invite.
pub(super) struct Entry {
    pub after_ms: u64,
    pub device: String,
    pub text: String,
}

/// The whole explanation as text.
pub(super) fn for_people(document: &Value) -> String {
    let call = &document["call"];
    let mut text = format!(
        "call {} of {} to {}, {}, at {}: {} {}\n{}\n",
        plain(&call["id"]),
        plain(&call["caller"]["id"]),
        plain(&call["callee"]["id"]),
        plain(&call["media"]),
        plain(&call["created_at"]),
        plain(&call["state"]),
        plain(&call["end_reason"]),
        plain(&document["summary"]),
    )
    .replace(" \n", "\n");
    let mut entries = timeline(document);
    for device in devices(document) {
        let id = plain(&device["device_id"]);
        let about = ["platform", "app", "environment", "state", "reason"].map(|field| plain(&device[field]));
        let about: Vec<_> = about.into_iter().filter(|word| !word.is_empty()).collect();
        text += &format!("\n{id}: {}\n", about.join(", "));
        text += &format!("  {}: {}\n", plain(&device["cause"]), plain(&device["verdict"]));
        text += &format!("  to do: {}\n", plain(&device["advice"]));
        for entry in entries.extract_if(.., |entry| entry.device == id) {
            text += &format!("  {} {}\n", time(entry.after_ms), entry.text);
        }
    }
    text
}

/// What happened to all devices, in order.
pub(super) fn timeline(document: &Value) -> Vec<Entry> {
    let mut entries: Vec<Entry> = devices(document).iter().flat_map(of_device).collect();
    entries.sort_by_key(|entry| entry.after_ms);
    entries
}

/// The devices of an explanation.
pub(super) fn devices(document: &Value) -> &[Value] {
    document["devices"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A time after the invite, to stand under others.
pub(super) fn time(after_ms: u64) -> String {
    format!("{:>10}", format!("+{after_ms} ms"))
}

fn of_device(device: &Value) -> Vec<Entry> {
    let id = plain(&device["device_id"]);
    let entry = |after: &Value, text: String| Some(Entry { after_ms: after.as_u64()?, device: id.clone(), text });
    let pushes = device["pushes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut entries: Vec<_> = pushes.iter().map(|push| entry(&push["first"]["after_ms"], of_push(push))).collect();
    let (contacted, ack, closed, stop) = (&device["contacted"], &device["ack"], &device["closed"], &device["stop"]);
    entries.push(entry(&contacted["after_ms"], "the device was in touch, without a word about its ring".to_owned()));
    let said = format!("the device said {} {}", plain(&ack["kind"]), plain(&ack["reason"]));
    entries.push(entry(&ack["after_ms"], said.trim_end().to_owned()));
    if device["state"] != ack["kind"] {
        entries.push(entry(&closed["after_ms"], plain(&device["state"])));
    }
    entries.push(entry(&stop["after_ms"], format!("stopped: {}", plain(&stop["reason"]))));
    entries.into_iter().flatten().collect()
}

fn of_push(push: &Value) -> String {
    let number = push["number"].as_u64().filter(|number| *number > 1).map(|number| format!(" {number}"));
    let place = [&push["provider"], &push["environment"]].map(plain).join(" ");
    let answer = [&push["status"], &push["reason"]].map(plain).join(" ");
    let mut text = format!("{}{} by {}: ", plain(&push["push"]), number.unwrap_or_default(), place.trim_end());
    text += &format!("{} ({}, {} ms)", answer.trim(), plain(&push["outcome"]), push["latency_ms"]);
    if push["times"].as_u64().is_some_and(|times| times > 1) {
        text +=
            &format!(", {} times until {}", push["times"], time(push["last"]["after_ms"].as_u64().unwrap_or(0)).trim());
    }
    match push["id"].as_str() {
        Some(_) => format!("{text}, id {}", plain(&push["id"])),
        None => text,
    }
}
