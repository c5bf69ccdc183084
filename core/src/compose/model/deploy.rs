//! `deploy`: replicas, resources, updates and placement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    is_zero,
    units::{Bytes, Delay, short_float},
};

macro_rules! model {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident : $ty:ty,)* })+) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
            #[serde(default)]
            pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }
        )+
    };
}
pub(super) use model;

model! {
    /// How a service is deployed.
    pub struct Deploy {
        /// `replicated`, `global`, `replicated-job` or `global-job`.
        #[serde(skip_serializing_if = "is_zero")]
        pub mode: String,
        /// How many containers.
        #[serde(skip_serializing_if = "is_zero")]
        pub replicas: Option<u64>,
        /// Labels of the service.
        #[serde(skip_serializing_if = "is_zero")]
        pub labels: BTreeMap<String, String>,
        /// How updates go.
        #[serde(skip_serializing_if = "is_zero")]
        pub update_config: Option<UpdateConfig>,
        /// How rollbacks go.
        #[serde(skip_serializing_if = "is_zero")]
        pub rollback_config: Option<UpdateConfig>,
        /// Limits and reservations.
        pub resources: DeployResources,
        /// When ended containers are started again.
        #[serde(skip_serializing_if = "is_zero")]
        pub restart_policy: Option<RestartPolicy>,
        /// On which nodes.
        pub placement: Placement,
        /// `vip` or `dnsrr`.
        #[serde(skip_serializing_if = "is_zero")]
        pub endpoint_mode: String,
    }

    /// Limits and reservations.
    pub struct DeployResources {
        /// What it may take.
        #[serde(skip_serializing_if = "is_zero")]
        pub limits: Option<Resource>,
        /// What is kept for it.
        #[serde(skip_serializing_if = "is_zero")]
        pub reservations: Option<Resource>,
    }

    /// An amount of resources.
    pub struct Resource {
        /// Processors.
        #[serde(skip_serializing_if = "is_zero", serialize_with = "short_float")]
        pub cpus: f32,
        /// Memory.
        #[serde(skip_serializing_if = "is_zero")]
        pub memory: Bytes,
        /// Processes.
        #[serde(skip_serializing_if = "is_zero")]
        pub pids: i64,
        /// Devices.
        #[serde(skip_serializing_if = "is_zero")]
        pub devices: Vec<DeviceRequest>,
        /// Resources of other kinds.
        #[serde(skip_serializing_if = "is_zero")]
        pub generic_resources: Vec<GenericResource>,
    }

    /// Devices that are asked for by what they can do.
    pub struct DeviceRequest {
        /// Capabilities, such as `gpu`.
        #[serde(skip_serializing_if = "is_zero")]
        pub capabilities: Vec<String>,
        /// The driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver: String,
        /// How many; -1 is all.
        #[serde(skip_serializing_if = "is_zero")]
        pub count: i64,
        /// Which ones.
        #[serde(skip_serializing_if = "is_zero")]
        pub device_ids: Vec<String>,
        /// Options of the driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub options: BTreeMap<String, String>,
    }

    /// A resource of another kind.
    pub struct GenericResource {
        /// The amount.
        #[serde(skip_serializing_if = "is_zero")]
        pub discrete_resource_spec: Option<DiscreteResource>,
    }

    /// A countable resource.
    pub struct DiscreteResource {
        /// Its kind.
        pub kind: String,
        /// How many.
        pub value: i64,
    }

    /// When ended containers are started again.
    pub struct RestartPolicy {
        /// `none`, `on-failure` or `any`.
        #[serde(skip_serializing_if = "is_zero")]
        pub condition: String,
        /// Time between attempts.
        #[serde(skip_serializing_if = "is_zero")]
        pub delay: Option<Delay>,
        /// How many attempts.
        #[serde(skip_serializing_if = "is_zero")]
        pub max_attempts: Option<u64>,
        /// Time after which a start counts as good.
        #[serde(skip_serializing_if = "is_zero")]
        pub window: Option<Delay>,
    }

    /// How updates or rollbacks go.
    pub struct UpdateConfig {
        /// How many at a time; 0 is all.
        #[serde(skip_serializing_if = "is_zero")]
        pub parallelism: Option<u64>,
        /// Time between groups.
        #[serde(skip_serializing_if = "is_zero")]
        pub delay: Delay,
        /// `continue`, `pause` or `rollback`.
        #[serde(skip_serializing_if = "is_zero")]
        pub failure_action: String,
        /// Time that a task is watched after its update.
        #[serde(skip_serializing_if = "is_zero")]
        pub monitor: Delay,
        /// Failures that are borne.
        #[serde(skip_serializing_if = "is_zero", serialize_with = "short_float")]
        pub max_failure_ratio: f32,
        /// `stop-first` or `start-first`.
        #[serde(skip_serializing_if = "is_zero")]
        pub order: String,
    }

    /// On which nodes.
    pub struct Placement {
        /// Conditions, such as `node.role == worker`.
        #[serde(skip_serializing_if = "is_zero")]
        pub constraints: Vec<String>,
        /// Preferences.
        #[serde(skip_serializing_if = "is_zero")]
        pub preferences: Vec<PlacementPreference>,
        /// At most so many on one node.
        #[serde(skip_serializing_if = "is_zero")]
        pub max_replicas_per_node: u64,
    }

    /// One preference.
    pub struct PlacementPreference {
        /// The label over whose values containers are spread.
        #[serde(skip_serializing_if = "is_zero")]
        pub spread: String,
    }
}
