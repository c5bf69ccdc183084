//! Tasks: what a swarm runs, one container each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{NAMESPACE, Swarm};
use crate::{
    call::{Call, options},
    engine::{Filters, Req, string_map, text},
    error::Result,
    timestamp::Timestamp,
};

/// A task of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Task {
    /// Its ID.
    pub id: String,
    /// Its name: the service's, then its slot or node, such as `shop_web.1`.
    pub name: String,
    /// The ID of its service.
    pub service_id: String,
    /// The name of its service.
    pub service: String,
    /// Its slot, from 1; 0 for a task of a global service.
    pub slot: u64,
    /// The ID of its node, empty while it has none.
    pub node_id: String,
    /// The host name of its node.
    pub node: String,
    /// What it is now, such as `running`, `starting`, `failed`.
    pub state: String,
    /// What it should be: `running`, `shutdown` and so on.
    pub desired_state: String,
    /// What the manager says of the state.
    pub message: String,
    /// Why it failed.
    pub error: String,
    /// The exit code of its container, where it has ended.
    pub exit_code: Option<i64>,
    /// Its image.
    pub image: String,
    /// The ID of its container.
    pub container_id: String,
    /// When the state began.
    pub time: Timestamp,
    /// The labels of its containers.
    pub labels: BTreeMap<String, String>,
}

options! {
    /// Options of the calls that list tasks.
    pub struct ListTasks {
        /// The engine's filters, such as `{"desired-state": ["running"]}`.
        pub filters: Filters,
    }
}

impl Task {
    /// Reads a task; names come from the lists of services and nodes.
    pub(crate) fn read(raw: &Value, services: &BTreeMap<String, String>, nodes: &BTreeMap<String, String>) -> Self {
        let at = |path: &str| raw.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (service_id, node_id) = (text(raw, "ServiceID"), text(raw, "NodeID"));
        let service = services.get(&service_id).cloned().unwrap_or_else(|| service_id.clone());
        let slot = raw.get("Slot").and_then(Value::as_u64).unwrap_or_default();
        let name = if slot > 0 { format!("{service}.{slot}") } else { format!("{service}.{node_id}") };
        // The code of a container that has not ended yet is 0 too.
        let ended = matches!(at("/Status/State").as_str(), "complete" | "failed" | "shutdown");
        Self {
            id: text(raw, "ID"),
            name,
            service,
            slot,
            node: nodes.get(&node_id).cloned().unwrap_or_default(),
            state: at("/Status/State"),
            desired_state: text(raw, "DesiredState"),
            message: at("/Status/Message"),
            error: at("/Status/Err"),
            exit_code: ended.then(|| raw.pointer("/Status/ContainerStatus/ExitCode").and_then(Value::as_i64)).flatten(),
            image: at("/Spec/ContainerSpec/Image"),
            container_id: at("/Status/ContainerStatus/ContainerID"),
            time: Timestamp::read(&at("/Status/Timestamp")).unwrap_or_default(),
            labels: string_map(raw.pointer("/Spec/ContainerSpec/Labels")),
            service_id,
            node_id,
        }
    }

    /// Whether it runs, and should.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == "running" && self.desired_state == "running"
    }

    /// Whether it has come to its end, whichever.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "complete" | "shutdown" | "failed" | "rejected" | "remove" | "orphaned")
    }
}

impl Swarm {
    /// The tasks of the swarm, those that have ended too.
    ///
    /// # Errors
    /// `conflict` when the engine is not a manager, or there is no leader.
    pub fn tasks(&self) -> Call<ListTasks, Vec<Task>> {
        let me = self.clone();
        Call::new("swarm.tasks", move |o: ListTasks, _| async move { me.task_list(&o).await })
    }

    pub(crate) async fn task_list(&self, o: &ListTasks) -> Result<Vec<Task>> {
        let none = Filters::new();
        let (rows, services, nodes) = futures_util::try_join!(
            self.fetch::<Vec<Value>>(|| Req::get(&["tasks"]).filters(&o.filters)),
            self.fetch::<Vec<Value>>(|| Req::get(&["services"])),
            self.node_list(&none),
        )?;
        let services = services.iter().map(|s| (text(s, "ID"), s.pointer("/Spec/Name").and_then(Value::as_str).unwrap_or_default().to_owned())).collect();
        let nodes = nodes.into_iter().map(|n| (n.properties.id, n.properties.hostname)).collect();
        let mut tasks: Vec<Task> = rows.iter().map(|r| Task::read(r, &services, &nodes)).collect();
        // The newest of each slot comes first, as docker prints them.
        tasks.sort_by(|a, b| (&a.service, a.slot, &a.node_id).cmp(&(&b.service, b.slot, &b.node_id)).then_with(|| b.time.cmp(&a.time)));
        Ok(tasks)
    }
}

/// The filters that say: of this stack.
pub(crate) fn of_stack(stack: &str) -> Filters {
    Filters::from([("label".to_owned(), vec![format!("{NAMESPACE}={stack}")])])
}
