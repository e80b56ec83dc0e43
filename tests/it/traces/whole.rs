//! A call that is traced, from the caller's app to the backend's webhook, by two gateways.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tokio::time::{Duration, sleep, timeout};

use super::{CALLERS, TRACE, endpoint, invite, post, told};
use crate::support::collector::{Collector, Span};
use crate::support::people::path;
use crate::support::receiver::Receiver;
use crate::support::redis::RedisServer;
use crate::support::{Fleet, SERVICE_KEY, SOON, USER_SECRET, bearer};

/// Spans by their ids.
struct Tree(BTreeMap<String, Span>);

impl Tree {
    fn of(spans: impl IntoIterator<Item = Span>) -> Self {
        Self(spans.into_iter().map(|span| (span.id.clone(), span)).collect())
    }

    /// The names from a span up to the first of the trace, and what that is below.
    fn up<'a>(&'a self, mut span: &'a Span) -> (Vec<&'a str>, &'a str) {
        let mut names = vec![span.name.as_str()];
        while let Some(above) = self.0.get(&span.parent) {
            assert!(above.time.0 <= span.time.0, "{span:#?} began before {above:#?}");
            names.push(&above.name);
            span = above;
        }
        (names, &span.parent)
    }

    /// Whether a span is of what a request began. What comes together is committed together, below one and linked to the others.
    fn is_of(&self, span: &Span, request: &Span) -> bool {
        let links = span.links.iter().filter_map(|link| link.split_once('/')).map(|(_, id)| id);
        let mut above = links.chain([span.parent.as_str()]);
        above.any(|id| id == request.id || self.0.get(id).is_some_and(|above| self.is_of(above, request)))
    }
}

/// The caller's own span.
const CALLERS_SPAN: &str = "b7ad6b7169203331";
const INVITE: &str = "POST /v1/calls";
const ALERTING: &str = "POST /v1/calls/{id}/alerting";
const ANSWER: &str = "POST /v1/calls/{id}/answer";
const HANG_UP: &str = "POST /v1/calls/{id}/hangup";

#[tokio::test]
async fn everything_that_is_done_for_a_call_is_in_one_trace() {
    let Some(server) = RedisServer::shared().await else { return };
    let (first, second, backend) = (Collector::start().await, Collector::start().await, Receiver::start().await);
    let lines = [&first, &second].map(|collector| format!("{}{}", collector.lines(0.0), endpoint(&backend)));
    let fleet = Fleet::of_each(server, &[&lines[0], &lines[1]]).await;
    let (iphone, pixel) = (fleet[0].iphone("bob", "iphone-1").await, fleet[0].pixel("bob", "pixel-1").await);
    let invited = invite(&fleet[0], CALLERS).await;
    let call = &invited["call"]["id"];
    let ticket = fleet[1].ticket(&iphone, call).await;
    let other_ticket = fleet[1].ticket(&pixel, call).await;
    // The phone's app says nothing of a trace, and when it answers something else.
    fleet[1].http.post(&path(call, "alerting"), &ticket, json!({})).await.expect(200);
    let phones = "00-11111111111111111111111111111111-2222222222222222-01";
    let answered = post(&fleet[1], &path(call, "answer"), &ticket, &json!({}), phones).await;
    fleet[1].push("cancel", &pixel.notice_token, call).await;
    fleet[1].http.post(&path(call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    let told = told(&backend).await.expect("a place");
    let webhook = second.wait_for(|span| span.name == "webhook").await;
    let answer = second.wait_for(|span| span.name == ANSWER).await;
    let invite = first.wait_for(|span| span.name == INVITE).await;
    let hang_up = second.wait_for(|span| span.name == HANG_UP).await;
    second.wait_for(|span| span.name == "stop_ring").await;
    first.wait_for(|span| span.name == "push" && span.attribute("bellwire.device.id") == "iphone-1").await;
    first.wait_for(|span| span.name == "push" && span.attribute("bellwire.device.id") == "pixel-1").await;

    // A span comes when it ends, so what is above it comes later.
    let all = || first.all().into_iter().chain(second.all()).collect::<Vec<_>>();
    let whole = async {
        loop {
            let all = all();
            let is_there = |id: &str| id == CALLERS_SPAN || all.iter().any(|span| span.id == *id);
            if all.iter().all(|span| is_there(&span.parent)) {
                return all;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let all = timeout(SOON, whole).await.unwrap_or_else(|_| panic!("some hang from nothing: {:#?}", all()));
    let strangers: BTreeSet<_> = all.iter().filter(|span| span.trace != TRACE).map(|span| &span.name).collect();
    assert!(strangers.is_empty(), "of no call, and so not kept: {strangers:?}");
    let tree = Tree::of(all.clone());
    for span in &all {
        assert_eq!(span.resource["service.name"], "bellwire");
        assert!(span.time.0 <= span.time.1, "{span:?}");
        let (names, above) = tree.up(span);
        assert_eq!((names.last(), above), (Some(&INVITE), CALLERS_SPAN), "{span:#?}");
    }

    let up = |span: &Span| tree.up(span).0.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((invite.kind, invite.attribute("http.response.status_code")), (2, "201"));
    assert_eq!(invite.attribute("bellwire.call.id"), call.as_str().expect("an id"));
    assert_eq!(invite.attribute("bellwire.who"), "user");
    let began =
        tree.0.values().find(|span| span.attributes.get("bellwire.call.revision").is_some_and(|one| one == "1"));
    let began = began.expect("the first commit");
    assert_eq!((began.attribute("bellwire.inputs"), up(began)), ("invite", vec!["commit".into(), INVITE.into()]));
    for (device, provider) in [("iphone-1", "apns"), ("pixel-1", "fcm")] {
        let push = first.wait_for(|span| span.name == "push" && span.attribute("bellwire.device.id") == device).await;
        assert_eq!(up(&push), ["push", "ring", "commit", INVITE]);
        assert_eq!((push.kind, push.attribute("bellwire.push.provider")), (3, provider));
        assert_eq!(push.attribute("bellwire.push.verdict"), "accepted");
        assert_eq!(push.attribute("http.response.status_code"), "200");
        let ring = &tree.0[&push.parent];
        assert_eq!((ring.attribute("bellwire.attempt"), ring.attribute("bellwire.outcome")), ("1", "done"));
        assert!(!push.failed && !ring.failed);
    }
    // What the devices say is at the other gateway, and its commits are below it.
    for (request, input) in [(ALERTING, "device alerting"), (ANSWER, "answer"), (HANG_UP, "hang up")] {
        let span = second.wait_for(|span| span.name == request).await;
        assert_eq!((up(&span), span.kind), (vec![request.to_owned(), INVITE.to_owned()], 2));
        let commit = tree.0.values().find(|commit| {
            commit.name == "commit" && commit.attribute("bellwire.inputs").split(", ").any(|one| one == input)
        });
        assert!(tree.is_of(commit.expect(input), &span), "{input}: {:#?}", tree.0);
    }
    assert_eq!(answer.attribute("bellwire.who"), "ticket");
    assert_eq!(answer.links, ["11111111111111111111111111111111/2222222222222222"]);
    let stop =
        second.wait_for(|span| span.name == "stop_ring" && span.attribute("bellwire.device.id") == "pixel-1").await;
    assert_eq!(up(&stop)[..2], ["stop_ring", "commit"]);
    assert!(tree.is_of(&stop, &answer), "{:#?}", tree.0);
    assert_eq!(up(&webhook)[..3], ["webhook", "report", "commit"]);
    assert!(tree.is_of(&webhook, &hang_up), "{:#?}", tree.0);
    assert_eq!((webhook.kind, webhook.attribute("bellwire.webhook.event")), (3, "call.ended"));
    assert_eq!((format!("{:032x}", told.trace), format!("{:016x}", told.span)), (TRACE.to_owned(), webhook.id));

    let livekit = [&invited, &answered].map(|answer| answer["livekit"]["token"].as_str().expect("a token"));
    let mut secrets = vec![bearer("alice"), USER_SECRET.into(), SERVICE_KEY.into(), ticket, other_ticket];
    secrets.extend(livekit.map(str::to_owned));
    for phone in [iphone, pixel] {
        secrets.extend([phone.ring_token, phone.notice_token]);
    }
    for secret in secrets {
        assert!(!first.has_seen(&secret) && !second.has_seen(&secret), "{secret} is in a span");
    }
}
