//! Making, opening, growing and removing clusters.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{Cluster, Record};
use crate::{
    call::{Call, Context, NoOptions, options},
    engine::Engine,
    error::{Error, ErrorKind, Result},
    machine::{EngineConfig, LocalDriver},
    machine::{Machine, MachineSpec, Machines, check_name},
    progress::Resource,
    swarm::{InitSwarm, JoinSwarm, NodeRole, Swarm, membership},
    units::{Seconds, Size},
};

/// The kind of records in the store.
const KIND: &str = "clusters";

options! {
    /// Options of [`Cluster::local`].
    pub struct LocalCluster {
        /// How many machines; default 3.
        pub nodes: Option<u32>,
        /// How many of them are managers; default: 3 of three and more, else 1.
        pub managers: Option<u32>,
        /// How many CPUs each may use; default: all.
        pub cpus: Option<f64>,
        /// How much memory each may use, in bytes; default: all.
        pub memory: Option<Size>,
        /// The image of the nodes; default: made of this host's engine.
        pub image: Option<String>,
        /// How often members report; default 1 s. A node is lost after three times of it.
        pub dispatcher_heartbeat: Option<Seconds>,
        /// How the engines are set up.
        pub engine: EngineConfig,
        /// The engine of this host that runs the nodes; default: found as [`Engine::connect`] finds it.
        pub endpoint: Option<String>,
        /// The folder of the store; default: `MACHINE_STORAGE_PATH`, else `~/.docker/machine`.
        pub path: Option<PathBuf>,
    }
}

options! {
    /// Options of [`Cluster::create`].
    pub struct CreateCluster {
        /// How many of the machines are managers; default: 3 of three and more, else 1.
        pub managers: Option<u32>,
        /// How many machines are made at once; default 8.
        pub parallel: Option<u32>,
        /// Settings of the swarm.
        pub swarm: InitSwarm,
        /// The folder of the store; default: `MACHINE_STORAGE_PATH`, else `~/.docker/machine`.
        pub path: Option<PathBuf>,
    }
}

options! {
    /// Options of [`Cluster::open`].
    pub struct OpenCluster {
        /// The folder of the store; default: `MACHINE_STORAGE_PATH`, else `~/.docker/machine`.
        pub path: Option<PathBuf>,
    }
}

options! {
    /// Options of [`Cluster::add`].
    pub struct AddMachine {
        /// What the new member is; default: a worker.
        pub role: NodeRole,
        /// Labels of its node. It takes tasks only after it has them.
        pub labels: std::collections::BTreeMap<String, String>,
    }
}

options! {
    /// Options of [`Cluster::destroy`].
    pub struct DestroyCluster {
        /// Goes on when a machine cannot be removed, and forgets it.
        pub force: bool,
    }
}

impl Record {
    fn new(name: &str, specs: &[MachineSpec], managers: Option<u32>) -> Self {
        let count = u32::try_from(specs.len()).unwrap_or(u32::MAX);
        let managers = managers.unwrap_or(if count >= 3 { 3 } else { 1 }).clamp(1, count.max(1));
        let machines = specs.iter().map(|s| s.name.clone()).collect();
        Self {
            version: 1,
            name: name.to_owned(),
            machines,
            managers,
            owns_machines: true,
            ready: false,
            created: crate::timestamp::Timestamp::now().to_string(),
        }
    }
}

impl Cluster {
    /// Makes a cluster on this host: machines that are nodes in containers, named after it with a number, joined into one swarm.
    ///
    /// # Errors
    /// `already_exists` when there is a whole cluster of this name, `invalid_input` for a wrong name or number, `unreachable`
    /// when this host has no engine.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work, whatever had been done.
    pub fn local(name: impl Into<String>) -> Call<LocalCluster, Cluster> {
        let name = name.into();
        Call::new("cluster.local", move |o: LocalCluster, cx: Context| async move {
            let nodes = o.nodes.unwrap_or(3);
            if !(1..=99).contains(&nodes) {
                return Err(Error::invalid(format!("a local cluster cannot have {nodes} nodes")).hint("give 1 to 99"));
            }
            let mut driver = LocalDriver::default().network(format!("dockerkit-{name}"));
            (driver.image, driver.cpus, driver.memory, driver.endpoint) = (o.image, o.cpus, o.memory, o.endpoint);
            let specs: Vec<MachineSpec> =
                (1..=nodes).map(|i| MachineSpec { name: format!("{name}-{i}"), driver: driver.clone().into(), engine: o.engine.clone() }).collect();
            let heartbeat = o.dispatcher_heartbeat.unwrap_or(Seconds(Duration::from_secs(1)));
            let create =
                CreateCluster { managers: o.managers, path: o.path, swarm: InitSwarm::default().dispatcher_heartbeat(heartbeat), ..CreateCluster::default() };
            make(&name, &specs, create, &cx).await
        })
    }

    /// Makes a cluster of machines, each by its own driver, and joins them into one swarm.
    ///
    /// # Errors
    /// `already_exists` when there is a whole cluster of this name, `partial` when machines cannot be made.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work, whatever had been done.
    pub fn create(name: impl Into<String>, machines: impl Into<Vec<MachineSpec>>) -> Call<CreateCluster, Cluster> {
        let (name, specs) = (name.into(), machines.into());
        Call::new("cluster.create", move |o: CreateCluster, cx: Context| async move { make(&name, &specs, o, &cx).await })
    }

    /// The cluster of this name.
    ///
    /// # Errors
    /// `not_found`, `unreachable` when no manager answers, `conflict` when its making was not finished.
    pub fn open(name: impl Into<String>) -> Call<OpenCluster, Cluster> {
        let name = name.into();
        Call::new("cluster.open", move |o: OpenCluster, _| async move {
            let store = Machines::at(o.path)?;
            let record = read(&store, &name)?;
            if !record.ready {
                return Err(Error::new(ErrorKind::Conflict, format!("the making of the cluster {name} was not finished"))
                    .hint("make it again with the same call, which goes on, or destroy it"));
            }
            let machines: Vec<Machine> = record.machines.iter().map(|m| store.read(m)).collect::<Result<_>>()?;
            let engines = futures_util::future::join_all(machines.iter().map(Machine::engine_now)).await;
            let mut managers = Vec::new();
            let mut last = None;
            for engine in engines {
                match engine {
                    Ok(engine) => {
                        if membership(&engine).await.is_ok_and(|m| m.is_manager) {
                            managers.push(engine);
                        }
                    }
                    Err(e) => last = Some(e),
                }
            }
            if managers.is_empty() {
                return Err(last.unwrap_or_else(|| Error::new(ErrorKind::Unreachable, "no manager answers")).with("cluster", name));
            }
            Ok(Cluster { name: name.into(), machines: Arc::new(machines), store, swarm: Swarm::of(managers).await? })
        })
    }

    /// Makes a machine and brings it into the cluster. Gives the cluster with it.
    ///
    /// # Errors
    /// `already_exists`, and what the driver says.
    ///
    /// # Cancel safety
    /// The same call goes on from where it was.
    pub fn add(&self, machine: MachineSpec) -> Call<AddMachine, Cluster> {
        let me = self.clone();
        Call::new("cluster.add", move |o: AddMachine, cx: Context| async move {
            let _lock = me.store.store.lock(KIND, &me.name).await?;
            let mut record = read(&me.store, &me.name)?;
            if !record.machines.contains(&machine.name) {
                record.machines.push(machine.name.clone());
                me.store.store.write(KIND, &me.name, &record)?;
            }
            let made = me.store.create_now(&machine, &cx, true).await?;
            let engine = made.engine_now().await?;
            let mut join = JoinSwarm::default().role(o.role).labels(o.labels);
            join.advertise_addr = Some(made.ip_now().await?);
            me.swarm.join(&engine).with_options(join).await?;
            Self::open(&*me.name).path(me.store.store.path.clone()).await
        })
    }

    /// Takes a machine out of the cluster and removes it. Gives the cluster without it.
    ///
    /// # Errors
    /// `not_found`; `conflict` for the last manager.
    ///
    /// # Cancel safety
    /// The same call goes on from where it was.
    pub fn remove(&self, machine: impl Into<String>) -> Call<NoOptions, Cluster> {
        let (me, name) = (self.clone(), machine.into());
        Call::new("cluster.remove", move |_, cx: Context| async move {
            let _lock = me.store.store.lock(KIND, &me.name).await?;
            let machine = me.machine(&name)?;
            if let Ok(engine) = machine.engine_now().await {
                let now = membership(&engine).await?;
                if now.is_manager {
                    // Out of the group of managers first, so that the majority is counted without it.
                    me.swarm.nodes().get(now.node_id).await?.demote().await?;
                }
                me.swarm.leave(&engine).force(true).await?;
            } else if let Ok(node) = me.swarm.nodes().get(name.clone()).await {
                node.remove().force(true).await?;
            }
            machine.remove_now(false, &cx).await?;
            let mut record = read(&me.store, &me.name)?;
            record.machines.retain(|m| *m != name);
            me.store.store.write(KIND, &me.name, &record)?;
            Self::open(&*me.name).path(me.store.store.path.clone()).await
        })
    }

    /// Removes the cluster with its machines, and all that is on them. What is gone already is fine.
    ///
    /// # Errors
    /// `partial` when machines cannot be removed; the same call goes on.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work.
    pub fn destroy(&self) -> Call<DestroyCluster, ()> {
        let me = self.clone();
        Call::new("cluster.destroy", move |o: DestroyCluster, cx: Context| async move { unmake(&me.store, &me.name, o.force, &cx).await })
    }

    /// Removes a cluster of which only the name is known: also one whose making was not finished, or that does not answer.
    ///
    /// # Errors
    /// `partial` when machines cannot be removed; the same call goes on.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work.
    pub fn discard(name: impl Into<String>) -> Call<OpenCluster, ()> {
        let name = name.into();
        Call::new("cluster.discard", move |o: OpenCluster, cx: Context| async move { unmake(&Machines::at(o.path)?, &name, false, &cx).await })
    }

    /// The names of the clusters of a store.
    ///
    /// # Errors
    /// `io` when the store cannot be read.
    pub fn list() -> Call<OpenCluster, Vec<String>> {
        Call::new("cluster.list", move |o: OpenCluster, _| async move { Machines::at(o.path)?.store.names(KIND) })
    }
}

fn read(store: &Machines, name: &str) -> Result<Record> {
    check_name(name)?;
    store.store.read(KIND, name)?.ok_or_else(|| {
        let known = store.store.names(KIND).unwrap_or_default();
        let e = Error::not_found(format!("there is no cluster {name}")).with("cluster", name);
        match crate::error::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => e.hint(format!("did you mean {near}?")),
            None => e.hint("make it with Cluster.local or Cluster.create"),
        }
    })
}

async fn make(name: &str, specs: &[MachineSpec], o: CreateCluster, cx: &Context) -> Result<Cluster> {
    check_name(name)?;
    if specs.is_empty() {
        return Err(Error::invalid("a cluster without machines").hint("give at least one machine"));
    }
    let store = Machines::at(o.path)?;
    let _lock = store.store.lock(KIND, name).await?;
    let mut record = match store.store.read::<Record>(KIND, name)? {
        Some(r) if r.ready => {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a cluster {name}"))
                .hint("open it with Cluster.open, or destroy it first")
                .with("cluster", name));
        }
        // What was begun goes on, with the machines that are wanted now.
        _ => Record::new(name, specs, o.managers),
    };
    store.store.write(KIND, name, &record)?;
    let machines = store.create_many(specs, o.parallel.unwrap_or(8), cx).await?;
    let swarm = join(&machines, record.managers as usize, o.swarm, cx).await?;
    record.ready = true;
    store.store.write(KIND, name, &record)?;
    Ok(Cluster { name: name.into(), machines: Arc::new(machines), store, swarm })
}

/// Joins machines into one swarm: the first ones as managers, one after the other, then the others at once.
async fn join(machines: &[Machine], managers: usize, init: InitSwarm, cx: &Context) -> Result<Swarm> {
    let mut engines: Vec<(Machine, Engine)> = Vec::new();
    for machine in machines {
        engines.push((machine.clone(), machine.engine_now().await?));
    }
    let (leaders, workers) = engines.split_at(managers.min(engines.len()));
    let Some(((first, engine), more)) = leaders.split_first() else { return Err(Error::internal("a cluster without managers")) };
    // Any manager that is there already leads on; else the first machine begins.
    let mut swarm = None;
    for (_, engine) in leaders {
        if membership(engine).await?.is_manager {
            swarm = Some(Swarm::of(vec![engine.clone()]).await?);
            break;
        }
    }
    let swarm = match swarm {
        Some(swarm) => swarm,
        None => {
            let mut init = init;
            init.advertise_addr = Some(first.ip_now().await?);
            let begin = Swarm::init(engine).with_options(init);
            match cx.events.on_host(first.name()).track("init", Resource::new("swarm", first.name()), async { begin.await }).await {
                // A call that was given up had asked for it, and the engine went on.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => begun(engine, e).await?,
                result => result?,
            }
        }
    };
    // Two changes of the group of managers at once would meet.
    for member in more {
        enter(&swarm, member.clone(), NodeRole::Manager, cx.clone()).await?;
    }
    let joins = workers.iter().map(|member| enter(&swarm, member.clone(), NodeRole::Worker, cx.clone()));
    futures_util::future::try_join_all(joins).await?;
    Swarm::of(leaders.iter().map(|(_, engine)| engine.clone()).collect()).await
}

/// The swarm that an engine is beginning; `e` is what it says while it does.
async fn begun(engine: &Engine, e: Error) -> Result<Swarm> {
    for _ in 0..100 {
        if membership(engine).await?.is_manager {
            return Swarm::of(vec![engine.clone()]).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(e)
}

async fn enter(swarm: &Swarm, (machine, engine): (Machine, Engine), role: NodeRole, cx: Context) -> Result<()> {
    let mut options = JoinSwarm::default().role(role);
    options.advertise_addr = Some(machine.ip_now().await?);
    let join = swarm.join(&engine).with_options(options);
    let work = async { join.await.map(drop).map_err(|e| e.with("machine", machine.name())) };
    cx.events.on_host(machine.name()).track("join", Resource::new("node", machine.name()), work).await
}

async fn unmake(store: &Machines, name: &str, force: bool, cx: &Context) -> Result<()> {
    check_name(name)?;
    let _lock = store.store.lock(KIND, name).await?;
    let Some(record) = store.store.read::<Record>(KIND, name)? else {
        return store.store.remove(KIND, name);
    };
    let removals = record.machines.iter().filter_map(|m| store.read(m).ok()).map(|machine| {
        let mut cx = cx.clone();
        cx.events = cx.events.on_host(machine.name());
        async move {
            // An engine that ran before the cluster stays, without its swarm.
            if machine.is_adopted()
                && let Ok(engine) = machine.engine_now().await
                && membership(&engine).await.is_ok_and(|m| m.state != "inactive")
            {
                crate::swarm::leave_alone(&engine).await.ok();
            }
            (machine.name().to_owned(), machine.remove_now(force, &cx).await)
        }
    });
    let results = futures_util::future::join_all(removals).await;
    let done = results.iter().filter(|(_, r)| r.is_ok()).count();
    let failed: Vec<(String, Error)> = results.into_iter().filter_map(|(name, r)| r.err().map(|e| (name, e))).collect();
    if failed.is_empty() { store.store.remove(KIND, name) } else { Err(Error::partial(done, failed)) }
}
