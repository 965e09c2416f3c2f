//! Power loss and errors at every operation of a canonical workload, and at every operation of the recovery after them.
//!
//! What was acknowledged or served is there after every replay; what was not is there whole or not at all, and does not come
//! back once a recovery has gone on without it; nothing of it is ever called damage.

use crate::log::{ALICE, BOB, Log, payloads, tenant_key};
use attestore_disk::{Disk, sim::Fault};
use attestore_wal::{Error, FrameBuilder, Position, ReplayError, Writer, file_path, remove_unfinished};

const FAULTS: [Fault; 4] = [
    Fault::CrashBefore,
    Fault::CrashTorn,
    Fault::CrashAfter,
    Fault::Errno(5),
];

/// A log with the model of what must be in it.
struct World {
    log: Log,
    /// Acknowledged, or served after a recovery.
    must: Vec<u64>,
    /// Given to a commit that failed: there or not.
    maybe: Option<u64>,
    next_id: u64,
    context: String,
}

/// Why a session ended early.
#[derive(Debug)]
struct Stopped;

impl From<Error> for Stopped {
    fn from(_: Error) -> Self {
        Self
    }
}

impl From<std::io::Error> for Stopped {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl World {
    fn new(seed: u64, context: String) -> Self {
        Self {
            log: Log::new(seed),
            must: Vec::new(),
            maybe: None,
            next_id: 1,
            context,
        }
    }

    /// One run of the process: recovery, appends, a switch of files, a clean end.
    fn session(&mut self) -> Result<(), Stopped> {
        let (mut writer, recovered) = self.recover()?;
        self.must = recovered;
        self.maybe = None;
        let old = self.log.low;
        self.append(&mut writer, 20)?;
        self.append(&mut writer, 9000)?;
        writer.close_frame()?;
        self.log.claimed = Some(writer.watermark());
        self.append(&mut writer, 4096)?;
        let current = writer.watermark().wal;
        if current > 2 {
            self.log.low = current; // everything older was written again by the recovery
        }
        let recycle = (old..self.log.low)
            .map(file_path)
            .find(|path| self.log.disk.exists(path).unwrap_or(false));
        let mut writer = self.log.begin(writer.watermark(), recycle.as_deref())?;
        self.append(&mut writer, 5000)?;
        self.append(&mut writer, 1)?;
        writer.close_frame()?;
        Ok(())
    }

    /// Replays, checks against the model, and writes everything again into a new file.
    fn recover(&mut self) -> Result<(Writer, Vec<u64>), Stopped> {
        remove_unfinished(&self.log.disk)?;
        let (recovered, end) = self.replay_and_check()?;
        let mut writer = self.log.begin(end, None)?;
        for id in &recovered {
            commit(&mut writer, *id, 30)?;
        }
        Ok((writer, recovered))
    }

    fn replay_and_check(&self) -> Result<(Vec<u64>, Position), Stopped> {
        let (frames, outcome) = match self.log.replay() {
            Ok(found) => found,
            Err(ReplayError::Io { .. }) => return Err(Stopped),
            Err(error) => panic!("{}: {error}", self.context),
        };
        let mut recovered: Vec<u64> = Vec::new();
        for body in payloads(&frames) {
            let id = u64::from_le_bytes(*body.first_chunk().unwrap());
            if !recovered.contains(&id) {
                recovered.push(id);
            }
        }
        let with_maybe: Vec<u64> = self.must.iter().copied().chain(self.maybe).collect();
        assert!(
            recovered == self.must || recovered == with_maybe,
            "{}: recovered {recovered:?}, wanted {:?} and perhaps {:?}",
            self.context,
            self.must,
            self.maybe
        );
        Ok((recovered, outcome.end))
    }

    fn append(&mut self, writer: &mut Writer, len: usize) -> Result<(), Stopped> {
        let id = self.next_id;
        self.next_id += 1;
        self.maybe = Some(id);
        let result = commit(writer, id, len);
        if result.is_err() {
            assert!(
                matches!(writer.close_frame(), Err(Error::Poisoned)),
                "{}",
                self.context
            );
        }
        result?;
        self.must.push(id);
        self.maybe = None;
        Ok(())
    }

    /// What is on the medium after the power was cut.
    fn cut_power(&mut self) {
        self.log.disk = self.log.disk.crash();
    }

    /// The restart after a stop: with the power cut if the disk is gone, else on the page cache as it is.
    fn restart(&mut self) {
        if self.log.disk.has_crashed() {
            self.cut_power();
        }
    }
}

fn commit(writer: &mut Writer, id: u64, len: usize) -> Result<Position, Error> {
    let mut frame = FrameBuilder::new();
    for owner in [ALICE, BOB] {
        frame.section(owner, &tenant_key(&owner), |buf| {
            buf.extend_from_slice(&id.to_le_bytes());
            buf.extend_from_slice(&vec![0x5a; len]);
        });
    }
    writer.commit(&mut frame)
}

/// Runs two sessions with a fault at one operation; returns the world as the crash left it, before the restart.
fn run_into(fault: Fault, op: u64, seed: u64) -> World {
    let mut world = World::new(seed, format!("{fault:?} at operation {op}, seed {seed}"));
    world.log.disk.fail_at(op, fault);
    assert!(
        world.session().and_then(|()| world.session()).is_err(),
        "{}: nothing failed",
        world.context
    );
    world
}

fn operations() -> u64 {
    let mut world = World::new(0, "no fault".into());
    world.session().unwrap();
    world.session().unwrap();
    world.log.disk.op_count()
}

#[test]
fn every_crash_point_keeps_what_was_acknowledged() {
    let mut runs = 0u64;
    let operations = operations();
    for op in 0..operations {
        for fault in FAULTS {
            for seed in 0..8 {
                let mut world = run_into(fault, op, seed);
                world.restart();
                world
                    .session()
                    .unwrap_or_else(|e| panic!("{}: {e:?}", world.context));
                world.cut_power();
                world.replay_and_check().unwrap();
                runs += 1;
            }
        }
    }
    println!("{runs} runs over {operations} operations");
    assert!(operations > 30);
}

#[test]
fn every_crash_point_inside_the_recovery_keeps_what_was_acknowledged() {
    let mut runs = 0u64;
    for op in 0..operations() {
        for first in [Fault::CrashTorn, Fault::CrashAfter, Fault::Errno(5)] {
            let mut second_op = 0;
            loop {
                let second = FAULTS[usize::try_from((op + second_op) % 4).unwrap()];
                let mut world = run_into(first, op, op ^ second_op);
                world.restart();
                world.context = format!(
                    "{}, then {second:?} at operation {second_op} of the recovery",
                    world.context
                );
                world
                    .log
                    .disk
                    .fail_at(world.log.disk.op_count() + second_op, second);
                if world.recover().is_ok() {
                    break; // the recovery has fewer operations
                }
                world.restart();
                world
                    .session()
                    .unwrap_or_else(|e| panic!("{}: {e:?}", world.context));
                world.cut_power();
                world.replay_and_check().unwrap();
                second_op += 1;
                runs += 1;
            }
        }
    }
    println!("{runs} runs");
    assert!(runs > 500);
}

#[test]
fn what_a_recovery_served_survives_a_power_cut_although_its_sync_had_failed() {
    // The commit fails, but the page cache shows the frame: a restart finds it and serves it.
    let mut served = 0;
    for op in 0..operations() {
        for seed in 0..8 {
            let mut world = run_into(Fault::Errno(5), op, seed);
            let Some(maybe) = world.maybe else { continue };
            let (recovered, _) = world.replay_and_check().unwrap();
            if !recovered.contains(&maybe) {
                continue;
            }
            served += 1;
            world.must = recovered;
            world.maybe = None;
            world.cut_power();
            world.replay_and_check().unwrap();
        }
    }
    println!("{served} runs");
    assert!(served > 0);
}
