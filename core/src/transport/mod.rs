//! The ways to reach an engine. Each gives one thing: an asynchronous byte stream to the engine's API.

mod endpoint;
#[cfg(windows)]
mod npipe;
#[cfg_attr(not(target_os = "linux"), path = "seat_elsewhere.rs")]
mod seat;
#[cfg(target_os = "linux")]
mod seated;
#[cfg(target_os = "linux")]
mod spin;
pub(crate) mod ssh;
mod tcp;
mod tls;
#[cfg(unix)]
mod unix;

use std::{fmt, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use endpoint::DEFAULT_SOCKET;
pub use endpoint::Endpoint;
#[doc(hidden)]
pub use seat::Seat;
pub use ssh::{HostKey, SshOptions};
pub use tls::TlsOptions;
pub(crate) use tls::refused;

use crate::{
    call::BoxFuture,
    error::{Error, ErrorKind, Result},
};

/// A byte stream to an engine or a host.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A socket as a stream, which a waiting thread can watch itself where the system lets it.
#[cfg(target_os = "linux")]
fn seated<S: AsyncRead + AsyncWrite + std::os::fd::AsFd + Send + Unpin + 'static>(stream: S) -> Box<dyn Io> {
    match seated::Seated::new(&stream) {
        Ok(seated) => Box::new(seated),
        Err(_) => Box::new(stream),
    }
}

/// A socket as a stream.
#[cfg(not(target_os = "linux"))]
fn seated<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Box<dyn Io> {
    Box::new(stream)
}

/// Opens byte streams to one engine.
pub(crate) trait Connector: Send + Sync + fmt::Debug {
    /// Opens one stream. Dropping the future gives the attempt up.
    fn connect(&self) -> BoxFuture<Result<Box<dyn Io>>>;

    /// Opens a stream to a port of another host, by the way that leads to the engine's host.
    fn reach(&self, host: &str, port: u16) -> BoxFuture<Result<Box<dyn Io>>> {
        tcp::Tcp { host: host.to_owned(), port }.connect()
    }
}

/// The error for an endpoint that is none on this system.
fn elsewhere(endpoint: &Endpoint, what: &str, hint: &str) -> Error {
    let message = format!("{endpoint} cannot be reached from here: {what}");
    Error::new(ErrorKind::Unsupported, message).hint(format!("{hint} {}", Endpoint::usual())).with("endpoint", endpoint.to_string())
}

/// The connector for `endpoint`.
pub(crate) fn connector(endpoint: &Endpoint, tls: Option<&TlsOptions>, ssh: Option<&SshOptions>) -> Result<Arc<dyn Connector>> {
    Ok(match endpoint {
        #[cfg(unix)]
        Endpoint::Unix { path } => Arc::new(unix::Unix { path: path.clone() }),
        #[cfg(windows)]
        Endpoint::Npipe { name } => Arc::new(npipe::Npipe { name: name.clone() }),
        #[cfg(windows)]
        Endpoint::Unix { .. } => return Err(elsewhere(endpoint, "Unix sockets are not spoken on Windows", "give the engine's pipe, such as")),
        #[cfg(unix)]
        Endpoint::Npipe { .. } => return Err(elsewhere(endpoint, "named pipes are there on Windows only", "give the engine's socket, such as")),
        Endpoint::Tcp { host, port } => match tls {
            None => Arc::new(tcp::Tcp { host: host.clone(), port: *port }),
            Some(options) => Arc::new(tls::Tls::new(host, *port, options)?),
        },
        Endpoint::Ssh { .. } => ssh::connector(endpoint, ssh.cloned().unwrap_or_default())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_of_another_system_is_unsupported() {
        let (own, other) = if cfg!(windows) { ("npipe:////./pipe/x", "unix:///x") } else { ("unix:///x", "npipe:////./pipe/x") };
        let find = |text: &str| connector(&Endpoint::parse(text).unwrap(), None, None);
        assert!(find(own).is_ok());
        let e = find(other).unwrap_err();
        assert_eq!((e.kind(), e.context()["endpoint"].as_str()), (ErrorKind::Unsupported, other));
        assert!(e.hint_text().unwrap().ends_with(&Endpoint::usual().to_string()));
    }
}
