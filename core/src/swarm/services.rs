//! The services of a swarm.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ListTasks, Swarm, Task};
use crate::{
    call::{Call, NoOptions, options},
    engine::{Filters, LogOptions, Req, demultiplex, string_map, text},
    error::{Error, ErrorKind, Result},
    stream::Streaming,
    surface::{Handle, handle},
    timestamp::When,
    units::Data,
};

/// The services of a [`Swarm`].
#[derive(Debug, Clone)]
pub struct Services(pub(crate) Swarm);

/// A service of a swarm, as it was when it was read.
#[derive(Debug, Clone)]
pub struct Service {
    pub(crate) swarm: Swarm,
    pub(crate) properties: ServiceProperties,
}

/// What can be read from a [`Service`] at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ServiceProperties {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// `replicated`, `global`, `replicated-job` or `global-job`.
    pub mode: String,
    /// How many tasks should run.
    pub desired_tasks: u64,
    /// How many tasks run.
    pub running_tasks: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where its update stands, such as `updating` or `completed`; empty when there was none.
    pub update_state: String,
    /// What the managers say of the update.
    pub update_message: String,
}

options! {
    /// Options of [`Services::list`].
    pub struct ListServices {
        /// The engine's filters, such as `{"mode": ["global"]}`.
        pub filters: Filters,
    }
}

options! {
    /// Options of the calls that read logs of services.
    pub struct ServiceLogOptions {
        /// Goes on with new output as it comes.
        pub follow: bool,
        /// Only output after this moment: RFC 3339, Unix seconds, or how long ago, such as `10m`.
        pub since: Option<When>,
        /// Only so many lines from the end, of each task.
        pub tail: Option<u64>,
        /// Puts the time before each line.
        pub timestamps: bool,
    }
}

/// A part of the output of a service.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ServiceLog {
    /// The name of the service.
    pub service: String,
    /// The ID of the task.
    pub task: String,
    /// The ID of the node.
    pub node: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// One line, with its end.
    pub data: Data,
}

/// The mode of a service, and how many tasks it says.
pub(crate) fn mode_of(spec: &Value) -> (&'static str, Option<u64>) {
    let mode = spec.get("Mode").cloned().unwrap_or_default();
    let number = |at: &str| mode.pointer(at).and_then(Value::as_u64);
    if mode.get("Global").is_some_and(|m| !m.is_null()) {
        ("global", None)
    } else if mode.get("GlobalJob").is_some_and(|m| !m.is_null()) {
        ("global-job", None)
    } else if mode.get("ReplicatedJob").is_some_and(|m| !m.is_null()) {
        ("replicated-job", Some(number("/ReplicatedJob/TotalCompletions").unwrap_or(1)))
    } else {
        ("replicated", Some(number("/Replicated/Replicas").unwrap_or(1)))
    }
}

impl Swarm {
    /// The services of this swarm.
    #[must_use]
    pub fn services(&self) -> Services {
        Services(self.clone())
    }

    pub(crate) async fn service_list(&self, filters: &Filters) -> Result<Vec<Service>> {
        let rows: Vec<Value> = self.fetch(|| Req::get(&["services"]).filters(filters).query("status", "true")).await?;
        let mut all: Vec<Service> = rows.iter().map(|r| Service::read(self, r)).collect();
        all.sort_by(|a, b| a.properties.name.cmp(&b.properties.name));
        Ok(all)
    }

    pub(crate) async fn service(&self, name: &str) -> Result<Service> {
        let raw: Value = self.fetch(|| Req::get(&["services", name])).await.map_err(|e| missing(e, name))?;
        let id = text(&raw, "ID");
        // Only the list says how many tasks run.
        let listed = self.service_list(&Filters::from([("id".to_owned(), vec![id.clone()])])).await?;
        Ok(listed.into_iter().find(|s| s.properties.id == id).unwrap_or_else(|| Service::read(self, &raw)))
    }

    /// The output of one service, line by line.
    pub(crate) async fn service_logs(&self, id: &str, name: &str, o: ServiceLogOptions) -> Result<Streaming<ServiceLog>> {
        use futures_util::StreamExt;
        let engine = self.manager()?.clone();
        let logs = LogOptions { follow: o.follow, since: o.since, tail: o.tail, timestamps: o.timestamps, ..LogOptions::default() };
        let bytes = engine.client.bytes(logs.apply(Req::get(&["services", id, "logs"]).flag("details", true))).await.map_err(|e| missing(e, name))?;
        let name = name.to_owned();
        let lines = demultiplex(bytes).map(move |chunk| {
            chunk.map(|chunk| {
                let lines = chunk.data.0.split_inclusive(|b| *b == b'\n');
                lines.map(|line| log_line(&name, &chunk.stream, line, logs.timestamps)).collect::<Vec<_>>()
            })
        });
        Ok(Streaming::new(lines.flat_map(|lines| {
            futures_util::stream::iter(match lines {
                Ok(lines) => lines.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(e) => vec![Err(e)],
            })
        })))
    }
}

/// With details, each line begins with a list of labels, the task's and node's IDs among them; with times, the time stands before.
fn log_line(service: &str, stream: &str, line: &[u8], timestamps: bool) -> ServiceLog {
    let cut = |bytes: &'_ [u8]| -> (Vec<u8>, Vec<u8>) {
        match bytes.iter().position(|b| *b == b' ') {
            Some(at) => (bytes.get(..at).unwrap_or_default().to_vec(), bytes.get(at + 1..).unwrap_or_default().to_vec()),
            None => (Vec::new(), bytes.to_vec()),
        }
    };
    let (time, rest) = if timestamps { cut(line) } else { (Vec::new(), line.to_vec()) };
    let (details, rest) = cut(&rest);
    let details = String::from_utf8_lossy(&details).into_owned();
    let detail = |name: &str| details.split(',').find_map(|d| d.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default().to_owned();
    let data = if time.is_empty() { rest } else { [time, b" ".to_vec(), rest].concat() };
    ServiceLog {
        service: service.to_owned(),
        task: detail("com.docker.swarm.task.id"),
        node: detail("com.docker.swarm.node.id"),
        stream: stream.to_owned(),
        data: Data(data.into()),
    }
}

fn missing(e: Error, name: &str) -> Error {
    if e.kind() == ErrorKind::NotFound { e.hint("list the services").with("service", name) } else { e }
}

impl Services {
    /// Lists the services, by name.
    ///
    /// # Errors
    /// `conflict` when the engine is not a manager, or there is no leader.
    pub fn list(&self) -> Call<ListServices, Vec<Service>> {
        let swarm = self.0.clone();
        Call::new("services.list", move |o: ListServices, _| async move { swarm.service_list(&o.filters).await })
    }

    /// The service with this name or ID.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, name: impl Into<String>) -> Call<NoOptions, Service> {
        let (swarm, name) = (self.0.clone(), name.into());
        Call::new("services.get", move |_, _| async move { swarm.service(&name).await })
    }
}

impl Service {
    pub(crate) fn read(swarm: &Swarm, raw: &Value) -> Self {
        let at = |path: &str| raw.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |path: &str| raw.pointer(path).and_then(Value::as_u64);
        let (mode, desired) = mode_of(raw.get("Spec").unwrap_or(&Value::Null));
        let properties = ServiceProperties {
            id: text(raw, "ID"),
            name: at("/Spec/Name"),
            image: at("/Spec/TaskTemplate/ContainerSpec/Image"),
            mode: mode.to_owned(),
            desired_tasks: number("/ServiceStatus/DesiredTasks").or(desired).unwrap_or_default(),
            running_tasks: number("/ServiceStatus/RunningTasks").unwrap_or_default(),
            labels: string_map(raw.pointer("/Spec/Labels")),
            update_state: at("/UpdateStatus/State"),
            update_message: at("/UpdateStatus/Message"),
        };
        Self { swarm: swarm.clone(), properties }
    }

    /// What was seen of it when it was read.
    #[must_use]
    pub fn seen(&self) -> &ServiceProperties {
        &self.properties
    }

    fn id(&self) -> &str {
        &self.properties.id
    }

    /// The service as it is now.
    ///
    /// # Errors
    /// `not_found` when it has been removed.
    pub fn reload(&self) -> Call<NoOptions, Service> {
        let me = self.clone();
        Call::new("service.reload", move |_, _| async move { me.swarm.service(me.id()).await })
    }

    /// All that the managers know of it, in the engine's own form.
    ///
    /// # Errors
    /// `not_found` when it has been removed.
    pub fn inspect(&self) -> Call<NoOptions, Value> {
        let me = self.clone();
        Call::new("service.inspect", move |_, _| async move { me.swarm.fetch(|| Req::get(&["services", me.id()])).await })
    }

    /// Sets how many tasks it should have, and gives it as it is then. The tasks come and go afterwards.
    ///
    /// # Errors
    /// `invalid_input` for a global service, `not_found`.
    pub fn scale(&self, replicas: u64) -> Call<NoOptions, Service> {
        let me = self.clone();
        Call::new("service.scale", move |_, _| async move {
            me.swarm
                .change("services", me.id(), &[], |spec| {
                    let (mode, _) = mode_of(spec);
                    let body = match mode {
                        "replicated" => json!({"Replicated": {"Replicas": replicas}}),
                        "replicated-job" => json!({"ReplicatedJob": {"MaxConcurrent": replicas, "TotalCompletions": replicas}}),
                        _ => return Err(Error::invalid("a global service has one task on each node").hint("scale replicated services only")),
                    };
                    spec.as_object_mut().map(|map| map.insert("Mode".to_owned(), body));
                    Ok(())
                })
                .await?;
            me.swarm.service(me.id()).await
        })
    }

    /// Puts the spec before the last update back.
    ///
    /// # Errors
    /// `conflict` when there is none.
    pub fn rollback(&self) -> Call<NoOptions, Service> {
        let me = self.clone();
        Call::new("service.rollback", move |_, _| async move {
            me.swarm.change("services", me.id(), &[("rollback", "previous")], |_| Ok(())).await.map_err(|e| {
                if e.message().contains("previous spec") {
                    Error::new(ErrorKind::Conflict, e.message().to_owned()).hint("it has not been updated yet")
                } else {
                    e
                }
            })?;
            me.swarm.service(me.id()).await
        })
    }

    /// Its tasks.
    ///
    /// # Errors
    /// `not_found` when it has been removed.
    pub fn tasks(&self) -> Call<ListTasks, Vec<Task>> {
        let me = self.clone();
        Call::new("service.tasks", move |mut o: ListTasks, _| async move {
            o.filters.insert("service".to_owned(), vec![me.properties.id.clone()]);
            me.swarm.task_list(&o).await
        })
    }

    /// The output of its tasks, from all nodes.
    ///
    /// # Errors
    /// `not_found` when it has been removed.
    pub fn logs(&self) -> Call<ServiceLogOptions, Streaming<ServiceLog>> {
        let me = self.clone();
        Call::new("service.logs", move |o: ServiceLogOptions, _| async move { me.swarm.service_logs(me.id(), &me.properties.name, o).await })
    }

    /// Removes it; its containers go a few seconds later.
    ///
    /// # Errors
    /// `not_found` when it has been removed.
    pub fn remove(&self) -> Call<NoOptions, ()> {
        let me = self.clone();
        Call::new("service.remove", move |_, _| async move { me.swarm.done(|| Req::delete(&["services", me.id()])).await.map_err(|e| missing(e, me.id())) })
    }
}

impl Handle for Service {
    const CLASS: &'static str = "Service";
    type Properties = ServiceProperties;

    fn properties(&self) -> ServiceProperties {
        self.properties.clone()
    }
}

handle!(Service);
