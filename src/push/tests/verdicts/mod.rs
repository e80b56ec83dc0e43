//! Each row of the tables in docs/PUSH.md, on the wire: answered by the simulator where it knows the words, by a host that
//! says them where it does not.

mod table;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use serde_json::json;

use self::table::{Does, Row};
use super::server::{Server, host};
use super::{Stage, WITHIN, android, iphone};
use crate::domain::{Device, Environment};
use crate::push::apns::verdict::farewell;
use crate::push::report::Action;
use crate::push::{Message, Report, Verdict};
use crate::simulator::{Provider, Rule};

/// As long as a connection counts as fresh.
const FRESH: Duration = Duration::from_millis(1050);

/// Longer than a new connection takes here.
const SOON: Duration = Duration::from_millis(300);

/// A stage for one row.
struct Scene {
    stage: Stage,
    device: Device,
    provider: Provider,
    /// In place of the simulator.
    host: Option<Plain>,
}

/// A host that says what it is told once, and takes all else.
struct Plain {
    _server: Server,
    next: Arc<Mutex<Option<host::Said>>>,
    connections: Arc<Mutex<Vec<u64>>>,
}

impl Plain {
    async fn start(provider: Provider) -> Self {
        let (next, connections) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Vec::new())));
        let accepted = if provider == Provider::Fcm { r#"{"name":"projects/p/messages/1"}"# } else { "" };
        let server = host::start({
            let (next, connections) = (Arc::clone(&next), Arc::clone(&connections));
            move |_, number| {
                connections.lock().expect("a lock").push(u64::from(number));
                next.lock().expect("a lock").take().unwrap_or_else(|| (200, accepted.to_owned()))
            }
        })
        .await;
        Self { _server: server, next, connections }
    }
}

/// The rule by which the simulator answers as the row says, if it can.
fn rule(row: &Row, provider: Provider) -> Option<Rule> {
    let word = row.word.as_ref().filter(|_| row.about.as_deref() != Some("message"))?;
    let host = if provider == Provider::Fcm { "fcm" } else { "apns-production" };
    format!("{host} {word} times 1").parse().ok()
}

/// The body by which a provider says a row.
fn said(row: &Row, provider: Provider) -> host::Said {
    let word = row.word.as_deref().unwrap_or(if row.unheard_of { "NeverHeardOf" } else { "" });
    let body = match (provider, row.about.as_deref()) {
        (Provider::Fcm, Some("message")) => json!({"error": {"status": word, "message": "Invalid value", "details": [
            {"errorCode": word},
            {"fieldViolations": [{"field": "message.data[0].value", "description": "Invalid value"}]},
        ]}}),
        (Provider::Fcm, _) => json!({"error": {"status": word, "details": [{"errorCode": word}]}}),
        _ => json!({"reason": word}),
    };
    (row.status, body.to_string())
}

impl Scene {
    async fn start(row: &Row, provider: Provider) -> Self {
        let by_simulator = row.status == 200 || rule(row, provider).is_some();
        let host = if by_simulator { None } else { Some(Plain::start(provider).await) };
        let stage = Stage::with(|config| {
            config.apns[0].connections = 1;
            config.fcm[0].connections = 1;
            let Some(Plain { _server: server, .. }) = &host else { return };
            let ca = config.apns[0].ca_file.clone().expect("a file");
            let own = server.ca_file(&ca);
            // The token endpoint is the simulator's still.
            let both = [&own, &ca].map(|file| std::fs::read_to_string(file).expect("read")).concat();
            std::fs::write(&own, both).expect("written");
            if provider == Provider::Fcm {
                (config.fcm[0].endpoint, config.fcm[0].ca_file) = (server.url(), Some(own));
            } else {
                (config.apns[0].endpoint, config.apns[0].ca_file) = (server.url(), Some(own));
            }
        })
        .await;
        let device = if provider == Provider::Fcm { android(1) } else { iphone(1) };
        Self { stage, device, provider, host }
    }

    /// The connections by which pushes came.
    fn connections(&self) -> Vec<u64> {
        match &self.host {
            Some(plain) => plain.connections.lock().expect("a lock").clone(),
            None => self.stage.received(self.provider).iter().map(|received| received.connection).collect(),
        }
    }

    async fn push(&self) -> Report {
        self.stage.pushers.send(&self.stage.message(&self.device, Message::Ring(self.stage.ring()))).await
    }

    /// Pushes until the connection is another than that of the second push; a new one takes a moment.
    async fn is_replaced(&self) {
        loop {
            self.push().await;
            let connections = self.connections();
            if connections.last() != Some(&connections[1]) {
                return;
            }
        }
    }

    async fn play(&self, row: &Row) {
        assert_eq!(self.push().await.verdict, Verdict::Accepted, "{row:?}: the first");
        match row.does {
            Does::Retry { .. } => tokio::time::sleep(FRESH).await,
            // The first provider token may be replaced by now.
            Does::RefreshCredential => self.stage.clock.advance(Duration::from_mins(21)),
            _ => {}
        }
        match (&self.host, rule(row, self.provider)) {
            (Some(plain), _) => *plain.next.lock().expect("a lock") = Some(said(row, self.provider)),
            (None, Some(rule)) => self.stage.simulator.add_rule(rule),
            (None, None) => assert_eq!(row.status, 200),
        }
        let report = self.push().await;
        let pushes = self.connections().len();
        let is_answer = matches!(row.does, Does::OtherEnvironment | Does::RefreshCredential);
        assert!(is_answer || report.status == Some(row.status), "{row:?}: {report:?}");
        assert!(
            is_answer || row.word.is_none() || report.reason == *row.word.as_ref().expect("a word"),
            "{row:?}: {report:?}"
        );
        match row.does {
            Does::Accepted => assert_eq!(report.verdict, Verdict::Accepted, "{row:?}"),
            Does::Retry { after, fresh } => {
                assert_eq!(report.verdict, Verdict::Retry { after }, "{row:?}");
                assert_eq!(self.push().await.verdict, Verdict::Accepted, "{row:?}");
                let is_replaced =
                    tokio::time::timeout(if fresh { WITHIN } else { SOON }, self.is_replaced()).await.is_ok();
                assert_eq!(is_replaced, fresh, "{row:?}: {:?}", self.connections());
            }
            Does::DropToken => {
                assert!(matches!(report.verdict, Verdict::DropToken { .. }), "{row:?}: {report:?}");
                assert_eq!(pushes, 2, "{row:?}");
            }
            Does::OtherEnvironment => {
                assert_eq!(report.verdict, Verdict::Accepted, "{row:?}: {report:?}");
                assert_eq!(report.environment, Some(Environment::Sandbox), "{row:?}");
                assert_eq!(self.stage.received(Provider::ApnsSandbox).len(), 1, "{row:?}");
            }
            Does::RefreshCredential => {
                assert_eq!((report.verdict, pushes), (Verdict::Accepted, 3), "{row:?}: {report:?}");
                self.has_new_credential(row);
            }
            Does::OurFault => assert_eq!((report.verdict, pushes), (Verdict::OurFault, 2), "{row:?}: {report:?}"),
            Does::GiveUp => assert_eq!((report.verdict, pushes), (Verdict::GiveUp, 2), "{row:?}: {report:?}"),
        }
    }

    fn has_new_credential(&self, row: &Row) {
        if self.provider == Provider::Fcm {
            assert_eq!(self.stage.received(Provider::OAuth).len(), 2, "{row:?}");
            return;
        }
        let received = self.stage.received(self.provider);
        let tokens: Vec<_> = received.iter().map(|received| received.header("authorization")).collect();
        assert_eq!(tokens[0], tokens[1], "{row:?}");
        assert_ne!(tokens[1], tokens[2], "{row:?}");
    }
}

async fn walk(rows: Vec<Row>, provider: Provider) {
    // So few at a time that a busy machine connects all of them within the time of a push.
    stream::iter(rows)
        .for_each_concurrent(8, |row| async move { Scene::start(&row, provider).await.play(&row).await })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apple_is_answered_as_the_page_says() {
    walk(table::of("### APNs"), Provider::Apns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_is_answered_as_the_page_says() {
    walk(table::of("### FCM"), Provider::Fcm).await;
}

#[test]
fn goodbyes_are_taken_as_the_page_says() {
    for (reason, does) in table::of_goaway() {
        let expected = match does {
            Does::Retry { .. } => Action::Retry { after: None, fresh: true },
            Does::RefreshCredential => Action::RefreshCredential,
            Does::OurFault => Action::OurFault,
            other => panic!("{other:?} is nothing that can be done about a goodbye"),
        };
        assert_eq!(farewell(&reason), expected, "{reason}");
    }
}

#[tokio::test]
async fn a_goodbye_for_an_old_provider_token_has_it_renewed() {
    let stage = Stage::with(|config| config.apns[0].connections = 1).await;
    let push = async || {
        let report = stage.pushers.send(&stage.message(&iphone(1), Message::Ring(stage.ring()))).await;
        assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
        let last = stage.received(Provider::Apns).pop().expect("a push");
        last.header("authorization").map(str::to_owned)
    };
    let first = push().await;
    stage.clock.advance(Duration::from_mins(21));
    stage.rule("apns-production goaway ExpiredProviderToken times 1");
    assert_eq!(push().await, first);
    let renewed = async { while push().await == first {} };
    tokio::time::timeout(WITHIN, renewed).await.expect("renewed");
}

/// The words in quotes in the code of a verdict, without its tests.
fn words_in(code: &str, is_word: impl Fn(char) -> bool) -> HashSet<&str> {
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let quoted = code.split('"').skip(1).step_by(2);
    quoted.filter(|text| text.len() > 3 && text.chars().all(&is_word) && text.starts_with(char::is_uppercase)).collect()
}

#[test]
fn the_page_has_every_word_that_the_code_has() {
    let apple = words_in(include_str!("../../apns/verdict.rs"), char::is_alphanumeric);
    let google = words_in(include_str!("../../fcm/verdict.rs"), |c| c.is_ascii_uppercase() || c == '_');
    assert!(apple.contains("BadDeviceToken") && google.contains("UNREGISTERED"), "{apple:?} {google:?}");
    for (heading, words) in [("### APNs", apple), ("### FCM", google)] {
        let page: HashSet<_> = table::of(heading).into_iter().filter_map(|row| row.word).collect();
        let missing: Vec<_> = words.iter().filter(|word| !page.contains(**word)).collect();
        assert!(missing.is_empty(), "{heading} has no {missing:?}");
    }
}
