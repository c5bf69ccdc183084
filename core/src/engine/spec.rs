//! How a container is to be made.

use std::collections::BTreeMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, Mount as EngineMount, MountBindOptions,
    MountImageOptions, MountTmpfsOptions, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig, NetworkingConfig, PortBinding, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum, ThrottleDevice,
};
use serde::{Deserialize, Deserializer, Serialize};

use super::client::ApiVersion;
use crate::{
    call::options,
    error::{Error, Result},
    units::{Seconds, Size},
};

/// A command: its words, or one text that is split into words as a shell would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Command(Vec<String>);

impl Command {
    /// Its words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl From<&str> for Command {
    /// Splits into words as a shell would; text with an open quote stays one word.
    fn from(text: &str) -> Self {
        Self(shlex::split(text).unwrap_or_else(|| vec![text.to_owned()]))
    }
}

impl From<Vec<String>> for Command {
    fn from(words: Vec<String>) -> Self {
        Self(words)
    }
}

impl<const N: usize> From<[&str; N]> for Command {
    fn from(words: [&str; N]) -> Self {
        Self(words.iter().map(|w| (*w).to_owned()).collect())
    }
}

impl From<()> for Command {
    /// The image's own command.
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            None(()),
            Text(String),
            Words(Vec<String>),
        }
        match Form::deserialize(deserializer).map_err(|_| serde::de::Error::custom("a command is a text or a list of words"))? {
            Form::None(()) => Ok(Self::default()),
            Form::Words(words) => Ok(Self(words)),
            Form::Text(text) => shlex::split(&text).map(Self).ok_or_else(|| serde::de::Error::custom("the command has an open quote")),
        }
    }
}

impl schemars::JsonSchema for Command {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Command".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]})
    }
}

options! {
    /// A health check.
    pub struct HealthCheck {
        /// The command's words after `CMD`, `CMD-SHELL` or `NONE`, such as `["CMD", "true"]`.
        pub test: Vec<String>,
        /// Time between checks; default 30 s.
        pub interval: Option<Seconds>,
        /// Time that a check may take; default 30 s.
        pub timeout: Option<Seconds>,
        /// Failures until it counts as unhealthy; default 3.
        pub retries: Option<u32>,
        /// Time in which failures do not count.
        pub start_period: Option<Seconds>,
        /// Time between checks in the start period; needs API 1.44.
        pub start_interval: Option<Seconds>,
    }
}

options! {
    /// Something mounted into a container.
    pub struct Mount {
        /// `volume` (default), `bind`, `tmpfs` or, from API 1.48 on, `image`.
        pub kind: Option<String>,
        /// Volume name, path on the host or name of an image.
        pub source: Option<String>,
        /// Path in the container.
        pub target: String,
        /// Cannot be written to.
        pub read_only: bool,
        /// Propagation of a bind, such as `rslave`.
        pub propagation: Option<String>,
        /// Leaves what is mounted under the source of a bind out.
        pub non_recursive: bool,
        /// Makes the source of a bind where it is not there.
        pub create_source: bool,
        /// Does not copy the image's files into a new volume.
        pub no_copy: bool,
        /// A part of the volume or image, as a path in it. Needs API 1.45, for an image 1.48.
        pub subpath: Option<String>,
        /// The driver of a new volume; default: `local`.
        pub driver: Option<String>,
        /// Options of that driver.
        pub driver_options: BTreeMap<String, String>,
        /// Labels of a new volume.
        pub labels: BTreeMap<String, String>,
        /// Size limit of a tmpfs.
        pub size: Option<Size>,
        /// Permissions of a tmpfs, as `chmod` takes them: 493 is `rwxr-xr-x`.
        pub mode: Option<u32>,
    }
}

options! {
    /// A limit of the kernel for the processes of a container.
    pub struct Ulimit {
        /// The name, such as `nofile`.
        pub name: String,
        /// The soft limit.
        pub soft: i64,
        /// The hard limit.
        pub hard: i64,
    }
}

options! {
    /// How a container is to be made. Everything has the engine's default.
    pub struct ContainerSpec {
        /// Its name; default: one that the engine makes up.
        pub name: Option<String>,
        /// Pulls the image when it is not there.
        pub pull: bool,
        /// The platform, such as `linux/arm64`.
        pub platform: Option<String>,
        /// Environment variables.
        pub env: BTreeMap<String, String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// Entry point instead of the image's.
        pub entrypoint: Vec<String>,
        /// Working directory.
        pub workdir: Option<String>,
        /// User, and group after a colon.
        pub user: Option<String>,
        /// More groups.
        pub group_add: Vec<String>,
        /// Host name.
        pub hostname: Option<String>,
        /// Domain name.
        pub domainname: Option<String>,
        /// Gives it a terminal.
        pub tty: bool,
        /// Keeps its standard input open.
        pub stdin_open: bool,
        /// Volumes in docker's short form: `name:/path[:ro]`, `/host:/path[:ro]`.
        pub volumes: Vec<String>,
        /// Mounts in the long form.
        pub mounts: Vec<Mount>,
        /// Temporary file systems: path and mount options.
        pub tmpfs: BTreeMap<String, String>,
        /// All volumes of these containers, as `name[:ro]`.
        pub volumes_from: Vec<String>,
        /// Ports in docker's form: `[[ip:]host:]container[/udp]`.
        pub ports: Vec<String>,
        /// Opens all exposed ports at ports of the engine's choice.
        pub publish_all: bool,
        /// The network: a name, `host`, `none` or `container:NAME`.
        pub network: Option<String>,
        /// Its other names in that network.
        pub aliases: Vec<String>,
        /// Its fixed address in that network.
        pub ip: Option<String>,
        /// Its IPv6 address in the network.
        pub ipv6: Option<String>,
        /// Its link-local addresses in the network.
        pub link_local_ips: Vec<String>,
        /// Its MAC address in the network. Needs API 1.44.
        pub mac_address: Option<String>,
        /// Other containers that it knows by another name, as `container:name`.
        pub links: Vec<String>,
        /// Lines of `/etc/hosts`: name and address.
        pub extra_hosts: BTreeMap<String, String>,
        /// DNS servers.
        pub dns: Vec<String>,
        /// DNS options.
        pub dns_opt: Vec<String>,
        /// DNS search domains.
        pub dns_search: Vec<String>,
        /// Restart policy: `no`, `always`, `unless-stopped`, `on-failure[:max]`.
        pub restart: Option<String>,
        /// The engine removes it when it ends.
        pub auto_remove: bool,
        /// Signal that stops it.
        pub stop_signal: Option<String>,
        /// How long it may take to stop.
        pub stop_timeout: Option<Seconds>,
        /// Health check.
        pub healthcheck: Option<HealthCheck>,
        /// Memory limit.
        pub memory: Option<Size>,
        /// Memory that is kept for it.
        pub memory_reservation: Option<Size>,
        /// Limit of memory and swap together; -1 is none.
        pub memory_swap: Option<i64>,
        /// Limit in processors, such as 1.5.
        pub cpus: Option<f64>,
        /// Relative weight for processor time.
        pub cpu_shares: Option<u64>,
        /// The processors that it may use, such as `0-1`.
        pub cpuset: Option<String>,
        /// Memory nodes that it may use, such as `0`.
        pub cpuset_mems: Option<String>,
        /// Length of a period of the processor in microseconds.
        pub cpu_period: Option<i64>,
        /// Time that it gets in each period, in microseconds.
        pub cpu_quota: Option<i64>,
        /// Relative weight for disks, 10 to 1000.
        pub blkio_weight: Option<u16>,
        /// How many bytes a second it may read from each of these devices, such as `/dev/sda`.
        pub device_read_bps: BTreeMap<String, Size>,
        /// How many bytes a second it may write to each of these devices.
        pub device_write_bps: BTreeMap<String, Size>,
        /// How often a second it may read from each of these devices.
        pub device_read_iops: BTreeMap<String, u64>,
        /// How often a second it may write to each of these devices.
        pub device_write_iops: BTreeMap<String, u64>,
        /// How readily its memory is swapped out, 0 to 100.
        pub memory_swappiness: Option<i64>,
        /// Lets it wait for memory where the kernel would end it.
        pub oom_kill_disable: bool,
        /// How readily the kernel ends it for lack of memory, -1000 to 1000.
        pub oom_score_adj: Option<i64>,
        /// The control group that its own is made in.
        pub cgroup_parent: Option<String>,
        /// Limit of processes.
        pub pids_limit: Option<i64>,
        /// Size of `/dev/shm`.
        pub shm_size: Option<Size>,
        /// Kernel limits.
        pub ulimits: Vec<Ulimit>,
        /// Kernel parameters.
        pub sysctls: BTreeMap<String, String>,
        /// Gives it all privileges.
        pub privileged: bool,
        /// Capabilities to add.
        pub cap_add: Vec<String>,
        /// Capabilities to drop.
        pub cap_drop: Vec<String>,
        /// Devices, as `host[:container[:rwm]]`.
        pub devices: Vec<String>,
        /// Graphics processors, as `docker run --gpus` takes them: `all`, a count, or `device=` and IDs with commas between.
        pub gpus: Option<String>,
        /// Rules of the device control group, such as `c 1:3 mr`.
        pub device_cgroup_rules: Vec<String>,
        /// Security options, such as `no-new-privileges`.
        pub security_opt: Vec<String>,
        /// Its root file system cannot be written to.
        pub read_only: bool,
        /// Runs an init that reaps processes.
        pub init: Option<bool>,
        /// Process namespace: `host` or `container:NAME`.
        pub pid_mode: Option<String>,
        /// IPC namespace: `private`, `shareable`, `host`, `none` or `container:NAME`.
        pub ipc_mode: Option<String>,
        /// Cgroup namespace: `private` or `host`.
        pub cgroupns_mode: Option<String>,
        /// User namespace: `host`.
        pub userns_mode: Option<String>,
        /// `host` for the host's names of itself; default: its own.
        pub uts_mode: Option<String>,
        /// Options of the storage driver, such as `size`.
        pub storage_opt: BTreeMap<String, String>,
        /// The driver of volumes that `volumes` names and that are not there.
        pub volume_driver: Option<String>,
        /// What is told to the runtime and not to the engine. Needs API 1.43.
        pub annotations: BTreeMap<String, String>,
        /// Cuts it off from every network.
        pub network_disabled: bool,
        /// Runtime instead of the engine's default.
        pub runtime: Option<String>,
        /// Logging driver.
        pub log_driver: Option<String>,
        /// Options of the logging driver.
        pub log_options: BTreeMap<String, String>,
    }
}

fn some<T>(list: &[T]) -> Option<Vec<T>>
where
    T: Clone,
{
    if list.is_empty() { None } else { Some(list.to_vec()) }
}

fn some_map(map: &BTreeMap<String, String>) -> Option<std::collections::HashMap<String, String>> {
    if map.is_empty() { None } else { Some(map.clone().into_iter().collect()) }
}

/// A duration in the engine's unit.
pub(crate) fn nanos(d: Option<Seconds>) -> Option<i64> {
    d.and_then(|d| i64::try_from(d.0.as_nanos()).ok())
}

/// Reads a restart policy as docker writes it.
pub(crate) fn restart_policy(text: &str) -> Result<RestartPolicy> {
    let (name, count) = text.split_once(':').map_or((text, None), |(n, c)| (n, Some(c)));
    let name = match name {
        "no" | "" => RestartPolicyNameEnum::NO,
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => return Err(Error::invalid(format!("`{text}` is not a restart policy")).hint("use no, always, unless-stopped or on-failure[:max]")),
    };
    let maximum_retry_count = match count {
        None => None,
        Some(c) => Some(c.parse().map_err(|_| Error::invalid(format!("`{text}`: `{c}` is not a count")).hint("write it as on-failure:3"))?),
    };
    Ok(RestartPolicy { name: Some(name), maximum_retry_count })
}

/// Reads `[[ip:]host:]container[/protocol]`, with ranges of equal length on both sides.
pub(crate) fn parse_port(text: &str) -> Result<Vec<(String, PortBinding)>> {
    let wrong = || Error::invalid(format!("`{text}` is not a port")).hint("write it as 8080:80, 127.0.0.1:8080:80/tcp or 80");
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    if !["tcp", "udp", "sctp"].contains(&protocol) {
        return Err(wrong());
    }
    let (rest, target) = rest.rsplit_once(':').map_or((None, rest), |(r, t)| (Some(r), t));
    let (ip, host) = match rest {
        None => (None, None),
        Some(r) => match r.rsplit_once(':') {
            None => (None, Some(r)),
            Some((ip, host)) => (Some(ip.trim_start_matches('[').trim_end_matches(']')), Some(host)),
        },
    };
    let range = |t: &str| -> Result<(u16, u16)> {
        let (a, b) = t.split_once('-').unwrap_or((t, t));
        let (a, b): (u16, u16) = (a.parse().map_err(|_| wrong())?, b.parse().map_err(|_| wrong())?);
        if a == 0 || a > b { Err(wrong()) } else { Ok((a, b)) }
    };
    let (first, last) = range(target)?;
    let hosts = host.filter(|h| !h.is_empty()).map(range).transpose()?;
    if hosts.is_some_and(|(a, b)| b - a != last - first) {
        return Err(wrong());
    }
    Ok((first..=last)
        .enumerate()
        .map(|(i, port)| {
            let published = hosts.map(|(a, _)| (usize::from(a) + i).to_string());
            (format!("{port}/{protocol}"), PortBinding { host_ip: ip.map(str::to_owned), host_port: published })
        })
        .collect())
}

fn device(text: &str) -> DeviceMapping {
    let mut parts = text.splitn(3, ':');
    let host = parts.next().unwrap_or_default().to_owned();
    let inside = parts.next().filter(|p| !p.is_empty()).map_or_else(|| host.clone(), str::to_owned);
    DeviceMapping { path_on_host: Some(host), path_in_container: Some(inside), cgroup_permissions: Some(parts.next().unwrap_or("rwm").to_owned()) }
}

fn throttle<'a>(devices: impl Iterator<Item = (&'a String, u64)>) -> Option<Vec<ThrottleDevice>> {
    let all: Vec<_> = devices.map(|(device, rate)| ThrottleDevice { path: Some(device.clone()), rate: Some(rate.cast_signed()) }).collect();
    if all.is_empty() { None } else { Some(all) }
}

/// Reads graphics processors as docker writes them.
fn gpus(text: &str) -> Result<bollard::models::DeviceRequest> {
    let (count, ids) = match text.strip_prefix("device=") {
        Some(ids) if !ids.is_empty() => (None, Some(ids.split(',').map(str::to_owned).collect())),
        None if text == "all" => (Some(-1), None),
        _ => {
            let wrong = |_| Error::invalid(format!("`{text}` names no graphics processors")).hint("use all, a count, or device=0,1");
            (Some(text.parse::<u16>().map_err(wrong)?.into()), None)
        }
    };
    Ok(bollard::models::DeviceRequest { count, device_ids: ids, capabilities: Some(vec![vec!["gpu".to_owned()]]), ..Default::default() })
}

impl HealthCheck {
    fn config(&self) -> HealthConfig {
        HealthConfig {
            test: some(&self.test),
            interval: nanos(self.interval),
            timeout: nanos(self.timeout),
            retries: self.retries.map(i64::from),
            start_period: nanos(self.start_period),
            start_interval: nanos(self.start_interval),
        }
    }
}

impl Mount {
    fn config(&self) -> Result<EngineMount> {
        let typ = match self.kind.as_deref().unwrap_or("volume") {
            "volume" => MountType::VOLUME,
            "bind" => MountType::BIND,
            "tmpfs" => MountType::TMPFS,
            "image" => MountType::IMAGE,
            other => return Err(Error::invalid(format!("`{other}` is not a kind of mount")).hint("use volume, bind, tmpfs or image")),
        };
        let propagation = self
            .propagation
            .as_deref()
            .map(|p| p.parse())
            .transpose()
            .map_err(|_| Error::invalid("the propagation of a mount is wrong").hint("use rprivate, private, rshared, shared, rslave or slave"))?;
        Ok(EngineMount {
            typ: Some(typ),
            source: self.source.clone(),
            target: Some(self.target.clone()),
            read_only: Some(self.read_only),
            bind_options: (propagation.is_some() || self.non_recursive || self.create_source).then(|| MountBindOptions {
                propagation,
                non_recursive: self.non_recursive.then_some(true),
                create_mountpoint: self.create_source.then_some(true),
                ..Default::default()
            }),
            volume_options: if typ == MountType::VOLUME { self.volume_options() } else { None },
            image_options: if typ == MountType::IMAGE { self.subpath.clone().map(|s| MountImageOptions { subpath: Some(s) }) } else { None },
            tmpfs_options: (self.size.is_some() || self.mode.is_some()).then(|| MountTmpfsOptions {
                size_bytes: self.size.map(|s| s.0.cast_signed()),
                mode: self.mode.map(i64::from),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    fn volume_options(&self) -> Option<MountVolumeOptions> {
        let driver = self.driver.is_some() || !self.driver_options.is_empty();
        (self.no_copy || driver || self.subpath.is_some() || !self.labels.is_empty()).then(|| MountVolumeOptions {
            no_copy: self.no_copy.then_some(true),
            labels: some_map(&self.labels),
            driver_config: driver.then(|| MountVolumeOptionsDriverConfig { name: self.driver.clone(), options: some_map(&self.driver_options) }),
            subpath: self.subpath.clone(),
        })
    }
}

impl ContainerSpec {
    /// The engine's form of the settings.
    pub(super) fn body(&self, image: &str, command: &Command, version: ApiVersion) -> Result<ContainerCreateBody> {
        if image.is_empty() {
            return Err(Error::invalid("no image was named").hint("give the name or ID of an image"));
        }
        let start_interval = self.healthcheck.as_ref().is_some_and(|h| h.start_interval.is_some());
        if start_interval && version < ApiVersion(1, 44) {
            return Err(
                Error::new(crate::ErrorKind::Unsupported, format!("`start_interval` needs API 1.44, and the engine speaks {version}")).hint("leave it out")
            );
        }
        let of_image = self.mounts.iter().any(|m| m.kind.as_deref() == Some("image"));
        let part = self.mounts.iter().any(|m| m.subpath.is_some());
        let newer = [
            ("image", of_image, ApiVersion(1, 48)),
            ("subpath", part, ApiVersion(1, 45)),
            ("annotations", !self.annotations.is_empty(), ApiVersion(1, 43)),
            ("mac_address", self.mac_address.is_some(), ApiVersion(1, 44)),
        ];
        if let Some((name, _, api)) = newer.into_iter().find(|(_, given, api)| *given && version < *api) {
            let message = format!("`{}` needs API {api}, and the engine speaks {version}", crate::surface::option_name(name));
            return Err(Error::new(crate::ErrorKind::Unsupported, message).hint("leave it out, or upgrade the engine").with("needs_api", api.to_string()));
        }
        let mut bindings: std::collections::HashMap<String, Option<Vec<PortBinding>>> = std::collections::HashMap::new();
        for text in &self.ports {
            for (port, binding) in parse_port(text)? {
                bindings.entry(port).or_default().get_or_insert_default().push(binding);
            }
        }
        let mut exposed: Vec<String> = bindings.keys().cloned().collect();
        exposed.sort();
        let (open, security_opt): (Vec<String>, Vec<String>) = self.security_opt.iter().cloned().partition(|o| o == "systempaths=unconfined");
        let open_paths = !open.is_empty();
        let host = HostConfig {
            binds: some(&self.volumes),
            mounts: if self.mounts.is_empty() { None } else { Some(self.mounts.iter().map(Mount::config).collect::<Result<_>>()?) },
            tmpfs: some_map(&self.tmpfs),
            volumes_from: some(&self.volumes_from),
            port_bindings: if bindings.is_empty() { None } else { Some(bindings) },
            publish_all_ports: self.publish_all.then_some(true),
            network_mode: self.network.clone(),
            extra_hosts: if self.extra_hosts.is_empty() { None } else { Some(self.extra_hosts.iter().map(|(k, v)| format!("{k}:{v}")).collect()) },
            dns: some(&self.dns),
            dns_options: some(&self.dns_opt),
            dns_search: some(&self.dns_search),
            restart_policy: self.restart.as_deref().map(restart_policy).transpose()?,
            auto_remove: self.auto_remove.then_some(true),
            group_add: some(&self.group_add),
            memory: self.memory.map(|m| m.0.cast_signed()),
            memory_reservation: self.memory_reservation.map(|m| m.0.cast_signed()),
            memory_swap: self.memory_swap,
            nano_cpus: self.cpus.map(|c| (c * 1e9) as i64),
            cpu_shares: self.cpu_shares.map(u64::cast_signed),
            cpuset_cpus: self.cpuset.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            blkio_weight: self.blkio_weight,
            blkio_device_read_bps: throttle(self.device_read_bps.iter().map(|(d, s)| (d, s.0))),
            blkio_device_write_bps: throttle(self.device_write_bps.iter().map(|(d, s)| (d, s.0))),
            blkio_device_read_iops: throttle(self.device_read_iops.iter().map(|(d, n)| (d, *n))),
            blkio_device_write_iops: throttle(self.device_write_iops.iter().map(|(d, n)| (d, *n))),
            memory_swappiness: self.memory_swappiness,
            oom_kill_disable: self.oom_kill_disable.then_some(true),
            oom_score_adj: self.oom_score_adj,
            cgroup_parent: self.cgroup_parent.clone(),
            device_requests: self.gpus.as_deref().map(gpus).transpose()?.map(|r| vec![r]),
            uts_mode: self.uts_mode.clone(),
            storage_opt: some_map(&self.storage_opt),
            volume_driver: self.volume_driver.clone(),
            annotations: some_map(&self.annotations),
            links: if self.named_network() { None } else { some(&self.links) },
            pids_limit: self.pids_limit,
            shm_size: self.shm_size.map(|s| s.0.cast_signed()),
            ulimits: if self.ulimits.is_empty() {
                None
            } else {
                Some(self.ulimits.iter().map(|u| ResourcesUlimits { name: Some(u.name.clone()), soft: Some(u.soft), hard: Some(u.hard) }).collect())
            },
            sysctls: some_map(&self.sysctls),
            privileged: self.privileged.then_some(true),
            cap_add: some(&self.cap_add),
            cap_drop: some(&self.cap_drop),
            devices: if self.devices.is_empty() { None } else { Some(self.devices.iter().map(|d| device(d)).collect()) },
            device_cgroup_rules: some(&self.device_cgroup_rules),
            security_opt: some(&security_opt),
            // The client's part of this option: an empty list says that nothing is hidden.
            masked_paths: open_paths.then(Vec::new),
            readonly_paths: open_paths.then(Vec::new),
            readonly_rootfs: self.read_only.then_some(true),
            init: self.init,
            pid_mode: self.pid_mode.clone(),
            ipc_mode: self.ipc_mode.clone(),
            cgroupns_mode: self
                .cgroupns_mode
                .as_deref()
                .map(|m| m.parse())
                .transpose()
                .map_err(|_| Error::invalid("the cgroup namespace is wrong").hint("use private or host"))?,
            userns_mode: self.userns_mode.clone(),
            runtime: self.runtime.clone(),
            // Options without a driver are for the engine's own.
            log_config: (self.log_driver.is_some() || !self.log_options.is_empty())
                .then(|| HostConfigLogConfig { typ: self.log_driver.clone(), config: some_map(&self.log_options) }),
            ..Default::default()
        };
        Ok(ContainerCreateBody {
            image: Some(image.to_owned()),
            cmd: some(command.words()),
            entrypoint: some(&self.entrypoint),
            env: if self.env.is_empty() { None } else { Some(self.env.iter().map(|(k, v)| format!("{k}={v}")).collect()) },
            labels: some_map(&self.labels),
            working_dir: self.workdir.clone(),
            user: self.user.clone(),
            hostname: self.hostname.clone(),
            domainname: self.domainname.clone(),
            tty: Some(self.tty),
            open_stdin: Some(self.stdin_open),
            exposed_ports: if exposed.is_empty() { None } else { Some(exposed) },
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout.map(|t| t.0.as_secs().cast_signed()),
            healthcheck: self.healthcheck.as_ref().map(HealthCheck::config),
            network_disabled: self.network_disabled.then_some(true),
            networking_config: self.networking(),
            host_config: Some(host),
            ..Default::default()
        })
    }

    fn networking(&self) -> Option<NetworkingConfig> {
        let fixed = self.ip.is_some() || self.ipv6.is_some() || !self.link_local_ips.is_empty();
        let linked = self.named_network() && !self.links.is_empty();
        if self.aliases.is_empty() && !fixed && !linked && self.mac_address.is_none() {
            return None;
        }
        let ipam_config = fixed.then(|| bollard::models::EndpointIpamConfig {
            ipv4_address: self.ip.clone(),
            ipv6_address: self.ipv6.clone(),
            link_local_ips: some(&self.link_local_ips),
        });
        let settings = EndpointSettings {
            aliases: some(&self.aliases),
            ipam_config,
            links: if linked { some(&self.links) } else { None },
            mac_address: self.mac_address.clone(),
            ..Default::default()
        };
        let network = self.network.clone().unwrap_or_else(|| "bridge".to_owned());
        Some(NetworkingConfig { endpoints_config: Some([(network, settings)].into()) })
    }

    /// Whether it is in a network that somebody made: links are the network's there, and the host's elsewhere.
    fn named_network(&self) -> bool {
        self.network.as_deref().is_some_and(|n| !["", "default", "bridge", "host", "none"].contains(&n) && !n.starts_with("container:"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_every_form() {
        let read = |t: &str| {
            parse_port(t).map(|l| l.into_iter().map(|(p, b)| (p, b.host_ip.unwrap_or_default(), b.host_port.unwrap_or_default())).collect::<Vec<_>>())
        };
        assert_eq!(read("80").unwrap(), [("80/tcp".to_owned(), String::new(), String::new())]);
        assert_eq!(read("8080:80/udp").unwrap(), [("80/udp".to_owned(), String::new(), "8080".to_owned())]);
        assert_eq!(read("127.0.0.1:8080:80").unwrap(), [("80/tcp".to_owned(), "127.0.0.1".to_owned(), "8080".to_owned())]);
        assert_eq!(read("[::1]:8080:80").unwrap(), [("80/tcp".to_owned(), "::1".to_owned(), "8080".to_owned())]);
        assert_eq!(read("9000-9001:80-81").unwrap().len(), 2);
        for wrong in ["", "0", "99999", "80/icmp", "1-2:80", "a:80", "82-80"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn graphics_processors_in_every_form() {
        assert_eq!(gpus("all").unwrap().count, Some(-1));
        assert_eq!(gpus("2").unwrap().count, Some(2));
        let two = gpus("device=0,GPU-1").unwrap();
        assert_eq!((two.count, two.device_ids.unwrap()), (None, vec!["0".to_owned(), "GPU-1".to_owned()]));
        for wrong in ["", "some", "device=", "-1"] {
            assert!(gpus(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn restart_policies() {
        assert_eq!(restart_policy("on-failure:3").unwrap().maximum_retry_count, Some(3));
        assert!(restart_policy("sometimes").is_err());
    }
}
