//! Many tokens in one string: how exact values and words reach the indexer without a call for each.
//!
//! # Format
//! Frames, back to back: two characters that tell the length of the token (base 64, digits from `0` upwards), then the
//! token. A frame of length 0 is a gap: the tokens around it are no neighbours.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// A token's longest length (bytes).
pub(crate) const TOKEN_MAX: usize = 64 * 64 - 1;
/// Length of the two characters.
pub(crate) const HEAD: usize = 2;
/// Places that a gap skips.
const GAP: usize = 16;

/// Appends a frame with a token that is given in parts, `TOKEN_MAX` bytes at most; what is beyond must be cut before.
pub(crate) fn push(frames: &mut String, parts: &[&str]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(length <= TOKEN_MAX, "a token of {length} bytes");
    frames.push(digit(length / 64));
    frames.push(digit(length % 64));
    parts.iter().for_each(|part| frames.push_str(part));
}

/// Appends a gap.
pub(crate) fn push_gap(frames: &mut String) {
    frames.push_str("00");
}

fn digit(value: usize) -> char {
    let value = u8::try_from(value % 64).unwrap_or(0);
    char::from(b'0' + value)
}

/// Reads frames.
#[derive(Clone, Default)]
pub(crate) struct Frames {
    token: Token,
}

impl Tokenizer for Frames {
    type TokenStream<'a> = FrameStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> FrameStream<'a> {
        self.token.reset();
        FrameStream {
            frames: text,
            next: 0,
            token: &mut self.token,
        }
    }
}

pub(crate) struct FrameStream<'a> {
    frames: &'a str,
    /// Place of the next token.
    next: usize,
    token: &'a mut Token,
}

impl TokenStream for FrameStream<'_> {
    fn advance(&mut self) -> bool {
        loop {
            let Some((&[high, low], _)) = self.frames.as_bytes().split_first_chunk::<HEAD>() else {
                return false;
            };
            let length = usize::from(high.wrapping_sub(b'0')) * 64 + usize::from(low.wrapping_sub(b'0'));
            let (Some(token), Some(rest)) = (
                self.frames.get(HEAD..HEAD + length),
                self.frames.get(HEAD + length..),
            ) else {
                return false;
            };
            self.frames = rest;
            if length == 0 {
                self.next += GAP;
                continue;
            }
            self.token.text.clear();
            self.token.text.push_str(token);
            self.token.position = self.next;
            self.next += 1;
            return true;
        }
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

#[cfg(test)]
mod tests {
    use tantivy::tokenizer::{TokenStream, Tokenizer};

    use super::{Frames, GAP, TOKEN_MAX, push, push_gap};

    #[test]
    fn tokens_come_back_with_their_places() {
        let long = "é".repeat(TOKEN_MAX / 2);
        let mut frames = String::new();
        push(&mut frames, &["a", "b"]);
        push(&mut frames, &[&long]);
        push_gap(&mut frames);
        push(&mut frames, &["00"]);
        let mut tokenizer = Frames::default();
        let mut found = Vec::new();
        tokenizer.token_stream(&frames).process(&mut |token| {
            found.push((token.text.clone(), token.position));
        });
        let expected = [("ab".to_owned(), 0), (long, 1), ("00".to_owned(), 2 + GAP)];
        assert_eq!(found, expected);
    }

    #[test]
    fn frames_that_end_early_yield_nothing_more() {
        let mut tokenizer = Frames::default();
        for text in ["", "0", "01", "zz", "02é9", "~~abc", "é"] {
            let mut count = 0;
            tokenizer.token_stream(text).process(&mut |_| count += 1);
            assert!(count <= 1, "{text}");
        }
    }
}
