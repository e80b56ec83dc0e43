//! The database file: opening it for one process alone, transactions, and opening it again after a failure.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, TryLockError};

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::{calls, devices, expiry, jobs, lines, missed, moderation, rates, usage};
use crate::store::StoreError;

/// Opens the database, the first time and after a failure.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// The open database, or none while it is closed.
pub(super) struct File {
    opener: Opener,
    database: RwLock<Option<Database>>,
}

impl File {
    pub(super) fn open(opener: Opener) -> Result<Self, redb::Error> {
        let database = opener()?;
        create_tables(&database)?;
        Ok(Self { opener, database: RwLock::new(Some(database)) })
    }

    /// To read, unless the file is just being opened again: that may take seconds, and whoever reads serves others too.
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        let database = match self.database.try_read() {
            Ok(database) => database,
            Err(TryLockError::Poisoned(database)) => database.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Unavailable("the database is opened again".into()));
            }
        };
        Ok(database.as_ref().ok_or_else(closed)?.begin_read()?)
    }

    /// Reads much, beside those who are served here: all rows of a table take as long as there are many.
    pub(super) async fn read_at_length<T, F>(self: &Arc<Self>, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    {
        let file = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || read(&file.begin_read()?));
        reading.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the reading was broken off".to_owned())))
    }

    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        Ok(database.as_ref().ok_or_else(closed)?.begin_write()?)
    }

    /// Closes the database; what was committed is on disk then.
    pub(super) fn close(&self) {
        drop(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Closes the database and opens it again: after an error of the disk redb takes no more writes until then.
    pub(super) fn reopen(&self) -> Result<(), DatabaseError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The file is locked until the old one is gone.
        drop(database.take());
        *database = Some((self.opener)()?);
        Ok(())
    }
}

/// Makes sure that readers find every table.
fn create_tables(database: &Database) -> Result<(), redb::Error> {
    let txn = database.begin_write()?;
    txn.open_table(calls::CALLS)?;
    txn.open_table(calls::WAKE)?;
    txn.open_table(calls::LATER)?;
    txn.open_table(jobs::JOBS)?;
    txn.open_table(jobs::DUE)?;
    txn.open_table(lines::LINES)?;
    txn.open_table(lines::KEYS)?;
    txn.open_table(lines::HISTORY)?;
    txn.open_table(missed::MISSED)?;
    txn.open_table(missed::TOLD)?;
    txn.open_table(missed::TOLD_AT)?;
    txn.open_table(rates::RATES)?;
    txn.open_table(devices::DEVICES)?;
    txn.open_table(devices::TOKENS)?;
    txn.open_table(moderation::BLOCKS)?;
    txn.open_table(moderation::CONTACTS)?;
    txn.open_table(moderation::BANS)?;
    txn.open_table(usage::DAYS)?;
    txn.open_table(usage::MINUTES)?;
    txn.open_table(usage::ACCOUNTED)?;
    txn.open_table(expiry::EXPIRIES)?;
    Ok(txn.commit()?)
}

fn closed() -> StoreError {
    StoreError::Unavailable("the database is closed".to_owned())
}

/// Creates the folder and, readable by its owner alone, the file: it holds push tokens.
pub(super) fn prepare(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?;
    // A new file survives a power cut once its folder is on disk too.
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

macro_rules! unavailable {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Unavailable(error.to_string())
            }
        })*
    };
}
unavailable!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError, redb::SetDurabilityError);
