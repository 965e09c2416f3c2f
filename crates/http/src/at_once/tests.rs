use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{AtOnce, POLLS_MAX};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Wakes itself in each of its first `times` polls.
fn waking(times: usize) -> AtOnce<impl Future<Output = usize>> {
    let mut polls = 0;
    AtOnce::new(poll_fn(move |context| {
        polls += 1;
        if polls > times {
            return Poll::Ready(polls);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }))
}

fn poll<F: Future>(future: &mut AtOnce<F>, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_future_that_wakes_itself_is_polled_again_without_waking_its_task() {
    let count = Arc::new(Count::default());
    let mut future = waking(2);
    assert_eq!(
        poll(&mut future, &Waker::from(Arc::clone(&count))),
        Poll::Ready(3)
    );
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
}

#[test]
fn a_future_that_never_stops_waking_itself_leaves_others_their_turn() {
    let count = Arc::new(Count::default());
    let mut future = waking(POLLS_MAX);
    let waker = Waker::from(Arc::clone(&count));
    assert_eq!(poll(&mut future, &waker), Poll::Pending);
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(poll(&mut future, &waker), Poll::Ready(POLLS_MAX + 1));
}

#[test]
fn a_wake_between_polls_reaches_the_task() {
    let count = Arc::new(Count::default());
    let kept = Arc::new(parking_lot::Mutex::new(None));
    let mut future = AtOnce::new(poll_fn({
        let kept = Arc::clone(&kept);
        move |context| -> Poll<()> {
            *kept.lock() = Some(context.waker().clone());
            Poll::Pending
        }
    }));
    assert_eq!(poll(&mut future, &Waker::from(Arc::clone(&count))), Poll::Pending);
    let waker: Waker = kept.lock().take().unwrap();
    waker.wake();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_from_another_thread_is_lost() {
    let (send, mut receive) = tokio::sync::mpsc::channel::<u32>(1);
    let sender = std::thread::spawn(move || (0..20_000).for_each(|n| send.blocking_send(n).unwrap()));
    let received = tokio::spawn(AtOnce::new(async move {
        let mut sum = 0u64;
        while let Some(n) = receive.recv().await {
            sum += u64::from(n);
        }
        sum
    }));
    let sum = tokio::time::timeout(Duration::from_secs(60), received).await;
    assert_eq!(sum.unwrap().unwrap(), 199_990_000);
    sender.join().unwrap();
}
