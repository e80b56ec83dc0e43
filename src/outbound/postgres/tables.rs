//! The tables, and the statements that write to them: SQL that PostgreSQL itself reads the messages' JSON with.

use std::borrow::Cow;

use serde_json::Value;
use sqlx::PgConnection;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType};

use crate::domain::WebhookEvent;

/// Where sqlx writes down which migrations were applied; not under its own name, for the app may have migrations of its own.
const APPLIED: &str = "_bellwire_migrations";

/// Asks nothing; for whoever wants to know whether somebody answers.
pub(super) const NOTHING: &str = "SELECT 1";

/// The statement that writes a message of this kind, its body being `$1`.
pub(super) fn insert(event: WebhookEvent) -> Option<&'static str> {
    match event {
        WebhookEvent::CallEnded => Some(include_str!("call.sql")),
        WebhookEvent::UserBanned => Some(include_str!("ban.sql")),
        WebhookEvent::CallMissed | WebhookEvent::UsageWarning | WebhookEvent::RecordingReady => None,
    }
}

/// The statements that write, each with a message of what never was, which shall stand nowhere.
pub(super) fn rehearsals() -> [(&'static str, &'static str); 2] {
    const CALL: &str = r#"{"data": {
        "id": "00000000-0000-0000-0000-000000000000", "caller": {"id": "-"}, "callee": {"id": "-"}, "media": "audio",
        "end_reason": "failed", "created_at": "1970-01-01T00:00:00Z", "ended_at": "1970-01-01T00:00:00Z",
        "statistics": {"talk_ms": 0, "total_ms": 0, "peak_participants": 0, "reconnects": 0}
    }}"#;
    const BAN: &str = r#"{"data": {"user": "-", "created_at": "1970-01-01T00:00:00Z"}}"#;
    [(include_str!("call.sql"), CALL), (include_str!("ban.sql"), BAN)]
}

/// Makes the tables, or brings them up to date. Gateways that do it at a time wait for one another.
///
/// A newer gateway may have been here: what it did leaves room for this one, so its migrations are passed over. sqlx's `Migrator` does the
/// same from these steps, in a future that cannot be spawned; and it asks for the schema even where there is one, which takes a right that
/// the schema's owner need not have.
pub(super) async fn migrate(connection: &mut PgConnection, schema: &str) -> Result<(), MigrateError> {
    connection.lock().await?;
    let exists = sqlx::query("SELECT 1 FROM pg_namespace WHERE nspname = $1").bind(schema);
    if exists.fetch_optional(&mut *connection).await?.is_none() {
        connection.create_schema_if_not_exists(&format!("\"{schema}\"")).await?;
    }
    connection.ensure_migrations_table(APPLIED).await?;
    let applied = connection.list_applied_migrations(APPLIED).await?;
    for migration in migrations() {
        match applied.iter().find(|applied| applied.version == migration.version) {
            Some(applied) if applied.checksum == migration.checksum => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version)),
            None => drop(connection.apply(APPLIED, &migration).await?),
        }
    }
    connection.unlock().await
}

fn migrations() -> Vec<Migration> {
    let of = |version, description: &'static str, sql: &'static str| {
        Migration::new(version, description.into(), MigrationType::Simple, sqlx::SqlSafeStr::into_sql_str(sql), false)
    };
    vec![of(1, "history", include_str!("../../../migrations/0001_history.sql"))]
}

/// A body as PostgreSQL can store it: its texts cannot have the character U+0000, which JSON can.
pub(super) fn storable(body: &str) -> Cow<'_, str> {
    if !body.contains("\\u0000") {
        return Cow::Borrowed(body);
    }
    match serde_json::from_str(body) {
        Ok(value) => Cow::Owned(without_nul(value).to_string()),
        Err(_) => Cow::Borrowed(body),
    }
}

fn without_nul(value: Value) -> Value {
    let clean = |text: String| text.replace('\0', "\u{FFFD}");
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(values) => Value::Array(values.into_iter().map(without_nul).collect()),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (clean(key), without_nul(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_cannot_be_stored_is_replaced_and_nothing_else() {
        let stored = storable(r#"{"a\u0000":["\u0000b",{"c":"\\u0000"}],"d":1}"#);
        assert_eq!(stored, r#"{"a�":["�b",{"c":"\\u0000"}],"d":1}"#);
        let clean = r#"{"a": "b"}"#;
        assert!(matches!(storable(clean), Cow::Borrowed(same) if same == clean));
    }
}
