//! One task owns an SSH session. libssh2 keeps one state for a session: opening and closing of channels must not be mixed,
//! and a channel that is dropped half closed stalls the next one. So only this task calls it, one step after the other.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use ssh2::{BlockDirections, Channel, ErrorCode};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, Interest, ReadBuf},
    sync::{mpsc, oneshot},
    time::{Instant, Sleep},
};

use super::socket::{Plain, Socket};
use crate::error::{Error, ErrorKind, Result};

/// How much one direction of a channel may hold.
const BUFFER: usize = 128 << 10;
/// So many questions whether the host is there may be without an answer.
const SILENT: u32 = 3;

/// A logged-in session. It ends with the last clone and the last channel.
#[derive(Debug, Clone)]
pub(super) struct Session {
    orders: mpsc::UnboundedSender<Order>,
    alive: Arc<AtomicBool>,
}

/// What a channel is to.
#[derive(Debug)]
enum Target {
    Socket(String),
    Command(String),
    /// A port of a host that this one can reach.
    Port(String, u16),
}

#[derive(Debug)]
struct Order {
    target: Target,
    opened: oneshot::Sender<Result<Opened>>,
}

/// What a channel gives to the one who asked for it.
#[derive(Debug)]
struct Opened {
    io: Pipe,
    errors: DuplexStream,
    exit: oneshot::Receiver<i32>,
}

/// The client's end of a channel. Dropping it closes the channel.
#[derive(Debug)]
pub(super) struct Pipe {
    io: DuplexStream,
    _held: oneshot::Sender<()>,
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn lost(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unreachable, format!("the SSH session was lost: {why}")).hint("the same call can be made again")
}

impl Session {
    /// Hands a session over to a task of its own, which asks every `alive` whether the host is there.
    pub(super) fn start(session: ssh2::Session, stream: Plain, alive: Duration) -> Result<Self> {
        session.set_blocking(false);
        session.set_keepalive(true, u32::try_from(alive.as_secs()).unwrap_or(u32::MAX).max(1));
        let socket = Socket::new(stream).map_err(lost)?;
        let every = alive.max(Duration::from_secs(1));
        let (orders, receiver) = mpsc::unbounded_channel();
        let alive = Arc::new(AtomicBool::new(true));
        let actor = Actor {
            session,
            socket: Arc::new(socket),
            orders: receiver,
            waiting: VecDeque::new(),
            opening: None,
            channels: Vec::new(),
            closing: VecDeque::new(),
            stuck: None,
            next: 0,
            tick: Box::pin(tokio::time::sleep(every)),
            every,
            heard: Instant::now(),
            over: false,
            alive: alive.clone(),
        };
        tokio::spawn(actor);
        Ok(Self { orders, alive })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed) && !self.orders.is_closed()
    }

    async fn open(&self, target: Target) -> Result<Opened> {
        let (opened, answer) = oneshot::channel();
        self.orders.send(Order { target, opened }).map_err(|_| lost("it has ended"))?;
        answer.await.map_err(|_| lost("it has ended"))?
    }

    /// A stream to a Unix socket on the host.
    pub(super) async fn socket(&self, path: &str) -> Result<Pipe> {
        Ok(self.open(Target::Socket(path.to_owned())).await?.io)
    }

    /// A stream to a port of a host that this one can reach.
    pub(super) async fn port(&self, host: &str, port: u16) -> Result<Pipe> {
        Ok(self.open(Target::Port(host.to_owned(), port)).await?.io)
    }

    /// A stream to the standard input and output of a command.
    pub(super) async fn command(&self, command: &str) -> Result<Pipe> {
        Ok(self.open(Target::Command(command.to_owned())).await?.io)
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, command: &str, stdin: Vec<u8>) -> Result<(i32, Vec<u8>, Vec<u8>)> {
        let Opened { io, mut errors, exit } = self.open(Target::Command(command.to_owned())).await?;
        let (mut reader, mut writer) = tokio::io::split(io);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let feed = async {
            // A command that does not read its input is no error.
            writer.write_all(&stdin).await.ok();
            writer.shutdown().await.ok();
            Ok(0)
        };
        futures_util::try_join!(feed, reader.read_to_end(&mut out), errors.read_to_end(&mut err)).map_err(lost)?;
        let code = exit.await.map_err(|_| lost("the command's end was not told"))?;
        Ok((code, out, err))
    }
}

/// One direction of a channel: what was read and is not yet written.
#[derive(Default)]
struct Pending {
    data: Vec<u8>,
    at: usize,
    /// The source has ended.
    ended: bool,
    /// The end was told on.
    told: bool,
}

impl Pending {
    fn rest(&self) -> &[u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.at >= self.data.len()
    }

    fn fill(&mut self, data: &[u8]) {
        self.data.clear();
        self.data.extend_from_slice(data);
        self.at = 0;
    }
}

struct Live {
    id: u64,
    channel: Channel,
    io: DuplexStream,
    errors: DuplexStream,
    exit: oneshot::Sender<i32>,
    is_command: bool,
    to_host: Pending,
    from_host: Pending,
    from_errors: Pending,
    /// Ends when the client drops its end.
    held: Option<oneshot::Receiver<()>>,
    dropped: bool,
}

/// A channel on its way out.
struct Closing {
    channel: Channel,
    exit: Option<oneshot::Sender<i32>>,
    told: bool,
}

/// A call that could send only a part: libssh2 must get the same call again before any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stuck {
    Open,
    Close,
    Channel(u64),
}

struct Actor {
    session: ssh2::Session,
    socket: Arc<Socket>,
    orders: mpsc::UnboundedReceiver<Order>,
    waiting: VecDeque<Order>,
    /// What is being opened; a command's channel is there before its command runs.
    opening: Option<(Order, Option<Channel>)>,
    channels: Vec<Live>,
    closing: VecDeque<Closing>,
    stuck: Option<Stuck>,
    next: u64,
    tick: Pin<Box<Sleep>>,
    every: Duration,
    /// When the host last sent anything.
    heard: Instant,
    over: bool,
    alive: Arc<AtomicBool>,
}

/// What one step came to.
enum Step {
    Done,
    /// Nothing can be done before more comes.
    Wait,
    /// A part was sent, and the socket takes no more.
    Stuck,
}

const AGAIN: ErrorCode = ErrorCode::Session(-37);

/// Whether an error is of the session and not of one channel.
fn is_fatal(code: ErrorCode) -> bool {
    // Socket, disconnect, protocol and memory errors of libssh2.
    matches!(code, ErrorCode::Session(-1 | -6 | -7 | -12 | -13 | -14 | -30 | -43))
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}

impl Future for Actor {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        let socket = me.socket.clone();
        loop {
            let readable = socket.poll_read_ready(cx).is_ready();
            let writable = me.stuck.is_some() && socket.poll_write_ready(cx).is_ready();
            let mut result = Ok(());
            let spent = || std::io::Error::from(std::io::ErrorKind::WouldBlock);
            // The readiness is taken before the work and given up after it: what comes meanwhile is not lost.
            if readable {
                me.heard = Instant::now();
                socket
                    .try_io(Interest::READABLE, || {
                        result = me.work(cx);
                        Err::<(), _>(spent())
                    })
                    .ok();
            } else if writable {
                let work = || {
                    result = me.work(cx);
                    if me.stuck.is_some() { Err(spent()) } else { Ok(()) }
                };
                socket.try_io(Interest::WRITABLE, work).ok();
            } else {
                result = me.work(cx);
            }
            let idle = me.channels.is_empty() && me.closing.is_empty() && me.opening.is_none() && me.waiting.is_empty();
            if result.is_err() || (me.over && idle) {
                return Poll::Ready(());
            }
            // It may have become stuck just now: then the wait for the socket must be told.
            let go_on = me.stuck.is_some() && !writable && socket.poll_write_ready(cx).is_ready();
            if !readable && !writable && !go_on {
                return Poll::Pending;
            }
        }
    }
}

impl Actor {
    /// Does all that can be done now.
    fn work(&mut self, cx: &mut Context<'_>) -> Result<()> {
        while let (false, Poll::Ready(order)) = (self.over, self.orders.poll_recv(cx)) {
            match order {
                Some(order) => self.waiting.push_back(order),
                None => self.over = true,
            }
        }
        while self.tick.as_mut().poll(cx).is_ready() {
            if self.stuck.is_none()
                && let Err(e) = self.session.keepalive_send()
                && is_fatal(e.code())
            {
                return Err(lost(e.message()));
            }
            if self.heard.elapsed() > self.every * SILENT {
                return Err(lost("the host does not answer any more"));
            }
            self.tick.as_mut().reset(Instant::now() + self.every);
        }
        loop {
            let mut progress = false;
            if self.may(Stuck::Open) && (self.opening.is_some() || self.closing.is_empty()) {
                progress |= self.note(Stuck::Open, Self::open)?;
            }
            if self.may(Stuck::Close) && self.opening.is_none() {
                progress |= self.note(Stuck::Close, Self::close)?;
            }
            let ids: Vec<u64> = self.channels.iter().map(|c| c.id).collect();
            for id in ids {
                if self.may(Stuck::Channel(id)) {
                    progress |= self.note(Stuck::Channel(id), |me| me.pump(id, cx))?;
                }
            }
            self.retire();
            if !progress {
                return Ok(());
            }
        }
    }

    /// Whether this call may be made: none, or this one, was cut short.
    fn may(&self, call: Stuck) -> bool {
        self.stuck.is_none_or(|s| s == call)
    }

    /// Makes a step, and remembers when it was cut short. Gives whether it came forward.
    fn note(&mut self, call: Stuck, step: impl FnOnce(&mut Self) -> Result<Step>) -> Result<bool> {
        let result = step(self)?;
        self.stuck = matches!(result, Step::Stuck).then_some(call);
        Ok(matches!(result, Step::Done))
    }

    fn blocked(&self) -> Step {
        if matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both) { Step::Stuck } else { Step::Wait }
    }

    fn open(&mut self) -> Result<Step> {
        let Some((order, channel)) = self.opening.take().or_else(|| self.waiting.pop_front().map(|o| (o, None))) else {
            return Ok(Step::Wait);
        };
        let result = match (&order.target, channel) {
            (Target::Socket(path), _) => self.session.channel_direct_streamlocal(path, None).map(|c| (c, false)),
            (Target::Port(host, port), _) => self.session.channel_direct_tcpip(host, *port, None).map(|c| (c, false)),
            (Target::Command(_), None) => self.session.channel_session().map(|c| (c, true)),
            (Target::Command(command), Some(mut channel)) => match channel.exec(command) {
                Ok(()) => Ok((channel, false)),
                Err(e) if e.code() == AGAIN => {
                    self.opening = Some((order, Some(channel)));
                    return Ok(self.blocked());
                }
                Err(e) => Err(e),
            },
        };
        match result {
            // The channel is there, and its command is next.
            Ok((channel, true)) => {
                self.opening = Some((order, Some(channel)));
                Ok(Step::Done)
            }
            Ok((channel, false)) => {
                self.opened(order, channel);
                Ok(Step::Done)
            }
            Err(e) if e.code() == AGAIN => {
                self.opening = Some((order, None));
                Ok(self.blocked())
            }
            Err(e) if is_fatal(e.code()) => Err(lost(e.message())),
            Err(e) => {
                let (what, hint) = match &order.target {
                    Target::Socket(path) => {
                        (format!("its socket {path}"), "check that the engine runs there, and that the user may use its socket (group docker)")
                    }
                    Target::Command(_) => ("a command".to_owned(), "check that the user has a shell there"),
                    Target::Port(host, port) => (format!("a way to {host}:{port}"), "check that it can be reached from there, and that sshd forwards"),
                };
                let refused = Error::new(ErrorKind::Unreachable, format!("the host did not open {what}: {}", e.message())).hint(hint);
                order.opened.send(Err(refused)).ok();
                Ok(Step::Done)
            }
        }
    }

    fn opened(&mut self, order: Order, channel: Channel) {
        let (client, io) = tokio::io::duplex(BUFFER);
        let (client_errors, errors) = tokio::io::duplex(BUFFER);
        let (exit, exited) = oneshot::channel();
        let (holding, held) = oneshot::channel();
        self.next += 1;
        self.channels.push(Live {
            id: self.next,
            channel,
            io,
            errors,
            exit,
            is_command: matches!(order.target, Target::Command(_)),
            to_host: Pending::default(),
            from_host: Pending::default(),
            from_errors: Pending::default(),
            held: Some(held),
            dropped: false,
        });
        // Where nobody waits any more, the client's end is dropped here, and the channel is closed next.
        order.opened.send(Ok(Opened { io: Pipe { io: client, _held: holding }, errors: client_errors, exit: exited })).ok();
    }

    fn close(&mut self) -> Result<Step> {
        let Some(mut closing) = self.closing.pop_front() else { return Ok(Step::Wait) };
        let result = if closing.told { closing.channel.wait_close() } else { closing.channel.close() };
        match result {
            Ok(()) if !closing.told => {
                closing.told = true;
                self.closing.push_front(closing);
            }
            Err(e) if e.code() == AGAIN => {
                self.closing.push_front(closing);
                return Ok(self.blocked());
            }
            Err(e) if is_fatal(e.code()) => return Err(lost(e.message())),
            _ => {
                if let (Some(exit), Ok(code)) = (closing.exit, closing.channel.exit_status()) {
                    exit.send(code).ok();
                }
            }
        }
        Ok(Step::Done)
    }

    /// Moves data of one channel, in all directions.
    fn pump(&mut self, id: u64, cx: &mut Context<'_>) -> Result<Step> {
        let Some(live) = self.channels.iter_mut().find(|c| c.id == id) else { return Ok(Step::Wait) };
        if live.held.as_mut().is_some_and(|held| Pin::new(held).poll(cx).is_ready()) {
            live.held = None;
            // A command that nobody listens to any more runs to its end.
            if !live.is_command {
                live.dropped = true;
                return Ok(Step::Done);
            }
        }
        let mut came = live.take_from_client(cx);
        came |= live.give_to_client(cx);
        for step in [Live::write, Live::read, Live::read_errors] {
            match step(live) {
                Ok(moved) => came |= moved,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    if matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both) {
                        return Ok(Step::Stuck);
                    }
                }
                Err(_) if self.session.block_directions() == BlockDirections::None && live.channel.eof() => live.dropped = true,
                Err(e) => return Err(lost(e)),
            }
        }
        came |= live.give_to_client(cx);
        Ok(if came { Step::Done } else { Step::Wait })
    }

    /// Channels that are at their end go to be closed.
    fn retire(&mut self) {
        let (done, live): (Vec<Live>, Vec<Live>) =
            std::mem::take(&mut self.channels).into_iter().partition(|c| c.dropped || (c.from_host.told && (c.from_errors.told || !c.is_command)));
        self.channels = live;
        self.closing.extend(done.into_iter().map(|c| Closing { channel: c.channel, exit: Some(c.exit), told: false }));
    }
}

impl Live {
    /// Takes what the client wrote.
    fn take_from_client(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.to_host.is_empty() || self.to_host.ended {
            return false;
        }
        let mut space = [0; 32 << 10];
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.to_host.fill(buffer.filled()),
            Poll::Ready(_) => self.to_host.ended = true,
            Poll::Pending => return false,
        }
        true
    }

    /// Gives the client what came for it.
    fn give_to_client(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for (pending, pipe) in [(&mut self.from_host, &mut self.io), (&mut self.from_errors, &mut self.errors)] {
            while !pending.is_empty() {
                match Pin::new(&mut *pipe).poll_write(cx, pending.rest()) {
                    Poll::Ready(Ok(n)) => pending.at += n,
                    // Nobody reads it.
                    Poll::Ready(Err(_)) => pending.at = pending.data.len(),
                    Poll::Pending => break,
                }
                moved = true;
            }
            if pending.ended && pending.is_empty() && !pending.told && Pin::new(&mut *pipe).poll_shutdown(cx).is_ready() {
                pending.told = true;
                moved = true;
            }
        }
        moved
    }

    fn write(&mut self) -> std::io::Result<bool> {
        let mut moved = false;
        while !self.to_host.is_empty() {
            self.to_host.at += self.channel.write(self.to_host.rest())?;
            moved = true;
        }
        if self.to_host.ended && !self.to_host.told {
            self.channel
                .send_eof()
                .map_err(|e| if e.code() == AGAIN { std::io::ErrorKind::WouldBlock.into() } else { std::io::Error::other(e.to_string()) })?;
            self.to_host.told = true;
            moved = true;
        }
        Ok(moved)
    }

    fn read(&mut self) -> std::io::Result<bool> {
        if !self.from_host.is_empty() || self.from_host.ended {
            return Ok(false);
        }
        let mut space = [0; 32 << 10];
        let n = self.channel.read(&mut space)?;
        if n == 0 {
            self.from_host.ended = self.channel.eof();
            return Ok(self.from_host.ended);
        }
        self.from_host.fill(space.get(..n).unwrap_or_default());
        Ok(true)
    }

    fn read_errors(&mut self) -> std::io::Result<bool> {
        if !self.is_command || !self.from_errors.is_empty() || self.from_errors.ended {
            return Ok(false);
        }
        let mut space = [0; 8 << 10];
        let n = self.channel.stderr().read(&mut space)?;
        if n == 0 {
            self.from_errors.ended = self.channel.eof();
            return Ok(self.from_errors.ended);
        }
        self.from_errors.fill(space.get(..n).unwrap_or_default());
        Ok(true)
    }
}
