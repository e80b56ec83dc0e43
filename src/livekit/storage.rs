//! The S3-compatible storage of recordings: links to watch them, and their deletion.
//!
//! LiveKit's egress writes there itself (`egress`). Requests are signed by AWS Signature Version 4 in their URL
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>), which S3, R2, Supabase and `MinIO` all take; such a URL
//! is good for whoever has it, until its time is over, so it is never logged.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use rusty_s3::actions::{DeleteObject, GetObject, HeadBucket};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use thiserror::Error;

use super::twirp::{self, innermost};
use crate::config::recording::S3;
use crate::domain::Timestamp;

/// How long the storage may take to answer.
const WITHIN: Duration = Duration::from_secs(10);
/// How long a request of the gateway's own is good: clocks may be apart.
const OWN_REQUEST: Duration = Duration::from_mins(5);
/// The last second of the year 9999; a signature names a day of the calendar.
const LAST_SECOND: u64 = 253_402_300_799;

/// The most bytes of an error that are read.
const MAX_ERROR_BYTES: usize = 16 * 1024;
/// The error of a deletion that found nothing to delete. Most storages answer 204 to that, some (Google's) this. Any other 404 is about
/// the bucket, or comes from somebody in between, and says nothing of the file.
const NO_SUCH_KEY: &str = "<Code>NoSuchKey</Code>";

/// The keys of a storage, which LiveKit is given and nobody else may see.
#[derive(Clone)]
pub struct Keys(Credentials);

/// A storage.
pub struct Storage {
    client: Client,
    keys: Keys,
    region: String,
    style: UrlStyle,
    endpoint: Url,
    link_endpoint: Url,
    bucket: String,
}

/// A link to watch a recording, good for whoever has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// The URL, a secret while it is good.
    pub url: String,
    /// Until when it is.
    pub expires_at: Timestamp,
}

/// Why the storage cannot be used. None of it repeats a signed URL.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The section does not make a URL.
    #[error("no URL can be made of endpoint and bucket: {0}")]
    Url(String),
    /// The HTTP client cannot be made.
    #[error("the HTTP client for the storage cannot be made")]
    Client(#[from] twirp::SetUpError),
    /// There was no answer.
    #[error("the storage does not answer: {}", innermost(.0))]
    Unreachable(#[source] reqwest::Error),
    /// The answer was this status; for 403, the key is wrong or may not do it.
    #[error("the storage answers {0}")]
    Refused(StatusCode),
}

impl StorageError {
    /// Whether another try soon may do.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Url(_) | Self::Client(_) => false,
        }
    }
}

impl Keys {
    /// The keys of a section.
    pub fn new(config: &S3) -> Self {
        Self(Credentials::new(&config.access_key, config.secret.reveal()))
    }

    /// What somebody says who was given the keys, without them.
    pub fn masked(&self, text: &str) -> String {
        let hide =
            |text: &str, key: &str, word: &str| if key.is_empty() { text.to_owned() } else { text.replace(key, word) };
        hide(&hide(text, self.0.secret(), "(secret)"), self.0.key(), "(access key)")
    }
}

impl Storage {
    /// The storage of a section.
    pub fn new(config: &S3) -> Result<Self, StorageError> {
        let endpoint = config.endpoint.clone().unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", config.region));
        let link_endpoint = config.link_endpoint.as_ref().unwrap_or(&endpoint);
        let storage = Self {
            client: twirp::client()?,
            keys: Keys::new(config),
            region: config.region.clone(),
            style: if config.force_path_style { UrlStyle::Path } else { UrlStyle::VirtualHost },
            link_endpoint: parse(link_endpoint)?,
            endpoint: parse(&endpoint)?,
            bucket: config.bucket.clone(),
        };
        storage.bucket(&storage.endpoint, &storage.bucket)?;
        storage.bucket(&storage.link_endpoint, &storage.bucket)?;
        Ok(storage)
    }

    /// A link with which a device gets the file `key` of `bucket` from `now` on, for `ttl`.
    pub fn link(&self, bucket: &str, key: &str, ttl: Duration, now: Timestamp) -> Result<Link, StorageError> {
        let bucket = self.bucket(&self.link_endpoint, bucket)?;
        let url = sign(&GetObject::new(&bucket, Some(&self.keys.0), key), ttl, now);
        // Signed in whole seconds.
        let expires_at = Timestamp::from_millis(now.as_secs() * 1000) + ttl;
        Ok(Link { url: url.into(), expires_at })
    }

    /// Deletes the file `key` of `bucket`; one that is not there is deleted, if the bucket is.
    pub async fn erase(&self, bucket: &str, key: &str, now: Timestamp) -> Result<(), StorageError> {
        let bucket = self.bucket(&self.endpoint, bucket)?;
        let url = sign(&DeleteObject::new(&bucket, Some(&self.keys.0), key), OWN_REQUEST, now);
        let answer = self.answer(self.client.delete(url)).await?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND if beginning(answer).await?.contains(NO_SUCH_KEY) => Ok(()),
            status => Err(StorageError::Refused(status)),
        }
    }

    /// Its keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Asks whether the bucket of the section is there and the key is good for it.
    pub async fn probe(&self, now: Timestamp) -> Result<String, StorageError> {
        let bucket = self.bucket(&self.endpoint, &self.bucket)?;
        let url = sign(&HeadBucket::new(&bucket, Some(&self.keys.0)), OWN_REQUEST, now);
        match self.answer(self.client.head(url)).await?.status() {
            status if status.is_success() => Ok(format!("bucket {} at {}", self.bucket, self.endpoint)),
            status => Err(StorageError::Refused(status)),
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, StorageError> {
        request.timeout(WITHIN).send().await.map_err(unreachable)
    }

    fn bucket(&self, endpoint: &Url, name: &str) -> Result<Bucket, StorageError> {
        Bucket::new(endpoint.clone(), self.style, name.to_owned(), self.region.clone())
            .map_err(|error| StorageError::Url(error.to_string()))
    }
}

/// How a body begins.
async fn beginning(mut answer: Response) -> Result<String, StorageError> {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_ERROR_BYTES {
        let Some(part) = answer.chunk().await.map_err(unreachable)? else { break };
        bytes.extend_from_slice(&part);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreachable(error: reqwest::Error) -> StorageError {
    StorageError::Unreachable(error.without_url())
}

fn parse(endpoint: &str) -> Result<Url, StorageError> {
    endpoint.parse().map_err(|_| StorageError::Url("endpoint is no URL".to_owned()))
}

fn sign<'a, A: S3Action<'a>>(action: &A, ttl: Duration, now: Timestamp) -> Url {
    let second = i64::try_from(now.as_secs().min(LAST_SECOND)).unwrap_or_default();
    let instant = jiff::Timestamp::from_second(second).unwrap_or_default();
    action.sign_with_time(ttl, &instant)
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.as_str();
        f.debug_struct("Storage").field("endpoint", &endpoint).field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys((secret))")
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("url", &"(secret)").field("expires_at", &self.expires_at).finish()
    }
}
