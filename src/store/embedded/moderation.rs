//! Blocks, contacts and bans.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::expiry::{self, Expiring};
use crate::domain::{Timestamp, UserId};
use crate::store::codec::read_json;
use crate::store::{Ban, StoreError};

/// By user and the peer whom they have blocked.
pub(super) const BLOCKS: TableDefinition<(&str, &str), ()> = TableDefinition::new("blocks");
/// By user and the peer whose calls they take.
pub(super) const CONTACTS: TableDefinition<(&str, &str), ()> = TableDefinition::new("contacts");
/// By user: their ban as JSON.
pub(super) const BANS: TableDefinition<&str, &[u8]> = TableDefinition::new("bans");

pub(super) fn is_blocked(txn: &WriteTransaction, user: &UserId, peer: &UserId) -> Result<bool, StoreError> {
    Ok(txn.open_table(BLOCKS)?.get((user.as_str(), peer.as_str()))?.is_some())
}

pub(super) fn set_block(
    txn: &WriteTransaction,
    user: &UserId,
    peer: &UserId,
    blocked: bool,
) -> Result<bool, StoreError> {
    let mut blocks = txn.open_table(BLOCKS)?;
    let pair = (user.as_str(), peer.as_str());
    let was_blocked = if blocked { blocks.insert(pair, ())?.is_some() } else { blocks.remove(pair)?.is_some() };
    Ok(was_blocked != blocked)
}

pub(super) fn blocks(txn: &ReadTransaction, user: &UserId) -> Result<Vec<UserId>, StoreError> {
    peers(&txn.open_table(BLOCKS)?, user)
}

/// The peers that stand beside a user, in order.
fn peers(
    table: &impl ReadableTable<(&'static str, &'static str), ()>,
    user: &UserId,
) -> Result<Vec<UserId>, StoreError> {
    let mut peers = Vec::new();
    for entry in table.range((user.as_str(), "")..)? {
        let (key, _) = entry?;
        let (owner, peer) = key.value();
        if owner != user.as_str() {
            break;
        }
        peers.push(UserId::new(peer).map_err(|error| StoreError::Corrupt(format!("peer: {error}")))?);
    }
    Ok(peers)
}

pub(super) fn is_contact(txn: &WriteTransaction, user: &UserId, peer: &UserId) -> Result<bool, StoreError> {
    Ok(txn.open_table(CONTACTS)?.get((user.as_str(), peer.as_str()))?.is_some())
}

pub(super) fn contacts(txn: &ReadTransaction, user: &UserId) -> Result<Vec<UserId>, StoreError> {
    peers(&txn.open_table(CONTACTS)?, user)
}

pub(super) fn put_contacts(txn: &WriteTransaction, user: &UserId, listed: &[UserId]) -> Result<(), StoreError> {
    let mut contacts = txn.open_table(CONTACTS)?;
    for peer in peers(&contacts, user)? {
        contacts.remove((user.as_str(), peer.as_str()))?;
    }
    for peer in listed {
        contacts.insert((user.as_str(), peer.as_str()), ())?;
    }
    Ok(())
}

pub(super) fn set_contact(
    txn: &WriteTransaction,
    user: &UserId,
    peer: &UserId,
    listed: bool,
    most: usize,
) -> Result<bool, StoreError> {
    let mut contacts = txn.open_table(CONTACTS)?;
    let pair = (user.as_str(), peer.as_str());
    let was_listed = contacts.get(pair)?.is_some();
    match (was_listed, listed) {
        (true, false) => drop(contacts.remove(pair)?),
        (false, true) if peers(&contacts, user)?.len() >= most => return Err(StoreError::TooMany),
        (false, true) => drop(contacts.insert(pair, ())?),
        _ => {}
    }
    Ok(was_listed != listed)
}

/// Writes a ban, which comes as JSON too.
pub(super) fn put_ban(txn: &WriteTransaction, ban: &Ban, json: &[u8]) -> Result<(), StoreError> {
    txn.open_table(BANS)?.insert(ban.user.as_str(), json)?;
    match ban.until {
        Some(until) => expiry::note(txn, until, Expiring::Ban, ban.user.as_str(), ""),
        None => Ok(()),
    }
}

pub(super) fn ban(txn: &ReadTransaction, user: &UserId, now: Timestamp) -> Result<Option<Ban>, StoreError> {
    in_force(&txn.open_table(BANS)?, user, now)
}

pub(super) fn is_banned(txn: &WriteTransaction, user: &UserId, now: Timestamp) -> Result<bool, StoreError> {
    Ok(in_force(&txn.open_table(BANS)?, user, now)?.is_some())
}

fn in_force(
    bans: &impl ReadableTable<&'static str, &'static [u8]>,
    user: &UserId,
    now: Timestamp,
) -> Result<Option<Ban>, StoreError> {
    let ban = bans.get(user.as_str())?.map(|json| decode(json.value())).transpose()?;
    Ok(ban.filter(|ban| ban.holds(now)))
}

pub(super) fn lift_ban(txn: &WriteTransaction, user: &UserId, now: Timestamp) -> Result<bool, StoreError> {
    let mut bans = txn.open_table(BANS)?;
    let lifted = bans.remove(user.as_str())?.map(|json| decode(json.value()));
    // One that cannot be read is lifted all the same.
    Ok(lifted.is_some_and(|ban| ban.map_or(true, |ban| ban.holds(now))))
}

pub(super) fn bans(txn: &ReadTransaction, now: Timestamp) -> Result<Vec<Ban>, StoreError> {
    let mut bans = Vec::new();
    for entry in txn.open_table(BANS)?.iter()? {
        let ban = decode(entry?.1.value())?;
        if ban.holds(now) {
            bans.push(ban);
        }
    }
    Ok(bans)
}

/// Forgets a ban that is over.
pub(super) fn forget_ban(txn: &WriteTransaction, user: &str, now: Timestamp) -> Result<(), StoreError> {
    let mut bans = txn.open_table(BANS)?;
    let over = match bans.get(user)? {
        Some(json) => !decode(json.value())?.holds(now),
        None => false,
    };
    if over {
        bans.remove(user)?;
    }
    Ok(())
}

fn decode(json: &[u8]) -> Result<Ban, StoreError> {
    read_json("ban", json)
}
