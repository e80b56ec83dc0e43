//! The writer thread: it takes every operation that waits, carries them out in one transaction, and answers when that is
//! committed. So the cost of a commit is shared by all who wait for it.
//!
//! What need not be on disk at once is answered at once, and its transaction stays open until the next commit that must be. So only
//! the writer sees it: it is read by operations, not by readers of the file.
//!
//! What an operation does is its own business. It must refuse before it writes anything: its neighbours in the group are
//! committed all the same.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::WriteTransaction;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

use super::expiry;
use super::file::File;
use crate::clock::Clock;
use crate::store::{Announcement, StoreError};

/// The most operations of one transaction.
const GROUP: usize = 512;
/// The most operations that wait; more wait for their turn to wait, until their time is up.
const QUEUE: usize = 4096;
/// The shortest time between two attempts to open a database that failed.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// The way to the writer thread, which ends when this is dropped.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    timeout: Duration,
}

/// When an operation is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// When it is acknowledged.
    Durable,
    /// With the next durable one that is committed.
    Soon,
}

enum Message {
    Do(Job),
    Stop(oneshot::Sender<()>),
}

struct Job {
    promise: Promise,
    operation: Box<dyn Operation>,
}

trait Operation: Send {
    /// Carries it out; an error is one of the transaction, and no refusal.
    fn run(&mut self, txn: &WriteTransaction) -> Result<(), StoreError>;
    /// Whether it was carried out and not refused.
    fn succeeded(&self) -> bool;
    /// What it announces once it is on disk; nothing if it was refused.
    fn news(&mut self) -> Vec<Announcement>;
    /// Tells who waits; with the reason, if the transaction failed.
    fn answer(self: Box<Self>, failure: Option<&str>);
}

struct Pending<T, F, N> {
    work: Option<F>,
    news: Option<N>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F, N> Operation for Pending<T, F, N>
where
    T: Send,
    F: FnOnce(&WriteTransaction) -> Result<T, StoreError> + Send,
    N: FnOnce(&T) -> Vec<Announcement> + Send,
{
    fn run(&mut self, txn: &WriteTransaction) -> Result<(), StoreError> {
        // Whoever gave up waiting was told that nothing is known.
        let Some(work) = self.work.take().filter(|_| !self.reply.is_closed()) else { return Ok(()) };
        match work(txn) {
            Err(error @ StoreError::Unavailable(_)) => Err(error),
            result => {
                self.result = Some(result);
                Ok(())
            }
        }
    }

    fn succeeded(&self) -> bool {
        matches!(self.result, Some(Ok(_)))
    }

    fn news(&mut self) -> Vec<Announcement> {
        match (&self.result, self.news.take()) {
            (Some(Ok(value)), Some(news)) => news(value),
            _ => Vec::new(),
        }
    }

    fn answer(self: Box<Self>, failure: Option<&str>) {
        let result = match failure {
            Some(reason) => Some(Err(StoreError::Unavailable(reason.to_owned()))),
            None => self.result,
        };
        if let Some(result) = result {
            // An error here says that nobody waits any more.
            let _ = self.reply.send(result);
        }
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        file: Arc<File>,
        events: broadcast::Sender<Arc<Announcement>>,
        clock: Clock,
        timeout: Duration,
    ) -> io::Result<Self> {
        let (queue, messages) = mpsc::channel(QUEUE);
        let worker = Worker { file, events, clock, open: None, failed: false, reopened_at: None };
        std::thread::Builder::new().name("bellwire-store".to_owned()).spawn(move || worker.serve(messages))?;
        Ok(Self { queue, timeout })
    }

    /// Has an operation carried out, and its news sent if it is not refused: only a durable one has any.
    pub(super) async fn run<T, F, N>(&self, promise: Promise, work: F, news: N) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T, StoreError> + Send + 'static,
        N: FnOnce(&T) -> Vec<Announcement> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let operation = Box::new(Pending { work: Some(work), news: Some(news), result: None, reply });
        let answered = async {
            self.queue.send(Message::Do(Job { promise, operation })).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        match timeout(self.timeout, answered).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {} ms", self.timeout.as_millis()))),
        }
    }

    /// Waits until what waits is done, everything is on disk and the file is closed.
    pub(super) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.queue.send(Message::Stop(done)).await.is_ok() {
            let _ = stopped.await;
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

struct Worker {
    file: Arc<File>,
    events: broadcast::Sender<Arc<Announcement>>,
    clock: Clock,
    /// Holds what was answered and is to be on disk with the next commit.
    open: Option<WriteTransaction>,
    /// The last transaction failed.
    failed: bool,
    reopened_at: Option<Instant>,
}

impl Worker {
    fn serve(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(GROUP);
        let mut waiting_for_end = Vec::new();
        while waiting_for_end.is_empty() && queue.blocking_recv_many(&mut messages, GROUP) > 0 {
            let mut group = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Do(job) => group.push(job),
                    Message::Stop(done) => waiting_for_end.push(done),
                }
            }
            self.carry_out(group);
        }
        drop(queue);
        if let Some(Err(error)) = self.open.take().map(WriteTransaction::commit) {
            tracing::error!(%error, "the last claims could not be written");
        }
        self.file.close();
        for done in waiting_for_end {
            let _ = done.send(());
        }
    }

    fn carry_out(&mut self, mut group: Vec<Job>) {
        let failure = self.transact(&mut group).err().map(|error| error.to_string());
        self.failed = failure.is_some();
        for mut job in group {
            for news in if failure.is_none() { job.operation.news() } else { Vec::new() } {
                // An error here says that nobody listens.
                let _ = self.events.send(Arc::new(news));
            }
            job.operation.answer(failure.as_deref());
        }
    }

    /// Carries out a group; those that are not answered yet are left in it.
    fn transact(&mut self, group: &mut Vec<Job>) -> Result<(), StoreError> {
        if self.failed {
            self.reopen()?;
        }
        let txn = match self.open.take() {
            Some(txn) => txn,
            None => self.file.begin_write()?,
        };
        for job in group.iter_mut() {
            job.operation.run(&txn)?;
        }
        for job in group.extract_if(.., |job| job.promise == Promise::Soon) {
            job.operation.answer(None);
        }
        if group.iter().any(|job| job.operation.succeeded()) {
            expiry::forget(&txn, self.clock.now())?;
            txn.commit()?;
        } else {
            self.open = Some(txn);
        }
        Ok(())
    }

    /// Opens the database again, but not all the time: reading it through after a failure takes a while.
    fn reopen(&mut self) -> Result<(), StoreError> {
        if self.reopened_at.is_some_and(|at| at.elapsed() < REOPEN_AFTER) {
            return Err(StoreError::Unavailable("its file could not be written a moment ago".to_owned()));
        }
        self.reopened_at = Some(Instant::now());
        self.file.reopen().map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}
