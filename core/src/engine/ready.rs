//! Waiting until a container can be used: for a port, a line in its output, an answer over HTTP, its health check.

use std::time::Duration;

use futures_util::{StreamExt, future::BoxFuture};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;

use super::{Container, Engine, Health};
use crate::{
    call::{Call, options},
    error::{Error, ErrorKind, Result},
    transport::{Endpoint, Io},
    units::Seconds,
};

options! {
    /// Options of [`Container::wait_until`]: all that is named must come true. Where nothing is, the container must run, and
    /// be healthy if it has a health check.
    pub struct WaitUntil {
        /// A TCP port of the container takes connections.
        pub port: Option<u16>,
        /// Its `port` answers a GET of this path, such as `/health`.
        pub http: Option<String>,
        /// The status of that answer; default: any from 200 to 399.
        pub http_status: Option<u16>,
        /// Its output, from its start, holds this text.
        pub log: Option<String>,
        /// How often the output must hold the text; default once.
        pub log_times: Option<u32>,
        /// Its health check passes.
        pub healthy: bool,
        /// How long it may take; default 1 min.
        pub timeout: Option<Seconds>,
    }
}

/// How often is looked where nothing tells.
const LOOK: Duration = Duration::from_millis(100);
/// How much of the output an error shows.
const TAIL: u64 = 10;

impl Container {
    /// Waits until it can be used, by one condition or several. Ports are reached at the container's address, through SSH
    /// where its engine is, and at the published port of an engine that is reached over TCP.
    ///
    /// # Errors
    /// `unhealthy` when the container ends first or its health check fails, `timeout`, `invalid_input` for a condition that
    /// it cannot meet, such as the health of one without a check.
    ///
    /// # Cancel safety
    /// The container is left as it is.
    pub fn wait_until(&self) -> Call<WaitUntil, ()> {
        let me = self.clone();
        Call::new("container.wait_until", move |o: WaitUntil, _| async move {
            let limit = o.timeout.map_or(Duration::from_secs(60), |t| t.0);
            let ready = me.ready(&o);
            let ended = async {
                // Only one that has run can end: one that was just made is waited for.
                loop {
                    let now = me.details().await?;
                    if now.status != "created" {
                        return me.wait_now("").await;
                    }
                    tokio::time::sleep(LOOK).await;
                }
            };
            let result = tokio::time::timeout(limit, async {
                tokio::select! {
                    biased;
                    ready = ready => ready,
                    ended = ended => {
                        let code = ended?.exit_code;
                        Err(Error::new(ErrorKind::Unhealthy, format!("{} ended with {code} before it was ready", me.name())).with("exit_code", code.to_string()))
                    }
                }
            });
            let result = result.await.unwrap_or_else(|_| {
                let limit = crate::units::go_duration(limit);
                Err(Error::new(ErrorKind::Timeout, format!("{} was not ready within {limit}: waited for {}", me.name(), o.describe())))
            });
            match result {
                Err(e) if matches!(e.kind(), ErrorKind::Unhealthy | ErrorKind::Timeout) => Err(me.with_tail(e).await),
                other => other,
            }
        })
    }

    async fn ready(&self, o: &WaitUntil) -> Result<()> {
        let mut all: Vec<BoxFuture<'_, Result<()>>> = Vec::new();
        if o.healthy || o.is_empty() {
            all.push(Box::pin(self.until_healthy(o.healthy)));
        }
        if let Some(text) = &o.log {
            all.push(Box::pin(self.until_log(text, o.log_times.unwrap_or(1))));
        }
        if let Some((port, question)) = o.asked()? {
            all.push(Box::pin(self.until_port(port, question)));
        }
        futures_util::future::try_join_all(all).await.map(drop)
    }

    async fn until_healthy(&self, must_have: bool) -> Result<()> {
        loop {
            let now = self.details().await?;
            match now.health.as_ref().map(Health::as_str) {
                Some("healthy") => return Ok(()),
                Some("unhealthy") => return Err(Error::new(ErrorKind::Unhealthy, format!("{} is unhealthy", self.name()))),
                None | Some("none") if must_have => {
                    return Err(Error::invalid(format!("{} has no health check", self.name())).hint("wait for a port or its output instead"));
                }
                None | Some("none") if now.status == "running" => return Ok(()),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    async fn until_log(&self, text: &str, times: u32) -> Result<()> {
        let mut logs = self.logs().follow(true).await?;
        let mut search = Search::new(text, times);
        while let Some(chunk) = StreamExt::next(&mut logs).await {
            if search.found(&chunk?.data) {
                return Ok(());
            }
        }
        // The output ends with the container; whoever waits for that tells.
        std::future::pending().await
    }

    async fn until_port(&self, port: u16, question: Option<Question>) -> Result<()> {
        loop {
            let (host, port) = self.place_of(port).await?;
            if self.engine.port_answers(&host, port, question.as_ref()).await {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where a port of the container is reached.
    async fn place_of(&self, port: u16) -> Result<(String, u16)> {
        let now = Self::load(&self.engine, self.id()).await?;
        let seen = now.seen();
        let published = seen.ports.iter().find(|p| p.target == port && p.protocol == "tcp").map(|p| p.published);
        Ok(match self.engine.endpoint() {
            // Containers behind a pipe are in a virtual machine, which publishes at this host.
            endpoint @ (Endpoint::Tcp { .. } | Endpoint::Npipe { .. }) => match published {
                Some(published) => (if let Endpoint::Tcp { host, .. } = endpoint { host.clone() } else { "127.0.0.1".to_owned() }, published),
                None => {
                    return Err(Error::invalid(format!("the port {port} of {} is not published, and its engine is elsewhere", self.name()))
                        .hint("publish it, or wait for its output instead"));
                }
            },
            // A container without an address of its own shares the host's.
            _ => (seen.addresses.values().find(|a| !a.is_empty()).cloned().unwrap_or_else(|| "127.0.0.1".to_owned()), port),
        })
    }

    /// The end of the output belongs to the reason.
    async fn with_tail(&self, e: Error) -> Error {
        let mut text = String::new();
        if let Ok(mut logs) = self.logs().tail(TAIL).await {
            while let Some(Ok(chunk)) = StreamExt::next(&mut logs).await {
                text.push_str(&chunk.data.text());
            }
        }
        e.with("container", self.name()).with("output", text.trim_end()).hint("the end of its output is in the context")
    }
}

impl Engine {
    /// Whether a port takes a connection now, by the way that leads to the engine's host, and answers as it is wanted to.
    pub(crate) async fn port_answers(&self, host: &str, port: u16, question: Option<&Question>) -> bool {
        match (tokio::time::timeout(Duration::from_secs(2), self.client.reach(host, port)).await, question) {
            (Ok(Ok(io)), Some(question)) => question.is_answered(io).await,
            (Ok(Ok(_)), None) => true,
            _ => false,
        }
    }
}

impl WaitUntil {
    /// Whether it names no condition.
    pub(crate) fn is_empty(&self) -> bool {
        self.port.is_none() && self.http.is_none() && self.log.is_none() && !self.healthy
    }

    /// The port that is waited for, and what it is asked.
    pub(crate) fn asked(&self) -> Result<Option<(u16, Option<Question>)>> {
        match (self.port, &self.http) {
            (None, Some(_)) => Err(Error::invalid("`http` needs the `port` that is asked").hint("give both")),
            (None, None) => Ok(None),
            (Some(port), path) => Ok(Some((port, path.as_ref().map(|path| Question::new(path, self.http_status)).transpose()?))),
        }
    }

    /// The conditions as words.
    fn describe(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.port.map(|p| format!("port {p}")));
        words.extend(self.http.as_ref().map(|p| format!("an answer to GET {p}")));
        words.extend(self.log.as_ref().map(|t| format!("`{t}` in its output")));
        if self.healthy || words.is_empty() {
            words.push("its health".to_owned());
        }
        words.join(", ")
    }
}

/// Looks for a text in output that comes in parts.
pub(crate) struct Search {
    text: String,
    missing: u32,
    seen: String,
}

impl Search {
    pub(crate) fn new(text: &str, times: u32) -> Self {
        Self { text: text.to_owned(), missing: times.max(1), seen: String::new() }
    }

    /// Takes the next part in; says whether the text has now come so often.
    pub(crate) fn found(&mut self, part: &[u8]) -> bool {
        self.seen.push_str(&String::from_utf8_lossy(part));
        while self.missing > 0
            && let Some(at) = self.seen.find(&self.text)
        {
            self.missing -= 1;
            self.seen.drain(..(at + self.text.len()).max(1).min(self.seen.len()));
        }
        // The text may be in two parts: what can be its beginning stays.
        let mut keep = self.seen.len().saturating_sub(self.text.len());
        while !self.seen.is_char_boundary(keep) {
            keep -= 1;
        }
        self.seen.drain(..keep);
        self.missing == 0
    }
}

/// A GET whose answer is waited for.
pub(crate) struct Question {
    uri: hyper::Uri,
    wanted: Option<u16>,
}

impl Question {
    fn new(path: &str, wanted: Option<u16>) -> Result<Self> {
        let uri = path.parse().ok().filter(|_| path.starts_with('/'));
        let uri = uri.ok_or_else(|| Error::invalid(format!("`{}` is not a path", crate::error::escape(path))).hint("write it as /health"))?;
        Ok(Self { uri, wanted })
    }

    /// Whether the answer that comes now is the one that is waited for.
    async fn is_answered(&self, io: Box<dyn Io>) -> bool {
        let work = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.ok()?;
            let request = hyper::Request::get(&self.uri).header(hyper::header::HOST, "localhost").body(Empty::<bytes::Bytes>::new()).ok()?;
            let answer = sender.send_request(request);
            tokio::pin!(connection, answer);
            let answer = tokio::select! {
                answer = &mut answer => answer,
                // A server that closes after its answer ends the connection at the moment the answer is there.
                _ = &mut connection => answer.await,
            };
            Some(answer.ok()?.status().as_u16())
        };
        let status = tokio::time::timeout(Duration::from_secs(5), work).await.ok().flatten();
        status.is_some_and(|status| self.wanted.map_or((200..400).contains(&status), |wanted| wanted == status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_however_it_is_cut() {
        let output = "läuft: bereit\nbereit\n".as_bytes();
        for cut in 0..output.len() {
            let (a, b) = output.split_at(cut);
            let mut search = Search::new("bereit", 2);
            assert!(!search.found(a) || cut >= output.len() - 1, "{cut}");
            assert!(search.found(b), "{cut}");
            let mut search = Search::new("bereit", 3);
            assert!(!search.found(a) && !search.found(b), "{cut}");
        }
    }

    #[tokio::test]
    async fn an_answer_counts_also_when_the_server_closes_with_it() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let question = Question::new("/health", None).unwrap();
        for _ in 0..100 {
            let (client, mut server) = tokio::io::duplex(4096);
            let answer = async move {
                let mut request = [0; 512];
                let _ = server.read(&mut request).await.unwrap();
                server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine").await.unwrap();
            };
            let (answered, ()) = tokio::join!(question.is_answered(Box::new(client)), answer);
            assert!(answered);
        }
    }
}
