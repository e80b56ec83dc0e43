//! Calls, their wake-ups and the notices of their events: one script for each step.

use std::collections::HashSet;
use std::sync::Arc;

use redis::{cmd, from_redis_value};

use super::notice;
use super::script::{BURY, COMMIT, REMOVE};
use super::{Redis, unreadable};
use crate::domain::{CallId, Timestamp};
use crate::store::codec::{self, FORMAT};
use crate::store::{Announcement, Commit, Committed, Slot, StoreError, TOMBSTONE_KEPT};

/// What the script says where nothing is left to be removed.
pub(super) const NOTHING_THERE: i64 = 2;

impl Redis {
    pub(super) async fn load_call(&self, id: CallId) -> Result<Slot, StoreError> {
        let answer = self.link.ask(cmd("GET").arg(self.keys.of_call(id).key("call", id))).await?;
        match from_redis_value::<Option<Vec<u8>>>(answer).map_err(unreadable)? {
            Some(record) => Ok(self.sealing.open_slot(codec::decode(&record)?)),
            None => Ok(Slot::Vacant),
        }
    }

    pub(super) async fn commit_call(&self, commit: Commit) -> Result<(), StoreError> {
        let news = commit.news();
        let (written, is_unsure) = match self.write_record(&commit, news.as_ref()).await {
            Ok((answer, is_repeated)) => {
                let written = done(answer);
                let is_unsure = is_repeated && written.is_err();
                (written, is_unsure)
            }
            Err(error) => (Err(error), true),
        };
        if let Some(mut news) = news {
            if is_unsure {
                // Nothing is known of it: it may have been written before another one, or be written later. Who reads this call looks.
                self.unsure.insert(commit.call.id);
                news.record = None;
            }
            if is_unsure || written.is_ok() {
                self.tell(Announcement::Committed(news));
            }
        }
        written
    }

    /// What the script says, and whether it may have run before without an answer.
    async fn write_record(&self, commit: &Commit, news: Option<&Committed>) -> Result<(i64, bool), StoreError> {
        let Commit { call, expected, .. } = commit;
        let number = self.commit_number();
        let partition = self.keys.of_call(call.id);
        let (wake, later) = (partition.one("wake"), partition.one("later"));
        let (counter, channel) = (partition.one("notices"), partition.one("events"));
        let notice = news.map(|news| notice::of_commit(news, &self.instance)).transpose()?.unwrap_or_default();
        let wake_up = call.wake_up();
        let record = codec::encode(&*self.sealing.seal_call(call)?, &number)?;
        let keys = [&partition.key("call", call.id), &wake, &later, &counter, &channel];
        let mut step = COMMIT.on_with(&keys, record.len());
        step.arg(FORMAT)
            .arg(expected.map_or_else(String::new, |version| version.to_string()))
            .arg(&number)
            .arg(call.version)
            .arg(record)
            .arg(wake_up.at.as_millis())
            .arg(u8::from(wake_up.urgent))
            .arg(call.id.to_string())
            .arg(notice);
        let (answer, is_repeated) = self.link.run_noting(&COMMIT, &step).await?;
        Ok((from_redis_value(answer).map_err(unreadable)?, is_repeated))
    }

    pub(super) async fn bury_call(&self, id: CallId) -> Result<Slot, StoreError> {
        let mut step = BURY.on(&[&self.keys.of_call(id).key("call", id)]);
        step.arg(codec::TOMBSTONE).arg(TOMBSTONE_KEPT.as_millis().to_string());
        let record: Vec<u8> = from_redis_value(self.link.run(&BURY, &step).await?).map_err(unreadable)?;
        Ok(self.sealing.open_slot(codec::decode(&record)?))
    }

    pub(super) async fn remove_call(&self, id: CallId, version: u64) -> Result<(), StoreError> {
        let partition = self.keys.of_call(id);
        let mut step = REMOVE.on(&[&partition.key("call", id), &partition.one("wake"), &partition.one("later")]);
        step.arg(FORMAT).arg(version).arg(id.to_string());
        let (answer, is_repeated) = self.link.run_noting(&REMOVE, &step).await?;
        match from_redis_value(answer).map_err(unreadable)? {
            // An earlier try has removed it.
            NOTHING_THERE if is_repeated => Ok(()),
            NOTHING_THERE => Err(StoreError::Conflict),
            answer => done(answer),
        }
    }

    pub(super) async fn due_calls(
        &self,
        now: Timestamp,
        limit: usize,
        beside: &HashSet<CallId>,
    ) -> Result<Vec<CallId>, StoreError> {
        self.due_in(&["wake", "later"], now, limit, beside, |id| CallId::parse(&id).ok()).await
    }

    /// Tells this instance's readers.
    pub(super) fn tell(&self, announcement: Announcement) {
        // Without a reader nobody need know.
        let _ = self.events.send(Arc::new(announcement));
    }

    /// Sixty-four random bits in hex, by which a commit is known again.
    pub(super) fn commit_number(&self) -> String {
        let mut random = [0; 8];
        self.clock.random(&mut random);
        data_encoding::HEXLOWER.encode(&random)
    }
}

/// What a step's number says: 1, it is done; 0, something else stands there; -n, a record of format n.
pub(super) fn done(answer: i64) -> Result<(), StoreError> {
    match answer {
        1 => Ok(()),
        0 => Err(StoreError::Conflict),
        format => Err(StoreError::Newer(u32::try_from(-format).unwrap_or(u32::MAX))),
    }
}
