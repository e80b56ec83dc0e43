//! `[history]`: a PostgreSQL that keeps a row of each ended call and of each ban, if there is one.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Secret;
use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};
use super::redis_url::{Parts, decode, encode, node};
use super::store::Node;

/// Where PostgreSQL listens, <https://www.postgresql.org/docs/current/runtime-config-connection.html>.
const POSTGRES_PORT: u16 = 5432;

const SCHEME: &str = "expected a URL that begins with postgresql:// or postgres://";
const USER: &str = "expected a user before the host, as in postgresql://user:password@host/database";
const DATABASE: &str = "expected the name of a database after the host, as in postgresql://user:password@host/database";
const PARAMETER: &str = "the only ? parameter is sslmode, which is disable, prefer, require, verify-ca or verify-full";
const ONLY_VERIFIED: &str = "is only for a history.postgres_url whose sslmode is verify-full or verify-ca";
const ONE_HOST: &str = "expected one host";
const SHARED: &str = "is a schema that others use: give the tables one of their own, such as \"bellwire\"";
/// Schemas of PostgreSQL's, Supabase's and common extensions', in which the tables would be open to whoever those are.
const SHARED_SCHEMAS: [&str; 21] = [
    "public",
    "information_schema",
    "auth",
    "storage",
    "realtime",
    "_realtime",
    "_analytics",
    "vault",
    "extensions",
    "graphql",
    "graphql_public",
    "net",
    "cron",
    "pgbouncer",
    "pgsodium",
    "pgsodium_masks",
    "pgmq",
    "pgmq_public",
    "supabase_functions",
    "supabase_migrations",
    "postgis",
];

/// `[history]`.
#[derive(Debug, Clone)]
pub struct History {
    /// The database; without one, no history is written.
    pub postgres: Option<PostgresUrl>,
    /// Trust roots in PEM, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The schema of the tables: letters, digits and `_`, so it needs no escaping in quotes.
    pub schema: String,
    /// The most connections of one gateway.
    pub connections: u16,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long a row is kept after its call, or its ban, began; absent: for good.
    pub retention: Option<Duration>,
}

/// The URL of a database. It prints without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// Where it listens.
    pub server: Node,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// How TLS is used.
    pub tls: SslMode,
}

/// How TLS is used, <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Not at all.
    Disable,
    /// If the server offers it, whoever that is.
    Prefer,
    /// Always, with whoever answers.
    Require,
    /// Always, with whoever has a certificate of a known authority.
    VerifyCa,
    /// Always, and with this host only.
    VerifyFull,
}

const SSL_MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

pub(super) fn read(fields: &mut Fields) -> Option<History> {
    let ca_file = fields.optional("ca_file", &kind::path());
    let url = fields.optional_secret("postgres_url").map(|url| read_url(url.reveal(), ca_file.is_some()));
    let postgres = match url {
        Some(Ok(url)) => Some(url),
        Some(Err(why)) => fields.problem("postgres_url", why.to_owned()),
        None => None,
    };
    if ca_file.is_some() && postgres.as_ref().is_some_and(|url| !url.tls.verifies()) {
        fields.problem::<()>("ca_file", ONLY_VERIFIED.to_owned());
    }
    let schema = fields.required("schema", &schema());
    if schema.as_ref().is_some_and(|schema| SHARED_SCHEMAS.contains(&schema.as_str()) || schema.starts_with("pg_")) {
        fields.problem::<()>("schema", SHARED.to_owned());
    }
    let connections = fields.required("connections", &kind::number(3, 32));
    let statement_timeout = fields.required("statement_timeout", &kind::duration("100ms", "5s", "3s"));
    let retention = fields.optional("retention", &kind::duration("1d", "36500d", "365d"));
    Some(History {
        postgres,
        ca_file,
        schema: schema?,
        connections: connections?,
        statement_timeout: statement_timeout?,
        retention,
    })
}

/// Why one is refused is always a fixed text, so no password can get into it.
fn read_url(url: &str, has_ca_file: bool) -> Result<PostgresUrl, &'static str> {
    let rest = url.strip_prefix("postgresql://").or_else(|| url.strip_prefix("postgres://")).ok_or(SCHEME)?;
    let parts = Parts::of(rest)?;
    if parts.hosts.contains(',') {
        return Err(ONE_HOST);
    }
    let tls = match parts.query {
        Some(query) => ssl_mode(query)?,
        None if has_ca_file => SslMode::VerifyFull,
        None => SslMode::Prefer,
    };
    let database = decode(parts.path)?;
    if database.is_empty() || database.contains('/') {
        return Err(DATABASE);
    }
    let server = node(parts.hosts, POSTGRES_PORT)?;
    Ok(PostgresUrl { server, user: parts.username.ok_or(USER)?, password: parts.password, database, tls })
}

fn ssl_mode(query: &str) -> Result<SslMode, &'static str> {
    let named = query.strip_prefix("sslmode=").ok_or(PARAMETER)?;
    SSL_MODES.iter().find(|(name, _)| *name == named).map(|(_, mode)| *mode).ok_or(PARAMETER)
}

fn schema() -> Kind<String> {
    Kind::text("1 to 63 lower-case letters, digits and _, no digit first, such as \"bellwire\"", |text| {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins_well = text.starts_with(|c: char| !c.is_ascii_digit());
        (text.len() <= 63 && begins_well && text.chars().all(good)).then(|| text.to_owned())
    })
}

impl SslMode {
    /// Whether it is made sure who answers.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

impl PostgresUrl {
    /// Whether somebody on the way to the database could pose as it.
    pub fn is_open_to_others(&self) -> bool {
        !self.tls.verifies() && !kind::is_loopback(&self.server.host)
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, user, database, tls, .. } = self;
        write!(f, "postgresql://{}@{server}/{}?sslmode={tls}", encode(user), encode(database))
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SSL_MODES.iter().find(|(_, mode)| mode == self).map_or("", |(name, _)| name))
    }
}

impl History {
    pub(super) fn describe(&self, out: &mut Description) {
        out.optional("postgres_url", self.postgres.as_ref());
        out.hides(self.postgres.iter().filter_map(|url| url.password.as_ref()).map(Secret::reveal));
        out.optional("ca_file", self.ca_file.as_ref().map(|file| file.display()));
        out.text("schema", &self.schema);
        out.plain("connections", self.connections);
        out.duration("statement_timeout", self.statement_timeout);
        out.optional("retention", self.retention.map(humantime::format_duration));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_shown_without_its_password() {
        let url = read_url("postgres://bell%40wire:p%2Fss@db.example.com/calls?sslmode=verify-full", false);
        let url = url.expect("a URL");
        let server = Node { host: "db.example.com".to_owned(), port: 5432 };
        assert_eq!((url.server.clone(), url.user.as_str(), url.database.as_str()), (server, "bell@wire", "calls"));
        assert_eq!(url.password.as_ref().map(Secret::reveal), Some("p/ss"));
        let shown = "postgresql://bell%40wire@db.example.com:5432/calls?sslmode=verify-full";
        assert_eq!(url.to_string(), shown);
        assert!(!format!("{url:?}").contains("p/ss"));
    }

    #[test]
    fn a_ca_file_means_that_the_host_is_verified() {
        let mode = |url: &str, ca_file| read_url(url, ca_file).map(|url| url.tls);
        assert_eq!(mode("postgresql://u:p@h/d", false), Ok(SslMode::Prefer));
        assert_eq!(mode("postgresql://u:p@h/d", true), Ok(SslMode::VerifyFull));
        assert_eq!(mode("postgresql://u:p@h/d?sslmode=verify-ca", true), Ok(SslMode::VerifyCa));
    }

    #[test]
    fn only_a_database_on_this_machine_needs_no_proof() {
        let open = |url: &str| read_url(url, false).expect("a URL").is_open_to_others();
        assert!(open("postgresql://u:p@db.example.com/d?sslmode=require"));
        assert!(!open("postgresql://u:p@db.example.com/d?sslmode=verify-full"));
        assert!(!open("postgresql://u:p@127.0.0.1/d") && !open("postgresql://u:p@[::1]/d"));
    }

    #[test]
    fn what_is_no_url_of_one_database_is_refused() {
        for (url, why) in [
            ("mysql://u:p@h/d", SCHEME),
            ("postgresql://h/d", USER),
            ("postgresql://u:p@h", DATABASE),
            ("postgresql://u:p@h/", DATABASE),
            ("postgresql://u:p@h,i/d", ONE_HOST),
            ("postgresql://u:p@h/d?sslmode=allow", PARAMETER),
            ("postgresql://u:p@h/d?pgbouncer=true", PARAMETER),
            ("postgresql://u:p@h/d?sslmode=disable&options=x", PARAMETER),
        ] {
            assert_eq!(read_url(url, false).expect_err(url), why);
        }
    }

    #[test]
    fn a_schema_needs_no_escaping() {
        for (text, good) in
            [("bellwire", true), ("_a1", true), ("1a", false), ("A", false), ("a\"b", false), ("", false)]
        {
            let read = schema();
            let node = super::super::layers::parse(&format!("key = {text:?}"), "x".as_ref(), "".as_ref());
            let node = node.expect("TOML").table().expect("a table").remove("key").expect("a value");
            assert_eq!((read.read)(&node).is_some(), good, "{text}");
        }
    }

    #[test]
    fn a_schema_that_others_use_is_refused() {
        for (name, refused) in
            [("public", true), ("auth", true), ("information_schema", true), ("pg_catalog", true), ("bellwire", false)]
        {
            let keys = [
                ("BELLWIRE__HISTORY__SCHEMA".to_owned(), name.to_owned()),
                ("BELLWIRE__AUTH__TICKET_SECRET".to_owned(), "a-secret-for-the-tickets-of-the-tests".to_owned()),
            ];
            let loaded = super::super::Config::load(None, keys);
            assert_eq!(loaded.as_ref().is_err_and(|error| error.to_string().contains(SHARED)), refused, "{name}");
            assert_eq!(loaded.is_err(), refused, "{name}");
        }
    }
}
