//! A provider that is slow and cuts connections, then a mass event: whether every device is rung all the same, and how soon.

use std::time::Duration;

use serde_json::json;

use crate::Failure;
use crate::figures::{Row, Spread};
use crate::pushes::Rung;
use crate::rows::Rows;
use crate::scenario::{Calls, Load, Pace, count};
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

/// Has every pair call at half of the greatest load, then makes the mass event.
pub async fn run(load: &Load<'_>, stage: &Stage, rows: &mut Rows) -> Result<(), Failure> {
    let calls = load.pairs.len();
    rows.doing("provider slow");
    let probe = load.invites(Pace::Greatest, PROBED.min(calls), Duration::MAX).await?;
    load.cancel(&probe).await?;
    // The greatest load is what it keeps up with, pushes too.
    let rate = count(probe.number()) / probe.used.took.as_secs_f64() / 2.0;
    let steady = load.invites(Pace::Rate(rate), calls, Duration::MAX).await?;
    rows.add(row("provider slow", &steady, stage).await?)?;
    rows.doing("mass event");
    load.cancel(&steady).await?;
    let mass = load.invites(Pace::Rate(count(MASS)), MASS.min(calls), Duration::MAX).await?;
    rows.add(row("mass event", &mass, stage).await?)?;
    load.cancel(&mass).await.map(drop)
}

async fn row(scenario: &str, calls: &Calls, stage: &Stage) -> Result<Row, Failure> {
    let wire = Spread::of(&stage.pushes.after(&calls.invited).await?).json();
    let Rung { devices, lost, twice, renamed, refused } = stage.pushes.rung(&calls.invited);
    let rung = json!({
        "devices": devices, "lost": lost, "taken_twice": twice, "taken_twice_with_two_ids": renamed,
        "pushes_not_taken": refused,
    });
    Ok(Row::of_calls(scenario, calls, stage)?.with("invite to first byte, ms", wire).with("rung", rung))
}
