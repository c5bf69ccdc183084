//! What this host offers as a Windows system.
//!
//! Files are as private as the folder that they are made in: a user's own folder lets in nobody else but administrators and the
//! system. What has no counterpart, such as modes and owners by number, has the value that docker's tools give it.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io::Result,
    os::windows::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};

pub(crate) const HOME: &str = "USERPROFILE";
/// The folder of a user of whom nothing is said.
pub(super) const HOMELESS: &str = r"C:\Users\Default";
pub(super) const USER: &str = "USERNAME";

/// The system's number for a file that another has opened for itself alone.
const SHARING_VIOLATION: i32 = 32;
/// The system's number for a pipe whose instances all talk to others.
pub(crate) const PIPE_BUSY: i32 = 231;
/// How long a busy pipe is tried.
const BUSY_LIMIT: Duration = Duration::from_secs(10);

pub(super) fn private_folder(builder: &mut DirBuilder) -> &mut DirBuilder {
    builder
}

/// Files that are made with these options are as private as their folder.
pub(crate) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Whether others than its owner may read or write a file. Not looked at: the file's access list is not read.
pub(crate) fn may_be_read_by_others(_: &Metadata) -> bool {
    false
}

/// Who may do what with a file: the mode that docker gives to files of Windows.
pub(crate) fn mode(_: &Metadata) -> u32 {
    0o755
}

/// A file's user and group, by number: root's.
pub(crate) fn owner(_: &Metadata) -> (u32, u32) {
    (0, 0)
}

/// Folders cannot be written to the disk here by who is no administrator: the file system's journal keeps a rename whole.
pub(super) fn sync_folder(_: &Path) -> Result<()> {
    Ok(())
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], at: u64) -> Result<usize> {
    match file.seek_read(buffer, at) {
        // How the system says that the file ends before this place.
        Err(e) if e.raw_os_error() == Some(38) => Ok(0),
        other => other,
    }
}

/// Locks a folder that is there; none while another has it. The lock ends with the file, or with the process. Folders cannot be
/// locked here: the lock is on a file beside the folder, which stays.
pub(crate) fn try_lock(folder: &Path) -> Result<Option<File>> {
    let name = format!(".{}.lock", folder.file_name().unwrap_or_default().to_string_lossy());
    match OpenOptions::new().write(true).create(true).truncate(false).share_mode(0).open(folder.with_file_name(name)) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.raw_os_error() == Some(SHARING_VIOLATION) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The keys of hosts that the system knows.
pub(crate) fn system_known_hosts() -> PathBuf {
    PathBuf::from(super::variable("ProgramData").unwrap_or_else(|| r"C:\ProgramData".to_owned())).join(r"ssh\ssh_known_hosts")
}

/// Where the user's SSH agent is: the one that Windows has when none is named.
pub(crate) fn agent() -> Option<PathBuf> {
    Some(super::variable("SSH_AUTH_SOCK").unwrap_or_else(|| r"\\.\pipe\openssh-ssh-agent".to_owned()).into())
}

/// Whether an SSH agent may listen at a path. To look at a pipe is to connect to it, so its name has to do.
pub(crate) fn is_agent(path: &Path) -> Result<bool> {
    Ok(path.to_string_lossy().replace('/', r"\").to_lowercase().starts_with(r"\\.\pipe\"))
}

pub(crate) async fn connect_agent(path: &Path) -> Result<NamedPipeClient> {
    open_pipe(&path.to_string_lossy()).await
}

/// Connects to a named pipe. While all of its instances talk to others, it is tried again, for 10 s; then the error is
/// [`PIPE_BUSY`].
pub(crate) async fn open_pipe(path: &str) -> Result<NamedPipeClient> {
    let until = tokio::time::Instant::now() + BUSY_LIMIT;
    loop {
        match ClientOptions::new().open(path) {
            Err(e) if e.raw_os_error() == Some(PIPE_BUSY) && tokio::time::Instant::now() < until => tokio::time::sleep(Duration::from_millis(20)).await,
            other => return other,
        }
    }
}

/// One end of a pair of sockets, for a thread that may wait.
pub(crate) type ThreadPair = std::net::TcpStream;
/// One end of a pair of sockets, for a task.
pub(crate) type TaskPair = tokio::net::TcpStream;

/// Two sockets that hear each other, over the loopback: there are no unnamed ones here. For the moment that this takes a port is
/// open; who else connects to it is turned away.
pub(crate) async fn pair() -> Result<(ThreadPair, TaskPair)> {
    let door = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let far = TaskPair::connect(door.local_addr()?).await?;
    let own = far.local_addr()?;
    let near = loop {
        let (stream, from) = door.accept().await?;
        if from == own {
            break stream;
        }
    };
    for end in [&near, &far] {
        end.set_nodelay(true)?;
    }
    let near = near.into_std()?;
    near.set_nonblocking(false)?;
    Ok((near, far))
}
