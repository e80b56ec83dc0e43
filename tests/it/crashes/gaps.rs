//! Promise 7 over SIGKILL: readers that come back are told everything once and in order, the end included.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::people::{invite_body, path};
use crate::support::{Dice, Http, Reader, Stage, bearer};

/// Pairs of users, who call each other so often.
const PAIRS: usize = 6;
const CALLS: usize = 8;
/// How often the gateway is killed meanwhile.
const KILLS: u64 = 3;

/// A client that tries again where the gateway is.
#[derive(Clone)]
struct Persistent(watch::Receiver<Http>);

impl Persistent {
    /// The gateway, of which an earlier one is gone.
    async fn again(&mut self) {
        self.0.changed().await.expect("another gateway");
    }

    async fn post(&mut self, path: &str, token: &str, key: &str, body: &Value) -> Value {
        loop {
            let http = self.0.borrow_and_update().clone();
            let request = http.request(reqwest::Method::POST, path).bearer_auth(token).header("idempotency-key", key);
            let request = request.header("content-type", "application/json").body(body.to_string());
            match Http::try_send(request).await {
                Ok(reply) if reply.status < 300 => return reply.json,
                Ok(reply) => panic!("{}", reply.text),
                Err(_) => self.again().await,
            }
        }
    }
}

async fn call_often(mut gateway: Persistent, n: usize) {
    let (caller, callee) = (bearer(&format!("caller-{n}")), bearer(&format!("callee-{n}")));
    for round in 0..CALLS {
        let body = invite_body(&format!("callee-{n}"), 60);
        let call = gateway.post("/v1/calls", &caller, &format!("{n}-{round}"), &body).await["call"]["id"].take();
        let phone = json!({"device_id": "pixel"});
        let mut verb =
            async |verb: &str, token: &str, body: &Value| gateway.post(&path(&call, verb), token, "any", body).await;
        verb("alerting", &callee, &phone).await;
        if round % 2 == 0 {
            verb("answer", &callee, &phone).await;
        }
        verb("cancel", &caller, &json!({})).await;
    }
}

async fn read_all(mut gateway: Persistent, user: String, mut dice: Dice) {
    let mut reader = Reader::new(&user, dice.roll(0..2) == 0);
    while reader.ended() < CALLS {
        let http = gateway.0.borrow_and_update().clone();
        if !reader.read(&http, dice.roll(1..12), CALLS).await && reader.ended() < CALLS {
            gateway.again().await;
        }
    }
}

#[tokio::test]
async fn promise_7_readers_miss_nothing_over_kills() {
    let mut stage = Stage::of_process("").await;
    join_all((0..PAIRS).map(|n| {
        let stage = &stage;
        async move { stage.pixel(&format!("callee-{n}"), "pixel").await }
    }))
    .await;
    let mut dice = Dice::new("kills");
    let (gateways, gateway) = watch::channel(stage.http.clone());
    let gateway = Persistent(gateway);
    let calling = join_all((0..PAIRS).map(|n| call_often(gateway.clone(), n)));
    let reading =
        join_all((0..PAIRS).flat_map(|n| ["caller", "callee"].map(|role| format!("{role}-{n}"))).map(|user| {
            let dice = Dice::new(&user);
            read_all(gateway.clone(), user, dice)
        }));
    let killing = async {
        let pushes = stage.pushes().clone();
        for kill in 0..KILLS {
            // Each call has two pushes at least; so the moments come, and calls are under way then.
            let moment = kill * 25 + dice.roll(0..20) as u64;
            pushes.wait_for(crate::support::SOON, |push| push.number > moment).await.expect("pushes");
            stage.gateway.kill().await;
            stage.start_again().await;
            gateways.send_replace(stage.http.clone());
        }
    };
    join(join(calling, reading), killing).await;
}
