//! LiveKit's egress: recordings started, stopped and asked about.
//!
//! They are started by `StartRoomCompositeEgress`: it is older than `StartEgress`, which is to replace it, but every worker in use has it, the
//! server hands it on as it is, and only it can put the two parties on channels of their own without knowing their tracks
//! (`audio_mixing`). Sound alone without a layout needs no browser in the worker. Answers are read in either spelling, with
//! what is not known or left out. The keys of the storage go to LiveKit in the request's body and nowhere else; LiveKit gives them back
//! masked. Source: `livekit_egress.proto` of <https://github.com/livekit/protocol>.

use std::time::Duration;

use livekit_api::access_token::VideoGrants;
use serde::Deserialize;
use serde_json::{Value, json};

use super::storage::Keys;
use super::twirp::{ApiError, Meaning, Twirp};
use super::webhook;
use super::wire::{number, word};
use crate::config::recording::S3;
use crate::domain::recording::{Content, Outcome, Recording, Report, Status};
use crate::domain::{Timestamp, UserId};

const SERVICE: &str = "Egress";
/// How long one request may take. A worker that takes a recording says so within a second or two, if there is one.
const WITHIN: Duration = Duration::from_secs(6);
/// What LiveKit says, as an inner error, where it has no Redis and so no egress at all: not worth another try.
const NOT_CONNECTED: &str = "egress not connected";

/// The egress service, and where its files go.
#[derive(Clone)]
pub struct Egress {
    twirp: Twirp,
    storage: S3,
    keys: Keys,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    items: Vec<Info>,
}

/// `EgressInfo`.
#[derive(Deserialize)]
struct Info {
    #[serde(default, alias = "egressId")]
    egress_id: String,
    #[serde(default, deserialize_with = "word")]
    status: String,
    #[serde(default, alias = "startedAt", deserialize_with = "number")]
    started_at: u64,
    #[serde(default, alias = "endedAt", deserialize_with = "number")]
    ended_at: u64,
    #[serde(default, deserialize_with = "word")]
    error: String,
    #[serde(default, deserialize_with = "word")]
    details: String,
    #[serde(default, alias = "fileResults")]
    file_results: Vec<File>,
    /// What LiveKit says instead where there can be one file only.
    file: Option<File>,
    #[serde(default, alias = "roomComposite")]
    room_composite: Value,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    filename: String,
    #[serde(default, alias = "startedAt", deserialize_with = "number")]
    started_at: u64,
    #[serde(default, alias = "endedAt", deserialize_with = "number")]
    ended_at: u64,
    #[serde(default, deserialize_with = "number")]
    duration: u64,
    #[serde(default, deserialize_with = "number")]
    size: u64,
}

#[derive(Deserialize)]
struct Participants {
    #[serde(default)]
    participants: Vec<Participant>,
}

#[derive(Deserialize)]
struct Participant {
    #[serde(default)]
    identity: String,
    #[serde(default)]
    tracks: Vec<Value>,
}

impl Egress {
    /// The egress service behind a caller of LiveKit, with the storage that it writes to.
    pub fn new(twirp: Twirp, storage: S3) -> Self {
        let keys = Keys::new(&storage);
        twirp.hide(keys.clone());
        Self { twirp, storage, keys }
    }

    /// Sees to it that a recording runs: finds it in its room, or starts it if a party publishes something there.
    pub async fn start(&self, recording: &Recording) -> Outcome {
        match self.find(recording).await {
            Ok(Some(report)) => Outcome::Report(report),
            Ok(None) => match self.is_published(recording).await {
                Ok(true) => begun(recording, self.begin(recording).await),
                Ok(false) => Outcome::NothingYet,
                // LiveKit makes the room anew when somebody comes; until then there is nothing to record.
                Err(error) if error.is_not_found() => Outcome::NothingYet,
                Err(error) => failure(&error),
            },
            Err(error) => failure(&error),
        }
    }

    /// How a recording stands.
    pub async fn look(&self, recording: &Recording) -> Outcome {
        match self.find(recording).await {
            Ok(found) => found.map_or(Outcome::Missing, Outcome::Report),
            Err(error) if error.is_not_found() => Outcome::Missing,
            Err(error) => failure(&error),
        }
    }

    /// Stops a recording, which is looked for first if it is not known whether it began.
    pub async fn stop(&self, recording: &Recording) -> Outcome {
        let Some(egress) = &recording.egress else {
            return match self.find(recording).await {
                Ok(Some(found)) if found.status < Status::Ending => match self.stop_egress(&found.egress).await {
                    // It may be over since; looking says what became of it.
                    Outcome::Refused(_) => Outcome::Report(found),
                    outcome => outcome,
                },
                Ok(found) => found.map_or(Outcome::Missing, Outcome::Report),
                Err(error) => failure(&error),
            };
        };
        self.stop_egress(egress).await
    }

    /// Stops the first of the egresses that should not run.
    pub async fn stop_stray(&self, recording: &Recording) -> Outcome {
        let Some(stray) = recording.strays.first() else { return Outcome::Done };
        match self.stop_egress(stray).await {
            Outcome::Report(_) => Outcome::Done,
            outcome => outcome,
        }
    }

    async fn stop_egress(&self, egress: &str) -> Outcome {
        match self.call("StopEgress", json!({"egress_id": egress})).await {
            Ok(report) => Outcome::Report(report),
            // Looking says what became of it.
            Err(error) if error.is_not_found() => Outcome::Refused(error.to_string()),
            Err(error) => failure(&error),
        }
    }

    /// What LiveKit knows of a recording: by its id, or by its room and file before that is known.
    async fn find(&self, recording: &Recording) -> Result<Option<Report>, ApiError> {
        let by = match &recording.egress {
            Some(egress) => json!({"egress_id": egress}),
            None => json!({"room_name": recording.room}),
        };
        let listed: Listed = self.twirp.call(SERVICE, "ListEgress", record(), &by, WITHIN).await?;
        let ours = |info: &Info| match &recording.egress {
            Some(egress) => info.egress_id == *egress,
            None => info.writes().as_ref() == Some(&recording.key),
        };
        // Of two that were started by mistake the one that is not over.
        Ok(listed
            .items
            .into_iter()
            .filter(ours)
            .map(|info| info.report(Some(&self.keys)))
            .min_by_key(|found| found.status))
    }

    /// Whether a party of the call publishes anything.
    async fn is_published(&self, recording: &Recording) -> Result<bool, ApiError> {
        let grants = VideoGrants { room_admin: true, room: recording.room.clone(), ..VideoGrants::default() };
        let room = json!({"room": recording.room});
        let answer: Participants = self.twirp.call("RoomService", "ListParticipants", grants, &room, WITHIN).await?;
        let party = |one: &Participant| UserId::new(&one.identity).is_ok_and(|user| recording.has_party(&user));
        Ok(answer.participants.iter().any(|one| party(one) && !one.tracks.is_empty()))
    }

    async fn begin(&self, recording: &Recording) -> Result<Report, ApiError> {
        let s3 = &self.storage;
        let output = json!({
            "file_type": if recording.is_ogg() { "OGG" } else { "MP4" },
            "filepath": recording.key,
            // Otherwise a second file lies beside it, which nobody would delete.
            "disable_manifest": true,
            "s3": {
                "access_key": s3.access_key,
                "secret": s3.secret.reveal(),
                "region": s3.region,
                "endpoint": s3.endpoint.as_deref().unwrap_or_default(),
                "bucket": recording.bucket,
                "force_path_style": s3.force_path_style,
            },
        });
        let mut request = json!({"room_name": recording.room, "file_outputs": [output]});
        match recording.content {
            Content::Audio => {
                request["audio_only"] = true.into();
                request["audio_mixing"] = "DUAL_CHANNEL_ALTERNATE".into();
            }
            Content::Composite => request["layout"] = "grid".into(),
        }
        self.call("StartRoomCompositeEgress", request).await
    }

    async fn call(&self, method: &'static str, body: Value) -> Result<Report, ApiError> {
        let info: Info = self.twirp.call(SERVICE, method, record(), &body, WITHIN).await?;
        Ok(info.report(Some(&self.keys)))
    }
}

/// What came of asking LiveKit to start a recording: where there is no answer to be read, it may have begun.
fn begun(recording: &Recording, answer: Result<Report, ApiError>) -> Outcome {
    match answer {
        // Whatever it says of the file, it is the one that was asked for.
        Ok(report) => Outcome::Report(Report { file: Some(recording.key.clone()), ..report }),
        Err(error @ (ApiError::Unreadable(_) | ApiError::TooLarge)) => Outcome::Unsure(error.to_string()),
        Err(error) => match failure(&error) {
            Outcome::Unavailable(why) if !is_unsent(&error) => Outcome::Unsure(why),
            outcome => outcome,
        },
    }
}

fn is_unsent(error: &ApiError) -> bool {
    matches!(error, ApiError::Unreachable(error) if error.is_connect())
}

/// What an error means; LiveKit's words, which parties and backend are shown, have no keys in them (`Twirp::hide`).
fn failure(error: &ApiError) -> Outcome {
    let why = error.to_string();
    match error.meaning() {
        Meaning::Unavailable if !why.contains(NOT_CONNECTED) => Outcome::Unavailable(why),
        Meaning::Unavailable | Meaning::NotFound | Meaning::Refused => Outcome::Refused(why),
    }
}

fn record() -> VideoGrants {
    VideoGrants { room_record: true, ..VideoGrants::default() }
}

impl Info {
    /// The file that it was asked to write, as far as LiveKit tells.
    fn writes(&self) -> Option<String> {
        let asked = ["/file_outputs/0/filepath", "/fileOutputs/0/filepath", "/file/filepath"];
        let asked = asked.iter().find_map(|path| self.room_composite.pointer(path)?.as_str());
        let made = self.file_results.iter().chain(&self.file).map(|file| file.filename.as_str());
        asked.into_iter().chain(made).find(|file| !file.is_empty()).map(str::to_owned)
    }

    /// What it says, without the keys if they are known.
    fn report(self, keys: Option<&Keys>) -> Report {
        let writes = self.writes();
        let file = self.file_results.into_iter().next().or(self.file);
        let status = status(&self.status, file.is_some());
        let (started_at, ended_at) = file.as_ref().map_or((0, 0), |file| (file.started_at, file.ended_at));
        let first = |one: u64, other: u64| if one == 0 { other } else { one };
        let error = if self.error.is_empty() { self.details } else { self.error };
        let error = keys.map_or_else(|| error.clone(), |keys| keys.masked(&error));
        Report {
            egress: self.egress_id,
            status,
            file: writes,
            started_at: time(first(started_at, self.started_at)),
            ended_at: time(first(ended_at, self.ended_at)),
            duration_ms: file.as_ref().map(|file| file.duration / NANOS_PER_MILLI).filter(|millis| *millis > 0),
            bytes: file.as_ref().map(|file| file.size).filter(|size| *size > 0),
            error: (!error.is_empty()).then_some(error),
        }
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;

/// LiveKit's nanoseconds since 1970; 0 stands for none.
fn time(nanos: u64) -> Option<Timestamp> {
    (nanos > 0).then(|| Timestamp::from_millis(nanos / NANOS_PER_MILLI))
}

fn status(word: &str, has_file: bool) -> Status {
    match word.strip_prefix("EGRESS_").unwrap_or(word) {
        // The zero value, which protobuf leaves out.
        "STARTING" | "" | "0" => Status::Starting,
        "ACTIVE" | "1" => Status::Active,
        "ENDING" | "2" => Status::Ending,
        "COMPLETE" | "3" => Status::Complete,
        // What was recorded until then is there.
        "LIMIT_REACHED" | "6" if has_file => Status::Complete,
        "FAILED" | "4" | "LIMIT_REACHED" | "6" => Status::Failed,
        "ABORTED" | "5" => Status::Aborted,
        _ => Status::Unknown,
    }
}

impl webhook::Egress {
    /// What it says of the recording, without the keys of its storage, which `[recording.s3]` has.
    pub fn report(&self, keys: Option<&Keys>) -> Report {
        let info = serde_json::from_str(&self.raw).unwrap_or_else(|_| Info {
            egress_id: self.id.clone(),
            status: self.status.clone(),
            started_at: 0,
            ended_at: 0,
            error: String::new(),
            details: String::new(),
            file_results: Vec::new(),
            file: None,
            room_composite: Value::Null,
        });
        info.report(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(info: Value) -> Report {
        serde_json::from_value::<Info>(info).expect("an EgressInfo").report(None)
    }

    #[test]
    fn an_answer_in_snake_case_with_zero_values_is_read() {
        let report = read(json!({
            "egress_id": "EG_1", "room_id": "", "room_name": "bw_1", "source_type": "EGRESS_SOURCE_TYPE_WEB",
            "status": "EGRESS_STARTING", "started_at": "0", "ended_at": "0", "updated_at": "1712345678901234567",
            "file_results": [], "error": "", "error_code": 0, "details": "", "backup_storage_used": false,
        }));
        assert_eq!((report.egress.as_str(), report.status, report.started_at), ("EG_1", Status::Starting, None));
        assert_eq!((report.error, report.bytes, report.duration_ms), (None, None, None));
    }

    #[test]
    fn a_webhooks_camel_case_without_zero_values_is_read() {
        let report = read(json!({
            "egressId": "EG_1", "roomName": "bw_1", "status": "EGRESS_COMPLETE", "startedAt": "1712345678901234567",
            "endedAt": "1712345688901234567", "somethingNew": {"x": [1]},
            "fileResults": [{"filename": "a.mp4", "startedAt": "1712345679000000000", "endedAt": "1712345688000000000",
                "duration": "9000000000", "size": "12345", "location": "https://never.to.be.trusted/a.mp4"}],
        }));
        assert_eq!(report.status, Status::Complete);
        assert_eq!(report.started_at, Some(Timestamp::from_millis(1_712_345_679_000)));
        assert_eq!(report.ended_at, Some(Timestamp::from_millis(1_712_345_688_000)));
        assert_eq!((report.duration_ms, report.bytes), (Some(9000), Some(12345)));
    }

    #[test]
    fn words_are_names_or_numbers_and_new_ones_say_nothing() {
        let status_of = |status: Value| read(json!({"egress_id": "EG_1", "status": status})).status;
        assert_eq!(status_of(json!("EGRESS_ACTIVE")), Status::Active);
        assert_eq!(status_of(json!(2)), Status::Ending);
        assert_eq!(status_of(json!("EGRESS_SLEEPING")), Status::Unknown);
        assert_eq!(status_of(json!(99)), Status::Unknown);
        assert_eq!(read(json!({"egressId": "EG_1"})).status, Status::Starting);
    }

    #[test]
    fn a_limit_that_was_reached_leaves_a_recording_if_it_left_a_file() {
        let with = json!({"egress_id": "EG_1", "status": "EGRESS_LIMIT_REACHED", "file_results": [{"size": 7}]});
        assert_eq!(read(with).status, Status::Complete);
        assert_eq!(read(json!({"egress_id": "EG_1", "status": "EGRESS_LIMIT_REACHED"})).status, Status::Failed);
    }

    #[test]
    fn a_recording_is_known_by_its_file() {
        let info = |request: Value| {
            serde_json::from_value::<Info>(json!({"egress_id": "EG_1", "room_composite": request})).expect("an info")
        };
        let writes = |request| info(request).writes();
        assert_eq!(writes(json!({"file_outputs": [{"filepath": "r/1.mp4"}]})), Some("r/1.mp4".to_owned()));
        assert_eq!(writes(json!({"fileOutputs": [{"filepath": "r/2.mp4"}]})), Some("r/2.mp4".to_owned()));
        assert_eq!(writes(Value::Null), None);
    }

    #[test]
    fn a_lease_outlasts_the_three_requests_of_a_start() {
        assert!(crate::domain::recording::LEASE >= 3 * WITHIN + Duration::from_secs(10));
    }

    #[test]
    fn only_an_answer_that_can_be_read_says_whether_it_was_started() {
        let recording: Recording = serde_json::from_value(json!({
            "call": "0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a", "parties": ["alice", "bob"], "room": "bw_1", "content": "audio",
            "state": "requested", "asked_by": "service", "asked_at": 1, "number": 1, "bucket": "calls", "key": "r/1.mp4",
            "retention_ms": 1, "next_at": 1,
        }))
        .expect("a recording");
        let answered = |status, code: &str, message: &str| {
            Err(ApiError::Answered { status, code: code.to_owned(), message: message.to_owned() })
        };
        let unreadable = serde_json::from_str::<Value>("<html>").expect_err("no JSON");
        for unsure in [
            Err(ApiError::TooSlow(WITHIN)),
            Err(ApiError::TooLarge),
            Err(ApiError::Unreadable(unreadable)),
            answered(504, "", ""),
            answered(408, "deadline_exceeded", ""),
        ] {
            assert!(matches!(begun(&recording, unsure), Outcome::Unsure(_)));
        }
        for refused in [answered(400, "invalid_argument", ""), answered(500, "internal", NOT_CONNECTED)] {
            assert!(matches!(begun(&recording, refused), Outcome::Refused(_)));
        }
        let without_file = read(json!({"egress_id": "EG_1", "status": "EGRESS_STARTING"}));
        let Outcome::Report(report) = begun(&recording, Ok(without_file)) else { panic!("a report") };
        assert_eq!(report.file.as_deref(), Some("r/1.mp4"));
    }
}
