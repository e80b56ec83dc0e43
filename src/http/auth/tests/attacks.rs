//! What attackers do to tokens: other algorithms, other keys, other places to get keys from, tokens in tokens, names that come twice.
//!
//! None of it is believed, and each is refused with the code that says why. Others of the kind are in `tokens`.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::jwks::{Provider, es256, jwk};
use super::*;
use crate::config::auth::Asymmetric;
use crate::crypto::test_keys::{ec, rsa};
use crate::crypto::{Es256Key, Rs256Key};

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

/// A token of these very bytes, truly signed with the secret.
fn signed(header: &str, claims: &str) -> String {
    signed_with(SECRET.as_bytes(), header, claims)
}

fn signed_with(secret: &[u8], header: &str, claims: &str) -> String {
    crate::crypto::install().expect("first");
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signed");
    format!("{message}.{signature}")
}

#[tokio::test]
async fn a_published_key_is_never_a_shared_secret() {
    let clock = Clock::system();
    let ec = ec();
    let rsa_jwk = json!({"kty": "RSA", "kid": "r", "n": rsa().n, "e": rsa().e});
    let provider = Provider::start(&json!([jwk(&ec, "e"), rsa_jwk])).await;
    let modulus = BASE64URL_NOPAD.decode(rsa().n.as_bytes()).expect("base64");
    let claims = claims(&clock).to_string();
    for algorithm in [Asymmetric::Rs256, Asymmetric::Es256] {
        let authenticator = provider.users(algorithm, &clock);
        for secret in [rsa().public_spki.as_bytes(), rsa().public_pkcs1.as_bytes(), rsa().n.as_bytes(), &modulus, b""] {
            for header in [r#"{"alg":"HS256","kid":"r"}"#, r#"{"alg":"HS256","kid":"e"}"#, r#"{"alg":"HS256"}"#] {
                let token = signed_with(secret, header, &claims);
                assert_eq!(user(&authenticator, &token).await, Err(AuthError::WrongAlgorithm), "{header}");
            }
        }
    }
    assert_eq!(provider.asked(), 0, "not even fetched");
}

#[tokio::test]
async fn a_key_is_for_its_own_algorithm() {
    let clock = Clock::system();
    let ec = ec();
    let rsa_jwk = json!({"kty": "RSA", "kid": "one", "n": rsa().n, "e": rsa().e});
    let provider = Provider::start(&json!([rsa_jwk, jwk(&ec, "one")])).await;
    let rs256 = Rs256Key::from_pem(&rsa().private_pem).expect("a key");
    let rs256 = rs256.sign_jwt(&json!({"kid": "one"}), &claims(&clock)).expect("signed");
    let es256 = es256(&ec, Some("one"), &clock);
    // Both have the same id; each issuer takes one algorithm alone.
    for (algorithm, good, bad) in [(Asymmetric::Rs256, &rs256, &es256), (Asymmetric::Es256, &es256, &rs256)] {
        let authenticator = provider.users(algorithm, &clock);
        assert!(user(&authenticator, good).await.is_ok());
        assert_eq!(user(&authenticator, bad).await, Err(AuthError::WrongAlgorithm));
        // The other's signature under this algorithm's name.
        let name = if algorithm == Asymmetric::Rs256 { "RS256" } else { "ES256" };
        let (_, rest) = bad.split_once('.').expect("parts");
        let renamed = format!("{}.{rest}", encode(format!(r#"{{"alg":"{name}","kid":"one"}}"#)));
        assert_eq!(user(&authenticator, &renamed).await, Err(AuthError::BadSignature));
    }
}

#[tokio::test]
async fn an_algorithm_has_one_spelling() {
    let clock = Clock::system();
    let authenticator = authenticator(vec![hs256_users()], &clock);
    let claims = claims(&clock).to_string();
    for alg in
        ["none", "None", "NONE", "nOnE", "hs256", "Hs256", "HS256 ", "HS-256", "", "HMAC", "ES256K", "dir", "RSA-OAEP"]
    {
        let token = signed(&json!({"alg": alg}).to_string(), &claims);
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::Malformed), "{alg}");
    }
    for header in
        [r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":{"HS256":1}}"#, r#"{"Alg":"HS256"}"#, r#"{"alg":0}"#]
    {
        assert_eq!(user(&authenticator, &signed(header, &claims)).await, Err(AuthError::Malformed), "{header}");
    }
    for alg in ["HS384", "HS512", "PS256", "ES384", "EdDSA", "RS256", "ES256"] {
        let token = signed(&json!({"alg": alg}).to_string(), &claims);
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::WrongAlgorithm), "{alg}");
    }
}

/// Signatures of ECDSA that verified at careless libraries: zeros, the order of the curve, and DER in place of two numbers.
#[tokio::test]
async fn degenerate_signatures_are_refused() {
    let clock = Clock::system();
    let key = ec();
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    let good = es256(&key, Some("one"), &clock);
    let (message, signature) = good.rsplit_once('.').expect("parts");
    let raw = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64");
    let order = data_encoding::HEXUPPER
        .decode(b"FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551")
        .expect("hex");
    let der = [&[0x30, 0x44, 0x02, 0x20], &raw[..32], &[0x02, 0x20], &raw[32..]].concat();
    for (what, bad) in [
        ("nothing", Vec::new()),
        ("zeros", vec![0; 64]),
        ("r of zero", [&[0; 32], &raw[32..]].concat()),
        ("s of zero", [&raw[..32], &[0; 32]].concat()),
        ("the order", order.repeat(2)),
        ("DER", der),
        ("a byte more", [raw.as_slice(), &[0]].concat()),
        ("swapped", [&raw[32..], &raw[..32]].concat()),
    ] {
        let token = format!("{message}.{}", encode(bad));
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::BadSignature), "{what}");
    }
    assert!(user(&authenticator, &good).await.is_ok());
}

/// `jku`, `x5u`, `jwk` and `x5c` (RFC 7515, section 4.1) offer a key of the attacker's; nothing here looks at them.
#[tokio::test]
async fn a_token_brings_no_key_of_its_own() {
    let clock = Clock::system();
    let (theirs, evil) = (ec(), ec());
    let provider = Provider::start(&json!([jwk(&theirs, "one")])).await;
    let attacker = Provider::start(&json!([jwk(&evil, "one")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    authenticator.prefetch().await;
    let key = Es256Key::from_pem(&evil.serialize_pem()).expect("a key");
    for more in [
        json!({"jku": attacker.url}),
        json!({"x5u": attacker.url}),
        json!({"jwk": jwk(&evil, "one")}),
        json!({"x5c": ["MIIB"]}),
        json!({"x5t": "AAAA", "x5t#S256": "AAAA"}),
        json!({"jku": attacker.url, "kid": attacker.url}),
    ] {
        for kid in [json!("one"), Value::Null] {
            let header = with(json!({"kid": kid}), &more);
            let token = key.sign_jwt(&header, &claims(&clock)).expect("signed");
            let refused = user(&authenticator, &token).await;
            assert!(matches!(refused, Err(AuthError::BadSignature | AuthError::UnknownKey)), "{header}: {refused:?}");
        }
    }
    assert_eq!(attacker.asked(), 0);
    assert_eq!(provider.asked(), 1, "at the floor");
}

#[tokio::test]
async fn a_key_id_is_only_compared() {
    let clock = Clock::system();
    let key = ec();
    let provider = Provider::start(&json!([jwk(&key, "one")])).await;
    let authenticator = provider.users(Asymmetric::Es256, &clock);
    authenticator.prefetch().await;
    for kid in [
        "../../../../dev/null",
        "/dev/null",
        "file:///etc/passwd",
        "one' OR '1'='1",
        "one\u{0}",
        "ONE",
        " one",
        "",
        "http://127.0.0.1/",
        "| cat /etc/passwd",
        "%6fne",
        "${jndi:ldap://x}",
        "\u{202e}eno",
    ] {
        let refused = user(&authenticator, &es256(&key, Some(kid), &clock)).await;
        assert_eq!(refused, Err(AuthError::UnknownKey), "{kid}");
    }
    let key = Es256Key::from_pem(&key.serialize_pem()).expect("a key");
    for kid in [json!(1), json!(["one"]), json!({"one": "one"}), json!(true), json!("k".repeat(4000))] {
        let token = key.sign_jwt(&json!({"kid": kid}), &claims(&clock)).expect("signed");
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::Malformed), "{kid:.20}");
    }
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn a_token_in_a_token_is_refused() {
    let clock = Clock::system();
    let authenticator = authenticator(vec![hs256_users()], &clock);
    let inner = hs256(&claims(&clock));
    let part = encode("x");
    for (what, token) in [
        ("a JWS as the claims", signed(r#"{"alg":"HS256","cty":"JWT"}"#, &inner)),
        ("a JWS as a JSON text", signed(r#"{"alg":"HS256"}"#, &json!(inner).to_string())),
        ("claims that are called a token", signed(r#"{"alg":"HS256","cty":"JWT"}"#, &claims(&clock).to_string())),
        ("the same in lower case", signed(r#"{"alg":"HS256","cty":"jwt"}"#, &claims(&clock).to_string())),
        ("a JWE", format!("{}.{part}.{part}.{part}.{part}", encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#))),
        (
            "a JWE by a shared key",
            format!("{}..{part}.{part}.{part}", encode(r#"{"alg":"dir","enc":"A128CBC-HS256"}"#)),
        ),
        ("a JWE that calls itself HS256", format!("{}.{part}.{part}.{part}.{part}", encode(r#"{"alg":"HS256"}"#))),
        ("JWS as JSON", json!({"payload": part, "signatures": []}).to_string()),
        ("a detached payload", {
            let (header, rest) = inner.split_once('.').expect("parts");
            format!("{header}..{}", rest.rsplit_once('.').expect("parts").1)
        }),
        ("a payload that is no base64", signed(r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#, "$.02")),
    ] {
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::Malformed), "{what}");
    }
}

#[tokio::test]
async fn a_name_that_comes_twice_is_refused_wherever_it_stands() {
    let clock = Clock::system();
    let authenticator = authenticator(vec![hs256_users()], &clock);
    let body = claims(&clock).to_string();
    let twice = |more: &str| format!("{},{more}}}", &body[..body.len() - 1]);
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256","typ":"JWT","typ":"bw-ticket"}"#,
        r#"{"alg":"HS256","x":1,"x":1}"#,
        r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
        r#"{"alg":"HS256","crit":null,"crit":["x"]}"#,
    ] {
        assert_eq!(user(&authenticator, &signed(header, &body)).await, Err(AuthError::Malformed), "{header}");
    }
    for more in [
        r#""sub":"eve""#,
        r#""role":"authenticated""#,
        r#""exp":99999999999"#,
        r#""app_metadata":{"name":"a","name":"b"}"#,
        r#""x":[{"y":{"z":1,"z":2}}]"#,
    ] {
        let token = signed(r#"{"alg":"HS256"}"#, &twice(more));
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::Malformed), "{more}");
    }
    let once = signed(r#"{"alg":"HS256"}"#, &twice(r#""x":[{"y":1},{"y":1}],"z":{"sub":"eve","n":-1.5e3,"t":null}"#));
    assert_eq!(user(&authenticator, &once).await.expect("a user").id.as_str(), "u:bob");
}

#[tokio::test]
async fn a_critical_extension_is_refused_whatever_it_is() {
    let clock = Clock::system();
    let authenticator = authenticator(vec![hs256_users()], &clock);
    for crit in ["[]", r#"["exp"]"#, r#"["alg"]"#, r#""b64""#, "{}", "0", "false"] {
        let token = signed(&format!(r#"{{"alg":"HS256","crit":{crit}}}"#), &claims(&clock).to_string());
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::Malformed), "{crit}");
    }
}

#[tokio::test]
async fn an_issuer_has_one_spelling() {
    let clock = Clock::system();
    let authenticator = authenticator(vec![hs256_users()], &clock);
    for issuer in [
        json!("https://id.example/"),
        json!("HTTPS://ID.EXAMPLE"),
        json!("http://id.example"),
        json!("https://id.example "),
        json!("https://id.example\u{0}"),
        json!("https://id.example.evil.example"),
        json!("https://evil.example@id.example"),
        json!(""),
        json!(1),
        json!({"https://id.example": 1}),
    ] {
        let token = hs256(&with(claims(&clock), &json!({"iss": issuer})));
        assert_eq!(user(&authenticator, &token).await, Err(AuthError::UnknownIssuer), "{issuer}");
    }
}

#[tokio::test]
async fn the_leeway_is_the_configured_one() {
    let clock = Clock::system();
    let now = clock.now().as_secs();
    for (leeway, within, beyond) in [(0, 0, 2), (30, 25, 35), (300, 290, 310)] {
        let config = Auth {
            users: vec![hs256_users()],
            service_keys: Vec::new(),
            ticket_secrets: Vec::new(),
            leeway: Duration::from_secs(leeway),
        };
        let authenticator = Authenticator::new(&config, tickets(), clock.clone()).expect("a good configuration");
        let expired =
            async |by: u64| user(&authenticator, &hs256(&with(claims(&clock), &json!({"exp": now - by})))).await;
        let early =
            async |by: u64| user(&authenticator, &hs256(&with(claims(&clock), &json!({"nbf": now + by})))).await;
        assert_eq!(expired(beyond).await, Err(AuthError::Expired), "{leeway}");
        assert_eq!(early(beyond).await, Err(AuthError::NotYetValid), "{leeway}");
        assert!(early(within).await.is_ok(), "{leeway}");
        assert!(leeway == 0 || expired(within).await.is_ok(), "{leeway}");
    }
}

/// The keys of a Supabase project that are JWTs, signed with the secret that users' tokens of older projects are signed with too.
#[tokio::test]
async fn the_keys_of_a_supabase_project_are_no_users() {
    let clock = Clock::system();
    let now = clock.now().as_secs();
    let of_project = |role: &str, issuer: &str| json!({"iss": issuer, "ref": "abcdefghijklmnopqrst", "role": role, "iat": now - 1000, "exp": now + 300_000_000});
    let issuer = "https://abcdefghijklmnopqrst.supabase.co/auth/v1";
    let session = json!({
        "iss": issuer, "sub": "8f1e7b1c-4b0f-4a0e-9d6c-2f6c1d1b9a10", "aud": "authenticated", "role": "authenticated", "aal": "aal1",
        "session_id": "0c0b5a9e-4b0f-4a0e-9d6c-2f6c1d1b9a10", "email": "bob@example.com", "phone": "", "is_anonymous": false,
        "app_metadata": {"provider": "email"}, "user_metadata": {}, "iat": now, "exp": now + 3600,
    });
    let as_documented = Users {
        issuer: issuer.to_owned(),
        audience: Some("authenticated".to_owned()),
        user_prefix: String::new(),
        ..hs256_users()
    };
    // Of one who has left out all that can be left out, and has even taken the keys' issuer for the users'.
    let careless = |issuer: &str| Users {
        issuer: issuer.to_owned(),
        audience: None,
        required_claims: BTreeMap::new(),
        ..as_documented.clone()
    };
    let all = authenticator(vec![as_documented.clone()], &clock);
    assert!(user(&all, &hs256(&session)).await.is_ok());
    for role in ["anon", "service_role"] {
        let key = hs256(&of_project(role, "supabase"));
        assert_eq!(user(&all, &key).await, Err(AuthError::UnknownIssuer), "{role}");
        for (issuer, of_key) in [("supabase", "supabase"), (issuer, issuer)] {
            let careless = authenticator(vec![careless(issuer)], &clock);
            let refused = user(&careless, &hs256(&of_project(role, of_key))).await;
            assert_eq!(refused, Err(AuthError::MissingClaim("sub".to_owned())), "{role}");
        }
        // A session token whose role is that of a key.
        let raised = hs256(&with(session.clone(), &json!({"role": role})));
        assert_eq!(user(&all, &raised).await, Err(AuthError::WrongClaim("role".to_owned())), "{role}");
    }
    for key in ["sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH", "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"] {
        assert_eq!(user(&all, key).await, Err(AuthError::Malformed), "{key:.15}");
    }
}
