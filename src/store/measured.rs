//! Any store, with every operation measured: how long it took, and why it failed if it did. It adds nothing else.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::{
    Admits, Announcement, Ban, Callee, Charge, Claim, Commit, Forgotten, Missed, Opening, Reservation, Slot, Store,
    StoreError, Waiting,
};
use crate::domain::usage::{Day, DayShare, DayUsage};
use crate::domain::{CallId, Device, DeviceId, Environment, Heard, Job, JobId, PushToken, Timestamp, UserId};
use crate::telemetry::Metrics;

/// A store whose operations are measured.
pub struct Measured<S: ?Sized> {
    metrics: Arc<Metrics>,
    store: Arc<S>,
}

impl<S: Store + ?Sized> Measured<S> {
    /// Measures this store.
    pub fn new(store: Arc<S>, metrics: Arc<Metrics>) -> Self {
        Self { metrics, store }
    }

    fn note<T>(&self, operation: &'static str, began: Instant, result: &Result<T, StoreError>) {
        self.metrics.stored(operation, result.as_ref().err().map(StoreError::word), began.elapsed());
    }
}

macro_rules! measured {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl<S: Store + ?Sized> Store for Measured<S> {
            $(async fn $name(&self, $($argument: $kind),*) -> Result<$answer, StoreError> {
                let began = Instant::now();
                let result = self.store.$name($($argument),*).await;
                self.note(stringify!($name), began, &result);
                result
            })+

            fn announcements(&self) -> broadcast::Receiver<Arc<Announcement>> {
                self.store.announcements()
            }

            async fn warnings(&self) -> Vec<String> {
                self.store.warnings().await
            }

            async fn close(&self) {
                self.store.close().await;
            }
        }
    };
}

measured! {
    load(id: CallId) -> Slot;
    commit(commit: Commit) -> ();
    bury(id: CallId) -> Slot;
    remove(id: CallId, version: u64) -> ();
    due(now: Timestamp, limit: usize, beside: &HashSet<CallId>) -> Vec<CallId>;
    open_line(claim: Claim, reservation: Option<Reservation>, charges: &[Charge]) -> Opening;
    ring_line(claim: Claim, charges: &[Charge], admits: Admits) -> Callee;
    line(user: &UserId) -> Vec<Claim>;
    free_line(user: &UserId, call: CallId) -> ();
    history(user: &UserId, before: Option<CallId>, limit: usize) -> Vec<CallId>;
    put_device(user: &UserId, device: Device, most: usize, charges: &[Charge]) -> ();
    holder(token: &PushToken) -> Option<(UserId, Device)>;
    devices(user: &UserId) -> Vec<Device>;
    remove_device(user: &UserId, device: &DeviceId) -> bool;
    drop_token(user: &UserId, device: &DeviceId, token: &PushToken, since: Option<Timestamp>) -> bool;
    set_environment(user: &UserId, device: &DeviceId, environment: Environment) -> ();
    note_heard(user: &UserId, device: &DeviceId, heard: Heard) -> ();
    attach(user: &UserId, device: &DeviceId) -> ();
    detach(user: &UserId, device: &DeviceId) -> ();
    count_missed(callee: &UserId, caller: &UserId, call: CallId) -> Missed;
    forget_missed(callee: &UserId, caller: &UserId) -> ();
    set_block(user: &UserId, peer: &UserId, blocked: bool) -> bool;
    blocks(user: &UserId) -> Vec<UserId>;
    put_contacts(user: &UserId, peers: &[UserId]) -> ();
    set_contact(user: &UserId, peer: &UserId, listed: bool, most: usize) -> bool;
    contacts(user: &UserId) -> Vec<UserId>;
    put_ban(ban: Ban) -> ();
    ban(user: &UserId, now: Timestamp) -> Option<Ban>;
    admit(user: &UserId, charges: &[Charge]) -> bool;
    lift_ban(user: &UserId) -> bool;
    bans(now: Timestamp) -> Vec<Ban>;
    load_job(id: &JobId) -> Option<Job>;
    commit_job(job: &Job, expected: Option<u64>) -> ();
    remove_job(id: &JobId, version: u64) -> ();
    due_jobs(now: Timestamp, limit: usize, beside: &HashSet<JobId>) -> Vec<JobId>;
    account(call: CallId, shares: &[DayShare]) -> bool;
    usage(from: Day, to: Day, peaks_from: Day) -> Vec<DayUsage>;
    calls_naming(user: &UserId) -> Vec<CallId>;
    forget_call(user: &UserId, call: CallId) -> ();
    forget_user(user: &UserId) -> Forgotten;
    waiting() -> Waiting;
    health() -> String;
}
