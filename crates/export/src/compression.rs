//! Compression of whole files, as gzip and zstd tools read them.

use std::io::{self, Write};
use std::mem;

use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

/// How files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compression {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The compression of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Zstd]
            .into_iter()
            .find(|compression| compression.name() == name)
    }

    /// What a file's name ends with.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// One file in the making. What comes out is taken out now and then, so that it never grows.
pub struct Compressor(Inner);

enum Inner {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    /// Begins a file.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(compression: Compression) -> io::Result<Self> {
        Ok(Self(match compression {
            Compression::None => Inner::Plain(Vec::new()),
            Compression::Gzip => Inner::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::fast())),
            Compression::Zstd => Inner::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        }))
    }

    /// Appends bytes and takes out what is ready of the file.
    ///
    /// # Errors
    /// Only when there is no memory.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let out = match &mut self.0 {
            Inner::Plain(out) => {
                out.extend_from_slice(bytes);
                out
            }
            Inner::Gzip(encoder) => {
                encoder.write_all(bytes)?;
                encoder.get_mut()
            }
            Inner::Zstd(encoder) => {
                encoder.write_all(bytes)?;
                encoder.get_mut()
            }
        };
        Ok(mem::take(out))
    }

    /// Ends the file; returns what was left of it.
    ///
    /// # Errors
    /// As [`Compressor::write`].
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Inner::Plain(out) => Ok(out),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// Fast: an export waits for the disk and for records, not for the last tenth of size.
const ZSTD_LEVEL: i32 = 3;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_was_written_comes_back_whatever_the_pieces() {
        let bytes: Vec<u8> = (0..300_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let mut compressor = Compressor::new(compression).unwrap();
            let mut file = Vec::new();
            for piece in bytes.chunks(9973) {
                file.extend(compressor.write(piece).unwrap());
            }
            file.extend(compressor.finish().unwrap());
            let mut back = Vec::new();
            match compression {
                Compression::None => back = file,
                Compression::Gzip => {
                    assert!(file.len() < bytes.len());
                    let mut decoder = flate2::read::GzDecoder::new(&file[..]);
                    decoder.read_to_end(&mut back).unwrap();
                }
                Compression::Zstd => back = zstd::decode_all(&file[..]).unwrap(),
            }
            assert!(back == bytes, "{compression:?}");
        }
    }
}
