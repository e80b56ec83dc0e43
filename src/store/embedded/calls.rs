//! Calls and their wake-ups.
//!
//! Beside each record stand the few numbers that the writer compares, so that it never reads the JSON.

use std::collections::HashSet;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use super::expiry::{self, Expiring};
use crate::domain::{Call, CallId, Timestamp, WakeUp};
use crate::store::codec::{self, FORMAT};
use crate::store::{Slot, StoreError, TOMBSTONE_KEPT};

/// By call id: format, version (0: a tombstone), when its wake-up is due (ms), whether that is urgent, and the record.
pub(super) const CALLS: TableDefinition<u128, Row> = TableDefinition::new("calls");
type Row = (u32, u64, u64, bool, &'static [u8]);
/// Urgent wake-ups, by time (ms) and call.
pub(super) const WAKE: TableDefinition<(u64, u128), ()> = TableDefinition::new("wake");
/// The wake-ups of ended calls.
pub(super) const LATER: TableDefinition<(u64, u128), ()> = TableDefinition::new("later");

/// How many calls have an urgent wake-up.
pub(super) fn waiting(txn: &ReadTransaction) -> Result<u64, StoreError> {
    Ok(txn.open_table(WAKE)?.len()?)
}

/// A call's next record, ready to be written.
pub(super) struct Next {
    id: CallId,
    version: u64,
    wake_up: WakeUp,
    record: Vec<u8>,
    expected: Option<u64>,
}

impl Next {
    pub(super) fn new(call: &Call, expected: Option<u64>) -> Result<Self, StoreError> {
        Ok(Self {
            id: call.id,
            version: call.version,
            wake_up: call.wake_up(),
            record: codec::encode(call, "")?,
            expected,
        })
    }
}

/// What stands under an id, without the record.
struct Head {
    version: u64,
    wake_up: WakeUp,
}

impl Head {
    fn of((format, version, due, urgent, _): (u32, u64, u64, bool, &[u8])) -> Result<Self, StoreError> {
        if format > FORMAT {
            return Err(StoreError::Newer(format));
        }
        Ok(Self { version, wake_up: WakeUp { at: Timestamp::from_millis(due), urgent } })
    }

    fn is_tombstone(&self) -> bool {
        self.version == 0
    }
}

pub(super) fn load(txn: &ReadTransaction, id: CallId) -> Result<Slot, StoreError> {
    match txn.open_table(CALLS)?.get(key(id))? {
        Some(row) => codec::decode(row.value().4),
        None => Ok(Slot::Vacant),
    }
}

pub(super) fn commit(txn: &WriteTransaction, next: &Next) -> Result<(), StoreError> {
    let mut calls = txn.open_table(CALLS)?;
    let head = head(&calls, next.id)?;
    let stands = match (&head, next.expected) {
        (None, None) => true,
        (Some(head), Some(expected)) => head.version == expected && !head.is_tombstone(),
        _ => false,
    };
    if !stands {
        return Err(StoreError::Conflict);
    }
    let WakeUp { at, urgent } = next.wake_up;
    calls.insert(key(next.id), (FORMAT, next.version, at.as_millis(), urgent, next.record.as_slice()))?;
    match head.map(|head| head.wake_up) {
        Some(old) if old == next.wake_up => return Ok(()),
        Some(old) => forget_wake_up(txn, next.id, old)?,
        None => {}
    }
    wake_table(txn, urgent)?.insert((at.as_millis(), key(next.id)), ())?;
    Ok(())
}

/// Writes a tombstone where nothing stands; the answer is the record that stands there then.
pub(super) fn bury(txn: &WriteTransaction, id: CallId, now: Timestamp) -> Result<Vec<u8>, StoreError> {
    let mut calls = txn.open_table(CALLS)?;
    if let Some(row) = calls.get(key(id))? {
        return Ok(row.value().4.to_vec());
    }
    calls.insert(key(id), (FORMAT, 0, 0, false, codec::TOMBSTONE))?;
    expiry::note(txn, now + TOMBSTONE_KEPT, Expiring::Tombstone, &id.to_string(), "")?;
    Ok(codec::TOMBSTONE.to_vec())
}

pub(super) fn remove(txn: &WriteTransaction, id: CallId, version: u64) -> Result<(), StoreError> {
    let mut calls = txn.open_table(CALLS)?;
    match head(&calls, id)? {
        Some(head) if head.version == version && !head.is_tombstone() => {
            calls.remove(key(id))?;
            forget_wake_up(txn, id, head.wake_up)
        }
        _ => Err(StoreError::Conflict),
    }
}

pub(super) fn due(
    txn: &ReadTransaction,
    now: Timestamp,
    limit: usize,
    beside: &HashSet<CallId>,
) -> Result<Vec<CallId>, StoreError> {
    let (mut due, mut others) = (Vec::new(), 0);
    for table in [WAKE, LATER] {
        for entry in txn.open_table(table)?.range(..=(now.as_millis(), u128::MAX))? {
            if others == limit {
                return Ok(due);
            }
            let call = id(entry?.0.value().1);
            others += usize::from(!beside.contains(&call));
            due.push(call);
        }
    }
    Ok(due)
}

/// Forgets a tombstone; a call that is named so by mistake stays.
pub(super) fn forget_tombstone(txn: &WriteTransaction, id: &str) -> Result<(), StoreError> {
    let Ok(id) = CallId::parse(id) else { return Ok(()) };
    let mut calls = txn.open_table(CALLS)?;
    if head(&calls, id)?.is_some_and(|head| head.is_tombstone()) {
        calls.remove(key(id))?;
    }
    Ok(())
}

fn head(calls: &Table<'_, u128, Row>, id: CallId) -> Result<Option<Head>, StoreError> {
    calls.get(key(id))?.map(|row| Head::of(row.value())).transpose()
}

fn forget_wake_up(txn: &WriteTransaction, id: CallId, wake_up: WakeUp) -> Result<(), StoreError> {
    wake_table(txn, wake_up.urgent)?.remove((wake_up.at.as_millis(), key(id)))?;
    Ok(())
}

fn wake_table(txn: &WriteTransaction, urgent: bool) -> Result<Table<'_, (u64, u128), ()>, StoreError> {
    Ok(txn.open_table(if urgent { WAKE } else { LATER })?)
}

/// Ids of version 7 sort by time as numbers too.
pub(super) fn key(id: CallId) -> u128 {
    id.as_uuid().as_u128()
}

pub(super) fn id(key: u128) -> CallId {
    CallId::from_uuid(uuid::Uuid::from_u128(key))
}
