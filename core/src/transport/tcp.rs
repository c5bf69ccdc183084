//! A TCP port without TLS.

use tokio::net::TcpStream;

use super::{Connector, Io};
use crate::{
    call::BoxFuture,
    error::{Error, ErrorKind, Result},
};

#[derive(Debug)]
pub(super) struct Tcp {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Connector for Tcp {
    fn connect(&self) -> BoxFuture<Result<Box<dyn Io>>> {
        let (host, port) = (self.host.clone(), self.port);
        Box::pin(async move { Ok(super::seated(dial(&host, port).await?)) })
    }
}

/// Opens a TCP connection with Nagle's algorithm off.
pub(crate) async fn dial(host: &str, port: u16) -> Result<TcpStream> {
    let place = format!("{host}:{port}");
    let stream = TcpStream::connect((host, port)).await.map_err(|e| {
        Error::new(ErrorKind::Unreachable, format!("cannot connect to {place}: {e}"))
            .hint("check the host name, the port, and that nothing between here and there blocks it")
            .with("endpoint", format!("tcp://{place}"))
            .source(e)
    })?;
    stream.set_nodelay(true).ok();
    Ok(stream)
}
