//! Names of the log's files.

use std::path::PathBuf;

use crate::Position;

/// Directory of the log.
pub const DIR: &str = "wal";

/// Directory that torn tails are copied to.
pub const QUARANTINE: &str = "quarantine";

const SUFFIX: &str = ".wal";
const UNFINISHED_SUFFIX: &str = ".new";
const DIGITS: usize = 20;

/// Returns the name of a file inside [`DIR`]: the number in 20 digits.
#[must_use]
pub fn file_name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// Returns the path of a file.
#[must_use]
pub fn file_path(number: u64) -> PathBuf {
    PathBuf::from(DIR).join(file_name(number))
}

/// Returns the number in a name that [`file_name`] gives, and in no other.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// The name of a file that has no header yet.
pub(crate) fn unfinished_path(number: u64) -> PathBuf {
    PathBuf::from(DIR).join(format!("{number:020}{UNFINISHED_SUFFIX}"))
}

pub(crate) fn is_unfinished(name: &str) -> bool {
    name.ends_with(UNFINISHED_SUFFIX)
}

pub(crate) fn quarantine_path(at: Position) -> PathBuf {
    PathBuf::from(QUARANTINE).join(format!("{}-{}", at.wal, at.offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_files_of_the_log() {
        for number in [0, 1, 42, u64::MAX] {
            assert_eq!(parse_file_name(&file_name(number)), Some(number));
        }
        for bad in [
            "1.wal",
            "00000000000000000001.new",
            "+0000000000000000001.wal",
            "99999999999999999999.wal",
            "x",
        ] {
            assert_eq!(parse_file_name(bad), None, "{bad}");
        }
    }
}
