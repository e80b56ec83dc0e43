//! `[recording]`: who may have a call recorded, how, and in which S3-compatible storage recordings are kept.

use std::time::Duration;

use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};
use super::secret::Secret;
use crate::domain::recording::{AudioFormat, Content, Policy};

/// `[recording]`.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Who may have a call recorded.
    pub policy: Policy,
    /// What of it.
    pub media: Content,
    /// The file of sound alone.
    pub audio_format: AudioFormat,
    /// How long a recording is kept after it ended.
    pub retention: Duration,
    /// How long a link to watch it is good.
    pub link_ttl: Duration,
    /// The folder in the bucket; may be empty.
    pub prefix: String,
    /// Where recordings are kept; always there unless the policy is `off`.
    pub s3: Option<S3>,
}

/// `[recording.s3]`.
#[derive(Debug, Clone)]
pub struct S3 {
    /// The bucket, which must be there.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Where LiveKit's egress and the gateway reach the storage; without a closing slash.
    pub endpoint: Option<String>,
    /// Where devices reach it, if that is elsewhere.
    pub link_endpoint: Option<String>,
    /// Names the secret.
    pub access_key: String,
    /// Signs uploads, links and deletions.
    pub secret: Secret,
    /// Whether the bucket stands in the path of a URL and not in the host.
    pub force_path_style: bool,
}

const POLICIES: &[(&str, Policy)] =
    &[("off", Policy::Off), ("service", Policy::Service), ("party", Policy::Party), ("always", Policy::Always)];
const FORMATS: &[(&str, AudioFormat)] = &[("mp4", AudioFormat::Mp4), ("ogg", AudioFormat::Ogg)];
const CONTENTS: &[(&str, Content)] = &[("audio", Content::Audio), ("composite", Content::Composite)];

pub(super) fn read(fields: &mut Fields) -> Option<Recording> {
    let policy = fields.required("policy", &kind::one_of(POLICIES));
    let media = fields.required("media", &kind::one_of(CONTENTS));
    let audio_format = fields.required("audio_format", &kind::one_of(FORMATS));
    let retention = fields.required("retention", &kind::duration("10m", "3650d", "90d"));
    // The greatest is S3's own (SigV4, `X-Amz-Expires`).
    let link_ttl = fields.required("link_ttl", &kind::duration("10s", "7d", "10m"));
    let has_prefix = fields.has("prefix");
    let prefix = fields.optional("prefix", &prefix());
    let has_s3 = fields.has("s3");
    let s3 = if has_s3 { fields.section("s3", read_s3) } else { None };
    if !has_s3 && policy.is_some_and(|policy| policy != Policy::Off) {
        fields.problem::<()>("s3", "missing; recordings need a place: a table with bucket, region and keys".to_owned());
    }
    Some(Recording {
        policy: policy?,
        media: media?,
        audio_format: audio_format?,
        retention: retention?,
        link_ttl: link_ttl?,
        prefix: if has_prefix { prefix? } else { String::new() },
        s3: if has_s3 { Some(s3?) } else { None },
    })
}

fn read_s3(fields: &mut Fields) -> Option<S3> {
    let bucket = fields.required("bucket", &bucket());
    let region = fields.required("region", &kind::text());
    let given = [fields.has("endpoint"), fields.has("link_endpoint")];
    let url = || kind::base_url(&["https", "http"], "https://s3.example.com");
    let endpoint = fields.optional("endpoint", &url());
    let link_endpoint = fields.optional("link_endpoint", &url());
    let access_key = fields.required("access_key", &kind::text().unquoted());
    let secret = fields.secret("secret", 1);
    let has_style = fields.has("force_path_style");
    let force_path_style = fields.optional("force_path_style", &kind::boolean());
    if (given[0] && endpoint.is_none()) || (given[1] && link_endpoint.is_none()) {
        return None;
    }
    Some(S3 {
        bucket: bucket?,
        region: region?,
        endpoint,
        link_endpoint,
        access_key: access_key?,
        secret: secret?,
        force_path_style: if has_style { force_path_style? } else { false },
    })
}

/// Only characters that need no escaping in a key, and none that LiveKit's egress would fill in (`{room_name}`).
fn prefix() -> Kind<String> {
    Kind::text("folders of letters, digits, - _ and . with / between, such as \"recordings\"", |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let folder = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
        (text.len() <= 200 && text.split('/').all(folder)).then(|| text.to_owned())
    })
}

/// By AWS's rules for names, which the others follow
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>), and older ones with capitals and `_`.
fn bucket() -> Kind<String> {
    Kind::text("the name of a bucket: 3 to 63 letters, digits, - _ and .", |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ((3..=63).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('.')).then(|| text.to_owned())
    })
}

impl Recording {
    pub(super) fn describe(&self, out: &mut Description) {
        out.section("recording");
        out.one_of("policy", self.policy, POLICIES);
        out.one_of("media", self.media, CONTENTS);
        out.one_of("audio_format", self.audio_format, FORMATS);
        out.duration("retention", self.retention);
        out.duration("link_ttl", self.link_ttl);
        out.text("prefix", &self.prefix);
        let Some(s3) = &self.s3 else { return };
        out.section("recording.s3");
        out.text("bucket", &s3.bucket);
        out.text("region", &s3.region);
        out.optional("endpoint", s3.endpoint.as_ref());
        out.optional("link_endpoint", s3.link_endpoint.as_ref());
        out.text("access_key", &s3.access_key);
        out.secret("secret", [s3.secret.reveal()]);
        out.plain("force_path_style", s3.force_path_style);
    }
}
