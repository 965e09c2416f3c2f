use attestore_disk::{Disk, ManualClock, sim::SimDisk};
use attestore_tlog::{CosignerKey, Hash, Misbehaviour, NoteSignature, SignedNote, leaf_hash, sign_note};

use super::log::{NAME, NOW_S, ORIGIN, TestLog, clock, identity, open};
use crate::{Answer, FILES_MAX, Identity, IdentityError, Request, SIZE_TYPE, Witness, origin_hash};

struct World {
    disk: SimDisk,
    clock: ManualClock,
    log: TestLog,
    witness: Witness,
}

fn world() -> World {
    let (disk, clock, log) = (SimDisk::new(1), clock(), TestLog::new(70));
    let witness = open(&disk, &clock, &[log.vkey()]);
    World {
        disk,
        clock,
        log,
        witness,
    }
}

impl World {
    fn ask(&self, body: &str) -> Answer {
        self.witness.add_checkpoint(body.as_bytes())
    }

    fn size(&self) -> Option<u64> {
        self.witness.status()[0].head.map(|(size, _)| size)
    }

    fn evidence(&self) -> usize {
        self.witness.status()[0].evidence
    }

    /// Time of the cosignature that an answer holds on this checkpoint.
    fn verified(&self, answer: &Answer, checkpoint: &str) -> u64 {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let note = SignedNote::parse(&format!("{checkpoint}{}", answer.body)).unwrap();
        note.verify(&self.log.vkey()).unwrap();
        note.cosigned_at(self.witness.key()).unwrap()
    }
}

#[test]
fn a_log_that_grows_is_cosigned_and_the_newest_checkpoint_served() {
    let world = world();
    assert_eq!(world.size(), None);
    assert_eq!(world.witness.checkpoint(&origin_hash(ORIGIN)), None);
    for (old, new) in [(0, 5), (5, 5), (5, 64), (64, 70)] {
        world.clock.advance_ms(60_000);
        let answer = world.ask(&world.log.request(old, new));
        let time_s = world.verified(&answer, &world.log.checkpoint(new));
        assert!(time_s > NOW_S);
        let served = world.witness.checkpoint(&origin_hash(ORIGIN)).unwrap();
        assert_eq!(served, format!("{}{}", world.log.checkpoint(new), answer.body));
    }
    assert_eq!(world.size(), Some(70));
    assert_eq!(world.witness.checkpoint(&origin_hash("other")), None);
    assert_eq!(world.evidence(), 0);
}

#[test]
fn what_was_cosigned_survives_a_restart() {
    let world = world();
    assert_eq!(world.ask(&world.log.request(0, 64)).status, 200);
    let before = (
        world.witness.status(),
        world.witness.checkpoint(&origin_hash(ORIGIN)),
    );
    let again = open(&world.disk, &world.clock, &[world.log.vkey()]);
    assert_eq!((again.status(), again.checkpoint(&origin_hash(ORIGIN))), before);
    assert_eq!(again.key(), world.witness.key());
    assert_eq!(
        again.add_checkpoint(world.log.request(0, 70).as_bytes()).body,
        "64\n"
    );
}

#[test]
fn another_old_size_is_answered_with_the_one_that_is_known() {
    let world = world();
    let conflict = |size: u64| Answer {
        status: 409,
        content_type: SIZE_TYPE,
        body: format!("{size}\n"),
    };
    assert_eq!(world.ask(&world.log.request(1, 5)), conflict(0));
    assert_eq!(world.ask(&world.log.request(0, 64)).status, 200);
    for old in [0, 63, 65] {
        assert_eq!(world.ask(&world.log.request(old, 70)), conflict(64), "{old}");
    }
    // A smaller tree after a greater one, told truthfully: no old size makes it a prefix.
    assert_eq!(world.ask(&world.log.request(10, 20)), conflict(64));
    assert_eq!(world.size(), Some(64));
    assert_eq!(world.evidence(), 0, "none of it says anything against the log");
}

#[test]
fn a_second_history_is_refused_and_kept_as_evidence() {
    let world = world();
    assert_eq!(world.ask(&world.log.request(0, 64)).status, 200);
    let fork = TestLog::forked(70, 30, 1);
    // The same size with another root: with the right old size 422, with another 409; proof by itself in both.
    assert_eq!(world.ask(&fork.request(64, 64)).status, 422);
    assert_eq!(world.evidence(), 1);
    assert_eq!(world.ask(&fork.request(30, 64)).status, 409);
    assert_eq!(world.evidence(), 1, "each once");
    // A longer one that does not extend what was cosigned.
    assert_eq!(world.ask(&fork.request(64, 70)).status, 422);
    assert_eq!(world.evidence(), 2);
    assert_eq!(world.size(), Some(64));
    let names: Vec<_> = world.disk.list("misbehaviour".as_ref()).unwrap();
    let (_, file) = names
        .iter()
        .map(|entry| (&entry.name, read(&world.disk, &entry.name)))
        .find(|(name, _)| name.contains(".same-size."))
        .unwrap();
    let (head, notes) = file.split_once("\n\n").unwrap();
    assert_eq!(
        head,
        format!(
            "attestore misbehaviour v1\nvkey {}\nreason same-size",
            world.log.vkey()
        )
    );
    let cosigned = world.witness.checkpoint(&origin_hash(ORIGIN)).unwrap();
    assert_eq!(notes, format!("{cosigned}\n{}", fork.checkpoint(64)));
    let proof = Misbehaviour::parse(&file).unwrap();
    assert_eq!((proof.reason(), proof.old().size()), ("same-size", 64));
    // And the honest one goes on.
    assert_eq!(world.ask(&world.log.request(64, 70)).status, 200);
}

#[test]
fn evidence_does_not_fill_the_disk_and_suspicion_leaves_room_for_proof() {
    let world = world();
    assert_eq!(world.ask(&world.log.request(0, 2)).status, 200);
    for seed in 1..=70u8 {
        let fork = TestLog::forked(3, 1, seed);
        assert_eq!(world.ask(&fork.request(2, 3)).status, 422);
        assert_eq!(world.ask(&fork.request(2, 3)).status, 422);
    }
    assert_eq!(world.evidence(), FILES_MAX);
    assert_eq!(world.ask(&TestLog::forked(2, 1, 9).request(2, 2)).status, 422);
    assert_eq!(world.evidence(), FILES_MAX + 1);
}

#[test]
fn proofs_have_to_be_exactly_right() {
    let world = world();
    assert_eq!(world.ask(&world.log.request(0, 13)).status, 200);
    let good = world.log.proof(13, 70);
    let ask = |proof: Vec<Hash>, old: u64, new: u64| {
        let request = Request {
            old,
            proof,
            checkpoint: world.log.checkpoint(new),
        };
        world.ask(&request.to_string()).status
    };
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] = leaf_hash(b"");
        assert_eq!(ask(bad, 13, 70), 422, "hash {at}");
    }
    assert_eq!(ask(good[1..].to_vec(), 13, 70), 422);
    assert_eq!(ask([&good[..], &good[..1]].concat(), 13, 70), 422);
    assert_eq!(ask(good.clone(), 13, 13), 422, "a proof between equal sizes");
    assert_eq!(ask(vec![], 13, 13), 200);
    assert_eq!(ask(good, 13, 70), 200);
    let fresh = self::world();
    let request = Request {
        old: 0,
        proof: vec![leaf_hash(b"")],
        checkpoint: fresh.log.checkpoint(5),
    };
    assert_eq!(
        fresh.ask(&request.to_string()).status,
        422,
        "a proof from nothing"
    );
}

#[test]
fn only_logs_and_keys_that_are_known_are_cosigned() {
    let world = world();
    let stranger = TestLog::new(5).with_origin("stranger.example");
    assert_eq!(world.ask(&stranger.request(0, 5)).status, 404);
    let forger = TestLog::new(5).with_key(4);
    assert_eq!(world.ask(&forger.request(0, 5)).status, 403);
    // The log's name and key id over a signature that is not its own, beside one that is.
    let vkey = world.log.vkey();
    let honest = world.log.request(0, 5);
    let forged = line(vkey.name(), vkey.id(), &[1; 64]);
    assert_eq!(world.ask(&format!("{honest}{forged}\n")).status, 403);
    // Unknown keys mean nothing, also under the log's name.
    let unknown = line(vkey.name(), vkey.id() ^ 1, &[1; 64]);
    assert_eq!(world.ask(&format!("{honest}{unknown}\n")).status, 200);
    let served = world.witness.checkpoint(&origin_hash(ORIGIN)).unwrap();
    assert_eq!(
        SignedNote::parse(&served).unwrap().signatures().len(),
        2,
        "unknown lines are not kept"
    );
}

#[test]
fn either_key_of_a_log_will_do() {
    let (disk, clock) = (SimDisk::new(1), clock());
    let (first, second) = (TestLog::new(9), TestLog::new(9).with_key(4));
    let witness = open(&disk, &clock, &[first.vkey(), second.vkey()]);
    assert_eq!(witness.status().len(), 1);
    assert_eq!(witness.add_checkpoint(first.request(0, 5).as_bytes()).status, 200);
    assert_eq!(
        witness.add_checkpoint(second.request(5, 9).as_bytes()).status,
        200
    );
}

#[test]
fn empty_trees_have_one_root() {
    let world = world();
    let wrong = format!("{ORIGIN}\n0\n{}\n", leaf_hash(b"").to_base64());
    let wrong = sign_note(&wrong, &[&world.log]).unwrap();
    assert_eq!(world.ask(&format!("old 0\n\n{wrong}")).status, 422);
    let forged = wrong.replace("\n0\n", "\n00\n");
    assert_eq!(world.ask(&format!("old 0\n\n{forged}")).status, 400);
    assert_eq!(world.ask(&TestLog::new(0).request(0, 0)).status, 200);
    assert_eq!(world.size(), Some(0));
    assert_eq!(world.ask(&world.log.request(0, 5)).status, 200);
}

#[test]
fn malformed_bodies_are_refused() {
    let world = world();
    let checkpoint = world.log.checkpoint(5);
    let unsigned = checkpoint.split_once("\n\n").unwrap().0;
    for body in [
        String::new(),
        checkpoint.clone(),
        format!("old 6\n\n{checkpoint}"),
        format!("old 0\n{checkpoint}"),
        format!("old 0\n\n{unsigned}\n"),
        format!(
            "old 0\n\n{}",
            sign_note(&format!("{ORIGIN}\n5\n"), &[&world.log]).unwrap()
        ),
    ] {
        let answer = world.ask(&body);
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.content_type, "text/plain; charset=utf-8");
    }
    assert_eq!(world.size(), None);
}

#[test]
fn no_cosignature_is_dated_before_another() {
    let world = world();
    assert_eq!(world.ask(&world.log.request(0, 5)).status, 200);
    world.clock.set_now_ms(NOW_S * 1000 - 1);
    assert_eq!(world.ask(&world.log.request(5, 9)).status, 503);
    assert_eq!(world.size(), Some(5));
    world.clock.set_now_ms(NOW_S * 1000);
    assert_eq!(world.ask(&world.log.request(5, 9)).status, 200);
}

#[test]
fn a_state_that_is_not_what_was_written_is_never_taken_for_none() {
    let world = world();
    assert_eq!(world.ask(&world.log.request(0, 5)).status, 200);
    let path = format!("logs/{}", origin_hash(ORIGIN));
    let length = world.disk.len(path.as_ref()).unwrap();
    for offset in (0..length).step_by(7) {
        world.disk.flip(&path, offset, 1).unwrap();
        let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(world.disk.clone());
        let identity = identity(&disk);
        let clock = std::sync::Arc::new(world.clock.clone());
        assert!(
            Witness::open(disk, clock, identity, [world.log.vkey()]).is_err(),
            "byte {offset}"
        );
        world.disk.flip(&path, offset, 1).unwrap();
    }
    // The state of one log under the name of another.
    let other = TestLog::new(5).with_origin("other.example");
    let renamed = format!("logs/{}", origin_hash("other.example"));
    world.disk.rename(path.as_ref(), renamed.as_ref()).unwrap();
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(world.disk.clone());
    let identity = identity(&disk);
    let clock = std::sync::Arc::new(world.clock.clone());
    assert!(Witness::open(disk, clock, identity, [other.vkey()]).is_err());
}

#[test]
fn an_identity_is_of_one_name_and_one_root() {
    let disk = SimDisk::new(1);
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk);
    let entropy = || std::sync::Arc::new(attestore_keys::SeededEntropy::new(2));
    assert!(matches!(
        Identity::open(&disk, entropy()),
        Err(IdentityError::Missing)
    ));
    for bad in ["", "a b", "a+b", &"n".repeat(256)] {
        let made = Identity::open_or_create(&disk, entropy(), bad);
        assert!(matches!(made, Err(IdentityError::Name)), "{bad}");
    }
    let key = identity(&disk).verifier();
    assert_eq!(Identity::open(&disk, entropy()).unwrap().verifier(), key);
    assert_eq!(key.to_string().parse::<CosignerKey>().unwrap(), key);
    assert!(matches!(
        Identity::open_or_create(&disk, entropy(), "another"),
        Err(IdentityError::OtherName(name)) if name == NAME
    ));
    // The name in the file is what the key was wrapped with.
    let text = read_at(disk.as_ref(), "identity").replace(NAME, "witness.example/w2");
    crate::files::replace(disk.as_ref(), "identity".as_ref(), text.as_bytes()).unwrap();
    assert!(matches!(
        Identity::open(&disk, entropy()),
        Err(IdentityError::Keys(_))
    ));
}

fn line(name: &str, id: u32, signature: &[u8]) -> NoteSignature {
    use base64::Engine as _;
    let blob = [&id.to_be_bytes()[..], signature].concat();
    let blob = base64::engine::general_purpose::STANDARD.encode(blob);
    NoteSignature::parse(&format!("\u{2014} {name} {blob}")).unwrap()
}

fn read(disk: &SimDisk, name: &str) -> String {
    read_at(disk, &format!("misbehaviour/{name}"))
}

fn read_at(disk: &dyn Disk, path: &str) -> String {
    let bytes = crate::files::read(disk, path.as_ref(), 1 << 20).unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}
