//! Where a request came from when a proxy stands in front: the address that
//! limits, log lines and audit events name.
//!
//! A header is believed only as far as trusted proxies wrote it: read from the
//! right, the first address that is no trusted proxy's is the client's. What
//! stands left of it the client may have invented.
//!
//! Easy to break: a proxy appends to one of the two headers and hands on the
//! other as the client sent it. So two headers that disagree are not believed.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses of one header that are looked at; a longer way is not believed.
const MAX_HOPS: usize = 32;

/// The client's address: the peer's, unless the peer is a trusted proxy that
/// says for whom it asks.
pub fn client_address(trusted: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !is_trusted(trusted, peer) {
        return peer;
    }
    let forwarded = behind(trusted, hops(headers, &header::FORWARDED, forwarded_for));
    let x_forwarded = behind(trusted, hops(headers, &X_FORWARDED_FOR, plain));
    match (forwarded, x_forwarded) {
        (Some(one), Some(other)) if one != other => peer,
        (one, other) => one.or(other).unwrap_or(peer),
    }
}

fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The first address from the right that is no trusted proxy's; the leftmost
/// one where all are; the last good one before a hop without an address.
fn behind(trusted: &[IpNet], hops: Vec<Option<IpAddr>>) -> Option<IpAddr> {
    let mut nearest = None;
    for hop in hops.into_iter().rev() {
        let Some(address) = hop else { break };
        nearest = Some(address);
        if !is_trusted(trusted, address) {
            break;
        }
    }
    nearest
}

/// The header's addresses in their order, over all its lines; `None` stands for
/// a hop that names none (`unknown`, `_hidden`, or not an address at all).
fn hops(
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<IpAddr>,
) -> Vec<Option<IpAddr>> {
    let mut hops = Vec::new();
    for line in headers.get_all(name) {
        for element in elements(line.as_bytes()) {
            if hops.len() == MAX_HOPS {
                // Only the right end counts, and it was not reached.
                hops.remove(0);
            }
            hops.push(std::str::from_utf8(element).ok().and_then(read));
        }
    }
    hops
}

/// A list's elements: commas inside quoted strings do not divide (RFC 9110
/// section 5.6.1).
fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |byte| {
        let divides = *byte == b',' && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        divides
    })
    .map(<[u8]>::trim_ascii)
    .filter(|element| !element.is_empty())
}

/// One element of `X-Forwarded-For`.
fn plain(element: &str) -> Option<IpAddr> {
    address(element)
}

/// `for=` of one element of `Forwarded` (RFC 7239 section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("for") {
            return None;
        }
        let value = value.trim();
        let bare = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        address(bare.unwrap_or(value))
    })
}

/// An address with or without a port and brackets; an IPv4 address in its IPv6
/// form is the IPv4 address.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Proxies at 10.0.0.0/8 and fd00::/8; the peer is 10.0.0.1.
    fn client(headers: &[(&'static str, &'static str)]) -> String {
        from("10.0.0.1", headers)
    }

    fn from(peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"]
            .iter()
            .map(|network| network.parse().expect("a network"))
            .collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        client_address(&trusted, peer.parse().expect("an address"), &map).to_string()
    }

    #[test]
    fn only_trusted_peers_are_believed() {
        let claim = [("x-forwarded-for", "192.0.2.1")];
        assert_eq!(from("203.0.113.5", &claim), "203.0.113.5");
        assert_eq!(client(&claim), "192.0.2.1");
        assert_eq!(client(&[]), "10.0.0.1");
    }

    #[test]
    fn what_stands_left_of_the_client_is_not_believed() {
        for (header, wanted) in [
            ("6.6.6.6, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("127.0.0.1, 10.9.9.9, 192.0.2.1", "192.0.2.1"),
            // All are proxies: the one furthest away is who asked.
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // Behind a hop without an address nothing is known.
            ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("192.0.2.1, junk", "10.0.0.1"),
            (", ,", "10.0.0.1"),
        ] {
            assert_eq!(client(&[("x-forwarded-for", header)]), wanted, "{header}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "192.0.2.1, 10.0.0.2"),
        ];
        assert_eq!(client(&lines), "192.0.2.1");
    }

    #[test]
    fn both_notations_with_ports_and_brackets() {
        for (name, header, wanted) in [
            ("x-forwarded-for", "192.0.2.1:4711", "192.0.2.1"),
            ("x-forwarded-for", "[2001:db8::1]:4711", "2001:db8::1"),
            ("x-forwarded-for", "2001:db8::1", "2001:db8::1"),
            ("x-forwarded-for", "::ffff:192.0.2.1", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1", "192.0.2.1"),
            (
                "forwarded",
                "proto=https;For=\"[2001:db8::1]:80\";by=10.0.0.1, for=10.0.0.2",
                "2001:db8::1",
            ),
            ("forwarded", "for=\"_a,b\", for=192.0.2.1", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1, for=_hidden", "10.0.0.1"),
            ("forwarded", "by=10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(client(&[(name, header)]), wanted, "{header}");
        }
    }

    #[test]
    fn two_headers_that_disagree_are_not_believed() {
        let agreed = [
            ("forwarded", "for=192.0.2.1"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(client(&agreed), "192.0.2.1");
        let forged = [
            ("forwarded", "for=6.6.6.6"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(client(&forged), "10.0.0.1");
    }

    #[test]
    fn a_long_way_is_read_from_its_right_end() {
        let long: &'static str =
            Box::leak(format!("{}192.0.2.1", "6.6.6.6,".repeat(5_000)).into_boxed_str());
        assert_eq!(client(&[("x-forwarded-for", long)]), "192.0.2.1");
    }
}
