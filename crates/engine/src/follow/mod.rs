//! Following a log: every record that matches a filter, once and in order, from any place on, as it becomes durable.
//!
//! A [`Follower`] is a cursor: the next seq to look at. It is pulled: whoever holds it asks for a [`Step`] when it can take one,
//! so one that is slow holds a number and nothing else, and never misses anything, however far it is behind: old records come
//! from segments, new ones from the tail, and a flush between two steps makes no difference, because a seq says where to go on.
//!
//! Filters are asked of the splits that all searches share. So that many followers ask few and large ones, a tenant's front, up
//! to which they look, moves on only now and then; the more followers there are, the less often: see [`Follower::pace`].
//!
//! [`Follower::step`] blocks as searches do; [`Follower::pull`] waits for news and for a turn without blocking.

mod feed;
mod position;
mod turns;

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

pub(crate) use feed::Feed;
pub use position::Start;
pub(crate) use turns::Turns;

use crate::{
    Engine,
    credentials::{Permission, Principal},
    error::{Error, Result},
    read::{RecordView, snapshot},
    search::{Filter, follow},
    tenant::{Tenant, View},
};

/// One reader of a log.
pub struct Follower {
    engine: Engine,
    tenant: Arc<Tenant>,
    filter: Filter,
    credential: (String, Option<u64>),
    /// The next seq to look at.
    next: u64,
    /// Records that one step looks at, at most.
    window: u64,
    /// The first seq that it does not look at.
    end: Option<u64>,
    /// Steps over few records in a row that took too long.
    late: u32,
    /// When the next step is due, if it is to wait.
    again_at: Option<tokio::time::Instant>,
}

/// What a follower found.
#[derive(Debug, Default)]
pub struct Step {
    /// The records that match, ascending.
    pub items: Vec<RecordView>,
    /// Runs of seqs that are no longer held and were not looked at.
    pub gaps: Vec<Range<u64>>,
}

impl Engine {
    /// Follows a tenant's log. `q` is a query as in searches; personal fields count as far as `by` may see them.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Query`]; [`Error::Invalid`] for a start that this log does not
    /// have.
    pub fn follow(&self, tenant: &str, by: &Principal, q: &str, start: &Start) -> Result<Follower> {
        by.check(tenant, Permission::Tail)?;
        let mut filter = Filter::parse(q, by.may_see_personal())?;
        filter.give_up_after(STEP_MS);
        let tenant = self.inner.tenant(tenant)?;
        let next = start.next(&tenant)?;
        self.inner.followers.fetch_add(1, Ordering::AcqRel);
        tenant.feed.join();
        Ok(Follower {
            engine: self.clone(),
            tenant,
            filter,
            credential: (by.id.clone(), by.expires_at_ms),
            next,
            window: WINDOW_RECORDS,
            end: None,
            late: 0,
            again_at: None,
        })
    }
}

impl Follower {
    /// Looks at nothing from this seq on, whatever there is.
    pub(crate) fn end_before(&mut self, end: Option<u64>) {
        self.end = end;
    }

    /// The next seq that it looks at: everything below it was looked at.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Names the place in this log up to which it has come, for [`Start::After`].
    pub fn position(&self) -> String {
        self.position_before(self.next)
    }

    /// Names the place in this log right before `next`.
    pub fn position_before(&self, next: u64) -> String {
        position::name(&self.tenant, next)
    }

    /// Records that are durable and that it has not looked at.
    pub fn behind(&self) -> u64 {
        self.tenant.view().size.saturating_sub(self.next)
    }

    /// Whether what it looks at next is new: it keeps up, and its steps are short.
    pub fn is_live(&self) -> bool {
        let view = self.tenant.view();
        self.next >= view.flushed_count() || view.size.saturating_sub(self.next) <= LIVE_RECORDS
    }

    /// Whether the credential that it was made with still works, and the tenant is there.
    pub fn is_allowed(&self) -> bool {
        !self.tenant.is_ended()
            && !self.tenant.stale.load(Ordering::Acquire)
            && self
                .engine
                .credential_works(&self.credential.0, self.credential.1)
    }

    /// How long to leave between two steps once it has caught up: longer where there are many.
    pub fn pace(&self) -> Duration {
        Duration::from_millis(pace_ms(&self.engine))
    }

    /// Resolves when there are records that it has not looked at.
    pub async fn changed(&self) {
        let size = || self.tenant.view().size;
        self.tenant.feed.changed(self.next, size).await;
    }

    /// Looks at what comes next, and returns the first `limit` matches or about `bytes` of them. Blocking. A step may be empty
    /// though there is more: look at [`Follower::behind`].
    ///
    /// # Errors
    /// As searches; [`Error::Deadline`] where a few records take too long several times in a row. The place does not move then.
    pub fn step(&mut self, limit: usize, bytes: usize, stop: &(dyn Fn() -> bool + Sync)) -> Result<Step> {
        let inner = &self.engine.inner;
        if self.tenant.is_ended() {
            return Err(Error::UnknownTenant);
        }
        self.tenant.touch(inner.clock.boot_ms());
        let taken = snapshot(&self.tenant, |view| {
            let seqs = self.window(view);
            if seqs.is_empty() {
                return Ok((Step::default(), self.next));
            }
            let found = follow(inner, &self.tenant, view, &self.filter, seqs, limit, stop)?;
            let (items, end) = self.open(view, &found.seqs, found.end, bytes, stop)?;
            let gaps = found.gaps.into_iter().filter(|gap| gap.start < end);
            let gaps = gaps.map(|gap| gap.start..gap.end.min(end)).collect();
            Ok((Step { items, gaps }, end))
        });
        match taken {
            Ok((step, end)) => {
                self.next = end;
                self.late = 0;
                self.window = self.window.saturating_mul(2).min(WINDOW_RECORDS);
                self.filter.give_up_after(STEP_MS);
                Ok(step)
            }
            // What takes too long at once is looked at in smaller pieces, and in the end in one that takes its time.
            Err(Error::Deadline) if self.late < LATE_STEPS_MAX && !stop() => {
                self.late += u32::from(self.window == WINDOW_RECORDS_MIN);
                self.shrink();
                Ok(Step::default())
            }
            Err(Error::NotIndexed { .. }) if self.window > WINDOW_RECORDS_MIN && !stop() => {
                self.shrink();
                Ok(Step::default())
            }
            Err(error) => Err(error),
        }
    }

    fn shrink(&mut self) {
        self.window = (self.window / 8).max(WINDOW_RECORDS_MIN);
        if self.window == WINDOW_RECORDS_MIN {
            self.filter.give_up_after(u64::MAX);
        }
    }

    /// What to look at in one step: segments or tail.
    fn window(&self, view: &View) -> Range<u64> {
        let flushed = view.flushed_count();
        let end = if self.next < flushed {
            flushed
        } else {
            let inner = &self.engine.inner;
            let pace_ms = pace_ms(&self.engine);
            self.tenant.feed.front(view.size, inner.clock.boot_ms(), pace_ms)
        };
        let end = end.min(self.end.unwrap_or(u64::MAX));
        self.next..end.min(self.next.saturating_add(self.window))
    }

    /// Opens matches until there are enough bytes; says up to where that is.
    fn open(
        &self,
        view: &View,
        seqs: &[u64],
        end: u64,
        bytes: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Vec<RecordView>, u64)> {
        let check = || if stop() { Err(Error::Cancelled) } else { Ok(()) };
        let mut items: Vec<RecordView> = Vec::with_capacity(seqs.len());
        let mut taken = 0;
        for some in seqs.chunks(OPENED_AT_ONCE) {
            if taken >= bytes {
                let last = items.last().map_or(self.next, |item| item.seq.saturating_add(1));
                return Ok((items, last));
            }
            let opened = self
                .engine
                .record_views(&self.tenant, view, some, self.filter.sight(), &check)?;
            taken += opened.iter().map(|item| item.event.len()).sum::<usize>();
            items.extend(opened);
        }
        Ok((items, end))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.tenant.feed.leave();
        self.engine.inner.followers.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Milliseconds between two moves of a tenant's front, by how many followers there are in all.
fn pace_ms(engine: &Engine) -> u64 {
    let followers = engine.inner.followers.load(Ordering::Acquire) as u64;
    (followers * FOLLOWER_PACE_MS).clamp(PACE_MS_MIN, PACE_MS_MAX)
}

/// Records that one step looks at, at most: what a scan of them costs bounds how long a step takes.
const WINDOW_RECORDS: u64 = 1 << 17;
/// After how long a step is given up and made smaller: others wait for their turn meanwhile.
const STEP_MS: u64 = 2000;
/// A step that takes too long looks at fewer, down to so many.
const WINDOW_RECORDS_MIN: u64 = 256;
/// How often the smallest step may take too long before that is an error.
const LATE_STEPS_MAX: u32 = 3;
/// Who is so many records behind at most keeps up, even where a flush has just taken them out of the tail.
const LIVE_RECORDS: u64 = 16 << 10;
/// Records that are opened before their bytes are counted.
const OPENED_AT_ONCE: usize = 8;
/// Every follower moves the front's next step away by this: all followers together look a thousand times a second at most.
const FOLLOWER_PACE_MS: u64 = 1;
const PACE_MS_MIN: u64 = 50;
const PACE_MS_MAX: u64 = 1000;
