//! Machines: hosts with an engine, made, kept and removed.

mod drivers;
mod local;
mod machines;
mod record;
mod ssh;
pub(crate) mod store;
pub(crate) mod surface;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use drivers::{DriverSpec, EngineConfig, ExistingDriver, LocalDriver, SshDriver};
pub(crate) use machines::check_name;
pub use machines::{CreateMachine, CreateMachines, ListMachines, MachineSpec, Machines, MachinesInit, MachinesProperties};

use self::{
    local::Local,
    record::{Phase, Record},
    ssh::Remote,
    store::Store,
};
use crate::{
    call::{Call, Context, NoOptions, options},
    engine::{Command, CommandOutput, ConnectOptions, Engine, ExecOptions},
    error::{Error, ErrorKind, Result},
    surface::{Handle, handle},
    transport::TlsOptions,
};

/// The kind of records in the store.
pub(crate) const KIND: &str = "machines";

/// What a machine does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    /// It runs.
    Running,
    /// It is held still.
    Paused,
    /// It is on its way down.
    Stopping,
    /// It does not run.
    Stopped,
    /// Its record is here, and it is not.
    NotFound,
    /// It does not answer.
    #[default]
    Unreachable,
}

/// A host with an engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Machine {
    store: Store,
    name: String,
    driver: String,
    url: String,
}

/// What can be read from a [`Machine`] at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MachineProperties {
    /// Its name.
    pub name: String,
    /// The name of its driver.
    pub driver: String,
    /// Where its engine is, as in `DOCKER_HOST`.
    pub url: String,
}

options! {
    /// Options of [`Machine::env`].
    pub struct MachineEnvOptions {
        /// The shell that the text is for: `bash`, `fish`, `cmd`, `powershell` or `tcsh`; default `bash`.
        pub shell: Option<String>,
        /// Takes the variables away instead.
        pub unset: bool,
    }
}

/// The variables that point docker's own programs at a machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MachineEnv {
    /// The variables; one without a value is taken away.
    pub variables: BTreeMap<String, Option<String>>,
    /// The same as commands of the shell.
    pub text: String,
}

options! {
    /// Options of [`Machine::remove`].
    pub struct RemoveMachine {
        /// Forgets the machine also when what it is made of cannot be removed.
        pub force: bool,
    }
}

impl Machine {
    pub(crate) fn of(store: &Store, record: &Record) -> Self {
        Self { store: store.clone(), name: record.name.clone(), driver: record.driver().to_owned(), url: record.url() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its engine is, as in `DOCKER_HOST`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether its engine ran before it was a machine.
    pub(crate) fn is_adopted(&self) -> bool {
        self.driver == "existing" || self.driver == "ssh"
    }

    fn record(&self) -> Result<Record> {
        self.store
            .read(KIND, &self.name)?
            .ok_or_else(|| Error::not_found(format!("there is no machine {}", self.name)).hint("list the machines").with("machine", &*self.name))
    }

    fn own_driver(&self) -> Result<DriverSpec> {
        self.record()?.dockerkit.map(|own| own.driver).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("the machine {} was made by docker-machine with the driver {}", self.name, self.driver))
                .hint("its engine can be used; use docker-machine to start, stop or remove it")
                .with("machine", &*self.name)
        })
    }

    fn local<'a>(&'a self, driver: &'a LocalDriver) -> Local<'a> {
        Local { name: &self.name, store: &self.store, driver }
    }

    fn remote<'a>(&'a self, driver: &'a SshDriver) -> Remote<'a> {
        Remote { name: &self.name, driver }
    }

    fn no_power(&self, what: &str) -> Error {
        Error::new(ErrorKind::Unsupported, format!("the machine {} is a host behind SSH: it cannot be {what} from here", self.name))
            .hint("do it where its power is")
            .with("machine", &*self.name)
    }

    fn not_ours(&self, what: &str) -> Error {
        Error::new(ErrorKind::Unsupported, format!("the machine {} is an engine that ran already: it cannot be {what} here", self.name))
            .hint("do it where the engine runs")
            .with("machine", &*self.name)
    }

    pub(crate) async fn create_now(&self, driver: &DriverSpec, engine: &EngineConfig, cx: &Context) -> Result<()> {
        match driver {
            DriverSpec::Local(d) => self.local(d).create(engine, cx).await,
            DriverSpec::Ssh(d) => self.remote(d).create(engine, cx).await,
            DriverSpec::Existing(d) => {
                Engine::connect(d.url.clone()).await?;
                Ok(())
            }
        }
    }

    /// What it does now.
    ///
    /// # Errors
    /// `not_found` when its record is gone.
    pub fn state(&self) -> Call<NoOptions, MachineState> {
        let me = self.clone();
        Call::new("machine.state", move |_, _| async move { me.state_now().await })
    }

    pub(crate) async fn state_now(&self) -> Result<MachineState> {
        match self.record()?.dockerkit.map(|own| own.driver) {
            Some(DriverSpec::Local(d)) => self.local(&d).state().await,
            Some(DriverSpec::Ssh(d)) => Ok(self.remote(&d).state().await),
            _ => match self.engine_now().await {
                Ok(_) => Ok(MachineState::Running),
                Err(_) => Ok(MachineState::Unreachable),
            },
        }
    }

    /// Its address.
    ///
    /// # Errors
    /// `conflict` when it does not run.
    pub fn ip(&self) -> Call<NoOptions, String> {
        let me = self.clone();
        Call::new("machine.ip", move |_, _| async move { me.ip_now().await })
    }

    pub(crate) async fn ip_now(&self) -> Result<String> {
        let record = self.record()?;
        if let Some(DriverSpec::Local(d)) = record.dockerkit.as_ref().map(|own| &own.driver) {
            return self.local(d).ip().await;
        }
        if let Some(ip) = record.driver.get("IPAddress").and_then(Value::as_str).filter(|ip| !ip.is_empty()) {
            return Ok(ip.to_owned());
        }
        match crate::transport::Endpoint::parse(&self.url)? {
            crate::transport::Endpoint::Tcp { host, .. } | crate::transport::Endpoint::Ssh { host, .. } => Ok(host),
            _ => Ok("127.0.0.1".to_owned()),
        }
    }

    /// Its record, in docker-machine's form.
    ///
    /// # Errors
    /// `not_found` when its record is gone.
    pub fn inspect(&self) -> Call<NoOptions, Value> {
        let me = self.clone();
        Call::new("machine.inspect", move |_, _| async move { serde_json::to_value(me.record()?).map_err(|e| Error::internal(e.to_string())) })
    }

    /// The variables that point docker's own programs at it, as `docker-machine env` gives them.
    ///
    /// # Errors
    /// `invalid_input` for an unknown shell.
    pub fn env(&self) -> Call<MachineEnvOptions, MachineEnv> {
        let me = self.clone();
        Call::new("machine.env", move |o: MachineEnvOptions, _| async move {
            let tls = me.url.starts_with("tcp://") && me.tls().is_some();
            let value = |text: String| if o.unset { None } else { Some(text) };
            let variables = BTreeMap::from([
                ("DOCKER_HOST".to_owned(), value(me.url.clone())),
                ("DOCKER_MACHINE_NAME".to_owned(), value(me.name.clone())),
                ("DOCKER_TLS_VERIFY".to_owned(), if tls { value("1".to_owned()) } else { None }),
                ("DOCKER_CERT_PATH".to_owned(), if tls { value(me.store.folder(KIND, &me.name).display().to_string()) } else { None }),
            ]);
            let text = shell_text(o.shell.as_deref().unwrap_or("bash"), &variables)?;
            Ok(MachineEnv { variables, text })
        })
    }

    fn tls(&self) -> Option<TlsOptions> {
        let folder = self.store.folder(KIND, &self.name);
        folder.join("cert.pem").is_file().then(|| TlsOptions::from_folder(folder))
    }

    /// Its engine.
    ///
    /// # Errors
    /// `unreachable` when it does not run.
    pub fn engine(&self) -> Call<NoOptions, Engine> {
        let me = self.clone();
        Call::new("machine.engine", move |_, _| async move { me.engine_now().await.map_err(|e| e.with("machine", me.name)) })
    }

    pub(crate) async fn engine_now(&self) -> Result<Engine> {
        let record = self.record()?;
        if let Some(DriverSpec::Ssh(d)) = record.dockerkit.as_ref().map(|own| &own.driver) {
            return self.remote(d).engine().await;
        }
        let url = record.url();
        let tls = if url.starts_with("tcp://") { self.tls() } else { None };
        Engine::connect(url).with_options(ConnectOptions { tls, ..ConnectOptions::default() }).await
    }

    /// Runs a command on it, as root, and gives what it wrote.
    ///
    /// # Errors
    /// `unsupported` for an engine that ran already; a command that fails is an answer, not an error.
    pub fn ssh(&self, command: impl Into<Command>) -> Call<ExecOptions, CommandOutput> {
        let (me, command) = (self.clone(), command.into());
        Call::new("machine.ssh", move |o: ExecOptions, _| async move {
            match me.own_driver()? {
                DriverSpec::Local(d) => me.local(&d).shell().await?.exec(command).with_options(o).await,
                DriverSpec::Ssh(d) => me.remote(&d).run(&command, o).await,
                DriverSpec::Existing(_) => Err(me.not_ours("logged in to")),
            }
        })
    }

    /// Copies a file or folder of this host to it.
    ///
    /// # Errors
    /// `not_found`, `unsupported` for an engine that ran already.
    pub fn copy_to(&self, path: impl Into<std::path::PathBuf>, target: impl Into<String>) -> Call<NoOptions, ()> {
        let (me, path, target) = (self.clone(), path.into(), target.into());
        Call::new("machine.copy_to", move |_, _| async move {
            match me.own_driver()? {
                DriverSpec::Local(d) => me.local(&d).shell().await?.copy_to(path, target).await,
                DriverSpec::Ssh(d) => me.remote(&d).copy_to(&path, &target).await,
                DriverSpec::Existing(_) => Err(me.not_ours("copied to")),
            }
        })
    }

    /// Copies a file or folder of it to this host.
    ///
    /// # Errors
    /// `not_found`, `unsupported` for an engine that ran already.
    pub fn copy_from(&self, path: impl Into<String>, target: impl Into<std::path::PathBuf>) -> Call<NoOptions, ()> {
        let (me, path, target) = (self.clone(), path.into(), target.into());
        Call::new("machine.copy_from", move |_, _| async move {
            match me.own_driver()? {
                DriverSpec::Local(d) => me.local(&d).shell().await?.copy_from(path, target).await,
                DriverSpec::Ssh(d) => me.remote(&d).copy_from(&path, &target).await,
                DriverSpec::Existing(_) => Err(me.not_ours("copied from")),
            }
        })
    }

    /// Starts it and waits until its engine answers. One that runs stays as it is.
    ///
    /// # Errors
    /// `unsupported` for an engine that ran already, `timeout`.
    pub fn start(&self) -> Call<NoOptions, ()> {
        let me = self.clone();
        Call::new("machine.start", move |_, cx: Context| async move {
            match me.own_driver()? {
                DriverSpec::Local(d) => me.local(&d).start(&cx).await,
                DriverSpec::Ssh(d) => me.remote(&d).start(&cx).await,
                DriverSpec::Existing(_) => Err(me.not_ours("started")),
            }
        })
    }

    /// Stops it. One that does not run stays as it is.
    ///
    /// # Errors
    /// `unsupported` for an engine that ran already.
    pub fn stop(&self) -> Call<NoOptions, ()> {
        let me = self.clone();
        Call::new("machine.stop", move |_, _| async move {
            match me.own_driver()? {
                DriverSpec::Local(d) => me.local(&d).stop().await,
                DriverSpec::Ssh(_) => Err(me.no_power("stopped")),
                DriverSpec::Existing(_) => Err(me.not_ours("stopped")),
            }
        })
    }

    /// Stops it and starts it again.
    ///
    /// # Errors
    /// `unsupported` for an engine that ran already, `timeout`.
    pub fn restart(&self) -> Call<NoOptions, ()> {
        let me = self.clone();
        Call::new("machine.restart", move |_, cx: Context| async move {
            me.stop().await?;
            me.start().in_context(cx).await
        })
    }

    /// Takes its power away.
    ///
    /// # Errors
    /// `unsupported` for an engine that ran already.
    pub fn kill(&self) -> Call<NoOptions, ()> {
        let me = self.clone();
        Call::new("machine.kill", move |_, _| async move {
            match me.own_driver()? {
                DriverSpec::Local(d) => me.local(&d).kill().await,
                DriverSpec::Ssh(_) => Err(me.no_power("killed")),
                DriverSpec::Existing(_) => Err(me.not_ours("killed")),
            }
        })
    }

    /// Removes it: what its driver made, then its record. What is gone already is fine; a host behind SSH
    /// and an engine that ran already are only forgotten.
    ///
    /// # Errors
    /// What the driver says when something cannot be removed.
    ///
    /// # Cancel safety
    /// Ends at once; the same call finishes the work.
    pub fn remove(&self) -> Call<RemoveMachine, ()> {
        let me = self.clone();
        Call::new("machine.remove", move |o: RemoveMachine, cx: Context| async move { me.remove_now(o.force, &cx).await })
    }

    pub(crate) async fn remove_now(&self, force: bool, cx: &Context) -> Result<()> {
        let _lock = self.store.lock(KIND, &self.name).await?;
        let Some(mut record) = self.store.read::<Record>(KIND, &self.name)? else {
            return self.store.remove(KIND, &self.name);
        };
        if record.dockerkit.is_some() {
            record.set_phase(Phase::Removing);
            self.store.write(KIND, &self.name, &record)?;
        }
        let result = match record.dockerkit.map(|own| own.driver) {
            Some(DriverSpec::Local(d)) => self.local(&d).remove(cx).await,
            Some(DriverSpec::Existing(_) | DriverSpec::Ssh(_)) => Ok(()),
            None if force => Ok(()),
            None => self.own_driver().map(drop),
        };
        match result {
            Err(e) if !force => Err(e.with("machine", &*self.name)),
            _ => self.store.remove(KIND, &self.name),
        }
    }
}

fn shell_text(shell: &str, variables: &BTreeMap<String, Option<String>>) -> Result<String> {
    let line = |name: &str, value: &Option<String>| -> Result<String> {
        Ok(match (shell, value) {
            ("bash" | "sh" | "zsh", Some(v)) => format!("export {name}={}", shlex::try_quote(v).map_err(|e| Error::invalid(e.to_string()))?),
            ("bash" | "sh" | "zsh", None) => format!("unset {name}"),
            ("fish", Some(v)) => format!("set -gx {name} \"{v}\";"),
            ("fish", None) => format!("set -e {name};"),
            ("tcsh", Some(v)) => format!("setenv {name} \"{v}\";"),
            ("tcsh", None) => format!("unsetenv {name};"),
            ("powershell", Some(v)) => format!("$Env:{name} = \"{v}\""),
            ("powershell", None) => format!("Remove-Item Env:\\{name}"),
            ("cmd", Some(v)) => format!("SET {name}={v}"),
            ("cmd", None) => format!("SET {name}="),
            _ => return Err(Error::invalid(format!("`{shell}` is not a shell that is known")).hint("use bash, fish, tcsh, powershell or cmd")),
        })
    };
    let lines: Result<Vec<String>> = variables.iter().map(|(name, value)| line(name, value)).collect();
    Ok(lines?.join("\n"))
}

impl Handle for Machine {
    const CLASS: &'static str = "Machine";
    type Properties = MachineProperties;

    fn properties(&self) -> MachineProperties {
        MachineProperties { name: self.name.clone(), driver: self.driver.clone(), url: self.url.clone() }
    }
}

handle!(Machine);
