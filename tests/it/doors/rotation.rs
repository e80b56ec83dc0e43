//! Keys that change while gateways are being replaced: at no moment is somebody refused who was let in before.
//!
//! A roll-out has two configurations side by side, so what changes goes in steps, each of which the step before understands.

use bellwire::config::{Config, Secret};
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::support::people::path;
use crate::support::redis::RedisServer;
use crate::support::{Device, Fleet, bearer};

/// What has the last word on a gateway's configuration.
type Change = Box<dyn FnOnce(&mut Config)>;

const OLD: &str = "the-ticket-secret-that-is-to-be-replaced";
const NEW: &str = "the-ticket-secret-that-takes-its-place-00";
/// The steps from one secret to another; each gateway has one of them or the next.
const STEPS: [&[&str]; 4] = [&[OLD], &[OLD, NEW], &[NEW, OLD], &[NEW]];

fn ticket_secrets(secrets: &'static [&'static str]) -> Change {
    Box::new(|config| config.auth.ticket_secrets = secrets.iter().map(|text| Secret::new(*text)).collect())
}

/// The status of what the phone hears at one gateway that was rung by the other.
async fn rung_by_one_and_heard_by_the_other(fleet: &Fleet, phone: &Device, one: usize, other: usize) -> u16 {
    let call = fleet[one].invite("alice", &phone.user).await["call"]["id"].take();
    let ticket = fleet[one].ticket(phone, &call).await;
    let status = fleet[other].http.post(&path(&call, "alerting"), &ticket, json!({})).await.status;
    fleet[one].http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    status
}

#[tokio::test]
async fn ticket_secrets_rotate_without_a_gap() {
    let Some(server) = RedisServer::shared().await else { return };
    for pair in STEPS.windows(2) {
        let fleet = Fleet::configured(server, vec![ticket_secrets(pair[0]), ticket_secrets(pair[1])]).await;
        let phone = fleet[0].iphone("bob", "iphone-1").await;
        for (one, other) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
            let status = rung_by_one_and_heard_by_the_other(&fleet, &phone, one, other).await;
            assert_eq!(status, 200, "of {} secrets at {one}, {} at {other}", pair[0].len(), pair[1].len());
        }
    }
}

#[tokio::test]
async fn a_step_that_is_left_out_is_a_gap() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::configured(server, vec![ticket_secrets(STEPS[0]), ticket_secrets(STEPS[2])]).await;
    let phone = fleet[0].iphone("bob", "iphone-1").await;
    // Who has the new list knows the old secret; who has the old list does not know the new one.
    assert_eq!(rung_by_one_and_heard_by_the_other(&fleet, &phone, 0, 1).await, 200);
    assert_eq!(rung_by_one_and_heard_by_the_other(&fleet, &phone, 1, 0).await, 401);
}

#[tokio::test]
async fn service_keys_rotate_without_a_gap() {
    let Some(server) = RedisServer::shared().await else { return };
    let (old, new) = ("bw_sk_old-old-old-old-old-old-old", "bw_sk_new-new-new-new-new-new-new");
    let hash = |key: &str| -> [u8; 32] { digest(&SHA256, key.as_bytes()).as_ref().try_into().expect("32 bytes") };
    let with = |keys: &[&str]| -> Change {
        let hashes: Vec<[u8; 32]> = keys.iter().map(|key| hash(key)).collect();
        Box::new(move |config| config.auth.service_keys = hashes)
    };
    // Two configurations side by side, and the keys that the backend may use meanwhile.
    let steps: [([&[&str]; 2], &[&str]); 3] =
        [([&[old], &[old, new]], &[old]), ([&[old, new], &[new, old]], &[old, new]), ([&[old, new], &[new]], &[new])];
    for (lists, good) in steps {
        let fleet = Fleet::configured(server, lists.map(with).into()).await;
        for gateway in [&fleet[0], &fleet[1]] {
            for key in good {
                gateway.http.get("/v1/bans", key).await.expect(200);
            }
        }
    }
    let done = Fleet::configured(server, vec![with(&[new])]).await;
    done[0].http.get("/v1/bans", old).await.expect_problem(401, "service-key-unknown");
}
