//! A user's contacts, which the app's backend lists: whose calls ring them where `policy.allow` is `"contacts"`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::code::Code;
use super::extract::{Authenticated, Body, EmptyBody, IdPath, PairPath};
use super::problem::Problem;
use crate::domain::UserId;
use crate::engine::MOST_CONTACTS;

/// Contacts to be listed, in place of those who were.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactsBody {
    /// At most 5000, in any order.
    #[schema(value_type = Vec<String>)]
    contacts: Vec<UserId>,
}

/// Whose calls ring the user.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContactsAnswer {
    /// In order.
    contacts: Vec<String>,
}

/// A contact.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContactView {
    user: String,
}

/// List a user's contacts, in place of those who were.
#[utoipa::path(put, operation_id = "put_contacts", path = "/v1/users/{user}/contacts", tag = "moderation", params(("user" = String, Path)),
    request_body = ContactsBody, responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn put_all(
    State(app): State<App>,
    who: Authenticated,
    IdPath(user): IdPath<UserId>,
    Body { value: body, .. }: Body<ContactsBody>,
) -> Result<StatusCode, Problem> {
    who.service()?;
    if body.contacts.len() > MOST_CONTACTS {
        return Err(Problem::field("/contacts", format!("must be at most {MOST_CONTACTS}")));
    }
    app.engine.put_contacts(&user, &body.contacts).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A user's contacts.
#[utoipa::path(get, operation_id = "contacts", path = "/v1/users/{user}/contacts", tag = "moderation", params(("user" = String, Path)),
    responses((status = 200, body = ContactsAnswer), (status = "4XX", body = Problem)))]
pub async fn list(
    State(app): State<App>,
    who: Authenticated,
    IdPath(user): IdPath<UserId>,
) -> Result<Json<ContactsAnswer>, Problem> {
    who.service()?;
    let contacts = app.engine.contacts(&user).await?;
    Ok(Json(ContactsAnswer { contacts: contacts.iter().map(ToString::to_string).collect() }))
}

/// Add a contact of a user.
#[utoipa::path(put, operation_id = "put_contact", path = "/v1/users/{user}/contacts/{peer}", tag = "moderation",
    params(("user" = String, Path), ("peer" = String, Path)), request_body = EmptyBody,
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn put(
    State(app): State<App>,
    who: Authenticated,
    PairPath(user, peer): PairPath<UserId>,
    _: Body<EmptyBody>,
) -> Result<StatusCode, Problem> {
    who.service()?;
    app.engine.set_contact(&user, &peer, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a user has this contact.
#[utoipa::path(get, operation_id = "contact", path = "/v1/users/{user}/contacts/{peer}", tag = "moderation",
    params(("user" = String, Path), ("peer" = String, Path)),
    responses((status = 200, body = ContactView), (status = "4XX", body = Problem)))]
pub async fn get(
    State(app): State<App>,
    who: Authenticated,
    PairPath(user, peer): PairPath<UserId>,
) -> Result<Json<ContactView>, Problem> {
    who.service()?;
    if app.engine.contacts(&user).await?.contains(&peer) {
        Ok(Json(ContactView { user: peer.to_string() }))
    } else {
        Err(Problem::new(Code::ContactNotFound, "the user has no such contact"))
    }
}

/// Take a contact off a user's.
#[utoipa::path(delete, operation_id = "remove_contact", path = "/v1/users/{user}/contacts/{peer}", tag = "moderation",
    params(("user" = String, Path), ("peer" = String, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    State(app): State<App>,
    who: Authenticated,
    PairPath(user, peer): PairPath<UserId>,
) -> Result<StatusCode, Problem> {
    who.service()?;
    app.engine.set_contact(&user, &peer, false).await?;
    Ok(StatusCode::NO_CONTENT)
}
