//! LiveKit: tokens to join rooms, its room service, its webhooks, and whether the server can be reached.

pub mod rooms;
pub mod token;
pub mod twirp;
pub mod webhook;
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Connects to the server behind an http or https URL and says at which address it answered, or in words why not.
pub async fn reach(url: &str, within: Duration) -> Result<SocketAddr, String> {
    let url = reqwest::Url::parse(url).map_err(|error| error.to_string())?;
    let host = url.host_str().ok_or("it has no host")?.trim_matches(['[', ']']);
    let port = url.port_or_known_default().ok_or("it has no port")?;
    let connect = async {
        let mut refused = "its name has no address".to_owned();
        for address in lookup_host((host, port)).await.map_err(|error| error.to_string())? {
            match TcpStream::connect(address).await {
                Ok(_) => return Ok(address),
                Err(error) => refused = error.to_string(),
            }
        }
        Err(refused)
    };
    timeout(within, connect).await.unwrap_or_else(|_| Err(format!("no answer within {} s", within.as_secs())))
}
