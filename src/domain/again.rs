//! When a ring is pushed once more to a phone that stays silent, and when an alert goes beside it.
//!
//! A push that the provider took says nothing about the phone. The rules stand in the record, so that whoever wakes the call
//! does what was configured when it began.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::device::{Device, IosPushMode, Platform};
use super::ids::DeviceId;
use super::task::TaskKind;
use super::time::Timestamp;
use super::unknown::{Unknown, is_default};

/// What the configuration says about pushes of one call. Durations are in milliseconds; the default is a single push.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRules {
    /// How long after the provider took a ring it is pushed again to an Android phone that has said nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repush_after_ms: u64,
    /// How often a ring is pushed again, at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repush_max: u64,
    /// The same time for an iPhone, which is pushed to again once: not before Apple has given up the first push. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repush_ios_after_ms: Option<u64>,
    /// Whether a cancel goes out as a VoIP push too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_by_voip: bool,
    /// Silent VoIP rings after which an alert push goes beside the VoIP push; 0: never.
    #[serde(default, skip_serializing_if = "is_default")]
    pub voip_budget: u64,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl PushRules {
    /// Whether the app of a device has used up its VoIP budget, so that an alert goes beside the VoIP push.
    pub(super) fn wants_alert(&self, device: &Device) -> bool {
        self.counts_silence(device) && u64::from(device.acks.silent) >= self.voip_budget
    }

    /// Whether it is counted that a device says nothing of its rings: where an alert could go beside them.
    pub fn counts_silence(&self, device: &Device) -> bool {
        self.voip_budget > 0 && rings_by_voip(device) && device.alert_token.is_some()
    }

    /// Whether a push can tell a device to stop its ring.
    pub(super) fn can_stop(&self, device: &Device) -> bool {
        device.notice_token().is_some() || (self.cancel_by_voip && rings_by_voip(device))
    }

    /// How long after the push with this number was taken the next one goes out, if there is a next one.
    fn pause_after(&self, number: u32, device: &Device) -> Option<Duration> {
        let again = match device.platform {
            // An app that never says that it rings would be pushed to again while it does.
            Platform::Android if device.acks.since.is_some() && u64::from(number) <= self.repush_max => {
                Some(self.repush_after_ms)
            }
            Platform::Ios if number == 1 && self.repush_max > 0 => self.repush_ios_after_ms,
            Platform::Android | Platform::Ios | Platform::Web => None,
        };
        again.map(Duration::from_millis)
    }
}

fn rings_by_voip(device: &Device) -> bool {
    device.platform == Platform::Ios && device.ios_push_mode == IosPushMode::Voip && device.voip_token.is_some()
}

impl Call {
    /// A provider took the ring with this number: the next one is begun by the wake-up, unless the device speaks first.
    pub(super) fn ring_again(&mut self, device: &DeviceId, number: u32, now: Timestamp) {
        let Some(leg) = self.leg(device).filter(|_| self.is_unanswered()) else { return };
        let platform = leg.device.platform;
        let Some(pause) = self.rules.push.pause_after(number, &leg.device) else { return };
        if now + pause < self.ring_until {
            let kind = TaskKind::Ring { device: device.clone(), platform, number: number.saturating_add(1) };
            self.open_at(kind, now + pause, self.ring_until);
        }
    }
}
