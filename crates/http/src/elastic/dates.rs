//! Times as Elasticsearch's requests write them, and as its answers do.
//!
//! Written: milliseconds or seconds since 1970, ISO 8601 as far as it is given, and date math (`now-1d/d`,
//! `2026-11-22||+1M/M`). A time stands for the span that it names, so `lte` of a day includes all of it.

use attestore_engine::search::time_span;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp, Zoned};
use serde_json::Value;

/// Formats in which times are read and written by ISO 8601.
const ISO: [&str; 10] = [
    "strict_date_optional_time",
    "date_optional_time",
    "strict_date_optional_time_nanos",
    "strict_date_time",
    "date_time",
    "strict_date_time_no_millis",
    "date_time_no_millis",
    "strict_date",
    "date",
    "iso8601",
];
const NS_PER_MS: i64 = 1_000_000;
const NS_PER_S: i64 = 1_000_000_000;
/// Operations in one expression.
const OPERATIONS_MAX: usize = 16;

/// A span of time: nanoseconds since 1970, both ends included.
pub type Within = (i64, i64);

/// How times in a request are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// What `now` means, milliseconds since 1970.
    pub now_ms: u64,
    /// `format` of the request.
    pub format: Option<&'a str>,
    /// Zone of times that name none, and of rounding.
    pub zone: Offset,
}

impl Reading<'_> {
    /// Reads a time; `None` if it is none.
    pub fn span(&self, value: &Value) -> Option<Within> {
        match value {
            Value::Number(number) => {
                let whole = number.as_i64().or_else(|| whole(number.as_f64()?))?;
                self.epoch(whole)
            }
            Value::String(text) => self.text(text.trim()),
            _ => None,
        }
    }

    fn text(&self, text: &str) -> Option<Within> {
        if let Some(math) = text.strip_prefix("now") {
            let now = i64::try_from(self.now_ms).ok()?.checked_mul(NS_PER_MS)?;
            return self.math((now, now.checked_add(NS_PER_MS - 1)?), math);
        }
        match text.split_once("||") {
            Some((anchor, math)) => self.math(self.plain(anchor)?, math),
            None => self.plain(text),
        }
    }

    fn plain(&self, text: &str) -> Option<Within> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let epoch = self.format.is_some_and(|format| format.starts_with("epoch_"));
            return match (digits.len(), epoch) {
                (4, false) => self.calendar(text.parse().ok()?, None),
                _ => self.epoch(text.parse().ok()?),
            };
        }
        if let Some((year, month)) = text.split_once('-')
            && year.len() == 4
            && month.len() == 2
        {
            return self.calendar(year.parse().ok()?, Some(month.parse().ok()?));
        }
        let hour = text.len() == 13 && text.as_bytes().get(10) == Some(&b'T');
        let completed;
        let (text, length) = match hour {
            true => {
                completed = format!("{text}:00");
                (&*completed, Some(3600 * NS_PER_S))
            }
            false => (text, None),
        };
        let (start, end) = match time_span(text) {
            Some(span) => (*span.start(), *span.end()),
            None => beyond(text)?,
        };
        let shift = match has_offset(text) {
            true => 0,
            false => i64::from(self.zone.seconds()) * NS_PER_S,
        };
        let start = start.saturating_sub(shift);
        let end = length.map_or(end.saturating_sub(shift), |length| {
            start.saturating_add(length - 1)
        });
        Some((start, end))
    }

    fn epoch(&self, number: i64) -> Option<Within> {
        let unit = match self.format {
            Some("epoch_second") => NS_PER_S,
            Some("epoch_nanos_int") => 1,
            _ => NS_PER_MS,
        };
        let start = number.saturating_mul(unit);
        Some((start, start.saturating_add(unit - 1)))
    }

    /// A whole year or month.
    fn calendar(&self, year: i16, month: Option<i8>) -> Option<Within> {
        let first = Date::new(year, month.unwrap_or(1), 1).ok()?;
        let start = first.to_zoned(TimeZone::fixed(self.zone)).ok()?;
        let unit = if month.is_some() { 'M' } else { 'y' };
        let end = start.checked_add(span_of(1, unit)?).ok()?;
        Some((ns(&start), ns(&end).saturating_sub(1)))
    }

    /// Adds, subtracts, and rounds down to a unit; a rounded time stands for the whole of it.
    fn math(&self, start: Within, mut math: &str) -> Option<Within> {
        let zone = TimeZone::fixed(self.zone);
        let mut at = Timestamp::from_nanosecond(i128::from(start.0))
            .ok()?
            .to_zoned(zone);
        let mut length = start.1.saturating_sub(start.0);
        for _ in 0..OPERATIONS_MAX {
            let mut rest = math.chars();
            match rest.next() {
                None => {
                    let first = ns(&at);
                    return Some((first, first.saturating_add(length)));
                }
                Some('/') => {
                    let unit = rest.next()?;
                    at = floor(&at, unit)?;
                    let end = at.checked_add(span_of(1, unit)?).ok()?;
                    length = ns(&end).saturating_sub(ns(&at)).saturating_sub(1);
                    math = rest.as_str();
                }
                Some(sign @ ('+' | '-')) => {
                    let rest = rest.as_str();
                    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
                    let (count, rest) = rest.split_at_checked(digits)?;
                    let count: i64 = if count.is_empty() { 1 } else { count.parse().ok()? };
                    let mut rest = rest.chars();
                    let span = span_of(count, rest.next()?)?;
                    let span = if sign == '-' { span.negate() } else { span };
                    at = at.checked_add(span).ok()?;
                    math = rest.as_str();
                }
                Some(_) => return None,
            }
        }
        None
    }
}

fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// A time beyond what nanoseconds reach: before or after everything.
fn beyond(text: &str) -> Option<Within> {
    let (day, _) = text.split_at_checked(10)?;
    let year = day.parse::<Date>().ok()?.year();
    match year {
        ..1678 => Some((i64::MIN, i64::MIN)),
        2262.. => Some((i64::MAX, i64::MAX)),
        _ => None,
    }
}

fn has_offset(text: &str) -> bool {
    let clock = text.split_once(['T', 't', ' ']).map_or("", |(_, clock)| clock);
    clock.contains(['+', '-', 'Z', 'z'])
}

fn clamp(ns: i128) -> i64 {
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}

fn ns(at: &Zoned) -> i64 {
    clamp(at.timestamp().as_nanosecond())
}

fn span_of(count: i64, unit: char) -> Option<Span> {
    let span = Span::new();
    match unit {
        'y' => span.try_years(count),
        'M' => span.try_months(count),
        'w' => span.try_weeks(count),
        'd' => span.try_days(count),
        'h' | 'H' => span.try_hours(count),
        'm' => span.try_minutes(count),
        's' => span.try_seconds(count),
        _ => return None,
    }
    .ok()
}

fn floor(at: &Zoned, unit: char) -> Option<Zoned> {
    let date = at.date();
    let (date, time) = match unit {
        'y' => (date.first_of_year(), None),
        'M' => (date.first_of_month(), None),
        'w' => {
            let since = date.weekday().to_monday_zero_offset();
            (date.checked_sub(Span::new().days(since)).ok()?, None)
        }
        'd' => (date, None),
        'h' | 'H' => (date, Some((0, 0))),
        'm' => (date, Some((at.minute(), 0))),
        's' => (date, Some((at.minute(), at.second()))),
        _ => return None,
    };
    let floor = match time {
        None => date.at(0, 0, 0, 0),
        Some((minute, second)) => date.at(at.hour(), minute, second, 0),
    };
    floor.to_zoned(at.time_zone().clone()).ok()
}

/// Tells whether times can be read in a format: a list, separated by `||`.
pub fn is_readable(format: &str) -> bool {
    let others = ["epoch_millis", "epoch_second", "yyyy-MM-dd"];
    format
        .split("||")
        .all(|one| ISO.contains(&one) || others.contains(&one))
}

/// A zone as an offset: `Z`, `UTC`, `+02:00`. `None` for zones whose offset changes.
pub fn zone(name: &str) -> Option<Offset> {
    if ["z", "utc", "gmt", "etc/utc", "etc/gmt", "zulu", "utc+0"].contains(&&*name.to_ascii_lowercase()) {
        return Some(Offset::UTC);
    }
    let (sign, rest) = match name.as_bytes().first()? {
        b'+' => (1, name.get(1..)?),
        b'-' => (-1, name.get(1..)?),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 => rest.split_at_checked(2)?,
        None => (rest, "0"),
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let fits = (0..=18).contains(&hours) && (0..60).contains(&minutes);
    match fits {
        true => Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok(),
        false => None,
    }
}

/// How times are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Milliseconds since 1970, as text.
    Millis,
    /// Seconds since 1970, as text.
    Seconds,
    /// Nanoseconds since 1970, a number.
    Nanos,
    /// ISO 8601 with milliseconds, or as many digits more as there are.
    Iso { nanos: bool },
    /// Letters of a pattern.
    Pattern(String),
}

impl Shown {
    /// Reads a format; of a list, the first counts.
    pub fn read(format: &str) -> Option<Self> {
        Some(match format.split("||").next()? {
            "epoch_millis" => Self::Millis,
            "epoch_second" => Self::Seconds,
            "epoch_nanos_int" => Self::Nanos,
            "strict_date_optional_time_nanos" => Self::Iso { nanos: true },
            "strict_date" | "date" => Self::Pattern("yyyy-MM-dd".to_owned()),
            known if ISO.contains(&known) => Self::Iso { nanos: false },
            pattern if is_pattern(pattern) => Self::Pattern(pattern.to_owned()),
            _ => return None,
        })
    }

    /// Writes a time (nanoseconds since 1970).
    pub fn show(&self, ns: i64, zone: Offset) -> Value {
        match self {
            Self::Millis => Value::from(ns.div_euclid(NS_PER_MS).to_string()),
            Self::Seconds => Value::from(ns.div_euclid(NS_PER_S).to_string()),
            Self::Nanos => Value::from(ns),
            Self::Iso { nanos } => Value::from(iso(ns, zone, *nanos)),
            Self::Pattern(pattern) => Value::from(by_pattern(pattern, ns, zone)),
        }
    }
}

/// ISO 8601 with milliseconds: `2026-11-22T02:06:14.120Z`.
pub fn iso(ns: i64, zone: Offset, nanos: bool) -> String {
    let pattern = match (nanos, ns.rem_euclid(NS_PER_MS)) {
        (false, _) | (true, 0) => "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        (true, _) => "yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSSXXX",
    };
    by_pattern(pattern, ns, zone)
}

/// Whether a pattern has only letters that are known, and texts.
fn is_pattern(pattern: &str) -> bool {
    let mut quoted = false;
    let known = |c: char| "yuMdHmsSXZ".contains(c) || !c.is_ascii_alphabetic();
    let fits = pattern.chars().all(|c| {
        quoted ^= c == '\'';
        quoted || known(c)
    });
    fits && !quoted && !pattern.is_empty() && pattern.len() <= 64
}

fn by_pattern(pattern: &str, ns: i64, zone: Offset) -> String {
    let Ok(at) = Timestamp::from_nanosecond(i128::from(ns)) else {
        return ns.to_string();
    };
    let at = at.to_zoned(TimeZone::fixed(zone));
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            out.extend(chars.by_ref().take_while(|c| *c != '\''));
            continue;
        }
        let mut width = 1;
        while c.is_ascii_alphabetic() && chars.next_if_eq(&c).is_some() {
            width += 1;
        }
        let number = |number: i32| format!("{number:0width$}");
        out.push_str(&match c {
            'y' | 'u' if width == 2 => format!("{:02}", at.year().rem_euclid(100)),
            'y' | 'u' => number(i32::from(at.year())),
            'M' => number(i32::from(at.month())),
            'd' => number(i32::from(at.day())),
            'H' => number(i32::from(at.hour())),
            'm' => number(i32::from(at.minute())),
            's' => number(i32::from(at.second())),
            'S' => {
                let digits = format!("{:09}", at.subsec_nanosecond());
                digits.chars().chain(std::iter::repeat('0')).take(width).collect()
            }
            'X' if zone == Offset::UTC => "Z".to_owned(),
            'X' | 'Z' => {
                let (seconds, colon) = (zone.seconds(), if c == 'X' { ":" } else { "" });
                let sign = if seconds < 0 { '-' } else { '+' };
                let minutes = seconds.abs() / 60;
                format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
            }
            c => c.to_string(),
        });
    }
    out
}

#[cfg(test)]
mod tests;
