//! Good and bad tokens by a shared secret, tickets, service keys, and what is none of them.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::*;
use crate::domain::ids::IdError;
use crate::domain::{AppId, CallId, DeviceId, Timestamp, UserId};
use crate::ticket::Ticket;

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// A token with this header and these claims that is truly signed with the secret.
fn signed(header: &str, claims: &[u8]) -> String {
    let message = format!("{}.{}", encode(header.as_bytes()), encode(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signed");
    format!("{message}.{signature}")
}

#[tokio::test]
async fn a_good_token_says_who_its_user_is() {
    let clock = Clock::system();
    let chat = AppId::new("com.example.chat").expect("an app");
    let authenticator = authenticator(vec![Users { apps: vec![chat.clone()], ..hs256_users() }], &clock);
    let claims = with(
        claims(&clock),
        &json!({"app_metadata": {"name": " Bob\u{7} "}, "https://id.example/avatar": "https://cdn.example/bob.png"}),
    );
    let caller = with_header(&authenticator, Some(&format!("bearer {}", hs256(&claims)))).await;
    let expires = claims["exp"].as_u64().expect("a number") * 1000;
    assert_eq!(
        caller,
        Ok(Caller::User(UserIdentity {
            id: UserId::new("u:bob").expect("a user"),
            name: Some("Bob".to_owned()),
            avatar: Some("https://cdn.example/bob.png".to_owned()),
            apps: [chat].into(),
            expires_at: Timestamp::from_millis(expires) + LEEWAY,
        }))
    );
}

#[tokio::test]
async fn tokens_within_the_rules_are_accepted() {
    let clock = Clock::system();
    let now = clock.now().as_secs();
    let authenticator = authenticator(vec![hs256_users()], &clock);
    for (what, changes) in [
        ("several audiences", json!({"aud": ["other", "app"]})),
        ("a numeric user id", json!({"sub": 42})),
        ("expired within the leeway", json!({"exp": now - 20})),
        ("issued within the leeway", json!({"iat": now + 20, "nbf": now + 20})),
        ("no iat", json!({"iat": null})),
        ("times with a fraction", json!({"exp": 99_999_999_999.5, "iat": 0.5})),
        ("an end beyond all time", json!({"exp": u64::MAX})),
        ("an avatar from elsewhere", json!({"https://id.example/avatar": "https://evil.example/"})),
        ("a name that is no text", json!({"app_metadata": {"name": {}}})),
    ] {
        let identity = user(&authenticator, &hs256(&with(claims(&clock), &changes))).await;
        assert!(
            identity.as_ref().is_ok_and(|user| user.avatar.is_none() && user.name.is_none()),
            "{what}: {identity:?}"
        );
    }
}

#[tokio::test]
async fn tokens_against_the_rules_are_refused() {
    let clock = Clock::system();
    let now = clock.now().as_secs();
    let authenticator = authenticator(vec![hs256_users()], &clock);
    let missing = |name: &str| AuthError::MissingClaim(name.to_owned());
    let wrong = |name: &str| AuthError::WrongClaim(name.to_owned());
    for (changes, expected) in [
        (json!({"exp": now - 31}), AuthError::Expired),
        (json!({"exp": 0}), AuthError::Expired),
        (json!({"exp": null}), missing("exp")),
        (json!({"exp": "tomorrow"}), wrong("exp")),
        (json!({"exp": -1}), wrong("exp")),
        (json!({"exp": 1e300}), wrong("exp")),
        (json!({"nbf": now + 40}), AuthError::NotYetValid),
        (json!({"iat": now + 40}), AuthError::NotYetValid),
        (json!({"iat": []}), wrong("iat")),
        (json!({"aud": null}), missing("aud")),
        (json!({"aud": "other"}), AuthError::WrongAudience),
        (json!({"aud": ["other", 7]}), AuthError::WrongAudience),
        (json!({"aud": {"app": "app"}}), AuthError::WrongAudience),
        (json!({"iss": null}), AuthError::UnknownIssuer),
        (json!({"iss": "supabase"}), AuthError::UnknownIssuer),
        (json!({"iss": [ISSUER]}), AuthError::UnknownIssuer),
        (json!({"role": null}), missing("role")),
        (json!({"role": "service_role"}), wrong("role")),
        (json!({"role": "anon"}), wrong("role")),
        (json!({"role": ["authenticated"]}), wrong("role")),
        (json!({"sub": null}), missing("sub")),
        (json!({"sub": {}}), wrong("sub")),
        (json!({"sub": 1.5}), wrong("sub")),
        (json!({"sub": ""}), AuthError::BadUserId(IdError::Empty)),
        (json!({"sub": "x".repeat(127)}), AuthError::BadUserId(IdError::TooLong(128))),
    ] {
        let token = hs256(&with(claims(&clock), &changes));
        assert_eq!(user(&authenticator, &token).await, Err(expected), "{changes}");
    }
    let spaces = user(&authenticator, &hs256(&with(claims(&clock), &json!({"sub": "a b"})))).await;
    assert!(matches!(spaces, Err(AuthError::BadUserId(IdError::Character(_)))), "{spaces:?}");
}

#[tokio::test]
async fn forged_and_broken_tokens_are_refused() {
    let clock = Clock::system();
    let authenticator = authenticator(vec![hs256_users()], &clock);
    let claims = claims(&clock);
    let body = claims.to_string();
    let good = hs256(&claims);
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let (header, payload) = message.split_once('.').expect("two parts");
    let other_payload = encode(with(claims.clone(), &json!({"sub": "eve"})).to_string().as_bytes());
    let deep = format!("{{\"iss\":{}1{}}}", "[".repeat(1500), "]".repeat(1500));
    let plain = r#"{"alg":"HS256"}"#;
    let none = encode(br#"{"alg":"none"}"#);

    for (what, token, expected) in [
        ("nothing", String::new(), AuthError::Missing),
        ("one part", "token".to_owned(), AuthError::Malformed),
        ("two parts", message.to_owned(), AuthError::Malformed),
        ("four parts", format!("{good}.{signature}"), AuthError::Malformed),
        ("three dots", "...".to_owned(), AuthError::Malformed),
        ("no signature", format!("{message}."), AuthError::BadSignature),
        ("a changed payload", format!("{header}.{other_payload}.{signature}"), AuthError::BadSignature),
        ("half a signature", format!("{message}.{}", &signature[..20]), AuthError::BadSignature),
        ("a signature that is no base64", format!("{message}.%%%"), AuthError::BadSignature),
        ("another's secret", hs256_with("another secret", "JWT", &claims), AuthError::BadSignature),
        ("an empty secret", hs256_with("", "JWT", &claims), AuthError::BadSignature),
        ("alg none", format!("{none}.{payload}."), AuthError::Malformed),
        ("alg none with a signature", format!("{none}.{payload}.{signature}"), AuthError::Malformed),
        ("alg HS512", signed(r#"{"alg":"HS512"}"#, body.as_bytes()), AuthError::WrongAlgorithm),
        ("alg RS256", signed(r#"{"alg":"RS256"}"#, body.as_bytes()), AuthError::WrongAlgorithm),
        ("no alg", signed("{}", body.as_bytes()), AuthError::Malformed),
        ("two algs", signed(r#"{"alg":"none","alg":"HS256"}"#, body.as_bytes()), AuthError::Malformed),
        ("a critical extension", signed(r#"{"alg":"HS256","crit":["b64"]}"#, body.as_bytes()), AuthError::Malformed),
        ("padding", format!("{header}.{payload}=.{signature}"), AuthError::Malformed),
        ("claims that are no UTF-8", signed(plain, b"{\"iss\":\"\xff\xfe\"}"), AuthError::Malformed),
        ("claims that are a list", signed(plain, b"[]"), AuthError::Malformed),
        ("claims that are no JSON", signed(plain, b"garbage"), AuthError::Malformed),
        ("claims without end", signed(plain, deep.as_bytes()), AuthError::Malformed),
        ("a huge token", format!("{message}{}.{signature}", "A".repeat(8192)), AuthError::TooLong),
        ("another script", "токен.токен.токен".to_owned(), AuthError::Malformed),
    ] {
        assert_eq!(authenticator.authenticate(&token).await, Err(expected), "{what}");
    }
    assert!(user(&authenticator, &signed(plain, body.as_bytes())).await.is_ok(), "the same, unbroken");
}

async fn with_header(authenticator: &Authenticator, header: Option<&str>) -> Result<Caller, AuthError> {
    authenticator.authenticate(bearer(header)?).await
}

#[tokio::test]
async fn a_bearer_token_is_asked_for() {
    let authenticator = authenticator(vec![hs256_users()], &Clock::system());
    for header in [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Basic Ym9iOmJvYg=="), Some("token")] {
        assert_eq!(with_header(&authenticator, header).await, Err(AuthError::Missing), "{header:?}");
    }
}

#[tokio::test]
async fn required_claims_may_be_numbers_booleans_and_nested() {
    let clock = Clock::system();
    let required_claims = [("email_verified", "true"), ("level.now", "2")];
    let required_claims = required_claims.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let authenticator = authenticator(vec![Users { required_claims, ..hs256_users() }], &clock);
    let good = with(claims(&clock), &json!({"email_verified": true, "level": {"now": 2}}));
    assert!(user(&authenticator, &hs256(&good)).await.is_ok());
    for (changes, wrong) in [
        (json!({"email_verified": false}), "email_verified"),
        (json!({"level": {"now": 3}}), "level.now"),
        (json!({"level": {"now": [2]}}), "level.now"),
    ] {
        let refused = user(&authenticator, &hs256(&with(good.clone(), &changes))).await;
        assert_eq!(refused, Err(AuthError::WrongClaim(wrong.to_owned())));
    }
}

#[tokio::test]
async fn an_issuers_keys_are_not_tried_with_anothers_tokens() {
    let clock = Clock::system();
    let other = Users {
        issuer: "https://other.example".to_owned(),
        user_prefix: "o:".to_owned(),
        ..users(UserKey::Secret(Secret::new("other secret")))
    };
    let authenticator = authenticator(vec![hs256_users(), other], &clock);
    let theirs = with(claims(&clock), &json!({"iss": "https://other.example"}));
    assert_eq!(user(&authenticator, &hs256(&theirs)).await, Err(AuthError::BadSignature));
    let identity = user(&authenticator, &hs256_with("other secret", "JWT", &theirs)).await.expect("a user");
    assert_eq!(identity.id.as_str(), "o:bob");
}

#[tokio::test]
async fn one_issuer_may_have_several_keys() {
    let clock = Clock::system();
    let staff = Users {
        required_claims: BTreeMap::from([("role".to_owned(), "staff".to_owned())]),
        user_prefix: "staff:".to_owned(),
        ..users(UserKey::Secret(Secret::new("new secret")))
    };
    let authenticator = authenticator(vec![hs256_users(), staff], &clock);
    let claims = claims(&clock);
    assert_eq!(user(&authenticator, &hs256(&claims)).await.expect("a user").id.as_str(), "u:bob");
    // What the key that signed it says counts, not that another key did not.
    let refused = user(&authenticator, &hs256(&with(claims.clone(), &json!({"role": "anon"})))).await;
    assert_eq!(refused, Err(AuthError::WrongClaim("role".to_owned())));
    let staff = hs256_with("new secret", "JWT", &with(claims, &json!({"role": "staff"})));
    assert_eq!(user(&authenticator, &staff).await.expect("a user").id.as_str(), "staff:bob");
}

#[tokio::test]
async fn a_ticket_is_a_device_and_never_a_user() {
    let clock = Clock::system();
    // Even a secret that both share does not make one into the other.
    let shared = users(UserKey::Secret(Secret::new("a ticket secret")));
    let authenticator = authenticator(vec![shared], &clock);
    let ticket = Ticket {
        call: CallId::parse("0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a").expect("a call"),
        user: UserId::new("bob").expect("a user"),
        device: DeviceId::new("iphone-1").expect("a device"),
        expires_at: Timestamp::from_millis((clock.now().as_secs() + 60) * 1000),
    };
    let token = tickets().mint(&ticket).expect("minted");
    assert_eq!(authenticator.authenticate(&token).await, Ok(Caller::Device(ticket)));

    let as_user = hs256_with("a ticket secret", "JWT", &claims(&clock));
    assert!(user(&authenticator, &as_user).await.is_ok());
    let user_as_ticket = hs256_with("a ticket secret", "bw-ticket", &claims(&clock));
    assert_eq!(authenticator.authenticate(&user_as_ticket).await, Err(AuthError::TicketInvalid));
    let claims_of_ticket: Value = crate::crypto::Compact::read(&token).expect("a token").claims().expect("claims");
    let ticket_as_user = hs256_with("a ticket secret", "JWT", &claims_of_ticket);
    assert_eq!(authenticator.authenticate(&ticket_as_user).await, Err(AuthError::UnknownIssuer));

    clock.advance(Duration::from_secs(61));
    assert_eq!(authenticator.authenticate(&token).await, Err(AuthError::TicketExpired));
}

#[tokio::test]
async fn any_of_the_service_keys_is_the_backend() {
    let hash = |key: &str| digest(&SHA256, key.as_bytes()).as_ref().try_into().expect("32 bytes");
    let config = Auth {
        users: Vec::new(),
        service_keys: vec![hash("bw_sk_old"), hash("bw_sk_new")],
        ticket_secrets: Vec::new(),
        leeway: LEEWAY,
    };
    let authenticator = Authenticator::new(&config, tickets(), Clock::system()).expect("a good configuration");
    for good in ["Bearer bw_sk_old", "Bearer bw_sk_new"] {
        assert_eq!(with_header(&authenticator, Some(good)).await, Ok(Caller::Service), "{good}");
    }
    for bad in ["Bearer bw_sk_", "Bearer bw_sk_ol", "Bearer bw_sk_old2", "Bearer BW_SK_old"] {
        assert!(with_header(&authenticator, Some(bad)).await.is_err(), "{bad}");
    }
}
