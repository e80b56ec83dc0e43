//! What is used, by day: for cost, and for quotas.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::code::Code;
use super::extract::{Authenticated, Params};
use super::problem::Problem;
use crate::domain::usage::{Day, DayUsage};

/// The most days of one answer.
const MOST_DAYS: u32 = 93;
const MINUTE_MS: u64 = 60_000;

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageParams {
    /// The first day, in UTC, as in 2026-11-01. By default the first of this month.
    from: Option<String>,
    /// The last one. By default today.
    to: Option<String>,
}

/// What was used.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageAnswer {
    /// The first day.
    from: String,
    /// The last one.
    to: String,
    /// Minutes of all participants, rounded up.
    participant_minutes: u64,
    /// The greatest peak of a day.
    peak_concurrent_participants: u32,
    /// Every day on which there was a call.
    days: Vec<UsageDay>,
}

/// What was used on a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageDay {
    /// The day, in UTC.
    day: String,
    /// Calls in whose room somebody was. One over midnight counts on both days.
    calls: u64,
    /// Minutes of all participants, rounded up.
    participant_minutes: u64,
    /// The most participants of any minute. All who were there in a minute count, so it may be more than there were at once, and is never less.
    peak_concurrent_participants: u32,
}

impl From<&DayUsage> for UsageDay {
    fn from(usage: &DayUsage) -> Self {
        Self {
            day: usage.day.to_string(),
            calls: usage.calls,
            participant_minutes: usage.participant_ms.div_ceil(MINUTE_MS),
            peak_concurrent_participants: usage.peak,
        }
    }
}

/// Participant minutes and peak participants, by day in UTC. A call counts when it has ended.
#[utoipa::path(get, path = "/v1/usage", tag = "usage", params(UsageParams),
    responses((status = 200, body = UsageAnswer), (status = "4XX", body = Problem)))]
pub async fn usage(
    State(app): State<App>,
    who: Authenticated,
    Params(params): Params<UsageParams>,
) -> Result<Json<UsageAnswer>, Problem> {
    who.service()?;
    let today = Day::of(app.engine.clock().now());
    let to = day("to", params.to.as_deref())?.unwrap_or(today);
    let from = day("from", params.from.as_deref())?.unwrap_or(to.month_begins());
    if from > to || to.number() - from.number() >= MOST_DAYS {
        let detail = format!("from must not be after to, and they may span {MOST_DAYS} days");
        return Err(Problem::new(Code::InvalidQuery, detail));
    }
    let usage = app.engine.usage(from, to).await?;
    Ok(Json(UsageAnswer {
        from: from.to_string(),
        to: to.to_string(),
        participant_minutes: usage.iter().map(|usage| usage.participant_ms).sum::<u64>().div_ceil(MINUTE_MS),
        peak_concurrent_participants: usage.iter().map(|usage| usage.peak).max().unwrap_or_default(),
        days: usage.iter().map(UsageDay::from).collect(),
    }))
}

fn day(name: &str, text: Option<&str>) -> Result<Option<Day>, Problem> {
    let read = |text| Day::parse(text).ok_or_else(|| format!("{name} must be a day, as in 2026-11-22"));
    text.map(read).transpose().map_err(|detail| Problem::new(Code::InvalidQuery, detail))
}
