//! What is kept of a user, and by their name: which calls, and what is forgotten of them.
//!
//! It is found by reading all that could name them, which no other step does: beside the writer, and told to it as a list of rows.

use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::calls::{CALLS, id};
use super::expiry::{EXPIRIES, Expiring};
use super::jobs::JOBS;
use super::lines::{self, KEYS};
use super::missed::{MISSED, TOLD, TOLD_AT};
use super::moderation::{self, BLOCKS, CONTACTS};
use super::rates::{self, RATES};
use crate::domain::{CallId, Timestamp, UserId, Work};
use crate::store::{Forgotten, Slot, StoreError, codec};

/// Two texts, by which many rows are named.
type Pair = (String, String);

/// Rows that name a user, but for calls, claims, jobs, devices and their ban.
pub(super) struct Traces {
    blocks: Vec<Pair>,
    contacts: Vec<Pair>,
    missed: Vec<Pair>,
    told: Vec<Pair>,
    keys: Vec<Pair>,
    rates: Vec<Pair>,
    expiries: Vec<(u64, u8, String, String)>,
}

pub(super) fn calls_naming(txn: &ReadTransaction, user: &UserId) -> Result<Vec<CallId>, StoreError> {
    let mut found = lines::calls_of(txn, user)?;
    // A record is only parsed where it can be one of theirs.
    let name = codec::write_json("user", user)?;
    let may_name = |record: &[u8]| record.windows(name.len()).any(|part| part == name);
    for row in txn.open_table(CALLS)?.iter()? {
        let (key, row) = row?;
        let record = row.value().4;
        // One that cannot be read is not theirs to lose.
        if may_name(record)
            && let Ok(Slot::Call(call)) = codec::decode(record)
            && call.party(user).is_some()
        {
            found.push(id(key.value()));
        }
    }
    for row in txn.open_table(JOBS)?.iter()? {
        let row = row?.1;
        let record = row.value().3;
        if may_name(record)
            && let Ok(job) = codec::decode_job(record)
            && let Work::Recording(recording) = job.work
            && recording.has_party(user)
        {
            found.push(recording.call);
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

impl Traces {
    pub(super) fn find(txn: &ReadTransaction, user: &UserId) -> Result<Self, StoreError> {
        let name = user.as_str();
        let both = |one: &str, other: &str| one == name || other == name;
        let theirs = |one: &str, _: &str| one == name;
        let rate = |one: &str, rate: &str| one == name || rates::peer(rate) == Some(name);
        let mut expiries = Vec::new();
        for row in txn.open_table(EXPIRIES)?.iter()? {
            let row = row?.0;
            let (at, what, whose, which) = row.value();
            let is_theirs = match what {
                kind if kind == Expiring::Missed as u8 => both(whose, which),
                kind if kind == Expiring::Rate as u8 => rate(whose, which),
                kind if [Expiring::Key, Expiring::Ban, Expiring::Device].map(|kind| kind as u8).contains(&kind) => {
                    whose == name
                }
                _ => false,
            };
            if is_theirs {
                expiries.push((at, what, whose.to_owned(), which.to_owned()));
            }
        }
        Ok(Self {
            blocks: pairs(&txn.open_table(BLOCKS)?, both)?,
            contacts: pairs(&txn.open_table(CONTACTS)?, both)?,
            missed: pairs(&txn.open_table(MISSED)?, both)?,
            told: pairs(&txn.open_table(TOLD)?, both)?,
            keys: pairs(&txn.open_table(KEYS)?, theirs)?,
            rates: pairs(&txn.open_table(RATES)?, rate)?,
            expiries,
        })
    }

    pub(super) fn forget(self, txn: &WriteTransaction, user: &UserId, now: Timestamp) -> Result<Forgotten, StoreError> {
        let mut forgotten = Forgotten::default();
        let (theirs, of_others): (Vec<Pair>, Vec<Pair>) =
            self.blocks.into_iter().partition(|(one, _)| one == user.as_str());
        forgotten.blocks = remove(txn.open_table(BLOCKS)?, &theirs)?;
        forgotten.blocked_by = remove(txn.open_table(BLOCKS)?, &of_others)?;
        forgotten.contacts = remove(txn.open_table(CONTACTS)?, &self.contacts)?;
        forgotten.missed = remove(txn.open_table(MISSED)?, &self.missed)?;
        remove(txn.open_table(TOLD)?, &self.told)?;
        txn.open_table(TOLD_AT)?.remove(user.as_str())?;
        forgotten.idempotency_keys = remove(txn.open_table(KEYS)?, &self.keys)?;
        forgotten.rates = remove(txn.open_table(RATES)?, &self.rates)?;
        moderation::forget_ban(txn, user.as_str(), now)?;
        let is_banned = moderation::is_banned(txn, user, now)?;
        let mut table = txn.open_table(EXPIRIES)?;
        for (at, what, whose, which) in &self.expiries {
            if is_banned && *what == Expiring::Ban as u8 {
                continue;
            }
            table.remove((*at, *what, whose.as_str(), which.as_str()))?;
        }
        lines::forget_lapsed(txn, user, now)?;
        Ok(forgotten)
    }
}

/// Removes rows; says how many there still were.
fn remove<V: redb::Value + 'static>(
    mut table: Table<'_, (&'static str, &'static str), V>,
    rows: &[Pair],
) -> Result<u64, StoreError> {
    let mut removed = 0;
    for (one, other) in rows {
        removed += u64::from(table.remove((one.as_str(), other.as_str()))?.is_some());
    }
    Ok(removed)
}

/// The rows of a table whose names are wanted.
fn pairs<V: redb::Value + 'static>(
    table: &impl ReadableTable<(&'static str, &'static str), V>,
    wanted: impl Fn(&str, &str) -> bool,
) -> Result<Vec<Pair>, StoreError> {
    let mut pairs = Vec::new();
    for row in table.iter()? {
        let row = row?.0;
        let (one, other) = row.value();
        if wanted(one, other) {
            pairs.push((one.to_owned(), other.to_owned()));
        }
    }
    Ok(pairs)
}
