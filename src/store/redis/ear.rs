//! A connection that listens to channels of one server.
//!
//! Sharded channels are heard at most once (<https://redis.io/docs/latest/develop/pubsub/#sharded-pubsub>); what was missed is found out by
//! `listener`.

use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, RedisResult, Value, cmd};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::client::{Client, Place};
use super::verdict::in_words;
use crate::store::StoreError;

/// Something that an ear heard, after the ear's number.
pub(super) type Heard = (u64, PushInfo);

/// A connection that listens.
pub(super) struct Ear {
    pub(super) number: u64,
    connection: MultiplexedConnection,
}

impl Ear {
    /// Connects.
    pub(super) async fn open(
        client: &Client,
        place: &Place,
        number: u64,
        heard: UnboundedSender<Heard>,
    ) -> Result<Self, StoreError> {
        let pushes = move |push| heard.send((number, push));
        let connection = client.connect(place, Some(std::sync::Arc::new(pushes))).await;
        Ok(Self { number, connection: connection.map_err(|error| StoreError::Unavailable(in_words(&error)))? })
    }

    /// Asks for channels: from now on they are heard, the confirmations first. The answer is why some are refused, if some are;
    /// an error, if the connection is no good.
    pub(super) async fn ask_for(&self, channels: &[String], within: Duration) -> Result<Option<String>, StoreError> {
        let asking = channels.iter().map(async |channel| {
            let mut connection = self.connection.clone();
            timeout(within, cmd("SSUBSCRIBE").arg(channel).query_async(&mut connection)).await
        });
        let mut refused = None;
        for answer in join_all(asking).await {
            let answer: RedisResult<Value> = answer.map_err(|_| silent())?;
            match answer {
                Ok(_) => {}
                Err(error) if error.is_io_error() => return Err(StoreError::Unavailable(in_words(&error))),
                Err(error) => refused = Some(in_words(&error)),
            }
        }
        Ok(refused)
    }

    /// Whether the server still answers here.
    pub(super) async fn is_alive(&self, within: Duration) -> bool {
        let mut connection = self.connection.clone();
        let answer = timeout(within, cmd("PING").query_async::<Value>(&mut connection)).await;
        // That it is refused is an answer too.
        answer.is_ok_and(|answer| answer.err().is_none_or(|error| !error.is_io_error()))
    }
}

fn silent() -> StoreError {
    StoreError::Unavailable("Redis did not answer in time".into())
}
