//! Events of other instances, when the connection that hears them breaks or falls silent.

use std::sync::Arc;

use bellwire::clock::Clock;
use bellwire::domain::CallId;
use bellwire::store::redis::Redis;
use bellwire::store::{Announcement, Store};
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use super::{by_way_of, store_with};
use crate::store_laws::fixture::{create, new_call};
use crate::support::SOON;
use crate::support::proxy::Proxy;
use crate::support::redis::{RedisServer, store_config};

/// An instance behind a proxy, and another one.
struct Pair {
    proxy: Proxy,
    here: Arc<Redis>,
    there: Arc<Redis>,
    clock: Clock,
}

impl Pair {
    async fn new() -> Option<Self> {
        let redis = RedisServer::shared().await?;
        let proxy = Proxy::start(redis.port()).await;
        let (clock, config) = (Clock::system(), store_config(&redis.url(), &[]));
        let there = store_with(&config, &clock).await;
        let here = store_with(&by_way_of(&config, &format!("redis://{}", proxy.address())), &clock).await;
        Some(Self { proxy, here, there, clock })
    }

    /// A call that is committed there.
    async fn call_there(&self) -> CallId {
        let call = new_call(&self.clock);
        create(&*self.there, &call).await.expect("written");
        call.id
    }

    /// Checks that commits there are announced here, at last by themselves.
    async fn expect_heard(&self, news: &mut Receiver<Arc<Announcement>>) {
        let heard = async {
            let mut call = self.call_there().await;
            loop {
                match &*news.recv().await.expect("news") {
                    Announcement::Committed(committed) if committed.call == call => return,
                    Announcement::Committed(_) | Announcement::Closed { .. } => {}
                    // Not listened to yet when the call was committed.
                    Announcement::Lost => call = self.call_there().await,
                }
            }
        };
        timeout(SOON, heard).await.expect("heard in time");
    }
}

/// Waits until it is told that announcements may have been lost.
async fn expect_lost(news: &mut Receiver<Arc<Announcement>>) {
    let told = async { while !matches!(*news.recv().await.expect("news"), Announcement::Lost) {} };
    timeout(SOON, told).await.expect("told in time");
}

#[tokio::test]
async fn readers_look_again_when_the_connection_that_hears_broke() {
    let Some(pair) = Pair::new().await else { return };
    let mut news = pair.here.announcements();
    pair.expect_heard(&mut news).await;
    for _ in 0..3 {
        pair.proxy.refuse(true);
        pair.proxy.cut().await;
        pair.call_there().await;
        pair.proxy.refuse(false);
        expect_lost(&mut news).await;
        pair.expect_heard(&mut news).await;
    }
}

#[tokio::test]
async fn a_connection_that_hears_nothing_any_more_is_replaced() {
    let Some(pair) = Pair::new().await else { return };
    let mut news = pair.here.announcements();
    pair.proxy.forget();
    pair.call_there().await;
    // Until the connection is found out.
    expect_lost(&mut news).await;
    pair.expect_heard(&mut news).await;
}
