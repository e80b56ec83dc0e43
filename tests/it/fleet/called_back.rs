//! A ring that waits for its provider, and is stopped at another gateway meanwhile.

use std::time::Duration;

use serde_json::json;

use crate::support::people::{path, push_data};
use crate::support::redis::RedisServer;
use crate::support::{Fleet, SOON, bearer};

#[tokio::test]
async fn a_ring_that_waits_for_its_provider_does_not_go_out_after_its_call_was_cancelled_elsewhere() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::start(server, 2).await;
    let phone = fleet[0].iphone("bob", "iphone-1").await;
    // The first gateway loses both of its connections, and gets no other.
    for rule in ["apns refuse-connection", "apns reset times 2"] {
        fleet.simulator().add_rule(rule.parse().expect("a rule"));
    }
    let call = fleet[0].invite("alice", "bob").await["call"]["id"].take();
    let cut = |push: &bellwire::simulator::Received| push.status == 0 && push_data(push)["call_id"] == call;
    let cuts = || fleet.pushes().all().iter().filter(|push| cut(push)).count();
    fleet.pushes().wait_for(SOON, |_| cuts() == 2).await.expect("both connections cut");
    fleet[1].http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    // Longer than it takes to look whether the call still rings; nothing tells that this was done.
    tokio::time::sleep(Duration::from_secs(1)).await;
    fleet.simulator().clear_rules();
    let other = fleet[0].iphone("carol", "iphone-2").await;
    let next = fleet[0].invite("dave", "carol").await["call"]["id"].take();
    fleet[0].push("ring", &other.ring_token, &next).await;
    fleet[0].http.post(&path(&next, "cancel"), &bearer("dave"), json!({})).await.expect(200);
    fleet[0].push("missed", &other.notice_token, &next).await;
    let rings = fleet.pushes().all();
    let rang = |push: &bellwire::simulator::Received| {
        push.status == 200 && push.target.as_deref() == Some(&phone.ring_token) && push_data(push)["call_id"] == call
    };
    assert!(!rings.iter().any(|push| rang(push)), "it rang after its end");
}
