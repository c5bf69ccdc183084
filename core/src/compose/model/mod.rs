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
pub use resources::{ConfigObject, Ipam, IpamPool, ModelConfig, NetworkConfig, VolumeConfig};
pub use service::{
    BindOptions, BlkioConfig, Build, CredentialSpec, Dependency, Develop, Device, EnvFile, FileReference, HealthCheck, Hook, ImageOptions, Logging, Port,
    Provider, Service, ServiceModel, ServiceNetwork, SshKey, ThrottleDevice, TmpfsOptions, Ulimit, VolumeMount, VolumeOptions, WatchRule, WeightDevice,
};
pub use units::{Bytes, Delay};

/// A project: services and what they use.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its services by name.
    pub services: BTreeMap<String, Box<Service>>,
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
    #[serde(skip_serializing)]
    pub models: BTreeMap<String, ModelConfig>,
    /// Services that no active profile selects.
    #[serde(skip)]
    pub disabled: BTreeMap<String, Box<Service>>,
    /// Top-level `x-` keys.
    #[serde(skip)]
    pub extensions: BTreeMap<String, Value>,
    /// `x-` keys below services and other parts, each with its key path. A service's own ones are in the service.
    #[serde(skip)]
    pub nested_extensions: Vec<(Vec<String>, Value)>,
}

impl Model {
    /// The model as docker compose prints it as JSON: of the `x-` keys, those of the top level.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(map) = json.as_object_mut() {
            map.extend(self.extensions.clone());
        }
        json
    }
}

pub(crate) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
