//! Missed calls: how many of each caller, and which of them the callee is told of.

use redis::{cmd, from_redis_value};

use super::script::COUNT_MISSED;
use super::{Redis, unreadable};
use crate::domain::time::millis;
use crate::domain::{CallId, Timestamp, UserId};
use crate::store::{
    MISSED_KEPT, MISSED_PERSISTENT_EVERY, MISSED_PERSISTENT_FROM, MISSED_TELLER_HAS, MISSED_TOLD_AN_HOUR,
    MISSED_TOLD_EVERY, Missed, StoreError, Tell,
};

/// How many missed calls of a pair are remembered as counted.
const REMEMBERED: usize = 100;

impl Redis {
    pub(super) async fn count(&self, callee: &UserId, caller: &UserId, call: CallId) -> Result<Missed, StoreError> {
        let now = self.clock.now();
        let partition = self.keys.of_user(callee);
        let mut step = COUNT_MISSED.on(&[
            &partition.pair("missed", callee, caller.as_str()),
            &partition.pair("teller", callee, caller.as_str()),
            &partition.key("told", callee.as_str()),
        ]);
        step.arg(call.to_string()).arg(now.as_millis()).arg((now + MISSED_KEPT).as_millis()).arg(REMEMBERED);
        step.arg(millis(MISSED_TOLD_EVERY)).arg(MISSED_TOLD_AN_HOUR).arg(millis(MISSED_TELLER_HAS));
        step.arg(MISSED_PERSISTENT_FROM).arg(millis(MISSED_PERSISTENT_EVERY));
        let answer = from_redis_value(self.link.run(&COUNT_MISSED, &step).await?).map_err(unreadable)?;
        let (count, tell): (u32, i64) = answer;
        let tell = match u64::try_from(tell) {
            Ok(0) => Tell::Now,
            Ok(at) => Tell::Later(Timestamp::from_millis(at)),
            Err(_) => Tell::NotAtAll,
        };
        Ok(Missed { count, tell })
    }

    pub(super) async fn forget_count(&self, callee: &UserId, caller: &UserId) -> Result<(), StoreError> {
        let key = self.keys.of_user(callee).pair("missed", callee, caller.as_str());
        self.link.ask(cmd("DEL").arg(key)).await.map(drop)
    }
}
