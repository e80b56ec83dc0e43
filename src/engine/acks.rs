//! What devices' words, and their silence, say about their apps. It is noted beside the request that showed it, which does not wait: should
//! it be lost, the next ring shows it again.

use super::{Engine, EngineError};
use crate::domain::{Call, CallId, DeviceId, Heard, Input, Leg};

impl Engine {
    /// A device has spoken of its ring. Its registration is written to only if that is news.
    pub(super) fn note_word(&self, call: &Call, device: &DeviceId, heard: Heard) {
        if call.leg(device).is_none_or(|leg| !leg.device.acks.lacks(heard)) {
            return;
        }
        let (engine, user, device) = (self.clone(), call.callee.id.clone(), device.clone());
        tokio::spawn(async move { told(engine.note_heard(&user, &device, heard).await) });
    }

    /// A device is in touch while it rings. That counts only where a VoIP budget asks for it, and until it says something.
    pub(super) fn note_contact(&self, call: &Call, device: &DeviceId) {
        let is_news = call.is_unanswered()
            && call.leg(device).is_some_and(|leg| {
                leg.is_silent() && leg.contacted_at.is_none() && call.rules.push.counts_silence(&leg.device)
            });
        if is_news {
            self.note_beside(call.id, Input::DeviceContacted(device.clone()));
        }
    }

    /// A device spoke when its ring was over.
    pub(super) fn note_late(&self, call: &Call, device: &DeviceId) {
        if call.leg(device).is_some_and(Leg::can_be_late) {
            self.note_beside(call.id, Input::DeviceLate(device.clone()));
        }
    }

    /// Gives an input without waiting for what comes of it.
    pub(super) fn note_beside(&self, id: CallId, input: Input) {
        let engine = self.clone();
        tokio::spawn(async move { told(engine.apply(id, input).await.map(drop)) });
    }
}

fn told(result: Result<(), EngineError>) {
    if let Err(error) = result {
        tracing::debug!(%error, "what a device has shown of its app could not be noted");
    }
}
