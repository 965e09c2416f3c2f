//! Golden lines of each format.

use super::*;

pub(crate) const EVENT: &str = r#"{"occurred_at":"2026-11-22T10:00:00.5Z","action":"invoice.export","operation":"export","outcome":"success","actor":{"type":"user","id":"u_1","name":"=Ann, \"B\"","on_behalf_of":{"type":"user","id":"@boss"}},"targets":[{"type":"invoice","id":"1"},{"type":"invoice","id":"2","name":"x"}],"context":{"ip":"192.0.2.1","http":{"method":"GET","status":200}},"metadata":{"n":1.50,"a.b":{"c":"-1"}},"payload":null}"#;

pub(crate) fn record(event: &str) -> Record<'_> {
    Record {
        id: "019400aa-0000-7000-8000-000000000001",
        seq: 7,
        received_at_ms: 1_795_000_000_123,
        kind: "event",
        entry: &[0xAB, 1],
        event,
        erased: false,
    }
}

pub(crate) fn options(format: Format, fields: &[&str]) -> Options {
    let paths: Vec<String> = fields.iter().map(ToString::to_string).collect();
    Options {
        format,
        fields: (!paths.is_empty()).then(|| Fields::new(paths).unwrap()),
        compression: Compression::None,
        tenant: "acme".into(),
        origin: "log".into(),
    }
}

pub(crate) fn file(options: &Options, records: &[Record<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::new(options).unwrap();
    let mut out = Vec::new();
    encoder.begin(&mut out).unwrap();
    for record in records {
        encoder.record(record, &mut out).unwrap();
    }
    encoder.finish(&mut out).unwrap();
    out
}

fn text(options: &Options, records: &[Record<'_>]) -> String {
    String::from_utf8(file(options, records)).unwrap()
}

#[test]
fn ndjson_is_the_record_as_the_api_shows_it() {
    let erased = Record {
        erased: true,
        ..record(r#"{"action":"a"}"#)
    };
    assert_eq!(
        text(&options(Format::Ndjson, &[]), &[record(EVENT), erased]),
        format!(
            "{{\"id\":\"019400aa-0000-7000-8000-000000000001\",\"seq\":7,\"received_at\":\"2026-11-18T11:06:40.123Z\",\"kind\":\"event\",\"entry\":\"ab01\",\"event\":{EVENT}}}\n\
             {{\"id\":\"019400aa-0000-7000-8000-000000000001\",\"seq\":7,\"received_at\":\"2026-11-18T11:06:40.123Z\",\"kind\":\"event\",\"entry\":\"ab01\",\"event\":{{\"action\":\"a\"}},\"erased\":true}}\n"
        )
    );
}

#[test]
fn ndjson_with_fields_keeps_control_records_whole() {
    let control = Record {
        kind: "policy",
        ..record(r#"{"type":"index_policy","x":1}"#)
    };
    let text = text(&options(Format::Ndjson, &["actor.id"]), &[record(EVENT), control]);
    assert!(text.contains(r#""event":{"actor":{"id":"u_1"}}}"#), "{text}");
    assert!(
        text.contains(r#""event":{"type":"index_policy","x":1}}"#),
        "{text}"
    );
}

/// A reader of RFC 4180 that is not the writer's.
fn cells(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let row = rows.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                row.last_mut().unwrap().push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(String::new()),
            '\r' if !quoted => {
                assert_eq!(chars.next(), Some('\n'));
                rows.push(vec![String::new()]);
            }
            c => row.last_mut().unwrap().push(c),
        }
    }
    assert_eq!(
        rows.pop(),
        Some(vec![String::new()]),
        "the last line is ended too"
    );
    rows
}

#[test]
fn csv_has_a_header_and_one_line_for_each_record() {
    let control = Record {
        kind: "policy",
        ..record(r#"{"type":"index_policy"}"#)
    };
    let rows = cells(&text(&options(Format::Csv, &[]), &[record(EVENT), control]));
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].len(), 46);
    let of = |row: usize, name: &str| {
        let at = rows[0].iter().position(|column| column == name).unwrap();
        rows[row][at].as_str()
    };
    for (name, expected) in [
        ("seq", "7"),
        ("received_at", "2026-11-18T11:06:40.123Z"),
        ("erased", ""),
        ("action", "invoice.export"),
        ("actor.name", "'=Ann, \"B\""),
        ("actor.on_behalf_of.id", "'@boss"),
        (
            "targets",
            r#"[{"type":"invoice","id":"1"},{"type":"invoice","id":"2","name":"x"}]"#,
        ),
        ("context.http.status", "200"),
        ("context.host", ""),
        ("metadata", r#"{"n":1.50,"a.b":{"c":"-1"}}"#),
        ("payload", ""),
        ("control", ""),
    ] {
        assert_eq!(of(1, name), expected, "{name}");
    }
    assert_eq!(of(2, "action"), "");
    assert_eq!(of(2, "control"), r#"{"type":"index_policy"}"#);
}

#[test]
fn csv_columns_can_be_chosen_and_reach_into_arrays() {
    let fields = [
        "targets.id",
        "seq",
        "metadata.a.b.c",
        "metadata.n",
        "context.http",
    ];
    let rows = cells(&text(&options(Format::Csv, &fields), &[record(EVENT)]));
    assert_eq!(
        rows[0],
        [
            "seq",
            "id",
            "received_at",
            "kind",
            "erased",
            "targets.id",
            "metadata.a.b.c",
            "metadata.n",
            "context.http",
            "control"
        ]
    );
    assert_eq!(
        rows[1][5..9],
        [r#"["1","2"]"#, "'-1", "1.50", r#"{"method":"GET","status":200}"#]
    );
}

#[test]
fn a_column_has_every_value_that_its_path_leads_to() {
    let event = r#"{"action":"a","metadata":{"a.b":1,"a":{"b":2},"c":3}}"#;
    let rows = cells(&text(
        &options(Format::Csv, &["metadata.a.b", "metadata.c"]),
        &[record(event)],
    ));
    assert_eq!(rows[1][5..7], ["[1,2]", "3"]);
}

#[test]
fn two_values_are_two_cells_and_what_was_put_before_them_comes_off_again() {
    let values = ["=1+1", "'=1+1", "''=1+1", "'", "plain", "a'b", "\n=1"];
    let mut seen = std::collections::BTreeSet::new();
    for value in values {
        let event = format!(r#"{{"action":{}}}"#, serde_json::to_string(value).unwrap());
        let rows = cells(&text(&options(Format::Csv, &["action"]), &[record(&event)]));
        let cell = rows[1][5].clone();
        assert_eq!(cell.strip_prefix('\'').unwrap_or(&cell), value);
        assert!(seen.insert(cell), "{value}");
    }
}

#[test]
fn no_cell_can_become_a_formula() {
    for begin in [
        "=", "+", "-", "@", "\t", "\r", "\n", "\u{ff1d}", "\u{ff0b}", "\u{ff0d}", "\u{ff20}",
    ] {
        let action = serde_json::to_string(&format!("{begin}1+1\"\n")).unwrap();
        let event = format!(r#"{{"action":{action}}}"#);
        let rows = cells(&text(&options(Format::Csv, &["action"]), &[record(&event)]));
        assert_eq!(rows[1][5], format!("'{begin}1+1\"\n"));
    }
}

#[test]
fn what_is_no_event_is_refused_without_its_values() {
    for format in [Format::Csv, Format::Ocsf] {
        let mut encoder = Encoder::new(&options(format, &[])).unwrap();
        let refused = encoder.record(&record(r#"{"secret":"#), &mut Vec::new());
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("record 7") && !text.contains("secret"), "{text}");
    }
}
