//! Calls of people who have registered: as many as the service takes, at rates, whole ones, many to one user, and very many.

use std::time::Duration;

use serde_json::{Value, json};

use crate::figures::{Row, Spread};
use crate::people::Pair;
use crate::rows::Rows;
use crate::scenario::{Calls, Load, Pace};
use crate::{Failure, Options, Scenario};

/// Calls that pay for what is done once, and for a compiler that learns.
const WARM_UP: usize = 2000;
/// Callers to one user.
const CALLERS: usize = 1000;
/// How often memory is looked at while there are very many calls.
const LOOKS: usize = 10;
/// Names of scenarios.
const INVITES: &str = "invites, greatest";
const CANCELS: &str = "cancels, greatest";
const HOT: &str = "one hot callee";
const MANY: &str = "many calls";

/// The people, and how they go about it.
pub struct Crowd<'a> {
    pub options: &'a Options,
    pub load: Load<'a>,
    /// Memory before anybody registered, in MB.
    pub started: f64,
    /// Whether the service knows of cancels; otherwise everybody calls again while their last call rings.
    pub cancels: bool,
}

impl Crowd<'_> {
    /// Calls that pay for what is done once; gives how many invites a second it took.
    pub async fn warm_up(&self) -> Result<f64, Failure> {
        let calls = self.load.invites(Pace::Greatest, WARM_UP.min(self.options.pairs), Duration::MAX).await?;
        self.end(&calls).await?;
        Ok(calls.per_second())
    }

    /// Does one of them; `greatest` is how many invites a second it takes, as far as is known.
    pub async fn run(&self, scenario: Scenario, greatest: &mut f64, rows: &mut Rows) -> Result<(), Failure> {
        match scenario {
            Scenario::Storm => *greatest = self.storm(rows).await?,
            Scenario::Rates => self.rates(*greatest, rows).await?,
            Scenario::Calls => self.whole_calls(rows).await?,
            Scenario::Hot => self.hot(rows).await?,
            Scenario::Memory => self.memory(rows).await?,
            Scenario::Start | Scenario::Streams | Scenario::Slow | Scenario::Ringing => {}
        }
        Ok(())
    }

    /// Gives how many invites a second it took.
    async fn storm(&self, rows: &mut Rows) -> Result<f64, Failure> {
        rows.doing(INVITES);
        let storm = self.load.invites(Pace::Greatest, self.options.pairs, self.time()).await?;
        rows.add(self.row(INVITES, &storm).await?.with("memory at start, MB", self.started))?;
        if self.cancels {
            rows.doing(CANCELS);
            let cancels = self.load.cancel(&storm).await?;
            rows.add(Row::of_calls(CANCELS, &cancels, self.load.stage)?)?;
        }
        Ok(storm.per_second())
    }

    /// At the rates that were asked for and it may keep up with, and at half of the greatest.
    async fn rates(&self, greatest: f64, rows: &mut Rows) -> Result<(), Failure> {
        let fixed = self.options.rates.iter().filter(|rate| **rate < greatest * 0.9);
        let fixed = fixed.map(|rate| (format!("invites, {rate:.0} a second"), *rate));
        for (name, rate) in fixed.chain([("invites, half".to_owned(), greatest / 2.0)]) {
            rows.doing(&name);
            let calls = self.load.invites(Pace::Rate(rate), self.options.pairs, self.time()).await?;
            rows.add(self.row(&name, &calls).await?)?;
            self.end(&calls).await?;
        }
        Ok(())
    }

    async fn whole_calls(&self, rows: &mut Rows) -> Result<(), Failure> {
        let mut pace = Pace::Greatest;
        for name in ["whole calls, greatest", "whole calls, half"] {
            rows.doing(name);
            let calls = self.load.whole_calls(pace, self.time()).await?;
            rows.add(Row::of_calls(name, &calls, self.load.stage)?)?;
            pace = Pace::Rate(calls.per_second() / 2.0);
        }
        Ok(())
    }

    /// Everybody calls one user at the same moment: one rings, the others find them busy.
    async fn hot(&self, rows: &mut Rows) -> Result<(), Failure> {
        rows.doing(HOT);
        let (stage, callee) = (self.load.stage, self.options.pairs);
        let known = Load::new(stage, vec![Pair::new(callee)?], 1, self.load.ring_seconds);
        known.register().await?;
        let callers = (0..CALLERS).map(|caller| Pair::calling(callee + caller, callee)).collect::<Result<_, _>>()?;
        let hot = Load::new(stage, callers, CALLERS, self.load.ring_seconds);
        let (calls, failed) = hot.rush().await?;
        let row = Row::of_calls(HOT, &calls, stage)?;
        rows.add(row.with("calls that ring", calls.invited.len()).with("failed", failed))
    }

    /// Very many calls that are invited and cancelled, the same people again and again.
    async fn memory(&self, rows: &mut Rows) -> Result<(), Failure> {
        rows.doing(MANY);
        let stage = self.load.stage;
        let (mut looks, mut made) = (vec![json!([0, stage.memory()?])], 0);
        let before = stage.usage().await?;
        let mut last = None;
        while made < self.options.calls {
            let some = (self.options.calls / LOOKS).min(self.options.pairs).min(self.options.calls - made);
            let calls = self.load.invites(Pace::Greatest, some, Duration::MAX).await?;
            self.end(&calls).await?;
            stage.pushes.forget();
            made += some;
            looks.push(json!([made, stage.memory()?]));
            last = Some(calls);
        }
        let (used, last) = (stage.used_since(&before).await?, last.ok_or("no calls")?);
        let row = Row::new(MANY, made, last.per_second(), Spread::of(&last.latencies), &used, stage)?;
        rows.add(row.with("memory after so many calls, MB", Value::from(looks)))
    }

    async fn row(&self, scenario: &str, calls: &Calls) -> Result<Row, Failure> {
        let wire = Spread::of(&self.load.stage.pushes.after(&calls.invited).await?).json();
        Ok(Row::of_calls(scenario, calls, self.load.stage)?.with("invite to push, ms", wire))
    }

    /// Ends these calls, so that their people can call again.
    async fn end(&self, calls: &Calls) -> Result<(), Failure> {
        if self.cancels {
            self.load.cancel(calls).await?;
        }
        Ok(())
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.options.seconds)
    }
}
