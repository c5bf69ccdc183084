//! What this host offers as a Unix system.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io::Result,
    os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

pub(crate) const HOME: &str = "HOME";
/// The folder of a user of whom nothing is said.
pub(super) const HOMELESS: &str = "/root";
pub(super) const USER: &str = "USER";

pub(super) fn private_folder(builder: &mut DirBuilder) -> &mut DirBuilder {
    builder.mode(0o700)
}

/// Files that are made with these options are the user's alone.
pub(crate) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Whether others than its owner may read or write a file.
pub(crate) fn may_be_read_by_others(file: &Metadata) -> bool {
    file.mode() & 0o077 != 0
}

/// Who may do what with a file, as `chmod` takes it.
pub(crate) fn mode(file: &Metadata) -> u32 {
    file.mode() & 0o7777
}

/// A file's user and group, by number.
pub(crate) fn owner(file: &Metadata) -> (u32, u32) {
    (file.uid(), file.gid())
}

/// Has what was renamed in a folder on disk.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], at: u64) -> Result<usize> {
    file.read_at(buffer, at)
}

/// Locks a folder that is there; none while another has it. The lock ends with the file, or with the process.
pub(crate) fn try_lock(folder: &Path) -> Result<Option<File>> {
    let file = File::open(folder)?;
    match file.try_lock() {
        // The folder may have been removed and made anew: the lock must be on the one that is there.
        Ok(()) => Ok(Some(file).filter(|file| is_at(file, folder))),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(e)) => Err(e),
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// The keys of hosts that the system knows.
pub(crate) fn system_known_hosts() -> PathBuf {
    "/etc/ssh/ssh_known_hosts".into()
}

/// Where the user's SSH agent is, where there is one.
pub(crate) fn agent() -> Option<PathBuf> {
    super::variable("SSH_AUTH_SOCK").map(PathBuf::from)
}

/// Whether an SSH agent may listen at a path.
pub(crate) fn is_agent(path: &Path) -> Result<bool> {
    Ok(std::fs::metadata(path)?.file_type().is_socket())
}

pub(crate) async fn connect_agent(path: &Path) -> Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(path).await
}

/// One end of a pair of sockets, for a thread that may wait.
pub(crate) type ThreadPair = std::os::unix::net::UnixStream;
/// One end of a pair of sockets, for a task.
pub(crate) type TaskPair = tokio::net::UnixStream;

/// Two sockets that hear each other.
pub(crate) async fn pair() -> Result<(ThreadPair, TaskPair)> {
    let (near, far) = ThreadPair::pair()?;
    far.set_nonblocking(true)?;
    Ok((near, TaskPair::from_std(far)?))
}
