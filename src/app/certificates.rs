//! When certificates in a file expire. Only that is read of them; whether they are any good is for those who use them.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::domain::Timestamp;

/// Tags of DER that stand in a certificate before its validity (RFC 5280, section 4.1).
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;

/// When the first of the certificates in a PEM file expires; `None` where there is none to be read.
pub(super) fn first_to_expire(file: &Path) -> Option<Timestamp> {
    let text = std::fs::read(file).ok()?;
    CertificateDer::pem_slice_iter(&text).filter_map(|certificate| expires_at(&certificate.ok()?)).min()
}

fn expires_at(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    // The version may be left out; then come serial number, algorithm and issuer.
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, validity, _) = element(rest)? else { return None };
    let (tag, time, _) = element(element(validity)?.2)?;
    instant(tag, std::str::from_utf8(time).ok()?)
}

/// The first element: its tag, its contents, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else { return None };
    // From 0x80 on it is the number of the bytes of the length, which follow.
    let (bytes, rest) = rest.split_at_checked(usize::from(length.saturating_sub(0x80)))?;
    let long = bytes.iter().try_fold(0_usize, |sum, byte| Some(sum.checked_mul(256)? + usize::from(*byte)))?;
    let length = if *length < 0x80 { usize::from(*length) } else { long };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

/// `YYMMDDhhmmssZ`, where 50 is 1950, or `YYYYMMDDhhmmssZ`.
fn instant(tag: u8, time: &str) -> Option<Timestamp> {
    let (year, rest) = time.split_at_checked(if tag == UTC_TIME { 2 } else { 4 })?;
    let century = if tag != UTC_TIME {
        ""
    } else if year < "50" {
        "20"
    } else {
        "19"
    };
    let part = |from: usize| rest.get(from..from + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    let text = format!("{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let since_1970 = humantime::parse_rfc3339(&text).ok()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Some(Timestamp::from_millis(since_1970.as_millis().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn pem(year: i32) -> String {
        let mut params = CertificateParams::new(["example.com".to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, 3, 4);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").pem()
    }

    #[test]
    fn the_first_end_of_a_file_counts_before_and_after_2050() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        let ends = |text: &str| {
            std::fs::write(&file, text).expect("written");
            first_to_expire(&file).map(Timestamp::rfc3339)
        };
        assert_eq!(ends(&pem(2031)).as_deref(), Some("2031-03-04T00:00:00.000Z"));
        assert_eq!(ends(&pem(2061)).as_deref(), Some("2061-03-04T00:00:00.000Z"));
        assert_eq!(ends(&(pem(2061) + &pem(2029))).as_deref(), Some("2029-03-04T00:00:00.000Z"));
        for none in ["", "words", "-----BEGIN CERTIFICATE-----\nMAYCAQECAQI=\n-----END CERTIFICATE-----\n"] {
            assert_eq!(ends(none), None, "{none}");
        }
        assert_eq!(first_to_expire(&folder.path().join("gone.pem")), None);
    }
}
