//! Somebody guesses who a record was about: with the kept entries and everything else that is left, today's keys included, no guess
//! can be confirmed once the person is erased.

use std::collections::BTreeSet;

use attestore_engine::check::{Place, expose};
use attestore_engine::forget::Person;
use attestore_engine::forget::erase::{ErasureRequest, ErasureState};
use attestore_engine::read::Which;
use attestore_engine::{Engine, Item, Mode, Principal};
use attestore_record::commitment::{
    PUBLIC_LABEL, SaltKey, group_commitment, personal_label, record_commitment, set_key,
};
use attestore_record::{Entry, Handle, RecordId};
use attestore_verify::{GroupOpening, OpenedRecord, verify_tlog_proof};

use crate::world::{TENANT, World};

const TRUE_ID: &str = "ann.o-neil@example.org";
const GUESSES: usize = 10_000;

fn event(id: &str, n: u64) -> Item {
    let event =
        format!(r#"{{"action":"login.open","actor":{{"type":"user","id":"{id}"}},"metadata":{{"n":{n}}}}}"#);
    Item {
        bytes: event.into(),
        fallback_key: None,
    }
}

fn append(engine: &Engine, of: impl Iterator<Item = u64>) {
    let id = |n: u64| match n % 3 {
        0 => TRUE_ID.to_owned(),
        _ => format!("somebody-{}@example.org", n % 7),
    };
    for n in of {
        let items = vec![event(&id(n), n)];
        engine
            .append_blocking(TENANT, &Principal::internal(), "native", items, Mode::Each)
            .unwrap();
    }
}

fn opening(engine: &Engine, seq: u64) -> OpenedRecord {
    let by = Principal::internal();
    let proof = engine.proof(TENANT, &by, Which::Seq(seq)).unwrap();
    verify_tlog_proof(&proof, &engine.vkey(TENANT).unwrap())
        .unwrap()
        .record
}

/// The personal group of a record with one.
fn group(record: &OpenedRecord) -> &GroupOpening {
    assert_eq!(record.groups.len(), 1);
    &record.groups[0]
}

/// Who knows the form of a group, and not whom it is about.
struct Guesser {
    entry: Entry,
    public: Vec<u8>,
    salt0: [u8; 32],
    id: RecordId,
    /// The group's bytes, around the person's id.
    around: [Vec<u8>; 2],
    label: Vec<u8>,
}

impl Guesser {
    fn new(before: &OpenedRecord) -> Self {
        let GroupOpening::Opened { bytes, .. } = group(before) else {
            panic!("it is not erased yet")
        };
        let text = String::from_utf8(bytes.clone()).unwrap();
        let (left, right) = text.split_once(TRUE_ID).unwrap();
        let of_group: serde_json::Value = serde_json::from_str(&text).unwrap();
        let subjects = of_group["subjects"].as_array().unwrap().iter();
        let handles: Vec<Handle> = subjects
            .map(|hex| hex.as_str().unwrap().parse().unwrap())
            .collect();
        let of_public: serde_json::Value = serde_json::from_slice(&before.public).unwrap();
        Self {
            entry: Entry::from_bytes(&before.entry).unwrap(),
            public: before.public.clone(),
            salt0: before.salt0,
            id: of_public["id"].as_str().unwrap().parse().unwrap(),
            around: [left.into(), right.into()],
            label: personal_label(&handles),
        }
    }

    fn bytes(&self, guess: &str) -> Vec<u8> {
        [
            self.around[0].as_slice(),
            guess.as_bytes(),
            self.around[1].as_slice(),
        ]
        .concat()
    }

    /// Whether the entry is that of a record about the guess, under a salt of its personal group.
    fn is_right(&self, guess: &str, salt: &[u8; 32]) -> bool {
        let group = group_commitment(self.entry.version, salt, &self.bytes(guess));
        let record = record_commitment(self.entry.version, &self.salt0, &self.public, &mut [group]);
        record == self.entry.commitment
    }

    /// Guesses that a salt confirms.
    fn confirmed<'g>(&self, guesses: &'g [String], salts: &BTreeSet<[u8; 32]>) -> BTreeSet<&'g str> {
        let right = |guess: &&String| salts.iter().any(|salt| self.is_right(guess, salt));
        guesses.iter().filter(right).map(String::as_str).collect()
    }

    /// Whether some 32 bytes are the salt of the personal group, the key of its set of subjects or that of its subject; and whether
    /// they are the key of the salts of public groups.
    fn opens(&self, window: &[u8; 32]) -> (bool, bool) {
        let salts = [
            *window,
            SaltKey::new(window).salt(&self.id, &self.label),
            SaltKey::new(&set_key(&[window])).salt(&self.id, &self.label),
        ];
        (
            salts.iter().any(|salt| self.is_right(TRUE_ID, salt)),
            SaltKey::new(window).salt(&self.id, PUBLIC_LABEL) == self.salt0,
        )
    }

    /// How many places of some bytes open the personal group, and the public one.
    fn places(&self, bytes: &[u8]) -> (u64, u64) {
        let mut found = (0, 0);
        for window in bytes.windows(32) {
            // No random bytes are all of ASCII, or nearly all the same.
            let odd = window.iter().filter(|byte| !byte.is_ascii()).count();
            if odd < 4 || window.iter().filter(|byte| **byte == window[0]).count() > 16 {
                continue;
            }
            let (personal, public) = self.opens(window.try_into().unwrap());
            found.0 += u64::from(personal);
            found.1 += u64::from(public);
        }
        found
    }
}

#[test]
fn no_guess_is_confirmed_by_what_is_left() {
    let world = World::new(77);
    let (engine, _) = world.open().unwrap();
    let by = Principal::internal();
    engine.create_tenant(TENANT, &by).unwrap();
    append(&engine, 0..40);
    engine.flush().unwrap();
    append(&engine, 40..48);
    let about: Vec<u64> = (0..48).filter(|n| n % 3 == 0).collect();
    let seqs: Vec<u64> = (0..engine.tenant(TENANT).unwrap().size)
        .filter(|seq| {
            let view = engine.get(TENANT, &by, Which::Seq(*seq)).unwrap();
            view.event.contains(TRUE_ID)
        })
        .collect();
    assert_eq!(seqs.len(), about.len());
    let before: Vec<OpenedRecord> = seqs.iter().map(|seq| opening(&engine, *seq)).collect();

    let request = ErasureRequest {
        subjects: vec![Person {
            ty: "user".into(),
            id: TRUE_ID.into(),
        }],
        basis: "Art. 17 GDPR".into(),
        undo_s: 0,
    };
    let job = engine.erase(TENANT, &by, &request).unwrap();
    engine.tick();
    let job = engine.erasure(TENANT, &by, &job.id).unwrap();
    assert_eq!((job.state, job.records), (ErasureState::Done, seqs.len() as u64));

    // What openings still tell: salts of public groups, commitments, everything about others.
    let mut left: BTreeSet<[u8; 32]> = [[0; 32]].into();
    for seq in 0..engine.tenant(TENANT).unwrap().size {
        let record = opening(&engine, seq);
        left.insert(record.salt0);
        for group in &record.groups {
            left.insert(match group {
                GroupOpening::Opened { salt, .. } => *salt,
                GroupOpening::Withheld { commitment } => *commitment,
            });
        }
    }
    let mut guesses: Vec<String> = (0..GUESSES)
        .map(|n| format!("ann.o-neil{n}@example.org"))
        .collect();
    guesses.insert(GUESSES / 2, TRUE_ID.to_owned());
    for (seq, before) in seqs.iter().zip(&before).take(RECORDS_GUESSED) {
        let guesser = Guesser::new(before);
        let after = opening(&engine, *seq);
        assert_eq!((after.entry, &after.public), (before.entry, &before.public));
        assert!(!group(&after).is_opened());
        assert_eq!(guesser.confirmed(&guesses, &left), BTreeSet::new());
        // Who has an opening from before confirms the true one, and no other: the attack works.
        let GroupOpening::Opened { salt, .. } = group(before) else {
            panic!("it was not erased")
        };
        assert_eq!(guesser.confirmed(&guesses, &[*salt].into()), [TRUE_ID].into());
    }
    drop(engine);

    // Whatever 32 bytes of anything that today's keys open are tried as a salt or a key.
    let guessers: Vec<Guesser> = [&before[0], before.last().unwrap()].map(Guesser::new).into();
    let (mut found, mut bytes_seen) = ([(0, 0); 2], 0);
    let mut everything = Vec::new();
    expose(&world.parts().unwrap(), &mut |place, _, bytes| {
        if place != Place::Raw {
            bytes_seen += bytes.len();
            everything.push(bytes.to_vec());
        }
    })
    .unwrap();
    everything.sort_unstable();
    everything.dedup();
    for bytes in &everything {
        for (guesser, found) in guessers.iter().zip(&mut found) {
            let (personal, public) = guesser.places(bytes);
            found.0 += personal;
            found.1 += public;
        }
    }
    println!("{bytes_seen} bytes looked through: {found:?}");
    for (personal, public) in found {
        assert_eq!(personal, 0, "a salt or a key of the person is left");
        assert!(public > 0, "the key of the public salts is there, and is found");
    }
    for (guesser, before) in guessers.iter().zip([&before[0], before.last().unwrap()]) {
        let GroupOpening::Opened { salt, .. } = group(before) else {
            panic!("it was not erased")
        };
        let planted = [[200, 1, 2].as_slice(), salt.as_slice(), &[3, 4]].concat();
        assert_eq!(guesser.places(&planted).0, 1, "a salt that is there is found");
    }
}

/// Records of the person for each of which everything is guessed.
const RECORDS_GUESSED: usize = 4;
