//! `bellwire token`: secrets and keys of the right shape, and a user's token to try the API with.

use clap::Subcommand;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use jsonwebtoken::{EncodingKey, Header};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::{CliError, ConfigFile};
use crate::clock::Clock;
use crate::config::auth::{UserKey, Users};

/// Make secrets, keys and tokens.
#[derive(Debug, clap::Args)]
pub(super) struct Token {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// A secret for `auth.ticket_secret`.
    TicketSecret,
    /// A key for `store.encryption_key`.
    EncryptionKey,
    /// A secret for `webhooks.secrets`.
    WebhookSecret,
    /// A key for the app's backend, and what goes into `auth.service_keys`.
    ServiceKey,
    /// A user's token, signed with the first HS256 secret of the configuration: for trying things out.
    User {
        /// The user's id.
        user: String,
        /// The display name; needs `name_claim` in the configuration.
        #[arg(long)]
        name: Option<String>,
        /// Seconds that the token is good for.
        #[arg(long, default_value_t = 3600)]
        seconds: u64,
        #[command(flatten)]
        file: ConfigFile,
    },
}

impl Token {
    pub(super) fn run(&self) -> Result<(), CliError> {
        let clock = Clock::system();
        match &self.kind {
            Kind::TicketSecret => println!("{}", random_text(&clock)),
            Kind::EncryptionKey => println!("{}", BASE64.encode(&random_bytes(&clock))),
            Kind::WebhookSecret => println!("whsec_{}", BASE64.encode(&random_bytes(&clock))),
            Kind::ServiceKey => {
                let key = format!("bw_sk_{}", random_text(&clock));
                let hash = HEXLOWER.encode(digest(&SHA256, key.as_bytes()).as_ref());
                println!("key for the backend:        {key}\nfor auth.service_keys:      \"sha256:{hash}\"");
            }
            Kind::User { user, name, seconds, file } => {
                let config = file.load()?;
                let now = clock.now().as_secs();
                println!("{}", user_token(&config.auth.users, user, name.as_deref(), now, *seconds)?);
            }
        }
        Ok(())
    }
}

/// 256 random bits as text.
fn random_text(clock: &Clock) -> String {
    BASE64URL_NOPAD.encode(&random_bytes(clock))
}

fn random_bytes(clock: &Clock) -> [u8; 32] {
    let mut bytes = [0; 32];
    clock.random(&mut bytes);
    bytes
}

fn user_token(providers: &[Users], user: &str, name: Option<&str>, now: u64, seconds: u64) -> Result<String, CliError> {
    let by_secret = providers.iter().find_map(|users| match &users.key {
        UserKey::Secret(secret) => Some((users, secret)),
        UserKey::PublicKeyFile(..) | UserKey::Jwks(..) => None,
    });
    let Some((users, secret)) = by_secret else {
        return Err(CliError::Failed("no [[auth.users]] with algorithm HS256 and a secret is configured".into()));
    };
    let mut claims = json!({"iss": users.issuer, "iat": now, "exp": now + seconds});
    if let Some(audience) = &users.audience {
        claims["aud"] = json!(audience);
    }
    for (claim, value) in &users.required_claims {
        set(&mut claims, claim, value);
    }
    set(&mut claims, &users.user_claim, user);
    match (&users.name_claim, name) {
        (Some(claim), Some(name)) => set(&mut claims, claim, name),
        (None, Some(_)) => return Err(CliError::Failed("this issuer has no name_claim".into())),
        _ => {}
    }
    let key = EncodingKey::from_secret(secret.reveal().as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).map_err(|error| CliError::Failed(error.to_string()))
}

/// Sets the claim at a dotted path.
fn set(claims: &mut Value, path: &str, value: &str) {
    let mut place = claims;
    for part in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[part];
    }
    *place = json!(value);
}
