//! What the simulator prints: when each push was on the wire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire::domain::Timestamp;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::scenario::Invited;

/// How long the last pushes of all calls may take to come in.
const ALL_WITHIN: Duration = Duration::from_secs(10);
/// Pushes of a kind for each call: each callee has two phones.
const PHONES: usize = 2;

/// What a push says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ring,
    Missed,
}

/// When the pushes of a call came in (ms since 1970).
#[derive(Default)]
struct Times {
    rings: Vec<u64>,
    missed: Vec<u64>,
}

/// The pushes that came in, by call.
#[derive(Clone, Default)]
pub struct Pushes(Arc<Mutex<HashMap<String, Times>>>);

impl Pushes {
    /// Reads what the simulator prints until it ends, on a thread of its own.
    pub fn read(lines: impl Iterator<Item = std::io::Result<String>> + Send + 'static) -> Self {
        let pushes = Self::default();
        let reading = pushes.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((kind, call, at)) = push(&line) {
                    reading.calls().entry(call.to_owned()).or_default().of_mut(kind).push(at);
                }
            }
        });
        pushes
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<String, Times>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long each ring was on its way, in ms since its invite was to be sent. One that is missing is an error.
    pub async fn after(&self, invited: &[Invited]) -> Result<Vec<f64>, Failure> {
        self.all(Kind::Ring, invited, |one| one.due_at).await
    }

    /// How long each missed-call push was on its way, in ms since its ring was over. One that is missing is an error.
    pub async fn after_rings(&self, invited: &[Invited]) -> Result<Vec<f64>, Failure> {
        self.all(Kind::Missed, invited, |one| one.ring_until).await
    }

    async fn all(
        &self,
        kind: Kind,
        invited: &[Invited],
        since: impl Fn(&Invited) -> Timestamp,
    ) -> Result<Vec<f64>, Failure> {
        let expected = invited.len() * PHONES;
        let delays = async {
            loop {
                let delays = self.delays(kind, invited, &since);
                if delays.len() >= expected {
                    return delays;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let missing = |_| format!("{} of {expected} pushes came", self.delays(kind, invited, &since).len());
        Ok(timeout(ALL_WITHIN, delays).await.map_err(missing)?)
    }

    fn delays(&self, kind: Kind, invited: &[Invited], since: impl Fn(&Invited) -> Timestamp) -> Vec<f64> {
        let calls = self.calls();
        let delays = invited.iter().flat_map(|one| {
            let times = calls.get(&one.call).map(|times| times.of(kind)).unwrap_or_default();
            let since = since(one).as_millis();
            times.iter().map(move |at| Duration::from_millis(at.saturating_sub(since)).as_secs_f64() * 1e3)
        });
        delays.collect()
    }
}

impl Times {
    fn of(&self, kind: Kind) -> &[u64] {
        match kind {
            Kind::Ring => &self.rings,
            Kind::Missed => &self.missed,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut Vec<u64> {
        match kind {
            Kind::Ring => &mut self.rings,
            Kind::Missed => &mut self.missed,
        }
    }
}

/// What a line says, if it is of a ring or a missed call that was taken. Reading all of the JSON would cost more than the rest of
/// this program.
fn push(line: &str) -> Option<(Kind, &str, u64)> {
    let value = |key: &str| line.find(key).map(|start| &line[start + key.len()..]);
    value(r#""status":200"#)?;
    let kind = match value(r#""type":""#)?.split('"').next()? {
        "ring" => Kind::Ring,
        "missed" => Kind::Missed,
        _ => return None,
    };
    let at = value(r#""at":"#)?;
    let at = at.get(..at.find(',')?)?.parse().ok()?;
    Some((kind, value(r#""call_id":""#)?.get(..36)?, at))
}
