//! `[http]`: where the gateway listens, and as whom it is reached.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};

/// `[http]`.
#[derive(Debug, Clone)]
pub struct Http {
    /// The API; with port 0 the system chooses one.
    pub listen: SocketAddr,
    /// Health and metrics, for operators only.
    pub ops_listen: SocketAddr,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins of web apps that may call the API.
    pub cors_origins: Vec<String>,
    /// As devices reach the API, without a closing slash; if not set, by what `listen` became.
    pub public_url: Option<String>,
    /// How long requests under way may go on after SIGTERM.
    pub shutdown_grace: Duration,
}

pub(super) fn read(fields: &mut Fields) -> Option<Http> {
    let listen = fields.required("listen", &address());
    let ops_listen = fields.required("ops_listen", &address());
    let trusted_proxies = fields.required("trusted_proxies", &kind::list(network()));
    let cors_origins =
        fields.required("cors_origins", &kind::list(kind::origin(&["https", "http"], "https://app.example.com")));
    let public_url = fields.optional("public_url", &kind::base_url(&["https", "http"], "https://calls.example.com"));
    let shutdown_grace = fields.required("shutdown_grace", &kind::duration("0s", "10m", "15s"));
    Some(Http {
        listen: listen?,
        ops_listen: ops_listen?,
        trusted_proxies: trusted_proxies?,
        cors_origins: cors_origins?,
        public_url,
        shutdown_grace: shutdown_grace?,
    })
}

fn address() -> Kind<SocketAddr> {
    Kind::text("an IP address and a port, such as \"127.0.0.1:8080\"", |text| text.parse().ok())
}

fn network() -> Kind<IpNet> {
    Kind::text("an IP network, such as \"10.0.0.0/8\"", |text| {
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    })
}

impl Http {
    pub(super) fn describe(&self, out: &mut Description) {
        out.text("listen", self.listen);
        out.text("ops_listen", self.ops_listen);
        out.texts("trusted_proxies", &self.trusted_proxies);
        out.texts("cors_origins", &self.cors_origins);
        out.optional("public_url", self.public_url.as_ref());
        out.duration("shutdown_grace", self.shutdown_grace);
    }
}
