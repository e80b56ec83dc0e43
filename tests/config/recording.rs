//! `[recording]`: a place is needed where anything is recorded, and its secret is never shown.

use bellwire::domain::recording::{Content, Policy};

use super::{Folder, TICKET, by_file, described, problems, variables};

const S3: &str =
    "[recording.s3]\nbucket = \"calls\"\nregion = \"auto\"\naccess_key = \"key\"\nsecret = \"hidden-secret\"\n";

fn problem(text: &str) -> String {
    let found = problems(by_file(text, &[TICKET]));
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    found.concat()
}

#[test]
fn nobody_is_recorded_by_default() {
    let config = by_file("", &[TICKET]).expect("a configuration");
    assert_eq!((config.recording.policy, config.recording.media), (Policy::Off, Content::Audio));
    assert!(config.recording.s3.is_none());
}

#[test]
fn whoever_records_needs_a_place() {
    for policy in ["service", "party", "always"] {
        let lines = format!("[recording]\npolicy = \"{policy}\"\n");
        assert!(problem(&lines).starts_with("recording.s3: missing"));
        by_file(&(lines + S3), &[TICKET]).expect("a configuration");
    }
    assert!(problem("[recording]\npolicy = \"everybody\"").starts_with("recording.policy: expected"));
}

#[test]
fn what_cannot_be_a_place_is_refused() {
    let with = |line: &str| format!("{S3}{line}\n");
    assert!(problem(&with("endpoint = \"r2.example.com\"")).starts_with("recording.s3.endpoint: expected"));
    assert!(problem(&with("endpoint = \"https://user:hidden@r2.example.com\"")).find("hidden").is_none());
    assert!(problem(&with("force_path_style = \"yes\"")).starts_with("recording.s3.force_path_style: expected"));
    assert!(problem(&S3.replace("calls", "a/b")).starts_with("recording.s3.bucket: expected"));
    for prefix in ["/recordings", "recordings/", "a//b", "../b", "{room_name}", "a b"] {
        let lines = format!("[recording]\nprefix = \"{prefix}\"\n");
        assert!(problem(&lines).starts_with("recording.prefix: expected"), "{prefix}");
    }
}

#[test]
fn its_secret_may_be_in_a_file_and_is_never_shown() {
    let folder = Folder::with(&[
        ("bellwire.toml", &S3.replace("secret = \"hidden-secret\"", "secret_file = \"s3\"")),
        ("s3", "hidden-in-a-file\n"),
    ]);
    let config = bellwire::config::Config::load(Some(&folder.path("bellwire.toml")), variables(&[TICKET]));
    let config = config.expect("a configuration");
    let secret = config.recording.s3.as_ref().map(|s3| s3.secret.reveal().to_owned());
    assert_eq!(secret.as_deref(), Some("hidden-in-a-file"));
    assert_eq!(described(&config, "recording.s3.secret"), "(secret)");
    assert!(!format!("{config:?} {:?}", config.describe()).contains("hidden"));
}
