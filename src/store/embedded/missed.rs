//! How often a user missed a peer since they last called back.

use redb::{AccessGuard, ReadableTable, TableDefinition, WriteTransaction};

use super::calls::key;
use super::expiry::{self, Expiring};
use crate::domain::{CallId, Timestamp, UserId};
use crate::store::{MISSED_KEPT, StoreError};

/// By user and peer: until when (ms) it is kept, how many were missed before those that follow, and the ids of the last
/// calls in the order in which they were counted, 16 bytes each.
pub(super) const MISSED: TableDefinition<(&str, &str), (u64, u32, &[u8])> = TableDefinition::new("missed");

/// How many calls are remembered as counted.
const REMEMBERED: usize = 100;
const ID_BYTES: usize = size_of::<u128>();

pub(super) fn count(
    txn: &WriteTransaction,
    user: &UserId,
    peer: &UserId,
    call: CallId,
    now: Timestamp,
) -> Result<u32, StoreError> {
    let pair = (user.as_str(), peer.as_str());
    let mut missed = txn.open_table(MISSED)?;
    let (mut before, mut calls) = match missed.get(pair)?.as_ref().map(AccessGuard::value) {
        Some((until, before, calls)) if now.as_millis() < until => (before, calls.to_vec()),
        _ => (0, Vec::new()),
    };
    let id = key(call).to_be_bytes();
    if let Some(place) = calls.as_chunks::<ID_BYTES>().0.iter().position(|other| *other == id) {
        return Ok(before.saturating_add(ordinal(place)));
    }
    if calls.len() >= REMEMBERED * ID_BYTES {
        calls.drain(..ID_BYTES);
        before = before.saturating_add(1);
    }
    calls.extend(id);
    let until = now + MISSED_KEPT;
    missed.insert(pair, (until.as_millis(), before, calls.as_slice()))?;
    expiry::note(txn, until, Expiring::Missed, pair.0, pair.1)?;
    Ok(before.saturating_add(ordinal(calls.len() / ID_BYTES - 1)))
}

/// Counts from zero again: the user has called back.
pub(super) fn reset(txn: &WriteTransaction, user: &UserId, peer: &UserId) -> Result<(), StoreError> {
    txn.open_table(MISSED)?.remove((user.as_str(), peer.as_str()))?;
    Ok(())
}

/// Forgets a count that nothing was added to for long.
pub(super) fn forget(txn: &WriteTransaction, user: &str, peer: &str, now: Timestamp) -> Result<(), StoreError> {
    let mut missed = txn.open_table(MISSED)?;
    if missed.get((user, peer))?.is_some_and(|row| row.value().0 <= now.as_millis()) {
        missed.remove((user, peer))?;
    }
    Ok(())
}

/// The number of the call at a place, from 1.
fn ordinal(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1)
}
