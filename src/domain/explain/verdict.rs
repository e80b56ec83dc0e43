//! One sentence for a device that takes part: what happened to it, with the facts of this call.
//!
//! Times are after the invite, in the gateway's clock.

use super::cause::Cause;
use super::finding::{Word, last_ring, last_word, rings, taken, taken_at};
use crate::domain::call::Call;
use crate::domain::device::{Device, Platform};
use crate::domain::leg::{BACK_WITHIN, Leg};
use crate::domain::receipt::Receipt;
use crate::domain::time::{Timestamp, millis};

/// The sentence for a device that takes part.
pub(super) fn of_leg(call: &Call, leg: &Leg, cause: Cause) -> String {
    let scene = Scene { call, leg };
    format!("{}: {}.", who(call, &leg.device), scene.says(cause))
}

/// A time after the invite: `+41 ms`, `+12.3 s`, `+4.0 min`.
pub(super) fn after(call: &Call, at: Timestamp) -> String {
    let ms = millis(at.since(call.created_at));
    match ms {
        0..10_000 => format!("+{ms} ms"),
        10_000..600_000 => format!("+{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("+{}.{} min", ms / 60_000, ms % 60_000 / 6000),
    }
}

/// `iPhone of bob`.
pub(super) fn who(call: &Call, device: &Device) -> String {
    let what = match device.platform {
        Platform::Ios => "iPhone",
        Platform::Android => "Android phone",
        Platform::Web => "browser",
    };
    format!("{what} of {}", call.callee.id)
}

/// A leg and all that its sentence may need.
struct Scene<'a> {
    call: &'a Call,
    leg: &'a Leg,
}

impl Scene<'_> {
    fn says(&self, cause: Cause) -> String {
        let callee = &self.call.callee.id;
        let caller = &self.call.caller.id;
        match cause {
            Cause::Answered => format!("it answered{}", self.at(self.leg.closed_at)),
            Cause::Declined => format!("it declined{}", self.at(self.leg.closed_at)),
            Cause::BusyOnDevice => format!("it said{} that it is on another call", self.at(self.leg.closed_at)),
            Cause::Rings => format!("it rings{}", self.since(self.rang_at())),
            Cause::RangUnanswered => format!("{}, and nobody answered", self.rang()),
            Cause::RangCancelled => format!("{}, when {caller} gave up", self.rang()),
            Cause::RangAnsweredElsewhere => format!("{}, when {} answered", self.rang(), self.winner()),
            Cause::RangDeclinedElsewhere => format!("{}, when {callee} declined elsewhere", self.rang()),
            Cause::RangUntilEnd => format!("{}, when the call ended", self.rang()),
            Cause::CalledElsewhere => {
                let at = self.at(self.call.answered_at);
                format!("{}, and{at} {callee} called {caller} from elsewhere, which answered", self.taken())
            }
            Cause::DoNotDisturb => format!("{}, and it is on Do Not Disturb, so that it did not ring", self.taken()),
            Cause::BlockedOnDevice => {
                format!("{}, and its own block list has {caller}, so that it did not ring", self.taken())
            }
            Cause::NoPermission => format!("{}, and it said that it may not ring: {}", self.taken(), self.not_rung()),
            Cause::CouldNotRing => format!("{}, and it said that it could not ring: {}", self.taken(), self.not_rung()),
            Cause::WaitingForWord => format!("{}, and it has not spoken yet", self.taken()),
            Cause::StoppedSoon => {
                format!(
                    "{}, and the call was over{}, too soon for a word from it",
                    self.taken(),
                    self.at(self.over_at())
                )
            }
            Cause::CameLate => {
                let (late, over) = (self.at(self.leg.late_at), self.at(self.over_at()));
                format!("{}, but it first spoke{late}, when its ring was over{over}", self.taken())
            }
            Cause::SilentIphone | Cause::SilentAndroid | Cause::UnackedIphone | Cause::UnackedAndroid => {
                self.silent(cause)
            }
            Cause::AlertMode => {
                format!("{}, no alerting ack; it was an alert, which iOS shows without starting the app", self.taken())
            }
            Cause::SilentInTouch => format!(
                "{}, and its app was in touch with the gateway{}, yet said nothing of the ring",
                self.taken(),
                self.at(self.leg.contacted_at)
            ),
            Cause::SilentBesideAlert => format!(
                "{} the VoIP push and an alert beside it, since its app was awake in its last {} rings without a word; no \
                 alerting ack this time either",
                self.taken(),
                self.leg.device.acks.silent
            ),
            Cause::PushedAgain => {
                format!("{}, no alerting ack to any; it is likely off, offline or without the app", self.all_taken())
            }
            Cause::OnItsWay => format!("its push is on its way to {}, which has not answered yet", self.company()),
            Cause::EndedBeforePush => {
                format!(
                    "the call was over{}, before {} had answered for its push",
                    self.at(self.over_at()),
                    self.company()
                )
            }
            Cause::NoRecord => "nothing is recorded of any push to it".to_owned(),
            Cause::CalleeBusy => format!("{callee} was on another call, so nothing was pushed"),
            Cause::NoToken => "it holds no token that rings, since the last one was called dead".to_owned(),
            Cause::BrowserSilent => "it was connected when the call began, and said nothing".to_owned(),
            Cause::BrowserGone => format!(
                "its page had no event stream any more{}, and was not back within {} s",
                self.at(self.leg.gone_at),
                BACK_WITHIN.as_secs()
            ),
            Cause::BrowserNotConnected
            | Cause::RegisteredLater
            | Cause::BlockedCaller
            | Cause::CalleeBanned
            | Cause::NotAddressed => "it takes no part in the call".to_owned(),
            Cause::NoProvider
            | Cause::TokenDead
            | Cause::TokenInvalid
            | Cause::RefusedInBothEnvironments
            | Cause::RefusedInOneEnvironment
            | Cause::WrongTopic
            | Cause::TopicRefused
            | Cause::WrongProject
            | Cause::KeyOfOtherEnvironment
            | Cause::CredentialRefused
            | Cause::ThirdPartyCredential
            | Cause::NoProject
            | Cause::PayloadRefused
            | Cause::TooManyBadTokens
            | Cause::Throttled
            | Cause::ProviderFailing
            | Cause::ProviderSilent
            | Cause::ProviderUnreachable
            | Cause::HeldBack
            | Cause::Refused => self.refused(cause) + self.goes_on(),
        }
    }

    /// Of a push that no provider took.
    fn refused(&self, cause: Cause) -> String {
        let (device, company) = (&self.leg.device, self.company());
        let app = device.app.as_str();
        let answered = self.answered();
        match cause {
            Cause::NoProvider if device.platform == Platform::Ios => format!(
                "no [[push.apns]] section is for the app {app} and environment {}, so nothing was pushed",
                device.environment.as_str()
            ),
            Cause::NoProvider => format!("no [[push.fcm]] section is for the app {app}, so nothing was pushed"),
            Cause::TokenDead => match last_ring(self.leg).and_then(|receipt| receipt.dead_since) {
                Some(since) => format!("{answered}: its token is dead since {since}"),
                None => format!("{answered}: the token registered at {} is dead", device.registered_at),
            },
            Cause::TokenInvalid => format!("{answered}: what was registered at {} is no token", device.registered_at),
            Cause::RefusedInBothEnvironments => format!("{answered}: production and sandbox both call its token bad"),
            Cause::RefusedInOneEnvironment => format!(
                "{answered}: {} calls its token bad, and {} could not be asked",
                device.environment.as_str(),
                device.environment.other().as_str()
            ),
            Cause::WrongTopic => format!("{answered}: its token is of another app than {app}"),
            Cause::TopicRefused => format!("{answered}: the key may not push to {app}"),
            Cause::WrongProject => format!("{answered}: its token is of another Firebase project"),
            Cause::KeyOfOtherEnvironment => {
                format!("{answered}: the APNs key is not for {}", device.environment.as_str())
            }
            Cause::CredentialRefused => format!("{answered}: the credential for the app {app} is not accepted"),
            Cause::ThirdPartyCredential => format!("{answered}: Google lacks a credential of another push service"),
            Cause::NoProject => format!("{answered}: the project of the app {app} is not known"),
            Cause::PayloadRefused => format!("{answered}: the push itself is called wrong"),
            Cause::TooManyBadTokens => format!(
                "{} registered too many tokens that {company} calls bad, so it is not pushed to for a while",
                self.call.callee.id
            ),
            Cause::Throttled => format!("{answered}: {company} takes no more pushes for a while"),
            Cause::ProviderSilent => format!("{company} did not answer in time{}", self.tries()),
            Cause::ProviderUnreachable => format!("{company} could not be reached{}: {}", self.tries(), self.reason()),
            Cause::HeldBack => format!(
                "its push was held back{}, since {company} failed on everything: {}",
                self.tries(),
                self.reason()
            ),
            _ => answered,
        }
    }

    fn silent(&self, cause: Cause) -> String {
        let taken = self.taken();
        let known = self.leg.device.acks.since;
        match cause {
            Cause::SilentIphone => format!(
                "{taken}, no alerting ack, though its app has acknowledged rings{}; the app may be deleted, offline or force-quit",
                since_day(known)
            ),
            Cause::SilentAndroid => format!(
                "{taken}, no alerting ack, though its app has acknowledged rings{}; the phone may be off or offline, or the app \
                 force-stopped",
                since_day(known)
            ),
            Cause::UnackedIphone => format!(
                "{taken}, no alerting ack; the app may be deleted, offline or force-quit, or it rang: it has never acknowledged a ring"
            ),
            _ => format!(
                "{taken}, no alerting ack; the phone may be off or offline, the app force-stopped, or it rang: it has never \
                 acknowledged a ring"
            ),
        }
    }

    /// `APNs accepted at +41 ms`.
    fn taken(&self) -> String {
        match (taken_at(self.leg), self.leg.device.platform) {
            (_, Platform::Web) => "it was connected when the call began".to_owned(),
            (Some(at), _) => format!("{} accepted{}", self.service(), self.at(Some(at))),
            (None, _) => "it spoke without a push".to_owned(),
        }
    }

    /// `FCM accepted 3 pushes (+41 ms, +6200 ms, +12.3 s)`.
    fn all_taken(&self) -> String {
        let times: Vec<_> =
            taken(self.leg).map(|receipt| after(self.call, receipt.since.unwrap_or(receipt.at))).collect();
        format!("{} accepted {} pushes ({})", self.service(), times.len(), times.join(", "))
    }

    /// `it rang from +1200 ms to +45.0 s`.
    fn rang(&self) -> String {
        let to = self.leg.closed_at.or(self.call.ended_at).map(|at| format!(" to {}", after(self.call, at)));
        let from = self.rang_at().map(|at| format!(" from {}", after(self.call, at)));
        format!("it rang{}{}", from.unwrap_or_default(), to.unwrap_or_default())
    }

    /// `APNs answered 410 Unregistered at +52 ms`, `FCM answered 503 UNAVAILABLE 4 times from +40 ms to +3100 ms`.
    fn answered(&self) -> String {
        let Some(last) = last_ring(self.leg) else {
            return format!("{} refused the push ({})", self.service(), self.reason());
        };
        let answer = last.status.map_or_else(|| ":".to_owned(), |status| format!(" answered {status}"));
        format!("{}{answer} {}{}", self.service(), self.reason(), self.tries())
    }

    /// How often, and when, the last answer came.
    fn tries(&self) -> String {
        let Some(last) = last_ring(self.leg) else { return String::new() };
        let alike = |receipt: &&Receipt| receipt.status == last.status && receipt.reason == last.reason;
        let times: u32 = rings(self.leg).filter(alike).map(Receipt::times).fold(0, u32::saturating_add);
        let first = rings(self.leg).find(alike).map_or(last.at, |first| first.since.unwrap_or(first.at));
        match times {
            0 | 1 => self.at(Some(last.at)),
            _ => format!(" {times} times from {} to {}", after(self.call, first), after(self.call, last.at)),
        }
    }

    fn goes_on(&self) -> &'static str {
        match (self.over_at(), last_ring(self.leg)) {
            (None, Some(last)) if last.verdict == "retry" => "; it is still being tried",
            _ => "",
        }
    }

    fn reason(&self) -> &str {
        let reason = last_ring(self.leg).map(|receipt| receipt.reason.as_str());
        reason.or(self.leg.reason.as_deref()).filter(|reason| !reason.is_empty()).unwrap_or("(no reason given)")
    }

    fn not_rung(&self) -> &str {
        match last_word(self.leg) {
            Some(Word::NotRung(reason)) => reason,
            _ => self.leg.reason.as_deref().unwrap_or("unknown"),
        }
    }

    fn winner(&self) -> String {
        match &self.call.answered_by {
            Some(device) => format!("{device} of {}", self.call.callee.id),
            None => format!("another device of {}", self.call.callee.id),
        }
    }

    fn rang_at(&self) -> Option<Timestamp> {
        self.leg.alerting_at.or(self.leg.acked_at)
    }

    fn over_at(&self) -> Option<Timestamp> {
        self.leg.closed_at.or(self.call.ended_at)
    }

    fn at(&self, at: Option<Timestamp>) -> String {
        at.map(|at| format!(" at {}", after(self.call, at))).unwrap_or_default()
    }

    fn since(&self, at: Option<Timestamp>) -> String {
        at.map(|at| format!(" since {}", after(self.call, at))).unwrap_or_default()
    }

    fn service(&self) -> &'static str {
        match self.leg.device.platform {
            Platform::Ios => "APNs",
            Platform::Android => "FCM",
            Platform::Web => "its event stream",
        }
    }

    fn company(&self) -> &'static str {
        match self.leg.device.platform {
            Platform::Ios => "Apple",
            Platform::Android => "Google",
            Platform::Web => "the browser",
        }
    }
}

fn since_day(at: Option<Timestamp>) -> String {
    at.map(|at| format!(" since {}", at.rfc3339().split('T').next().unwrap_or_default())).unwrap_or_default()
}
