//! A simulator of the push providers on the wire: both of Apple's hosts, FCM v1 and Google's OAuth token endpoint.
//!
//! It speaks HTTP/2 over TLS, checks what Apple and Google check, answers with their errors, and misbehaves by
//! [`Rule`]. It is part of Bellwire for `bellwire simulate`, for the demo, for Bellwire's tests, and for the CI of
//! those who build on it. Its keys are its own: nothing that it makes opens anything at Apple or Google.
//!
//! What is checked and what is left out stands in docs/SIMULATOR.md.

mod apns;
mod body;
mod connection;
mod control;
mod count;
mod credentials;
mod device;
mod exchange;
mod google;
mod jwt;
mod listener;
mod log;
mod rsa_key;
mod rule;
mod rules;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use body::Body;
pub use count::Count;
pub use credentials::{CredentialFiles, Credentials};
pub use log::{Follower, Headers, Log, Provider, Received};
pub use rule::{Rule, RuleError, RuleFileError};

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
    /// Where to listen for orders and questions by HTTP; nowhere if none. Whoever reaches it is obeyed.
    pub control: Option<SocketAddr>,
    /// The faults to start with.
    pub rules: Vec<Rule>,
    /// How many requests the log keeps; each takes about two kilobytes.
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
            control: None,
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
    control: Option<SocketAddr>,
    /// The listeners; each holds its connections and ends with them.
    tasks: JoinSet<()>,
}

impl Simulator {
    /// Listens, makes keys and certificates, and begins to answer.
    pub async fn start(options: Options) -> Result<Self, SimulatorError> {
        let (apns, apns_address) = bind(options.listen, options.apns_port).await?;
        let (sandbox, sandbox_address) = bind(options.listen, options.apns_sandbox_port).await?;
        let (fcm, fcm_address) = bind(options.listen, options.fcm_port).await?;
        let control = match options.control {
            Some(address) => Some(bind(address.ip(), address.port()).await?),
            None => None,
        };
        let url = |address: SocketAddr| match &options.host {
            Some(host) => format!("https://{host}:{}", address.port()),
            None => format!("https://{address}"),
        };
        let urls = Urls { apns: url(apns_address), sandbox: url(sandbox_address), fcm: url(fcm_address) };

        let (clock, token_uri) = (options.clock.clone(), format!("{}/token", urls.fcm));
        let own_names = [options.listen.to_string(), "localhost".to_owned()];
        let names = own_names.into_iter().chain(options.host.clone()).collect();
        let (keys, tls) = tokio::task::spawn_blocking(move || {
            let tls = tls::make(names)?;
            credentials::make(&clock, token_uri, tls.ca_pem).map(|keys| (keys, tls.server))
        })
        .await??;

        let apns_keys = apns::Keys::new(keys.credentials.apns_team_id.clone(), keys.apns_key.clone());
        let shared = Arc::new(Shared {
            rules: rules::Rules::new(options.rules, options.clock.now()),
            clock: options.clock,
            urls,
            keys,
            apns_keys,
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
            tasks.spawn(listener::listen(listener, host, acceptor.clone(), Arc::clone(&shared)));
        }
        let (control, control_address) = control.unzip();
        if let Some(listener) = control {
            tasks.spawn(control::listen(listener, options.host, Arc::clone(&shared)));
        }
        Ok(Self { shared, control: control_address, tasks })
    }

    /// The URL of Apple's host of an environment, without a path.
    pub fn apns_url(&self, environment: Environment) -> String {
        match environment {
            Environment::Production => self.shared.urls.apns.clone(),
            Environment::Sandbox => self.shared.urls.sandbox.clone(),
        }
    }

    /// The URL of FCM, without a path; OAuth's token endpoint is `/token` there.
    pub fn fcm_url(&self) -> String {
        self.shared.urls.fcm.clone()
    }

    /// The URL of the control port, without a path, if there is one.
    pub fn control_url(&self) -> Option<String> {
        self.control.map(|address| format!("http://{address}"))
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
        self.shared.rules.add(rule, self.shared.clock.now());
    }

    /// Puts the faults of a file in the place of those that came from it before.
    pub fn replace_file_rules(&self, rules: Vec<Rule>) {
        self.shared.rules.replace_file(rules, self.shared.clock.now());
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

    /// Makes another APNs key of the team, good from now on at one host or both; gives its private half, PKCS#8 in PEM.
    /// A key that had this id is replaced.
    pub fn add_apns_key(&self, id: &str, environment: Option<Environment>) -> Result<String, SimulatorError> {
        let (pem, key) = credentials::make_apns_key(id)?;
        self.shared.apns_keys.put(apns::Key { environment, ..key });
        Ok(pem)
    }

    /// From when until when an APNs key is good; false if there is none of this id.
    pub fn limit_apns_key(&self, id: &str, from: Option<Timestamp>, until: Option<Timestamp>) -> bool {
        self.shared.apns_keys.limit(id, from, until)
    }

    /// Ends all access tokens that Google's side has given out.
    pub fn revoke_access_tokens(&self) {
        self.shared.access_tokens.revoke();
    }

    /// Ends all faults, and forgets requests, counts, what it was told of devices, and all APNs keys but the first.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// What a request gets that comes first on its connection to one of Apple's hosts, or to Google's if `apple` is none; without a wire, so
    /// faults that are more than another answer do nothing.
    pub fn answer(&self, apple: Option<Environment>, request: Request<Bytes>) -> Response<Bytes> {
        let peer = connection::Peer::new(0, apple.map_or(Host::Google, Host::Apns), Arc::clone(&self.shared));
        exchange::answer(&peer, request)
    }

    /// Carries out an order or answers a question as the control port does, without a wire.
    pub async fn order(&self, request: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        control::answer(request, None, &self.shared).await
    }

    /// Stops listening, ends all connections, and waits until they have ended.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Where it is reached.
struct Urls {
    apns: String,
    sandbox: String,
    fcm: String,
}

/// What all connections share.
struct Shared {
    clock: Clock,
    urls: Urls,
    keys: credentials::Keys,
    apns_keys: apns::Keys,
    rules: rules::Rules,
    devices: device::Devices,
    access_tokens: google::AccessTokens,
    log: Log,
    connections: AtomicU64,
}

impl Shared {
    fn reset(&self) {
        self.rules.clear();
        self.log.forget();
        self.devices.clear();
        self.apns_keys.reset();
    }
}

/// What a listener plays.
#[derive(Clone, Copy)]
enum Host {
    Apns(Environment),
    Google,
}

impl Host {
    /// Those whose requests come here.
    fn providers(self) -> &'static [Provider] {
        match self {
            Self::Apns(Environment::Production) => &[Provider::Apns],
            Self::Apns(Environment::Sandbox) => &[Provider::ApnsSandbox],
            Self::Google => &[Provider::Fcm, Provider::OAuth],
        }
    }
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
