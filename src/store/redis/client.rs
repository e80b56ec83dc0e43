//! How to reach a Redis: one server, the master that Sentinels name, or a node of a cluster.
//!
//! A connection carries any number of commands at once. What happens when one breaks is left to `wire`, and which node of a cluster
//! is asked to `cluster`.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    RedisResult, TlsCertificates, TlsMode,
};
use tokio::time::timeout;

use crate::config::store::{Node, Redis, Topology};

/// How long connecting may take, unless a command may take longer: by TLS and through Sentinel it is several round trips.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Where pushed messages of a connection go.
pub(super) type Pushes = Arc<dyn AsyncPushSender>;

/// Makes connections.
pub(super) struct Client {
    config: Redis,
    /// The trust root in PEM, if it is not the system's.
    ca: Option<Vec<u8>>,
    within: Duration,
}

/// Which server is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// The one of the URL, or the master that Sentinels name.
    Named,
    /// A node of a cluster.
    Node(Node),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("the master"),
            Self::Node(node) => node.fmt(f),
        }
    }
}

impl Client {
    /// A client for commands that may take as long as `timeout`.
    pub(super) fn new(config: &Redis, ca: Option<Vec<u8>>, timeout: Duration) -> Self {
        Self { config: config.clone(), ca, within: timeout.max(CONNECT_WITHIN) }
    }

    /// What it connects to, without secrets.
    pub(super) fn target(&self) -> &Redis {
        &self.config
    }

    /// A new connection; what is pushed to it goes to `pushes`.
    pub(super) async fn connect(&self, place: &Place, pushes: Option<Pushes>) -> RedisResult<MultiplexedConnection> {
        let connected = timeout(self.within, self.connect_some_time(place, pushes)).await;
        connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    async fn connect_some_time(&self, place: &Place, pushes: Option<Pushes>) -> RedisResult<MultiplexedConnection> {
        let client = match (place, &self.config.topology) {
            // A new one each time: one that is shared makes everybody wait for the slowest Sentinel.
            (Place::Named, Topology::Sentinel { .. }) => self.sentinel()?.async_get_client().await?,
            (Place::Named, _) => self.node(self.config.nodes.first())?,
            (Place::Node(node), _) => self.node(Some(node))?,
        };
        // How long it may take is measured above, and a command's time by `link`.
        let mut settings = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        if let Some(pushes) = pushes {
            settings = settings.set_push_sender(pushes);
        }
        client.get_multiplexed_async_connection_with_config(&settings).await
    }

    fn node(&self, node: Option<&Node>) -> RedisResult<redis::Client> {
        let info = self.info(node.ok_or((redis::ErrorKind::InvalidClientConfig, "no address"))?)?;
        match self.certificates() {
            Some(certificates) => redis::Client::build_with_tls(info, certificates),
            None => redis::Client::open(info),
        }
    }

    fn sentinel(&self) -> RedisResult<SentinelClient> {
        let Topology::Sentinel { master, username, password } = &self.config.topology else {
            return Err((redis::ErrorKind::InvalidClientConfig, "no Sentinel").into());
        };
        let addresses = self.config.nodes.iter().map(|node| self.address(node));
        let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
            .set_client_to_redis_db(self.config.database.into())
            .set_client_to_redis_tcp_settings(at_once())
            .set_client_to_sentinel_tcp_settings(at_once())
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
        Ok(self.address(node).into_connection_info()?.set_redis_settings(settings).set_tcp_settings(at_once()))
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

/// What is sent goes out at once and does not wait for more, nor for what was sent before.
fn at_once() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}
