//! What makes a machine: the drivers and their options.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::{call::options, transport::SshOptions, units::Size};

options! {
    /// Makes a machine on this host: a container that is a node with its own engine.
    ///
    /// Its image is made of this host's own engine where all its parts are here, else docker's `docker:dind` is used.
    pub struct LocalDriver {
        /// The image of the node; it takes the arguments of `dockerd`. Default: made of this host's engine.
        pub image: Option<String>,
        /// How many CPUs it may use; default: all.
        pub cpus: Option<f64>,
        /// How much memory it may use, in bytes; default: all.
        pub memory: Option<Size>,
        /// The network it is in, which is made where it is missing; default `dockerkit`.
        pub network: Option<String>,
        /// The engine of this host that runs the node; default: found as [`crate::Engine::connect`] finds it.
        pub endpoint: Option<String>,
    }
}

/// Makes a machine of a host that is reached over SSH: a Debian or Ubuntu with nothing on it gets an engine from its own
/// packages. The engine is reached through the session, and nothing listens on the network. The user must be root, or run
/// sudo without a password. A passphrase or a password is not kept: later calls need an agent, or another key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshDriver {
    /// The host's name or address, or its name in the SSH configuration.
    pub host: String,
    /// How to log in.
    #[serde(flatten)]
    pub login: SshOptions,
}

impl SshDriver {
    /// The host at this name or address.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), ..Self::default() }
    }

    /// Where its engine is.
    pub(crate) fn url(&self) -> String {
        let socket = crate::transport::DEFAULT_SOCKET.into();
        crate::transport::Endpoint::Ssh { user: self.login.user.clone(), host: self.host.clone(), port: self.login.port, socket }.to_string()
    }
}

/// Takes an engine that runs already as a machine, and leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExistingDriver {
    /// Where its engine is, as in `DOCKER_HOST`.
    pub url: String,
}

impl ExistingDriver {
    /// The engine at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into() }
    }
}

/// Which driver makes a machine, and its options.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "driver", rename_all = "snake_case")]
pub enum DriverSpec {
    /// A node on this host.
    Local(LocalDriver),
    /// A host behind SSH.
    Ssh(SshDriver),
    /// An engine that runs already.
    Existing(ExistingDriver),
}

impl DriverSpec {
    /// The driver's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Ssh(_) => "ssh",
            Self::Existing(_) => "existing",
        }
    }

    /// What may be written down of it: all but secrets.
    pub(crate) fn without_secrets(&self) -> Self {
        let mut kept = self.clone();
        if let Self::Ssh(driver) = &mut kept {
            (driver.login.passphrase, driver.login.password) = (None, None);
        }
        kept
    }
}

impl From<LocalDriver> for DriverSpec {
    fn from(driver: LocalDriver) -> Self {
        Self::Local(driver)
    }
}

impl From<SshDriver> for DriverSpec {
    fn from(driver: SshDriver) -> Self {
        Self::Ssh(driver)
    }
}

impl From<ExistingDriver> for DriverSpec {
    fn from(driver: ExistingDriver) -> Self {
        Self::Existing(driver)
    }
}

options! {
    /// How the engine of a machine is set up.
    pub struct EngineConfig {
        /// Labels of the engine.
        pub labels: BTreeMap<String, String>,
        /// Registries to ask before Docker Hub, as URLs.
        pub registry_mirrors: Vec<String>,
        /// Registries that are reached without TLS, or with certificates that are not checked.
        pub insecure_registries: Vec<String>,
        /// The storage driver, such as `overlay2`; default: the engine's choice.
        pub storage_driver: Option<String>,
        /// More settings, in the form of `daemon.json`.
        pub daemon_config: BTreeMap<String, Value>,
        /// Variables of the engine's process, such as `HTTP_PROXY`.
        pub env: BTreeMap<String, String>,
    }
}

impl EngineConfig {
    /// All settings in the form of `daemon.json`.
    pub(crate) fn daemon_json(&self) -> BTreeMap<String, Value> {
        let mut all = self.daemon_config.clone();
        let mut put = |name: &str, value: Value| {
            all.entry(name.to_owned()).or_insert(value);
        };
        if !self.labels.is_empty() {
            put("labels", self.labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().into());
        }
        if !self.registry_mirrors.is_empty() {
            put("registry-mirrors", self.registry_mirrors.clone().into());
        }
        if !self.insecure_registries.is_empty() {
            put("insecure-registries", self.insecure_registries.clone().into());
        }
        if let Some(driver) = &self.storage_driver {
            put("storage-driver", driver.clone().into());
        }
        all
    }
}
