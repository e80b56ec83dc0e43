//! The outcome of a run: a table for people, a JSON document for machines, and whether all promises were kept.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bellwire::domain::CallId;
use serde_json::{Value, json};

use crate::check::Judged;
use crate::faults::Faults;
use crate::ledger::Tally;
use crate::world::gateway::Version;

/// The most violations that are printed.
const PRINTED: usize = 20;

/// A promise, or, last, what belongs to none: answers that the API has no reason to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Ends,
    OneAnswer,
    Tried,
    Ghosts,
    Lines,
    Replay,
    Gaps,
    Tokens,
    Secrets,
    Answers,
}

impl Kind {
    /// Every one, with what it promises and what was looked at for it.
    pub const ALL: [(Self, &'static str, &'static str); 10] = [
        (Self::Ends, "1 every acknowledged call ends, at the right time", "calls"),
        (Self::OneAnswer, "2 one answer", "answered calls"),
        (Self::Tried, "3 every device is tried", "phones of calls"),
        (Self::Ghosts, "4 no ghost rings", "ring pushes"),
        (Self::Lines, "5 no stuck lines", "calls, and calls of the end"),
        (Self::Replay, "6 replay is harmless", "repeated and late inputs"),
        (Self::Gaps, "7 no gaps", "events read"),
        (Self::Tokens, "8 no token for those who may not join", "tokens given and refused"),
        (Self::Secrets, "9 no secrets in logs", "lines of logs"),
        (Self::Answers, "  every request is answered as the API says", "requests"),
    ];
}

/// One thing that should not have been.
#[derive(Debug, Clone)]
pub struct Violation {
    pub kind: Kind,
    pub call: Option<CallId>,
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Kind::ALL.iter().find(|(kind, ..)| *kind == self.kind).map_or("", |(_, name, _)| name);
        let call = self.call.map_or_else(|| "no call".to_owned(), |call| call.to_string());
        write!(f, "[{}] {call}: {}", name.trim_start(), self.seen)
    }
}

/// Everything that a run came to.
pub struct Report {
    pub seed: u64,
    pub seconds: f64,
    pub judged: Judged,
    pub faults: Faults,
    pub tally: Tally,
    /// Calls that both versions of the gateway have taken steps of.
    pub carried_by_both: usize,
    pub pushes: usize,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.judged.violations.is_empty()
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.judged.ends.values().sum()
    }

    fn violations(&self, kind: Kind) -> usize {
        self.judged.violations.iter().filter(|violation| violation.kind == kind).count()
    }

    /// Some violations of each kind that there is.
    fn printed(&self) -> Vec<&Violation> {
        let of = |kind| self.judged.violations.iter().filter(move |violation| violation.kind == kind);
        let kinds = Kind::ALL.iter().filter(|(kind, ..)| of(*kind).next().is_some());
        let each = PRINTED / kinds.clone().count().max(1);
        kinds.flat_map(|(kind, ..)| of(*kind).take(each)).collect()
    }

    fn slow_seconds(&self) -> usize {
        let all: Duration = self.faults.slow.iter().map(|span| span.until.since(span.from)).sum();
        usize::try_from(all.as_secs()).unwrap_or(usize::MAX)
    }

    fn counts(&self) -> Vec<(&'static str, usize)> {
        let (faults, tally) = (&self.faults, &self.tally);
        let mut counts = vec![
            ("pushes", self.pushes),
            ("gateways killed (SIGKILL)", faults.kills),
            ("gateways stopped (SIGTERM)", faults.terminations),
            ("Redis killed and started again", faults.redis_restarts),
            ("connections to Redis cut", faults.cuts),
            ("answers of Redis lost", faults.lost_answers),
            ("wires to Redis stalled", faults.stalls),
            ("seconds in which the machine was slow", self.slow_seconds()),
            ("requests", tally.requests),
            ("requests answered 503", tally.unavailable),
            ("requests that broke off", tally.broken),
            ("requests whose answer was thrown away", tally.thrown_away),
            ("requests sent twice at once", tally.doubled),
            ("slowest answer, ms", tally.slowest_ms),
        ];
        if tally.of_other > 0 {
            counts.extend(self.versions());
        }
        counts
    }

    /// What befell gateways of two versions.
    fn versions(&self) -> [(&'static str, usize); 8] {
        let became = |version, killed| {
            let absences = self.faults.absences.iter();
            absences.filter(|absence| absence.became == Some(version) && absence.killed == killed).count()
        };
        [
            ("rolling upgrades", self.faults.upgrades),
            ("rolling upgrades taken back", self.faults.rollbacks),
            ("gateways upgraded after SIGTERM", became(Version::This, false)),
            ("gateways upgraded after SIGKILL", became(Version::This, true)),
            ("gateways taken back after SIGTERM", became(Version::Other, false)),
            ("gateways taken back after SIGKILL", became(Version::Other, true)),
            ("requests that the other version answered", self.tally.of_other),
            ("calls that both versions carried on", self.carried_by_both),
        ]
    }

    /// How long gateways took to end after SIGTERM, in milliseconds.
    fn ended_in_ms(&self) -> Vec<u64> {
        let gentle = self.faults.absences.iter().filter(|absence| !absence.killed);
        gentle.map(|absence| u64::try_from(absence.ended_in.as_millis()).unwrap_or(u64::MAX)).collect()
    }

    pub fn json(&self) -> Value {
        let promises = Kind::ALL.map(|(kind, name, what)| {
            json!({
                "promise": name.trim_start(), "looked_at": self.judged.looked_at.get(&kind), "of": what,
                "violations": self.violations(kind),
            })
        });
        let violations = self.printed().into_iter().map(ToString::to_string).collect::<Vec<_>>();
        let spread = |values: &[u64]| {
            let (p50, p99, most) = spread(values);
            json!({"p50": p50, "p99": p99, "most": most})
        };
        json!({
            "seed": self.seed, "seconds": self.seconds, "calls": self.calls(),
            "ends": self.judged.ends, "counts": self.counts().into_iter().collect::<BTreeMap<_, _>>(),
            "timeout_lateness_ms": spread(&self.judged.lateness_ms), "sigterm_to_end_ms": spread(&self.ended_in_ms()),
            "promises": promises, "violations": violations,
        })
    }
}

/// Median, 99th percentile and the greatest.
fn spread(values: &[u64]) -> (u64, u64, u64) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)));
    let value = |percent| at(percent).copied().unwrap_or_default();
    (value(50), value(99), value(100))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls();
        writeln!(f, "seed {}, {:.0} s of faults", self.seed, self.seconds)?;
        writeln!(f, "{:<50}{calls:>10}", "calls")?;
        for (reason, count) in &self.judged.ends {
            writeln!(f, "  {reason:<48}{count:>10}")?;
        }
        for (name, count) in self.counts() {
            writeln!(f, "{name:<50}{count:>10}")?;
        }
        for (name, values) in [("timeouts late by", &self.judged.lateness_ms), ("SIGTERM to end", &self.ended_in_ms())]
        {
            let (p50, p99, most) = spread(values);
            writeln!(f, "{:<42}{:>18}", format!("{name}, ms: p50 / p99 / most"), format!("{p50} / {p99} / {most}"))?;
        }
        writeln!(f, "\n{:<50}{:>10}  {:<28}{:>10}", "promise", "looked at", "", "violations")?;
        for (kind, name, what) in Kind::ALL {
            let looked_at = self.judged.looked_at.get(&kind).copied().unwrap_or_default();
            writeln!(f, "{name:<50}{looked_at:>10}  {what:<28}{:>10}", self.violations(kind))?;
        }
        let printed = self.printed();
        for violation in &printed {
            writeln!(f, "{violation}")?;
        }
        match self.judged.violations.len() - printed.len() {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}
