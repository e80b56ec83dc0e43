//! Identities at Google that are found around a process: of the machine, or in files that its variables name.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Stage, WITHIN, all_accepted, android, configuration, surroundings};
use crate::push::surroundings::{Ambient, Surroundings};
use crate::push::{Message, Pushers, Verdict};
use crate::simulator::Provider;

/// A machine of Google's: gives out this access token, in this project.
async fn metadata_server(token: String, lifetime: u64, asked: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let (token, asked) = (token.clone(), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = tcp.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).expect("text").to_lowercase();
                let path = head.split(' ').nth(1).expect("a path").to_owned();
                let body = if path.starts_with("/computemetadata/v1/instance/service-accounts/default/token") {
                    json!({"access_token": token, "expires_in": lifetime, "token_type": "Bearer"}).to_string()
                } else {
                    assert_eq!(path, "/computemetadata/v1/project/project-id");
                    "bellwire-simulator".to_owned()
                };
                asked.lock().expect("a lock").push(path);
                let status = if head.contains("metadata-flavor: google\r\n") { "200 OK" } else { "403 Forbidden" };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nMetadata-Flavor: Google\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = tcp.write_all(answer.as_bytes()).await;
            });
        }
    });
    address.to_string()
}

/// An access token that the simulator of the stage takes.
async fn access_token(stage: &Stage) -> String {
    all_accepted(&stage.ring_all([android(1)]).await);
    let received = stage.received(Provider::Fcm);
    received[0].header("authorization").and_then(|value| value.strip_prefix("Bearer ")).expect("a token").to_owned()
}

/// Pushers for the simulator of a stage, with other credentials for Google.
async fn with_google(stage: &Stage, google: Ambient, project: Option<&str>) -> Result<Pushers, String> {
    let mut config = configuration(&stage.simulator, &stage.files);
    config.apns.clear();
    config.fcm[0].service_account_file = None;
    config.fcm[0].project_id = project.map(str::to_owned);
    let surroundings = Surroundings { google, ..surroundings() };
    Pushers::start_in(surroundings, &config, stage.clock.clone()).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_machine_lends_its_identity_and_its_project() {
    let stage = Stage::start().await;
    let asked = Arc::default();
    let host = metadata_server(access_token(&stage).await, 3599, Arc::clone(&asked)).await;
    let google = Ambient { metadata_host: Some(host.clone()), ..Ambient::default() };
    let pushers = with_google(&stage, google, None).await.expect("pushers");
    let report = pushers.send(&stage.message(&android(1), Message::Ring(stage.ring()))).await;
    all_accepted(&[report]);
    let last = stage.received(Provider::Fcm).pop().expect("a push");
    assert_eq!(last.path, "/v1/projects/bellwire-simulator/messages:send");
    let asked = asked.lock().expect("a lock").clone();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[0].ends_with("?scopes=https://www.googleapis.com/auth/firebase.messaging"), "{asked:?}");
    let probe = pushers.probe().await.remove(0).result.expect("reached");
    assert!(probe.contains("the identity of this machine (127.0.0.1)"), "{probe}");
}

/// The metadata server gives out the same token until five minutes before its end.
#[tokio::test]
async fn a_token_that_lives_no_longer_is_not_asked_for_all_the_time() {
    let stage = Stage::start().await;
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let host = metadata_server(access_token(&stage).await, 300, Arc::clone(&asked)).await;
    let google = Ambient { metadata_host: Some(host), ..Ambient::default() };
    let pushers = with_google(&stage, google, Some("bellwire-simulator")).await.expect("pushers");
    let push = || stage.message(&android(1), Message::Ring(stage.ring()));
    all_accepted(&[pushers.send(&push()).await]);
    // More than one where a busy machine let the first answer come too late.
    let so_far = asked.lock().expect("a lock").len();
    stage.clock.advance(Duration::from_secs(100));
    all_accepted(&[pushers.send(&push()).await]);
    assert_eq!(asked.lock().expect("a lock").len(), so_far);
    stage.clock.advance(Duration::from_mins(1));
    let renewed = async {
        while asked.lock().expect("a lock").len() == so_far {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WITHIN, renewed).await.expect("renewed halfway");
}

#[tokio::test]
async fn no_metadata_server_is_said_and_nothing_waits_for_it() {
    let stage = Stage::start().await;
    // A server, but none of Google's.
    let other = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = other.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = other.accept().await {
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").await;
            let _ = tcp.read(&mut [0; 1024]).await;
        }
    });
    let google = Ambient { metadata_host: Some(host), ..Ambient::default() };
    let pushers = with_google(&stage, google, None).await.expect("pushers");
    let report = pushers.send(&stage.message(&android(1), Message::Ring(stage.ring()))).await;
    assert_eq!(report.verdict, Verdict::Retry { after: None });
    assert!(report.reason.contains("in place of the metadata server"), "{report:?}");
}

fn written(stage: &Stage, name: &str, text: &str) -> std::path::PathBuf {
    let path = stage.files.path().join(name);
    fs::write(&path, text).expect("written");
    path
}

#[tokio::test]
async fn application_default_credentials_are_found() {
    let stage = Stage::start().await;
    let account = stage.simulator.credentials().service_account_json.clone();
    let push = || stage.message(&android(1), Message::Ring(stage.ring()));
    let named = Ambient { file: Some(written(&stage, "adc.json", &account)), ..Ambient::default() };
    all_accepted(&[with_google(&stage, named, None).await.expect("pushers").send(&push()).await]);
    // The variable goes before the file of gcloud.
    let well_known = Some(written(&stage, "gcloud.json", &account));
    all_accepted(&[with_google(&stage, Ambient { well_known: well_known.clone(), ..Ambient::default() }, None)
        .await
        .expect("pushers")
        .send(&push())
        .await]);
    let nowhere = Some(Path::new("nowhere/adc.json").to_owned());
    let error = with_google(&stage, Ambient { file: nowhere, well_known, metadata_host: None }, None).await.err();
    let error = error.expect("refused");
    assert_eq!(error, "push.fcm[0].GOOGLE_APPLICATION_CREDENTIALS: cannot read nowhere/adc.json");
}

#[tokio::test]
async fn a_users_credentials_name_no_project_and_others_are_refused_in_words() {
    let stage = Stage::start().await;
    let user = json!({"type": "authorized_user", "client_id": "id", "client_secret": "secret-of-client",
        "refresh_token": "secret-to-refresh", "quota_project_id": "paying", "token_uri": format!("{}/token", stage.simulator.fcm_url())});
    let user = Ambient { file: Some(written(&stage, "user.json", &user.to_string())), ..Ambient::default() };
    let error = with_google(&stage, user.clone(), None).await.err().expect("refused");
    assert!(error.starts_with("push.fcm[0].project_id: must name a project"), "{error}");
    let pushers = with_google(&stage, user, Some("bellwire-simulator")).await.expect("pushers");
    let report = pushers.send(&stage.message(&android(1), Message::Ring(stage.ring()))).await;
    assert_eq!(report.verdict, Verdict::OurFault, "the simulator knows no users");
    let asked = stage.received(Provider::OAuth).pop().expect("a request");
    assert_eq!(asked.status, 400);
    assert!(!report.reason.contains("secret-"), "{report:?}");

    for kind in ["external_account", "impersonated_service_account", "gdch_service_account"] {
        let text = json!({"type": kind, "audience": "secret-of-pool"}).to_string();
        let google = Ambient { file: Some(written(&stage, "other.json", &text)), ..Ambient::default() };
        let error = with_google(&stage, google, None).await.err().expect("refused");
        assert!(error.contains("a type that is not supported") && error.contains("external_account"), "{error}");
    }
    // The last one is what comes of a key that was quoted once too often.
    for text in ["{\"type\": 1}", "\"secret-key\""] {
        let google = Ambient { file: Some(written(&stage, "none.json", text)), ..Ambient::default() };
        let error = with_google(&stage, google, None).await.err().expect("refused");
        assert!(error.contains("does not hold credentials as Google writes them (line 1, "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
