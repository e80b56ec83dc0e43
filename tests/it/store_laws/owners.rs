//! Whose a push token is on Redis, where device and owner lie apart, when a gateway was killed between two steps of a registration.

use std::slice;

use bellwire::clock::Clock;
use bellwire::config::store::EncryptionKey;
use bellwire::domain::{Device, DeviceId};
use bellwire::store::redis::Redis;
use bellwire::store::{Admits, Role, Store};

use super::fixture::{android, claim, iphone, user};
use crate::support::SOON;
use crate::support::redis::{RedisCluster, RedisServer, store_config};

/// A store, and the servers that it is on.
struct Scene {
    servers: &'static [RedisServer],
    prefix: String,
    store: Redis,
    clock: Clock,
}

impl Scene {
    async fn on(servers: &'static [RedisServer], url: &str, keys: &[EncryptionKey]) -> Self {
        let (config, clock) = (store_config(url, &[]), Clock::system());
        let store = Redis::open(&config, SOON, clock.clone()).await.expect("a store").sealed_by(keys);
        Self { servers, prefix: config.key_prefix, store, clock }
    }

    async fn register(&self, name: &str, device: Device) {
        self.store.put_device(&user(name), device, 10, &[]).await.expect("registered");
    }

    fn iphone(&self, voip: &str, alert: &str) -> Device {
        iphone("phone", voip, alert, self.clock.now())
    }

    /// The server and the key of a user's devices.
    async fn place(&self, name: &str) -> (&RedisServer, String) {
        let pattern = format!("{}:*:devices:{name}", self.prefix);
        for server in self.servers {
            if let [key] = &server.read::<Vec<String>>(&["KEYS", &pattern]).await[..] {
                return (server, key.clone());
            }
        }
        panic!("{name} has no device");
    }

    /// The devices that a call to a user would ring.
    async fn rung(&self, name: &str) -> Vec<String> {
        let claim = claim(&self.clock, name, "caller", Role::Callee);
        let callee = self.store.ring_line(claim, &[], Admits::All).await.expect("a callee");
        let devices = self.store.devices(&user(name)).await.expect("devices");
        assert_eq!(callee.devices, devices);
        devices.iter().map(|device| device.id.to_string()).collect()
    }
}

/// Bob's phone has become ann's, and the gateway that registered it was killed before it took it away from bob.
async fn a_token_is_its_last_owners(scene: &Scene) {
    scene.register("bob", android("tablet", "fcm-1", scene.clock.now())).await;
    scene.register("bob", scene.iphone("aa11", "bb22")).await;
    assert_eq!(scene.rung("bob").await, ["phone", "tablet"]);
    let (server, key) = scene.place("bob").await;
    let phone: String = server.read(&["HGET", &key, "phone"]).await;
    scene.register("ann", scene.iphone("aa11", "cc33")).await;
    server.command(&["HSET", &key, "phone", &phone]).await;
    assert_eq!((scene.rung("bob").await, scene.rung("ann").await), (vec!["tablet".into()], vec!["phone".into()]));
    // What nobody is known to own rings: a key that is lost must not silence a phone.
    for server in scene.servers {
        for key in server.read::<Vec<String>>(&["KEYS", &format!("{}:*:token:*", scene.prefix)]).await {
            server.command(&["DEL", &key]).await;
        }
    }
    assert_eq!(scene.rung("bob").await, ["phone", "tablet"]);
}

#[tokio::test]
async fn a_phone_that_changed_hands_rings_for_its_last_owner_alone() {
    let Some(server) = RedisServer::shared().await else { return };
    for keys in [&[][..], &[EncryptionKey::Key([7; 32])]] {
        a_token_is_its_last_owners(&Scene::on(slice::from_ref(server), &server.url(), keys).await).await;
    }
}

#[tokio::test]
async fn a_phone_that_changed_hands_rings_for_its_last_owner_alone_on_a_cluster() {
    let Some(cluster) = RedisCluster::shared().await else { return };
    a_token_is_its_last_owners(&Scene::on(&cluster.masters, &cluster.url(), &[]).await).await;
}

/// A registration whose taking away of another's phone failed is sent again, and later the phone is taken away.
async fn a_phone_that_was_taken_twice_is_nobodys(scene: &Scene) {
    scene.register("bob", android("tablet", "fcm-1", scene.clock.now())).await;
    scene.register("bob", scene.iphone("aa11", "bb22")).await;
    let (server, key) = scene.place("bob").await;
    let aside = format!("{key}-aside");
    server.command(&["RENAME", &key, &aside]).await;
    server.command(&["SET", &key, "nothing that can be read"]).await;
    let anns = scene.iphone("aa11", "cc33");
    scene.store.put_device(&user("ann"), anns, 10, &[]).await.expect_err("bob's devices cannot be read");
    server.command(&["RENAME", &aside, &key]).await;
    scene.register("ann", scene.iphone("aa11", "cc33")).await;
    assert_eq!(scene.rung("ann").await, ["phone"]);
    assert!(scene.store.remove_device(&user("ann"), &DeviceId::new("phone").expect("an id")).await.expect("removed"));
    assert_eq!(scene.rung("bob").await, ["tablet"], "the phone was ann's last");
}

#[tokio::test]
async fn a_phone_that_is_taken_away_rings_for_no_earlier_owner() {
    let Some(server) = RedisServer::shared().await else { return };
    a_phone_that_was_taken_twice_is_nobodys(&Scene::on(slice::from_ref(server), &server.url(), &[]).await).await;
    let Some(cluster) = RedisCluster::shared().await else { return };
    a_phone_that_was_taken_twice_is_nobodys(&Scene::on(&cluster.masters, &cluster.url(), &[]).await).await;
}
