//! A cluster at one moment, as data and as a table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Member,
    usage::{self, Usage},
};
use crate::{
    engine::Filters,
    error::Result,
    swarm::{ListTasks, Swarm, Task},
    timestamp::Timestamp,
    units::human_size,
};

/// A node at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NodeSnapshot {
    /// Its host name.
    pub name: String,
    /// Its ID in the swarm.
    pub id: String,
    /// `manager` or `worker`.
    pub role: String,
    /// Whether it is the leader.
    pub leader: bool,
    /// `ready`, `down` and so on.
    pub state: String,
    /// `active`, `pause` or `drain`.
    pub availability: String,
    /// CPU use of its containers now, in percent of one CPU; absent when it does not answer.
    pub cpu_percent: Option<f64>,
    /// Memory that its containers use, in bytes; absent when it does not answer.
    pub memory: Option<u64>,
    /// Its memory, in bytes.
    pub memory_total: u64,
    /// How many tasks run on it.
    pub running_tasks: u64,
}

/// A service at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ServiceSnapshot {
    /// Its name.
    pub name: String,
    /// Its mode.
    pub mode: String,
    /// How many tasks should run.
    pub desired_tasks: u64,
    /// How many tasks run.
    pub running_tasks: u64,
    /// The nodes that its running tasks are on.
    pub nodes: Vec<String>,
    /// Why its newest task failed, where it did.
    pub error: String,
}

/// A cluster at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ClusterSnapshot {
    /// The cluster's name.
    pub name: String,
    /// When.
    pub time: Timestamp,
    /// Its nodes, by name.
    pub nodes: Vec<NodeSnapshot>,
    /// Its services, by name.
    pub services: Vec<ServiceSnapshot>,
    /// Its tasks that should run.
    pub tasks: Vec<Task>,
    /// What its containers use.
    pub usage: Vec<Usage>,
    /// The nodes as a table for a person.
    pub text: String,
}

impl std::fmt::Display for ClusterSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads a cluster.
pub(crate) async fn snapshot(name: &str, swarm: &Swarm, members: &[Member]) -> Result<ClusterSnapshot> {
    let none = Filters::new();
    let usages = futures_util::future::join_all(members.iter().map(|m| async move {
        match &m.engine {
            Some(engine) => (m.name.clone(), usage::of_engine(&m.name, engine).await.ok()),
            None => (m.name.clone(), None),
        }
    }));
    let list = ListTasks::default().filters(Filters::from([("desired-state".to_owned(), vec!["running".to_owned()])]));
    let (usages, nodes, services, tasks) = tokio::join!(usages, swarm.node_list(&none), swarm.service_list(&none), swarm.task_list(&list));
    let (nodes, services, tasks) = (nodes?, services?, tasks?);
    let usages: BTreeMap<String, Option<Vec<Usage>>> = usages.into_iter().collect();
    let running = |t: &&Task| t.is_running();
    let nodes: Vec<NodeSnapshot> = nodes
        .iter()
        .map(|n| {
            let p = &n.properties;
            let used = usages.get(&p.hostname).and_then(Option::as_ref);
            NodeSnapshot {
                name: p.hostname.clone(),
                id: p.id.clone(),
                role: p.role.clone(),
                leader: p.leader,
                state: p.state.clone(),
                availability: p.availability.clone(),
                cpu_percent: used.map(|all| all.iter().fold(0.0, |sum, u| sum + u.cpu_percent)),
                memory: used.map(|all| all.iter().map(|u| u.memory).sum()),
                memory_total: p.memory,
                running_tasks: tasks.iter().filter(running).filter(|t| t.node_id == p.id).count() as u64,
            }
        })
        .collect();
    let services = services
        .iter()
        .map(|s| {
            let p = &s.properties;
            let own = || tasks.iter().filter(|t| t.service_id == p.id);
            ServiceSnapshot {
                name: p.name.clone(),
                mode: p.mode.clone(),
                desired_tasks: p.desired_tasks,
                running_tasks: p.running_tasks,
                nodes: own().filter(running).map(|t| t.node.clone()).collect(),
                error: own().map(|t| t.error.clone()).find(|e| !e.is_empty()).unwrap_or_default(),
            }
        })
        .collect();
    let text = table(&nodes);
    let usage = usages.into_values().flatten().flatten().collect();
    Ok(ClusterSnapshot { name: name.to_owned(), time: Timestamp::now(), nodes, services, tasks, usage, text })
}

fn table(nodes: &[NodeSnapshot]) -> String {
    let mut rows = vec![["NODE", "ROLE", "STATE", "CPU", "MEMORY", "TASKS"].map(str::to_owned)];
    for n in nodes {
        let role = if n.leader { format!("{} (leader)", n.role) } else { n.role.clone() };
        let state = if n.availability == "active" { n.state.clone() } else { format!("{}, {}", n.state, n.availability) };
        let cpu = n.cpu_percent.map_or_else(|| "-".to_owned(), |c| format!("{c:.1}%"));
        let memory = n.memory.map_or_else(|| "-".to_owned(), human_size);
        rows.push([crate::error::escape(&n.name).into_owned(), role, state, cpu, memory, n.running_tasks.to_string()]);
    }
    let widths: Vec<usize> = (0..6).map(|c| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or_default()).collect();
    let line = |row: &[String; 6]| row.iter().zip(&widths).map(|(t, w)| format!("{t:<w$}  ")).collect::<String>().trim_end().to_owned();
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
