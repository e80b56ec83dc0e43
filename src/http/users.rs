//! What is held of a user, for the app's backend: it can be erased.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::extract::{Authenticated, IdPath, Params};
use super::problem::Problem;
use crate::domain::UserId;
use crate::domain::job::Erased;

/// What else goes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ErasureParams {
    /// Whether their ban goes too. By default it stays, so that nobody is rid of a ban by asking to be forgotten.
    #[serde(default)]
    bans: bool,
}

/// An erasure.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErasureAnswer {
    user: String,
    /// Whether nothing is left. Otherwise it goes on by itself; asking again tells how far it is.
    complete: bool,
    /// What is still to go: `calls` that end, `recordings` whose files are being deleted, `history` while PostgreSQL is away, `store` while the
    /// store is. Empty before that is known.
    left: Vec<String>,
    erased: ErasedView,
    /// Whether the user is banned, and this stays known.
    ban_kept: bool,
}

/// How much was erased since it was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErasedView {
    /// Records of calls; they are gone for the other party too.
    calls: u64,
    /// Recordings, with their files.
    recordings: u64,
    /// Devices, with their push tokens.
    devices: u64,
    /// Users whom they had blocked.
    blocks: u64,
    /// Users who had blocked them.
    blocked_by: u64,
    /// Contacts: users who were theirs, and users whose they were.
    contacts: u64,
    /// Counts of missed calls, of both sides.
    missed: u64,
    /// Idempotency keys.
    idempotency_keys: u64,
    /// What was counted for limits.
    rates: u64,
    /// Bans.
    bans: u64,
    /// Rows in PostgreSQL.
    history_rows: u64,
}

impl From<Erased> for ErasedView {
    fn from(erased: Erased) -> Self {
        let Erased { calls, recordings, devices, blocks, blocked_by, contacts, .. } = erased;
        let Erased { missed, idempotency_keys, rates, bans, history_rows, .. } = erased;
        Self {
            calls,
            recordings,
            devices,
            blocks,
            blocked_by,
            contacts,
            missed,
            idempotency_keys,
            rates,
            bans,
            history_rows,
        }
    }
}

/// Erase what is held of a user. Their live calls end first. 200 once it is complete, 202 while something is left; it may be repeated.
#[utoipa::path(delete, path = "/v1/users/{user}", tag = "moderation", params(("user" = String, Path), ErasureParams),
    responses((status = 200, body = ErasureAnswer), (status = 202, body = ErasureAnswer), (status = "4XX", body = Problem)))]
pub async fn erase(
    State(app): State<App>,
    who: Authenticated,
    IdPath(user): IdPath<UserId>,
    Params(params): Params<ErasureParams>,
) -> Result<(StatusCode, Json<ErasureAnswer>), Problem> {
    who.service()?;
    let erasing = app.engine.erase(&user, params.bans).await?;
    let status = if erasing.complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    let answer = ErasureAnswer {
        user: user.to_string(),
        complete: erasing.complete,
        left: erasing.left,
        erased: erasing.erased.into(),
        ban_kept: erasing.banned,
    };
    Ok((status, Json(answer)))
}
