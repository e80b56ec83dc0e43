//! A connection that breaks in the middle of a step, before Redis saw it or before its answer came back: the step is tried again and
//! is the same as if nothing had happened.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{Device, DeviceId, Input, Limit, Rate};
use bellwire::store::redis::Redis;
use bellwire::store::{Admits, Announcement, Ban, Charge, Claim, Opening, Reservation, Role, Slot, Store};
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use super::{CUTS, Cut, by_way_of, store_with};
use crate::store_laws::fixture::{
    after, android, claim, create, device_id, is_conflict, line, loaded, new_call, open, replace, token, user,
};
use crate::support::SOON;
use crate::support::proxy::Proxy;
use crate::support::redis::{RedisServer, store_config};

/// A store whose connections can be cut, and another one on the same keys.
struct Scene {
    proxy: Proxy,
    store: Arc<Redis>,
    other: Arc<Redis>,
    news: Receiver<Arc<Announcement>>,
    clock: Clock,
}

impl Scene {
    async fn new() -> Option<Self> {
        let redis = RedisServer::shared().await?;
        let proxy = Proxy::start(redis.port()).await;
        let (clock, config) = (Clock::system(), store_config(&redis.url(), &[]));
        let other = store_with(&config, &clock).await;
        let store = store_with(&by_way_of(&config, &format!("redis://{}", proxy.address())), &clock).await;
        let news = other.announcements();
        Some(Self { proxy, store, other, news, clock })
    }

    /// One for each way in which the connection can break.
    async fn each() -> Option<[(Self, Cut); 2]> {
        Some([(Self::new().await?, CUTS[0]), (Self::new().await?, CUTS[1])])
    }

    /// What a step gives whose request, the next one with this in it, is cut.
    async fn cut<T>(&self, cut: Cut, pattern: &str, step: impl Future<Output = T>) -> T {
        cut(&self.proxy, pattern.as_bytes());
        let outcome = step.await;
        assert!(!self.proxy.awaits_cut(), "{pattern} was in no request");
        outcome
    }

    /// What the other store has announced until now.
    async fn told(&mut self) -> Vec<Announcement> {
        let marker = new_call(&self.clock);
        create(&*self.other, &marker).await.expect("written");
        let mut told = Vec::new();
        loop {
            let news = timeout(SOON, self.news.recv()).await.expect("in time").expect("news");
            match &*news {
                Announcement::Committed(committed) if committed.call == marker.id => return told,
                news => told.push(news.clone()),
            }
        }
    }

    /// Checks that these were announced as closed, each once.
    async fn expect_closed(&mut self, expected: &[(&str, Option<&str>)]) {
        let told = self.told().await;
        let closed = told.iter().map(|news| match news {
            Announcement::Closed { user, device } => (user.as_str(), device.as_ref().map(DeviceId::as_str)),
            other => panic!("{other:?}"),
        });
        assert_eq!(closed.collect::<Vec<_>>(), expected);
    }

    fn phone(&self, id: &str, token: &str) -> Device {
        android(id, token, self.clock.now())
    }

    async fn put(&self, name: &str, device: Device) {
        self.store.put_device(&user(name), device, 10, &[]).await.expect("registered");
    }

    /// The ids of a user's devices.
    async fn devices(&self, name: &str) -> Vec<String> {
        let devices = self.store.devices(&user(name)).await.expect("devices");
        devices.into_iter().map(|device| device.id.to_string()).collect()
    }
}

/// A rate of which there is no second one to take.
static ONE: [Charge; 1] =
    [Charge { limit: Limit::RegistrationsPerUser, rate: Rate { count: 1, per: Duration::from_hours(1) }, of: None }];

#[tokio::test]
async fn a_commit_is_made_once() {
    for (mut scene, cut) in Scene::each().await.into_iter().flatten() {
        let call = new_call(&scene.clock);
        let answered = after(&call, &Input::Answer(device_id("phone")), scene.clock.now());
        let mut own = scene.store.announcements();
        let id = call.id.to_string();
        scene.cut(cut, &id, create(&*scene.store, &call)).await.expect("written");
        scene.cut(cut, &id, replace(&*scene.store, &call, &answered)).await.expect("written");
        assert_eq!(loaded(&*scene.store, call.id).await, answered);
        let versions = scene.told().await.into_iter().map(|news| match news {
            Announcement::Committed(news) if news.call == call.id => news.version,
            other => panic!("{other:?}"),
        });
        assert_eq!(versions.collect::<Vec<_>>(), [1, 2]);
        for record in [&call, &answered] {
            let Announcement::Committed(news) = &*own.recv().await.expect("news") else { panic!("something else") };
            assert_eq!(news.record.as_deref(), Some(record));
        }
        let again = replace(&*scene.store, &call, &answered).await;
        assert!(is_conflict(&again), "another commit is another one: {again:?}");
    }
}

/// Then this instance does not know whether it wrote the record before the other one did; its readers must look.
#[tokio::test]
async fn a_commit_that_was_overtaken_before_its_answer_is_told_to_this_instance_too() {
    let Some(scene) = Scene::new().await else { return };
    let call = new_call(&scene.clock);
    create(&*scene.store, &call).await.expect("written");
    let ringing = after(&call, &Input::DeviceAlerting(device_id("phone")), scene.clock.now());
    let mut own = scene.store.announcements();
    scene.proxy.cut_before_reply(call.id.to_string().as_bytes());
    scene.proxy.refuse(true);
    let overtake = async {
        while loaded(&*scene.other, call.id).await.version == 1 {}
        let mut later = ringing.clone();
        later.version += 1;
        replace(&*scene.other, &ringing, &later).await.expect("written, with nothing to announce");
        scene.proxy.refuse(false);
    };
    let (written, ()) = tokio::join!(replace(&*scene.store, &call, &ringing), overtake);
    assert!(is_conflict(&written), "{written:?}");
    let news = timeout(SOON, own.recv()).await.expect("told in time").expect("news");
    let Announcement::Committed(news) = &*news else { panic!("{news:?}") };
    assert_eq!((news.call, news.version, news.record.is_none()), (call.id, 2, true));
}

#[tokio::test]
async fn an_id_is_buried_and_a_record_removed_once() {
    for (scene, cut) in Scene::each().await.into_iter().flatten() {
        let (buried, kept) = (new_call(&scene.clock), new_call(&scene.clock));
        let id = buried.id.to_string();
        let slot = scene.cut(cut, &id, scene.store.bury(buried.id)).await.expect("a slot");
        assert_eq!(slot, Slot::Tombstone);
        create(&*scene.store, &kept).await.expect("written");
        let id = kept.id.to_string();
        scene.cut(cut, &id, scene.store.remove(kept.id, 1)).await.expect("removed");
        assert_eq!(scene.store.load(kept.id).await.expect("a slot"), Slot::Vacant);
        let again = scene.store.remove(kept.id, 1).await;
        assert!(is_conflict(&again), "it was not there: {again:?}");
    }
}

#[tokio::test]
async fn a_line_is_claimed_once_and_freed() {
    for (scene, cut) in Scene::each().await.into_iter().flatten() {
        let (store, clock) = (&*scene.store, &scene.clock);
        let first = claim(clock, "ann", "bob", Role::Caller);
        open(store, &first).await;
        let second = claim(clock, "ann", "bob", Role::Caller);
        let key = |body: &str| Reservation {
            key: "key".to_owned(),
            body: body.to_owned(),
            replaces: None,
            until: second.until,
        };
        let id = second.call.to_string();
        let opening =
            scene.cut(cut, &id, store.open_line(second.clone(), Some(key("body")), &ONE)).await.expect("an opening");
        assert_eq!(opening, Opening::Claimed(vec![first.clone()]));
        let reserved = store.open_line(claim(clock, "ann", "bob", Role::Caller), Some(key("body")), &[]).await;
        assert_eq!(reserved.expect("an opening"), Opening::Reserved { call: second.call, same_body: true });
        assert_eq!(line(store, clock, "ann").await, [first.call, second.call]);

        let called = claim(clock, "bob", "ann", Role::Callee);
        let callee = scene
            .cut(cut, &called.call.to_string(), store.ring_line(called.clone(), &ONE, Admits::All))
            .await
            .expect("a callee");
        assert!(callee.others.is_empty());
        assert_eq!(line(store, clock, "bob").await, [called.call]);
        assert_eq!(store.history(&user("bob"), None, 10).await.expect("a history").len(), 2, "and the probe");
        scene.cut(cut, &id, store.free_line(&user("ann"), second.call)).await.expect("freed");
        assert_eq!(line(store, clock, "ann").await, [first.call]);
    }
}

#[tokio::test]
async fn a_call_that_is_asked_about_is_charged_once() {
    for (scene, cut) in Scene::each().await.into_iter().flatten() {
        let (store, clock) = (&*scene.store, &scene.clock);
        let asked_about = claim(clock, "ann", "bob", Role::Caller);
        let asked_about = Claim { until: asked_about.at, ..asked_about };
        let id = asked_about.call.to_string();
        let opening = scene.cut(cut, &id, store.open_line(asked_about.clone(), None, &ONE)).await;
        assert_eq!(opening.expect("an opening"), Opening::Claimed(Vec::new()));
        let made = Claim { until: clock.now() + Duration::from_hours(1), ..asked_about };
        let opening = store.open_line(made, None, &[]).await.expect("an opening");
        assert_eq!(opening, Opening::Claimed(Vec::new()));
    }
}

#[tokio::test]
async fn a_missed_call_counts_once() {
    for (scene, cut) in Scene::each().await.into_iter().flatten() {
        let (bob, ann) = (user("bob"), user("ann"));
        for number in 1..=3 {
            let call = scene.clock.call_id();
            let counted = scene.cut(cut, &call.to_string(), scene.store.count_missed(&bob, &ann, call)).await;
            assert_eq!(counted.expect("a number").count, number);
            assert_eq!(scene.store.count_missed(&bob, &ann, call).await.expect("a number").count, number);
        }
    }
}

/// Wherever in the registration it breaks, the phone that changed hands is taken from who had it, and belongs to its new user.
#[tokio::test]
async fn a_phone_changes_hands_once() {
    // The device, its claim to the token, the same knowing whose it is, and the removal of the old one.
    for pattern in [r#""id":"new""#, r#""device":"new""#, r#""user":"ann""#, r#""id":"old""#] {
        for (mut scene, cut) in Scene::each().await.into_iter().flatten() {
            scene.put("ann", scene.phone("old", "token")).await;
            let put = scene.put("bob", scene.phone("new", "token"));
            scene.cut(cut, pattern, put).await;
            scene.expect_closed(&[("ann", Some("old"))]).await;
            assert!(scene.devices("ann").await.is_empty(), "{pattern}");
            assert_eq!(scene.devices("bob").await, ["new"], "{pattern}");
            scene.put("cid", scene.phone("newest", "token")).await;
            scene.expect_closed(&[("bob", Some("new"))]).await;
        }
    }
}

#[tokio::test]
async fn a_refreshed_device_keeps_its_token_and_one_too_many_gives_way_once() {
    for (mut scene, cut) in Scene::each().await.into_iter().flatten() {
        for id in ["eldest", "elder", "phone"] {
            scene.put("ann", scene.phone(id, id)).await;
            scene.clock.advance(Duration::from_millis(1));
        }
        let (ann, refreshed) = (user("ann"), scene.phone("phone", "phone"));
        let put = scene.store.put_device(&ann, refreshed, 2, &ONE);
        scene.cut(cut, r#""id":"phone""#, put).await.expect("registered");
        scene.expect_closed(&[("ann", Some("eldest"))]).await;
        assert_eq!(scene.devices("ann").await, ["elder", "phone"]);
        scene.put("bob", scene.phone("other", "phone")).await;
        scene.expect_closed(&[("ann", Some("phone"))]).await;
        assert_eq!(scene.devices("ann").await, ["elder"]);
    }
}

#[tokio::test]
async fn a_device_is_removed_once_and_its_token_is_free() {
    for (mut scene, cut) in Scene::each().await.into_iter().flatten() {
        let (ann, phone) = (user("ann"), device_id("phone"));
        scene.put("ann", scene.phone("phone", "token")).await;
        let was_there = scene.cut(cut, r#""id":"phone""#, scene.store.remove_device(&ann, &phone)).await;
        assert!(was_there.expect("removed"));
        scene.expect_closed(&[("ann", Some("phone"))]).await;
        assert!(!scene.store.remove_device(&ann, &phone).await.expect("not there"));
        scene.put("bob", scene.phone("phone", "token")).await;
        scene.expect_closed(&[]).await;
    }
}

#[tokio::test]
async fn a_dead_token_is_dropped_once() {
    for (scene, cut) in Scene::each().await.into_iter().flatten() {
        let (ann, phone, dead) = (user("ann"), device_id("phone"), token("token"));
        scene.put("ann", scene.phone("phone", "token")).await;
        let dropping = scene.store.drop_token(&ann, &phone, &dead, None);
        assert!(scene.cut(cut, r#""fcm_token":"token""#, dropping).await.expect("dropped"));
        assert!(!scene.store.drop_token(&ann, &phone, &dead, None).await.expect("dropped before"));
        assert!(scene.devices("ann").await.is_empty());
    }
}

#[tokio::test]
async fn a_ban_is_written_and_lifted_once() {
    for (mut scene, cut) in Scene::each().await.into_iter().flatten() {
        let (ann, now) = (user("ann"), scene.clock.now());
        let ban = Ban { user: ann.clone(), reason: Some("a reason".to_owned()), created_at: now, until: None };
        scene.cut(cut, "a reason", scene.store.put_ban(ban.clone())).await.expect("banned");
        scene.expect_closed(&[("ann", None)]).await;
        assert_eq!(scene.store.ban(&ann, now).await.expect("a ban"), Some(ban));
        assert!(scene.cut(cut, "a reason", scene.store.lift_ban(&ann)).await.expect("lifted"));
        assert!(!scene.store.lift_ban(&ann).await.expect("lifted before"));
        assert_eq!(scene.store.ban(&ann, now).await.expect("no ban"), None);
    }
}
