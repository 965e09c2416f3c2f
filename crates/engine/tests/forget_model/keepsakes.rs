//! What outsiders take with them at any time, and what they make of it at the end: proofs, checkpoints, bundles of the whole log.

use std::path::Path;
use std::process::Command;

use attestore_engine::Engine;
use attestore_engine::exports::{Compression, Evidence, EvidenceScope, ExportSpec, ExportState, Format};
use attestore_engine::read::Which;
use attestore_tlog::{TlogProof, VerifierKey, open_checkpoint, verify_consistency};
use attestore_verify::bundle::{BundleOptions, BundleReport, verify_bundle};
use attestore_verify::{Trust, verify_tlog_proof};

use crate::play::Play;
use crate::random::Random;
use crate::world::TENANT;

/// See the module's head.
#[derive(Default)]
pub(crate) struct Keepsakes {
    /// Of which record, and whether it was opened.
    pub(crate) proofs: Vec<(u64, bool, String)>,
    pub(crate) checkpoints: Vec<String>,
    pub(crate) bundles: Vec<Vec<u8>>,
}

impl Play {
    /// Somebody takes something along.
    pub(crate) fn keep(&mut self, random: &mut Random) {
        self.told.push("keep".into());
        let engine = self.engine();
        let checkpoint = engine.checkpoint(TENANT).unwrap();
        let seq = random.below(self.model.records.len() as u64);
        let proof = engine.proof(TENANT, &self.reader, Which::Seq(seq)).unwrap();
        let opened = self.model.record(seq).gone.is_none();
        let bundle = random.once_in(3).then(|| bundle(self));
        self.keepsakes.checkpoints.push(checkpoint);
        self.keepsakes.proofs.push((seq, opened, proof));
        self.keepsakes.bundles.extend(bundle);
    }

    /// Everything that was ever handed out holds, by a verifier that knows nothing but the log's key; and who has entries and control
    /// records alone sees that only what had expired or was ordered has gone.
    pub(crate) fn judge_keepsakes(&self) {
        let vkey = self.engine().vkey(TENANT).unwrap();
        let key: VerifierKey = vkey.parse().unwrap();
        let newest = open_checkpoint(&self.engine().checkpoint(TENANT).unwrap(), &key).unwrap();
        for note in &self.keepsakes.checkpoints {
            let old = open_checkpoint(note, &key).unwrap();
            let proof = self
                .engine()
                .consistency(TENANT, old.size(), newest.size())
                .unwrap();
            verify_consistency(
                old.size(),
                newest.size(),
                old.root(),
                newest.root(),
                &proof.hashes,
            )
            .unwrap();
        }
        for (seq, opened, proof) in &self.keepsakes.proofs {
            match opened {
                true => assert_eq!(verify_tlog_proof(proof, &vkey).unwrap().index, *seq),
                false => {
                    let proof = TlogProof::parse(proof).unwrap();
                    assert_eq!((proof.index, proof.extra), (*seq, None));
                }
            }
        }
        let last = bundle(self);
        for bundle in self.keepsakes.bundles.iter().chain([&last]) {
            let report = judged(self.engine(), bundle);
            assert!(report.is_sound(), "{:?}", report.range);
        }
        let range = judged(self.engine(), &last).range.unwrap();
        let (purged, erased) = self.model.counts();
        assert_eq!((range.purged, range.erased), (purged, erased));
        assert_eq!(range.opened + purged + erased, self.model.records.len() as u64);
        assert_eq!(range.reasons_claimed_in_force, 0, "the whole log shows it all");
    }

    /// Has the script for outsiders, which shares no code with us, look at what was handed out. `false` where there is no Python
    /// that can.
    pub(crate) fn judge_with_python(&self) -> bool {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let python = root.join("target/venv/bin/python");
        if !python.exists() {
            return false;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        let mut add = |name: String, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            files.push(path);
        };
        for (at, (_, opened, proof)) in self.keepsakes.proofs.iter().enumerate() {
            if *opened {
                add(format!("{at}.tlog-proof"), proof.as_bytes());
            }
        }
        for (at, bundle) in self.keepsakes.bundles.iter().chain([&bundle(self)]).enumerate() {
            add(format!("{at}.evidence"), bundle);
        }
        let mut command = Command::new(python);
        command.arg(root.join("docs/verify.py"));
        command.arg(self.engine().vkey(TENANT).unwrap()).args(&files);
        let said = command.output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
        true
    }
}

/// A bundle of everything that the log ever had.
pub(crate) fn bundle(play: &Play) -> Vec<u8> {
    bundle_of(play.engine(), &play.reader)
}

pub(crate) fn bundle_of(engine: &Engine, by: &attestore_engine::Principal) -> Vec<u8> {
    engine.checkpoint(TENANT).unwrap();
    let end = engine.tenant(TENANT).unwrap().size;
    let spec = ExportSpec {
        query: String::new(),
        from_ns: None,
        to_ns: None,
        format: Format::Evidence,
        fields: None,
        compression: Compression::None,
        evidence: Evidence {
            scope: EvidenceScope::Range { first: 0, end },
            ..Evidence::default()
        },
    };
    let info = engine.create_export(TENANT, by, spec).unwrap();
    while engine.export_tick() {}
    let info = engine.export(TENANT, by, &info.id).unwrap();
    assert_eq!(info.state, ExportState::Done, "{:?}", info.fault);
    let found = engine
        .export_file(TENANT, by, &info.id, &info.files[0].name)
        .unwrap();
    let all = 0..found.len();
    let file = found.download(&all).unwrap();
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < file.len() {
        bytes.extend(file.read(bytes.len() as u64, u64::MAX).unwrap());
    }
    engine.delete_export(TENANT, by, &info.id).unwrap();
    while engine.export_tick() {}
    bytes
}

pub(crate) fn judged(engine: &Engine, bundle: &[u8]) -> BundleReport {
    let key: VerifierKey = engine.vkey(TENANT).unwrap().parse().unwrap();
    verify_bundle(bundle, &Trust::Key(key), BundleOptions::default()).unwrap()
}
