//! Jobs and their wake-ups, as calls and theirs.

use std::collections::HashSet;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use crate::domain::{Job, JobId, Timestamp};
use crate::store::StoreError;
use crate::store::codec::{self, FORMAT};

/// By job id: format, version, when its wake-up is due (ms), and the record.
pub(super) const JOBS: TableDefinition<&str, Row> = TableDefinition::new("jobs");
type Row = (u32, u64, u64, &'static [u8]);
/// Wake-ups, by time (ms) and job.
pub(super) const DUE: TableDefinition<(u64, &str), ()> = TableDefinition::new("jobs_due");

/// A job's next record, ready to be written.
pub(super) struct Next {
    id: JobId,
    version: u64,
    due: u64,
    record: Vec<u8>,
    expected: Option<u64>,
}

impl Next {
    pub(super) fn new(job: &Job, expected: Option<u64>) -> Result<Self, StoreError> {
        let record = codec::encode_job(job, "")?;
        Ok(Self { id: job.id.clone(), version: job.version, due: job.due.as_millis(), record, expected })
    }
}

pub(super) fn load(txn: &ReadTransaction, id: &JobId) -> Result<Option<Job>, StoreError> {
    txn.open_table(JOBS)?.get(id.as_str())?.map(|row| codec::decode_job(row.value().3)).transpose()
}

pub(super) fn commit(txn: &WriteTransaction, next: &Next) -> Result<(), StoreError> {
    let mut jobs = txn.open_table(JOBS)?;
    let stands = head(&jobs, &next.id)?;
    if stands.map(|(version, _)| version) != next.expected {
        return Err(StoreError::Conflict);
    }
    jobs.insert(next.id.as_str(), (FORMAT, next.version, next.due, next.record.as_slice()))?;
    let mut wake_ups = txn.open_table(DUE)?;
    if let Some((_, due)) = stands {
        wake_ups.remove((due, next.id.as_str()))?;
    }
    wake_ups.insert((next.due, next.id.as_str()), ())?;
    Ok(())
}

pub(super) fn remove(txn: &WriteTransaction, id: &JobId, version: u64) -> Result<(), StoreError> {
    let mut jobs = txn.open_table(JOBS)?;
    let Some((_, due)) = head(&jobs, id)?.filter(|(stands, _)| *stands == version) else {
        return Err(StoreError::Conflict);
    };
    jobs.remove(id.as_str())?;
    txn.open_table(DUE)?.remove((due, id.as_str()))?;
    Ok(())
}

pub(super) fn waiting(txn: &ReadTransaction) -> Result<u64, StoreError> {
    Ok(txn.open_table(DUE)?.len()?)
}

pub(super) fn due(
    txn: &ReadTransaction,
    now: Timestamp,
    limit: usize,
    beside: &HashSet<JobId>,
) -> Result<Vec<JobId>, StoreError> {
    let wake_ups = txn.open_table(DUE)?;
    let (mut due, mut others) = (Vec::new(), 0);
    for entry in wake_ups.range(..(now.as_millis().saturating_add(1), ""))? {
        if others == limit {
            break;
        }
        let (key, _) = entry?;
        // What has no job's name is a newer release's.
        if let Ok(id) = JobId::new(key.value().1) {
            others += usize::from(!beside.contains(&id));
            due.push(id);
        }
    }
    Ok(due)
}

/// The version that stands under an id, and when it is due.
fn head(jobs: &Table<'_, &'static str, Row>, id: &JobId) -> Result<Option<(u64, u64)>, StoreError> {
    match jobs.get(id.as_str())?.map(|row| (row.value().0, row.value().1, row.value().2)) {
        Some((format, ..)) if format > FORMAT => Err(StoreError::Newer(format)),
        Some((_, version, due)) => Ok(Some((version, due))),
        None => Ok(None),
    }
}
