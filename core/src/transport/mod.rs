//! The ways to reach an engine. Each gives one thing: an asynchronous byte stream to the engine's API.

mod endpoint;
pub(crate) mod ssh;
mod tcp;
mod tls;
mod unix;

use std::{fmt, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use endpoint::DEFAULT_SOCKET;
pub use endpoint::Endpoint;
pub use ssh::{HostKey, SshOptions};
pub use tls::TlsOptions;
pub(crate) use tls::refused;

use crate::{call::BoxFuture, error::Result};

/// A byte stream to an engine or a host.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens byte streams to one engine.
pub(crate) trait Connector: Send + Sync + fmt::Debug {
    /// Opens one stream. Dropping the future gives the attempt up.
    fn connect(&self) -> BoxFuture<Result<Box<dyn Io>>>;

    /// Opens a stream to a port of another host, by the way that leads to the engine's host.
    fn reach(&self, host: &str, port: u16) -> BoxFuture<Result<Box<dyn Io>>> {
        tcp::Tcp { host: host.to_owned(), port }.connect()
    }
}

/// The connector for `endpoint`.
pub(crate) fn connector(endpoint: &Endpoint, tls: Option<&TlsOptions>, ssh: Option<&SshOptions>) -> Result<Arc<dyn Connector>> {
    Ok(match endpoint {
        Endpoint::Unix { path } => Arc::new(unix::Unix { path: path.clone() }),
        Endpoint::Tcp { host, port } => match tls {
            None => Arc::new(tcp::Tcp { host: host.clone(), port: *port }),
            Some(options) => Arc::new(tls::Tls::new(host, *port, options)?),
        },
        Endpoint::Ssh { .. } => ssh::connector(endpoint, ssh.cloned().unwrap_or_default())?,
    })
}
