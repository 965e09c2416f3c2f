//! RFC 3339 times and nanoseconds since 1970 in UTC.

use crate::event::{ErrorCode, EventError};
use crate::json::reader::Fail;

const NS_PER_SECOND: i128 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Reads an RFC 3339 time (section 5.6) with any offset and up to nine digits of fraction.
///
/// A leap second (`:60`) counts as the second before it. Times before 1970 and after April 2262 are refused.
pub(crate) fn parse_rfc3339(text: &str) -> Result<i64, Fail> {
    let seconds_and_ns = read(text.as_bytes())
        .ok_or_else(|| EventError::new(ErrorCode::InvalidTime, "expected an RFC 3339 time with offset"))?;
    let (seconds, ns) = seconds_and_ns;
    let total = i128::from(seconds) * NS_PER_SECOND + i128::from(ns);
    match i64::try_from(total) {
        Ok(total) if total >= 0 => Ok(total),
        Err(_) if total > 0 => Err(EventError::new(
            ErrorCode::OccurredInFuture,
            "time is after April 2262",
        )),
        _ => Err(EventError::new(ErrorCode::InvalidTime, "time is before 1970")),
    }
}

/// Appends the time as a JSON string in UTC, with as many digits of fraction as it needs.
pub(crate) fn push_rfc3339(out: &mut Vec<u8>, ns: i64) {
    let seconds = ns.div_euclid(1_000_000_000);
    let fraction = ns.rem_euclid(1_000_000_000).unsigned_abs();
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
    let second = seconds.rem_euclid(SECONDS_PER_DAY).unsigned_abs();
    out.push(b'"');
    digits(out, year.unsigned_abs(), 4);
    out.push(b'-');
    digits(out, month, 2);
    out.push(b'-');
    digits(out, day, 2);
    out.push(b'T');
    digits(out, second / 3600, 2);
    out.push(b':');
    digits(out, second / 60 % 60, 2);
    out.push(b':');
    digits(out, second % 60, 2);
    if fraction != 0 {
        out.push(b'.');
        digits(out, fraction, 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.extend_from_slice(b"Z\"");
}

/// Reads seconds since 1970 and nanoseconds.
fn read(text: &[u8]) -> Option<(i64, i64)> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let punctuation = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if punctuation.iter().any(|(at, byte)| head[*at] != *byte) || !matches!(head[10], b'T' | b't') {
        return None;
    }
    let (year, month, day) = (number(&head[..4])?, number(&head[5..7])?, number(&head[8..10])?);
    let (hour, minute, second) = (
        number(&head[11..13])?,
        number(&head[14..16])?,
        number(&head[17..])?,
    );
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (ns, rest) = fraction(rest)?;
    let of_day = hour * 3600 + minute * 60 + second.min(59);
    Some((
        days(year, month, day) * SECONDS_PER_DAY + of_day - offset(rest)?,
        ns,
    ))
}

fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let value = number(&digits[..length])?;
    let scale = 10_i64.pow(u32::try_from(9 - length).ok()?);
    Some((value * scale, &digits[length..]))
}

fn offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        b"Z" | b"z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let [h1, h2, b':', m1, m2] = rest else { return None };
    let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(sign * (hours * 3600 + minutes * 60))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970 of a date in the proleptic Gregorian calendar, by eras of 400 years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day, the other way.
fn civil(days: i64) -> (i64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (
        year + era * 400 + i64::from(month <= 2),
        month.unsigned_abs(),
        day.unsigned_abs(),
    )
}

fn digits(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let from = out.len();
    out.resize(from + width, b'0');
    for place in out[from..].iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).expect("a digit is below ten");
        value /= 10;
    }
}
