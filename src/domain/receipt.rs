//! What push providers answered: the material of `explain`, without any token.
//!
//! A record keeps little of it: the same answer again is counted, and of many answers the first and the latest stay.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::device::Environment;
use super::ids::DeviceId;
use super::leg::Leg;
use super::time::Timestamp;
use super::unknown::{Unknown, is_default};

/// The most receipts that a leg keeps.
const MOST_OF_A_LEG: usize = 8;
/// The most bytes that all receipts of a record take, about; its events and devices have the rest of its 32 KiB.
const MOST_BYTES: usize = 7 * 1024;

/// One of few words, or another one of a newer release.
pub type Word = Cow<'static, str>;

/// What a push provider answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// When the answer came, the last one of several.
    pub at: Timestamp,
    /// `apns`, `fcm`, or `none` where nothing is configured for the device.
    pub provider: Word,
    /// What was pushed: `ring`, `ring_alert` (the alert beside a VoIP ring), `stop` or `missed`.
    pub push: Word,
    /// HTTP status, if there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's reason, or ours.
    pub reason: String,
    /// The provider's id of the push: the `apns-id`, or FCM's name of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// From sending to the answer, in milliseconds.
    pub latency_ms: u64,
    /// Which push of its kind to this device, from 1: a ring that is pushed again has the next number. 0 is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub number: u32,
    /// Which attempt of the task, from 1; an attempt may send several times. 0 is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attempt: u32,
    /// How often the same answer came again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub again: u32,
    /// When it came first, if it came again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Which of Apple's hosts answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// Of a dead token: since when, as the provider knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_since: Option<Timestamp>,
    /// What follows from it: `accepted`, `retry`, `drop_token`, `our_fault` or `give_up`.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub verdict: Word,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Receipt {
    /// The verdict on a token that its provider calls dead.
    pub const DEAD_TOKEN: &'static str = "drop_token";
    /// The verdict on a push that its provider took.
    pub const ACCEPTED: &'static str = "accepted";

    /// When the push of the last answer was handed to the transport.
    pub fn sent_at(&self) -> Timestamp {
        self.at - Duration::from_millis(self.latency_ms)
    }

    /// When the push was first handed to the transport, about: the answers may have taken different times.
    pub fn first_sent_at(&self) -> Timestamp {
        self.since.unwrap_or(self.at) - Duration::from_millis(self.latency_ms)
    }

    /// How often this answer came.
    pub const fn times(&self) -> u32 {
        self.again.saturating_add(1)
    }

    /// Whether another one says the same of the same push.
    fn says(&self, other: &Self) -> bool {
        (self.number, self.status, self.environment) == (other.number, other.status, other.environment)
            && (&self.push, &self.reason, &self.verdict) == (&other.push, &other.reason, &other.verdict)
    }

    /// Whether another one was counted here before.
    fn counts(&self, other: &Self) -> bool {
        self.says(other) && (self.since.unwrap_or(self.at)..=self.at).contains(&other.at)
    }

    fn count(&mut self, other: Self) {
        self.since.get_or_insert(self.at);
        self.again = self.again.saturating_add(other.times());
        (self.at, self.latency_ms, self.attempt) = (other.at, other.latency_ms, other.attempt);
        self.provider_id = other.provider_id.or(self.provider_id.take());
    }

    /// How many bytes it takes in a record, at most: JSON writes a quotation mark as two.
    fn bytes(&self) -> usize {
        320 + 2 * self.reason.len() + self.provider_id.as_ref().map_or(0, String::len)
    }
}

/// Adds receipts to those of a leg, in order. What is known already changes nothing.
pub(super) fn add(receipts: &mut Vec<Receipt>, news: &[Receipt]) {
    if news.last().is_some_and(|last| receipts.iter().any(|known| known.counts(last))) {
        return;
    }
    for receipt in news {
        match receipts.last_mut() {
            Some(last) if last.says(receipt) => last.count(receipt.clone()),
            _ => receipts.push(receipt.clone()),
        }
        if receipts.len() > MOST_OF_A_LEG {
            receipts.remove(1);
        }
    }
}

impl Call {
    /// Notes what a provider answered about a leg, and lets other receipts go where there are too many.
    pub(super) fn note(&mut self, device: &DeviceId, news: &[Receipt]) {
        let Some(leg) = self.leg_mut(device) else { return };
        add(&mut leg.receipts, news);
        while self.receipt_bytes() > MOST_BYTES {
            let longest = self.legs.iter_mut().max_by_key(|leg| leg.receipts.len());
            let Some(leg) = longest.filter(|leg| !leg.receipts.is_empty()) else { return };
            // The first says whether the phone was rung at all, the last what came of it.
            leg.receipts.remove(usize::from(leg.receipts.len() > 1));
        }
    }

    /// Whether the record of a device's leg knows nothing of the last of these.
    pub fn lacks(&self, device: &DeviceId, receipts: &[Receipt]) -> bool {
        let known = |leg: &Leg, last| leg.receipts.iter().any(|known| known.counts(last));
        self.leg(device).zip(receipts.last()).is_some_and(|(leg, last)| !known(leg, last))
    }

    /// Notes what a provider answered when its task was gone. Returns whether that was news, and found room.
    pub(super) fn told(&mut self, device: &DeviceId, receipts: &[Receipt]) -> bool {
        if !self.lacks(device, receipts) {
            return false;
        }
        self.note(device, receipts);
        !self.lacks(device, receipts)
    }

    fn receipt_bytes(&self) -> usize {
        self.legs.iter().flat_map(|leg| &leg.receipts).map(Receipt::bytes).sum()
    }
}
