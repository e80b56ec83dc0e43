//! `[store]` with Redis: what may stand beside the URL, and that no password is ever shown.

use std::fs;
use std::path::Path;

use bellwire::config::Config;
use bellwire::config::Secret;
use bellwire::config::store::{EncryptionKey, Redis, StoreUrl, Topology};

use super::{Folder, TICKET, TICKET_SECRET, by_file, by_variables, described, problems, variables};

pub(super) fn with_url(url: &str) -> String {
    format!("[store]\nurl = \"{url}\"\n")
}

fn redis_of(config: Config) -> Redis {
    match config.store.url {
        StoreUrl::Redis(redis) => redis,
        StoreUrl::Embedded(path) => panic!("embedded: {}", path.display()),
    }
}

/// The store of a `[store]` with this URL and these lines.
pub(super) fn redis(url: &str, beside: &str) -> Redis {
    redis_of(by_file(&(with_url(url) + beside), &[TICKET]).unwrap_or_else(|error| panic!("{url}\n{beside}\n{error}")))
}

pub(super) fn problem(url: &str, beside: &str) -> String {
    let found = problems(by_file(&(with_url(url) + beside), &[TICKET]));
    assert_eq!(found.len(), 1, "{url}: {found:?}");
    found.concat()
}

pub(super) fn shown(secret: Option<&Secret>) -> Option<&str> {
    secret.map(Secret::reveal)
}

#[test]
fn no_password_of_redis_is_shown_by_debug_display_or_description() {
    let config = by_file(
        &(with_url("redis-sentinel://bellwire:hidden-redis@a,b/main/1?tls=true")
            + "sentinel_username = \"watcher\"\nsentinel_password = \"hidden-sentinel\""),
        &[TICKET],
    )
    .expect("a configuration");
    assert_eq!(described(&config, "store.url"), r#""redis-sentinel://bellwire@a:26379,b:26379/main/1?tls=true""#);
    assert_eq!(described(&config, "store.password"), "(secret)");
    assert_eq!(described(&config, "store.sentinel_username"), r#""watcher""#);
    assert_eq!(described(&config, "store.sentinel_password"), "(secret)");
    assert_eq!(described(&config, "store.key_prefix"), r#""bw""#);
    let shown = format!("{config:?} {config:#?} {:?} {}", config.describe(), redis_of(config.clone()));
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn user_and_password_may_stand_beside_the_url() {
    let folder = Folder::with(&[
        ("bellwire.toml", &(with_url("redis://a") + "username = \"bellwire\"\npassword_file = \"password\"")),
        ("password", "from a file: /?#@%\n"),
    ]);
    let beside =
        redis_of(Config::load(Some(&folder.path("bellwire.toml")), variables(&[TICKET])).expect("a configuration"));
    assert_eq!(
        (beside.username.as_deref(), shown(beside.password.as_ref())),
        (Some("bellwire"), Some("from a file: /?#@%"))
    );

    let mixed = redis("redis-cluster://bellwire@a", "password = \"p\"");
    assert_eq!((mixed.username.as_deref(), shown(mixed.password.as_ref())), (Some("bellwire"), Some("p")));
    let mixed = redis("redis://:p@a", "username = \"bellwire\"");
    assert_eq!((mixed.username.as_deref(), shown(mixed.password.as_ref())), (Some("bellwire"), Some("p")));

    let given = [
        TICKET,
        ("BELLWIRE__STORE__URL", "rediss://a"),
        ("BELLWIRE__STORE__PASSWORD", "from a variable"),
        ("BELLWIRE__STORE__CA_FILE", "ca.pem"),
        ("BELLWIRE__STORE__KEY_PREFIX", "staging:eu-1_a"),
    ];
    let redis = redis_of(by_variables(&given).expect("a configuration"));
    assert_eq!((redis.username, shown(redis.password.as_ref())), (None, Some("from a variable")));
    assert_eq!((redis.ca_file.as_deref(), redis.key_prefix.as_str()), (Some(Path::new("ca.pem")), "staging:eu-1_a"));
}

#[test]
fn the_sentinels_have_a_user_and_password_of_their_own() {
    let keys = "password = \"of redis\"\nsentinel_username = \"watcher\"\nsentinel_password = \"of the sentinels\"";
    let redis = redis("redis-sentinel://bellwire@a/main", keys);
    assert_eq!((redis.username.as_deref(), shown(redis.password.as_ref())), (Some("bellwire"), Some("of redis")));
    let Topology::Sentinel { master, username, password } = redis.topology else { panic!("sentinels") };
    assert_eq!((master.as_str(), username.as_deref()), ("main", Some("watcher")));
    assert_eq!(shown(password.as_ref()), Some("of the sentinels"));
}

#[test]
fn a_key_beside_the_url_that_does_not_fit_it_is_refused() {
    const TWICE: &str = "stands in store.url too; expected one of the two";
    const ONLY_SENTINEL: &str = "is only for a store.url of redis-sentinel://";
    const ONLY_TLS: &str = "is only for a store.url with TLS: rediss://, or ?tls=true for Sentinel and a cluster";
    let missing = |key: &str| format!("missing; expected a text of at least 1 bytes, here or in {key}_file");
    for (url, key, value, why) in [
        ("redis://u:p@a", "username", "u", TWICE),
        ("redis://u:p@a", "password", "p", TWICE),
        ("redis://:p@a", "password_file", "p", TWICE),
        ("redis://a", "sentinel_username", "u", ONLY_SENTINEL),
        ("redis-cluster://a", "sentinel_password", "p", ONLY_SENTINEL),
        ("redis-cluster://a", "sentinel_password_file", "p", ONLY_SENTINEL),
        ("redis://a", "ca_file", "ca.pem", ONLY_TLS),
        ("redis-sentinel://a/main", "ca_file", "ca.pem", ONLY_TLS),
        ("redis-cluster://a?tls=false", "ca_file", "ca.pem", ONLY_TLS),
    ] {
        assert_eq!(problem(url, &format!("{key} = \"{value}\"")), format!("store.{key}: {why}"), "{url}");
    }
    for key in [
        "username",
        "password",
        "password_file",
        "sentinel_username",
        "sentinel_password",
        "sentinel_password_file",
        "ca_file",
        "key_prefix",
    ] {
        let expected = format!("store.{key}: is only for a store.url of Redis");
        assert_eq!(problem("embedded:a", &format!("{key} = \"x\"")), expected);
        assert!(by_file(&(with_url("embedded:a") + &format!("{key} = \"\"")), &[TICKET]).is_ok(), "{key}");
    }
    for url in ["redis://u@a", "redis-sentinel://u@a/main"] {
        assert_eq!(problem(url, ""), format!("store.password: {}", missing("password")), "{url}");
    }
    assert_eq!(problem("redis://a", "username = \"u\""), format!("store.password: {}", missing("password")));
    assert_eq!(
        problem("redis-sentinel://a/main", "sentinel_username = \"u\""),
        format!("store.sentinel_password: {}", missing("sentinel_password"))
    );
    assert_eq!(
        problem("redis://a", "password = \"p\"\npassword_file = \"p\""),
        "store.password: stands beside password_file; expected one of the two"
    );
}

#[test]
fn a_key_prefix_is_short_and_has_no_character_that_redis_gives_a_meaning() {
    for good in ["b", "bw:eu-1_A", &"x".repeat(32)] {
        assert_eq!(redis("redis://a", &format!("key_prefix = \"{good}\"")).key_prefix, good);
    }
    for bad in ["b w", "b{w}", "bw*", "bw.", "bé", &"x".repeat(33)] {
        let expected = "store.key_prefix: expected 1 to 32 letters, digits, :, _ and -, such as \"bw\"; got";
        assert_eq!(problem("redis://a", &format!("key_prefix = \"{bad}\"")), format!("{expected} \"{bad}\""));
    }
}

#[test]
fn a_described_redis_can_be_loaded_again() {
    let config = by_file(&with_url("rediss://bellwire:p@[::1]/3"), &[TICKET]).expect("a configuration");
    let lines: Vec<String> = config
        .describe()
        .into_iter()
        .filter(|(_, value)| value != "(secret)")
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let password = ("BELLWIRE__STORE__PASSWORD", "p");
    let again = by_file(&lines.concat(), &[TICKET, password]).expect("a configuration");
    assert_eq!(again.store.url, config.store.url);
}

#[test]
fn the_example_for_production_loads_with_its_redis_too() {
    let example = fs::read_to_string("config/production.example.toml").expect("the example");
    let example = example.replace("url = \"embedded:", "# url = \"embedded:");
    let example = example.replace("# url = \"rediss:", "url = \"rediss:").replace("# password_file", "password_file");
    let folder = Folder::with(&[
        ("bellwire.toml", &example),
        ("secrets/ticket-secret", TICKET_SECRET),
        ("secrets/livekit-secret", "livekit-secret"),
        ("secrets/redis-password", "redis-password"),
    ]);
    let redis = redis_of(Config::load(Some(&folder.path("bellwire.toml")), []).expect("a configuration"));
    assert_eq!(redis.to_string(), "rediss://bellwire@redis.example.com:6379/0");
    assert_eq!(shown(redis.password.as_ref()), Some("redis-password"));
}

/// Two keys as `bellwire token encryption-key` makes them.
const KEYS: [&str; 2] =
    ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="];

#[test]
fn encryption_keys_are_one_or_a_list_that_may_begin_with_none_here_or_in_files() {
    let [first, second] = [EncryptionKey::Key([0; 32]), EncryptionKey::Key([1; 32])];
    let folder = Folder::with(&[
        ("bellwire.toml", "[store]\nencryption_key_file = [\"first\", \"second\"]\n"),
        ("first", &format!("{}\n", KEYS[0])),
        ("second", KEYS[1]),
    ]);
    let in_files = Config::load(Some(&folder.path("bellwire.toml")), variables(&[TICKET])).expect("a configuration");
    assert_eq!(in_files.store.encryption, [first.clone(), second.clone()]);
    for (given, expected) in [
        (format!("\"{}\"", KEYS[0]), vec![first.clone()]),
        (format!("[\"{}\", \"{}\"]", KEYS[1], KEYS[0]), vec![second, first.clone()]),
        (format!("[\"none\", \"{}\"]", KEYS[0]), vec![EncryptionKey::Plain, first]),
        ("\"none\"".to_owned(), vec![EncryptionKey::Plain]),
        ("\"\"".to_owned(), Vec::new()),
    ] {
        let config = by_file(&format!("[store]\nencryption_key = {given}\n"), &[TICKET]).expect("a configuration");
        assert_eq!(config.store.encryption, expected, "{given}");
        let shown = format!("{config:?} {:?}", config.describe());
        assert!(KEYS.iter().all(|key| !shown.contains(key)), "{shown}");
    }
}

#[test]
fn what_is_no_encryption_key_is_refused_and_not_shown() {
    for wrong in [
        "\"hidden-hidden-hidden\"".to_owned(),
        format!("\"{}hidden\"", KEYS[0]),
        format!("[\"{}\", \"none\"]", KEYS[0]),
        format!("[\"{}\", \"hidden\"]", KEYS[0]),
    ] {
        let found = problems(by_file(&format!("[store]\nencryption_key = {wrong}\n"), &[TICKET]));
        assert!(found.len() == 1 && found[0].starts_with("store.encryption_key"), "{wrong}: {found:?}");
        assert!(!found[0].contains("hidden") && !found[0].contains(KEYS[0]), "{found:?}");
    }
}
