//! Pushes by which a newcomer proves that a phone is theirs: sent once and again where the provider asks for it, and lost with this
//! instance, since an app that waits in vain registers again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Dispatcher, pushing};
use crate::engine::Proof;
use crate::lifecycle::Stop;
use crate::push::{Message, Push, Verdict};
use crate::telemetry::Attempt;

/// How often one is tried.
const TRIES: usize = 3;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// How long pushes under way may go on after the signal to stop.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// Sends proofs until `stop`.
pub async fn run(dispatcher: Arc<Dispatcher>, mut proofs: Receiver<Proof>, mut stop: Stop) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            Some(proof) = proofs.recv() => {
                let dispatcher = Arc::clone(&dispatcher);
                running.spawn(async move { dispatcher.prove(proof).await });
            }
            Some(_) = running.join_next(), if !running.is_empty() => {}
            () = stop.given() => break,
        }
    }
    let _ = timeout(LAST_CHANCE, async { while running.join_next().await.is_some() {} }).await;
}

impl Dispatcher {
    async fn prove(&self, Proof { owner, phone, device, proof, until }: Proof) {
        let id = self.engine.clock().uuid();
        let message = Message::Proof { device, proof };
        let push = Push { id, owner, device: phone.into(), expires_at: until, message };
        for _ in 0..TRIES {
            let report = self.pushers.send(&push).await;
            let (verdict, reason) = (pushing::word(report.verdict), report.reason.as_str());
            let (provider, status, latency) = (report.provider, report.status, report.latency);
            let (phone, owner) = (&push.device, &push.owner);
            self.metrics.pushed(&Attempt { device: phone, provider, push: "proof", verdict, status, reason, latency });
            tracing::info!(device_id = %phone.id, provider, status, reason, verdict, "a proof was pushed");
            match report.verdict {
                Verdict::Retry { after } => {
                    let left = until.since(self.engine.clock().now());
                    tokio::time::sleep(after.unwrap_or(PAUSE).min(left)).await;
                }
                Verdict::DropToken { since } => {
                    let Some(token) = phone.notice_token() else { return };
                    let since = since.or(Some(phone.registered_at));
                    if let Err(error) = self.engine.drop_token(owner, &phone.id, token, since).await {
                        tracing::warn!(%error, "a dead token could not be dropped");
                    }
                    return;
                }
                Verdict::Accepted | Verdict::OurFault | Verdict::GiveUp => return,
            }
        }
    }
}
