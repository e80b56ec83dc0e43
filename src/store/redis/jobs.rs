//! Jobs and their wake-ups, by the scripts of calls: a job wakes by a set of its own.

use futures_util::future::{join_all, try_join_all};
use redis::{cmd, from_redis_value};

use super::calls::{NOTHING_THERE, done};
use super::keys::PARTITIONS;
use super::script::{COMMIT, REMOVE};
use super::{Redis, unreadable};
use crate::domain::{Job, JobId, Timestamp};
use crate::store::codec::{self, FORMAT};
use crate::store::{StoreError, Waiting};

/// The most jobs that one partition gives at once.
const DUE_OF_ONE: usize = 64;

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

    /// Reads every partition's wake-ups at once. Where some cannot be read, those of the others are due all the same.
    pub(super) async fn jobs_due(&self, now: Timestamp, limit: usize) -> Result<Vec<JobId>, StoreError> {
        let partitions = join_all(self.keys.all().map(async |partition| {
            let mut range = cmd("ZRANGE");
            range.arg(partition.one("jobs")).arg("-inf").arg(now.as_millis()).arg("BYSCORE");
            range.arg("LIMIT").arg(0).arg(limit.min(DUE_OF_ONE)).arg("WITHSCORES");
            from_redis_value::<Vec<(String, f64)>>(self.link.ask(&range).await?).map_err(unreadable)
        }));
        let (mut due, mut failures) = (Vec::new(), Vec::new());
        for answer in partitions.await {
            match answer {
                Ok(jobs) => due.extend(jobs.into_iter().filter_map(|(id, at)| Some((at, JobId::new(id).ok()?)))),
                Err(failure) => failures.push(failure),
            }
        }
        match failures.pop() {
            Some(failure) if failures.len() + 1 == PARTITIONS => return Err(failure),
            Some(error) => tracing::warn!(%error, partitions = failures.len() + 1, "some of the jobs cannot be read"),
            None => {}
        }
        due.sort_by(|(at, _), (than, _)| at.total_cmp(than));
        Ok(due.into_iter().take(limit).map(|(_, id)| id).collect())
    }
}
