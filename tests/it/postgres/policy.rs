//! Row level security as a Supabase project needs it: migrations/supabase/rls.sql on a database with Supabase's roles and `auth.uid()`.

use std::borrow::Cow;

use serde_json::Value;
use sqlx::error::DatabaseError;
use sqlx::{Connection, Executor, PgConnection};

use super::deliverer;
use crate::support::postgres::{Database, PostgresServer, history, rows};

const POLICY: &str = include_str!("../../../migrations/supabase/rls.sql");
const ALICE: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";
const CAROL: &str = "33333333-3333-4333-8333-333333333333";
const MALLORY: &str = "44444444-4444-4444-8444-444444444444";

/// As Supabase has it, and who may use it.
const AUTH: &str = "CREATE SCHEMA auth;
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
        SELECT coalesce(
            nullif(current_setting('request.jwt.claim.sub', true), ''),
            nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
        )::uuid
    $$;
    GRANT USAGE ON SCHEMA auth TO PUBLIC;
    DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO dashboard', current_database()); END $$";

/// What each role may do on Supabase in a schema that was opened with every right, by mistake or by default.
const TOO_MUCH: &str = "GRANT ALL ON SCHEMA bellwire TO anon, authenticated, service_role;
    GRANT ALL ON ALL TABLES IN SCHEMA bellwire TO anon, authenticated, service_role";

/// Calls of alice to bob, of bob to carol, and of carol to alice, who has blocked carol; a ban of mallory.
async fn with_rows(server: &'static PostgresServer) -> Database<'static> {
    let database = server.database().await;
    database.run(AUTH).await;
    let (_, postgres, _stopper) = deliverer(&history(&[("postgres_url", &database.url("?sslmode=disable"))]));
    postgres.look().await.expect("its tables");
    for (caller, callee, hidden) in [(ALICE, BOB, false), (BOB, CAROL, false), (CAROL, ALICE, true)] {
        let insert = format!(
            "INSERT INTO bellwire.calls (id, caller_id, callee_id, media, end_reason, created_at, ended_at, talk_seconds, total_seconds,
                peak_participants, reconnects, hidden_from_callee)
             VALUES (gen_random_uuid(), '{caller}', '{callee}', 'audio', 'completed', now(), now(), 0, 0, 0, 0, {hidden})"
        );
        database.run(&insert).await;
    }
    database.run("INSERT INTO bellwire.bans (user_id, created_at) VALUES ('mallory', now())").await;
    database
}

/// A request to Supabase's API: as this role, with the claims of this user's token.
async fn asked(database: &Database<'_>, role: &str, user: Option<&str>) -> PgConnection {
    let mut connection = database.admin().await;
    let claims = user.map_or(String::new(), |user| format!(r#"{{"sub": "{user}", "role": "{role}"}}"#));
    let claims = sqlx::query("SELECT set_config('request.jwt.claims', $1, false)").bind(claims);
    claims.execute(&mut connection).await.expect("claims");
    connection.execute(sqlx::AssertSqlSafe(format!("SET ROLE {role}"))).await.expect("a role");
    connection
}

async fn seen(database: &Database<'_>, role: &str, user: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let mut connection = asked(database, role, user).await;
    let found = rows(&mut connection, "SELECT caller_id, callee_id FROM bellwire.calls ORDER BY caller_id").await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let pairs = |rows: Vec<Value>| rows.iter().map(|row| (text(&row["caller_id"]), text(&row["callee_id"]))).collect();
    found.map(pairs).map_err(|error| code(&error))
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(DatabaseError::code).map_or_else(|| error.to_string(), Cow::into_owned)
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(caller, callee)| ((*caller).to_owned(), (*callee).to_owned())).collect()
}

/// Runs the file as the project's owner does, who is no superuser.
async fn apply(database: &Database<'_>) {
    let mut owner = database.connection("dashboard").await;
    sqlx::raw_sql(POLICY).execute(&mut owner).await.expect("the policy");
    owner.close().await.expect("closed");
}

/// What no role may ever do.
const DENIED: &str = "42501";

#[tokio::test]
async fn a_user_reads_the_calls_that_they_are_a_party_of_and_no_others() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = with_rows(server).await;
    database.run(TOO_MUCH).await;
    apply(&database).await;
    apply(&database).await;
    for (user, calls) in [
        (ALICE, vec![(ALICE, BOB)]),
        (BOB, vec![(ALICE, BOB), (BOB, CAROL)]),
        (CAROL, vec![(BOB, CAROL), (CAROL, ALICE)]),
        (MALLORY, vec![]),
    ] {
        assert_eq!(seen(&database, "authenticated", Some(user)).await, Ok(pairs(&calls)), "{user}");
    }
    let mut carol = asked(&database, "authenticated", Some(CAROL)).await;
    for column in ["hidden_from_callee", "disconnect_reasons", "*"] {
        let refused = rows(&mut carol, &format!("SELECT {column} FROM bellwire.calls")).await.expect_err(column);
        assert_eq!(code(&refused), DENIED, "{column}");
    }
    assert_eq!(seen(&database, "authenticated", None).await, Ok(pairs(&[])), "a token without a user");
    assert_eq!(seen(&database, "anon", None).await, Err(DENIED.to_owned()));
    assert_eq!(seen(&database, "anon", Some(ALICE)).await, Err(DENIED.to_owned()));
    let all = seen(&database, "service_role", None).await;
    assert_eq!(all.map(|calls| calls.len()), Ok(3), "the app's own backend");
}

#[tokio::test]
async fn nobody_but_the_gateway_writes_and_no_user_reads_bans() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = with_rows(server).await;
    database.run(TOO_MUCH).await;
    apply(&database).await;
    for (role, user) in [("authenticated", Some(ALICE)), ("anon", None), ("service_role", None)] {
        let mut connection = asked(&database, role, user).await;
        for statement in [
            "INSERT INTO bellwire.calls (id) VALUES (gen_random_uuid())",
            "UPDATE bellwire.calls SET callee_id = caller_id",
            "DELETE FROM bellwire.calls",
            "TRUNCATE bellwire.calls",
            "UPDATE bellwire.bans SET until = now()",
            "DELETE FROM bellwire.bans",
            "DELETE FROM bellwire._bellwire_migrations",
            "CREATE TABLE bellwire.mine (id int)",
            "DROP TABLE bellwire.calls",
            "ALTER TABLE bellwire.calls DISABLE ROW LEVEL SECURITY",
        ] {
            let error = connection.execute(statement).await.expect_err(statement);
            assert_eq!(code(&error), DENIED, "{role}: {statement}");
        }
        let bans = rows(&mut connection, "SELECT * FROM bellwire.bans").await;
        match role {
            "service_role" => assert_eq!(bans.expect("bans").len(), 1),
            _ => assert_eq!(code(&bans.expect_err("bans")), DENIED, "{role}"),
        }
    }
    let mut gateway = database.connection("bellwire").await;
    let written = gateway.execute("UPDATE bellwire.calls SET metadata = '{}'").await.expect("its own tables");
    assert_eq!(written.rows_affected(), 3);
}

#[tokio::test]
async fn without_the_policy_a_schema_that_was_opened_by_mistake_shows_nothing() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = with_rows(server).await;
    database.run(TOO_MUCH).await;
    for role in ["authenticated", "anon"] {
        assert_eq!(seen(&database, role, Some(ALICE)).await, Ok(pairs(&[])), "{role}");
        let mut connection = asked(&database, role, Some(ALICE)).await;
        for table in ["bans", "_bellwire_migrations"] {
            let query = format!("SELECT * FROM bellwire.{table}");
            assert_eq!(rows(&mut connection, &query).await.expect("allowed").len(), 0, "{role}: {table}");
        }
    }
}
