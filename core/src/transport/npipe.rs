//! A named pipe of this host, where it is Windows.

use std::{
    io::Result as IoResult,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::windows::named_pipe::NamedPipeClient,
};

use super::{Connector, Io, endpoint::pipe_path};
use crate::{
    call::BoxFuture,
    error::{Error, ErrorKind, Result},
    host::{PIPE_BUSY, open_pipe},
};

#[derive(Debug)]
pub(super) struct Npipe {
    pub(super) name: String,
}

impl Connector for Npipe {
    fn connect(&self) -> BoxFuture<Result<Box<dyn Io>>> {
        let name = self.name.clone();
        Box::pin(async move {
            match open_pipe(&pipe_path(&name)).await {
                Ok(pipe) => Ok(Box::new(Pipe(pipe)) as Box<dyn Io>),
                Err(e) => Err(explain(&name, e)),
            }
        })
    }
}

fn explain(name: &str, e: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let (kind, hint) = match e.kind() {
        Io::NotFound => (ErrorKind::Unreachable, "no engine listens there: start it, or give another endpoint"),
        Io::PermissionDenied => (ErrorKind::Forbidden, "run as an administrator or join the group docker-users"),
        _ if e.raw_os_error() == Some(PIPE_BUSY) => (ErrorKind::Unreachable, "the engine has no time for another connection: make the same call again"),
        _ => (ErrorKind::Unreachable, "check that this is the pipe of an engine"),
    };
    let path = pipe_path(name);
    Error::new(kind, format!("cannot connect to {path}: {e}"))
        .hint(hint)
        .with("endpoint", super::Endpoint::Npipe { name: name.to_owned() }.to_string())
        .source(e)
}

/// A pipe whose one direction can be closed alone: an engine takes a message without content for the end of what it reads.
struct Pipe(NamedPipeClient);

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<IoResult<usize>> {
        // Without content, it would be the end.
        if data.is_empty() { Poll::Ready(Ok(0)) } else { Pin::new(&mut self.0).poll_write(cx, data) }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        match Pin::new(&mut self.0).poll_write(cx, &[]) {
            Poll::Pending => Poll::Pending,
            // Where the other side has gone, there is nobody to tell.
            Poll::Ready(_) => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::windows::named_pipe::{NamedPipeServer, PipeMode, ServerOptions},
    };

    use super::*;

    fn name(of: &str) -> String {
        format!("dockerkit-test-{of}-{}", std::process::id())
    }

    fn serve(name: &str, first: bool) -> NamedPipeServer {
        ServerOptions::new().pipe_mode(PipeMode::Message).max_instances(1).first_pipe_instance(first).create(pipe_path(name)).unwrap()
    }

    #[tokio::test]
    async fn both_directions_carry_bytes_and_one_is_closed_alone() {
        let name = name("talk");
        let mut server = serve(&name, true);
        let talk = tokio::spawn(async move {
            server.connect().await.unwrap();
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            server.write_all(b"heard ").await.unwrap();
            server.write_all(&heard).await.unwrap();
            // What was sent is lost when its sender goes before it is read.
            assert_eq!(server.write(&[]).await.unwrap(), 0);
            server.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        });
        let mut client = Npipe { name }.connect().await.unwrap();
        client.write_all(b"a word").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "heard a word");
        talk.await.unwrap();
    }

    #[tokio::test]
    async fn a_busy_pipe_is_waited_for() {
        let name = name("busy");
        let server = serve(&name, true);
        let pipe = Npipe { name };
        let first = pipe.connect().await.unwrap();
        server.connect().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(100), pipe.connect()).await.is_err());
        let waiting = tokio::spawn(pipe.connect());
        drop(first);
        server.disconnect().unwrap();
        server.connect().await.unwrap();
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_pipe_that_is_not_there_is_unreachable() {
        let e = Npipe { name: name("none") }.connect().await.err().unwrap();
        assert_eq!(e.kind(), ErrorKind::Unreachable);
        assert!(e.context()["endpoint"].starts_with("npipe:////./pipe/dockerkit-test-none-"));
    }
}
