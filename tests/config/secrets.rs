//! Secrets, their files, and what is ever shown of a configuration.

use std::time::Duration;

use bellwire::config::Config;
use bellwire::config::Secret;
use bellwire::config::auth::UserKey;

use super::{Folder, TICKET, TICKET_SECRET, by_file, by_variables, described, problems, variables};

#[test]
fn a_secret_stands_in_the_file_or_in_a_file_of_its_own_and_never_in_both() {
    let folder = Folder::with(&[
        ("etc/bellwire.toml", "[auth]\nticket_secret_file = \"ticket\"\n[livekit]\napi_secret_file = \"../livekit\""),
        ("etc/both.toml", "[auth]\nticket_secret_file = \"ticket\"\nticket_secret = \"ticket\""),
        ("etc/gone.toml", "[auth]\nticket_secret_file = \"gone\""),
        ("etc/ticket", &format!("{TICKET_SECRET}\n")),
        ("livekit", "from a file\r\n"),
    ]);
    let load = |name: &str, given: &[(&str, &str)]| Config::load(Some(&folder.path(name)), variables(given));

    let config = load("etc/bellwire.toml", &[]).expect("a configuration");
    assert_eq!(config.auth.ticket_secrets[0].reveal(), TICKET_SECRET);
    assert_eq!(config.livekit.api_secret.reveal(), "from a file", "it goes over the default api_secret");

    let config = load("etc/bellwire.toml", &[("BELLWIRE__LIVEKIT__API_SECRET", "from a variable")]);
    assert_eq!(config.expect("a configuration").livekit.api_secret.reveal(), "from a variable");

    assert_eq!(
        problems(load("etc/both.toml", &[])),
        ["auth.ticket_secret: stands beside ticket_secret_file; expected one of the two"]
    );
    assert_eq!(
        problems(load("etc/both.toml", &[TICKET, ("BELLWIRE__AUTH__TICKET_SECRET_FILE", "ticket")])),
        ["auth.ticket_secret: stands beside ticket_secret_file; expected one of the two"]
    );
    let gone = folder.path("etc/gone");
    let found = problems(load("etc/gone.toml", &[]));
    assert!(found[0].starts_with(&format!("auth.ticket_secret_file: cannot read {}: ", gone.display())), "{found:?}");
}

#[test]
fn ticket_secrets_may_be_a_list_of_which_each_is_long_enough() {
    let old = "the ticket secret of last month, still good";
    let both = format!("[\"{TICKET_SECRET}\", \"{old}\"]");
    let config = by_file(&format!("[auth]\nticket_secret = {both}"), &[]).expect("a configuration");
    assert_eq!(config.auth.ticket_secrets.iter().map(Secret::reveal).collect::<Vec<_>>(), [TICKET_SECRET, old]);
    let config = by_variables(&[("BELLWIRE__AUTH__TICKET_SECRET", &both)]).expect("a configuration");
    assert_eq!(config.auth.ticket_secrets.len(), 2);

    let folder = Folder::with(&[("new", TICKET_SECRET), ("old", old)]);
    let files = format!("[{:?}, {:?}]", folder.path("new"), folder.path("old"));
    let config = by_variables(&[("BELLWIRE__AUTH__TICKET_SECRET_FILE", &files)]).expect("a configuration");
    assert_eq!(config.auth.ticket_secrets[1].reveal(), old);

    for bad in ["[]".to_owned(), format!("[\"{TICKET_SECRET}\", \"short\"]"), format!("[{TICKET_SECRET}]")] {
        let found = problems(by_variables(&[("BELLWIRE__AUTH__TICKET_SECRET", &bad)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("auth.ticket_secret: expected a text of at least 32 bytes"), "{found:?}");
    }
}

#[test]
fn no_secret_is_shown_by_debug_or_description() {
    let folder = Folder::with(&[("livekit", "hidden-livekit-secret")]);
    let livekit = folder.path("livekit");
    let config = by_variables(&[
        (
            "BELLWIRE__AUTH__TICKET_SECRET",
            r#"["hidden-ticket-secret-of-32-bytes-a", "hidden-ticket-secret-of-32-bytes-b"]"#,
        ),
        ("BELLWIRE__AUTH__USERS__0__ISSUER", "i"),
        ("BELLWIRE__AUTH__USERS__0__ALGORITHM", "HS256"),
        ("BELLWIRE__AUTH__USERS__0__SECRET", "hidden-user-secret-of-at-least-32-bytes"),
        ("BELLWIRE__LIVEKIT__API_SECRET_FILE", livekit.to_str().expect("a path")),
        ("BELLWIRE__HISTORY__POSTGRES_URL", "postgresql://bellwire:hidden@db.example.com/calls"),
    ])
    .expect("a configuration");
    let shown = format!("{config:?} {config:#?} {:?}", config.describe());
    assert!(!shown.contains("hidden"), "{shown}");
    for key in ["auth.ticket_secret", "auth.users[0].secret", "livekit.api_secret"] {
        assert_eq!(described(&config, key), "(secret)");
    }
    let url = "\"postgresql://bellwire@db.example.com:5432/calls?sslmode=prefer\"";
    assert_eq!(described(&config, "history.postgres_url"), url);
}

#[test]
fn no_secret_is_shown_by_an_error() {
    let files = [
        "[auth]\nticket_secret = \"hidden",
        "[auth]\nticket_secret = hidden-hidden",
        "[auth]\nticket_secret = 'hidden' 'hidden'",
        "[auth]\nticket_secret = \"hidden\\q\"",
        "[auth]\nticket_secret = \"hidden\"\nticket_secret = \"hidden\"",
        "[auth]\nticket_secret = \"hidden\"",
        "[auth]\nticket_secret = { hidden = 1 }",
        "[auth]\nticket_secret_file = [[\"hidden\"]]",
        "[auth]\nservice_keys = \"hidden\"",
        "[auth]\nservice_keys = [\"bw_sk_hidden\"]",
        "[auth]\nusers = \"hidden\"",
        "[auth]\nusers = [\"hidden\"]",
        "[[auth.users]]\nissuer = \"i\"\nalgorithm = \"HS256\"\nsecret = [\"hidden\"]",
        "[[auth.users]]\nissuer = \"i\"\nalgorithm = \"RS256\"\nsecret = \"hidden\"",
        "[[auth.users]]\nissuer = \"i\"\nalgorithm = \"hs256\"\nsecret = \"hidden\"",
        "[livekit]\napi_secret = [\"hidden\"]\napi_secret_file = \"a\"",
        "[livekit]\napi_secre = \"hidden\"",
        "[livekit]\nurl = \"wss://key:hidden@example.com\"",
        "[store]\nurl = \"rediss://user:hidden@example.com\"",
        "[history]\npostgres_url = \"hidden://user:hidden@example.com/d\"",
        "[history]\npostgres_url = \"postgresql://user:hidden@example.com\"",
        "[history]\npostgres_url = \"postgresql://user:hid@hidden@example.com/d\"",
        "[history]\npostgres_url = \"postgresql://user:pass@example.com/d?password=hidden\"",
        "[history]\npostgres_url = [\"hidden\"]",
        "livekit = \"hidden\"",
        "secret = \"hidden\"",
    ];
    for file in files {
        let error = by_file(file, &[]).expect_err("an error");
        assert!(!format!("{error} {error:?}").contains("hidden"), "{file}\n{error}\n{error:?}");
    }
    for name in ["AUTH", "AUTH__TICKET_SECRET", "AUTH__TICKET_SECRET__0", "AUTH__USERS", "AUTH__USERS__0", "LIVEKIT"] {
        let error = by_variables(&[(&format!("BELLWIRE__{name}"), "hidden")]).expect_err("an error");
        assert!(!format!("{error} {error:?}").contains("hidden"), "{name}\n{error}");
    }
}

#[test]
fn the_description_has_every_key_of_the_defaults() {
    let config = by_variables(&[TICKET]).expect("a configuration");
    let described: Vec<String> = config.describe().into_iter().map(|(key, _)| key).collect();
    let defaults: toml::Table = bellwire::config::DEFAULTS.parse().expect("TOML");
    for (section, keys) in &defaults {
        for key in keys.as_table().expect("a table").keys() {
            assert!(described.contains(&format!("{section}.{key}")), "{section}.{key}");
        }
    }
}

#[test]
fn a_described_configuration_can_be_loaded_again() {
    let given = [TICKET, ("BELLWIRE__STORE__URL", "embedded:/var/lib/bellwire.redb")];
    let config = by_variables(&given).expect("a configuration");
    let lines: Vec<String> = config
        .describe()
        .into_iter()
        .filter(|(_, value)| value != "(secret)")
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let again = by_file(&lines.concat(), &[TICKET]).expect("a configuration");
    assert_eq!(again.describe(), config.describe());
}

#[test]
fn keys_that_the_defaults_show_commented_out_are_keys() {
    let shown = |line: &&str| {
        let key = line.split(" = ").next().unwrap_or_default();
        let named = line.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let alternatives = [
            "secret_file",
            "secrets_file",
            "password_file",
            "public_key_file",
            "postgres_url_file",
            "encryption_key_file",
        ];
        let alternative = alternatives.iter().any(|end| key.ends_with(end));
        line.starts_with('[') || (named && !alternative)
    };
    let uncommented = bellwire::config::DEFAULTS.lines().map(|line| line.trim_start_matches("# ")).filter(shown);
    // The keys of Redis are none without it, and those of Sentinel and TLS none without them.
    let store = ("BELLWIRE__STORE__URL", "redis-sentinel://127.0.0.1/main?tls=true");
    let webhook = ("BELLWIRE__WEBHOOKS__0__SECRETS", r#"["whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM="]"#);
    let config = by_file(&uncommented.collect::<Vec<_>>().join("\n"), &[TICKET, store, webhook]);
    let config = config.expect("a configuration");
    assert_eq!((config.auth.users.len(), config.push.apns.len(), config.push.fcm.len()), (1, 1, 1));
    assert!(matches!(config.auth.users[0].key, UserKey::Jwks(..)));
    assert_eq!(config.push.apns[0].ring_expiration, Duration::from_secs(10));
}
