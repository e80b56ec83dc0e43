//! Users by RS256 and ES256 public keys in PEM files, and configurations that cannot work.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::config::auth::Asymmetric::{self, Es256, Rs256};
use crate::crypto::test_keys::{ec, rsa};
use crate::crypto::{Es256Key, KeyError, Rs256Key};
use crate::http::auth::AuthConfigError;

fn file(folder: &TempDir, pem: &str) -> PathBuf {
    let path = folder.path().join("key.pem");
    std::fs::write(&path, pem).expect("written");
    path
}

fn pem_users(algorithm: Asymmetric, path: PathBuf) -> Vec<Users> {
    vec![users(UserKey::PublicKeyFile(algorithm, path))]
}

#[tokio::test]
async fn rs256_by_pem_in_either_form() {
    let clock = Clock::system();
    let key = Rs256Key::from_pem(&rsa().private_pem).expect("a key");
    let token = key.sign_jwt(&json!({}), &claims(&clock)).expect("signed");
    for pem in [&rsa().public_spki, &rsa().public_pkcs1] {
        let folder = TempDir::new().expect("a folder");
        let authenticator = authenticator(pem_users(Rs256, file(&folder, pem)), &clock);
        assert_eq!(user(&authenticator, &token).await.expect("a user").id.as_str(), "u:bob");
    }
}

#[tokio::test]
async fn es256_by_pem() {
    let clock = Clock::system();
    let (ours, theirs) = (ec(), ec());
    let folder = TempDir::new().expect("a folder");
    let authenticator = authenticator(pem_users(Es256, file(&folder, &ours.public_key_pem())), &clock);
    for (key, expected) in [(&ours, Ok("u:bob")), (&theirs, Err(AuthError::BadSignature))] {
        let key = Es256Key::from_pem(&key.serialize_pem()).expect("a key");
        let token = key.sign_jwt(&json!({}), &claims(&clock)).expect("signed");
        let identity = user(&authenticator, &token).await;
        assert_eq!(identity.as_ref().map(|user| user.id.as_str()).map_err(Clone::clone), expected);
    }
}

#[tokio::test]
async fn a_public_key_is_never_a_shared_secret() {
    let clock = Clock::system();
    let ec = ec();
    for (algorithm, pem) in [(Rs256, rsa().public_spki.clone()), (Es256, ec.public_key_pem())] {
        let folder = TempDir::new().expect("a folder");
        let authenticator = authenticator(pem_users(algorithm, file(&folder, &pem)), &clock);
        for secret in [pem.as_str(), pem.trim_end()] {
            let token = hs256_with(secret, "JWT", &claims(&clock));
            assert_eq!(user(&authenticator, &token).await, Err(AuthError::WrongAlgorithm));
        }
    }
}

#[test]
fn keys_that_cannot_work_are_named() {
    let folder = TempDir::new().expect("a folder");
    let new = |users| {
        let config = Auth { users, service_keys: Vec::new(), ticket_secrets: Vec::new(), leeway: LEEWAY };
        Authenticator::new(&config, tickets(), Clock::system())
    };
    let missing = new(pem_users(Rs256, folder.path().join("missing.pem")));
    assert!(matches!(missing, Err(AuthConfigError::File { .. })), "{missing:?}");
    let private = new(pem_users(Rs256, file(&folder, &rsa().private_pem)));
    assert!(matches!(private, Err(AuthConfigError::Key { source: KeyError::NotPublic, .. })), "{private:?}");
    let no_url = new(vec![users(UserKey::Jwks(Es256, "somewhere".to_owned()))]);
    assert!(matches!(no_url, Err(AuthConfigError::JwksUrl(_))), "{no_url:?}");
}
