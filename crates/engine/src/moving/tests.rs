//! Tenants move between two simulated instances: what comes, what does not, what crashes leave.

mod crash;
mod kept;
mod keys;
mod pair;
mod rows;
mod states;

use std::path::{Path, PathBuf};

use attestore_disk::{Disk, Mode as FileMode};
use attestore_verify::verify_tlog_proof;

use super::{ImportInfo, ImportState, MoveInfo, MoveState, folder_of};
use crate::forget::destroy::DestroyedState;
use crate::read::Which;
use crate::search::SearchRequest;
use crate::testing::{World, event, settings};
use crate::{Engine, Error, Settings};

/// Two servers.
struct Pair {
    from: World,
    to: World,
}

impl Pair {
    fn new(seed: u64) -> Self {
        Self {
            from: World::new(seed),
            to: World::new(seed + 5000),
        }
    }
}

fn eager() -> Settings {
    Settings {
        indexing: true,
        purge_grace_hours: 0,
        ..settings()
    }
}

fn open(world: &World) -> Engine {
    world.start_with(eager()).0
}

/// A tenant with files of its own, a part of a shared file and a tail; beside another one.
fn filled(world: &World) -> Engine {
    let engine = open(world);
    world.tenant(&engine, "acme");
    world.tenant(&engine, "other");
    let many: Vec<String> = (0..40).map(event).collect();
    for _ in 0..3 {
        for some in many.chunks(10) {
            world.append(&engine, "acme", some);
        }
        world.append(&engine, "other", &[event(1)]);
        engine.flush().unwrap();
    }
    world.append(&engine, "acme", &[event(7)]);
    engine.flush().unwrap();
    world.append(&engine, "acme", &[event(7), event(8)]);
    engine
}

/// Copies a folder from one disk to another, as an operator does.
fn carry(pair: &Pair, dir: &Path) {
    pair.to.disk.create_dir_all(dir).unwrap();
    for entry in pair.from.disk.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            carry(pair, &path);
            continue;
        }
        let bytes = whole(&pair.from, &path);
        if pair.to.disk.exists(&path).unwrap() {
            pair.to.disk.remove(&path).unwrap();
        }
        let file = pair.to.disk.open(&path, FileMode::Create).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        file.sync_data().unwrap();
    }
    pair.to.disk.sync_dir(dir).unwrap();
    for dir in dir.ancestors().skip(1) {
        pair.to.disk.sync_dir(dir).unwrap();
    }
}

fn whole(world: &World, path: &Path) -> Vec<u8> {
    let file = world.disk.open(path, FileMode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn invite(pair: &Pair, target: &Engine) -> ImportInfo {
    target
        .invite_tenant(&pair.to.by, "acme of the other server")
        .unwrap()
}

/// Packs a tenant for an invitation, and carries the package over.
fn packed(pair: &Pair, source: &Engine, invited: &ImportInfo) -> MoveInfo {
    let by = &pair.from.by;
    let invitation = invited.invitation.to_text();
    let begun = source
        .start_move("acme", by, &invitation, "a larger machine")
        .unwrap();
    assert_eq!(begun.state, MoveState::Copying);
    let packed = source.close_move("acme", by).unwrap();
    assert_eq!(packed.state, MoveState::Packed);
    carry(pair, &folder_of(&invited.invitation.id));
    packed
}

/// What can be read of a tenant: the events, or why one cannot be read.
fn events(world: &World, engine: &Engine, tenant: &str) -> Vec<String> {
    let size = engine.tenant(tenant).unwrap().size;
    let get = |seq| engine.get(tenant, &world.by, Which::Seq(seq));
    let text = |seq| get(seq).map_or_else(|error| error.to_string(), |record| record.event);
    (0..size).map(text).collect()
}

fn found(world: &World, engine: &Engine, tenant: &str, q: &str) -> u64 {
    let request = SearchRequest {
        q: q.into(),
        limit: 100,
        want_count: true,
        ..SearchRequest::default()
    };
    engine.search(tenant, &world.by, &request).unwrap().count.unwrap()
}

fn sound(engine: &Engine, tenant: &str) {
    assert_eq!(engine.verify(tenant, &mut |_, _| {}).unwrap().problems, []);
}

fn fsck(world: &World) -> Vec<String> {
    let report = crate::check::fsck(&world.parts(), &mut |_, _, _| {}).unwrap();
    let problems = report.problems.iter();
    problems
        .filter(|problem| problem.kind != crate::check::ProblemKind::Stray)
        .map(|problem| format!("{problem:?}"))
        .collect()
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn a_tenant_moves_whole_and_goes_on_in_a_linked_epoch() {
    let pair = Pair::new(900);
    let source = filled(&pair.from);
    let before = events(&pair.from, &source, "acme");
    let proof = source.proof("acme", &pair.from.by, Which::Seq(5)).unwrap();
    let former = source.vkey("acme").unwrap();
    let target = open(&pair.to);
    let invited = invite(&pair, &target);
    let moved = packed(&pair, &source, &invited);
    assert_eq!(moved.vkey, former);
    assert_eq!(
        code(target.move_receipt(&pair.to.by, &invited.invitation.id)),
        "not_imported"
    );
    assert!(target.tenant("acme").is_err());
    let report = target
        .check_package(&pair.to.by, &invited.invitation.id, Some(&former))
        .unwrap();
    assert_eq!((report.opened, report.problems), (true, Vec::new()));
    let came = target
        .import_move(&pair.to.by, &invited.invitation.id, &former, None)
        .unwrap();
    assert_eq!(came.state, ImportState::Imported);
    // Every record, and one that ended the log there, and one that began it here.
    let after = events(&pair.to, &target, "acme");
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(after.len(), before.len() + 2);
    assert!(
        after[before.len()].contains("tenant_move"),
        "{}",
        after[before.len()]
    );
    assert!(
        after[before.len() + 1].contains("\"type\":\"fork\""),
        "{}",
        after[before.len() + 1]
    );
    let keys = target.log_keys("acme").unwrap();
    assert_eq!(keys[0].vkey, former);
    assert_eq!(keys.last().unwrap().vkey, invited.invitation.vkey);
    let size = moved.head.unwrap().0;
    assert_eq!(keys[0].until, Some(size));
    // What was proved before is proved still, by the key of then; and anew, by the key of now, with the same opening.
    verify_tlog_proof(&proof, &former).unwrap();
    let again = target.proof("acme", &pair.to.by, Which::Seq(5)).unwrap();
    assert!(verify_tlog_proof(&again, &former).is_err());
    verify_tlog_proof(&again, &invited.invitation.vkey).unwrap();
    let opening = |proof: &str| {
        proof
            .lines()
            .find(|line| line.starts_with("extra "))
            .map(str::to_owned)
    };
    assert!(opening(&proof).is_some());
    assert_eq!(opening(&again), opening(&proof));
    sound(&target, "acme");
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:u7"), 5);
    // People are the same people: an erasure reaches what came.
    pair.to.append(&target, "acme", &[event(7)]);
    assert_eq!(found(&pair.to, &target, "acme", "actor.id:u7"), 6);
    // The source lets go, and nothing else does it.
    let receipt = target.move_receipt(&pair.to.by, &invited.invitation.id).unwrap();
    let by = &pair.from.by;
    assert_eq!(events(&pair.from, &source, "acme")[..before.len()], before[..]);
    assert_eq!(
        code(source.confirm_move("acme", by, "acme", "{}")),
        "invalid_receipt"
    );
    assert_eq!(
        code(source.confirm_move("acme", by, "other", &receipt)),
        "not_confirmed"
    );
    let gone = source.confirm_move("acme", by, "acme", &receipt).unwrap();
    assert!(gone.reason.contains("moved to the server"), "{}", gone.reason);
    assert!(gone.state >= DestroyedState::Destroyed);
    assert!(source.tenant("acme").is_err());
    assert_eq!(events(&pair.from, &source, "other").len(), 3);
    assert!(!pair.from.disk.exists(&folder_of(&invited.invitation.id)).unwrap());
    assert!(!pair.to.disk.exists(&folder_of(&invited.invitation.id)).unwrap());
    source.tick();
    for (world, engine) in [(&pair.from, source), (&pair.to, target)] {
        engine.close().unwrap();
        drop(engine);
        assert_eq!(fsck(world), Vec::<String>::new());
    }
    let target = open(&pair.to);
    assert_eq!(events(&pair.to, &target, "acme")[..before.len()], before[..]);
    sound(&target, "acme");
}

#[test]
fn a_log_that_moves_takes_nothing_more_and_is_read_as_before() {
    let pair = Pair::new(901);
    let source = filled(&pair.from);
    let target = open(&pair.to);
    let invited = invite(&pair, &target);
    packed(&pair, &source, &invited);
    let refused = pair.from.try_append(&source, "acme", &[event(1)]).unwrap_err();
    assert!(
        Error::from(refused)
            .to_string()
            .contains(&invited.invitation.instance)
    );
    let quiet = events(&pair.from, &source, "acme");
    source.tick();
    source.close().unwrap();
    drop(source);
    // So it is after a start.
    let source = open(&pair.from);
    assert!(pair.from.try_append(&source, "acme", &[event(1)]).is_err());
    assert_eq!(events(&pair.from, &source, "acme"), quiet);
    assert_eq!(
        code(source.rotate_log_key("acme", &pair.from.by, 0)),
        "tenant_moved"
    );
    pair.from.append(&source, "other", &[event(1)]);
    let shown = source.close_move("acme", &pair.from.by).unwrap();
    assert_eq!(shown.state, MoveState::Packed);
    assert_eq!(fsck_of(source, &pair.from), Vec::<String>::new());
}

fn fsck_of(engine: Engine, world: &World) -> Vec<String> {
    engine.close().unwrap();
    drop(engine);
    fsck(world)
}

#[test]
fn what_is_not_the_package_is_refused_and_leaves_nothing() {
    let pair = Pair::new(902);
    let source = filled(&pair.from);
    let target = open(&pair.to);
    let (invited, other) = (invite(&pair, &target), invite(&pair, &target));
    let moved = packed(&pair, &source, &invited);
    let id = &invited.invitation.id;
    let import = |vkey: &str| target.import_move(&pair.to.by, id, vkey, None);
    assert_eq!(code(import(&other.invitation.vkey)), "invalid_package");
    assert_eq!(code(import("nonsense")), "invalid_vkey");
    assert_eq!(
        code(target.import_move(&pair.to.by, &other.invitation.id, &moved.vkey, None)),
        "no_package"
    );
    let folder = folder_of(id);
    let mut paths: Vec<PathBuf> = vec!["package", "package.note", "rows", "entries"]
        .into_iter()
        .map(|name| folder.join(name))
        .collect();
    let blobs = pair.to.disk.list(&folder.join("blobs")).unwrap();
    paths.extend(
        blobs
            .iter()
            .take(2)
            .map(|entry| folder.join("blobs").join(&entry.name)),
    );
    for path in paths {
        let file = pair.to.disk.open(&path, FileMode::ReadWrite).unwrap();
        let at = file.len().unwrap() / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        assert_eq!(code(import(&moved.vkey)), "invalid_package", "{}", path.display());
        let problems = target
            .check_package(&pair.to.by, id, Some(&moved.vkey))
            .map(|report| report.problems);
        assert!(
            problems.is_err() || !problems.unwrap().is_empty(),
            "{}",
            path.display()
        );
        assert!(target.tenant("acme").is_err());
        assert_eq!(
            target.move_in(&pair.to.by, id).unwrap().state,
            ImportState::Invited
        );
        file.write_all_at(&byte, at).unwrap();
    }
    pair.to.tenant(&target, "acme");
    assert_eq!(code(import(&moved.vkey)), "name_taken");
    let came = target
        .import_move(&pair.to.by, id, &moved.vkey, Some("acme2"))
        .unwrap();
    assert_eq!(came.imported.unwrap().name, "acme2");
    assert_eq!(code(import(&moved.vkey)), "move_imported");
    sound(&target, "acme2");
    assert_eq!(fsck_of(target, &pair.to), Vec::<String>::new());
}

#[test]
fn a_move_that_is_taken_back_goes_on_in_a_new_epoch_if_the_log_had_ended() {
    let pair = Pair::new(903);
    let mut source = filled(&pair.from);
    let target = open(&pair.to);
    let by = &pair.from.by;
    let first = source.vkey("acme").unwrap();
    let invited = invite(&pair, &target);
    let text = invited.invitation.to_text();
    source.start_move("acme", by, &text, "a larger machine").unwrap();
    assert_eq!(source.abort_move("acme", by, "not now").unwrap().vkey, None);
    assert_eq!(code(source.move_of("acme", by)), "not_found");
    pair.from.append(&source, "acme", &[event(9)]);
    assert_eq!(source.vkey("acme").unwrap(), first);
    packed(&pair, &source, &invited);
    let before = events(&pair.from, &source, "acme");
    let aborted = source.abort_move("acme", by, "the other one broke").unwrap();
    assert!(!aborted.restart);
    let next = aborted.vkey.unwrap();
    assert_ne!(next, first);
    // At once, and so it is after a start.
    for n in 0..2 {
        assert_eq!(source.vkey("acme").unwrap(), next);
        assert_eq!(code(source.move_of("acme", by)), "not_found");
        pair.from.append(&source, "acme", &[event(9)]);
        let after = events(&pair.from, &source, "acme");
        assert_eq!(after[..before.len()], before[..]);
        assert_eq!(after.len(), before.len() + 2 + n);
        assert!(after[before.len()].contains("\"type\":\"fork\""), "{after:?}");
        sound(&source, "acme");
        if n == 0 {
            source.close().unwrap();
            drop(source);
            source = open(&pair.from);
        }
    }
    // It may move another time.
    let invited = invite(&pair, &target);
    let moved = packed(&pair, &source, &invited);
    let id = &invited.invitation.id;
    target.import_move(&pair.to.by, id, &moved.vkey, None).unwrap();
    assert_eq!(target.log_keys("acme").unwrap().len(), 3);
    sound(&target, "acme");
    assert_eq!(fsck_of(source, &pair.from), Vec::<String>::new());
}

#[test]
fn invitations_are_checked_and_can_be_taken_back() {
    let pair = Pair::new(904);
    let source = filled(&pair.from);
    let by = &pair.from.by;
    let own = source.invite_tenant(by, "").unwrap().invitation;
    let start = |text: &str| source.start_move("acme", by, text, "why");
    assert_eq!(code(start(&own.to_text())), "same_server");
    assert_eq!(code(start("{}")), "invalid_invitation");
    let newer = own
        .to_text()
        .replace("\"attestore_move\":1", "\"attestore_move\":2");
    assert_eq!(code(start(&newer)), "invalid_invitation");
    assert_eq!(
        code(source.start_move("_system", by, &own.to_text(), "why")),
        "own_log"
    );
    let target = open(&pair.to);
    let invited = invite(&pair, &target);
    let moved = packed(&pair, &source, &invited);
    let id = &invited.invitation.id;
    target.discard_move_in(&pair.to.by, id).unwrap();
    assert_eq!(
        code(target.import_move(&pair.to.by, id, &moved.vkey, None)),
        "not_found"
    );
    assert_eq!(fsck_of(target, &pair.to), Vec::<String>::new());
}
