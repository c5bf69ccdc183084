//! A thread that waits for its own call.
//!
//! A call sleeps until a thread of the runtime has seen that its socket can be read, and is then woken by it: two switches
//! between threads, which take longer than an engine takes for a short answer. A thread that has nothing else to do while its
//! call runs can read and watch the call's socket itself. What else the call waits for wakes it as everywhere.

use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    pin::Pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::spin::Spin;
use crate::call::fork_epoch;

/// For how long a thread looks before it sleeps.
const SPIN: Duration = Duration::from_micros(100);

thread_local! {
    /// What the poll in this thread knows, while a seat polls.
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
    /// This thread's own seat, while no call uses it.
    static FREE: RefCell<Option<Seat>> = const { RefCell::new(None) };
}

#[derive(Debug, Default)]
struct Here {
    /// The sockets that the call waits for.
    watched: Vec<Watched>,
    /// Whether the call begins: then a connection that waited is asked whether it is over.
    begins: bool,
}

/// A socket that a call waits for.
#[derive(Debug)]
struct Watched {
    /// A connection is closed when nobody else holds its socket.
    socket: Weak<OwnedFd>,
    /// What waits for it, which may be a part of the call that is not polled unless it is woken.
    waker: Waker,
    /// Whether it was seen to have something.
    readable: bool,
}

/// Where a thread waits for one call after the other.
#[derive(Debug)]
pub struct Seat {
    bell: Arc<Bell>,
    waker: Waker,
    here: Here,
    spin: Spin,
    /// A forked child has bells of its own.
    epoch: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Seat {
    /// This thread's own.
    #[must_use]
    pub fn take() -> Self {
        let epoch = fork_epoch();
        let mut seat = FREE.take().filter(|seat| seat.epoch == epoch).unwrap_or_else(|| {
            let bell = Arc::new(Bell::default());
            Self { waker: bell.clone().into(), bell, here: Here::default(), spin: Spin::default(), epoch }
        });
        seat.here.begins = true;
        // The call before may have rung late.
        seat.bell.rung.store(false, SeqCst);
        seat
    }

    /// Gives it back for the next call.
    pub fn keep(mut self) {
        self.leave();
        FREE.set(Some(self));
    }

    /// What goes on without this seat has to watch its sockets otherwise, and is woken for it.
    fn leave(&mut self) {
        for one in self.here.watched.drain(..) {
            one.waker.wake();
        }
    }

    /// Polls once, in this thread.
    pub fn poll<F: Future + ?Sized>(&mut self, work: Pin<&mut F>) -> Poll<F::Output> {
        HERE.set(Some(std::mem::take(&mut self.here)));
        let result = work.poll(&mut Context::from_waker(&self.waker));
        self.here = HERE.take().unwrap_or_default();
        self.here.begins = false;
        result
    }

    /// Whether this thread polls in a seat.
    pub(crate) fn is_taken() -> bool {
        HERE.with_borrow(Option::is_some)
    }

    /// Whether the work waits for a socket that this seat watches.
    #[must_use]
    pub fn watches(&self) -> bool {
        !self.here.watched.is_empty()
    }

    /// Wakes this seat from other threads.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Waits until it is worth while to poll again, or a signal comes, but not longer than `limit`.
    pub fn wait(&mut self, limit: Duration) {
        let Some(bell) = self.bell.fd() else { return std::thread::park_timeout(limit.min(Duration::from_millis(1))) };
        self.bell.asleep.store(true, SeqCst);
        let mut has_rung = false;
        if !self.bell.rung.load(SeqCst) {
            // What has something and was not read is not waited for.
            let watched = &mut self.here.watched;
            watched.retain(|one| !one.readable);
            let sockets: Vec<Option<Arc<OwnedFd>>> = watched.iter().map(|one| one.socket.upgrade()).collect();
            let mut all: Vec<PollFd<'_>> = sockets.iter().flatten().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
            all.push(PollFd::new(bell, PollFlags::IN));
            let mut now = || poll(&mut all, Some(&Timespec::default())).is_ok_and(|count| count > 0).then_some(());
            if !self.spin.is_on() || self.spin.look(SPIN.min(limit), &mut now).is_none() {
                let limit = Timespec { tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: limit.subsec_nanos().into() };
                poll(&mut all, Some(&limit)).ok();
            }
            has_rung = all.pop().is_some_and(|bell| !bell.revents().is_empty());
            let mut seen = all.iter().map(|socket| !socket.revents().is_empty());
            for (one, socket) in watched.iter_mut().zip(&sockets) {
                // A socket that is gone is dropped next time.
                one.readable = socket.is_none() || seen.next().unwrap_or_default();
                if one.readable && !one.waker.will_wake(&self.waker) {
                    one.waker.wake_by_ref();
                }
            }
        }
        self.bell.asleep.store(false, SeqCst);
        self.bell.rung.store(false, SeqCst);
        if has_rung {
            rustix::io::read(bell, &mut [0; 8]).ok();
        }
    }
}

/// Reads from a socket in a thread that sits in a seat; nothing in any other. `now` reads what is there, and says whether there may
/// be more; nothing when nothing is there yet: then the seat watches the socket.
pub(super) fn read(socket: &Arc<OwnedFd>, cx: &Context<'_>, now: impl FnOnce() -> Option<io::Result<bool>>) -> Option<Poll<io::Result<()>>> {
    HERE.with_borrow_mut(|here| {
        let here = here.as_mut()?;
        let at = here.watched.iter().position(|one| std::ptr::eq(one.socket.as_ptr(), Arc::as_ptr(socket)));
        let is_worth_it = match at.and_then(|at| here.watched.get(at)) {
            Some(one) => one.readable,
            None => std::mem::take(&mut here.begins),
        };
        if is_worth_it && let Some(result) = now() {
            if let (Some(at), Ok(false) | Err(_)) = (at, &result) {
                here.watched.swap_remove(at);
            }
            return Some(Poll::Ready(result.map(drop)));
        }
        match at.and_then(|at| here.watched.get_mut(at)) {
            Some(one) => {
                one.waker.clone_from(cx.waker());
                one.readable = false;
            }
            None => here.watched.push(Watched { socket: Arc::downgrade(socket), waker: cx.waker().clone(), readable: false }),
        }
        Some(Poll::Pending)
    })
}

/// What wakes a seat.
#[derive(Debug, Default)]
struct Bell {
    fd: OnceLock<Option<OwnedFd>>,
    /// Whether it was rung since the last look.
    rung: AtomicBool,
    /// Whether the thread sleeps, so that ringing has to wake it.
    asleep: AtomicBool,
}

impl Bell {
    fn fd(&self) -> Option<&OwnedFd> {
        self.fd.get_or_init(|| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()).as_ref()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, SeqCst);
        if self.asleep.load(SeqCst)
            && let Some(fd) = self.fd.get().and_then(Option::as_ref)
        {
            rustix::io::write(fd, &1u64.to_ne_bytes()).ok();
        }
    }
}
