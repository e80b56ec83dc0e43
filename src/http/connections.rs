//! Who gets a connection: so many may be open at a listener, and so many of one address.
//!
//! The last eighth is for phones that ring and for the app's backend. Who asks is known only when a request has been read, so a
//! connection is let in that far, has little time, and [`load`](super::load) refuses in words what is not theirs. When that eighth is taken too,
//! a connection is closed at once, with a bare 503 as far as it goes out.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::net::TcpStream;

use super::address_limit::counted_as;
use crate::config::{self, Limits};
use crate::places::{Place, PlaceOf, Places, PlacesPer, or_any};
use crate::telemetry::Metrics;

/// Connections to the operators' listener.
const OF_OPERATORS: usize = 64;
/// Open files that are not connections to the API: the store, push providers, LiveKit, webhooks, operators.
const OTHER_FILES: usize = 256;
/// What is said to whom there is no place for at all.
const NO_PLACE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The connections of a listener. Clones share them.
#[derive(Debug, Clone)]
pub struct Connections {
    places: Places,
    per_ip: PlacesPer<IpAddr>,
    trusted: Vec<IpNet>,
    metrics: Arc<Metrics>,
}

/// A connection that has a place, until this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    /// Whether it has one of the places that are kept.
    pub(super) is_crowded: bool,
    /// Whether it is a proxy's that is trusted, and so many clients'.
    pub(super) is_proxy: bool,
    _place: Place,
    _of_ip: Option<PlaceOf<IpAddr>>,
}

/// Marks a request that came on a connection with a kept place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowded;

impl Connections {
    /// Of the API, as many as there are open files for.
    pub fn of_api(limits: &Limits, http: &config::Http, metrics: &Arc<Metrics>) -> Self {
        Self {
            places: Places::new(connections(limits, open_files()), metrics.open_connections("api")),
            per_ip: PlacesPer::new(or_any(limits.connections_per_ip)),
            trusted: http.trusted_proxies.clone(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Of the operators' listener.
    pub fn of_operators(metrics: &Arc<Metrics>) -> Self {
        let places = Places::new(OF_OPERATORS, metrics.open_connections("ops"));
        let per_ip = PlacesPer::new(or_any(None));
        Self { places, per_ip, trusted: Vec::new(), metrics: Arc::clone(metrics) }
    }

    /// There may be so many from now on.
    pub fn set(&self, limits: &Limits) {
        self.places.set_most(connections(limits, open_files()));
        self.per_ip.set_most(or_any(limits.connections_per_ip));
    }

    /// A place for a connection, if there is one; otherwise it is sent away.
    pub(super) fn admit(&self, stream: &TcpStream) -> Option<Admitted> {
        let peer = stream.peer_addr().ok()?.ip().to_canonical();
        match self.place(peer) {
            Ok(admitted) => Some(admitted),
            Err(limit) => {
                self.metrics.shed(limit);
                // Nobody waits for one that does not take it.
                let _ = stream.try_write(NO_PLACE);
                None
            }
        }
    }

    pub(super) fn place(&self, peer: IpAddr) -> Result<Admitted, &'static str> {
        let is_proxy = self.trusted.iter().any(|net| net.contains(&peer));
        let per_ip = Some(&self.per_ip).filter(|_| !is_proxy);
        let (of_ip, is_many) = match per_ip {
            None => (None, false),
            Some(places) => {
                let address = counted_as(peer);
                let free = places.take(address);
                let is_many = free.is_none();
                let place = free.or_else(|| places.take_kept(address)).ok_or("connections_per_ip")?;
                (Some(place), is_many)
            }
        };
        let free = self.places.take();
        let is_crowded = is_many || free.is_none();
        let place = free.or_else(|| self.places.take_kept()).ok_or("connections")?;
        Ok(Admitted { is_crowded, is_proxy, _place: place, _of_ip: of_ip })
    }
}

/// Says that there are too few open files for `limits.connections`, if it is so.
pub fn too_few_files(limits: &Limits) -> Option<String> {
    let files = open_files()?;
    let most = connections(limits, Some(files));
    (most < limits.connections).then(|| {
        format!(
            "this process may have {files} files open, so there will be at most {most} connections and not the {} of limits.connections: \
             raise the limit (LimitNOFILE of systemd, --ulimit nofile of docker, ulimit -n), or lower the key",
            limits.connections
        )
    })
}

/// As many connections as wanted, or as there are files for beside those that calls need.
fn connections(limits: &Limits, open_files: Option<usize>) -> usize {
    open_files.map_or(limits.connections, |files| {
        limits.connections.min(files.saturating_sub(OTHER_FILES).max(files / 2)).max(1)
    })
}

/// How many files this process may have open, where the system tells (proc(5)).
fn open_files() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn limits() -> Limits {
        let secret = ("BELLWIRE__AUTH__TICKET_SECRET".to_owned(), "0123456789abcdef0123456789abcdef".to_owned());
        Config::load(None, [secret]).expect("the defaults").limits
    }

    #[test]
    fn connections_leave_files_for_calls() {
        let with = |files| connections(&limits(), files);
        assert_eq!((with(None), with(Some(1_000_000))), (16384, 16384));
        assert_eq!((with(Some(1024)), with(Some(300)), with(Some(1))), (768, 150, 1));
    }

    #[test]
    fn what_an_address_has_too_many_of_is_crowded_and_then_refused() {
        let mut limits = limits();
        (limits.connections, limits.connections_per_ip) = (32, Some(8));
        let http = config::Http { trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")], ..http() };
        let connections = Connections::of_api(&limits, &http, &Arc::default());
        let take = |address: &str| connections.place(address.parse().expect("an address"));
        let mut taken: Vec<Admitted> = (0..8).map(|_| take("192.0.2.1").expect("a place")).collect();
        assert_eq!(taken.iter().filter(|admitted| admitted.is_crowded).count(), 1);
        assert_eq!(take("192.0.2.1").expect_err("no place"), "connections_per_ip");
        // A proxy is as many clients as it likes, up to all there are.
        taken.extend((0..24).map(|_| take("10.0.0.1").expect("a place")));
        assert_eq!(taken.iter().filter(|admitted| admitted.is_crowded).count(), 5);
        assert_eq!(take("10.0.0.1").expect_err("no place"), "connections");
        taken.clear();
        assert!(!take("192.0.2.1").expect("a place").is_crowded);
        assert!(!take("192.0.2.1").expect("a place").is_proxy && take("10.0.0.1").expect("a place").is_proxy);
    }

    #[test]
    fn a_64_of_ipv6_is_one_address() {
        let mut limits = limits();
        limits.connections_per_ip = Some(8);
        let connections = Connections::of_api(&limits, &http(), &Arc::default());
        let take = |address: String| connections.place(address.parse().expect("an address"));
        let _taken: Vec<Admitted> =
            (0..8).map(|number| take(format!("2001:db8::{number}")).expect("a place")).collect();
        assert_eq!(take("2001:db8::ffff:8".to_owned()).expect_err("no place"), "connections_per_ip");
        take("2001:db8:0:1::1".to_owned()).expect("another household's");
    }

    fn http() -> config::Http {
        let secret = ("BELLWIRE__AUTH__TICKET_SECRET".to_owned(), "0123456789abcdef0123456789abcdef".to_owned());
        Config::load(None, [secret]).expect("the defaults").http
    }
}
