//! What the run is about: gateways, their store, and the providers' simulator. Who breaks them is `faults`.

pub mod config;
pub mod gateway;
pub mod proxy;
pub mod redis;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwire::clock::Clock;
use bellwire::simulator::{Options, Simulator};
use futures_util::future::try_join_all;

use crate::Failure;
use gateway::{Addresses, Gateway, Program, Version};
use proxy::Proxy;
use redis::Redis;

/// Requests that the simulator keeps; the run reads them as they come.
const LOG_CAPACITY: usize = 20_000;

/// What the gateways keep calls in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// A Redis of the run's own.
    Redis,
    /// The embedded store; for one gateway alone.
    Embedded,
}

/// What gateways are started from.
pub struct Programs {
    pub bellwire: PathBuf,
    /// Another version, which runs beside it.
    pub other: Option<PathBuf>,
}

/// Everything that runs.
pub struct World {
    pub gateways: Vec<Gateway>,
    pub addresses: Arc<Addresses>,
    pub redis: Option<Redis>,
    /// The wires to Redis, one for each gateway; none without Redis.
    pub wires: Vec<Proxy>,
    pub simulator: Simulator,
}

impl World {
    /// Starts it all, with its files in this folder.
    pub async fn start(folder: &Path, programs: &Programs, gateways: usize, store: Store) -> Result<Self, Failure> {
        let simulator =
            Simulator::start(Options { log_capacity: LOG_CAPACITY, ..Options::new(Clock::system()) }).await?;
        let redis = match store {
            Store::Redis => Some(Redis::start(&folder.join("redis")).await?),
            Store::Embedded => None,
        };
        let addresses = Arc::new(Addresses::new(gateways));
        let mut world =
            Self { gateways: Vec::new(), addresses: Arc::clone(&addresses), redis, wires: Vec::new(), simulator };
        for place in 0..gateways {
            let folder = folder.join(format!("gateway-{place}"));
            let store = world.store_of_next().await?;
            let config = config::write(&folder, &world.simulator, &store)?;
            let this = Program { bellwire: programs.bellwire.clone(), config };
            let (other, version) = match &programs.other {
                Some(bellwire) => {
                    let config = config::write_for(bellwire, &this.config)?;
                    let version = if place.is_multiple_of(2) { Version::Other } else { Version::This };
                    (Program { bellwire: bellwire.clone(), config }, version)
                }
                None => (this.clone(), Version::This),
            };
            world.gateways.push(Gateway::new(place, version, this, other, Arc::clone(&addresses)));
        }
        try_join_all(world.gateways.iter_mut().map(Gateway::start)).await?;
        Ok(world)
    }

    /// The store's URL for the next gateway, which gets a wire of its own to Redis.
    async fn store_of_next(&mut self) -> Result<String, Failure> {
        let Some(redis) = &self.redis else { return Ok("embedded:calls.redb".to_owned()) };
        let wire = Proxy::start(redis.address).await?;
        let url = format!("redis://{}", wire.address);
        self.wires.push(wire);
        Ok(url)
    }

    /// The files that the gateways log to.
    pub fn logs(&self) -> Vec<PathBuf> {
        self.gateways.iter().map(Gateway::log).collect()
    }

    /// Stops the gateways as an operator would.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        for gateway in &mut self.gateways {
            gateway.stop().await?;
        }
        Ok(())
    }
}
