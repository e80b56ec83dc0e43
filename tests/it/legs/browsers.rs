//! A browser is a leg while it has an event stream: one that goes during the ring leaves the call to the others.

use std::time::Duration;

use bellwire::app::Gateway;
use bellwire::config::Config;
use bellwire::domain::CallId;
use bellwire::domain::leg::BACK_WITHIN;
use bellwire::engine::Asker;
use serde_json::{Value, json};

use super::until;
use crate::support::people::path;
use crate::support::{APP, Device, Sse, Stage, bearer, service_bearer};

const LISTENING: &str = "?device_id=browser";

async fn browser(stage: &Stage) -> Device {
    stage.http.put("/v1/devices/browser", &bearer("bob"), json!({"platform": "web", "app": APP})).await.expect(200);
    Device { user: "bob".into(), id: "browser".into(), ring_token: String::new(), notice_token: String::new() }
}

/// A call of alice's that rings on bob's browser, with the streams of both.
async fn ringing(stage: &Stage) -> (Value, Sse, Sse) {
    let (mut hers, _) = stage.events(&bearer("alice"), "").await;
    let (mut his, _) = stage.events(&bearer("bob"), LISTENING).await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    his.until("call.invited", &call).await;
    hers.until("call.invited", &call).await;
    (call, hers, his)
}

async fn is_gone(stage: &Stage, browser: &Device, call: &Value, gone: bool) {
    until("noted", async || stage.kept_leg(browser, call).await.gone_at.is_some() == gone).await;
}

#[tokio::test]
async fn nobody_is_reached_once_the_only_browser_is_closed() {
    let stage = Stage::new().await;
    let browser = browser(&stage).await;
    let (call, mut hers, his) = ringing(&stage).await;
    drop(his);
    is_gone(&stage, &browser, &call, true).await;
    stage.clock.advance(BACK_WITHIN);
    assert_eq!(hers.until("call.ended", &call).await["data"]["reason"], "unreachable");
    let explained = stage.http.get(&path(&call, "explain"), service_bearer()).await.expect(200);
    assert_eq!(explained["devices"][0]["cause"], "browser_gone", "{explained}");
}

#[tokio::test]
async fn a_page_that_is_loaded_again_goes_on_ringing_and_answers() {
    let stage = Stage::new().await;
    let browser = browser(&stage).await;
    let (call, mut hers, his) = ringing(&stage).await;
    drop(his);
    is_gone(&stage, &browser, &call, true).await;
    let (_his, snapshot) = stage.events(&bearer("bob"), LISTENING).await;
    assert_eq!(snapshot["calls"][0]["state"], "calling", "{snapshot}");
    is_gone(&stage, &browser, &call, false).await;
    stage.clock.advance(BACK_WITHIN + Duration::from_secs(1));
    stage.pass().await;
    stage.http.post(&path(&call, "answer"), &bearer("bob"), json!({"device_id": "browser"})).await.expect(200);
    assert_eq!(hers.until("call.answered", &call).await["data"]["device_id"], "browser");
}

#[tokio::test]
async fn the_phone_beside_a_browser_that_is_gone_rings_on() {
    let stage = Stage::new().await;
    let browser = browser(&stage).await;
    let phone = stage.pixel("bob", "pixel-1").await;
    let (call, _hers, his) = ringing(&stage).await;
    drop(his);
    is_gone(&stage, &browser, &call, true).await;
    stage.clock.advance(BACK_WITHIN);
    until("written off", async || stage.kept_leg(&browser, &call).await.closed_at.is_some()).await;
    stage.ring(&phone, &call).await;
    stage.answer(&phone, &call).await;
}

fn id_of(call: &Value) -> CallId {
    CallId::parse(call.as_str().expect("an id")).expect("an id")
}

/// The gateway ends its streams, and the page has to wait for the next one.
#[tokio::test]
async fn a_browser_rings_on_when_its_gateway_is_started_again() {
    let stage = Stage::new().await;
    browser(&stage).await;
    let (call, _hers, _his) = ringing(&stage).await;
    stage.gateway.stop().await.expect("stopped");
    stage.clock.advance(BACK_WITHIN * 2);
    let config = Config::load(Some(&stage.config_file), []).expect("the configuration");
    let gateway = Gateway::start(&config, stage.clock.clone(), false).await.expect("the gateway");
    gateway.engine.wake(id_of(&call)).await.expect("woken");
    let call = gateway.engine.call(id_of(&call), &Asker::Service).await.expect("a call");
    assert!(call.is_unanswered() && call.legs[0].gone_at.is_none(), "{call:?}");
}

#[tokio::test]
async fn the_page_of_the_caller_is_not_that_of_the_callee_whatever_they_are_called() {
    let stage = Stage::with("[limits]\nevent_streams_per_user = 1").await;
    let browser = browser(&stage).await;
    let (mut hers, _) = stage.events(&bearer("alice"), LISTENING).await;
    let (mut his, _) = stage.events(&bearer("bob"), LISTENING).await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    his.until("call.invited", &call).await;
    hers.until("call.invited", &call).await;
    let version = async || stage.gateway.engine.call(id_of(&call), &Asker::Service).await.expect("a call").version;
    stage.pass().await;
    let before = version().await;

    drop(hers);
    // She may have one stream, so there is none left of the page that was closed.
    until("closed", async || {
        let request = stage.http.request(reqwest::Method::GET, "/v1/events").bearer_auth(bearer("alice"));
        request.header("accept", "text/event-stream").send().await.expect("an answer").status() == 200
    })
    .await;
    stage.pass().await;
    drop(his);
    is_gone(&stage, &browser, &call, true).await;
    assert_eq!(version().await, before + 1, "once, and by his own page");
}
