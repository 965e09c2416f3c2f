//! Setting, showing and removing a watch; its dead letters.

use attestore_keys::Key;
use zeroize::Zeroizing;

use super::{
    WATCHES_MAX, WATCHES_MAX_OF_ALL,
    row::{self, LetterRow, PendingRow, WatchRow},
};
use crate::{
    Engine,
    catalog::Update,
    credentials::{Permission, Principal},
    error::{Error, Result},
    searches::{api::parse_id, row as searches},
    tenant::Tenant,
};

/// What a watch is to do.
pub struct WatchSpec {
    /// Where messages go; checked by who sends them.
    pub url: String,
    /// What they are signed with; `None` keeps what there is, or makes one.
    pub secret: Option<WatchSecret>,
    /// Whether it is on.
    pub enabled: bool,
    /// Whether messages hold the public fields of the records, or only name them.
    pub records: bool,
}

/// Bytes that messages are signed with.
pub struct WatchSecret(pub Zeroizing<Vec<u8>>);

/// Whether a watch sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// It sends.
    Active,
    /// It sends, and what it sent last failed.
    Failing,
    /// Somebody turned it off.
    Off,
    /// It was turned off, for this reason.
    TurnedOff(String),
}

/// A watch as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchInfo {
    /// Where messages go.
    pub url: String,
    /// Whether messages hold the public fields of the records.
    pub records: bool,
    /// Whether it sends.
    pub state: WatchState,
    /// Id of the credential that set it last.
    pub changed_by: String,
    /// When it was set last, Unix milliseconds.
    pub changed_ms: u64,
    /// Every match below it was sent, or is in a dead letter.
    pub next: u64,
    /// Records that are durable and were not looked at yet.
    pub behind: u64,
    /// Id of the message under way.
    pub pending: Option<String>,
    /// Attempts at it so far.
    pub attempts: u32,
    /// When the next one is, Unix milliseconds.
    pub due_ms: Option<u64>,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<String>,
    /// When the last attempt was, Unix milliseconds.
    pub last_attempt_ms: Option<u64>,
    /// When a message was last taken, Unix milliseconds.
    pub last_success_ms: Option<u64>,
    /// Since when nothing has succeeded, Unix milliseconds.
    pub failing_since_ms: Option<u64>,
    /// Messages that were taken.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Dead letters that there are.
    pub dead: u64,
    /// Dead letters that were dropped for newer ones.
    pub dropped: u64,
}

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number.
    pub number: u64,
    /// Id of the message.
    pub id: String,
    /// Seq and id of its records.
    pub records: Vec<(u64, String)>,
    /// Attempts at it.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: String,
    /// When it was made, Unix milliseconds.
    pub made_ms: u64,
    /// When it was given up, Unix milliseconds.
    pub died_ms: u64,
    /// Whether it is about to be sent once more.
    pub again: bool,
}

impl Engine {
    /// Sets the watch of a saved search. A new one begins with the next record that is appended. Returns the secret where one was
    /// made; it cannot be had again. Durable on return, and logged in `_system`.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`] for who does not manage the tenant or does not search its records, or who
    /// does not read them and wants them sent; [`Error::NotFound`]; [`Error::TooMany`]; or what the catalog says.
    pub fn set_watch(
        &self,
        tenant: &str,
        by: &Principal,
        search: &str,
        spec: WatchSpec,
    ) -> Result<(WatchInfo, Option<WatchSecret>)> {
        by.check(tenant, Permission::ManageSearches)?;
        // What it tells is what a search would: that there is a match.
        by.check(tenant, Permission::Search)?;
        if spec.records {
            by.check(tenant, Permission::Read)?;
        }
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let id = parse_id(search)?;
        let _alone = inner.watches.alone();
        let txn = inner.catalog.read()?;
        searches::search(&txn, &tenant.id, &id)?;
        let before = row::watch(&txn, &tenant.id, &id)?;
        drop(txn);
        if before.is_none() {
            self.change(|update| check_room(update, &tenant))?;
        }
        let made = (spec.secret.is_none() && before.is_none())
            .then(|| WatchSecret(Zeroizing::new(Key::random(&*inner.entropy).expose().to_vec())));
        let sealed = match (spec.secret.as_ref().or(made.as_ref()), before) {
            (Some(secret), _) => row::seal(&tenant, &id, &*inner.entropy, &secret.0),
            (None, Some(before)) => before.secret,
            (None, None) => return Err(searches::NOT_FOUND),
        };
        self.log_watch("watch.set", &tenant.name, search, by, Some(&spec))?;
        let now_ms = inner.clock.now_ms();
        self.change(|update| {
            let held = row::watch_in(update, &tenant.id, &id)?;
            let mut watch = held.unwrap_or_else(|| WatchRow {
                tenant: tenant.name.clone(),
                url: String::new(),
                secret: String::new(),
                enabled: false,
                records: false,
                version: 0,
                changed_by: String::new(),
                changed_ms: 0,
                origin: tenant.origin.clone(),
                next: tenant.view().size,
                earlier: Vec::new(),
                pending: None,
                again: Vec::new(),
                next_letter: 1,
                turned_off: None,
                failing_since_ms: None,
                last_error: None,
                last_attempt_ms: None,
                last_success_ms: None,
                delivered: 0,
                failed: 0,
                dropped: 0,
            });
            watch.url.clone_from(&spec.url);
            watch.secret.clone_from(&sealed);
            watch.enabled = spec.enabled;
            watch.records = spec.records;
            watch.version += 1;
            watch.changed_by.clone_from(&by.id);
            watch.changed_ms = now_ms;
            // Who sets it wants it to try now, and for its whole time.
            watch.turned_off = None;
            watch.failing_since_ms = None;
            watch.last_error = None;
            if let Some(pending) = &mut watch.pending {
                pending.due_ms = now_ms;
                pending.attempts = 0;
                pending.narrow(watch.records, &*inner.entropy);
            }
            row::put(update, &tenant.id, &id, &watch)
        })?;
        inner.watches.tell();
        Ok((self.watch(&tenant.name, by, search)?, made))
    }

    /// The watch of a saved search.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`] for who does not manage the tenant, [`Error::NotFound`].
    pub fn watch(&self, tenant: &str, by: &Principal, search: &str) -> Result<WatchInfo> {
        by.check(tenant, Permission::ManageSearches)?;
        let tenant = self.inner.tenant(tenant)?;
        let id = parse_id(search)?;
        let txn = self.inner.catalog.read()?;
        let watch = row::watch(&txn, &tenant.id, &id)?.ok_or(NOT_FOUND)?;
        let dead = row::letters(&txn, &tenant.id, &id)?.len() as u64;
        Ok(shown(watch, tenant.view().size, dead))
    }

    /// Removes the watch of a saved search, with its dead letters. Durable on return, and logged in `_system`.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn remove_watch(&self, tenant: &str, by: &Principal, search: &str) -> Result<()> {
        by.check(tenant, Permission::ManageSearches)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let id = parse_id(search)?;
        let _alone = inner.watches.alone();
        self.watch(&tenant.name, by, search)?;
        self.log_watch("watch.remove", &tenant.name, search, by, None)?;
        self.change(|update| row::forget_in(update, &tenant.id, &id))?;
        inner.watches.tell();
        Ok(())
    }

    /// The dead letters of a watch, oldest first.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn dead_letters(&self, tenant: &str, by: &Principal, search: &str) -> Result<Vec<DeadLetter>> {
        by.check(tenant, Permission::ManageSearches)?;
        let tenant = self.inner.tenant(tenant)?;
        let id = parse_id(search)?;
        let txn = self.inner.catalog.read()?;
        let watch = row::watch(&txn, &tenant.id, &id)?.ok_or(NOT_FOUND)?;
        let letters = row::letters(&txn, &tenant.id, &id)?;
        Ok(letters
            .into_iter()
            .map(|(number, letter)| dead(number, letter, &watch))
            .collect())
    }

    /// Has a dead letter sent once more, with the id that it had, as soon as nothing else is under way.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn redeliver(&self, tenant: &str, by: &Principal, search: &str, number: u64) -> Result<DeadLetter> {
        let letters = self.dead_letters(tenant, by, search)?;
        let mut letter = letters
            .into_iter()
            .find(|letter| letter.number == number)
            .ok_or(NO_LETTER)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let id = parse_id(search)?;
        self.change(|update| {
            let mut watch = row::watch_in(update, &tenant.id, &id)?.ok_or(NOT_FOUND)?;
            if !watch.again.contains(&number) {
                watch.again.push(number);
                watch.version += 1;
                row::put(update, &tenant.id, &id, &watch)?;
            }
            Ok(())
        })?;
        inner.watches.tell();
        letter.again = true;
        Ok(letter)
    }

    /// Deletes a dead letter: nobody wants it any more.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn delete_letter(&self, tenant: &str, by: &Principal, search: &str, number: u64) -> Result<()> {
        by.check(tenant, Permission::ManageSearches)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let id = parse_id(search)?;
        self.change(|update| {
            let mut watch = row::watch_in(update, &tenant.id, &id)?.ok_or(NOT_FOUND)?;
            row::take_letter(update, &tenant.id, &id, number)?.ok_or(NO_LETTER)?;
            watch.again.retain(|again| *again != number);
            row::put(update, &tenant.id, &id, &watch)
        })
    }

    /// Writes what is about to be done into `_system`: who sends what outside.
    pub(in crate::searches) fn log_watch(
        &self,
        action: &str,
        tenant: &str,
        search: &str,
        by: &Principal,
        spec: Option<&WatchSpec>,
    ) -> Result<()> {
        let mut event = serde_json::json!({
            "action": action,
            "outcome": "success",
            "actor": { "type": by.kind.name(), "id": by.id, "name": by.name },
            "targets": [{ "type": "watch", "id": search }, { "type": "tenant", "id": tenant }],
            "metadata": { "tenant": tenant },
        });
        if let Some(spec) = spec {
            // The path of a URL can be a secret.
            event["metadata"]["host"] = host(&spec.url).into();
            event["metadata"]["enabled"] = spec.enabled.into();
            event["metadata"]["records"] = spec.records.into();
        }
        self.inner.append_internal(event.to_string().as_bytes())
    }
}

/// Whether one more watch may be set.
fn check_room(update: &Update<'_>, tenant: &Tenant) -> Result<()> {
    let too_many = |message: String| Error::TooMany {
        code: "too_many_watches",
        message,
    };
    if row::count_in(update, &tenant.id)? >= WATCHES_MAX {
        return Err(too_many(format!("a tenant has at most {WATCHES_MAX} watches")));
    }
    if row::count_of_all_in(update)? >= WATCHES_MAX_OF_ALL {
        return Err(too_many(format!(
            "the instance has at most {WATCHES_MAX_OF_ALL} watches of all tenants"
        )));
    }
    Ok(())
}

/// The host in a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn shown(watch: WatchRow, size: u64, dead: u64) -> WatchInfo {
    let state = match (watch.turned_off, watch.enabled) {
        (Some(reason), _) => WatchState::TurnedOff(reason),
        (None, false) => WatchState::Off,
        (None, true) if watch.failing_since_ms.is_some() => WatchState::Failing,
        (None, true) => WatchState::Active,
    };
    WatchInfo {
        url: watch.url,
        records: watch.records,
        state,
        changed_by: watch.changed_by,
        changed_ms: watch.changed_ms,
        next: watch.next,
        behind: size.saturating_sub(watch.next),
        attempts: watch.pending.as_ref().map_or(0, |pending| pending.attempts),
        due_ms: watch.pending.as_ref().map(|pending| pending.due_ms),
        pending: watch.pending.map(|pending| pending.id),
        last_error: watch.last_error,
        last_attempt_ms: watch.last_attempt_ms,
        last_success_ms: watch.last_success_ms,
        failing_since_ms: watch.failing_since_ms,
        delivered: watch.delivered,
        failed: watch.failed,
        dead,
        dropped: watch.dropped,
    }
}

fn dead(number: u64, letter: LetterRow, watch: &WatchRow) -> DeadLetter {
    let PendingRow {
        id,
        made_ms,
        records,
        attempts,
        ..
    } = letter.message;
    DeadLetter {
        number,
        id,
        records,
        attempts,
        error: letter.error,
        made_ms,
        died_ms: letter.died_ms,
        again: watch.again.contains(&number),
    }
}

const NOT_FOUND: Error = Error::NotFound("watch");
const NO_LETTER: Error = Error::NotFound("dead letter");
