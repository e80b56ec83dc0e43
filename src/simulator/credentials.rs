//! What a client needs to be let in by the simulator: made at each start, valid nowhere else.

use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rcgen::KeyPair;
use serde_json::json;

use super::rsa_key::RsaKey;
use super::{SimulatorError, apns};
use crate::clock::Clock;

const TEAM_ID: &str = "SIMTEAM001";
const KEY_ID: &str = "SIMKEY0001";
const PROJECT_ID: &str = "bellwire-simulator";
const CLIENT_EMAIL: &str = "gateway@bellwire-simulator.iam.gserviceaccount.com";

/// What a client needs to be let in.
#[derive(Clone)]
pub struct Credentials {
    /// The certificate authority to trust, PEM.
    pub ca_pem: String,
    /// The team at Apple, ten characters.
    pub apns_team_id: String,
    /// The name of the key at Apple, ten characters.
    pub apns_key_id: String,
    /// The key for provider tokens, PKCS#8 in PEM, as Apple's `.p8` files are.
    pub apns_key_pem: String,
    /// The project at Google.
    pub fcm_project_id: String,
    /// The service account's key file, JSON.
    pub service_account_json: String,
}

/// Where [`Credentials::write_to`] put them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFiles {
    /// The certificate authority to trust.
    pub ca: PathBuf,
    /// The key for APNs provider tokens.
    pub apns_key: PathBuf,
    /// The service account's key file.
    pub service_account: PathBuf,
}

impl Credentials {
    /// Writes `ca.pem`, `apns.p8` and `fcm-service-account.json` into a directory, readable by their owner alone,
    /// in place of those that may be there.
    pub fn write_to(&self, directory: &Path) -> io::Result<CredentialFiles> {
        fs::create_dir_all(directory)?;
        let write = |name, text| write_private(directory.join(name), text);
        Ok(CredentialFiles {
            ca: write("ca.pem", &self.ca_pem)?,
            apns_key: write("apns.p8", &self.apns_key_pem)?,
            service_account: write("fcm-service-account.json", &self.service_account_json)?,
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(simulator credentials)")
    }
}

/// The credentials, and the public halves that their use is checked with.
pub(super) struct Keys {
    pub(super) credentials: Credentials,
    /// The first APNs key.
    pub(super) apns_key: apns::Key,
    pub(super) service_account: Arc<RsaKey>,
    pub(super) client_email: &'static str,
    pub(super) token_uri: String,
}

/// Makes credentials for a token endpoint; blocks for as long as an RSA key takes.
pub(super) fn make(clock: &Clock, token_uri: String, ca_pem: String) -> Result<Keys, SimulatorError> {
    let (apns_key_pem, apns_key) = make_apns_key(KEY_ID)?;
    let service_account = RsaKey::of_process(clock)?;
    let mut private_key_id = [0; 20];
    clock.random(&mut private_key_id);
    let service_account_json = json!({
        "type": "service_account",
        "project_id": PROJECT_ID,
        "private_key_id": HEXLOWER.encode(&private_key_id),
        "private_key": service_account.private_pem,
        "client_email": CLIENT_EMAIL,
        "token_uri": token_uri,
    });
    let credentials = Credentials {
        ca_pem,
        apns_team_id: TEAM_ID.to_owned(),
        apns_key_id: KEY_ID.to_owned(),
        apns_key_pem,
        fcm_project_id: PROJECT_ID.to_owned(),
        service_account_json: format!("{service_account_json:#}\n"),
    };
    Ok(Keys { credentials, apns_key, service_account, client_email: CLIENT_EMAIL, token_uri })
}

/// Makes another APNs key; gives the private half, PKCS#8 in PEM, and the public one.
pub(super) fn make_apns_key(id: &str) -> Result<(String, apns::Key), SimulatorError> {
    let key = KeyPair::generate()?;
    Ok((key.serialize_pem(), public_half(id, &key)))
}

/// Good everywhere and always.
fn public_half(id: &str, key: &KeyPair) -> apns::Key {
    let public = key.public_key_raw().to_vec();
    apns::Key { id: id.to_owned(), public, environment: None, from: None, until: None }
}

fn write_private(path: PathBuf, text: &str) -> io::Result<PathBuf> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    // The mode above is for a new file only.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}
