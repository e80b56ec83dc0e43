//! The figures of a run, as a table and as JSON.

use std::fmt;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::scenario::{Calls, count};
use crate::stage::{Stage, Used};

/// Characters of the reason for a failure: it may hold an answer.
const LONGEST_WHY: usize = 300;

/// Things done by one service in one scenario: requests, whole calls, ends, streams.
pub struct Row {
    pub service: String,
    /// Counts the runs of the same scenario, from 0.
    pub round: usize,
    scenario: String,
    /// Or why there are none.
    figures: Result<Figures, String>,
}

struct Figures {
    each: f64,
    per_second: f64,
    latency: Spread,
    used: Value,
    memory: f64,
    /// What else there is to say of it.
    facts: Map<String, Value>,
}

/// Percentiles and the greatest, in ms.
#[derive(Clone, Copy)]
pub struct Spread {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Spread {
    /// Of microseconds.
    pub fn of(values: &Histogram<u64>) -> Self {
        let ms = |value: u64| f64::from(u32::try_from(value).unwrap_or(u32::MAX)) / 1e3;
        let at = |quantile| ms(values.value_at_quantile(quantile));
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: ms(values.max()) }
    }

    pub fn json(self) -> Value {
        json!({"p50": self.p50, "p99": self.p99, "p999": self.p999, "max": self.max})
    }
}

impl Row {
    pub fn of_calls(scenario: &str, calls: &Calls, stage: &Stage) -> Result<Self, Failure> {
        Self::new(scenario, calls.number(), calls.per_second(), Spread::of(&calls.latencies), &calls.used, stage)
    }

    pub fn new(
        scenario: &str,
        number: usize,
        per_second: f64,
        latency: Spread,
        used: &Used,
        stage: &Stage,
    ) -> Result<Self, Failure> {
        let each = count(number.max(1));
        let redis = used.redis.as_ref().map(|redis| {
            json!({
                "cpu_us": redis.cpu.as_secs_f64() * 1e6 / each, "commands_sent": redis.sent() / each,
                "commands_run": redis.all() / each, "bytes_in": redis.input / each, "bytes_out": redis.output / each,
                "commands": redis.each(each),
            })
        });
        let used = json!({
            "cpu_us": used.cpu.as_secs_f64() * 1e6 / each, "bytes_in": used.traffic.map(|traffic| traffic.0 / each),
            "bytes_out": used.traffic.map(|traffic| traffic.1 / each), "redis": redis,
        });
        let figures = Figures { each, per_second, latency, used, memory: stage.memory()?, facts: Map::new() };
        Ok(Self::with_figures(scenario, Ok(figures)))
    }

    /// A scenario that failed, or was given up.
    pub fn failed(scenario: &str, why: &str) -> Self {
        Self::with_figures(scenario, Err(why.chars().take(LONGEST_WHY).collect()))
    }

    fn with_figures(scenario: &str, figures: Result<Figures, String>) -> Self {
        Self { service: String::new(), round: 0, scenario: scenario.to_owned(), figures }
    }

    pub fn with(mut self, fact: &str, value: impl Into<Value>) -> Self {
        if let Ok(figures) = &mut self.figures {
            figures.facts.insert(fact.to_owned(), value.into());
        }
        self
    }

    /// CPU time of the service for each, in microseconds; none if the scenario failed.
    pub fn cpu_us(&self) -> Option<f64> {
        self.figures.as_ref().ok()?.used["cpu_us"].as_f64()
    }

    pub fn scenario(&self) -> &str {
        &self.scenario
    }

    pub fn json(&self) -> Value {
        let Self { service, round, scenario, figures } = self;
        match figures {
            Ok(Figures { each, per_second, latency, used, memory, facts }) => json!({
                "service": service, "round": round, "scenario": scenario, "count": each, "per_second": per_second,
                "latency_ms": latency.json(), "each": used, "memory_mb": memory, "facts": facts,
            }),
            Err(why) => json!({"service": service, "round": round, "scenario": scenario, "failed": why}),
        }
    }

    /// The words over the columns of [`Display`](fmt::Display).
    pub fn head() -> String {
        let (service, scenario, number, rate) = ("service", "scenario", "count", "a second");
        let (p50, p99, p999, cpu) = ("p50 ms", "p99 ms", "p99.9 ms", "CPU µs");
        let (input, output, redis, memory) = ("bytes in", "bytes out", "Redis µs", "MB");
        format!(
            "{service:<14}{scenario:<26}{number:>7}{rate:>9}{p50:>8}{p99:>9}{p999:>9}{cpu:>8}{input:>9}{output:>10}{redis:>9}{memory:>7}"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, scenario, figures, .. } = self;
        write!(f, "{service:<14}{scenario:<26}")?;
        let Figures { each, per_second, latency: Spread { p50, p99, p999, .. }, used, memory, facts } = match figures {
            Ok(figures) => figures,
            Err(why) => return write!(f, " failed: {why}"),
        };
        let of = |value: &Value| value.as_f64().map_or_else(String::new, |value| format!("{value:.0}"));
        let (cpu, input, output) = (of(&used["cpu_us"]), of(&used["bytes_in"]), of(&used["bytes_out"]));
        let redis = of(&used["redis"]["cpu_us"]);
        write!(f, "{each:>7.0}{per_second:>9.0}{p50:>8.2}{p99:>9.2}{p999:>9.2}")?;
        write!(f, "{cpu:>8}{input:>9}{output:>10}{redis:>9}{memory:>7.0}")?;
        facts.iter().try_for_each(|(name, value)| write!(f, "\n    {name}: {value}"))
    }
}
