//! What expires by itself: an index by time, of which every transaction forgets a few entries.
//!
//! An entry only says where to look; whether what stands there has expired is decided by the part that wrote it.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{calls, devices, lines, missed, moderation, rates, usage};
use crate::domain::Timestamp;
use crate::store::StoreError;

/// When (ms), what, whose, and which.
pub(super) const EXPIRIES: TableDefinition<(u64, u8, &str, &str), ()> = TableDefinition::new("expiries");

/// The most entries that one transaction forgets.
const AT_ONCE: usize = 64;

/// What expires.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Expiring {
    /// A user's idempotency key.
    Key = 1,
    /// A user's missed calls from a peer.
    Missed = 2,
    /// A user's ban.
    Ban = 3,
    /// A tombstone, by call id.
    Tombstone = 4,
    /// A rate of a user.
    Rate = 5,
    /// That a call was added to what is used, by call id.
    Accounted = 6,
    /// What was used on a day, by its number.
    Usage = 7,
    /// A registration of a user's device.
    Device = 8,
}

/// Notes when to look again.
pub(super) fn note(
    txn: &WriteTransaction,
    at: Timestamp,
    what: Expiring,
    whose: &str,
    which: &str,
) -> Result<(), StoreError> {
    txn.open_table(EXPIRIES)?.insert((at.as_millis(), what as u8, whose, which), ())?;
    Ok(())
}

/// Takes such a note back; one that is not there is none.
pub(super) fn forgo(
    txn: &WriteTransaction,
    at: Timestamp,
    what: Expiring,
    whose: &str,
    which: &str,
) -> Result<(), StoreError> {
    txn.open_table(EXPIRIES)?.remove((at.as_millis(), what as u8, whose, which))?;
    Ok(())
}

/// Forgets what has expired at `now`.
pub(super) fn forget(txn: &WriteTransaction, now: Timestamp) -> Result<(), StoreError> {
    for (at, what, whose, which) in due(txn, now)? {
        txn.open_table(EXPIRIES)?.remove((at, what, whose.as_str(), which.as_str()))?;
        let forgotten = match what {
            kind if kind == Expiring::Key as u8 => lines::forget_key(txn, &whose, &which, now),
            kind if kind == Expiring::Missed as u8 => missed::forget(txn, &whose, &which, now),
            kind if kind == Expiring::Ban as u8 => moderation::forget_ban(txn, &whose, now),
            kind if kind == Expiring::Rate as u8 => rates::forget(txn, &whose, &which, now),
            kind if kind == Expiring::Tombstone as u8 => calls::forget_tombstone(txn, &whose),
            kind if kind == Expiring::Accounted as u8 => usage::forget_accounted(txn, &whose),
            kind if kind == Expiring::Usage as u8 => usage::forget_day(txn, &whose),
            kind if kind == Expiring::Device as u8 => devices::forget(txn, &whose, &which),
            _ => Ok(()),
        };
        // What cannot be read is left alone, and is nothing to those who wait for this transaction.
        if let Err(error @ StoreError::Unavailable(_)) = forgotten {
            return Err(error);
        }
    }
    Ok(())
}

type Entry = (u64, u8, String, String);

fn due(txn: &WriteTransaction, now: Timestamp) -> Result<Vec<Entry>, StoreError> {
    let table = txn.open_table(EXPIRIES)?;
    let mut due = Vec::new();
    for entry in table.range(..(now.as_millis().saturating_add(1), 0, "", ""))?.take(AT_ONCE) {
        let (key, _) = entry?;
        let (at, what, whose, which) = key.value();
        due.push((at, what, whose.to_owned(), which.to_owned()));
    }
    Ok(due)
}
