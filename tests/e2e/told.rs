//! What somebody tells in the course of a scenario, one thing after the other, and how it is waited for.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

/// All that was told so far, and how much of it has been waited for.
pub struct Told {
    who: String,
    all: watch::Receiver<Vec<Value>>,
    read: usize,
}

impl Told {
    /// Nothing yet; more comes by the sender.
    pub fn by(who: &str) -> (watch::Sender<Vec<Value>>, Self) {
        let (sender, all) = watch::channel(Vec::new());
        (sender, Self { who: who.to_owned(), all, read: 0 })
    }

    /// Everything so far.
    pub fn so_far(&self) -> Vec<Value> {
        self.all.borrow().clone()
    }

    /// Passes over everything so far.
    pub fn pass_over_all(&mut self) {
        self.read = self.all.borrow().len();
    }

    /// Waits for the next thing that is this one, and passes over those before it.
    pub async fn until(&mut self, what: &str, within: Duration, is_it: impl Fn(&Value) -> bool) -> Value {
        let from = self.read;
        let found = |all: &Vec<Value>| all.iter().skip(from).position(&is_it).map(|after| from + after);
        // An error is either that time is over, or that nothing more will come.
        let told = timeout(within, self.all.wait_for(|all| found(all).is_some())).await;
        let told = told.map(|all| all.map(|all| found(&all).map(|at| (at, all[at].clone()))));
        let Ok(Ok(Some((at, found)))) = told else {
            let told = lines(&self.so_far()[from..]);
            panic!("{} did not tell of {what} within {within:?}, but of:\n{told}", self.who);
        };
        self.read = at + 1;
        found
    }
}

/// One thing a line, without the tokens that it is better not to print.
fn lines(told: &[Value]) -> String {
    let shown = told.iter().cloned().map(|mut one| {
        if let Some(token) = one.get_mut("token") {
            *token = Value::Null;
        }
        format!("{one}\n")
    });
    shown.collect()
}
