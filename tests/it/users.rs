//! Users of every kind of identity provider, through the API: shared secret, key file, key set by URL.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use bellwire::crypto::{Es256Key, Rs256Key};
use data_encoding::BASE64URL_NOPAD;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::support::{Stage, bearer, user_token};

/// An identity provider's key set, at a URL.
struct KeySet {
    url: String,
    keys: Arc<Mutex<Value>>,
}

impl KeySet {
    async fn with(keys: &[Value]) -> Self {
        let shared = Arc::new(Mutex::new(json!({"keys": keys})));
        let show = |State(keys): State<Arc<Mutex<Value>>>| async move { keys.lock().expect("keys").to_string() };
        let router = Router::new().route("/jwks.json", get(show)).with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let url = format!("http://{}/jwks.json", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, keys: shared }
    }
}

fn ec() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn ec_jwk(key: &KeyPair, kid: &str) -> Value {
    let point = key.public_key_raw();
    let (x, y) = (BASE64URL_NOPAD.encode(&point[1..33]), BASE64URL_NOPAD.encode(&point[33..]));
    json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": x, "y": y})
}

fn sign_ec(key: &KeyPair, kid: &str, claims: &Value) -> String {
    let key = Es256Key::from_pem(&key.serialize_pem()).expect("a key");
    key.sign_jwt(&json!({"kid": kid}), claims).expect("signed")
}

/// The RSA key of the simulator's service account.
fn rsa_pem(stage: &Stage) -> String {
    let account: Value = serde_json::from_str(&stage.simulator.credentials().service_account_json).expect("JSON");
    account["private_key"].as_str().expect("a key").to_owned()
}

fn claims(issuer: &str, user: &str) -> Value {
    json!({"iss": issuer, "aud": "authenticated", "sub": user, "exp": 4_000_000_000_u64, "role": "authenticated"})
}

async fn expect_user(stage: &Stage, token: &str) {
    stage.http.get("/v1/devices", token).await.expect(200);
}

async fn expect_refused(stage: &Stage, token: &str, code: &str) {
    let refused = stage.http.get("/v1/devices", token).await;
    assert!(!refused.text.contains(token), "{}", refused.text);
    refused.expect_problem(401, code);
}

#[tokio::test]
async fn es256_by_key_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (ec(), ec());
    let file = folder.path().join("es256.pem");
    std::fs::write(&file, ours.public_key_pem()).expect("written");
    let users = format!(
        "[[auth.users]]\nissuer = \"es\"\naudience = \"authenticated\"\nalgorithm = \"ES256\"\n\
         public_key_file = \"{}\"",
        file.display()
    );
    let stage = Stage::with(&users).await;
    expect_user(&stage, &sign_ec(&ours, "any", &claims("es", "alice"))).await;
    expect_refused(&stage, &sign_ec(&theirs, "any", &claims("es", "alice")), "token-bad-signature").await;
    expect_user(&stage, &bearer("alice")).await;
    // The algorithm is the key's, whatever the token says: a public key is no shared secret.
    let key = jsonwebtoken::EncodingKey::from_secret(ours.public_key_pem().as_bytes());
    let forged = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims("es", "alice"), &key);
    expect_refused(&stage, &forged.expect("a token"), "token-wrong-algorithm").await;
    let none = format!("{}.{}.", encode(&json!({"alg": "none"})), encode(&claims("es", "alice")));
    expect_refused(&stage, &none, "token-malformed").await;
}

fn encode(json: &Value) -> String {
    BASE64URL_NOPAD.encode(json.to_string().as_bytes())
}

#[tokio::test]
async fn rs256_by_key_file_and_by_url() {
    // The key is the process's own, so a first stage shows it and a second one is told of it.
    let pem = rsa_pem(&Stage::new().await);
    let pair = ring::rsa::KeyPair::from_pkcs8(&der(&pem)).expect("a key pair");
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let (n, e) = (BASE64URL_NOPAD.encode(&public.n), BASE64URL_NOPAD.encode(&public.e));
    let keys = KeySet::with(&[json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "r1", "n": n, "e": e})]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rs256.pem");
    std::fs::write(&file, public_pem(pair.public().as_ref())).expect("written");
    let users = format!(
        "[[auth.users]]\nissuer = \"file\"\nalgorithm = \"RS256\"\npublic_key_file = \"{}\"\n\
         [[auth.users]]\nissuer = \"url\"\nalgorithm = \"RS256\"\njwks_url = \"{}\"",
        file.display(),
        keys.url
    );
    let stage = Stage::with(&users).await;
    let key = Rs256Key::from_pem(&pem).expect("a key");
    for issuer in ["file", "url"] {
        let token = key.sign_jwt(&json!({"kid": "r1"}), &claims(issuer, "alice")).expect("signed");
        expect_user(&stage, &token).await;
        let (head, signature) = token.rsplit_once('.').expect("a signature");
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        expect_refused(&stage, &format!("{head}.{first}{}", &signature[1..]), "token-bad-signature").await;
    }
}

fn der(pem: &str) -> Vec<u8> {
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    data_encoding::BASE64.decode(lines.as_bytes()).expect("base64")
}

fn public_pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64_MIME.encode(der);
    format!("-----BEGIN RSA PUBLIC KEY-----\n{text}-----END RSA PUBLIC KEY-----\n")
}

#[tokio::test]
async fn es256_by_url_with_rotation_and_required_claims() {
    let (old, new) = (ec(), ec());
    let keys = KeySet::with(&[ec_jwk(&old, "k1")]).await;
    let users = format!(
        "[[auth.users]]\nissuer = \"idp\"\naudience = \"authenticated\"\nalgorithm = \"ES256\"\njwks_url = \"{}\"\n\
         required_claims = {{ role = \"authenticated\" }}\nuser_prefix = \"idp:\"\nname_claim = \"app_metadata.name\"\n\
         avatar_claim = \"app_metadata.avatar_url\"\navatar_hosts = [\"cdn.example.com\"]",
        keys.url
    );
    let stage = Stage::with(&users).await;
    let mut full = claims("idp", "1");
    full["app_metadata"] = json!({"name": "Ann", "avatar_url": "https://cdn.example.com/a.png"});
    full["user_metadata"] = json!({"name": "Root"});
    let token = sign_ec(&old, "k1", &full);
    let body = json!({"callee": "bob", "media": "audio"});
    let answer = stage.http.post("/v1/calls", &token, body.clone()).await.expect(201);
    let ann = json!({"id": "idp:1", "name": "Ann", "avatar": "https://cdn.example.com/a.png"});
    assert_eq!(answer["call"]["caller"], ann);

    full["app_metadata"]["avatar_url"] = json!("https://evil.example.com/a.png");
    let answer = stage.http.post("/v1/calls", &sign_ec(&old, "k1", &full), body).await.expect(201);
    assert_eq!(answer["call"]["caller"], json!({"id": "idp:1", "name": "Ann"}), "from listed hosts only");

    let mut anonymous = claims("idp", "1");
    anonymous["role"] = json!("anon");
    expect_refused(&stage, &sign_ec(&old, "k1", &anonymous), "token-wrong-claim").await;
    expect_refused(&stage, &sign_ec(&new, "k2", &claims("idp", "1")), "token-unknown-key").await;
    *keys.keys.lock().expect("keys") = json!({"keys": [ec_jwk(&new, "k2")]});
    // A key set is not asked for again at every unknown key; a minute later it is.
    stage.clock.advance(Duration::from_secs(61));
    expect_user(&stage, &sign_ec(&new, "k2", &claims("idp", "1"))).await;
}

#[tokio::test]
async fn a_token_must_be_of_this_time_this_audience_and_a_known_issuer() {
    let stage = Stage::new().await;
    let now = stage.clock.now().as_secs();
    let good = json!({"iss": "tests", "aud": "bellwire", "sub": "alice", "exp": now + 60, "nbf": now, "iat": now});
    expect_user(&stage, &user_token(&good)).await;
    for (claim, value, code) in [
        ("exp", json!(now - 31), "token-expired"),
        ("exp", json!(null), "token-wrong-claim"),
        ("nbf", json!(now + 60), "token-not-yet-valid"),
        ("aud", json!("somebody"), "token-wrong-audience"),
        ("iss", json!("nobody"), "token-unknown-issuer"),
        ("sub", json!(""), "token-bad-user-id"),
        ("sub", json!("a b"), "token-bad-user-id"),
    ] {
        let mut claims = good.clone();
        claims[claim] = value;
        expect_refused(&stage, &user_token(&claims), code).await;
    }
    let mut within_leeway = good.clone();
    within_leeway["exp"] = json!(now - 10);
    expect_user(&stage, &user_token(&within_leeway)).await;
    for garbage in ["x", "a.b.c", "...", "bw_sk_", &"x".repeat(9000)] {
        let refused = stage.http.get("/v1/devices", garbage).await;
        assert_eq!(
            (refused.status, &refused.headers["content-type"]),
            (401, &"application/problem+json".parse().expect("a value"))
        );
    }
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_are_no_fault_of_the_token() {
    let users = "[[auth.users]]\nissuer = \"idp\"\nalgorithm = \"ES256\"\njwks_url = \"http://127.0.0.1:1/jwks.json\"";
    let stage = Stage::with(users).await;
    let token = sign_ec(&ec(), "k1", &claims("idp", "alice"));
    let refused = stage.http.get("/v1/devices", &token).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.expect_problem(503, "keys-unavailable");
    expect_user(&stage, &bearer("alice")).await;
}
