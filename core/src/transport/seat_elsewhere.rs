//! A thread that waits for its own call, where the system has no bell that can be watched beside a socket: the runtime wakes it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::Duration,
};

/// Where a thread waits for one call after the other.
#[derive(Debug)]
pub struct Seat(Waker);

impl Seat {
    /// This thread's own.
    #[must_use]
    pub fn take() -> Self {
        Self(Arc::new(Parked(std::thread::current())).into())
    }

    /// Gives it back for the next call.
    pub fn keep(self) {}

    /// Polls once, in this thread.
    pub fn poll<F: Future + ?Sized>(&mut self, work: Pin<&mut F>) -> Poll<F::Output> {
        work.poll(&mut Context::from_waker(&self.0))
    }

    /// Whether this thread polls in a seat that watches by itself.
    pub(crate) fn is_taken() -> bool {
        false
    }

    /// Whether the last poll stopped at a socket that this seat can watch.
    #[must_use]
    pub fn watches(&self) -> bool {
        false
    }

    /// Wakes this seat from other threads.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        &self.0
    }

    /// Waits until it is worth while to poll again, but not longer than `limit`.
    pub fn wait(&mut self, limit: Duration) {
        std::thread::park_timeout(limit);
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
