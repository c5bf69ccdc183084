//! The model of a Compose project, in its canonical form: what every short syntax, merge and default comes to.
//!
//! The fields stand in the order in which docker compose writes them, since its hashes are made of that text.

mod deploy;
mod resources;
mod service;
mod units;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use deploy::{
    Deploy, DeployResources, DeviceRequest, DiscreteResource, GenericResource, Placement, PlacementPreference, Resource, RestartPolicy, UpdateConfig,
};
pub use resources::{ConfigObject, Ipam, IpamPool, NetworkConfig, VolumeConfig};
pub use service::{
    BindOptions, BlkioConfig, Build, BuildSecret, CredentialSpec, Dependency, Device, EnvFile, FileReference, HealthCheck, Hook, ImageOptions, Logging, Port,
    Service, ServiceNetwork, SshKey, ThrottleDevice, TmpfsOptions, Ulimit, VolumeMount, VolumeOptions, WeightDevice,
};
pub use units::{Bytes, Delay};

/// A project: services and what they use.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its services by name.
    pub services: BTreeMap<String, Service>,
    /// Its networks by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, NetworkConfig>,
    /// Its volumes by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, VolumeConfig>,
    /// Its secrets by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, ConfigObject>,
    /// Its configs by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub configs: BTreeMap<String, ConfigObject>,
    /// Its models by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Value>,
    /// Services that no active profile selects.
    #[serde(skip)]
    pub disabled: BTreeMap<String, Service>,
    /// Top-level `x-` keys.
    #[serde(skip)]
    pub extensions: BTreeMap<String, Value>,
}

impl Model {
    /// The model as docker compose prints it, `x-` keys and all.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        let add = |to: Option<&mut Value>, more: &BTreeMap<String, Value>| {
            if let Some(map) = to.and_then(Value::as_object_mut) {
                map.extend(more.clone());
            }
        };
        for (name, service) in &self.services {
            add(json.get_mut("services").and_then(|s| s.get_mut(name)), &service.extensions);
        }
        add(Some(&mut json), &self.extensions);
        json
    }
}

pub(crate) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
