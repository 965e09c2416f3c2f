//! Intervals of time, of fixed length or of the calendar (UTC, proleptic Gregorian).
//!
//! Times are mapped to whole numbers of intervals and back in integers: nothing is rounded, whatever the precision.

const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// 1970-01-05, the first Monday (ns since 1970).
const MONDAY: i64 = 4 * DAY;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;
/// Days of 400 years.
const ERA_DAYS: i64 = 146_097;

/// A grid of intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    length: Length,
    /// Time that the grid is moved by (ns).
    offset_ns: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Ns(i64),
    Months(i64),
}

impl Interval {
    /// Reads `30s`, `12h`, `1d`; units are ms, s, m, h and d.
    pub(crate) fn fixed(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
        let (count, unit) = text.split_at_checked(unit_at)?;
        let unit = match unit {
            "ms" => MS,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            "d" => DAY,
            _ => return None,
        };
        let ns = count
            .parse::<i64>()
            .ok()?
            .checked_mul(unit)
            .filter(|ns| *ns > 0)?;
        Some(Self {
            length: Length::Ns(ns),
            offset_ns: 0,
        })
    }

    /// Reads `minute`, `hour`, `day`, `week`, `month`, `quarter`, `year`, or `1m`, `1h`, `1d`, `1w`, `1M`, `1q`, `1y`. Weeks
    /// begin on Monday.
    pub(crate) fn calendar(text: &str) -> Option<Self> {
        let (length, offset_ns) = match text {
            "minute" | "1m" => (Length::Ns(MINUTE), 0),
            "hour" | "1h" => (Length::Ns(HOUR), 0),
            "day" | "1d" => (Length::Ns(DAY), 0),
            "week" | "1w" => (Length::Ns(WEEK), MONDAY),
            "month" | "1M" => (Length::Months(1), 0),
            "quarter" | "1q" => (Length::Months(3), 0),
            "year" | "1y" => (Length::Months(12), 0),
            _ => return None,
        };
        Some(Self { length, offset_ns })
    }

    /// Moves the grid by `+6h` or `-1d`.
    pub(crate) fn moved(mut self, text: &str) -> Option<Self> {
        let (sign, length) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let Length::Ns(ns) = Self::fixed(length)?.length else {
            return None;
        };
        self.offset_ns = self.offset_ns.checked_add(sign * ns)?;
        Some(self)
    }

    /// The interval that a time is in.
    pub(crate) fn index(&self, ns: i64) -> i64 {
        let ns = ns.saturating_sub(self.offset_ns);
        match self.length {
            Length::Ns(length) => ns.div_euclid(length),
            Length::Months(length) => month(ns.div_euclid(DAY)).div_euclid(length),
        }
    }

    /// The first time of an interval (ns since 1970), which may be beyond 64 bits.
    pub(crate) fn start_ns(&self, index: i64) -> i128 {
        let start = match self.length {
            Length::Ns(length) => i128::from(index) * i128::from(length),
            Length::Months(length) => i128::from(first_day(index.saturating_mul(length))) * i128::from(DAY),
        };
        start + i128::from(self.offset_ns)
    }

    /// The times of an interval as far as 64 bits go: from the first up to the last, both included.
    pub(crate) fn span(&self, index: i64) -> (i64, i64) {
        let clamp = |ns: i128| i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX });
        (
            clamp(self.start_ns(index)),
            clamp(self.start_ns(index.saturating_add(1)) - 1),
        )
    }
}

/// The month of a day (days since 1970) in months since year 0. After Hinnant, "chrono-compatible low-level date algorithms".
fn month(day: i64) -> i64 {
    let shifted = day + EPOCH_DAYS;
    let era = shifted.div_euclid(ERA_DAYS);
    let day_of_era = shifted.rem_euclid(ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March.
    let month = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + month + 2
}

/// The first day (days since 1970) of a month (months since year 0).
fn first_day(month: i64) -> i64 {
    // Years that begin in March.
    let from_march = month - 2;
    let (year, month) = (from_march.div_euclid(12), from_march.rem_euclid(12));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::{DAY, Interval, first_day, month};

    fn ns(text: &str) -> i64 {
        i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    fn start(interval: Interval, time: &str) -> String {
        let start = interval.start_ns(interval.index(ns(time)));
        Timestamp::from_nanosecond(start).unwrap().to_string()
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        for day in (-110_000..110_000).step_by(7) {
            let at = Timestamp::from_nanosecond(i128::from(day) * i128::from(DAY)).unwrap();
            let date = at.to_zoned(TimeZone::UTC).date();
            let expected = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
            assert_eq!(month(day), expected, "{date}");
            assert_eq!(first_day(expected), day - i64::from(date.day()) + 1, "{date}");
        }
    }

    #[test]
    fn intervals_begin_where_the_calendar_says() {
        let cases = [
            ("hour", "2026-11-22T10:59:59.999999999Z", "2026-11-22T10:00:00Z"),
            ("day", "2026-11-22T23:59:59Z", "2026-11-22T00:00:00Z"),
            ("week", "2026-11-22T12:00:00Z", "2026-11-16T00:00:00Z"),
            ("week", "1969-12-30T12:00:00Z", "1969-12-29T00:00:00Z"),
            ("1M", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z"),
            ("quarter", "2026-11-22T12:00:00Z", "2026-10-01T00:00:00Z"),
            ("1y", "1969-12-31T23:59:59Z", "1969-01-01T00:00:00Z"),
        ];
        for (interval, time, expected) in cases {
            assert_eq!(
                start(Interval::calendar(interval).unwrap(), time),
                expected,
                "{interval}"
            );
        }
        let moved = Interval::calendar("day").unwrap().moved("+6h").unwrap();
        assert_eq!(start(moved, "2026-11-22T05:00:00Z"), "2026-11-21T06:00:00Z");
        let moved = Interval::fixed("1h").unwrap().moved("-30m").unwrap();
        assert_eq!(start(moved, "2026-11-22T05:20:00Z"), "2026-11-22T04:30:00Z");
    }

    #[test]
    fn borders_are_exact_to_the_nanosecond() {
        let hour = Interval::fixed("1h").unwrap();
        let border = ns("2026-11-22T10:00:00Z");
        assert_eq!(hour.index(border - 1) + 1, hour.index(border));
        assert_eq!(
            hour.span(hour.index(border)),
            (border, border + 3_600_000_000_000 - 1)
        );
        for interval in [hour, Interval::calendar("month").unwrap()] {
            for time in [i64::MIN, -1, 0, 1, border, i64::MAX] {
                let (first, last) = interval.span(interval.index(time));
                assert!((first..=last).contains(&time), "{interval:?} {time}");
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "1", "h", "0s", "-1h", "1w", "1M", "1.5h", "99999999999999d"] {
            assert_eq!(Interval::fixed(text), None, "{text}");
        }
        assert_eq!(Interval::calendar("2d"), None);
        assert_eq!(Interval::fixed("1h").unwrap().moved("soon"), None);
    }
}
