//! How long to wait before trying again to connect or to get a credential.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::clock::Clock;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that double from 100 ms to 5 s, with jitter.
#[derive(Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Starts over.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and gives the wait after it.
    pub(super) fn failed(&mut self) -> Duration {
        let wait = FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        wait.min(LONGEST)
    }

    /// Counts a failure and waits, less long if somebody turns up who is in need.
    pub(super) async fn wait(&mut self, clock: &Clock, needed: impl Future) {
        let wait = clock.jitter(self.failed());
        // The floor keeps a stream of pushes from hammering a host that is down.
        let floor = wait.min(Duration::from_millis(250));
        sleep(floor).await;
        let _ = timeout(wait.saturating_sub(floor), needed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_seconds() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.succeeded();
        assert_eq!(backoff.failed(), FIRST);
    }

    #[tokio::test]
    async fn need_cuts_a_wait_short() {
        let (clock, [mut cut, mut whole]) = (Clock::system(), [9, 9].map(|failures| Backoff { failures }));
        tokio::select! {
            biased;
            () = cut.wait(&clock, std::future::ready(())) => {}
            () = whole.wait(&clock, std::future::pending::<()>()) => panic!("it waits as long as where nobody is in need"),
        }
    }
}
