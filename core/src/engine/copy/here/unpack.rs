//! Unpacks what a container sent, inside its target only.
//!
//! Nothing in the archive is trusted, and neither is what another process does in the target meanwhile. A place is reached from
//! an open folder, part by part, and no part may be a link; what is made is made new and never written through. So there is no
//! moment between a check and its use.

use std::{fs::File, io::Write, os::fd::OwnedFd};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid},
    io::Errno,
};

use super::{
    super::{
        Plan,
        place::clean,
        tar::{Entry, Kind, Reader},
    },
    to_path,
};
use crate::error::{Error, ErrorKind, Result};

/// How long a name may be, in bytes, and a path.
const NAME: usize = 255;
const PATH: usize = 4096;
/// How many folders deep a tree may be.
const DEPTH: usize = 1000;

/// Unpacks an archive by a plan.
pub(in super::super) fn unpack(archive: impl std::io::Read, plan: &Plan) -> Result<()> {
    let path = to_path(&plan.spot.folder);
    let folder = rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(|e| Error::file(&path, e.into()))?;
    let mut unpacker = Unpacker { root: folder, at: None, plan, folders: Vec::new(), bytes: 0, entries: 0, buffer: vec![0; 128 << 10] };
    let mut reader = Reader::new(archive);
    let done = unpacker.all(&mut reader);
    // Folders get their modes in any case: until now each could be written to.
    let closed = unpacker.close();
    done.and(closed)
}

/// A folder that was made or met: it gets its mode and time when all that is in it is there.
struct Held {
    parts: Vec<Vec<u8>>,
    mode: u32,
    times: Timestamps,
}

struct Unpacker<'a> {
    root: OwnedFd,
    /// The folder that was last used: most entries follow one in the same folder.
    at: Option<(Vec<Vec<u8>>, OwnedFd)>,
    plan: &'a Plan,
    folders: Vec<Held>,
    bytes: u64,
    entries: u64,
    buffer: Vec<u8>,
}

fn shown(parts: &[Vec<u8>]) -> String {
    crate::error::escape(&String::from_utf8_lossy(&parts.join(&b'/'))).into_owned()
}

fn refused(what: &str, name: &[u8]) -> Error {
    let name = crate::error::escape(&String::from_utf8_lossy(name)).into_owned();
    Error::invalid(format!("the container sent {what}: {name}")).hint("nothing was written outside the target; do not trust this container").with("entry", name)
}

impl Unpacker<'_> {
    fn all<R: std::io::Read>(&mut self, reader: &mut Reader<R>) -> Result<()> {
        while let Some(entry) = reader.next()? {
            self.entries += 1;
            if self.entries > self.plan.limits.entries {
                return Err(Error::invalid(format!("there are more than {} files", self.plan.limits.entries)).hint("set `max_entries` higher if this is right"));
            }
            self.one(&entry, reader)?;
        }
        reader.finish()
    }

    /// Where a name of the archive lies under the target.
    fn place(&self, name: &[u8]) -> Result<Vec<Vec<u8>>> {
        if name.contains(&0) {
            return Err(refused("a name with a zero byte", name));
        }
        if name.len() > PATH || name.split(|b| *b == b'/').any(|part| part.len() > NAME) {
            return Err(refused("a name that is too long", name.get(..NAME).unwrap_or(name)));
        }
        // The root of a container is the one thing whose names begin with a slash.
        if name.starts_with(b"/") && self.plan.base.as_ref().is_some_and(|b| !b.is_empty()) {
            return Err(refused("a path that leaves the target", name));
        }
        let mut parts: Vec<Vec<u8>> = name.split(|b| *b == b'/').filter(|p| !matches!(*p, b"" | b".")).map(<[u8]>::to_vec).collect();
        if parts.iter().any(|p| p == b"..") {
            return Err(refused("a path that leaves the target", name));
        }
        if let Some(base) = self.plan.base.as_ref().filter(|b| !b.is_empty()) {
            if parts.first() != Some(base) {
                return Err(refused("what was not asked for", name));
            }
            parts.remove(0);
        }
        if let Some(own) = &self.plan.spot.name {
            parts.insert(0, own.clone());
        }
        if parts.len() > DEPTH { Err(refused("folders that are too deep", name)) } else { Ok(parts) }
    }

    fn one<R: std::io::Read>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
        let parts = self.place(&entry.name)?;
        let Some((name, parents)) = parts.split_last() else {
            // The target itself, which is there and stays as it is.
            return if entry.kind == Kind::Folder { Ok(()) } else { Err(refused("a file in place of a folder", &entry.name)) };
        };
        self.go(parents, &entry.name)?;
        let failed = |e: Errno| self.failed(&parts, e);
        let Some((_, folder)) = &self.at else { return Err(Error::internal("no folder is open")) };
        let there = match rustix::fs::statat(folder, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(e) => return Err(failed(e)),
        };
        let in_the_way =
            |what: &str| Err(Error::new(ErrorKind::Conflict, format!("{}: {what}", shown(&parts))).hint("remove it first, or copy to another name"));
        match there {
            Some(FileType::Directory) if entry.kind != Kind::Folder => return in_the_way("a folder is there, and a file cannot take its place"),
            Some(FileType::Directory) | None => {}
            Some(_) if entry.kind == Kind::Folder => return in_the_way("a file is there, and a folder cannot take its place"),
            Some(_) => match rustix::fs::unlinkat(folder, name.as_slice(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(failed(e)),
            },
        }
        let times = times(entry);
        match entry.kind {
            Kind::Folder => {
                if there.is_none() {
                    rustix::fs::mkdirat(folder, name.as_slice(), Mode::RWXU).map_err(failed)?;
                }
                self.own(entry, name, &parts)?;
                self.folders.push(Held { mode: entry.mode, times, parts });
                return Ok(());
            }
            Kind::File => return self.file(entry, name, &parts, reader),
            Kind::Symlink => {
                if entry.link.contains(&0) || entry.link.is_empty() || entry.link.len() >= PATH {
                    return Err(refused("a link to nowhere", &entry.name));
                }
                self.stays(&entry.link, parents, &entry.name)?;
                rustix::fs::symlinkat(entry.link.as_slice(), folder, name.as_slice()).map_err(failed)?;
            }
            Kind::HardLink => return self.hard_link(entry, name, &parts),
            Kind::Fifo => make_fifo(folder, name, entry.mode).map_err(failed)?,
            Kind::CharDevice | Kind::BlockDevice => return Err(refused("a device", &entry.name)),
            Kind::Other(_) => return Err(refused("an entry of an unknown type", &entry.name)),
        }
        self.own(entry, name, &parts)?;
        let Some((_, folder)) = &self.at else { return Err(Error::internal("no folder is open")) };
        rustix::fs::utimensat(folder, name.as_slice(), &times, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| self.failed(&parts, e))
    }

    /// A relative link must end inside the target, by its text. One from the root means the container's root, and is kept.
    fn stays(&self, link: &[u8], parents: &[Vec<u8>], name: &[u8]) -> Result<()> {
        if link.starts_with(b"/") {
            return Ok(());
        }
        let root = clean(&self.plan.spot.folder);
        let end = clean(&[root.as_slice(), &parents.join(&b'/'), link].join(&b'/'));
        let inside = root == b"/" || end == root || end.strip_prefix(root.as_slice()).is_some_and(|rest| rest.starts_with(b"/"));
        if inside { Ok(()) } else { Err(refused("a link that leaves the target", name)) }
    }

    fn file<R: std::io::Read>(&mut self, entry: &Entry, name: &[u8], parts: &[Vec<u8>], reader: &mut Reader<R>) -> Result<()> {
        self.bytes = self.bytes.saturating_add(entry.size);
        if self.bytes > self.plan.limits.bytes {
            return Err(Error::invalid(format!("the files are larger than {} bytes", self.plan.limits.bytes)).hint("set `max_bytes` higher if this is right"));
        }
        let Some((_, folder)) = &self.at else { return Err(Error::internal("no folder is open")) };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR).map_err(|e| self.failed(parts, e))?;
        let mut file = File::from(made);
        let path = self.full(parts);
        let mut fill = || -> Result<()> {
            loop {
                let count = reader.read(&mut self.buffer)?;
                if count == 0 {
                    return Ok(());
                }
                file.write_all(self.buffer.get(..count).unwrap_or_default()).map_err(|e| Error::file(&path, e))?;
            }
        };
        if let Err(e) = fill() {
            // Half of a file is none.
            rustix::fs::unlinkat(folder, name, AtFlags::empty()).ok();
            return Err(e);
        }
        let finish = || {
            if self.plan.keep_owner {
                let (owner, group) = owner(entry);
                rustix::fs::fchown(&file, owner, group)?;
            }
            rustix::fs::fchmod(&file, permissions(entry.mode))?;
            rustix::fs::futimens(&file, &times(entry))
        };
        finish().map_err(|e| self.failed(parts, e))
    }

    fn hard_link(&mut self, entry: &Entry, name: &[u8], parts: &[Vec<u8>]) -> Result<()> {
        let to = self.place(&entry.link)?;
        let Some((first, folders)) = to.split_last() else { return Err(refused("a link to a folder", &entry.name)) };
        let source = self.reach(folders, &entry.name, false)?;
        let failed = |e: Errno| self.failed(parts, e);
        let stat = rustix::fs::statat(&source, first.as_slice(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Fifo => {}
            // The link itself gets one more name, and is read from another folder.
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(&source, first.as_slice(), Vec::new()).map_err(failed)?;
                self.stays(link.as_bytes(), parts.split_last().map_or(&[], |(_, p)| p), &entry.name)?;
            }
            _ => return Err(refused("a link to what is no file", &entry.name)),
        }
        let Some((_, folder)) = &self.at else { return Err(Error::internal("no folder is open")) };
        rustix::fs::linkat(&source, first.as_slice(), folder, name, AtFlags::empty()).map_err(failed)
    }

    fn own(&self, entry: &Entry, name: &[u8], parts: &[Vec<u8>]) -> Result<()> {
        match &self.at {
            Some((_, folder)) if self.plan.keep_owner => {
                let (owner, group) = owner(entry);
                rustix::fs::chownat(folder, name, owner, group, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| self.failed(parts, e))
            }
            _ => Ok(()),
        }
    }

    /// Makes a folder under the target the one that is used, and makes what of it is not there.
    fn go(&mut self, parts: &[Vec<u8>], entry: &[u8]) -> Result<()> {
        if self.at.as_ref().is_none_or(|(at, _)| at != parts) {
            let folder = self.reach(parts, entry, true)?;
            self.at = Some((parts.to_vec(), folder));
        }
        Ok(())
    }

    /// Opens a folder under the target, part by part, and goes through no link.
    fn reach(&self, parts: &[Vec<u8>], entry: &[u8], make: bool) -> Result<OwnedFd> {
        let (mut folder, skip) = match &self.at {
            Some((at, folder)) if parts.starts_with(at) => (folder.try_clone(), at.len()),
            _ => (self.root.try_clone(), 0),
        };
        for (n, part) in parts.iter().enumerate().skip(skip) {
            let here = folder.map_err(|e| Error::file(shown(parts), e))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = || rustix::fs::openat(&here, part.as_slice(), flags, Mode::empty());
            let opened = match open() {
                Err(Errno::NOENT) if make => match rustix::fs::mkdirat(&here, part.as_slice(), Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => open(),
                    Err(e) => Err(e),
                },
                other => other,
            };
            let upto = parts.get(..=n).unwrap_or(parts);
            folder = Ok(opened.map_err(|e| match e {
                Errno::LOOP | Errno::NOTDIR => refused("a path through a link or a file", entry),
                e => self.failed(upto, e),
            })?);
        }
        folder.map_err(|e| Error::file(shown(parts), e))
    }

    fn full(&self, parts: &[Vec<u8>]) -> std::path::PathBuf {
        to_path(&[self.plan.spot.folder.as_slice(), &parts.join(&b'/')].join(&b'/'))
    }

    fn failed(&self, parts: &[Vec<u8>], e: Errno) -> Error {
        let error = Error::file(self.full(parts), e.into());
        if e == Errno::PERM && self.plan.keep_owner {
            return Error::new(ErrorKind::Forbidden, error.message()).hint("only root may give files to other owners: leave `archive` out").source(error);
        }
        error
    }

    /// Gives the folders their modes and times, the innermost first.
    fn close(&mut self) -> Result<()> {
        self.at = None;
        let mut first = Ok(());
        for held in std::mem::take(&mut self.folders).into_iter().rev() {
            let set = || -> Result<()> {
                let folder = self.reach(&held.parts, &held.parts.join(&b'/'), false)?;
                let done = rustix::fs::fchmod(&folder, permissions(held.mode)).and_then(|()| rustix::fs::futimens(&folder, &held.times));
                done.map_err(|e| self.failed(&held.parts, e))
            };
            first = first.and(set());
        }
        first
    }
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (u32::try_from(entry.uid).ok().map(Uid::from_raw), u32::try_from(entry.gid).ok().map(Gid::from_raw))
}

/// Systems differ in how many bits hold a mode.
fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode((mode & 0o7777) as _)
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime, tv_nsec: i64::from(entry.nanos) };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(not(target_vendor = "apple"))]
fn make_fifo(folder: &OwnedFd, name: &[u8], mode: u32) -> rustix::io::Result<()> {
    rustix::fs::mknodat(folder, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // To open it without waiting is the way to its mode that a link in its place cannot lead astray.
    let pipe = rustix::fs::openat(folder, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    rustix::fs::fchmod(pipe, permissions(mode))
}

#[cfg(target_vendor = "apple")]
fn make_fifo(_: &OwnedFd, _: &[u8], _: u32) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
