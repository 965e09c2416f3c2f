//! Who commits: the thread that appends while appends come one by one, else the committer's.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use attestore_disk::{ManualClock, RealDisk};
use attestore_engine::{AppendError, Engine, Item, Mode, OpenMode, Principal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::gated::{Gate, GatedDisk};
use super::{EVENT, append, open, small};

/// Opens the gate on the way out, so that a failure shows as one.
struct Opening(Arc<Gate>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.open();
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    gate: Arc<Gate>,
    engine: Engine,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let disk = Arc::new(GatedDisk {
        inner: Arc::new(RealDisk::new(dir.path()).unwrap()),
        gate: Arc::clone(&gate),
    });
    let clock = ManualClock::new(1_795_000_000_000);
    let engine = open(disk, &clock, small(), OpenMode::Threads, 1);
    engine.create_tenant("acme", &Principal::internal()).unwrap();
    Fixture { dir, gate, engine }
}

fn two_workers() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn an_append_alone_is_written_by_the_thread_that_appends() {
    let fixture = fixture();
    for _ in 0..20 {
        fixture.gate.writers();
        append(&fixture.engine, &[EVENT], Mode::Each).unwrap();
        if fixture.gate.writers().contains(&std::thread::current().id()) {
            return fixture.engine.close().unwrap();
        }
    }
    panic!("the committer's thread wrote everything");
}

#[test]
fn appends_behind_a_slow_write_go_together_and_all_are_answered() {
    let fixture = fixture();
    fixture.gate.shut();
    std::thread::scope(|scope| {
        let append = || append(&fixture.engine, &[EVENT], Mode::Each).unwrap().items.len();
        let first = scope.spawn(append);
        fixture.gate.wait_for_writer();
        let others: Vec<_> = (0..8).map(|_| scope.spawn(append)).collect();
        while fixture.engine.status().unwrap().queue_records < 8 {
            std::thread::yield_now();
        }
        fixture.gate.writers();
        fixture.gate.open();
        assert_eq!(first.join().unwrap(), 1);
        assert_eq!(
            others
                .into_iter()
                .map(|other| other.join().unwrap())
                .sum::<usize>(),
            8
        );
    });
    // One write for the eight, and at most one that closes the frame.
    assert!(fixture.gate.writers().len() <= 2);
    fixture.engine.close().unwrap();
}

#[test]
fn a_stalled_write_does_not_stall_the_runtime_that_it_blocks() {
    let fixture = fixture();
    let runtime = two_workers();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(serve(listener, fixture.engine.clone()));
    let [mut appending, mut reading] = [(); 2].map(|()| {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    });
    for _ in 0..20 {
        exchange(&mut appending, b'a').unwrap();
        exchange(&mut reading, b'r').unwrap();
    }
    let _opening = Opening(Arc::clone(&fixture.gate));
    fixture.gate.shut();
    appending.write_all(b"a").unwrap();
    fixture.gate.wait_for_writer();
    assert_eq!(exchange(&mut reading, b'r').unwrap(), b'r');
    fixture.gate.open();
    assert_eq!(read(&mut appending).unwrap(), b'a');
    drop(runtime);
    fixture.engine.close().unwrap();
}

/// Answers each byte with itself, `a` after an append.
async fn serve(listener: std::net::TcpListener, engine: Engine) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((mut stream, _)) = listener.accept().await {
        let engine = engine.clone();
        tokio::spawn(async move {
            while let Ok(byte) = stream.read_u8().await {
                if byte == b'a' {
                    append_one(&engine).await;
                }
                stream.write_u8(byte).await.unwrap();
            }
        });
    }
}

async fn append_one(engine: &Engine) {
    let item = Item {
        bytes: EVENT.into(),
        fallback_key: None,
    };
    let appended = engine
        .append("acme", &Principal::internal(), "native", vec![item], Mode::Each)
        .await;
    assert_eq!(appended.unwrap().items.len(), 1);
}

fn exchange(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
    stream.write_all(&[byte])?;
    read(stream)
}

fn read(stream: &mut TcpStream) -> std::io::Result<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[test]
fn a_panic_while_committing_is_final_and_leaves_nobody_waiting() {
    let fixture = fixture();
    let first = append(&fixture.engine, &[EVENT], Mode::Each).unwrap();
    fixture.gate.shut();
    fixture.gate.smash();
    std::thread::scope(|scope| {
        let try_append = || append(&fixture.engine, &[EVENT], Mode::Each).map_err(|error| error.to_string());
        let panics = scope.spawn(try_append);
        fixture.gate.wait_for_writer();
        let others: Vec<_> = (0..3).map(|_| scope.spawn(try_append)).collect();
        while fixture.engine.status().unwrap().queue_records < 3 {
            std::thread::yield_now();
        }
        fixture.gate.open();
        // Whoever committed panicked: that thread itself, or the committer's.
        assert!(!matches!(panics.join(), Ok(Ok(_))));
        for other in others {
            other.join().unwrap().unwrap_err();
        }
    });
    let after = append(&fixture.engine, &[EVENT], Mode::Each).unwrap_err();
    assert!(after.to_string().contains("panic"), "{after}");
    fixture.engine.close().unwrap_err();
    drop(fixture.engine);
    let disk = Arc::new(RealDisk::new(fixture.dir.path()).unwrap());
    let engine = open(
        disk,
        &ManualClock::new(1_795_000_000_000),
        small(),
        OpenMode::Threads,
        2,
    );
    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert_eq!(
        (report.size, report.problems),
        (first.tree.size, Vec::new()),
        "what nobody acknowledged"
    );
    engine.close().unwrap();
}

#[test]
fn bursts_from_everywhere_are_all_answered_also_while_the_engine_closes() {
    for round in 0..ROUNDS {
        let fixture = fixture();
        let runtime = two_workers();
        let (done, all_done) = std::sync::mpsc::channel();
        for number in 0..BURSTERS {
            let (engine, done) = (fixture.engine.clone(), done.clone());
            if number % 2 == 0 {
                runtime.spawn(async move {
                    let newest = burst(&engine).await;
                    // The directory is opened again once all have answered.
                    drop(engine);
                    done.send(newest)
                });
            } else {
                std::thread::spawn(move || {
                    let newest = burst_blocking(&engine);
                    drop(engine);
                    done.send(newest)
                });
            }
        }
        while fixture.engine.tenant("acme").unwrap().size < 40 * (round % 5) {
            std::thread::yield_now();
        }
        fixture.engine.close().unwrap();
        let mut newest = None;
        for _ in 0..BURSTERS {
            let answered = all_done.recv_timeout(Duration::from_secs(60));
            newest = newest.max(answered.expect("an append got no answer"));
        }
        drop(runtime);
        drop(fixture.engine);
        let disk = Arc::new(RealDisk::new(fixture.dir.path()).unwrap());
        let clock = ManualClock::new(1_795_000_000_000);
        let engine = open(disk, &clock, small(), OpenMode::Threads, 2);
        let report = engine.verify("acme", &mut |_, _| {}).unwrap();
        assert_eq!(report.problems, Vec::new(), "round {round}");
        assert!(
            report.size >= newest.map_or(0, |seq| seq + 1),
            "round {round}: acknowledged and lost"
        );
        engine.close().unwrap();
    }
}

/// Appends until the engine closes, with pauses of different lengths; returns the last seq.
async fn burst(engine: &Engine) -> Option<u64> {
    let (by, mut newest) = (Principal::internal(), None);
    loop {
        let item = Item {
            bytes: EVENT.into(),
            fallback_key: None,
        };
        match engine.append("acme", &by, "native", vec![item], Mode::Each).await {
            Ok(appended) => newest = Some(appended.items[0].as_ref().unwrap().seq),
            Err(AppendError::Closing | AppendError::Stopped(_)) => return newest,
            Err(_) => {}
        }
        for _ in 0..newest.unwrap_or_default() % 7 {
            tokio::task::yield_now().await;
        }
    }
}

fn burst_blocking(engine: &Engine) -> Option<u64> {
    let mut newest = None;
    loop {
        match append(engine, &[EVENT], Mode::Each) {
            Ok(appended) => newest = Some(appended.items[0].as_ref().unwrap().seq),
            Err(AppendError::Closing | AppendError::Stopped(_)) => return newest,
            Err(_) => {}
        }
        for _ in 0..newest.unwrap_or_default() % 5 * 100 {
            std::hint::spin_loop();
        }
    }
}

const ROUNDS: u64 = 20;
const BURSTERS: usize = 6;

#[test]
fn a_runtime_with_one_thread_is_never_blocked() {
    let fixture = fixture();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    fixture.gate.writers();
    for _ in 0..20 {
        runtime.block_on(append_one(&fixture.engine));
    }
    assert!(!fixture.gate.writers().contains(&std::thread::current().id()));
    fixture.engine.close().unwrap();
}
