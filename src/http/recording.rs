//! Recordings of calls: asked for, seen with a link that is good for a short while, ended and erased.
//!
//! Whether the asker may is `engine`'s to say. A link is made anew each time, and is kept nowhere.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::code::Code;
use super::extract::{Authenticated, Body, CallPath, EmptyBody};
use super::problem::Problem;
use crate::domain::recording::{AskedBy, RecordingState};
use crate::domain::{CallId, Recording, Timestamp};
use crate::engine::Asker;

/// The recording of a call.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordingView {
    /// The call.
    call_id: String,
    /// `requested`, `starting`, `active`, `stopping`, `complete`, `failed`, `aborted`, `erasing` or `erased`.
    state: &'static str,
    /// `audio` or `composite`.
    media: &'static str,
    /// Who wanted it: `party`, `service` or `policy`.
    asked_by: &'static str,
    /// Which party.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// When it was wanted.
    asked_at: String,
    /// When LiveKit began to record.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// How long it is, in whole seconds, once it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<u64>,
    /// How large its file is, once it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// Why there is none, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// When it is erased by itself, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_until: Option<String>,
    /// Where to watch it, once it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkView>,
    /// Where its file lies; for services only.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileView>,
}

/// A link, good for whoever has it.
#[derive(Serialize, ToSchema)]
pub struct LinkView {
    /// The URL of the file.
    url: String,
    /// Until when it is good.
    expires_at: String,
}

/// A file in the storage.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileView {
    /// The bucket.
    bucket: String,
    /// The file in it.
    key: String,
}

impl std::fmt::Debug for LinkView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkView").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl RecordingView {
    fn new(app: &App, recording: &Recording, asker: &Asker) -> Result<Self, Problem> {
        let is_over = recording.state.is_over();
        let time = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
        let is_there = recording.state == RecordingState::Complete;
        Ok(Self {
            call_id: recording.call.to_string(),
            state: recording.state.as_str(),
            media: recording.content.as_str(),
            asked_by: match recording.asked_by {
                AskedBy::Policy => "policy",
                AskedBy::Service => "service",
                AskedBy::Party(_) => "party",
            },
            user_id: recording.asked_by.user().map(ToString::to_string),
            asked_at: recording.asked_at.rfc3339(),
            started_at: time(recording.started_at),
            ended_at: time(recording.ended_at),
            duration_seconds: recording.duration_ms.map(|millis| millis / 1000),
            bytes: recording.bytes,
            problem: recording.why.clone(),
            kept_until: is_over.then(|| recording.retained_until().rfc3339()),
            link: if is_there { link(app, recording)? } else { None },
            file: (*asker == Asker::Service && !recording.bucket.is_empty())
                .then(|| FileView { bucket: recording.bucket.clone(), key: recording.key.clone() }),
        })
    }
}

/// A link to a recording that is there; none where the configuration has no storage any more.
fn link(app: &App, recording: &Recording) -> Result<Option<LinkView>, Problem> {
    let Some(links) = &app.links else { return Ok(None) };
    let now = app.engine.clock().now();
    let link = links.storage.link(&recording.bucket, &recording.key, links.ttl, now);
    let link = link.map_err(|error| Problem::internal(&error))?;
    Ok(Some(LinkView { url: link.url, expires_at: link.expires_at.rfc3339() }))
}

/// Users and services; a ticket is for the call, and not for what is kept of it.
fn asker(who: Authenticated, call: CallId) -> Result<Asker, Problem> {
    match who.asker(call, None)? {
        Asker::Ticket(..) => Err(Problem::new(Code::UsersOnly, "a ticket is not good for recordings")),
        asker => Ok(asker),
    }
}

/// Have the call recorded. Both parties are told by an event once LiveKit records.
#[utoipa::path(post, operation_id = "start_recording", path = "/v1/calls/{id}/recording", tag = "recordings",
    params(("id" = String, Path)), request_body = EmptyBody,
    responses((status = 202, body = RecordingView, description = "wanted now"),
        (status = 200, body = RecordingView, description = "wanted before"), (status = "4XX", body = Problem)))]
pub async fn start(
    State(app): State<App>,
    who: Authenticated,
    id: CallPath,
    _: Body<EmptyBody>,
) -> Result<(StatusCode, Json<RecordingView>), Problem> {
    let asker = asker(who, id.0)?;
    let shown = app.engine.ask_recording(id.0, &asker).await?;
    let status = if shown.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(RecordingView::new(&app, &shown.recording, &asker)?)))
}

/// How the recording stands, and, once it is complete, a link to watch it; also when the call itself is no longer kept.
#[utoipa::path(get, operation_id = "get_recording", path = "/v1/calls/{id}/recording", tag = "recordings",
    params(("id" = String, Path)),
    responses((status = 200, body = RecordingView), (status = "4XX", body = Problem)))]
pub async fn get(State(app): State<App>, who: Authenticated, id: CallPath) -> Result<Json<RecordingView>, Problem> {
    let asker = asker(who, id.0)?;
    let shown = app.engine.recording(id.0, &asker).await?;
    Ok(Json(RecordingView::new(&app, &shown.recording, &asker)?))
}

/// End the recording if it runs; erase it if it is over.
#[utoipa::path(delete, operation_id = "end_recording", path = "/v1/calls/{id}/recording", tag = "recordings",
    params(("id" = String, Path)),
    responses((status = 200, body = RecordingView), (status = "4XX", body = Problem)))]
pub async fn end(State(app): State<App>, who: Authenticated, id: CallPath) -> Result<Json<RecordingView>, Problem> {
    let asker = asker(who, id.0)?;
    let shown = app.engine.end_recording(id.0, &asker).await?;
    Ok(Json(RecordingView::new(&app, &shown.recording, &asker)?))
}
