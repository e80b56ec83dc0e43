//! A stand-in for S3-compatible storage that checks signed URLs by itself, with another code than the gateway's: signature, time and key.
//!
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellwire::clock::Clock;
use bellwire::domain::Timestamp;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde_json::Value;

pub const ACCESS_KEY: &str = "AKIATESTSOFBELLWIRE";
pub const SECRET: &str = "a-secret-of-the-storage/with+signs=";
pub const BUCKET: &str = "calls";
const REGION: &str = "eu-central-1";

/// The storage. Clones are the same one.
#[derive(Clone)]
pub struct S3 {
    url: String,
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    deleted: Mutex<Vec<String>>,
    /// What every request is answered with, if anything.
    fails: Mutex<Option<(StatusCode, &'static str)>>,
}

impl S3 {
    /// A storage that reads the time off this clock.
    pub async fn start(clock: Clock) -> Self {
        let inner =
            Arc::new(Inner { clock, files: Mutex::default(), deleted: Mutex::default(), fails: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inner }
    }

    /// The lines of `[recording.s3]` for it.
    pub fn section(&self) -> String {
        format!(
            "[recording.s3]\nbucket = \"{BUCKET}\"\nregion = \"{REGION}\"\nendpoint = \"{}\"\naccess_key = \"{ACCESS_KEY}\"\n\
             secret = \"{SECRET}\"\nforce_path_style = true\n",
            self.url
        )
    }

    /// What a worker that was given this request uploads; says how much that is.
    pub fn upload(&self, request: &Value) -> usize {
        let output = &request["file_outputs"][0];
        let s3 = &output["s3"];
        assert_eq!((&s3["access_key"], &s3["secret"]), (&ACCESS_KEY.into(), &SECRET.into()));
        assert_eq!((s3["bucket"].as_str(), s3["force_path_style"].as_bool()), (Some(BUCKET), Some(true)));
        assert_eq!((s3["region"].as_str(), s3["endpoint"].as_str()), (Some(REGION), Some(self.url.as_str())));
        let key = output["filepath"].as_str().expect("a file").to_owned();
        let bytes = format!("the recording {key}").into_bytes();
        let len = bytes.len();
        self.inner.files.lock().expect("a lock").insert(key, bytes);
        len
    }

    pub fn file(&self, key: &str) -> Option<Vec<u8>> {
        self.inner.files.lock().expect("a lock").get(key).cloned()
    }

    pub fn deleted(&self) -> Vec<String> {
        self.inner.deleted.lock().expect("a lock").clone()
    }

    /// From now on every request is answered with this status and body, if any.
    pub fn fails(&self, with: Option<(StatusCode, &'static str)>) {
        *self.inner.fails.lock().expect("a lock") = with;
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    if let Some(answer) = *inner.fails.lock().expect("a lock") {
        return answer.into_response();
    }
    if let Err(why) = inner.check(&request) {
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let key = request.uri().path().trim_start_matches(&format!("/{BUCKET}")).trim_start_matches('/').to_owned();
    let mut files = inner.files.lock().expect("a lock");
    match *request.method() {
        Method::HEAD if key.is_empty() => StatusCode::OK.into_response(),
        Method::GET => match files.get(&key) {
            Some(bytes) => ([(header::CONTENT_TYPE, "video/mp4")], bytes.clone()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Method::DELETE => {
            files.remove(&key);
            inner.deleted.lock().expect("a lock").push(key);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

impl Inner {
    fn check(&self, request: &Request) -> Result<(), &'static str> {
        let query = request.uri().query().ok_or("no signature")?;
        let fields: BTreeMap<&str, &str> = query.split('&').filter_map(|field| field.split_once('=')).collect();
        let field = |name: &str| fields.get(name).copied().ok_or("a field is missing");
        let (date, given) = (field("X-Amz-Date")?, field("X-Amz-Signature")?);
        let day = date.get(..8).ok_or("no date")?;
        let scope = format!("{day}/{REGION}/s3/aws4_request");
        if field("X-Amz-Credential")?.replace("%2F", "/") != format!("{ACCESS_KEY}/{scope}") {
            return Err("InvalidAccessKeyId");
        }
        let signed: Vec<String> = fields
            .iter()
            .filter(|(name, _)| **name != "X-Amz-Signature")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let host = request.headers()[header::HOST].to_str().map_err(|_| "no host")?;
        let canonical = format!(
            "{}\n{}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD",
            request.method(),
            request.uri().path(),
            signed.join("&")
        );
        let hash = HEXLOWER.encode(digest(&SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        let mut key = format!("AWS4{SECRET}").into_bytes();
        for part in [day, REGION, "s3", "aws4_request"] {
            key = sign(&key, part).as_ref().to_vec();
        }
        if HEXLOWER.encode(sign(&key, &text).as_ref()) != given {
            return Err("SignatureDoesNotMatch");
        }
        let seconds = field("X-Amz-Expires")?.parse().map_err(|_| "no time")?;
        let from = instant(date).ok_or("no date")?;
        if self.clock.now() > from + Duration::from_secs(seconds) { Err("Request has expired") } else { Ok(()) }
    }
}

/// `20260131T120000Z`.
fn instant(date: &str) -> Option<Timestamp> {
    let part = |from: usize, to: usize| date.get(from..to);
    let (day, time) = ((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(9, 11)?, part(11, 13)?, part(13, 15)?));
    Timestamp::parse_rfc3339(&format!("{}-{}-{}T{}:{}:{}Z", day.0, day.1, day.2, time.0, time.1, time.2))
}
