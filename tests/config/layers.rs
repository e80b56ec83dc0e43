//! Which layer has the last word, and how variables and paths are read.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use bellwire::config::Config;
use bellwire::config::auth::Asymmetric;
use bellwire::config::auth::UserKey;
use bellwire::config::limits::Rate;
use bellwire::config::push::MissedCallAs;
use bellwire::config::push::PayloadProfile;
use bellwire::config::push::Privacy;
use bellwire::config::store::StoreUrl;
use bellwire::config::telemetry::LogFormat;
use bellwire::config::telemetry::LogLevel;
use bellwire::domain::DeclineScope;
use bellwire::domain::Environment;

use super::{EVERY_KEY, Folder, TICKET, TICKET_SECRET, by_file, by_variables, described, problems, variables};

#[test]
fn defaults_are_enough_but_for_the_ticket_secret() {
    let config = by_variables(&[TICKET]).expect("a configuration");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.ops_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.http.public_url, None);
    assert_eq!(config.http.shutdown_grace, Duration::from_secs(15));
    assert_eq!(config.auth.ticket_secrets.len(), 1);
    assert_eq!(config.auth.ticket_secrets[0].reveal(), TICKET_SECRET);
    assert!(config.auth.users.is_empty() && config.auth.service_keys.is_empty());
    assert_eq!(config.store.url, StoreUrl::Embedded(PathBuf::from("data/bellwire.redb")));
    assert_eq!(config.call.ring, Duration::from_secs(45));
    assert_eq!(config.call.max_duration, Duration::from_hours(4));
    assert_eq!(config.call.retention, Duration::from_hours(7 * 24));
    assert_eq!(config.call.decline, DeclineScope::Call);
    assert!(!config.call.call_waiting);
    assert_eq!(config.livekit.api_url, "http://127.0.0.1:7880");
    assert_eq!(config.livekit.api_key, "devkey");
    assert_eq!(config.livekit.api_secret.reveal(), "secret");
    assert_eq!(config.livekit.deployment, "main");
    assert_eq!(config.push.privacy, Privacy::Full);
    assert_eq!((config.push.repush_max, config.push.repush_after), (2, Duration::from_secs(6)));
    assert!(config.push.apns.is_empty() && config.push.fcm.is_empty());
    assert_eq!(config.limits.invites_per_user, Some(Rate { count: 30, per: Duration::from_mins(1) }));
    assert_eq!((config.limits.event_streams_per_user, config.limits.body_bytes), (20, 16384));
    assert_eq!(config.telemetry.log_level, LogLevel::Info);
    assert_eq!(config.telemetry.log_format, LogFormat::Human);
    assert_eq!(config.telemetry.otlp_endpoint, None);
}

#[test]
fn an_absent_ticket_secret_says_how_to_make_one() {
    let expected = "auth.ticket_secret: missing; expected a text of at least 32 bytes or a list of such, here or in \
                    ticket_secret_file (`bellwire token ticket-secret` makes one)";
    assert_eq!(problems(by_variables(&[])), [expected]);
    assert_eq!(problems(by_file("[auth]\nticket_secret = \"\"", &[])), [expected]);
}

#[test]
fn every_key_of_the_design_is_accepted() {
    let config = by_file(EVERY_KEY, &[]).expect("a configuration");
    let users = &config.auth.users[0];
    assert_eq!(users.issuer, "https://project.supabase.co/auth/v1");
    assert_eq!(users.audience.as_deref(), Some("authenticated"));
    assert!(matches!(&users.key, UserKey::Jwks(Asymmetric::Es256, url) if url.ends_with("/jwks.json")));
    assert_eq!(users.required_claims["role"], "authenticated");
    assert_eq!(config.auth.service_keys[0][..2], [0x9f, 0x86]);
    assert_eq!(config.push.apns[0].environment, Environment::Production);
    assert_eq!(config.push.fcm[0].project_id.as_deref(), Some("project"));
}

#[test]
fn an_apps_payload_goes_over_the_payload_of_all() {
    let config = by_file(EVERY_KEY, &[("BELLWIRE__PUSH__PAYLOAD", "expo-callkit-telecom")]).expect("a configuration");
    assert_eq!(config.push.payload, PayloadProfile::ExpoCallkitTelecom);
    assert_eq!(config.push.apns[0].payload, PayloadProfile::Callkeep);
    assert_eq!(config.push.fcm[0].payload, PayloadProfile::FlutterCallkitIncoming);
    assert_eq!(config.push.fcm[0].missed_call_as, MissedCallAs::Notification);

    let without = EVERY_KEY.replace("payload = \"callkeep\"", "").replace("payload = \"flutter-callkit-incoming\"", "");
    let config = by_file(&without, &[("BELLWIRE__PUSH__PAYLOAD", "expo-callkit-telecom")]).expect("a configuration");
    assert_eq!(config.push.apns[0].payload, PayloadProfile::ExpoCallkitTelecom);
    assert_eq!(config.push.fcm[0].payload, PayloadProfile::ExpoCallkitTelecom);
}

#[test]
fn the_example_for_production_loads() {
    let example = fs::read_to_string("config/production.example.toml").expect("the example");
    let folder = Folder::with(&[
        ("bellwire.toml", &example),
        ("secrets/ticket-secret", TICKET_SECRET),
        ("secrets/livekit-secret", "livekit-secret"),
    ]);
    let config = Config::load(Some(&folder.path("bellwire.toml")), []).expect("a configuration");
    assert_eq!(config.livekit.api_url, "https://livekit.example.com");
    assert_eq!(config.push.apns[1].endpoint, "https://api.sandbox.push.apple.com");
}

#[test]
fn the_example_for_kubernetes_loads() {
    let manifest = fs::read_to_string("deploy/kubernetes/bellwire.yaml").expect("the manifest");
    let (_, rest) = manifest.split_once("  bellwire.toml: |\n").expect("the configuration");
    let (toml, _) = rest.split_once("---").expect("its end");
    let toml = toml.replace("/run/secrets/bellwire/", "secrets/");
    let folder = Folder::with(&[
        ("bellwire.toml", &toml.lines().map(str::trim_start).collect::<Vec<_>>().join("\n")),
        ("secrets/ticket-secret", TICKET_SECRET),
        ("secrets/livekit-secret", "livekit-secret"),
        ("secrets/redis-password", "redis-password"),
    ]);
    let config = Config::load(Some(&folder.path("bellwire.toml")), []).expect("a configuration");
    assert_eq!(config.http.ops_listen.port(), 9090);
    assert_eq!(config.push.apns.len() + config.push.fcm.len(), 2);
}

#[test]
fn variables_go_over_the_file_and_the_file_over_the_defaults() {
    let file = "[call]\nring = \"30s\"\nmax_duration = \"1h\"\n[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]";
    let config = by_file(file, &[TICKET, ("BELLWIRE__CALL__RING", "60s")]).expect("a configuration");
    assert_eq!(config.call.ring, Duration::from_mins(1));
    assert_eq!(config.call.max_duration, Duration::from_hours(1));
    assert_eq!(config.call.connect_timeout, Duration::from_secs(20));
    assert_eq!(described(&config, "http.trusted_proxies"), r#"["10.0.0.0/8", "::1/128"]"#);
}

#[test]
fn variables_are_read_as_the_type_of_their_key() {
    let config = by_variables(&[
        TICKET,
        ("BELLWIRE__HTTP__LISTEN", "[::1]:0"),
        ("BELLWIRE__HTTP__TRUSTED_PROXIES", r#"["10.0.0.0/8"]"#),
        ("BELLWIRE__HTTP__CORS_ORIGINS__0", "https://app.example.com/"),
        ("BELLWIRE__CALL__CALL_WAITING", "true"),
        ("BELLWIRE__PUSH__REPUSH_MAX", "0"),
        ("BELLWIRE__LIMITS", r#"{ ip = "", body_bytes = 8192 }"#),
        ("BELLWIRE__LIVEKIT__API_KEY", "12345"),
        ("PATH", "/bin"),
        ("BELLWIRE_CONFIG", "elsewhere.toml"),
    ])
    .expect("a configuration");
    assert_eq!(config.http.listen.to_string(), "[::1]:0");
    assert_eq!(described(&config, "http.trusted_proxies"), r#"["10.0.0.0/8"]"#);
    assert_eq!(config.http.cors_origins, ["https://app.example.com"]);
    assert!(config.call.call_waiting);
    assert_eq!(config.push.repush_max, 0);
    assert_eq!((config.limits.ip, config.limits.body_bytes), (None, 8192));
    assert_eq!(config.limits.event_streams_per_user, 20, "tables are merged");
    assert_eq!(config.livekit.api_key, "12345");
}

#[test]
fn variables_make_and_change_the_tables_of_a_list() {
    let file = r#"
        [[auth.users]]
        issuer = "first"
        algorithm = "HS256"
        secret = "the first secret, of at least 32 bytes"
        [[push.fcm]]
        app = "com.example.phone"
    "#;
    let secret = "the second secret, of at least 32 bytes";
    let mut given = vec![
        TICKET,
        ("BELLWIRE__AUTH__USERS__0__SECRET", secret),
        ("BELLWIRE__AUTH__USERS__0__REQUIRED_CLAIMS__ROLE", "user"),
        ("BELLWIRE__AUTH__USERS__1__ISSUER", "second"),
        ("BELLWIRE__AUTH__USERS__1__ALGORITHM", "RS256"),
        ("BELLWIRE__AUTH__USERS__1__PUBLIC_KEY_FILE", "jwt.pem"),
        ("BELLWIRE__PUSH__APNS__0__KEY_FILE", "keys/apns.p8"),
        ("BELLWIRE__PUSH__APNS__0__APP", "com.example.phone"),
        ("BELLWIRE__PUSH__APNS__0__TEAM_ID", "TEAM123456"),
        ("BELLWIRE__PUSH__APNS__0__KEY_ID", "ABC123DEFG"),
        ("BELLWIRE__PUSH__APNS__0__CONNECTIONS", "3"),
        ("BELLWIRE__PUSH__FCM", r#"[{ app = "com.example.one" }, { app = "com.example.two" }]"#),
        ("BELLWIRE__PUSH__FCM__1__PROJECT_ID", "two"),
    ];
    let apps: Vec<String> = (0..12).map(|index| format!("BELLWIRE__AUTH__USERS__1__APPS__{index}")).collect();
    given.extend(apps.iter().map(|name| (name.as_str(), "com.example.phone")));
    let config = by_file(file, &given).expect("a configuration");
    let [first, second] = &config.auth.users[..] else { panic!("two issuers") };
    assert!(matches!(&first.key, UserKey::Secret(given) if given.reveal() == secret));
    assert_eq!((first.issuer.as_str(), first.required_claims["role"].as_str()), ("first", "user"));
    assert!(matches!(&second.key, UserKey::PublicKeyFile(Asymmetric::Rs256, file) if file == Path::new("jwt.pem")));
    assert_eq!(second.apps.len(), 12);
    assert_eq!(config.push.apns[0].key_file, Path::new("keys/apns.p8"));
    assert_eq!(config.push.apns[0].connections, 3);
    assert_eq!(config.push.fcm[1].project_id.as_deref(), Some("two"));
    assert_eq!(config.push.fcm.len(), 2, "a list replaces the file's");
}

#[test]
fn variables_without_a_place_are_refused() {
    let found = problems(by_variables(&[
        TICKET,
        ("BELLWIRE__CALL__RNIG", "45s"),
        ("BELLWIRE__CALLS__RING", "45s"),
        ("BELLWIRE__HTTP__LISTEN__PORT", "80"),
        ("BELLWIRE__PUSH__FCM__1__APP", "com.example.phone"),
        ("BELLWIRE__HTTP__CORS_ORIGINS__FIRST", "https://app.example.com"),
        ("BELLWIRE__STORE", "embedded"),
    ]));
    assert_eq!(
        found,
        [
            "http.cors_origins.first: expected the number of an element, from 0",
            "http.listen.port: unknown key",
            "push.fcm[1].app: there is no element 0 before this one",
            "store: expected a table",
            r#"call.rnig: unknown key; did you mean "ring"?"#,
            r#"calls: unknown key; did you mean "call"?"#,
        ]
    );
}

#[test]
fn relative_paths_start_in_the_folder_of_the_file_that_has_them() {
    let file = r#"
        [store]
        url = "embedded:calls.redb"
        [[auth.users]]
        issuer = "i"
        algorithm = "ES256"
        public_key_file = "jwt.pem"
        required_claims = { a_file = "not a path" }
        [[push.apns]]
        app = "a"
        team_id = "TEAM123456"
        key_id = "ABC123DEFG"
        key_file = "apns.p8"
        ca_file = "/etc/ca.pem"
        [[push.fcm]]
        app = "a"
        service_account_file = "fcm.json"
        ca_file = "ca.pem"
    "#;
    let folder = Folder::with(&[("etc/bellwire.toml", file)]);
    let etc = folder.path("etc");
    let given = variables(&[TICKET, ("BELLWIRE__PUSH__FCM__0__CA_FILE", "other.pem")]);
    let config = Config::load(Some(&etc.join("bellwire.toml")), given).expect("a configuration");
    assert_eq!(config.store.url, StoreUrl::Embedded(etc.join("calls.redb")));
    let users = &config.auth.users[0];
    assert!(matches!(&users.key, UserKey::PublicKeyFile(Asymmetric::Es256, file) if *file == etc.join("jwt.pem")));
    assert_eq!(users.required_claims["a_file"], "not a path");
    assert_eq!(config.push.apns[0].key_file, etc.join("apns.p8"));
    assert_eq!(config.push.apns[0].ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
    assert_eq!(config.push.fcm[0].service_account_file, Some(etc.join("fcm.json")));
    assert_eq!(config.push.fcm[0].ca_file.as_deref(), Some(Path::new("other.pem")));
}

#[test]
fn the_api_of_livekit_is_by_default_where_its_signalling_is() {
    for (url, api_url) in [("wss://a.example.com/", "https://a.example.com"), ("ws://[::1]:7880", "http://[::1]:7880")]
    {
        let config = by_variables(&[TICKET, ("BELLWIRE__LIVEKIT__URL", url)]).expect("a configuration");
        assert_eq!(config.livekit.api_url, api_url);
    }
    let given = [TICKET, ("BELLWIRE__LIVEKIT__API_URL", "http://livekit:7880")];
    assert_eq!(by_variables(&given).expect("a configuration").livekit.api_url, "http://livekit:7880");
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_its_cause() {
    let folder = Folder::with(&[]);
    let error = Config::load(Some(&folder.path("bellwire.toml")), []).expect_err("an error");
    assert!(error.to_string().starts_with("cannot read the configuration "), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}
