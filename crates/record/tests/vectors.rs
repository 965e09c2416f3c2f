//! Golden vectors: `tests/vectors/*.json` at the root of the workspace, which `check_vectors.py` reads too.
//!
//! They are bytes of the format and never change; `regenerate` writes them for a new version of it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use attestore_record::commitment::{
    HashVersion, PUBLIC_LABEL, group_commitment, personal_label, record_commitment, salt, set_key,
};
use attestore_record::event::{Limits, parse};
use attestore_record::group::{Envelope, encode};
use attestore_record::policy::PrivacyPolicy;
use attestore_record::{Entry, Handle, Kind, RecordId, TenantId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const NOW_MS: u64 = 1_795_312_800_000;
const TIME_MS: u64 = 1_795_312_800_123;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

#[test]
fn vectors_hold() {
    for (name, expected) in vectors() {
        let path = folder().join(name);
        #[expect(clippy::disallowed_methods, reason = "a test reads its vectors")]
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected, "{name}");
    }
}

#[test]
#[ignore = "writes the golden vectors anew"]
fn regenerate() {
    for (name, value) in vectors() {
        let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
        #[expect(
            clippy::disallowed_methods,
            reason = "writes the vectors of a new format version"
        )]
        std::fs::write(folder().join(name), text).unwrap();
    }
}

fn vectors() -> Vec<(&'static str, Value)> {
    vec![
        ("commitments.json", commitments()),
        ("events.json", events()),
        ("tree.json", tree()),
    ]
}

/// A record with so many personal groups, from keys to leaf hash.
fn record(version: HashVersion, groups: u8) -> (Value, [u8; 32]) {
    let id = RecordId::new(TIME_MS, [0x40 + groups; 10]);
    let salt_key = [0x11; 32];
    let public = format!(r#"{{"v":1,"id":"{id}","note":"é {groups}"}}"#);
    let mut commitments = Vec::new();
    let mut described = Vec::new();
    for group in 0..groups {
        // The second group is about two subjects; its handles are given unsorted.
        let subjects: Vec<(Handle, [u8; 32])> = (0..=group)
            .rev()
            .map(|n| {
                (
                    Handle::from_bytes([0x20 + 16 * group + n; 16]),
                    [0xa0 + 16 * group + n; 32],
                )
            })
            .collect();
        let mut sorted = subjects.clone();
        sorted.sort_by_key(|(handle, _)| *handle);
        let key = set_key(&sorted.iter().map(|(_, key)| key).collect::<Vec<_>>());
        let label = personal_label(&subjects.iter().map(|(handle, _)| *handle).collect::<Vec<_>>());
        let salt = salt(&key, &id, &label);
        let bytes = format!(r#"{{"v":1,"fields":{{"/actor/id":"u_{group}"}}}}"#);
        let commitment = group_commitment(version, &salt, bytes.as_bytes());
        commitments.push(commitment);
        described.push(json!({
            "subjects": subjects.iter().map(|(handle, key)| json!({"handle": handle.to_string(), "key": hex(key)})).collect::<Vec<_>>(),
            "set_key": hex(&key), "label": hex(&label), "salt": hex(&salt), "bytes": bytes, "commitment": hex(&commitment),
        }));
    }
    let public_salt = salt(&salt_key, &id, PUBLIC_LABEL);
    let commitment = record_commitment(version, &public_salt, public.as_bytes(), &mut commitments);
    let kind = if groups == 2 { Kind::Policy } else { Kind::Event };
    let entry = Entry {
        version,
        kind,
        class: 0x0102,
        time_ms: TIME_MS,
        commitment,
    };
    let leaf = leaf_hash(&entry.to_bytes());
    let value = json!({
        "version": version.byte(), "id": id.to_string(), "id_bytes": hex(id.as_bytes()),
        "salt_key": hex(&salt_key), "salt": hex(&public_salt), "public": public, "groups": described,
        "commitment": hex(&commitment), "kind": kind.byte(), "class": entry.class, "time_ms": entry.time_ms,
        "entry": hex(&entry.to_bytes()), "leaf": hex(&leaf),
    });
    (value, leaf)
}

fn commitments() -> Value {
    let mut records = Vec::new();
    for version in [HashVersion::Blake3, HashVersion::HmacSha256] {
        records.extend((0..=2).map(|groups| record(version, groups).0));
    }
    Value::from(records)
}

fn events() -> Value {
    let full = include_str!("data/full-event.json");
    let small = r#"{"action":"disk.full","actor":{"type":"service","id":"node-1"},"metadata":{"free": 0}}"#;
    let one = |input: &str| {
        let event = parse(input.as_bytes(), &Limits::DEFAULT, NOW_MS).unwrap();
        let envelope = Envelope {
            id: RecordId::new(NOW_MS, [7; 10]),
            tenant: TenantId::from_bytes([1; 16]),
            protocol: "native",
            credential_id: "key_9",
        };
        let encoded = encode(&event, &envelope, &PrivacyPolicy::default()).unwrap();
        let personal: Vec<Value> = encoded
            .personal
            .iter()
            .map(|group| {
                let handles: Vec<Handle> = (0..group.subjects.len())
                    .map(|n| Handle::from_bytes([0x30 + u8::try_from(n).unwrap(); 16]))
                    .collect();
                json!({
                    "subjects": group.subjects.iter().map(|s| json!([s.ty, s.id])).collect::<Vec<_>>(),
                    "bytes": String::from_utf8(group.bytes(&handles)).unwrap(),
                })
            })
            .collect();
        json!({
            "input": input, "normalised": event.to_json(),
            "public": String::from_utf8(encoded.public).unwrap(), "personal": personal,
        })
    };
    let behalf = r#"{"action":"user.update","actor":{"type":"service","id":"proxy","on_behalf_of":{"type":"User","id":"arn:ann"}},"targets":[{"type":"AWS::IAM::User","id":"arn:ann"},{"type":"USER","id":"arn:bo"}],"context":{"ip":"192.0.2.1"},"data_subjects":[{"type":"uSer","id":"arn:ann"},{"type":"user","id":"arn:bo","fields":["/metadata/bo"]}],"metadata":{"bo":9007199254740993}}"#;
    json!([one(small), one(full), one(behalf)])
}

/// A tree of seven entries.
fn tree() -> Value {
    let mut entries = Vec::new();
    let mut leaves = Vec::new();
    for n in 0..7_u8 {
        let version = if n % 2 == 0 {
            HashVersion::Blake3
        } else {
            HashVersion::HmacSha256
        };
        let entry = Entry {
            version,
            kind: Kind::ALL[usize::from(n)],
            class: u16::from(n),
            time_ms: TIME_MS + u64::from(n),
            commitment: [n; 32],
        };
        entries.push(hex(&entry.to_bytes()));
        leaves.push(leaf_hash(&entry.to_bytes()));
    }
    json!({
        "entries": entries,
        "leaves": leaves.iter().map(|leaf| hex(leaf)).collect::<Vec<_>>(),
        "roots": (1..=leaves.len()).map(|size| hex(&root(&leaves[..size]))).collect::<Vec<_>>(),
    })
}

fn leaf_hash(entry: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update([0])
        .chain_update(entry)
        .finalize()
        .into()
}

fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    Sha256::new()
        .chain_update([1])
        .chain_update(root(left))
        .chain_update(root(right))
        .finalize()
        .into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
