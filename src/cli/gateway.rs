//! A running gateway, as the commands that ask it something reach it: where it is, the backend's key, and what its errors mean.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::{CliError, ConfigFile, with_causes};
use crate::config::{Config, Secret};

/// The variable that may hold the service key.
const KEY_VARIABLE: &str = "BELLWIRE_SERVICE_KEY";
/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Where the gateway is, and as whom it is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// Where the API of the gateway is; by default what the configuration has as `http.public_url` or `http.listen`.
    #[arg(long)]
    url: Option<String>,
    /// A file with the service key. Also the variable `BELLWIRE_SERVICE_KEY`.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The service key itself; other users of this machine may see it in the list of processes.
    #[arg(long, conflicts_with = "key_file", value_parser = secret)]
    key: Option<Secret>,
    #[command(flatten)]
    file: ConfigFile,
}

fn secret(text: &str) -> Result<Secret, &'static str> {
    if text.is_empty() { Err("must not be empty") } else { Ok(Secret::new(text)) }
}

/// A running gateway.
pub(super) struct Gateway {
    http: Client,
    base: String,
    key: Secret,
}

impl Reach {
    /// The gateway; whether it is there is seen with the first request.
    pub(super) fn gateway(&self) -> Result<Gateway, CliError> {
        let key = self.key()?;
        let base = match &self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => url_of_api(&self.file.load()?)?,
        };
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(CliError::Usage(format!("--url must begin with http:// or https://, and {base:?} does not")));
        }
        Ok(Gateway { http: client()?, base, key })
    }

    fn key(&self) -> Result<Secret, CliError> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let text = match &self.key_file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| CliError::Failed(format!("--key-file {}: {error}", path.display())))?,
            None => std::env::var(KEY_VARIABLE).unwrap_or_default(),
        };
        match text.trim() {
            "" => Err(CliError::Usage(format!(
                "a service key is needed: --key-file, --key, or the variable {KEY_VARIABLE}"
            ))),
            key => Ok(Secret::new(key)),
        }
    }
}

fn url_of_api(config: &Config) -> Result<String, CliError> {
    match &config.http.public_url {
        Some(url) => Ok(url.clone()),
        None => url_of("http.listen", config.http.listen),
    }
}

/// How a listener of the gateway is reached on this machine.
pub(super) fn url_of(key: &str, mut address: SocketAddr) -> Result<String, CliError> {
    if address.port() == 0 {
        return Err(CliError::Usage(format!("--url is needed, since {key} leaves the port to the system")));
    }
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(format!("http://{address}"))
}

/// A client that trusts the system's roots and follows no redirects.
pub(super) fn client() -> Result<Client, CliError> {
    let failed = |error: &dyn std::error::Error| CliError::Failed(with_causes(error));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::builder().no_proxy().tls_backend_preconfigured(tls).redirect(Policy::none()).timeout(WITHIN);
    client.build().map_err(|error| failed(&error))
}

impl Gateway {
    /// The answer to a GET.
    pub(super) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.send(Method::GET, path, None).await
    }

    /// The answer to a POST with a JSON body.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CliError> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(self.key.reveal());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(|error| unreachable(&self.base, error))?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| unreachable(&self.base, error))?;
        let answer: Option<Value> = serde_json::from_str(&text).ok();
        match answer {
            Some(answer) if (200..300).contains(&status) => Ok(answer),
            answer => Err(CliError::Failed(self.refused(status, &answer.unwrap_or_default()))),
        }
    }

    /// What an answer that is no success says to a person.
    fn refused(&self, status: u16, problem: &Value) -> String {
        let (base, detail) = (&self.base, plain(&problem["detail"]));
        match (status, problem["code"].as_str()) {
            (401, Some(code)) => format!("the gateway at {base} does not accept the service key ({code}): {detail}"),
            (403, Some("services-only")) => {
                format!("the gateway at {base} takes the key for that of a user; a service key begins with bw_sk_")
            }
            (404, Some("call-not-found")) => {
                format!(
                    "the gateway at {base} knows no such call; it may be past call.retention, or of another gateway"
                )
            }
            (404, Some("device-not-found")) => format!("the gateway at {base} knows no such device of this user"),
            (404, Some("not-found")) => {
                format!("the gateway at {base} does not know this request; it may be an older release")
            }
            (_, Some(code)) => format!("the gateway at {base} answered {status} {code}: {detail}"),
            (_, None) => format!("what answers at {base} is no Bellwire: status {status}"),
        }
    }
}

/// That nothing answers there.
pub(super) fn unreachable(base: &str, error: reqwest::Error) -> CliError {
    CliError::Failed(format!("cannot reach the gateway at {base}: {}", with_causes(&error.without_url())))
}

/// A text of the gateway, safe on a terminal: some of it comes from devices and providers.
pub(super) fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let harmful = |c: char| c.is_control() || crate::domain::ids::turns_text(c);
    text.chars().map(|c| if harmful(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
