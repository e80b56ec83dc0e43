//! By whose name Google is asked for access tokens: a service account's key file, or what Google calls Application Default
//! Credentials, which are another such file, a user's, or the identity that the machine lends (workload identity).
//!
//! Sources: <https://cloud.google.com/docs/authentication/application-default-credentials>,
//! <https://developers.google.com/identity/protocols/oauth2/service-account>,
//! <https://developers.google.com/identity/protocols/oauth2/web-server#offline>

use bytes::Bytes;
use http::HeaderValue;
use serde::Deserialize;

use super::grant::{Form, Grant};
use super::metadata::MetadataServer;
use crate::config::push::Fcm as Config;
use crate::crypto::Rs256Key;
use crate::push::PushError;
use crate::push::sections::{Files, Named, Text};
use crate::push::setup::Setup;

const DEFAULT_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const KEY_FILE: &str = "service_account_file";
/// Google's own variable; it is said so where the file is no good.
const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const WELL_KNOWN: &str = "application default credentials of gcloud";

/// Who asks.
pub(super) struct Identity {
    pub kind: Kind,
    /// The project that it is of, where it says so.
    pub project: Option<String>,
    /// Whom the requests are charged to, where Google must be told.
    pub quota_project: Option<HeaderValue>,
}

/// How it asks.
pub(super) enum Kind {
    Grant(Box<Grant>),
    Metadata(MetadataServer),
}

/// An answer of whoever gives access tokens.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Granted {
    pub access_token: String,
    pub expires_in: u64,
}

/// A credentials file of Google, as far as it is needed.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Credentials {
    ServiceAccount(ServiceAccount),
    AuthorizedUser(AuthorizedUser),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct ServiceAccount {
    project_id: Option<String>,
    private_key_id: Option<String>,
    private_key: String,
    client_email: String,
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct AuthorizedUser {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    quota_project_id: Option<String>,
    token_uri: Option<String>,
}

impl Identity {
    /// The files that the identity of a section may be in.
    pub(super) fn files<'a>(section: &'a Config, setup: &'a Setup) -> Vec<Named<'a>> {
        let google = &setup.surroundings.google;
        let file = match (&section.service_account_file, &google.file, &google.well_known) {
            (Some(path), _, _) => Some(Named { key: KEY_FILE, path }),
            (None, Some(path), _) => Some(Named { key: VARIABLE, path }),
            (None, None, Some(path)) if path.exists() => Some(Named { key: WELL_KNOWN, path }),
            (None, None, _) => None,
        };
        file.into_iter().collect()
    }

    /// The identity of a section; `name` is for logs and states.
    pub(super) fn of(files: &Files, name: &str, setup: &Setup) -> Result<Self, PushError> {
        for key in [KEY_FILE, VARIABLE, WELL_KNOWN] {
            if let Some(file) = files.get(key)? {
                return Self::of_file(&file, files, name, setup);
            }
        }
        let host = setup.surroundings.google.metadata_host.clone();
        let server =
            MetadataServer::new(host).map_err(|problem| PushError::Value { key: files.key(KEY_FILE), problem })?;
        Ok(Self { kind: Kind::Metadata(server), project: None, quota_project: None })
    }

    fn of_file(file: &Text<'_>, files: &Files, name: &str, setup: &Setup) -> Result<Self, PushError> {
        let credentials =
            serde_json::from_str(file.contents).map_err(|error: serde_json::Error| PushError::ServiceAccount {
                key: file.key.clone(),
                path: file.path.to_owned(),
                line: error.line(),
                column: error.column(),
            })?;
        let (form, token_uri, project, quota_project) = match credentials {
            Credentials::ServiceAccount(account) => {
                let key = Rs256Key::from_pem(&account.private_key).map_err(|source| PushError::Key {
                    key: file.key.clone(),
                    path: file.path.to_owned(),
                    source,
                })?;
                let key = Box::new(key);
                let form = Form::Assertion { key, key_id: account.private_key_id, client_email: account.client_email };
                (form, account.token_uri, account.project_id, None)
            }
            Credentials::AuthorizedUser(user) => {
                let form = Form::refresh(&user.client_id, &user.client_secret, &user.refresh_token);
                (form, user.token_uri, None, user.quota_project_id)
            }
            Credentials::Other => {
                let problem = "holds credentials of a type that is not supported: expected service_account or \
                               authorized_user; for workload identity federation (external_account) run on a machine \
                               of Google or use a key file";
                return Err(PushError::Value { key: file.key.clone(), problem });
            }
        };
        let token_uri = token_uri.unwrap_or_else(|| DEFAULT_TOKEN_URI.to_owned());
        // Faults of the token's address are faults of the file that it stands in.
        let endpoint = setup.endpoint(&file.key, &token_uri, files)?;
        Ok(Self {
            kind: Kind::Grant(Box::new(Grant::new(form, token_uri, endpoint, name, setup.clock.clone()))),
            project,
            quota_project: quota_project.and_then(|project| HeaderValue::try_from(project).ok()),
        })
    }

    /// Who it is, for people.
    pub(super) fn in_words(&self) -> String {
        match &self.kind {
            Kind::Grant(grant) => grant.in_words(),
            Kind::Metadata(server) => format!("the identity of this machine ({})", server.host()),
        }
    }
}

impl Granted {
    /// Reads an answer of 200; none if it holds no token.
    pub(super) fn read(body: &Bytes) -> Option<Self> {
        serde_json::from_slice::<Self>(body).ok().filter(|granted| !granted.access_token.is_empty())
    }
}
