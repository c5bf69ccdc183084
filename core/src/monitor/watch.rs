//! What changes in a cluster, as it changes: a manager is asked again and again, and what is new is told.
//!
//! Engines have no events of tasks, so the lists of nodes and tasks are compared. A manager that is lost is no end: the
//! next one is asked.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    call::options,
    engine::Filters,
    error::Result,
    stream::Streaming,
    swarm::{ListTasks, NodeProperties, Swarm, Task},
    timestamp::Timestamp,
    units::Seconds,
};

options! {
    /// Options of [`crate::Cluster::watch`].
    pub struct WatchOptions {
        /// How long after one look the next one is taken; default 0.5 s.
        pub interval: Option<Seconds>,
    }
}

/// Something that changed in a cluster.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ClusterEvent {
    /// When it was seen.
    pub time: Timestamp,
    /// `node_down`, `node_ready`, `node_added`, `node_removed`, `node_changed`, `leader_changed`, `task_changed`,
    /// `managers_lost` or `managers_back`.
    pub kind: String,
    /// The host name of the node, where there is one.
    pub node: String,
    /// The service, where there is one.
    pub service: String,
    /// The task's name, where there is one.
    pub task: String,
    /// The task's or node's new state.
    pub state: String,
    /// One line for a person.
    pub text: String,
}

#[derive(Default)]
struct Seen {
    nodes: BTreeMap<String, NodeProperties>,
    tasks: BTreeMap<String, Task>,
    lost: bool,
}

async fn look(swarm: &Swarm) -> Result<(BTreeMap<String, NodeProperties>, BTreeMap<String, Task>)> {
    let (none, list) = (Filters::new(), ListTasks::default());
    let (nodes, tasks) = futures_util::try_join!(swarm.node_list(&none), swarm.task_list(&list))?;
    Ok((nodes.into_iter().map(|n| (n.properties.id.clone(), n.properties)).collect(), tasks.into_iter().map(|t| (t.id.clone(), t)).collect()))
}

pub(crate) async fn watch(swarm: Swarm, o: WatchOptions) -> Result<Streaming<ClusterEvent>> {
    let interval = o.interval.map_or(Duration::from_millis(500), |i| i.0).max(Duration::from_millis(50));
    let (nodes, tasks) = look(&swarm).await?;
    let state = (swarm, Seen { nodes, tasks, lost: false }, VecDeque::new());
    Ok(Streaming::new(futures_util::stream::unfold(state, move |(swarm, mut seen, mut ready)| async move {
        loop {
            if let Some(event) = ready.pop_front() {
                return Some((Ok(event), (swarm, seen, ready)));
            }
            tokio::time::sleep(interval).await;
            match look(&swarm).await {
                Ok((nodes, tasks)) => {
                    if std::mem::take(&mut seen.lost) {
                        ready.push_back(event("managers_back", |e| e.text = "the managers answer again".to_owned()));
                    }
                    compare(&seen, &nodes, &tasks, &mut ready);
                    (seen.nodes, seen.tasks) = (nodes, tasks);
                }
                Err(e) if !seen.lost => {
                    seen.lost = true;
                    ready.push_back(event("managers_lost", |v| v.text = format!("no manager gives an answer: {}", e.message())));
                }
                Err(_) => {}
            }
        }
    })))
}

fn event(kind: &str, fill: impl FnOnce(&mut ClusterEvent)) -> ClusterEvent {
    let mut event = ClusterEvent { time: Timestamp::now(), kind: kind.to_owned(), ..ClusterEvent::default() };
    fill(&mut event);
    event
}

fn node_event(kind: &str, node: &NodeProperties, text: String) -> ClusterEvent {
    event(kind, |e| (e.node, e.state, e.text) = (node.hostname.clone(), node.state.clone(), text))
}

fn compare(seen: &Seen, nodes: &BTreeMap<String, NodeProperties>, tasks: &BTreeMap<String, Task>, out: &mut VecDeque<ClusterEvent>) {
    for (id, node) in nodes {
        let name = &node.hostname;
        match seen.nodes.get(id) {
            None => out.push_back(node_event("node_added", node, format!("the node {name} is new"))),
            Some(old) if old.state != node.state && node.state == "ready" => out.push_back(node_event("node_ready", node, format!("the node {name} is ready"))),
            Some(old) if old.state != node.state => {
                out.push_back(node_event("node_down", node, format!("the node {name} is {}: {}", node.state, node.message)))
            }
            Some(old) if (&old.role, &old.availability) != (&node.role, &node.availability) => {
                out.push_back(node_event("node_changed", node, format!("the node {name} is a {}, {}", node.role, node.availability)));
            }
            Some(_) => {}
        }
    }
    for node in seen.nodes.iter().filter(|(id, _)| !nodes.contains_key(*id)).map(|(_, n)| n) {
        out.push_back(node_event("node_removed", node, format!("the node {} is no longer listed", node.hostname)));
    }
    let leader = |all: &BTreeMap<String, NodeProperties>| all.values().find(|n| n.leader).cloned();
    if let (Some(old), Some(new)) = (leader(&seen.nodes), leader(nodes))
        && old.id != new.id
    {
        out.push_back(node_event("leader_changed", &new, format!("the leader is {} and no longer {}", new.hostname, old.hostname)));
    }
    let mut changed: Vec<&Task> =
        tasks.values().filter(|t| seen.tasks.get(&t.id).is_none_or(|old| (&old.state, &old.desired_state) != (&t.state, &t.desired_state))).collect();
    changed.sort_by(|a, b| (&a.time, &a.name).cmp(&(&b.time, &b.name)));
    for task in changed {
        let place = if task.node.is_empty() { String::new() } else { format!(" on {}", task.node) };
        let why = if task.error.is_empty() { String::new() } else { format!(": {}", task.error) };
        let should = if task.desired_state == "running" { String::new() } else { format!(", should be {}", task.desired_state) };
        out.push_back(event("task_changed", |e| {
            e.node.clone_from(&task.node);
            e.service.clone_from(&task.service);
            e.task.clone_from(&task.name);
            e.state.clone_from(&task.state);
            e.text = format!("{} is {}{place}{should}{why}", task.name, task.state);
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_node_and_a_moved_task_are_told() {
        let node = |state: &str| NodeProperties { id: "n".into(), hostname: "two".into(), state: state.into(), ..NodeProperties::default() };
        let task = |id: &str, node: &str| Task {
            id: id.into(),
            name: "web.1".into(),
            node: node.into(),
            state: "running".into(),
            desired_state: "running".into(),
            ..Task::default()
        };
        let seen = Seen { nodes: [("n".to_owned(), node("ready"))].into(), tasks: [("a".to_owned(), task("a", "two"))].into(), lost: false };
        let mut out = VecDeque::new();
        compare(&seen, &[("n".to_owned(), node("down"))].into(), &[("a".to_owned(), task("a", "two")), ("b".to_owned(), task("b", "one"))].into(), &mut out);
        let told: Vec<_> = out.iter().map(|e| (e.kind.as_str(), e.node.as_str())).collect();
        assert_eq!(told, [("node_down", "two"), ("task_changed", "one")]);
    }
}
