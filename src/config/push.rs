//! `[push]`, `[[push.apns]]` and `[[push.fcm]]`.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::{AppId, Environment};

/// `[push]`: what goes into pushes, and when they are sent again.
#[derive(Debug, Clone)]
pub struct Push {
    /// The shape of a ring's payload.
    pub payload: PayloadProfile,
    /// Whether the caller's name is in it.
    pub privacy: Privacy,
    /// Whether missed calls are pushed.
    pub missed_call: bool,
    /// How long after a push without an ack it is sent again.
    pub repush_after: Duration,
    /// How often at most.
    pub repush_max: u32,
    /// Whether iPhones get a second push too.
    pub repush_ios: bool,
    /// Rings without an ack before an alert push goes beside; 0: off.
    pub voip_budget: u32,
    /// One section per app and environment at Apple.
    pub apns: Vec<Apns>,
    /// One section per app at Google.
    pub fcm: Vec<Fcm>,
}

/// `push.payload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadProfile {
    /// Bellwire's own.
    Bellwire,
}

/// `push.privacy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// The caller's name and avatar are in the push.
    Full,
    /// They are not.
    NoNames,
}

/// One `[[push.apns]]`.
#[derive(Debug, Clone)]
pub struct Apns {
    /// Bundle id; the VoIP topic is this plus `.voip`.
    pub app: AppId,
    /// Which of Apple's hosts.
    pub environment: Environment,
    /// Ten characters, from the developer account.
    pub team_id: String,
    /// Ten characters, the key's.
    pub key_id: String,
    /// The `.p8` file.
    pub key_file: PathBuf,
    /// `https://host[:port]`; by default Apple's host of the environment.
    pub endpoint: String,
    /// An extra trust root, PEM.
    pub ca_file: Option<PathBuf>,
    /// Connections kept open.
    pub connections: usize,
    /// Whether a cancel goes out as a VoIP push too, which the app must again report to CallKit.
    pub cancel_by_voip: bool,
    /// How long Apple may keep a ring, at most; the ring's own end if that is sooner.
    pub ring_expiration: Duration,
}

/// One `[[push.fcm]]`.
#[derive(Debug, Clone)]
pub struct Fcm {
    /// Application id.
    pub app: AppId,
    /// Google's project; by default the service account's.
    pub project_id: Option<String>,
    /// The service account's key file.
    pub service_account_file: Option<PathBuf>,
    /// `https://host[:port]`.
    pub endpoint: String,
    /// An extra trust root, PEM; also for the service account's `token_uri`.
    pub ca_file: Option<PathBuf>,
    /// Connections kept open.
    pub connections: usize,
}
