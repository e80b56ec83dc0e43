//! Pushes that no provider took.

use super::scene::*;
use super::{Cause, Row};
use crate::domain::*;

#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn scenes() -> Vec<Row> {
    let without_token = Device { fcm_token: None, ..device("android") };
    vec![
        (Scene::new(vec![without_token]), "android-1", Cause::NoToken, "holds no token that rings"),
        (
            ios().refused(None, "no-provider", "give_up"),
            "ios-1",
            Cause::NoProvider,
            "no [[push.apns]] section is for the app com.example.phone and environment production",
        ),
        (
            android().refused(None, "no-provider", "give_up"),
            "android-1",
            Cause::NoProvider,
            "no [[push.fcm]] section is for the app com.example.phone",
        ),
        (
            apple(410, "Unregistered", "drop_token"),
            "ios-1",
            Cause::TokenDead,
            "APNs answered 410 Unregistered at +52 ms: the token registered at 2026-02-02T01:40:00.000Z is dead",
        ),
        (apple(410, "ExpiredToken", "drop_token"), "ios-1", Cause::TokenDead, "APNs answered 410 ExpiredToken"),
        (
            google(404, "UNREGISTERED", "drop_token"),
            "android-1",
            Cause::TokenDead,
            "FCM answered 404 UNREGISTERED at +52 ms",
        ),
        (google(400, "INVALID_ARGUMENT", "drop_token"), "android-1", Cause::TokenInvalid, "is no token"),
        (
            apple(400, "BadDeviceToken", "drop_token"),
            "ios-1",
            Cause::RefusedInBothEnvironments,
            "production and sandbox both call its token bad",
        ),
        (
            apple(400, "BadDeviceToken", "give_up"),
            "ios-1",
            Cause::RefusedInOneEnvironment,
            "production calls its token bad, and sandbox could not be asked",
        ),
        (
            apple(400, "DeviceTokenNotForTopic", "drop_token"),
            "ios-1",
            Cause::WrongTopic,
            "its token is of another app than com.example.phone",
        ),
        (
            apple(400, "TopicDisallowed", "our_fault"),
            "ios-1",
            Cause::TopicRefused,
            "the key may not push to com.example.phone",
        ),
        (google(403, "SENDER_ID_MISMATCH", "our_fault"), "android-1", Cause::WrongProject, "another Firebase project"),
        (
            apple(403, "BadEnvironmentKeyInToken", "our_fault"),
            "ios-1",
            Cause::KeyOfOtherEnvironment,
            "the APNs key is not for production",
        ),
        (
            apple(403, "BadEnvironmentKeyIdInToken", "our_fault"),
            "ios-1",
            Cause::KeyOfOtherEnvironment,
            "the APNs key is not for production",
        ),
        (
            apple(403, "InvalidProviderToken", "our_fault"),
            "ios-1",
            Cause::CredentialRefused,
            "403 InvalidProviderToken at +52 ms: the credential",
        ),
        (google(401, "UNAUTHENTICATED", "our_fault"), "android-1", Cause::CredentialRefused, "401 UNAUTHENTICATED"),
        (
            android().at(9).refused(None, "credential-refused: the token endpoint answered 400", "our_fault"),
            "android-1",
            Cause::CredentialRefused,
            "the token endpoint answered 400 at +9 ms",
        ),
        (
            ios().refused(None, "cannot sign", "our_fault"),
            "ios-1",
            Cause::CredentialRefused,
            "APNs: cannot sign at +0 ms: the credential for the app com.example.phone is not accepted",
        ),
        (
            google(401, "THIRD_PARTY_AUTH_ERROR", "our_fault"),
            "android-1",
            Cause::ThirdPartyCredential,
            "another push service",
        ),
        (google(404, "NOT_FOUND", "our_fault"), "android-1", Cause::NoProject, "is not known"),
        (
            google(400, "INVALID_ARGUMENT", "our_fault"),
            "android-1",
            Cause::PayloadRefused,
            "the push itself is called wrong",
        ),
        (apple(413, "PayloadTooLarge", "our_fault"), "ios-1", Cause::PayloadRefused, "413 PayloadTooLarge"),
        (
            ios().refused(None, "known-bad-token: in-one-environment", "give_up"),
            "ios-1",
            Cause::RefusedInOneEnvironment,
            "known-bad-token: in-one-environment at +0 ms: production calls its token bad",
        ),
        (
            ios().refused(None, "known-bad-token: in-both-environments", "give_up"),
            "ios-1",
            Cause::RefusedInBothEnvironments,
            "production and sandbox both call its token bad",
        ),
        (
            ios().refused(None, "known-bad-token: DeviceTokenNotForTopic", "give_up"),
            "ios-1",
            Cause::WrongTopic,
            "its token is of another app",
        ),
        (
            ios().refused(None, "too-many-bad-tokens", "give_up"),
            "ios-1",
            Cause::TooManyBadTokens,
            "bob registered too many tokens that Apple calls bad",
        ),
        (
            google(429, "QUOTA_EXCEEDED", "retry"),
            "android-1",
            Cause::Throttled,
            "Google takes no more pushes for a while",
        ),
        (
            failing_all_the_ring(),
            "ios-1",
            Cause::ProviderFailing,
            "APNs answered 503 ServiceUnavailable 20 times from +0 ms to +38.0 s",
        ),
        (
            ios().at(30).failing(500, "InternalServerError"),
            "ios-1",
            Cause::ProviderFailing,
            "at +30 ms; it is still being tried",
        ),
        (
            ios().at(2000).failing(None, "deadline").times_out(),
            "ios-1",
            Cause::ProviderSilent,
            "Apple did not answer in time at +2000 ms",
        ),
        (
            ios().at(2000).failing(None, "not-connected: cannot connect to api").times_out(),
            "ios-1",
            Cause::ProviderUnreachable,
            "not-connected: cannot connect to api",
        ),
        (
            ios().at(2000).failing(None, "cannot resolve api.example").times_out(),
            "ios-1",
            Cause::ProviderUnreachable,
            "cannot resolve",
        ),
        (
            ios().at(3).failing(None, "held-back: 503 ServiceUnavailable").times_out(),
            "ios-1",
            Cause::HeldBack,
            "held back at +3 ms, since Apple failed on everything",
        ),
        (apple(302, "Moved", "give_up"), "ios-1", Cause::Refused, "APNs answered 302 Moved"),
    ]
}

/// Apple says 503 to each attempt, every two seconds.
fn failing_all_the_ring() -> Scene {
    let tried = (0..20).fold(ios(), |scene, number| {
        let scene = scene.at(number * 2000).failing(503, "ServiceUnavailable");
        scene.at(number * 2000 + 300).give(&Input::Wake)
    });
    tried.times_out()
}
