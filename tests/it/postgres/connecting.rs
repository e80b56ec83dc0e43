//! How a database is connected to, and how its tables are made.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;
use sqlx::Executor;

use super::{declined, deliverer, expect_readiness, row_of};
use crate::support::command::Running;
use crate::support::postgres::{PostgresServer, history, section};
use crate::support::{Stage, service_bearer};

const APPLIED: &str = "SELECT version, success FROM bellwire._bellwire_migrations ORDER BY version";

#[tokio::test]
async fn gateways_that_start_together_make_the_tables_once() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let section = history(&[("postgres_url", &database.url("?sslmode=disable"))]);
    let several: Vec<_> = (0..8).map(|_| deliverer(&section)).collect();
    let looked_at = join_all(several.iter().map(|(_, postgres, _)| postgres.look())).await;
    assert!(looked_at.iter().all(Result::is_ok), "{looked_at:?}");
    assert_eq!(database.rows(APPLIED).await, [json!({"version": 1, "success": true})]);

    let other = server.database().await;
    let section = other.section();
    let (one, two) = tokio::join!(Stage::with(&section), Stage::with(&section));
    for stage in [&one, &two] {
        stage.pixel("bob", "phone").await;
        let call = declined(stage).await;
        other.row(&row_of(&call)).await;
    }
}

#[tokio::test]
async fn what_a_newer_gateway_did_is_left_alone_and_what_somebody_changed_is_not_written_to() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let section = history(&[("postgres_url", &database.url("?sslmode=disable"))]);
    deliverer(&section).1.look().await.expect("its tables");
    let newer = "INSERT INTO bellwire._bellwire_migrations (version, description, success, checksum, execution_time)
                 VALUES (99, 'of a newer release', true, '\\x00', 0)";
    database.run(newer).await;
    deliverer(&section).1.look().await.expect("it works");
    database.run("UPDATE bellwire._bellwire_migrations SET checksum = '\\x00' WHERE version = 1").await;
    let error = deliverer(&section).1.look().await.expect_err("another table under the same number");
    assert_eq!(error.to_string(), "its tables cannot be made or brought up to date");
}

#[tokio::test]
async fn another_schema_that_is_there_takes_no_right_to_make_one() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    // As docs/SUPABASE.md has it: the project's owner, who is no superuser, makes the schema for the gateway's role.
    database.run(&format!("ALTER DATABASE {} OWNER TO dashboard", database.name)).await;
    let mut owner = database.connection("dashboard").await;
    owner.execute("CREATE SCHEMA history AUTHORIZATION bellwire").await.expect("a schema");
    let url = ("postgres_url", &*database.url("?sslmode=disable"));
    let (_, postgres, _stopper) = deliverer(&history(&[url, ("schema", "history")]));
    postgres.look().await.expect("it works");
    assert_eq!(database.rows("SELECT id FROM history.calls").await.len(), 0);
    let refused = deliverer(&history(&[url, ("schema", "elsewhere")])).1.look().await;
    refused.expect_err("it may not make one");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_no_password_is() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let wrong = database.url_at(server.port(), "not-the-password", "?sslmode=disable");
    let stage = Stage::of_process(&section(&wrong)).await;
    let words = expect_readiness(&stage.http, false).await;
    assert_eq!(words, "it refuses the connection with SQLSTATE 28P01");
    stage.pixel("bob", "phone").await;
    declined(&stage).await;
    stage.http.put("/v1/bans/mallory", service_bearer(), json!({})).await.expect(200);
    let config_file = stage.config_file.to_str().expect("text");
    let checked = Running::with(&[], &["check", "--config", config_file]).end().await.stdout;
    assert!(checked.contains("FAIL  history.postgres_url: "), "{checked}");
    assert!(checked.contains(&format!("history.postgres_url = \"postgresql://bellwire@127.0.0.1:{}/", server.port())));
    let told = stage.told();
    assert!(told.contains("28P01"), "{told}");
    for text in [told, checked, stage.http.get("/readyz", "").await.text] {
        assert!(!text.contains("not-the-password"), "{text}");
    }
}

#[tokio::test]
async fn the_host_is_verified_by_ca_file_or_else_nothing_is_sent() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let ca = server.ca_file();
    let ca = ca.to_str().expect("text");
    let stage = Stage::with(&format!("{}ca_file = \"{ca}\"\n", section(&database.url("")))).await;
    stage.pixel("bob", "phone").await;
    let call = declined(&stage).await;
    database.row(&row_of(&call)).await;
    let connections = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                       WHERE datname = current_database() AND application_name = 'bellwire'";
    assert_eq!(database.rows(connections).await, [json!({"ssl": true})]);

    let url = database.url("?sslmode=verify-full");
    let (_, unknown, _stopper) = deliverer(&history(&[("postgres_url", &url)]));
    assert_eq!(unknown.look().await.expect_err("an unknown authority").to_string(), "it cannot be connected to");
    // The certificate is of 127.0.0.1, so the same machine by another of its addresses is another host.
    let elsewhere = |mode: &str| {
        let url = url.replace("127.0.0.1", "127.0.0.2").replace("verify-full", mode);
        deliverer(&history(&[("postgres_url", &*url), ("ca_file", ca)]))
    };
    let refused = elsewhere("verify-full").1.look().await.expect_err("another host");
    assert!(format!("{refused:?}").contains("NotValidForName"), "{refused:?}");
    elsewhere("verify-ca").1.look().await.expect("any host of this authority");
}

#[tokio::test]
async fn tls_without_proof_works_too() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let mut words = BTreeSet::new();
    for mode in ["", "?sslmode=prefer", "?sslmode=require", "?sslmode=disable"] {
        let (_, postgres, _stopper) = deliverer(&history(&[("postgres_url", &database.url(mode))]));
        words.insert(format!("{:?}", postgres.look().await));
    }
    assert_eq!(words, BTreeSet::from(["Ok(())".to_owned()]));
}
