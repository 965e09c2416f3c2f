//! A mirror of a log that grows, stops, lies and takes back.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use attestore_disk::sim::{Fault, SimDisk};
use attestore_disk::{Disk, ManualClock};
use attestore_tlog::{
    Bundle, CosignerKey, Hash, Misbehaviour, MisbehaviourError, SignedNote, Tile, TilePath, entry_bundle,
    leaf_hash, resources,
};

use super::{Mirror, MirrorError, MirrorSource, Step};
use crate::origin_hash;
use crate::tests::log::{NOW_S, ORIGIN, TestLog, clock, identity};

/// A log as a server shows it: so many records of it, with so many bundles fetched.
struct Shown<'a> {
    log: &'a TestLog,
    size: u64,
    fetched: Cell<u64>,
    /// Fails from this fetch on.
    breaks_at: u64,
}

impl<'a> Shown<'a> {
    fn new(log: &'a TestLog, size: u64) -> Self {
        Self {
            log,
            size,
            fetched: Cell::new(0),
            breaks_at: u64::MAX,
        }
    }
}

impl MirrorSource for Shown<'_> {
    fn checkpoint(&self) -> Result<String, String> {
        Ok(self.log.checkpoint(self.size))
    }

    fn entries(&self, bundle: Bundle) -> Result<Vec<u8>, String> {
        if self.fetched.get() >= self.breaks_at {
            return Err("the line went dead".into());
        }
        self.fetched.set(self.fetched.get() + 1);
        assert!(bundle.is_within(self.size));
        Ok(entry_bundle(&self.log.entries()[range(bundle)]))
    }
}

fn range(bundle: Bundle) -> std::ops::Range<usize> {
    let at = |i: u64| usize::try_from(i).unwrap();
    at(bundle.entries().start)..at(bundle.entries().end)
}

fn open(disk: &SimDisk, log: &TestLog, cosigns: bool) -> Result<Mirror, MirrorError> {
    open_at(disk, log, cosigns, &clock())
}

fn open_at(disk: &SimDisk, log: &TestLog, cosigns: bool, clock: &ManualClock) -> Result<Mirror, MirrorError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let identity = cosigns.then(|| identity(&disk));
    Mirror::open(disk, Arc::new(clock.clone()), log.vkey(), identity)
}

fn step(mirror: &mut Mirror, shown: &Shown<'_>) -> Result<Step, MirrorError> {
    mirror.step(shown, &mut |_, _| {})
}

/// The files of the copy without what is no longer needed: exactly what a log of that size has to serve, with the right bytes.
fn check_files(disk: &SimDisk, log: &TestLog, size: u64) {
    for path in resources(size) {
        let file = format!("{}/{path}", origin_hash(ORIGIN));
        let bytes = crate::files::read(disk, file.as_ref(), 1 << 20).unwrap();
        let bytes = bytes.unwrap_or_else(|| panic!("{file} is missing"));
        let expected = match path {
            TilePath::Entries(bundle) => entry_bundle(&log.entries()[range(bundle)]),
            TilePath::Tile(tile) => tile_bytes(log, tile),
        };
        assert_eq!(bytes, expected, "{file}");
    }
}

fn tile_bytes(log: &TestLog, tile: Tile) -> Vec<u8> {
    let leaves: Vec<Hash> = log.entries().iter().map(|entry| leaf_hash(entry)).collect();
    let below = usize::try_from(1u64 << (u32::from(tile.level()) * 8)).unwrap();
    let nodes = leaves
        .chunks(below)
        .skip(usize::try_from(tile.nodes().start).unwrap());
    let root = |leaves: &[Hash]| {
        let mut tree = attestore_tlog::Frontier::new();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree.root().0
    };
    nodes.take(usize::from(tile.width())).flat_map(root).collect()
}

fn paths(disk: &SimDisk) -> BTreeSet<String> {
    let paths = disk
        .paths()
        .into_iter()
        .map(|path| path.to_string_lossy().into_owned());
    paths.filter(|path| path.contains("/tile/")).collect()
}

#[test]
fn a_log_that_grows_is_copied_tile_by_tile_and_cosigned() {
    let (disk, log) = (SimDisk::new(1), TestLog::new(1100));
    let mut mirror = open(&disk, &log, true).unwrap();
    let key: CosignerKey = mirror.identity.as_ref().unwrap().verifier();
    for (size, bundles) in [(0, 0), (5, 1), (5, 0), (256, 1), (700, 2), (1100, 3)] {
        let before = mirror.size();
        let shown = Shown::new(&log, size);
        let mut told = Vec::new();
        let step = mirror
            .step(&shown, &mut |done, all| told.push((done, all)))
            .unwrap();
        assert_eq!(
            step,
            Step {
                size,
                new: size - before
            }
        );
        assert_eq!(shown.fetched.get(), bundles, "{size}");
        assert_eq!(told.len() as u64, bundles);
        assert!(told.last().is_none_or(|last| *last == (size, size)));
        check_files(&disk, &log, size);
        let note = SignedNote::parse(mirror.checkpoint().unwrap()).unwrap();
        assert_eq!(note.cosigned_at(&key), Ok(NOW_S));
        note.verify(&log.vkey()).unwrap();
        // A restart knows all of it.
        let again = open(&disk, &log, true).unwrap();
        assert_eq!(again.size(), size);
        assert_eq!(again.checkpoint(), mirror.checkpoint());
    }
    let needed: BTreeSet<String> = resources(1100)
        .map(|path| format!("{}/{path}", origin_hash(ORIGIN)))
        .collect();
    let kept: BTreeSet<String> = paths(&disk)
        .into_iter()
        .filter(|path| !path.ends_with(".p"))
        .collect();
    let files: BTreeSet<String> = kept
        .iter()
        .filter(|path| disk.len(path.as_ref()).is_ok_and(|len| len > 0))
        .cloned()
        .collect();
    assert!(needed.is_subset(&files));
    assert!(
        !files
            .iter()
            .any(|path| path.contains("000.p") && path.contains("tile/0")),
        "overtaken by the full ones: {files:?}"
    );
}

#[test]
fn a_log_that_takes_back_or_shows_another_history_is_refused_and_what_it_signed_kept() {
    let (disk, log) = (SimDisk::new(1), TestLog::new(700));
    let mut mirror = open(&disk, &log, true).unwrap();
    step(&mut mirror, &Shown::new(&log, 600)).unwrap();
    let before = mirror.checkpoint().unwrap().to_owned();
    let fork = TestLog::forked(700, 590, 1);
    let older_fork = TestLog::forked(700, 10, 2);
    let kept = || disk.list("misbehaviour".as_ref()).unwrap().len();
    let error = step(&mut mirror, &Shown::new(&log, 599)).unwrap_err();
    assert!(matches!(
        error,
        MirrorError::Rollback {
            before: 600,
            now: 599
        }
    ));
    assert_eq!(kept(), 1);
    // An old checkpoint of the same history proves nothing; one of another history, whatever its size, does.
    assert_eq!(proofs(&disk), []);
    for (nth, size) in (1..).zip([599, 512, 11]) {
        let error = step(&mut mirror, &Shown::new(&older_fork, size)).unwrap_err();
        assert!(matches!(error, MirrorError::Rollback { .. }));
        assert_eq!(proofs(&disk).len(), nth, "{size}");
    }
    assert!(proofs(&disk).iter().all(|proof| proof.reason() == "not-a-prefix"));
    let error = step(&mut mirror, &Shown::new(&fork, 600)).unwrap_err();
    assert!(matches!(error, MirrorError::SplitView(600)));
    assert_eq!((kept(), proofs(&disk).len()), (5, 4));
    // Another entry within the bundle that is half there, and one far before, which only the root tells.
    let error = step(&mut mirror, &Shown::new(&fork, 700)).unwrap_err();
    assert!(matches!(error, MirrorError::Entries(2)), "{error}");
    let half = TestLog::forked(700, 10, 2).with_entries_of(&log, 512);
    let error = step(&mut mirror, &Shown::new(&half, 700)).unwrap_err();
    assert!(matches!(error, MirrorError::Root(700)), "{error}");
    let stranger = TestLog::new(700).with_key(9);
    let error = step(&mut mirror, &Shown::new(&stranger, 700)).unwrap_err();
    assert!(matches!(error, MirrorError::Checkpoint(_)));
    assert!(error.is_evidence());
    assert_eq!(mirror.checkpoint(), Some(before.as_str()));
    check_files(&disk, &log, 600);
    // What was left of the lies does not stop the truth.
    assert_eq!(
        step(&mut mirror, &Shown::new(&log, 700)).unwrap(),
        Step { size: 700, new: 100 }
    );
    check_files(&disk, &log, 700);
}

/// The files of evidence that prove something to anybody.
fn proofs(disk: &SimDisk) -> Vec<Misbehaviour> {
    let files = disk.list("misbehaviour".as_ref()).unwrap().into_iter();
    let texts = files.map(|file| {
        let bytes = crate::files::read(disk, format!("misbehaviour/{}", file.name).as_ref(), 1 << 20);
        String::from_utf8(bytes.unwrap().unwrap()).unwrap()
    });
    texts
        .filter_map(|text| match Misbehaviour::parse(&text) {
            Ok(proof) => Some(proof),
            Err(MisbehaviourError::Suspicion) => None,
            Err(error) => panic!("{error}: {text}"),
        })
        .collect()
}

#[test]
fn a_copy_that_is_damaged_is_said_to_be_and_not_built_upon() {
    let (disk, log) = (SimDisk::new(1), TestLog::new(700));
    step(&mut open(&disk, &log, false).unwrap(), &Shown::new(&log, 600)).unwrap();
    let folder = origin_hash(ORIGIN);
    for file in ["checkpoint", "tile/0/002.p/88", "tile/1/000.p/2"] {
        let path = format!("{folder}/{file}");
        disk.flip(&path, 40, 1).unwrap();
        assert!(
            matches!(open(&disk, &log, false), Err(MirrorError::Damaged(_))),
            "{file}"
        );
        disk.flip(&path, 40, 1).unwrap();
    }
    disk.remove(format!("{folder}/tile/1/000.p/2").as_ref()).unwrap();
    assert!(matches!(open(&disk, &log, false), Err(MirrorError::Damaged(_))));
}

#[test]
fn what_an_interrupted_run_fetched_is_not_fetched_again() {
    let (disk, log) = (SimDisk::new(1), TestLog::new(5 * 256));
    let mut mirror = open(&disk, &log, false).unwrap();
    let mut shown = Shown::new(&log, 5 * 256);
    shown.breaks_at = 3;
    assert!(matches!(step(&mut mirror, &shown), Err(MirrorError::Source(_))));
    assert_eq!(mirror.size(), 0);
    let mut mirror = open(&disk, &log, false).unwrap();
    let shown = Shown::new(&log, 5 * 256);
    step(&mut mirror, &shown).unwrap();
    assert_eq!(shown.fetched.get(), 2);
    check_files(&disk, &log, 5 * 256);
    // And what a run left of a lie is fetched again, once the root says that it is one.
    let disk = SimDisk::new(2);
    let fork = TestLog::forked(5 * 256, 0, 1);
    let mut shown = Shown::new(&fork, 5 * 256);
    shown.breaks_at = 3;
    let mut mirror = open(&disk, &log, false).unwrap();
    assert!(step(&mut mirror, &shown).is_err());
    let shown = Shown::new(&log, 5 * 256);
    step(&mut mirror, &shown).unwrap();
    assert_eq!(shown.fetched.get(), 2 + 5);
    check_files(&disk, &log, 5 * 256);
}

#[test]
fn a_cosigned_checkpoint_is_never_lost_and_never_without_its_entries() {
    let log = TestLog::new(600);
    let work = |disk: &SimDisk| -> Option<u64> {
        let mut mirror = open(disk, &log, true).ok()?;
        let mut last = None;
        for size in [3, 300, 600] {
            if size > mirror.size() {
                last = step(&mut mirror, &Shown::new(&log, size))
                    .ok()
                    .map(|step| step.size)
                    .or(last);
            }
        }
        last
    };
    let operations = {
        let disk = SimDisk::new(1);
        assert_eq!(work(&disk), Some(600));
        disk.op_count()
    };
    for fault in [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter] {
        for operation in (0..operations).step_by(3) {
            let disk = SimDisk::new(operation);
            disk.fail_at(operation, fault);
            // A crash while the key is made leaves none or one; nothing was cosigned then.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&disk))).unwrap_or(None);
            let disk = disk.crash();
            let mut mirror = open(&disk, &log, true).unwrap();
            assert!(
                mirror.size() >= done.unwrap_or(0),
                "{fault:?} at {operation}: {done:?}"
            );
            check_files(&disk, &log, mirror.size());
            if mirror.size() < 600 {
                step(&mut mirror, &Shown::new(&log, 600)).unwrap();
            }
            check_files(&disk, &log, 600);
        }
    }
}

#[test]
fn no_cosignature_is_dated_before_another() {
    let (disk, log, clock) = (SimDisk::new(1), TestLog::new(9), clock());
    let mut mirror = open_at(&disk, &log, true, &clock).unwrap();
    step(&mut mirror, &Shown::new(&log, 5)).unwrap();
    clock.set_now_ms(NOW_S * 1000 - 1);
    let mut mirror = open_at(&disk, &log, true, &clock).unwrap();
    assert!(matches!(
        step(&mut mirror, &Shown::new(&log, 9)),
        Err(MirrorError::Clock)
    ));
    assert_eq!(mirror.size(), 5);
}
