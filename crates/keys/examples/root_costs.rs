//! What the root costs, by provider: opening, making and destroying a generation, wrapping and unwrapping a key, and a signature.
//!
//!     cargo run --release -p attestore-keys --example root_costs --features pkcs11
//!
//! With `SOFTHSM2_CONF`, `ATTESTORE_ROOT__MODULE`, `ATTESTORE_ROOT__LABEL` and `ATTESTORE_PIN` in the environment, for that token too.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestore_disk::{Disk, RealDisk};
use attestore_keys::{
    Cost, FileRoot, Key, PassphraseSeal, RootProvider, RootSeal, SigningKey, SystemEntropy,
};
use zeroize::Zeroizing;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    println!(
        "{:<12} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "us", "open", "next", "destroy", "wrap", "unwrap"
    );
    measure(dir.path(), "file", &|| Ok(FileRoot::in_the_open()))?;
    measure(dir.path(), "passphrase", &|| {
        let passphrase = Zeroizing::new(b"correct horse battery staple".to_vec());
        Ok(Arc::new(PassphraseSeal::new(passphrase, Cost::default())))
    })?;
    #[cfg(feature = "pkcs11")]
    if let (Ok(module), Ok(label), Ok(pin)) = (
        std::env::var("ATTESTORE_ROOT__MODULE"),
        std::env::var("ATTESTORE_ROOT__LABEL"),
        std::env::var("ATTESTORE_PIN"),
    ) {
        let at = attestore_keys::TokenAt {
            module: module.into(),
            label: Some(label),
            serial: None,
        };
        measure(dir.path(), "pkcs11", &|| {
            Ok(Arc::new(attestore_keys::Pkcs11Seal::connect(
                at.clone(),
                &pin,
                [1; 16],
            )?))
        })?;
        measure_module(&attestore_keys::Pkcs11Seal::connect(at.clone(), &pin, [1; 16])?)?;
    }
    let key = SigningKey::from_seed(&Key::random(&SystemEntropy));
    println!(
        "Ed25519 signature, key in memory: {:.1} us",
        us(signing(&key, 10_000)?)
    );
    Ok(())
}

fn signing(key: &SigningKey, times: usize) -> attestore_keys::Result<Duration> {
    let checkpoint = b"a checkpoint of about this length, as it is signed by the log";
    each(times, || key.sign(checkpoint).map(drop))
}

/// Signatures by a key in the module: one after the other, and by four threads at once.
#[cfg(feature = "pkcs11")]
fn measure_module(seal: &dyn RootSeal) -> Result<(), Box<dyn Error>> {
    let Some(module) = seal.signing() else {
        return Ok(());
    };
    module.check()?;
    let reference = module.reference(&SystemEntropy);
    let make = each(1, || module.make(&reference).map(drop))?;
    let public = module.make(&reference)?;
    let key = SigningKey::in_module(Some(Arc::clone(&module)), reference.clone(), public);
    let alone = signing(&key, 500)?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| signing(&key, 250).map(drop)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })?;
    let together = start.elapsed() / 1000;
    module.destroy(&reference)?;
    println!(
        "Ed25519 signature by the module, verified: {:.0} us alone, {:.0} us by four threads; a key pair is made in {:.0} us",
        us(alone),
        us(together),
        us(make)
    );
    Ok(())
}

fn measure(
    dir: &Path,
    name: &str,
    seal: &dyn Fn() -> Result<Arc<dyn RootSeal>, attestore_keys::Error>,
) -> Result<(), Box<dyn Error>> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.join(name))?);
    let entropy = Arc::new(SystemEntropy);
    drop(FileRoot::open_or_create_sealed(
        disk.clone(),
        "keys",
        entropy.clone(),
        seal()?,
    )?);
    let start = Instant::now();
    let root = FileRoot::open_sealed(disk, "keys", entropy, seal()?, None)?;
    let open = start.elapsed();
    let next = each(20, || root.next_generation().map(drop))?;
    let mut old: Vec<u64> = root.generations();
    old.pop();
    let destroy = each(old.len(), || root.destroy(old.pop().unwrap_or(1)))?;
    let key = Key::random(&SystemEntropy);
    let wrapped = root.wrap(b"aad", &key)?;
    let wrap = each(20_000, || root.wrap(b"aad", &key).map(drop))?;
    let generation = root.generation();
    let unwrap = each(20_000, || root.unwrap(generation, b"aad", &wrapped).map(drop))?;
    println!(
        "{name:<12} {:>10.0} {:>10.0} {:>10.0} {:>10.2} {:>10.2}",
        us(open),
        us(next),
        us(destroy),
        us(wrap),
        us(unwrap)
    );
    Ok(())
}

/// How long one takes.
fn each(
    times: usize,
    mut act: impl FnMut() -> attestore_keys::Result<()>,
) -> attestore_keys::Result<Duration> {
    let start = Instant::now();
    for _ in 0..times {
        act()?;
    }
    Ok(start.elapsed() / u32::try_from(times.max(1)).unwrap_or(u32::MAX))
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
