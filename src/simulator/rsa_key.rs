//! Makes the RSA key of the simulated service account, and writes it as Google's key files have it: PKCS#8 in PEM.
//!
//! ring signs and verifies with RSA but makes no keys, so the primes come from `crypto-primes`. These keys open
//! nothing but the simulator that made them.

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::{Arc, Mutex};

use crypto_bigint::rand_core::{TryCryptoRng, TryRng};
use crypto_bigint::{CtAssign, NonZero, One, U1024, U2048, Zero};
use crypto_primes::hazmat::{SetBits, SmallFactorsSieveFactory};
use crypto_primes::{Flavor, is_prime, sieve_and_find};
use data_encoding::BASE64;
use ring::signature::{KeyPair, RsaKeyPair};

use super::{SimulatorError, lock};
use crate::clock::Clock;

const EXPONENT: u64 = 65_537;
const PRIME_BITS: u32 = 1024;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// The `AlgorithmIdentifier` of `rsaEncryption`: its object identifier and a null (RFC 8017, A.1).
const RSA_ENCRYPTION: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The process's key: the arithmetic takes some hundred milliseconds, and a test run starts many simulators.
static OF_PROCESS: Mutex<Option<Arc<RsaKey>>> = Mutex::new(None);

/// An RSA key of 2048 bits.
pub(super) struct RsaKey {
    /// The private key, PKCS#8 in PEM.
    pub(super) private_pem: String,
    /// The public key, PKCS#1 in DER, as ring verifies with.
    pub(super) public_der: Vec<u8>,
}

impl RsaKey {
    /// The process's key, made on first use; blocks, so it is never called on an async thread.
    pub(super) fn of_process(clock: &Clock) -> Result<Arc<Self>, SimulatorError> {
        let mut key = lock(&OF_PROCESS);
        if let Some(key) = &*key {
            return Ok(Arc::clone(key));
        }
        Ok(Arc::clone(key.insert(Arc::new(Self::generate(clock)?))))
    }

    fn generate(clock: &Clock) -> Result<Self, SimulatorError> {
        let mut random = ClockRandom(clock);
        loop {
            // Two equal primes, or one that shares a factor with the exponent, make no key: draw again.
            let (p, q) = (prime(&mut random)?, prime(&mut random)?);
            if let Some(key) = private_key(p.max(q), p.min(q)) {
                let der = pkcs8(&key);
                let checked = RsaKeyPair::from_pkcs8(&der).map_err(failed)?;
                return Ok(Self { private_pem: pem(&der), public_der: checked.public_key().as_ref().to_vec() });
            }
        }
    }
}

/// The two highest bits are set, so that the product of two has exactly 2048 bits.
fn prime(random: &mut ClockRandom) -> Result<U1024, SimulatorError> {
    let sieve = SmallFactorsSieveFactory::new(Flavor::Any, PRIME_BITS, SetBits::TwoMsb).map_err(failed)?;
    let found = sieve_and_find(random, sieve, |_, candidate| is_prime(Flavor::Any, candidate)).map_err(failed)?;
    found.ok_or_else(|| failed("no prime found"))
}

/// Neither crate's error is a `std::error::Error`, so what they say is kept as text.
fn failed(why: impl Display) -> SimulatorError {
    SimulatorError::RsaKey(why.to_string())
}

/// `RSAPrivateKey` of RFC 8017, A.1.2; `None` if these two primes make no key.
fn private_key(p: U1024, q: U1024) -> Option<Vec<u8>> {
    let modulus: U2048 = p.concatenating_mul(&q);
    let (p_less_one, q_less_one) = (p.wrapping_sub(&U1024::ONE), q.wrapping_sub(&U1024::ONE));
    let totient: U2048 = p_less_one.concatenating_mul(&q_less_one);
    let private: U2048 = U2048::from(EXPONENT).invert_mod(&non_zero(totient)?).into_option()?;
    let remainder = |divisor: U1024| Some(private.rem_vartime(&non_zero(divisor.resize::<{ U2048::LIMBS }>())?));
    let coefficient = q.invert_mod(&non_zero(p)?).into_option()?;
    let numbers = [
        integer(&[0]),
        integer(modulus.to_be_bytes().as_ref()),
        integer(&EXPONENT.to_be_bytes()),
        integer(private.to_be_bytes().as_ref()),
        integer(p.to_be_bytes().as_ref()),
        integer(q.to_be_bytes().as_ref()),
        integer(remainder(p_less_one)?.to_be_bytes().as_ref()),
        integer(remainder(q_less_one)?.to_be_bytes().as_ref()),
        integer(coefficient.to_be_bytes().as_ref()),
    ];
    Some(element(SEQUENCE, &numbers.concat()))
}

fn non_zero<T: Zero + One + CtAssign>(number: T) -> Option<NonZero<T>> {
    NonZero::new(number).into_option()
}

/// `PrivateKeyInfo` of RFC 5208, 5.
fn pkcs8(private_key: &[u8]) -> Vec<u8> {
    let parts = [integer(&[0]), RSA_ENCRYPTION.to_vec(), element(OCTET_STRING, private_key)];
    element(SEQUENCE, &parts.concat())
}

/// A positive number in the fewest bytes, with a zero before a first bit that would read as a minus.
fn integer(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let digits = big_endian.get(zeros..).unwrap_or_default();
    let padding: &[u8] = if digits.first().is_none_or(|byte| *byte >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[padding, digits].concat())
}

/// One element of DER: tag, length, content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[low],
        (0, _) => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}

/// 48 bytes are the 64 characters of a line of PEM.
fn pem(der: &[u8]) -> String {
    let lines: String = der.chunks(48).map(|line| BASE64.encode(line) + "\n").collect();
    format!("-----BEGIN PRIVATE KEY-----\n{lines}-----END PRIVATE KEY-----\n")
}

/// The clock's randomness in the shape that `crypto-primes` asks for.
struct ClockRandom<'a>(&'a Clock);

impl TryRng for ClockRandom<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.random(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.random(bytes);
        Ok(())
    }
}

impl TryCryptoRng for ClockRandom<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_lengths_take_the_fewest_bytes() {
        assert_eq!(element(OCTET_STRING, &[7]), [0x04, 1, 7]);
        assert_eq!(element(OCTET_STRING, &[0; 0x80])[..3], [0x04, 0x81, 0x80]);
        assert_eq!(element(OCTET_STRING, &[0; 0x100])[..4], [0x04, 0x82, 1, 0]);
        assert_eq!(integer(&[0, 0, 1]), [0x02, 1, 1]);
        assert_eq!(integer(&[0x80]), [0x02, 2, 0, 0x80]);
        assert_eq!(integer(&[0]), [0x02, 1, 0]);
    }

    #[test]
    fn a_key_has_2048_bits_and_lines_of_64_characters() {
        let key = RsaKey::generate(&Clock::system()).expect("a key");
        assert_eq!(key.public_der.len(), 270);
        assert!(key.private_pem.lines().all(|line| line.len() <= 64));
    }
}
