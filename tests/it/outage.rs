//! A provider that fails on everything for a while: who rings all the same, and what is said of it.

use std::time::Duration;

use bellwire::simulator::Received;
use futures_util::future::join_all;
use serde_json::Value;

use crate::support::people::push_data;
use crate::support::{BUSY, Device, SOON, Stage};

impl Stage {
    async fn apple_is_ready(&self) -> (bool, String) {
        let ready = self.http.get("/readyz", "").await.expect(200);
        let parts = ready["parts"].as_array().expect("parts");
        let apple = parts.iter().find(|part| part["name"] == "apns com.example.phone production").expect("a part");
        (apple["ok"] == true, apple["detail"].as_str().expect("a text").to_owned())
    }

    /// What the gateway says of Apple, once that is as wanted.
    async fn apple_says(&self, wanted: impl Fn(bool, &str) -> bool) {
        let says = async {
            loop {
                let (ready, detail) = self.apple_is_ready().await;
                if wanted(ready, &detail) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(SOON, says).await.is_ok();
        assert!(in_time, "the gateway says {:?}", self.apple_is_ready().await);
    }

    async fn rung(&self, device: &Device, call: &Value) -> std::sync::Arc<Received> {
        let taken = |push: &Received| {
            push.status == 200
                && push.target.as_deref() == Some(&device.ring_token)
                && push_data(push)["call_id"] == *call
        };
        let found = self.pushes().wait_for(SOON, taken).await;
        found.unwrap_or_else(|| panic!("{} of call {call} was not rung", device.id))
    }
}

#[tokio::test]
async fn phones_ring_soon_after_their_provider_is_back_and_others_never_wait() {
    const CALLS: usize = 10;
    let stage = Stage::new().await;
    stage.apple_says(|ready, _| ready).await;
    let bench = &stage;
    let phones = join_all((0..CALLS).map(|n| async move {
        let callee = format!("callee-{n}");
        (bench.iphone(&callee, "iphone-1").await, bench.pixel(&callee, "pixel-1").await)
    }))
    .await;
    stage.simulator.add_rule("apns 503".parse().expect("a rule"));
    let calls = join_all((0..CALLS).map(|n| async move {
        bench.invite(&format!("caller-{n}"), &format!("callee-{n}")).await["call"]["id"].take()
    }))
    .await;
    // Apple fails until all of these are rung.
    for ((_, pixel), call) in phones.iter().zip(&calls) {
        stage.rung(pixel, call).await;
    }
    let held_back = "pushes are held back, one at a time probes: 503 ServiceUnavailable";
    stage.apple_says(|ready, detail| !ready && detail.contains(held_back)).await;
    stage.simulator.clear_rules();
    let back = stage.clock.now();
    for ((iphone, _), call) in phones.iter().zip(&calls) {
        let rung = stage.rung(iphone, call).await;
        println!("rung {:?} after the provider was back", rung.at.since(back));
        assert!(rung.at.since(back) < BUSY, "{:?}", rung.at.since(back));
    }
    stage.apple_says(|ready, _| ready).await;
}
