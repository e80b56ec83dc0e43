//! `[push]`, `[[push.apns]]` and `[[push.fcm]]`.

use std::path::PathBuf;
use std::time::Duration;

use super::auth::app;
use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};
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
    /// How long after a ring was taken, without an ack, it is pushed again.
    pub repush_after: Duration,
    /// How often at most.
    pub repush_max: u32,
    /// Whether iPhones get a second push too.
    pub repush_ios: bool,
    /// Silent rings of an app that is awake before an alert push goes beside; 0: off.
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

const PRIVACY: &[(&str, Privacy)] = &[("full", Privacy::Full), ("no_names", Privacy::NoNames)];
const ENVIRONMENTS: &[(&str, Environment)] =
    &[("production", Environment::Production), ("sandbox", Environment::Sandbox)];

/// Enough for every device that one gateway can ring; many more look like abuse to the provider.
const MOST_CONNECTIONS: u32 = 32;

pub(super) fn read(fields: &mut Fields) -> Option<Push> {
    let payload = fields.required("payload", &payload());
    let privacy = fields.required("privacy", &kind::one_of(PRIVACY));
    let missed_call = fields.required("missed_call", &kind::boolean());
    let repush_after = fields.required("repush_after", &kind::duration("100ms", "60s", "6s"));
    let repush_max = fields.required("repush_max", &kind::number(0, 10));
    let repush_ios = fields.required("repush_ios", &kind::boolean());
    let voip_budget = fields.required("voip_budget", &kind::number(0, 100));
    let apns = fields.sections("apns", read_apns);
    let fcm = fields.sections("fcm", read_fcm);
    let of_apple = apns.iter().flatten().map(|apns| (&apns.app, apns.environment)).collect::<Vec<_>>();
    refuse_twice(fields, "apns", "app and environment", &of_apple);
    let of_google = fcm.iter().flatten().map(|fcm| &fcm.app).collect::<Vec<_>>();
    refuse_twice(fields, "fcm", "app", &of_google);
    Some(Push {
        payload: payload?,
        privacy: privacy?,
        missed_call: missed_call?,
        repush_after: repush_after?,
        repush_max: repush_max?,
        repush_ios: repush_ios?,
        voip_budget: voip_budget?,
        apns: apns?,
        fcm: fcm?,
    })
}

fn read_apns(fields: &mut Fields) -> Option<Apns> {
    let app = fields.required("app", &app());
    let environment = fields.optional("environment", &kind::one_of(ENVIRONMENTS)).unwrap_or_default();
    let team_id = fields.required("team_id", &apple_id());
    let key_id = fields.required("key_id", &apple_id());
    let key_file = fields.required("key_file", &kind::path());
    let endpoint = fields.optional("endpoint", &endpoint(apple_host(environment)));
    let ca_file = fields.optional("ca_file", &kind::path());
    let connections = fields.optional("connections", &kind::number(1, MOST_CONNECTIONS));
    let cancel_by_voip = fields.optional("cancel_by_voip", &kind::boolean());
    let ring_expiration = fields.optional("ring_expiration", &kind::duration("0s", "120s", "10s"));
    Some(Apns {
        app: app?,
        environment,
        team_id: team_id?,
        key_id: key_id?,
        key_file: key_file?,
        endpoint: endpoint.unwrap_or_else(|| apple_host(environment).to_owned()),
        ca_file,
        connections: connections.unwrap_or(2),
        cancel_by_voip: cancel_by_voip.unwrap_or(false),
        ring_expiration: ring_expiration.unwrap_or(Duration::from_secs(10)),
    })
}

fn read_fcm(fields: &mut Fields) -> Option<Fcm> {
    const GOOGLE: &str = "https://fcm.googleapis.com";
    let app = fields.required("app", &app());
    let project_id = fields.optional("project_id", &kind::text());
    let service_account_file = fields.optional("service_account_file", &kind::path());
    let endpoint = fields.optional("endpoint", &endpoint(GOOGLE));
    let ca_file = fields.optional("ca_file", &kind::path());
    let connections = fields.optional("connections", &kind::number(1, MOST_CONNECTIONS));
    Some(Fcm {
        app: app?,
        project_id,
        service_account_file,
        endpoint: endpoint.unwrap_or_else(|| GOOGLE.to_owned()),
        ca_file,
        connections: connections.unwrap_or(2),
    })
}

fn payload() -> Kind<PayloadProfile> {
    Kind::text("\"bellwire\", the only payload that this version knows", |text| {
        (text == "bellwire").then_some(PayloadProfile::Bellwire)
    })
}

fn apple_id() -> Kind<String> {
    Kind::text("the ten letters and digits that Apple's developer account shows", |text| {
        (text.len() == 10 && text.chars().all(|c| c.is_ascii_alphanumeric())).then(|| text.to_owned())
    })
}

fn endpoint(example: &str) -> Kind<String> {
    kind::origin(&["https"], example)
}

/// <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>
const fn apple_host(environment: Environment) -> &'static str {
    match environment {
        Environment::Production => "https://api.push.apple.com",
        Environment::Sandbox => "https://api.sandbox.push.apple.com",
    }
}

/// Two sections for the same app would leave open which of them rings.
fn refuse_twice<T: PartialEq>(fields: &mut Fields, key: &str, what: &str, sections: &[T]) {
    for (index, section) in sections.iter().enumerate() {
        if let Some(first) = sections[..index].iter().position(|earlier| earlier == section) {
            fields.problem::<()>(&format!("{key}[{index}].app"), format!("is the same {what} as {key}[{first}]"));
        }
    }
}

impl Push {
    pub(super) fn describe(&self, out: &mut Description) {
        out.section("push");
        out.one_of("payload", self.payload, &[("bellwire", PayloadProfile::Bellwire)]);
        out.one_of("privacy", self.privacy, PRIVACY);
        out.plain("missed_call", self.missed_call);
        out.duration("repush_after", self.repush_after);
        out.plain("repush_max", self.repush_max);
        out.plain("repush_ios", self.repush_ios);
        out.plain("voip_budget", self.voip_budget);
        for (index, apns) in self.apns.iter().enumerate() {
            out.section(format!("push.apns[{index}]"));
            apns.describe(out);
        }
        for (index, fcm) in self.fcm.iter().enumerate() {
            out.section(format!("push.fcm[{index}]"));
            fcm.describe(out);
        }
    }
}

impl Apns {
    fn describe(&self, out: &mut Description) {
        out.text("app", &self.app);
        out.text("environment", self.environment.as_str());
        out.text("team_id", &self.team_id);
        out.text("key_id", &self.key_id);
        out.text("key_file", self.key_file.display());
        out.text("endpoint", &self.endpoint);
        out.optional("ca_file", self.ca_file.as_ref().map(|file| file.display()));
        out.plain("connections", self.connections);
        out.plain("cancel_by_voip", self.cancel_by_voip);
        out.duration("ring_expiration", self.ring_expiration);
    }
}

impl Fcm {
    fn describe(&self, out: &mut Description) {
        out.text("app", &self.app);
        out.optional("project_id", self.project_id.as_ref());
        out.optional("service_account_file", self.service_account_file.as_ref().map(|file| file.display()));
        out.text("endpoint", &self.endpoint);
        out.optional("ca_file", self.ca_file.as_ref().map(|file| file.display()));
        out.plain("connections", self.connections);
    }
}
