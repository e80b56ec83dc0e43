//! One Redis server, on a port and in a folder of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult, TlsCertificates, Value};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use super::{binary, tls};
use crate::support::SOON;
use crate::support::child::Child;
use crate::support::ports::free_port;

/// The settings of every server. With `always`, what was acknowledged is on disk.
const SETTINGS: &str = "bind 127.0.0.1\nsave \"\"\nappendonly yes\nappendfsync always\n";

/// How a server is spoken to, and what it is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// By TLS alone, and with users.
    Tls,
    Sentinel,
}

/// A server of Redis 7, killed when dropped. It keeps its data in an append-only file.
pub struct RedisServer {
    /// None while it is down.
    child: Option<Child>,
    port: u16,
    kind: Kind,
    binary: PathBuf,
    folder: TempDir,
}

impl RedisServer {
    /// Starts one. Without a redis-server on this machine it says that the test is skipped, and gives none.
    pub async fn start() -> Option<Self> {
        Self::with(&[]).await
    }

    /// As [`start`](Self::start), with these settings too, as they would stand in `redis.conf`.
    pub async fn with(settings: &[(&str, &str)]) -> Option<Self> {
        let binary = binary()?;
        let lines = settings.iter().map(|(name, value)| format!("{name} {value}\n")).collect::<Vec<_>>().concat();
        Some(Self::launch(&binary, Kind::Plain, || lines.clone()).await)
    }

    /// As [`start`](Self::start), by TLS alone, and with the user [`USER`](super::USER) who may touch keys and channels that
    /// begin with `bw:`.
    pub async fn with_tls_and_acl() -> Option<Self> {
        Some(Self::launch(&binary()?, Kind::Tls, tls::settings).await)
    }

    /// The server that the tests of this process share: nobody stops it or empties it, and each test uses a
    /// [`fresh_prefix`](super::fresh_prefix).
    pub async fn shared() -> Option<&'static Self> {
        static SERVER: OnceCell<Option<RedisServer>> = OnceCell::const_new();
        binary()?;
        SERVER.get_or_init(|| Self::with(&[("appendfsync", "everysec")])).await.as_ref()
    }

    /// As [`shared`](Self::shared), of [`with_tls_and_acl`](Self::with_tls_and_acl).
    pub async fn shared_with_tls_and_acl() -> Option<&'static Self> {
        static SERVER: OnceCell<Option<RedisServer>> = OnceCell::const_new();
        binary()?;
        SERVER.get_or_init(Self::with_tls_and_acl).await.as_ref()
    }

    /// Starts a server on a free port. The settings are asked for at each try, for they may name ports too.
    pub(super) async fn launch(binary: &Path, kind: Kind, settings: impl Fn() -> String) -> Self {
        // A port that is free now may be taken by then: another try.
        let mut told = String::new();
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder");
            let port = free_port();
            let ports = match kind {
                Kind::Tls => format!("port 0\ntls-port {port}"),
                Kind::Plain | Kind::Sentinel => format!("port {port}"),
            };
            let text = format!("{SETTINGS}dir data\n{ports}\n{}", settings());
            std::fs::write(folder.path().join("redis.conf"), text).expect("the settings");
            std::fs::create_dir(folder.path().join("data")).expect("a folder");
            if kind == Kind::Tls {
                tls::write_certificates(folder.path());
            }
            let mut server = Self { child: None, port, kind, binary: binary.to_owned(), folder };
            if server.run().await {
                return server;
            }
            told = server.log();
        }
        panic!("redis-server does not start: {told}");
    }

    /// Runs it until it answers; false if it ends instead.
    async fn run(&mut self) -> bool {
        let role: &[&str] = if self.kind == Kind::Sentinel { &["--sentinel"] } else { &[] };
        let arguments = [&["redis.conf"], role].concat();
        self.child = Some(Child::spawn(&self.binary, &arguments, self.folder.path()));
        let ready = async {
            while !self.answers().await {
                if self.child.as_mut().is_some_and(Child::has_ended) {
                    return false;
                }
                sleep(Duration::from_millis(10)).await;
            }
            true
        };
        timeout(3 * SOON, ready).await.expect("redis-server answers in time")
    }

    /// Whether this very process answers on the port, and has read its data.
    async fn answers(&self) -> bool {
        let Ok(info) = self.try_command(&["INFO", "server"]).await else { return false };
        let info: String = redis::from_redis_value(info).expect("a text");
        let id = self.child.as_ref().map(|child| format!("process_id:{}\r\n", child.id()));
        id.is_some_and(|id| info.contains(&id)) && self.try_command(&["PING"]).await.is_ok()
    }

    /// Kills it, as `kill -9` does, and waits for its end.
    pub fn kill(&mut self) {
        self.child = None;
    }

    /// Starts it again on the same port, with its data.
    pub async fn start_again(&mut self) {
        self.kill();
        assert!(self.run().await, "redis-server does not start again: {}", self.log());
    }

    /// Kills it and removes its data.
    pub fn wipe(&mut self) {
        self.kill();
        let data = self.folder.path().join("data");
        std::fs::remove_dir_all(&data).and_then(|()| std::fs::create_dir(&data)).expect("an empty folder");
    }

    /// Stops it where it stands: connections stay open, and nothing is answered.
    pub fn pause(&mut self) {
        self.running().signal("STOP");
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&mut self) {
        self.running().signal("CONT");
    }

    /// Leaves it as killed tests would: it is to end by itself, and its folder with it.
    pub fn abandon(&mut self) {
        self.running().abandon();
    }

    pub(super) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    fn running(&mut self) -> &mut Child {
        self.child.as_mut().expect("it runs")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, as `store.url` takes it.
    pub fn url(&self) -> String {
        let scheme = if self.kind == Kind::Tls { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The certificate authority to trust, of a server with TLS.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Sends a command that must succeed, with every right that there is.
    pub async fn command(&self, words: &[&str]) -> Value {
        self.try_command(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Sends a command to a server that may be gone, or refuse it.
    pub async fn try_command(&self, words: &[&str]) -> RedisResult<Value> {
        let client = match self.kind {
            Kind::Tls => {
                let ca = std::fs::read(self.ca_file())?;
                let url = format!("rediss://{}:{}@127.0.0.1:{}", tls::ADMIN, tls::PASSWORD, self.port);
                Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert: Some(ca) })?
            }
            Kind::Plain | Kind::Sentinel => Client::open(self.url())?,
        };
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(SOON)).set_response_timeout(Some(SOON));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let (name, arguments) = words.split_first().expect("a command");
        redis::cmd(name).arg(arguments).query_async(&mut connection).await
    }

    /// Sends a command whose answer is of this kind.
    pub async fn read<T: FromRedisValue>(&self, words: &[&str]) -> T {
        redis::from_redis_value(self.command(words).await).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}
