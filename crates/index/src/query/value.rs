//! Values in queries: times, addresses, numbers.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use crate::document::mapped;

/// A time with the span it names: `2026-11-22` is the whole day, a time with seconds is that second, one with
/// fractions that very instant at their precision. Without an offset, UTC. Plain numbers are ms since 1970.
pub(crate) fn time(text: &str) -> Option<RangeInclusive<i64>> {
    if let Ok(ms) = text.parse::<i64>() {
        let start = ms.checked_mul(1_000_000)?;
        return Some(start..=start.checked_add(999_999)?);
    }
    if let Ok(day) = text.parse::<civil::Date>()
        && text.len() <= 10
    {
        let start = nanoseconds(day.to_zoned(TimeZone::UTC).ok()?.timestamp())?;
        return Some(start..=start.checked_add(86_400_000_000_000 - 1)?);
    }
    let at = match text.parse::<Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => text
            .parse::<civil::DateTime>()
            .ok()?
            .to_zoned(TimeZone::UTC)
            .ok()?
            .timestamp(),
    };
    let start = nanoseconds(at)?;
    Some(start..=start.checked_add(precision_ns(text) - 1)?)
}

/// Nanoseconds named by the last digit of a time.
fn precision_ns(text: &str) -> i64 {
    let digits = text
        .split_once('.')
        .map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    let clock = text.split_once(['T', 't', ' ']).map_or("", |(_, clock)| clock);
    let minutes_only = clock
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b':')
        .count()
        == 5;
    match digits {
        0 if minutes_only => 60_000_000_000,
        0 => 1_000_000_000,
        digits => (digits..9).fold(1, |unit, _| unit * 10),
    }
}

fn nanoseconds(at: Timestamp) -> Option<i64> {
    i64::try_from(at.as_nanosecond()).ok()
}

/// An address, or a network as `10.0.0.0/8`.
pub(crate) fn network(text: &str) -> Option<RangeInclusive<Ipv6Addr>> {
    let Some((address, length)) = text.split_once('/') else {
        let address = mapped(text.parse::<IpAddr>().ok()?.to_canonical());
        return Some(address..=address);
    };
    let address = address.parse::<IpAddr>().ok()?;
    let length = length.parse::<u32>().ok()?;
    let prefix = match address {
        IpAddr::V4(_) => 96 + Some(length).filter(|length| *length <= 32)?,
        IpAddr::V6(_) => Some(length).filter(|length| *length <= 128)?,
    };
    let host_bits = u128::MAX.checked_shr(prefix).unwrap_or(0);
    let bits = mapped(address).to_bits();
    Some(Ipv6Addr::from_bits(bits & !host_bits)..=Ipv6Addr::from_bits(bits | host_bits))
}

/// The texts under which a value at a path may be indexed: as typed, and as equal numbers are.
pub(crate) fn spellings(text: &str) -> Vec<String> {
    let mut spellings = vec![text.to_owned()];
    if let Some(number) = number(text) {
        let whole = text.parse::<i128>().ok();
        let whole = whole.filter(|number| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(number));
        let plain = whole.map_or_else(|| number.to_string(), |number| number.to_string());
        let zero = (number == 0.0).then(|| ["0", "-0"].map(str::to_owned));
        for spelling in zero.into_iter().flatten().chain([plain]) {
            if !spellings.contains(&spelling) {
                spellings.push(spelling);
            }
        }
    }
    spellings
}

/// A finite number written as people write numbers.
pub(crate) fn number(text: &str) -> Option<f64> {
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    numeric
        .then(|| text.parse::<f64>().ok())
        .flatten()
        .filter(|number| number.is_finite())
}
