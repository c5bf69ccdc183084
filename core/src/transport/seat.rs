//! A thread that waits for its own call.
//!
//! A call sleeps until a thread of the runtime has seen that its socket can be read, and is then woken by it: two switches
//! between threads, which take longer than an engine takes for a short answer. A thread that has nothing else to do while its
//! call runs can read and watch the call's socket itself. What else the call waits for wakes it as everywhere.

use std::{
    cell::RefCell,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    net::{RecvFlags, recv},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::call::fork_epoch;

/// The most that is read at once.
const PART: usize = 64 << 10;

thread_local! {
    /// What the poll in this thread knows, while a seat polls.
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Here {
    /// A socket that was seen to have something.
    readable: Option<Arc<OwnedFd>>,
    /// Whether the call begins: then a connection that waited is asked whether it is over.
    begins: bool,
    /// The socket that the poll stopped at.
    stopped: Option<Arc<OwnedFd>>,
}

thread_local! {
    /// This thread's own seat, while no call uses it.
    static FREE: RefCell<Option<Seat>> = const { RefCell::new(None) };
}

/// Where a thread waits for one call after the other.
#[derive(Debug)]
pub struct Seat {
    bell: Arc<Bell>,
    waker: Waker,
    socket: Option<Arc<OwnedFd>>,
    /// Whether that socket has something.
    readable: bool,
    /// Whether nothing was polled yet.
    begins: bool,
    /// A forked child has bells of its own.
    epoch: u64,
}

impl Seat {
    /// This thread's own.
    #[must_use]
    pub fn take() -> Self {
        let epoch = fork_epoch();
        let mut seat = FREE.take().filter(|seat| seat.epoch == epoch).unwrap_or_else(|| {
            let bell = Arc::new(Bell::default());
            Self { waker: bell.clone().into(), bell, socket: None, readable: false, begins: true, epoch }
        });
        // The call before may have rung late.
        (seat.socket, seat.readable, seat.begins) = (None, false, true);
        seat.bell.rung.store(false, SeqCst);
        seat
    }

    /// Gives it back for the next call.
    pub fn keep(mut self) {
        // A connection is closed when nobody holds its socket.
        self.socket = None;
        FREE.set(Some(self));
    }

    /// Polls once, in this thread.
    pub fn poll<F: Future + ?Sized>(&mut self, work: Pin<&mut F>) -> Poll<F::Output> {
        let readable = self.socket.take().filter(|_| std::mem::take(&mut self.readable));
        HERE.set(Some(Here { readable, begins: std::mem::take(&mut self.begins), stopped: None }));
        let result = work.poll(&mut Context::from_waker(&self.waker));
        self.socket = HERE.take().and_then(|here| here.stopped);
        result
    }

    /// Whether the last poll stopped at a socket that this seat can watch.
    #[must_use]
    pub fn watches(&self) -> bool {
        self.socket.is_some()
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
            let mut both = vec![PollFd::new(bell, PollFlags::IN)];
            both.extend(self.socket.as_deref().map(|socket| PollFd::new(socket, PollFlags::IN)));
            let limit = Timespec { tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: limit.subsec_nanos().into() };
            poll(&mut both, Some(&limit)).ok();
            has_rung = both.first().is_some_and(|bell| !bell.revents().is_empty());
            self.readable = both.get(1).is_some_and(|socket| !socket.revents().is_empty());
        }
        self.bell.asleep.store(false, SeqCst);
        self.bell.rung.store(false, SeqCst);
        if has_rung {
            rustix::io::read(bell, &mut [0; 8]).ok();
        }
    }
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

/// A stream over a socket that a seat can read and watch.
pub(super) struct Seated<S> {
    stream: S,
    socket: Option<Arc<OwnedFd>>,
}

impl<S: AsFd> Seated<S> {
    pub(super) fn new(stream: S) -> Self {
        let socket = stream.as_fd().try_clone_to_owned().ok().map(Arc::new);
        Self { stream, socket }
    }

    /// What a seat has seen to be there.
    fn read_here(&self, buf: &mut ReadBuf<'_>) -> Option<std::io::Result<()>> {
        let socket = self.socket.as_ref()?;
        HERE.with_borrow_mut(|here| {
            let here = here.as_mut()?;
            let seen = here.readable.as_ref().is_some_and(|readable| Arc::ptr_eq(readable, socket));
            if !seen && !std::mem::take(&mut here.begins) {
                here.stopped = Some(socket.clone());
                return None;
            }
            let room = buf.remaining().min(PART);
            match recv(socket, buf.initialize_unfilled_to(room), RecvFlags::DONTWAIT) {
                Ok((count, _)) => {
                    buf.advance(count);
                    if count < room {
                        here.readable = None;
                    }
                    Some(Ok(()))
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
                    here.readable = None;
                    here.stopped = Some(socket.clone());
                    None
                }
                Err(e) => Some(Err(e.into())),
            }
        })
    }
}

impl<S: AsyncRead + AsFd + Unpin> AsyncRead for Seated<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.read_here(buf) {
            Some(result) => Poll::Ready(result),
            None => Pin::new(&mut self.stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Seated<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[std::io::IoSlice<'_>]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    /// Does work in this thread to its end, and says whether it watched a socket itself.
    fn finish<T>(work: impl Future<Output = T>) -> (T, bool) {
        let mut work = std::pin::pin!(work);
        let (mut seat, mut watched) = (Seat::take(), false);
        loop {
            if let Poll::Ready(result) = seat.poll(work.as_mut()) {
                seat.keep();
                return (result, watched);
            }
            watched |= seat.watches();
            seat.wait(Duration::from_secs(60));
        }
    }

    #[test]
    fn a_thread_reads_its_answer_itself_and_lets_go_of_the_socket() {
        let runtime = runtime();
        let _inside = runtime.enter();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = runtime.spawn(async move {
            for _ in 0..100 {
                let question = theirs.read_u8().await.unwrap();
                theirs.write_all(&[question; 70_000]).await.unwrap();
            }
            theirs.read_u8().await.unwrap_err().kind()
        });
        let (mut ours, mut ever_watched) = (Seated::new(ours), false);
        for i in 0..100 {
            let (answer, watched) = finish(async {
                ours.write_u8(i).await.unwrap();
                let mut answer = vec![0; 70_000];
                ours.read_exact(&mut answer).await.unwrap();
                answer
            });
            assert!(answer.iter().all(|b| *b == i));
            // An answer may be there before it is waited for.
            ever_watched |= watched;
        }
        assert!(ever_watched);
        drop(ours);
        assert_eq!(runtime.block_on(server).unwrap(), std::io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_socket_wakes_it_too() {
        let runtime = runtime();
        let _inside = runtime.enter();
        for _ in 0..200 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            runtime.spawn(async { sender.send(7) });
            assert_eq!(finish(receiver).0, Ok(7));
        }
        assert!(!finish(tokio::time::sleep(Duration::from_millis(5))).1);
    }
}
