//! Promise 7: a reader gets every event of each of their calls once, in order, the last one included.

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::support::people::path;
use crate::support::{Device, Dice, Reader, Stage, bearer};

/// Calls of each of two callers.
const CALLS: usize = 12;

/// Calls bob again and again, each call with another course.
async fn call_often(stage: &Stage, caller: &str, phone: &Device, mut dice: Dice) {
    for _ in 0..CALLS {
        let call = stage.invite(caller, "bob").await["call"]["id"].take();
        let post = async |verb: &str, token: &str| {
            stage.http.post(&path(&call, verb), token, json!({})).await.expect(200);
        };
        let ticket = stage.ticket(phone, &call).await;
        match dice.roll(0..4) {
            0 => post("cancel", &bearer(caller)).await,
            1 => post("decline", &ticket).await,
            2 => {
                post("alerting", &ticket).await;
                post("cancel", &bearer(caller)).await;
            }
            _ => {
                post("alerting", &ticket).await;
                post("answer", &ticket).await;
                post("hangup", &bearer(caller)).await;
            }
        }
    }
}

#[tokio::test]
async fn promise_7_readers_that_come_and_go_are_told_everything_once_and_in_order() {
    let stage = Stage::with("[call]\ncall_waiting = true").await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let mut readers: Vec<(Reader, Dice)> =
        (0..6).map(|n| (Reader::new("bob", n % 2 == 0), Dice::new(&format!("reader {n}")))).collect();
    let reading = join_all(readers.iter_mut().map(|(reader, dice)| {
        let stage = &stage;
        async move {
            while reader.ended() < 2 * CALLS {
                assert!(reader.read(&stage.http, dice.roll(1..7), 2 * CALLS).await, "the stream goes on");
            }
        }
    }));
    let calling = join(
        call_often(&stage, "alice", &phone, Dice::new("calls of alice")),
        call_often(&stage, "carol", &phone, Dice::new("calls of carol")),
    );
    join(reading, calling).await;
}

#[tokio::test]
async fn promise_7_a_reader_that_was_away_for_a_whole_call_is_told_of_it() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let first = stage.invite("alice", "bob").await["call"]["id"].take();
    let mut reader = Reader::new("bob", false);
    stage.http.post(&path(&first, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    let (mut stream, snapshot) = stage.events(&bearer("bob"), &format!("?since={}:1", first.as_str().unwrap())).await;
    assert_eq!(snapshot["calls"][0]["state"], "ended");
    for kind in ["call.cancelled", "call.ended"] {
        assert_eq!(stream.next().await["type"], kind);
    }
    let last = stream.last_id.take().expect("an id");
    drop(stream);

    let second = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ring(&phone, &second).await;
    stage.http.post(&path(&second, "decline"), &ticket, json!({})).await.expect(200);
    let (mut stream, _) = stage.events(&bearer("bob"), &format!("?since={last}")).await;
    for kind in ["call.invited", "call.ringing", "call.declined", "call.ended"] {
        let event = stream.next().await;
        assert_eq!((&event["type"], &event["call_id"]), (&json!(kind), &second));
    }
    // A reader of one call, by its ticket, is told of that call alone, and of its end.
    let (mut stream, snapshot) = stage.events(&ticket, &format!("?since={}:2", second.as_str().unwrap())).await;
    assert_eq!(snapshot["calls"].as_array().map(Vec::len), Some(1));
    assert_eq!(stream.until("call.ended", &second).await["data"]["reason"], "declined");
    assert!(reader.read(&stage.http, 0, 1).await);
}
