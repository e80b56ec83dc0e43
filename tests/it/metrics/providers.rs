//! Push providers: their connections, what hinders them, and when what they know the gateway by expires.

use super::{scrape, until};
use crate::support::{APP, Stage};

fn of(provider: &str, environment: &str) -> String {
    format!(r#"provider="{provider}",app="{APP}",environment="{environment}""#)
}

#[tokio::test]
async fn connections_and_tokens_of_providers_are_told_of() {
    let stage = Stage::new().await;
    stage.iphone("bob", "iphone-1").await;
    let (apns, sandbox, fcm) = (of("apns", "production"), of("apns", "sandbox"), of("fcm", ""));
    for of in [&apns, &sandbox, &fcm] {
        let wanted = scrape(&stage).await.expect(&format!("bellwire_provider_connections_wanted{{{of}}}"));
        assert!(wanted >= 1.0);
        let series = format!("bellwire_provider_connections{{{of}}}");
        until(&stage, &series, |open| (open - wanted).abs() < 0.1).await;
    }
    let expires = |of: &str| format!("bellwire_provider_token_expires_timestamp_seconds{{{of}}}");
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let now = stage.clock.now().as_secs() as f64;
    until(&stage, &expires(&fcm), |at| at > now + 60.0).await;
    assert_eq!(scrape(&stage).await.value(&expires(&apns)), None, "it is signed with the first push");
    stage.invite("alice", "bob").await;
    let all = until(&stage, &expires(&apns), |at| (3500.0..3610.0).contains(&(at - now))).await;
    for problem in ["unreachable", "held_back", "stale", "refused"] {
        let series = format!(r#"bellwire_provider_problem{{{apns},problem="{problem}"}}"#);
        assert_eq!(all.count(&series), 0, "{series}");
    }
    let part = format!(r#"bellwire_part_up{{part="apns {APP} production"}}"#);
    assert_eq!(all.count(&part), 1);
}

#[tokio::test]
async fn a_credential_that_is_refused_shows_until_it_is_taken() {
    let stage = Stage::new().await;
    stage.iphone("bob", "iphone-1").await;
    stage.simulator.add_rule("apns InvalidProviderToken".parse().expect("a rule"));
    stage.invite("alice", "bob").await;
    let problem = format!(r#"bellwire_provider_problem{{{},problem="refused"}}"#, of("apns", "production"));
    let all = until(&stage, &problem, |is_so| is_so > 0.5).await;
    assert_eq!(all.count(&format!(r#"bellwire_part_up{{part="apns {APP} production"}}"#)), 0);
    stage.simulator.clear_rules();
    stage.iphone("carol", "iphone-2").await;
    stage.invite("dave", "carol").await;
    until(&stage, &problem, |is_so| is_so < 0.5).await;
}

#[tokio::test]
async fn the_end_of_a_certificate_in_a_file_is_told_of() {
    let stage = Stage::new().await;
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let now = stage.clock.now().as_secs() as f64;
    for key in ["push.apns[0].ca_file", "push.fcm[0].ca_file"] {
        let series = format!(r#"bellwire_certificate_expires_timestamp_seconds{{key="{key}"}}"#);
        until(&stage, &series, |at| at > now).await;
    }
}
