//! How an instance stops: one signal, which every part hears.

use tokio::sync::watch;

/// Tells every part to stop. Dropping it tells them too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Heard by a part that must stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// A signal that has not been given yet, and one that hears it.
pub fn stop_signal() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Gives the signal.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the signal was given.
    pub fn is_given(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the signal.
    pub async fn given(&mut self) {
        // An error means that the stopper is gone, and with it whoever could still want this part.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Waits until the operating system asks the process to end: SIGTERM, or Ctrl-C.
pub async fn asked_to_end() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
