//! The one way to an engine's API: a pool of connections from a connector, for bollard and for raw requests alike.
//!
//! bollard makes the requests that carry typed bodies, over its custom transport; this file adds what it leaves out:
//! the version prefix, deadlines, connection reuse and errors by kind. Answers that are read back as models go raw,
//! so that a value of a newer engine never fails a call.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::BodyExt;
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::http::{AnswerBody, Failure, Pool, collect, drain, fell_silent, gathered};
pub(crate) use super::http::{Body, Req, escape_segment, reader_stream};
use crate::{
    call::{BoxFuture, PerProcess},
    error::{Error, ErrorKind, Result},
    transport::{Connector, Io},
};

/// The oldest API that this crate speaks: Docker 20.10.
pub(crate) const MIN_API: ApiVersion = ApiVersion(1, 41);
/// The newest API that this crate knows.
pub(crate) const MAX_API: ApiVersion = ApiVersion(1, 51);

/// A version of the Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion(pub(crate) u32, pub(crate) u32);

impl ApiVersion {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().trim_start_matches('v').split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A stream of an answer's bytes.
pub(crate) type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A client of one engine. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

/// How long a call may wait, for each thing that it waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Making a connection.
    pub(crate) connect: Duration,
    /// The beginning of an answer, once there is a connection.
    pub(crate) first_byte: Duration,
    /// Silence in an answer that is read whole.
    pub(crate) silence: Duration,
}

struct Inner {
    pool: PerProcess<Pool>,
    connector: Arc<dyn Connector>,
    endpoint: String,
    version: OnceLock<ApiVersion>,
    limits: Limits,
    /// What the user's configuration adds to every request.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.0.endpoint)
    }
}

impl Client {
    pub(crate) fn new(
        connector: Arc<dyn Connector>,
        endpoint: String,
        limits: Limits,
        version: Option<ApiVersion>,
        headers: &std::collections::BTreeMap<String, String>,
    ) -> Self {
        let cell = OnceLock::new();
        if let Some(version) = version {
            cell.set(version).ok();
        }
        let headers = headers.iter().filter_map(|(k, v)| Some((k.parse().ok()?, v.parse().ok()?))).collect();
        Self(Arc::new(Inner { pool: PerProcess::new(Pool::default), endpoint, version: cell, limits, headers, connector }))
    }

    /// A connection to a port of another host, as the engine's host sees it where that is reached through SSH.
    pub(crate) async fn reach(&self, host: &str, port: u16) -> Result<Box<dyn Io>> {
        self.0.connector.reach(host, port).await
    }

    /// Closes the connections that no call uses; the next call makes one.
    pub(crate) fn close(&self) {
        self.0.pool.get().close();
    }

    /// Where the engine is, as in `DOCKER_HOST`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// The version that calls are made with, once it is known.
    pub(crate) fn known_version(&self) -> Option<ApiVersion> {
        self.0.version.get().copied()
    }

    /// Asks the engine for its version, once, and checks that it is in the range that this crate speaks.
    pub(crate) async fn version(&self) -> Result<ApiVersion> {
        match self.0.version.get() {
            Some(v) => Ok(*v),
            None => self.negotiate().await,
        }
    }

    /// Asks the engine for its version, and agrees on one: the one that is wanted, else the newest that both sides know.
    pub(crate) async fn negotiate(&self) -> Result<ApiVersion> {
        let response = self.send_raw(Req::get(&["_ping"])).await?;
        let header = response.headers().get("api-version").and_then(|v| v.to_str().ok()).and_then(ApiVersion::parse);
        drain(response, Some(self.0.limits.silence)).await;
        let offered = header.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("{} answers, but not as a Docker engine", self.0.endpoint))
                .hint("check that the endpoint is an engine and not another service")
        })?;
        if offered < MIN_API {
            return Err(Error::new(ErrorKind::Unsupported, format!("the engine speaks API {offered}, and {MIN_API} is needed"))
                .hint("upgrade the engine to Docker 20.10 or newer")
                .with("endpoint", &*self.0.endpoint));
        }
        let agreed = *self.0.version.get_or_init(|| offered.min(MAX_API));
        if agreed > offered {
            return Err(Error::new(ErrorKind::Unsupported, format!("API {agreed} is asked for, and the engine speaks {offered} at most"))
                .hint("ask for an older one, in the options or in DOCKER_API_VERSION, or for none")
                .with("needs_api", agreed.to_string())
                .with("endpoint", &*self.0.endpoint));
        }
        Ok(agreed)
    }

    /// Whether the engine would have images built with BuildKit.
    pub(crate) async fn recommends_buildkit(&self) -> Result<bool> {
        let response = self.send_raw(Req::get(&["_ping"])).await?;
        let recommended = response.headers().get("builder-version").is_some_and(|v| v == "2");
        drain(response, Some(self.0.limits.silence)).await;
        Ok(recommended)
    }

    /// A call of bollard, over the same pool.
    pub(crate) async fn typed<T, F>(&self, call: impl FnOnce(bollard::Docker) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let begun = Arc::new(Notify::new());
        let mut call = std::pin::pin!(call(self.docker(begun.clone()).await?));
        let result = tokio::select! {
            result = &mut call => result,
            // bollard reads the answer, which is short: the rest of it is one silence.
            () = begun.notified() => {
                let limit = self.0.limits.silence;
                tokio::time::timeout(limit, call).await.map_err(|_| fell_silent(limit).with("endpoint", &*self.0.endpoint))?
            }
        };
        result.map_err(|e| self.bollard_error(e))
    }

    /// bollard over the same pool; `begun` is told when an answer begins.
    async fn docker(&self, begun: Arc<Notify>) -> Result<bollard::Docker> {
        let version = self.version().await?;
        let client = self.clone();
        let transport = move |request: bollard::BollardRequest| {
            let (client, begun) = (client.clone(), begun.clone());
            async move { client.forward(request).await.inspect(|_| begun.notify_one()) }
        };
        // Deadlines are kept here, around the whole call: bollard's own is set out of the way.
        let number = bollard::ClientVersion { major_version: version.0 as usize, minor_version: version.1 as usize };
        bollard::Docker::connect_with_custom_transport(transport, Some("http://engine"), 86_400, &number).map_err(|e| Error::internal(e.to_string()))
    }

    async fn forward(&self, mut request: bollard::BollardRequest) -> Result<Response<Incoming>, bollard::errors::Error> {
        let io = |e: Error| bollard::errors::Error::from(std::io::Error::other(Carried(Mutex::new(Some(e)))));
        let version = self.version().await.map_err(io)?;
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let path = if path.starts_with("/v1.") { path.to_owned() } else { format!("/v{version}{path}") };
        request.headers_mut().insert(HOST, HeaderValue::from_static("engine"));
        request.headers_mut().extend(self.0.headers.iter().cloned());
        *request.uri_mut() = path.parse::<Uri>().map_err(|e| io(Error::invalid(e.to_string())))?;
        let answer = self.ask(request, Some(self.0.limits.first_byte)).await.map_err(io)?;
        let (head, body) = answer.into_parts();
        let body = body.detach().ok_or_else(|| io(Error::internal("an answer without a body")))?;
        Ok(Response::from_parts(head, body))
    }

    /// How long the answer to a request may be silent once it has begun.
    fn silence(&self, req: &Req) -> Option<Duration> {
        req.timeout.unwrap_or(Some(self.0.limits.silence))
    }

    /// Sends a request as it is and gives the answer whatever its status.
    async fn send_raw(&self, req: Req) -> Result<Response<AnswerBody>> {
        if let Some(bad) = req.bad {
            return Err(bad);
        }
        let uri = format!("{}{}", req.path, req.query);
        let mut request = Request::builder().method(req.method).uri(uri).header(HOST, "engine");
        for (name, value) in self.0.headers.iter().cloned().chain(req.headers) {
            request = request.header(name, value);
        }
        let request = request.body(req.body).map_err(|e| Error::invalid(e.to_string()))?;
        match req.timeout {
            None => self.ask(request, Some(self.0.limits.first_byte)).await,
            Some(None) => self.ask(request, None).await,
            // What the request itself says is for connecting, too.
            Some(Some(limit)) => {
                tokio::time::timeout(limit, self.ask(request, None)).await.unwrap_or_else(|_| Err(self.transport_error(Failure::Silent(limit))))
            }
        }
    }

    /// Sends a request, whose answer must begin within `limit` once there is a connection.
    async fn ask(&self, request: Request<Body>, limit: Option<Duration>) -> Result<Response<AnswerBody>> {
        let dial = || {
            let (connect, limit) = (self.0.connector.connect(), self.0.limits.connect);
            Box::pin(async move {
                tokio::time::timeout(limit, connect).await.unwrap_or_else(|_| {
                    Err(Error::new(ErrorKind::Timeout, format!("no connection within {}", crate::units::go_duration(limit)))
                        .hint("check the address and what lies between, or give connect_timeout more time"))
                })
            }) as BoxFuture<_>
        };
        self.0.pool.get().request(dial, request, limit).await.map_err(|e| self.transport_error(e))
    }

    /// Sends a request and gives the answer when its status says that it went well.
    pub(crate) async fn send(&self, mut req: Req) -> Result<Response<AnswerBody>> {
        let version = self.version().await?;
        req.path = format!("/v{version}{}", req.path);
        let response = self.send_raw(req).await?;
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS || response.status() == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let status = response.status();
        let content = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let body = collect(response, 64 << 10, Some(self.0.limits.silence)).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let message = match serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|v| v.get("message").and_then(|m| m.as_str().map(str::to_owned))) {
            Some(message) => message,
            None if content.starts_with("text/plain") => text.trim().to_owned(),
            None => format!("status {status} with an answer that is not the engine's"),
        };
        Err(status_error(status, &message).with("endpoint", &*self.0.endpoint))
    }

    /// Sends a request and throws the body of the answer away.
    pub(crate) async fn done(&self, req: Req) -> Result<StatusCode> {
        let silence = self.silence(&req);
        let response = self.send(req).await?;
        let status = response.status();
        drain(response, silence).await;
        Ok(status)
    }

    /// Sends a request and gives the whole answer, whatever its status.
    pub(crate) async fn whole(&self, mut req: Req) -> Result<(StatusCode, Bytes)> {
        let version = self.version().await?;
        req.path = format!("/v{version}{}", req.path);
        let silence = self.silence(&req);
        let response = self.send_raw(req).await?;
        let status = response.status();
        Ok((status, collect(response, 512 << 20, silence).await?))
    }

    /// Sends a request and reads the answer as JSON.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, req: Req) -> Result<T> {
        self.fetch_with(req, |body| serde_json::from_slice(body)).await
    }

    /// Sends a request and has the answer read by `read`.
    pub(crate) async fn fetch_with<T>(&self, req: Req, read: impl FnOnce(&[u8]) -> serde_json::Result<T>) -> Result<T> {
        let silence = self.silence(&req);
        let body = collect(self.send(req).await?, 512 << 20, silence).await?;
        read(&body).map_err(|e| {
            Error::new(ErrorKind::Engine, format!("the engine's answer cannot be read: {e}"))
                .hint("check that nothing between here and the engine changes answers")
                .with("endpoint", &*self.0.endpoint)
        })
    }

    /// Sends a request and gives the bytes of the answer as they come.
    pub(crate) async fn bytes(&self, req: Req) -> Result<ByteStream> {
        let response = self.send(req).await?;
        let lost = self.0.endpoint.clone();
        let parts = response.into_body().into_data_stream().map_err(move |e| {
            Error::new(ErrorKind::Unreachable, format!("the connection was lost: {e}")).with("endpoint", lost.clone()).hint("make the same call again")
        });
        Ok(Box::pin(gathered(parts)))
    }

    /// Sends a request and takes the connection over for another protocol: `tcp` for attach and exec. Gives the stream and
    /// whether it is multiplexed, where the engine says so.
    pub(crate) async fn upgrade(&self, req: Req, protocol: &str) -> Result<(Box<dyn Io>, Option<bool>)> {
        let response = self.send(req.header("connection", "Upgrade").header("upgrade", protocol)).await?;
        let multiplexed = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(|t| t.ends_with("multiplexed-stream"));
        let refused = |why: String| Error::new(ErrorKind::Unreachable, format!("the engine did not open a stream{why}"));
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused(format!(": status {}", response.status())));
        }
        let upgraded = response.into_body().upgrade().await.ok_or_else(|| refused(String::new()))?.map_err(|e| refused(format!(": {e}")))?;
        Ok((upgraded, multiplexed))
    }

    /// Turns bollard's error into ours.
    fn bollard_error(&self, e: bollard::errors::Error) -> Error {
        if let bollard::errors::Error::DockerResponseServerError { status_code, message } = &e {
            let status = StatusCode::from_u16(*status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return status_error(status, message).with("endpoint", &*self.0.endpoint);
        }
        match carried(&e) {
            Some(error) => error,
            None => Error::new(ErrorKind::Engine, e.to_string()).with("endpoint", &*self.0.endpoint).source(e),
        }
    }

    fn transport_error(&self, failure: Failure) -> Error {
        let error = match failure {
            Failure::Dial(error) => error,
            Failure::Silent(limit) => Error::new(ErrorKind::Timeout, format!("the engine did not answer within {}", crate::units::go_duration(limit)))
                .hint("check that the engine is not stuck; the same call can be made again"),
            Failure::Ended => {
                Error::new(ErrorKind::Unreachable, "the connection ended without an answer").hint("check that the engine runs; the same call can be made again")
            }
            Failure::Http(e) => crate::transport::refused(&e).unwrap_or_else(|| {
                let mut text = e.to_string();
                let mut cause = std::error::Error::source(&e);
                while let Some(c) = cause {
                    text = c.to_string();
                    cause = c.source();
                }
                Error::new(ErrorKind::Unreachable, format!("the connection to the engine failed: {text}"))
                    .hint("check that the engine runs; the same call can be made again")
                    .source(e)
            }),
        };
        error.with("endpoint", &*self.0.endpoint)
    }
}

/// The error for a status of the engine.
pub(crate) fn status_error(status: StatusCode, message: &str) -> Error {
    let message = message.trim();
    let exists = ["already exists", "already in use", "already part of a swarm", "is already a manager"].iter().any(|m| message.contains(m));
    let kind = match status {
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        StatusCode::CONFLICT if exists => ErrorKind::AlreadyExists,
        StatusCode::CONFLICT => ErrorKind::Conflict,
        StatusCode::UNAUTHORIZED => ErrorKind::Unauthorized,
        StatusCode::SERVICE_UNAVAILABLE if exists => ErrorKind::AlreadyExists,
        StatusCode::FORBIDDEN if exists => ErrorKind::AlreadyExists,
        StatusCode::FORBIDDEN => ErrorKind::Forbidden,
        // An engine that has given up the versions that are spoken here, or never had the one that is asked for.
        StatusCode::BAD_REQUEST if message.starts_with("client version ") => ErrorKind::Unsupported,
        StatusCode::BAD_REQUEST => ErrorKind::InvalidInput,
        StatusCode::NOT_IMPLEMENTED => ErrorKind::Unsupported,
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => ErrorKind::Unreachable,
        StatusCode::INTERNAL_SERVER_ERROR if message.contains("no basic auth credentials") || message.contains("unauthorized: ") => ErrorKind::Unauthorized,
        StatusCode::INTERNAL_SERVER_ERROR if message.contains("invalid reference format") => ErrorKind::InvalidInput,
        StatusCode::SERVICE_UNAVAILABLE if message.contains("swarm") || message.contains("leader") => ErrorKind::Conflict,
        _ => ErrorKind::Engine,
    };
    let error = Error::new(kind, message).with("status", status.as_u16().to_string());
    if status.is_server_error() && kind == ErrorKind::Engine { error.retryable() } else { error }
}

/// Carries our own error through a library's error type.
struct Carried(Mutex<Option<Error>>);

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carried")
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.lock().as_deref() {
            Ok(Some(e)) => fmt::Display::fmt(e, f),
            _ => f.write_str("failed"),
        }
    }
}

impl std::error::Error for Carried {}

/// Our own error, where bollard brings one back. Its wrapper passes the wrapped error's causes on and not that error itself.
fn carried(e: &bollard::errors::Error) -> Option<Error> {
    let bollard::errors::Error::IOError { err } = e else { return None };
    err.get_ref()?.downcast_ref::<Carried>()?.0.lock().ok()?.take()
}
