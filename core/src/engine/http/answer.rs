//! An answer's body: reading it moves the connection that it comes from.

use std::{
    cell::Cell,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, task::AtomicWaker};
use http_body_util::BodyExt;
use hyper::{
    Response,
    body::{Body, Frame, Incoming},
};

use super::{Pool, pool::Link};
use crate::{
    error::{Error, ErrorKind, Result},
    transport::{Io, Seat},
};

/// The body of an answer. Dropped before its end, its connection is closed.
pub(crate) struct AnswerBody {
    /// There until it is given away.
    incoming: Option<Incoming>,
    link: Option<Box<Link>>,
    /// What the connection wakes.
    reader: Arc<Reader>,
    waker: Waker,
    pool: Arc<Pool>,
}

thread_local! {
    /// Whether this thread asks a body for its next part.
    static ASKS: Cell<bool> = const { Cell::new(false) };
}

/// The task that reads an answer.
///
/// Asking for a part wakes whoever moves the connection. That is the same task, which moves it next: woken, it would be
/// polled once more in vain, and a second thread of the runtime with it.
#[derive(Default)]
struct Reader(AtomicWaker);

impl Wake for Reader {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !ASKS.get() {
            self.0.wake();
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerBody")
    }
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, link: Box<Link>, pool: Arc<Pool>) -> Self {
        let reader = Arc::<Reader>::default();
        Self { incoming: Some(incoming), link: Some(link), waker: reader.clone().into(), reader, pool }
    }

    /// hyper's own body, whose connection is driven by a task of its own.
    pub(crate) fn detach(mut self) -> Option<Incoming> {
        if let Some(link) = self.link.take() {
            link.detach(self.pool.clone());
        }
        self.incoming.take()
    }

    /// The stream itself, for another protocol that the engine has agreed to.
    pub(crate) async fn upgrade(mut self) -> Option<hyper::Result<Box<dyn Io>>> {
        let link = self.link.take()?;
        Some(link.upgrade().await)
    }

    /// A part that has come; the connection is given back with the last.
    fn part(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        // Parts come out of the driver alone, in this task: they need not wake it.
        let mut unwoken = Context::from_waker(Waker::noop());
        ASKS.set(true);
        let frame = Pin::new(incoming).poll_frame(if self.link.is_some() { &mut unwoken } else { cx });
        ASKS.set(false);
        match &frame {
            Poll::Ready(None) => {
                if let Some(link) = self.link.take() {
                    self.pool.keep(link);
                }
            }
            Poll::Ready(Some(Err(_))) => self.link = None,
            _ => {}
        }
        frame
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.incoming.as_ref().is_some_and(Body::is_end_stream)
            && let Some(link) = self.link.take()
        {
            self.pool.keep(link);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        loop {
            if let Poll::Ready(frame) = self.part(cx) {
                return Poll::Ready(frame);
            }
            let Self { link: Some(link), reader, waker, .. } = &mut *self else { return Poll::Pending };
            // A thread that waits for its own call is not woken by another.
            let moves = if Seat::is_taken() {
                link.drive(cx)
            } else {
                reader.0.register(cx.waker());
                link.drive(&mut Context::from_waker(waker))
            };
            if moves.is_pending() {
                return self.part(cx);
            }
            // The connection is over; the body knows how it ended.
            self.link = None;
        }
    }
}

/// Reads an answer to its end, so that its connection can be used again. One that falls silent is not waited for any longer:
/// what was asked for is done, and its connection is closed.
pub(crate) async fn drain(response: Response<AnswerBody>, silence: Option<Duration>) {
    let mut body = response.into_body();
    loop {
        let frame = match silence {
            None => body.frame().await,
            Some(limit) => tokio::time::timeout(limit, body.frame()).await.unwrap_or_default(),
        };
        if !matches!(frame, Some(Ok(_))) {
            return;
        }
    }
}

/// The error for an answer that was silent for so long.
pub(crate) fn fell_silent(limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("the engine's answer stopped for {}", crate::units::go_duration(limit)))
        .hint("check that the engine is not stuck; the same call can be made again")
}

/// Reads a whole answer, which may be so long, and silent for so long.
pub(crate) async fn collect(response: Response<AnswerBody>, limit: usize, silence: Option<Duration>) -> Result<Bytes> {
    let mut stream = response.into_body().into_data_stream();
    let mut first: Option<Bytes> = None;
    let mut rest = Vec::new();
    loop {
        let next = match silence {
            None => stream.next().await,
            Some(limit) => tokio::time::timeout(limit, stream.next()).await.map_err(|_| fell_silent(limit))?,
        };
        let Some(chunk) = next else { break };
        let chunk =
            chunk.map_err(|e| Error::new(ErrorKind::Unreachable, format!("the connection was lost: {e}")).hint("the same call can be made again").source(e))?;
        match (&first, rest.is_empty()) {
            (None, _) => first = Some(chunk),
            (Some(head), true) => {
                rest.extend_from_slice(head);
                rest.extend_from_slice(&chunk);
            }
            _ => rest.extend_from_slice(&chunk),
        }
        if rest.len() > limit {
            return Err(Error::new(ErrorKind::Engine, "the engine's answer is too long"));
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.into() })
}

/// How many bytes are gathered before they go on.
const GATHER: usize = 64 << 10;
/// A part of this size goes on as it is.
const LARGE: usize = 16 << 10;

/// The same bytes in larger parts. An engine writes each line of a log as a chunk of its own; each would wake the reader.
pub(crate) fn gathered(parts: impl Stream<Item = Result<Bytes>> + Send + Unpin + 'static) -> impl Stream<Item = Result<Bytes>> + Send {
    Gathered { parts, held: BytesMut::new(), next: None }
}

struct Gathered<S> {
    parts: S,
    held: BytesMut,
    /// What goes on after the bytes that are held: a large part, an error, or the end.
    next: Option<Option<Result<Bytes>>>,
}

impl<S: Stream<Item = Result<Bytes>> + Unpin> Stream for Gathered<S> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let me = &mut *self;
        while me.held.len() < GATHER && me.next.is_none() {
            match me.parts.poll_next_unpin(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(part))) if part.len() < LARGE => {
                    if me.held.capacity() < part.len() {
                        me.held.reserve(GATHER);
                    }
                    me.held.extend_from_slice(&part);
                }
                Poll::Ready(other) => me.next = Some(other),
            }
        }
        if !me.held.is_empty() {
            return Poll::Ready(Some(Ok(me.held.split().freeze())));
        }
        match me.next.take() {
            None => Poll::Pending,
            Some(last @ (None | Some(Err(_)))) => {
                // After an error there is nothing more; the end stays.
                me.next = Some(None);
                Poll::Ready(last)
            }
            Some(part) => Poll::Ready(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use http_body_util::Full;
    use hyper::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{call::BoxFuture, engine::http::Body as Sent};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[tokio::test]
    async fn a_reader_is_woken_by_what_comes_and_not_by_its_own_asking() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let ours = Mutex::new(Some(Box::new(ours) as Box<dyn Io>));
        let dial = || {
            let io = ours.lock().unwrap().take().unwrap();
            Box::pin(async move { Ok(io) }) as BoxFuture<_>
        };
        let request = Request::builder().uri("/logs").header("host", "engine").body(Sent::Left(Full::default())).unwrap();
        let pool = Arc::new(Pool::default());
        let (answer, ()) = tokio::join!(pool.request(dial, request, None), async {
            theirs.read_u8().await.unwrap();
            theirs.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        });
        let mut body = answer.unwrap().into_body();
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        for _ in 0..50 {
            assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
            assert_eq!(wakes.0.swap(0, SeqCst), 0);
            theirs.write_all(b"3\r\nabc\r\n").await.unwrap();
            assert_eq!(wakes.0.swap(0, SeqCst), 1);
            assert!(matches!(Pin::new(&mut body).poll_frame(&mut cx), Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(|d| d == "abc")));
            assert_eq!(wakes.0.swap(0, SeqCst), 0);
        }
        theirs.write_all(b"0\r\n\r\n").await.unwrap();
        assert!(matches!(Pin::new(&mut body).poll_frame(&mut cx), Poll::Ready(None)));
    }
}
