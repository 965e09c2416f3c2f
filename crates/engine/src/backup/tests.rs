//! Backups and restores of whole instances on simulated disks: what comes back, what does not, and what crashes leave.

mod crash;
mod forgotten;
mod rotated;
mod shipped;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::sim::SimDisk;
use attestore_disk::{Disk, Mode};
use attestore_keys::{Entropy, FileRoot, RecipientKey, SeededEntropy};

use super::restore::{RestoreSpec, Restored, check_empty, restore};
use super::verify::{BackupReport, verify};
use super::{BackupInfo, Target, folder};
use crate::heads::{HeadStore, RegisterAt};
use crate::read::Which;
use crate::testing::{World, event, settings};
use crate::{Engine, OpenError, OpenMode, Parts, Settings};

/// An instance, its backups' folder, and a register that neither a wipe nor a restore touches.
struct Site {
    world: World,
    folder: SimDisk,
    outside: SimDisk,
    key: RecipientKey,
    keep: usize,
    ship_ms: u64,
}

impl Site {
    fn new(seed: u64) -> Self {
        Self {
            world: World::new(seed),
            folder: SimDisk::new(seed + 1000),
            outside: SimDisk::new(seed + 2000),
            key: RecipientKey::generate(&SeededEntropy::new(seed)).unwrap(),
            keep: 3,
            ship_ms: 0,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            backup: Some(Target {
                disk: Arc::new(self.folder.clone()),
                recipient: self.key.recipient(),
                keep: self.keep,
                window_ms: 7 * DAY_MS,
                every_ms: 0,
                ship_ms: self.ship_ms,
                bytes_per_s: 0,
            }),
            purge_grace_hours: 0,
            ..settings()
        }
    }

    fn register(&self) -> Arc<dyn HeadStore> {
        Arc::new(RegisterAt {
            disk: Arc::new(self.outside.clone()),
            path: "heads".into(),
        })
    }

    fn open(&self) -> Engine {
        self.try_open(&self.world.disk).unwrap()
    }

    fn parts(&self, disk: &SimDisk) -> Result<Parts, OpenError> {
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(
            77 << 32 ^ disk.op_count() ^ self.folder.op_count() << 16,
        ));
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let root = FileRoot::open_or_create(Arc::clone(&shared), "keys", Arc::clone(&entropy))?;
        Ok(Parts {
            disk: shared,
            clock: Arc::new(self.world.clock.clone()),
            entropy,
            root: Arc::new(root),
            register: Some(self.register()),
        })
    }

    fn try_open(&self, disk: &SimDisk) -> Result<Engine, OpenError> {
        let opened = Engine::open_as(self.parts(disk)?, self.settings(), OpenMode::Inline);
        Ok(opened?.0)
    }

    fn backup(&self, engine: &Engine) -> BackupInfo {
        self.world.clock.advance_ms(1000);
        engine.start_backup(&self.world.by).unwrap()
    }

    fn restore(&self, to: &SimDisk, spec: &RestoreSpec) -> Result<Restored, OpenError> {
        check_empty(to)?;
        self.go_on(to, spec)
    }

    /// As a restore that finds root keys already.
    fn go_on(&self, to: &SimDisk, spec: &RestoreSpec) -> Result<Restored, OpenError> {
        let parts = self.parts(to)?;
        restore(&self.folder, &parts, &settings(), &self.key, spec, &mut |_, _| {})
    }

    fn verify(&self) -> BackupReport {
        verify(&self.folder, Some(&self.key), &mut |_, _| {}).unwrap()
    }
}

/// The events of a tenant's records, in order; what keeps one from being read for those that cannot be.
fn events(site: &Site, engine: &Engine, tenant: &str) -> Vec<String> {
    let size = engine.tenant(tenant).unwrap().size;
    let get = |seq| engine.get(tenant, &site.world.by, Which::Seq(seq));
    let text = |seq| get(seq).map_or_else(|error| error.to_string(), |record| record.event);
    (0..size).map(text).collect()
}

fn sound(engine: &Engine, tenant: &str) {
    assert_eq!(engine.verify(tenant, &mut |_, _| {}).unwrap().problems, []);
}

fn fsck(site: &Site, disk: &SimDisk) -> Vec<String> {
    let report = crate::check::fsck(&site.parts(disk).unwrap(), &mut |_, _, _| {}).unwrap();
    let problems = report.problems.iter();
    problems
        .filter(|problem| problem.kind != crate::check::ProblemKind::Stray)
        .map(|problem| format!("{problem:?}"))
        .collect()
}

/// Records in files of their own, in parts of a shared file and in the log.
fn filled(site: &Site) -> Engine {
    let engine = site.open();
    site.world.tenant(&engine, "acme");
    site.world.tenant(&engine, "small");
    let many: Vec<String> = (0..40).map(event).collect();
    for _ in 0..3 {
        for some in many.chunks(10) {
            site.world.append(&engine, "acme", some);
        }
        site.world.append(&engine, "small", &[event(1)]);
        engine.flush().unwrap();
    }
    site.world.append(&engine, "acme", &[event(7), event(8)]);
    engine
}

#[test]
fn a_restored_instance_has_every_record_of_the_backup_and_goes_on_in_linked_epochs() {
    let site = Site::new(1);
    let engine = filled(&site);
    let backup = site.backup(&engine);
    let before = events(&site, &engine, "acme");
    let origin = engine.tenant("acme").unwrap().origin;
    site.world.append(&engine, "acme", &[event(9)]);
    engine.close().unwrap();
    let report = site.verify();
    assert_eq!(report.problems, []);
    assert!(report.backups.iter().all(|backup| backup.sound && backup.opened));
    let disk = SimDisk::new(50);
    let restored = site.restore(&disk, &RestoreSpec::default()).unwrap();
    assert_eq!(restored.backup, backup.id);
    assert_eq!(restored.warnings, Vec::<String>::new());
    let acme = restored
        .tenants
        .iter()
        .find(|tenant| tenant.name == "acme")
        .unwrap();
    assert_eq!((acme.entries, acme.known), (122, Some(123)));
    let engine = site.try_open(&disk).unwrap();
    let after = events(&site, &engine, "acme");
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 1, "the record of the fork");
    let info = engine.tenant("acme").unwrap();
    assert_ne!(info.origin, origin);
    assert_eq!(info.refuses_appends, None);
    let keys = engine.log_keys("acme").unwrap();
    assert!(keys[0].vkey.starts_with(&origin) && keys[0].handover.is_some());
    site.world.append(&engine, "acme", &[event(10)]);
    for tenant in ["acme", "small", crate::SYSTEM_TENANT] {
        sound(&engine, tenant);
    }
    let said = events(&site, &engine, crate::SYSTEM_TENANT);
    assert!(
        said.iter().any(|event| event.contains("instance.restore")),
        "{said:?}"
    );
    // Its own backups go to the same folder.
    site.backup(&engine);
    engine.close().unwrap();
    assert_eq!(fsck(&site, &disk), Vec::<String>::new());
    assert_eq!(site.verify().problems, []);
}

#[test]
fn what_an_earlier_backup_has_is_not_copied_again() {
    let site = Site::new(2);
    let engine = filled(&site);
    site.backup(&engine);
    let sealed: u64 = manifest_blobs(&site).iter().map(|blob| blob.sum.bytes).sum();
    assert!(sealed > 10_000, "{sealed}");
    let second = site.backup(&engine);
    assert!(
        second.bytes_copied + sealed <= second.bytes,
        "{} copied of {}, {sealed} were there",
        second.bytes_copied,
        second.bytes
    );
    assert_eq!(site.verify().backups.len(), 2);
}

/// Sealed files of the newest backup.
fn manifest_blobs(site: &Site) -> Vec<super::manifest::BlobSum> {
    let known = folder::Known::read(&site.folder).unwrap();
    known.manifests.last().unwrap().blobs.clone()
}

#[test]
fn only_so_many_are_kept_and_nothing_is_left_of_the_others() {
    let site = Site::new(3);
    let engine = filled(&site);
    let first = site.backup(&engine);
    for round in 0..3 {
        site.world.append(&engine, "acme", &[event(round)]);
        site.backup(&engine);
    }
    let left = engine.backups(&site.world.by).unwrap();
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|backup| backup.id != first.id));
    assert!(!site.folder.exists(&folder::escrow_path(&first.id)).unwrap());
    let report = site.verify();
    assert_eq!((report.problems.len(), report.leftovers), (0, 0));
}

#[test]
fn keys_of_a_backup_go_with_the_window_but_never_the_last() {
    let site = Site::new(4);
    let engine = filled(&site);
    let first = site.backup(&engine);
    site.world.clock.advance_ms(8 * DAY_MS);
    super::expire::expire(&site.settings().backup.unwrap(), site.world.clock_ms()).unwrap();
    assert_eq!(
        engine.backups(&site.world.by).unwrap().len(),
        1,
        "the last one stays"
    );
    let second = site.backup(&engine);
    let left = engine.backups(&site.world.by).unwrap();
    assert_eq!(
        left.iter().map(|backup| &backup.id).collect::<Vec<_>>(),
        [&second.id]
    );
    assert!(!site.folder.exists(&folder::escrow_path(&first.id)).unwrap());
}

#[test]
fn another_key_opens_nothing_and_is_not_called_damage() {
    let site = Site::new(5);
    let engine = filled(&site);
    site.backup(&engine);
    let other = RecipientKey::generate(&SeededEntropy::new(99)).unwrap();
    let report = verify(&site.folder, Some(&other), &mut |_, _| {}).unwrap();
    assert_eq!(report.exit_code(), 4, "{:?}", report.problems);
    let without = verify(&site.folder, None, &mut |_, _| {}).unwrap();
    assert_eq!(without.exit_code(), 0, "{:?}", without.problems);
    let disk = SimDisk::new(51);
    let parts = site.parts(&disk).unwrap();
    let spec = RestoreSpec::default();
    let refused = restore(&site.folder, &parts, &settings(), &other, &spec, &mut |_, _| {});
    assert!(matches!(refused, Err(OpenError::Key(_))), "{refused:?}");
}

/// Files of the folder, but for the mark.
fn files(site: &Site) -> Vec<PathBuf> {
    let paths = site.folder.paths().into_iter();
    paths.filter(|path| path.components().count() > 1).collect()
}

#[test]
fn a_flipped_byte_in_any_file_is_found_and_named_without_a_key() {
    let site = Site::new(6);
    let engine = filled(&site);
    let tenant = engine.inner.tenant("acme").unwrap();
    site.backup(&engine);
    forgotten::erase(&site, &engine, "u1");
    site.backup(&engine);
    drop(tenant);
    let files = files(&site);
    assert!(files.len() > 10, "{files:?}");
    for path in files {
        let len = site.folder.len(&path).unwrap();
        for at in [0, len / 2, len - 1] {
            site.folder.flip(&path, at, 4).unwrap();
            let report = verify(&site.folder, None, &mut |_, _| {}).unwrap();
            assert_eq!(report.exit_code(), 3, "{} at {at}", path.display());
            let named = report.problems.iter().any(|problem| problem.path == path);
            assert!(named, "{} at {at}: {:?}", path.display(), report.problems);
            site.folder.flip(&path, at, 4).unwrap();
        }
    }
    assert_eq!(site.verify().problems, []);
}

#[test]
fn a_damaged_file_is_not_restored() {
    let site = Site::new(7);
    let engine = filled(&site);
    site.backup(&engine);
    engine.close().unwrap();
    for (number, path) in (0u64..).zip(files(&site)) {
        let at = site.folder.len(&path).unwrap() / 2;
        site.folder.flip(&path, at, 1).unwrap();
        let disk = SimDisk::new(100 + number);
        let refused = site.restore(&disk, &RestoreSpec::default());
        assert!(
            matches!(refused, Err(OpenError::Damage { .. })),
            "{}: {refused:?}",
            path.display()
        );
        // A manifest is read before anything is done.
        let begun = !path.starts_with(folder::BACKUPS);
        assert!(
            !begun || site.try_open(&disk).is_err(),
            "{}: it is not served",
            path.display()
        );
        site.folder.flip(&path, at, 1).unwrap();
    }
}

#[test]
fn a_backup_is_restored_into_an_empty_directory_only() {
    let site = Site::new(8);
    let engine = filled(&site);
    site.backup(&engine);
    engine.close().unwrap();
    let refused = site.restore(&site.world.disk, &RestoreSpec::default());
    assert!(matches!(refused, Err(OpenError::Settings(_))), "{refused:?}");
}

#[test]
fn a_folder_takes_the_backups_of_one_instance() {
    let site = Site::new(9);
    let engine = filled(&site);
    site.backup(&engine);
    let other = World::new(10);
    let (engine, _) = other.start_with(site.settings());
    let refused = engine.start_backup(&other.by);
    assert!(
        matches!(
            refused,
            Err(crate::Error::Conflict {
                code: "other_backups",
                ..
            })
        ),
        "{refused:?}"
    );
}

fn remove(disk: &SimDisk, path: &Path) {
    disk.remove(path).unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
}

fn bytes(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Mode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

const DAY_MS: u64 = 24 * 3_600_000;
