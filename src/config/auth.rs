//! `[auth]` and `[[auth.users]]`: who is believed, and by which key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;
use crate::domain::AppId;

/// `[auth]`.
#[derive(Debug, Clone)]
pub struct Auth {
    /// One per identity provider or key.
    pub users: Vec<Users>,
    /// SHA-256 of each service key.
    pub service_keys: Vec<[u8; 32]>,
    /// At least one; the first signs, each verifies.
    pub ticket_secrets: Vec<Secret>,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

/// One `[[auth.users]]`.
#[derive(Debug, Clone)]
pub struct Users {
    /// The `iss` that its tokens carry.
    pub issuer: String,
    /// The `aud` that they must carry, if set.
    pub audience: Option<String>,
    /// The one algorithm with the key that goes with it.
    pub key: UserKey,
    /// Claims that must be there with exactly this value.
    pub required_claims: BTreeMap<String, String>,
    /// Dotted path of the claim that names the user.
    pub user_claim: String,
    /// Dotted path of the claim with the display name, if set.
    pub name_claim: Option<String>,
    /// Dotted path of the claim with the avatar's URL, if set.
    pub avatar_claim: Option<String>,
    /// Hosts from which an avatar may be shown.
    pub avatar_hosts: Vec<String>,
    /// Goes before every user id of this issuer.
    pub user_prefix: String,
    /// Apps for which its users may register devices; empty: all.
    pub apps: Vec<AppId>,
}

/// `algorithm` with `secret`, `public_key_file` or `jwks_url`.
#[derive(Debug, Clone)]
pub enum UserKey {
    /// HS256.
    Secret(Secret),
    /// RS256 or ES256 by a PEM file.
    PublicKeyFile(Asymmetric, PathBuf),
    /// RS256 or ES256 by a JWKS URL.
    Jwks(Asymmetric, String),
}

/// The asymmetric algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asymmetric {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}
