//! Files of this host as a tar.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io::{Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::super::{
    stream::PART,
    tar::{Entry, Kind, read_error, write_end, write_header, write_padding},
};
use crate::error::{Error, ErrorKind, Result};

/// Packs a file or folder under `name`, or with none the contents of a folder. Links are packed as links, files that share
/// their content as links to the first of them; sockets are left out.
pub(in super::super) fn pack(path: &Path, name: Option<&[u8]>, out: impl Write) -> Result<()> {
    let mut packer = Packer { out: std::io::BufWriter::with_capacity(PART, out), seen: HashMap::new(), buffer: vec![0; PART] };
    packer.add(path, name.unwrap_or_default())?;
    write_end(&mut packer.out).and_then(|()| packer.out.flush()).map_err(read_error)
}

struct Packer<W: Write> {
    out: std::io::BufWriter<W>,
    /// Names of files that have more than one, by device and number.
    seen: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl<W: Write> Packer<W> {
    fn add(&mut self, path: &Path, name: &[u8]) -> Result<()> {
        // Folders that are still to be read, so that a deep tree takes no deep stack.
        let mut waiting: Vec<(PathBuf, Vec<u8>)> = vec![(path.to_owned(), name.to_vec())];
        while let Some((path, name)) = waiting.pop() {
            let meta = std::fs::symlink_metadata(&path).map_err(|e| Error::file(&path, e))?;
            self.one(&path, &name, &meta)?;
            if !meta.is_dir() {
                continue;
            }
            let entries = std::fs::read_dir(&path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(|e| Error::file(&path, e))?;
            let mut names: Vec<_> = entries.into_iter().map(|e| e.file_name()).collect();
            names.sort_unstable_by(|a, b| b.cmp(a));
            for inner in names {
                let full = if name.is_empty() { inner.as_bytes().to_vec() } else { [&name, inner.as_bytes()].join(&b'/') };
                waiting.push((path.join(inner), full));
            }
        }
        Ok(())
    }

    fn one(&mut self, path: &Path, name: &[u8], meta: &Metadata) -> Result<()> {
        let kind = meta.file_type();
        if name.is_empty() && meta.is_dir() {
            return Ok(());
        }
        let mut entry = Entry::new(Kind::File, name);
        describe(&mut entry, meta);
        if !meta.is_dir() && meta.nlink() > 1 && !kind.is_socket() {
            if let Some(first) = self.seen.get(&(meta.dev(), meta.ino())) {
                (entry.kind, entry.link) = (Kind::HardLink, first.clone());
                return self.header(&entry);
            }
            self.seen.insert((meta.dev(), meta.ino()), name.to_vec());
        }
        if meta.is_dir() {
            entry.kind = Kind::Folder;
            entry.name.push(b'/');
        } else if meta.is_symlink() {
            entry.kind = Kind::Symlink;
            entry.link = std::fs::read_link(path).map_err(|e| Error::file(path, e))?.as_os_str().as_bytes().to_vec();
        } else if kind.is_fifo() {
            entry.kind = Kind::Fifo;
        } else if kind.is_char_device() || kind.is_block_device() {
            entry.kind = if kind.is_char_device() { Kind::CharDevice } else { Kind::BlockDevice };
            let device = rustix::fs::lstat(path).map_err(|e| Error::file(path, e.into()))?.st_rdev;
            entry.device = (u64::from(rustix::fs::major(device)), u64::from(rustix::fs::minor(device)));
        } else if kind.is_socket() {
            return Ok(());
        } else {
            return self.file(path, entry);
        }
        self.header(&entry)
    }

    fn header(&mut self, entry: &Entry) -> Result<()> {
        write_header(&mut self.out, entry).map_err(read_error)
    }

    fn file(&mut self, path: &Path, mut entry: Entry) -> Result<()> {
        // What was a file may be a link or a pipe by now: neither is followed or waited for.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut file = File::options().read(true).custom_flags(flags).open(path).map_err(|e| Error::file(path, e))?;
        let meta = file.metadata().map_err(|e| Error::file(path, e))?;
        let changed =
            || Error::new(ErrorKind::Io, format!("{}: it was changed while it was copied", path.display())).hint("make the same call again").retryable();
        if !meta.is_file() {
            return Err(changed());
        }
        describe(&mut entry, &meta);
        entry.size = meta.len();
        entry.capabilities = capabilities(&file);
        self.header(&entry)?;
        let mut left = entry.size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let buffer = self.buffer.get_mut(..most).unwrap_or_default();
            let count = match file.read(buffer) {
                Ok(0) => return Err(changed()),
                Ok(count) => count,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::file(path, e)),
            };
            self.out.write_all(buffer.get(..count).unwrap_or_default()).map_err(read_error)?;
            left -= count as u64;
        }
        write_padding(&mut self.out, entry.size).map_err(read_error)
    }
}

fn describe(entry: &mut Entry, meta: &Metadata) {
    entry.mode = meta.mode() & 0o7777;
    entry.uid = u64::from(meta.uid());
    entry.gid = u64::from(meta.gid());
    entry.mtime = meta.mtime();
}

/// The capabilities of a program. Systems and file systems without them have none.
fn capabilities(file: &File) -> Option<Vec<u8>> {
    let mut value = vec![0u8; 256];
    let length = rustix::fs::fgetxattr(file, "security.capability", value.as_mut_slice()).ok()?;
    value.truncate(length);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::{super::super::tar::Reader, *};

    fn entries(data: &[u8]) -> Vec<Entry> {
        let mut reader = Reader::new(data);
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    #[test]
    fn a_folder_is_packed_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let long = "n".repeat(200);
        std::fs::create_dir_all(at("d/e")).unwrap();
        std::fs::write(at("d/a"), "content").unwrap();
        std::fs::write(at(&format!("d/{long}")), "").unwrap();
        std::fs::hard_link(at("d/a"), at("d/e/again")).unwrap();
        symlink("../a/./b/", at("d/link")).unwrap();
        let _socket = UnixListener::bind(at("d/socket")).unwrap();
        let mut data = Vec::new();
        pack(&at("d"), Some(b"new"), &mut data).unwrap();
        let all = entries(&data);
        let names: Vec<_> = all.iter().map(|e| (String::from_utf8_lossy(&e.name).into_owned(), e.kind)).collect();
        let wanted = [("new/", Kind::Folder), ("new/a", Kind::File), ("new/e/", Kind::Folder), ("new/e/again", Kind::HardLink), ("new/link", Kind::Symlink)];
        assert_eq!(names[..5], wanted.map(|(n, k)| (n.to_owned(), k)));
        assert_eq!(names[5..], [(format!("new/{long}"), Kind::File)]);
        assert_eq!((all[1].size, &*all[3].link, &*all[4].link), (7, &b"new/a"[..], &b"../a/./b/"[..]));
        // The contents alone have no name in common.
        let mut data = Vec::new();
        pack(&at("d"), None, &mut data).unwrap();
        assert_eq!(entries(&data).iter().map(|e| e.name.split(|b| *b == b'/').next().unwrap().to_vec()).next().unwrap(), b"a");
        assert_eq!(pack(&at("none"), Some(b"x"), Vec::new()).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn capabilities_of_a_program_are_packed() {
        let mut entry = Entry::new(Kind::File, b"p");
        entry.capabilities = Some(vec![1, 0, 0, 2, 0, 4, 0, 0, b'\n', 0]);
        let mut data = Vec::new();
        write_header(&mut data, &entry).unwrap();
        assert_eq!(Reader::new(&data[..]).next().unwrap().unwrap(), entry);
    }
}
