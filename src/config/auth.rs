//! `[auth]` and `[[auth.users]]`: who is believed, and by which key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::HEXLOWER;

use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};
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

const ALGORITHMS: &[(&str, Option<Asymmetric>)] =
    &[("HS256", None), ("RS256", Some(Asymmetric::Rs256)), ("ES256", Some(Asymmetric::Es256))];

/// HMAC-SHA256 wants a key as long as its output, RFC 7518 section 3.2.
const LEAST_SECRET_BYTES: usize = 32;

pub(super) fn read(fields: &mut Fields) -> Option<Auth> {
    let users = fields.sections("users", read_users);
    let service_keys = fields.required("service_keys", &kind::list(service_key()));
    let ticket_secrets =
        fields.secrets("ticket_secret", LEAST_SECRET_BYTES, "`bellwire token ticket-secret` makes one");
    let leeway = fields.required("leeway", &kind::duration("0s", "5m", "30s"));
    Some(Auth { users: users?, service_keys: service_keys?, ticket_secrets: ticket_secrets?, leeway: leeway? })
}

fn read_users(fields: &mut Fields) -> Option<Users> {
    let issuer = fields.required("issuer", &kind::text());
    let audience = fields.optional("audience", &kind::text());
    let key = read_key(fields);
    let required_claims = fields.texts("required_claims");
    let user_claim = fields.optional("user_claim", &kind::text());
    let name_claim = fields.optional("name_claim", &kind::text());
    let avatar_claim = fields.optional("avatar_claim", &kind::text());
    let avatar_hosts = fields.optional("avatar_hosts", &kind::list(host()));
    let user_prefix = fields.optional("user_prefix", &kind::text());
    let apps = fields.optional("apps", &kind::list(app()));
    Some(Users {
        issuer: issuer?,
        audience,
        key: key?,
        required_claims: required_claims?,
        user_claim: user_claim.unwrap_or_else(|| "sub".to_owned()),
        name_claim,
        avatar_claim,
        avatar_hosts: avatar_hosts.unwrap_or_default(),
        user_prefix: user_prefix.unwrap_or_default(),
        apps: apps.unwrap_or_default(),
    })
}

fn read_key(fields: &mut Fields) -> Option<UserKey> {
    let algorithm = fields.required("algorithm", &kind::one_of(ALGORITHMS));
    let given = (fields.has("public_key_file"), fields.has("jwks_url"));
    match algorithm {
        Some(None) => {
            fields.refuse("public_key_file", "is not for HS256, which has a secret");
            fields.refuse("jwks_url", "is not for HS256, which has a secret");
            fields.secret("secret", LEAST_SECRET_BYTES).map(UserKey::Secret)
        }
        Some(Some(asymmetric)) => {
            fields.refuse("secret", "is for HS256 only");
            fields.refuse("secret_file", "is for HS256 only");
            let file = fields.optional("public_key_file", &kind::path());
            let url = fields.optional("jwks_url", &kind::safe_url("https://id.example.com/jwks.json"));
            match given {
                (true, false) => file.map(|file| UserKey::PublicKeyFile(asymmetric, file)),
                (false, true) => url.map(|url| UserKey::Jwks(asymmetric, url)),
                _ => fields.problem("algorithm", "expected either public_key_file or jwks_url beside it".to_owned()),
            }
        }
        None => {
            fields.ignore(&["secret", "secret_file", "public_key_file", "jwks_url"]);
            None
        }
    }
}

/// Never quoted: somebody may write the key itself here in place of its hash.
fn service_key() -> Kind<[u8; 32]> {
    let hash = Kind::text("\"sha256:\" and 64 hex digits (`bellwire token service-key` makes one)", |text| {
        let hex = text.strip_prefix("sha256:")?.to_lowercase();
        HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
    });
    hash.unquoted()
}

fn host() -> Kind<String> {
    Kind::text("a host name, such as \"images.example.com\"", |text| {
        let good = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
        (!text.is_empty() && text.chars().all(good)).then(|| text.to_lowercase())
    })
}

/// A bundle id or application id.
pub(super) fn app() -> Kind<AppId> {
    Kind::text("a bundle id or application id, such as \"com.example.phone\"", |text| AppId::new(text).ok())
}

impl Auth {
    pub(super) fn describe(&self, out: &mut Description) {
        out.section("auth");
        let hashes = self.service_keys.iter().map(|hash| format!("sha256:{}...", HEXLOWER.encode(&hash[..4])));
        out.texts("service_keys", hashes);
        out.hides(&self.service_keys);
        out.secret("ticket_secret", self.ticket_secrets.iter().map(Secret::reveal));
        out.duration("leeway", self.leeway);
        for (index, users) in self.users.iter().enumerate() {
            out.section(format!("auth.users[{index}]"));
            users.describe(out);
        }
    }
}

impl Users {
    fn describe(&self, out: &mut Description) {
        out.text("issuer", &self.issuer);
        out.optional("audience", self.audience.as_ref());
        match &self.key {
            UserKey::Secret(secret) => {
                out.one_of("algorithm", None, ALGORITHMS);
                out.secret("secret", [secret.reveal()]);
            }
            UserKey::PublicKeyFile(algorithm, file) => {
                out.one_of("algorithm", Some(*algorithm), ALGORITHMS);
                out.text("public_key_file", file.display());
            }
            UserKey::Jwks(algorithm, url) => {
                out.one_of("algorithm", Some(*algorithm), ALGORITHMS);
                out.text("jwks_url", url);
            }
        }
        for (claim, value) in &self.required_claims {
            out.text(&format!("required_claims.{claim}"), value);
        }
        out.text("user_claim", &self.user_claim);
        out.optional("name_claim", self.name_claim.as_ref());
        out.optional("avatar_claim", self.avatar_claim.as_ref());
        out.texts("avatar_hosts", &self.avatar_hosts);
        out.text("user_prefix", &self.user_prefix);
        out.texts("apps", &self.apps);
    }
}
