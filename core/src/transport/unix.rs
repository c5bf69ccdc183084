//! A Unix socket on this host.

use std::path::PathBuf;

use tokio::net::UnixStream;

use super::{Connector, Io};
use crate::{
    call::BoxFuture,
    error::{Error, ErrorKind, Result},
};

#[derive(Debug)]
pub(super) struct Unix {
    pub(super) path: PathBuf,
}

impl Connector for Unix {
    fn connect(&self) -> BoxFuture<Result<Box<dyn Io>>> {
        let path = self.path.clone();
        Box::pin(async move {
            match UnixStream::connect(&path).await {
                Ok(stream) => Ok(super::seated(stream)),
                Err(e) => Err(explain(&path, e)),
            }
        })
    }
}

fn explain(path: &std::path::Path, e: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let name = path.display().to_string();
    let (kind, hint) = match e.kind() {
        Io::NotFound => (ErrorKind::Unreachable, "no engine listens there: start it, or give another endpoint"),
        Io::PermissionDenied => (ErrorKind::Forbidden, "run as root or join the group that owns the socket"),
        Io::ConnectionRefused => (ErrorKind::Unreachable, "the socket is there but no engine answers: start it"),
        _ => (ErrorKind::Unreachable, "check that this path is the socket of an engine"),
    };
    Error::new(kind, format!("cannot connect to {name}: {e}")).hint(hint).with("endpoint", format!("unix://{name}")).source(e)
}
