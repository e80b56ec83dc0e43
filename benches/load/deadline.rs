//! Deadlines: nothing that is waited for is waited for without one.

use std::time::Duration;

use tokio::time::timeout;

use crate::Failure;

/// How long a service may take to answer a request, or to send the first event of a stream.
pub const ANSWERED: Duration = Duration::from_secs(30);
/// How long a process may take from its start until it says that it is ready.
pub const READY: Duration = Duration::from_secs(30);
/// How long a service may take to have nothing left to do.
pub const IDLE: Duration = Duration::from_mins(1);
/// How long a service may take to stop: its grace, and what a profiler around it writes.
pub const STOPPED: Duration = Duration::from_mins(1);
/// How long all event streams may take to be open again after all were cut.
pub const BACK: Duration = Duration::from_mins(1);

/// Does something within a time, or fails with what did not happen.
pub async fn within<T>(
    time: Duration,
    not: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(time, work).await.unwrap_or_else(|_| Err(format!("not {not} within {} s", time.as_secs()).into()))
}
