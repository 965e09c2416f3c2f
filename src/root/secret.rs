//! Where a passphrase, a PIN or a token comes from.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use attestore_keys::{Error, Provider};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Refused;
use crate::failure::Failure;
use crate::files;
use crate::settings::Root;

/// What opens the root.
pub enum Secret {
    /// A variable, a file, or a systemd credential: what a server has.
    Found,
    /// As [`Secret::Found`], or typed at the terminal: what a command has.
    FoundOrTyped,
    /// Somebody gave it.
    Given(Zeroizing<String>),
}

impl Secret {
    /// The secret for that provider.
    ///
    /// # Errors
    /// [`Error::MissingKey`] when there is none; a failure when a file cannot be read, or others may read it.
    pub(super) fn get(
        &self,
        provider: Provider,
        settings: Option<&Root>,
    ) -> Result<Zeroizing<String>, Refused> {
        let (variable, what) = match provider {
            Provider::Pkcs11 => ("ATTESTORE_PIN", "PIN"),
            _ => ("ATTESTORE_PASSPHRASE", "passphrase"),
        };
        self.find(variable, what, settings)
    }

    /// The token for Vault, or the secret id of the AppRole.
    ///
    /// # Errors
    /// As [`Secret::get`].
    #[cfg(feature = "vault")]
    pub(super) fn of_vault(&self, role: bool, settings: Option<&Root>) -> Result<Zeroizing<String>, Refused> {
        match role {
            true => self.find("VAULT_SECRET_ID", "secret id", settings),
            false => self.find("VAULT_TOKEN", "token for Vault", settings),
        }
    }

    fn find(
        &self,
        variable: &str,
        what: &str,
        settings: Option<&Root>,
    ) -> Result<Zeroizing<String>, Refused> {
        let typed = match self {
            Self::Given(secret) => return Ok(secret.clone()),
            Self::Found => false,
            Self::FoundOrTyped => io::stdin().is_terminal(),
        };
        if let Ok(secret) = std::env::var(variable) {
            return Ok(Zeroizing::new(secret));
        }
        let set = std::env::var_os("ATTESTORE_ROOT__SECRET_FILE").map(Into::into);
        if let Some(path) = settings.and_then(|root| root.secret_file.clone()).or(set) {
            return Ok(read(&path)?);
        }
        if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") {
            let path = Path::new(&folder).join(CREDENTIAL);
            if path.exists() {
                return Ok(read(&path)?);
            }
        }
        if typed {
            return Ok(self::typed(what)?);
        }
        Err(Refused::Keys(Error::MissingKey {
            what: format!(
                "{what} of the root: set {variable}, root.secret_file or the systemd credential {CREDENTIAL}"
            ),
        }))
    }
}

/// Reads a secret from a file that only its owner may read, without the line break at its end.
fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = Zeroizing::new(files::read_secret(path)?);
    Ok(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Asks for a secret at the terminal, which does not show it; or takes a line of standard input where that is no terminal.
///
/// # Errors
/// When nothing can be read.
pub fn typed(what: &str) -> Result<Zeroizing<String>, Failure> {
    let stdin = io::stdin();
    let before = stdin.is_terminal().then(|| tcgetattr(&stdin)).transpose();
    let before = before.map_err(io::Error::from)?;
    if let Some(before) = &before {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(io::Error::from)?;
        let mut err = anstream::stderr();
        let _ = write!(err, "{what}: ");
        let _ = err.flush();
    }
    let mut line = Zeroizing::new(String::with_capacity(1024));
    let read = stdin.lock().read_line(&mut line);
    if let Some(before) = &before {
        tcsetattr(&stdin, OptionalActions::Flush, before).map_err(io::Error::from)?;
        let _ = writeln!(anstream::stderr());
    }
    read?;
    let secret = Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned());
    match secret.is_empty() {
        false => Ok(secret),
        true => Err(Failure::usage(format!("no {what} was given"))),
    }
}

/// Name of the systemd credential.
const CREDENTIAL: &str = "attestore-root";
