//! What stops pushing from being set up, and what goes wrong on the wire.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::crypto::KeyError;

/// Why the push part cannot start. Each names the configuration key at fault; none holds a secret.
#[derive(Debug, Error)]
pub enum PushError {
    /// A file cannot be read.
    #[error("{key}: cannot read {}", path.display())]
    Read {
        /// The configuration key.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key file holds no usable key.
    #[error("{key}: {} holds no usable key", path.display())]
    Key {
        /// The configuration key.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// A `ca_file` holds no usable certificate.
    #[error("{key}: {} must hold certificates in PEM", path.display())]
    Certificates {
        /// The configuration key.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// The file of credentials is not one. Why is not told: the reader's words may repeat what is in the file.
    #[error("{key}: {} does not hold credentials as Google writes them (line {line}, column {column})", path.display())]
    ServiceAccount {
        /// The configuration key.
        key: String,
        /// The file.
        path: PathBuf,
        /// Where it is wrong, from 1.
        line: usize,
        /// Where in the line, from 1.
        column: usize,
    },
    /// A value cannot be used.
    #[error("{key}: {problem}")]
    Value {
        /// The configuration key.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The machine has no trust roots, and the section names none.
    #[error("{key}: is needed, since this machine has no trust roots ({problem})")]
    NoRoots {
        /// The configuration key.
        key: String,
        /// Why there are none.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}

/// What goes wrong between Bellwire and a provider.
#[derive(Debug, Error)]
pub(super) enum TransportError {
    #[error("cannot resolve {0}")]
    Resolve(String, #[source] io::Error),
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("cannot connect to {0}")]
    Connect(String, #[source] io::Error),
    #[error("TLS with {0} failed")]
    Tls(String, #[source] io::Error),
    #[error("{0} does not speak HTTP/2")]
    NotHttp2(String),
    #[error("connection-broken")]
    Broken(#[source] h2::Error),
    #[error("deadline")]
    Deadline,
    #[error("not-connected: {0}")]
    NotConnected(String),
    #[error("credential-refused: {0}")]
    CredentialRefused(String),
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
