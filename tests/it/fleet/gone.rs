//! A browser that rings may lose its stream at one gateway and have one at another: nobody asks who has which, and the record tells.

use bellwire::domain::leg::BACK_WITHIN;
use bellwire::domain::{Call, CallId};
use bellwire::engine::Asker;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::Stream;
use crate::support::redis::RedisServer;
use crate::support::{APP, Fleet, SOON, Stage, bearer};

async fn listen(stage: &Stage) -> Stream {
    Stream::socket(stage, "bob", "?device_id=browser").await
}

/// The record, once it is so.
async fn until(stage: &Stage, call: &Value, is_so: impl Fn(&Call) -> bool) -> Call {
    let id = CallId::parse(call.as_str().expect("an id")).expect("an id");
    let so = async {
        loop {
            let call = stage.gateway.engine.call(id, &Asker::Service).await.expect("a call");
            if is_so(&call) {
                return Call::clone(&call);
            }
            sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, so).await.expect("in time")
}

fn is_gone(call: &Call) -> bool {
    call.legs[0].gone_at.is_some()
}

#[tokio::test]
async fn a_browser_rings_until_its_last_stream_at_any_gateway_is_gone() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::start(server, 3).await;
    let body = json!({"platform": "web", "app": APP});
    fleet[0].http.put("/v1/devices/browser", &bearer("bob"), body).await.expect(200);
    let (mut first, mut second) = (listen(&fleet[0]).await, listen(&fleet[1]).await);
    let call = fleet[2].invite("alice", "bob").await["call"]["id"].take();
    for stream in [&mut first, &mut second] {
        assert_eq!(stream.next().await["type"], "call.invited");
    }
    let later = |by| (0..3).for_each(|gateway| fleet[gateway].clock.advance(by));

    // One of two is closed: the other gateway says that it has one.
    let before = until(&fleet[2], &call, |_| true).await.version;
    drop(second);
    until(&fleet[2], &call, |call| call.version >= before + 2 && !is_gone(call)).await;
    // The page is loaded again at a third gateway.
    drop(first);
    until(&fleet[2], &call, is_gone).await;
    let third = listen(&fleet[2]).await;
    let rings = until(&fleet[2], &call, |call| !is_gone(call)).await;
    later(BACK_WITHIN);
    assert!(rings.is_unanswered() && rings.wake_up().at == rings.ring_until);

    drop(third);
    until(&fleet[0], &call, is_gone).await;
    later(BACK_WITHIN);
    let over = until(&fleet[1], &call, Call::is_ended).await;
    assert_eq!(over.end_reason.map(|reason| reason.to_string()).as_deref(), Some("unreachable"));
}
