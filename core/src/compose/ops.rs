//! The other verbs of an app: down, ps, logs, start, stop, restart, kill, exec, build, and the list of apps.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    app::App,
    apply::{self, gone_is_fine},
    labels,
    observe::{self, Found, labels_of},
    reconcile::selected,
};
use crate::{
    call::{Call, NoOptions, options},
    engine::{Command, CommandOutput, Container, Engine, ExecOptions, LogOptions, Req},
    error::{Error, Result},
    progress::Resource,
    stream::Streaming,
    timestamp::When,
    units::{Data, Seconds},
};

options! {
    /// Options of [`App::down`].
    pub struct DownOptions {
        /// Named volumes of the project too.
        pub volumes: bool,
        /// Containers of services that the project does not know too; an app that is known by its name alone removes all.
        pub remove_orphans: bool,
        /// How long containers may take to stop; default: their own.
        pub timeout: Option<Seconds>,
    }
}

options! {
    /// Options of the calls that work on services.
    pub struct ServiceOptions {
        /// Only these services; default: all.
        pub services: Vec<String>,
        /// How long containers may take to stop; default: their own.
        pub timeout: Option<Seconds>,
    }
}

options! {
    /// Options of [`App::kill`].
    pub struct KillServices {
        /// Only these services; default: all.
        pub services: Vec<String>,
        /// The signal; default `SIGKILL`.
        pub signal: Option<String>,
    }
}

options! {
    /// Options of [`App::ps`].
    pub struct PsOptions {
        /// Stopped containers too.
        pub all: bool,
    }
}

options! {
    /// Options of [`App::logs`].
    pub struct AppLogOptions {
        /// Only these services; default: all.
        pub services: Vec<String>,
        /// Goes on with new output as it comes.
        pub follow: bool,
        /// Only output after this moment: RFC 3339, Unix seconds, or how long ago, such as `10m`.
        pub since: Option<When>,
        /// Only output before this moment, in the same forms.
        pub until: Option<When>,
        /// Only so many lines from the end, of each container.
        pub tail: Option<u64>,
        /// Puts the time before each line.
        pub timestamps: bool,
    }
}

/// A part of the output of an app.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppLog {
    /// The service.
    pub service: String,
    /// The container's name.
    pub container: String,
    /// `stdout`, `stderr` or, for a terminal, `console`.
    pub stream: String,
    /// The bytes.
    pub data: Data,
}

/// An app that an engine has.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppSummary {
    /// The project's name.
    pub name: String,
    /// How many of its containers are in which state.
    pub states: BTreeMap<String, u64>,
    /// Its Compose files, as they were named when it was brought up.
    pub config_files: Vec<String>,
}

fn need(found: &Found) -> Vec<String> {
    let label = found.labels.get(labels::DEPENDS_ON).cloned().unwrap_or_default();
    label.split(',').filter_map(|d| d.split(':').next()).filter(|d| !d.is_empty()).map(str::to_owned).collect()
}

/// Services in groups: one may only go when no service of a later group needs it any more.
fn reversed(all: &[Found]) -> Vec<BTreeSet<String>> {
    let mut left: BTreeSet<String> = all.iter().map(|f| f.service.clone()).collect();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let needed: BTreeSet<String> = all.iter().filter(|f| left.contains(&f.service)).flat_map(need).collect();
        let mut group: BTreeSet<String> = left.difference(&needed).cloned().collect();
        if group.is_empty() {
            group.clone_from(&left);
        }
        left = left.difference(&group).cloned().collect();
        groups.push(group);
    }
    groups
}

impl App {
    /// Stops and removes the app's containers and networks. What is gone already is fine.
    ///
    /// # Errors
    /// `forbidden` when something else is in one of its networks.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work.
    pub fn down(&self) -> Call<DownOptions, ()> {
        let me = self.clone();
        Call::new("app.down", move |o: DownOptions, cx| async move {
            let mut all = observe::containers(&me.engine, &me.name).await?;
            if let (Some(project), false) = (&me.project, o.remove_orphans) {
                let model = project.model();
                all.retain(|f| f.one_off || model.services.contains_key(&f.service) || model.disabled.contains_key(&f.service));
            }
            for group in reversed(&all) {
                let work = all.iter().filter(|f| group.contains(&f.service)).map(|f| {
                    let (me, o, cx) = (&me, &o, &cx);
                    async move {
                        let resource = Resource::new("container", &f.name).of(&f.service);
                        cx.events
                            .track("remove", resource, async {
                                apply::stop(&me.engine, &f.id, o.timeout).await?;
                                gone_is_fine(
                                    me.engine
                                        .client
                                        .done(Req::delete(&["containers", &f.id]).query("force", "true").query("v", "true").patient())
                                        .await
                                        .map(drop),
                                )
                            })
                            .await
                    }
                });
                futures_util::future::try_join_all(work).await?;
            }
            let filter: BTreeMap<String, Vec<String>> = [("label".to_owned(), vec![format!("{}={}", labels::PROJECT, me.name)])].into();
            let networks: Vec<Value> = me.engine.client.fetch(Req::get(&["networks"]).filters(&filter)).await?;
            for network in networks {
                let text = |n: &str| network.get(n).and_then(Value::as_str).unwrap_or_default().to_owned();
                let gone = async { gone_is_fine(me.engine.client.done(Req::delete(&["networks", &text("Id")])).await.map(drop)) };
                cx.events.track("remove", Resource::new("network", text("Name")), gone).await?;
            }
            if o.volumes {
                let raw: Value = me.engine.client.fetch(Req::get(&["volumes"]).filters(&filter)).await?;
                for volume in raw.get("Volumes").and_then(Value::as_array).into_iter().flatten() {
                    let name = volume.get("Name").and_then(Value::as_str).unwrap_or_default();
                    let gone = async { gone_is_fine(me.engine.client.done(Req::delete(&["volumes", name])).await.map(drop)) };
                    cx.events.track("remove", Resource::new("volume", name), gone).await?;
                }
            }
            Ok(())
        })
    }

    /// The app's containers.
    ///
    /// # Errors
    /// `unreachable`, `timeout`.
    pub fn ps(&self) -> Call<PsOptions, Vec<Container>> {
        let me = self.clone();
        Call::new("app.ps", move |o: PsOptions, _| async move {
            let all = observe::containers(&me.engine, &me.name).await?;
            Ok(all.iter().filter(|f| o.all || f.state == "running").map(|f| Container::from_row(&me.engine, &f.row)).collect())
        })
    }

    /// The output of the app's containers, as it comes from all of them.
    ///
    /// # Errors
    /// `not_found` for an unknown service.
    pub fn logs(&self) -> Call<AppLogOptions, Streaming<AppLog>> {
        let me = self.clone();
        Call::new("app.logs", move |o: AppLogOptions, _| async move {
            let mut streams = Vec::new();
            for found in me.of_services(&o.services).await? {
                let container = Container::from_row(&me.engine, &found.row);
                let mut options = LogOptions::default().follow(o.follow).timestamps(o.timestamps);
                (options.since, options.until, options.tail) = (o.since.clone(), o.until.clone(), o.tail);
                let stream = container.logs().with_options(options).await?;
                let (service, name) = (found.service, found.name);
                streams.push(
                    stream
                        .map(move |chunk| chunk.map(|c| AppLog { service: service.clone(), container: name.clone(), stream: c.stream, data: c.data }))
                        .boxed(),
                );
            }
            Ok(Streaming::new(futures_util::stream::select_all(streams)))
        })
    }

    /// The containers of these services, or of all.
    async fn of_services(&self, services: &[String]) -> Result<Vec<Found>> {
        let all = observe::containers(&self.engine, &self.name).await?;
        for name in services {
            if !all.iter().any(|f| f.service == *name) {
                match &self.project {
                    Some(project) => drop(selected(project.model(), std::slice::from_ref(name))?),
                    None => return Err(Error::not_found(format!("the app {} has no service `{}`", self.name, crate::error::escape(name))).hint("see app.ps")),
                }
            }
        }
        Ok(all.into_iter().filter(|f| !f.one_off && (services.is_empty() || services.contains(&f.service))).collect())
    }

    async fn each(&self, services: &[String], verb: &str, cx: &crate::call::Context, request: impl Fn(Req) -> Req) -> Result<()> {
        let all = self.of_services(services).await?;
        let mut groups = reversed(&all);
        if verb == "start" || verb == "restart" || verb == "unpause" {
            groups.reverse();
        }
        for group in groups {
            let work = all.iter().filter(|f| group.contains(&f.service)).map(|f| {
                let req = request(Req::post(&["containers", &f.id, verb]));
                let resource = Resource::new("container", &f.name).of(&f.service);
                cx.events.track(verb, resource, async move { gone_is_fine(self.engine.client.done(req).await.map(drop)) })
            });
            futures_util::future::try_join_all(work).await?;
        }
        Ok(())
    }

    /// Starts containers that are there, those that others need first.
    ///
    /// # Errors
    /// `not_found` for an unknown service.
    pub fn start(&self) -> Call<ServiceOptions, ()> {
        let me = self.clone();
        Call::new("app.start", move |o: ServiceOptions, cx| async move { me.each(&o.services, "start", &cx, |r| r).await })
    }

    /// Stops containers, those that others need last.
    ///
    /// # Errors
    /// `not_found` for an unknown service.
    pub fn stop(&self) -> Call<ServiceOptions, ()> {
        let me = self.clone();
        Call::new(
            "app.stop",
            move |o: ServiceOptions, cx| async move { me.each(&o.services, "stop", &cx, |r| r.maybe("t", seconds(o.timeout)).patient()).await },
        )
    }

    /// Stops containers and starts them again.
    ///
    /// # Errors
    /// `not_found` for an unknown service.
    pub fn restart(&self) -> Call<ServiceOptions, ()> {
        let me = self.clone();
        Call::new("app.restart", move |o: ServiceOptions, cx| async move {
            me.each(&o.services, "restart", &cx, |r| r.maybe("t", seconds(o.timeout)).patient()).await
        })
    }

    /// Sends running containers a signal.
    ///
    /// # Errors
    /// `conflict` when one does not run, `not_found` for an unknown service.
    pub fn kill(&self) -> Call<KillServices, ()> {
        let me = self.clone();
        Call::new("app.kill", move |o: KillServices, cx| async move { me.each(&o.services, "kill", &cx, |r| r.maybe("signal", o.signal.as_deref())).await })
    }

    /// Freezes containers.
    ///
    /// # Errors
    /// `conflict` when one does not run, `not_found` for an unknown service.
    pub fn pause(&self) -> Call<ServiceOptions, ()> {
        let me = self.clone();
        Call::new("app.pause", move |o: ServiceOptions, cx| async move { me.each(&o.services, "pause", &cx, |r| r).await })
    }

    /// Lets frozen containers run on.
    ///
    /// # Errors
    /// `conflict` when one is not paused, `not_found` for an unknown service.
    pub fn unpause(&self) -> Call<ServiceOptions, ()> {
        let me = self.clone();
        Call::new("app.unpause", move |o: ServiceOptions, cx| async move { me.each(&o.services, "unpause", &cx, |r| r).await })
    }

    /// Runs a command in a container of a service, its first one. An exit code other than 0 is a result, not an error.
    ///
    /// # Errors
    /// `not_found`, `conflict` when the container does not run.
    pub fn exec(&self, service: impl Into<String>, command: impl Into<Command>) -> Call<ExecOptions, CommandOutput> {
        let (me, service, command) = (self.clone(), service.into(), command.into());
        Call::new("app.exec", move |o: ExecOptions, _| async move {
            let all = me.of_services(std::slice::from_ref(&service)).await?;
            let found = all.first().ok_or_else(|| Error::not_found(format!("the service {service} has no container")).hint("bring the app up first"))?;
            Container::from_row(&me.engine, &found.row).exec(command).with_options(o).await
        })
    }

    /// Builds the images of services that have a build.
    ///
    /// # Errors
    /// `command_failed` when an instruction fails, `not_found`, `invalid_input`.
    pub fn build(&self) -> Call<ServiceOptions, ()> {
        let me = self.clone();
        Call::new("app.build", move |o: ServiceOptions, cx| async move {
            let model = me.model()?;
            selected(model, &o.services)?;
            for name in model.services.keys().filter(|n| o.services.is_empty() || o.services.contains(n)) {
                apply::build(&me, name, &cx).await?;
            }
            Ok(())
        })
    }

    /// The apps that an engine has, docker compose's too.
    ///
    /// # Errors
    /// `unreachable`, `timeout`.
    pub fn list(engine: &Engine) -> Call<NoOptions, Vec<AppSummary>> {
        let engine = engine.clone();
        Call::new("app.list", move |_, _| async move {
            let filter: BTreeMap<String, Vec<String>> = [("label".to_owned(), vec![labels::PROJECT.to_owned(), labels::HASH.to_owned()])].into();
            let rows: Vec<Value> = engine.client.fetch(Req::get(&["containers", "json"]).query("all", "true").filters(&filter)).await?;
            let mut apps: BTreeMap<String, AppSummary> = BTreeMap::new();
            for row in rows {
                let labels = labels_of(row.get("Labels"));
                let name = labels.get(labels::PROJECT).cloned().unwrap_or_default();
                let files = labels.get(labels::CONFIG_FILES).map(|f| f.split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect()).unwrap_or_default();
                let app = apps.entry(name.clone()).or_insert_with(|| AppSummary { name, states: BTreeMap::new(), config_files: files });
                *app.states.entry(row.get("State").and_then(Value::as_str).unwrap_or_default().to_owned()).or_default() += 1;
            }
            Ok(apps.into_values().collect())
        })
    }
}

fn seconds(timeout: Option<Seconds>) -> Option<String> {
    timeout.map(|t| t.0.as_secs_f64().ceil().to_string())
}
