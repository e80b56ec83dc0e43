//! A device of a user, and how it can be woken.
//!
//! Whose token is whose, and how many devices a user may have, is the store's business; how a platform is
//! pushed to is `push`'s.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::acks::Acks;
use super::ids::{AppId, DeviceId, PushToken};
use super::time::Timestamp;
use super::unknown::{Unknown, is_default};

/// The operating system family, which decides the push provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Rung by APNs.
    Ios,
    /// Rung by FCM.
    Android,
    /// A browser; it has no push yet and rings while it is connected to the event stream.
    Web,
}

impl Platform {
    /// The name used in the API and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ios => "ios",
            Self::Android => "android",
            Self::Web => "web",
        }
    }
}

/// Which of Apple's two hosts a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Tokens of apps from the App Store and TestFlight.
    #[default]
    Production,
    /// Tokens of development builds.
    Sandbox,
}

impl Environment {
    /// The name used in the API and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }

    /// The other host, tried once for a token that this one calls bad.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Production => Self::Sandbox,
            Self::Sandbox => Self::Production,
        }
    }
}

/// How an iPhone rings: by PushKit and CallKit, or by an alert (China's storefront, or no `CallKit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IosPushMode {
    /// PushKit VoIP push.
    #[default]
    Voip,
    /// Time-sensitive alert push.
    Alert,
}

/// One registered device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The app's own name of it, unique for the user.
    pub id: DeviceId,
    /// Its platform.
    pub platform: Platform,
    /// The app that runs on it.
    pub app: AppId,
    /// Where its APNs tokens are good.
    #[serde(default)]
    pub environment: Environment,
    /// PushKit token, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voip_token: Option<PushToken>,
    /// Token for alerts and background pushes, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_token: Option<PushToken>,
    /// FCM registration token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fcm_token: Option<PushToken>,
    /// Firebase installation id, which replaces the token in newer apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fcm_fid: Option<PushToken>,
    /// How an iPhone rings.
    #[serde(default)]
    pub ios_push_mode: IosPushMode,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// BCP 47 language tag, as the app told it; texts in pushes go by the phone's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The app's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// How its app took earlier rings.
    #[serde(default, skip_serializing_if = "is_default")]
    pub acks: Acks,
    /// When it was registered or refreshed last; a 410 of APNs older than this proves nothing.
    pub registered_at: Timestamp,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A registration that cannot be: the field at fault and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} {problem}")]
pub struct DeviceError {
    /// The field, as in the API.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Device {
    /// Checks that the tokens fit the platform and that some push can reach the device.
    pub fn validate(&self) -> Result<(), DeviceError> {
        let fault = |field, problem| Err(DeviceError { field, problem });
        let not_here = "is not for this platform";
        if self.platform != Platform::Ios {
            if self.voip_token.is_some() {
                return fault("voip_token", not_here);
            }
            if self.alert_token.is_some() {
                return fault("alert_token", not_here);
            }
        }
        if self.platform != Platform::Android {
            if self.fcm_token.is_some() {
                return fault("fcm_token", not_here);
            }
            if self.fcm_fid.is_some() {
                return fault("fcm_fid", not_here);
            }
        }
        match (self.platform, self.ios_push_mode) {
            (Platform::Ios, IosPushMode::Voip) if self.voip_token.is_none() => {
                fault("voip_token", "is needed to ring this device")
            }
            (Platform::Ios, IosPushMode::Alert) if self.alert_token.is_none() => {
                fault("alert_token", "is needed to ring this device")
            }
            (Platform::Ios, _) => self.validate_apns_tokens(),
            (Platform::Android, _) => match (&self.fcm_token, &self.fcm_fid) {
                (None, None) => fault("fcm_token", "or fcm_fid is needed to ring this device"),
                (Some(_), Some(_)) => fault("fcm_fid", "must not stand beside fcm_token"),
                _ => Ok(()),
            },
            (Platform::Web, _) => Ok(()),
        }
    }

    fn validate_apns_tokens(&self) -> Result<(), DeviceError> {
        for (field, token) in [("voip_token", &self.voip_token), ("alert_token", &self.alert_token)] {
            if token.as_ref().is_some_and(|t| !t.as_str().bytes().all(|b| b.is_ascii_hexdigit())) {
                return Err(DeviceError { field, problem: "must be in hex" });
            }
        }
        Ok(())
    }

    /// Every token by which a provider knows this device.
    pub fn tokens(&self) -> impl Iterator<Item = &PushToken> {
        [&self.voip_token, &self.alert_token, &self.fcm_token, &self.fcm_fid].into_iter().flatten()
    }

    /// Takes a token off it; says whether it had it.
    pub fn drop_token(&mut self, token: &PushToken) -> bool {
        let held = [&mut self.voip_token, &mut self.alert_token, &mut self.fcm_token, &mut self.fcm_fid];
        held.into_iter().filter_map(|held| held.take_if(|held| held == token)).count() > 0
    }

    /// Takes over from an earlier registration of the same device what is known of its app.
    pub fn keep_acks(&mut self, earlier: &Self) {
        if self.app == earlier.app && self.platform == earlier.platform {
            self.acks = earlier.acks.clone();
        }
    }

    /// The token that rings it: none for a web device.
    pub fn ring_token(&self) -> Option<&PushToken> {
        match (self.platform, self.ios_push_mode) {
            (Platform::Ios, IosPushMode::Voip) => self.voip_token.as_ref(),
            (Platform::Ios, IosPushMode::Alert) => self.alert_token.as_ref(),
            (Platform::Android, _) => self.fcm_token.as_ref().or(self.fcm_fid.as_ref()),
            (Platform::Web, _) => None,
        }
    }

    /// The token for quiet pushes: cancel, answered elsewhere, missed call.
    pub fn notice_token(&self) -> Option<&PushToken> {
        match self.platform {
            Platform::Ios => self.alert_token.as_ref(),
            Platform::Android => self.ring_token(),
            Platform::Web => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(json: &serde_json::Value) -> Device {
        let mut fields = serde_json::json!({"id": "d", "app": "com.example.phone", "registered_at": 1});
        fields.as_object_mut().expect("an object").extend(json.as_object().expect("an object").clone());
        serde_json::from_value(fields).expect("a device")
    }

    #[test]
    fn tokens_must_fit_the_platform() {
        for (json, field) in [
            (serde_json::json!({"platform": "ios"}), Some("voip_token")),
            (serde_json::json!({"platform": "ios", "voip_token": "xyz"}), Some("voip_token")),
            (serde_json::json!({"platform": "ios", "voip_token": "ab12"}), None),
            (serde_json::json!({"platform": "ios", "ios_push_mode": "alert"}), Some("alert_token")),
            (serde_json::json!({"platform": "ios", "voip_token": "ab", "fcm_token": "t"}), Some("fcm_token")),
            (serde_json::json!({"platform": "android"}), Some("fcm_token")),
            (serde_json::json!({"platform": "android", "fcm_token": "t", "fcm_fid": "f"}), Some("fcm_fid")),
            (serde_json::json!({"platform": "android", "fcm_fid": "f"}), None),
            (serde_json::json!({"platform": "web"}), None),
            (serde_json::json!({"platform": "web", "voip_token": "ab"}), Some("voip_token")),
        ] {
            let found = device(&json).validate().err().map(|error| error.field);
            assert_eq!(found, field, "{json}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", device(&serde_json::json!({"platform": "ios", "voip_token": "abcd1234"})));
        assert!(!shown.contains("abcd1234"), "{shown}");
    }
}
