//! One container.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Engine, Req,
    client::ApiVersion,
    exec::{ExecOptions, ExecState, Session},
    logs::{CommandOutput, LogChunk, LogOptions, demultiplex, join, plain},
    row::Row,
    spec::Command,
    status::{ChangeKind, ContainerStatus, Health},
    system::text,
};
use crate::{
    call::{Call, NoOptions, options},
    error::{Error, ErrorKind, Result},
    stream::Streaming,
    surface::{Handle, handle},
    timestamp::Timestamp,
    units::{Seconds, Size},
};

/// A container. Cheap to clone; what it shows is what was seen when it was fetched.
#[derive(Debug, Clone)]
pub struct Container {
    pub(crate) engine: Engine,
    seen: Arc<ContainerProperties>,
}

/// What a [`Container`] shows without a call.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ContainerProperties {
    /// Its ID.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// The image that it was made from, as it was named.
    pub image: String,
    /// The ID of that image.
    pub image_id: String,
    /// What it does.
    pub status: ContainerStatus,
    /// Its health; absent where it has no health check.
    pub health: Option<Health>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Ports that are open to the host.
    pub ports: Vec<PublishedPort>,
    /// Its address in each network.
    pub addresses: BTreeMap<String, String>,
    /// Bytes that it wrote over its image; only in a list that asks for sizes.
    pub size_written: Option<u64>,
    /// Bytes of its whole file system, its image with it; only in a list that asks for sizes.
    pub size_total: Option<u64>,
}

/// A port of a container on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PublishedPort {
    /// The port in the container.
    pub target: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The port on the host.
    pub published: u16,
    /// The host's address that it listens on.
    pub host_ip: String,
}

/// All that an engine says of a container.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ContainerDetails {
    /// Its ID.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// What it does.
    pub status: ContainerStatus,
    /// Exit code of the last run.
    pub exit_code: i64,
    /// Why it did not start, if it did not.
    pub error: String,
    /// Whether the kernel ended it for lack of memory.
    pub oom_killed: bool,
    /// Process ID on the host, 0 when it does not run.
    pub pid: u64,
    /// Its health, where it has a health check.
    pub health: Option<Health>,
    /// How often it was restarted.
    pub restart_count: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last started, where it was.
    pub started_at: Option<Timestamp>,
    /// When it last ended, where it has.
    pub finished_at: Option<Timestamp>,
    /// Bytes that it wrote over its image, where they were asked for.
    pub size_written: Option<u64>,
    /// Bytes of its whole file system, its image with it, where they were asked for.
    pub size_total: Option<u64>,
    /// The engine's own answer, with its own names.
    pub raw: Value,
}

/// How a container ended.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ExitStatus {
    /// Its exit code.
    pub exit_code: i64,
    /// What the engine says went wrong, empty where nothing did.
    pub error: String,
}

/// The processes of a container.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Processes {
    /// Names of the columns.
    pub titles: Vec<String>,
    /// One row a process.
    pub processes: Vec<Vec<String>>,
}

/// One file that differs from the image.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// How it differs.
    pub kind: ChangeKind,
}

options! {
    /// Options of the calls that stop.
    pub struct StopOptions {
        /// How long the container may take before it is killed; default: its own, else 10 s.
        pub timeout: Option<Seconds>,
        /// The signal that asks it to end, such as `SIGINT`; default: its own, else `SIGTERM`. Needs API 1.42.
        pub signal: Option<String>,
    }
}

options! {
    /// Options of [`Container::start`].
    pub struct StartContainer {
        /// Goes on from this checkpoint. The engine must be an experimental one.
        pub checkpoint: Option<String>,
        /// The folder of the engine's host that the checkpoint is in; default: the engine's own.
        pub checkpoint_dir: Option<String>,
    }
}

options! {
    /// Options of [`Container::inspect`].
    pub struct InspectContainer {
        /// Measures its file system too, which takes the engine a while.
        pub size: bool,
    }
}

options! {
    /// Options of [`Container::top`].
    pub struct TopOptions {
        /// Arguments of the host's `ps`, such as `-o pid,comm`; default: `-ef`.
        pub ps_args: Option<String>,
    }
}

options! {
    /// Options of [`Container::attach`].
    pub struct AttachOptions {
        /// Begins with the output until now.
        pub logs: bool,
        /// Leaves standard input alone.
        pub no_stdin: bool,
        /// Leaves standard output out.
        pub no_stdout: bool,
        /// Leaves standard error out.
        pub no_stderr: bool,
        /// The keys that end the session on a terminal, such as `ctrl-x,q`; default: the engine's, `ctrl-p,ctrl-q`.
        pub detach_keys: Option<String>,
    }
}

options! {
    /// Options of [`Container::kill`].
    pub struct KillOptions {
        /// The signal; default `SIGKILL`.
        pub signal: Option<String>,
    }
}

options! {
    /// Options of [`Container::remove`].
    pub struct RemoveContainer {
        /// Kills it first when it runs.
        pub force: bool,
        /// Its anonymous volumes too.
        pub volumes: bool,
    }
}

options! {
    /// Options of [`Container::wait`].
    pub struct WaitOptions {
        /// `not-running` (default), `next-exit` or `removed`.
        pub condition: Option<String>,
    }
}

options! {
    /// Options of [`Container::update`].
    pub struct UpdateContainer {
        /// Memory limit in bytes.
        pub memory: Option<Size>,
        /// Memory that it shrinks to when the host runs short.
        pub memory_reservation: Option<Size>,
        /// Memory and swap together in bytes, -1 for no limit.
        pub memory_swap: Option<i64>,
        /// Limit in processors, such as 1.5.
        pub cpus: Option<f64>,
        /// Relative weight for processor time.
        pub cpu_shares: Option<u64>,
        /// Length of a period of the processor in microseconds.
        pub cpu_period: Option<i64>,
        /// Time that it gets in each period, in microseconds.
        pub cpu_quota: Option<i64>,
        /// Processors that it may use, such as `0-2,4`.
        pub cpuset: Option<String>,
        /// Memory nodes that it may use, such as `0`.
        pub cpuset_mems: Option<String>,
        /// Relative weight for disks, 10 to 1000.
        pub blkio_weight: Option<u16>,
        /// Limit of processes.
        pub pids_limit: Option<i64>,
        /// Restart policy: `no`, `always`, `unless-stopped`, `on-failure[:max]`.
        pub restart: Option<String>,
    }
}

options! {
    /// Options of [`Container::commit`].
    pub struct CommitOptions {
        /// Name for the image, such as `app:v2`.
        pub tag: Option<String>,
        /// A comment.
        pub comment: Option<String>,
        /// The author.
        pub author: Option<String>,
        /// Dockerfile instructions to apply, such as `CMD ["sh"]`.
        pub changes: Vec<String>,
        /// Lets the container run on while it is read.
        pub no_pause: bool,
    }
}

impl Container {
    pub(crate) fn from_row(engine: &Engine, row: impl Into<Row>) -> Self {
        Self { engine: engine.clone(), seen: Arc::new(row.into().into()) }
    }

    pub(crate) async fn load(engine: &Engine, id: &str) -> Result<Self> {
        let raw: Value = engine.client.fetch(Req::get(&["containers", id, "json"])).await.map_err(|e| missing(e, id))?;
        Ok(Self { engine: engine.clone(), seen: Arc::new(properties(&raw)) })
    }

    /// Its ID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.seen.id
    }

    /// Its name, without a slash.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.seen.name
    }

    /// What was seen when it was fetched.
    #[must_use]
    pub fn seen(&self) -> &ContainerProperties {
        &self.seen
    }

    fn simple(&self, name: &'static str, verb: &'static str) -> Call<NoOptions, ()> {
        let me = self.clone();
        Call::new(name, move |_, _| async move { me.post(verb, |r| r).await })
    }

    async fn post(&self, verb: &str, change: impl FnOnce(Req) -> Req) -> Result<()> {
        let req = change(Req::post(&["containers", self.id(), verb]));
        self.engine.client.done(req).await.map(drop).map_err(|e| missing(e, self.name()))
    }

    /// Fetches it again, with what it shows now.
    ///
    /// # Errors
    /// `not_found` when it is gone.
    pub fn reload(&self) -> Call<NoOptions, Container> {
        let me = self.clone();
        Call::new("container.reload", move |_, _| async move { Self::load(&me.engine, me.id()).await })
    }

    /// All that the engine says of it.
    ///
    /// # Errors
    /// `not_found` when it is gone.
    pub fn inspect(&self) -> Call<InspectContainer, ContainerDetails> {
        let me = self.clone();
        Call::new("container.inspect", move |o: InspectContainer, _| async move { me.look(|r| if o.size { r.flag("size", true).patient() } else { r }).await })
    }

    pub(crate) async fn details(&self) -> Result<ContainerDetails> {
        self.look(|r| r).await
    }

    async fn look(&self, change: impl FnOnce(Req) -> Req) -> Result<ContainerDetails> {
        let req = change(Req::get(&["containers", self.id(), "json"]));
        let raw: Value = self.engine.client.fetch(req).await.map_err(|e| missing(e, self.name()))?;
        let state = raw.get("State").cloned().unwrap_or_default();
        let number = |v: &Value, n: &str| v.get(n).and_then(Value::as_i64).unwrap_or_default();
        let seen = properties(&raw);
        Ok(ContainerDetails {
            id: seen.id,
            name: seen.name,
            status: seen.status,
            exit_code: number(&state, "ExitCode"),
            error: text(&state, "Error"),
            oom_killed: state.get("OOMKilled").and_then(Value::as_bool).unwrap_or_default(),
            pid: number(&state, "Pid").unsigned_abs(),
            health: seen.health,
            restart_count: number(&raw, "RestartCount").unsigned_abs(),
            created: Timestamp::read(&text(&raw, "Created")).unwrap_or_default(),
            started_at: Timestamp::read(&text(&state, "StartedAt")),
            finished_at: Timestamp::read(&text(&state, "FinishedAt")),
            size_written: seen.size_written,
            size_total: seen.size_total,
            raw,
        })
    }

    /// Starts it; nothing happens when it runs.
    ///
    /// # Errors
    /// `not_found`, `engine` when it cannot start: the message says why; `unsupported` for a checkpoint where the engine is not
    /// experimental.
    pub fn start(&self) -> Call<StartContainer, ()> {
        let me = self.clone();
        Call::new("container.start", move |o: StartContainer, _| async move {
            if o.checkpoint_dir.is_some() && o.checkpoint.is_none() {
                return Err(Error::invalid("a folder of checkpoints without a checkpoint").hint("set `checkpoint` too"));
            }
            if o.checkpoint.is_some() {
                super::checkpoints::needs_experimental(&me.engine).await?;
            }
            me.post("start", |r| r.maybe("checkpoint", o.checkpoint).maybe("checkpoint-dir", o.checkpoint_dir)).await
        })
    }

    /// Stops it: its stop signal, and after the timeout `SIGKILL`. Nothing happens when it does not run.
    ///
    /// # Errors
    /// `not_found`.
    pub fn stop(&self) -> Call<StopOptions, ()> {
        let me = self.clone();
        Call::new("container.stop", move |o: StopOptions, _| async move { me.stop_by("stop", o).await })
    }

    /// Stops it and starts it again.
    ///
    /// # Errors
    /// `not_found`, `engine` when it cannot start.
    pub fn restart(&self) -> Call<StopOptions, ()> {
        let me = self.clone();
        Call::new("container.restart", move |o: StopOptions, _| async move { me.stop_by("restart", o).await })
    }

    async fn stop_by(&self, verb: &str, o: StopOptions) -> Result<()> {
        if o.signal.is_some() {
            self.engine.needs("signal", ApiVersion(1, 42)).await?;
        }
        self.post(verb, |r| r.maybe("t", seconds(o.timeout)).maybe("signal", o.signal).patient()).await
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// `conflict` when it does not run.
    pub fn kill(&self) -> Call<KillOptions, ()> {
        let me = self.clone();
        Call::new("container.kill", move |o: KillOptions, _| async move { me.post("kill", |r| r.maybe("signal", o.signal)).await })
    }

    /// Freezes its processes.
    ///
    /// # Errors
    /// `conflict` when it does not run or is paused already.
    pub fn pause(&self) -> Call<NoOptions, ()> {
        self.simple("container.pause", "pause")
    }

    /// Lets its processes run on.
    ///
    /// # Errors
    /// `conflict` when it is not paused.
    pub fn unpause(&self) -> Call<NoOptions, ()> {
        self.simple("container.unpause", "unpause")
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// `already_exists` when the name is taken.
    pub fn rename(&self, name: impl Into<String>) -> Call<NoOptions, ()> {
        let (me, name) = (self.clone(), name.into());
        Call::new("container.rename", move |_, _| async move { me.post("rename", |r| r.query("name", name)).await })
    }

    /// Removes it.
    ///
    /// # Errors
    /// `conflict` when it runs and `force` is not set, `not_found`.
    pub fn remove(&self) -> Call<RemoveContainer, ()> {
        let me = self.clone();
        Call::new("container.remove", move |o: RemoveContainer, _| async move {
            let req = Req::delete(&["containers", me.id()]).flag("force", o.force).flag("v", o.volumes).patient();
            me.engine.client.done(req).await.map(drop).map_err(|e| match e.kind() {
                ErrorKind::Conflict if !o.force => e.hint("stop it first, or set `force`"),
                _ => missing(e, me.name()),
            })
        })
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// `not_found`.
    ///
    /// # Cancel safety
    /// The container is left as it is.
    pub fn wait(&self) -> Call<WaitOptions, ExitStatus> {
        let me = self.clone();
        Call::new("container.wait", move |o: WaitOptions, _| async move { me.wait_now(o.condition.as_deref().unwrap_or_default()).await })
    }

    pub(crate) async fn wait_now(&self, condition: &str) -> Result<ExitStatus> {
        if !["", "not-running", "next-exit", "removed"].contains(&condition) {
            return Err(Error::invalid(format!("`{condition}` is not a condition")).hint("use not-running, next-exit or removed"));
        }
        let req = Req::post(&["containers", self.id(), "wait"]).maybe("condition", Some(condition).filter(|c| !c.is_empty())).patient();
        let raw: Value = self.engine.client.fetch(req).await.map_err(|e| missing(e, self.name()))?;
        Ok(ExitStatus {
            exit_code: raw.get("StatusCode").and_then(Value::as_i64).unwrap_or_default(),
            error: raw.pointer("/Error/Message").and_then(Value::as_str).unwrap_or_default().to_owned(),
        })
    }

    /// Its output, as chunks of raw bytes. With `follow` the stream goes on until the container ends.
    ///
    /// # Errors
    /// `not_found`; `unsupported` when its logging driver cannot be read.
    pub fn logs(&self) -> Call<LogOptions, Streaming<LogChunk>> {
        let me = self.clone();
        Call::new("container.logs", move |o: LogOptions, _| async move {
            let tty = me.details().await?.raw.pointer("/Config/Tty").and_then(Value::as_bool).unwrap_or_default();
            let bytes = me.engine.client.bytes(o.apply(Req::get(&["containers", me.id(), "logs"]))).await?;
            Ok(if tty { Streaming::of_parts(plain(bytes), join) } else { Streaming::of_parts(demultiplex(bytes), join) })
        })
    }

    /// Its processes.
    ///
    /// # Errors
    /// `conflict` when it does not run.
    pub fn top(&self) -> Call<TopOptions, Processes> {
        let me = self.clone();
        Call::new("container.top", move |o: TopOptions, _| async move {
            let req = Req::get(&["containers", me.id(), "top"]).maybe("ps_args", o.ps_args);
            let raw: Value = me.engine.client.fetch(req).await.map_err(|e| missing(e, me.name()))?;
            let strings =
                |v: &Value| -> Vec<String> { v.as_array().map(|l| l.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect()).unwrap_or_default() };
            Ok(Processes {
                titles: raw.get("Titles").map(strings).unwrap_or_default(),
                processes: raw.get("Processes").and_then(Value::as_array).map(|rows| rows.iter().map(strings).collect()).unwrap_or_default(),
            })
        })
    }

    /// Files that differ from its image.
    ///
    /// # Errors
    /// `not_found`.
    pub fn diff(&self) -> Call<NoOptions, Vec<FileChange>> {
        let me = self.clone();
        Call::new("container.diff", move |_, _| async move {
            let raw: Option<Vec<Value>> = me.engine.client.fetch(Req::get(&["containers", me.id(), "changes"])).await.map_err(|e| missing(e, me.name()))?;
            let kind = |v: &Value| match v.get("Kind").and_then(Value::as_u64) {
                Some(1) => "added",
                Some(2) => "deleted",
                _ => "modified",
            };
            Ok(raw.unwrap_or_default().iter().map(|v| FileChange { path: text(v, "Path"), kind: kind(v).into() }).collect())
        })
    }

    /// Changes limits and the restart policy of the container as it runs.
    ///
    /// # Errors
    /// `invalid_input`, `not_found`.
    pub fn update(&self) -> Call<UpdateContainer, ()> {
        let me = self.clone();
        Call::new("container.update", move |o: UpdateContainer, _| async move {
            let body = bollard::models::ContainerUpdateBody {
                memory: o.memory.map(|m| m.0.cast_signed()),
                memory_reservation: o.memory_reservation.map(|m| m.0.cast_signed()),
                memory_swap: o.memory_swap,
                cpu_period: o.cpu_period,
                cpu_quota: o.cpu_quota,
                cpuset_cpus: o.cpuset,
                cpuset_mems: o.cpuset_mems,
                blkio_weight: o.blkio_weight,
                nano_cpus: o.cpus.map(|c| (c * 1e9) as i64),
                cpu_shares: o.cpu_shares.map(u64::cast_signed),
                pids_limit: o.pids_limit,
                restart_policy: o.restart.as_deref().map(super::spec::restart_policy).transpose()?,
                ..Default::default()
            };
            let id = me.id().to_owned();
            me.engine.client.typed(|docker| async move { docker.update_container(&id, body).await }).await.map_err(|e| missing(e, me.name()))
        })
    }

    /// Makes an image of its file system, and gives the image's ID.
    ///
    /// # Errors
    /// `not_found`, `invalid_input` for a wrong name.
    pub fn commit(&self) -> Call<CommitOptions, String> {
        let me = self.clone();
        Call::new("container.commit", move |o: CommitOptions, _| async move {
            let (repo, tag) = o.tag.as_deref().map(super::images::split_tag).unzip();
            let mut req = Req::post(&["commit"])
                .query("container", me.id())
                .maybe("repo", repo)
                .maybe("tag", tag.flatten())
                .maybe("comment", o.comment)
                .maybe("author", o.author)
                .query("pause", if o.no_pause { "false" } else { "true" })
                .patient();
            for change in &o.changes {
                req = req.query("changes", change);
            }
            let raw: Value = me.engine.client.fetch(req.json(&serde_json::json!({}))).await.map_err(|e| missing(e, me.name()))?;
            Ok(text(&raw, "Id"))
        })
    }

    /// Runs a command in it and gives its output. An exit code other than 0 is a result, not an error.
    ///
    /// # Errors
    /// `conflict` when it does not run, `not_found`.
    ///
    /// # Cancel safety
    /// The command may run on in the container: the engine has no call that ends it.
    pub fn exec(&self, command: impl Into<Command>) -> Call<ExecOptions, CommandOutput> {
        let (me, command) = (self.clone(), command.into());
        Call::new("container.exec", move |o: ExecOptions, _| async move {
            let stdin = o.stdin.clone();
            let session = Session::exec(&me, &command, o, stdin.is_some()).await?;
            if let Some(data) = stdin {
                session.write_now(&data.0).await?;
                session.close_now().await?;
            }
            let output = session.collect().await?;
            let exit_code = session.exit_code().await?;
            Ok(CommandOutput { exit_code, ..output })
        })
    }

    /// Runs a command in it and talks with it: write, read, resize, wait.
    ///
    /// # Errors
    /// `conflict` when it does not run, `not_found`.
    pub fn exec_session(&self, command: impl Into<Command>) -> Call<ExecOptions, Session> {
        let (me, command) = (self.clone(), command.into());
        Call::new("container.exec_session", move |o: ExecOptions, _| async move {
            let stdin = o.stdin.clone();
            let session = Session::exec(&me, &command, o, true).await?;
            if let Some(data) = stdin {
                session.write_now(&data.0).await?;
            }
            Ok(session)
        })
    }

    /// Starts a command in it and does not wait for it. Gives the ID by which [`Container::exec_state`] tells how it does; its
    /// output is thrown away.
    ///
    /// # Errors
    /// `conflict` when it does not run, `not_found`, `invalid_input` for standard input.
    pub fn exec_detached(&self, command: impl Into<Command>) -> Call<ExecOptions, String> {
        let (me, command) = (self.clone(), command.into());
        Call::new("container.exec_detached", move |o: ExecOptions, _| async move { Session::exec_detached(&me, &command, o).await })
    }

    /// How a command does that [`Container::exec_detached`] started. The engine forgets it some minutes after its end.
    ///
    /// # Errors
    /// `not_found`.
    pub fn exec_state(&self, id: impl Into<String>) -> Call<NoOptions, ExecState> {
        let (me, id) = (self.clone(), id.into());
        Call::new("container.exec_state", move |_, _| async move {
            let raw: Value = me.engine.client.fetch(Req::get(&["exec", &id, "json"])).await?;
            if raw.get("ContainerID").and_then(Value::as_str).is_some_and(|owner| owner != me.id()) {
                return Err(Error::not_found("the command runs in another container").with("container", me.name()));
            }
            Ok(ExecState::read(&raw))
        })
    }

    /// Attaches to its main process.
    ///
    /// # Errors
    /// `not_found`, `conflict`, `invalid_input` for keys that are none.
    pub fn attach(&self) -> Call<AttachOptions, Session> {
        let me = self.clone();
        Call::new("container.attach", move |o: AttachOptions, _| async move { me.attach_by(o).await })
    }

    pub(crate) async fn attach_now(&self, stdin: bool) -> Result<Session> {
        self.attach_by(AttachOptions::default().no_stdin(!stdin)).await
    }

    async fn attach_by(&self, o: AttachOptions) -> Result<Session> {
        Session::attach(self, o).await.map_err(|e| missing(e, self.name()))
    }

    /// Tells the terminal of its main process its size.
    ///
    /// # Errors
    /// `not_found`, `conflict` when it does not run.
    pub fn resize(&self, columns: u16, rows: u16) -> Call<NoOptions, ()> {
        let me = self.clone();
        Call::new("container.resize", move |_, _| async move { me.post("resize", |r| r.query("w", columns.to_string()).query("h", rows.to_string())).await })
    }
}

impl Handle for Container {
    const CLASS: &'static str = "Container";
    type Properties = ContainerProperties;

    fn properties(&self) -> ContainerProperties {
        (*self.seen).clone()
    }
}

handle!(Container);

/// Adds to a `not_found` what was looked for.
pub(crate) fn missing(e: Error, name: &str) -> Error {
    if e.kind() == ErrorKind::NotFound { e.hint("list the containers, stopped ones too").with("container", name) } else { e }
}

fn seconds(timeout: Option<Seconds>) -> Option<String> {
    timeout.map(|t| t.0.as_secs_f64().ceil().to_string())
}

pub(crate) fn string_map(value: Option<&Value>) -> BTreeMap<String, String> {
    let map = value.and_then(Value::as_object);
    map.map(|m| m.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()).unwrap_or_default()
}

fn addresses(networks: Option<&Value>) -> BTreeMap<String, String> {
    let map = networks.and_then(Value::as_object);
    map.map(|m| m.iter().map(|(k, v)| (k.clone(), text(v, "IPAddress"))).collect()).unwrap_or_default()
}

fn properties(raw: &Value) -> ContainerProperties {
    let config = raw.get("Config").cloned().unwrap_or_default();
    let bindings = raw.pointer("/NetworkSettings/Ports").and_then(Value::as_object);
    let ports = bindings
        .into_iter()
        .flatten()
        .flat_map(|(port, hosts)| hosts.as_array().into_iter().flatten().map(move |h| (port, h)))
        .filter_map(|(port, host)| {
            let (target, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            Some(PublishedPort {
                target: target.parse().ok()?,
                protocol: protocol.to_owned(),
                published: text(host, "HostPort").parse().ok()?,
                host_ip: text(host, "HostIp"),
            })
        })
        .collect();
    ContainerProperties {
        id: text(raw, "Id"),
        name: text(raw, "Name").trim_start_matches('/').to_owned(),
        image: text(&config, "Image"),
        image_id: text(raw, "Image"),
        status: raw.pointer("/State/Status").and_then(Value::as_str).unwrap_or_default().into(),
        health: raw.pointer("/State/Health/Status").and_then(Value::as_str).filter(|h| !h.is_empty() && *h != "none").map(Into::into),
        labels: string_map(config.get("Labels")),
        ports,
        addresses: addresses(raw.pointer("/NetworkSettings/Networks")),
        size_written: raw.get("SizeRw").and_then(Value::as_u64),
        size_total: raw.get("SizeRootFs").and_then(Value::as_u64),
    }
}
