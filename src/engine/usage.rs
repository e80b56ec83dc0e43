//! What is used: ended calls are added, and how much of the plan is used is looked at once a minute in which there were any.

use std::time::Duration;

use super::{Engine, EngineError};
use crate::domain::job::Mark;
use crate::domain::usage::{Crossing, Day, DayUsage, shares};
use crate::domain::{Call, Job, JobId, Timestamp, Work};

const MINUTE_MS: u64 = 60_000;
/// How long after its period a warning is remembered: longer than anything is added to it.
const REMEMBERED: Duration = Duration::from_hours(72);

impl Engine {
    /// Adds an ended call to what is used; once, however often this is called.
    pub async fn account(&self, call: &Call) -> Result<(), EngineError> {
        self.store().account(call.id, &shares(&call.stays())).await?;
        if !self.settings().plan.warns() {
            return Ok(());
        }
        // What was added before the minute is over is seen by the check after it, whichever instance makes that.
        let now = self.clock().now();
        let minute = now.as_millis() / MINUTE_MS;
        let due = Timestamp::from_millis((minute + 1) * MINUTE_MS);
        self.queue(&Job::new(JobId::usage_check(minute), Work::UsageCheck(Mark::default()), now, due)).await.map(drop)
    }

    /// What was used on some days, both included.
    pub async fn usage(&self, from: Day, to: Day) -> Result<Vec<DayUsage>, EngineError> {
        Ok(self.store().usage(from, to, from).await?)
    }

    /// The shares of the plan that were reached today or yesterday, of which nobody has warned.
    pub async fn crossings(&self) -> Result<Vec<Crossing>, EngineError> {
        // A call that ends after midnight adds to the day, and perhaps the month, before.
        let today = Day::of(self.clock().now());
        let usage = self.store().usage(today.before().month_begins(), today, today.before()).await?;
        let mut crossings: Vec<Crossing> = Vec::new();
        let settings = self.settings();
        for crossing in [today.before(), today].into_iter().flat_map(|day| settings.plan.crossings(day, &usage)) {
            let known = crossings.iter().any(|other| warning(other) == warning(&crossing));
            if !known && self.job(&warning(&crossing)).await?.is_none() {
                crossings.push(crossing);
            }
        }
        Ok(crossings)
    }

    /// Remembers that a warning was given.
    pub async fn warned(&self, crossing: &Crossing) -> Result<(), EngineError> {
        let until = crossing.ends.begins() + REMEMBERED;
        let mark = Job::new(warning(crossing), Work::UsageWarned(Mark::default()), self.clock().now(), until);
        self.queue(&mark).await.map(drop)
    }
}

/// Of another plan it is another warning.
fn warning(crossing: &Crossing) -> JobId {
    JobId::usage_warned(crossing.what, &crossing.period, crossing.limit, crossing.per_cent)
}
