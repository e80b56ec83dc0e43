//! `bellwire health`: whether the gateway on this machine is alive, for a container engine; or ready, with each part's state, for people.
//!
//! It asks the operators' listener, as any other client would. A container without a shell has nothing else to ask it with.

use serde_json::Value;

use super::gateway::{client, plain, unreachable, url_of};
use super::{CliError, ConfigFile};

/// Ask a gateway whether it is alive: exit code 0 if it is.
#[derive(Debug, clap::Args)]
pub(super) struct Health {
    /// Ask whether it is ready to take calls instead, and print the state of its parts.
    #[arg(long)]
    ready: bool,
    /// Where the operators' listener of the gateway is; by default what the configuration has as `http.ops_listen`.
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

impl Health {
    pub(super) async fn run(&self) -> Result<(), CliError> {
        let base = match &self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => url_of("http.ops_listen", self.file.load()?.http.ops_listen)?,
        };
        let path = if self.ready { "/readyz" } else { "/livez" };
        let url = format!("{base}{path}");
        let response = client()?.get(&url).send().await.map_err(|error| unreachable(&base, error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| unreachable(&base, error))?;
        for line in parts(&serde_json::from_str(&text).unwrap_or_default()) {
            println!("{line}");
        }
        if status.is_success() { Ok(()) } else { Err(CliError::Failed(format!("{url} answered {}", status.as_u16()))) }
    }
}

/// A line for each part that the answer tells of.
fn parts(answer: &Value) -> Vec<String> {
    let parts = answer["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |part: &Value| {
        let state = if part["ok"] == true { "ok  " } else { "FAIL" };
        format!("{state}  {}: {}", plain(&part["name"]), plain(&part["detail"]))
    };
    parts.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_part_has_a_line_that_is_safe_on_a_terminal() {
        let answer = json!({"ready": false, "parts": [
            {"name": "store", "ok": false, "detail": "gone\u{1b}[2J"},
            {"name": "livekit", "ok": true, "detail": "answered"},
        ]});
        assert_eq!(parts(&answer), ["FAIL  store: gone\u{fffd}[2J", "ok    livekit: answered"]);
        assert!(parts(&json!("ok")).is_empty());
    }
}
