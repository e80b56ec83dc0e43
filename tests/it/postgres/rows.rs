//! What becomes a row, and what stands in it.

use bellwire::domain::{EndpointId, WebhookEvent};
use bellwire::outbound::{Delivery, Message, Turn};
use serde_json::{Value, json};

use super::{declined, deliverer, row_of};
use crate::support::people::path;
use crate::support::postgres::{PostgresServer, history};
use crate::support::{Stage, bearer, rfc3339, service_bearer};

#[tokio::test]
async fn a_call_that_was_answered_becomes_a_row_with_all_that_its_parties_may_know() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let stage = Stage::with(&database.section()).await;
    let phone = stage.pixel("bob", "phone").await;
    let body = json!({"callee": "bob", "media": "video", "metadata": {"thread": "42", "text": "a\u{0}b"}});
    let call = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect(201)["call"]["id"].take();
    stage.ring(&phone, &call).await;
    stage.answer(&phone, &call).await;
    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    let row = database.row(&row_of(&call)).await;
    let seen = stage.seen_by("alice", &call).await;
    assert_eq!((&row["caller_id"], &row["callee_id"]), (&json!("alice"), &json!("bob")));
    for same in ["id", "media", "end_reason", "answered_by", "talk_seconds", "peak_participants"] {
        assert_eq!(row[same], seen[same], "{same}");
    }
    for time in ["created_at", "ringing_at", "answered_at", "ended_at"] {
        assert_eq!(rfc3339(&utc(&row[time])), rfc3339(&seen[time]), "{time}");
    }
    for figure in ["ring_ms", "answer_ms", "participant_ms", "reconnects"] {
        assert_eq!(row[figure], seen["statistics"][figure], "{figure}");
    }
    assert_eq!(row["total_seconds"], seen["statistics"]["total_ms"].as_u64().expect("a time") / 1000);
    assert_eq!((&row["connected_at"], &row["media_ms"]), (&Value::Null, &Value::Null), "nobody came into the room");
    assert_eq!(row["metadata"], json!({"thread": "42", "text": "a\u{FFFD}b"}), "PostgreSQL stores no U+0000");
}

#[tokio::test]
async fn a_call_without_an_answer_becomes_a_row_too() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let stage = Stage::with(&database.section()).await;
    stage.pixel("bob", "phone").await;
    let call = declined(&stage).await;
    let row = database.row(&row_of(&call)).await;
    assert_eq!((&row["end_reason"], &row["talk_seconds"]), (&json!("declined"), &json!(0)));
    assert_eq!(row["hidden_from_callee"], false);
    for absent in ["answered_at", "answered_by", "connected_at", "answer_ms", "metadata"] {
        assert_eq!(row[absent], Value::Null, "{absent}");
    }
    // A second call is another row.
    let second = declined(&stage).await;
    database.row(&row_of(&second)).await;
    assert_eq!(database.rows("SELECT id FROM bellwire.calls").await.len(), 2);
}

#[tokio::test]
async fn a_call_that_the_callee_must_not_notice_is_marked() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let stage = Stage::with(&database.section()).await;
    stage.pixel("bob", "phone").await;
    stage.http.put("/v1/blocks/alice", &bearer("bob"), json!({})).await.expect(204);
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    let row = database.row(&row_of(&call)).await;
    assert_eq!((&row["hidden_from_callee"], &row["end_reason"]), (&json!(true), &json!("cancelled")));
    assert_eq!(stage.call(&call).await["hidden_from_callee"], true, "the backend knows");
    assert_eq!(stage.seen_by("alice", &call).await.get("hidden_from_callee"), None, "the caller does not");
}

#[tokio::test]
async fn each_ban_becomes_a_row() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let stage = Stage::with(&database.section()).await;
    let ban = json!({"reason": "it's \"spam\"", "until": "2040-01-02T03:04:05.678Z"});
    let ban = stage.http.put("/v1/bans/mallory", service_bearer(), ban).await.expect(200);
    let row = database.row("SELECT * FROM bellwire.bans").await;
    assert_eq!((&row["user_id"], &row["reason"]), (&json!("mallory"), &ban["reason"]));
    for time in ["created_at", "until"] {
        assert_eq!(rfc3339(&utc(&row[time])), rfc3339(&ban[time]), "{time}");
    }
    stage.http.put("/v1/bans/oscar", service_bearer(), json!({})).await.expect(200);
    let row = database.row("SELECT * FROM bellwire.bans WHERE user_id = 'oscar'").await;
    assert_eq!((&row["reason"], &row["until"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn what_is_told_twice_stands_there_once() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let stage = Stage::with(&database.section()).await;
    stage.pixel("bob", "phone").await;
    let call = declined(&stage).await;
    let first = database.row(&row_of(&call)).await;
    let ban = stage.http.put("/v1/bans/mallory", service_bearer(), json!({"reason": "spam"})).await.expect(200);
    database.row("SELECT * FROM bellwire.bans").await;

    let (webhooks, postgres, _stopper) = deliverer(&history(&[("postgres_url", &database.url("?sslmode=disable"))]));
    postgres.look().await.expect("it works");
    let told = [(WebhookEvent::CallEnded, stage.call(&call).await), (WebhookEvent::UserBanned, ban)];
    for (event, data) in told {
        let body = json!({"type": event.as_str(), "timestamp": "2040-01-02T03:04:05Z", "data": data}).to_string();
        let message = Message::new(event, &EndpointId::postgres(), "again", body);
        for turn in [Turn::Fresh, Turn::Late] {
            assert_eq!(webhooks.deliver(&message, turn).await, Delivery::Done, "{event}");
        }
    }
    assert_eq!(database.row(&row_of(&call)).await, first);
    assert_eq!(database.rows("SELECT * FROM bellwire.bans").await.len(), 1);
}

/// A time as PostgreSQL gives it to a client in UTC, as the API has it.
fn utc(time: &Value) -> Value {
    let text = time.as_str().unwrap_or_else(|| panic!("{time} is a time"));
    json!(text.strip_suffix("+00:00").map(|time| format!("{time}Z")))
}
