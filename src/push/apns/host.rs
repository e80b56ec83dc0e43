//! One of Apple's two hosts, as one app uses it: the request, the answer, and a new credential where that helps.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use tokio::time::Instant;

use super::payload::{Notification, PushType, Rules};
use super::token::{Issued, ProviderToken};
use super::verdict::{self, Refusal};
use crate::config::push::Apns as Config;
use crate::domain::{AppId, Device, Environment, Platform};
use crate::push::PushError;
use crate::push::breaker::Breaker;
use crate::push::connection::Answer;
use crate::push::error::chain;
use crate::push::fault::LastFault;
use crate::push::goaway::Goodbye;
use crate::push::pool::{Opening, Pool};
use crate::push::report::{Action, Outcome, Probe, State};
use crate::push::sections::{Files, Made, Named, Stale};
use crate::push::setup::Setup;

/// The connections and the credential for one environment.
pub(in crate::push) struct Host {
    pub(super) app: AppId,
    pub(super) environment: Environment,
    pub(super) rules: Rules,
    pool: Pool,
    breaker: Breaker,
    stale: Stale,
    pub(super) fault: LastFault,
    token: Arc<ProviderToken>,
    topic: HeaderValue,
    voip_topic: HeaderValue,
}

impl Host {
    /// The files that a section names.
    pub(in crate::push) fn files(section: &Config) -> Vec<Named<'_>> {
        let key_id = section.key_id_file.as_deref().map(|path| Named { key: "key_id_file", path });
        let ca = section.ca_file.as_deref().map(|path| Named { key: "ca_file", path });
        [Some(Named { key: "key_file", path: &section.key_file }), key_id, ca].into_iter().flatten().collect()
    }

    /// Begins to connect.
    pub(in crate::push) fn start(
        section: &Config,
        files: &Files,
        stale: Stale,
        setup: &Setup,
    ) -> Result<Self, PushError> {
        let key_id = files.get("key_id_file")?.map_or(section.key_id.as_str(), |file| file.contents.trim());
        if key_id.is_empty() {
            return Err(PushError::Value { key: files.key("key_id_file"), problem: "must hold the id of the key" });
        }
        let token = setup.provider_token(&section.team_id, key_id, &files.required("key_file")?)?;
        let endpoint = setup.endpoint(&files.key("endpoint"), &section.endpoint, files)?;
        let name = format!("apns {} {}", section.app, section.environment.as_str());
        let topic = |text: String| {
            let unfit = |_| PushError::Value { key: files.key("app"), problem: "cannot be a topic" };
            HeaderValue::try_from(text).map_err(unfit)
        };
        let farewell = {
            let (name, token) = (name.clone(), token.clone());
            Arc::new(move |goodbye: &Goodbye| act_on(&name, &token, goodbye))
        };
        Ok(Self {
            app: section.app.clone(),
            environment: section.environment,
            rules: Rules::new(section, setup.privacy),
            topic: topic(section.app.to_string())?,
            voip_topic: topic(format!("{}.voip", section.app))?,
            breaker: Breaker::new(name.clone()),
            fault: LastFault::new(setup.clock.clone()),
            pool: Pool::start(name, endpoint, section.connections, Opening::AtOnce, setup.clock.clone(), farewell),
            token,
            stale,
        })
    }

    /// Sends a notification, unless the host fails on everything.
    pub(super) async fn deliver(&self, notification: &Notification<'_>, deadline: Instant) -> Outcome {
        let pass = match self.breaker.enter(Instant::now()) {
            Ok(pass) => pass,
            Err(held_back) => return held_back,
        };
        let outcome = self.attempt(notification, deadline).await;
        pass.settle(&outcome, Instant::now());
        self.fault.note(&outcome);
        outcome
    }

    /// Sends a notification, and once more with another credential if that is what is wrong.
    pub(super) async fn attempt(&self, notification: &Notification<'_>, deadline: Instant) -> Outcome {
        let cannot_sign = |error| Outcome::unanswered(Action::OurFault, None, chain(&error));
        let token = match self.token.current() {
            Ok(token) => token,
            Err(error) => return cannot_sign(error),
        };
        let outcome = self.exchange(notification, &token, deadline).await;
        if outcome.action != Action::RefreshCredential {
            return outcome;
        }
        match self.token.after(&token) {
            Ok(Some(newer)) => self.exchange(notification, &newer, deadline).await,
            Ok(None) => outcome,
            Err(error) => cannot_sign(error),
        }
    }

    async fn exchange(&self, notification: &Notification<'_>, token: &Issued, deadline: Instant) -> Outcome {
        let Ok(path) = PathAndQuery::try_from(format!("/3/device/{}", notification.token.as_str())) else {
            return Outcome::unanswered(Action::OurFault, None, "bad-token");
        };
        let request = || self.request(notification, path.clone(), token);
        self.pool.deliver(request, notification.body.clone(), deadline, judge).await
    }

    fn request(&self, notification: &Notification<'_>, path: PathAndQuery, token: &Issued) -> Request<()> {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(AUTHORIZATION, token.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("apns-push-type", HeaderValue::from_static(notification.push_type.as_str()));
        headers.insert("apns-priority", HeaderValue::from_static(notification.push_type.priority()));
        let topic = if notification.push_type == PushType::Voip { &self.voip_topic } else { &self.topic };
        headers.insert("apns-topic", topic.clone());
        headers.insert("apns-expiration", passing(notification.expiration.into()));
        let mut id = uuid::Uuid::encode_buffer();
        if let Ok(id) = HeaderValue::from_str(notification.id.hyphenated().encode_lower(&mut id)) {
            headers.insert("apns-id", passing(id));
        }
        if let Some(Ok(id)) = notification.collapse_id.as_deref().map(HeaderValue::from_str) {
            headers.insert("apns-collapse-id", passing(id));
        }
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.pool.endpoint().uri(path);
        *request.headers_mut() = headers;
        request
    }

    /// Connects, as a request would.
    pub(super) async fn probe(&self) -> Probe {
        self.pool.probe().await
    }

    pub(super) fn state(&self) -> State {
        State {
            held_back: self.breaker.is_open(),
            times_held_back: self.breaker.opened(),
            stale: self.stale.get(),
            fault: self.fault.get(),
            token_expires_at: self.token.expires_at(),
            ..self.pool.state()
        }
    }
}

#[async_trait]
impl Made for Host {
    fn is_for(&self, device: &Device) -> bool {
        device.platform == Platform::Ios && (&device.app, device.environment) == (&self.app, self.environment)
    }

    /// What Apple thinks of the key only a push can tell.
    fn is_standing(&self) -> bool {
        self.pool.is_standing()
    }

    async fn stands(&self) {
        self.pool.stands().await;
    }

    fn why_not(&self) -> String {
        self.pool.why_not()
    }
}

/// Keeps a value that is new each time out of the header compression's table, where it would push out the others.
fn passing(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn judge(answer: &Answer) -> Outcome {
    let status = answer.status.as_u16();
    let refusal = if status == 200 { Refusal::default() } else { Refusal::read(&answer.body) };
    Outcome {
        action: verdict::action(status, &refusal, answer.retry_after()),
        standing: Some(verdict::standing(status, &refusal)),
        status: Some(status),
        reason: refusal.reason,
        provider_id: answer.headers.get("apns-id").and_then(|id| id.to_str().ok()).map(str::to_owned),
    }
}

/// Apple may say why it ends a connection, in the words in which it refuses pushes.
fn act_on(name: &str, token: &ProviderToken, goodbye: &Goodbye) {
    let Goodbye { code, text } = goodbye;
    let reason = Refusal::read(text.as_bytes()).reason;
    match verdict::farewell(&reason) {
        Action::RefreshCredential => {
            tracing::warn!(provider = name, reason, code, "Apple ended a connection; the provider token is renewed");
            token.renew_early();
        }
        Action::OurFault => {
            tracing::error!(provider = name, reason, code, text, "Apple ended a connection for a fault of ours");
        }
        _ => tracing::info!(provider = name, reason, code, text, "Apple ended a connection"),
    }
}
