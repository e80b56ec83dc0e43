//! How an instance stops: one signal, which every part hears. And what the operating system asks of the process.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells every part to stop. Dropping it tells them too.
#[derive(Debug)]
pub struct Stopper {
    stop: watch::Sender<bool>,
    held: Arc<watch::Sender<usize>>,
}

/// Heard by a part that must stop.
#[derive(Debug, Clone)]
pub struct Stop {
    stop: watch::Receiver<bool>,
    held: Arc<watch::Sender<usize>>,
}

/// Held by what nobody waits for by itself, and what must end before the process does.
#[derive(Debug)]
pub struct Hold(Arc<watch::Sender<usize>>);

/// A signal that has not been given yet, and one that hears it.
pub fn stop_signal() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    let held = Arc::new(watch::Sender::new(0));
    (Stopper { stop: sender, held: Arc::clone(&held) }, Stop { stop: receiver, held })
}

impl Stopper {
    /// Gives the signal.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until nothing is held.
    pub async fn released(&self) {
        // The sender lives as long as this does.
        let _ = self.held.subscribe().wait_for(|held| *held == 0).await;
    }
}

impl Stop {
    /// Whether the signal was given.
    pub fn is_given(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits for the signal.
    pub async fn given(&mut self) {
        // An error means that the stopper is gone, and with it whoever could still want this part.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }

    /// Holds the end up until the answer is dropped.
    pub fn hold(&self) -> Hold {
        self.held.send_modify(|held| *held += 1);
        Hold(Arc::clone(&self.held))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}

/// Ends when the operating system asks the process to: SIGTERM, or Ctrl-C. From the call on neither kills it.
pub fn asked_to_end() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The signals to read the configuration again: SIGHUP. From the call on none kills the process; those that come while nobody waits are one.
pub fn asked_to_reload() -> std::io::Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
}
