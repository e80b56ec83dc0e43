//! What the simulator prints: when each ring was on the wire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::scenario::Invited;

/// How long the rings of all calls may take to come in.
const ALL_WITHIN: Duration = Duration::from_secs(10);
/// Rings of a call: each callee has two phones.
const RINGS: usize = 2;

/// The rings that came in: by call, when (ms since 1970).
#[derive(Clone, Default)]
pub struct Pushes(Arc<Mutex<HashMap<String, Vec<u64>>>>);

impl Pushes {
    /// Reads what the simulator prints until it ends, on a thread of its own.
    pub fn read(lines: impl Iterator<Item = std::io::Result<String>> + Send + 'static) -> Self {
        let pushes = Self::default();
        let reading = pushes.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((call, at)) = ring(&line) {
                    reading.rings().entry(call.to_owned()).or_default().push(at);
                }
            }
        });
        pushes
    }

    fn rings(&self) -> MutexGuard<'_, HashMap<String, Vec<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long each ring was on its way, in ms since its invite was to be sent. One that is missing is an error.
    pub async fn after(&self, invited: &[Invited]) -> Result<Vec<f64>, Failure> {
        let delays = async {
            loop {
                let delays = self.delays(invited);
                if delays.len() == invited.len() * RINGS {
                    return delays;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let missing = |_| format!("{} of {} rings came", self.delays(invited).len(), invited.len() * RINGS);
        Ok(timeout(ALL_WITHIN, delays).await.map_err(missing)?)
    }

    fn delays(&self, invited: &[Invited]) -> Vec<f64> {
        let rings = self.rings();
        let delays = invited.iter().flat_map(|one| {
            let rings = rings.get(&one.call).into_iter().flatten();
            rings.map(|at| Duration::from_millis(at.saturating_sub(one.due_at.as_millis())).as_secs_f64() * 1e3)
        });
        delays.collect()
    }
}

/// The call and the time of a line, if it is of a ring that was taken. Reading all of the JSON would cost more than the rest of this program.
fn ring(line: &str) -> Option<(&str, u64)> {
    let value = |key: &str| line.find(key).map(|start| &line[start + key.len()..]);
    value(r#""type":"ring""#).and(value(r#""status":200"#))?;
    let at = value(r#""at":"#)?;
    let at = at.get(..at.find(',')?)?.parse().ok()?;
    Some((value(r#""call_id":""#)?.get(..36)?, at))
}
