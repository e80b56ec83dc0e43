//! The configuration from outside: layers, names, problems, and that no secret is ever shown.
//!
//! Variables are handed in; none of these tests changes the process's own.

#![expect(clippy::expect_used, reason = "Clippy knows a test by its attribute, not the functions that help it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwire::config::auth::{Asymmetric, UserKey};
use bellwire::config::limits::Rate;
use bellwire::config::push::Privacy;
use bellwire::config::store::StoreUrl;
use bellwire::config::telemetry::{LogFormat, LogLevel};
use bellwire::config::{Config, ConfigError, Secret};
use bellwire::domain::DeclineScope;
use bellwire::domain::Environment;
use tempfile::TempDir;

const TICKET_SECRET: &str = "ticket-secret-of-at-least-32-bytes";
const TICKET: (&str, &str) = ("BELLWIRE__AUTH__TICKET_SECRET", TICKET_SECRET);

/// Every key of the design's page on configuration, with the values that it has there where they are values.
const EVERY_KEY: &str = r#"
    [http]
    listen = "127.0.0.1:8080"
    ops_listen = "127.0.0.1:9090"
    trusted_proxies = []
    cors_origins = []
    public_url = ""
    shutdown_grace = "15s"

    [[auth.users]]
    issuer = "https://project.supabase.co/auth/v1"
    audience = "authenticated"
    algorithm = "ES256"
    jwks_url = "https://project.supabase.co/auth/v1/.well-known/jwks.json"
    required_claims = { role = "authenticated" }
    user_claim = "sub"
    name_claim = "app_metadata.name"
    avatar_claim = "app_metadata.avatar_url"
    avatar_hosts = []
    user_prefix = ""
    apps = []

    [auth]
    service_keys = ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    ticket_secret = "ticket-secret-of-at-least-32-bytes"
    leeway = "30s"

    [store]
    url = "embedded:data/bellwire.redb"
    timeout = "1s"

    [call]
    ring = "45s"
    connect_timeout = "20s"
    reconnect_grace = "30s"
    max_duration = "4h"
    call_waiting = false
    decline = "call"
    retention = "7d"

    [livekit]
    url = "ws://127.0.0.1:7880"
    api_url = "http://127.0.0.1:7880"
    api_key = "devkey"
    api_secret = "secret"

    [push]
    payload = "bellwire"
    privacy = "full"
    missed_call = true
    repush_after = "6s"
    repush_max = 2
    repush_ios = false
    voip_budget = 0

    [[push.apns]]
    app = "com.example.phone"
    environment = "production"
    team_id = "TEAM123456"
    key_id = "ABC123DEFG"
    key_file = "apns.p8"
    endpoint = "https://api.push.apple.com"
    ca_file = "ca.pem"
    connections = 2

    [[push.fcm]]
    app = "com.example.phone"
    project_id = "project"
    service_account_file = "fcm.json"
    endpoint = "https://fcm.googleapis.com"
    ca_file = "ca.pem"

    [limits]
    ip = "50/s"
    invites_per_user = "30/min"
    invites_per_callee = "60/min"
    invites_per_pair = "10/min"
    tokens_per_user = "60/min"
    registrations_per_user = "20/min"
    event_streams_per_user = 20

    [telemetry]
    log_level = "info"
    log_format = "human"
    otlp_endpoint = ""
"#;

/// A folder with the files of one test.
struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            let path = folder.path(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn variables(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn by_variables(given: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(None, variables(given))
}

fn by_file(text: &str, given: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = Folder::with(&[("bellwire.toml", text)]);
    Config::load(Some(&folder.path("bellwire.toml")), variables(given))
}

fn problems(result: Result<Config, ConfigError>) -> Vec<String> {
    let error = result.expect_err("a configuration that cannot be used");
    assert!(matches!(error, ConfigError::Invalid(_)), "{error}");
    error.problems().iter().map(ToString::to_string).collect()
}

fn described(config: &Config, key: &str) -> String {
    let value = config.describe().into_iter().find(|(described, _)| described == key);
    value.unwrap_or_else(|| panic!("{key} is not described")).1
}

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
fn every_problem_is_told_at_once() {
    let file = r#"
        [http]
        listen = "localhost"
        trusted_proxies = ["10.0.0.0/8", "everywhere"]
        shutdown_grace = "15"

        [auth]
        service_keys = ["bw_sk_in_the_clear"]
        ticket_secret = "short"

        [store]
        url = "redis://user:password@127.0.0.1/0"

        [call]
        ring = 7
        call_waiting = "yes"
        decline = "both"
        max_duration = "-4h"

        [livekit]
        url = "https://user:password@livekit.example.com"
        deployment = "Main_1"

        [push]
        payload = "callkeep"
        repush_max = 2.5

        [limits]
        ip = "50 per second"
        event_streams_per_user = 0

        [telemetry]
        log_level = "verbose"
    "#;
    assert_eq!(
        problems(by_file(file, &[("BELLWIRE__CALL__CONNECT_TIMEOUT", "never")])),
        [
            r#"http.listen: expected an IP address and a port, such as "127.0.0.1:8080"; got "localhost""#,
            "http.trusted_proxies: expected a list, each of it an IP network, such as \"10.0.0.0/8\"; \
             got [\"10.0.0.0/8\", \"everywhere\"]",
            r#"http.shutdown_grace: expected a duration from "0s" to "10m", such as "15s"; got "15""#,
            "auth.service_keys: expected a list, each of it \"sha256:\" and 64 hex digits \
             (`bellwire token service-key` makes one)",
            "auth.ticket_secret: expected a text of at least 32 bytes or a list of such, here or in \
             ticket_secret_file (`bellwire token ticket-secret` makes one)",
            "store.url: expected \"embedded:\" and the path of a file, such as \"embedded:data/bellwire.redb\" \
             (this version has the embedded store only, no redis://, rediss://, redis-sentinel:// or \
             redis-cluster://)",
            r#"call.ring: expected a duration from "5s" to "120s", such as "45s"; got 7"#,
            r#"call.connect_timeout: expected a duration from "100ms" to "10m", such as "20s"; got "never""#,
            r#"call.max_duration: expected a duration from "1s" to "30d", such as "4h"; got "-4h""#,
            r#"call.call_waiting: expected true or false; got "yes""#,
            r#"call.decline: expected "call" or "device"; got "both""#,
            r#"livekit.url: expected a URL that begins with wss:// or ws://, such as "wss://livekit.example.com""#,
            r#"livekit.deployment: expected 1 to 32 lower-case letters, digits and -, such as "main"; got "Main_1""#,
            r#"push.payload: expected "bellwire", the only payload that this version knows; got "callkeep""#,
            "push.repush_max: expected a whole number from 0 to 10; got 2.5",
            "limits.ip: expected a rate per s, min or h, such as \"30/min\", or \"\" for no limit; \
             got \"50 per second\"",
            "limits.event_streams_per_user: expected a whole number from 1 to 1000; got 0",
            "telemetry.log_level: expected \"off\" or \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"; \
             got \"verbose\"",
        ]
    );
}

#[test]
fn a_ring_lasts_from_five_seconds_to_two_minutes() {
    for (ring, good) in [("4999ms", false), ("5s", true), ("120s", true), ("2m", true), ("121s", false)] {
        assert_eq!(by_variables(&[TICKET, ("BELLWIRE__CALL__RING", ring)]).is_ok(), good, "{ring}");
    }
}

#[test]
fn an_unknown_key_is_refused_in_every_section() {
    let file = r#"
        colour = "red"
        [http]
        listn = "127.0.0.1:80"
        [auth]
        ticket_secrets = []
        [[auth.users]]
        issuer = "i"
        algorithm = "RS256"
        jwks_url = "http://localhost/jwks.json"
        audiences = "a"
        [store]
        path = "x"
        [call]
        rign = "45s"
        [livekit]
        api_secert = "do not show this"
        [push]
        pay_load = "bellwire"
        [[push.apns]]
        app = "a"
        team_id = "TEAM123456"
        key_id = "ABC123DEFG"
        key_file = "a.p8"
        topic = "a.voip"
        [[push.fcm]]
        app = "a"
        project = "p"
        [limits]
        invites_per_users = "30/min"
        [telemetry]
        level = "info"
    "#;
    assert_eq!(
        problems(by_file(file, &[TICKET])),
        [
            r#"http.listn: unknown key; did you mean "listen"?"#,
            r#"auth.users[0].audiences: unknown key; did you mean "audience"?"#,
            r#"auth.ticket_secrets: unknown key; did you mean "ticket_secret"?"#,
            "store.path: unknown key",
            r#"call.rign: unknown key; did you mean "ring"?"#,
            r#"livekit.api_secert: unknown key; did you mean "api_secret"?"#,
            "push.apns[0].topic: unknown key",
            "push.fcm[0].project: unknown key",
            r#"push.pay_load: unknown key; did you mean "payload"?"#,
            r#"limits.invites_per_users: unknown key; did you mean "invites_per_user"?"#,
            "telemetry.level: unknown key",
            "colour: unknown key",
        ]
    );
}

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
fn the_algorithm_of_an_issuer_decides_which_key_it_has() {
    let secret = "secret = \"a secret of the issuer, at least 32 bytes\"";
    for (algorithm, keys, problem) in [
        ("HS256", secret, None),
        ("HS256", "secret = \"short\"", Some("secret: expected a text of at least 32 bytes, here or in secret_file")),
        ("HS256", "", Some("secret: missing; expected a text of at least 32 bytes, here or in secret_file")),
        (
            "HS256",
            &format!("{secret}\njwks_url = \"https://a/b\""),
            Some("jwks_url: is not for HS256, which has a secret"),
        ),
        ("RS256", "public_key_file = \"a.pem\"", None),
        ("ES256", "jwks_url = \"https://a/b/\"", None),
        ("ES256", "jwks_url = \"http://127.0.0.1:9/b\"", None),
        ("ES256", "jwks_url = \"http://[::1]:9/b\"", None),
        ("ES256", "", Some("algorithm: expected either public_key_file or jwks_url beside it")),
        (
            "RS256",
            "public_key_file = \"a.pem\"\njwks_url = \"https://a/b\"",
            Some("algorithm: expected either public_key_file or jwks_url beside it"),
        ),
        ("RS256", &format!("{secret}\npublic_key_file = \"a.pem\""), Some("secret: is for HS256 only")),
        (
            "ES256",
            "jwks_url = \"http://id.example.com/jwks.json\"",
            Some(
                "jwks_url: expected an https:// URL, or an http:// URL on loopback, such as \
                 \"https://id.example.com/jwks.json\"",
            ),
        ),
        ("none", secret, Some(r#"algorithm: expected "HS256" or "RS256" or "ES256"; got "none""#)),
    ] {
        let file = format!("[[auth.users]]\nissuer = \"i\"\nalgorithm = \"{algorithm}\"\n{keys}");
        let found = by_file(&file, &[TICKET]).map_or_else(|error| problems(Err(error)), |_| Vec::new());
        let expected: Vec<String> = problem.iter().map(|problem| format!("auth.users[0].{problem}")).collect();
        assert_eq!(found, expected, "{file}");
    }
}

#[test]
fn an_issuer_and_the_ids_of_a_push_section_are_needed() {
    let file = r#"
        [[auth.users]]
        issuer = ""
        algorithm = "RS256"
        public_key_file = "a.pem"
        [[push.apns]]
        app = "com/example"
        team_id = ""
        endpoint = "http://127.0.0.1:1"
        [[push.fcm]]
        endpoint = "https://fcm.googleapis.com/v1"
    "#;
    let ten = "the ten letters and digits that Apple's developer account shows";
    let app = "a bundle id or application id, such as \"com.example.phone\"";
    assert_eq!(
        problems(by_file(file, &[TICKET])),
        [
            "auth.users[0].issuer: expected a text; got \"\"".to_owned(),
            format!("push.apns[0].app: expected {app}; got \"com/example\""),
            format!("push.apns[0].team_id: expected {ten}; got \"\""),
            format!("push.apns[0].key_id: missing; expected {ten}"),
            "push.apns[0].key_file: missing; expected the path of a file".to_owned(),
            "push.apns[0].endpoint: expected https://host[:port], such as \"https://api.push.apple.com\"".to_owned(),
            format!("push.fcm[0].app: missing; expected {app}"),
            "push.fcm[0].endpoint: expected https://host[:port], such as \"https://fcm.googleapis.com\"".to_owned(),
        ]
    );
}

#[test]
fn an_app_has_one_section_per_provider_and_environment() {
    let apns = |environment: &str| {
        format!(
            "[[push.apns]]\napp = \"a\"\nenvironment = \"{environment}\"\nteam_id = \"TEAM123456\"\n\
             key_id = \"ABC123DEFG\"\nkey_file = \"a.p8\"\n"
        )
    };
    let fcm = "[[push.fcm]]\napp = \"a\"\n";
    let good = format!("{}{}{fcm}", apns("production"), apns("sandbox"));
    assert!(by_file(&good, &[TICKET]).is_ok());
    assert_eq!(
        problems(by_file(&format!("{good}{}{fcm}", apns("sandbox")), &[TICKET])),
        ["push.apns[2].app: is the same app and environment as apns[1]", "push.fcm[1].app: is the same app as fcm[0]",]
    );
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
    ])
    .expect("a configuration");
    let shown = format!("{config:?} {config:#?} {:?}", config.describe());
    assert!(!shown.contains("hidden"), "{shown}");
    for key in ["auth.ticket_secret", "auth.users[0].secret", "livekit.api_secret"] {
        assert_eq!(described(&config, key), "(secret)");
    }
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
fn a_file_that_is_no_toml_is_refused_with_the_place() {
    let folder = Folder::with(&[("bellwire.toml", "[call]\nring = 45s\n")]);
    let path = folder.path("bellwire.toml");
    let error = Config::load(Some(&path), []).expect_err("an error").to_string();
    assert!(error.starts_with(&format!("{}:2:", path.display())), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_its_cause() {
    let folder = Folder::with(&[]);
    let error = Config::load(Some(&folder.path("bellwire.toml")), []).expect_err("an error");
    assert!(error.to_string().starts_with("cannot read the configuration "), "{error}");
    assert!(std::error::Error::source(&error).is_some());
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
        let alternative = ["secret_file", "ticket_secret_file", "api_secret_file", "public_key_file"].contains(&key);
        line.starts_with('[') || (named && !alternative)
    };
    let uncommented = bellwire::config::DEFAULTS.lines().map(|line| line.trim_start_matches("# ")).filter(shown);
    let config = by_file(&uncommented.collect::<Vec<_>>().join("\n"), &[TICKET]).expect("a configuration");
    assert_eq!((config.auth.users.len(), config.push.apns.len(), config.push.fcm.len()), (1, 1, 1));
    assert!(matches!(config.auth.users[0].key, UserKey::Jwks(..)));
    assert_eq!(config.push.apns[0].ring_expiration, Duration::from_secs(10));
}
