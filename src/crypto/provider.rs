//! The provider that `jsonwebtoken` signs and verifies with.

use std::sync::OnceLock;

use jsonwebtoken::crypto::{CryptoProvider, JwkUtils, JwtSigner, JwtVerifier};
use jsonwebtoken::errors::{Error, ErrorKind, Result};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use signature::{Error as SignatureError, Signer, Verifier};

/// Another provider was there first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another jsonwebtoken provider is in place; crypto::install() must come before every use of a token")]
pub struct AlreadyInstalled;

/// Makes ring the provider of `jsonwebtoken` for this process; further calls do nothing.
///
/// It must come before anything else: `livekit-token` installs a provider of its own on first use, which
/// knows HMAC alone, and then it is too late. Who signs or verifies calls it when made, so that `jsonwebtoken`
/// is never used without a provider, at which it panics.
pub fn install() -> std::result::Result<(), AlreadyInstalled> {
    static INSTALLED: OnceLock<std::result::Result<(), AlreadyInstalled>> = OnceLock::new();
    *INSTALLED.get_or_init(|| PROVIDER.install_default().map_err(|_| AlreadyInstalled))
}

// No JWK functions: verifying with a JWK's key does not need them, only making a JWK does.
static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory, verifier_factory, jwk_utils: JwkUtils::new_unimplemented() };

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that jsonwebtoken wants")]
fn signer_factory(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_hmac_secret()?)))),
        Algorithm::RS256 => {
            expect_family(key.family(), AlgorithmFamily::Rsa)?;
            let pair = RsaKeyPair::from_der(key.inner()).map_err(|e| ErrorKind::InvalidRsaKey(e.to_string()))?;
            Ok(Box::new(Rs256Signer(pair)))
        }
        Algorithm::ES256 => {
            expect_family(key.family(), AlgorithmFamily::Ec)?;
            let random = SystemRandom::new();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.inner(), &random)
                .map_err(|_| ErrorKind::InvalidEcdsaKey)?;
            Ok(Box::new(Es256Signer(pair, random)))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that jsonwebtoken wants")]
fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_hmac_secret()?)))),
        Algorithm::RS256 => {
            expect_family(key.family(), AlgorithmFamily::Rsa)?;
            Ok(Box::new(Rs256Verifier(key.kind().clone())))
        }
        Algorithm::ES256 => {
            expect_family(key.family(), AlgorithmFamily::Ec)?;
            Ok(Box::new(Es256Verifier(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.as_bytes().to_vec()))))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn expect_family(family: AlgorithmFamily, expected: AlgorithmFamily) -> Result<()> {
    if family == expected { Ok(()) } else { Err(Error::from(ErrorKind::InvalidKeyFormat)) }
}

struct Hs256(hmac::Key);
struct Rs256Signer(RsaKeyPair);
struct Rs256Verifier(DecodingKeyKind);
struct Es256Signer(EcdsaKeyPair, SystemRandom);
struct Es256Verifier(UnparsedPublicKey<Vec<u8>>);

type Signed = std::result::Result<Vec<u8>, SignatureError>;
type Verified = std::result::Result<(), SignatureError>;

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Signed {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Verified {
        hmac::verify(&self.0, message, signature).map_err(|_| SignatureError::new())
    }
}

impl Signer<Vec<u8>> for Rs256Signer {
    fn try_sign(&self, message: &[u8]) -> Signed {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| SignatureError::new())?;
        Ok(signature)
    }
}

impl Verifier<Vec<u8>> for Rs256Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Verified {
        match &self.0 {
            DecodingKeyKind::SecretOrDer(der) => {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).verify(message, signature)
            }
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        }
        .map_err(|_| SignatureError::new())
    }
}

impl Signer<Vec<u8>> for Es256Signer {
    fn try_sign(&self, message: &[u8]) -> Signed {
        let signature = self.0.sign(&self.1, message).map_err(|_| SignatureError::new())?;
        Ok(signature.as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Es256Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Verified {
        self.0.verify(message, signature).map_err(|_| SignatureError::new())
    }
}

macro_rules! algorithm {
    ($side:ident, $type:ident, $algorithm:ident) => {
        impl $side for $type {
            fn algorithm(&self) -> Algorithm {
                Algorithm::$algorithm
            }
        }
    };
}

algorithm!(JwtSigner, Hs256, HS256);
algorithm!(JwtVerifier, Hs256, HS256);
algorithm!(JwtSigner, Rs256Signer, RS256);
algorithm!(JwtVerifier, Rs256Verifier, RS256);
algorithm!(JwtSigner, Es256Signer, ES256);
algorithm!(JwtVerifier, Es256Verifier, ES256);
