//! The whole of it: a gateway on the embedded store, the command, a gateway on Redis that everybody takes for the same one.

use std::time::Duration;

use bellwire::domain::{CallId, Input, UserId};
use serde_json::{Value, json};

use super::Target;
use crate::support::people::path;
use crate::support::{Device, SOON, Stage, bearer, service_bearer};

const HOUR: Duration = Duration::from_hours(1);

/// What can be asked of the API about everybody here.
async fn asked<G>(stage: &Stage<G>, calls: &[&Value]) -> Vec<(String, Value)> {
    let mut asked = Vec::new();
    for user in ["alice", "bob", "carol", "dan"] {
        for what in ["devices", "blocks", "calls"] {
            asked.push((format!("/v1/{what}"), bearer(user)));
        }
        asked.push((format!("/v1/users/{user}/contacts"), service_bearer().to_owned()));
    }
    for what in ["bans", "usage"] {
        asked.push((format!("/v1/{what}"), service_bearer().to_owned()));
    }
    for call in calls {
        for verb in ["", "explain"] {
            asked.push((path(call, verb), service_bearer().to_owned()));
        }
    }
    let mut answers = Vec::new();
    for (path, token) in asked {
        answers.push((path.clone(), stage.http.get(&path, &token).await.expect(200)));
    }
    answers
}

/// What everybody answers once nothing is under way any more.
async fn settled(stage: &Stage, calls: &[&Value]) -> Vec<(String, Value)> {
    let mut before = Vec::new();
    let settling = async {
        loop {
            let now = asked(stage, calls).await;
            let is_used = now.iter().any(|(path, usage)| path == "/v1/usage" && usage["days"] != json!([]));
            if now == before && is_used {
                return;
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(SOON, settling).await.expect("settled");
    before
}

struct People {
    bobs: Device,
    dans: Device,
    /// Alice and Bob have talked.
    talked: Value,
    /// Dan has called Bob, who did not answer.
    missed: Value,
    /// Alice and Carol talk.
    live: Value,
    /// Bob calls Dan, and it rings.
    ringing: Value,
    /// Gina calls Hugo, and it rings in vain.
    in_vain: Value,
}

async fn people(stage: &Stage) -> People {
    let (bobs, dans) = (stage.pixel("bob", "pixel-1").await, stage.iphone("dan", "iphone-2").await);
    let (carols, hugos) = (stage.pixel("carol", "pixel-3").await, stage.pixel("hugo", "pixel-4").await);
    let until = (stage.clock.now() + 2 * HOUR).rfc3339();
    for (user, body) in [("eve", json!({"reason": "spam"})), ("mallory", json!({"until": until}))] {
        stage.http.put(&format!("/v1/bans/{user}"), service_bearer(), body).await.expect(200);
    }
    for (user, peer) in [("bob", "zed"), ("alice", "eve")] {
        assert_eq!(stage.http.put(&format!("/v1/blocks/{peer}"), &bearer(user), json!({})).await.status, 204);
    }
    let contacts = json!({"contacts": ["alice", "dan"]});
    stage.http.put("/v1/users/bob/contacts", service_bearer(), contacts).await;

    let talked = talk(stage, &bobs).await;
    let missed = stage.invite("dan", "bob").await["call"]["id"].take();
    stage.push("ring", &bobs.ring_token, &missed).await;
    stage.http.post(&path(&missed, "cancel"), &bearer("dan"), json!({})).await.expect(200);
    stage.push("missed", &bobs.notice_token, &missed).await;

    let live = stage.invite("alice", "carol").await["call"]["id"].take();
    stage.answer(&carols, &live).await;
    let ringing = stage.invite("bob", "dan").await["call"]["id"].take();
    stage.push("ring", &dans.ring_token, &ringing).await;
    let in_vain = stage.invite("gina", "hugo").await["call"]["id"].take();
    stage.ring(&hugos, &in_vain).await;
    People { bobs, dans, talked, missed, live, ringing, in_vain }
}

/// Alice and Bob are in the room for five minutes.
async fn talk(stage: &Stage, phone: &Device) -> Value {
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.answer(phone, &call).await;
    let id = CallId::parse(call.as_str().expect("an id")).expect("an id");
    for user in ["alice", "bob"] {
        let joined = Input::ParticipantJoined(UserId::new(user).expect("a user"), format!("session-of-{user}"));
        stage.gateway.engine.apply(id, joined).await.expect("joined");
    }
    stage.clock.advance(HOUR / 12);
    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    call
}

#[tokio::test]
async fn nobody_notices_that_the_store_is_another_one() {
    let Some(target) = Target::new().await else { return };
    let old = Stage::new().await;
    let people = people(&old).await;
    // Of a call that rings there is more to say with each push.
    let over = [&people.talked, &people.missed];
    let before = settled(&old, &over).await;
    old.gateway.stop().await.expect("stopped");

    let ended = target.move_from(&old.config_file, &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for part in
        [" 4 devices\n", " 2 bans\n", " 2 blocks\n", " 2 contacts\n", " 5 calls\n", "Gateways can be started on it\n"]
    {
        assert!(ended.stdout.contains(part), "{part}: {ended:?}");
    }
    assert!(!ended.stdout.contains("left behind"), "{ended:?}");
    let new = Stage::on(&target.lines(), old.simulator.clone(), old.clock.clone(), "", |_| {}).await;
    assert_eq!(asked(&new, &over).await, before);
    calls_go_on(&new, &people).await;
    times_come(&new, &people).await;
}

async fn calls_go_on(new: &Stage, people: &People) {
    new.answer(&people.dans, &people.ringing).await;
    assert_eq!(new.call(&people.ringing).await["state"], "active", "the ticket of a push of the old gateway is good");
    for (call, user) in [(&people.ringing, "bob"), (&people.live, "alice")] {
        new.http.post(&path(call, "hangup"), &bearer(user), json!({})).await.expect(200);
    }
    assert_eq!(new.ended("carol", &people.live).await, "completed");

    let call = new.invite("frank", "bob").await["call"]["id"].take();
    new.ring(&people.bobs, &call).await;
    new.http.post(&path(&call, "cancel"), &bearer("frank"), json!({})).await.expect(200);
    let hidden = new.invite("zed", "bob").await["call"]["id"].take();
    assert_eq!(new.call(&hidden).await["hidden_from_callee"], true);
    for user in ["eve", "mallory"] {
        new.invite_for(user, "bob", 45).await.expect_problem(403, "banned");
    }
}

async fn times_come(new: &Stage, people: &People) {
    new.clock.advance(HOUR / 30);
    assert_eq!(new.ended("gina", &people.in_vain).await, "timed_out");
    new.clock.advance(2 * HOUR);
    new.invite_for("mallory", "bob", 45).await.expect(201);
    new.invite_for("eve", "bob", 45).await.expect_problem(403, "banned");
    new.clock.advance(8 * 24 * HOUR);
    let removed = async {
        for call in [&people.talked, &people.missed, &people.live, &people.ringing] {
            while new.http.get(&path(call, ""), service_bearer()).await.status != 404 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tokio::time::timeout(SOON, removed).await.expect("records are not kept for longer than before");
}
