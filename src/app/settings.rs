//! From the configuration to what the engine and its calls are to know: each new call takes these rules along.

use std::sync::Arc;
use std::time::Duration;

use crate::config::devices::Takeover;
use crate::config::policy::Allow;
use crate::config::{self, Config};
use crate::crypto::proof::Proofs;
use crate::domain::recording::{Policy, RecordingPlan};
use crate::domain::time::millis;
use crate::domain::usage::Plan;
use crate::domain::{PushRules, Rules, Unknown, WebhookEvent};
use crate::engine::{self, Rates, Settings};
use crate::outbound::{self, Endpoints};
use crate::store::Keeping;

/// How often LiveKit is asked about a call in which all seems well.
const ASK_EVERY: Duration = Duration::from_mins(5);
/// How long after its time a record may stand, since nobody was there to remove it.
const BEFORE_IT_IS_REMOVED: Duration = Duration::from_hours(24 * 7);
/// How many devices a user may have; the one that was registered longest ago gives way.
const DEVICES_PER_USER: usize = 10;

/// What the engine is to know.
pub(super) fn settings(config: &Config, endpoints: &Endpoints, hook: Option<Arc<outbound::Policy>>) -> Settings {
    let call = &config.call;
    Settings {
        ring: call.ring,
        rules: Rules {
            connect_timeout_ms: millis(call.connect_timeout),
            reconnect_grace_ms: millis(call.reconnect_grace),
            max_duration_ms: millis(call.max_duration),
            retention_ms: millis(call.retention),
            decline: call.decline,
            missed_call: config.push.missed_call,
            presence: config.livekit.rooms,
            rooms: config.livekit.rooms,
            ask_every_ms: if config.livekit.rooms { millis(ASK_EVERY) } else { 0 },
            record: config.recording.policy == Policy::Always,
            push: push_rules(&config.push),
            webhooks: endpoints.subscribers(),
            unknown: Unknown::default(),
        },
        call_waiting: call.call_waiting,
        devices_per_user: DEVICES_PER_USER,
        rates: rates(&config.limits),
        recording: recording_plan(config),
        deployment: config.livekit.deployment.clone(),
        plan: Plan {
            participant_minutes_per_month: config.usage.participant_minutes_per_month.into(),
            concurrent_participants: config.usage.concurrent_participants,
            warn_at: config.usage.warn_at.clone(),
        },
        told_of_bans: endpoints.wanting(WebhookEvent::UserBanned),
        takeover: (config.devices.takeover == Takeover::Proof).then(|| proofs(&config.auth)),
        policy: engine::Policy {
            hook: hook.map(|hook| hook as Arc<dyn engine::policy::Hook>),
            contacts_only: config.policy.allow == Allow::Contacts,
        },
    }
}

/// How long the store keeps what nobody removes. Nothing that names a call's parties is kept for longer than this after the call was made.
pub(crate) fn keeping(config: &Config) -> Keeping {
    let longest = config.call.ring + config.call.max_duration + BEFORE_IT_IS_REMOVED;
    let recordings = config.recording.s3.as_ref().map(|_| config.recording.retention).unwrap_or_default();
    Keeping { calls: config.call.retention.max(recordings) + longest, devices: config.store.devices_kept }
}

/// Made with the secrets of tickets, which are changed as those are.
fn proofs(auth: &config::Auth) -> Proofs {
    Proofs::new(auth.ticket_secrets.iter().map(|secret| secret.reveal().as_bytes()))
}

fn rates(limits: &config::Limits) -> Rates {
    Rates {
        invites_per_user: limits.invites_per_user,
        invites_per_pair: limits.invites_per_pair,
        invites_per_callee: limits.invites_per_callee,
        tokens_per_user: limits.tokens_per_user,
        registrations_per_user: limits.registrations_per_user,
        new_tokens_per_user: limits.new_tokens_per_user,
    }
}

fn recording_plan(config: &Config) -> RecordingPlan {
    let recording = &config.recording;
    RecordingPlan {
        policy: recording.policy,
        content: recording.media,
        audio_format: recording.audio_format,
        retention: recording.retention,
        bucket: recording.s3.as_ref().map(|s3| s3.bucket.clone()),
        prefix: recording.prefix.clone(),
    }
}

/// What calls are to know of `[push]`.
fn push_rules(config: &config::push::Push) -> PushRules {
    // Apple may deliver the first push until it expires, at whichever host it went to.
    let expired = config.apns.iter().map(|apns| apns.ring_expiration).max().unwrap_or_default();
    PushRules {
        repush_after_ms: millis(config.repush_after),
        repush_max: config.repush_max.into(),
        repush_ios_after_ms: config.repush_ios.then(|| millis(config.repush_after.max(expired))),
        cancel_by_voip: config.apns.iter().any(|apns| apns.cancel_by_voip),
        voip_budget: config.voip_budget.into(),
        unknown: Unknown::default(),
    }
}
