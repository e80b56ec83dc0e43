//! A push to nobody, by which a provider shows what it thinks of a credential: it judges that before the token.

use http::StatusCode;

use super::message::{Message, Push};
use super::report::{Action, Outcome};
use crate::clock::Clock;
use crate::domain::{
    Acks, AppId, Device, DeviceId, Environment, IosPushMode, Platform, PushToken, StopReason, Unknown, UserId,
};

/// A quiet push of an app to a token that nobody has.
pub(super) fn push(app: &AppId, platform: Platform, clock: &Clock) -> Option<Push> {
    let (mut random, now) = ([0; 32], clock.now());
    clock.random(&mut random);
    let token = PushToken::new(data_encoding::HEXLOWER.encode(&random)).ok()?;
    let is_ios = platform == Platform::Ios;
    let device = Device {
        id: DeviceId::new("made-up").ok()?,
        platform,
        app: app.clone(),
        environment: Environment::Production,
        voip_token: None,
        alert_token: is_ios.then(|| token.clone()),
        fcm_token: (!is_ios).then_some(token),
        fcm_fid: None,
        ios_push_mode: IosPushMode::Voip,
        name: None,
        locale: None,
        app_version: None,
        acks: Acks::default(),
        registered_at: now,
        unknown: Unknown::default(),
    };
    let message = Message::Cancel { call_id: clock.call_id(), reason: StopReason::Ended };
    Some(Push {
        id: clock.uuid(),
        owner: UserId::new("made-up").ok()?,
        device: device.into(),
        expires_at: now,
        message,
    })
}

/// What a provider thinks of the credential, by what it said to such a push.
pub(super) fn judge(outcome: &Outcome) -> Result<String, String> {
    let said = outcome.in_words();
    match outcome.action {
        Action::Accepted | Action::DropToken { .. } | Action::OtherEnvironment => {
            Ok(format!("accepted: a push to a made-up token was answered {said}"))
        }
        _ if outcome.status == Some(StatusCode::TOO_MANY_REQUESTS.as_u16()) => {
            Err(format!("cannot be tried now: {said}"))
        }
        _ => Err(format!("a push to a made-up token was answered {said}")),
    }
}
