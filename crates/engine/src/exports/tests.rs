//! Jobs on the simulated disk.

use attestore_export::{Manifest, parse_note_text, sha256_hex};
use attestore_tlog::SignedNote;

use super::*;
use crate::testing::{World, event, settings};
use crate::{Principal, Settings};

fn spec(query: &str, format: Format) -> ExportSpec {
    ExportSpec {
        query: query.into(),
        from_ns: None,
        to_ns: None,
        format,
        fields: None,
        compression: Compression::None,
    }
}

fn small() -> Settings {
    Settings {
        export_part_bytes: 64 << 10,
        ..settings()
    }
}

fn append(world: &World, engine: &Engine, numbers: std::ops::Range<u32>) {
    let events: Vec<String> = numbers.map(|n| event(n % 7)).collect();
    for some in events.chunks(20) {
        world.append(engine, "acme", some);
    }
}

/// Works until there is nothing left to do.
fn finish(engine: &Engine) {
    while engine.export_tick() {}
}

fn read(engine: &Engine, by: &Principal, id: &str, name: &str) -> Vec<u8> {
    let file = engine.export_file("acme", by, id, name, false).unwrap();
    let mut bytes = Vec::new();
    loop {
        let some = file.read(bytes.len() as u64, u64::MAX).unwrap();
        if some.is_empty() {
            break;
        }
        bytes.extend(some);
    }
    assert_eq!(bytes.len() as u64, file.len());
    assert_eq!(sha256_hex(&bytes), file.sha256());
    bytes
}

/// Checks manifest and signature; returns the lines of all files.
fn lines(engine: &Engine, by: &Principal, id: &str) -> Vec<serde_json::Value> {
    let bytes = read(engine, by, id, MANIFEST);
    let manifest: Manifest = serde_json::from_slice(&bytes).unwrap();
    let note = String::from_utf8(read(engine, by, id, NOTE)).unwrap();
    let vkey = engine.vkey("acme").unwrap();
    let note = SignedNote::open(&note, &vkey.parse().unwrap()).unwrap();
    let signed = parse_note_text(note.text()).unwrap();
    assert_eq!(signed.sha256, sha256_hex(&bytes));
    assert_eq!(
        (signed.origin.as_str(), signed.size),
        (manifest.origin.as_str(), manifest.tree_size)
    );
    let mut lines = Vec::new();
    for file in &manifest.files {
        let bytes = read(engine, by, id, &file.name);
        assert_eq!(sha256_hex(&bytes), file.sha256);
        assert_eq!(bytes.len() as u64, file.bytes);
        let text = String::from_utf8(bytes).unwrap();
        let of_file: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(of_file.len() as u64, file.records);
        assert_eq!(
            of_file.first().and_then(|line| line["seq"].as_u64()),
            file.first_seq
        );
        assert_eq!(
            of_file.last().and_then(|line| line["seq"].as_u64()),
            file.last_seq
        );
        lines.extend(of_file);
    }
    assert_eq!(lines.len() as u64, manifest.records);
    lines
}

fn seqs(lines: &[serde_json::Value]) -> Vec<u64> {
    lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
}

#[test]
fn an_export_holds_the_whole_log_of_its_tree_in_several_parts() {
    let world = World::new(1);
    let (engine, _) = world.start_with(small());
    world.tenant(&engine, "acme");
    append(&world, &engine, 0..400);
    engine.flush().unwrap();
    append(&world, &engine, 400..700);
    let info = engine
        .create_export("acme", &world.by, spec("", Format::Ndjson))
        .unwrap();
    assert_eq!((info.state, info.tree_size), (ExportState::Queued, 700));
    append(&world, &engine, 0..50);
    finish(&engine);
    let info = engine.export("acme", &world.by, &info.id).unwrap();
    assert_eq!(
        (info.state, info.records, info.read),
        (ExportState::Done, 700, 700)
    );
    assert!(info.files.len() > 2, "{:?}", info.files);
    let lines = lines(&engine, &world.by, &info.id);
    assert_eq!(seqs(&lines), (0..700).collect::<Vec<_>>());
    for line in lines.iter().step_by(97) {
        let which = crate::read::Which::Seq(line["seq"].as_u64().unwrap());
        let view = engine.get("acme", &world.by, which).unwrap();
        assert_eq!(line["id"], view.id.to_string());
        assert_eq!(
            line["event"],
            serde_json::from_str::<serde_json::Value>(&view.event).unwrap()
        );
    }
}
