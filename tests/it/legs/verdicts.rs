//! What is done about providers' answers, beside the tables of `providers`: when a push goes out again, with which id, and what the record says.

use std::sync::Arc;
use std::time::Duration;

use bellwire::domain::{Call, CallId, Environment, Leg};
use bellwire::engine::Asker;
use bellwire::simulator::Provider;
use futures_util::future::join_all;
use serde_json::Value;

use super::until;
use crate::support::{Device, Stage};

impl Stage {
    /// The record of a call.
    pub(super) async fn kept(&self, call: &Value) -> Arc<Call> {
        let id = CallId::parse(call.as_str().expect("an id")).expect("an id");
        self.gateway.engine.call(id, &Asker::Service).await.expect("a call")
    }

    /// The leg of a device, as the record has it.
    pub(super) async fn kept_leg(&self, device: &Device, call: &Value) -> Leg {
        let call = self.kept(call).await;
        let found = call.legs.iter().find(|leg| leg.device.id.as_str() == device.id);
        found.expect("a leg").clone()
    }
}

/// The pauses of a push that is refused seven times.
async fn pauses(stage: &Stage, phone: &Device, rule: &str) -> Vec<Duration> {
    stage.simulator.add_rule(format!("{rule} for {}", phone.ring_token).parse().expect(rule));
    let call = stage.invite("alice", &phone.user).await["call"]["id"].take();
    stage.nth_push(8, "ring", &phone.ring_token, &call).await;
    let sent = stage.pushes_of("ring", &phone.ring_token, &call);
    assert!(sent.iter().all(|push| push.header("apns-id") == sent[0].header("apns-id")), "the same push");
    until("sent", async || stage.leg(&phone.id, &call).await == "sent").await;
    let receipts = stage.kept_leg(phone, &call).await.receipts;
    let said: Vec<_> = receipts.iter().map(|receipt| (receipt.status, receipt.times())).collect();
    assert_eq!(said, [(Some(503), 7), (Some(200), 1)]);
    assert!(receipts.iter().all(|receipt| receipt.push == "ring" && receipt.number == 1));
    assert_eq!((receipts[0].verdict.as_ref(), receipts[1].verdict.as_ref()), ("retry", "accepted"));
    assert!(receipts[1].attempt > 1 && receipts[1].provider_id.is_some());
    stage.cancel("alice", &call).await;
    sent.windows(2).map(|pair| pair[1].at.since(pair[0].at)).collect()
}

#[tokio::test]
async fn retries_begin_after_200_ms_and_double_up_to_1600() {
    const TRIES: usize = 3;
    let tried = join_all((0..TRIES).map(|_| async {
        let stage = Stage::new().await;
        let iphone = stage.iphone("bob", "iphone-1").await;
        let pixel = stage.pixel("carol", "pixel-1").await;
        [pauses(&stage, &iphone, "apns 503 times 7").await, pauses(&stage, &pixel, "fcm 503 times 7").await]
    }))
    .await
    .concat();
    for (number, nominal) in [200, 400, 800, 1600, 1600, 1600, 1600].map(Duration::from_millis).into_iter().enumerate()
    {
        // Jittered by half. An attempt that ran out of time begins the next pause anew, from the record; a machine that is busy makes
        // some of them longer, and not all.
        let shortest = tried.iter().map(|pauses| pauses[number]).min().expect("tries");
        assert!(
            shortest >= nominal / 2 && shortest <= nominal * 2 + Duration::from_secs(1),
            "{shortest:?} of {nominal:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again_with_the_same_id() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.simulator.add_rule("apns reset times 3".parse().expect("a rule"));
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    until("sent", async || stage.leg(&phone.id, &call).await == "sent").await;
    let sent = stage.pushes_of("ring", &phone.ring_token, &call);
    assert!(sent.len() >= 2 && sent.iter().all(|push| push.header("apns-id") == sent[0].header("apns-id")));
    let receipts = stage.kept_leg(&phone, &call).await.receipts;
    assert_eq!(
        receipts.last().map(|last| (last.status, last.environment)),
        Some((Some(200), Some(Environment::Production)))
    );
}

#[tokio::test]
async fn the_other_pushes_of_a_call_go_to_the_host_that_took_the_ring() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.simulator.belongs_to(&phone.ring_token, Environment::Sandbox);
    stage.simulator.belongs_to(&phone.notice_token, Environment::Sandbox);
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    until("sent", async || stage.leg(&phone.id, &call).await == "sent").await;
    stage.cancel("alice", &call).await;
    stage.push("missed", &phone.notice_token, &call).await;
    for kind in ["cancel", "missed"] {
        let sent = stage.pushes_of(kind, &phone.notice_token, &call);
        assert!(sent.iter().all(|push| push.provider == Provider::ApnsSandbox), "{kind}");
    }
    let leg = stage.kept_leg(&phone, &call).await;
    let ring = leg.receipts.iter().find(|receipt| receipt.push == "ring").expect("a receipt");
    assert_eq!(ring.environment, Some(Environment::Sandbox));
    assert_eq!(leg.device.environment, Environment::Sandbox);
}

#[tokio::test]
async fn the_record_says_what_became_of_each_push_and_keeps_it() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    for phone in [&iphone, &pixel] {
        until("sent", async || stage.leg(&phone.id, &call).await == "sent").await;
    }
    stage.ring(&iphone, &call).await;
    stage.cancel("alice", &call).await;
    for (phone, expected) in [(&iphone, vec!["missed", "ring", "stop"]), (&pixel, vec!["missed", "ring"])] {
        let pushed = async || {
            let mut pushed: Vec<_> =
                stage.kept_leg(phone, &call).await.receipts.into_iter().map(|kept| kept.push).collect();
            pushed.sort();
            pushed
        };
        until("pushed", async || pushed().await == expected).await;
        let leg = stage.kept_leg(phone, &call).await;
        assert_eq!(leg.reason.as_deref(), Some("cancelled"));
        assert!(leg.sent_at.is_some() && leg.closed_at >= leg.sent_at);
        assert_eq!(leg.acked_at.is_some(), phone.id == "iphone-1");
        assert!(
            leg.receipts
                .iter()
                .all(|kept| kept.verdict == "accepted" && kept.attempt == 1 && kept.at >= kept.sent_at())
        );
    }
    stage.clock.advance(Duration::from_mins(11));
    until("compacted", async || stage.kept_leg(&iphone, &call).await.device.voip_token.is_none()).await;
    assert_eq!(stage.kept_leg(&iphone, &call).await.receipts.len(), 3, "explain is asked for later");
}
