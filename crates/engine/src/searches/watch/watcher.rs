//! What a sender asks for: the next message of a watch, and where to say what came of it.

use std::{ops::Range, sync::Arc, time::Duration};

use attestore_record::TenantId;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    MESSAGE_RECORDS_MAX,
    api::WatchSecret,
    retry::Retry,
    row::{self, LetterRow, PendingRow, WatchRow},
};
use crate::{
    Engine,
    catalog::hex,
    credentials::{Principal, Role},
    error::{Error, Result},
    follow::{Follower, Start, Step},
    forget::hidden::Sight,
    read::{RecordView, snapshot},
    searches::row::{self as searches, SearchId},
    tenant::Tenant,
};

/// Names a watch that is on, as it was set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WatchRef {
    tenant: TenantId,
    name: String,
    search: SearchId,
    /// Of the watch, which counts changes of its search too: who works for older ones stops.
    version: u64,
}

impl WatchRef {
    /// Name of the tenant.
    pub fn tenant(&self) -> &str {
        &self.name
    }
}

/// Works for one watch.
pub struct Watcher {
    engine: Engine,
    tenant: Arc<Tenant>,
    of: WatchRef,
    /// Name of the saved search, and its query.
    search: (String, String),
    follower: Option<Follower>,
    /// Where the query that the follower asks ends, if it is an earlier one.
    until: Option<u64>,
    /// When the place in the log was last stored.
    stored: (Instant, u64),
    /// Before this, no new message is made: matches come together.
    not_before: Instant,
}

/// A message that is to be sent now.
pub struct Delivery {
    /// Whom it goes to.
    pub to: Recipient,
    /// What it says.
    pub message: Message,
}

/// Whom a message goes to.
pub struct Recipient {
    /// The URL.
    pub url: String,
    /// What it is signed with.
    pub secret: WatchSecret,
}

/// What a message says.
#[derive(Debug)]
pub struct Message {
    /// Its id: the same whenever it is sent.
    pub id: String,
    /// When it was made, Unix milliseconds.
    pub made_ms: u64,
    /// Name of the tenant.
    pub tenant: String,
    /// Name of its log.
    pub origin: String,
    /// Id of the saved search.
    pub search: String,
    /// Name of the saved search.
    pub search_name: String,
    /// Seq and id of the records that match, ascending.
    pub records: Vec<(u64, String)>,
    /// Their public fields, if the watch sends them.
    pub views: Option<Vec<RecordView>>,
    /// First and last seqs that are no longer held and were not looked at.
    pub gaps: Vec<(u64, u64)>,
}

impl Engine {
    /// The watches that are on.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn watches(&self) -> Result<Vec<WatchRef>> {
        let all = row::all(&self.inner.catalog)?;
        let on = all
            .into_iter()
            .filter(|(_, _, watch)| watch.enabled && watch.turned_off.is_none());
        let on = on.map(|(tenant, search, watch)| WatchRef {
            tenant,
            name: watch.tenant,
            search,
            version: watch.version,
        });
        Ok(on.collect())
    }

    /// Resolves when a watch was set, changed or removed since this was last asked.
    pub async fn watches_changed(&self) {
        self.inner.watches.told().await;
    }

    /// Begins to work for a watch. Blocking.
    ///
    /// # Errors
    /// [`Error::Changed`], [`Error::NotFound`]; what the catalog says.
    pub fn watcher(&self, of: &WatchRef) -> Result<Watcher> {
        let tenant = self.inner.tenant(&of.name)?;
        if tenant.id != of.tenant {
            return Err(Error::NotFound("watch"));
        }
        // As of one moment: what is changed later has another version.
        let txn = self.inner.catalog.read()?;
        let watch = row::watch(&txn, &of.tenant, &of.search)?;
        if watch.is_none_or(|watch| watch.version != of.version) {
            return Err(CHANGED);
        }
        let spec = searches::search(&txn, &of.tenant, &of.search)?.spec;
        Ok(Watcher {
            engine: self.clone(),
            tenant,
            of: of.clone(),
            search: (spec.name, spec.query),
            follower: None,
            until: None,
            stored: (Instant::now(), 0),
            not_before: Instant::now(),
        })
    }
}

impl Watcher {
    /// Waits for the next message: one that is under way and due, a dead letter that is wanted again, or what newly matches. It is
    /// stored before it is returned, and returned again until [`Watcher::taken`], [`Watcher::refused`] or [`Watcher::gone`]
    /// said what came of it.
    ///
    /// # Errors
    /// [`Error::Changed`] when the watch was set anew or removed: the watcher is of no more use. Else as searches and the
    /// catalog; trying again later may help.
    pub async fn next(&mut self) -> Result<Delivery> {
        loop {
            let watch = self.work(Self::current).await?;
            if let Some(pending) = &watch.pending {
                let wait = pending.due_ms.saturating_sub(self.engine.now_ms());
                if wait == 0 {
                    return self.work(move |watcher| watcher.delivery(watch)).await;
                }
                tokio::time::sleep(Duration::from_millis(wait.min(WAIT_MS_MAX))).await;
                continue;
            }
            if !watch.again.is_empty() {
                self.work(Self::dig_up).await?;
                continue;
            }
            let follower = match self.follower.take() {
                Some(follower) => follower,
                None => {
                    let (follower, until) = self.work(move |watcher| watcher.follow(&watch)).await?;
                    self.until = until;
                    follower
                }
            };
            tokio::time::sleep_until(self.not_before).await;
            let (follower, step) = follower.pull(MESSAGE_RECORDS_MAX, STEP_BYTES).await?;
            let next = follower.next();
            // Where an earlier query ends, the next one begins.
            self.follower = (self.until != Some(next)).then_some(follower);
            if (1..MESSAGE_RECORDS_MAX).contains(&step.items.len()) {
                self.not_before = Instant::now() + BETWEEN_MESSAGES;
            }
            self.work(move |watcher| watcher.found(&step, next)).await?;
        }
    }

    /// Seconds since 1970, by the engine's clock.
    pub fn now_s(&self) -> u64 {
        self.engine.now_ms() / 1000
    }

    /// Says that a message was taken.
    ///
    /// # Errors
    /// [`Error::Changed`]; what the catalog says.
    pub async fn taken(&mut self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.work(move |watcher| {
            watcher.settle(&id, |watch, _, now_ms| {
                watch.delivered += 1;
                watch.last_success_ms = Some(now_ms);
                watch.failing_since_ms = None;
                watch.last_error = None;
                watch.pending = None;
                Ok(None)
            })
        })
        .await
        .map(drop)
    }

    /// Says that a message was not taken, as far as is known; returns whether it was given up.
    ///
    /// # Errors
    /// [`Error::Changed`]; what the catalog says.
    pub async fn refused(
        &mut self,
        id: &str,
        reason: String,
        again_in_ms: Option<u64>,
        retry: Retry,
    ) -> Result<bool> {
        let id = id.to_owned();
        self.work(move |watcher| {
            watcher.settle(&id, |watch, mut pending, now_ms| {
                watch.failed += 1;
                watch.last_error = Some(reason.clone());
                let since = *watch.failing_since_ms.get_or_insert(now_ms);
                pending.attempts += 1;
                pending.due_ms =
                    now_ms.saturating_add(retry.wait_ms(pending.attempts, &pending.id, again_in_ms));
                if now_ms.saturating_sub(since) >= retry.disable_after_ms {
                    watch.turned_off = Some(format!("nothing was taken for so long; last: {reason}"));
                }
                if !retry.gives_up(pending.attempts) {
                    watch.pending = Some(pending);
                    return Ok(None);
                }
                watch.pending = None;
                Ok(Some(LetterRow {
                    message: pending,
                    error: reason.clone(),
                    died_ms: now_ms,
                }))
            })
        })
        .await
    }

    /// Says that the receiver wants no more messages: the watch is turned off, and the message stays to be sent.
    ///
    /// # Errors
    /// [`Error::Changed`]; what the catalog says.
    pub async fn gone(&mut self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.work(move |watcher| {
            watcher.settle(&id, |watch, mut pending, now_ms| {
                watch.failed += 1;
                watch.failing_since_ms.get_or_insert(now_ms);
                watch.last_error = Some("the receiver answered 410".to_owned());
                watch.turned_off = Some("the receiver wants no more messages: it answered 410".to_owned());
                pending.attempts += 1;
                watch.pending = Some(pending);
                Ok(None)
            })
        })
        .await
        .map(drop)
    }

    /// Says why there is no next message, for who looks at the watch.
    ///
    /// # Errors
    /// [`Error::Changed`]; what the catalog says.
    pub async fn troubled(&mut self, error: &Error) -> Result<()> {
        let reason = format!("the search fails: {} ({error})", error.code());
        self.work(move |watcher| {
            let now_ms = watcher.engine.now_ms();
            watcher.update(|watch| {
                watch.failing_since_ms.get_or_insert(now_ms);
                watch.last_error = Some(reason);
            })
        })
        .await
    }

    /// Does blocking work.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut own = Self {
            engine: self.engine.clone(),
            tenant: Arc::clone(&self.tenant),
            of: self.of.clone(),
            search: self.search.clone(),
            follower: None,
            until: self.until,
            stored: self.stored,
            not_before: self.not_before,
        };
        let work = tokio::task::spawn_blocking(move || {
            let done = work(&mut own);
            (done, own.stored)
        });
        let (done, stored) = work.await.map_err(|error| Error::Io(error.to_string()))?;
        self.stored = stored;
        done
    }

    /// The watch, if it is still the one that was set.
    fn current(&mut self) -> Result<WatchRow> {
        let txn = self.engine.inner.catalog.read()?;
        let watch = row::watch(&txn, &self.of.tenant, &self.of.search)?;
        self.check(watch)
    }

    fn check(&self, watch: Option<WatchRow>) -> Result<WatchRow> {
        let is_same = |watch: &WatchRow| {
            watch.version == self.of.version && watch.enabled && watch.turned_off.is_none()
        };
        watch.filter(is_same).ok_or(CHANGED)
    }

    /// Follows the log from where the watch is, with the query that counts there; says where that one ends.
    fn follow(&mut self, watch: &WatchRow) -> Result<(Follower, Option<u64>)> {
        let tenant = &self.tenant;
        if watch.origin != tenant.origin || watch.next > tenant.view().size {
            let reason = "the log is another one, or shorter than it was: it was forked or restored";
            self.update(|watch| watch.turned_off = Some(reason.to_owned()))?;
            return Err(CHANGED);
        }
        let start = Start::At(watch.next);
        self.stored = (Instant::now(), watch.next);
        let earlier = watch.earlier.iter().find(|earlier| earlier.until > watch.next);
        let query = earlier.map_or(&self.search.1, |earlier| &earlier.query);
        let mut follower = self.engine.follow(&tenant.name, &outsider(), query, &start)?;
        let until = earlier.map(|earlier| earlier.until);
        follower.end_before(until);
        Ok((follower, until))
    }

    /// Stores what was found as a message, and how far was looked.
    fn found(&mut self, step: &Step, next: u64) -> Result<()> {
        let nothing = step.items.is_empty() && step.gaps.is_empty();
        let (at, stored) = self.stored;
        let moved = next.saturating_sub(stored);
        if nothing
            && self.until != Some(next)
            && (moved == 0 || moved < STORED_RECORDS && at.elapsed() < STORED_TIME)
        {
            return Ok(());
        }
        let now_ms = self.engine.now_ms();
        let pending = (!nothing).then(|| PendingRow {
            id: row::message_id(&*self.engine.inner.entropy),
            made_ms: now_ms,
            name: Some(self.search.0.clone()),
            views: None,
            records: step
                .items
                .iter()
                .map(|item| (item.seq, item.id.to_string()))
                .collect(),
            gaps: step
                .gaps
                .iter()
                .map(|gap: &Range<u64>| (gap.start, gap.end.saturating_sub(1)))
                .collect(),
            attempts: 0,
            due_ms: now_ms,
        });
        self.update(|watch| {
            watch.next = next;
            watch.earlier.retain(|earlier| earlier.until > next);
            watch.pending.clone_from(&pending);
            if let Some(pending) = &mut watch.pending {
                pending.views = Some(watch.records);
            }
        })?;
        self.stored = (Instant::now(), next);
        Ok(())
    }

    /// Makes the next dead letter that is wanted again the message under way.
    fn dig_up(&mut self) -> Result<()> {
        let of = self.of.clone();
        let now_ms = self.engine.now_ms();
        let engine = self.engine.clone();
        engine.change(|update| {
            let mut watch = self.check(row::watch_in(update, &of.tenant, &of.search)?)?;
            if watch.pending.is_some() || watch.again.is_empty() {
                return Ok(());
            }
            let number = watch.again.remove(0);
            if let Some(letter) = row::take_letter(update, &of.tenant, &of.search, number)? {
                let mut message = PendingRow {
                    attempts: 0,
                    due_ms: now_ms,
                    ..letter.message
                };
                message.narrow(watch.records, &*engine.inner.entropy);
                watch.pending = Some(message);
            }
            row::put(update, &of.tenant, &of.search, &watch)
        })
    }

    /// Opens what a message needs.
    fn delivery(&mut self, watch: WatchRow) -> Result<Delivery> {
        let pending = watch.pending.ok_or(CHANGED)?;
        let secret = row::open(&self.tenant, &self.of.search, &watch.secret)?;
        let seqs: Vec<u64> = pending.records.iter().map(|(seq, _)| *seq).collect();
        let views = pending.views.unwrap_or(watch.records).then(|| {
            snapshot(&self.tenant, |view| {
                self.engine
                    .record_views(&self.tenant, view, &seqs, Sight::PUBLIC, &|| Ok(()))
            })
        });
        Ok(Delivery {
            to: Recipient {
                url: watch.url,
                secret: WatchSecret(Zeroizing::new(secret)),
            },
            message: Message {
                id: pending.id,
                made_ms: pending.made_ms,
                tenant: watch.tenant,
                origin: watch.origin,
                search: hex(&self.of.search),
                search_name: pending.name.unwrap_or_else(|| self.search.0.clone()),
                records: pending.records,
                views: views.transpose()?,
                gaps: pending.gaps,
            },
        })
    }

    /// Stores what came of a message; returns whether it was given up.
    fn settle(
        &mut self,
        id: &str,
        settle: impl FnOnce(&mut WatchRow, PendingRow, u64) -> Result<Option<LetterRow>>,
    ) -> Result<bool> {
        let of = self.of.clone();
        let now_ms = self.engine.now_ms();
        self.engine.clone().change(|update| {
            let mut watch = self.check(row::watch_in(update, &of.tenant, &of.search)?)?;
            let pending = watch.pending.take().filter(|pending| pending.id == id);
            watch.last_attempt_ms = Some(now_ms);
            let letter = settle(&mut watch, pending.ok_or(CHANGED)?, now_ms)?;
            if let Some(letter) = &letter {
                row::bury(update, &of.tenant, &of.search, &mut watch, letter)?;
            }
            row::put(update, &of.tenant, &of.search, &watch)?;
            Ok(letter.is_some())
        })
    }

    /// Changes the watch, if it is still the one that was set.
    fn update(&self, change: impl FnOnce(&mut WatchRow)) -> Result<()> {
        let of = &self.of;
        self.engine.change(|update| {
            let mut watch = self.check(row::watch_in(update, &of.tenant, &of.search)?)?;
            change(&mut watch);
            row::put(update, &of.tenant, &of.search, &watch)
        })
    }
}

/// Who asks for a watch: somebody who sees no personal fields, whoever set it.
fn outsider() -> Principal {
    Principal::internal_as(&[Role::Auditor])
}

const CHANGED: Error = Error::Changed("watch");
/// Bytes of events that one step opens, about.
const STEP_BYTES: usize = 256 << 10;
/// How long matches are gathered for the next message: each costs two changes of the catalog.
const BETWEEN_MESSAGES: Duration = Duration::from_millis(500);
/// The wall clock is looked at again after this, in case it was set.
const WAIT_MS_MAX: u64 = 10_000;
/// Where nothing matches, the place is stored after so many records, or so long.
const STORED_RECORDS: u64 = 100_000;
const STORED_TIME: Duration = Duration::from_secs(60);
