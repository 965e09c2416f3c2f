//! Saving, replacing, listing and deleting.

use attestore_keys::random_array;

use super::{
    SEARCHES_MAX,
    row::{self, NOT_FOUND, SearchId, SearchRow},
    spec::SearchSpec,
    watch,
};
use crate::{
    Engine,
    catalog::{Update, hex, unhex},
    credentials::{Permission, Principal},
    error::{Error, Result},
};

/// A saved search as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSearch {
    /// Its id, 32 hex digits.
    pub id: String,
    /// What is searched for. Query, aggregations and description show as `[personal]` to who may not see personal fields, if it
    /// was saved by somebody who may.
    pub spec: SearchSpec,
    /// Counts changes, from 1.
    pub version: u64,
    /// Id of the credential that made it.
    pub created_by: String,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// Id of the credential that changed it last.
    pub changed_by: String,
    /// When it was changed last, Unix milliseconds.
    pub changed_ms: u64,
}

/// Which version a change replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saving {
    /// Whichever there is.
    Any,
    /// This one, or the change is refused.
    Version(u64),
}

impl Engine {
    /// Saves a new search. Durable on return.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`]; [`Error::Invalid`] and [`Error::Query`] for what could not be run;
    /// [`Error::Exists`] for a name that is taken; [`Error::TooMany`]; or what the catalog says.
    pub fn save_search(&self, tenant: &str, by: &Principal, spec: SearchSpec) -> Result<SavedSearch> {
        check_saver(tenant, by)?;
        spec.check()?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let id: SearchId = random_array(&*inner.entropy);
        let now_ms = inner.clock.now_ms();
        let row = SearchRow {
            spec,
            personal: by.may_see_personal(),
            version: 1,
            created_by: by.id.clone(),
            created_ms: now_ms,
            changed_by: by.id.clone(),
            changed_ms: now_ms,
        };
        let _alone = inner.watches.alone();
        self.change(|update| {
            let others = row::searches_in(update, &tenant.id)?;
            if others.len() >= SEARCHES_MAX {
                return Err(Error::TooMany {
                    code: "too_many_searches",
                    message: format!("a tenant has at most {SEARCHES_MAX} saved searches"),
                });
            }
            check_name(&others, &id, &row.spec.name)?;
            row::put_search(update, &tenant.id, &id, &row)
        })?;
        Ok(shown(&id, row, by))
    }

    /// The saved searches of a tenant, by name.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or what the catalog says.
    pub fn saved_searches(&self, tenant: &str, by: &Principal) -> Result<Vec<SavedSearch>> {
        check_saver(tenant, by)?;
        let tenant = self.inner.tenant(tenant)?;
        let rows = row::searches(&self.inner.catalog.read()?, &tenant.id)?;
        let mut all: Vec<SavedSearch> = rows.into_iter().map(|(id, row)| shown(&id, row, by)).collect();
        all.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        Ok(all)
    }

    /// A saved search, by its id.
    ///
    /// # Errors
    /// As [`Engine::saved_searches`]; [`Error::NotFound`].
    pub fn saved_search(&self, tenant: &str, by: &Principal, id: &str) -> Result<SavedSearch> {
        check_saver(tenant, by)?;
        let tenant = self.inner.tenant(tenant)?;
        let key = parse_id(id)?;
        let row = row::search(&self.inner.catalog.read()?, &tenant.id, &key)?;
        Ok(shown(&key, row, by))
    }

    /// What a saved search searches for, whoever runs it: its text may name people, and is not for showing. Aggregations, whose
    /// names come back with the answer, are left out for who may not see them.
    ///
    /// # Errors
    /// As [`Engine::saved_search`]; [`Error::Forbidden`] also for who may not read records.
    pub fn saved_spec(&self, tenant: &str, by: &Principal, id: &str) -> Result<SearchSpec> {
        by.check(tenant, Permission::Search)?;
        let tenant = self.inner.tenant(tenant)?;
        let row = row::search(&self.inner.catalog.read()?, &tenant.id, &parse_id(id)?)?;
        let mut spec = row.spec;
        if row.personal && !by.may_see_personal() {
            spec.aggs = None;
        }
        Ok(spec)
    }

    /// Replaces a saved search. Its watch asks the new query of what is appended from then on, and the one before of what was
    /// there. Durable on return, and logged in `_system` if it is watched.
    ///
    /// # Errors
    /// As [`Engine::save_search`]; [`Error::NotFound`], [`Error::Changed`]; [`Error::Forbidden`] also for who may not see what
    /// would be replaced, and for another query of a watch from who does not search; [`Error::TooMany`] also for a watch that is far behind.
    pub fn replace_search(
        &self,
        tenant: &str,
        by: &Principal,
        id: &str,
        spec: SearchSpec,
        replaces: Saving,
    ) -> Result<SavedSearch> {
        check_saver(tenant, by)?;
        spec.check()?;
        let inner = &self.inner;
        inner.check_running()?;
        let admin = by.check(tenant, Permission::ManageSearches).is_ok();
        let searcher = by.check(tenant, Permission::Search).is_ok();
        let tenant = inner.tenant(tenant)?;
        let key = parse_id(id)?;
        let now_ms = inner.clock.now_ms();
        let _alone = inner.watches.alone();
        let txn = inner.catalog.read()?;
        let others = row::searches(&txn, &tenant.id)?;
        let watched = watch::watch(&txn, &tenant.id, &key)?;
        drop(txn);
        let mut row = found(&others, &key)?.clone();
        if row.personal && !by.may_see_personal() || watched.is_some() && !admin {
            return Err(Error::Forbidden);
        }
        // What is asked of a watch's records is asked by who may ask it, as when it is set.
        if watched.is_some() && !searcher && row.spec.query != spec.query {
            return Err(Error::Forbidden);
        }
        check_version(&row, replaces)?;
        check_name(&others, &key, &spec.name)?;
        // What was durable when this was asked is asked the query of before.
        let size = tenant.view().size;
        if let Some(mut watch) = watched {
            watch.search_changes(&row.spec.query, &spec.query, size)?;
            // The log may tell of a change that a crash then prevented, never the other way round.
            self.log_watch("watch.change", &tenant.name, id, by, None)?;
        }
        let before = std::mem::replace(&mut row.spec, spec);
        row.personal = by.may_see_personal();
        row.version += 1;
        row.changed_by.clone_from(&by.id);
        row.changed_ms = now_ms;
        self.change(|update| {
            if let Some(mut watch) = watch::watch_in(update, &tenant.id, &key)? {
                watch.search_changes(&before.query, &row.spec.query, size)?;
                watch::put(update, &tenant.id, &key, &watch)?;
            }
            row::put_search(update, &tenant.id, &key, &row)
        })?;
        inner.watches.tell();
        Ok(shown(&key, row, by))
    }

    /// Deletes a saved search. Only who made it may, and who administers the tenant. Durable on return, and the end
    /// of its watch is logged in `_system`.
    ///
    /// # Errors
    /// As [`Engine::replace_search`].
    pub fn delete_search(&self, tenant: &str, by: &Principal, id: &str, replaces: Saving) -> Result<()> {
        check_saver(tenant, by)?;
        let inner = &self.inner;
        inner.check_running()?;
        let admin = by.check(tenant, Permission::ManageSearches).is_ok();
        let tenant = inner.tenant(tenant)?;
        let key = parse_id(id)?;
        let _alone = inner.watches.alone();
        let txn = inner.catalog.read()?;
        let row = row::search(&txn, &tenant.id, &key)?;
        let watched = watch::watch(&txn, &tenant.id, &key)?.is_some();
        drop(txn);
        // What a watch sends outside is for who manages the tenant to decide.
        if !admin && (watched || row.created_by != by.id) {
            return Err(Error::Forbidden);
        }
        check_version(&row, replaces)?;
        if watched {
            self.log_watch("watch.remove", &tenant.name, id, by, None)?;
        }
        self.change(|update| {
            row::remove_search(update, &tenant.id, &key)?;
            watch::forget(update, &tenant.id, &key)
        })?;
        inner.watches.tell();
        Ok(())
    }

    /// Changes the catalog; a commit that fails stops the engine.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Update<'_>) -> Result<T>) -> Result<T> {
        let inner = &self.inner;
        // Within: what begins after the engine was closed must not write.
        let checked = |update: &mut Update<'_>| {
            inner.check_running()?;
            change(update)
        };
        inner.catalog.update(checked).inspect_err(|_| {
            if let Some(reason) = inner.catalog.poisoned() {
                inner.fail_stop(reason);
            }
        })
    }
}

/// Who reads records saves searches, and who manages the tenant looks after them.
fn check_saver(tenant: &str, by: &Principal) -> Result<()> {
    by.check(tenant, Permission::SaveSearches)
}

/// The id in what a client sent.
pub(super) fn parse_id(id: &str) -> Result<SearchId> {
    unhex(id).ok_or(NOT_FOUND)
}

fn found<'a>(all: &'a [(SearchId, SearchRow)], id: &SearchId) -> Result<&'a SearchRow> {
    let found = all.iter().find(|(other, _)| other == id);
    found.map(|(_, row)| row).ok_or(NOT_FOUND)
}

fn check_name(all: &[(SearchId, SearchRow)], id: &SearchId, name: &str) -> Result<()> {
    if all
        .iter()
        .any(|(other, row)| other != id && row.spec.name == name)
    {
        return Err(Error::Exists("a saved search of that name"));
    }
    Ok(())
}

fn check_version(row: &SearchRow, replaces: Saving) -> Result<()> {
    match replaces {
        Saving::Version(version) if version != row.version => Err(Error::Changed("saved search")),
        Saving::Any | Saving::Version(_) => Ok(()),
    }
}

fn shown(id: &SearchId, mut row: SearchRow, by: &Principal) -> SavedSearch {
    if row.personal && !by.may_see_personal() {
        let hide = |text: &mut String| {
            if !text.is_empty() {
                *text = PERSONAL.to_owned();
            }
        };
        hide(&mut row.spec.query);
        hide(&mut row.spec.description);
        row.spec.aggs = row.spec.aggs.map(|_| format!("\"{PERSONAL}\""));
    }
    SavedSearch {
        id: hex(id),
        spec: row.spec,
        version: row.version,
        created_by: row.created_by,
        created_ms: row.created_ms,
        changed_by: row.changed_by,
        changed_ms: row.changed_ms,
    }
}

const PERSONAL: &str = "[personal]";
