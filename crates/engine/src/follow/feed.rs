//! What the followers of one tenant share: the front, and being told of new records.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::turns::Turns;

/// A tenant's followers.
#[derive(Default)]
pub(crate) struct Feed {
    followers: AtomicUsize,
    news: Notify,
    /// The size that those who wait were last told of.
    told: AtomicU64,
    front: Mutex<Front>,
    /// Whether nothing comes any more: the tenant was destroyed.
    ended: AtomicBool,
    pub(super) turns: Turns,
}

/// Up to where followers look: all up to the same place, so that the newest records are indexed once for all of them, and not
/// in handfuls.
#[derive(Default)]
struct Front {
    size: u64,
    moved_ms: u64,
}

impl Feed {
    pub(super) fn join(&self) {
        self.followers.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn leave(&self) {
        self.followers.fetch_sub(1, Ordering::AcqRel);
    }

    /// Tells that there are new records. Costs the same for any number of followers: one is woken, who wakes the others.
    pub(crate) fn published(&self) {
        if self.followers.load(Ordering::Acquire) > 0 {
            self.news.notify_one();
        }
    }

    /// Tells everybody who waits that nothing comes any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.news.notify_waiters();
    }

    /// Resolves when `size` is beyond `next`, or nothing comes any more.
    pub(super) async fn changed(&self, next: u64, size: impl Fn() -> u64) {
        loop {
            // Made before the size is looked at: what is published after that look wakes it.
            let news = self.news.notified();
            if size() > next || self.ended.load(Ordering::Acquire) {
                return;
            }
            news.await;
            let now = size();
            // Each size is passed on once, also by one who has seen it already.
            if self.told.fetch_max(now, Ordering::AcqRel) < now {
                self.news.notify_waiters();
            }
        }
    }

    /// Moves the front to `size` if it has stood for `pace_ms`; returns where it is, at most at `size`.
    pub(super) fn front(&self, size: u64, now_ms: u64, pace_ms: u64) -> u64 {
        let mut front = self.front.lock();
        if size > front.size && now_ms >= front.moved_ms.saturating_add(pace_ms) {
            *front = Front {
                size,
                moved_ms: now_ms,
            };
        }
        front.size.min(size)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_front_moves_at_its_pace_and_never_back() {
        let feed = Feed::default();
        assert_eq!(feed.front(10, 1000, 50), 10);
        assert_eq!(feed.front(20, 1049, 50), 10);
        assert_eq!(feed.front(20, 1050, 50), 20);
        assert_eq!(
            feed.front(15, 2000, 50),
            15,
            "an older snapshot does not see further"
        );
        assert_eq!(feed.front(20, 2000, 50), 20);
    }

    #[tokio::test]
    async fn all_who_wait_hear_of_news_and_of_each_once() {
        let feed = Arc::new(Feed::default());
        let size = Arc::new(AtomicU64::new(0));
        for round in 1..=20u64 {
            let waiting: Vec<_> = (0..50)
                .map(|_| {
                    let (feed, size) = (Arc::clone(&feed), Arc::clone(&size));
                    feed.join();
                    tokio::spawn(async move {
                        feed.changed(round - 1, || size.load(Ordering::SeqCst)).await;
                        feed.leave();
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            size.store(round, Ordering::SeqCst);
            feed.published();
            for one in waiting {
                one.await.unwrap();
            }
        }
        feed.published();
        assert_eq!(feed.followers.load(Ordering::SeqCst), 0);
    }
}
