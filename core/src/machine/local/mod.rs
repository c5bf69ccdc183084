//! Machines on this host: a container each, with an engine of its own.

mod closure;
mod image;
mod privileges;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{EngineConfig, LocalDriver, MachineState, store::Store};
use crate::{
    call::Context,
    engine::{Command, Container, ContainerSpec, Engine, Filters},
    error::{Error, ErrorKind, Result},
    host::owner,
    progress::Resource,
    transport::Endpoint,
    units::Data,
};

/// Says which store a container, network or volume belongs to.
const STORE: &str = "dockerkit.store";
/// Says which machine it is.
const MACHINE: &str = "dockerkit.machine";
/// Where the folder of the socket is inside of the node.
const INSIDE: &str = "/run/engine";

/// One machine of this driver.
pub(crate) struct Local<'a> {
    pub(crate) name: &'a str,
    pub(crate) store: &'a Store,
    pub(crate) driver: &'a LocalDriver,
}

#[expect(clippy::disallowed_methods, reason = "where sockets of a user go is said by the environment")]
fn runtime_folder() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_dir());
    // Root's own folder lasts as long as the machine runs.
    match std::fs::metadata("/proc/self").map(|m| owner(&m).0) {
        Ok(0) | Err(_) => PathBuf::from("/run"),
        Ok(uid) => own.unwrap_or_else(|| PathBuf::from(format!("/tmp/dockerkit-{uid}"))),
    }
}

fn gone_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Local<'_> {
    /// The folder of the node's socket. Its path is short, since the path of a socket must be.
    fn folder(&self) -> PathBuf {
        runtime_folder().join("dockerkit").join(format!("{}-{}", self.store.id(), self.name))
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}/docker.sock", self.folder().display())
    }

    fn container_name(&self) -> String {
        format!("dockerkit-{}", self.name)
    }

    fn network(&self) -> &str {
        self.driver.network.as_deref().unwrap_or("dockerkit")
    }

    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(STORE.to_owned(), self.store.id()), (MACHINE.to_owned(), self.name.to_owned())])
    }

    /// The engine that runs the node. It must be on this host: the node's socket is reached through a folder that both see.
    async fn host(&self) -> Result<Engine> {
        let engine = Engine::connect(self.driver.endpoint.clone().unwrap_or_default()).await?;
        match engine.endpoint() {
            Endpoint::Unix { .. } => Ok(engine),
            Endpoint::Npipe { .. } => {
                Err(Error::new(ErrorKind::Unsupported, "machines on a Windows host itself are not made").hint("use the driver `ssh` or `existing`"))
            }
            other => Err(Error::new(ErrorKind::Unsupported, format!("the engine at {other} is not on this host"))
                .hint("a local machine needs an engine of this host; give the driver its endpoint, such as unix:///var/run/docker.sock")),
        }
    }

    async fn container(&self, host: &Engine) -> Result<Option<Container>> {
        match host.containers().get(self.container_name()).await {
            Ok(c) if c.seen().labels.get(STORE) == Some(&self.store.id()) => Ok(Some(c)),
            Ok(_) => Err(Error::new(ErrorKind::AlreadyExists, format!("a container {} is there, and is not of this store", self.container_name()))
                .hint("give the machine another name, or remove the container")),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What of the machine is there, by kind and name, for plans.
    pub(crate) async fn missing(&self) -> Result<Vec<Resource>> {
        let host = self.host().await?;
        let mut all = Vec::new();
        if host.networks().named(self.network()).await?.is_empty() {
            all.push(Resource::new("network", self.network()));
        }
        match self.container(&host).await? {
            None => {
                all.push(Resource::new("volume", self.container_name()));
                all.push(Resource::new("container", self.container_name()));
            }
            Some(c) if c.seen().status != "running" => all.push(Resource::new("container", self.container_name())),
            Some(_) => {}
        }
        Ok(all)
    }

    /// Makes the machine, or what of it is missing, and waits until its engine answers.
    pub(crate) async fn create(&self, engine: &EngineConfig, cx: &Context) -> Result<()> {
        let host = self.host().await?;
        let mut tries = 0;
        let container = loop {
            if let Some(there) = self.container(&host).await? {
                break there;
            }
            match self.make(&host, engine, cx).await {
                // A call that was given up had asked for it: the engine is making it now.
                Err(e) if e.kind() == ErrorKind::AlreadyExists && tries < 20 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                made => break made?,
            }
        };
        if container.seen().status == "created" {
            settle(&container, engine).await?;
        }
        // A call that was given up may have asked for the network, too, and the engine made it late.
        self.store.one_at_a_time(&format!("network-{}", self.network()), host.networks().unite(self.network())).await?;
        self.run(&container, cx).await
    }

    async fn make(&self, host: &Engine, engine: &EngineConfig, cx: &Context) -> Result<Container> {
        let image = match &self.driver.image {
            Some(image) => image.clone(),
            // Machines that are made at once share the image and the network.
            None => self.store.one_at_a_time("node-image", image::ensure(host, &cx.events)).await?,
        };
        self.store.one_at_a_time(&format!("network-{}", self.network()), self.make_network(host)).await?;
        let folder = self.folder();
        crate::host::make_private(&folder)?;
        let (_, group) = owner(&std::fs::metadata(&folder).map_err(|e| Error::file(&folder, e))?);
        let command: Vec<String> =
            ["dockerd", "--host", &format!("unix://{INSIDE}/docker.sock"), "--host", "unix:///var/run/docker.sock", "--group", &group.to_string()]
                .map(str::to_owned)
                .into();
        let volume = self.container_name();
        host.volumes().create(volume.clone()).with(|o| o.labels = self.labels()).await?;
        let mut env = engine.env.clone();
        // docker's own image would else listen with TLS at a port.
        env.insert("DOCKER_TLS_CERTDIR".to_owned(), String::new());
        let mut spec = ContainerSpec::default()
            .name(self.container_name())
            .hostname(self.name)
            .init(false)
            .network(self.network())
            .volumes(vec![format!("{volume}:/var/lib/docker"), format!("{}:{INSIDE}", folder.display())])
            .tmpfs(BTreeMap::from([("/run".to_owned(), String::new())]))
            .labels(self.labels())
            .env(env);
        spec = privileges::grant(spec);
        spec.cpus = self.driver.cpus;
        spec.memory = self.driver.memory;
        let create = host.containers().create(image, Command::from(command)).with_options(spec);
        cx.events.track("create", Resource::new("container", self.container_name()), async move { create.await }).await
    }

    async fn make_network(&self, host: &Engine) -> Result<()> {
        if !host.networks().named(self.network()).await?.is_empty() {
            return Ok(());
        }
        let labels = BTreeMap::from([(STORE.to_owned(), self.store.id())]);
        match host.networks().create(self.network()).labels(labels).await {
            // Several machines may be made at once.
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
            _ => Ok(()),
        }
    }

    /// Starts the node and waits until its engine answers.
    async fn run(&self, container: &Container, cx: &Context) -> Result<()> {
        crate::host::make_private(&self.folder())?;
        let work = async {
            container.start().await?;
            self.wait_engine(container).await
        };
        cx.events.track("start", Resource::new("machine", self.name), work).await
    }

    async fn wait_engine(&self, container: &Container) -> Result<()> {
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        let mut last = None;
        let mut rounds = 0u32;
        while tokio::time::Instant::now() < until {
            match Engine::connect(self.url()).await {
                Ok(_) => return Ok(()),
                Err(e) => last = Some(e),
            }
            rounds += 1;
            if rounds.is_multiple_of(20) {
                let now = container.inspect().await?;
                if now.status != "running" {
                    let log = tail(container).await;
                    return Err(Error::new(ErrorKind::Engine, format!("the node {} ended with {}", self.name, now.exit_code))
                        .hint("the end of its log is in the context; privileged containers are needed")
                        .with("log", log));
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let e = Error::new(ErrorKind::Timeout, format!("the engine of {} did not answer within 1m0s", self.name)).hint("the end of its log is in the context");
        Err(e.with("log", tail(container).await).with("last", last.map(|e| e.to_string()).unwrap_or_default()))
    }

    pub(crate) async fn state(&self) -> Result<MachineState> {
        let host = self.host().await?;
        Ok(match self.container(&host).await? {
            None => MachineState::NotFound,
            Some(c) => match c.inspect().await?.status.as_str() {
                "running" => MachineState::Running,
                "paused" => MachineState::Paused,
                "restarting" | "removing" => MachineState::Stopping,
                _ => MachineState::Stopped,
            },
        })
    }

    async fn there(&self) -> Result<Container> {
        let host = self.host().await?;
        self.container(&host).await?.ok_or_else(|| {
            Error::not_found(format!("the container of the machine {} is gone", self.name))
                .hint("remove the machine and make it again")
                .with("machine", self.name)
        })
    }

    pub(crate) async fn ip(&self) -> Result<String> {
        let container = self.there().await?.reload().await?;
        let addresses = &container.seen().addresses;
        let found = addresses.get(self.network()).or_else(|| addresses.values().next()).filter(|a| !a.is_empty()).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::Conflict, format!("the machine {} does not run", self.name)).hint("start it").with("machine", self.name))
    }

    pub(crate) async fn start(&self, cx: &Context) -> Result<()> {
        self.run(&self.there().await?, cx).await
    }

    pub(crate) async fn stop(&self) -> Result<()> {
        self.there().await?.stop().await
    }

    pub(crate) async fn kill(&self) -> Result<()> {
        match self.there().await?.kill().await {
            // It does not run.
            Err(e) if e.kind() == ErrorKind::Conflict => Ok(()),
            other => other,
        }
    }

    /// The container, for commands and files.
    pub(crate) async fn shell(&self) -> Result<Container> {
        self.there().await
    }

    /// Removes all of it. What is gone already is fine.
    pub(crate) async fn remove(&self, cx: &Context) -> Result<()> {
        let host = self.host().await?;
        if let Some(container) = self.container(&host).await? {
            let remove = container.remove().force(true).volumes(true);
            cx.events.track("remove", Resource::new("container", self.container_name()), async { gone_is_fine(remove.await) }).await?;
        }
        gone_is_fine(host.volumes().remove(self.container_name()).await)?;
        let folder = self.folder();
        match std::fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::file(&folder, e)),
            _ => {}
        }
        // Other machines may still use these.
        folder.parent().map(std::fs::remove_dir);
        self.remove_network(&host).await
    }

    async fn remove_network(&self, host: &Engine) -> Result<()> {
        for network in host.networks().named(self.network()).await? {
            if network.labels.get(STORE) != Some(&self.store.id()) {
                continue;
            }
            let filters = Filters::from([("network".to_owned(), vec![network.id.clone()])]);
            if !host.containers().list().all(true).filters(filters).await?.is_empty() {
                continue;
            }
            match host.networks().remove(network.id).await {
                Err(e) if !matches!(e.kind(), ErrorKind::Forbidden | ErrorKind::NotFound) => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Gives a node that has not run yet the settings of its engine.
async fn settle(container: &Container, engine: &EngineConfig) -> Result<()> {
    let settings = engine.daemon_json();
    if settings.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_vec_pretty(&settings).map_err(|e| Error::internal(e.to_string()))?;
    container.put_archive("/").data(Data(one_file("etc/docker/daemon.json", &text)?.into())).await
}

/// The end of a node's log.
async fn tail(container: &Container) -> String {
    use futures_util::StreamExt;
    let Ok(mut logs) = container.logs().tail(8).await else { return String::new() };
    let mut out = String::new();
    while let Some(Ok(chunk)) = StreamExt::next(&mut logs).await {
        out.push_str(&chunk.data.text());
    }
    out
}

fn one_file(name: &str, data: &[u8]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let io = |e: std::io::Error| Error::internal(e.to_string());
    let mut folder = PathBuf::new();
    for part in Path::new(name).parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        tar.append_data(&mut header, &folder, std::io::empty()).map_err(io)?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o600);
    header.set_size(data.len() as u64);
    tar.append_data(&mut header, name, data).map_err(io)?;
    tar.into_inner().map_err(io)
}
