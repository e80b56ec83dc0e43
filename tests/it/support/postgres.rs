//! PostgreSQL servers for tests: a throwaway cluster each, in a folder of its own, with TLS and the roles that Supabase has.
//!
//! They run where there is one: `BELLWIRE_TEST_POSTGRES` names the program, or `postgres` is on the path, or Debian's package is installed.
//! PostgreSQL does not run as root, so there it runs as another user. Each ends with its value, and in any case with the process of the tests.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bellwire::config::{Config, History};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use super::SOON;
use super::child::Child;
use super::ports::free_port;
use super::redis::tls::write_certificates;

/// The password of every role.
pub const PASSWORD: &str = "a-password-of-the-tests";
/// Who may do anything.
const ADMIN: &str = "admin";
/// Users who may run a server where the tests are root's.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The roles: the gateway's, and those of a Supabase project. `dashboard` is its `postgres`: no superuser, but makes roles and schemas.
const ROLES: &str = "CREATE ROLE bellwire LOGIN PASSWORD 'a-password-of-the-tests';
    CREATE ROLE dashboard LOGIN CREATEDB CREATEROLE PASSWORD 'a-password-of-the-tests';
    CREATE ROLE anon NOLOGIN;
    CREATE ROLE authenticated NOLOGIN;
    CREATE ROLE service_role NOLOGIN BYPASSRLS;
    GRANT anon, authenticated, service_role, bellwire TO dashboard";

/// The program, or why there is none.
static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    let named = std::env::var_os("BELLWIRE_TEST_POSTGRES").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&path).map(|folder| folder.join("postgres")).find(|path| path.is_file());
    let of_debian = || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
        versions.map(|version| version.path().join("bin/postgres")).filter(|program| program.is_file()).max()
    };
    let program = named.or_else(on_path).or_else(of_debian);
    let program = program.ok_or("no postgres on the path, and BELLWIRE_TEST_POSTGRES is not set")?;
    // What comes with it stands beside it, and not beside a link to it.
    fs::canonicalize(&program).map_err(|error| format!("{}: {error}", program.display()))
});

/// A running server; ended when dropped.
pub struct PostgresServer {
    child: Option<Child>,
    port: u16,
    program: PathBuf,
    /// Its owner, where the tests are root's.
    user: Option<String>,
    folder: TempDir,
}

/// A database of a server, which belongs to the gateway's role.
pub struct Database<'a> {
    server: &'a PostgresServer,
    pub name: String,
}

impl PostgresServer {
    /// A server of its own. Without a program, says that this test is skipped.
    pub async fn start() -> Option<Self> {
        let program = PROGRAM.as_ref().map_err(|reason| println!("SKIPPED: {reason}")).ok()?.clone();
        let folder = tempfile::tempdir().expect("a folder");
        write_certificates(folder.path());
        fs::write(folder.path().join("password"), PASSWORD).expect("a file");
        let user = unprivileged(folder.path());
        let mut server = Self { child: None, port: 0, program, user, folder };
        server.initialise();
        // A port that is free now may be taken by then: another try.
        for _ in 0..5 {
            server.port = free_port();
            if server.run().await {
                server.as_admin("postgres").await.execute(ROLES).await.expect("the roles");
                return Some(server);
            }
        }
        panic!("postgres does not start: {}", server.log());
    }

    /// The server that the tests of this process share: nobody stops it, and each test has a [`database`](Self::database).
    pub async fn shared() -> Option<&'static Self> {
        static SERVER: OnceCell<Option<PostgresServer>> = OnceCell::const_new();
        SERVER.get_or_init(Self::start).await.as_ref()
    }

    fn initialise(&self) {
        let mut words = self.as_user(&self.program.with_file_name("initdb"));
        words.extend(["-D", "data", "-U", ADMIN, "--pwfile=password", "--auth=scram-sha-256"].map(String::from));
        words.extend(["--no-sync", "--no-locale", "--encoding=UTF8", "--no-instructions"].map(String::from));
        let made = Command::new(&words[0]).args(&words[1..]).current_dir(self.folder.path()).output().expect("initdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// The words that run a program as the owner.
    fn as_user(&self, program: &Path) -> Vec<String> {
        let program = program.to_str().expect("text").to_owned();
        match &self.user {
            Some(user) => {
                let group = format!("--regid={}", fs::metadata(self.folder.path()).expect("a folder").gid());
                ["setpriv", &format!("--reuid={user}"), &group, "--clear-groups", &program].map(String::from).to_vec()
            }
            None => vec![program],
        }
    }

    /// Runs it until it answers; false if it ends instead.
    async fn run(&mut self) -> bool {
        let mut words = self.as_user(&self.program);
        words.extend(["-D", "data", "-p", &self.port.to_string()].map(String::from));
        let settings = [
            "listen_addresses=127.0.0.1,127.0.0.2",
            "unix_socket_directories=",
            "fsync=off",
            "ssl=on",
            "ssl_cert_file=../certificate.pem",
            "ssl_key_file=../key.pem",
        ];
        words.extend(settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
        let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        self.child = Some(Child::ended_by("QUIT", Path::new(&words[0]), &arguments, self.folder.path()));
        let ready = async {
            while self.options(ADMIN, "postgres").connect().await.is_err() {
                if self.child.as_mut().is_some_and(Child::has_ended) {
                    return false;
                }
                sleep(Duration::from_millis(20)).await;
            }
            true
        };
        timeout(3 * SOON, ready).await.expect("postgres answers in time")
    }

    /// Ends it at once, its connections too.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        child.signal("QUIT");
        // What it shares with its processes is gone only when it has ended by itself.
        for _ in 0..500 {
            if child.has_ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it again on the same port, with its data.
    pub async fn start_again(&mut self) {
        self.stop();
        assert!(self.run().await, "postgres does not start again: {}", self.log());
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate authority of its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn options(&self, user: &str, database: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.port).username(user);
        options.password(PASSWORD).database(database).ssl_mode(PgSslMode::Disable)
    }

    async fn as_admin(&self, database: &str) -> PgConnection {
        self.options(ADMIN, database).connect().await.expect("a connection")
    }

    /// A new database that belongs to the gateway's role.
    pub async fn database(&self) -> Database<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut admin = self.as_admin("postgres").await;
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} OWNER bellwire"))).await.expect("a database");
        Database { server: self, name }
    }

    /// A database that was there before.
    pub fn existing(&self, name: &str) -> Database<'_> {
        Database { server: self, name: name.to_owned() }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Gives a folder to a user who may run a server, if the tests are root's, and says who that is.
fn unprivileged(folder: &Path) -> Option<String> {
    // PostgreSQL takes no key that others may read.
    fs::set_permissions(folder.join("key.pem"), fs::Permissions::from_mode(0o600)).expect("its permissions");
    if fs::metadata(folder).expect("a folder").uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let fields: Vec<Vec<&str>> = users.lines().map(|line| line.split(':').collect()).collect();
    let user = UNPRIVILEGED.iter().find_map(|name| fields.iter().find(|user| user[0] == *name)).expect("a user");
    let id = |field: usize| Some(user[field].parse().expect("a number"));
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    for path in entries.chain([folder.to_owned()]) {
        chown(path, id(2), id(3)).expect("another owner");
    }
    Some(user[0].to_owned())
}

impl Database<'_> {
    /// Where the gateway finds it, and these parameters.
    pub fn url(&self, parameters: &str) -> String {
        self.url_at(self.server.port, PASSWORD, parameters)
    }

    pub fn url_at(&self, port: u16, password: &str, parameters: &str) -> String {
        format!("postgresql://bellwire:{password}@127.0.0.1:{port}/{}{parameters}", self.name)
    }

    /// The lines of the configuration.
    pub fn section(&self) -> String {
        section(&self.url("?sslmode=disable"))
    }

    /// A connection of a role that may log in.
    pub async fn connection(&self, user: &str) -> PgConnection {
        self.server.options(user, &self.name).connect().await.expect("a connection")
    }

    /// A connection of who may do anything.
    pub async fn admin(&self) -> PgConnection {
        self.connection(ADMIN).await
    }

    /// Runs statements as who may do anything.
    pub async fn run(&self, statements: &str) {
        let mut admin = self.admin().await;
        admin
            .execute(AssertSqlSafe(statements.to_owned()))
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error}"));
        admin.close().await.expect("closed");
    }

    /// The rows of a query, as JSON.
    pub async fn rows(&self, query: &str) -> Vec<Value> {
        rows(&mut self.admin().await, query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// The only row of a query, once there is one.
    pub async fn row(&self, query: &str) -> Value {
        self.row_within(SOON, query).await
    }

    pub async fn row_within(&self, how_long: Duration, query: &str) -> Value {
        let waiting = async {
            loop {
                // The table may be yet to come, and the server too.
                let found = match self.server.options(ADMIN, &self.name).connect().await {
                    Ok(mut admin) => rows(&mut admin, query).await.unwrap_or_default(),
                    Err(_) => Vec::new(),
                };
                if let [row] = &found[..] {
                    return row.clone();
                }
                assert!(found.len() < 2, "{query}: {found:?}");
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(how_long, waiting).await.unwrap_or_else(|_| panic!("there is never a row: {query}"))
    }
}

/// The lines of the configuration for a database at this URL.
pub fn section(url: &str) -> String {
    format!("[history]\npostgres_url = \"{url}\"\n")
}

/// `[history]` with these keys.
pub fn history(keys: &[(&str, &str)]) -> History {
    let secret = ("BELLWIRE__AUTH__TICKET_SECRET".to_owned(), "a-secret-for-the-tickets-of-the-tests".to_owned());
    let keys =
        keys.iter().map(|(key, value)| (format!("BELLWIRE__HISTORY__{}", key.to_uppercase()), (*value).to_owned()));
    Config::load(None, keys.chain([secret])).expect("a configuration").history
}

/// The rows of a query, as JSON.
pub async fn rows(connection: &mut PgConnection, query: &str) -> sqlx::Result<Vec<Value>> {
    let query = AssertSqlSafe(format!("SELECT row_to_json(found)::text FROM ({query}) AS found"));
    let rows = sqlx::query(query).fetch_all(connection).await?;
    Ok(rows.iter().map(|row| serde_json::from_str(row.get(0)).expect("JSON")).collect())
}
