//! Tokens: what a caller presents, and the hash that the catalog keeps of it.
//!
//! # Format
//! `atst_<id>_<secret><check>`: id 12, secret 43 and check 6 characters of base62 (`0-9A-Za-z`). The secret is 32
//! random bytes as one big-endian number; the check is the CRC-32 (IEEE) of everything before it, so that a mistyped
//! or cut token, and any string that merely looks like one, is told apart without asking the server: secret scanners
//! can search for it with few false hits.

use attestore_keys::{Entropy, Key, derive};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The public part of a token: names the credential in logs and lists.
pub type CredentialId = [u8; ID_CHARS];

/// A complete token, shown once. It has no `Debug` and is zeroised when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Shows the token.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What is stored of a secret: a one-way hash of its 32 random bytes.
#[derive(Clone, Copy)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    fn of(secret: &[u8; SECRET_BYTES]) -> Self {
        Self(*derive("attestore 2026 credential secret v1", &[secret]).expose())
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A token taken apart.
pub struct Presented {
    /// The credential it claims to be.
    pub id: CredentialId,
    /// Hash of the secret it brought.
    pub hash: SecretHash,
}

/// Draws a new token.
pub fn generate(entropy: &dyn Entropy) -> (CredentialId, Secret, SecretHash) {
    let id = random_id(entropy);
    let (secret, hash) = generate_for(&id, entropy);
    (id, secret, hash)
}

/// Draws a new token of a credential.
pub fn generate_for(id: &CredentialId, entropy: &dyn Entropy) -> (Secret, SecretHash) {
    let secret = Key::random(entropy);
    let mut token = String::with_capacity(TOKEN_CHARS);
    token.push_str(PREFIX);
    token.extend(id.iter().map(|&digit| char::from(digit)));
    token.push('_');
    push_base62::<SECRET_CHARS>(&mut token, secret.expose());
    let check = crc32(token.as_bytes());
    push_base62::<CHECK_CHARS>(&mut token, &check.to_be_bytes());
    debug_assert_eq!(token.len(), TOKEN_CHARS);
    let hash = SecretHash::of(secret.expose());
    (Secret(token), hash)
}

/// Takes a token apart; `None` unless it is well-formed and its check is right.
pub fn parse(token: &str) -> Option<Presented> {
    if token.len() != TOKEN_CHARS {
        return None;
    }
    let (body, check) = token.as_bytes().split_last_chunk::<CHECK_CHARS>()?;
    let check = base62::<4>(check)?;
    if u32::from_be_bytes(*check) != crc32(body) {
        return None;
    }
    let rest = body.strip_prefix(PREFIX.as_bytes())?;
    let (id, rest) = rest.split_first_chunk::<ID_CHARS>()?;
    let secret = base62::<SECRET_BYTES>(rest.strip_prefix(b"_")?)?;
    id.iter().all(u8::is_ascii_alphanumeric).then(|| Presented {
        id: *id,
        hash: SecretHash::of(&secret),
    })
}

/// Twelve characters, each uniform: bytes that would favour some are drawn again.
fn random_id(entropy: &dyn Entropy) -> CredentialId {
    let mut id = [0; ID_CHARS];
    let mut filled = 0;
    while filled < ID_CHARS {
        let mut byte = [0];
        entropy.fill(&mut byte);
        if byte[0] < 248 {
            id[filled] = ALPHABET[usize::from(byte[0] % 62)];
            filled += 1;
        }
    }
    id
}

/// Appends the big-endian number `bytes` as exactly `DIGITS` base62 digits, most significant first.
fn push_base62<const DIGITS: usize>(out: &mut String, bytes: &[u8]) {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut digits = Zeroizing::new([0u8; DIGITS]);
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in number.iter_mut() {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).expect("remainder < 62, so the quotient fits a byte");
            remainder = value % 62;
        }
        *digit = ALPHABET[usize::try_from(remainder).expect("below 62")];
    }
    out.extend(digits.iter().map(|&digit| char::from(digit)));
}

/// Reads base62 digits as a big-endian number of `BYTES` bytes; `None` if it does not fit or a digit is none.
fn base62<const BYTES: usize>(digits: &[u8]) -> Option<Zeroizing<[u8; BYTES]>> {
    let mut number = Zeroizing::new([0u8; BYTES]);
    for &digit in digits {
        let mut carry = match digit {
            b'0'..=b'9' => u32::from(digit - b'0'),
            b'A'..=b'Z' => u32::from(digit - b'A') + 10,
            b'a'..=b'z' => u32::from(digit - b'a') + 36,
            _ => return None,
        };
        for byte in number.iter_mut().rev() {
            let value = u32::from(*byte) * 62 + carry;
            let [low, ..] = value.to_le_bytes();
            *byte = low;
            carry = value >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

/// CRC-32 (IEEE 802.3, reflected), bit by bit: tokens are short.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

const PREFIX: &str = "atst_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of a credential id.
pub const ID_CHARS: usize = 12;
const SECRET_BYTES: usize = 32;
const SECRET_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;
/// Characters of a token.
pub const TOKEN_CHARS: usize = 5 + ID_CHARS + 1 + SECRET_CHARS + CHECK_CHARS;

#[cfg(test)]
mod tests {
    use attestore_keys::SeededEntropy;

    use super::*;

    #[test]
    fn crc_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn token_parses_to_what_was_generated() {
        let entropy = SeededEntropy::new(3);
        for _ in 0..100 {
            let (id, secret, hash) = generate(&entropy);
            assert_eq!(secret.expose().len(), TOKEN_CHARS);
            let presented = parse(secret.expose()).expect("a generated token parses");
            assert_eq!(presented.id, id);
            assert!(presented.hash.matches(&hash));
        }
    }

    #[test]
    fn every_changed_or_missing_character_is_refused() {
        let (_, secret, _) = generate(&SeededEntropy::new(4));
        let token = secret.expose();
        for at in 0..token.len() {
            let mut bad = token.to_owned().into_bytes();
            bad[at] = if bad[at] == b'x' { b'y' } else { b'x' };
            assert!(
                parse(std::str::from_utf8(&bad).unwrap()).is_none(),
                "character {at}"
            );
            assert!(parse(&token[..at]).is_none());
        }
        assert!(parse(&format!("{token}a")).is_none());
        assert!(parse("").is_none());
    }

    #[test]
    fn numbers_beyond_the_width_are_refused() {
        let largest = "z".repeat(SECRET_CHARS);
        assert!(base62::<SECRET_BYTES>(largest.as_bytes()).is_none());
        assert_eq!(*base62::<4>(b"4gfFC3").unwrap(), [0xff; 4]);
        assert!(base62::<4>(b"4gfFC4").is_none());
    }
}
