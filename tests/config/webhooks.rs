//! `[[webhooks]]` and `[usage]`.

use bellwire::config::Config;
use bellwire::domain::WebhookEvent;

use super::{Folder, TICKET, by_file, described, problems, variables};

const SECRET: &str = "whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM=";
const OTHER: &str = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3RzISE=";

fn endpoint(url: &str, rest: &str) -> String {
    format!("[[webhooks]]\nurl = \"{url}\"\n{rest}\n")
}

#[test]
fn endpoints_are_read_and_their_secrets_never_shown() {
    let folder = Folder::with(&[
        ("bellwire.toml", &endpoint("https://api.example.com/hook?key=hidden", "secrets_file = [\"new\", \"old\"]")),
        ("new", &format!("{SECRET}\n")),
        ("old", OTHER),
    ]);
    let config = Config::load(Some(&folder.path("bellwire.toml")), variables(&[TICKET])).expect("a configuration");
    let webhook = &config.webhooks[0];
    assert_eq!(webhook.events, WebhookEvent::ALL, "none chosen is all");
    assert_eq!(webhook.secrets.iter().map(|secret| secret.reveal().len()).collect::<Vec<_>>(), [29, 29]);
    let shown = format!("{config:?}{:?}", config.describe());
    for secret in [&SECRET[6..], &OTHER[6..]] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(described(&config, "webhooks[0].url"), "\"https://api.example.com/hook\"");
    let chosen = endpoint("http://127.0.0.1:9/hook", &format!("secrets = [\"{SECRET}\"]\nevents = [\"user.banned\"]"));
    assert_eq!(by_file(&chosen, &[TICKET]).expect("a configuration").webhooks[0].events, [WebhookEvent::UserBanned]);
}

#[test]
fn bad_endpoints_are_refused_without_being_quoted() {
    let good = format!("secrets = [\"{SECRET}\"]");
    for (lines, problem) in [
        (endpoint("http://api.example.com/hook", &good), "webhooks[0].url: expected an https:// URL"),
        (endpoint("https://user:pass@api.example.com/", &good), "webhooks[0].url: expected an https:// URL"),
        (endpoint("https://api.example.com/", ""), "webhooks[0].secrets: missing"),
        (endpoint("https://api.example.com/", "secrets = []"), "webhooks[0].secrets: expected"),
        (
            endpoint("https://api.example.com/", "secrets = [\"whsec_c2hvcnQ=\"]"),
            "webhooks[0].secrets: expected \"whsec_\"",
        ),
        (
            endpoint("https://api.example.com/", "secrets = [\"hunter2-hunter2\"]"),
            "webhooks[0].secrets: expected \"whsec_\"",
        ),
        (
            endpoint("https://api.example.com/", &format!("{good}\nevents = [\"call.began\"]")),
            "webhooks[0].events: expected",
        ),
        (
            format!(
                "{}{}",
                endpoint("https://a.example.com/", &good),
                endpoint("https://api.example.com/", &good).repeat(2)
            ),
            "webhooks[2].url: the same as webhooks[1].url",
        ),
        (endpoint("https://api.example.com/", &good).repeat(9), "webhooks: expected at most 8 endpoints"),
    ] {
        let found = problems(by_file(&lines, &[TICKET]));
        assert!(found.len() == 1 && found[0].starts_with(problem), "{lines}: {found:?}");
        assert!(!found[0].contains("hunter2") && !found[0].contains("pass@"), "{found:?}");
    }
}

#[test]
fn shares_of_the_plan_are_read_as_they_are_written() {
    let config = by_file("[usage]\nparticipant_minutes_per_month = 5000\nwarn_at = [0.5, 0.85, 1]", &[TICKET]);
    let usage = config.expect("a configuration").usage;
    assert_eq!((usage.participant_minutes_per_month, usage.warn_at), (5000, vec![50, 85, 100]));
    assert_eq!(by_file("", &[TICKET]).expect("a configuration").usage.warn_at, [80, 100]);
    for bad in ["0.8", "[0]", "[\"half\"]", "[20]"] {
        let found = problems(by_file(&format!("[usage]\nwarn_at = {bad}"), &[TICKET]));
        assert!(found.len() == 1 && found[0].starts_with("usage.warn_at: expected a list"), "{bad}: {found:?}");
    }
}
