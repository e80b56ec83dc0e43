//! `store.encryption_key`: a dump of the store gives no push token away, and keys come and go while calls go on.

use std::path::Path;
use std::sync::Arc;

use bellwire::clock::Clock;
use bellwire::config::store::{EncryptionKey, Redis as RedisConfig};
use bellwire::domain::Device;
use bellwire::store::Role;
use bellwire::store::embedded::Embedded;
use bellwire::store::redis::Redis;
use bellwire::store::{Admits, Claim, Store};
use serde_json::json;

use super::dump;
use crate::store_laws::fixture::{after, claim, create, device_id, iphone, loaded, new_call, replace, token, user};
use crate::support::people::path;
use crate::support::redis::{RedisServer, store_config};
use crate::support::{SOON, Stage, bearer};

const PLAIN: EncryptionKey = EncryptionKey::Plain;

const fn key(number: u8) -> EncryptionKey {
    EncryptionKey::Key([number; 32])
}

/// Gateways on one Redis with keys of their own.
struct Gateways {
    config: RedisConfig,
    clock: Clock,
}

impl Gateways {
    async fn with(&self, keys: &[EncryptionKey]) -> Redis {
        Redis::open(&self.config, SOON, self.clock.clone()).await.expect("a store").sealed_by(keys)
    }
}

/// Ann's iPhone, whose tokens nothing else has in it.
fn anns_iphone(clock: &Clock) -> Device {
    iphone("phone", "facefacefaceface", "beadbeadbeadbead", clock.now())
}

fn gives_tokens_away(dump: &str) -> bool {
    ["facefacefaceface", "beadbeadbeadbead"].into_iter().any(|token| dump.contains(token))
}

#[tokio::test]
async fn a_dump_of_redis_has_no_token_of_a_device_or_of_a_call() {
    let Some(server) = RedisServer::shared().await else { return };
    let gateways = Gateways { config: store_config(&server.url(), &[]), clock: Clock::system() };
    let (clock, prefix) = (&gateways.clock, &gateways.config.key_prefix);
    let plain = gateways.with(&[]).await;
    let phone = anns_iphone(clock);
    plain.put_device(&user("bob"), phone.clone(), 10, &[]).await.expect("a device");
    assert!(gives_tokens_away(&dump(&[server], prefix).await), "that is what encryption is for");

    let store = gateways.with(&[key(1)]).await;
    let read = store.devices(&user("bob")).await.expect("devices");
    assert_eq!(read, std::slice::from_ref(&phone), "stored plain, and read as it is");
    let heard = bellwire::domain::Heard::Acked(clock.now());
    store.note_heard(&user("bob"), &device_id("phone"), heard).await.expect("noted");
    let mut call = new_call(clock);
    call.legs[0].device = phone.clone().into();
    create(&store, &call).await.expect("created");
    let answered = after(&call, &bellwire::domain::Input::Answer(device_id("phone")), clock.now());
    replace(&store, &call, &answered).await.expect("replaced");
    let dumped = dump(&[server], prefix).await;
    assert!(!gives_tokens_away(&dumped), "{dumped}");
    assert_eq!(loaded(&store, call.id).await, answered, "and nothing is lost");
    assert_eq!(store.devices(&user("bob")).await.expect("devices")[0].tokens().count(), 2);
}

#[tokio::test]
async fn gateways_with_and_without_the_key_share_a_store() {
    let Some(server) = RedisServer::shared().await else { return };
    let gateways = Gateways { config: store_config(&server.url(), &[]), clock: Clock::system() };
    let clock = &gateways.clock;
    let phone = anns_iphone(clock);
    let (without, reads, writes) =
        (gateways.with(&[]).await, gateways.with(&[PLAIN, key(1)]).await, gateways.with(&[key(1)]).await);
    let devices = async |store: &Redis| store.devices(&user("ann")).await.expect("devices");

    // While gateways are given the key, those that have it read and write as the others do.
    reads.put_device(&user("ann"), phone.clone(), 10, &[]).await.expect("a device");
    for store in [&without, &reads, &writes] {
        assert_eq!(devices(store).await, std::slice::from_ref(&phone));
    }
    writes.put_device(&user("ann"), phone.clone(), 10, &[]).await.expect("a device");
    assert_eq!(devices(&reads).await, std::slice::from_ref(&phone));
    // One that was forgotten sees a device without tokens, says so, and does no harm.
    let seen = &devices(&without).await[0];
    assert_eq!((seen.tokens().count(), &seen.id), (0, &phone.id));
    let told = without.health().await.expect("it works");
    assert!(told.contains("store.encryption_key"), "{told}");
    assert!(!reads.health().await.expect("it works").contains("encryption_key"));
    without.set_environment(&user("ann"), &phone.id, bellwire::domain::Environment::Sandbox).await.expect("noted");
    let dropped = without.drop_token(&user("ann"), &phone.id, &token("facefacefaceface"), None).await;
    assert!(!dropped.expect("an answer"), "it cannot know");
    let kept = &devices(&writes).await[0];
    assert_eq!(kept.tokens().collect::<Vec<_>>(), phone.tokens().collect::<Vec<_>>());

    // Whose a token is does not depend on the key.
    without.put_device(&user("bob"), Device { id: device_id("other"), ..phone.clone() }, 10, &[]).await.expect("moved");
    assert!(devices(&writes).await.is_empty(), "the phone changed hands");
    writes.put_device(&user("ann"), phone.clone(), 10, &[]).await.expect("a device");
    assert!(without.devices(&user("bob")).await.expect("devices").is_empty(), "and back");
}

#[tokio::test]
async fn a_call_that_a_gateway_without_the_key_made_is_pushed_to_by_one_with_it() {
    let Some(server) = RedisServer::shared().await else { return };
    let gateways = Gateways { config: store_config(&server.url(), &[]), clock: Clock::system() };
    let clock = &gateways.clock;
    let (without, with) = (gateways.with(&[]).await, gateways.with(&[key(2), key(1)]).await);
    let phone = anns_iphone(clock);
    gateways.with(&[key(1)]).await.put_device(&user("bob"), phone.clone(), 10, &[]).await.expect("a device");
    let mut call = new_call(clock);
    let claim = Claim { call: call.id, ..claim(clock, "bob", "ann", Role::Callee) };
    call.legs[0].device = without.ring_line(claim, &[], Admits::All).await.expect("a callee").devices.remove(0).into();
    create(&without, &call).await.expect("created");
    assert_eq!(*loaded(&with, call.id).await.legs[0].device, phone);
    // The next write is by the new key.
    let answered =
        after(&loaded(&with, call.id).await, &bellwire::domain::Input::Answer(device_id("phone")), clock.now());
    replace(&with, &call, &answered).await.expect("replaced");
    assert_eq!(loaded(&gateways.with(&[key(2)]).await, call.id).await, answered);
    assert_eq!(loaded(&gateways.with(&[key(1)]).await, call.id).await.legs[0].device.tokens().count(), 0);
}

#[tokio::test]
async fn a_whole_call_leaves_no_token_in_the_file_of_an_embedded_store() {
    let stage = Stage::configured("", |config| config.store.encryption = vec![key(9)]).await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.ring(&iphone, &call).await;
    stage.answer(&pixel, &call).await;
    stage.push("cancel", &iphone.notice_token, &call).await;
    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    let file = stage.config_file.with_file_name("calls.redb");
    let devices = stage.gateway.engine.devices(&user("bob")).await.expect("devices");
    assert_eq!(devices.iter().map(|device| device.tokens().count()).sum::<usize>(), 3);
    assert!(!in_file(&file, "\"voip_token\"") && in_file(&file, "\"sealed\""));
    for token in [&iphone.ring_token, &iphone.notice_token, &pixel.ring_token] {
        assert!(!in_file(&file, token), "{token}");
    }
}

fn in_file(file: &Path, text: &str) -> bool {
    let bytes = std::fs::read(file).expect("the file");
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn a_file_whose_key_was_lost_is_no_file_without_devices() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, clock) = (folder.path().join("store"), Clock::system());
    let open = |keys: &[EncryptionKey]| -> Arc<dyn Store> {
        Arc::new(Embedded::open(&file, SOON, clock.clone()).expect("a store").sealed_by(keys))
    };
    let store = open(&[key(1)]);
    let phone = anns_iphone(&clock);
    store.put_device(&user("ann"), phone.clone(), 10, &[]).await.expect("a device");
    store.close().await;
    drop(store);
    let store = open(&[key(2)]);
    assert_eq!(store.devices(&user("ann")).await.expect("devices")[0].tokens().count(), 0);
    assert!(store.health().await.expect("it works").contains("store.encryption_key"));
    // Others of the same user are written beside it.
    let other = crate::store_laws::fixture::android("other", "another-token", clock.now());
    store.put_device(&user("ann"), other.clone(), 10, &[]).await.expect("a device");
    store.close().await;
    drop(store);
    let store = open(&[key(1), key(2)]);
    assert_eq!(store.devices(&user("ann")).await.expect("devices"), [other, phone]);
}
