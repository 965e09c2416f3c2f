//! Which addresses may be called: public ones, and those that the operator allows by name or network.
//!
//! A webhook's URL comes from a tenant, and the server stands inside a network: without this it would be a way into it.
//! Addresses are judged after the name was resolved, and the connection goes to the very address that was judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the operator allows beyond public addresses.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    hosts: Vec<String>,
    networks: Vec<(IpAddr, u8)>,
    /// Whether what is allowed here may be called without TLS.
    http: bool,
}

impl Allowed {
    /// Reads names, addresses and networks.
    ///
    /// # Errors
    /// The entry that is none of these.
    pub fn parse(entries: &[String], http: bool) -> Result<Self, String> {
        let mut allowed = Self {
            http,
            ..Self::default()
        };
        for entry in entries {
            if let Some(network) = network(entry) {
                allowed.networks.push(network);
            } else if is_name(entry) {
                allowed.hosts.push(entry.to_ascii_lowercase());
            } else {
                return Err(format!("`{entry}` is no host name, address or network"));
            }
        }
        Ok(allowed)
    }

    /// Whether an address that `host` stands for may be called.
    pub fn permits(&self, host: &str, address: IpAddr) -> bool {
        self.exempts(host, address) || is_public(address)
    }

    /// Whether an address that `host` stands for may be called without TLS.
    pub fn permits_http(&self, host: &str, address: IpAddr) -> bool {
        self.http && self.exempts(host, address)
    }

    /// Whether anything may be called without TLS.
    pub fn http(&self) -> bool {
        self.http
    }

    fn exempts(&self, host: &str, address: IpAddr) -> bool {
        self.hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
            || self.networks.iter().any(|network| holds(network, address))
    }
}

/// Whether an address is one of the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4
        .iter()
        .any(|(network, bits)| same_bits(&network.octets(), &address.octets(), *bits))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let octets = address.octets();
    // An IPv4 address in another form is judged as what it leads to.
    if same_bits(&NAT64.octets(), &octets, 96) {
        let [.., a, b, c, d] = octets;
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Only what is handed out to be used on the internet; mapped and compatible addresses, private, local and multicast ones
    // lie outside.
    same_bits(&GLOBAL.octets(), &octets, 3)
        && !NOT_PUBLIC_V6
            .iter()
            .any(|(network, bits)| same_bits(&network.octets(), &octets, *bits))
}

fn holds((network, bits): &(IpAddr, u8), address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => same_bits(&network.octets(), &address.octets(), *bits),
        (IpAddr::V6(network), IpAddr::V6(address)) => same_bits(&network.octets(), &address.octets(), *bits),
        _ => false,
    }
}

/// Whether the first `bits` bits agree.
fn same_bits(left: &[u8], right: &[u8], bits: u8) -> bool {
    let mut left_over = u32::from(bits);
    left.iter().zip(right).all(|(left, right)| {
        let here = left_over.min(8);
        left_over -= here;
        here == 0 || (left ^ right) >> (8 - here) == 0
    })
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= max)?,
        None => max,
    };
    Some((address, bits))
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (1..=253).contains(&text.len()) && text.bytes().all(plain)
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// Networks that are not of the public internet (IANA IPv4 special-purpose registry).
const NOT_PUBLIC_V4: [(Ipv4Addr, u8); 15] = [
    (v4(0, 0, 0, 0), 8),
    (v4(10, 0, 0, 0), 8),
    (v4(100, 64, 0, 0), 10),
    (v4(127, 0, 0, 0), 8),
    (v4(169, 254, 0, 0), 16),
    (v4(172, 16, 0, 0), 12),
    (v4(192, 0, 0, 0), 24),
    (v4(192, 0, 2, 0), 24),
    (v4(192, 88, 99, 0), 24),
    (v4(192, 168, 0, 0), 16),
    (v4(198, 18, 0, 0), 15),
    (v4(198, 51, 100, 0), 24),
    (v4(203, 0, 113, 0), 24),
    (v4(224, 0, 0, 0), 4),
    (v4(240, 0, 0, 0), 4),
];
/// What of the global IPv6 addresses is none, or hides an IPv4 address (IANA IPv6 special-purpose registry): protocol
/// assignments with Teredo, documentation, 6to4.
const NOT_PUBLIC_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];
const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        let public = [
            "1.1.1.1",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
        ];
        let private = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.19.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "::127.0.0.1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
            "100::1",
            "5f00::1",
        ];
        for address in public {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_is_allowed_by_name_or_network() {
        let entries = ["Hooks.internal", "10.1.0.0/16", "::1"].map(str::to_owned);
        let allowed = Allowed::parse(&entries, true).unwrap();
        let private: IpAddr = "192.168.0.9".parse().unwrap();
        assert!(allowed.permits("hooks.Internal", private));
        assert!(!allowed.permits("other.internal", private));
        assert!(allowed.permits("x", "10.1.255.1".parse().unwrap()));
        assert!(!allowed.permits("x", "10.2.0.1".parse().unwrap()));
        assert!(allowed.permits("x", "::1".parse().unwrap()));
        assert!(allowed.permits("x", "1.1.1.1".parse().unwrap()));
        assert!(
            !allowed.permits_http("x", "1.1.1.1".parse().unwrap()),
            "public ones need TLS"
        );
        assert!(allowed.permits_http("hooks.internal", private));
        assert!(
            !Allowed::parse(&entries, false)
                .unwrap()
                .permits_http("hooks.internal", private)
        );
        for bad in ["", "10.0.0.0/33", "a b", "http://x"] {
            assert!(Allowed::parse(&[bad.to_owned()], false).is_err(), "{bad}");
        }
    }
}
