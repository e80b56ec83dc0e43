//! The status page: who gets it, that it trusts nobody, and that what it reads of the metrics is there.

use std::collections::BTreeSet;

use bellwire::domain::EndReason;
use data_encoding::BASE64;
use http::Method;
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::{IPHONE, until_at_least};
use crate::support::people::path;
use crate::support::{Http, Stage, bearer};

const PAGE: &str = include_str!("../../../src/http/status.html");

/// What stands between the first of these and the next of those.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end}")).0
}

/// What the script says that it reads: names of samples, each with the labels that it looks at.
fn reads() -> Vec<(&'static str, Vec<&'static str>)> {
    let lists = ["['bellwire_", "['process_"].into_iter().flat_map(|begin| PAGE.match_indices(begin));
    let lists = lists.map(|(at, _)| between(&PAGE[at..], "[", "]").split('\'').skip(1).step_by(2));
    lists.map(|mut words| (words.next().expect("a name"), words.collect())).collect()
}

#[tokio::test]
async fn operators_alone_get_the_page_and_it_may_do_nothing_but_ask_them() {
    let stage = Stage::new().await;
    let ops = Http::new(format!("http://{}", stage.gateway.ops));
    let reply = Http::send(ops.request(Method::GET, "/status")).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, PAGE));
    let header = |name: &str| reply.headers[name].to_str().expect("text");
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("referrer-policy"), "no-referrer");
    let hash = |element: &str| {
        let inside = between(PAGE, &format!("<{element}>"), &format!("</{element}>"));
        format!("{element}-src 'sha256-{}'", BASE64.encode(digest(&SHA256, inside.as_bytes()).as_ref()))
    };
    let policy: BTreeSet<&str> = header("content-security-policy").split("; ").collect();
    let (style, script) = (hash("style"), hash("script"));
    let wanted = [
        "default-src 'none'",
        &style,
        &script,
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ];
    assert_eq!(policy, BTreeSet::from(wanted));
    Http::send(stage.http.request(Method::GET, "/status")).await.expect_problem(404, "not-found");
}

#[test]
fn the_page_names_nobody_else_and_makes_no_html_of_text() {
    for wrong in
        ["http://", "https://", "\"//", "'//", "src=", "@import", " style=", " onclick=", "innerHTML", "outerHTML"]
    {
        assert!(!PAGE.contains(wrong), "{wrong}");
    }
    for wrong in ["insertAdjacentHTML", "document.write", "DOMParser", "eval(", "localStorage", "document.cookie"] {
        assert!(!PAGE.contains(wrong), "{wrong}");
    }
    let after = |begin: &str| -> BTreeSet<&str> {
        let all = PAGE.match_indices(begin).map(|(at, _)| &PAGE[at + begin.len()..]);
        all.map(|rest| rest.split(['"', '\'', '`', ')']).next().unwrap_or_default()).collect()
    };
    assert_eq!(after("href=\""), BTreeSet::from(["metrics", "readyz"]));
    assert_eq!(after("ask('"), BTreeSet::from(["metrics", "readyz"]));
    assert_eq!(after("fetch("), BTreeSet::from(["path, { cache: "]), "all is asked for in one place");
    assert!(after("url(").iter().all(|to| to.starts_with('#')), "{:?}", after("url("));
    for element in ["<style", "<script"] {
        assert_eq!(PAGE.matches(element).count(), 1, "the policy has the hash of one");
    }
}

#[tokio::test]
async fn what_the_page_reads_is_what_a_gateway_tells() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    until_at_least(&stage, &format!("bellwire_ring_sent_seconds_count{{{IPHONE}}}"), 1.0).await;
    let ticket = stage.ring(&phone, &call).await;
    stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    let all = until_at_least(&stage, r#"bellwire_calls_total{media="audio",reason="completed"}"#, 1.0).await;

    let reads = reads();
    assert!(reads.len() >= 12, "{reads:?}");
    for (name, labels) in reads {
        let told = all.like(name);
        assert!(!told.is_empty(), "{name} is not told");
        for label in labels {
            let has =
                |series: &str| [format!("{{{label}=\""), format!(",{label}=\"")].iter().any(|one| series.contains(one));
            assert!(told.iter().all(|(series, _)| has(series)), "{name} has no {label}: {told:?}");
        }
    }
    // The values of labels that it asks for by name.
    for (value, series) in [
        ("calls", r#"bellwire_store_waiting{of="calls"}"#),
        ("jobs", r#"bellwire_store_waiting{of="jobs"}"#),
        ("calling", r#"bellwire_call_states_total{state="calling"}"#),
        ("ringing", r#"bellwire_call_states_total{state="ringing"}"#),
        ("active", r#"bellwire_call_states_total{state="active"}"#),
        ("yes", &format!(r#"bellwire_legs_total{{{IPHONE},state="answered",acked="yes"}}"#)),
    ] {
        assert!(PAGE.contains(&format!(".get('{value}')")), "{value}");
        all.expect(series);
    }
}

#[test]
fn the_reasons_and_verdicts_that_the_page_tells_apart_are_those_that_there_are() {
    let unanswered = between(PAGE, "UNANSWERED = [", "]").split(", ").map(|word| word.trim_matches('\''));
    let verdicts = between(PAGE, "VERDICTS = { ", " }").split(", ").filter_map(|pair| pair.split_once(": '"));
    let metrics = include_str!("../../../docs/METRICS.md");
    for reason in unanswered {
        let known: Result<EndReason, _> = serde_json::from_value(json!(reason));
        assert_eq!(known.expect(reason).as_str(), reason);
    }
    for (verdict, _) in verdicts {
        assert!(metrics.contains(&format!("`{verdict}`")), "{verdict} is no verdict");
    }
}
