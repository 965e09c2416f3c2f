//! What is counted: scopes, classes of routes, and a key's place in tables and stores.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::address;

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those from one network: /32 of IPv4, /64 of IPv6.
    Address,
    /// Those of one credential.
    Credential,
    /// Those to one tenant.
    Tenant,
}

impl Scope {
    /// Every scope, in the order of checks.
    pub const ALL: [Self; 3] = [Self::Address, Self::Credential, Self::Tenant];

    /// Returns the name in settings and header fields.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Credential => "credential",
            Self::Tenant => "tenant",
        }
    }
}

/// What a route does, as far as limits care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Appends.
    Append,
    /// Reads single records and small documents.
    Read,
    /// Searches.
    Search,
    /// Reads proofs and tiles.
    Proof,
    /// Makes and fetches exports.
    Export,
    /// Follows a log.
    Tail,
    /// Administers.
    Admin,
    /// Needs no credential.
    Public,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 8] = [
        Self::Append,
        Self::Read,
        Self::Search,
        Self::Proof,
        Self::Export,
        Self::Tail,
        Self::Admin,
        Self::Public,
    ];

    /// Returns the name in settings and header fields.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Search => "search",
            Self::Proof => "proof",
            Self::Export => "export",
            Self::Tail => "tail",
            Self::Admin => "admin",
            Self::Public => "public",
        }
    }

    /// Its place in [`Class::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether it gives way first under load.
    pub const fn is_read(self) -> bool {
        matches!(
            self,
            Self::Read | Self::Search | Self::Proof | Self::Export | Self::Tail
        )
    }
}

/// A key's place: a keyed hash, so that nobody who does not know the seed can make keys collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Where in a table.
    pub at: u64,
    /// What tells it from others there.
    pub mark: u64,
}

/// Makes places and names of keys.
#[derive(Clone)]
pub struct Hash {
    local: [u64; 2],
}

impl Hash {
    /// `seed` is random and secret.
    pub fn new(seed: [u64; 2]) -> Self {
        Self { local: seed }
    }

    /// The place of `id` under the policy of that number.
    pub fn place(&self, policy: u8, id: Id<'_>) -> Place {
        let hash = id.hashed(policy, self.local);
        Place {
            at: hash.h1,
            mark: hash.h2,
        }
    }
}

/// Who is counted.
#[derive(Clone, Copy, Debug)]
pub enum Id<'a> {
    /// An address; its network counts.
    Address(IpAddr),
    /// A credential's id or a tenant's name.
    Name(&'a str),
}

impl Id<'_> {
    /// The name in a store that servers share. It tells nobody the id who does not know `secret`.
    pub fn shared_name(self, policy: &str, secret: &[u8]) -> String {
        let mut keyed = SipHasher13::new_with_keys(0x6174_7465_7374_6f72, 0x6c69_6d69_7473_2031);
        keyed.write(secret);
        let key = keyed.finish128();
        let hash = self.hashed(0, [key.h1, key.h2]);
        format!("{policy}:{:016x}{:016x}", hash.h1, hash.h2)
    }

    fn hashed(self, policy: u8, keys: [u64; 2]) -> siphasher::sip128::Hash128 {
        let mut hasher = SipHasher13::new_with_keys(keys[0], keys[1]);
        hasher.write_u8(policy);
        match self {
            Self::Address(address) => hasher.write_u128(address::network(address)),
            Self::Name(name) => hasher.write(name.as_bytes()),
        }
        hasher.finish128()
    }
}
