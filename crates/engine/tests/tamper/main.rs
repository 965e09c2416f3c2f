//! What an insider who has the disk, every data key and the signing keys can do to a data directory, and who notices.
//!
//! Every kind of edit ([`edits`]) is made to a copy of stores of three ages ([`store`]). Then everybody looks who could notice
//! ([`judge`]), each with what they have and nothing else: the program at its start, `fsck` and `verify` have the directory
//! alone; the head register, a witness and an outsider with a saved checkpoint were elsewhere. What has to be noticed, and by
//! whom at least, stands beside each edit; the table in `docs/threat-model.md` says what is ([`table`]).
//!
//! Nobody may panic, and nobody may be given a record that was not appended: but for forgeries that are complete, every
//! record that can be read is held against what was appended.
#![expect(clippy::unwrap_used, reason = "tests")]

mod edits;
mod insider;
mod judge;
mod past;
mod store;
mod table;
#[path = "../reads/world.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod world;

use attestore_tlog::{Misbehaviour, VerifierKey};
use edits::{EDITS, Least};
use judge::{By, Verdict};
use store::{Age, Store};

#[test]
fn every_edit_is_noticed_by_whom_the_table_says() {
    let found = std::thread::scope(|scope| {
        let judges = Age::ALL.map(|age| scope.spawn(move || judged(&Store::new(age))));
        judges.map(|judge| judge.join().expect("nobody panics"))
    });
    let wrong: Vec<_> = found.iter().flat_map(|judged| &judged.wrong).cloned().collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let rows = EDITS.iter().enumerate().map(|(at, edit)| {
        let verdicts = found.iter().flat_map(|judged| &judged.verdicts[at]);
        table::Row::new(edit, &verdicts.collect::<Vec<_>>())
    });
    assert!(EDITS.len() >= 20);
    table::compare(&rows.collect::<Vec<_>>());
}

/// What was said of every edit of one store, and what of it is not as expected.
struct Judged {
    verdicts: Vec<Vec<Verdict>>,
    wrong: Vec<String>,
}

fn judged(store: &Store) -> Judged {
    let mut wrong = Vec::new();
    let verdicts = EDITS.iter().map(|edit| {
        let cases = (edit.apply)(store);
        let verdicts = cases.iter().map(|case| {
            let verdict = judge::judge(case);
            let label = format!("{} [{} {}]", edit.name, store.age.name(), case.what);
            wrong.extend(missed(edit.least, &verdict).map(|what| format!("{label}: {what} {verdict:?}")));
            verdict
        });
        verdicts.collect()
    });
    let verdicts = verdicts.collect();
    Judged { verdicts, wrong }
}

/// What is wrong with a verdict.
fn missed(least: Least, verdict: &Verdict) -> Option<String> {
    let noticed = |by: &[By]| by.iter().any(|by| verdict.said(*by).is_some());
    for (by, said) in verdict.all() {
        if said.place.is_empty() || said.reason.is_empty() {
            return Some(format!("{by:?} gives no place or no reason"));
        }
    }
    let inside = noticed(&[By::Start, By::Fsck, By::Verify]);
    let register = noticed(&[By::Register]);
    let outside = noticed(&[By::Witness, By::Outsider]);
    let holds = match least {
        Least::Directory => inside,
        Least::Register => !inside && register,
        Least::Outside => !inside && !register && outside,
        Least::Nobody => !inside && !register && !outside,
    };
    (!holds).then(|| format!("not as expected ({least:?}):"))
}

#[test]
fn untouched_stores_are_sound_for_everybody() {
    for age in Age::ALL {
        let verdict = judge::judge(&Store::new(age).case("untouched"));
        assert!(verdict.all().next().is_none(), "{}: {verdict:?}", age.name());
    }
}

/// The log that was rewritten and signed again has signed two trees: with a checkpoint that somebody saved, it convicts itself.
#[test]
fn a_log_that_was_rewritten_gives_the_proof_of_its_misbehaviour() {
    let store = Store::new(Age::Flushed);
    let saved = &store.outside.checkpoints["acme"];
    let key: VerifierKey = store.outside.vkeys["acme"].parse().unwrap();
    let forged = EDITS.iter().find(|edit| {
        edit.name
            .starts_with("a record changed, everything recomputed and")
    });
    let case = (forged.unwrap().apply)(&store).swap_remove(0);
    let shown = store.world(&case.disk, None).open().checkpoint("acme").unwrap();
    let proof = Misbehaviour::new(key.clone(), saved, &shown, Vec::new())
        .unwrap()
        .to_text();
    // A third party, who knows nothing but the log's key, checks the file.
    let checked = Misbehaviour::parse(&proof).unwrap();
    assert_eq!(*checked.key(), key);
    assert_eq!(checked.old().size(), checked.new_checkpoint().size());
    assert!(
        Misbehaviour::new(key, saved, saved, Vec::new()).is_err(),
        "one tree is none"
    );
}
