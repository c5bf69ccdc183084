//! An app: a project on an engine.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Project,
    body::image_of,
    model::Model,
    observe::{self, World},
    reconcile::{Reconciled, Recreate, Wish, reconcile, selected},
};
use crate::{
    call::{Call, Context, NoOptions, options},
    engine::{Engine, WaitUntil},
    error::{Error, ErrorKind, Result},
    plan::Plan,
    surface::{Handle, handle},
    units::Seconds,
};

/// A Compose project on one engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) engine: Engine,
    pub(crate) project: Option<Project>,
    pub(crate) name: Arc<str>,
}

/// What an [`App`] shows without a call.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppProperties {
    /// The project's name.
    pub name: String,
    /// The names of its services, where the project is known and not only its name.
    pub services: Vec<String>,
}

options! {
    /// How an [`App`] is made in other languages.
    pub struct AppInit {
        /// The engine.
        pub engine: Option<Engine>,
        /// The project.
        pub project: Option<Project>,
        /// The project's name, for an app that is known by its labels alone.
        pub name: Option<String>,
    }
}

options! {
    /// Options of [`App::up`] and [`App::plan`].
    pub struct UpOptions {
        /// Only these services and what they need; default: all.
        pub services: Vec<String>,
        /// Builds images although they are there.
        pub build: bool,
        /// Pulls images although they are there.
        pub pull: bool,
        /// When containers are replaced; default: when they differ.
        pub recreate: Recreate,
        /// Removes containers of services that the project does not know.
        pub remove_orphans: bool,
        /// How many containers of a service, by service.
        pub scale: BTreeMap<String, u64>,
        /// Makes containers and does not start them.
        pub no_start: bool,
        /// Waits until all services run, and are healthy where they have a health check.
        pub wait: bool,
        /// Waits, after all else, until each of these services can be used, such as `{"web": {"port": 80}}`. A wait that names
        /// no time of its own may take as long as `timeout` says.
        pub wait_until: BTreeMap<String, WaitUntil>,
        /// How long waits for other services and for health may take; default 5 min.
        pub timeout: Option<Seconds>,
        /// How long containers that are replaced may take to stop; default: their own.
        pub stop_timeout: Option<Seconds>,
    }
}

/// What an up did.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct UpReport {
    /// The project's name.
    pub project: String,
    /// What was done, as `create container shop-web-1`.
    pub done: Vec<String>,
    /// Containers of services that the project does not know.
    pub orphans: Vec<String>,
}

impl App {
    /// The app of `project` on `engine`. Nothing is done yet.
    #[must_use]
    pub fn new(engine: &Engine, project: &Project) -> Self {
        Self { engine: engine.clone(), project: Some(project.clone()), name: project.name().into() }
    }

    /// An app that is known by the labels of its containers alone, with no file.
    #[must_use]
    pub fn named(engine: &Engine, name: &str) -> Self {
        Self { engine: engine.clone(), project: None, name: name.into() }
    }

    pub(crate) fn from_init(init: AppInit) -> Result<Self> {
        let engine = init.engine.ok_or_else(|| Error::invalid("`engine` is missing").hint("give the engine that the app runs on"))?;
        match (init.project, init.name) {
            (Some(project), None) => Ok(Self::new(&engine, &project)),
            (None, Some(name)) => Ok(Self::named(&engine, &name)),
            _ => Err(Error::invalid("an app needs a project or a name").hint("give one of `project` and `name`")),
        }
    }

    /// The project's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn model(&self) -> Result<&Model> {
        let project = self.project.as_ref().ok_or_else(|| {
            Error::invalid("this app is known by its name alone, and its file is needed here")
                .hint("load the project and make the app of it")
                .with("project", &*self.name)
        })?;
        Ok(project.model())
    }

    pub(crate) async fn observe(&self) -> Result<World> {
        let model = self.model()?;
        let mut images: Vec<String> = model.services.values().map(|s| image_of(&model.name, s)).collect();
        images.sort();
        images.dedup();
        observe::world(&self.engine, &self.name, &images).await
    }

    pub(crate) async fn reconciled(&self, o: &UpOptions) -> Result<Reconciled> {
        let model = self.model()?;
        selected(model, &o.services)?;
        selected(model, &o.wait_until.keys().cloned().collect::<Vec<_>>())?;
        reconcile(model, &self.observe().await?, &wish(o))
    }

    /// What [`App::up`] with the same options would do.
    ///
    /// # Errors
    /// `not_found` for an unknown service or a missing external network or volume, `conflict` for a network of the same
    /// name that belongs to something else.
    pub fn plan(&self) -> Call<UpOptions, Plan> {
        let me = self.clone();
        Call::new("app.plan", move |o: UpOptions, _| async move { me.plan_now(&o).await })
    }

    async fn plan_now(&self, o: &UpOptions) -> Result<Plan> {
        let found = self.reconciled(o).await?;
        let options = serde_json::to_value(o).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Plan::new(format!("app {}: up", self.name), found.steps, options))
    }

    /// Does what a plan says, if the engine is still as it was when the plan was made.
    ///
    /// # Errors
    /// `conflict` when the plan would now be another; else those of [`App::up`].
    pub fn apply(&self, plan: Plan) -> Call<NoOptions, UpReport> {
        let me = self.clone();
        Call::new("app.apply", move |_, cx: Context| async move {
            let o: UpOptions =
                serde_json::from_value(plan.options.clone()).map_err(|_| Error::invalid("this is not a plan of an app").hint("make it with app.plan"))?;
            let now = me.plan_now(&o).await?;
            if now.steps != plan.steps {
                return Err(Error::new(ErrorKind::Conflict, "the engine has changed since the plan was made").hint("plan again"));
            }
            me.up_now(o, cx).await
        })
    }

    /// Brings the app up: makes what is missing, replaces what differs, starts what does not run.
    ///
    /// A second call changes nothing. What belongs to the project is known by docker compose's labels, so the two can
    /// take turns.
    ///
    /// # Errors
    /// Those of [`App::plan`]; `unhealthy` when a service that is waited for is not healthy, `timeout`, and what the
    /// engine says of a container that cannot be made or started.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work, whatever had been done.
    pub fn up(&self) -> Call<UpOptions, UpReport> {
        let me = self.clone();
        Call::new("app.up", move |o: UpOptions, cx| async move { me.up_now(o, cx).await })
    }

    async fn up_now(&self, o: UpOptions, cx: Context) -> Result<UpReport> {
        let mut report = UpReport { project: self.name.to_string(), ..UpReport::default() };
        let mut wanted = o.clone();
        // Images come first: whether a container must be replaced depends on what a build or pull gave.
        let images = self.reconciled(&wanted).await?.images_only();
        if !images.steps.is_empty() {
            super::apply::run(self, &images, &o, &cx, &mut report).await?;
        }
        (wanted.build, wanted.pull) = (false, false);
        let mut tries = 0;
        loop {
            let found = self.reconciled(&wanted).await?;
            report.orphans.clone_from(&found.orphans);
            match super::apply::run(self, &found, &o, &cx, &mut report).await {
                Ok(()) => break,
                // Another writer was faster with the same name: look again and go on from there.
                Err(e) if lost_a_race(&e) && tries < 5 => {
                    tries += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(100 * tries)).await;
                    wanted.recreate = Recreate::Diverged;
                }
                Err(e) => return Err(e.with("project", &*self.name)),
            }
        }
        if !o.no_start {
            if o.wait {
                super::wait::all(self, &o).await?;
            }
            super::wait::ready(self, &o).await?;
        }
        Ok(report)
    }

    /// Waits until a service can be used: every container of it meets the conditions, as with
    /// [`wait_until`](crate::engine::Container::wait_until) of a container.
    ///
    /// # Errors
    /// `not_found` when the service has no container, and those of a container's `wait_until`.
    ///
    /// # Cancel safety
    /// The containers are left as they are.
    pub fn wait_until(&self, service: impl Into<String>) -> Call<WaitUntil, ()> {
        let (me, service) = (self.clone(), service.into());
        Call::new("app.wait_until", move |o: WaitUntil, _| async move { super::wait::usable(&me, &service, o).await })
    }
}

/// Whether what went wrong is that another writer was at the same app. Of a network that both made, one is removed again:
/// until then its name is ambiguous, and what had been told of the other one does not find it.
fn lost_a_race(e: &Error) -> bool {
    match e.kind() {
        ErrorKind::AlreadyExists => true,
        ErrorKind::InvalidInput => e.message().contains("is ambiguous"),
        ErrorKind::NotFound => e.message().starts_with("network "),
        _ => false,
    }
}

fn wish(o: &UpOptions) -> Wish {
    Wish {
        services: o.services.clone(),
        recreate: o.recreate,
        remove_orphans: o.remove_orphans,
        scale: o.scale.clone(),
        build: o.build,
        pull_always: o.pull,
        start: !o.no_start,
    }
}

/// The first container of each service, for services that share with it.
pub(crate) fn first_ids(world: &[observe::Found]) -> HashMap<String, String> {
    let mut ids = HashMap::new();
    for found in world.iter().filter(|f| !f.one_off) {
        ids.entry(found.service.clone()).or_insert_with(|| found.id.clone());
    }
    ids
}

impl Handle for App {
    const CLASS: &'static str = "App";
    type Properties = AppProperties;

    fn properties(&self) -> AppProperties {
        let services = self.project.as_ref().map(|p| p.model().services.keys().cloned().collect());
        AppProperties { name: self.name.to_string(), services: services.unwrap_or_default() }
    }
}

handle!(App);
