//! This host, as every module sees it: variables, the user's folder, and files that nobody else may read. What differs from
//! system to system is in `unix.rs` and `windows.rs`, which have the same functions.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub(crate) use system::{
    HOME, TaskPair, ThreadPair, agent, connect_agent, is_agent, may_be_read_by_others, mode, owner, pair, private_file, system_known_hosts, try_lock,
};
#[cfg(windows)]
pub(crate) use system::{PIPE_BUSY, open_pipe};

use crate::error::{Error, Result};

/// A variable of the environment, where it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the place where single variables are read")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// The user's own folder.
#[expect(clippy::disallowed_methods, reason = "this is the place where single variables are read; a folder need not be UTF-8")]
pub(crate) fn home() -> PathBuf {
    std::env::var_os(system::HOME).filter(|v| !v.is_empty()).map_or_else(|| system::HOMELESS.into(), PathBuf::from)
}

/// The name of the user, where the system says it.
pub(crate) fn user() -> Option<String> {
    variable(system::USER)
}

/// Makes a folder, and those above it, that nobody else may enter.
pub(crate) fn make_private(folder: &Path) -> Result<()> {
    system::private_folder(std::fs::DirBuilder::new().recursive(true)).create(folder).map_err(|e| Error::file(folder, e))
}

/// Writes a file that nobody else may read, all or nothing: its bytes and then its folder are on disk when this returns.
pub(crate) fn write_private(path: &Path, data: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_private(folder)?;
    let new = folder.join(format!(".{}.{}.new", path.file_name().unwrap_or_default().to_string_lossy(), std::process::id()));
    let io = |e| Error::file(path, e);
    let mut file = private_file(std::fs::OpenOptions::new().write(true).create(true).truncate(true)).open(&new).map_err(io)?;
    file.write_all(data).and_then(|()| file.sync_all()).map_err(io)?;
    // Some systems rename no file that is open.
    drop(file);
    std::fs::rename(&new, path).map_err(io)?;
    system::sync_folder(folder).map_err(io)
}

/// Reads an open file from its start, whatever others that read it do.
pub(crate) struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl<'a> FromStart<'a> {
    pub(crate) fn new(file: &'a File) -> Self {
        Self { file, at: 0 }
    }
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = system::read_at(self.file, buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        for data in ["long and old", "new"] {
            write_private(&path, data.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), data);
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(!may_be_read_by_others(&path.metadata().unwrap()));
    }

    #[test]
    fn readers_of_one_file_do_not_disturb_each_other() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let (mut one, mut two) = (FromStart::new(&file), FromStart::new(&file));
        let mut part = [0; 4];
        one.read_exact(&mut part).unwrap();
        let (mut rest, mut all) = (String::new(), String::new());
        two.read_to_string(&mut all).unwrap();
        one.read_to_string(&mut rest).unwrap();
        assert_eq!((&part, &*rest, &*all), (b"0123", "456789", "0123456789"));
    }

    #[test]
    fn a_folder_is_locked_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("it");
        make_private(&place).unwrap();
        let first = try_lock(&place).unwrap();
        assert!(first.is_some());
        assert!(try_lock(&place).unwrap().is_none());
        drop(first);
        assert!(try_lock(&place).unwrap().is_some());
    }

    #[tokio::test]
    async fn what_one_end_of_a_pair_says_the_other_hears() {
        use tokio::io::AsyncReadExt;
        let (mut near, mut far) = pair().await.unwrap();
        let saying = std::thread::spawn(move || near.write_all(b"hello"));
        let mut heard = [0; 5];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        saying.join().unwrap().unwrap();
    }
}
