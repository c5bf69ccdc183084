//! A stack: a project spread over a swarm.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ListTasks, NAMESPACE, Service, ServiceLog, ServiceLogOptions, Swarm, Task,
    converge::{Goal, Wait},
    convert::{self, Wanted},
    deploy::{self, Planned, Work, gone_is_fine},
    observe,
    tasks::of_stack,
};
use crate::{
    call::{Call, Context, NoOptions, options},
    compose::Project,
    engine::{Filters, Req, WaitUntil, text},
    error::{Error, ErrorKind, Result},
    plan::{Plan, execute},
    progress::{EventSink, Resource},
    stream::Streaming,
    surface::{Handle, handle},
    units::Seconds,
};

/// How many steps go on at once.
const PARALLEL: usize = 16;
/// How long waits may take where nothing else is said.
const WAIT: Duration = Duration::from_secs(300);

/// A project on a swarm: its services spread over the nodes, known by docker stack's names and labels. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stack {
    swarm: Swarm,
    project: Option<Project>,
    name: Arc<str>,
}

/// What can be read from a [`Stack`] at once.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StackProperties {
    /// Its name.
    pub name: String,
    /// What the file says that a swarm cannot do; it is left out.
    pub warnings: Vec<String>,
}

options! {
    /// What a [`Stack`] is made of.
    pub struct StackInit {
        /// The swarm.
        pub swarm: Option<Swarm>,
        /// The project; without one, the stack is known by its name alone.
        pub project: Option<Project>,
        /// The stack's name; default: the project's.
        pub name: Option<String>,
    }
}

options! {
    /// Options of [`Stack::up`] and [`Stack::plan`].
    pub struct StackUp {
        /// Removes services that the project does not have.
        pub prune: bool,
        /// Waits until all services run, and have run for as long as their update's monitor says (default 5 s).
        pub wait: bool,
        /// Waits, after all else, until each of these services can be used, such as `{"web": {"port": 80}}`. A wait that names
        /// no time of its own may take as long as `timeout` says.
        pub wait_until: BTreeMap<String, WaitUntil>,
        /// How long waits may take; default 5 min.
        pub timeout: Option<Seconds>,
        /// Puts services that were updated back when the call fails.
        pub rollback: bool,
        /// Leaves services where the managers put them. Else, when a call that waits finds a service that it made or updated
        /// on one node with one that it depends on, each with one task, and another node is free for it, it is moved.
        pub no_spread: bool,
    }
}

options! {
    /// Options of [`Stack::down`].
    pub struct StackDown {
        /// Returns as soon as all is asked for, and not when it is gone.
        pub no_wait: bool,
        /// How long it may take until all is gone; default 2 min.
        pub timeout: Option<Seconds>,
    }
}

/// What an up did.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StackReport {
    /// The stack's name.
    pub stack: String,
    /// What was done, as `create service shop_web`.
    pub done: Vec<String>,
    /// Services of the stack that the project does not have.
    pub orphans: Vec<String>,
    /// What the file says that a swarm cannot do; it was left out.
    pub warnings: Vec<String>,
}

/// A stack that a swarm has.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StackSummary {
    /// Its name.
    pub name: String,
    /// The names of its services.
    pub services: Vec<String>,
}

impl Stack {
    /// The stack of `project` on `swarm`, named as the project. Nothing is done yet.
    #[must_use]
    pub fn new(swarm: &Swarm, project: &Project) -> Self {
        Self { swarm: swarm.clone(), project: Some(project.clone()), name: project.name().into() }
    }

    /// The same stack under another name.
    #[must_use]
    pub fn renamed(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// A stack that is known by the labels of its services alone, with no file.
    #[must_use]
    pub fn named(swarm: &Swarm, name: &str) -> Self {
        Self { swarm: swarm.clone(), project: None, name: name.into() }
    }

    pub(crate) fn from_init(init: StackInit) -> Result<Self> {
        let swarm = init.swarm.ok_or_else(|| Error::invalid("`swarm` is missing").hint("give the swarm that the stack runs on"))?;
        match (init.project, init.name) {
            (Some(project), Some(name)) => Ok(Self::new(&swarm, &project).renamed(&name)),
            (Some(project), None) => Ok(Self::new(&swarm, &project)),
            (None, Some(name)) => Ok(Self::named(&swarm, &name)),
            (None, None) => Err(Error::invalid("a stack needs a project or a name").hint("give at least one of `project` and `name`")),
        }
    }

    /// The stack's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn project(&self) -> Result<&Project> {
        self.project.as_ref().ok_or_else(|| {
            Error::invalid("this stack is known by its name alone, and its file is needed here")
                .hint("load the project and make the stack of it")
                .with("stack", &*self.name)
        })
    }

    async fn planned(&self, o: &StackUp) -> Result<(Planned, Vec<Wanted>)> {
        let project = self.project()?.clone();
        let (name, salt) = (self.name.clone(), self.swarm.id().to_owned());
        // Files of secrets and configs are read here.
        let desired = tokio::task::spawn_blocking(move || deploy::desired(&project, &name, &salt)).await.map_err(|e| Error::internal(e.to_string()))??;
        let services = desired.services.clone();
        let world = observe::world(&self.swarm, &self.name).await?;
        Ok((deploy::plan(desired, &world, &self.name, o.prune)?, services))
    }

    /// What [`Stack::up`] with the same options would do.
    ///
    /// # Errors
    /// `not_found` for a missing external network, secret or config, `conflict` for an object of the same name that
    /// belongs to something else or cannot be changed, `invalid_input` for what a swarm cannot run.
    pub fn plan(&self) -> Call<StackUp, Plan> {
        let me = self.clone();
        Call::new("stack.plan", move |o: StackUp, _| async move { me.plan_now(&o).await })
    }

    async fn plan_now(&self, o: &StackUp) -> Result<Plan> {
        let (planned, _) = self.planned(o).await?;
        let options = serde_json::to_value(o).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Plan::new(format!("stack {}: up", self.name), planned.steps, options))
    }

    /// Does what a plan says, if the swarm is still as it was when the plan was made.
    ///
    /// # Errors
    /// `conflict` when the plan would now be another; else those of [`Stack::up`].
    pub fn apply(&self, plan: Plan) -> Call<NoOptions, StackReport> {
        let me = self.clone();
        Call::new("stack.apply", move |_, cx: Context| async move {
            let o: StackUp =
                serde_json::from_value(plan.options.clone()).map_err(|_| Error::invalid("this is not a plan of a stack").hint("make it with stack.plan"))?;
            if me.plan_now(&o).await?.steps != plan.steps {
                return Err(Error::new(ErrorKind::Conflict, "the swarm has changed since the plan was made").hint("plan again"));
            }
            me.up_now(o, &cx).await
        })
    }

    /// Brings the stack up: makes what is missing and updates what differs, services after those they depend on.
    ///
    /// A second call changes nothing. Secrets and configs are versioned by their content: when a file changes, only the
    /// services that use it are updated. What belongs to the stack is known by docker stack's labels.
    ///
    /// # Errors
    /// Those of [`Stack::plan`]; `unhealthy` when tasks of a service keep failing, `timeout`.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work, whatever had been done.
    pub fn up(&self) -> Call<StackUp, StackReport> {
        let me = self.clone();
        Call::new("stack.up", move |o: StackUp, cx| async move { me.up_now(o, &cx).await.map_err(|e| e.with("stack", &*me.name)) })
    }

    async fn up_now(&self, o: StackUp, cx: &Context) -> Result<StackReport> {
        let mut report = StackReport { stack: self.name.to_string(), warnings: convert::warnings(self.project()?.model()), ..StackReport::default() };
        let updated = std::sync::Mutex::new(Vec::new());
        let mut result = Ok(());
        for attempt in 0..5u64 {
            let (planned, services) = self.planned(&o).await?;
            report.orphans.clone_from(&planned.orphans);
            let done = std::sync::Mutex::new(Vec::new());
            result = execute(&planned.steps, PARALLEL, |i| self.step(&planned, i, &services, &o, cx, &done, &updated)).await;
            report.done.extend(done.into_inner().unwrap_or_default());
            if result.is_ok() && o.wait {
                let names: Vec<String> = services.iter().map(|s| s.name.clone()).collect();
                let changed = planned.work.iter().filter_map(|w| match w {
                    Work::CreateService(w) | Work::UpdateService(w, _) => Some(w.name.clone()),
                    _ => None,
                });
                result = self.settle(&o, &names, &services, &changed.collect(), cx, &mut report).await;
            }
            if result.is_ok() {
                result = self.usable(&o).await;
            }
            match &result {
                // Another writer was faster with the same name: look again and go on from there.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => tokio::time::sleep(Duration::from_millis(100 * (attempt + 1))).await,
                _ => break,
            }
        }
        let Err(e) = result else { return Ok(report) };
        let updated = updated.into_inner().unwrap_or_default();
        if !o.rollback || updated.is_empty() {
            return Err(e);
        }
        for id in &updated {
            self.swarm.change("services", id, &[("rollback", "previous")], |_| Ok(())).await?;
        }
        Err(e.with("rolled_back", updated.len().to_string()))
    }

    /// Waits until all services run, spreads them, and waits until they have run for a while.
    async fn settle(
        &self,
        o: &StackUp,
        names: &[String],
        services: &[Wanted],
        changed: &BTreeSet<String>,
        cx: &Context,
        report: &mut StackReport,
    ) -> Result<()> {
        let wait = self.wait(o, &cx.events);
        if !o.no_spread && !changed.is_empty() {
            wait.until(names, Goal::Begun).await?;
            let moved = super::spread::apply(&self.swarm, &self.name, services, changed, &wait, &cx.events).await?;
            report.done.extend(moved.into_iter().map(|name| format!("move service {name}")));
        }
        wait.until(names, Goal::Stable).await
    }

    fn wait<'a>(&'a self, o: &StackUp, events: &'a EventSink) -> Wait<'a> {
        Wait { swarm: &self.swarm, stack: &self.name, timeout: o.timeout.map_or(WAIT, |t| t.0), events }
    }

    #[expect(clippy::too_many_arguments, reason = "one step sees all of its call")]
    async fn step(
        &self,
        planned: &Planned,
        i: usize,
        services: &[Wanted],
        o: &StackUp,
        cx: &Context,
        done: &std::sync::Mutex<Vec<String>>,
        updated: &std::sync::Mutex<Vec<String>>,
    ) -> Result<()> {
        let (Some(step), Some(work)) = (planned.steps.get(i), planned.work.get(i)) else { return Err(Error::internal("a step without work")) };
        if let Work::CreateService(wanted) | Work::UpdateService(wanted, _) = work {
            self.dependencies(wanted, services, o).await?;
        }
        cx.events.track(&step.action, step.resource.clone(), deploy::perform(&self.swarm, work)).await?;
        if let Ok(mut done) = done.lock() {
            done.push(format!("{} {}", step.action, step.resource));
        }
        if let (Work::UpdateService(_, live), Ok(mut updated)) = (work, updated.lock()) {
            updated.push(text(live, "ID"));
        }
        Ok(())
    }

    async fn usable(&self, o: &StackUp) -> Result<()> {
        let waits = o.wait_until.iter().map(|(service, conditions)| {
            let mut conditions = conditions.clone();
            conditions.timeout = conditions.timeout.or(o.timeout).or(Some(WAIT.into()));
            super::ready::usable(&self.swarm, &self.name, service, conditions)
        });
        futures_util::future::try_join_all(waits).await.map(drop)
    }

    /// Waits until what a service depends on is as the file asks.
    async fn dependencies(&self, wanted: &Wanted, services: &[Wanted], o: &StackUp) -> Result<()> {
        let quiet = EventSink::default();
        let waits = wanted.depends_on.iter().filter_map(|(key, dependency)| {
            let name = services.iter().find(|s| s.key == *key)?.name.clone();
            let goal = match dependency.condition.as_str() {
                "service_healthy" => Goal::Running,
                "service_completed_successfully" => Goal::Completed,
                _ => Goal::Started,
            };
            let wait = self.wait(o, &quiet);
            Some(async move {
                let result = wait.until(std::slice::from_ref(&name), goal).await;
                result.map_err(|e| e.with("needed_by", wanted.name.clone()))
            })
        });
        futures_util::future::try_join_all(waits).await.map(drop)
    }

    /// Waits until a service can be used. Ports are reached where they are published: at the node of each task for those of
    /// the host, at any node for those of the swarm. A text in the output must be in that of each task that runs.
    ///
    /// # Errors
    /// `not_found` when there is no such service, `timeout`, `unhealthy` when its tasks fail, `invalid_input` for a port that is
    /// not published.
    ///
    /// # Cancel safety
    /// The service is left as it is.
    pub fn wait_until(&self, service: impl Into<String>) -> Call<WaitUntil, ()> {
        let (me, service) = (self.clone(), service.into());
        Call::new("stack.wait_until", move |o: WaitUntil, _| async move { super::ready::usable(&me.swarm, &me.name, &service, o).await })
    }

    /// Removes the stack's services, networks, secrets and configs, and returns when they and their containers are gone.
    /// Volumes stay. What is gone already is fine.
    ///
    /// # Errors
    /// `timeout` when something does not go, such as a network that a container of another stack is in.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work.
    pub fn down(&self) -> Call<StackDown, ()> {
        let me = self.clone();
        Call::new("stack.down", move |o: StackDown, cx| async move { me.down_now(&o, &cx).await.map_err(|e| e.with("stack", &*me.name)) })
    }

    async fn down_now(&self, o: &StackDown, cx: &Context) -> Result<()> {
        let until = tokio::time::Instant::now() + o.timeout.map_or(Duration::from_secs(120), |t| t.0);
        let filters = of_stack(&self.name);
        let list = async |kind: &str| self.swarm.fetch::<Vec<Value>>(|| Req::get(&[kind]).filters(&filters)).await;
        let remove = async |kind: &str, rows: Vec<Value>| -> Result<()> {
            let all = rows.iter().map(|raw| {
                let name = if kind == "networks" { text(raw, "Name") } else { observe::spec_name(raw) };
                let id = if kind == "networks" { text(raw, "Id") } else { text(raw, "ID") };
                let resource = Resource::new(kind.trim_end_matches('s'), name);
                cx.events.track("remove", resource, async move { gone_is_fine(self.swarm.done(|| Req::delete(&[kind, &id])).await) })
            });
            futures_util::future::try_join_all(all).await.map(drop)
        };
        remove("services", list("services").await?).await?;
        if !o.no_wait {
            // Objects in use cannot be removed: their tasks go first.
            self.wait_gone(until).await?;
        }
        for kind in ["secrets", "configs"] {
            remove(kind, list(kind).await?).await?;
        }
        loop {
            let networks = list("networks").await?;
            let result = remove("networks", networks.clone()).await;
            match result {
                Ok(()) if networks.is_empty() || o.no_wait => return Ok(()),
                Err(e) if tokio::time::Instant::now() > until || (!e.message().contains("in use") && !e.message().contains("active endpoints")) => {
                    return Err(e);
                }
                _ => tokio::time::sleep(Duration::from_millis(150)).await,
            }
        }
    }

    /// Waits until tasks and containers are gone.
    async fn wait_gone(&self, until: tokio::time::Instant) -> Result<()> {
        let mut pause = Duration::from_millis(100);
        loop {
            let tasks: Vec<Value> = self.swarm.fetch(|| Req::get(&["tasks"]).filters(&of_stack(&self.name))).await?;
            let containers = self.containers().await?;
            if tasks.is_empty() && containers == 0 {
                return Ok(());
            }
            if tokio::time::Instant::now() > until {
                return Err(Error::new(ErrorKind::Timeout, format!("{} tasks and {containers} containers are not gone in time", tasks.len()))
                    .hint("look at the nodes they are on; the same call goes on"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(400));
        }
    }

    /// How many containers of the stack the engines that are known still have.
    async fn containers(&self) -> Result<usize> {
        let filters = Filters::from([("label".to_owned(), vec![format!("{NAMESPACE}={}", &*self.name)])]);
        let counts = self.swarm.managers.iter().map(|engine| {
            let filters = &filters;
            async move {
                let rows: Result<Vec<Value>> =
                    engine.client.fetch(Req::get(&["containers", "json"]).query("all", "true").filters(filters).within(Duration::from_secs(5))).await;
                // A manager that is lost says nothing of its containers.
                rows.map_or(0, |r| r.len())
            }
        });
        Ok(futures_util::future::join_all(counts).await.into_iter().sum())
    }

    /// The tasks of the stack, those that have ended too.
    ///
    /// # Errors
    /// `conflict` when the engine is not a manager, or there is no leader.
    pub fn ps(&self) -> Call<ListTasks, Vec<Task>> {
        let me = self.clone();
        Call::new("stack.ps", move |mut o: ListTasks, _| async move {
            o.filters.entry("label".to_owned()).or_default().push(format!("{NAMESPACE}={}", &*me.name));
            me.swarm.task_list(&o).await
        })
    }

    /// The services of the stack, by name.
    ///
    /// # Errors
    /// `conflict` when the engine is not a manager, or there is no leader.
    pub fn services(&self) -> Call<NoOptions, Vec<Service>> {
        let me = self.clone();
        Call::new("stack.services", move |_, _| async move { me.swarm.service_list(&of_stack(&me.name)).await })
    }

    /// The output of all services, from all nodes.
    ///
    /// # Errors
    /// `not_found` when the stack has no service.
    pub fn logs(&self) -> Call<ServiceLogOptions, Streaming<ServiceLog>> {
        let me = self.clone();
        Call::new("stack.logs", move |o: ServiceLogOptions, _| async move {
            let services = me.swarm.service_list(&of_stack(&me.name)).await?;
            if services.is_empty() {
                return Err(Error::not_found(format!("the swarm has no stack {}", me.name)).hint("list the stacks").with("stack", &*me.name));
            }
            let streams = services.iter().map(|s| me.swarm.service_logs(&s.properties.id, &s.properties.name, o.clone()));
            let streams = futures_util::future::try_join_all(streams).await?;
            Ok(Streaming::new(futures_util::stream::select_all(streams.into_iter().map(StreamExt::boxed))))
        })
    }

    /// The stacks of a swarm, by name, whichever tool made them.
    ///
    /// # Errors
    /// `conflict` when the engine is not a manager, or there is no leader.
    pub fn list(swarm: &Swarm) -> Call<NoOptions, Vec<StackSummary>> {
        let swarm = swarm.clone();
        Call::new("stack.list", move |_, _| async move {
            let filters = Filters::from([("label".to_owned(), vec![NAMESPACE.to_owned()])]);
            let mut stacks: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for service in swarm.service_list(&filters).await? {
                let name = service.properties.labels.get(NAMESPACE).cloned().unwrap_or_default();
                stacks.entry(name).or_default().push(service.properties.name);
            }
            Ok(stacks.into_iter().map(|(name, services)| StackSummary { name, services }).collect())
        })
    }
}

impl Handle for Stack {
    const CLASS: &'static str = "Stack";
    type Properties = StackProperties;

    fn properties(&self) -> StackProperties {
        StackProperties { name: self.name.to_string(), warnings: self.project.as_ref().map(|p| convert::warnings(p.model())).unwrap_or_default() }
    }
}

handle!(Stack);
