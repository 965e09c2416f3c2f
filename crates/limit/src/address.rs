//! Who is at the other end: networks, and which proxies are believed about it.
//!
//! Anybody can send `Forwarded` and `X-Forwarded-For`. They are read only where the connection comes from a network that the
//! operator named, only the one of the two that the operator's proxy writes, and from the right: each hop is believed about the
//! one before it as long as it is itself of such a network. The first that is not is the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network: an address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network: write 192.0.2.0/24, 2001:db8::/32 or one address")]
pub struct NetworkError(String);

/// Which header a proxy writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Header {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Header {
    /// Its name, lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// The proxies in front of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trusted {
    /// Networks of the proxies that are believed about who their client is. Default: none, and nobody is.
    pub trusted: Vec<Network>,
    /// The header that they write: `x-forwarded-for` (default) or `forwarded`. They must write it themselves, or take away what
    /// the client sent of it.
    pub header: Header,
}

impl Trusted {
    /// The client's address: the peer's, unless the peer is a proxy that says whose request it is. `values` are the values of
    /// [`Trusted::header`], in the order in which they were sent.
    pub fn client<'v>(&self, peer: IpAddr, values: impl DoubleEndedIterator<Item = &'v [u8]>) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.trusted.is_empty() || !self.is_trusted(client) {
            return client;
        }
        let mut hops = 0;
        for value in values.rev() {
            let Ok(value) = std::str::from_utf8(value) else {
                return client;
            };
            let named = match self.header {
                Header::XForwardedFor => value.split(',').map(|element| node(element.trim())).collect(),
                // A line that somebody cut or quoted so that it is none says nothing: not even what its end seems to say.
                Header::Forwarded => match forwarded(value) {
                    Some(named) => named,
                    None => return client,
                },
            };
            for address in named.into_iter().rev() {
                hops += 1;
                // A hop that hides its client stands for it.
                let Some(address) = address else { return client };
                client = address;
                if !self.is_trusted(client) || hops >= HOPS_MAX {
                    return client;
                }
            }
        }
        client
    }

    /// Whether the address belongs to a proxy.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

impl Network {
    /// Whether the address is in it. IPv4 addresses written as IPv6 are IPv4 addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                self.bits == 0 || differ >> (32 - u32::from(self.bits)) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                self.bits == 0 || differ >> (128 - u32::from(self.bits)) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// # Errors
    /// Of anything but an address, or an address, `/` and how many bits of it count.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.chars().take(64).collect());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| error())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().map_err(|_| error())?,
            Some(_) => return Err(error()),
        };
        if bits > most {
            return Err(error());
        }
        Ok(Self { address, bits })
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.bits)
    }
}

/// What counts of an address: all of IPv4, the first 64 bits of IPv6, of which one client has the rest to itself.
pub fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) | V4_MARK,
        IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
    }
}

/// The network of [`network`], for records and people.
pub fn shown(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("{}/64", Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// What the elements of `Forwarded` (RFC 7239 section 4) say of whom a request is for, each once or it does not count; `None` if
/// the line is not made as that says. Quotes count only around whole values: what a client wrote cannot swallow what the proxy
/// wrote after it.
fn forwarded(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut elements = Vec::new();
    let (mut named, mut names) = (None, 0);
    let mut rest = line.trim_start();
    loop {
        if !rest.is_empty() && !rest.starts_with(',') {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted_string(quoted)?,
                None => after.split_at(after.find([',', ';', ' ', '\t']).unwrap_or(after.len())),
            };
            if name.contains(NO_TOKEN) || value.contains('"') {
                return None;
            }
            if name.eq_ignore_ascii_case("for") {
                (named, names) = (node(value), names + 1);
            }
            rest = after.trim_start();
            if let Some(further) = rest.strip_prefix(';') {
                rest = further.trim_start();
                continue;
            }
        }
        elements.push(named.take().filter(|_| names == 1));
        names = 0;
        match rest.strip_prefix(',') {
            Some(further) => rest = further.trim_start(),
            None => return rest.is_empty().then_some(elements),
        }
    }
}

/// A quoted string after its first quote, and what follows it; `None` if it does not end. Escapes stay: no address has any.
fn quoted_string(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// An address with or without a port; IPv6 in brackets if there is one.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address: IpAddr = match bare {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => match text.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => match text.split_once(':') {
                Some((v4, port)) if !port.contains(':') => {
                    port.parse::<u16>().ok()?;
                    IpAddr::V4(v4.parse::<Ipv4Addr>().ok()?)
                }
                _ => text.parse::<SocketAddr>().ok()?.ip(),
            },
        },
    };
    Some(address.to_canonical())
}

/// What no name of a parameter has.
const NO_TOKEN: [char; 6] = ['"', ',', ';', ' ', '\t', '\\'];
/// Tells IPv4 addresses from the networks of IPv6, whose last 64 bits are zero.
const V4_MARK: u128 = 1 << 63;
/// Proxies behind each other, at most.
const HOPS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn trusted(networks: &[&str], header: Header) -> Trusted {
        Trusted {
            trusted: networks.iter().map(|n| n.parse().unwrap()).collect(),
            header,
        }
    }

    fn client(trusted: &Trusted, peer: &str, values: &[&str]) -> String {
        trusted
            .client(ip(peer), values.iter().map(|v| v.as_bytes()))
            .to_string()
    }

    #[test]
    fn nobody_is_believed_unless_named() {
        let none = Trusted::default();
        assert_eq!(client(&none, "127.0.0.1", &["203.0.113.9"]), "127.0.0.1");
        let some = trusted(&["10.0.0.0/8"], Header::XForwardedFor);
        assert_eq!(client(&some, "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client(&some, "10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(&some, "::ffff:10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(&some, "10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_the_client_wrote_itself_does_not_count() {
        let some = trusted(&["10.0.0.0/8"], Header::XForwardedFor);
        for values in [
            &["1.1.1.1, 203.0.113.9"][..],
            &["1.1.1.1", "203.0.113.9"],
            &["10.9.9.9, 203.0.113.9, 10.0.0.7"],
            &["evil, 203.0.113.9"],
        ] {
            assert_eq!(client(&some, "10.1.2.3", values), "203.0.113.9", "{values:?}");
        }
        assert_eq!(client(&some, "10.1.2.3", &["203.0.113.9, unknown"]), "10.1.2.3");
        assert_eq!(client(&some, "10.1.2.3", &["203.0.113.9, "]), "10.1.2.3");
        assert_eq!(
            client(&some, "10.1.2.3", &["203.0.113.9, 10.0.0.8, x"]),
            "10.1.2.3"
        );
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_says() {
        let some = trusted(&["10.0.0.0/8", "2001:db8:1::/48"], Header::Forwarded);
        for (value, want) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"203.0.113.9:4711\";proto=https", "203.0.113.9"),
            ("proto=https;for=\"[2001:db8::9]:80\"", "2001:db8::9"),
            ("for=1.1.1.1, for=\"[2001:db8:5::1]\"", "2001:db8:5::1"),
            (
                "for=1.1.1.1;by=\"a,b\", for=203.0.113.9, for=10.0.0.1",
                "203.0.113.9",
            ),
            ("for=unknown", "10.1.2.3"),
            ("for=_hidden", "10.1.2.3"),
            ("for=1.1.1.1;for=2.2.2.2", "10.1.2.3"),
            ("203.0.113.9", "10.1.2.3"),
            ("for=\"", "10.1.2.3"),
            // What the client wrote cannot swallow what the proxy added.
            ("for=10.9.9.9;x=\", for=203.0.113.9", "10.1.2.3"),
            ("for=10.9.9.9;x=\", for=\"[2001:db8::9]:80\"", "10.1.2.3"),
            ("for=10.9.9.9;x\"=y, for=203.0.113.9", "10.1.2.3"),
            ("for=10.9.9.9;x=a\"b, for=\"203.0.113.9\"", "10.1.2.3"),
            ("for=10.9.9.9;x=\"\\\", for=203.0.113.9", "10.1.2.3"),
            (
                "for=1.1.1.1, for=203.0.113.9;host=\"x;for=2.2.2.2\"",
                "203.0.113.9",
            ),
            ("for=1.1.1.1,", "10.1.2.3"),
            ("", "10.1.2.3"),
            ("for=", "10.1.2.3"),
        ] {
            assert_eq!(client(&some, "10.1.2.3", &[value]), want, "{value}");
        }
    }

    #[test]
    fn networks_are_cut_where_they_say() {
        let network: Network = "192.0.2.128/25".parse().unwrap();
        assert!(network.contains(ip("192.0.2.200")) && !network.contains(ip("192.0.2.1")));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains(ip("8.8.8.8")));
        assert!(!"0.0.0.0/0".parse::<Network>().unwrap().contains(ip("::1")));
        assert!("::/0".parse::<Network>().unwrap().contains(ip("::1")));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "::/129",
            "example.org",
            "10.0.0.0/+8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn neighbours_in_a_64_count_as_one() {
        assert_eq!(network(ip("2001:db8::1")), network(ip("2001:db8::ffff")));
        assert_ne!(network(ip("2001:db8::1")), network(ip("2001:db8:0:1::1")));
        assert_ne!(network(ip("192.0.2.1")), network(ip("192.0.2.2")));
        assert_eq!(network(ip("192.0.2.1")), network(ip("::ffff:192.0.2.1")));
        assert_ne!(network(ip("0.0.0.0")), network(ip("::")));
        assert_eq!(shown(ip("2001:db8::ffff")), "2001:db8::/64");
    }
}
