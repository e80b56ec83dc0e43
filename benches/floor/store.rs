//! Two scripts and what is read and written without one, sent on one connection that all requests share.

use std::time::Duration;

use bellwire::domain::Timestamp;
use redis::aio::MultiplexedConnection;
use redis::{Client, FromRedisValue, ToRedisArgs, cmd};

use crate::Failure;

/// How long a claim and a history stand.
const KEPT_FOR: Duration = Duration::from_hours(5);

/// Puts a call on a user's line and in their history, and reads what is on the line and their devices.
/// KEYS line, history, calls that name the user, bans, devices. ARGV call, kept until (ms), user.
const CLAIM: &str = "
if redis.call('HGET', KEYS[4], ARGV[3]) then return {} end
redis.call('LRANGE', KEYS[1], 0, -1)
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], -2, -1)
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
for at = 2, 3 do
  redis.call('ZADD', KEYS[at], 0, ARGV[1])
  redis.call('PEXPIREAT', KEYS[at], ARGV[2])
end
return redis.call('HVALS', KEYS[5])";

/// Writes a record with its wake-up, and tells of it.
/// KEYS call, wake-ups, number of the last notice, channel. ARGV record, due (ms), call.
const COMMIT: &str = "
redis.call('GETRANGE', KEYS[1], 0, 255)
redis.call('SET', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
redis.call('SPUBLISH', KEYS[4], redis.call('INCR', KEYS[3]) .. ' ' .. ARGV[3])
return 1";

pub struct Store {
    connection: MultiplexedConnection,
    claim: String,
    commit: String,
}

impl Store {
    pub async fn open(url: &str) -> Result<Self, Failure> {
        let mut connection = Client::open(url)?.get_multiplexed_async_connection().await?;
        let mut hashes = Vec::new();
        for script in [CLAIM, COMMIT] {
            let hash: String = cmd("SCRIPT").arg("LOAD").arg(script).query_async(&mut connection).await?;
            hashes.push(hash);
        }
        let (commit, claim) = (hashes.pop().unwrap_or_default(), hashes.pop().unwrap_or_default());
        Ok(Self { connection, claim, commit })
    }

    /// Gives the user's devices, as they were registered.
    pub async fn claim(&self, user: &str, call: &str, now: Timestamp) -> Result<Vec<String>, Failure> {
        let keys = ["line", "history", "named", "bans", "devices"].map(|kind| format!("floor:{kind}:{user}"));
        self.run(&self.claim, &keys, (call, (now + KEPT_FOR).as_millis(), user)).await
    }

    pub async fn commit(&self, call: &str, record: &[u8], due: Timestamp) -> Result<(), Failure> {
        let of_call = format!("floor:call:{call}");
        let keys = [of_call.as_str(), "floor:wake", "floor:notices", "floor:events"];
        self.run(&self.commit, &keys, (record, due.as_millis(), call)).await
    }

    pub async fn put_device(&self, user: &str, device: &str, body: &str) -> Result<(), Failure> {
        let mut put = cmd("HSET");
        put.arg(format!("floor:devices:{user}")).arg(device).arg(body);
        Ok(put.query_async(&mut self.connection.clone()).await?)
    }

    /// Gives push tokens to a user.
    pub async fn own(&self, user: &str, tokens: impl Iterator<Item = &str>) -> Result<(), Failure> {
        let mut set = cmd("MSET");
        for token in tokens {
            set.arg(of_token(token)).arg(user);
        }
        Ok(set.query_async(&mut self.connection.clone()).await?)
    }

    /// Whose push tokens are, in their order.
    pub async fn owners(&self, tokens: impl Iterator<Item = &str>) -> Result<Vec<Option<String>>, Failure> {
        let keys: Vec<String> = tokens.map(of_token).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(cmd("MGET").arg(keys).query_async(&mut self.connection.clone()).await?)
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &str,
        keys: &[impl ToRedisArgs],
        args: impl ToRedisArgs,
    ) -> Result<T, Failure> {
        let mut call = cmd("EVALSHA");
        call.arg(script).arg(keys.len()).arg(keys).arg(args);
        Ok(call.query_async(&mut self.connection.clone()).await?)
    }
}

fn of_token(token: &str) -> String {
    format!("floor:token:{token}")
}
