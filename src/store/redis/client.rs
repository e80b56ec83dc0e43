//! How to reach a Redis: one server, the master that Sentinels name, or the nodes of a cluster.
//!
//! A connection carries any number of commands at once. What happens when one breaks is `link`'s.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, ProtocolVersion,
    PushInfo, RedisConnectionInfo, RedisResult, TlsCertificates, TlsMode, Value, cmd,
};
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::config::store::{Node, Redis, Topology};

/// Pushed messages of a subscription.
pub(super) type Pushes = UnboundedSender<PushInfo>;

/// How long a cluster's client waits before it tries a command again, in milliseconds.
const CLUSTER_PAUSE_MS: (u64, u64) = (10, 200);
/// How often it does so before `link` takes over.
const CLUSTER_RETRIES: u32 = 3;

/// Makes connections.
pub(super) struct Client {
    config: Redis,
    /// The trust root in PEM, if it is not the system's.
    ca: Option<Vec<u8>>,
    timeout: Duration,
    /// Knows which sentinel answered last.
    sentinel: Option<Arc<Mutex<SentinelClient>>>,
}

/// A connection. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    /// To one server.
    Node(MultiplexedConnection),
    /// To the nodes of a cluster.
    Cluster(ClusterConnection),
}

impl Client {
    /// A client that waits at most `timeout` for a connection.
    pub(super) fn new(config: &Redis, ca: Option<Vec<u8>>, timeout: Duration) -> RedisResult<Self> {
        let mut client = Self { config: config.clone(), ca, timeout, sentinel: None };
        if let Topology::Sentinel { .. } = config.topology {
            client.sentinel = Some(Arc::new(Mutex::new(client.sentinel()?)));
        }
        Ok(client)
    }

    /// What it connects to, without secrets.
    pub(super) fn target(&self) -> &Redis {
        &self.config
    }

    /// A new connection; what is pushed to it goes to `pushes`.
    pub(super) async fn connect(&self, pushes: Option<Pushes>) -> RedisResult<Connection> {
        if let Topology::Cluster = self.config.topology {
            return Ok(Connection::Cluster(self.cluster(pushes)?.get_async_connection().await?));
        }
        let client = match &self.sentinel {
            Some(sentinel) => sentinel.lock().await.async_get_client().await?,
            None => self.single()?,
        };
        // A command's time is `link`'s to measure.
        let mut settings =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.timeout)).set_response_timeout(None);
        if let Some(pushes) = pushes {
            settings = settings.set_push_sender(pushes);
        }
        Ok(Connection::Node(client.get_multiplexed_async_connection_with_config(&settings).await?))
    }

    fn single(&self) -> RedisResult<redis::Client> {
        let node = self.config.nodes.iter().take(1).map(|node| self.info(node)).collect::<RedisResult<Vec<_>>>()?;
        let info = node.into_iter().next().ok_or((redis::ErrorKind::InvalidClientConfig, "no address"))?;
        match self.certificates() {
            Some(certificates) => redis::Client::build_with_tls(info, certificates),
            None => redis::Client::open(info),
        }
    }

    fn cluster(&self, pushes: Option<Pushes>) -> RedisResult<ClusterClient> {
        let nodes = self.config.nodes.iter().map(|node| self.info(node)).collect::<RedisResult<Vec<_>>>()?;
        let mut builder = ClusterClientBuilder::new(nodes)
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(self.timeout)
            .response_timeout(self.timeout)
            .overall_response_timeout(None)
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(CLUSTER_PAUSE_MS.0)
            .max_retry_wait(CLUSTER_PAUSE_MS.1);
        if let Some(certificates) = self.certificates() {
            builder = builder.certs(certificates);
        }
        if let Some(pushes) = pushes {
            builder = builder.push_sender(pushes);
        }
        builder.build()
    }

    fn sentinel(&self) -> RedisResult<SentinelClient> {
        let Topology::Sentinel { master, username, password } = &self.config.topology else {
            return Err((redis::ErrorKind::InvalidClientConfig, "no Sentinel").into());
        };
        let addresses = self.config.nodes.iter().map(|node| self.address(node));
        let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
            .set_client_to_redis_db(self.config.database.into())
            .set_client_to_redis_protocol(ProtocolVersion::RESP3);
        if let Some(name) = &self.config.username {
            builder = builder.set_client_to_redis_username(name);
        }
        if let Some(password) = &self.config.password {
            builder = builder.set_client_to_redis_password(password.reveal());
        }
        if let Some(name) = username {
            builder = builder.set_client_to_sentinel_username(name);
        }
        if let Some(password) = password {
            builder = builder.set_client_to_sentinel_password(password.reveal());
        }
        if self.config.tls {
            builder =
                builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = self.certificates() {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        builder.build()
    }

    fn info(&self, node: &Node) -> RedisResult<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if self.config.database != 0 {
            settings = settings.set_db(self.config.database.into());
        }
        if let Some(name) = &self.config.username {
            settings = settings.set_username(name);
        }
        if let Some(password) = &self.config.password {
            settings = settings.set_password(password.reveal());
        }
        Ok(self.address(node).into_connection_info()?.set_redis_settings(settings))
    }

    fn address(&self, node: &Node) -> ConnectionAddr {
        let (host, port) = (node.host.clone(), node.port);
        if self.config.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = self.ca.clone()?;
        self.config.tls.then_some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
    }
}

impl Connection {
    /// Sends a command and waits for its answer.
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Node(node) => command.query_async(node).await,
            Self::Cluster(cluster) => command.query_async(cluster).await,
        }
    }

    /// Sends commands on keys of one partition, and waits for their answers.
    pub(super) async fn ask_all(&mut self, commands: &Pipeline) -> RedisResult<Value> {
        match self {
            Self::Node(node) => commands.query_async(node).await,
            Self::Cluster(cluster) => commands.query_async(cluster).await,
        }
    }

    /// Listens to a channel of one partition.
    pub(super) async fn subscribe(&mut self, channel: &str) -> RedisResult<()> {
        match self {
            Self::Node(node) => cmd("SSUBSCRIBE").arg(channel).query_async(node).await,
            Self::Cluster(cluster) => cluster.ssubscribe(channel).await,
        }
    }
}
