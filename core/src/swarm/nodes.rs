//! The nodes of a swarm.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ListTasks, NodeRole, Swarm, Task};
use crate::{
    call::{Call, NoOptions, options},
    engine::{Filters, Req, string_map, text},
    error::{Error, ErrorKind, Result},
    surface::{Handle, handle},
};

/// Whether a node takes tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// It takes tasks.
    #[default]
    Active,
    /// It keeps what it has and takes no new ones.
    Pause,
    /// Its tasks move to other nodes.
    Drain,
}

impl Availability {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pause => "pause",
            Self::Drain => "drain",
        }
    }
}

/// The nodes of a [`Swarm`].
#[derive(Debug, Clone)]
pub struct Nodes(pub(crate) Swarm);

/// A node of a swarm, as it was when it was read.
#[derive(Debug, Clone)]
pub struct Node {
    swarm: Swarm,
    pub(crate) properties: NodeProperties,
    pub(crate) raw: Value,
}

/// What can be read from a [`Node`] at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NodeProperties {
    /// Its ID.
    pub id: String,
    /// Its host name.
    pub hostname: String,
    /// `manager` or `worker`.
    pub role: String,
    /// `active`, `pause` or `drain`.
    pub availability: String,
    /// `ready`, `down`, `unknown` or `disconnected`.
    pub state: String,
    /// Why it is in that state, where that is known.
    pub message: String,
    /// Its address.
    pub address: String,
    /// Whether it is the leader.
    pub leader: bool,
    /// For a manager: `reachable`, `unreachable` or `unknown`; else empty.
    pub reachability: String,
    /// Its labels in the swarm.
    pub labels: BTreeMap<String, String>,
    /// Its engine's version.
    pub engine_version: String,
    /// How many CPUs it has.
    pub cpus: f64,
    /// Its memory, in bytes.
    pub memory: u64,
}

options! {
    /// Options of [`Nodes::list`].
    pub struct ListNodes {
        /// The engine's filters, such as `{"role": ["manager"]}`.
        pub filters: Filters,
    }
}

options! {
    /// Options of [`Node::update`]. What is not given stays as it is.
    pub struct UpdateNode {
        /// All labels of the node in the swarm.
        pub labels: Option<BTreeMap<String, String>>,
        /// Whether it takes tasks.
        pub availability: Option<Availability>,
        /// What it is to the swarm.
        pub role: Option<NodeRole>,
    }
}

options! {
    /// Options of [`Node::remove`].
    pub struct RemoveNode {
        /// Also while it is up. Its engine then still believes that it is a member.
        pub force: bool,
    }
}

impl Swarm {
    /// The nodes of this swarm.
    #[must_use]
    pub fn nodes(&self) -> Nodes {
        Nodes(self.clone())
    }

    pub(crate) async fn node_list(&self, filters: &Filters) -> Result<Vec<Node>> {
        let rows: Vec<Value> = self.fetch(|| Req::get(&["nodes"]).filters(filters)).await?;
        let mut nodes: Vec<Node> = rows.into_iter().map(|r| Node::read(self, r)).collect();
        nodes.sort_by(|a, b| (&a.properties.hostname, &a.properties.id).cmp(&(&b.properties.hostname, &b.properties.id)));
        Ok(nodes)
    }

    /// The node with this ID or host name.
    pub(crate) async fn node(&self, id: &str) -> Result<Node> {
        match self.fetch(|| Req::get(&["nodes", id])).await {
            Ok(raw) => Ok(Node::read(self, raw)),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let mut found: Vec<Node> = self.node_list(&Filters::new()).await?.into_iter().filter(|n| n.properties.hostname == id).collect();
                match (found.pop(), found.is_empty()) {
                    (Some(node), true) => Ok(node),
                    (Some(_), false) => Err(Error::new(ErrorKind::Conflict, format!("several nodes are named {id}")).hint("give the node's ID")),
                    (None, _) => Err(e.hint("list the nodes").with("node", id)),
                }
            }
            Err(e) => Err(e),
        }
    }
}

/// Changes a node's spec.
pub(super) fn set_spec(spec: &mut Value, labels: Option<&BTreeMap<String, String>>, availability: Option<&str>, role: Option<&str>) -> Result<()> {
    let map = spec.as_object_mut().ok_or_else(|| Error::internal("a node without a spec"))?;
    if let Some(labels) = labels {
        map.insert("Labels".to_owned(), json!(labels));
    }
    if let Some(availability) = availability {
        map.insert("Availability".to_owned(), json!(availability));
    }
    if let Some(role) = role {
        map.insert("Role".to_owned(), json!(role));
    }
    Ok(())
}

impl Nodes {
    /// Lists the nodes, by host name.
    ///
    /// # Errors
    /// `conflict` when the engine is not a manager, or there is no leader.
    pub fn list(&self) -> Call<ListNodes, Vec<Node>> {
        let swarm = self.0.clone();
        Call::new("nodes.list", move |o: ListNodes, _| async move { swarm.node_list(&o.filters).await })
    }

    /// The node with this ID or host name.
    ///
    /// # Errors
    /// `not_found`, `conflict` when several nodes have the host name.
    pub fn get(&self, id: impl Into<String>) -> Call<NoOptions, Node> {
        let (swarm, id) = (self.0.clone(), id.into());
        Call::new("nodes.get", move |_, _| async move { swarm.node(&id).await })
    }
}

impl Node {
    pub(crate) fn read(swarm: &Swarm, raw: Value) -> Self {
        let at = |path: &str| raw.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |path: &str| raw.pointer(path).and_then(Value::as_f64).unwrap_or_default();
        let properties = NodeProperties {
            id: text(&raw, "ID"),
            hostname: at("/Description/Hostname"),
            role: at("/Spec/Role"),
            availability: at("/Spec/Availability"),
            state: at("/Status/State"),
            message: at("/Status/Message"),
            address: at("/Status/Addr"),
            leader: raw.pointer("/ManagerStatus/Leader").and_then(Value::as_bool).unwrap_or_default(),
            reachability: at("/ManagerStatus/Reachability"),
            labels: string_map(raw.pointer("/Spec/Labels")),
            engine_version: at("/Description/Engine/EngineVersion"),
            cpus: number("/Description/Resources/NanoCPUs") / 1e9,
            memory: raw.pointer("/Description/Resources/MemoryBytes").and_then(Value::as_u64).unwrap_or_default(),
        };
        Self { swarm: swarm.clone(), properties, raw }
    }

    /// What was seen of it when it was read.
    #[must_use]
    pub fn seen(&self) -> &NodeProperties {
        &self.properties
    }

    fn id(&self) -> &str {
        &self.properties.id
    }

    /// The node as it is now.
    ///
    /// # Errors
    /// `not_found` when it has been removed.
    pub fn reload(&self) -> Call<NoOptions, Node> {
        let me = self.clone();
        Call::new("node.reload", move |_, _| async move { me.swarm.node(me.id()).await })
    }

    /// All that the managers know of it, in the engine's own form.
    ///
    /// # Errors
    /// `not_found` when it has been removed.
    pub fn inspect(&self) -> Call<NoOptions, Value> {
        let me = self.clone();
        Call::new("node.inspect", move |_, _| async move { Ok(me.swarm.node(me.id()).await?.raw) })
    }

    /// Changes labels, availability or role, and gives the node as it is then.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the swarm would lose its majority of managers.
    pub fn update(&self) -> Call<UpdateNode, Node> {
        let me = self.clone();
        Call::new("node.update", move |o: UpdateNode, _| async move { me.update_now(o).await })
    }

    async fn update_now(&self, o: UpdateNode) -> Result<Node> {
        let (availability, role) = (o.availability.map(Availability::as_str), o.role.map(NodeRole::as_str));
        self.swarm.change("nodes", self.id(), &[], |spec| set_spec(spec, o.labels.as_ref(), availability, role)).await.map_err(|e| {
            if e.message().contains("quorum") || e.message().contains("last manager") {
                Error::new(ErrorKind::Conflict, e.message().to_owned()).hint("promote another node first")
            } else {
                e
            }
        })?;
        if let Some(role) = o.role {
            self.wait_role(role).await?;
        }
        self.swarm.node(self.id()).await
    }

    /// The raft group changes a moment after the role: only then the next change is safe.
    async fn wait_role(&self, role: NodeRole) -> Result<()> {
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let reachability = self.swarm.node(self.id()).await?.properties.reachability;
            if (role == NodeRole::Manager && reachability == "reachable") || (role == NodeRole::Worker && reachability.is_empty()) {
                return Ok(());
            }
            if tokio::time::Instant::now() > until {
                return Err(Error::new(ErrorKind::Timeout, format!("the node did not become a {} within 1m0s", role.as_str())).hint("look at swarm.health()"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Makes it a manager, and waits until the others reach it.
    ///
    /// # Errors
    /// `not_found`, `timeout`.
    pub fn promote(&self) -> Call<NoOptions, Node> {
        let me = self.clone();
        Call::new("node.promote", move |_, _| async move { me.update_now(UpdateNode { role: Some(NodeRole::Manager), ..UpdateNode::default() }).await })
    }

    /// Makes it a worker, and waits until it has left the group of managers.
    ///
    /// # Errors
    /// `conflict` for the last manager, `timeout`.
    pub fn demote(&self) -> Call<NoOptions, Node> {
        let me = self.clone();
        Call::new("node.demote", move |_, _| async move { me.update_now(UpdateNode { role: Some(NodeRole::Worker), ..UpdateNode::default() }).await })
    }

    fn available(&self, name: &'static str, availability: Availability) -> Call<NoOptions, Node> {
        let me = self.clone();
        Call::new(name, move |_, _| async move { me.update_now(UpdateNode { availability: Some(availability), ..UpdateNode::default() }).await })
    }

    /// Moves its tasks to other nodes.
    ///
    /// # Errors
    /// `not_found`.
    pub fn drain(&self) -> Call<NoOptions, Node> {
        self.available("node.drain", Availability::Drain)
    }

    /// Lets it take tasks.
    ///
    /// # Errors
    /// `not_found`.
    pub fn activate(&self) -> Call<NoOptions, Node> {
        self.available("node.activate", Availability::Active)
    }

    /// Keeps its tasks and gives it no new ones.
    ///
    /// # Errors
    /// `not_found`.
    pub fn pause(&self) -> Call<NoOptions, Node> {
        self.available("node.pause", Availability::Pause)
    }

    /// Its tasks.
    ///
    /// # Errors
    /// `not_found`.
    pub fn tasks(&self) -> Call<ListTasks, Vec<Task>> {
        let me = self.clone();
        Call::new("node.tasks", move |mut o: ListTasks, _| async move {
            o.filters.insert("node".to_owned(), vec![me.properties.id.clone()]);
            me.swarm.task_list(&o).await
        })
    }

    /// Takes it off the list.
    ///
    /// # Errors
    /// `not_found`; `conflict` while it is up or a manager.
    pub fn remove(&self) -> Call<RemoveNode, ()> {
        let me = self.clone();
        Call::new("node.remove", move |o: RemoveNode, _| async move {
            me.swarm.done(|| Req::delete(&["nodes", me.id()]).flag("force", o.force)).await.map_err(|e| match e.kind() {
                ErrorKind::InvalidInput | ErrorKind::Engine => {
                    Error::new(ErrorKind::Conflict, e.message().to_owned()).hint("let its engine leave the swarm first, demote it, or remove it with force")
                }
                _ => e,
            })
        })
    }
}

impl Handle for Node {
    const CLASS: &'static str = "Node";
    type Properties = NodeProperties;

    fn properties(&self) -> NodeProperties {
        self.properties.clone()
    }
}

handle!(Node);
