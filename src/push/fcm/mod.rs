//! Google's push service: one app.

mod oauth;
pub(super) mod payload;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, Version};
use serde::Deserialize;
use tokio::time::Instant;

use self::oauth::{AccessToken, AccessTokens, Account};
use self::payload::{Rules, Target, body};
use self::verdict::Refusal;
use super::connection::Answer;
use super::error::read;
use super::message::{Message, MessageKind, Push};
use super::pool::{Opening, Pool};
use super::report::{Action, Outcome, Probe, Report, Served, State, TokenKind, Verdict};
use super::{Provider, PushError, Setup};
use crate::config::push::Fcm as Config;
use crate::crypto::Rs256Key;
use crate::domain::{AppId, Device, Platform};

const NAME: &str = "fcm";
const DEADLINE: Duration = Duration::from_secs(4);
const DEFAULT_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// One app at Google.
pub(super) struct Fcm {
    app: AppId,
    rules: Rules,
    setup: Arc<Setup>,
    pool: Pool,
    tokens: AccessTokens,
    path: PathAndQuery,
}

/// The key file of a service account, as far as it is needed.
#[derive(Deserialize)]
struct ServiceAccount {
    project_id: Option<String>,
    private_key_id: Option<String>,
    private_key: String,
    client_email: String,
    token_uri: Option<String>,
}

impl Fcm {
    /// Begins to connect and to get an access token; `index` is the section's number.
    pub(super) async fn start(index: usize, section: &Config, setup: &Arc<Setup>) -> Result<Self, PushError> {
        let key = |name: &str| format!("push.fcm[{index}].{name}");
        let file_key = key("service_account_file");
        let Some(path) = &section.service_account_file else {
            let problem = "is needed: workload identity is not supported yet";
            return Err(PushError::Value { key: file_key, problem });
        };
        let json = read(&file_key, path).await?;
        let account: ServiceAccount = serde_json::from_str(&json).map_err(|source| PushError::ServiceAccount {
            key: file_key.clone(),
            path: path.clone(),
            source,
        })?;
        let signing = Rs256Key::from_pem(&account.private_key).map_err(|source| PushError::Key {
            key: file_key.clone(),
            path: path.clone(),
            source,
        })?;
        let project = section.project_id.as_ref().or(account.project_id.as_ref());
        let send_path = project.and_then(|id| PathAndQuery::try_from(format!("/v1/projects/{id}/messages:send")).ok());
        let no_project = || PushError::Value { key: key("project_id"), problem: "must name a project" };

        let name = format!("fcm {}", section.app);
        let ca_file = section.ca_file.as_deref();
        let endpoint = setup.endpoint(&key, &section.endpoint, ca_file).await?;
        let token_uri = account.token_uri.unwrap_or_else(|| DEFAULT_TOKEN_URI.to_owned());
        // Faults of the token's address are faults of the file that it stands in.
        let token_endpoint = setup.endpoint(|_| file_key.clone(), &token_uri, ca_file).await?;
        let token_path = token_uri.parse::<Uri>().ok().and_then(|uri| uri.path_and_query().cloned());
        let clock = setup.clock.clone();
        let tokens = AccessTokens::start(Account {
            key: signing,
            key_id: account.private_key_id,
            client_email: account.client_email,
            path: token_path.unwrap_or_else(|| PathAndQuery::from_static("/")),
            token_uri,
            pool: Pool::start(format!("{name} oauth"), token_endpoint, 1, Opening::OnDemand, clock.clone()),
            clock: clock.clone(),
        });
        Ok(Self {
            app: section.app.clone(),
            rules: Rules::new(section, setup.privacy),
            setup: setup.clone(),
            tokens,
            path: send_path.ok_or_else(no_project)?,
            pool: Pool::start(name, endpoint, section.connections, Opening::AtOnce, clock),
        })
    }

    async fn deliver(&self, body: &Bytes, deadline: Instant) -> Outcome {
        let token = match self.tokens.current(deadline).await {
            Ok(token) => token,
            Err(error) => return error.into(),
        };
        let outcome = self.exchange(body, &token, deadline).await;
        if outcome.action != Action::RefreshCredential {
            return outcome;
        }
        match self.tokens.after(&token, deadline).await {
            Some(Ok(newer)) => self.exchange(body, &newer, deadline).await,
            Some(Err(error)) => error.into(),
            None => outcome,
        }
    }

    async fn exchange(&self, body: &Bytes, token: &AccessToken, deadline: Instant) -> Outcome {
        self.pool.deliver(|| self.request(token), body.clone(), deadline, judge).await
    }

    fn request(&self, token: &AccessToken) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.pool.endpoint().uri(self.path.clone());
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, token.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }
}

#[async_trait]
impl Provider for Fcm {
    fn serves(&self, device: &Device) -> bool {
        device.platform == Platform::Android && device.app == self.app
    }

    fn can_push(&self, device: &Device, _kind: MessageKind) -> bool {
        Target::of(device).is_some()
    }

    async fn send(&self, push: &Push) -> Report {
        let started = Instant::now();
        let now = self.setup.clock.now();
        if matches!(&push.message, Message::Ring(ring) if ring.ring_until <= now) {
            return Report::unsent(NAME, Verdict::GiveUp, "ring-over");
        }
        let (body, left_out) = match body(push, self.rules, now) {
            None => return Report::unsent(NAME, Verdict::GiveUp, "no-token"),
            Some(Err(_)) => return Report::unsent(NAME, Verdict::OurFault, "payload-too-large"),
            Some(Ok(fitted)) => fitted,
        };
        let stop = async {
            if let Some(stop) = self.rules.stop_beside(push, now) {
                self.deliver(&stop, started + DEADLINE).await;
            }
        };
        let (outcome, ()) = tokio::join!(self.deliver(&body, started + DEADLINE), stop);
        Report { left_out, ..outcome.report(NAME, TokenKind::Fcm, started.elapsed()) }
    }

    async fn probe(&self) -> Vec<Probe> {
        let mut probe = self.pool.probe().await;
        if probe.result.is_ok()
            && let Err(error) = self.tokens.current(Instant::now() + DEADLINE).await
        {
            probe.result = Err(error.to_string());
        }
        vec![probe]
    }

    fn states(&self) -> Vec<State> {
        let mut state = self.pool.state();
        state.last_error = state.last_error.or_else(|| self.tokens.last_error());
        vec![state]
    }

    fn served(&self) -> Vec<Served> {
        vec![Served { app: self.app.clone(), platform: Platform::Android, environment: None }]
    }
}

/// The answer to a message that was taken.
#[derive(Deserialize)]
struct Sent {
    name: String,
}

fn judge(answer: &Answer) -> Outcome {
    let status = answer.status.as_u16();
    let sent = answer.status.is_success();
    let refusal = if sent { Refusal::default() } else { Refusal::read(&answer.body) };
    Outcome {
        action: verdict::action(status, &refusal, answer.retry_after()),
        status: Some(status),
        reason: refusal.code,
        provider_id: serde_json::from_slice::<Sent>(&answer.body).ok().filter(|_| sent).map(|sent| sent.name),
    }
}
