//! `[store]`: where calls, devices and everything else that lasts is kept.
//!
//! How the URL of a Redis store is written is left to `redis_url`.

use std::path::PathBuf;
use std::time::Duration;

use data_encoding::BASE64;

use super::Secret;
use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};
use super::redis_url;

/// `[store]`.
#[derive(Debug, Clone)]
pub struct Store {
    /// Which store, and where.
    pub url: StoreUrl,
    /// How long a command may take.
    pub timeout: Duration,
    /// What push tokens are encrypted by: the first entry says how they are written, all keys of it read. Empty: not at all.
    pub encryption: Vec<EncryptionKey>,
    /// How long a device is kept that is not registered again.
    pub devices_kept: Duration,
}

/// An entry of `store.encryption_key`.
#[derive(Clone, PartialEq, Eq)]
pub enum EncryptionKey {
    /// No key: what is written is not encrypted.
    Plain,
    /// A key.
    Key([u8; 32]),
}

impl EncryptionKey {
    /// The key, if it is one.
    pub const fn bytes(&self) -> Option<&[u8; 32]> {
        match self {
            Self::Plain => None,
            Self::Key(key) => Some(key),
        }
    }
}

impl std::fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// `store.url`, with the keys that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// The embedded store, by its file.
    Embedded(PathBuf),
    /// One Redis for any number of instances.
    Redis(Redis),
}

/// A Redis store. It prints as its URL, without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// How its servers stand together.
    pub topology: Topology,
    /// Host and port of the server, of some nodes of the cluster, or of each sentinel; at least one.
    pub nodes: Vec<Node>,
    /// Whether servers and sentinels are spoken to by TLS.
    pub tls: bool,
    /// The ACL user; never without a password.
    pub username: Option<String>,
    /// The password of that user, or of the default user.
    pub password: Option<Secret>,
    /// The number of the database; 0 in a cluster.
    pub database: u16,
    /// Trust roots in PEM, instead of the system's; only with TLS.
    pub ca_file: Option<PathBuf>,
    /// Begins every key and channel: 1 to 32 letters, digits, `:`, `_` and `-`.
    pub key_prefix: String,
}

/// Where one server or sentinel listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// A name, or an address; one of IPv6 without its brackets.
    pub host: String,
    /// From 1.
    pub port: u16,
}

/// How the servers of a Redis store stand together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Single,
    /// A master and its replicas, found by asking sentinels.
    Sentinel {
        /// What the sentinels call the master.
        master: String,
        /// The ACL user at the sentinels; never without a password.
        username: Option<String>,
        /// The password at the sentinels.
        password: Option<Secret>,
    },
    /// A Redis Cluster.
    Cluster,
}

const DEFAULT_PREFIX: &str = "bw";

/// The keys that an embedded store has no use for.
const REDIS_KEYS: &[&str] = &[
    "username",
    "password",
    "password_file",
    "sentinel_username",
    "sentinel_password",
    "sentinel_password_file",
    "ca_file",
    "key_prefix",
];
const SENTINEL_KEYS: &[&str] = &["sentinel_username", "sentinel_password", "sentinel_password_file"];

/// In place of the first key: nothing is encrypted.
const PLAIN: &str = "none";
const ENCRYPTION: &str = "expected the base64 of 32 bytes, as bellwire token encryption-key makes one, or a list of such that may begin with \"none\"";

const ONLY_REDIS: &str = "is only for a store.url of Redis";
const ONLY_SENTINEL: &str = "is only for a store.url of redis-sentinel://";
const ONLY_TLS: &str = "is only for a store.url with TLS: rediss://, or ?tls=true for Sentinel and a cluster";
const TWICE: &str = "stands in store.url too; expected one of the two";

pub(super) fn read(fields: &mut Fields) -> Option<Store> {
    let url = fields.required("url", &store_url());
    let url = match url {
        Some(Ok(StoreUrl::Redis(redis))) => Some(StoreUrl::Redis(read_beside(fields, redis))),
        Some(Ok(embedded @ StoreUrl::Embedded(_))) => {
            refuse(fields, REDIS_KEYS, ONLY_REDIS);
            Some(embedded)
        }
        Some(Err(why)) => fields.problem("url", why.to_owned()),
        None => None,
    };
    // Without a URL, nothing can be said about them.
    fields.ignore(REDIS_KEYS);
    let timeout = fields.required("timeout", &kind::duration("10ms", "1m", "1s"));
    let encryption = encryption(fields);
    let devices_kept = fields.required("devices_kept", &kind::duration("1d", "3650d", "270d"));
    Some(Store { url: url?, timeout: timeout?, encryption: encryption?, devices_kept: devices_kept? })
}

fn encryption(fields: &mut Fields) -> Option<Vec<EncryptionKey>> {
    let keys = fields.optional_secrets("encryption_key", PLAIN.len(), "bellwire token encryption-key makes one")?;
    let read: Option<Vec<EncryptionKey>> = keys.iter().map(|key| encryption_key(key.reveal())).collect();
    match read {
        Some(keys) if !keys.iter().skip(1).any(|key| *key == EncryptionKey::Plain) => Some(keys),
        _ => fields.problem("encryption_key", ENCRYPTION.to_owned()),
    }
}

fn encryption_key(text: &str) -> Option<EncryptionKey> {
    if text == PLAIN {
        return Some(EncryptionKey::Plain);
    }
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok().map(EncryptionKey::Key)
}

/// One of Redis is read, or refused for a reason; anything else is never quoted, because it may have a password in it.
fn store_url() -> Kind<Result<StoreUrl, &'static str>> {
    let expected = "\"embedded:\" and the path of a file, such as \"embedded:data/bellwire.redb\", or a URL that \
                    begins with redis://, rediss://, redis-sentinel:// or redis-cluster://";
    let url = Kind::new(expected, |node| {
        let text = node.text()?;
        match text.strip_prefix("embedded:") {
            Some(path) => (!path.is_empty()).then(|| Ok(StoreUrl::Embedded(node.path(path)))),
            None => redis_url::read(text).map(|redis| redis.map(StoreUrl::Redis)),
        }
    });
    url.unquoted()
}

/// Adds to what the URL says what stands beside it. A problem that is noted here leaves something out.
fn read_beside(fields: &mut Fields, url: Redis) -> Redis {
    let username = match url.username {
        Some(username) => {
            refuse(fields, &["username"], TWICE);
            Some(username)
        }
        None => fields.optional("username", &kind::text()),
    };
    let password = match url.password {
        Some(password) => {
            refuse(fields, &["password", "password_file"], TWICE);
            Some(password)
        }
        None => password(fields, "password", username.as_ref()),
    };
    let topology = read_topology(fields, url.topology);
    if !url.tls {
        refuse(fields, &["ca_file"], ONLY_TLS);
    }
    let ca_file = fields.optional("ca_file", &kind::path());
    let key_prefix = fields.optional("key_prefix", &key_prefix()).unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
    Redis { topology, username, password, ca_file, key_prefix, ..url }
}

fn read_topology(fields: &mut Fields, url: Topology) -> Topology {
    match url {
        Topology::Sentinel { master, .. } => {
            let username = fields.optional("sentinel_username", &kind::text());
            let password = password(fields, "sentinel_password", username.as_ref());
            Topology::Sentinel { master, username, password }
        }
        other => {
            refuse(fields, SENTINEL_KEYS, ONLY_SENTINEL);
            other
        }
    }
}

/// A password, which a user cannot do without.
fn password(fields: &mut Fields, key: &str, username: Option<&String>) -> Option<Secret> {
    if username.is_some() { fields.secret(key, 1) } else { fields.optional_secret(key) }
}

fn key_prefix() -> Kind<String> {
    Kind::text("1 to 32 letters, digits, :, _ and -, such as \"bw\"", |text| {
        let good = |c: char| c.is_ascii_alphanumeric() || ":_-".contains(c);
        ((1..=32).contains(&text.len()) && text.chars().all(good)).then(|| text.to_owned())
    })
}

fn refuse(fields: &mut Fields, keys: &[&str], why: &str) {
    for key in keys {
        fields.refuse(key, why);
    }
}

impl Store {
    pub(super) fn describe(&self, out: &mut Description) {
        match &self.url {
            StoreUrl::Embedded(path) => out.text("url", format_args!("embedded:{}", path.display())),
            StoreUrl::Redis(redis) => redis.describe(out),
        }
        out.duration("timeout", self.timeout);
        out.duration("devices_kept", self.devices_kept);
        if !self.encryption.is_empty() {
            out.secret("encryption_key", self.encryption.iter().map(|key| key.bytes().map_or(&[][..], |key| key)));
        }
    }
}

impl Redis {
    fn describe(&self, out: &mut Description) {
        out.text("url", self);
        if let Some(password) = &self.password {
            out.secret("password", [password.reveal()]);
        }
        if let Topology::Sentinel { username, password, .. } = &self.topology {
            out.optional("sentinel_username", username.as_ref());
            if let Some(password) = password {
                out.secret("sentinel_password", [password.reveal()]);
            }
        }
        out.optional("ca_file", self.ca_file.as_ref().map(|file| file.display()));
        out.text("key_prefix", &self.key_prefix);
    }
}
