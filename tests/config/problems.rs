//! What is wrong is told all at once, by key, with what is expected.

use bellwire::config::Config;

use super::{Folder, TICKET, by_file, by_variables, problems};

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
        url = "redi://user:password@127.0.0.1/0"

        [call]
        ring = 7
        call_waiting = "yes"
        decline = "both"
        retention = "19m"
        max_duration = "-4h"

        [livekit]
        url = "https://user:password@livekit.example.com"
        deployment = "Main_1"

        [push]
        payload = "callkit"
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
            "store.url: expected \"embedded:\" and the path of a file, such as \"embedded:data/bellwire.redb\", \
             or a URL that begins with redis://, rediss://, redis-sentinel:// or redis-cluster://",
            r#"call.ring: expected a duration from "5s" to "120s", such as "45s"; got 7"#,
            r#"call.connect_timeout: expected a duration from "100ms" to "10m", such as "20s"; got "never""#,
            r#"call.max_duration: expected a duration from "1s" to "30d", such as "4h"; got "-4h""#,
            r#"call.call_waiting: expected true or false; got "yes""#,
            r#"call.decline: expected "call" or "device"; got "both""#,
            r#"call.retention: expected a duration from "20m" to "365d", such as "7d"; got "19m""#,
            r#"livekit.url: expected a URL that begins with wss:// or ws://, such as "wss://livekit.example.com""#,
            r#"livekit.deployment: expected 1 to 32 lower-case letters, digits and -, such as "main"; got "Main_1""#,
            "push.payload: expected \"bellwire\" or \"callkeep\" or \"expo-callkit-telecom\" or \"flutter-callkit-incoming\"; \
             got \"callkit\"",
            "push.repush_max: expected a whole number from 0 to 10; got 2.5",
            "limits.ip: expected a rate per s, min, h or d, such as \"30/min\", or \"\" for no limit; \
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
fn the_id_of_a_key_stands_in_one_place() {
    let section = |id: &str| {
        format!(
            "[[push.apns]]\napp = \"a\"\nteam_id = \"TEAM123456\"\n{id}key_file = \"a.p8\"\nkey_id_file = \"key-id\"\n"
        )
    };
    assert!(by_file(&section(""), &[TICKET]).is_ok());
    assert_eq!(
        problems(by_file(&section("key_id = \"ABC123DEFG\"\n"), &[TICKET])),
        ["push.apns[0].key_id: stands beside key_id_file; expected one of the two"]
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
fn a_kit_that_takes_each_voip_push_for_a_call_gets_no_cancel_by_voip() {
    let file = |payload: &str| {
        format!(
            "[push]\npayload = \"{payload}\"\n[[push.apns]]\napp = \"a\"\nteam_id = \"TEAM123456\"\n\
             key_id = \"ABC123DEFG\"\nkey_file = \"a.p8\"\ncancel_by_voip = true\n"
        )
    };
    assert!(by_file(&file("callkeep"), &[TICKET]).is_ok());
    assert_eq!(
        problems(by_file(&file("expo-callkit-telecom"), &[TICKET])),
        [
            "push.apns[0].cancel_by_voip: must be false with payload \"expo-callkit-telecom\", which takes each VoIP push for \
          another call"
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_the_place() {
    let folder = Folder::with(&[("bellwire.toml", "[call]\nring = 45s\n")]);
    let path = folder.path("bellwire.toml");
    let error = Config::load(Some(&path), []).expect_err("an error").to_string();
    assert!(error.starts_with(&format!("{}:2:", path.display())), "{error}");
}
