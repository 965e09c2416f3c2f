//! Roots sealed by the transit engine of HashiCorp Vault, or OpenBao, over HTTP.
//!
//! Every generation has a transit key of its own, `aes256-gcm96`, not exportable and without plaintext backups. It seals one root.
//! Destroying it is: deletion is allowed, the key is deleted, and then Vault has to say that it does not find it, while it finds the key
//! of the current generation: a Vault that finds nothing proves nothing. Versions of one key that are trimmed away would leave the
//! key itself, and nothing to look for in vain.
//!
//! # Format
//! ```text
//! reference = name of the transit key, ASCII: "attestore-" ‖ set in hex ‖ "-" ‖ generation ‖ "-" ‖ random[8] in hex
//! sealed    = version u8 = 1 ‖ flags u8 ‖ ciphertext as Vault writes it ("vault:v1:…")
//! flags       1: the associated data was given to Vault too, and Vault heeds it
//! plaintext = root[32] ‖ derive("attestore 2026 vault seal v1", [AAD])[32]
//! ```
//! So a root is bound to its AAD whether or not Vault knows `associated_data`: versions that do not know it pass over it without a word.
//! Which it is, is found out at each sealing.
//!
//! # Errors
//! A token or AppRole that is refused is a wrong key, a transit key that is not there a missing one; everything else, from a sealed Vault
//! to one that answers nonsense, is [`Error::Unreachable`], and nothing of it is ever damage.

mod agent;
mod login;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::agent::{Agent, Answer};
pub use self::login::VaultLogin;
use super::{Provider, RootSeal};
use crate::{Entropy, Error, Key, Result, derive, random_array};

/// Where the transit engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultAt {
    /// URL of Vault; without TLS only on this machine.
    pub address: String,
    /// Where the transit engine is mounted.
    pub mount: String,
    /// Namespace, where Vault has them.
    pub namespace: Option<String>,
    /// Certificate authorities that are trusted beside those of the web, PEM.
    pub ca: Option<Vec<u8>>,
}

/// Seals under transit keys.
pub struct VaultSeal {
    agent: Agent,
    mount: String,
    set: [u8; 16],
}

impl VaultSeal {
    /// Logs in. `set` goes into the names of the keys.
    ///
    /// # Errors
    /// [`Error::WrongKey`] when the token or AppRole is refused, [`Error::MissingKey`] for an address, mount or namespace that cannot be
    /// one; [`Error::Unreachable`].
    pub fn connect(at: VaultAt, login: VaultLogin, set: [u8; 16]) -> Result<Self> {
        let fits = |text: &str| {
            !text.is_empty()
                && text
                    .split('/')
                    .all(|part| !part.is_empty() && part.bytes().all(is_plain) && part != "." && part != "..")
        };
        if !fits(&at.mount) {
            let what =
                "the mount of the transit engine: letters, digits, and - _ . / between them".to_owned();
            return Err(Error::MissingKey { what });
        }
        let mount = at.mount.clone();
        let agent = Agent::begin(at, login)?;
        Ok(Self { agent, mount, set })
    }

    /// The name of the transit key of `reference`.
    fn name(&self, reference: &[u8]) -> Result<String> {
        let set: String = hex(&self.set);
        let name = std::str::from_utf8(reference).ok();
        let name =
            name.filter(|name| name.starts_with(&format!("attestore-{set}-")) && name.bytes().all(is_plain));
        name.map(str::to_owned).ok_or_else(|| Error::WrongKey {
            what: "a root of another directory, or no name of a transit key".to_owned(),
        })
    }

    fn path(&self, act: &str, name: &str) -> String {
        format!("{}/{act}/{name}", self.mount)
    }

    /// Whether the key is there. That it is not is believed only of an answer that says just that.
    fn is_there(&self, name: &str) -> Result<bool> {
        let path = self.path("keys", name);
        let answer = self.agent.get(&path)?;
        let silent = answer.body["errors"].as_array().is_some_and(Vec::is_empty);
        match answer.status {
            200 if answer.body["data"]["name"] == name => Ok(true),
            // A mount that is not there is a 404 too, and says so.
            404 if silent => Ok(false),
            _ => Err(self.agent.said(&format!("{path}: {answer}"))),
        }
    }

    fn missing(&self, name: &str) -> Error {
        Error::MissingKey {
            what: format!("the transit key {name} in {}", self.agent.name()),
        }
    }

    /// Does something that has no answer but that it was done.
    fn act(&self, path: &str, body: Value) -> Result<()> {
        let answer = self.agent.post(path, body)?;
        match answer.is_success() {
            true => Ok(()),
            false => Err(self.agent.said(&format!("{path}: {answer}"))),
        }
    }

    fn decrypt(&self, name: &str, ciphertext: &str, aad: Option<&[u8]>) -> Result<Answer> {
        let mut body = json!({ "ciphertext": ciphertext });
        if let Some(aad) = aad {
            body["associated_data"] = BASE64.encode(aad).into();
        }
        self.agent.post(&self.path("decrypt", name), body)
    }
}

impl RootSeal for VaultSeal {
    fn provider(&self) -> Provider {
        Provider::Vault
    }

    fn reference(&self, generation: u64, entropy: &dyn Entropy) -> Result<Vec<u8>> {
        let random: [u8; 8] = random_array(entropy);
        Ok(format!("attestore-{}-{generation}-{}", hex(&self.set), hex(&random)).into_bytes())
    }

    fn leaves_traces(&self) -> bool {
        true
    }

    fn seal(&self, reference: &[u8], aad: &[u8], root: &Key, _: &dyn Entropy) -> Result<Vec<u8>> {
        let name = self.name(reference)?;
        // Of an attempt before there may be one already; then this changes nothing.
        let wanted = json!({ "type": "aes256-gcm96", "exportable": false, "allow_plaintext_backup": false });
        self.act(&self.path("keys", &name), wanted)?;
        self.check_kind(&name)?;
        let plaintext = Zeroizing::new([root.expose().as_slice(), bound(aad).expose()].concat());
        let body = json!({
            "plaintext": Zeroizing::new(BASE64.encode(plaintext.as_slice())).as_str(),
            "associated_data": BASE64.encode(aad),
        });
        let path = self.path("encrypt", &name);
        let answer = self.agent.post(&path, body)?;
        let ciphertext = answer.body["data"]["ciphertext"].as_str();
        let ciphertext = ciphertext.filter(|text| answer.is_success() && text.starts_with("vault:"));
        let ciphertext = ciphertext.ok_or_else(|| self.agent.said(&format!("{path}: {answer}")))?;
        // Who heeds associated data does not open this without it.
        let without = self.decrypt(&name, ciphertext, None)?;
        let flags = match without.status {
            200 => 0,
            400 => HEEDED,
            _ => return Err(self.agent.said(&format!("decrypt: {without}"))),
        };
        Ok([&[VERSION, flags], ciphertext.as_bytes()].concat())
    }

    fn open(&self, reference: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Key> {
        let name = self.name(reference)?;
        let wrong = || Error::WrongKey {
            what: format!("the transit key {name} in {}", self.agent.name()),
        };
        let (version, rest) = sealed.split_first().ok_or_else(wrong)?;
        let (flags, ciphertext) = rest.split_first().ok_or_else(wrong)?;
        let ciphertext = std::str::from_utf8(ciphertext).map_err(|_| wrong())?;
        if *version != VERSION || *flags & !HEEDED != 0 {
            return Err(Error::MissingKey {
                what: format!("a version that knows how the root under {name} was sealed"),
            });
        }
        let answer = self.decrypt(&name, ciphertext, (*flags == HEEDED).then_some(aad))?;
        match answer.status {
            200 => {}
            // Vault says in one way that there is no key and that the ciphertext is not authentic.
            400 | 404 => {
                return Err(match self.is_there(&name)? {
                    true => wrong(),
                    false => self.missing(&name),
                });
            }
            _ => return Err(self.agent.said(&format!("decrypt: {answer}"))),
        }
        let plaintext = answer.body["data"]["plaintext"]
            .as_str()
            .map(|text| BASE64.decode(text));
        let plaintext = Zeroizing::new(plaintext.and_then(std::result::Result::ok).ok_or_else(wrong)?);
        let (root, check) = plaintext.split_first_chunk::<{ Key::LEN }>().ok_or_else(wrong)?;
        let check: [u8; Key::LEN] = check.try_into().map_err(|_| wrong())?;
        match Key::from_bytes(check).ct_eq(&bound(aad)) {
            true => Ok(Key::from_bytes(*root)),
            false => Err(wrong()),
        }
    }

    fn destroy(&self, reference: &[u8], witness: Option<&[u8]>) -> Result<()> {
        let name = self.name(reference)?;
        if let Some(witness) = witness {
            self.reach(witness)?;
        }
        if self.is_there(&name)? {
            let config = format!("{}/config", self.path("keys", &name));
            self.act(&config, json!({ "deletion_allowed": true }))?;
            let path = self.path("keys", &name);
            let answer = self.agent.delete(&path)?;
            if !answer.is_success() && self.is_there(&name)? {
                return Err(self.agent.said(&format!("{path}: {answer}")));
            }
        }
        if self.is_there(&name)? {
            return Err(self.agent.said(&format!("{name} is there after it was deleted")));
        }
        match witness {
            Some(witness) => self.reach(witness),
            None => Ok(()),
        }
    }

    fn reach(&self, reference: &[u8]) -> Result<()> {
        let name = self.name(reference)?;
        match self.is_there(&name)? {
            true => Ok(()),
            // The server has it open: what it needs is not to be found, and may come back.
            false => Err(self.agent.said(&format!("the transit key {name} is not found"))),
        }
    }
}

impl VaultSeal {
    /// A key that may leave Vault is worth nothing here: one of that name may have been there before.
    fn check_kind(&self, name: &str) -> Result<()> {
        let path = self.path("keys", name);
        let answer = self.agent.get(&path)?;
        let key = &answer.body["data"];
        let is = |name: &str| key[name].as_bool() == Some(true);
        let fits = answer.status == 200 && key["type"] == "aes256-gcm96";
        match fits && !is("exportable") && !is("allow_plaintext_backup") && !is("derived") {
            true => Ok(()),
            false => Err(self
                .agent
                .said(&format!("{path} is not a key of the kind that was asked for"))),
        }
    }
}

/// What a root is bound to, whether or not Vault heeds associated data.
fn bound(aad: &[u8]) -> Key {
    derive("attestore 2026 vault seal v1", &[aad])
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const VERSION: u8 = 1;
/// Flag: Vault does not open it without its associated data.
const HEEDED: u8 = 1;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
