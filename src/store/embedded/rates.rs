//! How much is taken of users' rates.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::expiry::{self, Expiring};
use crate::domain::rate::now_us;
use crate::domain::{Limit, Limited, Timestamp, UserId};
use crate::store::{Charge, StoreError};

/// By user and rate: the time (µs) at which all that was taken would have come to its end, had it been spread evenly.
pub(super) const RATES: TableDefinition<(&str, &str), u64> = TableDefinition::new("rates");

/// Takes one of each rate, or, where one has none left, refuses and takes nothing.
pub(super) fn charge(
    txn: &WriteTransaction,
    user: &UserId,
    charges: &[Charge],
    now: Timestamp,
) -> Result<(), StoreError> {
    for (name, next) in look(txn, user, charges, now)? {
        let was_there = txn.open_table(RATES)?.insert((user.as_str(), name.as_str()), next)?.is_some();
        if !was_there {
            expiry::note(txn, over(next), Expiring::Rate, user.as_str(), &name)?;
        }
    }
    Ok(())
}

/// What is to be remembered when one of each rate is taken, by its name; refused where one has none left.
pub(super) fn look(
    txn: &WriteTransaction,
    user: &UserId,
    charges: &[Charge],
    now: Timestamp,
) -> Result<Vec<(String, u64)>, StoreError> {
    let table = txn.open_table(RATES)?;
    let (mut taken, mut refused) = (Vec::with_capacity(charges.len()), None::<Limited>);
    for Charge { limit, rate, of } in charges {
        let name = of.as_ref().map_or_else(|| limit.as_str().to_owned(), |of| format!("{} {of}", limit.as_str()));
        let arrival = table.get((user.as_str(), name.as_str()))?.map_or(0, |row| row.value());
        match rate.take(arrival, now) {
            Ok(next) => taken.push((name, next)),
            Err(wait) if refused.is_none_or(|refused| refused.wait < wait) => {
                refused = Some(Limited { limit: *limit, rate: *rate, wait });
            }
            Err(_) => {}
        }
    }
    refused.map_or(Ok(taken), |refused| Err(StoreError::Limited(refused)))
}

/// Another user whom the name of a rate names: whose invites it is for, or who asks for proofs.
pub(super) fn peer(name: &str) -> Option<&str> {
    let (limit, of) = name.split_once(' ')?;
    match limit {
        limit if limit == Limit::InvitesPerPair.as_str() => Some(of),
        limit if limit == Limit::ProofsPerToken.as_str() => of.split_once(' ').map(|(_, by)| by),
        _ => None,
    }
}

/// Forgets a rate of which nothing is taken any more, or looks again when that will be.
pub(super) fn forget(txn: &WriteTransaction, user: &str, name: &str, now: Timestamp) -> Result<(), StoreError> {
    let mut rates = txn.open_table(RATES)?;
    let Some(arrival) = rates.get((user, name))?.map(|row| row.value()) else { return Ok(()) };
    if now_us(now) < arrival {
        return expiry::note(txn, over(arrival), Expiring::Rate, user, name);
    }
    rates.remove((user, name))?;
    Ok(())
}

/// When nothing is taken any more.
const fn over(arrival: u64) -> Timestamp {
    Timestamp::from_millis(arrival.div_ceil(1000))
}
