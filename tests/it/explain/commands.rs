//! `bellwire explain`, as a person calls it: what it prints, where it finds the gateway and the key, how it fails.

use serde_json::{Value, json};

use super::text;
use crate::support::command::{Ended, Running};
use crate::support::ports::ClosedPort;
use crate::support::{SERVICE_KEY, Stage};

async fn run(key: &str, args: &[&str]) -> Ended {
    Running::start(key, args).end().await
}

/// A call of alice that rang on bob's iPhone and that his Pixel's token was too dead for.
async fn call(stage: &Stage) -> Value {
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    stage.simulator.unregister(&pixel.ring_token, stage.clock.now());
    let call = stage.call_to("bob").await;
    stage.ring(&iphone, &call).await;
    stage.explained(&call, "pixel-1", "token_dead").await;
    stage.give_up(&call).await;
    call
}

#[tokio::test]
async fn it_prints_for_people_and_the_document_for_programs() {
    let stage = Stage::new().await;
    let call = call(&stage).await;
    let ended = run(SERVICE_KEY, &["explain", text(&call), "--url", stage.http.base()]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    for part in [
        &format!("call {} of alice to bob, audio, at 2", text(&call)),
        "ended cancelled\nalice gave up at +",
        "\niphone-1: ios, com.example.phone, production, stopped, cancelled\n  rang_cancelled: iPhone of bob: it rang from +",
        "\n  to do: Nothing is to be done.\n",
        " ring by apns production: 200 (accepted, ",
        " the device said alerting\n",
        " stopped: cancelled\n",
        "\npixel-1: android, com.example.phone, failed, UNREGISTERED\n  token_dead: Android phone of bob: FCM answered 404 UNREGISTERED",
    ] {
        assert!(ended.stdout.contains(part), "{part:?} is not in {}", ended.stdout);
    }

    let ended =
        run(SERVICE_KEY, &["explain", text(&call), "--json", "--url", &format!("{}/", stage.http.base())]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&document["call"]["id"], &document["devices"][0]["cause"]), (&call, &json!("rang_cancelled")));
}

#[tokio::test]
async fn the_key_comes_by_file_by_option_or_by_variable() {
    let stage = Stage::new().await;
    let call = call(&stage).await;
    let (id, url) = (text(&call), stage.http.base());
    let file = stage.config_file.with_file_name("service-key");
    std::fs::write(&file, format!("{SERVICE_KEY}\n")).expect("a file");
    let file = file.to_str().expect("UTF-8");
    for args in [&["--key-file", file][..], &["--key", SERVICE_KEY]] {
        let ended = run("bw_sk_wrong", &[&["explain", id, "--url", url], args].concat()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let none = run("", &["explain", id, "--url", url]).await;
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.stderr.contains("--key-file") && none.stderr.contains("BELLWIRE_SERVICE_KEY"), "{none:?}");
    let two = run("", &["explain", id, "--url", url, "--key", "x", "--key-file", file]).await;
    assert_eq!(two.code, Some(2), "{two:?}");
    let missing = run("", &["explain", id, "--url", url, "--key-file", "/nowhere/key"]).await;
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("/nowhere/key"), "{missing:?}");
}

#[tokio::test]
async fn the_address_comes_from_the_configuration() {
    let stage = Stage::new().await;
    let call = call(&stage).await;
    let config = stage.config_file.to_str().expect("UTF-8");
    // The tests' gateway listens on a port of the system's choice, which no file can tell.
    let ended = run(SERVICE_KEY, &["explain", text(&call), "--config", config]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--url"), "{ended:?}");
    let written = std::fs::read_to_string(config).expect("the configuration");
    let public = format!("[http]\n        public_url = \"{}\"\n", stage.http.base());
    std::fs::write(config, written.replacen("[http]\n", &public, 1)).expect("a file");
    let ended = run(SERVICE_KEY, &["explain", text(&call), "--config", config]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_a_line() {
    let stage = Stage::new().await;
    let (url, unknown) = (stage.http.base(), "0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a");
    let closed = ClosedPort::hold();
    let nobody = format!("http://{}", closed.address());
    let user = crate::support::bearer("alice");
    for (key, args, code, part) in [
        (SERVICE_KEY, [unknown, "--url", url], 1, "knows no such call"),
        ("bw_sk_wrong", [unknown, "--url", url], 1, "does not accept the service key (service-key-unknown)"),
        (user.as_str(), [unknown, "--url", url], 1, "begins with bw_sk_"),
        (SERVICE_KEY, [unknown, "--url", nobody.as_str()], 1, "cannot reach the gateway at http://127.0.0.1:"),
        (SERVICE_KEY, ["not-a-call", "--url", url], 2, "UUID"),
        (SERVICE_KEY, [unknown, "--url", "127.0.0.1:80"], 2, "http://"),
    ] {
        let ended = run(key, &[&["explain"], &args[..]].concat()).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(part) && !ended.stderr.contains(key), "{part:?}: {ended:?}");
    }
}
