//! LiveKit's webhooks: who sends one, and what stands in it.
#![no_main]

use std::sync::LazyLock;

use bellwire::clock::Clock;
use bellwire::config::Secret;
use bellwire::config::livekit::{LiveKit, WebhookKey};
use bellwire::livekit::webhook::{News, WebhookError, Webhooks};
use bellwire_fuzz::{signed, told};
use data_encoding::BASE64;
use libfuzzer_sys::fuzz_target;
use ring::digest::{SHA256, digest};
use serde_json::json;

const SECRETS: [&str; 2] = ["the secret of the first key", "the secret of the second key"];

static WEBHOOKS: LazyLock<Webhooks> = LazyLock::new(|| {
    let [first, second] = SECRETS.map(Secret::new);
    let config = LiveKit {
        url: "wss://livekit.example".to_owned(),
        api_url: "https://livekit.example".to_owned(),
        api_key: "first".to_owned(),
        api_secret: first,
        deployment: "prod".to_owned(),
        rooms: false,
        webhook_keys: vec![WebhookKey { api_key: "second".to_owned(), api_secret: second }],
    };
    Webhooks::new(&config, Clock::system()).expect("webhooks")
});

// The first byte: 0 the Authorization header, a new line, the body; 1 a body, for which there is a token; 2 header and claims, a new line each,
// signed, and the body; 3 the same, signed by somebody else.
fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 4 {
        0 => {
            let (authorization, body) = cut(rest, 1);
            let Ok(authorization) = std::str::from_utf8(authorization) else { return };
            let token = authorization.split_once(' ').map_or(authorization, |(_, token)| token.trim());
            if WEBHOOKS.expect(Some(authorization)).is_ok() {
                assert!(SECRETS.iter().any(|secret| signed::is_hs256_of(secret, token)), "a forged webhook");
            }
            take(authorization, body);
        }
        1 => {
            let token = token_for(rest);
            WEBHOOKS.expect(Some(&token)).expect("a good token");
            take(&token, rest);
            for bent in signed::bent(&token) {
                assert!(WEBHOOKS.expect(Some(&bent)).is_err(), "{bent}");
            }
            let expected = WEBHOOKS.expect(Some(&token)).expect("a good token");
            let other = [rest, b" "].concat();
            assert_eq!(Webhooks::receive(&expected, &other), Err(WebhookError::Hash));
        }
        kind => {
            let (parts, body) = cut(rest, 2);
            let secret = if kind == 2 { SECRETS[0] } else { "the secret of somebody else" };
            let token = signed::compose(parts, |text| signed::hs256(secret, text));
            assert!(kind == 2 || WEBHOOKS.expect(Some(&token)).is_err(), "a forged webhook");
            take(&token, body);
        }
    }
});

/// Before and after so many new lines.
fn cut(data: &[u8], lines: usize) -> (&[u8], &[u8]) {
    let newlines = data.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    match newlines.map(|(place, _)| place).nth(lines - 1) {
        Some(place) => (&data[..place], &data[place + 1..]),
        None => (data, &[]),
    }
}

fn token_for(body: &[u8]) -> String {
    let hash = BASE64.encode(digest(&SHA256, body).as_ref());
    let claims = json!({"iss": "first", "exp": 4_102_444_800_u64, "sha256": hash});
    let parts = format!("{{\"alg\":\"HS256\"}}\n{claims}");
    signed::compose(parts.as_bytes(), |text| signed::hs256(SECRETS[0], text))
}

fn take(authorization: &str, body: &[u8]) {
    let received = WEBHOOKS.expect(Some(authorization)).and_then(|expected| Webhooks::receive(&expected, body));
    match received {
        Ok(webhook) => {
            assert!(!WEBHOOKS.has_seen(&webhook) || !webhook.id.is_empty());
            if let News::Egress(egress) = &webhook.news {
                let _ = egress.report(None);
                assert!(egress.raw.len() <= 64 * 1024);
            }
        }
        Err(error) => {
            let error = format!("{error} {error:?}");
            signed::is_not_told(authorization, &error);
            told::nothing_of(body, &error);
        }
    }
}
