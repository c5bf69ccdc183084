//! Swarm: engines joined into one, what runs on them, and Compose files deployed across them.

mod converge;
mod convert;
mod deploy;
mod membership;
mod nodes;
mod normal;
mod objects;
mod observe;
mod ready;
mod services;
mod spread;
mod stack;
pub(crate) mod surface;
mod tasks;
mod versions;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use membership::{InitSwarm, JoinSwarm, JoinTokens, LeaveSwarm, NodeRole, RotateToken, SwarmHealth, UpdateSwarm};
pub(crate) use membership::{leave_alone, membership};
pub use nodes::{Availability, ListNodes, Node, NodeProperties, Nodes, RemoveNode, UpdateNode};
pub use objects::{Configs, CreateObject, ListObjects, Secrets, SwarmObject};
pub use services::{ListServices, Service, ServiceLog, ServiceLogOptions, ServiceProperties, Services};
pub use stack::{Stack, StackDown, StackInit, StackProperties, StackReport, StackSummary, StackUp};
pub use tasks::{ListTasks, Task};

use crate::{
    engine::{Engine, Req, text},
    error::{Error, ErrorKind, Result},
    surface::{Handle, handle},
};

/// The label that says which stack an object belongs to, as docker stack writes it.
pub(crate) const NAMESPACE: &str = "com.docker.stack.namespace";

/// A swarm, reached through its managers. Cheap to clone.
///
/// When a manager does not answer or has lost its leader, the next one that is known is asked.
#[derive(Debug, Clone)]
pub struct Swarm {
    managers: Arc<[Engine]>,
    current: Arc<AtomicUsize>,
    id: Arc<str>,
}

/// What can be read from a [`Swarm`] at once.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SwarmProperties {
    /// Its ID.
    pub id: String,
    /// The endpoints of the managers that are asked.
    pub managers: Vec<String>,
}

/// How long one of several managers may take to answer before the next one is asked. A manager without a leader takes half a minute to say so.
const PATIENCE: Duration = Duration::from_secs(8);

impl Swarm {
    /// The swarm that these managers are of; the first one that answers says which.
    pub(crate) async fn of(managers: Vec<Engine>) -> Result<Self> {
        let mut swarm = Self { managers: managers.into(), current: Arc::default(), id: "".into() };
        let answer: Value = swarm.fetch(|| Req::get(&["swarm"])).await.map_err(not_a_manager)?;
        swarm.id = text(&answer, "ID").into();
        Ok(swarm)
    }

    /// Its ID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The manager that answered last.
    pub(crate) fn manager(&self) -> Result<&Engine> {
        let at = self.current.load(Ordering::Relaxed);
        self.managers.get(at).or_else(|| self.managers.first()).ok_or_else(|| Error::internal("a swarm without managers"))
    }

    /// Asks one manager after the other until one answers; what it says is the answer, be it good or bad.
    async fn ask<T, F, Fut>(&self, work: F) -> Result<T>
    where
        F: Fn(Engine, Option<Duration>) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let count = self.managers.len();
        let start = self.current.load(Ordering::Relaxed);
        let mut last = None;
        for i in 0..count {
            let at = (start + i) % count.max(1);
            let Some(engine) = self.managers.get(at) else { continue };
            match work(engine.clone(), (count > 1).then_some(PATIENCE)).await {
                Err(e) if i + 1 < count && passes_on(&e) => last = Some(e),
                answer => {
                    self.current.store(at, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::internal("a swarm without managers")))
    }

    /// Sends a request to a manager and reads the answer.
    pub(crate) async fn fetch<T: serde::de::DeserializeOwned>(&self, req: impl Fn() -> Req) -> Result<T> {
        self.ask(|engine, limit| {
            let req = within(req(), limit);
            async move { engine.client.fetch(req).await }
        })
        .await
    }

    /// Sends a request to a manager and throws the body of the answer away.
    pub(crate) async fn done(&self, req: impl Fn() -> Req) -> Result<()> {
        self.ask(|engine, limit| {
            let req = within(req(), limit);
            async move { engine.client.done(req).await.map(drop) }
        })
        .await
    }

    /// Reads an object, changes it and writes it back, again when someone else was faster.
    pub(crate) async fn change(&self, kind: &str, id: &str, query: &[(&str, &str)], change: impl Fn(&mut Value) -> Result<()>) -> Result<()> {
        for attempt in 1.. {
            let live: Value = self.fetch(|| Req::get(&[kind, id])).await?;
            let mut spec = live.get("Spec").cloned().unwrap_or_default();
            change(&mut spec)?;
            let version = live.pointer("/Version/Index").and_then(Value::as_u64).unwrap_or_default().to_string();
            let answer =
                self.done(|| query.iter().fold(Req::post(&[kind, id, "update"]).query("version", &version), |r, (k, v)| r.query(k, v)).json(&spec)).await;
            match answer {
                Err(e) if e.message().contains("update out of sequence") && attempt < 10 => tokio::time::sleep(Duration::from_millis(20 * attempt)).await,
                other => return other,
            }
        }
        Ok(())
    }
}

fn within(req: Req, limit: Option<Duration>) -> Req {
    match limit {
        Some(limit) => req.within(limit),
        None => req,
    }
}

/// Whether another manager may give a better answer.
fn passes_on(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::Unreachable | ErrorKind::Timeout)
        || ["does not have a leader", "not a swarm manager", "rpc error", "context deadline"].iter().any(|m| e.message().contains(m))
}

/// Says what to do with an engine that is no manager.
fn not_a_manager(e: Error) -> Error {
    if e.message().contains("not a swarm manager") {
        return e.hint("connect to a manager, or start a swarm with Swarm.init");
    }
    if e.message().contains("needs to be unlocked") {
        return locked().source(e);
    }
    e
}

/// The error for an engine that was restarted, in a swarm whose members are locked then.
fn locked() -> Error {
    Error::new(ErrorKind::Forbidden, "the engine's swarm state is locked").hint("unlock it with Swarm.unlock(engine, key)")
}

impl Handle for Swarm {
    const CLASS: &'static str = "Swarm";
    type Properties = SwarmProperties;

    fn properties(&self) -> SwarmProperties {
        SwarmProperties { id: self.id.to_string(), managers: self.managers.iter().map(|e| e.endpoint().to_string()).collect() }
    }
}

handle!(Swarm);
