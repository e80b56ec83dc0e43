//! Promise 6: any input again, in any order, changes nothing that it should not.

use std::collections::HashMap;

use bellwire::store::MISSED_PERSISTENT_EVERY;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::people::{path, push_data};
use crate::support::{Device, Dice, Stage, bearer};

/// A request about a call, as it was sent once and may arrive again.
#[derive(Clone)]
struct Request {
    verb: &'static str,
    token: String,
    body: Value,
}

/// Who sends a step of a course: the caller, or the phone of this number by its ticket or by the user's token.
enum By {
    Caller,
    Ticket(usize),
    Session(usize),
}

type Step = (By, &'static str, Value);

fn courses() -> Vec<Vec<Step>> {
    use By::{Caller, Session, Ticket};
    let no = || json!({});
    let not_rung = || json!({"rung": false, "reason": "do_not_disturb"});
    let busy = || json!({"reason": "busy"});
    vec![
        vec![
            (Ticket(0), "alerting", no()),
            (Ticket(1), "alerting", no()),
            (Ticket(0), "answer", no()),
            (Caller, "hangup", no()),
        ],
        vec![(Ticket(0), "alerting", no()), (Session(1), "answer", no()), (Session(1), "decline", no())],
        vec![(Ticket(1), "alerting", no()), (Ticket(0), "decline", busy()), (Ticket(1), "decline", no())],
        vec![(Ticket(0), "decline", busy()), (Ticket(1), "decline", busy()), (Ticket(2), "decline", busy())],
        vec![(Ticket(0), "alerting", not_rung()), (Ticket(1), "alerting", no()), (Caller, "cancel", no())],
        vec![(Session(2), "alerting", no()), (Ticket(2), "answer", no()), (Ticket(2), "hangup", no())],
        vec![(Ticket(0), "alerting", no()), (Ticket(0), "hangup", no())],
        vec![(Ticket(2), "answer", no()), (Caller, "cancel", no())],
    ]
}

#[tokio::test]
async fn promise_6_requests_that_arrive_again_in_any_order_change_nothing() {
    let stage = Stage::new().await;
    let mut dice = Dice::new("repeated requests");
    let phones = [
        stage.iphone("bob", "iphone-1").await,
        stage.pixel("bob", "pixel-1").await,
        stage.iphone("bob", "iphone-2").await,
    ];
    for course in courses() {
        let key = format!("key-{}", dice.roll(0..usize::MAX));
        let invite = invite(&stage, &key).await;
        let call = invite["call"]["id"].clone();
        let tickets = join_all(phones.iter().map(|phone| stage.ticket(phone, &call))).await;
        let mut sent = Vec::new();
        for (by, verb, mut body) in course {
            let token = match by {
                By::Caller => bearer("alice"),
                By::Ticket(phone) => tickets[phone].clone(),
                By::Session(phone) => {
                    body["device_id"] = json!(phones[phone].id);
                    bearer("bob")
                }
            };
            let request = Request { verb, token, body };
            send(&stage, &call, &request).await.expect(200);
            sent.push(request);
            let record = settled(&stage, &call).await;
            // Each of them twice more, all at once, in any order.
            let mut again: Vec<Request> = [sent.clone(), sent.clone()].concat();
            dice.shuffle(&mut again);
            let replies = join_all(again.iter().map(|request| send(&stage, &call, request))).await;
            for (request, reply) in again.iter().zip(replies) {
                assert!([200, 409].contains(&reply.status), "{} again: {}", request.verb, reply.text);
            }
            let replayed = self::invite(&stage, &key).await;
            assert_eq!(replayed["call"]["id"], call, "the same key is the same call");
            assert_eq!(settled(&stage, &call).await, record, "after {verb} and repetitions");
        }
        let last = sent.last().expect("a request");
        send(&stage, &call, last).await;
        each_phone_was_told_once(&stage, &phones, &call).await;
    }
}

async fn invite(stage: &Stage, key: &str) -> Value {
    let request = stage.http.request(reqwest::Method::POST, "/v1/calls").bearer_auth(bearer("alice"));
    let body = json!({"callee": "bob", "media": "audio"}).to_string();
    let request = request.header("idempotency-key", key).header("content-type", "application/json").body(body);
    crate::support::Http::send(request).await.expect(201)
}

async fn send(stage: &Stage, call: &Value, request: &Request) -> crate::support::Reply {
    stage.http.post(&path(call, request.verb), &request.token, request.body.clone()).await
}

/// The record as the backend sees it, without what the providers' answers alone change.
async fn settled(stage: &Stage, call: &Value) -> Value {
    let mut record = stage.call(call).await;
    for leg in record["legs"].as_array_mut().expect("legs") {
        if leg["state"] == "queued" {
            leg["state"] = json!("sent");
        }
    }
    record
}

/// Another call is carried through, so that whatever a repetition set off has been sent; then pushes are counted.
async fn each_phone_was_told_once(stage: &Stage, phones: &[Device], call: &Value) {
    // Bob is told of each missed call by itself, also of those of a caller who calls on and on.
    stage.clock.advance(MISSED_PERSISTENT_EVERY);
    let caller = format!("after-{}", call.as_str().expect("an id"));
    let other = stage.invite(&caller, "bob").await["call"]["id"].take();
    stage.http.post(&path(&other, "cancel"), &bearer(&caller), json!({})).await.expect(200);
    for phone in phones {
        stage.push("missed", &phone.notice_token, &other).await;
    }
    let mut count: HashMap<(String, String), usize> = HashMap::new();
    for push in stage.pushes().all() {
        let data = push_data(&push);
        if data["call_id"] == *call {
            let kind = data["type"].as_str().expect("a type").to_owned();
            *count.entry((kind, push.target.clone().expect("a token"))).or_default() += 1;
        }
    }
    for phone in phones {
        assert_eq!(count.get(&("ring".into(), phone.ring_token.clone())), Some(&1), "{count:?}");
    }
    assert!(count.values().all(|times| *times == 1), "{count:?}");
}
