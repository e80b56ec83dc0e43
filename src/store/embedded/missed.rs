//! How often a user missed a peer since they last talked, and which of those calls they are told of.

use redb::{AccessGuard, ReadableTable, TableDefinition, WriteTransaction};

use super::calls::key;
use super::expiry::{self, Expiring};
use crate::domain::{CallId, Timestamp, UserId};
use crate::store::{
    MISSED_KEPT, MISSED_PERSISTENT_EVERY, MISSED_PERSISTENT_FROM, MISSED_TELLER_HAS, MISSED_TOLD_AN_HOUR,
    MISSED_TOLD_COUNTS, MISSED_TOLD_EVERY, Missed, StoreError, Tell,
};

/// By user and peer: until when (ms) it is kept, how many were missed before those that follow, and the ids of the last
/// calls in the order in which they were counted, 16 bytes each.
pub(super) const MISSED: TableDefinition<(&str, &str), (u64, u32, &[u8])> = TableDefinition::new("missed");
/// By user and peer: when (ms) the user was told last, of which call and its number, and of the call that is to tell next.
pub(super) const TOLD: TableDefinition<(&str, &str), ToldRow> = TableDefinition::new("told");
/// By user: when (ms) they were told in the last hour, whoever called, 8 bytes each.
pub(super) const TOLD_AT: TableDefinition<&str, &[u8]> = TableDefinition::new("told_at");

type ToldRow = (u64, u128, u32, u128, u32);

/// How many calls are remembered as counted.
const REMEMBERED: usize = 100;
const ID_BYTES: usize = size_of::<u128>();
const TIME_BYTES: usize = size_of::<u64>();

/// What a user was told of a peer.
#[derive(Clone, Copy, Default)]
struct Told {
    at: Timestamp,
    call: Option<(u128, u32)>,
    /// The call that is to tell next.
    teller: Option<(u128, u32)>,
}

impl Told {
    /// When the next telling may be; `newest` is the number counted last, which goes back when the two have talked.
    fn next(self, newest: u32) -> Timestamp {
        let number = self.call.map_or(0, |(_, number)| number.min(newest));
        self.at + if number < MISSED_PERSISTENT_FROM { MISSED_TOLD_EVERY } else { MISSED_PERSISTENT_EVERY }
    }
}

pub(super) fn count(
    txn: &WriteTransaction,
    user: &UserId,
    peer: &UserId,
    call: CallId,
    now: Timestamp,
) -> Result<Missed, StoreError> {
    let pair = (user.as_str(), peer.as_str());
    let mut missed = txn.open_table(MISSED)?;
    let (mut before, mut calls) = match missed.get(pair)?.as_ref().map(AccessGuard::value) {
        Some((until, before, calls)) if now.as_millis() < until => (before, calls.to_vec()),
        _ => (0, Vec::new()),
    };
    let newest = before.saturating_add(u32::try_from(calls.len() / ID_BYTES).unwrap_or(u32::MAX));
    let told = read_told(txn, pair)?;
    let next = told.next(newest);
    let silent = |count| Ok(Missed { count, tell: Tell::NotAtAll });
    // What is asked about again: forgotten, if the newest number went back.
    match (told.call, told.teller) {
        (Some((id, count)), _) if id == key(call) => {
            return Ok(Missed { count, tell: if newest < count { Tell::NotAtAll } else { Tell::Now } });
        }
        (_, Some((id, count))) if id == key(call) => {
            if newest < count {
                return silent(count);
            }
            if now < next {
                return Ok(Missed { count, tell: Tell::Later(next) });
            }
            return tell(txn, pair, told, (key(call), newest), now);
        }
        _ => {}
    }
    let id = key(call).to_be_bytes();
    if let Some(place) = calls.as_chunks::<ID_BYTES>().0.iter().position(|other| *other == id) {
        return silent(before.saturating_add(ordinal(place)));
    }
    if calls.len() >= REMEMBERED * ID_BYTES {
        calls.drain(..ID_BYTES);
        before = before.saturating_add(1);
    }
    calls.extend(id);
    let until = now + MISSED_KEPT;
    missed.insert(pair, (until.as_millis(), before, calls.as_slice()))?;
    expiry::note(txn, until, Expiring::Missed, pair.0, pair.1)?;
    let count = before.saturating_add(ordinal(calls.len() / ID_BYTES - 1));
    let will_tell = told.teller.is_some_and(|(_, number)| newest >= number) && now < next + MISSED_TELLER_HAS;
    if will_tell {
        silent(count)
    } else if told.call.is_none() || now >= next {
        tell(txn, pair, told, (key(call), count), now)
    } else {
        write_told(txn, pair, Told { teller: Some((key(call), count)), ..told })?;
        Ok(Missed { count, tell: Tell::Later(next) })
    }
}

/// Tells of a number, unless there was too much in the last hour.
fn tell(
    txn: &WriteTransaction,
    pair: (&str, &str),
    told: Told,
    (call, count): (u128, u32),
    now: Timestamp,
) -> Result<Missed, StoreError> {
    let mut table = txn.open_table(TOLD_AT)?;
    let mut times = table.get(pair.0)?.map(|row| row.value().to_vec()).unwrap_or_default();
    let old = self::times(&times).take_while(|time| *time + MISSED_TOLD_COUNTS <= now).count();
    times.drain(..old * TIME_BYTES);
    if times.len() >= MISSED_TOLD_AN_HOUR * TIME_BYTES {
        write_told(txn, pair, Told { teller: None, ..told })?;
        return Ok(Missed { count, tell: Tell::NotAtAll });
    }
    times.extend(now.as_millis().to_be_bytes());
    table.insert(pair.0, times.as_slice())?;
    write_told(txn, pair, Told { at: now, call: Some((call, count)), teller: None })?;
    Ok(Missed { count, tell: Tell::Now })
}

/// When somebody was told, as it is packed.
pub(super) fn times(packed: &[u8]) -> impl Iterator<Item = Timestamp> {
    packed.as_chunks::<TIME_BYTES>().0.iter().copied().map(time_of)
}

fn time_of(bytes: [u8; TIME_BYTES]) -> Timestamp {
    Timestamp::from_millis(u64::from_be_bytes(bytes))
}

fn read_told(txn: &WriteTransaction, pair: (&str, &str)) -> Result<Told, StoreError> {
    let table = txn.open_table(TOLD)?;
    let Some(row) = table.get(pair)? else { return Ok(Told::default()) };
    let (at, call, number, teller, tellers) = row.value();
    let of = |id, number| (id != 0).then_some((id, number));
    Ok(Told { at: Timestamp::from_millis(at), call: of(call, number), teller: of(teller, tellers) })
}

fn write_told(txn: &WriteTransaction, pair: (&str, &str), told: Told) -> Result<(), StoreError> {
    let ((call, number), (teller, tellers)) = (told.call.unwrap_or_default(), told.teller.unwrap_or_default());
    txn.open_table(TOLD)?.insert(pair, (told.at.as_millis(), call, number, teller, tellers))?;
    Ok(())
}

/// Counts from zero again: the user has talked to the peer, or called back. What they were told, and when, is remembered.
pub(super) fn reset(txn: &WriteTransaction, user: &UserId, peer: &UserId) -> Result<(), StoreError> {
    txn.open_table(MISSED)?.remove((user.as_str(), peer.as_str()))?;
    Ok(())
}

/// Forgets a count that nothing was added to for long.
pub(super) fn forget(txn: &WriteTransaction, user: &str, peer: &str, now: Timestamp) -> Result<(), StoreError> {
    let mut missed = txn.open_table(MISSED)?;
    let counts = missed.get((user, peer))?.is_some_and(|row| now.as_millis() < row.value().0);
    if counts {
        return Ok(());
    }
    missed.remove((user, peer))?;
    txn.open_table(TOLD)?.remove((user, peer))?;
    let mut told = txn.open_table(TOLD_AT)?;
    let last = told.get(user)?.and_then(|row| row.value().as_chunks::<TIME_BYTES>().0.last().copied().map(time_of));
    if last.is_some_and(|last| last + MISSED_TOLD_COUNTS <= now) {
        told.remove(user)?;
    }
    Ok(())
}

/// The number of the call at a place, from 1.
fn ordinal(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1)
}
