//! What stores of several instances on one Redis promise each other, and what only their keys can show.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::config;
use bellwire::domain::{CallId, Input, Limit, Rate};
use bellwire::store::redis::Redis;
use bellwire::store::{Admits, Announcement, Ban, Charge, Committed, Keeping, Role, Slot, Store, StoreError};
use redis::Value;
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::fixture::{after, android, claim, create, device_id, is_conflict, new_call, replace, user};
use crate::support::SOON;
use crate::support::redis::{RedisCluster, RedisServer, store_config};

/// Two instances' stores on the same keys.
struct Pair {
    here: Arc<Redis>,
    there: Arc<Redis>,
    clock: Clock,
}

impl Pair {
    async fn on(config: &config::store::Redis) -> Self {
        let clock = Clock::system();
        let open = async || Arc::new(Redis::open(config, SOON, clock.clone()).await.expect("a store"));
        Self { here: open().await, there: open().await, clock }
    }

    async fn on_one() -> Option<Self> {
        Some(Self::on(&store_config(&RedisServer::shared().await?.url(), &[])).await)
    }

    async fn on_cluster() -> Option<Self> {
        Some(Self::on(&store_config(&RedisCluster::shared().await?.url(), &[])).await)
    }
}

async fn heard(news: &mut broadcast::Receiver<Arc<Announcement>>) -> Announcement {
    let news = timeout(SOON, news.recv()).await.expect("in time").expect("news");
    Announcement::clone(&news)
}

async fn committed(news: &mut broadcast::Receiver<Arc<Announcement>>) -> Committed {
    match heard(news).await {
        Announcement::Committed(committed) => committed,
        other => panic!("{other:?}"),
    }
}

async fn each_hears_of_the_others_commits(pair: &Pair) {
    let Pair { here, there, clock } = pair;
    let (mut from_there, mut own) = (here.announcements(), there.announcements());
    for _ in 0..20 {
        let call = new_call(clock);
        create(&**there, &call).await.expect("written");
        let answered = after(&call, &Input::Answer(device_id("phone")), clock.now());
        replace(&**there, &call, &answered).await.expect("written");
        for (record, after_seq) in [(&call, 0), (&answered, call.last_seq())] {
            let news = committed(&mut from_there).await;
            assert_eq!(
                (news.call, news.version, &*news.parties),
                (call.id, record.version, &[user("ann"), user("bob")][..])
            );
            assert_eq!((news.after_seq, news.last_seq), (after_seq, record.last_seq()));
            assert!(news.record.is_none(), "it is loaded where somebody reads");
            assert_eq!(committed(&mut own).await.record.as_deref(), Some(record), "once, with the record");
        }
    }
}

#[tokio::test]
async fn each_instance_hears_of_the_others_commits() {
    let Some(pair) = Pair::on_one().await else { return };
    each_hears_of_the_others_commits(&pair).await;
}

#[tokio::test]
async fn each_instance_hears_of_the_others_commits_on_a_cluster() {
    let Some(pair) = Pair::on_cluster().await else { return };
    each_hears_of_the_others_commits(&pair).await;
}

#[tokio::test]
async fn a_ban_and_a_removed_device_are_heard_everywhere() {
    let Some(Pair { here, there, clock }) = Pair::on_one().await else { return };
    let mut news = here.announcements();
    there.put_device(&user("bob"), android("phone", "token", clock.now()), 9, &[]).await.expect("registered");
    there.remove_device(&user("bob"), &device_id("phone")).await.expect("removed");
    let ban = Ban { user: user("cid"), reason: None, created_at: clock.now(), until: None };
    there.put_ban(ban).await.expect("banned");
    for (who, which) in [("bob", Some(device_id("phone"))), ("cid", None)] {
        let Announcement::Closed { user: closed, device } = heard(&mut news).await else { panic!("not closed") };
        assert_eq!((closed, device), (user(who), which));
    }
}

#[tokio::test]
async fn law_18_an_attached_device_is_named_until_it_is_detached_or_its_instance_stops() {
    let Some(Pair { here, there, clock }) = Pair::on_one().await else { return };
    let (bob, browser, tab) = (user("bob"), device_id("browser"), device_id("tab"));
    let attached = async || {
        let callee = here.ring_line(claim(&clock, "bob", "ann", Role::Callee), &[], Admits::All).await.expect("rung");
        let mut attached = callee.attached;
        attached.sort();
        attached
    };
    // Whoever opened first learns of the other with its next beat.
    let known = async {
        there.attach(&bob, &browser).await.expect("attached");
        while attached().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, known).await.expect("known in time");
    here.attach(&bob, &tab).await.expect("attached");
    there.attach(&bob, &browser).await.expect("attached again");
    assert_eq!(attached().await, [browser.clone(), tab.clone()]);
    there.detach(&bob, &tab).await.expect("it reads at the other instance");
    assert_eq!(attached().await, [browser.clone(), tab.clone()]);
    here.detach(&bob, &tab).await.expect("detached");
    assert_eq!(attached().await, [browser]);
    there.close().await;
    let gone = async {
        while !attached().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, gone).await.expect("gone in time");
}

#[tokio::test]
async fn law_06_a_wake_up_without_a_record_is_removed() {
    let Some(server) = RedisServer::shared().await else { return };
    let Pair { here, clock, .. } = Pair::on(&store_config(&server.url(), &[])).await;
    let call = new_call(&clock);
    create(&*here, &call).await.expect("written");
    let far = clock.now() + Duration::from_hours(1000);
    // As if a fail-over had lost the one and not the other.
    assert_eq!(server.command(&["DEL", &key_of(server, call.id).await]).await, Value::Int(1));
    assert_eq!(here.due(far, 10, &HashSet::new()).await.expect("due"), [call.id]);
    assert!(is_conflict(&here.remove(call.id, 0).await));
    assert!(here.due(far, 10, &HashSet::new()).await.expect("due").is_empty());
}

#[tokio::test]
async fn a_record_of_a_newer_release_is_left_alone() {
    let Some(server) = RedisServer::shared().await else { return };
    let Pair { here, clock, .. } = Pair::on(&store_config(&server.url(), &[])).await;
    let call = new_call(&clock);
    create(&*here, &call).await.expect("written");
    let key = key_of(server, call.id).await;
    let record = r#"{"format":2,"version":1,"in":"another shape"}"#;
    server.command(&["SET", &key, record]).await;

    assert!(matches!(here.load(call.id).await, Err(StoreError::Newer(2))));
    let next = after(&call, &Input::Cancel, clock.now());
    assert!(matches!(create(&*here, &call).await, Err(StoreError::Newer(2))));
    assert!(matches!(replace(&*here, &call, &next).await, Err(StoreError::Newer(2))));
    assert!(matches!(here.bury(call.id).await, Err(StoreError::Newer(2))));
    assert!(matches!(here.remove(call.id, 1).await, Err(StoreError::Newer(2))));
    assert_eq!(server.read::<String>(&["GET", &key]).await, record);
}

#[tokio::test]
async fn a_commit_has_a_number_of_its_own_and_one_notice() {
    let Some(server) = RedisServer::shared().await else { return };
    let Pair { here, there, clock } = Pair::on(&store_config(&server.url(), &[])).await;
    let mut news = there.announcements();
    let call = new_call(&clock);
    create(&*here, &call).await.expect("written");
    assert!(is_conflict(&create(&*there, &call).await), "the same record by another commit is another one");
    let record: String = server.read(&["GET", &key_of(server, call.id).await]).await;
    assert!(record.starts_with(r#"{"format":1,"commit":""#), "{record}");
    assert_eq!(here.load(call.id).await.expect("a slot"), Slot::Call(Box::new(call.clone())), "and is not in the call");
    assert_eq!(committed(&mut news).await.call, call.id);
    assert!(news.is_empty(), "one commit, one notice");
}

/// The key of a call, whatever its prefix.
async fn key_of(server: &RedisServer, call: CallId) -> String {
    let keys: Vec<String> = server.read(&["KEYS", &format!("*:call:{call}")]).await;
    keys.into_iter().next().expect("a key")
}

#[tokio::test]
async fn instances_share_a_rate_and_redis_forgets_it() {
    let Some(pair) = Pair::on_one().await else { return };
    let server = RedisServer::shared().await.expect("a server");
    let rate = Some(Rate { count: 3, per: Duration::from_mins(1) });
    let charges = [Charge::of_user(Limit::TokensPerUser, rate).expect("a charge")];
    // One that no other test has.
    let owner = user(&pair.clock.uuid().to_string());
    for store in [&pair.here, &pair.there, &pair.here] {
        store.admit(&owner, &charges).await.expect("admitted");
    }
    for store in [&pair.here, &pair.there] {
        assert!(matches!(store.admit(&owner, &charges).await, Err(StoreError::Limited(_))));
    }
    let keys: Vec<String> = server.read(&["KEYS", &format!("*rate:tokens_per_user:{owner}")]).await;
    let left: u64 = server.read(&["PTTL", &keys[0]]).await;
    assert!(left > 0 && left <= 60_000, "{left} ms");
}

#[tokio::test]
async fn law_27_a_call_is_found_for_as_long_as_was_configured_when_it_was_made() {
    let Some(server) = RedisServer::shared().await else { return };
    let (config, clock) = (store_config(&server.url(), &[]), Clock::system());
    let day = Duration::from_hours(24);
    let keeping = async |days: u32| {
        let store = Redis::open(&config, SOON, clock.clone()).await.expect("a store");
        store.keeping(Keeping { calls: days * day, ..Keeping::default() })
    };
    let (long, short) = (keeping(90).await, keeping(1).await);
    let call = async |store: &Redis| {
        let (outgoing, incoming) =
            (claim(&clock, "ann", "bob", Role::Caller), claim(&clock, "bob", "ann", Role::Callee));
        let incoming = bellwire::store::Claim { call: outgoing.call, ..incoming };
        let id = outgoing.call;
        store.open_line(outgoing, None, &[]).await.expect("opened");
        store.ring_line(incoming, &[], Admits::All).await.expect("rung");
        for name in ["ann", "bob"] {
            store.free_line(&user(name), id).await.expect("freed");
        }
        id
    };
    let first = call(&long).await;
    // Among so many that the history does not name it any more.
    for _ in 0..100 {
        call(&long).await;
    }
    clock.advance(2 * day);
    let gone = call(&short).await;
    clock.advance(2 * day);
    call(&short).await;
    for name in ["ann", "bob"] {
        let naming = short.calls_naming(&user(name)).await.expect("calls");
        assert!(naming.contains(&first), "{name}");
        let keys: Vec<String> = server.read(&["KEYS", &format!("{}:*}}:named:{name}", config.key_prefix)]).await;
        let named: Vec<String> = server.read(&["ZRANGE", &keys[0], "0", "-1"]).await;
        assert_eq!((named.len(), named.contains(&gone.to_string())), (102, false), "{name}");
        let left: u64 = server.read(&["PTTL", &keys[0]]).await;
        assert!(Duration::from_millis(left) > 85 * day, "{left}");
    }
}

#[tokio::test]
async fn law_28_the_names_of_keys_are_looked_through_once() {
    let Some(server) = RedisServer::start().await else { return };
    let Pair { here, clock, .. } = Pair::on(&store_config(&server.url(), &[])).await;
    for number in 0..300 {
        let other = user(&format!("u{number}"));
        here.set_block(&other, &user("ann"), true).await.expect("blocked");
        here.set_contact(&other, &user("ann"), true, 10).await.expect("listed");
        here.count_missed(&other, &user("ann"), clock.call_id()).await.expect("counted");
    }
    let forgotten = here.forget_user(&user("ann")).await.expect("forgotten");
    assert_eq!((forgotten.blocked_by, forgotten.contacts, forgotten.missed), (300, 300, 300));
    let keys: u64 = server.read(&["DBSIZE"]).await;
    let stats: String = server.read(&["INFO", "commandstats"]).await;
    let scans = stats.split_once("cmdstat_scan:calls=").and_then(|(_, rest)| rest.split_once(',')).expect("some").0;
    let scans: u64 = scans.parse().expect("a number");
    assert!(scans <= 3, "{scans} slices of 1000 for fewer than 2100 keys, of which {keys} are left");
}
