//! Tokens of SoftHSM 2.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
pub const LABEL: &str = "audit";
const PIN: &str = "8765";

/// Makes a token in a folder, and says what a server needs to know of it.
pub fn make(folder: &Path) -> Vec<(&'static str, String)> {
    std::fs::create_dir(folder.join("tokens")).unwrap();
    let conf = folder.join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        folder.join("tokens").display()
    );
    std::fs::write(&conf, text).unwrap();
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            LABEL,
            "--pin",
            PIN,
            "--so-pin",
            "12345678",
        ])
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .expect("softhsm2 is installed");
    assert!(made.status.success(), "{made:?}");
    variables(folder)
}

/// The token that all servers of this process share.
pub fn of_this_process() -> Vec<(&'static str, String)> {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        make(folder.path());
        folder
    });
    variables(folder.path())
}

/// What a server or command needs to know of the token in that folder.
pub fn variables(folder: &Path) -> Vec<(&'static str, String)> {
    vec![
        (
            "SOFTHSM2_CONF",
            folder.join("softhsm2.conf").display().to_string(),
        ),
        ("ATTESTORE_ROOT__PROVIDER", "pkcs11".to_owned()),
        ("ATTESTORE_ROOT__MODULE", MODULE.to_owned()),
        ("ATTESTORE_ROOT__LABEL", LABEL.to_owned()),
        ("ATTESTORE_PIN", PIN.to_owned()),
    ]
}
