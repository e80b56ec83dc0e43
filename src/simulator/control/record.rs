//! The record by the control port: what was asked, by filters, now or as it comes; and how often what came of it.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::json;
use tokio::time::Instant;

use super::ask::Ask;
use super::reply::{Page, Refusal, done, ok};
use crate::domain::Timestamp;
use crate::simulator::{Provider, Received, Shared};

const MAX_WAIT: Duration = Duration::from_mins(1);
const MAX_LIMIT: usize = 1000;
const LIMIT: usize = 100;
const NAMES: [&str; 10] = ["call", "token", "app", "provider", "kind", "status", "since", "limit", "count", "wait"];

/// Which requests are asked for.
struct Wanted {
    call: Option<String>,
    token: Option<String>,
    app: Option<String>,
    provider: Option<Provider>,
    kind: Option<String>,
    status: Option<u16>,
    since: Since,
    limit: usize,
    /// How many must be there before the answer.
    count: usize,
    wait: Duration,
}

/// After a number, or from a time on.
#[derive(Clone, Copy)]
enum Since {
    Number(u64),
    Time(Timestamp),
}

impl Wanted {
    fn read(ask: &Ask) -> Result<Self, Refusal> {
        ask.has_query_of(&NAMES)?;
        let text = |name| ask.query(name, "some text", |text| (!text.is_empty()).then(|| text.to_owned()));
        let up_to = |most: usize| move |text: &str| text.parse().ok().filter(|number| (1..=most).contains(number));
        let wait = |text: &str| humantime::parse_duration(text).ok().filter(|wait| *wait <= MAX_WAIT);
        let limit = ask.query("limit", "a number from 1 to 1000", up_to(MAX_LIMIT))?.unwrap_or(LIMIT);
        let count = ask.query("count", "a number from 1 to the limit, which is 100 by default", up_to(limit))?;
        Ok(Self {
            call: text("call")?,
            token: text("token")?,
            app: text("app")?,
            provider: ask.query("provider", "apns, apns-sandbox, fcm or oauth", provider)?,
            kind: text("kind")?,
            status: ask.query("status", "a status, or 0 for no answer", |text| text.parse().ok())?,
            since: ask
                .query("since", "the number of a request, or a time such as 2026-01-31T12:00:00Z", since)?
                .unwrap_or(Since::Number(0)),
            limit,
            count: count.unwrap_or(1),
            wait: ask.query("wait", "a duration of at most 60s, such as 5s", wait)?.unwrap_or_default(),
        })
    }

    fn includes(&self, received: &Received) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        is(&self.call, received.call.as_deref())
            && is(&self.token, received.target.as_deref())
            && is(&self.app, received.app.as_deref())
            && (is(&self.kind, received.kind.as_deref()) || is(&self.kind, received.header("apns-push-type")))
            && self.provider.is_none_or(|provider| provider == received.provider)
            && self.status.is_none_or(|status| status == received.status)
            && !matches!(self.since, Since::Time(time) if received.at < time)
    }
}

fn provider(text: &str) -> Option<Provider> {
    [Provider::Apns, Provider::ApnsSandbox, Provider::Fcm, Provider::OAuth]
        .into_iter()
        .find(|provider| provider.as_str() == text)
}

fn since(text: &str) -> Option<Since> {
    let number = || text.parse().ok().map(Since::Number);
    number().or_else(|| Timestamp::parse_rfc3339(text).map(Since::Time))
}

pub(super) async fn query(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    let wanted = Wanted::read(ask)?;
    let until = Instant::now() + wanted.wait;
    let mut seen = if let Since::Number(number) = wanted.since { number } else { 0 };
    let mut news = shared.log.news();
    let mut found: Vec<Arc<Received>> = Vec::new();
    loop {
        // Seen before looking, so that one which comes in between ends the wait.
        news.mark_unchanged();
        for received in shared.log.after(seen) {
            if found.len() == wanted.limit {
                break;
            }
            seen = received.number;
            if wanted.includes(&received) {
                found.push(received);
            }
        }
        if found.len() >= wanted.count || !matches!(tokio::time::timeout_at(until, news.changed()).await, Ok(Ok(()))) {
            return Ok(ok(&json!({ "requests": found, "last": seen })));
        }
    }
}

pub(super) fn counts(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    let counts = shared.log.counts();
    let total: u64 = counts.iter().map(|count| count.count).sum();
    Ok(ok(&json!({ "total": total, "counts": counts })))
}

pub(super) fn forget(ask: &Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    ask.is_bare()?;
    shared.log.forget();
    Ok(done())
}
