//! A log made up in memory: records of any kind, class and time, its tree, its key, witnesses.
#![allow(dead_code, reason = "each test uses some of it")]

use std::convert::Infallible;
use std::ops::Range;

use attestore_record::commitment::{group_commitment, record_commitment};
use attestore_record::control::{self, Control};
use attestore_record::{Entry, Envelope, HashVersion, Kind, RecordId, TenantId};
use attestore_tlog::{
    Checkpoint, Hash, NodeReader, NoteSigner, TlogProof, VerifierKey, cosign, inclusion_proof, leaf_hash,
    node_hash, root_at, sign_checkpoint,
};
use attestore_verify::bundle::{BundleHead, BundleTree, BundleWriter, Finished, Scope, WriteError};
use attestore_verify::{GroupOpening, OpenedRecord};
use ed25519_dalek::{Signer as _, SigningKey};

pub const ORIGIN: &str = "attestore.example/made-up";
pub const START_MS: u64 = 1_795_312_800_000;
pub const DAY_MS: u64 = 86_400_000;

pub struct Key(pub String, SigningKey);

impl Key {
    pub fn new(name: &str, seed: u8) -> Self {
        Self(name.to_owned(), SigningKey::from_bytes(&[seed; 32]))
    }

    pub fn verifier(&self) -> VerifierKey {
        VerifierKey::new(&self.0, self.public()).unwrap()
    }
}

impl NoteSigner for Key {
    fn name(&self) -> &str {
        &self.0
    }

    fn public(&self) -> [u8; 32] {
        self.1.verifying_key().to_bytes()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], attestore_tlog::NoteError> {
        Ok(self.1.sign(msg).to_bytes())
    }
}

pub struct Log {
    pub key: Key,
    pub version: HashVersion,
    pub records: Vec<OpenedRecord>,
    levels: Vec<Vec<Hash>>,
}

impl NodeReader for Log {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.levels[usize::from(level)][usize::try_from(index).unwrap()])
    }
}

impl Log {
    pub fn new(version: HashVersion) -> Self {
        Self {
            key: Key::new(ORIGIN, 5),
            version,
            records: Vec::new(),
            levels: Vec::new(),
        }
    }

    pub fn size(&self) -> u64 {
        u64::try_from(self.records.len()).unwrap()
    }

    /// Appends an event with a payload, and a personal group if there is a name; returns its seq.
    pub fn event(&mut self, class: u16, time_ms: u64, name: Option<&str>, payload: &str) -> u64 {
        let withheld = name.map_or("", |_| r#","withheld":["/actor/id"]"#);
        let public = format!(
            r#"{{"v":1,"id":"{}","tenant":"{}","protocol":"native","credential":"cred_1","privacy":1{withheld},"event":{{"action":"document.read","outcome":"success","payload":{payload}}}}}"#,
            self.id(),
            TenantId::from_bytes([7; 16]),
        );
        let groups = name.map(|name| GroupOpening::Opened {
            salt: [u8::try_from(self.size() % 200).unwrap(); 32],
            bytes: format!(
                r#"{{"v":1,"subjects":["0123456789abcdef0123456789abcdef"],"fields":{{"/actor/id":"{name}"}}}}"#
            )
            .into_bytes(),
        });
        self.append(
            Kind::Event,
            class,
            time_ms,
            public.into_bytes(),
            groups.into_iter().collect(),
        )
    }

    pub fn control(&mut self, time_ms: u64, control: &Control) -> u64 {
        let envelope = Envelope {
            id: self.id(),
            tenant: TenantId::from_bytes([7; 16]),
            protocol: "internal",
            credential_id: "system",
        };
        let public = control::encode(&envelope, control).unwrap();
        self.append(control.kind().unwrap(), 0, time_ms, public, vec![])
    }

    pub fn append(
        &mut self,
        kind: Kind,
        class: u16,
        time_ms: u64,
        public: Vec<u8>,
        groups: Vec<GroupOpening>,
    ) -> u64 {
        let mut commitments: Vec<_> = groups
            .iter()
            .map(|group| match group {
                GroupOpening::Opened { salt, bytes } => group_commitment(self.version, salt, bytes),
                GroupOpening::Withheld { commitment } => *commitment,
            })
            .collect();
        let salt0 = [9; 32];
        let entry = Entry {
            version: self.version,
            kind,
            class,
            time_ms,
            commitment: record_commitment(self.version, &salt0, &public, &mut commitments),
        };
        let record = OpenedRecord::new(entry.to_bytes(), public, salt0, groups).unwrap();
        let (mut hash, mut index) = (leaf_hash(&record.entry), self.records.len());
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(hash);
            if index % 2 == 0 {
                break;
            }
            hash = node_hash(&self.levels[level][index - 1], &hash);
            index /= 2;
        }
        self.records.push(record);
        self.size() - 1
    }

    fn id(&self) -> RecordId {
        let [.., a, b] = self.size().to_be_bytes();
        RecordId::new(START_MS, [a, b, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    pub fn checkpoint_at(&self, size: u64) -> String {
        let checkpoint = Checkpoint::new(self.key.name(), size, root_at(self, size).unwrap()).unwrap();
        sign_checkpoint(&checkpoint, &self.key).unwrap()
    }

    pub fn checkpoint(&self) -> String {
        self.checkpoint_at(self.size())
    }

    pub fn proof(&self, seq: u64) -> TlogProof {
        TlogProof {
            extra: Some(self.record(seq).to_bytes().unwrap()),
            index: seq,
            hashes: inclusion_proof(self, seq, self.size()).unwrap(),
            checkpoint: self.checkpoint(),
        }
    }

    pub fn record(&self, seq: u64) -> &OpenedRecord {
        &self.records[usize::try_from(seq).unwrap()]
    }

    pub fn entries(&self, range: Range<u64>) -> Vec<[u8; 44]> {
        range.map(|seq| self.record(seq).entry).collect()
    }

    /// A bundle of these records.
    pub fn bundle(
        &self,
        scope: Scope,
        seqs: impl IntoIterator<Item = u64>,
    ) -> Result<Finished<Vec<u8>>, WriteError> {
        self.bundle_with(scope, seqs, &self.checkpoint(), None, &[])
    }

    pub fn bundle_with(
        &self,
        scope: Scope,
        seqs: impl IntoIterator<Item = u64>,
        checkpoint: &str,
        policy: Option<&str>,
        context: &[Range<u64>],
    ) -> Result<Finished<Vec<u8>>, WriteError> {
        let head = BundleHead {
            export: "0123".into(),
            tenant: "acme".into(),
            origin: self.key.name().into(),
            query: String::new(),
            from: None,
            to: None,
            scope,
            personal: true,
            created_by: "cred_1".into(),
            created_at: "2026-11-22T00:00:00Z".into(),
        };
        let mut writer = BundleWriter::new(Vec::new(), head)?;
        for seq in seqs {
            writer.push(seq, self.record(seq))?;
        }
        writer.finish(BundleTree {
            checkpoint,
            policy,
            vkeys: &[self.key.verifier().to_string()],
            nodes: self,
            entries: &mut |range, out| {
                out.extend(self.entries(range));
                Ok(())
            },
            context,
            signers: &[&self.key],
            records_erased: 0,
            finished_at: "2026-11-22T00:00:01Z",
        })
    }
}

/// A checkpoint with a witness's cosignature.
pub fn witnessed(note: &str, time_s: u64, witness: &Key) -> String {
    let (text, _) = note.rsplit_once("\n\n").unwrap();
    let line = cosign(&format!("{text}\n"), time_s, witness).unwrap();
    let blob = [&line.key_id().to_be_bytes()[..], line.signature()].concat();
    format!("{note}\u{2014} {} {}\n", line.name(), base64(&blob))
}

pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
