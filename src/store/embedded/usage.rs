//! What is used, by day; and which calls it has been added for.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::calls::key;
use super::expiry::{self, Expiring};
use crate::domain::usage::{Day, DayShare, DayUsage};
use crate::domain::{CallId, Timestamp};
use crate::store::{ACCOUNTED_KEPT, StoreError, USAGE_KEPT};

/// By day: calls, and milliseconds of all participants.
pub(super) const DAYS: TableDefinition<u32, (u64, u64)> = TableDefinition::new("usage_days");
/// By day and minute: participants.
pub(super) const MINUTES: TableDefinition<(u32, u16), u32> = TableDefinition::new("usage_minutes");
/// Calls that were added.
pub(super) const ACCOUNTED: TableDefinition<u128, ()> = TableDefinition::new("accounted");

/// Adds a call, unless that was done; says whether it was added.
pub(super) fn account(
    txn: &WriteTransaction,
    call: CallId,
    shares: &[DayShare],
    now: Timestamp,
) -> Result<bool, StoreError> {
    if txn.open_table(ACCOUNTED)?.insert(key(call), ())?.is_some() {
        return Ok(false);
    }
    expiry::note(txn, now + ACCOUNTED_KEPT, Expiring::Accounted, &call.to_string(), "")?;
    let (mut days, mut minutes) = (txn.open_table(DAYS)?, txn.open_table(MINUTES)?);
    for DayShare { day, participant_ms, runs } in shares {
        let day = day.number();
        let stands = days.get(day)?.map(|row| row.value());
        if stands.is_none() {
            expiry::note(txn, Day::from_number(day).begins() + USAGE_KEPT, Expiring::Usage, &day.to_string(), "")?;
        }
        let (calls, ms) = stands.unwrap_or_default();
        days.insert(day, (calls + 1, ms.saturating_add(*participant_ms)))?;
        for run in runs {
            for minute in run.first..=run.last {
                let there = minutes.get((day, minute))?.map_or(0, |row| row.value());
                minutes.insert((day, minute), there.saturating_add(run.participants))?;
            }
        }
    }
    Ok(true)
}

pub(super) fn usage(txn: &ReadTransaction, from: Day, to: Day, peaks_from: Day) -> Result<Vec<DayUsage>, StoreError> {
    let minutes = txn.open_table(MINUTES)?;
    let mut usage = Vec::new();
    for entry in txn.open_table(DAYS)?.range(from.number()..=to.number())? {
        let (day, row) = entry?;
        let ((calls, participant_ms), day) = (row.value(), day.value());
        let mut peak = 0;
        if day >= peaks_from.number() {
            for minute in minutes.range((day, 0)..=(day, u16::MAX))? {
                peak = peak.max(minute?.1.value());
            }
        }
        usage.push(DayUsage { day: Day::from_number(day), calls, participant_ms, peak });
    }
    Ok(usage)
}

/// Forgets that a call was added.
pub(super) fn forget_accounted(txn: &WriteTransaction, call: &str) -> Result<(), StoreError> {
    if let Ok(call) = CallId::parse(call) {
        txn.open_table(ACCOUNTED)?.remove(key(call))?;
    }
    Ok(())
}

/// Forgets a day.
pub(super) fn forget_day(txn: &WriteTransaction, day: &str) -> Result<(), StoreError> {
    if let Ok(day) = day.parse::<u32>() {
        txn.open_table(DAYS)?.remove(day)?;
        txn.open_table(MINUTES)?.retain_in((day, 0)..=(day, u16::MAX), |_, _| false)?;
    }
    Ok(())
}
