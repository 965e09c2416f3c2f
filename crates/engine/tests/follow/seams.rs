//! Across flushes, compactions, restarts and crashes, resumed at any place: the full list, once, in order.

use attestore_engine::{
    Error, Role,
    follow::{Follower, Start},
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{TENANT, World, append, everything, principal, searched};

/// Filters of several kinds: exact, negative, words, ranges, personal, and one that only a scan answers.
const FILTERS: [&str; 7] = [
    "",
    "action:auth.login",
    "NOT outcome:failure",
    "metadata.shard:s7 OR metadata.shard:s8",
    "actor.id:u_3",
    "person",
    "payload.deep.n:4",
];

#[derive(Clone, Debug)]
enum Happens {
    Append(u64),
    Elsewhere(u64),
    Flush,
    Compact,
    Restart,
    Crash,
    /// A follower takes a step of so many records and bytes.
    Step(usize, usize, usize),
    /// A follower is dropped and comes back with its position.
    Resume(usize),
    Wait(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (1u64..60).prop_map(Happens::Append),
        1 => (1u64..20).prop_map(Happens::Elsewhere),
        2 => Just(Happens::Flush),
        1 => Just(Happens::Compact),
        1 => Just(Happens::Restart),
        1 => Just(Happens::Crash),
        9 => (0..FILTERS.len(), 1usize..40, 1usize..20_000)
            .prop_map(|(who, limit, bytes)| Happens::Step(who, limit, bytes)),
        3 => (0..FILTERS.len()).prop_map(Happens::Resume),
        2 => (1u64..200).prop_map(Happens::Wait),
    ]
}

/// Somebody who follows, what was shown to them, and what they keep.
struct Reader {
    q: &'static str,
    personal: bool,
    follower: Option<Follower>,
    position: String,
    shown: Vec<u64>,
}

impl Reader {
    fn who(&self) -> attestore_engine::Principal {
        principal(&[if self.personal {
            Role::Investigator
        } else {
            Role::Reader
        }])
    }

    fn follow(&mut self, world: &World) -> &mut Follower {
        let start = Start::After(self.position.clone());
        let by = self.who();
        let q = self.q;
        self.follower
            .get_or_insert_with(|| world.engine().follow(TENANT, &by, q, &start).unwrap())
    }

    fn step(&mut self, world: &World, limit: usize, bytes: usize) {
        let follower = self.follow(world);
        let step = follower.step(limit, bytes, &|| false).unwrap();
        assert!(step.items.len() <= limit);
        assert!(step.gaps.is_empty(), "nothing was purged: {:?}", step.gaps);
        let position = follower.position();
        self.shown.extend(step.items.iter().map(|item| item.seq));
        self.position = position;
    }
}

fn play(seed: u64, all: &[Happens]) {
    let mut world = World::new(seed);
    let mut appended = 0;
    append(world.engine(), TENANT, 0..5);
    appended += 5;
    let mut readers: Vec<Reader> = (0..FILTERS.len() * 2)
        .map(|n| {
            let q = FILTERS[n / 2];
            let personal = n % 2 == 0;
            let by = principal(&[if personal {
                Role::Investigator
            } else {
                Role::Reader
            }]);
            let follower = world.engine().follow(TENANT, &by, q, &Start::Beginning).unwrap();
            Reader {
                q,
                personal,
                position: follower.position(),
                follower: Some(follower),
                shown: Vec::new(),
            }
        })
        .collect();
    for one in all {
        match one {
            Happens::Append(count) => {
                append(world.engine(), TENANT, appended..appended + count);
                appended += count;
            }
            Happens::Elsewhere(count) => append(world.engine(), "other", 0..*count),
            Happens::Flush => drop(world.engine().flush().unwrap()),
            Happens::Compact => drop(world.engine().compact(TENANT).unwrap()),
            Happens::Restart | Happens::Crash => {
                readers.iter_mut().for_each(|reader| reader.follower = None);
                match one {
                    Happens::Crash => world.crash(),
                    _ => world.restart(),
                }
            }
            Happens::Step(who, limit, bytes) => {
                readers[who * 2].step(&world, *limit, *bytes);
                readers[who * 2 + 1].step(&world, *limit, *bytes);
            }
            Happens::Resume(who) => readers[who * 2].follower = None,
            Happens::Wait(ms) => world.clock.advance_ms(*ms),
        }
    }
    for reader in &mut readers {
        while reader.follow(&world).behind() > 0 {
            world.clock.advance_ms(2000);
            reader.step(&world, 33, 8192);
        }
        let expected = searched(world.engine(), &reader.who(), reader.q, 0);
        assert_eq!(
            reader.shown, expected,
            "{:?}, personal: {}",
            reader.q, reader.personal
        );
    }
    let hits: usize = readers.iter().map(|reader| reader.shown.len()).sum();
    assert!(hits > 0);
}

#[test]
fn any_follower_sees_the_full_list_once_whatever_happens_between_its_steps() {
    let cases = std::env::var("ATTESTORE_FOLLOW_CASES").map_or(24, |cases| cases.parse().unwrap());
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (any::<u64>(), prop::collection::vec(happens(), 10..60));
    runner
        .run(&strategy, |(seed, all)| {
            play(seed, &all);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_place_of_a_log_can_be_resumed_from() {
    let world = World::new(7);
    append(world.engine(), TENANT, 0..30);
    world.engine().flush().unwrap();
    append(world.engine(), TENANT, 30..50);
    let by = everything();
    let q = "outcome:failure";
    for after in 0..=50 {
        let at = world.engine().follow(TENANT, &by, q, &Start::At(after)).unwrap();
        let mut resumed = world
            .engine()
            .follow(TENANT, &by, q, &Start::After(at.position()))
            .unwrap();
        assert_eq!(resumed.next(), after);
        let mut shown = Vec::new();
        while resumed.behind() > 0 {
            world.clock.advance_ms(100);
            let step = resumed.step(7, 1 << 20, &|| false).unwrap();
            shown.extend(step.items.iter().map(|item| item.seq));
        }
        assert_eq!(shown, searched(world.engine(), &by, q, after));
    }
}

#[test]
fn a_place_in_another_log_or_beyond_the_end_is_refused() {
    let world = World::new(9);
    append(world.engine(), TENANT, 0..3);
    append(world.engine(), "other", 0..10);
    let by = everything();
    let follow = |start: &Start| world.engine().follow(TENANT, &by, "", start).map(drop);
    let code = |start: &Start| follow(start).map_err(|error| error.code());
    let other = world.engine().follow("other", &by, "", &Start::At(2)).unwrap();
    assert_eq!(
        code(&Start::After(other.position())),
        Err("event_id_of_another_log")
    );
    let own = world.engine().follow(TENANT, &by, "", &Start::Now).unwrap();
    assert_eq!(code(&Start::After(own.position())), Ok(()));
    assert_eq!(code(&Start::After(own.position_before(5))), Err("beyond_log"));
    assert_eq!(code(&Start::After(own.position_before(0))), Ok(()));
    assert_eq!(code(&Start::At(4)), Err("beyond_log"));
    for bad in [
        "",
        "1",
        "-",
        "x-00000000",
        "1-0000000",
        "1-000000000",
        "18446744073709551615-00000000",
        "+1-00000000",
    ] {
        assert_eq!(code(&Start::After(bad.into())), Err("invalid_event_id"), "{bad}");
    }
    assert!(matches!(
        follow(&Start::After("9-zzzzzzzz".into())),
        Err(Error::Invalid { .. })
    ));
}

#[test]
fn who_may_not_see_personal_fields_does_not_follow_by_them() {
    let world = World::new(11);
    append(world.engine(), TENANT, 0..20);
    let seen = |role: Role| {
        let by = principal(&[role]);
        let mut follower = world
            .engine()
            .follow(TENANT, &by, "actor.name:\"Person 3\"", &Start::Beginning)
            .unwrap();
        world.clock.advance_ms(100);
        follower.step(100, 1 << 20, &|| false).unwrap().items
    };
    assert!(!seen(Role::Investigator).is_empty());
    assert!(seen(Role::Reader).is_empty());
    let by = principal(&[Role::Ingest]);
    let refused = world.engine().follow(TENANT, &by, "", &Start::Now).map(drop);
    assert!(matches!(refused, Err(Error::Forbidden)));
}
