//! One of Apple's two hosts, as one app uses it: the request, the answer, and a new credential where that helps.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use tokio::time::Instant;

use super::payload::{Notification, PushType, Rules};
use super::token::{Issued, ProviderToken};
use super::verdict::{self, Refusal};
use crate::config::push::Apns as Config;
use crate::domain::Environment;
use crate::push::connection::Answer;
use crate::push::error::chain;
use crate::push::pool::{Opening, Pool};
use crate::push::report::{Action, Outcome, Probe, State};
use crate::push::{PushError, Setup};

/// The connections and the credential for one environment.
pub(super) struct Host {
    pub environment: Environment,
    pub rules: Rules,
    pool: Pool,
    token: Arc<ProviderToken>,
    topic: HeaderValue,
    voip_topic: HeaderValue,
}

impl Host {
    /// Begins to connect; `key` makes the name of a configuration key of this section.
    pub(super) async fn start(
        key: impl Fn(&str) -> String,
        section: &Config,
        token: Arc<ProviderToken>,
        setup: &Setup,
    ) -> Result<Self, PushError> {
        let endpoint = setup.endpoint(&key, &section.endpoint, section.ca_file.as_deref()).await?;
        let name = format!("apns {} {}", section.app, section.environment.as_str());
        let topic = |text: String| {
            HeaderValue::try_from(text).map_err(|_| PushError::Value { key: key("app"), problem: "cannot be a topic" })
        };
        Ok(Self {
            environment: section.environment,
            rules: Rules::new(section, setup.privacy),
            topic: topic(section.app.to_string())?,
            voip_topic: topic(format!("{}.voip", section.app))?,
            pool: Pool::start(name, endpoint, section.connections, Opening::AtOnce, setup.clock.clone()),
            token,
        })
    }

    /// Sends a notification, and once more with another credential if that is what is wrong.
    pub(super) async fn deliver(&self, notification: &Notification<'_>, deadline: Instant) -> Outcome {
        let token = match self.token.current() {
            Ok(token) => token,
            Err(error) => return Outcome::unanswered(Action::OurFault, chain(&error)),
        };
        let outcome = self.exchange(notification, &token, deadline).await;
        if outcome.action != Action::RefreshCredential {
            return outcome;
        }
        match self.token.after(&token) {
            Ok(Some(newer)) => self.exchange(notification, &newer, deadline).await,
            Ok(None) => outcome,
            Err(error) => Outcome::unanswered(Action::OurFault, chain(&error)),
        }
    }

    async fn exchange(&self, notification: &Notification<'_>, token: &Issued, deadline: Instant) -> Outcome {
        let Ok(path) = PathAndQuery::try_from(format!("/3/device/{}", notification.token.as_str())) else {
            return Outcome::unanswered(Action::OurFault, "bad-token");
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
        self.pool.state()
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
        status: Some(status),
        reason: refusal.reason,
        provider_id: answer.headers.get("apns-id").and_then(|id| id.to_str().ok()).map(str::to_owned),
    }
}
