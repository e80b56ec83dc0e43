//! One store, the instances on it, and a clock that moves for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::Rules;
use bellwire::engine::{Engine, FollowUps, Settings};
use bellwire::store::Store;
use bellwire::store::embedded::Embedded;
use bellwire::store::redis::Redis;
use tempfile::TempDir;

use crate::store_laws::fixture::{rules, settings};
use crate::support::SOON;
use crate::support::redis::{RedisServer, store_config};
use crate::two_engines::stops::Stops;
use crate::two_engines::wire::Wire;

/// Longer than an invite may take from its claim to its commit before others take its id out of use.
pub const LONGER_THAN_ITS_LEASE: Duration = Duration::from_secs(2);
/// How many instances have a connection of their own.
const INSTANCES: usize = 3;

pub struct Ground {
    /// The store as each instance has it.
    stores: Vec<Arc<dyn Store>>,
    pub clock: Clock,
    scenes: AtomicU32,
    _folder: Option<TempDir>,
}

/// An instance, which can be held up on its way to the store.
pub struct Instance {
    pub engine: Engine,
    pub stops: Arc<Stops>,
    pub follow_ups: FollowUps,
}

impl Ground {
    pub fn embedded() -> Self {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), Clock::system());
        let store = Embedded::open(&folder.path().join("store"), SOON, clock.clone()).expect("a store");
        let store: Arc<dyn Store> = Arc::new(store);
        Self { stores: vec![store; INSTANCES], clock, scenes: AtomicU32::new(0), _folder: Some(folder) }
    }

    /// None where there is no Redis to run.
    pub async fn redis() -> Option<Self> {
        let config = store_config(&RedisServer::shared().await?.url(), &[]);
        let clock = Clock::system();
        let mut stores: Vec<Arc<dyn Store>> = Vec::new();
        for _ in 0..INSTANCES {
            stores.push(Arc::new(Redis::open(&config, SOON, clock.clone()).await.expect("a store")));
        }
        Some(Self { stores, clock, scenes: AtomicU32::new(0), _folder: None })
    }

    /// The store, with nothing in between.
    pub fn store(&self) -> &dyn Store {
        &*self.stores[INSTANCES - 1]
    }

    /// A new instance on one of the connections.
    pub fn instance(&self, number: usize, stops: &Arc<Stops>) -> Instance {
        let wire = Wire::with_stops(&self.stores[number % INSTANCES], stops);
        let settings = Settings { rules: Rules { presence: false, ..rules() }, ..settings() };
        let (engine, follow_ups) = Engine::new(wire, self.clock.clone(), settings, Arc::default());
        Instance { engine, stops: Arc::clone(stops), follow_ups }
    }

    /// A number that no other scene on this ground has.
    pub fn next_scene(&self) -> u32 {
        self.scenes.fetch_add(1, Ordering::Relaxed)
    }
}
