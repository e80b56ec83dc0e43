//! Apple's words for what is wrong with a push, and their statuses.
//!
//! <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>

macro_rules! reasons {
    ($($name:ident $status:literal,)*) => {
        /// Why Apple refuses a push.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(dead_code, reason = "some are only ever prescribed by a rule, by name")]
        pub(super) enum Reason {
            $($name,)*
        }

        impl Reason {
            pub(super) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            pub(super) const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }
        }

        /// All reasons with their statuses; of each status the most telling first.
        pub(in crate::simulator) const REASONS: &[(&str, u16)] = &[$((stringify!($name), $status),)*];
    };
}

reasons! {
    BadDeviceToken 400,
    DeviceTokenNotForTopic 400,
    BadCollapseId 400,
    BadExpirationDate 400,
    BadMessageId 400,
    BadPriority 400,
    BadTopic 400,
    DuplicateHeaders 400,
    IdleTimeout 400,
    InvalidPushType 400,
    MissingDeviceToken 400,
    MissingTopic 400,
    PayloadEmpty 400,
    TopicDisallowed 400,
    InvalidProviderToken 403,
    ExpiredProviderToken 403,
    MissingProviderToken 403,
    UnrelatedKeyIdInToken 403,
    BadEnvironmentKeyIdInToken 403,
    BadCertificate 403,
    BadCertificateEnvironment 403,
    Forbidden 403,
    BadPath 404,
    MethodNotAllowed 405,
    Unregistered 410,
    ExpiredToken 410,
    PayloadTooLarge 413,
    TooManyRequests 429,
    TooManyProviderTokenUpdates 429,
    InternalServerError 500,
    ServiceUnavailable 503,
    Shutdown 503,
}
