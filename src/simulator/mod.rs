//! A simulator of the push providers on the wire: both of Apple's hosts, FCM v1 and Google's OAuth token endpoint.
//!
//! It speaks HTTP/2 over TLS, checks what Apple and Google check, answers with their errors, and misbehaves by
//! [`Rule`]. It is part of Bellwire for `bellwire simulate`, for the demo, for Bellwire's tests, and for the CI of
//! those who build on it. Its keys are its own: nothing that it makes opens anything at Apple or Google.
//!
//! Left out, because `h2`'s server cannot change it on an open connection: Apple's limit of one stream until the
//! first authenticated answer. Also left out: Apple's closing of connections that cause too many errors.

mod apns;
mod connection;
mod credentials;
mod device;
mod exchange;
mod google;
mod jwt;
mod log;
mod rsa_key;
mod rule;
mod rules;
#[cfg(test)]
mod tests;
mod tls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use credentials::{CredentialFiles, Credentials};
pub use log::{Follower, Log, Provider, Received};
pub use rule::{Rule, RuleError};

use crate::clock::Clock;
use crate::domain::{Environment, Timestamp};

/// An RSA private key for the tests of other parts, PKCS#8 in PEM; blocks while the process has none yet.
#[cfg(test)]
pub(crate) fn rsa_private_pem() -> String {
    rsa_key::RsaKey::of_process(&Clock::system()).expect("a key").private_pem.clone()
}

/// Where a simulator listens, and what it starts with.
#[derive(Clone)]
pub struct Options {
    /// The address to listen on.
    pub listen: IpAddr,
    /// The name by which others reach it, in its URLs and its certificate; by default the address.
    pub host: Option<String>,
    /// Port of Apple's production host; 0: the system chooses.
    pub apns_port: u16,
    /// Port of Apple's sandbox host; 0: the system chooses.
    pub apns_sandbox_port: u16,
    /// Port of FCM and of the OAuth token endpoint; 0: the system chooses.
    pub fcm_port: u16,
    /// The faults to start with.
    pub rules: Vec<Rule>,
    /// How many requests the log keeps; each takes two to three kilobytes.
    pub log_capacity: usize,
    /// The time by which tokens are judged.
    pub clock: Clock,
}

impl Options {
    /// Loopback, ports that the system chooses, no faults, a log of 100,000 requests.
    pub fn new(clock: Clock) -> Self {
        Self {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host: None,
            apns_port: 0,
            apns_sandbox_port: 0,
            fcm_port: 0,
            rules: Vec::new(),
            log_capacity: 100_000,
            clock,
        }
    }
}

/// Why a simulator could not start.
#[derive(Debug, Error)]
pub enum SimulatorError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The certificates or the APNs key could not be made; most likely `host` is no name.
    #[error("cannot make certificates")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refuses them.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The service account's key could not be made.
    #[error("cannot make an RSA key: {0}")]
    RsaKey(String),
    /// The runtime stopped meanwhile.
    #[error("stopped while making keys")]
    Stopped(#[from] tokio::task::JoinError),
}

/// A running simulator; dropping it ends its connections.
pub struct Simulator {
    shared: Arc<Shared>,
    urls: Urls,
    /// The listeners; each holds its connections and ends with them.
    tasks: JoinSet<()>,
}

impl Simulator {
    /// Listens, makes keys and certificates, and begins to answer.
    pub async fn start(options: Options) -> Result<Self, SimulatorError> {
        let (apns, apns_address) = bind(options.listen, options.apns_port).await?;
        let (sandbox, sandbox_address) = bind(options.listen, options.apns_sandbox_port).await?;
        let (fcm, fcm_address) = bind(options.listen, options.fcm_port).await?;
        let url = |address: SocketAddr| match &options.host {
            Some(host) => format!("https://{host}:{}", address.port()),
            None => format!("https://{address}"),
        };
        let urls = Urls { apns: url(apns_address), sandbox: url(sandbox_address), fcm: url(fcm_address) };

        let (clock, token_uri) = (options.clock.clone(), format!("{}/token", urls.fcm));
        let names = [options.listen.to_string(), "localhost".to_owned()].into_iter().chain(options.host).collect();
        let (keys, tls) = tokio::task::spawn_blocking(move || {
            let tls = tls::make(names)?;
            credentials::make(&clock, token_uri, tls.ca_pem).map(|keys| (keys, tls.server))
        })
        .await??;

        let shared = Arc::new(Shared {
            clock: options.clock,
            keys,
            rules: rules::Rules::new(options.rules),
            devices: device::Devices::default(),
            access_tokens: google::AccessTokens::default(),
            log: Log::new(options.log_capacity),
            connections: AtomicU64::new(0),
        });
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let mut tasks = JoinSet::new();
        for (listener, host) in [
            (apns, Host::Apns(Environment::Production)),
            (sandbox, Host::Apns(Environment::Sandbox)),
            (fcm, Host::Google),
        ] {
            tasks.spawn(connection::listen(listener, host, acceptor.clone(), Arc::clone(&shared)));
        }
        Ok(Self { shared, urls, tasks })
    }

    /// The URL of Apple's host of an environment, without a path.
    pub fn apns_url(&self, environment: Environment) -> String {
        match environment {
            Environment::Production => self.urls.apns.clone(),
            Environment::Sandbox => self.urls.sandbox.clone(),
        }
    }

    /// The URL of FCM, without a path; OAuth's token endpoint is `/token` there.
    pub fn fcm_url(&self) -> String {
        self.urls.fcm.clone()
    }

    /// What a client needs to be let in.
    pub fn credentials(&self) -> &Credentials {
        &self.shared.keys.credentials
    }

    /// Every request as it came.
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// Adds a fault, after those that are there.
    pub fn add_rule(&self, rule: Rule) {
        self.shared.rules.add(rule);
    }

    /// Ends all faults.
    pub fn clear_rules(&self) {
        self.shared.rules.clear();
    }

    /// From now on this device token or installation id is answered as unregistered since `at`.
    pub fn unregister(&self, token: &str, at: Timestamp) {
        self.shared.devices.unregister(token, at);
    }

    /// From now on Apple's other host calls this device token bad.
    pub fn belongs_to(&self, token: &str, environment: Environment) {
        self.shared.devices.belongs_to(token, environment);
    }

    /// Stops listening, ends all connections, and waits until they have ended.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

struct Urls {
    apns: String,
    sandbox: String,
    fcm: String,
}

/// What all connections share.
struct Shared {
    clock: Clock,
    keys: credentials::Keys,
    rules: rules::Rules,
    devices: device::Devices,
    access_tokens: google::AccessTokens,
    log: Log,
    connections: AtomicU64,
}

/// What a listener plays.
#[derive(Clone, Copy)]
enum Host {
    Apns(Environment),
    Google,
}

async fn bind(address: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), SimulatorError> {
    let address = SocketAddr::new(address, port);
    let failed = |source| SimulatorError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// No lock is held across anything that panics halfway, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
