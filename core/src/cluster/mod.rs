//! Clusters: machines, their engines, a swarm and its stacks as one thing.

mod images;
mod layers;
mod make;
pub(crate) mod surface;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use images::{ImagePush, PushImage, PushedImage};
pub use make::{AddMachine, CreateCluster, DestroyCluster, LocalCluster, OpenCluster};

use crate::{
    call::{Call, NoOptions, options},
    compose::Project,
    error::Result,
    machine::{Machine, Machines},
    monitor::{self, ClusterEvent, ClusterSnapshot, Member, WatchOptions},
    stream::Streaming,
    surface::{Handle, handle},
    swarm::{Stack, Swarm, SwarmHealth},
};

/// Machines that are one swarm. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    name: Arc<str>,
    machines: Arc<Vec<Machine>>,
    store: Machines,
    swarm: Swarm,
}

/// What can be read from a [`Cluster`] at once.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ClusterProperties {
    /// Its name.
    pub name: String,
    /// Its machines, by name.
    pub machines: Vec<Machine>,
    /// Its swarm.
    pub swarm: Swarm,
}

options! {
    /// Options of [`Cluster::stack`].
    pub struct ClusterStack {
        /// The stack's name; default: the project's.
        pub name: Option<String>,
    }
}

/// What is written of a cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    name: String,
    machines: Vec<String>,
    managers: u32,
    /// Whether the machines were made for it: then they go with it.
    owns_machines: bool,
    ready: bool,
    created: String,
}

impl Cluster {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its machines.
    #[must_use]
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// Its swarm.
    #[must_use]
    pub fn swarm(&self) -> &Swarm {
        &self.swarm
    }

    /// The stack of `project` on this cluster. Nothing is done yet.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn stack(&self, project: &Project) -> Call<ClusterStack, Stack> {
        let stack = Stack::new(&self.swarm, project);
        Call::new("cluster.stack", move |o: ClusterStack, _| async move {
            Ok(match o.name {
                Some(name) => stack.renamed(&name),
                None => stack,
            })
        })
    }

    /// How its swarm is: its leader, its quorum, its nodes.
    ///
    /// # Errors
    /// `unreachable` when no manager answers.
    pub fn health(&self) -> Call<NoOptions, SwarmHealth> {
        let me = self.clone();
        Call::new("cluster.health", move |_, cx| async move { me.swarm.health().in_context(cx).await })
    }

    /// Its nodes, services and tasks now, with what they use. It prints as a table.
    ///
    /// # Errors
    /// `unreachable` when no manager answers, `conflict` when there is no leader. A node that does not answer is shown without figures.
    pub fn snapshot(&self) -> Call<NoOptions, ClusterSnapshot> {
        let me = self.clone();
        Call::new("cluster.snapshot", move |_, _| async move { monitor::snapshot(&me.name, &me.swarm, &me.members().await).await })
    }

    /// The snapshot as OpenMetrics text, with the names that cAdvisor gives to the figures of containers.
    ///
    /// # Errors
    /// Those of [`Cluster::snapshot`].
    pub fn metrics(&self) -> Call<NoOptions, String> {
        let me = self.clone();
        Call::new("cluster.metrics", move |_, _| async move {
            let snapshot = monitor::snapshot(&me.name, &me.swarm, &me.members().await).await?;
            Ok(monitor::open_metrics(&snapshot))
        })
    }

    /// What changes in the cluster, from now on and until the stream is dropped: nodes lost and back, the leader, tasks.
    ///
    /// # Errors
    /// `unreachable` when no manager answers at the start. Later, a cluster whose managers are lost is an event.
    pub fn watch(&self) -> Call<WatchOptions, Streaming<ClusterEvent>> {
        let me = self.clone();
        Call::new("cluster.watch", move |o: WatchOptions, _| async move { monitor::watch(me.swarm, o).await })
    }

    /// The engines of the machines that answer.
    async fn members(&self) -> Vec<Member> {
        let asked = self.machines.iter().map(|machine| async move { Member { name: machine.name().to_owned(), engine: machine.engine_now().await.ok() } });
        futures_util::future::join_all(asked).await
    }

    /// These machines, all of them when none is named.
    fn select(&self, names: &[String]) -> Result<Vec<Machine>> {
        if names.is_empty() { Ok(self.machines.to_vec()) } else { names.iter().map(|n| self.machine(n)).collect() }
    }

    fn machine(&self, name: &str) -> Result<Machine> {
        let known: Vec<&str> = self.machines.iter().map(Machine::name).collect();
        self.machines.iter().find(|m| m.name() == name).cloned().ok_or_else(|| {
            let e = crate::Error::not_found(format!("the cluster {} has no machine {name}", self.name));
            match crate::error::nearest(name, known.iter().copied()) {
                Some(near) => e.hint(format!("did you mean {near}?")),
                None => e.hint(format!("its machines are {}", known.join(", "))),
            }
        })
    }
}

impl Handle for Cluster {
    const CLASS: &'static str = "Cluster";
    type Properties = ClusterProperties;

    fn properties(&self) -> ClusterProperties {
        ClusterProperties { name: self.name.to_string(), machines: self.machines.to_vec(), swarm: self.swarm.clone() }
    }
}

handle!(Cluster);
