//! What carries a session: a connection to the host, or one end of a pair whose other end goes through another host.

#[cfg(unix)]
use std::os::fd::{AsRawFd, RawFd};
#[cfg(windows)]
use std::os::windows::io::{AsRawSocket, RawSocket};
use std::{
    net::TcpStream,
    task::{Context, Poll},
};

use tokio::io::Interest;

use crate::host::{TaskPair, ThreadPair};

/// A carrier that libssh2 can use: it wants a file descriptor of its own.
#[derive(Debug)]
pub(super) enum Plain {
    Tcp(TcpStream),
    Pair(ThreadPair),
}

#[cfg(unix)]
impl AsRawFd for Plain {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(s) => s.as_raw_fd(),
            Self::Pair(s) => s.as_raw_fd(),
        }
    }
}

#[cfg(windows)]
impl AsRawSocket for Plain {
    fn as_raw_socket(&self) -> RawSocket {
        match self {
            Self::Tcp(s) | Self::Pair(s) => s.as_raw_socket(),
        }
    }
}

impl Plain {
    pub(super) fn try_clone(&self) -> std::io::Result<Self> {
        match self {
            Self::Tcp(s) => s.try_clone().map(Self::Tcp),
            Self::Pair(s) => s.try_clone().map(Self::Pair),
        }
    }
}

/// The same, for a task that waits for it.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(tokio::net::TcpStream),
    Pair(TaskPair),
}

impl Socket {
    pub(super) fn new(plain: Plain) -> std::io::Result<Self> {
        match plain {
            Plain::Tcp(s) => {
                s.set_nonblocking(true)?;
                tokio::net::TcpStream::from_std(s).map(Self::Tcp)
            }
            Plain::Pair(s) => {
                s.set_nonblocking(true)?;
                TaskPair::from_std(s).map(Self::Pair)
            }
        }
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self {
            Self::Tcp(s) => s.poll_read_ready(cx),
            Self::Pair(s) => s.poll_read_ready(cx),
        }
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self {
            Self::Tcp(s) => s.poll_write_ready(cx),
            Self::Pair(s) => s.poll_write_ready(cx),
        }
    }

    pub(super) fn try_io<R>(&self, interest: Interest, work: impl FnOnce() -> std::io::Result<R>) -> std::io::Result<R> {
        match self {
            Self::Tcp(s) => s.try_io(interest, work),
            Self::Pair(s) => s.try_io(interest, work),
        }
    }
}
