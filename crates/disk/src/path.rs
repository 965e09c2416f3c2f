//! The rule for paths: relative, downwards only.

use std::{
    io,
    path::{Component, Path},
};

/// Checks that a path stays below the root: no absolute path, no `..`, no prefix.
///
/// # Errors
/// `InvalidInput` naming the path.
pub fn check_path(path: &Path) -> io::Result<()> {
    let inside = path
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if inside {
        return Ok(());
    }
    let message = format!("path {} leaves the data directory", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_root_are_refused() {
        for bad in ["/etc/passwd", "..", "a/../b", "a/.."] {
            let error = check_path(Path::new(bad)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad}");
        }
        for good in ["", ".", "a", "a/b.c", "a/./b", "a/..b"] {
            check_path(Path::new(good)).unwrap();
        }
    }
}
