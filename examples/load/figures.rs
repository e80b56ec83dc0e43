//! The figures of a run, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::bad_day::BadDay;
use crate::pushes::Rung;
use crate::ringing::{Memory, Ringing};
use crate::scenario::{Calls, count};
use crate::stage::{Stage, Used};

/// Everything measured on one store.
pub struct Figures {
    store: &'static str,
    rows: Vec<Row>,
    pushes: Option<Spread>,
    rest: Vec<(&'static str, Rest)>,
    ringing: Option<Ends>,
    bad_day: Option<Wires>,
    started: f64,
    loaded: Option<f64>,
    ended: f64,
    size: f64,
}

/// Things done: requests, whole calls, ends.
struct Row {
    name: &'static str,
    count: usize,
    per_second: f64,
    latency: Spread,
    cpu_us: f64,
    redis: Option<RedisEach>,
}

/// What Redis did for each of them.
struct RedisEach {
    cpu_us: f64,
    sent: f64,
    all: f64,
    input: f64,
    output: f64,
    commands: BTreeMap<String, f64>,
}

/// Parts of a core, and what came to Redis in a second, while nothing was asked of the gateway.
struct Rest {
    gateway: f64,
    redis: Option<(f64, f64, f64)>,
}

/// Of calls that rang at once.
struct Ends {
    calls: usize,
    memory: [Memory; 3],
    ended: Spread,
    missed: Spread,
}

/// Of providers on a bad day.
struct Wires {
    steady: Spread,
    mass: Spread,
    mass_all: f64,
    rung: Rung,
}

/// Percentiles and the greatest, in ms.
#[derive(Clone, Copy)]
struct Spread {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |per_mille: usize| sorted.get(sorted.len() * per_mille / 1000).copied().unwrap_or_default();
        Self { p50: at(500), p99: at(990), p999: at(999), max: sorted.last().copied().unwrap_or_default() }
    }

    fn json(self) -> Value {
        json!({"p50": self.p50, "p99": self.p99, "p999": self.p999, "max": self.max})
    }
}

impl Row {
    fn new(name: &'static str, number: usize, took: Duration, latency: Spread, used: &Used) -> Self {
        let each = count(number.max(1));
        let redis = used.redis.as_ref().map(|redis| RedisEach {
            cpu_us: redis.cpu.as_secs_f64() * 1e6 / each,
            sent: redis.sent() / each,
            all: redis.all() / each,
            input: redis.input / each,
            output: redis.output / each,
            commands: redis.each(each).into_iter().map(|(name, each)| (name.to_owned(), each)).collect(),
        });
        let per_second = count(number) / took.as_secs_f64();
        Self { name, count: number, per_second, latency, cpu_us: used.cpu.as_secs_f64() * 1e6 / each, redis }
    }

    fn json(&self) -> Value {
        let redis = self.redis.as_ref().map(|redis| {
            json!({
                "cpu_us": redis.cpu_us, "commands_sent": redis.sent, "commands_run": redis.all,
                "bytes_in": redis.input, "bytes_out": redis.output, "commands": redis.commands,
            })
        });
        json!({
            "name": self.name, "count": self.count, "per_second": self.per_second,
            "latency_ms": self.latency.json(), "gateway_cpu_us": self.cpu_us, "redis_each": redis,
        })
    }
}

impl Rest {
    fn of(used: &Used) -> Self {
        let seconds = used.took.as_secs_f64();
        let redis = used.redis.as_ref();
        let redis =
            redis.map(|redis| (redis.cpu.as_secs_f64() / seconds, redis.all() / seconds, redis.input / seconds));
        Self { gateway: used.of_core(), redis }
    }

    fn json(&self) -> Value {
        let redis = self.redis.map(|(core, commands, input)| {
            json!({"of_core": core, "commands_per_second": commands, "bytes_in_per_second": input})
        });
        json!({"gateway_of_core": self.gateway, "redis": redis})
    }
}

impl Figures {
    /// Begins, with a gateway that has done nothing yet.
    pub fn new(store: &'static str, stage: &Stage) -> Result<Self, Failure> {
        let started = stage.memory()?;
        Ok(Self {
            store,
            rows: Vec::new(),
            pushes: None,
            rest: Vec::new(),
            ringing: None,
            bad_day: None,
            started,
            loaded: None,
            ended: started,
            size: 0.0,
        })
    }

    pub fn add(&mut self, name: &'static str, calls: &Calls) {
        let latency = Spread::of(&calls.latencies);
        self.rows.push(Row::new(name, calls.latencies.len(), calls.took, latency, &calls.used));
    }

    /// How long the rings were on their way, in ms.
    pub fn add_pushes(&mut self, delays: &[f64]) {
        self.pushes = Some(Spread::of(delays));
    }

    pub fn add_rest(&mut self, name: &'static str, used: &Used) {
        self.rest.push((name, Rest::of(used)));
    }

    pub fn add_ringing(&mut self, ringing: &Ringing) {
        let calls = ringing.invites.invited.len();
        let (ended, missed) = (Spread::of(&ringing.ended), Spread::of(&ringing.missed));
        self.add("invites, spread", &ringing.invites);
        self.rows.push(Row::new("timeouts", calls, ringing.ends.took, ended, &ringing.ends));
        let [empty, full] = &ringing.at_rest;
        self.add_rest("no call", empty);
        self.add_rest("all calls ring", full);
        self.ringing = Some(Ends { calls, memory: ringing.memory, ended, missed });
    }

    pub fn add_bad_day(&mut self, day: BadDay) {
        self.add("invites, steady", &day.steady);
        self.add("invites, mass event", &day.mass);
        let (steady, mass) = (Spread::of(&day.steady_wire), Spread::of(&day.mass_wire));
        self.bad_day = Some(Wires { steady, mass, mass_all: day.mass_all, rung: day.rung });
    }

    pub fn loaded(&mut self, stage: &Stage) -> Result<(), Failure> {
        self.loaded = Some(stage.memory()?);
        Ok(())
    }

    pub async fn ended(&mut self, stage: &Stage) -> Result<(), Failure> {
        self.ended = stage.memory()?;
        self.size = stage.store_size().await?;
        Ok(())
    }

    pub fn json(&self) -> Value {
        let rest = self.rest.iter().map(|(name, rest)| ((*name).to_owned(), rest.json()));
        json!({
            "store": self.store,
            "scenarios": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "invite_to_push_ms": self.pushes.map(Spread::json),
            "rest": rest.collect::<serde_json::Map<_, _>>(),
            "ringing": self.ringing.as_ref().map(Ends::json),
            "bad_day": self.bad_day.as_ref().map(Wires::json),
            "gateway_memory_mb": {"started": self.started, "loaded": self.loaded, "ended": self.ended},
            "store_mb": self.size,
        })
    }
}

impl Ends {
    /// What each call adds to the memory of gateway and store while it rings, in kilobytes.
    fn each(&self) -> (f64, f64) {
        let [before, ringing, _] = &self.memory;
        let each = |before: f64, ringing: f64| (ringing - before) * 1024.0 / count(self.calls);
        (each(before.gateway, ringing.gateway), each(before.store, ringing.store))
    }

    fn json(&self) -> Value {
        let (gateway, store) = self.each();
        let memory =
            self.memory.map(|memory| json!({"gateway": memory.gateway, "store": memory.store, "redis": memory.redis}));
        json!({
            "calls": self.calls, "late_ms": self.ended.json(), "ring_over_to_missed_push_ms": self.missed.json(),
            "memory_mb": memory, "kilobytes_each": {"gateway": gateway, "store": store},
        })
    }
}

impl Wires {
    fn json(&self) -> Value {
        let Rung { devices, lost, twice, renamed, refused } = self.rung;
        json!({
            "invite_to_wire_ms": self.steady.json(), "mass_invite_to_wire_ms": self.mass.json(),
            "mass_all_on_the_wire_ms": self.mass_all, "devices": devices, "lost": lost, "taken_twice": twice,
            "taken_twice_with_two_ids": renamed, "pushes_not_taken": refused,
        })
    }
}

impl fmt::Display for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, Spread { p50, p99, p999, max }) in [("steady", self.steady), ("mass event", self.mass)] {
            writeln!(
                f,
                "{name}, invite to first byte: p50 {p50:.1}, p99 {p99:.1}, p99.9 {p999:.1}, at most {max:.1} ms"
            )?;
        }
        let Rung { devices, lost, twice, renamed, refused } = self.rung;
        writeln!(f, "mass event, all on the wire within {:.0} ms of the first invite", self.mass_all)?;
        write!(f, "{devices} devices to ring: {lost} lost, {twice} taken twice, {renamed} of these with another id; ")?;
        writeln!(f, "{refused} pushes not taken")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ("count", "a second", "p50 ms", "p99 ms", "p99.9 ms", "gateway CPU µs each");
        let (number, rate, p50, p99, p999, cpu) = titles;
        writeln!(f, "{:<28}{number:>8}{rate:>10}{p50:>9}{p99:>9}{p999:>10}{cpu:>22}", self.store)?;
        for Row { name, count, per_second, latency, cpu_us, .. } in &self.rows {
            let Spread { p50, p99, p999, .. } = latency;
            writeln!(f, "{name:<28}{count:>8}{per_second:>10.0}{p50:>9.2}{p99:>9.2}{p999:>10.2}{cpu_us:>22.0}")?;
        }
        if let Some(Spread { p50, p99, p999, .. }) = self.pushes {
            let name = "steady: invite to push";
            writeln!(f, "{name:<46}{p50:>9.2}{p99:>9.2}{p999:>10.2}")?;
        }
        self.write_redis(f)?;
        for (name, Rest { gateway, redis }) in &self.rest {
            write!(f, "at rest, {name}: gateway {:.2}% of a core", gateway * 100.0)?;
            if let Some((core, commands, input)) = redis {
                let (core, input) = (core * 100.0, input / 1024.0);
                write!(f, ", Redis {core:.2}%, {commands:.0} commands and {input:.0} KB in a second")?;
            }
            writeln!(f)?;
        }
        if let Some(ringing) = &self.ringing {
            write!(f, "{ringing}")?;
        }
        if let Some(day) = &self.bad_day {
            write!(f, "{day}")?;
        }
        write!(f, "gateway memory: {:.1} MB at start", self.started)?;
        if let Some(loaded) = self.loaded {
            write!(f, ", {loaded:.1} MB after the greatest load")?;
        }
        writeln!(f, ", {:.1} MB at the end; store {:.0} MB", self.ended, self.size)
    }
}

impl Figures {
    fn write_redis(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = || self.rows.iter().filter_map(|row| Some((row.name, row.redis.as_ref()?)));
        if rows().next().is_none() {
            return Ok(());
        }
        let (title, sent, run) = ("Redis, for each", "commands sent", "with scripts'");
        let (cpu, input, output) = ("CPU µs", "bytes in", "bytes out");
        writeln!(f, "{title:<28}{cpu:>10}{sent:>15}{run:>15}{input:>10}{output:>11}")?;
        for (name, RedisEach { cpu_us, sent, all, input, output, .. }) in rows() {
            writeln!(f, "{name:<28}{cpu_us:>10.0}{sent:>15.1}{all:>15.1}{input:>10.0}{output:>11.0}")?;
        }
        for (name, redis) in rows() {
            let commands: Vec<_> = redis.commands.iter().map(|(name, each)| format!("{name} {each:.2}")).collect();
            writeln!(f, "{name}: {}", commands.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spreads = [("calls say that they ended", self.ended), ("missed-call pushes were on the wire", self.missed)];
        for (what, Spread { p50, p99, p999, max }) in spreads {
            writeln!(f, "{what} after the ring: p50 {p50:.1}, p99 {p99:.1}, p99.9 {p999:.1}, at most {max:.1} ms")?;
        }
        for (name, Memory { gateway, store, redis }) in
            ["before", "while they ring", "when they have ended"].iter().zip(self.memory)
        {
            write!(f, "memory {name}: gateway {gateway:.1} MB, store {store:.1} MB")?;
            match redis {
                Some(redis) => writeln!(f, " (Redis resident {redis:.1} MB)")?,
                None => writeln!(f)?,
            }
        }
        let (gateway, store) = self.each();
        writeln!(f, "each of {} ringing calls: gateway {gateway:.2} KB, store {store:.2} KB", self.calls)
    }
}
