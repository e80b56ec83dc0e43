//! `limits.ip`: how often an address may ask, before anybody looks at what it asks for. Who bears a ticket or a service key is not refused.
//!
//! Each gateway counts for itself, in memory that is bounded however many addresses there are. Over IPv6 a /64 counts as one address:
//! so many each household has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;

use super::App;
use super::bearer::is_known;
use super::client_address::client_address;
use super::problem::Problem;
use crate::domain::{Limit, Limited, Rate, Timestamp};

/// The most addresses that are remembered in a generation; there are two, of a few megabytes each when they are full.
const ADDRESSES: usize = 65_536;

/// Where a connection comes from; each request has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The limit, and what it knows.
pub(super) struct AddressLimit {
    pub(super) app: App,
    trusted: Vec<IpNet>,
    counts: Mutex<Counts>,
}

impl AddressLimit {
    /// Nothing counted yet.
    pub(super) fn new(app: App, trusted: &[IpNet]) -> Arc<Self> {
        Arc::new(Self { app, trusted: trusted.to_vec(), counts: Mutex::default() })
    }

    fn take(&self, request: &Request<Body>) -> Result<(), Limited> {
        let Some(rate) = self.app.limits.now().ip else { return Ok(()) };
        // What is asked by no connection is asked by the gateway itself.
        let Some(Peer(peer)) = request.extensions().get() else { return Ok(()) };
        let address = counted_as(client_address(peer.ip(), request.headers(), &self.trusted));
        let now = self.app.engine.clock().now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.take(rate, address, now).map_err(|wait| Limited { limit: Limit::Ip, rate, wait })
    }
}

/// Answers a request, unless it is of an address that asks too often.
pub(super) async fn limit_addresses(limit: &AddressLimit, request: Request<Body>, next: Next) -> Response {
    if !is_exempt(request.uri().path())
        && let Err(limited) = limit.take(&request)
        && !is_known(&limit.app, &request)
    {
        limit.app.metrics.limited(limited.limit);
        return Problem::from(limited).into_response();
    }
    next.run(request).await
}

/// What no limit counts: what a balancer checks, perhaps from the address of its clients; and LiveKit's webhooks, which come for everybody's
/// calls from one address and are signed.
pub(super) fn is_exempt(path: &str) -> bool {
    is_probe(path) || path == "/v1/livekit/webhook"
}

/// What a balancer checks.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz")
}

/// The address that a rate is counted for.
pub(super) fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// What addresses have taken of their rates. Whoever has taken nothing for the time of the rate has a whole one again, so of what is
/// older than that nothing is remembered.
#[derive(Default)]
struct Counts {
    current: HashMap<IpAddr, u64>,
    previous: HashMap<IpAddr, u64>,
    since: Timestamp,
    rate: Option<Rate>,
}

impl Counts {
    fn take(&mut self, rate: Rate, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        // What was taken of one rate says nothing of another.
        if self.rate != Some(rate) {
            *self = Self { rate: Some(rate), ..Self::default() };
        }
        // With more addresses than are remembered, the older half begins anew: nobody is refused for others. So it does where the clock
        // goes back.
        if self.current.len() >= ADDRESSES || now >= self.since + rate.per || now < self.since {
            self.previous = std::mem::take(&mut self.current);
            self.since = now;
        }
        let arrival = self.current.get(&address).or_else(|| self.previous.get(&address)).copied().unwrap_or_default();
        self.current.insert(address, rate.take(arrival, now)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { count: 5, per: Duration::from_secs(1) };

    fn v4(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn an_address_of_ipv6_is_counted_by_its_first_half() {
        let counted = |text: &str| counted_as(text.parse().expect("an address")).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("2001:db8:1:2:ffff::"), "2001:db8:1:2::");
        assert_eq!(counted("198.51.100.7"), "198.51.100.7");
    }

    #[test]
    fn a_rate_holds_over_any_number_of_generations() {
        let (mut counts, mut now) = (Counts::default(), Timestamp::from_millis(1_800_000_000_000));
        let mut taken = 0;
        for _ in 0..1000 {
            taken += u32::from(counts.take(RATE, v4(1), now).is_ok());
            now = now + Duration::from_millis(10);
        }
        // A burst, and one for each 200 ms of 10 s.
        assert_eq!(taken, 5 + 49);
        assert!(counts.take(RATE, v4(2), now).is_ok(), "another address is not concerned");
    }

    #[test]
    fn another_rate_begins_anew() {
        let (mut counts, now) = (Counts::default(), Timestamp::from_millis(1_800_000_000_000));
        let hourly = Rate { count: 1, per: Duration::from_hours(1) };
        counts.take(hourly, v4(1), now).expect("the first");
        assert!(counts.take(hourly, v4(1), now).is_err());
        counts.take(RATE, v4(1), now).expect("what was taken of the other rate does not count");
    }

    #[test]
    fn memory_is_bounded_however_many_addresses_there_are() {
        let (mut counts, now) = (Counts::default(), Timestamp::from_millis(1_800_000_000_000));
        for number in 0..300_000 {
            counts.take(RATE, v4(number), now).expect("each has a rate of its own");
            assert!(counts.current.len() <= ADDRESSES && counts.previous.len() <= ADDRESSES);
        }
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let (mut counts, mut now) = (Counts::default(), Timestamp::from_millis(1_800_000_000_000));
        for number in 0..1000 {
            counts.take(RATE, v4(number), now).expect("a rate of its own");
        }
        for _ in 0..2 {
            now = now + RATE.per;
            counts.take(RATE, v4(7), now).expect("a rate of its own");
        }
        assert_eq!(counts.current.len() + counts.previous.len(), 2);
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out_and_keeps_nothing_for_long() {
        let (mut counts, mut now) = (Counts::default(), Timestamp::from_millis(1_800_000_000_000));
        for _ in 0..RATE.count {
            counts.take(RATE, v4(1), now).expect("a burst");
        }
        now = now - Duration::from_hours(1);
        counts.take(RATE, v4(1), now).expect("not locked out for an hour");
        for _ in 0..2 {
            now = now + RATE.per;
            counts.take(RATE, v4(7), now).expect("a rate of its own");
        }
        assert!(!counts.current.contains_key(&v4(1)) && !counts.previous.contains_key(&v4(1)));
    }
}
