//! Calls to BuildKit itself, over a connection that the engine has handed to it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Request,
    client::conn::http2::{SendRequest, handshake},
    header::{CONTENT_TYPE, TE},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

use super::{
    grpc::{Messages, UNIMPLEMENTED, framed},
    wire::{Ref, Solve, Solved, Status, Workers},
};
use crate::{
    engine::{Engine, Req},
    error::{Error, ErrorKind, Result},
};

/// The connection. What was asked over it ends when it is dropped.
pub(super) struct Control {
    sender: SendRequest<Full<Bytes>>,
    work: tokio::task::JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Control {
    pub(super) async fn open(engine: &Engine) -> Result<Self> {
        let (io, _) = engine.client.upgrade(Req::post(&["grpc"]), "h2c").await?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(io)).await.map_err(|e| lost(&e))?;
        let work = tokio::spawn(async move { connection.await.unwrap_or_default() });
        Ok(Self { sender, work })
    }

    /// Builds, and gives what the exporter says.
    pub(super) async fn solve(&self, order: &Solve) -> Result<Solved> {
        self.one("Solve", order).await
    }

    pub(super) async fn workers(&self) -> Result<Workers> {
        self.one("ListWorkers", &Ref::default()).await
    }

    /// Shows the progress of a build to `see`, until there is no more.
    pub(super) async fn watch(&self, name: &str, mut see: impl FnMut(&Status)) -> Result<()> {
        let mut messages = self.call("Status", &Ref { name: name.to_owned() }).await?;
        while let Some(message) = messages.next().await.map_err(|_| broken())? {
            // A form that is not known is no reason to end a build.
            if let Ok(status) = Status::decode(message) {
                see(&status);
            }
        }
        Ok(())
    }

    /// A call with one answer.
    async fn one<T: Message + Default>(&self, method: &str, message: &impl Message) -> Result<T> {
        let mut messages = self.call(method, message).await?;
        let answer = messages.next().await.map_err(|_| broken())?;
        while messages.next().await.map_err(|_| broken())?.is_some() {}
        state(&messages.trailers)?;
        let answer = answer.ok_or_else(broken)?;
        T::decode(answer).map_err(|e| Error::new(ErrorKind::Engine, format!("BuildKit's answer cannot be read: {e}")))
    }

    async fn call(&self, method: &str, message: &impl Message) -> Result<Messages> {
        let request = Request::post(format!("http://engine/moby.buildkit.v1.Control/{method}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(Full::new(framed(message)))
            .map_err(|e| Error::internal(e.to_string()))?;
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(|e| lost(&e))?;
        let (head, body) = sender.send_request(request).await.map_err(|e| lost(&e))?.into_parts();
        // A call that fails at once has its state here.
        if head.headers.contains_key("grpc-status") {
            state(&head.headers)?;
        }
        Ok(Messages::new(body))
    }
}

/// Whether a call went well, by what its end says.
fn state(trailers: &HeaderMap) -> Result<()> {
    let text = |name: &str| trailers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match text("grpc-status").parse::<u32>() {
        Ok(0) => Ok(()),
        Ok(code) => {
            let words = percent_encoding::percent_decode_str(text("grpc-message")).decode_utf8_lossy().into_owned();
            let kind = if code == UNIMPLEMENTED { ErrorKind::Unsupported } else { ErrorKind::Engine };
            Err(Error::new(kind, words))
        }
        Err(_) => Err(broken()),
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Unreachable, "the connection to the engine was lost").hint("check that the engine runs; the same call can be made again")
}

fn lost(e: &hyper::Error) -> Error {
    Error::new(ErrorKind::Unreachable, format!("the connection to the engine was lost: {e}"))
        .hint("check that the engine runs; the same call can be made again")
}
