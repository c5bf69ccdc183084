//! Files in and out of containers, as `docker cp` copies them. Only uncompressed tar is sent to the engine, and what comes out
//! is unpacked inside its target only.

#![cfg_attr(windows, allow(dead_code, reason = "what copies need is there, but no copies are made"))]

#[cfg(windows)]
#[path = "elsewhere.rs"]
mod here;
#[cfg(unix)]
mod here;
mod place;
mod stream;
mod tar;

use std::{io::Read, path::PathBuf};

use base64::Engine as _;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    Req,
    container::{Container, missing},
    images::source,
    system::text,
};
use crate::{
    call::{Call, NoOptions, options},
    error::{Error, ErrorKind, Result},
    stream::Streaming,
    units::{Data, Size},
};
use place::{Source, Spot, Target};

/// Default of how many bytes a copy out of a container may hold: 256 GiB.
const BYTES: u64 = 256 << 30;
/// Default of how many files a copy out of a container may hold.
const ENTRIES: u64 = 5_000_000;

options! {
    /// Options of [`Container::put_archive`]: the archive is an uncompressed tar, from one source.
    pub struct PutArchive {
        /// The archive, as bytes.
        pub data: Option<Data>,
        /// The archive, as a file.
        pub file: Option<PathBuf>,
        /// Fails when a folder would take the place of a file, or a file of a folder, as `docker cp` does.
        pub no_overwrite: bool,
        /// Gives what is unpacked to the container's own user, where it has one; default: to the owners that the archive names.
        pub keep_owner: bool,
    }
}

options! {
    /// Options of [`Container::copy_to`].
    pub struct CopyTo {
        /// Copies what a link leads to, where the source is a link; default: the link.
        pub follow_link: bool,
        /// As `docker cp --archive`: what is copied belongs to the container's own user, where it has one. Default: to the owners,
        /// by number, that it has on this host.
        pub archive: bool,
    }
}

options! {
    /// Options of [`Container::copy_from`].
    pub struct CopyFrom {
        /// Copies what a link leads to, where the source is a link; default: the link.
        pub follow_link: bool,
        /// Keeps the owners, by number, that the files have in the container, which only root may; default: they belong to the
        /// caller.
        pub archive: bool,
        /// The most that the files may hold together; default: 256 GiB.
        pub max_bytes: Option<Size>,
        /// The most files and folders that may come; default: 5,000,000.
        pub max_entries: Option<u64>,
    }
}

/// What may be unpacked.
#[derive(Debug, Clone, Copy)]
struct Limits {
    bytes: u64,
    entries: u64,
}

/// How it is unpacked.
#[derive(Debug, Clone)]
struct Plan {
    spot: Spot,
    /// What every name begins with: a folder or file that was asked for by name. None for the contents of a folder.
    base: Option<Vec<u8>>,
    keep_owner: bool,
    limits: Limits,
}

/// What is at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PathStat {
    /// Its name.
    pub name: String,
    /// `file`, `folder`, `link`, `device`, `fifo`, `socket` or `other`.
    pub kind: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its permissions, as `chmod` takes them: 493 is `rwxr-xr-x`.
    pub mode: u32,
    /// When its content last changed, RFC 3339.
    pub modified: String,
    /// For a link, where it leads in the end, as a path of the container; else empty.
    pub link_target: String,
}

impl PathStat {
    /// Reads the engine's header. Its modes are those of Go: the kind in the highest bits, and the set-ID bits beside it.
    fn read(headers: &hyper::HeaderMap) -> Option<Self> {
        let value = headers.get("x-docker-container-path-stat")?;
        let raw: Value = serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(value).ok()?).ok()?;
        let mode = raw.get("mode").and_then(Value::as_u64)?;
        let has = |bit: u32| mode & (1 << bit) != 0;
        let kinds = [(31, "folder"), (27, "link"), (26, "device"), (25, "fifo"), (24, "socket"), (19, "other")];
        let kind = kinds.into_iter().find(|(bit, _)| has(*bit)).map_or("file", |(_, kind)| kind);
        let special = [(23, 0o4000), (22, 0o2000), (20, 0o1000)].into_iter().filter(|(bit, _)| has(*bit)).map(|(_, value)| value).sum::<u32>();
        Some(Self {
            name: text(&raw, "name"),
            kind: kind.to_owned(),
            size: raw.get("size").and_then(Value::as_u64).unwrap_or_default(),
            mode: u32::try_from(mode & 0o777).unwrap_or_default() | special,
            modified: text(&raw, "mtime"),
            link_target: text(&raw, "linkTarget"),
        })
    }

    fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }
}

impl Container {
    /// Unpacks an uncompressed tar in a folder of the container.
    ///
    /// `docker cp - CONTAINER:PATH` is this call with `no_overwrite`. An archive that is made as it is sent goes through
    /// [`Container::put_archive_stream`].
    ///
    /// # Errors
    /// `invalid_input` for what is no uncompressed tar, or when the path is no folder; `not_found` when nothing is there; `forbidden`
    /// when it cannot be written to; with `no_overwrite`, `conflict`.
    pub fn put_archive(&self, path: impl Into<String>) -> Call<PutArchive, ()> {
        let (me, path) = (self.clone(), path.into());
        Call::new("container.put_archive", move |o: PutArchive, _| async move {
            let body = stream::uncompressed(source(o.data, o.file).await?).await?;
            me.upload(&path, body, o.no_overwrite, o.keep_owner).await
        })
    }

    /// Unpacks an uncompressed tar in a folder of the container while it comes, such as what [`Container::get_archive`] of another
    /// container gives. Its memory is the same however long the archive is. When the stream ends with an error, so does the
    /// call; what was unpacked until then stays.
    ///
    /// # Errors
    /// Those of [`Container::put_archive`], and those of the stream.
    pub fn put_archive_stream(&self, path: impl Into<String>, archive: impl Stream<Item = Result<Data>> + Send + 'static) -> Call<NoOptions, ()> {
        let (me, path) = (self.clone(), path.into());
        Call::new("container.put_archive_stream", move |_, _| async move {
            let failed = std::sync::Arc::new(std::sync::Mutex::new(None));
            let keep = failed.clone();
            let parts = archive.map(move |part| {
                part.map(|data| data.0).map_err(|e| {
                    let text = e.to_string();
                    keep.lock().ok().and_then(|mut first| first.replace(e));
                    std::io::Error::other(text)
                })
            });
            let sent = match stream::uncompressed(parts.boxed()).await {
                Ok(body) => me.upload(&path, body, false, false).await,
                Err(e) => Err(e),
            };
            let own = failed.lock().ok().and_then(|mut e| e.take());
            own.map_or(sent, Err)
        })
    }

    pub(crate) async fn upload(&self, path: &str, body: BoxStream<'static, std::io::Result<Bytes>>, no_overwrite: bool, keep_owner: bool) -> Result<()> {
        let req = Req::new(hyper::Method::PUT, &["containers", self.id(), "archive"])
            .query("path", path)
            .maybe("noOverwriteDirNonDir", no_overwrite.then_some("1"))
            .maybe("copyUIDGID", keep_owner.then_some("1"))
            .stream("application/x-tar", body)
            .patient();
        self.engine.client.done(req).await.map(drop).map_err(|e| place(by_words(e), self, path))
    }

    /// A file or folder of the container as a tar, in parts as they come: what `docker cp CONTAINER:PATH -` writes. Its names
    /// begin with the last part of the path.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get_archive(&self, path: impl Into<String>) -> Call<NoOptions, Streaming<Data>> {
        let (me, path) = (self.clone(), path.into());
        Call::new("container.get_archive", move |_, _| async move {
            let req = Req::get(&["containers", me.id(), "archive"]).query("path", &path).patient();
            let bytes = me.engine.client.bytes(req).await.map_err(|e| place(e, &me, &path))?;
            Ok(Streaming::of_parts(bytes.map(|b| b.map(Data)), Data::join))
        })
    }

    /// Its whole file system as a tar, in parts as they come. Volumes are not in it.
    ///
    /// # Errors
    /// `not_found`.
    pub fn export(&self) -> Call<NoOptions, Streaming<Data>> {
        let me = self.clone();
        Call::new("container.export", move |_, _| async move {
            let bytes = me.engine.client.bytes(Req::get(&["containers", me.id(), "export"]).patient()).await.map_err(|e| missing(e, me.name()))?;
            Ok(Streaming::of_parts(bytes.map(|b| b.map(Data)), Data::join))
        })
    }

    /// What is at a path of the container. A link at its end is not followed.
    ///
    /// # Errors
    /// `not_found`.
    pub fn stat_path(&self, path: impl Into<String>) -> Call<NoOptions, PathStat> {
        let (me, path) = (self.clone(), path.into());
        Call::new("container.stat_path", move |_, _| async move {
            let nothing =
                || Error::not_found(format!("nothing is at {} in the container", crate::error::escape(&path))).hint("check the path in the container");
            match me.stat_now(path.as_bytes()).await? {
                Some(stat) => Ok(stat),
                // The engine says the same when the container itself is gone.
                None => me.details().await.and_then(|_| Err(nothing().with("path", &*path))),
            }
        })
    }

    async fn stat_now(&self, path: &[u8]) -> Result<Option<PathStat>> {
        let path = String::from_utf8_lossy(path);
        let req = Req::new(hyper::Method::HEAD, &["containers", self.id(), "archive"]).query("path", &path);
        match self.engine.client.send(req).await {
            // A link that leads nowhere or in a circle is no place to look into either.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Engine) && e.context().contains_key("status") => Ok(None),
            Err(e) => Err(place(e, self, &path)),
            Ok(response) => PathStat::read(response.headers()).map(Some).ok_or_else(|| Error::new(ErrorKind::Engine, "the engine did not say what is there")),
        }
    }

    /// Copies a file or folder of this host into the container, as `docker cp` does.
    ///
    /// | source | target | result |
    /// |---|---|---|
    /// | file or folder | a folder | it lies in the folder under its own name |
    /// | folder with `/.` at its end | a folder | its contents lie in the folder |
    /// | file | a file | it takes the file's place |
    /// | file or folder | not there, its folder is | it lies there under the target's name |
    /// | file | not there, with `/` at its end | `not_found` |
    /// | folder | a file | `conflict` |
    ///
    /// A link at the target's end is followed. Links are copied as links, with a `/` at the source's end or with `follow_link`
    /// as what they lead to. Modes, owners by number, times in seconds, hard links and capabilities of programs are kept; sockets
    /// are left out. Memory stays the same however much is copied.
    ///
    /// # Errors
    /// `not_found` when the source or the target's folder is not there; `conflict` as above, and when a file would take a folder's
    /// place or a folder a file's; `invalid_input` when the target is a device; `forbidden`; `io` when a file changes meanwhile; `unsupported` on Windows.
    ///
    /// # Cancel safety
    /// What was copied until then stays.
    pub fn copy_to(&self, path: impl Into<PathBuf>, target: impl Into<String>) -> Call<CopyTo, ()> {
        let (me, path, target) = (self.clone(), path.into(), target.into());
        Call::new("container.copy_to", move |o: CopyTo, _| async move {
            let (path, source) = blocking(move || here::host_source(&path, o.follow_link)).await?;
            let target = me.target(&target).await?;
            let spot = match place::arrange(&source, &target) {
                Ok(spot) => spot,
                // The engine says the same when the container itself is gone.
                Err(e) => return me.details().await.and_then(|_| Err(e)),
            };
            let (task, body) = stream::packed(move |out| here::pack(&path, spot.name.as_deref(), out));
            let sent = me.upload(&String::from_utf8_lossy(&spot.folder), body, true, o.archive).await;
            let packed = task.await.map_err(|e| Error::internal(e.to_string()))?;
            match (packed, sent) {
                // What packs fails also when the engine stops reading: then the engine's word counts.
                (Err(e), Err(sent)) if e.message() == stream::UNWANTED => Err(sent),
                (Err(e), _) => Err(e),
                (Ok(()), sent) => sent,
            }
        })
    }

    async fn target(&self, target: &str) -> Result<Target> {
        if target.is_empty() {
            return Err(Error::invalid("the target is empty").hint("give a path in the container"));
        }
        let mut path = place::in_container(target.as_bytes());
        let mut stat = self.stat_now(&path).await?;
        if let Some(link) = stat.as_ref().filter(|s| s.is("link")) {
            path = place::through_link(&path, link.link_target.as_bytes());
            stat = self.stat_now(&path).await?;
        }
        if stat.as_ref().is_some_and(|s| s.is("device") || s.is("other")) {
            return Err(place::device(&path));
        }
        Ok(Target { exists: stat.is_some(), is_folder: stat.is_some_and(|s| s.is("folder")), path })
    }

    /// Copies a file or folder of the container to this host, as `docker cp` does: by the rules of [`Container::copy_to`], with
    /// the sides exchanged.
    ///
    /// What comes is unpacked inside the target, whatever the container sends and whatever other processes do in the target: no
    /// link is ever followed or written through. Refused are names that lead out, relative links that lead out of the folder
    /// that takes the copy, devices, sparse files, and what is over the limits. Modes are kept, with set-ID bits; pipes too;
    /// extended attributes are not. Memory stays the same however much is copied, but for the folders' names.
    ///
    /// # Errors
    /// `not_found` when the source or the target's folder is not there; `conflict` when a folder would take a file's place or a file
    /// a folder's; `invalid_input` when what comes is refused or broken; `forbidden`; `io`; `unreachable` when the archive ends
    /// in the middle; `unsupported` on Windows.
    ///
    /// # Cancel safety
    /// What was copied until then stays, but for the file that was under way.
    pub fn copy_from(&self, path: impl Into<String>, target: impl Into<PathBuf>) -> Call<CopyFrom, ()> {
        let (me, path, target) = (self.clone(), path.into(), target.into());
        Call::new("container.copy_from", move |o: CopyFrom, _| async move {
            if path.is_empty() {
                return Err(Error::invalid("the source is empty").hint("give a path in the container"));
            }
            let target = blocking(move || here::host_target(&target)).await?;
            let (mut at, mut rename) = (place::in_container(path.as_bytes()), None);
            if o.follow_link
                && let Some(link) = me.stat_now(&at).await?.filter(|s| s.is("link"))
            {
                let to = place::through_link(&at, link.link_target.as_bytes());
                (at, rename) = place::renamed(&at, to);
            }
            let req = Req::get(&["containers", me.id(), "archive"]).query("path", String::from_utf8_lossy(&at)).patient();
            let response = me.engine.client.send(req).await.map_err(|e| place(e, &me, &path))?;
            let is_folder = PathStat::read(response.headers()).is_some_and(|s| s.is("folder"));
            let source = Source { is_folder, base: place::split(&at).1, rename };
            let spot = place::arrange(&source, &target)?;
            let base = Some(source.base).filter(|b| b != b".");
            let limits = Limits { bytes: o.max_bytes.map_or(BYTES, |b| b.0), entries: o.max_entries.unwrap_or(ENTRIES) };
            let plan = Plan { spot, base, keep_owner: o.archive, limits };
            let parts = response
                .into_body()
                .into_data_stream()
                .map_err(|e| Error::new(ErrorKind::Unreachable, format!("the connection was lost: {e}")).hint("make the same call again"));
            receive(parts, move |reader| here::unpack(reader, &plan)).await.map_err(|e| e.with("path", &*path))
        })
    }
}

/// Runs what waits for the disk where it holds nothing else up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal(e.to_string()))?
}

/// What goes to the thread that reads an archive. When the call is given up, no end comes, and the thread stops.
enum Part {
    Data(Bytes),
    Failed(Error),
    End,
}

/// Has a thread read a stream.
async fn receive(parts: impl Stream<Item = Result<Bytes>> + Send, work: impl FnOnce(Receiver) -> Result<()> + Send + 'static) -> Result<()> {
    let (sender, receiver) = mpsc::channel(16);
    let task = tokio::task::spawn_blocking(move || work(Receiver { parts: receiver, held: Bytes::new(), ended: false }));
    let mut parts = std::pin::pin!(parts);
    loop {
        let part = match parts.next().await {
            Some(Ok(data)) => Part::Data(data),
            Some(Err(e)) => Part::Failed(e),
            None => Part::End,
        };
        let last = !matches!(part, Part::Data(_));
        if sender.send(part).await.is_err() || last {
            break;
        }
    }
    task.await.map_err(|e| Error::internal(e.to_string()))?
}

/// What comes through a channel, as a reader.
struct Receiver {
    parts: mpsc::Receiver<Part>,
    held: Bytes,
    ended: bool,
}

impl Read for Receiver {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.held.is_empty() && !self.ended {
            match self.parts.blocking_recv() {
                Some(Part::Data(data)) => self.held = data,
                Some(Part::Failed(e)) => return Err(std::io::Error::other(e)),
                Some(Part::End) => self.ended = true,
                None => return Err(std::io::Error::other(Error::new(ErrorKind::Canceled, "the call was given up"))),
            }
        }
        let count = self.held.len().min(buffer.len());
        let part = self.held.split_to(count);
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(&part);
        Ok(count)
    }
}

/// What an engine says of an archive that it cannot unpack, by kind. Older ones say it with a status that means nothing.
fn by_words(e: Error) -> Error {
    let has = |words: &[&str]| matches!(e.kind(), ErrorKind::Engine | ErrorKind::InvalidInput) && words.iter().any(|w| e.message().contains(w));
    let (kind, hint) = if has(&["cannot overwrite"]) {
        (ErrorKind::Conflict, "remove it first, or copy to another name")
    } else if has(&["not a directory"]) {
        (ErrorKind::InvalidInput, "the target of an archive is a folder")
    } else if has(&["read-only"]) {
        (ErrorKind::Forbidden, "copy to a volume of the container, or make it without `read_only`")
    } else {
        return e;
    };
    Error::new(kind, e.message()).hint(hint).source(e)
}

fn place(e: Error, container: &Container, path: &str) -> Error {
    if e.kind() == ErrorKind::NotFound && e.message().contains("Could not find the file") {
        return e.hint("check the path in the container").with("path", path);
    }
    missing(e, container.name()).with("path", path)
}
