//! The machines of a store: make them, find them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    DriverSpec, EngineConfig, KIND, Machine,
    local::Local,
    record::{Phase, Record},
    ssh::Remote,
    store::Store,
};
use crate::{
    call::{Call, Context, NoOptions, options},
    error::{Error, ErrorKind, Result},
    plan::{Plan, Step},
    progress::Resource,
    surface::{Handle, handle},
};

/// The machines of a store, which is docker-machine's folder with its layout.
#[derive(Debug, Clone)]
pub struct Machines {
    pub(crate) store: Store,
}

/// What can be read from [`Machines`] at once.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MachinesProperties {
    /// The folder of the store.
    pub path: String,
}

options! {
    /// What [`Machines`] is made of.
    pub struct MachinesInit {
        /// The folder of the store; default: `MACHINE_STORAGE_PATH`, else `~/.docker/machine`.
        pub path: Option<PathBuf>,
    }
}

options! {
    /// Options of [`Machines::create`] and [`Machines::plan`].
    pub struct CreateMachine {
        /// How its engine is set up.
        pub engine: EngineConfig,
    }
}

options! {
    /// Options of [`Machines::create_all`].
    pub struct CreateMachines {
        /// How many are made at once; default 8.
        pub parallel: Option<u32>,
    }
}

options! {
    /// Options of [`Machines::list`].
    pub struct ListMachines {
        /// Only machines of this driver.
        pub driver: Option<String>,
    }
}

/// A machine to be made.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// Its name.
    pub name: String,
    /// What makes it.
    pub driver: DriverSpec,
    /// How its engine is set up.
    #[serde(default)]
    pub engine: EngineConfig,
}

impl MachineSpec {
    /// A machine that `driver` makes.
    pub fn new(name: impl Into<String>, driver: impl Into<DriverSpec>) -> Self {
        Self { name: name.into(), driver: driver.into(), engine: EngineConfig::default() }
    }
}

/// docker-machine's rule for names, which are also host names.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && name.chars().all(good) && name.len() <= 63 {
        return Ok(());
    }
    Err(Error::invalid(format!("`{}` is not a name of a machine", crate::error::escape(name)))
        .hint("use letters, digits, `-` and `.`, with a letter or digit first, and at most 63 of them"))
}

impl Machines {
    /// The machines of docker-machine's own store: `MACHINE_STORAGE_PATH`, else `~/.docker/machine`.
    ///
    /// # Errors
    /// `io` when the path cannot be made absolute.
    pub fn open() -> Result<Self> {
        Self::at(None)
    }

    /// The machines of the store at `path`.
    ///
    /// # Errors
    /// `io` when the path cannot be made absolute.
    pub fn at(path: impl Into<Option<PathBuf>>) -> Result<Self> {
        Ok(Self { store: Store::open(path.into())? })
    }

    pub(crate) fn from_init(init: MachinesInit) -> Result<Self> {
        Self::at(init.path)
    }

    /// What [`Machines::create`] with the same arguments would do.
    ///
    /// # Errors
    /// `already_exists`, `invalid_input` for a wrong name.
    pub fn plan(&self, name: impl Into<String>, driver: impl Into<DriverSpec>) -> Call<CreateMachine, Plan> {
        let (me, name, driver) = (self.clone(), name.into(), driver.into());
        Call::new("machines.plan", move |o: CreateMachine, _| async move {
            me.check_free(&name)?;
            let mut steps = Vec::new();
            if let DriverSpec::Local(d) = &driver {
                for resource in (Local { name: &name, store: &me.store, driver: d }).missing().await? {
                    let after = (0..steps.len()).collect();
                    steps.push(Step { action: "create".to_owned(), resource, cause: "it is missing".to_owned(), after, ..Step::default() });
                }
            }
            let after = (0..steps.len()).collect();
            let cause = "it is not in the store".to_owned();
            steps.push(Step { action: "create".to_owned(), resource: Resource::new("machine", &name), cause, after, ..Step::default() });
            let options = serde_json::to_value(&o).map_err(|e| Error::internal(e.to_string()))?;
            Ok(Plan::new(format!("machine {name}: create"), steps, options))
        })
    }

    /// Fails when there is a machine of this name that is whole.
    fn check_free(&self, name: &str) -> Result<()> {
        check_name(name)?;
        match self.store.read::<Record>(KIND, name)? {
            Some(r) if r.dockerkit.as_ref().is_none_or(|own| own.phase == Phase::Ready) => {
                Err(Error::new(ErrorKind::AlreadyExists, format!("there is a machine {name}"))
                    .hint("choose another name, or remove it first")
                    .with("machine", name))
            }
            _ => Ok(()),
        }
    }

    /// Makes a machine and waits until its engine answers.
    ///
    /// # Errors
    /// `already_exists`, `invalid_input` for a wrong name, and what the driver says.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work, whatever had been done.
    pub fn create(&self, name: impl Into<String>, driver: impl Into<DriverSpec>) -> Call<CreateMachine, Machine> {
        let (me, name, driver) = (self.clone(), name.into(), driver.into());
        Call::new("machines.create", move |o: CreateMachine, cx: Context| async move {
            me.create_now(&MachineSpec { name, driver, engine: o.engine }, &cx, false).await
        })
    }

    /// Makes a machine. With `take_over`, one that is whole is taken as it is.
    pub(crate) async fn create_now(&self, spec: &MachineSpec, cx: &Context, take_over: bool) -> Result<Machine> {
        let name = spec.name.as_str();
        check_name(name)?;
        let _lock = self.store.lock(KIND, name).await?;
        let found = self.store.read::<Record>(KIND, name)?;
        if let (Some(record), true) = (&found, take_over)
            && record.dockerkit.as_ref().is_some_and(|own| own.phase == Phase::Ready)
        {
            let machine = Machine::of(&self.store, record);
            machine.create_now(&spec.driver, &spec.engine, &cx.clone()).await?;
            return Ok(machine);
        }
        self.check_free(name)?;
        let url = match &spec.driver {
            DriverSpec::Local(d) => Local { name, store: &self.store, driver: d }.url(),
            DriverSpec::Ssh(d) => Remote { name, driver: d }.url(),
            DriverSpec::Existing(d) => d.url.clone(),
        };
        let mut record = Record::new(&self.store, name, spec.driver.without_secrets(), spec.engine.clone(), &url);
        // The record comes first: what is made after it can then always be found and removed.
        self.store.write(KIND, name, &record)?;
        let machine = Machine::of(&self.store, &record);
        let mut cx = cx.clone();
        cx.events = cx.events.on_host(name);
        if let Err(e) = machine.create_now(&spec.driver, &spec.engine, &cx).await {
            // An engine that cannot be reached, and that nothing was made for, leaves no record.
            if matches!(spec.driver, DriverSpec::Existing(_)) {
                self.store.remove(KIND, name)?;
            }
            return Err(e.with("machine", name));
        }
        record.set_phase(Phase::Ready);
        if let (DriverSpec::Local(_), Ok(ip)) = (&spec.driver, machine.ip_now().await)
            && let Some(driver) = record.driver.as_object_mut()
        {
            driver.insert("IPAddress".to_owned(), ip.into());
        }
        self.store.write(KIND, name, &record)?;
        Ok(machine)
    }

    /// Makes machines, several at once, and gives them in the same order. All are tried, whatever fails.
    ///
    /// # Errors
    /// `partial` with the failures by name; those that were made stay, and the same call goes on with the others.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work.
    pub fn create_all(&self, machines: impl Into<Vec<MachineSpec>>) -> Call<CreateMachines, Vec<Machine>> {
        let (me, specs) = (self.clone(), machines.into());
        Call::new("machines.create_all", move |o: CreateMachines, cx: Context| async move { me.create_many(&specs, o.parallel.unwrap_or(8), &cx).await })
    }

    pub(crate) async fn create_many(&self, specs: &[MachineSpec], parallel: u32, cx: &Context) -> Result<Vec<Machine>> {
        use futures_util::StreamExt;
        let work = specs.iter().cloned().map(|spec| {
            let (me, cx) = (self.clone(), cx.clone());
            async move {
                let made = me.create_now(&spec, &cx, true).await;
                (spec.name, made)
            }
        });
        let results: Vec<_> = futures_util::stream::iter(work).buffered(parallel.max(1) as usize).collect().await;
        let mut made = Vec::new();
        let mut failed = Vec::new();
        for (name, result) in results {
            match result {
                Ok(machine) => made.push(machine),
                Err(e) => failed.push((name, e)),
            }
        }
        if failed.is_empty() { Ok(made) } else { Err(Error::partial(made.len(), failed)) }
    }

    /// Takes an engine that runs already as a machine, and leaves it as it is.
    ///
    /// # Errors
    /// `already_exists`, `unreachable`.
    pub fn adopt(&self, name: impl Into<String>, endpoint: impl Into<String>) -> Call<NoOptions, Machine> {
        let (me, name, url) = (self.clone(), name.into(), endpoint.into());
        Call::new("machines.adopt", move |_, cx: Context| async move {
            let driver = DriverSpec::Existing(super::ExistingDriver { url });
            me.create_now(&MachineSpec { name, driver, engine: EngineConfig::default() }, &cx, false).await
        })
    }

    /// Lists the machines, by name.
    ///
    /// # Errors
    /// `io` when the store or a record cannot be read.
    pub fn list(&self) -> Call<ListMachines, Vec<Machine>> {
        let me = self.clone();
        Call::new("machines.list", move |o: ListMachines, _| async move {
            let mut all = Vec::new();
            for name in me.store.names(KIND)? {
                let machine = me.read(&name)?;
                if o.driver.as_ref().is_none_or(|d| *d == machine.driver) {
                    all.push(machine);
                }
            }
            Ok(all)
        })
    }

    /// The machine of this name.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, name: impl Into<String>) -> Call<NoOptions, Machine> {
        let (me, name) = (self.clone(), name.into());
        Call::new("machines.get", move |_, _| async move { me.read(&name) })
    }

    pub(crate) fn read(&self, name: &str) -> Result<Machine> {
        check_name(name)?;
        match self.store.read::<Record>(KIND, name)? {
            Some(record) => Ok(Machine::of(&self.store, &record)),
            None => {
                let known = self.store.names(KIND).unwrap_or_default();
                let e = Error::not_found(format!("there is no machine {name}")).with("machine", name);
                Err(match crate::error::nearest(name, known.iter().map(String::as_str)) {
                    Some(near) => e.hint(format!("did you mean {near}?")),
                    None => e.hint("list the machines"),
                })
            }
        }
    }
}

impl Handle for Machines {
    const CLASS: &'static str = "Machines";
    type Properties = MachinesProperties;

    fn properties(&self) -> MachinesProperties {
        MachinesProperties { path: self.store.path.display().to_string() }
    }
}

handle!(Machines);
