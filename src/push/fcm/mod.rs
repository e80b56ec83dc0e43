//! Google's push service: one app.

mod grant;
mod identity;
mod metadata;
mod oauth;
pub(super) mod payload;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Version};
use serde::Deserialize;
use tokio::time::Instant;

use self::identity::{Identity, Kind};
use self::oauth::{AccessToken, AccessTokens};
use self::payload::{Rules, Target, body};
use self::verdict::Refusal;
use super::breaker::Breaker;
use super::connection::Answer;
use super::fault::LastFault;
use super::goaway::Goodbye;
use super::made_up;
use super::message::{Message, MessageKind, Push};
use super::pool::{Opening, Pool};
use super::report::{Action, Outcome, Probe, Report, Served, State, TokenKind, Verdict};
use super::sections::{Files, Made, Named, Stale};
use super::setup::Setup;
use super::{Provider, PushError};
use crate::config::push::Fcm as Config;
use crate::domain::{AppId, Device, Platform};

const NAME: &str = "fcm";
const DEADLINE: Duration = Duration::from_secs(4);
const TOO_LARGE: &str = "payload-too-large";

/// One app at Google.
pub(super) struct Fcm {
    app: AppId,
    rules: Rules,
    setup: Arc<Setup>,
    pool: Pool,
    tokens: AccessTokens,
    /// Of the configured project, or of the one that the key file names.
    path: Option<PathAndQuery>,
    quota_project: Option<HeaderValue>,
    breaker: Breaker,
    stale: Stale,
    fault: LastFault,
}

impl Fcm {
    /// The files that a section names, or that stand in for one that it does not name.
    pub(super) fn files<'a>(section: &'a Config, setup: &'a Setup) -> Vec<Named<'a>> {
        let ca = section.ca_file.as_deref().map(|path| Named { key: "ca_file", path });
        Identity::files(section, setup).into_iter().chain(ca).collect()
    }

    /// Begins to connect and to get an access token.
    pub(super) fn start(section: &Config, files: &Files, stale: Stale, setup: &Arc<Setup>) -> Result<Self, PushError> {
        let name = format!("fcm {}", section.app);
        let mut identity = Identity::of(files, &name, setup)?;
        identity.project = section.project_id.clone().or(identity.project);
        let no_project = |problem| PushError::Value { key: files.key("project_id"), problem };
        let path = match &identity.project {
            Some(project) => Some(path(project).ok_or_else(|| no_project("must name a project"))?),
            // The metadata server will say.
            None if matches!(identity.kind, Kind::Metadata(_)) => None,
            None => return Err(no_project("must name a project, since these credentials name none")),
        };
        let endpoint = setup.endpoint(&files.key("endpoint"), &section.endpoint, files)?;
        let clock = setup.clock.clone();
        let farewell = {
            let name = name.clone();
            Arc::new(move |Goodbye { code, text }: &Goodbye| {
                tracing::info!(provider = name, code, text, "Google ended a connection");
            })
        };
        Ok(Self {
            app: section.app.clone(),
            rules: Rules::new(section, setup.privacy),
            setup: setup.clone(),
            quota_project: identity.quota_project.clone(),
            tokens: AccessTokens::start(identity, clock.clone()),
            path,
            breaker: Breaker::new(name.clone()),
            fault: LastFault::new(clock.clone()),
            pool: Pool::start(name, endpoint, section.connections, Opening::AtOnce, clock, farewell),
            stale,
        })
    }

    /// Sends a message, unless Google fails on everything.
    async fn deliver(&self, body: &Bytes, deadline: Instant) -> Outcome {
        let pass = match self.breaker.enter(Instant::now()) {
            Ok(pass) => pass,
            Err(held_back) => return held_back,
        };
        let outcome = self.attempt(body, deadline).await;
        pass.settle(&outcome, Instant::now());
        self.fault.note(&outcome);
        outcome
    }

    /// Sends a message, and once more with another access token if that is what is wrong.
    async fn attempt(&self, body: &Bytes, deadline: Instant) -> Outcome {
        let token = match self.tokens.current(deadline).await {
            Ok(token) => token,
            Err(error) => return error.into(),
        };
        let outcome = self.exchange(body, &token, deadline).await;
        if outcome.action != Action::RefreshCredential {
            return outcome;
        }
        match self.tokens.after(&token, deadline).await {
            Some(Ok(newer)) => Box::pin(self.exchange(body, &newer, deadline)).await,
            Some(Err(error)) => error.into(),
            None => outcome,
        }
    }

    async fn exchange(&self, body: &Bytes, token: &AccessToken, deadline: Instant) -> Outcome {
        let of_identity = || path(token.project.as_ref()?);
        let Some(path) = self.path.clone().or_else(of_identity) else {
            return Outcome::unanswered(Action::OurFault, None, "no-project");
        };
        self.pool.deliver(|| self.request(token, path.clone()), body.clone(), deadline, judge).await
    }

    fn request(&self, token: &AccessToken, path: PathAndQuery) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.pool.endpoint().uri(path);
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, token.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(project) = &self.quota_project {
            headers.insert("x-goog-user-project", project.clone());
        }
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
            Some(Err(_)) => {
                self.fault.note(&Outcome::unanswered(Action::OurFault, None, TOO_LARGE));
                return Report::unsent(NAME, Verdict::OurFault, TOO_LARGE);
            }
            Some(Ok(fitted)) => fitted,
        };
        let stop = async {
            if let Some(stop) = self.rules.stop_beside(push, now) {
                Box::pin(self.deliver(&stop, started + DEADLINE)).await;
            }
        };
        let (outcome, ()) = tokio::join!(self.deliver(&body, started + DEADLINE), stop);
        Report { left_out, ..outcome.report(NAME, TokenKind::Fcm, started.elapsed()) }
    }

    async fn probe(&self) -> Vec<Probe> {
        let mut probe = self.pool.probe().await;
        if let Ok(reached) = probe.result {
            let identity = self.tokens.identity().in_words();
            probe.result = match self.tokens.current(Instant::now() + DEADLINE).await {
                Ok(_) => Ok(format!("{reached}, access token of {identity}")),
                Err(error) => Err(format!("no access token of {identity}: {error}")),
            };
        }
        vec![probe]
    }

    /// Google is asked to judge the message and not to send it.
    async fn try_out(&self) -> Vec<Probe> {
        let now = self.setup.clock.now();
        let push = made_up::push(&self.app, Platform::Android, &self.setup.clock);
        let Some(Ok((message, _))) = push.and_then(|push| body(&push, self.rules, now)) else { return Vec::new() };
        let mut request: serde_json::Value = serde_json::from_slice(&message).unwrap_or_default();
        request["validate_only"] = true.into();
        let outcome = self.attempt(&request.to_string().into(), Instant::now() + DEADLINE).await;
        vec![Probe { name: format!("{} account", self.pool.state().name), result: made_up::judge(&outcome) }]
    }

    fn states(&self) -> Vec<State> {
        let state = self.pool.state();
        vec![State {
            last_error: state.last_error.or_else(|| self.tokens.last_error()),
            held_back: self.breaker.is_open(),
            times_held_back: self.breaker.opened(),
            stale: self.stale.get(),
            fault: self.fault.get(),
            token_expires_at: self.tokens.expires_at(),
            ..state
        }]
    }

    fn served(&self) -> Vec<Served> {
        vec![Served { app: self.app.clone(), platform: Platform::Android, environment: None }]
    }
}

#[async_trait]
impl Made for Fcm {
    fn is_for(&self, device: &Device) -> bool {
        self.serves(device)
    }

    fn is_standing(&self) -> bool {
        self.pool.is_standing() && self.tokens.is_there()
    }

    async fn stands(&self) {
        tokio::join!(self.pool.stands(), self.tokens.come());
    }

    fn why_not(&self) -> String {
        if self.pool.is_standing() { self.tokens.why_not() } else { self.pool.why_not() }
    }
}

fn path(project: impl AsRef<str>) -> Option<PathAndQuery> {
    PathAndQuery::try_from(format!("/v1/projects/{}/messages:send", project.as_ref())).ok()
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
        standing: Some(verdict::standing(status, &refusal)),
        status: Some(status),
        reason: refusal.code,
        provider_id: serde_json::from_slice::<Sent>(&answer.body).ok().filter(|_| sent).map(|sent| sent.name),
    }
}
