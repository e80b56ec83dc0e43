//! What is done to a service in a round: which scenarios share a stage, and how many people each has.

use std::time::Duration;

use crate::client::Transport;
use crate::deadline::within;
use crate::figures::{Row, Spread};
use crate::people::Pair;
use crate::rows::Rows;
use crate::scenario::{Load, count, histogram};
use crate::services::{Programs, Service};
use crate::stage::{Setting, Stage};
use crate::storm::Crowd;
use crate::{Failure, Options, Scenario, ringing, slow, streams};

/// How long a service is watched doing nothing, to know when it is idle.
const REST: Duration = Duration::from_secs(2);
/// How long calls ring that somebody ends.
const RING_SECONDS: u64 = 120;
/// How many devices each callee has.
const DEVICES: usize = 2;
/// How often it is tried how long a start takes.
const STARTS: usize = 5;
/// Callees of `slow`.
const SLOW_CALLS: usize = 10_000;
/// Invites a second of `ringing`.
const RINGING_RATE: f64 = 1500.0;

/// What is done to a service in a round.
pub struct Turn<'a> {
    pub options: &'a Options,
    pub programs: &'a Programs,
    pub service: Service,
    /// Whether this is its first round, in which all is done.
    pub first: bool,
}

impl Turn<'_> {
    /// Runs what was asked for and what this service can do. What fails is a row, and the next scenario has a stage of its own.
    pub async fn run(&self, rows: &mut Rows) -> Result<(), Failure> {
        use Scenario::{Calls, Hot, Memory, Rates, Ringing, Slow, Start, Storm, Streams};
        // Memory on a stage of its own: a thousand connections at once leave what they took.
        for together in [&[Storm, Rates, Calls, Hot][..], &[Memory]] {
            let wanted: Vec<_> = together.iter().copied().filter(|scenario| self.wants(*scenario)).collect();
            let mut left = wanted.as_slice();
            while !left.is_empty() {
                if let Err(why) = self.together(&mut left, rows).await {
                    rows.failed(&why)?;
                    left = left.get(1..).unwrap_or_default();
                }
            }
        }
        for scenario in [Streams, Start, Slow, Ringing].into_iter().filter(|scenario| self.wants(*scenario)) {
            let transports = if scenario == Streams { self.service.transports() } else { &[Transport::WebSocket] };
            for transport in transports {
                if let Err(why) = self.alone(scenario, *transport, rows).await {
                    rows.failed(&why)?;
                }
            }
        }
        Ok(())
    }

    fn wants(&self, scenario: Scenario) -> bool {
        let now = self.first || matches!(scenario, Scenario::Storm | Scenario::Rates);
        now && self.options.only.contains(&scenario) && self.service.can(scenario)
    }

    /// Does these scenarios on one stage until one fails: that is the first one that is left then.
    async fn together(&self, left: &mut &[Scenario], rows: &mut Rows) -> Result<(), Failure> {
        let Some((first, _)) = left.split_first() else { return Ok(()) };
        rows.doing(&first.name());
        let stage = self.stage(DEVICES, &[]).await?;
        let started = stage.memory()?;
        let load = self.load(*first, &stage, self.options.pairs, RING_SECONDS).await?;
        let crowd = Crowd { options: self.options, load, started, cancels: self.service.cancels() };
        let mut greatest = within(self.time(*first), "warm", crowd.warm_up()).await?;
        while let Some((scenario, rest)) = left.split_first() {
            within(self.time(*scenario), "done", crowd.run(*scenario, &mut greatest, rows)).await?;
            *left = rest;
        }
        drop(crowd);
        rows.doing("stop");
        stage.stop().await
    }

    /// Does a scenario on a stage of its own.
    async fn alone(&self, scenario: Scenario, transport: Transport, rows: &mut Rows) -> Result<(), Failure> {
        rows.doing(&scenario.name());
        let time = self.time(scenario);
        let mut stage = match scenario {
            Scenario::Slow => self.stage(slow::DEVICES, &slow::FAULTS).await?,
            _ => self.stage(DEVICES, &[]).await?,
        };
        match scenario {
            Scenario::Streams => {
                within(time, "done", streams::run(&stage, self.options.streams, transport, rows)).await?;
            }
            Scenario::Start => within(time, "done", starts(&mut stage, rows)).await?,
            Scenario::Slow => {
                let load = self.load(scenario, &stage, SLOW_CALLS, RING_SECONDS).await?;
                within(time, "done", slow::run(&load, &stage, rows)).await?;
            }
            _ => {
                let load = self.load(scenario, &stage, self.options.calls, ringing::RING_SECONDS).await?;
                within(time, "done", ringing::run(&load, &stage, RINGING_RATE, rows)).await?;
            }
        }
        rows.doing("stop");
        stage.stop().await
    }

    async fn stage(&self, devices: usize, faults: &[&str]) -> Result<Stage, Failure> {
        let wrap = self.options.wrap.as_deref().unwrap_or_default();
        let setting = Setting { service: self.service, wrap, devices, faults };
        let mut stage = Stage::start(self.programs, &setting).await?;
        stage.learn_rest(REST).await?;
        Ok(stage)
    }

    /// A load by people who have registered.
    async fn load<'a>(
        &self,
        scenario: Scenario,
        stage: &'a Stage,
        pairs: usize,
        ring_seconds: u64,
    ) -> Result<Load<'a>, Failure> {
        let pairs = (0..pairs).map(Pair::new).collect::<Result<_, _>>()?;
        let load = Load::new(stage, pairs, self.options.connections, ring_seconds);
        within(self.time(scenario), "all registered", load.register()).await?;
        Ok(load)
    }

    /// After which a scenario is given up, and what goes before it.
    fn time(&self, scenario: Scenario) -> Duration {
        let time = Duration::from_secs(self.options.deadline);
        if matches!(scenario, Scenario::Memory | Scenario::Ringing) { time * 5 / 2 } else { time }
    }
}

/// How soon it is ready, with everything else there already.
async fn starts(stage: &mut Stage, rows: &mut Rows) -> Result<(), Failure> {
    rows.doing("start to ready");
    let (mut times, before) = (histogram()?, stage.usage().await?);
    for _ in 0..STARTS {
        stage.restart().await?;
        times.record(u64::try_from(stage.service.ready_after.as_micros())?)?;
    }
    let used = stage.used_since(&before).await?;
    let rate = count(STARTS) / used.took.as_secs_f64();
    rows.add(Row::new("start to ready", STARTS, rate, Spread::of(&times), &used, stage)?)
}
