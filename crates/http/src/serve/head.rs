//! What the HTTP library does not tell about the head of a request: whether it gives the length of its body in two ways.
//!
//! A request with `Content-Length` and `Transfer-Encoding` is how one server is made to see two requests where another sees
//! one (RFC 9112, section 6.1). The library drops the length; here it is noticed, so that the request can be refused.

use memchr::memchr;

/// Reads the lines of a head as they come, and no further.
#[derive(Default)]
pub struct Head {
    /// How the line begins that is not over yet.
    line: [u8; LINE_MAX],
    held: usize,
    /// How the first line with something in it begins, once it is over.
    first: Option<([u8; LINE_MAX], usize)>,
    over: bool,
    length: bool,
    encoding: bool,
}

/// So many bytes of a line tell.
const LINE_MAX: usize = ENCODING.len();
const LENGTH: &[u8] = b"content-length:";
const ENCODING: &[u8] = b"transfer-encoding:";

impl Head {
    /// Reads more; nothing once the head is over.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while !self.over && !bytes.is_empty() {
            let end = memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let take = part.len().min(LINE_MAX - self.held);
            self.line[self.held..self.held + take].copy_from_slice(&part[..take]);
            self.held += take;
            let Some(end) = end else { return };
            self.line_is_over();
            bytes = &bytes[end + 1..];
        }
    }

    /// Whether both are there.
    pub fn is_ambiguous(&self) -> bool {
        self.length && self.encoding
    }

    /// How the first line begins, as far as it has come.
    pub fn beginning(&self) -> &[u8] {
        match &self.first {
            Some((first, held)) => &first[..*held],
            None => &self.line[..self.held],
        }
    }

    fn line_is_over(&mut self) {
        let held = std::mem::take(&mut self.held);
        let line = &self.line[..held];
        if line.is_empty() || line == b"\r" {
            // Empty lines before a request are skipped (RFC 9112, section 2.2).
            self.over = self.first.is_some();
            return;
        }
        self.first.get_or_insert((self.line, held));
        let is = |name: &[u8]| {
            line.get(..name.len())
                .is_some_and(|s| s.eq_ignore_ascii_case(name))
        };
        self.length |= is(LENGTH);
        self.encoding |= is(ENCODING);
    }
}

#[cfg(test)]
mod tests {
    use super::Head;

    fn ambiguous(text: &str, piece: usize) -> bool {
        let mut head = Head::default();
        for piece in text.as_bytes().chunks(piece) {
            head.read(piece);
        }
        head.is_ambiguous()
    }

    #[test]
    fn both_are_found_however_they_are_cut_and_written() {
        let both =
            "\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-length: 3\r\nTRANSFER-ENCODING: chunked\r\n\r\nabc";
        let other = "POST / HTTP/1.1\nTransfer-Encoding:chunked\ncontent-length:3\n\n";
        for piece in 1..100 {
            assert!(ambiguous(both, piece) && ambiguous(other, piece), "{piece}");
        }
    }

    #[test]
    fn one_of_them_is_no_matter_and_bodies_are_not_read() {
        for text in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Content-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n\nTransfer-Encoding: chunked\r\n",
            "POST / HTTP/1.1\r\nX: Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        ] {
            for piece in 1..100 {
                assert!(!ambiguous(text, piece), "{piece}: {text:?}");
            }
        }
    }
}
