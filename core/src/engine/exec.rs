//! Commands in containers, and conversations with them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::Mutex,
};

use super::{
    Engine, Req,
    container::{AttachOptions, Container, missing},
    logs::{CommandOutput, Demultiplexer, LogChunk},
    spec::Command,
    system::text,
};
use crate::{
    call::{Call, NoOptions, options},
    error::{Error, ErrorKind, Result},
    surface::{Handle, handle},
    transport::Io,
    units::Data,
};

options! {
    /// Options of [`Container::exec`] and [`Container::exec_session`].
    pub struct ExecOptions {
        /// The user, and group after a colon.
        pub user: Option<String>,
        /// The working directory.
        pub workdir: Option<String>,
        /// More environment variables.
        pub env: BTreeMap<String, String>,
        /// Gives the command a terminal.
        pub tty: bool,
        /// The keys that end the session on a terminal, such as `ctrl-x,q`; default: the engine's, `ctrl-p,ctrl-q`.
        pub detach_keys: Option<String>,
        /// Gives the command all privileges.
        pub privileged: bool,
        /// What is written to its standard input first.
        pub stdin: Option<Data>,
    }
}

/// How a command in a container does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ExecState {
    /// Its ID.
    pub id: String,
    /// Whether it runs.
    pub running: bool,
    /// Its exit code, once it has ended.
    pub exit_code: Option<i64>,
    /// Its process ID on the engine's host, 0 when it does not run.
    pub pid: u64,
}

impl ExecState {
    pub(super) fn read(raw: &Value) -> Self {
        let running = raw.get("Running").and_then(Value::as_bool).unwrap_or_default();
        Self {
            id: text(raw, "ID"),
            running,
            exit_code: if running { None } else { raw.get("ExitCode").and_then(Value::as_i64) },
            pid: if running { raw.get("Pid").and_then(Value::as_u64).unwrap_or_default() } else { 0 },
        }
    }
}

/// A conversation with a process in a container: [`write`](Session::write), [`read`](Session::read),
/// [`resize`](Session::resize), [`wait`](Session::wait). It ends when the last clone is dropped.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    engine: Engine,
    /// `exec` or `containers`.
    kind: &'static str,
    id: String,
    tty: bool,
    reader: Mutex<Reader>,
    writer: Mutex<WriteHalf<Box<dyn Io>>>,
}

struct Reader {
    half: ReadHalf<Box<dyn Io>>,
    demux: Demultiplexer,
    ready: std::collections::VecDeque<LogChunk>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} {})", self.0.kind, self.0.id)
    }
}

/// What a [`Session`] shows without a call.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct SessionProperties {
    /// Whether it has a terminal.
    pub tty: bool,
}

impl Session {
    fn new(engine: &Engine, kind: &'static str, id: String, tty: bool, io: Box<dyn Io>) -> Self {
        let (half, writer) = tokio::io::split(io);
        let reader = Reader { half, demux: Demultiplexer::new(), ready: std::collections::VecDeque::new() };
        Self(Arc::new(Inner { engine: engine.clone(), kind, id, tty, reader: Mutex::new(reader), writer: Mutex::new(writer) }))
    }

    pub(super) async fn exec(container: &Container, command: &Command, o: ExecOptions, stdin: bool) -> Result<Self> {
        let tty = o.tty;
        let id = Self::make(container, command, o, stdin, true).await?;
        let client = &container.engine.client;
        let (io, _) = client.upgrade(Req::post(&["exec", &id, "start"]).json(&json!({"Detach": false, "Tty": tty})), "tcp").await?;
        Ok(Self::new(&container.engine, "exec", id, tty, io))
    }

    pub(super) async fn exec_detached(container: &Container, command: &Command, o: ExecOptions) -> Result<String> {
        if o.stdin.is_some() {
            return Err(Error::invalid("a command that nobody waits for gets no standard input").hint("use exec, or leave `stdin` out"));
        }
        let tty = o.tty;
        let id = Self::make(container, command, o, false, false).await?;
        container.engine.client.done(Req::post(&["exec", &id, "start"]).json(&json!({"Detach": true, "Tty": tty}))).await?;
        Ok(id)
    }

    /// Has the engine make a command ready, and gives its ID.
    async fn make(container: &Container, command: &Command, o: ExecOptions, stdin: bool, output: bool) -> Result<String> {
        if command.words().is_empty() {
            return Err(Error::invalid("there is no command to run").hint("give a command, such as [\"ls\", \"/\"]"));
        }
        let body = bollard::models::ExecConfig {
            attach_stdin: Some(stdin),
            attach_stdout: Some(output),
            attach_stderr: Some(output),
            tty: Some(o.tty),
            env: Some(o.env.iter().map(|(k, v)| format!("{k}={v}")).collect()),
            cmd: Some(command.words().to_vec()),
            privileged: Some(o.privileged),
            user: o.user,
            detach_keys: o.detach_keys,
            working_dir: o.workdir,
            ..Default::default()
        };
        let client = &container.engine.client;
        let made: Value = client.fetch(Req::post(&["containers", container.id(), "exec"]).json(&body)).await.map_err(|e| missing(e, container.name()))?;
        Ok(text(&made, "Id"))
    }

    pub(super) async fn attach(container: &Container, o: AttachOptions) -> Result<Self> {
        let tty = container.details().await?.raw.pointer("/Config/Tty").and_then(Value::as_bool).unwrap_or_default();
        let req = Req::post(&["containers", container.id(), "attach"])
            .flag("stream", true)
            .flag("logs", o.logs)
            .flag("stdin", !o.no_stdin)
            .flag("stdout", !o.no_stdout)
            .flag("stderr", !o.no_stderr)
            .maybe("detachKeys", o.detach_keys);
        let (io, _) = container.engine.client.upgrade(req, "tcp").await?;
        Ok(Self::new(&container.engine, "containers", container.id().to_owned(), tty, io))
    }

    /// Writes to the standard input of the process.
    ///
    /// # Errors
    /// `unreachable` when the connection is gone.
    pub fn write(&self, data: impl Into<Data>) -> Call<NoOptions, ()> {
        let (me, data) = (self.clone(), data.into());
        Call::new("session.write", move |_, _| async move { me.write_now(&data.0).await })
    }

    pub(super) async fn write_now(&self, data: &[u8]) -> Result<()> {
        let mut writer = self.0.writer.lock().await;
        writer.write_all(data).await.map_err(lost)?;
        writer.flush().await.map_err(lost)
    }

    /// Ends the standard input; output still comes.
    ///
    /// # Errors
    /// `unreachable` when the connection is gone.
    pub fn close_stdin(&self) -> Call<NoOptions, ()> {
        let me = self.clone();
        Call::new("session.close_stdin", move |_, _| async move { me.close_now().await })
    }

    pub(super) async fn close_now(&self) -> Result<()> {
        self.0.writer.lock().await.shutdown().await.map_err(lost)
    }

    /// The next part of the output; none at its end.
    ///
    /// # Errors
    /// `unreachable` when the connection is lost.
    ///
    /// # Cancel safety
    /// No output is lost.
    pub fn read(&self) -> Call<NoOptions, Option<LogChunk>> {
        let me = self.clone();
        Call::new("session.read", move |_, _| async move { me.read_now().await })
    }

    async fn read_now(&self) -> Result<Option<LogChunk>> {
        let mut reader = self.0.reader.lock().await;
        loop {
            if let Some(chunk) = reader.ready.pop_front() {
                return Ok(Some(chunk));
            }
            let mut buffer = BytesMut::with_capacity(64 << 10);
            let count = reader.half.read_buf(&mut buffer).await.map_err(lost)?;
            let bytes: Bytes = buffer.freeze();
            if count == 0 {
                // The engine ends the stream when the process has ended: nobody reads what is written from now on.
                if let Ok(mut writer) = self.0.writer.try_lock() {
                    writer.shutdown().await.ok();
                }
                return if reader.demux.is_empty() { Ok(None) } else { Err(lost(std::io::ErrorKind::UnexpectedEof.into())) };
            }
            if self.0.tty {
                return Ok(Some(LogChunk { stream: "console".to_owned(), data: Data(bytes) }));
            }
            let chunks = reader.demux.push(bytes)?;
            reader.ready.extend(chunks);
        }
    }

    /// Tells the terminal its size.
    ///
    /// # Errors
    /// `invalid_input` without a terminal, `conflict` when the process has ended.
    pub fn resize(&self, columns: u16, rows: u16) -> Call<NoOptions, ()> {
        let me = self.clone();
        Call::new("session.resize", move |_, _| async move {
            if !me.0.tty {
                return Err(Error::invalid("this session has no terminal").hint("set `tty` when it is made"));
            }
            let req = Req::post(&[me.0.kind, &me.0.id, "resize"]).query("w", columns.to_string()).query("h", rows.to_string());
            me.0.engine.client.done(req).await.map(drop)
        })
    }

    /// Waits for the end of the process and gives its exit code. Output that was not read is thrown away.
    ///
    /// # Errors
    /// `unreachable` when the connection is lost.
    pub fn wait(&self) -> Call<NoOptions, i64> {
        let me = self.clone();
        Call::new("session.wait", move |_, _| async move {
            while me.read_now().await?.is_some() {}
            me.exit_code().await
        })
    }

    /// Reads all output to its end.
    pub(super) async fn collect(&self) -> Result<CommandOutput> {
        let (mut stdout, mut stderr) = (BytesMut::new(), BytesMut::new());
        while let Some(chunk) = self.read_now().await? {
            if chunk.stream == "stderr" { stderr.extend_from_slice(&chunk.data) } else { stdout.extend_from_slice(&chunk.data) }
        }
        Ok(CommandOutput { exit_code: 0, stdout: Data(stdout.freeze()), stderr: Data(stderr.freeze()) })
    }

    /// The exit code; the engine may know it a moment after the output has ended.
    pub(super) async fn exit_code(&self) -> Result<i64> {
        if self.0.kind == "containers" {
            let raw: Value = self.0.engine.client.fetch(Req::post(&["containers", &self.0.id, "wait"]).patient()).await?;
            return Ok(raw.get("StatusCode").and_then(Value::as_i64).unwrap_or_default());
        }
        let mut pause = std::time::Duration::from_millis(2);
        loop {
            let raw: Value = self.0.engine.client.fetch(Req::get(&["exec", &self.0.id, "json"])).await?;
            if raw.get("Running").and_then(Value::as_bool) == Some(false) {
                return Ok(raw.get("ExitCode").and_then(Value::as_i64).unwrap_or_default());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(std::time::Duration::from_millis(250));
        }
    }
}

fn lost(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Unreachable, format!("the session was lost: {e}")).hint("the process may still run").source(e)
}

impl Handle for Session {
    const CLASS: &'static str = "Session";
    type Properties = SessionProperties;

    fn properties(&self) -> SessionProperties {
        SessionProperties { tty: self.0.tty }
    }
}

handle!(Session);
