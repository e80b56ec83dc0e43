//! Promise 2: whatever devices race, exactly one holds an answered call.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Device, Dice, Http, Reply, Stage, bearer};

/// Calls that are answered by every device at once.
const ROUNDS: usize = 15;

#[tokio::test]
async fn promise_2_of_devices_that_answer_at_once_exactly_one_holds_the_call() {
    let stage = Stage::new().await;
    let mut dice = Dice::new("answers that race");
    let mut phones = Vec::new();
    for n in 0..10 {
        let id = format!("phone-{n}");
        phones.push(if n % 2 == 0 { stage.iphone("bob", &id).await } else { stage.pixel("bob", &id).await });
    }
    for _ in 0..ROUNDS {
        let invite = stage.invite("alice", "bob").await;
        let call = &invite["call"]["id"];
        let mut racers = join_all(phones.iter().map(|phone| Racer::new(&stage, phone, call))).await;
        // Some by their tickets, some by the session of an app that is open.
        racers.iter_mut().for_each(|racer| racer.by_ticket = dice.roll(0..3) > 0);
        dice.shuffle(&mut racers);

        let replies = join_all(racers.iter().map(|racer| racer.answer(&stage.http, call))).await;
        let winners: Vec<usize> = (0..racers.len()).filter(|n| replies[*n].status == 200).collect();
        let [winner] = winners[..] else { panic!("{} devices were told that they hold it", winners.len()) };
        let record = stage.call(call).await;
        assert_eq!((&record["state"], &record["answered_by"]), (&json!("active"), &json!(racers[winner].phone.id)));
        for (n, reply) in replies.into_iter().enumerate() {
            let again = racers[n].answer(&stage.http, call).await;
            if n == winner {
                let livekit = again.expect(200)["livekit"].take();
                assert_eq!(livekit["room"], invite["livekit"]["room"]);
                assert_eq!(reply.json["livekit"]["room"], livekit["room"]);
            } else {
                reply.expect_problem(409, "answered-elsewhere");
                again.expect_problem(409, "answered-elsewhere");
                racers[n].token(&stage.http, call).await.expect_problem(409, "answered-elsewhere");
            }
        }
        assert_eq!(stage.call(call).await, record, "those who were late have changed nothing");
        stage.http.post(&path(call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    }
}

/// A device that wants the call.
struct Racer<'a> {
    phone: &'a Device,
    ticket: String,
    by_ticket: bool,
}

impl<'a> Racer<'a> {
    async fn new(stage: &Stage, phone: &'a Device, call: &Value) -> Self {
        Self { phone, ticket: stage.ticket(phone, call).await, by_ticket: true }
    }

    async fn answer(&self, http: &Http, call: &Value) -> Reply {
        self.post(http, &path(call, "answer")).await
    }

    async fn token(&self, http: &Http, call: &Value) -> Reply {
        self.post(http, &path(call, "token")).await
    }

    async fn post(&self, http: &Http, path: &str) -> Reply {
        let token = if self.by_ticket { self.ticket.clone() } else { bearer(&self.phone.user) };
        http.post(path, &token, json!({"device_id": self.phone.id})).await
    }
}
