//! A thread that waits for its own call.
//!
//! A call sleeps until a thread of the runtime has seen that its socket can be read, and is then woken by it: two switches
//! between threads, which take longer than an engine takes for a short answer. A thread that has nothing else to do while its
//! call runs can read and watch the call's socket itself. What else the call waits for wakes it as everywhere.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    pin::Pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, sendmsg, shutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd},
    runtime::Handle,
};

use crate::call::fork_epoch;

/// The least and the most that is read at once.
const PART: (usize, usize) = (8 << 10, 64 << 10);

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
            Self { waker: bell.clone().into(), bell, here: Here::default(), epoch }
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
            let limit = Timespec { tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: limit.subsec_nanos().into() };
            poll(&mut all, Some(&limit)).ok();
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

/// A socket that a seat reads and watches itself. The runtime is told of it only when a task waits for it, and of what can be
/// written only when that has to be waited for: each thing that a runtime is told of wakes one of its threads.
pub(super) struct Seated {
    socket: Arc<OwnedFd>,
    /// The runtime that is told.
    home: Handle,
    reads: Option<AsyncFd<Arc<OwnedFd>>>,
    writes: Option<AsyncFd<OwnedFd>>,
    /// How much is read at once: space for more than comes is made ready in vain.
    part: usize,
}

impl Seated {
    /// Takes the socket of `stream`, in a runtime.
    pub(super) fn new(stream: &impl AsFd) -> io::Result<Self> {
        let socket = Arc::new(stream.as_fd().try_clone_to_owned()?);
        Ok(Self { socket, home: Handle::current(), reads: None, writes: None, part: PART.0 })
    }

    /// Reads what is there, and says whether there may be more; nothing when nothing is there yet.
    fn read_now(&mut self, buf: &mut ReadBuf<'_>) -> Option<io::Result<bool>> {
        let room = buf.remaining().min(self.part);
        loop {
            match recv(&self.socket, buf.initialize_unfilled_to(room), RecvFlags::DONTWAIT) {
                Ok((count, _)) => {
                    buf.advance(count);
                    if count == room {
                        self.part = (room * 2).clamp(PART.0, PART.1);
                    } else if count < room / 4 {
                        self.part = (room / 2).max(PART.0);
                    }
                    // The end is there for whoever asks again.
                    return Some(Ok(count == room || count == 0));
                }
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => {}
                Err(e) => return Some(Err(e.into())),
            }
        }
    }

    /// Reads in a thread that sits in a seat; nothing in any other.
    fn read_here(&mut self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Option<Poll<io::Result<()>>> {
        HERE.with_borrow_mut(|here| {
            let here = here.as_mut()?;
            let at = here.watched.iter().position(|one| std::ptr::eq(one.socket.as_ptr(), Arc::as_ptr(&self.socket)));
            if at.map_or_else(|| std::mem::take(&mut here.begins), |at| here.watched.get(at).is_some_and(|one| one.readable))
                && let Some(result) = self.read_now(buf)
            {
                if let Some(at) = at {
                    // A task that waited for it before left it with the runtime.
                    self.reads = None;
                    if !matches!(result, Ok(true)) {
                        here.watched.swap_remove(at);
                    }
                }
                return Some(Poll::Ready(result.map(drop)));
            }
            match at.and_then(|at| here.watched.get_mut(at)) {
                Some(one) => {
                    one.waker.clone_from(cx.waker());
                    one.readable = false;
                }
                None => here.watched.push(Watched { socket: Arc::downgrade(&self.socket), waker: cx.waker().clone(), readable: false }),
            }
            Some(Poll::Pending)
        })
    }

    /// Reads in a task of the runtime.
    fn read_there(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.reads.is_none() {
            if let Some(result) = self.read_now(buf) {
                return Poll::Ready(result.map(drop));
            }
            self.reads = Some(told(&self.home, self.socket.clone(), Interest::READABLE)?);
        }
        loop {
            let Some(reads) = self.reads.take() else { return Poll::Pending };
            let result = self.read_once(&reads, cx, buf);
            self.reads = Some(reads);
            if let Some(result) = ready!(result) {
                return Poll::Ready(result);
            }
        }
    }

    fn read_once(&mut self, reads: &AsyncFd<Arc<OwnedFd>>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Option<io::Result<()>>> {
        let mut ready = ready!(reads.poll_read_ready(cx))?;
        let result = self.read_now(buf);
        if !matches!(result, Some(Ok(true) | Err(_))) {
            ready.clear_ready();
        }
        Poll::Ready(result.map(|result| result.map(drop)))
    }

    /// Writes what there is room for.
    fn write_now(&mut self, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            match sendmsg(&self.socket, bufs, &mut SendAncillaryBuffer::default(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {}
                result => return Poll::Ready(result.map_err(Into::into)),
            }
            let writes = match &self.writes {
                Some(writes) => writes,
                // One file cannot be registered twice.
                None => self.writes.insert(told(&self.home, self.socket.try_clone()?, Interest::WRITABLE)?),
            };
            ready!(writes.poll_write_ready(cx))?.clear_ready();
        }
    }
}

/// Has the runtime watch a socket.
fn told<S: AsRawFd>(home: &Handle, socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    let _inside = home.enter();
    // What has to be promised for the newer function needs `unsafe`: an owned socket keeps it.
    #[allow(deprecated, reason = "a socket that is owned is the same file as long as it lives")]
    AsyncFd::with_interest(socket, interest)
}

impl AsyncRead for Seated {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.read_here(cx, buf) {
            Some(result) => result,
            None => self.read_there(cx, buf),
        }
    }
}

impl AsyncWrite for Seated {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().write_now(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match shutdown(&self.socket, Shutdown::Write) {
            Err(Errno::NOTCONN) | Ok(()) => Poll::Ready(Ok(())),
            Err(e) => Poll::Ready(Err(e.into())),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.get_mut().write_now(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
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
        let (stream, mut theirs) = UnixStream::pair().unwrap();
        let server = runtime.spawn(async move {
            for _ in 0..100 {
                let question = theirs.read_u8().await.unwrap();
                theirs.write_all(&[question; 70_000]).await.unwrap();
            }
            theirs.read_u8().await.unwrap_err().kind()
        });
        let (mut ours, mut ever_watched) = (Seated::new(&stream).unwrap(), false);
        drop(stream);
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
    fn parts_of_a_call_are_woken_wherever_it_goes_on() {
        let runtime = runtime();
        let _inside = runtime.enter();
        for rounds in 0..4 {
            let (mut theirs, reads): (Vec<_>, Vec<_>) = (0..3)
                .map(|_| {
                    let (ours, theirs) = UnixStream::pair().unwrap();
                    let mut ours = Seated::new(&ours).unwrap();
                    (theirs, async move { ours.read_u8().await.unwrap() })
                })
                .unzip();
            let mut parts: futures_util::stream::FuturesUnordered<_> = reads.into_iter().collect();
            // Each round does one more of them in this thread, and the rest in a task.
            for i in (0..3).rev().take(rounds) {
                let mut seat = Seat::take();
                let mut next = std::pin::pin!(parts.next());
                assert!(seat.poll(next.as_mut()).is_pending());
                assert!(seat.watches());
                runtime.block_on(theirs[i].write_u8(i.try_into().unwrap())).unwrap();
                let part = loop {
                    seat.wait(Duration::from_secs(60));
                    if let Poll::Ready(part) = seat.poll(next.as_mut()) {
                        break part;
                    }
                };
                seat.keep();
                assert_eq!(part.map(usize::from), Some(i));
            }
            let rest = runtime.spawn(parts.collect::<Vec<_>>());
            for (i, theirs) in theirs.iter_mut().enumerate().take(3 - rounds) {
                runtime.block_on(theirs.write_u8(i.try_into().unwrap())).unwrap();
            }
            let rest = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), rest).await });
            assert_eq!(rest.unwrap().unwrap().len(), 3 - rounds);
        }
    }

    #[test]
    fn what_finds_no_room_waits_for_it() {
        let runtime = runtime();
        let _inside = runtime.enter();
        let sent: Vec<u8> = (0..5_000_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        for here in [true, false] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let mut seated = Seated::new(&ours).unwrap();
            drop(ours);
            let server = runtime.spawn(async move {
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).await.unwrap();
                all
            });
            let all = sent.clone();
            let work = async move {
                seated.write_all(&all).await.unwrap();
                seated.shutdown().await.unwrap();
            };
            if here {
                finish(work).0
            } else {
                runtime.block_on(runtime.spawn(work)).unwrap()
            }
            assert!(runtime.block_on(server).unwrap() == sent);
        }
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
