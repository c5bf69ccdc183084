//! A service and its parts.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{
    deploy::{Deploy, DeviceRequest, model},
    is_zero,
    units::{Bytes, Delay, short_float},
};

/// Declares the service: a field is left out where it is empty, but for command and entry point, which docker compose
/// always writes and which are marked `(written)`. Numbers with a fraction are marked `(short)`.
macro_rules! service {
    ($($(#[doc = $doc:literal])+ $field:ident $(($written:ident))? : $ty:ty,)*) => {
        service!(@ [] $($(#[doc = $doc])+ $field $(($written))? : $ty,)*);
    };
    (@ [$($done:tt)*] $(#[doc = $doc:literal])+ $field:ident (written) : $ty:ty, $($rest:tt)*) => {
        service!(@ [$($done)* $(#[doc = $doc])+ pub $field: $ty,] $($rest)*);
    };
    (@ [$($done:tt)*] $(#[doc = $doc:literal])+ $field:ident (short) : $ty:ty, $($rest:tt)*) => {
        service!(@ [$($done)* $(#[doc = $doc])+ #[serde(skip_serializing_if = "is_zero", serialize_with = "short_float")] pub $field: $ty,] $($rest)*);
    };
    (@ [$($done:tt)*] $(#[doc = $doc:literal])+ $field:ident : $ty:ty, $($rest:tt)*) => {
        service!(@ [$($done)* $(#[doc = $doc])+ #[serde(skip_serializing_if = "is_zero")] pub $field: $ty,] $($rest)*);
    };
    (@ [$($done:tt)*]) => {
        /// A service: what its containers are made of.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(default)]
        pub struct Service {
            /// Its name.
            #[serde(skip)]
            pub name: String,
            $($done)*
            /// `x-` keys.
            #[serde(skip)]
            pub extensions: BTreeMap<String, Value>,
        }
    };
}

service! {
    /// Profiles of which one must be active.
    profiles: Vec<String>,
    /// Annotations of the containers.
    annotations: BTreeMap<String, String>,
    /// Whether its output is shown.
    attach: Option<bool>,
    /// How its image is built.
    build: Option<Box<Build>>,
    /// How it is developed.
    develop: Option<Develop>,
    /// Limits of block devices.
    blkio_config: Option<Box<BlkioConfig>>,
    /// Capabilities to add.
    cap_add: Vec<String>,
    /// Capabilities to drop.
    cap_drop: Vec<String>,
    /// Parent cgroup.
    cgroup_parent: String,
    /// Cgroup namespace.
    cgroup: String,
    /// Number of processors.
    cpu_count: i64,
    /// Share of the processors, in per cent.
    cpu_percent(short): f32,
    /// Period of the processor quota.
    cpu_period: i64,
    /// Processor quota.
    cpu_quota: i64,
    /// Period of real-time processes.
    cpu_rt_period: i64,
    /// Runtime of real-time processes.
    cpu_rt_runtime: i64,
    /// Processors.
    cpus(short): f32,
    /// Which processors.
    cpuset: String,
    /// Relative weight for processor time.
    cpu_shares: i64,
    /// The command's words.
    command(written): Option<Vec<String>>,
    /// Configs that it gets.
    configs: Vec<FileReference>,
    /// Name of its container.
    container_name: String,
    /// Credentials of Windows containers.
    credential_spec: Option<CredentialSpec>,
    /// Services that must be there before.
    depends_on: BTreeMap<String, Dependency>,
    /// How it is deployed.
    deploy: Option<Box<Deploy>>,
    /// Rules for devices.
    device_cgroup_rules: Vec<String>,
    /// Devices.
    devices: Vec<Device>,
    /// DNS servers.
    dns: Vec<String>,
    /// DNS options.
    dns_opt: Vec<String>,
    /// DNS search domains.
    dns_search: Vec<String>,
    /// Domain name.
    domainname: String,
    /// The entry point's words.
    entrypoint(written): Option<Vec<String>>,
    /// A program outside that provides it.
    provider: Option<Provider>,
    /// Environment variables; null takes no value.
    environment: BTreeMap<String, Option<String>>,
    /// Files with environment variables.
    env_file: Vec<EnvFile>,
    /// Ports that other services may use.
    expose: Vec<String>,
    /// Links to containers outside.
    external_links: Vec<String>,
    /// Lines of `/etc/hosts`, as `name=address`.
    extra_hosts: Vec<String>,
    /// More groups.
    group_add: Vec<String>,
    /// Graphics processors.
    gpus: Vec<DeviceRequest>,
    /// Host name.
    hostname: String,
    /// Health check.
    healthcheck: Option<Box<HealthCheck>>,
    /// Its image.
    image: String,
    /// Runs an init that reaps processes.
    init: Option<bool>,
    /// IPC namespace.
    ipc: String,
    /// Isolation of Windows containers.
    isolation: String,
    /// Labels of the containers.
    labels: BTreeMap<String, String>,
    /// Files with labels.
    label_file: Vec<String>,
    /// Links to other services.
    links: Vec<String>,
    /// Logging.
    logging: Option<Logging>,
    /// Memory limit.
    mem_limit: Bytes,
    /// Memory that is kept for it.
    mem_reservation: Bytes,
    /// Limit of memory and swap together.
    memswap_limit: Bytes,
    /// Readiness to swap.
    mem_swappiness: Bytes,
    /// Hardware address.
    mac_address: String,
    /// Models that it uses.
    models: BTreeMap<String, Option<ServiceModel>>,
    /// Network mode.
    network_mode: String,
    /// Networks that it is in.
    networks: BTreeMap<String, Option<Box<ServiceNetwork>>>,
    /// Does not end it for lack of memory.
    oom_kill_disable: bool,
    /// How soon it is ended for lack of memory.
    oom_score_adj: i64,
    /// Process namespace.
    pid: String,
    /// Limit of processes.
    pids_limit: i64,
    /// Platform.
    platform: String,
    /// Ports that are open to the host.
    ports: Vec<Port>,
    /// All privileges.
    privileged: bool,
    /// When its image is pulled.
    pull_policy: String,
    /// Root file system that cannot be written to.
    read_only: bool,
    /// Restart policy.
    restart: String,
    /// Runtime.
    runtime: String,
    /// How many containers.
    scale: Option<u64>,
    /// Secrets that it gets.
    secrets: Vec<FileReference>,
    /// Security options.
    security_opt: Vec<String>,
    /// Size of `/dev/shm`.
    shm_size: Bytes,
    /// Keeps its standard input open.
    stdin_open: bool,
    /// How long it may take to stop.
    stop_grace_period: Option<Delay>,
    /// Signal that stops it.
    stop_signal: String,
    /// Options of the storage driver.
    storage_opt: BTreeMap<String, String>,
    /// Kernel parameters.
    sysctls: BTreeMap<String, String>,
    /// Temporary file systems.
    tmpfs: Vec<String>,
    /// A terminal.
    tty: bool,
    /// Kernel limits.
    ulimits: BTreeMap<String, Ulimit>,
    /// Gets the engine's socket.
    use_api_socket: bool,
    /// User.
    user: String,
    /// User namespace.
    userns_mode: String,
    /// UTS namespace.
    uts: String,
    /// What is mounted.
    volumes: Vec<VolumeMount>,
    /// Containers and services whose volumes it gets.
    volumes_from: Vec<String>,
    /// Working directory.
    working_dir: String,
    /// Commands after its start.
    post_start: Vec<Hook>,
    /// Commands before its start.
    pre_start: Vec<Hook>,
    /// Commands before its stop.
    pre_stop: Vec<Hook>,
}

model! {
    /// How an image is built.
    pub struct Build {
        /// The folder.
        #[serde(skip_serializing_if = "is_zero")]
        pub context: String,
        /// The Dockerfile in it.
        #[serde(skip_serializing_if = "is_zero")]
        pub dockerfile: String,
        /// The Dockerfile's text.
        #[serde(skip_serializing_if = "is_zero")]
        pub dockerfile_inline: String,
        /// Rights that the build is given.
        #[serde(skip_serializing_if = "is_zero")]
        pub entitlements: Vec<String>,
        /// Build arguments.
        #[serde(skip_serializing_if = "is_zero")]
        pub args: BTreeMap<String, Option<String>>,
        /// Provenance attestation.
        #[serde(skip_serializing_if = "is_zero")]
        pub provenance: String,
        /// SBOM attestation.
        #[serde(skip_serializing_if = "is_zero")]
        pub sbom: String,
        /// SSH keys.
        #[serde(skip_serializing_if = "is_zero")]
        pub ssh: Vec<SshKey>,
        /// Labels of the image.
        #[serde(skip_serializing_if = "is_zero")]
        pub labels: BTreeMap<String, String>,
        /// Where layers may be taken from.
        #[serde(skip_serializing_if = "is_zero")]
        pub cache_from: Vec<String>,
        /// Where layers are put.
        #[serde(skip_serializing_if = "is_zero")]
        pub cache_to: Vec<String>,
        /// Uses no cache.
        #[serde(skip_serializing_if = "is_zero")]
        pub no_cache: bool,
        /// Stages that use no cache.
        #[serde(skip_serializing_if = "is_zero")]
        pub no_cache_filter: Vec<String>,
        /// More contexts by name.
        #[serde(skip_serializing_if = "is_zero")]
        pub additional_contexts: BTreeMap<String, String>,
        /// Pulls newer base images.
        #[serde(skip_serializing_if = "is_zero")]
        pub pull: bool,
        /// Lines of `/etc/hosts`, as `name=address`.
        #[serde(skip_serializing_if = "is_zero")]
        pub extra_hosts: Vec<String>,
        /// Isolation on Windows.
        #[serde(skip_serializing_if = "is_zero")]
        pub isolation: String,
        /// Network of the build.
        #[serde(skip_serializing_if = "is_zero")]
        pub network: String,
        /// Stage to stop at.
        #[serde(skip_serializing_if = "is_zero")]
        pub target: String,
        /// Secrets.
        #[serde(skip_serializing_if = "is_zero")]
        pub secrets: Vec<FileReference>,
        /// Size of `/dev/shm`.
        #[serde(skip_serializing_if = "is_zero")]
        pub shm_size: Bytes,
        /// More names for the image.
        #[serde(skip_serializing_if = "is_zero")]
        pub tags: Vec<String>,
        /// Kernel limits.
        #[serde(skip_serializing_if = "is_zero")]
        pub ulimits: BTreeMap<String, Ulimit>,
        /// Platforms.
        #[serde(skip_serializing_if = "is_zero")]
        pub platforms: Vec<String>,
        /// All privileges.
        #[serde(skip_serializing_if = "is_zero")]
        pub privileged: bool,
    }

    /// Limits of block devices.
    pub struct BlkioConfig {
        /// Weight.
        #[serde(skip_serializing_if = "is_zero")]
        pub weight: u16,
        /// Weight of devices.
        #[serde(skip_serializing_if = "is_zero")]
        pub weight_device: Vec<WeightDevice>,
        /// Bytes read per second.
        #[serde(skip_serializing_if = "is_zero")]
        pub device_read_bps: Vec<ThrottleDevice>,
        /// Reads per second.
        #[serde(skip_serializing_if = "is_zero")]
        pub device_read_iops: Vec<ThrottleDevice>,
        /// Bytes written per second.
        #[serde(skip_serializing_if = "is_zero")]
        pub device_write_bps: Vec<ThrottleDevice>,
        /// Writes per second.
        #[serde(skip_serializing_if = "is_zero")]
        pub device_write_iops: Vec<ThrottleDevice>,
    }

    /// The weight of a device.
    pub struct WeightDevice {
        /// The device.
        #[serde(rename(serialize = "Path"))]
        pub path: String,
        /// Its weight.
        #[serde(rename(serialize = "Weight"))]
        pub weight: u16,
    }

    /// The rate of a device.
    pub struct ThrottleDevice {
        /// The device.
        #[serde(rename(serialize = "Path"))]
        pub path: String,
        /// Its rate.
        #[serde(rename(serialize = "Rate"))]
        pub rate: Bytes,
    }

    /// Credentials of Windows containers.
    pub struct CredentialSpec {
        /// The config that holds them.
        #[serde(skip_serializing_if = "is_zero")]
        pub config: String,
        /// The file that holds them.
        #[serde(skip_serializing_if = "is_zero")]
        pub file: String,
        /// The registry value that holds them.
        #[serde(skip_serializing_if = "is_zero")]
        pub registry: String,
    }

    /// What a service waits for in another.
    pub struct Dependency {
        /// `service_started`, `service_healthy` or `service_completed_successfully`.
        #[serde(skip_serializing_if = "is_zero")]
        pub condition: String,
        /// Restarts this service when the other is restarted.
        #[serde(skip_serializing_if = "is_zero")]
        pub restart: bool,
        /// Fails when the other is not there.
        pub required: bool,
    }

    /// A device.
    pub struct Device {
        /// On the host.
        #[serde(skip_serializing_if = "is_zero")]
        pub source: String,
        /// In the container.
        #[serde(skip_serializing_if = "is_zero")]
        pub target: String,
        /// Rights, such as `rwm`.
        #[serde(skip_serializing_if = "is_zero")]
        pub permissions: String,
    }

    /// A secret or config as a service gets it.
    pub struct FileReference {
        /// Its key.
        #[serde(skip_serializing_if = "is_zero")]
        pub source: String,
        /// Its path in the container.
        #[serde(skip_serializing_if = "is_zero")]
        pub target: String,
        /// Owner.
        #[serde(skip_serializing_if = "is_zero")]
        pub uid: String,
        /// Group.
        #[serde(skip_serializing_if = "is_zero")]
        pub gid: String,
        /// Mode, in octal.
        #[serde(skip_serializing_if = "is_zero")]
        pub mode: Option<String>,
    }

    /// A health check.
    pub struct HealthCheck {
        /// The command's words.
        #[serde(skip_serializing_if = "is_zero")]
        pub test: Vec<String>,
        /// Time that a check may take.
        #[serde(skip_serializing_if = "is_zero")]
        pub timeout: Option<Delay>,
        /// Time between checks.
        #[serde(skip_serializing_if = "is_zero")]
        pub interval: Option<Delay>,
        /// Failures until it counts as unhealthy.
        #[serde(skip_serializing_if = "is_zero")]
        pub retries: Option<u64>,
        /// Time in which failures do not count.
        #[serde(skip_serializing_if = "is_zero")]
        pub start_period: Option<Delay>,
        /// Time between checks in the start period.
        #[serde(skip_serializing_if = "is_zero")]
        pub start_interval: Option<Delay>,
        /// Switches the image's check off.
        #[serde(skip_serializing_if = "is_zero")]
        pub disable: bool,
    }

    /// Logging.
    pub struct Logging {
        /// The driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver: String,
        /// Its options.
        #[serde(skip_serializing_if = "is_zero")]
        pub options: BTreeMap<String, String>,
    }

    /// A port that is open to the host.
    pub struct Port {
        /// Its name.
        #[serde(skip_serializing_if = "is_zero")]
        pub name: String,
        /// `ingress` or `host`.
        #[serde(skip_serializing_if = "is_zero")]
        pub mode: String,
        /// The host's address.
        #[serde(skip_serializing_if = "is_zero")]
        pub host_ip: String,
        /// The port in the container.
        #[serde(skip_serializing_if = "is_zero")]
        pub target: u32,
        /// The port on the host, or a range.
        #[serde(skip_serializing_if = "is_zero")]
        pub published: String,
        /// `tcp` or `udp`.
        #[serde(skip_serializing_if = "is_zero")]
        pub protocol: String,
        /// What is spoken on it.
        #[serde(skip_serializing_if = "is_zero")]
        pub app_protocol: String,
    }

    /// A network as a service is in it.
    pub struct ServiceNetwork {
        /// Other names.
        #[serde(skip_serializing_if = "is_zero")]
        pub aliases: Vec<String>,
        /// Options of the driver.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver_opts: BTreeMap<String, String>,
        /// Which network gives the default route.
        #[serde(skip_serializing_if = "is_zero")]
        pub gw_priority: i64,
        /// Name of the interface.
        #[serde(skip_serializing_if = "is_zero")]
        pub interface_name: String,
        /// Fixed IPv4 address.
        #[serde(skip_serializing_if = "is_zero")]
        pub ipv4_address: String,
        /// Fixed IPv6 address.
        #[serde(skip_serializing_if = "is_zero")]
        pub ipv6_address: String,
        /// Link-local addresses.
        #[serde(skip_serializing_if = "is_zero")]
        pub link_local_ips: Vec<String>,
        /// Hardware address.
        #[serde(skip_serializing_if = "is_zero")]
        pub mac_address: String,
        /// Which network is joined first.
        #[serde(skip_serializing_if = "is_zero")]
        pub priority: i64,
    }

    /// Something mounted.
    pub struct VolumeMount {
        /// `volume`, `bind`, `tmpfs`, `npipe`, `cluster` or `image`.
        #[serde(rename = "type", skip_serializing_if = "is_zero")]
        pub kind: String,
        /// Key of a volume, or path on the host.
        #[serde(skip_serializing_if = "is_zero")]
        pub source: String,
        /// Path in the container.
        #[serde(skip_serializing_if = "is_zero")]
        pub target: String,
        /// Cannot be written to.
        #[serde(skip_serializing_if = "is_zero")]
        pub read_only: bool,
        /// Consistency on a desktop.
        #[serde(skip_serializing_if = "is_zero")]
        pub consistency: String,
        /// Options of a bind.
        #[serde(skip_serializing_if = "is_zero")]
        pub bind: Option<BindOptions>,
        /// Options of a volume.
        #[serde(skip_serializing_if = "is_zero")]
        pub volume: Option<VolumeOptions>,
        /// Options of a tmpfs.
        #[serde(skip_serializing_if = "is_zero")]
        pub tmpfs: Option<TmpfsOptions>,
        /// Options of an image.
        #[serde(skip_serializing_if = "is_zero")]
        pub image: Option<ImageOptions>,
    }

    /// Options of a bind.
    pub struct BindOptions {
        /// SELinux mode.
        #[serde(skip_serializing_if = "is_zero")]
        pub selinux: String,
        /// Propagation.
        #[serde(skip_serializing_if = "is_zero")]
        pub propagation: String,
        /// Makes the path on the host when it is not there.
        #[serde(skip_serializing_if = "is_zero")]
        pub create_host_path: bool,
        /// Whether mounts below it come too.
        #[serde(skip_serializing_if = "is_zero")]
        pub recursive: String,
    }

    /// Options of a volume.
    pub struct VolumeOptions {
        /// Labels of an anonymous volume.
        #[serde(skip_serializing_if = "is_zero")]
        pub labels: BTreeMap<String, String>,
        /// Does not copy the image's files into it.
        #[serde(skip_serializing_if = "is_zero")]
        pub nocopy: bool,
        /// A part of the volume.
        #[serde(skip_serializing_if = "is_zero")]
        pub subpath: String,
    }

    /// Options of a tmpfs.
    pub struct TmpfsOptions {
        /// Its size.
        #[serde(skip_serializing_if = "is_zero")]
        pub size: Bytes,
        /// Its mode.
        #[serde(skip_serializing_if = "is_zero")]
        pub mode: u32,
    }

    /// Options of an image.
    pub struct ImageOptions {
        /// A part of the image.
        #[serde(skip_serializing_if = "is_zero")]
        pub subpath: String,
    }

    /// How a service is developed.
    pub struct Develop {
        /// What is watched.
        #[serde(skip_serializing_if = "is_zero")]
        pub watch: Vec<WatchRule>,
    }

    /// A path that is watched, and what is done when it changes.
    pub struct WatchRule {
        /// The path on the host.
        pub path: String,
        /// `sync`, `rebuild`, `restart`, `sync+restart` or `sync+exec`.
        pub action: String,
        /// The path in the container.
        #[serde(skip_serializing_if = "is_zero")]
        pub target: String,
        /// The command of `sync+exec`.
        pub exec: Hook,
        /// Patterns of what counts.
        #[serde(skip_serializing_if = "is_zero")]
        pub include: Vec<String>,
        /// Patterns of what does not.
        #[serde(skip_serializing_if = "is_zero")]
        pub ignore: Vec<String>,
        /// Copies all at the start, too.
        #[serde(skip_serializing_if = "is_zero")]
        pub initial_sync: bool,
    }

    /// A program outside that provides a service.
    pub struct Provider {
        /// Its name.
        #[serde(rename = "type", skip_serializing_if = "is_zero")]
        pub kind: String,
        /// Its options.
        #[serde(skip_serializing_if = "is_zero")]
        pub options: BTreeMap<String, Vec<String>>,
    }

    /// A model as a service uses it.
    pub struct ServiceModel {
        /// The variable that gets its address.
        #[serde(skip_serializing_if = "is_zero")]
        pub endpoint_var: String,
        /// The variable that gets its name.
        #[serde(skip_serializing_if = "is_zero")]
        pub model_var: String,
    }

    /// A command at a moment of a container's life.
    pub struct Hook {
        /// Its words.
        pub command: Option<Vec<String>>,
        /// User.
        #[serde(skip_serializing_if = "is_zero")]
        pub user: String,
        /// All privileges.
        #[serde(skip_serializing_if = "is_zero")]
        pub privileged: bool,
        /// Working directory.
        #[serde(skip_serializing_if = "is_zero")]
        pub working_dir: String,
        /// Environment variables.
        #[serde(skip_serializing_if = "is_zero")]
        pub environment: BTreeMap<String, Option<String>>,
    }
}

/// A file with environment variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct EnvFile {
    /// Its path.
    pub path: String,
    /// Fails when it is not there.
    pub required: bool,
    /// `raw` takes values as they stand.
    pub format: String,
}

impl Serialize for EnvFile {
    /// As docker compose writes it: a path that is required as a text, whatever its format.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Long<'a> {
            path: &'a str,
            required: bool,
            #[serde(skip_serializing_if = "str::is_empty")]
            format: &'a str,
        }
        if self.required {
            serializer.serialize_str(&self.path)
        } else {
            Long { path: &self.path, required: false, format: &self.format }.serialize(serializer)
        }
    }
}

/// An SSH key or agent for a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct SshKey {
    /// Its ID.
    pub id: String,
    /// Its file or socket; empty is the agent.
    pub path: String,
}

impl Serialize for SshKey {
    /// As it is written: `default`, or `id=path`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.path.is_empty() { serializer.serialize_str(&self.id) } else { serializer.collect_str(&format_args!("{}={}", self.id, self.path)) }
    }
}

/// A kernel limit: one number for both, or soft and hard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, schemars::JsonSchema)]
pub struct Ulimit {
    /// The soft limit.
    pub soft: i64,
    /// The hard limit.
    pub hard: i64,
    /// Whether it was written as one number.
    pub single: bool,
}

impl Serialize for Ulimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Both {
            #[serde(skip_serializing_if = "is_zero")]
            soft: i64,
            #[serde(skip_serializing_if = "is_zero")]
            hard: i64,
        }
        // A single zero is written as the pair of nothing that Go makes of it.
        if self.single && self.soft != 0 { serializer.serialize_i64(self.soft) } else { Both { soft: self.soft, hard: self.hard }.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Ulimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(i64),
            Both { soft: i64, hard: i64 },
        }
        Ok(match Form::deserialize(deserializer).map_err(|_| serde::de::Error::custom("a ulimit is a number, or soft and hard"))? {
            Form::One(n) => Self { soft: n, hard: n, single: true },
            Form::Both { soft, hard } => Self { soft, hard, single: false },
        })
    }
}

impl Service {
    /// How many containers it has: `scale`, else `deploy.replicas`, else 1.
    #[must_use]
    pub fn replicas(&self) -> u64 {
        self.scale.or_else(|| self.deploy.as_ref().and_then(|d| d.replicas)).unwrap_or(1)
    }

    /// Its image: the one it names, or the one that its build gets.
    #[must_use]
    pub fn image_name(&self, project: &str) -> String {
        if self.image.is_empty() { format!("{project}-{}", self.name) } else { self.image.clone() }
    }
}
