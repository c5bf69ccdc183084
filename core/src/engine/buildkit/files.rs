//! Sends a folder the way BuildKit asks for one: names and attributes first, in order, then the content of those files that
//! it lacks. Every place is reached from the open folder, part by part, and no part may be a link: so nothing outside of the
//! folder is read, also when it changes meanwhile. Links are sent as links.

use std::{
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::StreamBody;
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
};
use prost::Message;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode};
use tokio::sync::mpsc;

use super::{
    grpc::{Frames, INVALID, Messages, NOT_FOUND, UNKNOWN, failed, framed, of, trailers},
    session::Offer,
    wire::{Packet, PacketKind, Stat},
};
use crate::{
    engine::ignore::Ignore,
    error::{Error, ErrorKind, Result},
};

/// How much of a file goes in one message.
const PART: usize = 32 << 10;
/// How many messages wait to be sent.
const WAITING: usize = 16;
/// Bits of Go's `os.FileMode` that differ from the system's.
const GO_FOLDER: u32 = 1 << 31;
const GO_LINK: u32 = 1 << 27;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_STICKY: u32 = 1 << 20;

/// Where messages go out; closed when the engine has hung up.
type Out = mpsc::Sender<Frame<Bytes>>;
/// The files whose content may be asked for, by their numbers.
type Names = Arc<Mutex<Vec<Option<PathBuf>>>>;

/// Answers one request for a folder.
pub(super) fn serve(request: Request<Incoming>, offer: Arc<Offer>) -> Response<StreamBody<Frames>> {
    let (head, body) = request.into_parts();
    let name = values(&head.headers, "dir-name").into_iter().next().unwrap_or_default();
    let Some(root) = offer.folders.get(&name).cloned() else { return failed(NOT_FOUND, "no such folder") };
    let Ok(ignore) = Ignore::parse(&values(&head.headers, "exclude-patterns").join("\n")) else { return failed(INVALID, "a pattern is wrong") };
    let only = Only::new(&root, values(&head.headers, "followpaths"));
    let (out, mut parts) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let last = match send(root, ignore, only, Messages::new(body), &out).await {
            Ok(()) => trailers(0),
            Err(e) => {
                out.send(packet(PacketKind::Failure, 0, e.message().as_bytes().to_vec())).await.ok();
                // What the engine says or does is told by the build itself.
                if !matches!(e.kind(), ErrorKind::Canceled | ErrorKind::Engine) {
                    offer.keep(e);
                }
                trailers(UNKNOWN)
            }
        };
        out.send(last).await.ok();
    });
    of(futures_util::stream::poll_fn(move |cx| parts.poll_recv(cx).map(|frame| frame.map(Ok))).boxed())
}

/// The values of a header. Those that are no ASCII are escaped, and a second header says so.
fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    let escaped = headers.get(format!("{name}-encoded")).is_some_and(|v| v == "1" || v == "true");
    let text = |v: &hyper::header::HeaderValue| {
        let text = String::from_utf8_lossy(v.as_bytes()).into_owned();
        if escaped { percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned() } else { text }
    };
    headers.get_all(name).iter().map(text).collect()
}

async fn send(root: PathBuf, ignore: Ignore, only: Only, mut messages: Messages, out: &Out) -> Result<()> {
    let names = Names::default();
    let mut walker = tokio::task::spawn_blocking({
        let (root, out, names) = (root.clone(), out.clone(), names.clone());
        move || Walk { root: &root, ignore: &ignore, only: &only, out: &out, names: &names, held: Vec::new() }.all()
    });
    // Names only, and each at most once: what waits here is small.
    let (wanted, mut queue) = mpsc::unbounded_channel::<(u32, PathBuf)>();
    let mut sender = tokio::task::spawn_blocking({
        let out = out.clone();
        move || {
            let folder = open_root(&root)?;
            while let Some((id, path)) = queue.blocking_recv() {
                content(&folder, &root, &path, id, &out)?;
            }
            Ok(())
        }
    });
    let hung_up = || Error::new(ErrorKind::Canceled, "the engine no longer wants the folder");
    let asked = async {
        while let Ok(Some(message)) = messages.next().await {
            let packet = Packet::decode(message).map_err(|e| Error::new(ErrorKind::Engine, format!("what the engine asks for cannot be read: {e}")))?;
            match packet.kind() {
                PacketKind::Request => {
                    let path = names.lock().unwrap_or_else(PoisonError::into_inner).get_mut(packet.id as usize).and_then(Option::take);
                    let path = path.ok_or_else(|| Error::new(ErrorKind::Engine, "the engine asks for a file that there is not"))?;
                    wanted.send((packet.id, path)).map_err(|_| hung_up())?;
                }
                PacketKind::Finish => return Ok(()),
                PacketKind::Failure => return Err(Error::new(ErrorKind::Engine, String::from_utf8_lossy(&packet.data))),
                PacketKind::Stat | PacketKind::Data => {}
            }
        }
        Err(hung_up())
    };
    let mut asked = std::pin::pin!(asked);
    let mut walked = false;
    // What cannot be read ends it, while the engine would wait for the rest.
    loop {
        tokio::select! {
            done = &mut walker, if !walked => {
                walked = true;
                ended(done)?;
            }
            done = &mut sender => return ended(done).and_then(|()| Err(hung_up())),
            done = &mut asked => {
                done?;
                break;
            }
        }
    }
    // The engine says that it is done when it has all that it asked for.
    out.send(packet(PacketKind::Finish, 0, Vec::new())).await.map_err(|_| hung_up())
}

fn ended(done: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    done.unwrap_or_else(|e| Err(Error::internal(e.to_string())))
}

fn packet(kind: PacketKind, id: u32, data: Vec<u8>) -> Frame<Bytes> {
    Frame::data(framed(&Packet { kind: kind.into(), id, data, stat: None }))
}

fn put(out: &Out, frame: Frame<Bytes>) -> Result<()> {
    out.blocking_send(frame).map_err(|_| Error::new(ErrorKind::Canceled, "the engine no longer wants the folder"))
}

fn open_root(root: &Path) -> Result<OwnedFd> {
    rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(|e| Error::file(root, e.into()))
}

fn open_at(folder: impl AsFd, name: &Path, more: OFlags) -> rustix::io::Result<OwnedFd> {
    // What was a file may be a link or a pipe by now: neither is followed or waited for.
    rustix::fs::openat(folder, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | more, Mode::empty())
}

/// Sends one file, in parts, and its end.
fn content(folder: &OwnedFd, root: &Path, path: &Path, id: u32, out: &Out) -> Result<()> {
    let failed = |e: rustix::io::Errno| Error::file(root.join(path), e.into());
    let mut here: Option<OwnedFd> = None;
    for part in path.parent().into_iter().flat_map(Path::components) {
        let from = here.as_ref().unwrap_or(folder);
        here = Some(open_at(from, part.as_os_str().as_ref(), OFlags::DIRECTORY).map_err(failed)?);
    }
    let name = Path::new(path.file_name().unwrap_or_default());
    let mut file = File::from(open_at(here.as_ref().unwrap_or(folder), name, OFlags::empty()).map_err(failed)?);
    let meta = file.metadata().map_err(|e| Error::file(root.join(path), e))?;
    if !meta.is_file() {
        let words = format!("{}: it was changed while it was sent", root.join(path).display());
        return Err(Error::new(ErrorKind::Io, words).hint("make the same call again").retryable());
    }
    loop {
        let mut part = vec![0; PART];
        let count = match file.read(&mut part) {
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::file(root.join(path), e)),
        };
        part.truncate(count);
        put(out, packet(PacketKind::Data, id, part))?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// Tells the names of a folder, in the order that the engine checks: what is in a folder comes right after it.
struct Walk<'a> {
    root: &'a Path,
    ignore: &'a Ignore,
    only: &'a Only,
    out: &'a Out,
    names: &'a Names,
    /// Folders that stay out but for something below them: they are told once there is such a thing.
    held: Vec<Stat>,
}

impl Walk<'_> {
    fn all(mut self) -> Result<()> {
        self.folder(&open_root(self.root)?, Path::new(""))?;
        put(self.out, packet(PacketKind::Stat, 0, Vec::new()))
    }

    #[allow(clippy::useless_conversion, reason = "a mode is narrower on some systems")]
    fn folder(&mut self, folder: &OwnedFd, inner: &Path) -> Result<()> {
        let failed = |e: rustix::io::Errno, path: &Path| Error::file(self.root.join(path), e.into());
        let entries = rustix::fs::Dir::read_from(folder).map_err(|e| failed(e, inner))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| failed(e, inner))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(PathBuf::from(std::ffi::OsStr::from_bytes(name)));
            }
        }
        names.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
        for name in names {
            let path = inner.join(&name);
            if !self.only.covers(&path) {
                continue;
            }
            let stat = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| failed(e, &path))?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            let kept = !self.ignore.excludes(&path);
            let mut told = Stat {
                path: path.as_os_str().as_bytes().to_vec(),
                mode: go_mode(stat.st_mode, kind),
                size: if kind == FileType::Directory { 0 } else { stat.st_size },
                modified: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or_default()),
                link: Vec::new(),
            };
            match kind {
                FileType::Directory => {
                    if !kept && !self.ignore.may_take_back() {
                        continue;
                    }
                    let open = self.held.len();
                    self.held.push(told);
                    if kept {
                        self.tell_held()?;
                    }
                    let below = open_at(folder, &name, OFlags::DIRECTORY).map_err(|e| Error::file(self.root.join(&path), e.into()))?;
                    self.folder(&below, &path)?;
                    self.held.truncate(open);
                }
                FileType::Symlink if kept => {
                    let link = rustix::fs::readlinkat(folder, &name, Vec::new()).map_err(|e| failed(e, &path))?;
                    told.link = link.into_bytes();
                    self.tell(told, None)?;
                }
                FileType::RegularFile if kept => self.tell(told, Some(path))?,
                // Sockets, pipes and devices are no part of a context.
                _ => {}
            }
        }
        Ok(())
    }

    fn tell_held(&mut self) -> Result<()> {
        for stat in std::mem::take(&mut self.held) {
            self.one(stat, None)?;
        }
        Ok(())
    }

    fn tell(&mut self, stat: Stat, content: Option<PathBuf>) -> Result<()> {
        self.tell_held()?;
        self.one(stat, content)
    }

    fn one(&self, stat: Stat, content: Option<PathBuf>) -> Result<()> {
        // Its number is known before its name is out.
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(content);
        put(self.out, Frame::data(framed(&Packet { kind: PacketKind::Stat.into(), stat: Some(stat), ..Packet::default() })))
    }
}

/// Owners of this host stay out, so that the same files give the same layers.
#[allow(clippy::useless_conversion, reason = "modes are shorter on some systems")]
fn go_mode(mode: RawMode, kind: FileType) -> u32 {
    let mode = u32::from(mode);
    let bits = [(0o4000, GO_SETUID), (0o2000, GO_SETGID), (0o1000, GO_STICKY)];
    let special = bits.iter().filter(|(bit, _)| mode & bit != 0).map(|(_, go)| go).sum::<u32>();
    let kind = match kind {
        FileType::Directory => GO_FOLDER,
        FileType::Symlink => GO_LINK,
        _ => 0,
    };
    (mode & 0o777) | special | kind
}

/// The parts of a folder that the engine asks for; all of it when nothing is named.
struct Only(Option<Vec<PathBuf>>);

impl Only {
    /// More than what is asked for may be sent: so patterns and ways through links, which lead elsewhere in the folder, are
    /// not resolved, and all is sent.
    fn new(root: &Path, paths: Vec<String>) -> Self {
        let mut all = Vec::new();
        for path in paths {
            let plain: PathBuf = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
            let through_link = plain.ancestors().filter(|a| !a.as_os_str().is_empty()).any(|a| root.join(a).is_symlink());
            if plain.as_os_str().is_empty() || path.contains(['*', '?', '[', '\\']) || path.split('/').any(|p| p == "..") || through_link {
                return Self(None);
            }
            all.push(plain);
        }
        Self((!all.is_empty()).then_some(all))
    }

    fn covers(&self, path: &Path) -> bool {
        self.0.as_ref().is_none_or(|all| all.iter().any(|only| only.starts_with(path) || path.starts_with(only)))
    }
}
