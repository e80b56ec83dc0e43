//! Whose request it is, as far as addresses tell: that of the connection, or what trusted proxies say of it.
//!
//! Each proxy adds, at the end, the address that it was asked from. So the list is read from its end, and the first address that is no
//! proxy of ours counts: whatever stands before it was written by who asks. `Forwarded` (RFC 7239) is read where there is no
//! `X-Forwarded-For`; a proxy that writes the former must not let the latter through.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client whose connection comes from `peer`.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut address = peer.to_canonical();
    let (name, read): (_, fn(&str) -> Option<IpAddr>) =
        if headers.contains_key(X_FORWARDED_FOR) { (X_FORWARDED_FOR, node) } else { (header::FORWARDED, forwarded) };
    // Hop by hop: what a client wrote may be no text, and hides nothing of what proxies added.
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    while is_trusted(&address)
        && let Some(hop) = hops.next().and_then(|hop| read(str::from_utf8(hop).ok()?))
    {
        address = hop.to_canonical();
    }
    address
}

/// The address in an element of `Forwarded`.
fn forwarded(element: &str) -> Option<IpAddr> {
    let value = element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    })?;
    node(value.trim_matches('"'))
}

/// An address, perhaps in brackets and with a port.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.7";

    fn address(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("a network"));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        client_address(peer.parse().expect("an address"), &map, &trusted).to_string()
    }

    #[test]
    fn headers_of_strangers_are_not_believed() {
        for name in ["x-forwarded-for", "forwarded"] {
            assert_eq!(address("192.0.2.1", &[(name, "198.51.100.1")]), "192.0.2.1");
            assert_eq!(address("192.0.2.1", &[(name, "for=198.51.100.1")]), "192.0.2.1");
        }
    }

    #[test]
    fn the_nearest_address_that_is_no_proxy_counts() {
        let seen = |list| address(PROXY, &[("x-forwarded-for", list)]);
        assert_eq!(seen("198.51.100.1"), "198.51.100.1");
        assert_eq!(seen("203.0.113.9, 198.51.100.1"), "198.51.100.1", "the rest is the client's own word");
        assert_eq!(seen("203.0.113.9, 198.51.100.1, 10.1.1.1,10.2.2.2"), "198.51.100.1");
        assert_eq!(seen("10.1.1.1, 10.2.2.2"), "10.1.1.1", "a proxy that asks for itself");
        let lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "198.51.100.1, 10.1.1.1")];
        assert_eq!(address(PROXY, &lines), "198.51.100.1", "lines are one list");
    }

    #[test]
    fn bytes_that_are_no_text_hide_no_later_hop() {
        let line = HeaderValue::from_bytes(b"\xff, 198.51.100.1").expect("a value");
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, line)]);
        let trusted = ["10.0.0.0/8".parse().expect("a network")];
        let seen = client_address(PROXY.parse().expect("an address"), &headers, &trusted);
        assert_eq!(seen.to_string(), "198.51.100.1");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_read() {
        let seen = |list| address("fd00::1", &[("x-forwarded-for", list)]);
        assert_eq!(seen("198.51.100.1:4711"), "198.51.100.1");
        assert_eq!(seen("2001:db8::1"), "2001:db8::1");
        assert_eq!(seen("[2001:db8::1]"), "2001:db8::1");
        assert_eq!(seen("[2001:db8::1]:4711"), "2001:db8::1");
        assert_eq!(seen("::ffff:198.51.100.1"), "198.51.100.1");
        assert_eq!(address("::ffff:10.0.0.7", &[("x-forwarded-for", "198.51.100.1")]), "198.51.100.1");
    }

    #[test]
    fn forwarded_is_read_where_there_is_no_other() {
        let seen = |list| address(PROXY, &[("forwarded", list)]);
        assert_eq!(seen("for=198.51.100.1;proto=https;by=10.0.0.7"), "198.51.100.1");
        assert_eq!(seen("for=203.0.113.9, For=\"[2001:db8::1]:4711\", for=10.1.1.1"), "2001:db8::1");
        assert_eq!(seen("for=\"x, for=198.51.100.1"), "198.51.100.1", "an open quote swallows nothing");
        let both = [("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "198.51.100.1")];
        assert_eq!(address(PROXY, &both), "198.51.100.1");
    }

    #[test]
    fn what_is_no_address_ends_the_list() {
        for list in ["unknown", "", "198.51.100.1, _hidden", "198.51.100.1,", "999.1.1.1"] {
            assert_eq!(address(PROXY, &[("x-forwarded-for", list)]), PROXY, "{list:?}");
        }
        assert_eq!(address(PROXY, &[("forwarded", "proto=https")]), PROXY);
        assert_eq!(address(PROXY, &[]), PROXY);
    }
}
