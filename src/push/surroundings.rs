//! What pushing finds around it and tests replace: how names are resolved, how long silence lasts, and the identity that
//! Google's machines lend to a process.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Apple allows a PING "after an hour"; a minute is what its clients do, and less than what NATs forget in.
const IDLE_BEFORE_PING: Duration = Duration::from_mins(1);
/// Whether a key or certificate has changed is looked up this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A new key or certificate has so long to come to a connection before it is said that it has none.
const STANDS_WITHIN: Duration = Duration::from_secs(5);

type Resolve = dyn Fn(&str, u16) -> Resolving + Send + Sync;
type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// What a process has around it.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub resolver: Resolver,
    /// How long a connection may be silent before it is asked for a sign of life.
    pub idle_before_ping: Duration,
    /// How often keys and certificates are read again.
    pub look_every: Duration,
    /// How long what is made of new ones is waited for.
    pub stands_within: Duration,
    pub google: Ambient,
}

/// Finds the addresses of a host; asked anew for each connection.
#[derive(Clone)]
pub(super) struct Resolver(Arc<Resolve>);

/// What Google calls Application Default Credentials: where they may be found.
///
/// Source: <https://cloud.google.com/docs/authentication/application-default-credentials>
#[derive(Debug, Clone, Default)]
pub(super) struct Ambient {
    /// `GOOGLE_APPLICATION_CREDENTIALS`.
    pub file: Option<PathBuf>,
    /// Where `gcloud auth application-default login` puts its file.
    pub well_known: Option<PathBuf>,
    /// `GCE_METADATA_HOST`: host and port of the metadata server.
    pub metadata_host: Option<String>,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_this_process() -> Self {
        Self {
            resolver: Resolver::system(),
            idle_before_ping: IDLE_BEFORE_PING,
            look_every: LOOK_EVERY,
            stands_within: STANDS_WITHIN,
            google: Ambient::of_this_process(),
        }
    }
}

impl Resolver {
    /// The system's own.
    fn system() -> Self {
        Self::new(|host, port| {
            let host = host.to_owned();
            async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) }
        })
    }

    /// One that is made of a function.
    pub(super) fn new<F>(resolve: impl Fn(&str, u16) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |host, port| Box::pin(resolve(host, port))))
    }

    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (self.0)(host, port).await
    }
}

impl Ambient {
    fn of_this_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let gcloud = variable("CLOUDSDK_CONFIG")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config").join("gcloud")));
        Self {
            file: variable("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from),
            well_known: gcloud.map(|folder| folder.join("application_default_credentials.json")),
            metadata_host: variable("GCE_METADATA_HOST").and_then(|host| host.into_string().ok()),
        }
    }
}
