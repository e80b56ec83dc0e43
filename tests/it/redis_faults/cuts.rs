//! A connection that breaks in the middle of a step of a call, as the parties see it: they notice nothing.

use std::future::Future;

use bellwire::domain::CallId;
use bellwire::engine::Asker;
use bellwire::store::MISSED_TOLD_EVERY;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{CUTS, Cut, by_way_of, in_time, stage_with};
use crate::support::people::path;
use crate::support::proxy::Proxy;
use crate::support::redis::{RedisServer, store_config};
use crate::support::{Device, Reply, SOON, Sse, Stage, bearer};

/// Two gateways, one behind a proxy, and Ann, who hears events at each.
struct Scene {
    proxy: Proxy,
    stage: Stage,
    _other: Stage,
    phone: Device,
    readers: [Sse; 2],
}

impl Scene {
    async fn new() -> Option<Self> {
        let redis = RedisServer::shared().await?;
        let proxy = Proxy::start(redis.port()).await;
        let config = store_config(&redis.url(), &[]);
        let stage = stage_with(by_way_of(&config, &format!("redis://{}", proxy.address()))).await;
        let other = stage_with(config).await;
        let phone = stage.pixel("bob", "phone").await;
        let readers = [stage.events(&bearer("ann"), "").await.0, other.events(&bearer("ann"), "").await.0];
        Some(Self { proxy, stage, _other: other, phone, readers })
    }

    /// The answer to a request of which one step, the next one with this in what is sent to Redis, is cut.
    async fn cut(&self, cut: Cut, pattern: &str, request: impl Future<Output = Reply>) -> Value {
        cut(&self.proxy, pattern.as_bytes());
        let reply = in_time(request).await;
        assert!(!self.proxy.awaits_cut(), "{pattern} was in no request");
        assert!(reply.status < 300, "{}", reply.text);
        reply.json
    }

    async fn invite(&self, cut: Cut, pattern: &str) -> Value {
        self.cut(cut, pattern, self.stage.invite_for("ann", "bob", 45)).await["call"]["id"].clone()
    }

    /// Does something to a call, whose commit of the state that comes of it is cut.
    async fn say(&self, cut: Cut, call: &Value, verb: &str, token: &str, state: &str) {
        let path = path(call, verb);
        let request = self.stage.http.post(&path, token, json!({}));
        let answer = self.cut(cut, &format!(r#""state":"{state}""#), request).await;
        assert_eq!(answer["call"]["state"], state, "{answer}");
    }

    /// Checks that each reader hears these events of a call, each once, and the phone gets these pushes, each once.
    async fn expect(&mut self, call: &Value, events: &[&str], pushes: &[&str]) {
        for reader in &mut self.readers {
            for (event, seq) in events.iter().zip(1_u64..) {
                let heard = reader.next().await;
                assert_eq!((&heard["call_id"], &heard["seq"], &heard["type"]), (call, &json!(seq), &json!(event)));
            }
        }
        let id = CallId::parse(call.as_str().expect("an id")).expect("an id");
        let engine = &self.stage.gateway.engine;
        let done = async {
            while !engine.call(id, &Asker::Service).await.expect("the call").tasks.is_empty() {
                sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, done).await.expect("done in time");
        for kind in ["ring", "cancel", "missed"] {
            assert_eq!(self.stage.pushed(kind, call), usize::from(pushes.contains(&kind)), "{kind}");
        }
    }
}

#[tokio::test]
async fn an_answered_call_goes_its_way_whatever_breaks() {
    for cut in CUTS {
        let Some(mut scene) = Scene::new().await else { return };
        let call = scene.invite(cut, r#""state":"calling""#).await;
        let ticket = scene.stage.ticket(&scene.phone, &call).await;
        scene.say(cut, &call, "alerting", &ticket, "ringing").await;
        scene.say(cut, &call, "answer", &ticket, "active").await;
        scene.say(cut, &call, "hangup", &bearer("ann"), "ended").await;
        let events = ["call.invited", "call.ringing", "call.answered", "call.ended"];
        scene.expect(&call, &events, &["ring"]).await;
    }
}

#[tokio::test]
async fn a_cancelled_call_goes_its_way_whatever_breaks() {
    for cut in CUTS {
        let Some(mut scene) = Scene::new().await else { return };
        let events = ["call.invited", "call.cancelled", "call.ended"];
        // The claims of both lines too; the next call finds both free.
        for pattern in [r#""role":"caller""#, r#""role":"callee""#, r#""state":"calling""#] {
            let call = scene.invite(cut, pattern).await;
            scene.stage.ticket(&scene.phone, &call).await;
            scene.say(cut, &call, "cancel", &bearer("ann"), "ended").await;
            scene.expect(&call, &events, &["ring", "missed"]).await;
            // Of the next one bob would be told later.
            scene.stage.clock.advance(MISSED_TOLD_EVERY);
        }
    }
}
