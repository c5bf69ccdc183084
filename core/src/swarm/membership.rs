//! Who is in a swarm: start it, join, leave, and the keys that joining takes.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Availability, Node, Swarm, locked, nodes, not_a_manager};
use crate::{
    call::{Call, NoOptions, options},
    engine::{Engine, Req, text},
    error::{Error, ErrorKind, Result},
    secret::{Secret, Token},
    units::Seconds,
};

options! {
    /// Options of [`Swarm::init`].
    pub struct InitSwarm {
        /// The address that other members reach this one at: an address, an interface, or either with a port.
        pub advertise_addr: Option<String>,
        /// Where to listen; default `0.0.0.0:2377`.
        pub listen_addr: Option<String>,
        /// The address that traffic of containers goes through; default: the advertised one.
        pub data_path_addr: Option<String>,
        /// The UDP port of that traffic; default 4789.
        pub data_path_port: Option<u16>,
        /// Where networks get their subnets from, such as `10.20.0.0/16`.
        pub default_addr_pool: Vec<String>,
        /// The length of the mask of these subnets; default 24.
        pub subnet_size: Option<u32>,
        /// Members have to be unlocked after a restart.
        pub autolock: bool,
        /// How often members report; default 5 s. A node is lost after three times of it.
        pub dispatcher_heartbeat: Option<Seconds>,
        /// How many ended tasks are kept for each slot; default 5.
        pub task_history_limit: Option<u64>,
        /// How long certificates of members are good; default 90 days.
        pub cert_expiry: Option<Seconds>,
        /// Starts anew from what this one manager knows, when the majority is lost for good.
        pub force_new_cluster: bool,
        /// Whether the first member takes tasks.
        pub availability: Option<Availability>,
        /// Labels of the swarm itself.
        pub labels: BTreeMap<String, String>,
    }
}

options! {
    /// Options of [`Swarm::update`]. What is not given stays as it is.
    pub struct UpdateSwarm {
        /// Members have to be unlocked after a restart.
        pub autolock: Option<bool>,
        /// How often members report.
        pub dispatcher_heartbeat: Option<Seconds>,
        /// How many ended tasks are kept for each slot.
        pub task_history_limit: Option<u64>,
        /// How long certificates of members are good.
        pub cert_expiry: Option<Seconds>,
    }
}

/// What a member is to a swarm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Runs tasks.
    #[default]
    Worker,
    /// Keeps the state of the swarm too.
    Manager,
}

impl NodeRole {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Manager => "manager",
        }
    }
}

options! {
    /// Options of [`Swarm::join`].
    pub struct JoinSwarm {
        /// What the new member is; default: a worker.
        pub role: NodeRole,
        /// The address that other members reach it at.
        pub advertise_addr: Option<String>,
        /// Where it listens; default `0.0.0.0:2377`.
        pub listen_addr: Option<String>,
        /// The address that traffic of containers goes through; default: the advertised one.
        pub data_path_addr: Option<String>,
        /// Labels of the node. It takes tasks only after it has them.
        pub labels: BTreeMap<String, String>,
        /// Whether it takes tasks.
        pub availability: Option<Availability>,
        /// How long it may take until the member is ready; default 2 min.
        pub timeout: Option<Seconds>,
    }
}

options! {
    /// Options of [`Swarm::leave`].
    pub struct LeaveSwarm {
        /// Also when it is a manager, or the last one: the state of the swarm may be lost.
        pub force: bool,
    }
}

options! {
    /// Options of [`Swarm::rotate_token`].
    pub struct RotateToken {}
}

/// What lets an engine into a swarm.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JoinTokens {
    /// As a worker.
    pub worker: Token,
    /// As a manager.
    pub manager: Token,
}

/// How a swarm is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SwarmHealth {
    /// Whether there is a leader, and all nodes are ready.
    pub healthy: bool,
    /// The host name of the leader, empty when there is none.
    pub leader: String,
    /// How many managers there are.
    pub managers: u64,
    /// How many of them the others reach.
    pub reachable_managers: u64,
    /// How many more of them may fail before the swarm stands still; negative when it does.
    pub quorum_margin: i64,
    /// How many nodes there are.
    pub nodes: u64,
    /// How many of them are ready.
    pub ready_nodes: u64,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
}

fn nanos(d: Seconds) -> Value {
    json!(u64::try_from(d.0.as_nanos()).unwrap_or(u64::MAX))
}

fn put(map: &mut Value, path: [&str; 2], value: Value) {
    let [section, name] = path;
    if let Some(root) = map.as_object_mut() {
        let entry = root.entry(section).or_insert_with(|| json!({}));
        if !entry.is_object() {
            *entry = json!({});
        }
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(name.to_owned(), value);
        }
    }
}

fn settings(spec: &mut Value, autolock: Option<bool>, heartbeat: Option<Seconds>, history: Option<u64>, expiry: Option<Seconds>) {
    if let Some(on) = autolock {
        put(spec, ["EncryptionConfig", "AutoLockManagers"], json!(on));
    }
    if let Some(d) = heartbeat {
        put(spec, ["Dispatcher", "HeartbeatPeriod"], nanos(d));
    }
    if let Some(n) = history {
        put(spec, ["Orchestration", "TaskHistoryRetentionLimit"], json!(n));
    }
    if let Some(d) = expiry {
        put(spec, ["CAConfig", "NodeCertExpiry"], nanos(d));
    }
}

/// What an engine says of its own membership.
pub(crate) struct Membership {
    pub(crate) state: String,
    pub(crate) node_id: String,
    pub(crate) cluster_id: String,
    pub(crate) is_manager: bool,
    pub(crate) managers: Vec<String>,
    pub(crate) error: String,
}

/// Asks an engine for its own membership.
pub(crate) async fn membership(engine: &Engine) -> Result<Membership> {
    let info: Value = engine.client.fetch(Req::get(&["info"])).await?;
    let swarm = info.get("Swarm").cloned().unwrap_or_default();
    let managers = swarm.get("RemoteManagers").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(Membership {
        state: text(&swarm, "LocalNodeState"),
        node_id: text(&swarm, "NodeID"),
        cluster_id: swarm.pointer("/Cluster/ID").and_then(Value::as_str).unwrap_or_default().to_owned(),
        is_manager: swarm.get("ControlAvailable").and_then(Value::as_bool).unwrap_or_default(),
        managers: managers.iter().map(|m| text(m, "Addr")).collect(),
        error: text(&swarm, "Error"),
    })
}

/// Takes an engine out of its swarm, whatever the swarm says.
pub(crate) async fn leave_alone(engine: &Engine) -> Result<()> {
    engine.client.done(Req::post(&["swarm", "leave"]).query("force", "true").patient()).await.map(drop)
}

impl Swarm {
    /// Starts a swarm with this engine as its first manager.
    ///
    /// # Errors
    /// `already_exists` when the engine is in a swarm, `invalid_input` for an address that it does not have.
    ///
    /// # Cancel safety
    /// The engine may be a member already when the call is given up; [`Swarm::connect`] then goes on from there.
    pub fn init(engine: &Engine) -> Call<InitSwarm, Swarm> {
        let engine = engine.clone();
        Call::new("swarm.init", move |o: InitSwarm, _| async move {
            let mut spec = json!({"Labels": o.labels});
            settings(&mut spec, Some(o.autolock), o.dispatcher_heartbeat, o.task_history_limit, o.cert_expiry);
            let body = json!({
                "ListenAddr": o.listen_addr.unwrap_or_else(|| "0.0.0.0:2377".to_owned()),
                "AdvertiseAddr": o.advertise_addr.unwrap_or_default(),
                "DataPathAddr": o.data_path_addr.unwrap_or_default(),
                "DataPathPort": o.data_path_port.unwrap_or_default(),
                "DefaultAddrPool": o.default_addr_pool,
                "SubnetSize": o.subnet_size.unwrap_or_default(),
                "ForceNewCluster": o.force_new_cluster,
                "Availability": o.availability.unwrap_or_default().as_str(),
                "Spec": spec,
            });
            let answer: Result<Value> = engine.client.fetch(Req::post(&["swarm", "init"]).json(&body)).await;
            answer.map_err(|e| match e.kind() {
                ErrorKind::AlreadyExists => e.hint("connect to that swarm, or leave it first"),
                ErrorKind::InvalidInput => e.hint("give advertise_addr an address of the engine's host"),
                _ => e,
            })?;
            Swarm::of(vec![engine]).await
        })
    }

    /// The swarm that this engine is a manager of.
    ///
    /// # Errors
    /// `conflict` when the engine is not a manager of one, `forbidden` when it is locked.
    pub fn connect(engine: &Engine) -> Call<NoOptions, Swarm> {
        let engine = engine.clone();
        Call::new("swarm.connect", move |_, _| async move { Swarm::of(vec![engine]).await })
    }

    /// Brings an engine into the swarm and waits until its node is ready. One that is in it already stays as it is.
    ///
    /// # Errors
    /// `already_exists` when the engine is in another swarm, `unreachable` and `timeout` when it cannot reach the managers.
    ///
    /// # Cancel safety
    /// The same call goes on from where it was.
    pub fn join(&self, engine: &Engine) -> Call<JoinSwarm, Node> {
        let (me, engine) = (self.clone(), engine.clone());
        Call::new("swarm.join", move |o: JoinSwarm, _| async move { me.join_now(&engine, o).await })
    }

    async fn join_now(&self, engine: &Engine, o: JoinSwarm) -> Result<Node> {
        let until = tokio::time::Instant::now() + o.timeout.map_or(Duration::from_secs(120), |t| t.0);
        let now = membership(engine).await?;
        let known = !now.node_id.is_empty() && self.node(&now.node_id).await.is_ok();
        if now.state != "inactive" && !known {
            if now.state == "pending" || now.state == "error" {
                // Left over from an attempt that failed: it would stand in the way of this one.
                leave_alone(engine).await?;
            } else {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("the engine is in another swarm ({})", now.cluster_id))
                    .hint("take it out of that swarm first, with swarm.leave(engine, force=True)")
                    .with("endpoint", engine.endpoint().to_string()));
            }
        }
        if !known {
            self.enter(engine, &o, until).await?;
        }
        let id = self.wait_active(engine, until).await?;
        if !o.labels.is_empty() {
            let wanted = o.availability.unwrap_or_default().as_str();
            self.change("nodes", &id, &[], |spec| nodes::set_spec(spec, Some(&o.labels), Some(wanted), None)).await?;
        }
        self.wait_ready(&id, until).await
    }

    async fn enter(&self, engine: &Engine, o: &JoinSwarm, until: tokio::time::Instant) -> Result<()> {
        let swarm: Value = self.fetch(|| Req::get(&["swarm"])).await.map_err(not_a_manager)?;
        let token = swarm.pointer(if o.role == NodeRole::Manager { "/JoinTokens/Manager" } else { "/JoinTokens/Worker" });
        let mut remote = membership(self.manager()?).await?.managers;
        // A swarm that has just begun does not know its own address yet.
        while remote.is_empty() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
            remote = membership(self.manager()?).await?.managers;
        }
        // A node that gets labels takes no task before it has them.
        let availability = if o.labels.is_empty() { o.availability.unwrap_or_default().as_str() } else { "drain" };
        let body = json!({
            "ListenAddr": o.listen_addr.as_deref().unwrap_or("0.0.0.0:2377"),
            "AdvertiseAddr": o.advertise_addr.as_deref().unwrap_or_default(),
            "DataPathAddr": o.data_path_addr.as_deref().unwrap_or_default(),
            "RemoteAddrs": remote,
            "JoinToken": token,
            "Availability": availability,
        });
        loop {
            let answer = engine.client.done(Req::post(&["swarm", "join"]).json(&body).patient()).await;
            match answer {
                Ok(_) => return Ok(()),
                // The engine goes on by itself.
                Err(e) if e.message().contains("will continue in the background") => return Ok(()),
                // Two managers that join at once can meet a change of the raft group: the loser tries again.
                Err(e) if tokio::time::Instant::now() < until && passing(&e) => {
                    leave_alone(engine).await.ok();
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                Err(e) => {
                    leave_alone(engine).await.ok();
                    return Err(e.hint("check that the engine's host reaches the managers at TCP port 2377").with("managers", remote.join(", ")));
                }
            }
        }
    }

    /// Waits until the engine is a member, and gives the ID of its node.
    async fn wait_active(&self, engine: &Engine, until: tokio::time::Instant) -> Result<String> {
        loop {
            let now = membership(engine).await?;
            match now.state.as_str() {
                "active" => return Ok(now.node_id),
                "error" | "inactive" => return Err(Error::new(ErrorKind::Engine, format!("the engine did not join: {}", now.error)).hint("join it again")),
                "locked" => return Err(locked()),
                _ if tokio::time::Instant::now() > until => {
                    return Err(Error::new(ErrorKind::Timeout, "the engine did not become a member in time")
                        .hint("check that its host reaches the managers at TCP port 2377; the same call goes on")
                        .with("endpoint", engine.endpoint().to_string()));
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn wait_ready(&self, id: &str, until: tokio::time::Instant) -> Result<Node> {
        loop {
            match self.node(id).await {
                Ok(node) if node.properties.state == "ready" => return Ok(node),
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ if tokio::time::Instant::now() > until => {
                    return Err(Error::new(ErrorKind::Timeout, "the node did not become ready in time").hint("look at swarm.health()").with("node", id));
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Takes an engine out of the swarm, and its node off the list. One that is in no swarm stays as it is.
    ///
    /// # Errors
    /// `conflict` for a manager without `force`.
    ///
    /// # Cancel safety
    /// The same call goes on from where it was.
    pub fn leave(&self, engine: &Engine) -> Call<LeaveSwarm, ()> {
        let (me, engine) = (self.clone(), engine.clone());
        Call::new("swarm.leave", move |o: LeaveSwarm, _| async move {
            let now = membership(&engine).await?;
            if now.state == "inactive" {
                return Ok(());
            }
            if now.is_manager && !o.force {
                return Err(Error::new(ErrorKind::Conflict, "the engine is a manager of the swarm").hint("demote its node first, or leave with force"));
            }
            engine.client.done(Req::post(&["swarm", "leave"]).flag("force", o.force).patient()).await?;
            // The list of nodes is kept by the others; when this was the last one, there is nobody to ask.
            if me.managers.iter().any(|m| m.endpoint() != engine.endpoint()) {
                me.done(|| Req::delete(&["nodes", &now.node_id]).query("force", "true")).await.ok();
            }
            Ok(())
        })
    }

    /// Unlocks an engine whose swarm state is locked.
    ///
    /// # Errors
    /// `invalid_input` for a wrong key, `conflict` when nothing is locked.
    pub fn unlock(engine: &Engine, key: impl Into<Secret>) -> Call<NoOptions, ()> {
        let (engine, key) = (engine.clone(), key.into());
        Call::new("swarm.unlock", move |_, _| async move {
            engine.client.done(Req::post(&["swarm", "unlock"]).json(&json!({"UnlockKey": key.reveal()}))).await.map(drop)
        })
    }

    /// The swarm as its managers describe it, without the tokens.
    ///
    /// # Errors
    /// `conflict` when the engine is no longer a manager.
    pub fn inspect(&self) -> Call<NoOptions, Value> {
        let me = self.clone();
        Call::new("swarm.inspect", move |_, _| async move {
            let mut answer: Map<String, Value> = me.fetch(|| Req::get(&["swarm"])).await.map_err(not_a_manager)?;
            answer.remove("JoinTokens");
            Ok(Value::Object(answer))
        })
    }

    /// Changes settings of the swarm.
    ///
    /// # Errors
    /// `invalid_input`.
    pub fn update(&self) -> Call<UpdateSwarm, ()> {
        let me = self.clone();
        Call::new("swarm.update", move |o: UpdateSwarm, _| async move {
            me.change_swarm(&[], |spec| settings(spec, o.autolock, o.dispatcher_heartbeat, o.task_history_limit, o.cert_expiry)).await
        })
    }

    async fn change_swarm(&self, query: &[(&str, &str)], change: impl Fn(&mut Value)) -> Result<()> {
        let live: Value = self.fetch(|| Req::get(&["swarm"])).await.map_err(not_a_manager)?;
        let version = live.pointer("/Version/Index").and_then(Value::as_u64).unwrap_or_default().to_string();
        let mut spec = live.get("Spec").cloned().unwrap_or_default();
        change(&mut spec);
        self.done(|| query.iter().fold(Req::post(&["swarm", "update"]).query("version", &version), |r, (k, v)| r.query(k, v)).json(&spec)).await
    }

    /// The tokens that let engines join.
    ///
    /// # Errors
    /// `conflict` when the engine is no longer a manager.
    pub fn tokens(&self) -> Call<NoOptions, JoinTokens> {
        let me = self.clone();
        Call::new("swarm.tokens", move |_, _| async move { me.tokens_now().await })
    }

    async fn tokens_now(&self) -> Result<JoinTokens> {
        let answer: Value = self.fetch(|| Req::get(&["swarm"])).await.map_err(not_a_manager)?;
        let token = |at: &str| Token::new(answer.pointer(at).and_then(Value::as_str).unwrap_or_default());
        Ok(JoinTokens { worker: token("/JoinTokens/Worker"), manager: token("/JoinTokens/Manager") })
    }

    /// Makes the token of a role anew; the old one lets nobody in any more.
    ///
    /// # Errors
    /// `conflict` when the engine is no longer a manager.
    pub fn rotate_token(&self, role: NodeRole) -> Call<RotateToken, JoinTokens> {
        let me = self.clone();
        Call::new("swarm.rotate_token", move |_, _| async move {
            let flag = if role == NodeRole::Manager { "rotateManagerToken" } else { "rotateWorkerToken" };
            me.change_swarm(&[(flag, "true")], |_| {}).await?;
            me.tokens_now().await
        })
    }

    /// The key that unlocks managers after a restart, empty when they are not locked.
    ///
    /// # Errors
    /// `conflict` when the engine is no longer a manager.
    pub fn unlock_key(&self) -> Call<NoOptions, Token> {
        let me = self.clone();
        Call::new("swarm.unlock_key", move |_, _| async move {
            let answer: Value = me.fetch(|| Req::get(&["swarm", "unlockkey"])).await.map_err(not_a_manager)?;
            Ok(Token::new(text(&answer, "UnlockKey")))
        })
    }

    /// How the swarm is: its leader, its quorum, its nodes.
    ///
    /// # Errors
    /// `unreachable` when no manager answers; a swarm without a leader is an answer, not an error.
    pub fn health(&self) -> Call<NoOptions, SwarmHealth> {
        let me = self.clone();
        Call::new("swarm.health", move |_, _| async move {
            match me.node_list(&BTreeMap::new()).await {
                Ok(nodes) => Ok(judge(&nodes)),
                Err(e) if e.message().contains("leader") => {
                    Ok(SwarmHealth { quorum_margin: -1, problems: vec!["there is no leader: most managers are lost".to_owned()], ..SwarmHealth::default() })
                }
                Err(e) => Err(not_a_manager(e)),
            }
        })
    }
}

/// Whether an error of a join passes when it is tried again.
fn passing(e: &Error) -> bool {
    ["raft", "leader", "connection error", "Unavailable", "context deadline"].iter().any(|m| e.message().contains(m))
}

fn judge(nodes: &[Node]) -> SwarmHealth {
    let managers = nodes.iter().filter(|n| n.properties.role == "manager");
    let total = managers.clone().count() as u64;
    let reachable = managers.filter(|n| n.properties.reachability == "reachable").count() as u64;
    let mut problems: Vec<String> = Vec::new();
    for node in nodes {
        let p = &node.properties;
        if p.state != "ready" {
            problems.push(format!("the node {} is {}{}", p.hostname, p.state, if p.message.is_empty() { String::new() } else { format!(": {}", p.message) }));
        }
    }
    let leader = nodes.iter().find(|n| n.properties.leader).map(|n| n.properties.hostname.clone()).unwrap_or_default();
    if leader.is_empty() {
        problems.push("there is no leader".to_owned());
    }
    SwarmHealth {
        healthy: problems.is_empty(),
        leader,
        managers: total,
        reachable_managers: reachable,
        quorum_margin: reachable.cast_signed() - (total / 2 + 1).cast_signed(),
        nodes: nodes.len() as u64,
        ready_nodes: nodes.iter().filter(|n| n.properties.state == "ready").count() as u64,
        problems,
    }
}
