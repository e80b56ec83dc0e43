//! A provider that is slow and cuts connections, then a mass event: whether every device is rung all the same, and how soon.

use std::time::Duration;

use crate::Failure;
use crate::pushes::Rung;
use crate::scenario::{Calls, Load, count};
use crate::stage::Stage;

/// What Apple does wrong: each answer takes 50 ms, and so many requests cost the connection that about one push in a hundred loses its own,
/// since some 25 are on their way over each.
pub const FAULTS: [&str; 2] = ["apns delay 50ms", "0.04% of apns reset"];
/// How many devices each callee has.
pub const DEVICES: usize = 3;
/// Calls from which the greatest load is learnt.
const PROBED: usize = 3000;
/// Invites of the mass event, in one second.
const MASS: usize = 3000;

/// What it came to.
pub struct BadDay {
    /// At half of the greatest load.
    pub steady: Calls,
    /// In one second.
    pub mass: Calls,
    /// From each invite until the first byte to each device was on the wire, in ms.
    pub steady_wire: Vec<f64>,
    /// The same, of the mass event.
    pub mass_wire: Vec<f64>,
    /// From the first invite of the mass event until the last device's first push was on the wire, in ms.
    pub mass_all: f64,
    /// How the devices of both were rung.
    pub rung: Rung,
}

/// Makes `calls` calls at half of the greatest load, then the mass event.
pub async fn run(load: &Load<'_>, stage: &Stage, calls: usize) -> Result<BadDay, Failure> {
    eprintln!("{PROBED} invites, as many at once as the gateway takes");
    let peak = load.peak(PROBED.min(calls)).await?;
    load.cancel(&peak).await?;
    // The greatest load is what it keeps up with, pushes too.
    let rate = count(peak.invited.len()) / peak.used.took.as_secs_f64() / 2.0;
    eprintln!("{calls} invites, {rate:.0} a second");
    let steady = load.at_rate(rate, calls, Duration::MAX).await?;
    let steady_wire = stage.pushes.after(&steady.invited).await?;
    load.cancel(&steady).await?;
    eprintln!("{MASS} invites in one second");
    let mass = load.at_rate(count(MASS), MASS, Duration::MAX).await?;
    let mass_wire = stage.pushes.after(&mass.invited).await?;
    let first = mass.invited.iter().map(|one| one.due_at.as_millis()).min().ok_or("no call")?;
    let waits = mass.invited.iter().map(|one| Duration::from_millis(one.due_at.as_millis() - first));
    // The last push is at most so late: that of the last invite, had it waited longest.
    let mass_all = waits.max().unwrap_or_default().as_secs_f64() * 1e3 + mass_wire.iter().copied().fold(0.0, f64::max);
    let mut rung = stage.pushes.rung(&steady.invited);
    rung.add(&stage.pushes.rung(&mass.invited));
    load.cancel(&mass).await?;
    Ok(BadDay { steady, mass, steady_wire, mass_wire, mass_all, rung })
}
