//! `attestore privacy scan`: what detectors find in a file of events, by field.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use attestore_disk::{Clock, SystemClock};
use attestore_record::detect::{Confidence, Detectors, scan_event};
use attestore_record::event::{Limits, parse};
use serde_json::json;

use crate::cli::Output;
use crate::failure::Failure;
use crate::{files, output};

/// What one detector found in one field.
#[derive(Default)]
struct Counted {
    sure: u64,
    suspected: u64,
    /// The first line with a hit, from 1.
    line: u64,
}

/// Looks through all events of a file. Lines that are no events are counted.
pub fn run(file: &Path, output: Output) -> Result<(), Failure> {
    let (mut input, _) = files::open_lines(file)?;
    let now_ms = SystemClock.now_ms();
    let mut counts: BTreeMap<(String, &'static str), Counted> = BTreeMap::new();
    let (mut number, mut events, mut others, mut partially) = (0u64, 0u64, 0u64, 0u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let Ok(event) = parse(text, &Limits::DEFAULT, now_ms) else {
            others += 1;
            continue;
        };
        events += 1;
        let scan = scan_event(&event, Detectors::ALL);
        partially += u64::from(scan.partially_scanned);
        for hit in scan.found {
            let counted = counts.entry((hit.path, hit.detector.as_str())).or_default();
            if counted.line == 0 {
                counted.line = number;
            }
            match hit.confidence {
                Confidence::Sure => counted.sure += 1,
                Confidence::Suspected => counted.suspected += 1,
            }
        }
    }
    print(&counts, output, [events, others, partially])
}

fn print(
    counts: &BTreeMap<(String, &'static str), Counted>,
    output: Output,
    [events, others, partially]: [u64; 3],
) -> Result<(), Failure> {
    let rows = counts.iter().map(|((path, detector), counted)| {
        json!({
            "path": path,
            "detector": detector,
            "sure": counted.sure,
            "suspected": counted.suspected,
            "first_line": counted.line,
        })
    });
    match output {
        Output::Json => {
            let found: Vec<_> = rows.collect();
            return output::json(&json!({
                "events": events,
                "not_events": others,
                "partially_scanned": partially,
                "found": found,
            }));
        }
        Output::Ndjson => return rows.into_iter().try_for_each(|row| output::ndjson(&row)),
        Output::Table => {}
    }
    output::table(
        ["PATH", "DETECTOR", "SURE", "SUSPECTED", "FIRST LINE"],
        counts.iter().map(|((path, detector), counted)| {
            [
                path.clone(),
                (*detector).to_owned(),
                counted.sure.to_string(),
                counted.suspected.to_string(),
                counted.line.to_string(),
            ]
        }),
    )?;
    output::note(format!(
        "{events} events were looked through; {others} lines are no events; {partially} events have more text than is looked through"
    ));
    Ok(())
}
