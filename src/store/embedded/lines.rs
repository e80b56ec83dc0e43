//! Users' lines, idempotency keys and histories: what an invite writes of each of its parties.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::calls::{id, key};
use super::expiry::{self, Expiring};
use super::{devices, missed, moderation, rates};
use crate::domain::{CallId, Device, Timestamp, Unknown, UserId};
use crate::store::codec::{read_json, write_json};
use crate::store::{Admits, CLAIMS_BEFORE, Callee, Charge, Claim, HISTORY_LENGTH, Opening, Reservation, StoreError};

/// By user: their claims as JSON, in the order in which they were made.
pub(super) const LINES: TableDefinition<&str, &[u8]> = TableDefinition::new("lines");
/// By user and idempotency key: until when (ms), the call, and the digest of the request's body.
pub(super) const KEYS: TableDefinition<(&str, &str), (u64, u128, &str)> = TableDefinition::new("keys");
/// By user: the ids of their calls, newest first, 16 bytes each.
pub(super) const HISTORY: TableDefinition<&str, &[u8]> = TableDefinition::new("history");

/// A claim as it stands on a line.
#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    claim: Claim,
    /// Fields of a newer release.
    #[serde(flatten)]
    unknown: Unknown,
}

const ID_BYTES: usize = size_of::<u128>();

pub(super) fn open(
    txn: &WriteTransaction,
    claim: &Claim,
    reservation: Option<&Reservation>,
    charges: &[Charge],
    now: Timestamp,
) -> Result<Opening, StoreError> {
    if moderation::is_banned(txn, &claim.user, now)? {
        return Ok(Opening::Banned);
    }
    let charge_key = claim.charge_key(charges, now);
    let reservation = reservation.or(charge_key.as_ref());
    if let Some(reservation) = reservation
        && let Some(taken) = taken_by_another(txn, claim, reservation, now)?
    {
        return Ok(taken);
    }
    if !charges.is_empty() && !is_known(txn, claim, reservation, now)? {
        rates::charge(txn, &claim.user, charges, now)?;
    }
    if let Some(reservation) = reservation {
        reserve(txn, claim, reservation)?;
    }
    if claim.until <= now {
        let mut others = claims(txn, &claim.user, now)?;
        others.retain(|other| other.call != claim.call);
        return Ok(Opening::Claimed(others));
    }
    let (others, _) = put_claim(txn, claim, usize::MAX, now)?;
    remember(txn, &claim.user, claim.call)?;
    missed::reset(txn, &claim.user, &claim.peer)?;
    Ok(Opening::Claimed(others))
}

/// What [`ring()`] found of who takes the call; the devices are left for the caller's task to decode.
pub(super) struct Found {
    others: Vec<Claim>,
    devices: Vec<u8>,
    crowded: bool,
    blocked: bool,
    banned: bool,
}

/// Decodes what was found; nothing, for a stranger.
pub(super) fn decode(found: Option<Found>) -> Result<Callee, StoreError> {
    let Some(Found { others, devices, crowded, blocked, banned }) = found else { return Ok(Callee::of_a_stranger()) };
    let devices: Vec<Device> = devices::decode(&devices)?;
    Ok(Callee { others, devices, attached: Vec::new(), crowded, blocked, banned, is_stranger: false })
}

pub(super) fn ring(
    txn: &WriteTransaction,
    claim: &Claim,
    charges: &[Charge],
    admits: Admits,
    now: Timestamp,
) -> Result<Option<Found>, StoreError> {
    if admits == Admits::Contacts && !moderation::is_contact(txn, &claim.user, &claim.peer)? {
        return Ok(None);
    }
    let blocked = moderation::is_blocked(txn, &claim.user, &claim.peer)?;
    if !charges.is_empty() && !stands(txn, claim, now)? {
        if blocked {
            rates::look(txn, &claim.user, charges, now)?;
        } else {
            rates::charge(txn, &claim.user, charges, now)?;
        }
    }
    let banned = moderation::is_banned(txn, &claim.user, now)?;
    let devices = devices::encoded(txn, &claim.user)?;
    let (others, crowded) = if blocked {
        let mut line = claims(txn, &claim.user, now)?;
        line.retain(|other| other.call != claim.call);
        (line, false)
    } else {
        let (others, stands) = put_claim(txn, claim, CLAIMS_BEFORE, now)?;
        remember(txn, &claim.user, claim.call)?;
        (others, !stands)
    };
    Ok(Some(Found { others, devices, crowded, blocked, banned }))
}

pub(super) fn free(txn: &WriteTransaction, user: &UserId, call: CallId, now: Timestamp) -> Result<(), StoreError> {
    let mut line = entries(txn, user, now)?;
    let Some(place) = line.iter().position(|entry| entry.claim.call == call) else { return Ok(()) };
    line.remove(place);
    let mut lines = txn.open_table(LINES)?;
    if line.is_empty() {
        lines.remove(user.as_str())?;
    } else {
        lines.insert(user.as_str(), write_json("line", &line)?.as_slice())?;
    }
    Ok(())
}

pub(super) fn history(
    txn: &WriteTransaction,
    user: &UserId,
    before: Option<CallId>,
    limit: usize,
) -> Result<Vec<CallId>, StoreError> {
    let table = txn.open_table(HISTORY)?;
    let Some(calls) = table.get(user.as_str())? else { return Ok(Vec::new()) };
    let older = |call: &CallId| before.is_none_or(|before| *call < before);
    Ok(unpack(calls.value()).map(id).filter(older).take(limit).collect())
}

/// Takes a call out of a user's history.
pub(super) fn forget(txn: &WriteTransaction, user: &UserId, call: CallId) -> Result<(), StoreError> {
    let mut history = txn.open_table(HISTORY)?;
    let calls = history.get(user.as_str())?.map(|row| row.value().to_vec()).unwrap_or_default();
    let left: Vec<u8> = unpack(&calls).filter(|id| *id != key(call)).flat_map(u128::to_be_bytes).collect();
    if left.is_empty() {
        history.remove(user.as_str())?;
    } else {
        history.insert(user.as_str(), left.as_slice())?;
    }
    Ok(())
}

/// Forgets the line of a user, if all its claims have lapsed.
pub(super) fn forget_lapsed(txn: &WriteTransaction, user: &UserId, now: Timestamp) -> Result<(), StoreError> {
    if claims(txn, user, now)?.is_empty() {
        txn.open_table(LINES)?.remove(user.as_str())?;
    }
    Ok(())
}

/// The calls of a user's history.
pub(super) fn calls_of(txn: &ReadTransaction, user: &UserId) -> Result<Vec<CallId>, StoreError> {
    let table = txn.open_table(HISTORY)?;
    let row = table.get(user.as_str())?;
    Ok(row.map(|row| unpack(row.value()).map(id).collect()).unwrap_or_default())
}

/// Forgets a key that has expired.
pub(super) fn forget_key(txn: &WriteTransaction, user: &str, name: &str, now: Timestamp) -> Result<(), StoreError> {
    let mut keys = txn.open_table(KEYS)?;
    if keys.get((user, name))?.is_some_and(|row| row.value().0 <= now.as_millis()) {
        keys.remove((user, name))?;
    }
    Ok(())
}

fn taken_by_another(
    txn: &WriteTransaction,
    claim: &Claim,
    reservation: &Reservation,
    now: Timestamp,
) -> Result<Option<Opening>, StoreError> {
    let keys = txn.open_table(KEYS)?;
    let Some(row) = keys.get((claim.user.as_str(), reservation.key.as_str()))? else { return Ok(None) };
    let (until, call, body) = row.value();
    let call = id(call);
    let gives_way = until <= now.as_millis() || call == claim.call || Some(call) == reservation.replaces;
    Ok((!gives_way).then(|| Opening::Reserved { call, same_body: body == reservation.body }))
}

/// Whether the call was here before: its claim stands, or its key is reserved for it.
fn is_known(
    txn: &WriteTransaction,
    claim: &Claim,
    reservation: Option<&Reservation>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(reservation) = reservation else { return stands(txn, claim, now) };
    let keys = txn.open_table(KEYS)?;
    let row = keys.get((claim.user.as_str(), reservation.key.as_str()))?;
    Ok(row.is_some_and(|row| row.value().1 == key(claim.call)) || stands(txn, claim, now)?)
}

fn stands(txn: &WriteTransaction, claim: &Claim, now: Timestamp) -> Result<bool, StoreError> {
    Ok(claims(txn, &claim.user, now)?.iter().any(|other| other.call == claim.call))
}

fn reserve(txn: &WriteTransaction, claim: &Claim, reservation: &Reservation) -> Result<(), StoreError> {
    let (user, name) = (claim.user.as_str(), reservation.key.as_str());
    let row = (reservation.until.as_millis(), key(claim.call), reservation.body.as_str());
    txn.open_table(KEYS)?.insert((user, name), row)?;
    expiry::note(txn, reservation.until, Expiring::Key, user, name)
}

/// The claims of a user that have not lapsed.
pub(super) fn claims(txn: &WriteTransaction, user: &UserId, now: Timestamp) -> Result<Vec<Claim>, StoreError> {
    Ok(entries(txn, user, now)?.into_iter().map(|entry| entry.claim).collect())
}

fn entries(txn: &WriteTransaction, user: &UserId, now: Timestamp) -> Result<Vec<Entry>, StoreError> {
    let lines = txn.open_table(LINES)?;
    let Some(line) = lines.get(user.as_str())? else { return Ok(Vec::new()) };
    let mut entries: Vec<Entry> = read_json("line", line.value())?;
    entries.retain(|entry| now < entry.claim.until);
    Ok(entries)
}

/// Adds a claim if its call has none and fewer than `most` are before it; the answer is those, and whether it stands.
fn put_claim(
    txn: &WriteTransaction,
    claim: &Claim,
    most: usize,
    now: Timestamp,
) -> Result<(Vec<Claim>, bool), StoreError> {
    let mut line = entries(txn, &claim.user, now)?;
    let place = line.iter().position(|other| other.claim.call == claim.call);
    let stands = place.is_some() || line.len() < most;
    if let Some(place) = place {
        line.truncate(place);
    } else if stands {
        line.push(Entry { claim: claim.clone(), unknown: Unknown::default() });
        txn.open_table(LINES)?.insert(claim.user.as_str(), write_json("line", &line)?.as_slice())?;
        line.pop();
    }
    Ok((line.into_iter().map(|entry| entry.claim).collect(), stands))
}

/// Puts a call into a user's history, in its place by age.
fn remember(txn: &WriteTransaction, user: &UserId, call: CallId) -> Result<(), StoreError> {
    let mut history = txn.open_table(HISTORY)?;
    let mut calls: Vec<u8> = history.get(user.as_str())?.map(|row| row.value().to_vec()).unwrap_or_default();
    let place = unpack(&calls).take_while(|other| *other > key(call)).count();
    if unpack(&calls).nth(place) == Some(key(call)) {
        return Ok(());
    }
    calls.splice(place * ID_BYTES..place * ID_BYTES, key(call).to_be_bytes());
    calls.truncate(HISTORY_LENGTH * ID_BYTES);
    history.insert(user.as_str(), calls.as_slice())?;
    Ok(())
}

/// The ids of a packed history.
pub(super) fn unpack(calls: &[u8]) -> impl Iterator<Item = u128> {
    calls.as_chunks::<ID_BYTES>().0.iter().map(|bytes| u128::from_be_bytes(*bytes))
}
