//! Commands of `bellwire` on a `[store]` that is given by variables.

use crate::support::command::{Ended, Running};

/// Starts a command of `bellwire`.
pub fn start(arguments: &[&str], store: &[(&str, &str)]) -> Running {
    let keys: Vec<_> = store.iter().map(|(key, _)| format!("BELLWIRE__STORE__{}", key.to_uppercase())).collect();
    let others = [
        ("BELLWIRE__AUTH__TICKET_SECRET", "a-secret-for-the-tickets-of-the-tests"),
        ("BELLWIRE__HTTP__LISTEN", "127.0.0.1:0"),
        ("BELLWIRE__HTTP__OPS_LISTEN", "127.0.0.1:0"),
        // What is said in full may say too much.
        ("BELLWIRE__TELEMETRY__LOG_LEVEL", "trace"),
    ];
    let store = keys.iter().map(String::as_str).zip(store.iter().map(|(_, value)| *value));
    Running::with(&store.chain(others).collect::<Vec<_>>(), arguments)
}

/// Runs `bellwire serve`, which must end by itself.
pub async fn serve(store: &[(&str, &str)]) -> Ended {
    start(&["serve", "--without-push"], store).end().await
}

/// Runs `bellwire check`.
pub async fn check(store: &[(&str, &str)]) -> Ended {
    start(&["check"], store).end().await
}

/// Ends a gateway, and gives what it logged.
pub async fn log_to_its_end(gateway: Running) -> String {
    gateway.signal("TERM");
    gateway.end().await.stderr
}
