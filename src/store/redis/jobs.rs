//! Jobs and their wake-ups, by the scripts of calls: a job wakes by a set of its own.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use redis::{cmd, from_redis_value};

use super::calls::{NOTHING_THERE, done};
use super::script::{COMMIT, REMOVE};
use super::{Redis, unreadable};
use crate::domain::{Job, JobId, Timestamp};
use crate::store::codec::{self, FORMAT};
use crate::store::{StoreError, Waiting};

impl Redis {
    pub(super) async fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        let answer = self.link.ask(cmd("GET").arg(self.keys.of_job(id).key("job", id))).await?;
        let record: Option<Vec<u8>> = from_redis_value(answer).map_err(unreadable)?;
        record.map(|record| codec::decode_job(&record)).transpose()
    }

    pub(super) async fn write_job(&self, job: &Job, expected: Option<u64>) -> Result<(), StoreError> {
        let number = self.commit_number();
        let partition = self.keys.of_job(&job.id);
        let (jobs, later) = (partition.one("jobs"), partition.one("later"));
        let (counter, channel) = (partition.one("notices"), partition.one("events"));
        let mut step = COMMIT.on(&[&partition.key("job", &job.id), &jobs, &later, &counter, &channel]);
        step.arg(FORMAT)
            .arg(expected.map_or_else(String::new, |version| version.to_string()))
            .arg(&number)
            .arg(job.version)
            .arg(codec::encode_job(job, &number)?)
            .arg(job.due.as_millis())
            .arg(1)
            .arg(job.id.as_str())
            .arg("");
        done(from_redis_value(self.link.run(&COMMIT, &step).await?).map_err(unreadable)?)
    }

    pub(super) async fn forget_job(&self, id: &JobId, version: u64) -> Result<(), StoreError> {
        let partition = self.keys.of_job(id);
        let mut step = REMOVE.on(&[&partition.key("job", id), &partition.one("jobs"), &partition.one("later")]);
        step.arg(FORMAT).arg(version).arg(id.as_str());
        let (answer, is_repeated) = self.link.run_noting(&REMOVE, &step).await?;
        match from_redis_value(answer).map_err(unreadable)? {
            // An earlier try has removed it.
            NOTHING_THERE if is_repeated => Ok(()),
            NOTHING_THERE => Err(StoreError::Conflict),
            answer => done(answer),
        }
    }

    /// Two numbers of each partition, which Redis keeps.
    pub(super) async fn count_waiting(&self) -> Result<Waiting, StoreError> {
        let partitions = try_join_all(self.keys.all().map(async |partition| {
            let both = ["wake", "jobs"].map(|set| {
                let mut count = cmd("ZCARD");
                count.arg(partition.one(set));
                count
            });
            from_redis_value::<[u64; 2]>(self.link.ask_all(&both).await?).map_err(unreadable)
        }));
        let sum = |sum: Waiting, [calls, jobs]: [u64; 2]| Waiting { calls: sum.calls + calls, jobs: sum.jobs + jobs };
        Ok(partitions.await?.into_iter().fold(Waiting::default(), sum))
    }

    pub(super) async fn jobs_due(
        &self,
        now: Timestamp,
        limit: usize,
        beside: &HashSet<JobId>,
    ) -> Result<Vec<JobId>, StoreError> {
        self.due_in(&["jobs"], now, limit, beside, |id| JobId::new(id).ok()).await
    }
}
