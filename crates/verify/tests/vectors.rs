//! Published vectors (`tests/vectors/proofs`): each case verifies or is refused as it says. `ATTESTORE_WRITE_VECTORS=1` writes them
//! again; `docs/verify.py` is held against the same files.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::single_range_in_vec_init, reason = "lists of ranges are meant")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads and writes its own vectors"
)]

#[path = "vectors/slots.rs"]
mod slots;
mod support;

use attestore_record::control::{
    Control, Erasable, Hold, Purge, PurgeReason, Ranges, RetentionMode, RetentionPolicy,
};
use attestore_record::{HashVersion, Kind};
use attestore_tlog::{Hash, NoteSigner, TlogProof, VerifierKey, sign_note};
use attestore_verify::bundle::{Archive, BundleOptions, Scope, ZipWriter, verify_bundle};
use attestore_verify::{GroupOpening, OpenedRecord, Trust, verify_receipt, verify_tlog_proof};
use serde_json::{Value, json};
use support::{DAY_MS, Key, Log, START_MS, base64, witnessed};

/// Cases of one format, each the whole bytes.
#[derive(Default)]
struct Cases(Vec<(String, bool, Vec<u8>)>);

impl Cases {
    fn valid(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((name.into(), true, bytes.into()));
    }

    fn refused(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        assert!(
            self.0.iter().all(|(_, valid, other)| !valid || *other != bytes),
            "{name} changes nothing"
        );
        self.0.push((name.into(), false, bytes));
    }

    /// As JSON: the first case whole, others as what they change of it where that is shorter.
    fn to_json(&self, format: &str, vkey: &str) -> String {
        let base = &self.0[0].2;
        let cases: Vec<Value> = self
            .0
            .iter()
            .enumerate()
            .map(|(at, (name, valid, bytes))| {
                let same = |a: &mut dyn Iterator<Item = (u8, u8)>| a.take_while(|(a, b)| a == b).count();
                let start = same(&mut base.iter().copied().zip(bytes.iter().copied()));
                let (left, right) = (&base[start..], &bytes[start..]);
                let end = same(&mut left.iter().rev().copied().zip(right.iter().rev().copied()));
                let inserted = &right[..right.len() - end];
                if at > 0 && inserted.len() < bytes.len() * 3 / 4 {
                    json!({"name": name, "valid": valid, "at": start, "remove": left.len() - end, "insert": base64(inserted)})
                } else {
                    json!({"name": name, "valid": valid, "bytes": base64(bytes)})
                }
            })
            .collect();
        let mut text = format!("{{\n\"format\": \"{format}\",\n\"vkey\": \"{vkey}\",\n\"cases\": [\n");
        let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
        text.push_str(&lines.join(",\n"));
        text.push_str("\n]\n}\n");
        text
    }
}

/// Seven events, some about somebody, and a control record.
fn log(version: HashVersion) -> Log {
    let mut log = Log::new(version);
    for n in 0..7 {
        let name = (n % 2 == 1).then_some("u_42");
        log.event(3, START_MS + n, name, &format!("{{\"n\":{n}}}"));
    }
    log.control(START_MS + 7, &policy(30));
    log
}

fn policy(days: u64) -> Control {
    Control::RetentionPolicy(RetentionPolicy {
        class: 3,
        name: "access".into(),
        keep_min_ms: days / 3 * DAY_MS,
        keep_max_ms: Some(days * DAY_MS),
        basis: "contract".into(),
        mode: RetentionMode::Governance,
        erasable: Erasable::PersonalOnly,
        approved_by: vec![],
    })
}

fn tlog_proofs() -> Cases {
    let (log, mut cases) = (log(HashVersion::Blake3), Cases::default());
    let proof = |seq| log.proof(seq);
    let text = proof(3).to_text();
    cases.valid("an event with an open personal group", &*text);
    for seq in [0, 6] {
        cases.valid(
            &format!("an event about nobody, seq {seq}"),
            &*proof(seq).to_text(),
        );
    }
    cases.valid("a control record", &*proof(7).to_text());
    cases.valid(
        "HMAC-SHA-256",
        &*self::log(HashVersion::HmacSha256).proof(1).to_text(),
    );
    let mut single = Log::new(HashVersion::Blake3);
    single.event(1, START_MS, None, "null");
    cases.valid("a tree of one leaf", &*single.proof(0).to_text());
    let mut escapes = Log::new(HashVersion::Blake3);
    let (a, b, pad) = ("a".repeat(126), "b".repeat(200), "c".repeat(2048));
    for escape in ["\\u0001", "\\ud83d\\ude00"] {
        let payload = format!(r#"{{"text":"\n{a}{escape}{b}","pad":"{pad}"}}"#);
        let seq = escapes.event(1, START_MS, None, &payload);
        cases.valid(
            &format!("{escape} between long texts"),
            &*escapes.proof(seq).to_text(),
        );
    }
    let stranger = Key::new("w.example", 8);
    let cosigned = TlogProof {
        checkpoint: witnessed(&log.checkpoint(), 1_795_312_900, &stranger),
        ..proof(3)
    };
    cases.valid("cosigned by an unknown witness", &*cosigned.to_text());

    // Of the record with a group, everything that can be changed.
    let edited = |edit: &dyn Fn(&mut OpenedRecord)| {
        let mut record = log.record(3).clone();
        edit(&mut record);
        TlogProof {
            extra: Some(record.to_bytes().unwrap()),
            ..proof(3)
        }
        .to_text()
    };
    let withheld = edited(&|record| {
        let GroupOpening::Opened { salt, bytes } = &record.groups[0] else {
            unreachable!()
        };
        let commitment = attestore_record::commitment::group_commitment(HashVersion::Blake3, salt, bytes);
        record.groups[0] = GroupOpening::Withheld { commitment };
    });
    cases.valid("the personal group withheld", &*withheld);
    cases.refused(
        "another byte in the public group",
        &*edited(&|record| record.public[100] ^= 1),
    );
    cases.refused("another salt", &*edited(&|record| record.salt0[0] ^= 1));
    cases.refused("another time", &*edited(&|record| record.entry[11] ^= 1));
    cases.refused("another class", &*edited(&|record| record.entry[3] ^= 1));
    cases.refused("another kind", &*edited(&|record| record.entry[1] = 2));
    cases.refused("an unknown kind", &*edited(&|record| record.entry[1] = 11));
    cases.refused(
        "an unknown entry version",
        &*edited(&|record| record.entry[0] = 3),
    );
    cases.refused("the other hash function", &*edited(&|record| record.entry[0] = 2));
    cases.refused("the group left out", &*edited(&|record| record.groups.clear()));
    cases.refused(
        "the group twice",
        &*edited(&|record| record.groups.push(record.groups[0].clone())),
    );
    cases.refused(
        "another byte in the group",
        &*edited(&|record| {
            let GroupOpening::Opened { bytes, .. } = &mut record.groups[0] else {
                unreachable!()
            };
            bytes[80] ^= 1;
        }),
    );
    let extra = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut opening = log.record(3).to_bytes().unwrap();
        edit(&mut opening);
        TlogProof {
            extra: Some(opening),
            ..proof(3)
        }
        .to_text()
    };
    cases.refused(
        "an unknown version of the opening",
        &*extra(&|opening| opening[0] = 2),
    );
    cases.refused("a byte behind the opening", &*extra(&|opening| opening.push(0)));
    cases.refused(
        "the opening cut off",
        &*extra(&|opening| opening.truncate(opening.len() - 1)),
    );
    cases.refused(
        "no opening",
        &*TlogProof {
            extra: None,
            ..proof(3)
        }
        .to_text(),
    );

    // Records that are committed to, but are none that Attestore writes.
    let wrong = |kind, from: &str, to: &str| {
        let mut log = self::log(HashVersion::Blake3);
        let mut record = log.record(3).clone();
        let public = String::from_utf8(record.public.clone()).unwrap();
        assert!(public.contains(from), "{from}");
        record.public = public.replace(from, to).into_bytes();
        let groups = if kind == Kind::Event {
            record.groups
        } else {
            vec![]
        };
        let seq = log.append(kind, 3, START_MS + 9, record.public, groups);
        log.proof(seq).to_text()
    };
    cases.refused(
        "an event in a control entry",
        &*wrong(Kind::Purge, r#""withheld":["/actor/id"],"#, ""),
    );
    cases.refused(
        "a control in an event's entry",
        &*wrong(Kind::Event, r#""event":"#, r#""control":"#),
    );
    cases.refused(
        "an unknown version of the public group",
        &*wrong(Kind::Event, r#""v":1"#, r#""v":2"#),
    );
    cases.refused(
        "an unknown field of the public group",
        &*wrong(Kind::Event, r#""v":1"#, r#""v":1,"w":1"#),
    );
    cases.refused(
        "a field of the public group twice",
        &*wrong(Kind::Event, r#""v":1"#, r#""v":1,"v":1"#),
    );
    cases.refused(
        "a field in a group that is not withheld",
        &*wrong(Kind::Event, "/actor/id", "/actor/name"),
    );
    cases.refused(
        "a field withheld that no group has",
        &*wrong(Kind::Event, r#"["/actor/id"]"#, r#"["/actor/id","/context/ip"]"#),
    );
    cases.refused(
        "no field withheld though there is a group",
        &*wrong(Kind::Event, r#""withheld":["/actor/id"],"#, ""),
    );

    cases.refused(
        "no names in `withheld`, though there is a group",
        &*wrong(Kind::Event, r#"["/actor/id"]"#, "[]"),
    );
    cases.refused(
        "a field withheld twice",
        &*wrong(Kind::Event, r#"["/actor/id"]"#, r#"["/actor/id","/actor/id"]"#),
    );
    cases.refused(
        "a control that is null beside an event",
        &*wrong(Kind::Event, r#""event":"#, r#""control":null,"event":"#),
    );
    cases.refused(
        "no credential in the public group",
        &*wrong(Kind::Event, r#""credential":"cred_1","#, ""),
    );
    let wrong_group = |from: &str, to: &str| {
        let mut log = self::log(HashVersion::Blake3);
        let mut record = log.record(3).clone();
        let GroupOpening::Opened { bytes, .. } = &mut record.groups[0] else {
            unreachable!()
        };
        let group = String::from_utf8(bytes.clone()).unwrap();
        assert!(group.contains(from), "{from}");
        *bytes = group.replace(from, to).into_bytes();
        let seq = log.append(Kind::Event, 3, START_MS + 9, record.public, record.groups);
        log.proof(seq).to_text()
    };
    let handle = r#""0123456789abcdef0123456789abcdef""#;
    for (name, from, to) in [
        ("an unknown version of a personal group", r#""v":1"#, r#""v":2"#),
        (
            "an unknown field of a personal group",
            r#""v":1"#,
            r#""v":1,"w":1"#,
        ),
        ("a personal group about nobody", handle, ""),
        ("a subject that is no handle", handle, r#""u_42""#),
        (
            "a subject twice",
            handle,
            r#""0123456789abcdef0123456789abcdef","0123456789abcdef0123456789abcdef""#,
        ),
        (
            "a name twice in a value of a personal group",
            r#""u_42""#,
            r#"{"a":1,"a":2}"#,
        ),
    ] {
        cases.refused(name, &*wrong_group(from, to));
    }
    for (name, payload) in [
        (
            "a name twice in an object of the event",
            r#"[{"a":{"b":1,"c":[],"b":2}}]"#,
        ),
        ("a name twice, once as an escape", r#"{"b":1,"\u0062":1}"#),
        ("half of a surrogate pair in a name", r#"{"\ud83d":1}"#),
        ("a number that JSON has not", "NaN"),
    ] {
        let mut log = Log::new(HashVersion::Blake3);
        let seq = log.event(1, START_MS, None, payload);
        cases.refused(name, &*log.proof(seq).to_text());
    }
    // The group, its event and the payload.
    for (is_valid, depth) in [(true, 254), (false, 255)] {
        let mut log = Log::new(HashVersion::Blake3);
        let payload = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let seq = log.event(1, START_MS, None, &payload);
        let text = log.proof(seq).to_text();
        if is_valid {
            cases.valid("an event as deep as it may be", &*text);
        } else {
            cases.refused("an event that is too deep", &*text);
        }
    }
    for (is_valid, last) in [(true, 'b'), (false, 'a')] {
        let (a, pad) = ("a".repeat(255), "c".repeat(2048));
        let mut log = Log::new(HashVersion::Blake3);
        let payload = format!(r#"{{"{a}a":1,"{a}{last}":1,"pad":"{pad}"}}"#);
        let seq = log.event(1, START_MS, None, &payload);
        let text = log.proof(seq).to_text();
        if is_valid {
            cases.valid("two long names that differ", &*text);
        } else {
            cases.refused("two long names that do not differ", &*text);
        }
    }

    // Index, path, checkpoint.
    cases.refused("another index", &*TlogProof { index: 2, ..proof(3) }.to_text());
    cases.refused(
        "an index beyond the tree",
        &*TlogProof { index: 8, ..proof(3) }.to_text(),
    );
    let path = |edit: &dyn Fn(&mut Vec<Hash>)| {
        let mut proof = proof(3);
        edit(&mut proof.hashes);
        proof.to_text()
    };
    cases.refused("a hash too few", &*path(&|hashes| hashes.truncate(2)));
    cases.refused("a hash too many", &*path(&|hashes| hashes.push(Hash([0; 32]))));
    cases.refused("another hash", &*path(&|hashes| hashes[1].0[5] ^= 1));
    cases.refused("two hashes swapped", &*path(&|hashes| hashes.swap(0, 1)));
    cases.refused(
        "the proof of another record",
        &*TlogProof {
            hashes: proof(2).hashes,
            ..proof(3)
        }
        .to_text(),
    );
    let replaced = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    cases.refused("the index with a leading zero", replaced("index 3", "index 03"));
    cases.refused("another version of the file", replaced("@v1", "@v2"));
    cases.refused("carriage returns", text.replace('\n', "\r\n"));
    cases.refused("no newline at the end", text.trim_end());
    cases.refused("another tree size", replaced("\n8\n", "\n9\n"));
    cases.refused(
        "another root",
        replaced(&proof(3).checkpoint.lines().nth(2).unwrap()[..6], "AAAAAA"),
    );
    let signed = |text: &str, key: &Key| sign_note(text, &[key]).unwrap();
    let body = |size: u64| {
        format!(
            "{}\n{size}\n{}\n",
            support::ORIGIN,
            attestore_tlog::root_at(&log, 8).unwrap().to_base64()
        )
    };
    let with = |checkpoint: String| {
        TlogProof {
            checkpoint,
            ..proof(3)
        }
        .to_text()
    };
    cases.refused(
        "signed by another key of that name",
        with(signed(&body(8), &Key::new(support::ORIGIN, 6))),
    );
    cases.refused(
        "a checkpoint of another log under the same key",
        with(signed(&body(8).replace("made-up", "other"), &log.key)),
    );
    cases.refused(
        "a size that does not fit the root",
        with(signed(&body(9), &log.key)),
    );
    let note = log.checkpoint();
    let (head, line) = note.rsplit_once("\n\n").unwrap();
    let blob = unbase64(line.trim_end().rsplit_once(' ').unwrap().1);
    let resigned = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut blob = blob.clone();
        edit(&mut blob);
        with(format!(
            "{head}\n\n\u{2014} {} {}\n",
            support::ORIGIN,
            base64(&blob)
        ))
    };
    cases.refused("another byte in the signature", resigned(&|blob| blob[20] ^= 1));
    cases.refused(
        "the signature with another scalar of the same class",
        resigned(&|blob| add_order(&mut blob[36..])),
    );
    cases.refused("the signature cut off", resigned(&|blob| blob.truncate(67)));
    cases.refused("no signature", with(format!("{head}\n\n")));
    let bad = resigned(&|blob| blob[30] ^= 1);
    let (_, bad) = bad.rsplit_once("\n\n").unwrap();
    cases.refused(
        "a second signature of the key that does not verify",
        with(format!("{note}{bad}")),
    );
    cases
}

fn receipts() -> Cases {
    let (log, mut cases) = (log(HashVersion::Blake3), Cases::default());
    let item = |seq: u64| {
        let proof = log.proof(seq);
        let entry: String = log
            .record(seq)
            .entry
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let hashes: Vec<String> = proof.hashes.iter().map(Hash::to_base64).collect();
        json!({"id": "019ab0c1-2d3e-7f00-8123-456789abcdef", "seq": seq, "entry": entry, "proof": hashes, "duplicate": false})
    };
    let answer = |items: Vec<Value>| json!({"items": items, "errors": false, "durability": "durable", "checkpoint": log.checkpoint()});
    let one = || {
        let mut answer = answer(vec![item(4)]);
        for (name, value) in item(4).as_object().unwrap() {
            answer[name] = value.clone();
        }
        answer
    };
    let text = |value: &Value| serde_json::to_vec_pretty(value).unwrap();
    cases.valid("one event", text(&one()));
    let mut bare = item(4);
    bare["checkpoint"] = log.checkpoint().into();
    cases.valid("one event, without the list", text(&bare));
    cases.valid("three events", text(&answer(vec![item(1), item(2), item(7)])));
    cases.valid(
        "an event that was refused, one that was not",
        text(&answer(vec![
            json!({"status": 422, "error": {"code": "invalid"}}),
            item(0),
        ])),
    );
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut answer = answer(vec![item(1), item(2)]);
        edit(&mut answer);
        text(&answer)
    };
    cases.refused("another seq", edited(&|a| a["items"][1]["seq"] = 3.into()));
    cases.refused(
        "a seq beyond the tree",
        edited(&|a| a["items"][1]["seq"] = 8.into()),
    );
    cases.refused(
        "an entry of another record",
        edited(&|a| a["items"][1]["entry"] = item(3)["entry"].clone()),
    );
    cases.refused(
        "an entry in capitals",
        edited(&|a| a["items"][1]["entry"] = item(2)["entry"].as_str().unwrap().to_uppercase().into()),
    );
    cases.refused(
        "an entry cut off",
        edited(&|a| a["items"][1]["entry"] = item(2)["entry"].as_str().unwrap()[..86].into()),
    );
    cases.refused(
        "no entry",
        edited(&|a| drop(a["items"][1].as_object_mut().unwrap().remove("entry"))),
    );
    cases.refused(
        "no proof",
        edited(&|a| drop(a["items"][0].as_object_mut().unwrap().remove("proof"))),
    );
    cases.refused("an empty proof", edited(&|a| a["items"][0]["proof"] = json!([])));
    cases.refused(
        "a hash too many",
        edited(&|a| {
            a["items"][0]["proof"]
                .as_array_mut()
                .unwrap()
                .push(Hash([1; 32]).to_base64().into())
        }),
    );
    cases.refused(
        "a hash that is no base64",
        edited(&|a| a["items"][0]["proof"][0] = "AAAA".into()),
    );
    cases.refused(
        "no checkpoint",
        edited(&|a| drop(a.as_object_mut().unwrap().remove("checkpoint"))),
    );
    cases.refused(
        "an older checkpoint",
        edited(&|a| a["checkpoint"] = log.checkpoint_at(7).into()),
    );
    cases.refused(
        "a checkpoint that nobody signed",
        edited(&|a| a["checkpoint"] = log.checkpoint().replace("\n8\n", "\n9\n").into()),
    );
    cases.refused(
        "nothing was accepted",
        text(&answer(vec![json!({"status": 422, "error": {}})])),
    );
    cases.refused("no events", text(&answer(vec![])));
    let mut other = one();
    other["seq"] = 3.into();
    cases.refused("the top contradicts the list", text(&other));
    let mut other = one();
    other["items"] = json!([item(5)]);
    cases.refused("the list contradicts the top", text(&other));
    cases
}

fn bundles() -> Cases {
    let (log, mut cases) = (log(HashVersion::Blake3), Cases::default());
    let set = log.bundle(Scope::Set, [1, 4]).unwrap().out;
    cases.valid("two records of eight", &*set);
    cases.valid(
        "a range of the log",
        log.bundle(Scope::Range(2..6), 2..6).unwrap().out,
    );
    cases.valid("the whole log", log.bundle(Scope::Range(0..8), 0..8).unwrap().out);
    cases.valid(
        "matches of a query",
        log.bundle(Scope::Query, [0, 7]).unwrap().out,
    );
    cases.valid(
        "HMAC-SHA-256",
        self::log(HashVersion::HmacSha256)
            .bundle(Scope::Set, [3])
            .unwrap()
            .out,
    );
    let cosigned = witnessed(&log.checkpoint(), 1_795_312_900, &Key::new("w.example", 8));
    cases.valid(
        "cosigned, with a policy",
        log.bundle_with(Scope::Set, [2], &cosigned, Some("quorum none\n"), &[])
            .unwrap()
            .out,
    );

    for (name, member, at) in [
        ("another byte in a record", "records.bin", 150),
        ("another seq of a record", "records.bin", 7),
        ("another length of a record", "records.bin", 11),
        ("another hash in the proof", "proof.bin", 40),
        ("another byte in the checkpoint", "checkpoint", 30),
        ("another key proposed", "vkeys", 40),
        ("another summary", "summary.html", 300),
        ("another manifest", "manifest.json", 60),
        ("another note", "manifest.note", 20),
        ("another single proof", "proofs/1.tlog-proof", 100),
    ] {
        cases.refused(
            name,
            edited(&set, |found, bytes| {
                if found == member {
                    bytes[at] ^= 1
                }
            }),
        );
    }
    for member in [
        "records.bin",
        "proof.bin",
        "checkpoint",
        "vkeys",
        "summary.html",
        "manifest.json",
        "manifest.note",
    ] {
        cases.refused(&format!("no {member}"), rebuilt(&set, |name| name != member));
    }
    cases.valid(
        "without single proofs",
        rebuilt(&set, |name| !name.starts_with("proofs/")),
    );
    cases.refused(
        "a hash too many in the proof",
        edited(&set, |name, bytes| {
            if name == "proof.bin" {
                bytes.extend([0; 32])
            }
        }),
    );
    for name in ["records.bin", "proof.bin", "summary.html"] {
        let archive = Archive::open(&set).unwrap();
        let crc = archive.find(name).unwrap().crc.to_le_bytes();
        let (mut bytes, mut flipped) = (set.clone(), 0);
        for at in 0..bytes.len() - 3 {
            if bytes[at..at + 4] == crc {
                bytes[at] ^= 1;
                flipped += 1;
            }
        }
        assert_eq!(flipped, 2);
        cases.refused(&format!("another CRC of {name}, in both places"), bytes);
    }
    cases.refused(
        "entries in a bundle without a range",
        log.bundle_with(Scope::Set, [1, 4], &log.checkpoint(), None, &[0..2])
            .unwrap()
            .out,
    );
    cases.refused("a byte before the archive", [b"P", &*set].concat());
    cases.refused("a byte behind the archive", [&*set, b"\0"].concat());
    cases.refused("cut off", &set[..set.len() - 1]);
    let mut flipped = set.clone();
    flipped[10] ^= 1;
    cases.refused("a time in a header", &*flipped);
    let missing = log.bundle(Scope::Range(2..6), [2, 3, 5]).unwrap().out;
    cases.refused("a range that lacks a record", missing);
    cases.refused(
        "a range that lacks a control record",
        log.bundle(Scope::Range(5..8), [5, 6]).unwrap().out,
    );

    // What was purged: a policy at 0, six events, then what each case adds; 2 and 3 are gone.
    let purged = |days: u64, reason, approvals: &[&str], before: &dyn Fn(&mut Log)| {
        let mut log = Log::new(HashVersion::Blake3);
        log.control(START_MS, &policy(30));
        for n in 0..6 {
            log.event(3, START_MS + n, None, "{}");
        }
        before(&mut log);
        let purge = Purge {
            class: 3,
            policy: 0,
            reason,
            ranges: Ranges::new([2..4]).unwrap(),
            records: 2,
            approved_by: approvals.iter().map(|&id| id.into()).collect(),
        };
        log.control(START_MS + days * DAY_MS, &Control::Purge(purge));
        let size = log.size();
        log.bundle(
            Scope::Range(1..size),
            (0..size).filter(|seq| !(2..4).contains(seq)),
        )
        .unwrap()
        .out
    };
    let hold = |log: &mut Log| {
        let ranges = Ranges::new([3..4]).unwrap();
        log.control(
            START_MS,
            &Control::Hold(Hold {
                hold: "h".into(),
                ranges,
                classes: vec![],
                reason: "case".into(),
            }),
        );
    };
    let nothing = |_: &mut Log| {};
    cases.valid(
        "two records expired and were purged",
        purged(31, PurgeReason::Expired, &[], &nothing),
    );
    cases.valid(
        "two records were purged on order",
        purged(11, PurgeReason::Ordered, &[], &nothing),
    );
    cases.valid(
        "two people went below the minimum",
        purged(1, PurgeReason::Override, &["a", "b"], &nothing),
    );
    cases.refused(
        "purged before they expired",
        purged(29, PurgeReason::Expired, &[], &nothing),
    );
    cases.refused(
        "purged on order below the minimum",
        purged(9, PurgeReason::Ordered, &[], &nothing),
    );
    cases.refused(
        "one person went below the minimum",
        purged(1, PurgeReason::Override, &["a", "a"], &nothing),
    );
    cases.refused(
        "purged under a hold",
        purged(31, PurgeReason::Expired, &[], &hold),
    );
    cases.refused(
        "purged by a policy that was replaced",
        purged(31, PurgeReason::Expired, &[], &|log: &mut Log| {
            log.control(START_MS, &policy(60));
        }),
    );
    removals(&mut cases);
    locks(&mut cases);
    cases
}

/// Two policies of a class, one after the other, and a purge on order by the second.
fn locks(cases: &mut Cases) {
    let of = |mode, keep_min_ms, approvals: &[&str]| {
        Control::RetentionPolicy(RetentionPolicy {
            class: 3,
            name: "access".into(),
            keep_min_ms,
            keep_max_ms: None,
            basis: "contract".into(),
            mode,
            erasable: Erasable::No,
            approved_by: approvals.iter().map(|&id| id.into()).collect(),
        })
    };
    let weakened = |first: Control, approvals: &[&str]| {
        let mut log = Log::new(HashVersion::Blake3);
        log.control(START_MS, &first);
        for n in 0..4 {
            log.event(3, START_MS + n, None, "{}");
        }
        let policy = log.control(START_MS + 4, &of(RetentionMode::None, 0, approvals));
        let purge = Purge {
            class: 3,
            policy,
            reason: PurgeReason::Ordered,
            ranges: Ranges::new([2..4]).unwrap(),
            records: 2,
            approved_by: vec!["c".into()],
        };
        log.control(START_MS + DAY_MS, &Control::Purge(purge));
        let size = log.size();
        let seqs = (0..size).filter(|seq| !(2..4).contains(seq));
        log.bundle(Scope::Range(0..size), seqs).unwrap().out
    };
    let locked = |mode| of(mode, 30 * DAY_MS, &[]);
    cases.valid(
        "a policy without a lock was weakened",
        weakened(locked(RetentionMode::None), &[]),
    );
    cases.valid(
        "two people weakened mode governance",
        weakened(locked(RetentionMode::Governance), &["a", "b"]),
    );
    cases.refused(
        "one person weakened mode governance",
        weakened(locked(RetentionMode::Governance), &["a"]),
    );
    cases.refused(
        "two people weakened mode compliance",
        weakened(locked(RetentionMode::Compliance), &["a", "b"]),
    );
}

/// A policy at 0, events on the days given, then what each case adds; all but `gone` is there.
fn range_without(days: &[u64], gone: &[u64], after: impl FnOnce(&mut Log)) -> Vec<u8> {
    let mut log = Log::new(HashVersion::Blake3);
    log.control(START_MS, &policy(30));
    for day in days {
        log.event(3, START_MS + day * DAY_MS, None, "{}");
    }
    after(&mut log);
    let size = log.size();
    let seqs = (0..size).filter(|seq| !gone.contains(seq));
    log.bundle(Scope::Range(0..size), seqs).unwrap().out
}

fn expired(ranges: &[std::ops::Range<u64>], policy: u64) -> Control {
    let ranges = Ranges::new(ranges.iter().cloned()).unwrap();
    Control::Purge(Purge {
        class: 3,
        policy,
        reason: PurgeReason::Expired,
        records: ranges.count(),
        ranges,
        approved_by: vec![],
    })
}

/// Which removal is judged, by which times, and what counts as one.
fn removals(cases: &mut Cases) {
    let at = |day: u64| START_MS + day * DAY_MS;
    let neighbours = |second: u64| {
        range_without(&[1, 2, 3], &[1, 2], |log| {
            log.control(at(31), &expired(&[1..2], 0));
            log.control(at(second), &expired(&[2..3], 0));
        })
    };
    cases.valid(
        "neighbours that were purged one day after the other",
        neighbours(32),
    );
    cases.refused(
        "neighbours of which the second was purged too early",
        neighbours(31),
    );
    let twice = |policies: bool| {
        range_without(&[0, 0, 0], &[1, 2], |log| {
            log.control(at(31), &expired(&[1..3], 0));
            if policies {
                log.control(at(32), &policy(60));
            }
            log.control(at(33), &expired(&[1..3], 0));
        })
    };
    cases.valid("purged twice, both times allowed", twice(false));
    cases.refused("purged twice, the second time not allowed", twice(true));
    cases.refused(
        "purged twice, the first time not allowed",
        range_without(&[0, 0, 0], &[1, 2], |log| {
            log.control(at(29), &expired(&[1..3], 0));
            log.control(at(33), &expired(&[1..3], 0));
        }),
    );
    cases.valid(
        "a removal that reaches further is judged from where it starts",
        range_without(&[0, 3, 3, 0], &[1, 2, 3], |log| {
            log.control(at(31), &expired(&[1..3], 0));
            log.control(at(33), &expired(&[2..4], 0));
        }),
    );

    // What is no control of its kind.
    let encoded = {
        let mut log = Log::new(HashVersion::Blake3);
        log.control(START_MS, &expired(&[1..3], 0));
        String::from_utf8(log.record(0).public.clone()).unwrap()
    };
    let recorded = |kind: Kind, public: String| {
        range_without(&[0, 0, 0], &[1, 2], |log| {
            log.append(kind, 0, at(31), public.into_bytes(), vec![]);
        })
    };
    cases.valid("a purge as it is written", recorded(Kind::Purge, encoded.clone()));
    for kind in [Kind::Key, Kind::Incident, Kind::Erasure] {
        let name = kind.name();
        cases.refused(
            &format!("a purge in a record of kind {name}"),
            recorded(kind, encoded.clone()),
        );
    }
    let many = format!(r#""approved_by":[{}"a"],"records""#, r#""a","#.repeat(1024));
    for (name, from, to) in [
        (
            "an unknown field of a purge",
            r#""records""#,
            r#""more":1,"records""#,
        ),
        ("a purge without its policy", r#""policy":0,"#, ""),
        ("a purge whose class is a text", r#""class":3"#, r#""class":"3""#),
        ("a purge with an unknown reason", r#""expired""#, r#""wanted""#),
        (
            "a purge whose reason is an object",
            r#""expired""#,
            r#"{"expired":null}"#,
        ),
        (
            "a purge whose policy is minus zero",
            r#""policy":0"#,
            r#""policy":-0"#,
        ),
        ("a purge with ranges that touch", "[[1,3]]", "[[1,2],[2,3]]"),
        ("a purge with an empty range", "[[1,3]]", "[[1,3],[5,5]]"),
        (
            "a purge with more approvals than there may be",
            r#""records""#,
            &*many,
        ),
    ] {
        assert!(encoded.contains(from), "{from} in {encoded}");
        cases.refused(name, recorded(Kind::Purge, encoded.replacen(from, to, 1)));
    }
}

/// The archive with other members.
fn edited(bundle: &[u8], edit: impl Fn(&str, &mut Vec<u8>)) -> Vec<u8> {
    let (archive, mut zip) = (Archive::open(bundle).unwrap(), ZipWriter::new(Vec::new()));
    for member in archive.members() {
        let mut bytes = archive.read(member, 1 << 20).unwrap();
        edit(&member.name, &mut bytes);
        zip.member(&member.name, &bytes).unwrap();
    }
    zip.finish().unwrap().0
}

/// The archive with some of its members.
fn rebuilt(bundle: &[u8], keep: impl Fn(&str) -> bool) -> Vec<u8> {
    let (archive, mut zip) = (Archive::open(bundle).unwrap(), ZipWriter::new(Vec::new()));
    for member in archive.members().iter().filter(|member| keep(&member.name)) {
        zip.member(&member.name, &archive.read(member, 1 << 20).unwrap())
            .unwrap();
    }
    zip.finish().unwrap().0
}

/// Adds the order of the base point to a scalar, little-endian.
fn add_order(scalar: &mut [u8]) {
    let low = 0x14de_f9de_a2f7_9cd6_5812_631a_5cf5_d3edu128.to_le_bytes();
    let mut carry = 0u16;
    for (at, byte) in scalar.iter_mut().enumerate() {
        let order = low.get(at).copied().unwrap_or(if at == 31 { 0x10 } else { 0 });
        let sum = u16::from(*byte) + u16::from(order) + carry;
        let [low, high] = sum.to_le_bytes();
        (*byte, carry) = (low, u16::from(high));
    }
}

fn unbase64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut group, mut bits) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter(|byte| *byte != b'=') {
        let value = DIGITS.iter().position(|known| *known == digit).unwrap();
        group = group << 6 | u32::try_from(value).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(group >> bits & 0xff).unwrap());
        }
    }
    bytes
}

fn path(format: &str) -> String {
    format!(
        "{}/../../tests/vectors/proofs/{format}.json",
        env!("CARGO_MANIFEST_DIR")
    )
}

fn vkey() -> String {
    let key = Key::new(support::ORIGIN, 5);
    VerifierKey::new(&key.0, key.public()).unwrap().to_string()
}

fn verdict(format: &str, bytes: &[u8], vkey: &str) -> Result<(), String> {
    let trust = || Trust::Key(VerifierKey::parse(vkey).unwrap());
    let text = || String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string());
    match format {
        "tlog-proof" => verify_tlog_proof(&text()?, vkey)
            .map(|_| ())
            .map_err(|error| error.to_string()),
        "receipt" => verify_receipt(&text()?, &trust())
            .map(|_| ())
            .map_err(|error| error.to_string()),
        "bundle" => match verify_bundle(bytes, &trust(), BundleOptions::default()) {
            Ok(report) if report.is_sound() => Ok(()),
            Ok(report) => Err(format!("{:?}", report.range)),
            Err(error) => Err(error.to_string()),
        },
        "slot-proof" => slots::verdict(&text()?, vkey).map_err(|error| error.to_string()),
        _ => unreachable!(),
    }
}

#[test]
fn the_published_vectors_are_the_ones_made_here() {
    for (format, cases, vkey) in [
        ("tlog-proof", tlog_proofs(), vkey()),
        ("receipt", receipts(), vkey()),
        ("bundle", bundles(), vkey()),
        ("slot-proof", slots::cases(), slots::vkeys()),
    ] {
        let json = cases.to_json(format, &vkey);
        if std::env::var_os("ATTESTORE_WRITE_VECTORS").is_some() {
            std::fs::write(path(format), &json).unwrap();
        }
        assert!(
            std::fs::read_to_string(path(format)).unwrap() == json,
            "{format}: the vectors are others; if that is meant, write them again"
        );
    }
}

#[test]
fn every_published_vector_has_the_verdict_that_it_says() {
    let (mut valid, mut refused) = (0, 0);
    for format in ["tlog-proof", "receipt", "bundle", "slot-proof"] {
        let file: Value = serde_json::from_str(&std::fs::read_to_string(path(format)).unwrap()).unwrap();
        let mut base = Vec::new();
        for case in file["cases"].as_array().unwrap() {
            let bytes = match case["bytes"].as_str() {
                Some(bytes) => unbase64(bytes),
                None => {
                    let at = usize::try_from(case["at"].as_u64().unwrap()).unwrap();
                    let removed = usize::try_from(case["remove"].as_u64().unwrap()).unwrap();
                    let mut bytes: Vec<u8> = base.clone();
                    bytes.splice(at..at + removed, unbase64(case["insert"].as_str().unwrap()));
                    bytes
                }
            };
            if base.is_empty() {
                base.clone_from(&bytes);
            }
            let verdict = verdict(format, &bytes, file["vkey"].as_str().unwrap());
            assert_eq!(
                verdict.is_ok(),
                case["valid"].as_bool().unwrap(),
                "{format}: {}: {verdict:?}",
                case["name"]
            );
            *if verdict.is_ok() { &mut valid } else { &mut refused } += 1;
        }
    }
    assert!(valid >= 20 && refused >= 60, "{valid} valid, {refused} refused");
}
