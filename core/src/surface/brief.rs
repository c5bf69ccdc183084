//! Short questions to an engine, whose answers may be there before another thread could be woken for them.
//!
//! An event loop's thread waits for such an answer itself, for less than the loop's own work on a call takes. Where answers are
//! not so quick it soon stops trying, as a lock does that spins before it sleeps.

use std::{
    pin::Pin,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    task::Poll,
    time::{Duration, Instant},
};

use super::Request;
use crate::transport::Seat;

/// How long a thread waits itself.
const LIMIT: Duration = Duration::from_micros(250);
/// The most calls that do not try after one that tried in vain.
const MOST: u32 = 16;

/// Calls that ask one question and read nothing else; a stream's own items are read by whoever asks for them.
const QUESTIONS: &[&str] = &[
    "ping",
    "version",
    "info",
    "inspect",
    "reload",
    "events",
    "containers.get",
    "containers.list",
    "images.get",
    "images.list",
    "networks.get",
    "networks.list",
    "volumes.get",
    "volumes.list",
];

/// Calls that are not over: a thread that has more to do does not wait for one of them.
static OPEN: AtomicUsize = AtomicUsize::new(0);
static PAUSE: AtomicU32 = AtomicU32::new(0);
static LEFT: AtomicU32 = AtomicU32::new(0);

/// A call that is not over for the one who made it.
#[derive(Debug)]
pub struct Open(());

impl Open {
    fn new() -> Self {
        OPEN.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

/// Whether a call is worth trying in the thread that makes it.
#[must_use]
pub fn is_brief(request: &Request) -> bool {
    matches!(request.class.as_str(), "Engine" | "Container") && QUESTIONS.contains(&request.method.as_str())
}

/// Begins `work` in this thread, and waits for it as long as that is a matter of microseconds. What is not done by then goes on
/// when it is polled elsewhere, inside of [`elsewhere`]. What is done stays open until the one who made the call has it, so that
/// many that are made at once do not wait for each other. A runtime must have been entered.
pub fn begin_here<F: Future + ?Sized>(work: &mut Pin<Box<F>>) -> Option<(F::Output, Open)> {
    let mut seat = Seat::take();
    let outcome = wait_here(&mut seat, work);
    seat.keep();
    outcome.map(|outcome| (outcome, Open::new()))
}

fn wait_here<F: Future + ?Sized>(seat: &mut Seat, work: &mut Pin<Box<F>>) -> Option<F::Output> {
    if let Poll::Ready(outcome) = seat.poll(work.as_mut()) {
        return Some(outcome);
    }
    if !seat.watches() || OPEN.load(Relaxed) > 0 || LEFT.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
        return None;
    }
    let begin = Instant::now();
    while let Some(left) = LIMIT.checked_sub(begin.elapsed()) {
        seat.wait(left);
        if let Poll::Ready(outcome) = seat.poll(work.as_mut()) {
            PAUSE.store(0, Relaxed);
            return Some(outcome);
        }
    }
    let pause = (PAUSE.load(Relaxed) * 2 + 1).min(MOST);
    PAUSE.store(pause, Relaxed);
    LEFT.store(pause, Relaxed);
    None
}

/// Does `work` on the runtime's threads.
pub async fn elsewhere<T>(work: impl Future<Output = T>) -> T {
    let _open = Open::new();
    work.await
}
