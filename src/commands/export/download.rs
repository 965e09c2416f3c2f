//! Downloads the files of an export; what is there already is not downloaded again.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestore_export::FileHash;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::client::{Client, Streaming, escape};
use crate::failure::Failure;
use crate::{files, output};

/// How often a file is tried again where its connection breaks, without a byte more.
const RETRIES_MAX: u32 = 8;
/// Between two tries.
const RETRY: Duration = Duration::from_secs(1);
/// Files that are not parts.
const SIGNED: [&str; 2] = ["manifest.json", "manifest.note"];

/// Downloads an export that is done into a folder.
pub(super) fn run(client: &Client, path: &str, export: &Value, folder: &Path) -> Result<(), Failure> {
    let name = |name: &str| is_plain(name).then(|| folder.join(name));
    files::make_dir(folder)?;
    for name in SIGNED {
        let text = client.get(&format!("{path}/files/{name}"))?;
        let text = String::from_utf8(text).map_err(|_| Failure::failed(format!("{name} is not text")))?;
        files::write_text(&folder.join(name), &text)?;
    }
    all(client, path, export, &name)
}

/// Downloads an evidence bundle that is done.
pub(super) fn bundle(client: &Client, path: &str, export: &Value, file: &Path) -> Result<(), Failure> {
    all(client, path, export, &|_| Some(file.to_owned()))
}

/// Downloads every file, to where `place` says; some names have no place.
fn all(
    client: &Client,
    path: &str,
    export: &Value,
    place: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<(), Failure> {
    let listed = export["files"].as_array().cloned().unwrap_or_default();
    let bar = ProgressBar::new(listed.iter().filter_map(|file| file["bytes"].as_u64()).sum());
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}  {msg}")
    {
        bar.set_style(style);
    }
    for file in &listed {
        let name = file["name"].as_str().unwrap_or("");
        let (Some(place), Some(bytes), Some(sha256)) =
            (place(name), file["bytes"].as_u64(), file["sha256"].as_str())
        else {
            return Err(Failure::failed("the answer names a file that cannot be one"));
        };
        bar.set_message(output::visible(name));
        let url = format!("{path}/files/{}", escape(name));
        one(client, &url, &place, bytes, sha256, &bar)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Downloads one file. What is there of it goes on from its end.
fn one(
    client: &Client,
    url: &str,
    whole: &Path,
    bytes: u64,
    sha256: &str,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    if whole.exists() && hash(&mut files::open(whole)?)? == (bytes, sha256.to_owned()) {
        bar.inc(bytes);
        return Ok(());
    }
    let mut partial = whole.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let name = whole.display();
    let mut file = files::open_append(&partial)?;
    let (mut have, mut hash) = hash_of(&mut file)?;
    if have > bytes {
        file.set_len(0)?;
        (have, hash) = (0, FileHash::default());
    }
    bar.inc(have);
    let mut tries = 0;
    while have < bytes {
        let range = format!("bytes={have}-");
        let before = have;
        let wait = match client.stream(url, &[("range", range.as_str())]) {
            Ok(Streaming::Open(mut body)) => {
                let mut buffer = vec![0; 256 << 10];
                // A connection that breaks is taken up again where it broke.
                while let Ok(read @ 1..) = body.read(&mut buffer) {
                    let some = buffer.get(..read).unwrap_or_default();
                    if have + read as u64 > bytes {
                        return Err(Failure::failed(format!(
                            "{name}: the server sends more than it said"
                        )));
                    }
                    file.write_all(some)?;
                    hash.update(some);
                    have += read as u64;
                    bar.inc(read as u64);
                }
                RETRY
            }
            Ok(Streaming::Busy(after)) => after.unwrap_or(RETRY),
            Ok(Streaming::Refused(failure)) => return Err(failure),
            Err(failure) if tries >= RETRIES_MAX => return Err(failure),
            Err(_) => RETRY,
        };
        if have == bytes {
            break;
        }
        tries = if have > before { 0 } else { tries + 1 };
        if tries > RETRIES_MAX {
            return Err(Failure::failed(format!("{name}: the download does not go on")));
        }
        std::thread::sleep(wait);
    }
    file.sync_all()?;
    if hash.finish() != sha256 {
        // Not to be gone on with: some of it is not what the server has.
        file.set_len(0)?;
        return Err(Failure::damage(format!(
            "{}: the file is not what the server says it is; it was dropped",
            output::visible(&name.to_string())
        )));
    }
    files::rename(&partial, whole)
}

/// Length and SHA-256 of what is left to read of a file.
fn hash(file: &mut impl Read) -> Result<(u64, String), Failure> {
    let (bytes, hash) = hash_of(file)?;
    Ok((bytes, hash.finish()))
}

fn hash_of(file: &mut impl Read) -> Result<(u64, FileHash), Failure> {
    let (mut bytes, mut hash) = (0, FileHash::default());
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        let some = buffer.get(..read).unwrap_or_default();
        if some.is_empty() {
            return Ok((bytes, hash));
        }
        hash.update(some);
        bytes += read as u64;
    }
}

/// Whether a name is one that a file of an export can have, and leads nowhere else.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    name.starts_with("part-") && name.len() <= 64 && name.chars().all(plain)
}
