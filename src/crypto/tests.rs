//! What is signed here is verified by the key that goes with it, whoever else uses `jsonwebtoken`.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use livekit_api::access_token::{AccessToken, VideoGrants};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use serde_json::{Value, json};

use super::test_keys::{ec, ec_coordinates, rsa};
use super::*;

fn header() -> Value {
    json!({"kid": "one", "typ": "JWT"})
}

#[test]
fn rs256_and_es256_still_work_after_livekit_has_minted() {
    install().expect("first");
    let grants = VideoGrants { room_join: true, room: "r".to_owned(), ..VideoGrants::default() };
    let token = AccessToken::with_api_key("key", "secret").with_identity("alice").with_grants(grants);
    assert!(token.to_jwt().is_ok());

    let claims = json!({"sub": "bob"});
    let ec = ec();
    for (algorithm, private, public) in [
        (
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(rsa().private_pem.as_bytes()),
            DecodingKey::from_rsa_pem(rsa().public_spki.as_bytes()),
        ),
        (
            Algorithm::ES256,
            EncodingKey::from_ec_pem(ec.serialize_pem().as_bytes()),
            DecodingKey::from_ec_pem(ec.public_key_pem().as_bytes()),
        ),
    ] {
        let (private, public) = (private.expect("a private key"), public.expect("a public key"));
        let token = jsonwebtoken::encode(&Header::new(algorithm), &claims, &private).expect("signed");
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let read = jsonwebtoken::decode::<Value>(&token, &public, &validation).expect("verified");
        assert_eq!(read.claims, claims);
    }
    assert_eq!(install(), Ok(()), "again");
}

#[test]
fn other_algorithms_are_refused() {
    install().expect("first");
    let key = EncodingKey::from_secret(b"secret");
    assert!(jsonwebtoken::encode(&Header::new(Algorithm::HS512), &json!({}), &key).is_err());
    let rsa = EncodingKey::from_rsa_pem(rsa().private_pem.as_bytes()).expect("a key");
    assert!(jsonwebtoken::encode(&Header::new(Algorithm::PS256), &json!({}), &rsa).is_err());
}

#[test]
fn what_a_kept_key_signs_its_public_key_verifies() {
    install().expect("first");
    let ec = ec();
    let (x, y) = ec_coordinates(&ec);
    let es256 = Es256Key::from_pem(&ec.serialize_pem()).expect("a key");
    let rs256 = Rs256Key::from_pem(&rsa().private_pem).expect("a key");
    let es256 = es256.sign_jwt(&header(), &json!({"iss": "team"})).expect("signed");
    let rs256 = rs256.sign_jwt(&header(), &json!({"iss": "team"})).expect("signed");
    let es256_keys = [VerifyingKey::es256_pem(&ec.public_key_pem()), VerifyingKey::es256_jwk(&x, &y)];
    let zero_first = data_encoding::BASE64URL_NOPAD.decode(rsa().n.as_bytes()).map(|n| [vec![0], n].concat());
    let zero_first = data_encoding::BASE64URL_NOPAD.encode(&zero_first.expect("base64"));
    let rs256_keys = [
        VerifyingKey::rs256_pem(&rsa().public_spki),
        VerifyingKey::rs256_pem(&rsa().public_pkcs1),
        VerifyingKey::rs256_jwk(&rsa().n, &rsa().e),
        VerifyingKey::rs256_jwk(&zero_first, &rsa().e),
    ];
    for (token, keys, other) in
        [(&es256, es256_keys.as_slice(), &rs256_keys[0]), (&rs256, rs256_keys.as_slice(), &es256_keys[0])]
    {
        let token = Compact::read(token).expect("a token");
        assert_eq!(token.header().kid.as_deref(), Some("one"));
        for key in keys {
            assert_eq!(token.verify(key.as_ref().expect("a key")), Ok(()), "{key:?}");
        }
        assert_eq!(token.verify(other.as_ref().expect("a key")), Err(Refused::Algorithm));
    }
    let stranger = VerifyingKey::es256_pem(&super::test_keys::ec().public_key_pem()).expect("a key");
    assert_eq!(Compact::read(&es256).expect("a token").verify(&stranger), Err(Refused::Signature));
}

#[test]
fn keys_of_the_wrong_kind_are_refused() {
    let ec = ec();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key");
    assert!(matches!(VerifyingKey::rs256_pem(&rsa().private_pem), Err(KeyError::NotPublic)));
    assert!(matches!(VerifyingKey::es256_pem(&ec.serialize_pem()), Err(KeyError::NotPublic)));
    assert!(matches!(VerifyingKey::es256_pem("no PEM"), Err(KeyError::NotPublic)));
    assert!(matches!(VerifyingKey::es256_pem("-----BEGIN PUBLIC KEY-----"), Err(KeyError::Unreadable(_))));
    assert!(matches!(VerifyingKey::es256_pem(&rsa().public_spki), Err(KeyError::Unreadable(_))));
    assert!(matches!(VerifyingKey::rs256_pem(&ec.public_key_pem()), Err(KeyError::Unreadable(_))));
    assert!(matches!(VerifyingKey::es256_pem(&p384.public_key_pem()), Err(KeyError::NotP256)));
    assert!(matches!(VerifyingKey::es256_jwk("AAAA", "AAAA"), Err(KeyError::NotP256)));
    assert!(matches!(VerifyingKey::rs256_jwk("AAAA", "AQAB"), Err(KeyError::RsaSize)));
    assert!(matches!(Es256Key::from_pem(&p384.serialize_pem()), Err(KeyError::Rejected(_))));
    assert!(matches!(Es256Key::from_pem(&rsa().private_pem), Err(KeyError::Unreadable(_))));
    assert!(matches!(Rs256Key::from_pem(&ec.serialize_pem()), Err(KeyError::Unreadable(_))));
}

#[test]
fn private_keys_are_not_shown() {
    let es256 = Es256Key::from_pem(&ec().serialize_pem()).expect("a key");
    assert_eq!(format!("{es256:?}"), "Es256Key(secret)");
    assert_eq!(format!("{:?}", VerifyingKey::hs256(b"hidden")), "VerifyingKey(HS256)");
    assert!(matches!(es256.sign_jwt(&json!([]), &json!({})), Err(SignError::Header)));
}
