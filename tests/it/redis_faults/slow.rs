//! Redis is slow: every command has its own time, so what takes a few of them is served, only later.

use std::time::{Duration, Instant};

use bellwire::clock::Clock;
use bellwire::store::Store;
use bellwire::store::redis::Redis;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::{connections, readiness, stage_on};
use crate::store_laws::fixture::user;
use crate::support::SOON;
use crate::support::proxy::{Direction, Proxy};
use crate::support::redis::{RedisServer, store_config};

/// Less than half of what a command may take, and several times that is more.
const SLOW: Duration = Duration::from_millis(400);

#[tokio::test]
async fn on_a_slow_redis_a_call_goes_its_way() {
    let Some(redis) = RedisServer::start().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    let stage = stage_on(&format!("redis://{}", proxy.address())).await;
    // From the first command of each kind on.
    proxy.delay(Direction::ToServer, SLOW);
    let phone = stage.pixel("bob", "phone").await;
    let call = stage.invite("ann", "bob").await["call"]["id"].clone();
    stage.answer(&phone, &call).await;
    assert_eq!(stage.event("ann", "call.answered", &call).await["data"]["device_id"], "phone");
    let (ready, words) = readiness(&stage.http).await;
    assert!(ready, "{words}");
}

/// What a command may take here: so long that a machine that is busy takes away less than what a slow Redis leaves of it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Commands are sent all the time. Those that waited for the connection are out of time before they can have an answer, and that
/// must not be taken for the connection's fault.
#[tokio::test]
async fn a_redis_that_was_away_and_comes_back_slow_is_used() {
    let Some(redis) = RedisServer::start().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    let config = store_config(&format!("redis://{}", proxy.address()), &[]);
    let store = Redis::open(&config, TIMEOUT, Clock::system()).await.expect("a store");
    let (ask, stop) = (async || store.blocks(&user("ann")).await, Notify::new());
    let asking = async {
        let mut asked = FuturesUnordered::new();
        let mut answers = Vec::new();
        loop {
            tokio::select! {
                () = sleep(Duration::from_millis(50)) => asked.push(async { (Instant::now(), ask().await) }),
                Some(answer) = asked.next() => answers.push(answer),
                () = stop.notified() => return answers,
            }
        }
    };
    let change = async {
        proxy.delay(Direction::ToServer, 3 * TIMEOUT);
        sleep(2 * TIMEOUT).await;
        proxy.delay(Direction::ToServer, TIMEOUT * 6 / 10);
        timeout(SOON, async { while ask().await.is_err() {} }).await.expect("an answer");
        // What listens connects again too.
        sleep(2 * TIMEOUT).await;
        let (from, before) = (Instant::now(), connections(&redis).await);
        sleep(3 * TIMEOUT).await;
        stop.notify_one();
        (from, connections(&redis).await - before)
    };
    let (answers, (from, made)) = tokio::join!(asking, change);
    assert!(made <= 1, "{made} connections beside that of the test");
    for (at, answer) in answers.into_iter().filter(|(at, _)| *at > from) {
        answer.unwrap_or_else(|error| panic!("{:?} after: {error}", at - from));
    }
}
