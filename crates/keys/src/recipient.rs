//! Files for somebody outside: age files (age-encryption.org/v1) that one X25519 key opens.
//!
//! Who holds every key of an instance cannot read what was written so. The randomness is the system's: it is not drawn through
//! [`crate::Entropy`], which the library does not take.

use std::io::{self, Write};
use std::str::FromStr;

use age::stream::StreamWriter;

/// Whom a file is for: an age X25519 public key, `age1…`.
#[derive(Clone)]
pub struct Recipient(age::x25519::Recipient);

/// A text that is no age X25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an age X25519 public key")]
pub struct NoRecipient;

impl FromStr for Recipient {
    type Err = NoRecipient;

    fn from_str(text: &str) -> Result<Self, NoRecipient> {
        text.parse().map(Self).map_err(|_| NoRecipient)
    }
}

impl Recipient {
    /// Begins a file: what is written to the result, and then ended, only the recipient reads.
    ///
    /// # Errors
    /// What the output says.
    pub fn wrap<W: Write>(&self, out: W) -> io::Result<Outgoing<W>> {
        let recipient: &dyn age::Recipient = &self.0;
        let encryptor =
            age::Encryptor::with_recipients(std::iter::once(recipient)).map_err(io::Error::other)?;
        encryptor.wrap_output(out).map(Outgoing)
    }
}

/// A file that is being written for a recipient.
pub struct Outgoing<W: Write>(StreamWriter<W>);

impl<W: Write> Outgoing<W> {
    /// Ends the file. Without it, nobody reads it to its end.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Write for Outgoing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn only_the_recipient_opens_the_file() {
        let (mine, other) = (
            age::x25519::Identity::generate(),
            age::x25519::Identity::generate(),
        );
        let recipient: Recipient = mine.to_public().to_string().parse().unwrap();
        let plain = vec![7; 200_000];
        let mut out = recipient.wrap(Vec::new()).unwrap();
        for some in plain.chunks(999) {
            out.write_all(some).unwrap();
        }
        let sealed = out.finish().unwrap();
        assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
        let open = |by: &age::x25519::Identity| {
            let decryptor = age::Decryptor::new(&sealed[..]).ok()?;
            let mut read = decryptor
                .decrypt(std::iter::once(by as &dyn age::Identity))
                .ok()?;
            let mut opened = Vec::new();
            read.read_to_end(&mut opened).ok()?;
            Some(opened)
        };
        assert!(open(&mine) == Some(plain));
        assert!(open(&other).is_none());
    }

    #[test]
    fn other_texts_are_no_recipients() {
        for text in [
            "",
            "age1",
            "ssh-ed25519 AAAA",
            "AGE-SECRET-KEY-1QQQ",
            "age1xxxxxxxx",
        ] {
            assert!(text.parse::<Recipient>().is_err(), "{text}");
        }
    }
}
