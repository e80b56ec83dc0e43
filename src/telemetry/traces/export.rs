//! Hands spans over to a collector by OTLP over HTTP: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! So many may wait; one more is lost and counted, as are those of a batch that the collector does not take. Nothing else waits for any of this.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Inner, Traces};
use crate::clock::Clock;
use crate::lifecycle::Stop;
use crate::telemetry::Metrics;

/// How many spans wait at the most, each of about a kilobyte.
const WAITING: usize = 8192;
/// How many go at a time.
const BATCH: usize = 512;
/// How long a batch is waited for to fill.
const FILLS_WITHIN: Duration = Duration::from_millis(500);
/// How long a batch is tried to be handed over.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(10);
/// How long a request to the collector may take.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// How long the last ones may take once the gateway stops.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// Spans cannot be exported.
#[derive(Debug, Error)]
#[error("telemetry.otlp_endpoint cannot be used")]
pub struct TracesError(#[from] ExporterBuildError);

/// Hands spans over.
pub struct Exporter {
    otlp: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    inner: Arc<Inner>,
}

impl Traces {
    /// Traces that go to a collector, whose base URL this is, by this client; of those that begin here, this share.
    pub fn to(
        endpoint: &str,
        ratio: f64,
        client: reqwest::Client,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Exporter), TracesError> {
        let mut otlp = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(HANDED_OVER_WITHIN)
            .build()?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        // The name is for OTEL_SERVICE_NAME to change, as everywhere.
        let resource = Resource::builder().with_attribute(version);
        let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
            Some(_) => resource,
            None => resource.with_service_name("bellwire"),
        };
        otlp.set_resource(&resource.build());
        let (sender, spans) = mpsc::channel(WAITING);
        let inner = Arc::new(Inner { clock, metrics, ratio, spans: sender, trouble: Mutex::default() });
        Ok((Self(Some(Arc::clone(&inner))), Exporter { otlp, spans, inner }))
    }
}

impl Exporter {
    /// Hands nothing over, to see whether it would be taken.
    pub async fn probe(&self) -> Result<(), String> {
        self.otlp.export(Vec::new()).await.map_err(|error| error.to_string())
    }

    /// Hands over what comes until `stop`, and then what is left.
    pub async fn run(mut self, mut stop: Stop) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = stop.given() => break,
                _ = self.spans.recv_many(&mut batch, BATCH) => {}
            }
            tokio::select! {
                () = self.fill(&mut batch) => {}
                () = tokio::time::sleep(FILLS_WITHIN) => {}
                () = stop.given() => {}
            }
            tokio::select! {
                biased;
                () = self.hand_over(std::mem::take(&mut batch)) => {}
                () = self.given_up(&mut stop) => return,
            }
        }
        let last = async {
            loop {
                while batch.len() < BATCH
                    && let Ok(span) = self.spans.try_recv()
                {
                    batch.push(span);
                }
                if batch.is_empty() {
                    return;
                }
                self.hand_over(std::mem::take(&mut batch)).await;
            }
        };
        let _ = timeout(LAST_WITHIN, last).await;
    }

    /// Ends a while after the gateway was told to stop.
    async fn given_up(&self, stop: &mut Stop) {
        stop.given().await;
        tokio::time::sleep(LAST_WITHIN).await;
    }

    /// Waits until a batch is full.
    async fn fill(&mut self, batch: &mut Vec<SpanData>) {
        while batch.len() < BATCH {
            self.spans.recv_many(batch, BATCH - batch.len()).await;
        }
    }

    async fn hand_over(&self, batch: Vec<SpanData>) {
        let count = batch.len();
        let trouble = |failed: Option<String>| {
            let mut trouble = self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            match (failed, trouble.take()) {
                (Some(error), None) => {
                    tracing::warn!(error, "traces cannot be handed over; their spans are lost meanwhile");
                    *trouble = Some((self.inner.clock.now(), error));
                }
                (Some(error), Some((since, _))) => *trouble = Some((since, error)),
                (None, Some(_)) => tracing::info!("traces are handed over again"),
                (None, None) => {}
            }
        };
        match self.otlp.export(batch).await {
            Ok(()) => {
                self.inner.metrics.spans_handed_over(count);
                trouble(None);
            }
            Err(error) => {
                self.inner.metrics.spans_lost(count);
                trouble(Some(error.to_string()));
            }
        }
    }
}
