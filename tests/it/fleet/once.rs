//! Gateways that wake the same call at the same moment: it is timed out once, and its devices are told once.

use std::time::Duration;

use bellwire::domain::CallId;
use futures_util::future::join_all;
use serde_json::Value;

use super::Stream;
use crate::support::Fleet;
use crate::support::redis::RedisServer;

const GATEWAYS: usize = 3;
const CALLS: usize = 12;

fn id(call: &Value) -> CallId {
    CallId::parse(call.as_str().expect("a text")).expect("a call id")
}

/// Every gateway wakes the call, again and again, beside what its own scheduler does.
async fn wake_everywhere(fleet: &Fleet, call: CallId) {
    for _ in 0..5 {
        join_all((0..GATEWAYS).map(async |n| fleet[n].gateway.engine.wake(call).await.expect("woken"))).await;
    }
}

#[tokio::test]
async fn gateways_that_wake_a_call_together_end_it_once() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = &Fleet::start(server, GATEWAYS).await;
    let prepare = async |n: usize| {
        let (caller, callee) = (format!("caller-{n}"), format!("callee-{n}"));
        let (iphone, pixel) = (fleet[0].iphone(&callee, "iphone").await, fleet[0].pixel(&callee, "pixel").await);
        let streams = [Stream::sse(&fleet[n % GATEWAYS], &caller, "").await, Stream::sse(&fleet[0], &callee, "").await];
        let call = fleet[n % GATEWAYS].invite(&caller, &callee).await["call"]["id"].take();
        for phone in [&iphone, &pixel] {
            fleet[1].ring(phone, &call).await;
        }
        (call, [iphone, pixel], streams)
    };
    let mut calls = join_all((0..CALLS).map(prepare)).await;
    // It is due for all of them at once.
    for n in 0..GATEWAYS {
        fleet[n].clock.advance(Duration::from_secs(45));
    }
    join_all(calls.iter().map(|(call, ..)| wake_everywhere(fleet, id(call)))).await;
    for (call, [iphone, pixel], streams) in &mut calls {
        for stream in streams {
            assert_eq!(stream.story(call).await, ["call.invited", "call.ringing", "call.ended"]);
        }
        fleet[0].push("cancel", &iphone.notice_token, call).await;
        fleet[0].push("missed", &iphone.notice_token, call).await;
        fleet[0].push("missed", &pixel.notice_token, call).await;
    }
    // A second commit would have begun its pushes with the first ones.
    for (call, ..) in &calls {
        assert_eq!((fleet[0].pushed("cancel", call), fleet[0].pushed("missed", call)), (1, 2));
    }
}
