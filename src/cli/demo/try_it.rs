//! `bellwire demo --serve`: lines for curl to try, and every push as it comes, with what to do with its ticket.

use std::convert::Infallible;

use serde_json::Value;

use super::screen::Screen;
use super::seen::push_data;
use super::stage::Stage;
use crate::simulator::{Provider, Received};

/// Goes on for ever.
pub(super) async fn serve(stage: &Stage, screen: Screen) -> Infallible {
    explain(stage, screen);
    let seen = stage.simulator.log().count();
    let mut follower = stage.simulator.log().follow();
    loop {
        let push = follower.next().await;
        if push.number > seen && push.provider != Provider::OAuth {
            show(stage, screen, &push);
        }
    }
}

fn explain(stage: &Stage, screen: Screen) {
    let (url, iphone) = (&stage.url, &stage.iphone);
    screen.line("\nThe gateway goes on until Ctrl-C, and shows every push. To try, in another terminal:\n");
    screen.line(&format!("URL={url}\nALICE={}\nBOB={}", stage.alice, stage.bob));
    screen.line("JSON='content-type: application/json'\n");
    screen.line("# Bob's iPhone is registered like this, and is already:");
    screen.line(&format!(
        "curl -X PUT $URL/v1/devices/{} -H \"authorization: Bearer $BOB\" -H \"$JSON\" -d '{}'\n",
        iphone.id,
        iphone.registration()
    ));
    screen.line("# Alice's events, in a terminal of their own:");
    screen.line("curl -N $URL/v1/events -H \"authorization: Bearer $ALICE\" -H 'accept: text/event-stream'\n");
    screen
        .line("# Alice calls Bob; the pushes appear below, each with lines to ring, answer or decline by its ticket:");
    screen.line(
        "curl -X POST $URL/v1/calls -H \"authorization: Bearer $ALICE\" -H \"$JSON\" \
         -d '{\"callee\": \"bob\", \"media\": \"video\"}'\n",
    );
    screen.line(&format!("# Every path: {url}/docs"));
}

/// The ticket in full this time: whoever tries needs it.
fn show(stage: &Stage, screen: Screen, push: &Received) {
    let data = push_data(push);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, call) = (text(&data["type"]), text(&data["call_id"]));
    let phone = push.target.as_deref().and_then(|target| stage.phone(target));
    let name = phone.map_or("a phone", |phone| phone.name);
    screen.line(&format!("\n{} {kind} push to {name}, answered {}", push.at, push.status));
    screen.json(&push.body);
    if kind == "ring" {
        screen.line(&format!("TICKET={}\nCALL={call}", text(&data["ticket"])));
        for verb in ["alerting", "answer", "decline", "hangup"] {
            screen.line(&format!(
                "curl -X POST $URL/v1/calls/$CALL/{verb} -H \"authorization: Bearer $TICKET\" -H \"$JSON\" -d '{{}}'"
            ));
        }
    }
}
