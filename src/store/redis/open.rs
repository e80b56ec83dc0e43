//! Opening a Redis: it must be reached, be what is needed, and allow what is done there. Otherwise it is said why not.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{ErrorKind, RedisError, ServerErrorKind, from_redis_value};
use thiserror::Error;
use tokio::sync::{broadcast, oneshot};

use super::client::Client;
use super::instances::Heart;
use super::keys::{Keys, Partition};
use super::link::Link;
use super::listener::Listener;
use super::notice::Unsure;
use super::script::PROBE;
use super::server::{self, Fitness};
use super::verdict;
use super::{Redis, unreadable};
use crate::clock::Clock;
use crate::config::store as config;
use crate::store::sealing::Sealing;
use crate::store::{Keeping, Store, StoreError};

/// How many announcements a slow reader may be behind.
const ANNOUNCEMENTS: usize = 8192;

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

impl Redis {
    /// Connects, makes sure that the servers can be used, and begins to listen. Each command waits at most `timeout`.
    pub async fn open(config: &config::Redis, timeout: Duration, clock: Clock) -> Result<Self, OpenError> {
        // In a box, so that whoever awaits this in something that is awaited in turn is not too deep for the compiler.
        let (mut store, client) = Box::pin(Self::connected(config, timeout, clock)).await?;
        let target = store.target.clone();
        let unfit = |error: StoreError| OpenError::Unfit { target: target.clone(), why: in_words(error) };
        // First it is said that this instance is here, and then looked whether the store is being filled; who fills it does both the other
        // way round.
        store.heart().start().await.map_err(unfit)?;
        if store.is_being_filled().await.map_err(unfit)? {
            store.close().await;
            let why = "bellwire migrate-store has not come to its end there: run it again".to_owned();
            return Err(OpenError::Unfit { target: target.clone(), why });
        }
        let (ready, begun) = oneshot::channel();
        let (listener, heart) = (store.listener(client, timeout), store.heart());
        store.tasks = vec![tokio::spawn(listener.run(ready)), tokio::spawn(heart.run())];
        begun.await.unwrap_or_else(|_| Err(StoreError::Unavailable("nothing listens".into()))).map_err(unfit)?;
        Ok(store)
    }

    /// As [`open`](Self::open), to be filled from another store: it is no gateway's yet, and listens to none.
    pub async fn to_be_filled(config: &config::Redis, timeout: Duration, clock: Clock) -> Result<Self, OpenError> {
        let (store, _) = Box::pin(Self::connected(config, timeout, clock)).await?;
        let unfit = |error: StoreError| OpenError::Unfit { target: store.target.clone(), why: in_words(error) };
        store.heart().set_clock().await.map_err(unfit)?;
        Ok(store)
    }

    /// Connects and makes sure that the servers can be used.
    async fn connected(
        config: &config::Redis,
        timeout: Duration,
        clock: Clock,
    ) -> Result<(Self, Arc<Client>), OpenError> {
        let target = config.to_string();
        let (client, link) = connect(config, timeout, clock.clone()).await?;
        let unfit = |error: StoreError| OpenError::Unfit { target: target.clone(), why: in_words(error) };
        let keys = Arc::new(Keys::new(&config.key_prefix));
        let instance = clock.uuid().to_string();
        if let Some(failure) = Fitness::of(&link, &keys, &instance).await.failures.into_iter().next() {
            return Err(unfit(failure));
        }
        try_join_all(server::one_of_each(&link, &keys).into_iter().map(|one| probe(&link, one, &instance)))
            .await
            .map_err(unfit)?;

        let (events, _) = broadcast::channel(ANNOUNCEMENTS);
        let sealing = Sealing::none(clock.clone());
        let store = Self {
            link,
            keys,
            clock,
            events,
            instance,
            unsure: Unsure::default(),
            target: target.clone(),
            sealing,
            keeping: Keeping::default(),
            silence: Arc::default(),
            tasks: Vec::new(),
        };
        Ok((store, client))
    }

    pub(super) fn heart(&self) -> Heart {
        Heart {
            link: self.link.clone(),
            keys: Arc::clone(&self.keys),
            clock: self.clock.clone(),
            instance: self.instance.clone(),
            silence: Arc::clone(&self.silence),
        }
    }

    fn listener(&self, client: Arc<Client>, timeout: Duration) -> Listener {
        Listener {
            client,
            link: self.link.clone(),
            keys: Arc::clone(&self.keys),
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
    let unreached = |error: RedisError| {
        let is_servers = error.code().is_some();
        let why = match error.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) if config.topology == config::Topology::Cluster => {
                "it is no node of a cluster".to_owned()
            }
            _ => verdict::in_words(&error),
        };
        // The server's own words may quote the password, the system's do not.
        OpenError::Connect { target: target.clone(), why, source: (!is_servers).then_some(error) }
    };
    let client = Arc::new(Client::new(config, ca, within));
    let link = Link::open(&client, clock, within).await.map_err(unreached)?;
    Ok((client, link))
}

/// Tries what scripts do, by their source and by their hash.
async fn probe(link: &Link, partition: Partition<'_>, instance: &str) -> Result<(), StoreError> {
    let step = PROBE.on(&[&partition.key("probe", instance), &partition.one("probes")]);
    link.ask(&PROBE.with_source(&step)).await?;
    match from_redis_value(link.run(&PROBE, &step).await?).map_err(unreadable)? {
        Some::<String>(command) => {
            Err(StoreError::Unavailable(verdict::not_allowed(&format!("the command {command}"))))
        }
        None => Ok(()),
    }
}
