//! What the simulator prints: when each push was on the wire, and what it was answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire::domain::Timestamp;
use hdrhistogram::Histogram;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::scenario::{Invited, histogram};

/// How long the last pushes of all calls may take to come in.
const ALL_WITHIN: Duration = Duration::from_secs(10);

/// What a push says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ring,
    Missed,
}

/// A push that the simulator saw.
struct Seen {
    kind: Kind,
    /// In ms since 1970.
    at: u64,
    target: String,
    /// Apple's `apns-id`; Google has none.
    id: Option<String>,
    taken: bool,
}

/// The pushes that came in, by call.
#[derive(Clone)]
pub struct Pushes {
    calls: Arc<Mutex<HashMap<String, Vec<Seen>>>>,
    /// Of each kind for each call.
    devices: usize,
}

/// How the devices of some calls were rung.
#[derive(Default)]
pub struct Rung {
    /// Devices that were to ring.
    pub devices: usize,
    /// Of which a provider never took a push.
    pub lost: usize,
    /// Of which a provider took more than one: the answer to the first was cut off.
    pub twice: usize,
    /// Of which Apple took two with different ids.
    pub renamed: usize,
    /// Pushes that were not taken.
    pub refused: usize,
}

impl Pushes {
    /// Forgets what came so far.
    pub fn forget(&self) {
        self.calls().clear();
    }

    /// Reads what the simulator prints until it ends, on a thread of its own.
    pub fn read(lines: impl Iterator<Item = std::io::Result<String>> + Send + 'static, devices: usize) -> Self {
        let pushes = Self { calls: Arc::default(), devices };
        let reading = pushes.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((call, seen)) = push(&line) {
                    reading.calls().entry(call.to_owned()).or_default().push(seen);
                }
            }
        });
        pushes
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<String, Vec<Seen>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long each ring was on its way, in microseconds since its invite was to be sent. One that is missing is an error.
    pub async fn after(&self, invited: &[Invited]) -> Result<Histogram<u64>, Failure> {
        self.all(Kind::Ring, invited, |one| one.due_at).await
    }

    /// How long each missed-call push was on its way, in microseconds since its ring was over. One that is missing is an error.
    pub async fn after_rings(&self, invited: &[Invited]) -> Result<Histogram<u64>, Failure> {
        self.all(Kind::Missed, invited, |one| one.ring_until).await
    }

    /// How the devices of these calls were rung.
    pub fn rung(&self, invited: &[Invited]) -> Rung {
        let calls = self.calls();
        let mut rung = Rung { devices: invited.len() * self.devices, ..Rung::default() };
        let mut reached = 0;
        for seen in invited.iter().filter_map(|one| calls.get(&one.call)) {
            let rings = || seen.iter().filter(|seen| seen.kind == Kind::Ring);
            let mut taken: HashMap<&str, Vec<Option<&str>>> = HashMap::new();
            for ring in rings().filter(|ring| ring.taken) {
                taken.entry(&ring.target).or_default().push(ring.id.as_deref());
            }
            reached += taken.len();
            rung.refused += rings().filter(|ring| !ring.taken).count();
            rung.twice += taken.values().filter(|ids| ids.len() > 1).count();
            rung.renamed += taken.values().filter(|ids| ids.iter().any(|id| *id != ids[0])).count();
        }
        rung.lost = rung.devices.saturating_sub(reached);
        rung
    }

    /// The first push of this kind to each device.
    async fn all(
        &self,
        kind: Kind,
        invited: &[Invited],
        since: impl Fn(&Invited) -> Timestamp,
    ) -> Result<Histogram<u64>, Failure> {
        let expected = invited.len() * self.devices;
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
        let delays = timeout(ALL_WITHIN, delays).await.map_err(missing)?;
        let mut spread = histogram()?;
        for delay in delays {
            spread.record(delay * 1000)?;
        }
        Ok(spread)
    }

    /// In ms.
    fn delays(&self, kind: Kind, invited: &[Invited], since: impl Fn(&Invited) -> Timestamp) -> Vec<u64> {
        let calls = self.calls();
        let mut delays = Vec::new();
        for one in invited {
            let since = since(one).as_millis();
            let mut first: HashMap<&str, u64> = HashMap::new();
            for seen in calls.get(&one.call).into_iter().flatten().filter(|seen| seen.kind == kind) {
                let at = first.entry(&seen.target).or_insert(seen.at);
                *at = seen.at.min(*at);
            }
            delays.extend(first.values().map(|at| at.saturating_sub(since)));
        }
        delays
    }
}

/// What a line says, if it is of a ring or a missed call. Reading all of the JSON would cost more than the rest of this program.
fn push(line: &str) -> Option<(&str, Seen)> {
    let value = |key: &str| line.find(key).map(|start| &line[start + key.len()..]);
    let text = |key: &str| value(key)?.split('"').next();
    let kind = match text(r#""type":""#)? {
        "ring" => Kind::Ring,
        "missed" => Kind::Missed,
        _ => return None,
    };
    let at = value(r#""at":"#)?;
    let seen = Seen {
        kind,
        at: at.get(..at.find(',')?)?.parse().ok()?,
        target: text(r#""target":""#)?.to_owned(),
        id: text(r#""apns-id":""#).map(str::to_owned),
        taken: value(r#""status":200"#).is_some(),
    };
    Some((value(r#""call_id":""#)?.get(..36)?, seen))
}
