//! The containers of an engine, as a collection.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Engine, Req,
    container::Container,
    logs::CommandOutput,
    row,
    spec::{Command, ContainerSpec},
    system::text,
};
use crate::{
    call::{Call, Context, options},
    error::{Error, ErrorKind, Result},
    progress::{Resource, Status},
    units::Seconds,
};

/// Filters of a list: a name such as `label` or `status`, and the values of which one must match.
pub type Filters = BTreeMap<String, Vec<String>>;

options! {
    /// Options of [`Containers::list`].
    pub struct ListContainers {
        /// Stopped containers too; default: running ones only.
        pub all: bool,
        /// At most so many, the newest first.
        pub limit: Option<u32>,
        /// Measures their file systems too, which takes the engine a while.
        pub size: bool,
        /// The engine's filters, such as `{"label": ["app=web"], "status": ["exited"]}`, and `before` and `since` a container.
        pub filters: Filters,
    }
}

options! {
    /// Options of the calls that prune.
    pub struct PruneOptions {
        /// The engine's filters, such as `{"until": ["24h"]}`.
        pub filters: Filters,
    }
}

/// What a prune removed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PruneReport {
    /// Names or IDs of what is gone.
    pub removed: Vec<String>,
    /// Bytes that were freed.
    pub space_reclaimed: u64,
}

impl PruneReport {
    /// Reads the engine's answer; `list` is the field that names what is gone.
    pub(crate) fn read(raw: &Value, list: &str) -> Self {
        let one =
            |v: &Value| v.as_str().map(str::to_owned).or_else(|| v.get("Deleted").or_else(|| v.get("Untagged")).and_then(Value::as_str).map(str::to_owned));
        Self {
            removed: raw.get(list).and_then(Value::as_array).map(|l| l.iter().filter_map(one).collect()).unwrap_or_default(),
            space_reclaimed: raw.get("SpaceReclaimed").and_then(Value::as_u64).unwrap_or_default(),
        }
    }
}

options! {
    /// Options of [`Containers::run_output`].
    pub struct RunOutput {
        /// The container's settings.
        pub spec: ContainerSpec,
        /// Ends the container, and fails with `timeout`, when it runs longer.
        pub timeout: Option<Seconds>,
    }
}

/// The containers of an [`Engine`].
#[derive(Debug, Clone)]
pub struct Containers(pub(crate) Engine);

impl Engine {
    /// The containers of this engine.
    #[must_use]
    pub fn containers(&self) -> Containers {
        Containers(self.clone())
    }
}

impl Containers {
    /// Lists containers, the newest first.
    ///
    /// # Errors
    /// `invalid_input` for a filter that the engine does not know.
    pub fn list(&self) -> Call<ListContainers, Vec<Container>> {
        let engine = self.0.clone();
        Call::new("containers.list", move |o: ListContainers, _| async move {
            let req = Req::get(&["containers", "json"]).flag("all", o.all).maybe("limit", o.limit.map(|l| l.to_string())).filters(&o.filters);
            let req = if o.size { req.flag("size", true).patient() } else { req };
            let rows = engine.client.fetch_with(req, row::rows).await?;
            Ok(rows.into_iter().map(|row| Container::from_row(&engine, row)).collect())
        })
    }

    /// The container with this name or ID.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, id: impl Into<String>) -> Call<crate::call::NoOptions, Container> {
        let (engine, id) = (self.0.clone(), id.into());
        Call::new("containers.get", move |_, _| async move { Container::load(&engine, &id).await })
    }

    /// Makes a container and does not start it.
    ///
    /// # Errors
    /// `not_found` when the image is not there, `already_exists` when the name is taken, `invalid_input`.
    ///
    /// # Cancel safety
    /// The container may or may not have been made; a name in the options makes it findable.
    pub fn create(&self, image: impl Into<String>, command: impl Into<Command>) -> Call<ContainerSpec, Container> {
        let (engine, image, command) = (self.0.clone(), image.into(), command.into());
        Call::new("containers.create", move |spec: ContainerSpec, cx| async move { create(&engine, &image, &command, &spec, &cx).await })
    }

    /// Makes a container and starts it; the call ends when it is started.
    ///
    /// # Errors
    /// Those of [`Containers::create`]; a container that cannot start is removed again.
    pub fn run(&self, image: impl Into<String>, command: impl Into<Command>) -> Call<ContainerSpec, Container> {
        let (engine, image, command) = (self.0.clone(), image.into(), command.into());
        Call::new("containers.run", move |spec: ContainerSpec, cx| async move {
            let container = create(&engine, &image, &command, &spec, &cx).await?;
            let resource = Resource::new("container", container.name());
            let started = cx.events.track("start", resource, async { engine.client.done(Req::post(&["containers", container.id(), "start"])).await }).await;
            if let Err(e) = started {
                container.remove().force(true).volumes(true).await.ok();
                return Err(e.with("container", container.name()));
            }
            Container::load(&engine, container.id()).await
        })
    }

    /// Runs a command in a new container, waits for its end, gives its output and removes the container.
    ///
    /// The output is complete: it is read from before the start. An exit code other than 0 is a result, not an error.
    ///
    /// # Errors
    /// Those of [`Containers::create`], and `timeout`.
    ///
    /// # Cancel safety
    /// A container that runs is removed in the background.
    pub fn run_output(&self, image: impl Into<String>, command: impl Into<Command>) -> Call<RunOutput, CommandOutput> {
        let (engine, image, command) = (self.0.clone(), image.into(), command.into());
        Call::new("containers.run_output", move |o: RunOutput, cx| async move {
            let container = create(&engine, &image, &command, &o.spec, &cx).await?;
            let guard = RemoveOnDrop(Some(container.clone()));
            let work = async {
                let session = container.attach_now(false).await?;
                container.start().await?;
                let output = session.collect().await?;
                let exit = container.wait_now("").await?;
                Ok(CommandOutput { exit_code: exit.exit_code, ..output })
            };
            let result = match o.timeout {
                None => work.await,
                Some(limit) => match tokio::time::timeout(limit.0, work).await {
                    Ok(result) => result,
                    Err(_) => Err(Error::new(ErrorKind::Timeout, format!("the container ran longer than {limit}")).hint("give it a longer timeout")),
                },
            };
            guard.remove().await;
            result
        })
    }

    /// Removes all stopped containers.
    ///
    /// # Errors
    /// `conflict` while another prune runs.
    pub fn prune(&self) -> Call<PruneOptions, PruneReport> {
        let engine = self.0.clone();
        Call::new("containers.prune", move |o: PruneOptions, _| async move {
            let raw: Value = engine.client.fetch(Req::post(&["containers", "prune"]).filters(&o.filters).patient()).await?;
            Ok(PruneReport::read(&raw, "ContainersDeleted"))
        })
    }
}

/// Removes a container that must not outlive a call, also when the call is given up.
struct RemoveOnDrop(Option<Container>);

impl RemoveOnDrop {
    async fn remove(mut self) {
        if let Some(container) = self.0.take() {
            container.remove().force(true).volumes(true).await.ok();
        }
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let (Some(container), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { container.remove().force(true).volumes(true).await.ok() });
        }
    }
}

async fn create(engine: &Engine, image: &str, command: &Command, spec: &ContainerSpec, cx: &Context) -> Result<Container> {
    let mut body = spec.body(image, command, engine.client.version().await?)?;
    // As the docker CLI does: what the user's configuration says of proxies, where the call does not say otherwise.
    let proxies = engine.proxies()?.into_iter().filter(|(name, _)| !spec.env.contains_key(name));
    body.env.get_or_insert_default().extend(proxies.map(|(name, value)| format!("{name}={value}")));
    let resource = Resource::new("container", spec.name.clone().unwrap_or_else(|| image.to_owned()));
    cx.events.emit("create", &resource, Status::Started, "");
    // Read as it comes: bollard's model refuses an answer without warnings.
    let make = || {
        let request = Req::post(&["containers", "create"]).maybe("name", spec.name.as_deref()).maybe("platform", spec.platform.as_deref());
        engine.client.fetch::<Value>(request.json(&body))
    };
    let made = match make().await {
        Err(e) if e.kind() == ErrorKind::NotFound && e.message().contains("No such image") => {
            if spec.pull {
                engine.images().pull(image).in_context(cx.clone()).await?;
                make().await
            } else {
                Err(e.hint("load, build or pull the image first, or set `pull`").with("image", image))
            }
        }
        other => other,
    };
    let made = made.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => e.hint("choose another name, or get or remove the container of that name"),
        _ => e,
    })?;
    cx.events.emit("create", &resource, Status::Done, "");
    Container::load(engine, &text(&made, "Id")).await
}
