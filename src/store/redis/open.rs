//! Opening a Redis: it must be reached, be what is needed, and allow what is done there. Otherwise it is said why not.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use thiserror::Error;
use tokio::sync::{broadcast, oneshot};
use tokio::time::timeout;

use super::Redis;
use super::client::Client;
use super::instances::Heart;
use super::keys::Keys;
use super::link::{self, Link};
use super::listener::Listener;
use super::notice::Unsure;
use super::script::PROBE;
use super::server;
use crate::clock::Clock;
use crate::config::store as config;
use crate::store::StoreError;

/// How many announcements a slow reader may be behind.
const ANNOUNCEMENTS: usize = 8192;
/// How long the first connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Why a Redis cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The trust root cannot be read.
    #[error("store.ca_file {} cannot be read", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be reached, or does not let Bellwire in.
    #[error("{target} cannot be reached: {why}")]
    Connect {
        /// What was tried, without secrets.
        target: String,
        /// What happened.
        why: String,
        /// What the client said.
        #[source]
        source: Option<RedisError>,
    },
    /// It is there, but not what is needed.
    #[error("{target} cannot be used: {why}")]
    Unfit {
        /// What was tried, without secrets.
        target: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What the servers are, and what in their settings would lose calls.
pub(super) struct Fitness {
    pub(super) versions: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Redis {
    /// Connects, makes sure that the servers can be used, and begins to listen. Each command waits at most `timeout`.
    pub async fn open(config: &config::Redis, timeout: Duration, clock: Clock) -> Result<Self, OpenError> {
        let target = config.to_string();
        let (client, link) = connect(config, timeout, clock.clone()).await?;
        let unfit = |error: StoreError| OpenError::Unfit { target: target.clone(), why: in_words(error) };
        fitness(&link).await.map_err(unfit)?;
        let keys = Arc::new(Keys::new(&config.key_prefix));
        let instance = clock.uuid().to_string();
        probe(&link, &keys, &instance).await.map_err(unfit)?;

        let (events, _) = broadcast::channel(ANNOUNCEMENTS);
        let unsure = Unsure::default();
        let mut store = Self { link, keys, clock, events, instance, unsure, target: target.clone(), tasks: Vec::new() };
        store.heart().start().await.map_err(unfit)?;
        let (ready, begun) = oneshot::channel();
        let (listener, heart) = (store.listener(client, timeout), store.heart());
        store.tasks = vec![tokio::spawn(listener.run(ready)), tokio::spawn(heart.run())];
        begun.await.unwrap_or_else(|_| Err(StoreError::Unavailable("nothing listens".into()))).map_err(unfit)?;
        Ok(store)
    }

    pub(super) fn heart(&self) -> Heart {
        Heart {
            link: self.link.clone(),
            keys: Arc::clone(&self.keys),
            clock: self.clock.clone(),
            instance: self.instance.clone(),
        }
    }

    fn listener(&self, client: Arc<Client>, timeout: Duration) -> Listener {
        Listener {
            client,
            link: self.link.clone(),
            keys: Arc::clone(&self.keys),
            clock: self.clock.clone(),
            instance: self.instance.clone(),
            unsure: self.unsure.clone(),
            events: self.events.clone(),
            timeout,
        }
    }
}

/// What an error says, where it is said already that the store cannot be used.
fn in_words(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(why) => why,
        other => other.to_string(),
    }
}

/// The first connection.
async fn connect(config: &config::Redis, within: Duration, clock: Clock) -> Result<(Arc<Client>, Link), OpenError> {
    let target = config.to_string();
    let read = |path: &PathBuf| std::fs::read(path).map_err(|source| OpenError::Ca { path: path.clone(), source });
    let ca = config.ca_file.as_ref().map(read).transpose()?;
    let unreached = |error: RedisError| OpenError::Connect {
        target: target.clone(),
        why: link::in_words(&error),
        source: Some(error),
    };
    let client = Arc::new(Client::new(config, ca, within).map_err(unreached)?);
    match timeout(CONNECT_WITHIN, client.connect(None)).await {
        Ok(connection) => {
            let link = Link::new(Arc::clone(&client), connection.map_err(unreached)?, clock, within);
            Ok((client, link))
        }
        Err(_) => Err(OpenError::Connect { target, why: "no answer".into(), source: None }),
    }
}

/// What the servers are; an error if one cannot be used.
pub(super) async fn fitness(link: &Link) -> Result<Fitness, StoreError> {
    let servers = server::look(link).await?;
    if let Some(why) = servers.iter().find_map(server::Server::refusal) {
        return Err(StoreError::Unavailable(why));
    }
    let mut versions: Vec<String> = servers.iter().map(server::Server::version).collect();
    let mut warnings: Vec<String> = servers.iter().flat_map(server::Server::warnings).collect();
    for texts in [&mut versions, &mut warnings] {
        texts.sort();
        texts.dedup();
    }
    Ok(Fitness { versions, warnings })
}

/// Tries what scripts do.
async fn probe(link: &Link, keys: &Keys, instance: &str) -> Result<(), StoreError> {
    let partition = keys.partition(0);
    let step = PROBE.on(&[&partition.key("probe", instance), &partition.one("probes")]);
    link.run(&PROBE, &step).await.map(drop)
}
