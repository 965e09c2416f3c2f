//! One token, and sessions with it: as many as are in use at once, opened again when they broke.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use parking_lot::{Mutex, RwLock};

use crate::{Error, Result};

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAt {
    /// The module's shared library.
    pub module: PathBuf,
    /// The token's label.
    pub label: Option<String>,
    /// The token's serial number, where labels are not unique.
    pub serial: Option<String>,
}

/// A token that somebody is logged in to.
pub(super) struct Token {
    at: TokenAt,
    pin: AuthPin,
    library: Pkcs11,
    /// Sessions that nobody uses now.
    idle: Mutex<Vec<Session>>,
    /// When the module was last begun anew because something was not found.
    doubted: Mutex<Option<Instant>>,
}

impl Token {
    pub(super) fn connect(at: TokenAt, pin: &str) -> Result<Self> {
        let library = library(&at)?;
        let token = Self {
            at,
            pin: AuthPin::from(pin.to_owned()),
            library,
            idle: Mutex::default(),
            doubted: Mutex::default(),
        };
        let session = token.open()?;
        token.idle.lock().push(session);
        Ok(token)
    }

    /// What to call it.
    pub(super) fn name(&self) -> String {
        name(&self.at)
    }

    /// Does something in a session. What fails is tried once more in a new one.
    pub(super) fn with<T>(&self, act: impl Fn(&Session) -> std::result::Result<T, TokenError>) -> Result<T> {
        let idle = self.idle.lock().pop();
        if let Some(session) = idle {
            let done = {
                let _in_use = IN_USE.read();
                act(&session)
            };
            if let Ok(done) = done {
                self.keep(session);
                return Ok(done);
            }
        }
        let session = self.open()?;
        let _in_use = IN_USE.read();
        let done = act(&session).map_err(|error| self.said(&error))?;
        self.keep(session);
        Ok(done)
    }

    /// Looks for something. What is not there is looked for once more in a module that was begun anew: one whose token went away and came
    /// back may go on finding nothing in it.
    pub(super) fn look<T>(
        &self,
        act: impl Fn(&Session) -> std::result::Result<Option<T>, TokenError>,
    ) -> Result<Option<T>> {
        let found = self.with(&act)?;
        if found.is_some() || !self.doubt() {
            return Ok(found);
        }
        self.idle.lock().clear();
        initialize(&self.library, &self.at, true)?;
        self.with(act)
    }

    /// Whether it is time to doubt that something is not there: it costs everybody's sessions.
    fn doubt(&self) -> bool {
        let mut doubted = self.doubted.lock();
        let due = doubted.is_none_or(|at| at.elapsed() >= DOUBT);
        if due {
            *doubted = Some(Instant::now());
        }
        due
    }

    fn keep(&self, session: Session) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(session);
        }
    }

    /// What the token can do.
    pub(super) fn mechanisms(&self) -> Result<Vec<MechanismType>> {
        let slot = self.slot()?;
        self.library
            .get_mechanism_list(slot)
            .map_err(|error| self.said(&error))
    }

    fn open(&self) -> Result<Session> {
        let slot = match self.slot() {
            // Tokens that came since are seen by a module that begins anew.
            Err(Error::MissingKey { .. }) => {
                initialize(&self.library, &self.at, true)?;
                self.slot()?
            }
            slot => slot?,
        };
        let session = self
            .library
            .open_rw_session(slot)
            .map_err(|error| self.said(&error))?;
        match session.login(UserType::User, Some(&self.pin)) {
            Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(TokenError::Pkcs11(
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                _,
            )) => {
                let what = format!("PIN of {}", self.name());
                Err(Error::WrongKey { what })
            }
            Err(TokenError::Pkcs11(error @ (RvError::PinLocked | RvError::PinExpired), _)) => {
                let what = format!("PIN of {}: {error}", self.name());
                Err(Error::MissingKey { what })
            }
            Err(error) => Err(self.said(&error)),
        }
    }

    fn slot(&self) -> Result<Slot> {
        let said = |error: TokenError| self.said(&error);
        let slots = match self.library.get_slots_with_token() {
            Err(TokenError::Pkcs11(RvError::CryptokiNotInitialized, _)) => {
                initialize(&self.library, &self.at, false)?;
                self.library.get_slots_with_token()
            }
            slots => slots,
        };
        let mut found = Vec::new();
        for slot in slots.map_err(said)? {
            let Ok(info) = self.library.get_token_info(slot) else {
                continue;
            };
            let is =
                |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
            if is(&self.at.label, info.label()) && is(&self.at.serial, info.serial_number()) {
                found.push(slot);
            }
        }
        match found.as_slice() {
            [slot] => Ok(*slot),
            [] => Err(Error::MissingKey { what: self.name() }),
            _ => Err(Error::MissingKey {
                what: format!(
                    "{}: several tokens fit; name one by its serial number",
                    self.name()
                ),
            }),
        }
    }

    fn said(&self, error: &TokenError) -> Error {
        Error::Unreachable {
            what: format!("{}: {error}", self.name()),
        }
    }
}

/// Loads a module, once for the process: it is one state for all who use it, and is never unloaded.
fn library(at: &TokenAt) -> Result<Pkcs11> {
    let mut loaded = LIBRARIES.lock();
    if let Some(library) = loaded.get(&at.module) {
        return Ok(library.clone());
    }
    let library = Pkcs11::new(&at.module).map_err(|error| Error::MissingKey {
        what: format!("{}: the module does not load: {error}", name(at)),
    })?;
    initialize(&library, at, false)?;
    loaded.insert(at.module.clone(), library.clone());
    Ok(library)
}

fn initialize(library: &Pkcs11, at: &TokenAt, anew: bool) -> Result<()> {
    if anew {
        // Sessions of others with this module break; they open new ones. None may be in the middle of something.
        let _nobody = IN_USE.write();
        let _ = library.clone().finalize();
    }
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(Error::MissingKey {
            what: format!("{}: the module does not start: {error}", name(at)),
        }),
    }
}

fn name(at: &TokenAt) -> String {
    let mut name = "token".to_owned();
    for (what, value) in [("", &at.label), ("with serial number ", &at.serial)] {
        if let Some(value) = value {
            name.push_str(&format!(" {what}\"{value}\""));
        }
    }
    format!("{name} of {}", at.module.display())
}

/// How long it is believed that something is not there.
const DOUBT: Duration = Duration::from_secs(2);
/// Sessions of a token that are kept for later.
const IDLE_MAX: usize = 8;
/// Read while something is done in a session, written while a module begins anew.
static IN_USE: RwLock<()> = RwLock::new(());
static LIBRARIES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
