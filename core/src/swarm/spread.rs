//! Services that depend on each other are put on different nodes.
//!
//! Managers spread the tasks of one service, and know nothing of what belongs together. So when two services with one
//! task each share a node although another one is free, one of them is told to avoid that node, and, once it runs
//! elsewhere, the constraint is taken away again: managers start nothing anew for a constraint that is met.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    ListTasks, Swarm, Task,
    converge::{Goal, Wait},
    convert::Wanted,
    tasks::of_stack,
};
use crate::{
    engine::Filters,
    error::Result,
    progress::{EventSink, Resource},
};

/// Moves services that share a node without need. Gives the names of those that were moved.
/// Only those in `changed` may move: what a call leaves as it is goes on running.
pub(crate) async fn apply(
    swarm: &Swarm,
    stack: &str,
    services: &[Wanted],
    changed: &BTreeSet<String>,
    wait: &Wait<'_>,
    events: &EventSink,
) -> Result<Vec<String>> {
    let mut moved = Vec::new();
    let none = Filters::new();
    // One at a time: where one goes decides where the next one can.
    for wanted in services.iter().filter(|w| changed.contains(&w.name) && may_move(&w.spec)) {
        let nodes = swarm.node_list(&none).await?;
        let free: BTreeSet<String> =
            nodes.into_iter().map(|n| n.properties).filter(|n| n.state == "ready" && n.availability == "active").map(|n| n.id).collect();
        let tasks = swarm.task_list(&ListTasks::default().filters(of_stack(stack))).await?;
        let Some(avoid) = avoid(wanted, services, &tasks, &free) else { continue };
        let work = relocate(swarm, wanted, &avoid, wait);
        events.track("move", Resource::new("service", &wanted.name), work).await?;
        moved.push(wanted.name.clone());
    }
    Ok(moved)
}

/// Whether a service has one task that can go anywhere: no constraints of its own, and no volume whose data would stay behind.
fn may_move(spec: &Value) -> bool {
    let (mode, count) = super::services::mode_of(spec);
    let empty = |at: &str| spec.pointer(at).and_then(Value::as_array).is_none_or(Vec::is_empty);
    let mounts = spec.pointer("/TaskTemplate/ContainerSpec/Mounts").and_then(Value::as_array).cloned().unwrap_or_default();
    mode == "replicated" && count == Some(1) && empty("/TaskTemplate/Placement/Constraints") && mounts.iter().all(|m| m.get("Type") == Some(&json!("tmpfs")))
}

fn single(spec: &Value) -> bool {
    super::services::mode_of(spec) == ("replicated", Some(1))
}

/// The nodes that a service should not be on, where it is on one of them and could be elsewhere.
fn avoid(wanted: &Wanted, services: &[Wanted], tasks: &[Task], free: &BTreeSet<String>) -> Option<Vec<String>> {
    let node_of = |w: &Wanted| tasks.iter().find(|t| t.service == w.name && t.is_running()).map(|t| t.node_id.clone());
    let linked = |a: &Wanted, b: &Wanted| a.depends_on.contains_key(&b.key) || b.depends_on.contains_key(&a.key);
    let here = node_of(wanted)?;
    let theirs: BTreeSet<String> = services.iter().filter(|o| linked(wanted, o) && single(&o.spec)).filter_map(node_of).collect();
    if !theirs.contains(&here) {
        return None;
    }
    // The best place has no task of the stack at all.
    let taken: BTreeSet<String> = services.iter().filter(|s| s.key != wanted.key).filter_map(node_of).collect();
    let all: BTreeSet<String> = if free.difference(&taken).next().is_some() { taken } else { theirs };
    let elsewhere = free.iter().any(|n| !all.contains(n));
    elsewhere.then(|| all.into_iter().collect())
}

async fn relocate(swarm: &Swarm, wanted: &Wanted, avoid: &[String], wait: &Wait<'_>) -> Result<()> {
    let constraints: Vec<String> = avoid.iter().map(|id| format!("node.id!={id}")).collect();
    place(swarm, &wanted.name, &constraints).await?;
    let result = wait.until(std::slice::from_ref(&wanted.name), Goal::Running).await;
    // Whatever came of it, the constraint is not the file's.
    place(swarm, &wanted.name, &[]).await?;
    result
}

async fn place(swarm: &Swarm, service: &str, constraints: &[String]) -> Result<()> {
    let constraints = json!(constraints);
    swarm
        .change("services", service, &[], |spec| {
            if let Some(template) = spec.get_mut("TaskTemplate").and_then(Value::as_object_mut)
                && let Some(placement) = template.entry("Placement").or_insert_with(|| json!({})).as_object_mut()
            {
                placement.insert("Constraints".to_owned(), constraints.clone());
            }
            Ok(())
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::Dependency;

    fn wanted(key: &str, needs: &[&str]) -> Wanted {
        let depends_on = needs.iter().map(|n| ((*n).to_owned(), Dependency::default())).collect();
        Wanted { key: key.to_owned(), name: format!("s_{key}"), spec: json!({"Mode": {"Replicated": {"Replicas": 1}}}), depends_on }
    }

    fn task(service: &str, node: &str) -> Task {
        Task { service: service.into(), node_id: node.into(), state: "running".into(), desired_state: "running".into(), ..Task::default() }
    }

    #[test]
    fn a_service_avoids_the_node_of_what_it_needs_where_another_is_free() {
        let all = [wanted("web", &["api"]), wanted("api", &[])];
        let tasks = [task("s_web", "1"), task("s_api", "1")];
        let free = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(avoid(&all[0], &all, &tasks, &free(&["1", "2"])), Some(vec!["1".to_owned()]));
        assert_eq!(avoid(&all[0], &all, &tasks, &free(&["1"])), None);
        assert_eq!(avoid(&all[0], &all, &[task("s_web", "2"), task("s_api", "1")], &free(&["1", "2"])), None);
    }

    #[test]
    fn what_has_a_volume_stays() {
        assert!(!may_move(&json!({"TaskTemplate": {"ContainerSpec": {"Mounts": [{"Type": "volume"}]}}})));
        assert!(may_move(&json!({})));
    }
}
