//! Who is believed and who is not: tokens of every kind against one authenticator.

mod attacks;
mod jwks;
mod keys;
mod tokens;

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{AuthError, Authenticator, Caller, UserIdentity, bearer};
use crate::clock::Clock;
use crate::config::Secret;
use crate::config::auth::{Auth, UserKey, Users};
use crate::ticket::Tickets;

const ISSUER: &str = "https://id.example";
const SECRET: &str = "a secret of the identity provider";
const LEEWAY: Duration = Duration::from_secs(30);

fn users(key: UserKey) -> Users {
    Users {
        issuer: ISSUER.to_owned(),
        audience: Some("app".to_owned()),
        key,
        required_claims: BTreeMap::from([("role".to_owned(), "authenticated".to_owned())]),
        user_claim: "sub".to_owned(),
        name_claim: Some("app_metadata.name".to_owned()),
        avatar_claim: Some("https://id.example/avatar".to_owned()),
        avatar_hosts: vec!["cdn.example".to_owned()],
        user_prefix: "u:".to_owned(),
        apps: Vec::new(),
    }
}

fn hs256_users() -> Users {
    users(UserKey::Secret(Secret::new(SECRET)))
}

fn tickets() -> Tickets {
    Tickets::new(&[Secret::new("a ticket secret")]).expect("a secret")
}

fn authenticator(users: Vec<Users>, clock: &Clock) -> Authenticator {
    let config = Auth { users, service_keys: Vec::new(), ticket_secrets: Vec::new(), leeway: LEEWAY };
    Authenticator::new(&config, tickets(), clock.clone()).expect("a good configuration")
}

/// Claims that an hour from now are still good.
fn claims(clock: &Clock) -> Value {
    let now = clock.now().as_secs();
    json!({"iss": ISSUER, "aud": "app", "sub": "bob", "role": "authenticated", "iat": now, "exp": now + 3600})
}

/// `changes` put over `claims`; null takes a claim away.
fn with(mut claims: Value, changes: &Value) -> Value {
    let all = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => all.remove(name),
            value => all.insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn hs256(claims: &Value) -> String {
    hs256_with(SECRET, "JWT", claims)
}

fn hs256_with(secret: &str, typ: &str, claims: &Value) -> String {
    crate::crypto::install().expect("first");
    let header = Header { typ: Some(typ.to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret.as_bytes())).expect("signed")
}

async fn user(authenticator: &Authenticator, token: &str) -> Result<UserIdentity, AuthError> {
    match authenticator.authenticate(token).await? {
        Caller::User(user) => Ok(user),
        other => panic!("not a user: {other:?}"),
    }
}
