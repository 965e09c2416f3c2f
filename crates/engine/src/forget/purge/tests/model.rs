//! Random classes, ages, orders, compactions and restarts, against a model that knows only times and rules.

use std::ops::Range;

use attestore_keys::{Entropy, SeededEntropy};
use attestore_record::Entry;

use super::*;

/// A record as the model knows it.
struct Known {
    class: u16,
    time_ms: u64,
    gone: bool,
}

struct Model {
    records: Vec<Known>,
    proofs: Vec<(u64, String)>,
}

/// Class, minimum and maximum in hours.
const POLICIES: [(u16, u64, Option<u64>); 3] = [(1, 2, Some(20)), (2, 5, Some(7)), (3, 0, None)];

struct Random(SeededEntropy);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }
}

impl Model {
    /// Takes up what the log holds beyond what is known: appends, and controls that the engine wrote.
    fn catch_up(&mut self, world: &World, engine: &Engine) {
        let size = engine.tenant("acme").unwrap().size;
        for seq in self.records.len() as u64..size {
            let view = engine.get("acme", &world.by, Which::Seq(seq)).unwrap();
            let entry = Entry::from_bytes(&view.entry).unwrap();
            self.records.push(Known {
                class: entry.class,
                time_ms: entry.time_ms,
                gone: false,
            });
            if seq % 5 == 0 {
                let proof = engine.proof("acme", &world.by, Which::Seq(seq)).unwrap();
                self.proofs.push((seq, proof));
            }
        }
    }

    fn expire(&mut self, now_ms: u64) {
        for known in &mut self.records {
            let policy = POLICIES.iter().find(|(class, ..)| *class == known.class);
            if let Some((_, _, Some(max_h))) = policy {
                known.gone |= known.time_ms + max_h * HOUR_MS <= now_ms;
            }
        }
    }

    /// The live records that an order means.
    fn meant(&mut self, class: u16, ranges: &[Range<u64>]) -> Vec<&mut Known> {
        let all = (0..).zip(&mut self.records);
        let meant = all.filter(|(seq, known)| {
            known.class == class && !known.gone && ranges.iter().any(|range| range.contains(seq))
        });
        meant.map(|(_, known)| known).collect()
    }

    fn check(&mut self, world: &World, engine: &Engine, context: &str) {
        self.catch_up(world, engine);
        let all = (0..).zip(&self.records);
        let wanted: BTreeSet<u64> = all.filter(|(_, known)| known.gone).map(|(seq, _)| seq).collect();
        assert_eq!(check(world, engine), wanted, "{context}");
    }
}

fn play(seed: u64) {
    let world = World::new(400 + seed);
    let mut random = Random(SeededEntropy::new(seed));
    let mut engine = open(&world);
    let mut tenant = world.tenant(&engine, "acme");
    for (class, min_h, max_h) in POLICIES {
        let bounds = (min_h * HOUR_MS, max_h.map(|max_h| max_h * HOUR_MS));
        set_policy(&engine, &tenant, class, bounds, RetentionMode::None);
    }
    let mut model = Model {
        records: Vec::new(),
        proofs: Vec::new(),
    };
    for step in 0..60 {
        let context = format!("seed {seed}, step {step}");
        match random.below(12) {
            0..=3 => {
                let class = 1 + u16::try_from(random.below(4)).unwrap();
                let length = [20, 400, 1500][usize::try_from(random.below(3)).unwrap()];
                let many = 1 + usize::try_from(random.below(12)).unwrap();
                let text = event(u32::try_from(random.below(4)).unwrap());
                let body = format!(r#"{{"metadata":{{"body":"{}"}},"#, "r".repeat(length));
                append_as(&engine, &tenant, class, &vec![text.replacen('{', &body, 1); many]);
                model.catch_up(&world, &engine);
            }
            4 => drop(engine.flush().unwrap()),
            5 => drop(engine.compact("acme").unwrap()),
            6 | 7 => world
                .clock
                .advance_ms(random.below(6) * HOUR_MS + random.below(HOUR_MS)),
            8 | 9 => {
                engine.flush().unwrap();
                model.catch_up(&world, &engine);
                finish(&engine);
                model.expire(world.clock_ms());
            }
            10 => {
                model.catch_up(&world, &engine);
                let class = 1 + u16::try_from(random.below(3)).unwrap();
                let first = random.below(model.records.len() as u64);
                let second = first + 3 + random.below(10);
                let ranges = vec![
                    first..first + 1 + random.below(2),
                    second..second + 1 + random.below(8),
                ];
                let min_ms = POLICIES[usize::from(class) - 1].1 * HOUR_MS;
                let now_ms = world.clock_ms();
                let wanted = order(class, Selection::Ranges(ranges.clone()));
                let ordered = engine.purge("acme", &world.by, &wanted);
                let meant = model.meant(class, &ranges);
                let young = meant.iter().any(|known| known.time_ms + min_ms > now_ms);
                match ordered {
                    Ok(_) => {
                        assert!(!young, "{context}: {ranges:?}");
                        meant.into_iter().for_each(|known| known.gone = true);
                    }
                    Err(error) => {
                        assert!(young && error.code() == "retention_minimum", "{context}: {error}");
                    }
                }
            }
            _ => {
                drop(tenant);
                if random.below(2) == 0 {
                    engine.close().unwrap();
                }
                drop(engine);
                engine = open(&world);
                tenant = engine.inner.tenant("acme").unwrap();
            }
        }
        if step % 6 == 5 {
            model.check(&world, &engine, &context);
        }
    }
    engine.flush().unwrap();
    model.catch_up(&world, &engine);
    finish(&engine);
    model.expire(world.clock_ms());
    model.check(&world, &engine, &format!("seed {seed}, at the end"));
    let vkey = engine.vkey("acme").unwrap();
    for (seq, proof) in &model.proofs {
        assert_eq!(verify_tlog_proof(proof, &vkey).unwrap().index, *seq);
    }
    let statuses = engine.purges("acme", &world.by, None, 1000).unwrap().items;
    let purged: u64 = statuses.iter().map(|purge| purge.records).sum();
    let gone = model.records.iter().filter(|known| known.gone).count();
    assert_eq!(purged, gone as u64);
}

#[test]
fn nothing_goes_early_nothing_stays_late_and_everything_is_accounted_for() {
    for seed in 0..12 {
        play(seed);
    }
}
