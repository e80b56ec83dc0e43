//! `[policy]` and `[devices]`.

use std::time::Duration;

use bellwire::config::devices::Takeover;
use bellwire::config::policy::Allow;

use super::{TICKET, by_file, described, problems};

const SECRET: &str = "whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM=";

#[test]
fn by_default_everybody_may_and_nobody_is_asked() {
    let config = by_file("", &[TICKET]).expect("a configuration");
    assert!(config.policy.hook.is_none() && config.policy.allow == Allow::All);
    assert_eq!(config.devices.takeover, Takeover::Newest);
    assert_eq!(described(&config, "policy.url"), "\"\"");
    assert_eq!(described(&config, "devices.takeover"), "\"newest\"");
}

#[test]
fn a_policy_is_read_and_its_secrets_never_shown() {
    let lines = format!(
        "[policy]\nallow = \"contacts\"\nurl = \"https://api.example.com/ask?key=hidden\"\nsecrets = [\"{SECRET}\"]\n\
         timeout = \"250ms\"\n[devices]\ntakeover = \"proof\""
    );
    let config = by_file(&lines, &[TICKET]).expect("a configuration");
    let hook = config.policy.hook.as_ref().expect("a hook");
    let policy = &config.policy;
    assert_eq!((policy.timeout, policy.fails_open), (Duration::from_millis(250), false), "closed unless it is said");
    assert_eq!(hook.secrets.len(), 1);
    assert_eq!((config.policy.allow, config.devices.takeover), (Allow::Contacts, Takeover::Proof));
    let shown = format!("{config:?}{:?}", config.describe());
    assert!(!shown.contains(&SECRET[6..]), "{shown}");
    assert_eq!(described(&config, "policy.url"), "\"https://api.example.com/ask\"");
    assert_eq!(described(&config, "policy.secrets"), "(secret)");
    let open = format!("[policy]\nurl = \"http://127.0.0.1:9/\"\nsecrets = [\"{SECRET}\"]\non_failure = \"open\"");
    assert!(by_file(&open, &[TICKET]).expect("a configuration").policy.fails_open);
}

#[test]
fn a_bad_policy_is_refused_without_being_quoted() {
    let good = format!("secrets = [\"{SECRET}\"]");
    let url = "url = \"https://api.example.com/ask\"";
    for (lines, problem) in [
        (format!("url = \"http://api.example.com/ask\"\n{good}"), "policy.url: expected an https:// URL"),
        (format!("url = \"https://user:pass@api.example.com/\"\n{good}"), "policy.url: expected an https:// URL"),
        (url.to_owned(), "policy.secrets: missing"),
        (format!("{url}\nsecrets = [\"whsec_c2hvcnQ=\"]"), "policy.secrets: expected \"whsec_\""),
        (format!("{url}\n{good}\ntimeout = \"11s\""), "policy.timeout: expected a duration"),
        (format!("{url}\n{good}\non_failure = \"ajar\""), "policy.on_failure: expected \"open\" or \"closed\""),
        ("allow = \"friends\"".to_owned(), "policy.allow: expected \"all\" or \"contacts\""),
    ] {
        let found = problems(by_file(&format!("[policy]\n{lines}"), &[TICKET]));
        assert!(found.iter().any(|found| found.starts_with(problem)), "{lines}: {found:?}");
        assert!(!found.concat().contains("pass") && !found.concat().contains(&SECRET[6..]), "{found:?}");
    }
}
