//! Where the bytes on disk go: appends lines to a fresh instance, flushes and compacts, and prints the bytes of each kind of
//! file for each byte of source line, before and after.
//!
//!     cargo run --release -p attestore-engine --example space -- FOLDER MAPPING [no-index] < events.ndjson
//!
//! MAPPING is `native` or the name of a mapping, such as `cloudtrail`. FOLDER must not exist.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestore_disk::{Disk, RealDisk, SystemClock};
use attestore_engine::{AppendError, Engine, Item, Mode, Parts, Principal, Settings};
use attestore_keys::{Entropy, FileRoot, SystemEntropy};
use attestore_record::mapping::Mapping;
use bytes::Bytes;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(mapping)) = (args.next(), args.next()) else {
        return Err("FOLDER MAPPING [no-index]".into());
    };
    let indexing = args.next().is_none();
    if Path::new(&folder).exists() {
        return Err(format!("{folder} exists").into());
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&folder)?);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let root = FileRoot::open_or_create(Arc::clone(&disk), Path::new("keys"), Arc::clone(&entropy))?;
    let parts = Parts {
        disk: Arc::clone(&disk),
        clock: Arc::new(SystemClock),
        entropy,
        root: Arc::new(root),
        register: None,
    };
    let settings = Settings {
        indexing,
        compaction: false,
        ..Settings::default()
    };
    let (engine, _) = Engine::create_or_open(parts, settings)?;
    engine.create_tenant("space", &Principal::internal())?;
    let begin = Instant::now();
    let source = append(&engine, &mapping)?;
    let records = engine.tenant("space")?.size;
    println!(
        "{records} records, {source} bytes of source, appended in {:.1?}",
        begin.elapsed()
    );
    engine.flush()?;
    print(&*disk, "flushed", source, records)?;
    let (begin, cpu) = (Instant::now(), cpu_s());
    let done = engine.compact("space")?;
    println!(
        "{done:?} in {:.1?}, {:.2} s of CPU",
        begin.elapsed(),
        cpu_s() - cpu
    );
    print(&*disk, "compacted", source, records)?;
    engine.close()?;
    Ok(())
}

/// Appends standard input; returns the bytes of its lines, ends included.
fn append(engine: &Engine, mapping: &str) -> Result<u64, Failure> {
    let mapping = match mapping {
        "native" => None,
        name => Some(Mapping::builtin(name).ok_or("no such mapping")?),
    };
    let mut source = 0;
    let mut items = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        source += line.len() as u64 + 1;
        let bytes = match &mapping {
            None => Bytes::from(line),
            Some(mapping) => Bytes::from(mapping.apply(line.as_bytes())?),
        };
        items.push(Item {
            bytes,
            fallback_key: None,
        });
        if items.len() == BATCH {
            send(engine, std::mem::take(&mut items))?;
        }
    }
    send(engine, items)?;
    Ok(source)
}

fn send(engine: &Engine, items: Vec<Item>) -> Result<(), Failure> {
    loop {
        match engine.append_blocking(
            "space",
            &Principal::internal(),
            "native",
            items.clone(),
            Mode::Atomic,
        ) {
            Err(AppendError::Overloaded { retry_after_ms, .. }) => {
                std::thread::sleep(Duration::from_millis(retry_after_ms.min(50)));
            }
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for the eye")]
fn print(disk: &dyn Disk, title: &str, source: u64, records: u64) -> Result<(), Failure> {
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    walk(disk, Path::new(""), &mut kinds)?;
    println!("{title}:");
    let mut proof = 0;
    for (kind, (files, bytes)) in &kinds {
        let each = *bytes as f64 / records as f64;
        println!(
            "  {kind:<10} {files:>6} files {bytes:>12} bytes {each:>8.2} a record {:.4} of source",
            *bytes as f64 / source as f64
        );
        if ["seg", "sub", "l0", "entries", "nodes", "catalog"].contains(&kind.as_str()) {
            proof += bytes;
        }
    }
    println!(
        "  records and proof: {:.4} of source",
        proof as f64 / source as f64
    );
    Ok(())
}

fn walk(disk: &dyn Disk, dir: &Path, kinds: &mut BTreeMap<String, (u64, u64)>) -> Result<(), Failure> {
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            walk(disk, &path, kinds)?;
            continue;
        }
        let kind = match (
            entry.name.as_str(),
            path.extension().and_then(|kind| kind.to_str()),
        ) {
            (name, _) if name.starts_with("catalog") => "catalog",
            (name, _) if name.starts_with("nodes") => "nodes",
            (_, Some(extension)) => extension,
            (name, None) => name,
        };
        let sum = kinds.entry(kind.to_owned()).or_default();
        sum.0 += 1;
        sum.1 += entry.len;
    }
    Ok(())
}

/// CPU of this process so far.
fn cpu_s() -> f64 {
    let stat = own_stat().unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> = after
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // Without the name and the state, fields 14 and 15 are the 11th and 12th numbers.
    (ticks.get(10).copied().unwrap_or(0.0) + ticks.get(11).copied().unwrap_or(0.0)) / 100.0
}

#[expect(clippy::disallowed_methods, reason = "the system's own file")]
fn own_stat() -> std::io::Result<String> {
    std::fs::read_to_string("/proc/self/stat")
}

/// Events per append.
const BATCH: usize = 500;
