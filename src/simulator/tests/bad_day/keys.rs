//! Credentials that change, and a new beginning.

use std::time::Duration;

use serde_json::json;

use super::{again, push};
use crate::clock::Clock;
use crate::domain::Environment;
use crate::simulator::tests::{Ask, Client, DEVICE, access_token, es256, start};
use crate::simulator::{Provider, Simulator};

/// A push with a token by this key.
fn signed(simulator: &Simulator, clock: &Clock, id: &str, pem: &str) -> Ask {
    let team = &simulator.credentials().apns_team_id;
    let token = es256(&json!({"alg": "ES256", "kid": id}), &json!({"iss": team, "iat": clock.now().as_secs()}), pem);
    let mut ask = Ask::voip(simulator, clock);
    ask.set("authorization", &format!("bearer {token}"));
    ask
}

#[tokio::test]
async fn the_set_of_keys_changes_at_a_moment() {
    let (simulator, clock) = start(&[]).await;
    let credentials = simulator.credentials();
    let old = signed(&simulator, &clock, &credentials.apns_key_id, &credentials.apns_key_pem);
    let pem = simulator.add_apns_key("NEWKEY0001", None).expect("a key");
    let change = clock.now() + Duration::from_mins(5);
    assert!(simulator.limit_apns_key("NEWKEY0001", Some(change), None));
    assert!(simulator.limit_apns_key(&credentials.apns_key_id, None, Some(change)));
    assert!(!simulator.limit_apns_key("NOSUCHKEY0", None, None));
    let new = signed(&simulator, &clock, "NEWKEY0001", &pem);
    let connection = Client::to_apns(&simulator).await;
    let invalid = json!({"reason": "InvalidProviderToken"});
    assert_eq!(Client::to_apns(&simulator).await.get(again(&new)).await.body, invalid);
    assert_eq!(connection.get(again(&old)).await.status, 200);
    clock.advance(Duration::from_mins(5));
    assert_eq!(connection.get(again(&old)).await.body, invalid, "also where it was good before");
    let reply = connection.get(again(&new)).await;
    assert_eq!((reply.status, reply.body), (403, json!({"reason": "UnrelatedKeyIdInToken"})), "an old connection");
    assert_eq!(Client::to_apns(&simulator).await.get(again(&new)).await.status, 200);
}

#[tokio::test]
async fn a_key_may_be_for_one_host() {
    let (simulator, clock) = start(&[]).await;
    let pem = simulator.add_apns_key("SANDBOXKEY", Some(Environment::Sandbox)).expect("a key");
    let ask = signed(&simulator, &clock, "SANDBOXKEY", &pem);
    let reply = Client::to_apns(&simulator).await.get(again(&ask)).await;
    assert_eq!((reply.status, reply.body), (403, json!({"reason": "BadEnvironmentKeyIdInToken"})));
    let sandbox = Client::to(&simulator, simulator.apns_url(Environment::Sandbox)).await;
    assert_eq!(sandbox.get(ask).await.status, 200);
}

#[tokio::test]
async fn access_tokens_are_revoked_and_given_out_anew() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let token = access_token(&client, &simulator, &clock).await;
    simulator.revoke_access_tokens();
    assert_eq!(client.get(Ask::fcm(&simulator, &token, &json!({"token": "t"}))).await.status, 401);
    let token = access_token(&client, &simulator, &clock).await;
    assert_eq!(client.get(Ask::fcm(&simulator, &token, &json!({"token": "t"}))).await.status, 200);
}

#[tokio::test]
async fn a_reset_starts_anew() {
    let (simulator, clock) = start(&["apns 503"]).await;
    simulator.unregister(DEVICE, clock.now());
    push(&simulator, &clock).await;
    simulator.reset();
    assert_eq!((simulator.log().all().len(), simulator.log().counts()), (0, Vec::new()));
    assert_eq!(push(&simulator, &clock).await.status, 200);
    let counts = simulator.log().counts();
    assert_eq!((counts.len(), counts[0].provider, counts[0].count), (1, Provider::Apns, 1));
}
