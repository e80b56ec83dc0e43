//! Providers that fail on everything, and users who make them want to.

use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use super::server::Server;
use super::server::wire::Wire;
use super::{Stage, WITHIN, all_accepted, android, iphone, token};
use crate::domain::UserId;
use crate::push::breaker::COME_BACK_AFTER;
use crate::push::{Message, Report, Verdict};
use crate::simulator::Provider;

impl Stage {
    async fn ring_one(&self, number: u32) -> Report {
        self.pushers.send(&self.message(&iphone(number), Message::Ring(self.ring()))).await
    }

    /// Pushes until the breaker of Apple's production host is open.
    async fn open_breaker(&self) {
        let open = async {
            while self.apns_state().held_back.is_none() {
                self.ring_one(1).await;
            }
        };
        tokio::time::timeout(WITHIN, open).await.expect("it opens");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_down_is_probed_by_one_push_at_a_time() {
    // Bound and not listening yet: whoever connects is refused.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let address = socket.local_addr().expect("an address");
    let mut trust = String::new();
    let stage = Stage::with(|config| {
        config.apns[0].endpoint = format!("https://{address}");
        let ca = config.apns[0].ca_file.clone().expect("a file").with_file_name("server.pem");
        trust = ca.display().to_string();
        // What it will be is known later; until then the certificate of the simulator does.
        std::fs::copy(config.apns[0].ca_file.as_ref().expect("a file"), &ca).expect("copied");
        config.apns[0].ca_file = Some(ca);
    })
    .await;
    let failed = stage.ring_all((0..8).map(iphone)).await;
    assert!(failed.iter().all(|report| report.verdict == Verdict::Retry { after: None }), "{failed:?}");
    let state = stage.apns_state();
    assert!(state.held_back.as_ref().is_some_and(|why| why.contains("refused")), "{state:?}");
    assert_eq!(state.times_held_back, 1);
    assert!(!state.is_good() && state.problem().is_some_and(|problem| problem.contains("held back")));

    tokio::time::sleep(COME_BACK_AFTER).await;
    let (probe, held, android) = tokio::join!(stage.ring_one(1), stage.ring_one(2), stage.ring_all([android(1)]));
    all_accepted(&android);
    let (probe, held) = if held.reason.starts_with("held-back: ") { (probe, held) } else { (held, probe) };
    assert_eq!(held.verdict, Verdict::Retry { after: Some(COME_BACK_AFTER) });
    assert!(held.reason.starts_with("held-back: not-connected: "), "{held:?}");
    assert!(held.latency < Duration::from_secs(2), "it does not use up the time of an attempt: {held:?}");
    assert!(probe.reason.starts_with("not-connected: "), "{probe:?}");

    let server = Server::on(socket.listen(64).expect("listening"), |_, tls| async move {
        Wire::begin(tls, 100).await.serve().await;
    });
    std::fs::copy(server.ca_file(trust.as_ref()), &trust).expect("written");
    assert!(stage.pushers.reload().await);
    all_accepted(&stage.ring_all((0..8).map(iphone)).await);
    assert_eq!(stage.apns_state().problem(), None);
}

#[tokio::test]
async fn a_provider_that_only_fails_is_left_alone_and_taken_back_at_once() {
    let stage = Stage::start().await;
    stage.rule("apns-production 503");
    stage.open_breaker().await;
    let before = stage.received(Provider::Apns).len();
    let reports = stage.ring_all((0..100).map(iphone)).await;
    let held = reports.iter().filter(|report| report.reason == "held-back: 503 ServiceUnavailable").count();
    assert!(held >= 99, "{held} of 100");
    assert!(stage.received(Provider::Apns).len() - before <= 1, "one at a time");

    stage.simulator.clear_rules();
    let before = stage.received(Provider::Apns).len();
    let taken = async {
        while stage.ring_one(1).await.verdict != Verdict::Accepted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WITHIN, taken).await.expect("it is asked again");
    assert_eq!(stage.received(Provider::Apns).len() - before, 1, "the first one that is let through");
    all_accepted(&stage.ring_all((0..100).map(iphone)).await);
}

#[tokio::test]
async fn a_refused_credential_fails_at_once_and_only_where_it_is_refused() {
    let stage = Stage::start().await;
    stage.rule("apns-production InvalidProviderToken");
    stage.open_breaker().await;
    let reports = stage.ring_all((0..20).map(iphone)).await;
    assert!(reports.iter().all(|report| report.verdict == Verdict::OurFault), "{reports:?}");
    assert!(reports.iter().any(|report| report.reason == "held-back: 403 InvalidProviderToken"), "{reports:?}");
    let states = stage.pushers.states();
    let held: Vec<_> = states.iter().filter(|state| state.held_back.is_some()).map(|state| &state.name).collect();
    assert_eq!(held, ["apns com.example.phone production"]);
    all_accepted(&stage.ring_all([android(1)]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_often_is_not_held_back_from() {
    let stage = Stage::start().await;
    // Of fifty, which may take a second on a busy machine, never all.
    stage.rule("70% of apns 503");
    let started = Instant::now();
    let mut taken = 0;
    while started.elapsed() < Duration::from_secs(3) {
        let reports = stage.ring_all((0..50).map(iphone)).await;
        taken += reports.iter().filter(|report| report.verdict == Verdict::Accepted).count();
    }
    assert_eq!(stage.apns_state().times_held_back, 0);
    assert!(taken > 0);
}

#[tokio::test]
async fn whoever_registers_one_bad_token_after_another_is_stopped() {
    let stage = Stage::start().await;
    let push = |owner: &str, number| {
        let mut push = stage.message(&iphone(number), Message::Ring(stage.ring()));
        push.owner = UserId::new(owner).expect("a user");
        push
    };
    // A phone that works, which is known once the first bad token has made the user one to watch.
    stage.rule(&format!("apns BadDeviceToken for {}", token(100)));
    assert_eq!(stage.pushers.send(&push("mallory", 100)).await.verdict, Verdict::DropToken { since: None });
    all_accepted(&[stage.pushers.send(&push("mallory", 1)).await]);

    stage.simulator.clear_rules();
    for number in 200..230 {
        stage.rule(&format!("apns BadDeviceToken for {}", token(number)));
    }
    let before = stage.received(Provider::Apns).len();
    for number in 200..230 {
        let report = stage.pushers.send(&push("mallory", number)).await;
        let stopped = report.verdict == Verdict::GiveUp && report.reason == "too-many-bad-tokens";
        assert_eq!(stopped, number >= 204, "{number}: {report:?}");
    }
    assert_eq!(stage.received(Provider::Apns).len() - before, 4);
    all_accepted(&[stage.pushers.send(&push("mallory", 1)).await, stage.pushers.send(&push("bob", 2)).await]);
    let report = stage.pushers.send(&push("mallory", 3)).await;
    assert_eq!(report.reason, "too-many-bad-tokens", "whatever it is");
    stage.clock.advance(Duration::from_mins(5));
    all_accepted(&[stage.pushers.send(&push("mallory", 3)).await]);
}

/// Pushed to at every call, a token that Apple calls bad is asked about once an hour, and counts once.
#[tokio::test]
async fn a_bad_token_that_is_kept_is_one_strike_however_often_it_rings() {
    let stage = Stage::with(|config| config.apns.truncate(1)).await;
    stage.rule("apns BadDeviceToken times 1");
    let bad = stage.ring_one(1).await;
    assert_eq!((bad.verdict, bad.status), (Verdict::GiveUp, Some(400)), "{bad:?}");
    for _ in 0..10 {
        let again = stage.ring_one(1).await;
        assert_eq!((again.verdict, again.status), (Verdict::GiveUp, None), "{again:?}");
        assert_eq!(again.reason, "known-bad-token: in-one-environment");
    }
    assert_eq!(stage.received(Provider::Apns).len(), 1, "Apple was asked once");
    assert_eq!(stage.ring_one(2).await.verdict, Verdict::Accepted, "one strike is not five");
    stage.clock.advance(Duration::from_hours(1));
    assert_eq!(stage.ring_one(1).await.verdict, Verdict::Accepted, "Apple may change its mind");
}

/// The sandbox host may take it once it can be asked; until then a call a second must not mean a bad token a second.
#[tokio::test]
async fn a_bad_token_is_asked_about_once_a_minute_where_the_other_host_cannot_be() {
    let stage = Stage::start().await;
    stage.rule("apns-production BadDeviceToken");
    stage.rule("apns-sandbox TopicDisallowed times 7");
    for _ in 0..7 {
        let report = stage.ring_one(1).await;
        assert_eq!((report.verdict, report.status), (Verdict::GiveUp, Some(400)), "{report:?}");
        let again = stage.ring_one(1).await;
        assert_eq!((again.verdict, again.status), (Verdict::GiveUp, None), "{again:?}");
        assert_eq!(again.reason, "known-bad-token: in-one-environment-so-far");
        stage.clock.advance(Duration::from_mins(1));
    }
    assert_eq!(stage.ring_one(1).await.verdict, Verdict::Accepted, "by the sandbox");
}
