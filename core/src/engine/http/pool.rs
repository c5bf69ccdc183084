//! Connections that are used again.
//!
//! A connection is driven by the call that uses it, in that call's own task: handing each answer from a task of the
//! connection to the task of the call would cost two switches between threads, more than an engine takes for a short answer.

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use hyper::{
    Request, Response,
    body::{Body as _, Incoming},
    client::conn::http1::{self, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{runtime, task::JoinSet};

use super::{AnswerBody, Body, upgraded::Upgraded};
use crate::{
    call::BoxFuture,
    error::{Error, Result},
    transport::Io,
};

/// How long a connection may wait for its next call.
const IDLE: Duration = Duration::from_secs(30);
/// How many connections wait for their next call.
const KEPT: usize = 32;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There was no connection.
    Dial(Error),
    /// The connection broke, or what came is not HTTP.
    Http(hyper::Error),
    /// The connection, or the runtime that drove it, ended without an answer.
    Ended,
    /// No answer began within this time.
    Silent(Duration),
}

/// Why there is no answer, and the request when it never left.
type Unanswered = (Failure, Option<Request<Body>>);

/// From how many bytes on a request's body is sent by a task of its own.
const LARGE: u64 = 256 << 10;

fn is_large(body: &Body) -> bool {
    body.size_hint().upper().is_none_or(|size| size > LARGE)
}

/// The connections of one engine.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    #[expect(clippy::vec_box, reason = "they go in and out with every call")]
    idle: Mutex<Vec<Box<Link>>>,
    /// How often its connections were closed: those from before that are in use now do not come back.
    closings: AtomicU64,
}

/// One connection: where requests go in, and what moves them. It is large, and handed on in a box.
pub(super) struct Link {
    sender: SendRequest<Body>,
    driver: Connection<TokioIo<Box<dyn Io>>, Body>,
    /// The runtime whose threads watch the socket: another one may be gone, or not running, when the connection is next used.
    home: runtime::Id,
    since: Instant,
    /// The pool's closings before it.
    closings: u64,
    /// Whether an answer came through it before.
    proven: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    async fn new(io: Box<dyn Io>, closings: u64) -> hyper::Result<Box<Self>> {
        let (sender, driver) = http1::handshake(TokioIo::new(io)).await?;
        Ok(Box::new(Self { sender, driver, home: runtime::Handle::current().id(), since: Instant::now(), closings, proven: false }))
    }

    /// Moves bytes in both directions as far as they go; ready when the connection is over.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.driver.poll_without_shutdown(cx)
    }

    /// Whether the next request can be sent now.
    fn is_free(&mut self) -> bool {
        // The driver takes a step for each of: the answer's end, and asking for the next request.
        let mut cx = Context::from_waker(Waker::noop());
        self.drive(&mut cx).is_pending() && (self.sender.is_ready() || (self.drive(&mut cx).is_pending() && self.sender.is_ready()))
    }

    /// Sends a request and gives the answer's beginning. A request that never left comes back with the error.
    async fn ask(&mut self, request: Request<Body>) -> std::result::Result<Response<Incoming>, Unanswered> {
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        let result = poll_fn(|cx| {
            // The answer comes out of the driver alone, here: it need not wake this task, which would then be polled in vain.
            let mut unwoken = Context::from_waker(Waker::noop());
            if let Poll::Ready(result) = answer.as_mut().poll(&mut unwoken) {
                return Poll::Ready(Some(result));
            }
            let over = self.driver.poll_without_shutdown(cx).is_ready();
            match answer.as_mut().poll(&mut unwoken) {
                Poll::Pending if over => Poll::Ready(None),
                result => result.map(Some),
            }
        })
        .await;
        let Some(result) = result else { return Err((Failure::Ended, None)) };
        self.proven = result.is_ok();
        result.map_err(|mut e| {
            let unsent = e.take_message();
            (Failure::Http(e.into_error()), unsent)
        })
    }

    /// Takes the stream over for another protocol, once the engine has agreed to it.
    pub(super) async fn upgrade(mut self: Box<Self>) -> hyper::Result<Box<dyn Io>> {
        poll_fn(|cx| self.drive(cx)).await?;
        let parts = self.driver.into_parts();
        Ok(Box::new(Upgraded::new(parts.read_buf, parts.io.into_inner())))
    }

    /// Drives the connection in a task of its own until the answer has been read, for those who take hyper's own body.
    pub(super) fn detach(mut self: Box<Self>, pool: Arc<Pool>) {
        tokio::spawn(async move {
            let free = poll_fn(|cx| match self.drive(cx) {
                Poll::Ready(_) => Poll::Ready(false),
                Poll::Pending => self.sender.poll_ready(cx).map(|r| r.is_ok()),
            })
            .await;
            if free {
                pool.keep(self);
            }
        });
    }
}

/// The same request, where it has no body.
fn again(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(Body::Left(http_body_util::Full::default()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

impl Pool {
    /// Sends a request over a connection that waits, or over a new one.
    ///
    /// A connection that waited may have been closed by the other side just now. A request that never left it, or that only
    /// asks, is then sent once more over a new one. From the moment that there is a connection, the answer must begin within `limit`.
    pub(crate) async fn request(
        self: &Arc<Self>,
        dial: impl Fn() -> BoxFuture<Result<Box<dyn Io>>>,
        request: Request<Body>,
        limit: Option<Duration>,
    ) -> std::result::Result<Response<AnswerBody>, Failure> {
        let Some(link) = self.take() else { return self.fresh(dial, request, limit).await };
        let spare = request.method().is_safe().then(|| again(&request));
        match self.soon(link, request, limit).await {
            // What cannot be read may be left over from the answer before, which was longer than it said.
            Err((Failure::Http(e), unsent)) if !e.is_user() => match unsent.or(spare) {
                Some(request) => self.fresh(dial, request, limit).await,
                None => Err(Failure::Http(e)),
            },
            result => result.map_err(|(failure, _)| failure),
        }
    }

    async fn fresh(
        self: &Arc<Self>,
        dial: impl Fn() -> BoxFuture<Result<Box<dyn Io>>>,
        request: Request<Body>,
        limit: Option<Duration>,
    ) -> std::result::Result<Response<AnswerBody>, Failure> {
        let closings = self.closings.load(SeqCst);
        let io = dial().await.map_err(Failure::Dial)?;
        let link = Link::new(io, closings).await.map_err(Failure::Http)?;
        self.soon(link, request, limit).await.map_err(|(failure, _)| failure)
    }

    /// Sends a request over `link`, whose answer must begin within `limit`.
    async fn soon(self: &Arc<Self>, link: Box<Link>, request: Request<Body>, limit: Option<Duration>) -> std::result::Result<Response<AnswerBody>, Unanswered> {
        match limit {
            None => self.over(link, request).await,
            Some(limit) => tokio::time::timeout(limit, self.over(link, request)).await.unwrap_or(Err((Failure::Silent(limit), None))),
        }
    }

    /// Sends a request over `link`.
    async fn over(self: &Arc<Self>, mut link: Box<Link>, request: Request<Body>) -> std::result::Result<Response<AnswerBody>, Unanswered> {
        let is_upgrade = request.headers().contains_key(hyper::header::UPGRADE);
        let answer = if is_large(request.body()) {
            // A socket takes little at a time. A task that the runtime's own threads poll goes on with the next part without
            // waking the thread of the caller.
            let mut task = JoinSet::new();
            task.spawn(async move { (link.ask(request).await, link) });
            let (answer, back) = task.join_next().await.and_then(std::result::Result::ok).ok_or((Failure::Ended, None))?;
            link = back;
            answer?
        } else {
            link.ask(request).await?
        };
        // An engine closes a connection whose upgrade it refuses, and does not say so.
        link.proven &= !is_upgrade;
        Ok(answer.map(|incoming| AnswerBody::new(incoming, link, self.clone())))
    }

    /// A connection that can be used here and now. Those that are over or too old are dropped.
    fn take(&self) -> Option<Box<Link>> {
        let here = runtime::Handle::current().id();
        loop {
            let mut link = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.retain(|l| l.since.elapsed() < IDLE);
                let at = idle.iter().rposition(|l| l.home == here)?;
                idle.remove(at)
            };
            if link.is_free() {
                return Some(link);
            }
        }
    }

    /// Closes the connections that wait, and those in use when they are free.
    pub(crate) fn close(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.closings.fetch_add(1, SeqCst);
        idle.clear();
    }

    /// Takes a connection back whose answer has been read.
    pub(super) fn keep(&self, mut link: Box<Link>) {
        if !link.proven || !link.is_free() {
            return;
        }
        link.since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if link.closings != self.closings.load(SeqCst) {
            return;
        }
        if idle.len() >= KEPT {
            idle.remove(0);
        }
        idle.push(link);
    }
}
