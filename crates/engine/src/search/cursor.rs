//! Cursors: where a search goes on, sealed so that nobody can make one up.
//!
//! A cursor names the log (origin), the tree size that the first page saw, the last hit shown (its sequence number and, if
//! hits are sorted by a column, its sort key), the order, and a hash of the query; so later pages come from exactly the same
//! records, whatever has been appended since, and a cursor of another query, log or permission is refused.
//!
//! # Format
//! URL-safe base64 without padding of nonce ‖ AES-256-GCM ciphertext ‖ tag, under a key derived from the tenant's
//! directory key. Plaintext, little-endian: version u8 = 2, order u8, tree size u64, last seq u64, query hash 16, length of
//! the origin u8, origin, sort key to the end (empty without one).

use attestore_index::Order;
use attestore_keys::{Entropy, Key, aead, derive};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Where a search goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Name of the log.
    pub origin: String,
    /// Tree size that the first page saw.
    pub size: u64,
    /// Sequence number of the last record shown.
    pub last: u64,
    /// What that record is sorted by, if not by its sequence number: [`attestore_index::SortKey::to_bytes`].
    pub key: Option<Vec<u8>>,
    /// Order of the pages.
    pub order: Order,
    /// Hash of everything else that was asked, see [`query_hash`].
    pub query: [u8; 16],
}

/// Says why a cursor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not a cursor of this tenant.
    #[error("the cursor is not one of this tenant's, or has been changed")]
    Invalid,
    /// The log has been forked since.
    #[error("the cursor belongs to another origin of this tenant's log")]
    Origin,
    /// The rest of the request is not the one that the cursor was given for.
    #[error("the cursor belongs to another query, order or permission")]
    Query,
}

impl Cursor {
    /// Seals the cursor into a token; `directory` is the tenant's directory key.
    pub fn seal(&self, directory: &Key, entropy: &dyn Entropy) -> String {
        let mut plain = Vec::with_capacity(FIXED_BYTES + self.origin.len());
        plain.push(VERSION);
        plain.push(match self.order {
            Order::Newest => NEWEST,
            Order::Oldest => OLDEST,
        });
        plain.extend_from_slice(&self.size.to_le_bytes());
        plain.extend_from_slice(&self.last.to_le_bytes());
        plain.extend_from_slice(&self.query);
        // Origins are our own: `attestore.log/` and 32 hex digits.
        plain.push(u8::try_from(self.origin.len()).unwrap_or(u8::MAX));
        plain.extend_from_slice(self.origin.as_bytes());
        plain.extend_from_slice(self.key.as_deref().unwrap_or_default());
        URL_SAFE_NO_PAD.encode(aead::seal_random(&cursor_key(directory), entropy, AAD, &plain))
    }

    /// Opens a token.
    ///
    /// # Errors
    /// [`CursorError::Invalid`] unless it was sealed under this key.
    pub fn open(token: &str, directory: &Key) -> Result<Self, CursorError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(CursorError::Invalid);
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| CursorError::Invalid)?;
        let plain =
            aead::open_random(&cursor_key(directory), AAD, &sealed).map_err(|_| CursorError::Invalid)?;
        decode(&plain).ok_or(CursorError::Invalid)
    }

    /// Checks that the cursor goes on with this very search.
    ///
    /// # Errors
    /// [`CursorError::Origin`], [`CursorError::Query`].
    pub fn check(&self, origin: &str, order: Order, query: &[u8; 16]) -> Result<(), CursorError> {
        if self.origin != origin {
            return Err(CursorError::Origin);
        }
        if self.order != order || self.query != *query {
            return Err(CursorError::Query);
        }
        Ok(())
    }
}

/// Hashes what a cursor is bound to: the query string, the window, the sort and whether personal fields are seen.
pub fn query_hash(
    q: &str,
    from_ns: Option<i64>,
    to_ns: Option<i64>,
    sort: Option<&str>,
    personal: bool,
) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("attestore 2026 search query v2");
    for bound in [from_ns, to_ns] {
        hasher.update(&[u8::from(bound.is_some())]);
        hasher.update(&bound.unwrap_or_default().to_le_bytes());
    }
    hasher.update(&[u8::from(personal), u8::from(sort.is_some())]);
    let sort = sort.unwrap_or_default();
    hasher.update(&(sort.len() as u64).to_le_bytes());
    hasher.update(sort.as_bytes());
    hasher.update(q.as_bytes());
    let mut hash = [0; 16];
    hasher.finalize_xof().fill(&mut hash);
    hash
}

fn decode(plain: &[u8]) -> Option<Cursor> {
    let (&[version], rest) = plain.split_first_chunk()?;
    let (&[order], rest) = rest.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let (last, rest) = rest.split_first_chunk()?;
    let (query, rest) = rest.split_first_chunk()?;
    let (&[length], rest) = rest.split_first_chunk()?;
    let (origin, key) = rest.split_at_checked(usize::from(length))?;
    let order = match (version, order) {
        (VERSION, NEWEST) => Order::Newest,
        (VERSION, OLDEST) => Order::Oldest,
        _ => return None,
    };
    Some(Cursor {
        origin: std::str::from_utf8(origin).ok()?.to_owned(),
        size: u64::from_le_bytes(*size),
        last: u64::from_le_bytes(*last),
        key: (!key.is_empty()).then(|| key.to_vec()),
        order,
        query: *query,
    })
}

fn cursor_key(directory: &Key) -> Key {
    derive("attestore 2026 search cursor v1", &[directory.expose()])
}

const VERSION: u8 = 2;
const NEWEST: u8 = 0;
const OLDEST: u8 = 1;
const FIXED_BYTES: usize = 1 + 1 + 8 + 8 + 16 + 1;
const AAD: &[u8] = b"attestore cursor";
/// Longer tokens are refused before they are decoded. Values of columns, and so sort keys, have 512 bytes at most.
const TOKEN_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use attestore_keys::SeededEntropy;

    use super::*;

    fn cursor() -> Cursor {
        let query = query_hash("action:login", Some(5), None, None, false);
        Cursor {
            origin: "attestore.log/ab".into(),
            size: 100,
            last: 42,
            key: Some(vec![3, 1, 2]),
            order: Order::Newest,
            query,
        }
    }

    #[test]
    fn cursor_opens_only_under_its_own_key() {
        let token = cursor().seal(&Key::from_bytes([1; 32]), &SeededEntropy::new(1));
        assert_eq!(Cursor::open(&token, &Key::from_bytes([1; 32])), Ok(cursor()));
        assert_eq!(
            Cursor::open(&token, &Key::from_bytes([2; 32])),
            Err(CursorError::Invalid)
        );
    }

    #[test]
    fn every_changed_character_is_refused() {
        let key = Key::from_bytes([1; 32]);
        let token = cursor().seal(&key, &SeededEntropy::new(1));
        for at in 0..token.len() {
            let mut bad = token.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            assert_eq!(
                Cursor::open(&bad, &key),
                Err(CursorError::Invalid),
                "character {at}"
            );
            assert!(Cursor::open(&token[..at], &key).is_err());
        }
    }

    #[test]
    fn cursor_is_bound_to_its_search() {
        let cursor = cursor();
        assert_eq!(
            cursor.check("attestore.log/ab", Order::Newest, &cursor.query),
            Ok(())
        );
        assert_eq!(
            cursor.check("attestore.log/cd", Order::Newest, &cursor.query),
            Err(CursorError::Origin)
        );
        assert_eq!(
            cursor.check("attestore.log/ab", Order::Oldest, &cursor.query),
            Err(CursorError::Query)
        );
        let other = query_hash("action:login", Some(5), None, None, true);
        assert_eq!(
            cursor.check("attestore.log/ab", Order::Newest, &other),
            Err(CursorError::Query)
        );
    }
}
