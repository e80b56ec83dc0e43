//! How the machine itself does: whether this program gets its turn, and how long Redis takes for one small write.
//!
//! Where both gateways and Redis share two cores with a compiler, everything can be late at times. Such times are found out here and
//! shown in the report, so that lateness can be told from a broken promise.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwire::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::faults::Span;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a turn and a write may take together, before the machine counts as slow.
const SLOW: Duration = Duration::from_millis(250);
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// The times at which the machine was slow.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Vec<Span>>>);

impl Watch {
    /// Looks for ever; at Redis too, if there is one.
    pub async fn look(self, redis: Option<SocketAddr>) {
        let (clock, mut connection) = (Clock::system(), None);
        loop {
            let from = clock.now();
            sleep(LOOK_EVERY).await;
            if let Some(address) = redis {
                // Without an answer there is an outage, which is known.
                connection = match timeout(WRITTEN_WITHIN, write(connection.take(), address)).await {
                    Ok(Ok(connection)) => Some(connection),
                    Ok(Err(_)) | Err(_) => continue,
                };
            }
            let until = clock.now();
            if until.since(from) > LOOK_EVERY + SLOW {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Span { from, until });
            }
        }
    }

    pub fn slow(&self) -> Vec<Span> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn write(connection: Option<TcpStream>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => TcpStream::connect(address).await?,
    };
    connection.write_all(b"SET chaos:watch 1\r\n").await?;
    let mut answer = [0; 5];
    connection.read_exact(&mut answer).await?;
    Ok(connection)
}
