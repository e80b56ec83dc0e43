//! Blocks between users, and bans by the app's backend.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::code::Code;
use super::extract::{Authenticated, Body, EmptyBody, IdPath, check_text};
use super::problem::Problem;
use crate::domain::{Timestamp, UserId};
use crate::engine::Ban;

/// Whom the user has blocked.
#[derive(Debug, Serialize, ToSchema)]
pub struct BlocksAnswer {
    blocks: Vec<String>,
}

/// A user who is blocked.
#[derive(Debug, Serialize, ToSchema)]
pub struct BlockView {
    user: String,
}

/// A ban to come.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BanBody {
    /// Why, for the backend's own eyes.
    reason: Option<String>,
    /// When it ends, RFC 3339 in UTC; absent: never.
    until: Option<String>,
}

/// A ban in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct BanView {
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// Every ban in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct BansAnswer {
    bans: Vec<BanView>,
}

impl From<Ban> for BanView {
    fn from(ban: Ban) -> Self {
        Self {
            user: ban.user.to_string(),
            reason: ban.reason,
            created_at: ban.created_at.rfc3339(),
            until: ban.until.map(Timestamp::rfc3339),
        }
    }
}

/// Block a user: their calls do not ring here, and they do not notice.
#[utoipa::path(put, path = "/v1/blocks/{user}", tag = "moderation", params(("user" = String, Path)),
    request_body = EmptyBody, responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn block(
    State(app): State<App>,
    who: Authenticated,
    IdPath(peer): IdPath<UserId>,
    _: Body<EmptyBody>,
) -> Result<StatusCode, Problem> {
    let user = who.user()?.id;
    if user == peer {
        return Err(Problem::new(Code::SelfBlock, "nobody blocks themselves"));
    }
    app.engine.set_block(&user, &peer, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Unblock a user.
#[utoipa::path(delete, path = "/v1/blocks/{user}", tag = "moderation", params(("user" = String, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn unblock(
    State(app): State<App>,
    who: Authenticated,
    IdPath(peer): IdPath<UserId>,
) -> Result<StatusCode, Problem> {
    app.engine.set_block(&who.user()?.id, &peer, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the user has blocked this one.
#[utoipa::path(get, path = "/v1/blocks/{user}", tag = "moderation", params(("user" = String, Path)),
    responses((status = 200, body = BlockView), (status = "4XX", body = Problem)))]
pub async fn get_block(
    State(app): State<App>,
    who: Authenticated,
    IdPath(peer): IdPath<UserId>,
) -> Result<Json<BlockView>, Problem> {
    let blocks = app.engine.blocks(&who.user()?.id).await?;
    if blocks.contains(&peer) {
        Ok(Json(BlockView { user: peer.to_string() }))
    } else {
        Err(Problem::new(Code::BlockNotFound, "the user is not blocked"))
    }
}

/// Whom the user has blocked.
#[utoipa::path(get, path = "/v1/blocks", tag = "moderation",
    responses((status = 200, body = BlocksAnswer), (status = "4XX", body = Problem)))]
pub async fn blocks(State(app): State<App>, who: Authenticated) -> Result<Json<BlocksAnswer>, Problem> {
    let blocks = app.engine.blocks(&who.user()?.id).await?;
    Ok(Json(BlocksAnswer { blocks: blocks.iter().map(ToString::to_string).collect() }))
}

/// Ban a user: no new calls, no tokens, and their live calls end.
#[utoipa::path(put, path = "/v1/bans/{user}", tag = "moderation", params(("user" = String, Path)),
    request_body = BanBody, responses((status = 200, body = BanView), (status = "4XX", body = Problem)))]
pub async fn ban(
    State(app): State<App>,
    who: Authenticated,
    IdPath(user): IdPath<UserId>,
    Body { value: body, .. }: Body<BanBody>,
) -> Result<Json<BanView>, Problem> {
    who.service()?;
    check_text("/reason", body.reason.as_deref(), 512)?;
    let until = match body.until.as_deref().map(Timestamp::parse_rfc3339) {
        Some(None) => return Err(Problem::field("/until", "must be RFC 3339 in UTC, as in 2026-01-31T12:00:00Z")),
        until => until.flatten(),
    };
    let now = app.engine.clock().now();
    if until.is_some_and(|until| until <= now) {
        return Err(Problem::field("/until", "must lie in the future"));
    }
    let ban = Ban { user, reason: body.reason, created_at: now, until };
    app.engine.ban(ban.clone()).await?;
    Ok(Json(ban.into()))
}

/// The ban of a user.
#[utoipa::path(get, path = "/v1/bans/{user}", tag = "moderation", params(("user" = String, Path)),
    responses((status = 200, body = BanView), (status = "4XX", body = Problem)))]
pub async fn get_ban(
    State(app): State<App>,
    who: Authenticated,
    IdPath(user): IdPath<UserId>,
) -> Result<Json<BanView>, Problem> {
    who.service()?;
    let ban = app.engine.ban_of(&user).await?;
    ban.map(|ban| Json(ban.into())).ok_or_else(not_banned)
}

/// Lift a ban.
#[utoipa::path(delete, path = "/v1/bans/{user}", tag = "moderation", params(("user" = String, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn lift_ban(
    State(app): State<App>,
    who: Authenticated,
    IdPath(user): IdPath<UserId>,
) -> Result<StatusCode, Problem> {
    who.service()?;
    if app.engine.lift_ban(&user).await? { Ok(StatusCode::NO_CONTENT) } else { Err(not_banned()) }
}

/// Every ban in force.
#[utoipa::path(get, path = "/v1/bans", tag = "moderation",
    responses((status = 200, body = BansAnswer), (status = "4XX", body = Problem)))]
pub async fn bans(State(app): State<App>, who: Authenticated) -> Result<Json<BansAnswer>, Problem> {
    who.service()?;
    let bans = app.engine.bans().await?;
    Ok(Json(BansAnswer { bans: bans.into_iter().map(BanView::from).collect() }))
}

fn not_banned() -> Problem {
    Problem::new(Code::BanNotFound, "the user is not banned")
}
