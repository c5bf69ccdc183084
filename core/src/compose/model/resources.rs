//! Networks, volumes, secrets and configs of a project.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{deploy::model, is_zero};

model! {
    /// A network.
    pub struct NetworkConfig {
        /// Its name on the engine.
        #[serde(skip_serializing_if = "is_zero")]
        pub name: String,
        /// Its driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver: String,
        /// Options of the driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver_opts: BTreeMap<String, String>,
        /// Its addresses.
        pub ipam: Ipam,
        /// Exists already, and is not made or removed.
        #[serde(skip_serializing_if = "is_zero")]
        pub external: bool,
        /// Has no way out.
        #[serde(skip_serializing_if = "is_zero")]
        pub internal: bool,
        /// Containers can join it although it belongs to a swarm.
        #[serde(skip_serializing_if = "is_zero")]
        pub attachable: bool,
        /// Labels.
        #[serde(skip_serializing_if = "is_zero")]
        pub labels: BTreeMap<String, String>,
        /// With IPv4.
        #[serde(skip_serializing_if = "is_zero")]
        pub enable_ipv4: Option<bool>,
        /// With IPv6.
        #[serde(skip_serializing_if = "is_zero")]
        pub enable_ipv6: Option<bool>,
    }

    /// Addresses of a network.
    pub struct Ipam {
        /// The driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver: String,
        /// Subnets.
        #[serde(skip_serializing_if = "is_zero")]
        pub config: Vec<IpamPool>,
        /// Options of the driver. docker compose reads them, and neither prints nor uses them.
        #[serde(skip_serializing)]
        pub options: BTreeMap<String, String>,
    }

    /// One subnet.
    pub struct IpamPool {
        /// The subnet.
        #[serde(skip_serializing_if = "is_zero")]
        pub subnet: String,
        /// The gateway.
        #[serde(skip_serializing_if = "is_zero")]
        pub gateway: String,
        /// The part that containers get addresses from.
        #[serde(skip_serializing_if = "is_zero")]
        pub ip_range: String,
        /// Addresses that are taken.
        #[serde(skip_serializing_if = "is_zero")]
        pub aux_addresses: BTreeMap<String, String>,
    }

    /// A volume.
    pub struct VolumeConfig {
        /// Its name on the engine.
        #[serde(skip_serializing_if = "is_zero")]
        pub name: String,
        /// Its driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver: String,
        /// Options of the driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver_opts: BTreeMap<String, String>,
        /// Exists already, and is not made or removed.
        #[serde(skip_serializing_if = "is_zero")]
        pub external: bool,
        /// Labels.
        #[serde(skip_serializing_if = "is_zero")]
        pub labels: BTreeMap<String, String>,
    }

    /// A model that services use.
    pub struct ModelConfig {
        /// Its name on the engine.
        #[serde(skip_serializing_if = "is_zero")]
        pub name: String,
        /// The model itself, as its registry names it.
        #[serde(skip_serializing_if = "is_zero")]
        pub model: String,
        /// How much text it looks at.
        #[serde(skip_serializing_if = "is_zero")]
        pub context_size: i64,
        /// Flags for what runs it.
        #[serde(skip_serializing_if = "is_zero")]
        pub runtime_flags: Vec<String>,
    }

    /// A secret or a config.
    pub struct ConfigObject {
        /// Its name on the engine.
        #[serde(skip_serializing_if = "is_zero")]
        pub name: String,
        /// The file that holds it.
        #[serde(skip_serializing_if = "is_zero")]
        pub file: String,
        /// The variable that holds it.
        #[serde(skip_serializing_if = "is_zero")]
        pub environment: String,
        /// The text itself.
        #[serde(skip_serializing_if = "is_zero")]
        pub content: String,
        /// Exists already, and is not made or removed.
        #[serde(skip_serializing_if = "is_zero")]
        pub external: bool,
        /// Labels.
        #[serde(skip_serializing_if = "is_zero")]
        pub labels: BTreeMap<String, String>,
        /// Its driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver: String,
        /// Options of the driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver_opts: BTreeMap<String, String>,
        /// The engine's templates in it are filled in by this driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub template_driver: String,
    }
}
