//! When what was whole: lateness counts only while the store and a gateway were there.

use std::time::Duration;

use bellwire::domain::Timestamp;

use crate::faults::{Absence, Faults, Span};

/// How long after an outage connections are still being made again.
const RECOVERY: Duration = Duration::from_secs(1);

/// The times of a run.
pub struct Times {
    /// When Redis, or every gateway, was down, and a while after, and when the machine was slow; in order, none overlapping.
    outages: Vec<Span>,
    kills: Vec<Absence>,
}

impl Span {
    pub fn overlaps(&self, from: Timestamp, until: Timestamp) -> bool {
        self.from <= until && from <= self.until
    }
}

impl Times {
    pub fn of(faults: &Faults, gateways: usize) -> Self {
        let mut outages = faults.redis_down.clone();
        outages.extend(all_absent(&faults.absences, gateways));
        for outage in &mut outages {
            outage.until = outage.until + RECOVERY;
        }
        outages.extend(&faults.slow);
        outages.sort_by_key(|outage| outage.from);
        let mut merged: Vec<Span> = Vec::new();
        for outage in outages {
            match merged.last_mut() {
                Some(last) if outage.from <= last.until => last.until = last.until.max(outage.until),
                _ => merged.push(outage),
            }
        }
        let kills = faults.absences.iter().filter(|absence| absence.killed).copied().collect();
        Self { outages: merged, kills }
    }

    /// How much of a time there was no outage.
    pub fn whole(&self, from: Timestamp, until: Timestamp) -> Duration {
        let outages = self.outages.iter().filter(|outage| outage.overlaps(from, until));
        let out: Duration = outages.map(|outage| outage.until.min(until).since(outage.from.max(from))).sum();
        until.since(from).saturating_sub(out)
    }

    /// Whether there was an outage in this time.
    pub fn has_outage(&self, from: Timestamp, until: Timestamp) -> bool {
        self.outages.iter().any(|outage| outage.overlaps(from, until))
    }

    /// Whether the gateway at this place was killed in this time.
    pub fn was_killed(&self, place: usize, from: Timestamp, until: Timestamp) -> bool {
        self.kills.iter().any(|kill| kill.place == place && from <= kill.span.from && kill.span.from <= until)
    }
}

/// When no gateway was there.
fn all_absent(absences: &[Absence], gateways: usize) -> Vec<Span> {
    let of = |place: usize| -> Vec<Span> {
        absences.iter().filter(|absence| absence.place == place).map(|absence| absence.span).collect()
    };
    (1..gateways).fold(of(0), |so_far, place| {
        let others = of(place);
        let both = so_far.iter().flat_map(|one| others.iter().map(move |other| (one, other)));
        let both = both.filter(|(one, other)| one.overlaps(other.from, other.until));
        both.map(|(one, other)| Span { from: one.from.max(other.from), until: one.until.min(other.until) }).collect()
    })
}
