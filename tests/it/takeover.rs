//! A push token that another user registers: whose phone it is must be shown by the phone itself, where the newest is not simply believed.

use std::sync::Arc;
use std::time::Duration;

use bellwire::simulator::Received;
use serde_json::{Value, json};

use crate::support::people::{Device, push_data};
use crate::support::{APP, Reply, SOON, Stage, bearer, expect_ended, service_bearer};

const PROOF: &str = "[devices]\ntakeover = \"proof\"";

fn android(token: &str) -> Value {
    json!({"platform": "android", "app": APP, "fcm_token": token})
}

fn iphone(voip: &str, alert: Option<&str>) -> Value {
    let mut body = json!({"platform": "ios", "app": APP, "voip_token": voip});
    if let Some(alert) = alert {
        body["alert_token"] = json!(alert);
    }
    body
}

async fn register(stage: &Stage, user: &str, body: Value) -> Reply {
    stage.http.put("/v1/devices/mine", &bearer(user), body).await
}

fn with_proof(mut body: Value, proof: &str) -> Value {
    body["proof"] = json!(proof);
    body
}

/// The pushes that ask whose a phone is, in the order in which they came.
fn asked(stage: &Stage) -> Vec<Arc<Received>> {
    let all = stage.pushes().all();
    all.into_iter().filter(|received| push_data(received)["type"] == "device_proof").collect()
}

/// Waits for the push that asks about a device for the `count`th time in all, and gives it.
async fn proof(stage: &Stage, token: &str, count: usize) -> (Arc<Received>, String) {
    let is_it = |received: &Received| push_data(received)["type"] == "device_proof" && asked(stage).len() >= count;
    stage.pushes().wait_for(SOON, is_it).await.expect("a proof");
    let push = asked(stage).remove(count - 1);
    assert_eq!(push.target.as_deref(), Some(token));
    let proof = push_data(&push)["proof"].as_str().expect("a proof").to_owned();
    (push, proof)
}

async fn devices(stage: &Stage, user: &str) -> usize {
    let answer = stage.http.get("/v1/devices", &bearer(user)).await.expect(200);
    answer["devices"].as_array().expect("devices").len()
}

/// Calls to the user ring this phone, and calls to the other one reach nobody.
async fn rings_for(stage: &Stage, user: &str, other: &str, phone: &Device) {
    let call = stage.invite("caller", user).await["call"]["id"].clone();
    stage.push("ring", &phone.ring_token, &call).await;
    stage.http.post(&format!("/v1/calls/{}/cancel", call.as_str().expect("an id")), &bearer("caller"), json!({})).await;
    expect_ended(&stage.invite("another", other).await, "unreachable");
}

#[tokio::test]
async fn a_thief_does_not_get_a_token_and_who_holds_the_phone_does() {
    let stage = Stage::with(PROOF).await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let pending = register(&stage, "eve", android(&pixel.ring_token)).await;
    assert!(!pending.text.contains("\"proof\""), "what is pushed is not told here: {}", pending.text);
    let pending = pending.expect(202);
    assert_eq!(pending["pending"], true);
    let (push, pushed) = proof(&stage, &pixel.ring_token, 1).await;
    assert_eq!(push_data(&push)["device_id"], "mine");
    assert_eq!(push.body["message"]["android"]["priority"], "NORMAL", "nothing is shown");
    assert_eq!((devices(&stage, "bob").await, devices(&stage, "eve").await), (1, 0));
    rings_for(&stage, "bob", "eve", &pixel).await;

    let guess = with_proof(android(&pixel.ring_token), &"A".repeat(54));
    let refused = register(&stage, "eve", guess).await.expect_problem(400, "invalid-field");
    assert_eq!(refused["errors"][0]["pointer"], "/proof");
    assert_eq!(devices(&stage, "bob").await, 1);

    // It was bob's daughter with bob's old phone.
    let echoed = with_proof(android(&pixel.ring_token), &pushed);
    assert_eq!(register(&stage, "eve", echoed.clone()).await.expect(200)["device_id"], "mine");
    assert_eq!((devices(&stage, "bob").await, devices(&stage, "eve").await), (0, 1));
    rings_for(&stage, "eve", "bob", &pixel).await;
    register(&stage, "eve", echoed).await.expect(200);
}

#[tokio::test]
async fn a_proof_is_good_for_its_user_and_device_and_for_a_while() {
    let stage = Stage::with(PROOF).await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    register(&stage, "eve", android(&pixel.ring_token)).await.expect(202);
    let (_, pushed) = proof(&stage, &pixel.ring_token, 1).await;
    let echo = with_proof(android(&pixel.ring_token), &pushed);
    register(&stage, "mallory", echo.clone()).await.expect_problem(400, "invalid-field");
    stage.http.put("/v1/devices/other", &bearer("eve"), echo.clone()).await.expect_problem(400, "invalid-field");
    stage.clock.advance(Duration::from_mins(5));
    register(&stage, "eve", echo).await.expect_problem(400, "invalid-field");
    assert_eq!(devices(&stage, "bob").await, 1);
    // Each of these had another one pushed.
    let (_, fresh) = proof(&stage, &pixel.ring_token, 4).await;
    register(&stage, "eve", with_proof(android(&pixel.ring_token), &fresh)).await.expect(200);
    assert_eq!(devices(&stage, "bob").await, 0);
}

/// iOS wants a call for each VoIP push, so a proof never goes to such a token; and not to a token that the newcomer named.
#[tokio::test]
async fn the_proof_for_a_voip_token_goes_to_the_alert_token_of_the_same_phone() {
    let stage = Stage::with(PROOF).await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let body = iphone(&phone.ring_token, Some("beef"));
    register(&stage, "eve", body.clone()).await.expect(202);
    let (push, pushed) = proof(&stage, &phone.notice_token, 1).await;
    assert_eq!(push.headers.get("apns-push-type"), Some("background"));
    assert_eq!(push.headers.get("apns-priority"), Some("5"));
    assert_eq!(push.body["aps"], json!({"content-available": 1}));
    register(&stage, "eve", with_proof(body, &pushed)).await.expect(200);
    assert_eq!((devices(&stage, "bob").await, devices(&stage, "eve").await), (0, 1));
}

#[tokio::test]
async fn an_iphone_that_has_no_alert_token_is_not_asked() {
    let stage = Stage::with(PROOF).await;
    stage.http.put("/v1/devices/i", &bearer("bob"), iphone("abcd", None)).await.expect(200);
    register(&stage, "eve", iphone("abcd", Some("beef"))).await.expect_problem(409, "token-held");
    assert_eq!((devices(&stage, "bob").await, asked(&stage).len()), (1, 0));
    // Until its owner logs out.
    stage.http.delete("/v1/devices/i", &bearer("bob")).await;
    register(&stage, "eve", iphone("abcd", Some("beef"))).await.expect(200);
}

/// One phone's tokens may be with two users, where an app came back with a new one of them.
#[tokio::test]
async fn a_registration_that_takes_two_phones_is_proved_for_each() {
    let stage = Stage::with(PROOF).await;
    let bobs = stage.iphone("bob", "iphone-1").await;
    let anns = stage.iphone("ann", "iphone-2").await;
    let body = iphone(&bobs.ring_token, Some(&anns.notice_token));
    register(&stage, "eve", body.clone()).await.expect(202);
    let both = |received: &Received| push_data(received)["type"] == "device_proof" && asked(&stage).len() == 2;
    stage.pushes().wait_for(SOON, both).await.expect("two proofs");
    let of = |token: &str| {
        let push = asked(&stage).into_iter().rfind(|push| push.target.as_deref() == Some(token)).expect("a proof");
        push_data(&push)["proof"].as_str().expect("a proof").to_owned()
    };
    let first = of(&bobs.notice_token);
    register(&stage, "eve", with_proof(body.clone(), &first)).await.expect(202);
    assert_eq!((devices(&stage, "bob").await, devices(&stage, "ann").await, devices(&stage, "eve").await), (0, 1, 0));
    let second = of(&anns.notice_token);
    register(&stage, "eve", with_proof(body, &second)).await.expect(200);
    assert_eq!((devices(&stage, "ann").await, devices(&stage, "eve").await), (0, 1));
}

#[tokio::test]
async fn a_token_moves_at_once_where_nobody_is_robbed() {
    let stage = Stage::with(PROOF).await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    // To another device of the same user.
    register(&stage, "bob", android(&pixel.ring_token)).await.expect(200);
    assert_eq!(devices(&stage, "bob").await, 1);
    // From a user who was not here for a week.
    stage.clock.advance(Duration::from_hours(7 * 24) - Duration::from_mins(1));
    register(&stage, "eve", android(&pixel.ring_token)).await.expect(202);
    stage.clock.advance(Duration::from_mins(1));
    register(&stage, "eve", android(&pixel.ring_token)).await.expect(200);
    assert_eq!((devices(&stage, "bob").await, devices(&stage, "eve").await), (0, 1));
    // From a user whom nobody can call.
    stage.http.put("/v1/bans/eve", service_bearer(), json!({})).await.expect(200);
    register(&stage, "bob", android(&pixel.ring_token)).await.expect(200);
    // A refresh is no takeover.
    register(&stage, "bob", android(&pixel.ring_token)).await.expect(200);
    // The one push that was asked for is not counted twice, and no other was.
    proof(&stage, &pixel.ring_token, 1).await;
    assert_eq!(asked(&stage).len(), 1);
}

/// Registering somebody's token is no way to wake their phone again and again.
#[tokio::test]
async fn proofs_to_a_phone_are_limited_for_each_and_for_all() {
    let stage = Stage::with(PROOF).await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let body = android(&pixel.ring_token);
    for _ in 0..3 {
        register(&stage, "eve", body.clone()).await.expect(202);
    }
    let limited = register(&stage, "eve", body.clone()).await;
    assert_eq!(limited.headers["ratelimit-policy"], "\"proofs_per_token\";q=3;w=3600");
    limited.expect_problem(429, "rate-limited");
    for number in 0..57 {
        register(&stage, &format!("sybil-{}", number / 3), body.clone()).await.expect(202);
    }
    register(&stage, "trudy", body).await.expect_problem(429, "rate-limited");
    proof(&stage, &pixel.ring_token, 60).await;
    assert_eq!((asked(&stage).len(), devices(&stage, "bob").await), (60, 1));
}

/// Tokens that nobody has cost pushes that Apple holds against all users.
#[tokio::test]
async fn a_user_brings_so_many_new_tokens_a_day() {
    let stage = Stage::with("[limits]\nnew_tokens_per_user = \"3/d\"").await;
    let put = async |id: &str, token: &str| {
        let body = android(token);
        stage.http.put(&format!("/v1/devices/{id}"), &bearer("bob"), body).await
    };
    for number in 0..3 {
        put("phone", &format!("token-{number}")).await.expect(200);
    }
    let limited = put("phone", "token-3").await;
    assert_eq!(limited.headers["ratelimit-policy"], "\"new_tokens_per_user\";q=3;w=86400");
    limited.expect_problem(429, "rate-limited");
    for _ in 0..5 {
        put("phone", "token-2").await.expect(200);
    }
    put("pad", "token-2").await.expect(200);
    let web = json!({"platform": "web", "app": APP});
    stage.http.put("/v1/devices/tab", &bearer("bob"), web).await.expect(200);
    stage.clock.advance(Duration::from_hours(8));
    put("pad", "token-3").await.expect(200);
}
