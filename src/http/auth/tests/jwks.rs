//! Users by keys from a JWKS URL, which a server on loopback plays.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use rcgen::KeyPair;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Mutex, Semaphore};

use super::*;
use crate::config::auth::Asymmetric;
use crate::crypto::test_keys::{ec, ec_coordinates, rsa};
use crate::crypto::{Es256Key, Rs256Key};

/// An identity provider's server, which counts how often it is asked.
#[derive(Clone)]
pub(super) struct Provider {
    pub(super) url: String,
    answer: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
    /// Each answer needs a permit, so that a test can hold answers back.
    permits: Arc<Semaphore>,
}

impl Provider {
    pub(super) async fn start(keys: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let provider = Self {
            url: format!("http://{}/keys", listener.local_addr().expect("an address")),
            answer: Arc::new(Mutex::new((StatusCode::OK, json!({"keys": keys}).to_string()))),
            asked: Arc::default(),
            permits: Arc::new(Semaphore::new(1000)),
        };
        let routes = {
            let provider = provider.clone();
            Router::new().route("/keys", get(async move || provider.answer().await))
        };
        tokio::spawn(async move { axum::serve(listener, routes).await });
        provider
    }

    async fn answer(&self) -> impl IntoResponse + use<> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.expect("open").forget();
        let (status, body) = self.answer.lock().await.clone();
        (status, [(header::LOCATION, self.url.clone())], body)
    }

    async fn set(&self, status: StatusCode, body: impl ToString) {
        *self.answer.lock().await = (status, body.to_string());
    }

    async fn set_keys(&self, keys: &Value) {
        self.set(StatusCode::OK, json!({"keys": keys})).await;
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn users(&self, algorithm: Asymmetric, clock: &Clock) -> Arc<Authenticator> {
        Arc::new(authenticator(vec![users(UserKey::Jwks(algorithm, self.url.clone()))], clock))
    }
}

pub(super) fn jwk(key: &KeyPair, kid: &str) -> Value {
    let (x, y) = ec_coordinates(key);
    json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "key_ops": ["verify"], "kid": kid, "x": x, "y": y})
}

pub(super) fn es256(key: &KeyPair, kid: Option<&str>, clock: &Clock) -> String {
    let key = Es256Key::from_pem(&key.serialize_pem()).expect("a key");
    key.sign_jwt(&kid.map_or_else(|| json!({}), |kid| json!({"kid": kid})), &claims(clock)).expect("signed")
}

#[tokio::test]
async fn rs256_and_es256_by_jwks() {
    let clock = Clock::system();
    let ec = ec();
    let rsa_jwk = json!({"kty": "RSA", "kid": "r", "n": rsa().n, "e": rsa().e});
    let provider = Provider::start(&json!([jwk(&ec, "e"), rsa_jwk])).await;
    let es256 = es256(&ec, Some("e"), &clock);
    let rs256 = Rs256Key::from_pem(&rsa().private_pem).expect("a key");
    let rs256 = rs256.sign_jwt(&json!({"kid": "r"}), &claims(&clock)).expect("signed");

    let (by_ec, by_rsa) = (provider.users(Asymmetric::Es256, &clock), provider.users(Asymmetric::Rs256, &clock));
    for _ in 0..3 {
        assert!(user(&by_ec, &es256).await.is_ok());
        assert!(user(&by_rsa, &rs256).await.is_ok());
    }
    assert_eq!(provider.asked(), 2, "each fetched once");
    assert_eq!(user(&by_ec, &rs256).await, Err(AuthError::WrongAlgorithm));
    assert_eq!(provider.asked(), 2, "a token of another algorithm is no reason to fetch");
}

#[tokio::test]
async fn a_new_key_is_fetched_but_not_more_often_than_the_floor() {
    let clock = Clock::system();
    let (old, new) = (ec(), ec());
    let provider = Provider::start(&json!([jwk(&old, "old")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    authenticator.prefetch().await;
    assert_eq!(provider.asked(), 1);

    provider.set_keys(&json!([jwk(&new, "new")])).await;
    let (by_old, by_new) = (es256(&old, Some("old"), &clock), es256(&new, Some("new"), &clock));
    assert!(user(&authenticator, &by_old).await.is_ok());
    for _ in 0..3 {
        assert_eq!(user(&authenticator, &by_new).await, Err(AuthError::UnknownKey), "too soon");
    }
    assert_eq!(provider.asked(), 1);

    clock.advance(Duration::from_secs(10));
    assert!(user(&authenticator, &by_new).await.is_ok());
    assert_eq!(user(&authenticator, &by_old).await, Err(AuthError::UnknownKey), "gone");
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn keys_are_fetched_again_after_ten_minutes_and_kept_while_the_provider_is_down() {
    let clock = Clock::system();
    let key = ec();
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    let token = es256(&key, Some("one"), &clock);
    assert!(user(&authenticator, &token).await.is_ok());

    provider.set(StatusCode::BAD_GATEWAY, "down").await;
    clock.advance(Duration::from_mins(9));
    assert!(user(&authenticator, &token).await.is_ok());
    assert_eq!(provider.asked(), 1, "still fresh");
    clock.advance(Duration::from_mins(2));
    for _ in 0..3 {
        assert!(user(&authenticator, &token).await.is_ok(), "stale, but known");
    }
    assert_eq!(provider.asked(), 2, "tried once");
    let unknown = es256(&key, Some("other"), &clock);
    assert_eq!(user(&authenticator, &unknown).await, Err(AuthError::KeysUnavailable), "who knows");

    provider.set_keys(&json!([])).await;
    clock.advance(Duration::from_secs(11));
    assert_eq!(user(&authenticator, &token).await, Err(AuthError::UnknownKey), "withdrawn");
}

#[tokio::test]
async fn requests_that_come_together_fetch_once() {
    let clock = Clock::system();
    let key = ec();
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    let token = es256(&key, Some("one"), &clock);
    let all = futures_util::future::join_all((0..20).map(|_| user(&authenticator, &token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn while_one_fetches_others_go_on_with_old_keys() {
    let clock = Clock::system();
    let key = ec();
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    let token = es256(&key, Some("one"), &clock);
    assert!(user(&authenticator, &token).await.is_ok());

    clock.advance(Duration::from_mins(11));
    provider.permits.forget_permits(1000);
    let first = {
        let (authenticator, token) = (authenticator.clone(), token.clone());
        tokio::spawn(async move { user(&authenticator, &token).await })
    };
    while provider.asked() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(user(&authenticator, &token).await.is_ok(), "does not wait");
    assert!(!first.is_finished());
    provider.permits.add_permits(1);
    assert!(first.await.expect("finished").is_ok());
}

#[tokio::test]
async fn a_fetch_ends_also_when_the_request_that_began_it_is_given_up() {
    let clock = Clock::system();
    let key = ec();
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    let token = es256(&key, Some("one"), &clock);
    provider.permits.forget_permits(1000);
    let first = {
        let (authenticator, token) = (authenticator.clone(), token.clone());
        tokio::spawn(async move { user(&authenticator, &token).await })
    };
    while provider.asked() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.is_err_and(|error| error.is_cancelled()));
    provider.permits.add_permits(1);
    assert!(user(&authenticator, &token).await.is_ok());
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn a_provider_that_is_gone_or_hangs_is_unavailable() {
    let clock = Clock::system();
    let key = ec();
    let token = es256(&key, Some("one"), &clock);
    let hangs = Provider::start(&json!([jwk(&key, "one")])).await;
    hangs.permits.forget_permits(1000);
    // It is held, and nobody listens on it.
    let closed = TcpSocket::new_v4().expect("a socket");
    closed.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let gone = format!("http://{}/keys", closed.local_addr().expect("an address"));
    for url in [gone, hangs.url.clone()] {
        let authenticator = authenticator(vec![users(UserKey::Jwks(Asymmetric::Es256, url))], &clock);
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::KeysUnavailable));
    }
}

#[tokio::test]
async fn a_token_without_kid_needs_a_provider_with_one_key() {
    let clock = Clock::system();
    let (key, other) = (ec(), ec());
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    let token = es256(&key, None, &clock);
    assert!(user(&authenticator, &token).await.is_ok());
    provider.set_keys(&json!([jwk(&key, "one"), jwk(&other, "two")])).await;
    clock.advance(Duration::from_mins(11));
    assert_eq!(user(&authenticator, &token).await, Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn keys_for_other_ends_are_passed_over() {
    let clock = Clock::system();
    let key = ec();
    let (x, _) = ec_coordinates(&key);
    let token = es256(&key, Some("one"), &clock);
    for changes in [
        json!({"use": "enc"}),
        json!({"alg": "ES384"}),
        json!({"crv": "P-384"}),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "AKP"}),
        json!({"y": null}),
        json!({"y": x}),
        json!({"x": 7}),
        json!({"kid": "two"}),
    ] {
        let provider = Provider::start(&json!([with(jwk(&key, "one"), &changes), "no key"])).await;
        let authenticator = provider.users(Asymmetric::Es256, &clock);
        let refused = user(&authenticator, &token).await;
        assert!(matches!(refused, Err(AuthError::UnknownKey | AuthError::BadSignature)), "{changes}: {refused:?}");
    }
}

#[tokio::test]
async fn a_provider_that_answers_nonsense_is_unavailable() {
    let clock = Clock::system();
    let key = ec();
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let token = es256(&key, Some("one"), &clock);
    let good = json!({"keys": [jwk(&key, "one")]});
    let many: Vec<_> = (0..101).map(|_| jwk(&key, "one")).collect();
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, good.to_string()),
        (StatusCode::FOUND, good.to_string()),
        (StatusCode::OK, "<html>".to_owned()),
        (StatusCode::OK, "{}".to_owned()),
        (StatusCode::OK, format!("{good}{}", " ".repeat(256 * 1024))),
        (StatusCode::OK, json!({"keys": many}).to_string()),
    ] {
        let asked = provider.asked();
        provider.set(status, &body).await;
        let authenticator = provider.users(Asymmetric::Es256, &clock);
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::KeysUnavailable), "{status} {body:.40}");
        assert_eq!(provider.asked(), asked + 1, "no redirect is followed");
    }
}

#[tokio::test]
async fn a_kid_beyond_reason_is_refused_before_any_fetch() {
    let clock = Clock::system();
    let key = ec();
    let provider = Provider::start(&json!([])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    let token = es256(&key, Some(&"k".repeat(257)), &clock);
    assert_eq!(user(&authenticator, &token).await, Err(AuthError::Malformed));
    assert_eq!(provider.asked(), 0);
}

#[tokio::test]
async fn a_flood_of_key_ids_that_nobody_has_fetches_once_and_holds_up_nobody() {
    let clock = Clock::system();
    let key = ec();
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    authenticator.prefetch().await;
    clock.advance(Duration::from_secs(11));
    provider.permits.forget_permits(1000);
    let flood: Vec<_> = (0..500)
        .map(|number| {
            let (authenticator, token) = (authenticator.clone(), es256(&key, Some(&format!("kid-{number}")), &clock));
            tokio::spawn(async move { user(&authenticator, &token).await })
        })
        .collect();
    while provider.asked() < 2 {
        tokio::task::yield_now().await;
    }
    // While the one fetch is under way, who has a key that is known waits for nothing.
    assert!(user(&authenticator, &es256(&key, Some("one"), &clock)).await.is_ok());
    provider.permits.add_permits(1000);
    for refused in flood {
        assert_eq!(refused.await.expect("finished"), Err(AuthError::UnknownKey));
    }
    assert_eq!(provider.asked(), 2, "one fetch for all of them");
    for number in 0..100 {
        let token = es256(&key, Some(&format!("more-{number}")), &clock);
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::UnknownKey));
    }
    assert_eq!(provider.asked(), 2, "none before the floor has passed");
}

#[tokio::test]
async fn keys_are_kept_for_a_day_without_their_provider_and_no_longer() {
    let clock = Clock::system();
    let key = ec();
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    authenticator.prefetch().await;
    provider.set(StatusCode::BAD_GATEWAY, "down").await;
    let token = es256(&key, Some("one"), &clock);
    let lasting = json!({"exp": clock.now().as_secs() + 200_000});
    let signer = Es256Key::from_pem(&key.serialize_pem()).expect("a key");
    let lasting = signer.sign_jwt(&json!({"kid": "one"}), &with(claims(&clock), &lasting)).expect("signed");
    assert!(user(&authenticator, &token).await.is_ok());
    clock.advance(Duration::from_hours(23));
    assert!(user(&authenticator, &lasting).await.is_ok());
    clock.advance(Duration::from_mins(61));
    assert_eq!(user(&authenticator, &lasting).await, Err(AuthError::KeysUnavailable));
    provider.set_keys(&json!([jwk(&key, "one")])).await;
    clock.advance(Duration::from_secs(11));
    assert!(user(&authenticator, &lasting).await.is_ok(), "it is back");
}

#[tokio::test]
async fn keys_that_never_end_are_given_up() {
    let clock = Clock::system();
    let key = ec();
    // A byte now and then keeps a connection alive, and must not keep the fetch.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
        let mut sent = tokio::io::AsyncWriteExt::write_all(&mut stream, head).await;
        while sent.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            sent = tokio::io::AsyncWriteExt::write_all(&mut stream, b" ").await;
        }
    });
    let authenticator = authenticator(vec![users(UserKey::Jwks(Asymmetric::Es256, url))], &clock);
    let began = std::time::Instant::now();
    let refused = user(&authenticator, &es256(&key, Some("one"), &clock)).await;
    assert_eq!(refused, Err(AuthError::KeysUnavailable));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn another_configuration_goes_on_with_the_keys_that_were_fetched() {
    let (clock, key) = (Clock::system(), ec());
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let old = provider.users(Asymmetric::Es256, &clock);
    let token = es256(&key, Some("one"), &clock);
    user(&old, &token).await.expect("believed");
    provider.set(StatusCode::INTERNAL_SERVER_ERROR, "").await;
    let jwks = |algorithm| users(UserKey::Jwks(algorithm, provider.url.clone()));
    let config = |users| Auth { users, service_keys: Vec::new(), ticket_secrets: Vec::new(), leeway: LEEWAY };
    let new = old.renewed(&config(vec![hs256_users(), jwks(Asymmetric::Es256)]), tickets()).expect("good");
    user(&new, &token).await.expect("believed while the provider is down");
    user(&new, &hs256(&claims(&clock))).await.expect("believed by the new key");
    let other = new.renewed(&config(vec![jwks(Asymmetric::Rs256)]), tickets()).expect("good");
    assert_eq!(user(&other, &token).await, Err(AuthError::WrongAlgorithm));
}
