//! A socket that the thread which waits for it can read itself.
//!
//! Each thing that a runtime is told of wakes one of its threads. So it is told of a socket only when a task waits for it, and
//! of room for writing only when that has to be waited for.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, sendmsg, shutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd},
    runtime::Handle,
};

use super::seat;

/// The least that is read at once.
const LEAST: usize = 8 << 10;
/// The most that is read at once.
const MOST: usize = 64 << 10;

/// A socket as a stream.
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
        Ok(Self { socket, home: Handle::current(), reads: None, writes: None, part: LEAST })
    }

    /// Reads in a task of the runtime.
    fn read_there(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { socket, home, reads, part, .. } = self;
        let reads = match reads {
            Some(reads) => reads,
            None => {
                if let Some(result) = read_now(socket, part, buf) {
                    return Poll::Ready(result.map(drop));
                }
                reads.insert(told(home, socket.clone(), Interest::READABLE)?)
            }
        };
        loop {
            let mut ready = ready!(reads.poll_read_ready(cx))?;
            let result = read_now(socket, part, buf);
            if !matches!(result, Some(Ok(true) | Err(_))) {
                ready.clear_ready();
            }
            if let Some(result) = result {
                return Poll::Ready(result.map(drop));
            }
        }
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

/// Reads what is there, and says whether there may be more; nothing when nothing is there yet.
fn read_now(socket: &OwnedFd, part: &mut usize, buf: &mut ReadBuf<'_>) -> Option<io::Result<bool>> {
    let room = buf.remaining().min(*part);
    loop {
        match recv(socket, buf.initialize_unfilled_to(room), RecvFlags::DONTWAIT) {
            Ok((count, _)) => {
                buf.advance(count);
                if count == room {
                    *part = (room * 2).clamp(LEAST, MOST);
                } else if count < room / 4 {
                    *part = (room / 2).max(LEAST);
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

/// Has the runtime watch a socket.
fn told<S: AsRawFd>(home: &Handle, socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    let _inside = home.enter();
    // What has to be promised for the newer function needs `unsafe`: an owned socket keeps it.
    #[allow(deprecated, reason = "a socket that is owned is the same file as long as it lives")]
    AsyncFd::with_interest(socket, interest)
}

impl AsyncRead for Seated {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let Some(result) = seat::read(&me.socket, cx, || read_now(&me.socket, &mut me.part, buf)) else { return me.read_there(cx, buf) };
        if result.is_ready() {
            // A task that waited for it before left it with the runtime.
            me.reads = None;
        }
        result
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

    use std::time::Duration;

    use super::*;
    use crate::transport::Seat;

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
