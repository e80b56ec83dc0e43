//! Opening the embedded store's file, and what it is to do beside its laws: encrypt, and for how long it keeps things.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redb::Database;
use thiserror::Error;
use tokio::sync::broadcast;

use super::Embedded;
use super::file::{self, File, Opener};
use super::writer::Writer;
use crate::clock::Clock;
use crate::config::store::EncryptionKey;
use crate::store::Keeping;
use crate::store::sealing::Sealing;

/// How many announcements a slow reader may be behind.
const ANNOUNCEMENTS: usize = 8192;
/// How much memory redb may use to keep pages.
pub(super) const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Why an embedded store could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("{} is in use by another bellwire; one process owns an embedded store", .0.display())]
    InUse(PathBuf),
    /// The folder or the file cannot be created or written, or no thread started.
    #[error("the embedded store {} cannot be opened", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no database, or a damaged one.
    #[error("the embedded store {} cannot be read", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What redb said.
        source: redb::Error,
    },
    /// A newer release made it.
    #[error("the embedded store {} is of a newer release: this one does not know its table {table:?}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
    },
}

impl Embedded {
    /// Opens the file, and creates it and its folder if they are not there. Each operation waits at most `timeout`.
    pub fn open(path: &Path, timeout: Duration, clock: Clock) -> Result<Self, OpenError> {
        file::prepare(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        let opened = path.to_owned();
        Self::start(
            path,
            timeout,
            clock,
            Box::new(move || Database::builder().set_cache_size(CACHE_BYTES).create(&opened)),
        )
    }

    pub(super) fn start(path: &Path, timeout: Duration, clock: Clock, opener: Opener) -> Result<Self, OpenError> {
        let path = path.to_owned();
        let file = File::open(opener).map_err(|error| open_error(&path, error))?;
        let (file, (events, _)) = (Arc::new(file), broadcast::channel(ANNOUNCEMENTS));
        let writer = Writer::start(file.clone(), events.clone(), clock.clone(), timeout)
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let sealing = Arc::new(Sealing::none(clock.clone()));
        Ok(Self { path, file, writer, events, clock, sealing, keeping: Keeping::default() })
    }

    /// The same store, whose push tokens are sealed by the first of these keys and opened by all of them.
    #[must_use]
    pub fn sealed_by(mut self, keys: &[EncryptionKey]) -> Self {
        self.sealing = Arc::new(Sealing::new(keys, self.clock.clone()));
        self
    }

    /// The same store, which keeps things for other times than [`Keeping::default`]. Calls are found by reading all of them, so how long they are
    /// does not matter.
    #[must_use]
    pub fn keeping(mut self, keeping: Keeping) -> Self {
        self.keeping = keeping;
        self
    }
}

pub(super) fn open_error(path: &Path, error: redb::Error) -> OpenError {
    let path = path.to_owned();
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse(path),
        redb::Error::Io(source) => OpenError::Io { path, source },
        source => OpenError::Database { path, source },
    }
}
