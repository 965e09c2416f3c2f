//! Random workloads with random crashes. More of them: `ATTESTORE_SIM_SEEDS=2000`.

use attestore_disk::sim::{Fault, SimDisk};
use attestore_keys::{Entropy, SeededEntropy};

use crate::model::Model;
use crate::workload::{Step, run};
use crate::world::World;

#[test]
fn random_crashes_of_random_workloads_lose_nothing_acknowledged() {
    let seeds = std::env::var("ATTESTORE_SIM_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SEEDS);
    for seed in 0..seeds {
        println!("seed {seed}");
        play(seed);
    }
}

fn play(seed: u64) {
    let dice = Dice(SeededEntropy::new(seed ^ 0x5eed));
    let (world, mut disk, mut model) = (World::new(seed), SimDisk::new(seed), Model::default());
    for life in 0..2 + dice.roll(4) {
        let context = format!("seed {seed}, life {life}");
        let steps: Vec<Step> = (0..4 + dice.roll(16)).map(|_| step(&dice)).collect();
        if dice.roll(4) > 0 {
            disk.fail_at(disk.op_count() + dice.roll(250), fault(&dice));
        }
        match world.open(&disk) {
            Ok((engine, _)) => {
                run(&world, &engine, &mut model, &steps);
                if dice.roll(4) == 0 {
                    let _ = engine.close();
                }
            }
            Err(error) => assert!(
                error.exit_code() == 1,
                "{context}: a fault while opening is no damage: {error}"
            ),
        }
        disk = disk.crash();
        let (engine, _) = world
            .open(&disk)
            .unwrap_or_else(|error| panic!("{context}: does not open: {error}"));
        model.check(&engine);
        drop(engine);
        disk = disk.crash();
    }
}

fn step(dice: &Dice) -> Step {
    let tenant = ["acme", "globex", "initech"][usize::try_from(dice.roll(3)).unwrap()];
    match dice.roll(14) {
        0 | 1 => Step::Tenant(tenant),
        2 => Step::Flush,
        3 => Step::FlushTenant(tenant),
        4 => Step::Tick,
        5 => Step::Checkpoint(tenant),
        12 | 13 => Step::Compact(tenant),
        6 => Step::Later(dice.roll(200_000)),
        7 => {
            let key = u32::try_from(dice.roll(4)).unwrap();
            Step::Append {
                tenant,
                count: 1,
                bytes: 10,
                subject: 1,
                key: Some(key),
            }
        }
        _ => Step::Append {
            tenant,
            count: 1 + usize::try_from(dice.roll(6)).unwrap(),
            bytes: usize::try_from(dice.roll(2500)).unwrap(),
            subject: u32::try_from(dice.roll(5)).unwrap(),
            key: None,
        },
    }
}

fn fault(dice: &Dice) -> Fault {
    match dice.roll(4) {
        0 => Fault::CrashBefore,
        1 => Fault::CrashTorn,
        2 => Fault::CrashAfter,
        _ => Fault::Errno(5),
    }
}

struct Dice(SeededEntropy);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % sides
    }
}

const SEEDS: u64 = 300;
