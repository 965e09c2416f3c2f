//! A limit as an operator writes it.
//!
//! # Format
//! `COUNT/WINDOW`, then ` gcra` and ` burst=COUNT` if wanted. A window is a number and a unit, `ms`, `s`, `m`, `h` or `d`; a unit
//! alone is one of it. `1000/s`: at most 1000 in any second. `600/m gcra burst=20`: one every 100 ms, and 20 at once after a
//! pause.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{MS, Ns};

/// How many in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    count: u32,
    window_ms: u64,
    kind: Kind,
}

/// How a rate is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Never more than the count in any window of time.
    Window,
    /// Evenly: one after the other at the rate, and `burst` at once after a pause (the generic cell rate algorithm).
    Gcra {
        /// How many at once.
        burst: u32,
    },
}

/// Why a text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write it as 1000/s, 20/10s or 600/m gcra burst=20")]
pub struct RateError(&'static str);

impl Rate {
    /// Makes a rate that is counted over a sliding window.
    ///
    /// # Errors
    /// As [`Rate::from_str`].
    pub fn window(count: u32, window_ms: u64) -> Result<Self, RateError> {
        Self::new(count, window_ms, Kind::Window)
    }

    /// Makes an even rate.
    ///
    /// # Errors
    /// As [`Rate::from_str`].
    pub fn gcra(count: u32, window_ms: u64, burst: u32) -> Result<Self, RateError> {
        Self::new(count, window_ms, Kind::Gcra { burst })
    }

    fn new(count: u32, window_ms: u64, kind: Kind) -> Result<Self, RateError> {
        if count == 0 {
            return Err(RateError("the count is at least 1"));
        }
        if !(WINDOW_MS_MIN..=WINDOW_MS_MAX).contains(&window_ms) {
            return Err(RateError("the window is between 10ms and 1d"));
        }
        if u64::from(count) * 1000 / window_ms > PER_SECOND_MAX {
            return Err(RateError("that is more than ten million per second"));
        }
        if kind == (Kind::Gcra { burst: 0 }) {
            return Err(RateError("the burst is at least 1"));
        }
        Ok(Self {
            count,
            window_ms,
            kind,
        })
    }

    /// How many in a window.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The window, milliseconds.
    pub fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// The window, nanoseconds.
    pub fn window_ns(&self) -> Ns {
        self.window_ms * MS
    }

    /// How many pass at once after a pause.
    pub fn at_once(&self) -> u32 {
        match self.kind {
            Kind::Window => self.count,
            Kind::Gcra { burst } => burst,
        }
    }

    /// How it is counted.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The rate times `per_mille` thousandths; at least 1 remains.
    #[must_use]
    pub fn scaled(self, per_mille: u32) -> Self {
        if per_mille >= 1000 {
            return self;
        }
        let scale = |count: u32| -> u32 {
            let scaled = u64::from(count) * u64::from(per_mille) / 1000;
            u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
        };
        Self {
            count: scale(self.count),
            kind: match self.kind {
                Kind::Window => Kind::Window,
                Kind::Gcra { burst } => Kind::Gcra { burst: scale(burst) },
            },
            ..self
        }
    }

    /// What one of so many servers may let through by itself.
    #[must_use]
    pub fn share(self, servers: u32) -> Self {
        let servers = servers.max(1);
        Self {
            count: (self.count / servers).max(1),
            kind: match self.kind {
                Kind::Window => Kind::Window,
                Kind::Gcra { burst } => Kind::Gcra {
                    burst: (burst / servers).max(1),
                },
            },
            ..self
        }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    /// # Errors
    /// Of text that is no rate, and of rates out of range: windows from 10 ms to a day, at most ten million per second.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let mut words = text.split_ascii_whitespace();
        let (count, window) = words
            .next()
            .and_then(|word| word.split_once('/'))
            .ok_or(RateError("a rate is COUNT/WINDOW"))?;
        let count: u32 = count
            .parse()
            .map_err(|_| RateError("the count is a whole number below 4294967296"))?;
        let window_ms = window_ms(window).ok_or(RateError("the window is such as s, 10s, m, 2h or 1d"))?;
        let mut gcra = false;
        let mut burst = None;
        for word in words {
            match word.strip_prefix("burst=") {
                Some(number) if burst.is_none() => {
                    burst = Some(
                        number
                            .parse()
                            .map_err(|_| RateError("the burst is a whole number"))?,
                    );
                }
                None if word == "gcra" && !gcra => gcra = true,
                _ => return Err(RateError("after COUNT/WINDOW there is only gcra and burst=COUNT")),
            }
        }
        let kind = match (gcra, burst) {
            (false, None) => Kind::Window,
            (false, Some(_)) => return Err(RateError("a burst is for gcra")),
            (true, burst) => Kind::Gcra {
                burst: burst.unwrap_or((count / 10).max(1)),
            },
        };
        Self::new(count, window_ms, kind)
    }
}

fn window_ms(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = if number.is_empty() {
        1
    } else {
        number.parse().ok()?
    };
    let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*ms)
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, ms) = UNITS
            .iter()
            .find(|(_, ms)| self.window_ms.is_multiple_of(*ms))
            .unwrap_or(&("ms", 1));
        write!(f, "{}/{}{unit}", self.count, self.window_ms / ms)?;
        match self.kind {
            Kind::Window => Ok(()),
            Kind::Gcra { burst } => write!(f, " gcra burst={burst}"),
        }
    }
}

impl TryFrom<String> for Rate {
    type Error = RateError;

    fn try_from(text: String) -> Result<Self, RateError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

/// Longest first: how a window is shown.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
const WINDOW_MS_MIN: u64 = 10;
const WINDOW_MS_MAX: u64 = 86_400_000;
/// Above this, rounding an interval up to whole nanoseconds would be felt.
const PER_SECOND_MAX: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_shown_alike() {
        for text in [
            "1000/1s",
            "20/10s",
            "600/1m gcra burst=20",
            "1/1d",
            "5/250ms",
            "7/2h",
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("1000/s".parse::<Rate>().unwrap().to_string(), "1000/1s");
        assert_eq!(
            "100/m gcra".parse::<Rate>().unwrap().to_string(),
            "100/1m gcra burst=10"
        );
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "10",
            "/s",
            "0/s",
            "-1/s",
            "1/0s",
            "1/2d",
            "1/y",
            "1/s burst=3",
            "1/s gcra burst=0",
            "1/s gcra gcra",
            "99999999999/s",
            "20000000/s",
            "1/5ms",
            "1/99999999999999999999d",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn scaling_leaves_at_least_one() {
        let rate: Rate = "10/s gcra burst=2".parse().unwrap();
        assert_eq!(rate.scaled(1).to_string(), "1/1s gcra burst=1");
        assert_eq!(rate.scaled(500).to_string(), "5/1s gcra burst=1");
        assert_eq!(rate.scaled(1000), rate);
        assert_eq!(rate.share(3).to_string(), "3/1s gcra burst=1");
    }
}
