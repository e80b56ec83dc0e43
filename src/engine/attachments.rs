//! Which devices have an event stream open here, as the store tells other instances: a browser is rung only while it listens.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;

use super::{Engine, EngineError};
use crate::domain::{Call, CallId, DeviceId, Input, UserId};
use crate::store::StoreError;

/// How many devices are noted at once, if they do not meet by chance.
const TURNS: usize = 64;

/// How long after a browser could not be called back it is tried again.
const BACK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Lets what is noted of one device happen one after the other.
pub(super) struct Attachments {
    turns: [Mutex<()>; TURNS],
    /// Whether this instance stops, and ends its streams itself.
    stops: AtomicBool,
}

impl Default for Attachments {
    fn default() -> Self {
        Self { turns: std::array::from_fn(|_| Mutex::default()), stops: AtomicBool::new(false) }
    }
}

impl Attachments {
    fn turn(&self, user: &UserId, device: &DeviceId) -> &Mutex<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((user.as_str(), device.as_str()));
        let share = usize::try_from(hash % TURNS as u64).unwrap_or_default();
        &self.turns[share]
    }
}

impl Engine {
    /// This instance is about to stop: that a stream ends from now on says nothing of its device, which comes back elsewhere.
    pub fn stops(&self) {
        self.0.attachments.stops.store(true, Ordering::Relaxed);
    }

    /// Notes in the store whether a device reads here at this moment. Whoever opens or closes a stream calls it afterwards; so the last
    /// one notes what is true in the end, in whatever order streams come and go.
    pub(super) async fn note_attachment(&self, user: &UserId, device: &DeviceId) -> Result<(), StoreError> {
        let _turn = self.0.attachments.turn(user, device).lock().await;
        if self.0.readers.has(user, device) {
            self.store().attach(user, device).await
        } else {
            self.store().detach(user, device).await
        }
    }

    /// A stream of a device is closed, which was told of these calls. A browser that rings may have no other; whoever has a stream of
    /// it, here or at another instance, sees that in the record and says so, with [`note_back`](Self::note_back).
    pub(super) async fn note_closed(&self, user: &UserId, device: &DeviceId, calls: Vec<CallId>) {
        if let Err(error) = self.note_attachment(user, device).await {
            // It is rung once too often.
            tracing::debug!(%error, "a device could not be detached");
        }
        for call in calls {
            if self.0.readers.has(user, device) || self.0.attachments.stops.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = self.apply(call, Input::DeviceGone(device.clone())).await {
                // It rings on until somebody answers, or its time is up.
                tracing::debug!(%error, "a device that is gone could not be noted");
            }
        }
    }

    /// A device has a stream here, though the record says that it is gone. It is said again until the store has it, since nobody else
    /// would say it: the device hears of nothing new.
    pub(super) fn note_back(&self, call: &Call, device: &DeviceId) {
        if !call.is_unanswered() || call.leg(device).is_none_or(|leg| leg.gone_at.is_none()) {
            return;
        }
        let (engine, user, device) = (self.clone(), call.callee.id.clone(), device.clone());
        let (id, until) = (call.id, call.ring_until);
        tokio::spawn(async move {
            while engine.0.readers.has(&user, &device) && engine.clock().now() < until {
                match engine.apply(id, Input::DeviceBack(device.clone())).await {
                    Err(EngineError::Store(error)) => {
                        tracing::debug!(%error, "a device that is back could not be noted");
                        sleep(BACK_AGAIN_AFTER).await;
                    }
                    Ok(_) | Err(_) => return,
                }
            }
        });
    }
}
