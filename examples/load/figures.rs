//! The figures of a run, as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::Failure;
use crate::process::Stage;
use crate::scenario::Calls;

/// Everything measured.
pub struct Figures {
    rows: Vec<Row>,
    pushes: Option<Spread>,
    memory: Memory,
}

struct Row {
    name: &'static str,
    count: usize,
    per_second: f64,
    latency: Spread,
    cpu_us: f64,
}

/// Percentiles, in ms.
#[derive(Clone, Copy)]
struct Spread {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// Of the gateway, in MB.
struct Memory {
    started: f64,
    loaded: Option<f64>,
    ended: f64,
    store: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |per_mille: usize| sorted.get(sorted.len() * per_mille / 1000).copied().unwrap_or_default();
        Self { p50: at(500), p99: at(990), p999: at(999) }
    }

    fn json(self) -> Value {
        json!({"p50": self.p50, "p99": self.p99, "p999": self.p999})
    }
}

impl Figures {
    /// Begins, with a gateway that has done nothing yet.
    pub fn new(stage: &Stage) -> Result<Self, Failure> {
        let started = stage.memory()?;
        Ok(Self {
            rows: Vec::new(),
            pushes: None,
            memory: Memory { started, loaded: None, ended: started, store: 0.0 },
        })
    }

    pub fn add(&mut self, name: &'static str, calls: &Calls) {
        self.rows.push(Row {
            name,
            count: calls.latencies.len(),
            per_second: calls.per_second(),
            latency: Spread::of(&calls.latencies),
            cpu_us: calls.cpu_us(),
        });
    }

    /// How long the rings were on their way, in ms.
    pub fn add_pushes(&mut self, delays: &[f64]) {
        self.pushes = Some(Spread::of(delays));
    }

    pub fn loaded(&mut self, stage: &Stage) -> Result<(), Failure> {
        self.memory.loaded = Some(stage.memory()?);
        Ok(())
    }

    pub fn ended(&mut self, stage: &Stage) -> Result<(), Failure> {
        self.memory.ended = stage.memory()?;
        self.memory.store = stage.store_size()?;
        Ok(())
    }

    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "name": row.name, "count": row.count, "per_second": row.per_second,
                "latency_ms": row.latency.json(), "gateway_cpu_us": row.cpu_us,
            })
        });
        let Memory { started, loaded, ended, store } = self.memory;
        json!({
            "scenarios": rows.collect::<Vec<_>>(),
            "invite_to_push_ms": self.pushes.map(Spread::json),
            "gateway_memory_mb": {"started": started, "loaded": loaded, "ended": ended},
            "store_mb": store,
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ("", "count", "a second", "p50 ms", "p99 ms", "p99.9 ms", "gateway CPU µs each");
        let (name, count, rate, p50, p99, p999, cpu) = titles;
        writeln!(f, "{name:<28}{count:>8}{rate:>10}{p50:>9}{p99:>9}{p999:>10}{cpu:>22}")?;
        for Row { name, count, per_second, latency, cpu_us } in &self.rows {
            let Spread { p50, p99, p999 } = latency;
            writeln!(f, "{name:<28}{count:>8}{per_second:>10.0}{p50:>9.2}{p99:>9.2}{p999:>10.2}{cpu_us:>22.0}")?;
        }
        if let Some(Spread { p50, p99, p999 }) = self.pushes {
            let name = "steady: invite to push";
            writeln!(f, "{name:<46}{p50:>9.2}{p99:>9.2}{p999:>10.2}")?;
        }
        let Memory { started, loaded, ended, store } = self.memory;
        write!(f, "gateway memory: {started:.1} MB at start")?;
        if let Some(loaded) = loaded {
            write!(f, ", {loaded:.1} MB after the greatest load")?;
        }
        writeln!(f, ", {ended:.1} MB at the end; store {store:.0} MB")
    }
}
