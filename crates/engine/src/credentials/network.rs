//! Networks that a credential may be used from.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// A network: an address and how many of its leading bits count, e.g. `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: Ipv6Addr,
    /// Of 128: IPv4 addresses are the mapped ones.
    bits: u8,
}

impl Network {
    /// Says whether an address is in it. An IPv4 address that came in as IPv6 (`::ffff:10.0.0.1`) is the IPv4 address.
    pub fn has(&self, address: IpAddr) -> bool {
        masked(mapped(address), self.bits) == self.address
    }

    /// Says whether every address of another network is in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && masked(other.address, self.bits) == self.address
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            // `parse` would take a sign.
            Some(bits) if bits.bytes().all(|digit| digit.is_ascii_digit()) => {
                bits.parse().map_err(|_| NotANetwork)?
            }
            Some(_) => return Err(NotANetwork),
            None => width,
        };
        if bits > width {
            return Err(NotANetwork);
        }
        let (bits, address) = (128 - width + bits, mapped(address));
        // Bits beyond the prefix are a typing error more often than not.
        match masked(address, bits) == address {
            true => Ok(Self { address, bits }),
            false => Err(NotANetwork),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address.to_ipv4_mapped(), self.bits.checked_sub(96)) {
            (Some(address), Some(bits)) => write!(f, "{address}/{bits}"),
            _ => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// A text that names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network: write address/bits with no bit set beyond them, e.g. 10.1.0.0/16")]
pub struct NotANetwork;

const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn masked(address: Ipv6Addr, bits: u8) -> Ipv6Addr {
    let keep = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        for (network, inside, outside) in [
            ("10.1.0.0/16", "10.1.255.9", "10.2.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "255.1.1.1", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "127.0.0.1"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::7f00:1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.has(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.has(outside.parse().unwrap()), "{network} {outside}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        let everything: Network = "::/0".parse().unwrap();
        assert!(everything.has("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn networks_cover_what_is_within_them() {
        for (outer, inner, covers) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("10.0.0.0/8", "11.0.0.0/16", false),
            ("10.0.0.0/8", "::/0", false),
            ("::/0", "10.0.0.0/8", true),
        ] {
            let [outer, inner]: [Network; 2] = [outer.parse().unwrap(), inner.parse().unwrap()];
            assert_eq!(outer.covers(&inner), covers, "{outer} {inner}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "::/129",
            "host/8",
            "2001:db8::1/32",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
    }
}
