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
    let [id, caller, callee] = [&call["id"], &call["caller"]["id"], &call["callee"]["id"]].map(plain);
    let [media, at, state, end] = ["media", "created_at", "state", "end_reason"].map(|field| plain(&call[field]));
    let about = format!("call {id} of {caller} to {callee}, {media}, at {at}: {state} {end}");
    let mut lines = vec![about.trim_end().to_owned(), plain(&document["summary"])];
    let entries = timeline(document);
    for device in devices(document) {
        let id = plain(&device["device_id"]);
        let about = ["platform", "app", "environment", "state", "reason"].map(|field| plain(&device[field]));
        let about: Vec<_> = about.into_iter().filter(|word| !word.is_empty()).collect();
        lines.push(format!("\n{id}: {}", about.join(", ")));
        lines.push(format!("  {}: {}", plain(&device["cause"]), plain(&device["verdict"])));
        lines.push(format!("  to do: {}", plain(&device["advice"])));
        let of_device = entries.iter().filter(|entry| entry.device == id);
        lines.extend(of_device.map(|entry| format!("  {} {}", time(entry.after_ms), entry.text)));
    }
    lines.join("\n") + "\n"
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
    let [contacted, late, ack, closed, stop] = ["contacted", "late", "ack", "closed", "stop"].map(|name| &device[name]);
    entries.push(entry(&late["after_ms"], "the device first spoke, too late".to_owned()));
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
    let [kind, provider, environment] = ["push", "provider", "environment"].map(|field| plain(&push[field]));
    let [status, reason, outcome] = ["status", "reason", "outcome"].map(|field| plain(&push[field]));
    let (by, answer) = (format!("{provider} {environment}"), format!("{status} {reason}"));
    let times = push["times"].as_u64().filter(|times| *times > 1);
    let last = push["last"]["after_ms"].as_u64().unwrap_or_default();
    [
        format!("{kind}{} by {}: {}", number.unwrap_or_default(), by.trim_end(), answer.trim()),
        format!(" ({outcome}, {} ms)", push["latency_ms"]),
        times.map(|times| format!(", {times} times until +{last} ms")).unwrap_or_default(),
        push["id"].as_str().map(|_| format!(", id {}", plain(&push["id"]))).unwrap_or_default(),
    ]
    .concat()
}
