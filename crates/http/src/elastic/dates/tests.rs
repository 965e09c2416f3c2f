use serde_json::json;

use super::*;

/// 2026-11-22T10:30:15.500Z, a Sunday.
const NOW_MS: u64 = 1_795_343_415_500;

fn reading(format: Option<&str>) -> Reading<'_> {
    Reading {
        now_ms: NOW_MS,
        format,
        zone: Offset::UTC,
    }
}

fn text((start, end): Within) -> (String, String) {
    (iso(start, Offset::UTC, true), iso(end, Offset::UTC, true))
}

fn spans(value: Value, start: &str, end: &str) {
    let span = reading(None).span(&value).unwrap_or_else(|| panic!("{value}"));
    assert_eq!(text(span), (start.to_owned(), end.to_owned()), "{value}");
}

#[test]
fn times_stand_for_the_span_they_name() {
    spans(
        json!(1_000),
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T00:00:01.000999999Z",
    );
    spans(
        json!("1000000"),
        "1970-01-01T00:16:40.000Z",
        "1970-01-01T00:16:40.000999999Z",
    );
    spans(
        json!("2026"),
        "2026-01-01T00:00:00.000Z",
        "2026-12-31T23:59:59.999999999Z",
    );
    spans(
        json!("2026-02"),
        "2026-02-01T00:00:00.000Z",
        "2026-02-28T23:59:59.999999999Z",
    );
    spans(
        json!("2026-11-22"),
        "2026-11-22T00:00:00.000Z",
        "2026-11-22T23:59:59.999999999Z",
    );
    spans(
        json!("2026-11-22T02"),
        "2026-11-22T02:00:00.000Z",
        "2026-11-22T02:59:59.999999999Z",
    );
    spans(
        json!("2026-11-22T02:06:14+02:00"),
        "2026-11-22T00:06:14.000Z",
        "2026-11-22T00:06:14.999999999Z",
    );
}

#[test]
fn date_math_moves_and_rounds() {
    spans(
        json!("now"),
        "2026-11-22T10:30:15.500Z",
        "2026-11-22T10:30:15.500999999Z",
    );
    spans(
        json!("now-1d"),
        "2026-11-21T10:30:15.500Z",
        "2026-11-21T10:30:15.500999999Z",
    );
    spans(
        json!("now-1d/d"),
        "2026-11-21T00:00:00.000Z",
        "2026-11-21T23:59:59.999999999Z",
    );
    spans(
        json!("now/w"),
        "2026-11-16T00:00:00.000Z",
        "2026-11-22T23:59:59.999999999Z",
    );
    spans(
        json!("now/M+1M"),
        "2026-12-01T00:00:00.000Z",
        "2026-12-30T23:59:59.999999999Z",
    );
    spans(
        json!("2024-02-29||+1y"),
        "2025-02-28T00:00:00.000Z",
        "2025-02-28T23:59:59.999999999Z",
    );
    spans(
        json!("now-15m/h"),
        "2026-11-22T10:00:00.000Z",
        "2026-11-22T10:59:59.999999999Z",
    );
    for bad in [
        "now-",
        "now-1",
        "now-1x",
        "now/",
        "now*2",
        "yesterday",
        "2026-13",
        "",
        "now-99999999999y",
    ] {
        assert_eq!(reading(None).span(&json!(bad)), None, "{bad}");
    }
    assert_eq!(
        reading(None).span(&json!(format!("now{}", "+1d".repeat(17)))),
        None
    );
}

#[test]
fn formats_and_zones_change_what_is_read() {
    let seconds = reading(Some("epoch_second")).span(&json!("1000")).unwrap();
    assert_eq!(seconds, (1_000_000_000_000, 1_000_999_999_999));
    assert_eq!(
        reading(Some("epoch_millis")).span(&json!("1000")).unwrap().0,
        1_000_000_000
    );
    let berlin = Reading {
        zone: zone("+01:00").unwrap(),
        ..reading(None)
    };
    let day = berlin.span(&json!("2026-11-22")).unwrap();
    assert_eq!(iso(day.0, Offset::UTC, false), "2026-11-21T23:00:00.000Z");
    let own = berlin.span(&json!("2026-11-22T00:00:00Z")).unwrap();
    assert_eq!(iso(own.0, Offset::UTC, false), "2026-11-22T00:00:00.000Z");
    assert!(is_readable("strict_date_optional_time||epoch_millis"));
    assert!(!is_readable("dd.MM.yyyy"));
    for (name, seconds) in [
        ("UTC", Some(0)),
        ("-05:30", Some(-19_800)),
        ("+0200", Some(7200)),
        ("Europe/Berlin", None),
    ] {
        assert_eq!(zone(name).map(Offset::seconds), seconds, "{name}");
    }
}

#[test]
fn times_beyond_the_clock_are_before_or_after_everything() {
    assert_eq!(
        reading(None).span(&json!("9999-12-31T00:00:00Z")).unwrap().0,
        i64::MAX
    );
    assert_eq!(reading(None).span(&json!(i64::MAX)).unwrap().1, i64::MAX);
}

#[test]
fn times_are_shown_in_the_format_asked_for() {
    let ns = 1_795_343_415_500_000_000;
    let show = |format: &str, zone: Offset| Shown::read(format).unwrap().show(ns, zone);
    assert_eq!(show("epoch_millis", Offset::UTC), json!("1795343415500"));
    assert_eq!(show("epoch_nanos_int", Offset::UTC), json!(ns));
    assert_eq!(
        show("strict_date_optional_time", Offset::UTC),
        json!("2026-11-22T10:30:15.500Z")
    );
    assert_eq!(
        show("strict_date_optional_time", zone("+02:00").unwrap()),
        json!("2026-11-22T12:30:15.500+02:00")
    );
    assert_eq!(show("yyyy-MM-dd'T'HH:mm", Offset::UTC), json!("2026-11-22T10:30"));
    assert_eq!(show("dd.MM.yy", Offset::UTC), json!("22.11.26"));
    assert_eq!(Shown::read("EEE"), None);
    assert_eq!(Shown::read("yyyy'"), None);
}

#[test]
fn offsets_beyond_any_zone_are_none() {
    for name in [
        "+2000000000",
        "-2147483648:00",
        "+19:00",
        "+00:60",
        "+00:2147483647",
    ] {
        assert_eq!(zone(name), None, "{name}");
    }
}
