//! Packages that are signed and sealed as they should be, and whose rows are not what their tables hold.

use std::collections::BTreeSet;

use attestore_keys::SeededEntropy;
use attestore_segment::FileWriter;

use super::*;
use crate::backup::{dump, folder};
use crate::catalog::{hex, tenant_rows};
use crate::moving::package::{self, Blob};
use crate::moving::{invite, key, rows};

type Row = (String, Vec<u8>, Vec<u8>);

/// Rewrites the rows of a package, and has the source sign for it: what a server of another make could send.
fn forge(pair: &Pair, source: &Engine, target: &Engine, id: &str, change: impl FnOnce(&mut Vec<Row>)) {
    let entropy = SeededEntropy::new(5);
    let mut manifest = package::read(&pair.to.disk, id, None).unwrap();
    let (recipient, _) = invite::keys(&target.inner, &invite::stored(&target.inner, id).unwrap()).unwrap();
    let sealed = package::open_escrow(&manifest, &recipient).unwrap();
    let (path, number) = (package::rows_path(id), *key(id).unwrap().as_bytes());
    let mut all: Vec<Row> = Vec::new();
    let mut take = |table: &str, key: &[u8], value: &[u8]| {
        all.push((table.to_owned(), key.to_vec(), value.to_vec()));
        Ok(())
    };
    dump::read(&pair.to.disk, &path, &sealed, &number, &mut take).unwrap();
    change(&mut all);
    folder::remove(&pair.to.disk, &path).unwrap();
    let pace = |_: usize| Ok(());
    let file = FileWriter::create(&pair.to.disk, &path, &pace).unwrap();
    let mut writer = dump::Writer::new(file, &sealed, &entropy, number).unwrap();
    for (table, key, value) in &all {
        writer.row(table, key, value).unwrap();
    }
    let file = writer.finish().unwrap();
    manifest.rows = Blob {
        id: package::ROWS.to_owned(),
        bytes: file.bytes,
        blake3: hex(&file.checksum),
    };
    let mut bytes = serde_json::to_vec(&manifest).unwrap();
    bytes.push(b'\n');
    let tenant = source.inner.tenant("acme").unwrap();
    let text = package::note_text(&tenant.origin, &bytes);
    let note = tenant.keys.signing.load().note(&tenant.origin, &text).unwrap();
    folder::write(&pair.to.disk, &package::note_path(id), note.as_bytes()).unwrap();
    folder::write(&pair.to.disk, &package::manifest_path(id), &bytes).unwrap();
}

/// How long keys of a table are, behind the id of the tenant.
fn key_bytes(table: &str) -> usize {
    match table {
        "quotas" | "keys" | "retention" | "approval_policies" => 0,
        "privacy" => 4,
        "gone" => 10,
        "hold_ranges" | "watch_letters" => 24,
        _ => 16,
    }
}

#[test]
fn a_package_with_a_row_that_is_none_of_its_table_leaves_nothing() {
    let pair = Pair::new(940);
    let source = filled(&pair.from);
    let target = open(&pair.to);
    let invited = invite(&pair, &target);
    let moved = packed(&pair, &source, &invited);
    let id = &invited.invitation.id;
    let tenant = *source.inner.tenant("acme").unwrap().id.as_bytes();
    let untouched = whole(&pair.to, &package::rows_path(id));
    let (manifest, note) = (package::manifest_path(id), package::note_path(id));
    let signed = (whole(&pair.to, &manifest), whole(&pair.to, &note));
    let tables: BTreeSet<String> = tenant_rows::table_names().into_iter().collect();
    assert!(tables.len() > 20);
    let refused = |what: &str| {
        let import = target.import_move(&pair.to.by, id, &moved.vkey, None);
        assert_eq!(code(import), "invalid_package", "{what}");
        assert!(target.tenant("acme").is_err(), "{what}");
        let state = target.move_in(&pair.to.by, id).unwrap().state;
        assert_eq!(state, ImportState::Invited, "{what}");
        let number = attestore_record::TenantId::from_bytes(tenant);
        assert_eq!(
            crate::moving::rows_of(&target.inner, &number).unwrap(),
            0,
            "{what}"
        );
        let restore = |path: &Path, bytes: &[u8]| {
            folder::remove(&pair.to.disk, path).unwrap();
            folder::write(&pair.to.disk, path, bytes).unwrap();
        };
        restore(&package::rows_path(id), &untouched);
        restore(&manifest, &signed.0);
        restore(&note, &signed.1);
    };
    for table in &tables {
        for value in [b"[\"nothing\"]".as_slice(), b"\xFF"] {
            if (table.as_str(), value.len()) == ("purge_receipts", 11) {
                // Any text may be one: it is checked by whom it is shown to.
                continue;
            }
            forge(&pair, &source, &target, id, |rows| {
                let key = [tenant.as_slice(), &vec![0; key_bytes(table)]].concat();
                rows.push((table.clone(), key, value.to_vec()));
            });
            refused(table);
        }
    }
    // A row of somebody else, and one whose key is too long.
    for key in [[7; 16].to_vec(), [tenant.as_slice(), &[0]].concat()] {
        forge(&pair, &source, &target, id, |rows| {
            rows.push(("keys".to_owned(), key, b"{}".to_vec()));
        });
        refused("key");
    }
    // A segment without its records, and a key of the log that is none.
    forge(&pair, &source, &target, id, |rows| {
        let seg = rows
            .iter()
            .position(|(table, _, value)| {
                table == rows::FILE && String::from_utf8_lossy(value).contains("\"seg\"")
            })
            .unwrap();
        rows.remove(seg);
    });
    refused("files");
    forge(&pair, &source, &target, id, |rows| {
        let former = r#""former":[{"vkey":"none","until":1,"handover":""}]"#;
        let text = String::from_utf8(rows[0].2.clone()).unwrap();
        let forged = text.replace(r#""former":[]"#, former);
        assert_ne!(forged, text);
        rows[0].2 = forged.into_bytes();
    });
    refused("former");
    // And as it was packed it comes.
    target.import_move(&pair.to.by, id, &moved.vkey, None).unwrap();
    sound(&target, "acme");
    assert_eq!(fsck_of(target, &pair.to), Vec::<String>::new());
}
