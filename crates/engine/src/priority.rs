//! How threads in the background leave the cores to appends and searches.
//!
//! A nice value decides who gets how much, and not how soon: somebody who wakes up waits for the slice of whoever runs, about a
//! millisecond, however nice that one is. Only threads of the class for idle times (`SCHED_IDLE`, sched(7)) give way at once. They
//! hardly run while all cores are busy, so what they work on must hold no lock that others wait for.

use crate::instance::{Inner, OpenMode};

/// Nice 5: below appends and searches, whose newest records it indexes.
pub(crate) const INDEX: u8 = 35;
/// Nice 14.
pub(crate) const REBUILD: u8 = 12;
/// Nice 19: what is put together a minute later is put together all the same.
pub(crate) const COMPACT: u8 = 0;

/// Work of this thread that can wait leaves the cores to others. `priority` is 0 to 99; where threads have a nice value, it
/// becomes one from 19 to -20.
pub(crate) fn lower(priority: u8) {
    use thread_priority::{ThreadPriority, ThreadPriorityValue, set_current_thread_priority};
    let Ok(value) = ThreadPriorityValue::try_from(priority) else {
        return;
    };
    told(set_current_thread_priority(ThreadPriority::Crossplatform(value)));
}

/// Does work that takes seconds of a core and holds no lock that others wait for, while this thread waits: on one that gives way to
/// everybody, if the instance has threads.
pub(crate) fn in_idle_time<T: Send>(inner: &Inner, work: impl FnOnce() -> T + Send) -> T {
    if inner.mode != OpenMode::Threads {
        return work();
    }
    std::thread::scope(|scope| {
        let body = || {
            give_way();
            work()
        };
        let done = scope.spawn(body).join();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(target_os = "linux")]
fn give_way() {
    use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    };
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    // With the highest nice value: one that this thread has already cannot be lowered.
    let priority = ThreadPriority::Crossplatform(ThreadPriorityValue::MIN);
    told(set_thread_priority_and_policy(
        thread_native_id(),
        priority,
        policy,
    ));
}

#[cfg(not(target_os = "linux"))]
fn give_way() {
    lower(COMPACT);
}

fn told(result: Result<(), thread_priority::Error>) {
    if let Err(error) = result {
        tracing::debug!(?error, "a background thread runs at normal priority");
    }
}
