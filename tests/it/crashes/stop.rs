//! SIGTERM: what was begun is finished, readers are told to come back, and the exit code is 0.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::people::{invite_body, path};
use crate::support::{Http, Process, SOON, Sse, Stage, bearer};

/// Invites one after the other, until the gateway is gone: the calls that were acknowledged, and who got no answer.
async fn invite_until_gone(http: Http, worker: usize, stopping: &AtomicBool) -> (Vec<Value>, String) {
    let mut calls = Vec::new();
    for n in 0.. {
        let caller = format!("caller-{worker}-{n}");
        let body = invite_body(&format!("callee-{}", n % 5), 30);
        match http.try_post("/v1/calls", &bearer(&caller), &body).await {
            Ok(reply) => calls.push(reply.expect(201)["call"].take()),
            Err(error) => {
                assert!(stopping.load(Ordering::Relaxed), "the gateway was not asked to stop: {error}");
                return (calls, caller);
            }
        }
    }
    unreachable!("it goes on until the gateway is gone")
}

#[tokio::test]
async fn stopped_under_load_no_request_fails_and_nothing_is_lost() {
    let mut stage = Stage::of_process("[call]\ncall_waiting = true").await;
    for n in 0..5 {
        stage.iphone(&format!("callee-{n}"), "iphone").await;
    }
    let (mut stream, _) = stage.events(&bearer("callee-0"), "").await;
    // Answers that take a while, so that tasks are running at the end.
    stage.simulator.add_rule("apns delay 700ms".parse().expect("a rule"));
    let stopping = AtomicBool::new(false);
    let http = stage.http.clone();
    let load = join_all((0..8).map(|worker| invite_until_gone(http.clone(), worker, &stopping)));
    let stop = async {
        stage.pushes().wait_for(SOON, |push| push.number > 10).await.expect("pushes");
        stopping.store(true, Ordering::Relaxed);
        stage.gateway.terminate();
        let asked = Instant::now();
        let told = until_end(&mut stream).await;
        let status = stage.gateway.exit().await;
        (told, status, asked.elapsed())
    };
    let (calls, (told, status, took)) = futures_util::future::join(load, stop).await;
    assert!(status.success(), "{status}: {}", stage.told());
    assert!(took < SOON, "{took:?}");
    assert!(told, "the stream says when to come back");
    let (calls, unanswered): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
    let calls: Vec<Value> = calls.into_iter().flatten().collect();
    println!("{} invites acknowledged, stopped in {took:?}", calls.len());

    stage.simulator.clear_rules();
    stage.start_again().await;
    // Who got no answer met a connection that was being closed: the request was never read.
    for caller in unanswered {
        let calls = stage.http.get("/v1/calls", &bearer(&caller)).await.expect(200);
        assert_eq!(calls["calls"], json!([]), "a request of {caller} was carried out and not answered");
    }
    for call in &calls {
        let now = stage.call(&call["id"]).await;
        assert_eq!(now["id"], call["id"]);
        if now["state"] == "calling" {
            let callee = call["callee"]["id"].as_str().expect("a callee");
            let token = data_encoding::HEXLOWER.encode(format!("{callee}/iphone/voip").as_bytes());
            stage.push("ring", &token, &call["id"]).await;
        }
    }
}

/// Reads to the end of the stream; says whether it was told to come back.
async fn until_end(stream: &mut Sse) -> bool {
    while stream.next_or_end().await.is_some() {}
    stream.told_to_come_back
}

#[tokio::test]
async fn stopped_with_a_provider_that_does_not_answer_it_exits_within_its_grace_and_goes_on_afterwards() {
    let mut stage: Stage<Process> = Stage::of_process("").await;
    let phone = stage.iphone("bob", "iphone").await;
    stage.simulator.add_rule("apns half-open".parse().expect("a rule"));
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.push("ring", &phone.ring_token, &call).await;
    let asked = Instant::now();
    stage.gateway.terminate();
    assert!(stage.gateway.exit().await.success());
    println!("stopped in {:?}", asked.elapsed());
    assert!(asked.elapsed() < SOON);
    stage.simulator.clear_rules();
    let before = stage.pushes().count();
    stage.start_again().await;
    let again = |push: &bellwire::simulator::Received| {
        push.number > before && push.status == 200 && push.target.as_deref() == Some(&phone.ring_token)
    };
    stage.pushes().wait_for(SOON, again).await.expect("the ring is tried again");
    stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
}
