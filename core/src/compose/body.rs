//! A service as the engine's request for a container.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::{
    labels,
    model::{Dependency, Model, Service, VolumeMount},
};
use crate::error::{Error, Result};

/// What a container is made from, besides its service.
pub(crate) struct Identity<'a> {
    pub(crate) name: String,
    pub(crate) number: u64,
    pub(crate) hash: String,
    pub(crate) image_id: String,
    pub(crate) working_dir: String,
    pub(crate) config_files: String,
    pub(crate) replaces: Option<String>,
    /// Names or IDs for `service:X`, by service.
    pub(crate) containers: &'a HashMap<String, String>,
    /// Volumes of the container that it replaces, by target.
    pub(crate) inherited: BTreeMap<String, String>,
}

/// The image of a service: its own name, or the one that its build gets.
pub(crate) fn image_of(project: &str, service: &Service) -> String {
    service.image_name(project)
}

fn depends_label(depends_on: &BTreeMap<String, Dependency>) -> String {
    depends_on.iter().map(|(name, d)| format!("{name}:{}:{}", d.condition, d.restart)).collect::<Vec<_>>().join(",")
}

/// Removes what is empty, so that the engine's defaults hold.
fn set(map: &mut Map<String, Value>, name: &str, value: Value) {
    let empty = match &value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    };
    if !empty {
        map.insert(name.to_owned(), value);
    }
}

fn nanos(d: Option<super::model::Delay>) -> Value {
    d.map_or(Value::Null, |d| json!(u64::try_from(d.0.as_nanos()).unwrap_or_default()))
}

/// The request's body.
pub(crate) fn body(model: &Model, service: &Service, identity: &Identity<'_>) -> Result<Value> {
    let project = &model.name;
    let mut labels: BTreeMap<String, String> = service.labels.clone();
    labels.extend(
        [
            (labels::PROJECT, project.clone()),
            (labels::SERVICE, service.name.clone()),
            (labels::NUMBER, identity.number.to_string()),
            (labels::HASH, identity.hash.clone()),
            (labels::ONE_OFF, "False".to_owned()),
            (labels::VERSION, labels::FORMAT.to_owned()),
            (labels::IMAGE, identity.image_id.clone()),
            (labels::DEPENDS_ON, depends_label(&service.depends_on)),
            (labels::WORKING_DIR, identity.working_dir.clone()),
            (labels::CONFIG_FILES, identity.config_files.clone()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    if let Some(name) = &identity.replaces {
        labels.insert(labels::REPLACE.to_owned(), name.clone());
    }
    let mut exposed = Map::new();
    let mut bindings: Map<String, Value> = Map::new();
    for port in &service.ports {
        let key = format!("{}/{}", port.target, if port.protocol.is_empty() { "tcp" } else { &port.protocol });
        exposed.insert(key.clone(), json!({}));
        let binding = json!({"HostIp": port.host_ip, "HostPort": port.published});
        if let Some(list) = bindings.entry(key).or_insert_with(|| json!([])).as_array_mut() {
            list.push(binding);
        }
    }
    for port in &service.expose {
        let key = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
        exposed.insert(key, json!({}));
    }
    let mut config = Map::new();
    set(&mut config, "Image", json!(image_of(project, service)));
    set(&mut config, "Cmd", json!(service.command));
    set(&mut config, "Entrypoint", json!(service.entrypoint));
    let env: Vec<String> = service.environment.iter().filter_map(|(k, v)| v.as_ref().map(|v| format!("{k}={v}"))).collect();
    set(&mut config, "Env", json!(env));
    set(&mut config, "Labels", json!(labels));
    set(&mut config, "Hostname", json!(service.hostname));
    set(&mut config, "Domainname", json!(service.domainname));
    set(&mut config, "User", json!(service.user));
    set(&mut config, "WorkingDir", json!(service.working_dir));
    set(&mut config, "Tty", json!(service.tty));
    set(&mut config, "OpenStdin", json!(service.stdin_open));
    set(&mut config, "StopSignal", json!(service.stop_signal));
    // Zero says something here: no time at all.
    config.extend(service.stop_grace_period.map(|d| ("StopTimeout".to_owned(), json!(d.0.as_secs()))));
    set(&mut config, "ExposedPorts", Value::Object(exposed));
    if let Some(check) = &service.healthcheck {
        let mut health = Map::new();
        let test = if check.disable { vec!["NONE".to_owned()] } else { check.test.clone() };
        set(&mut health, "Test", json!(test));
        set(&mut health, "Interval", nanos(check.interval));
        set(&mut health, "Timeout", nanos(check.timeout));
        set(&mut health, "Retries", json!(check.retries));
        set(&mut health, "StartPeriod", nanos(check.start_period));
        set(&mut health, "StartInterval", nanos(check.start_interval));
        set(&mut config, "Healthcheck", Value::Object(health));
    }
    let mut host = host_config(service, identity)?;
    set(&mut host, "PortBindings", Value::Object(bindings));
    mounts(model, service, identity, &mut host, &mut config);
    let (mode, endpoints) = networking(model, service, identity)?;
    set(&mut host, "NetworkMode", json!(mode));
    config.insert("HostConfig".to_owned(), Value::Object(host));
    if !endpoints.is_empty() {
        config.insert("NetworkingConfig".to_owned(), json!({"EndpointsConfig": endpoints}));
    }
    Ok(Value::Object(config))
}

/// `service:X` as `container:ID`.
fn of_service(mode: &str, identity: &Identity<'_>) -> Result<String> {
    let Some(name) = mode.strip_prefix("service:") else { return Ok(mode.to_owned()) };
    let id = identity.containers.get(name).ok_or_else(|| Error::internal(format!("the container of {name} is not known yet")))?;
    Ok(format!("container:{id}"))
}

fn host_config(service: &Service, identity: &Identity<'_>) -> Result<Map<String, Value>> {
    let mut host = Map::new();
    let deploy = service.deploy.clone().unwrap_or_default();
    let limits = deploy.resources.limits.unwrap_or_default();
    let reservations = deploy.resources.reservations.unwrap_or_default();
    let cpus = if service.cpus > 0.0 { service.cpus } else { limits.cpus };
    let first = |a: i64, b: i64| if a == 0 { b } else { a };
    set(&mut host, "NanoCpus", json!((f64::from(cpus) * 1e9).round() as i64));
    set(&mut host, "Memory", json!(first(service.mem_limit.0, limits.memory.0)));
    set(&mut host, "MemoryReservation", json!(first(service.mem_reservation.0, reservations.memory.0)));
    set(&mut host, "MemorySwap", json!(service.memswap_limit.0));
    set(&mut host, "PidsLimit", json!(first(service.pids_limit, limits.pids)));
    for (name, value) in [
        ("CpuShares", service.cpu_shares),
        ("CpuPeriod", service.cpu_period),
        ("CpuQuota", service.cpu_quota),
        ("CpuRealtimePeriod", service.cpu_rt_period),
        ("CpuRealtimeRuntime", service.cpu_rt_runtime),
        ("CpuCount", service.cpu_count),
        ("OomScoreAdj", service.oom_score_adj),
        ("ShmSize", service.shm_size.0),
    ] {
        set(&mut host, name, json!(value));
    }
    for (name, value) in [
        ("CpusetCpus", &service.cpuset),
        ("CgroupParent", &service.cgroup_parent),
        ("CgroupnsMode", &service.cgroup),
        ("IpcMode", &of_service(&service.ipc, identity)?),
        ("PidMode", &of_service(&service.pid, identity)?),
        ("UTSMode", &service.uts),
        ("UsernsMode", &service.userns_mode),
        ("Runtime", &service.runtime),
        ("Isolation", &service.isolation),
    ] {
        set(&mut host, name, json!(value));
    }
    for (name, value) in [
        ("CapAdd", &service.cap_add),
        ("CapDrop", &service.cap_drop),
        ("Dns", &service.dns),
        ("DnsOptions", &service.dns_opt),
        ("DnsSearch", &service.dns_search),
        ("GroupAdd", &service.group_add),
        ("SecurityOpt", &service.security_opt),
        ("DeviceCgroupRules", &service.device_cgroup_rules),
    ] {
        set(&mut host, name, json!(value));
    }
    set(&mut host, "ExtraHosts", json!(service.extra_hosts.iter().map(|h| h.replacen('=', ":", 1)).collect::<Vec<_>>()));
    set(&mut host, "Sysctls", json!(service.sysctls));
    set(&mut host, "StorageOpt", json!(service.storage_opt));
    set(&mut host, "Privileged", json!(service.privileged));
    set(&mut host, "ReadonlyRootfs", json!(service.read_only));
    set(&mut host, "OomKillDisable", json!(service.oom_kill_disable));
    host.extend(service.init.map(|i| ("Init".to_owned(), json!(i))));
    let devices = service.devices.iter().map(|d| json!({"PathOnHost": d.source, "PathInContainer": d.target, "CgroupPermissions": d.permissions}));
    set(&mut host, "Devices", json!(devices.collect::<Vec<_>>()));
    let ulimits = service.ulimits.iter().map(|(name, u)| json!({"Name": name, "Soft": u.soft, "Hard": u.hard}));
    set(&mut host, "Ulimits", json!(ulimits.collect::<Vec<_>>()));
    let tmpfs: BTreeMap<&str, &str> = service.tmpfs.iter().map(|t| t.split_once(':').unwrap_or((t, ""))).collect();
    set(&mut host, "Tmpfs", json!(tmpfs));
    if let Some(logging) = &service.logging {
        let driver = if logging.driver.is_empty() { "json-file" } else { &logging.driver };
        host.insert("LogConfig".to_owned(), json!({"Type": driver, "Config": logging.options}));
    }
    let restart = match (service.restart.as_str(), &deploy.restart_policy) {
        ("", Some(policy)) => {
            let name = match policy.condition.as_str() {
                "none" => "no",
                "on-failure" => "on-failure",
                _ => "always",
            };
            json!({"Name": name, "MaximumRetryCount": if name == "on-failure" { policy.max_attempts.unwrap_or_default() } else { 0 }})
        }
        ("", None) => Value::Null,
        (text, _) => serde_json::to_value(crate::engine::restart_policy(text)?).unwrap_or_default(),
    };
    set(&mut host, "RestartPolicy", restart);
    let from: Result<Vec<String>> = service
        .volumes_from
        .iter()
        .map(|v| match v.strip_prefix("container:") {
            Some(name) => Ok(name.to_owned()),
            None => {
                let (name, mode) = v.split_once(':').unwrap_or((v, ""));
                let id = of_service(&format!("service:{name}"), identity)?.replacen("container:", "", 1);
                Ok(if mode.is_empty() { id } else { format!("{id}:{mode}") })
            }
        })
        .collect();
    set(&mut host, "VolumesFrom", json!(from?));
    Ok(host)
}

fn mounts(model: &Model, service: &Service, identity: &Identity<'_>, host: &mut Map<String, Value>, config: &mut Map<String, Value>) {
    let mut binds: Vec<String> = Vec::new();
    let mut mounts: Vec<Value> = Vec::new();
    let mut anonymous = Map::new();
    let plain = |v: &VolumeMount| v.volume.as_ref().is_none_or(|o| o.subpath.is_empty() && o.labels.is_empty() && !o.nocopy);
    for volume in &service.volumes {
        let mode = if volume.read_only { "ro" } else { "rw" };
        let name = model.volumes.get(&volume.source).map_or(volume.source.as_str(), |v| v.name.as_str());
        match volume.kind.as_str() {
            "bind" if volume.bind.as_ref().is_some_and(|b| b.create_host_path && b.recursive.is_empty()) => {
                let options = volume.bind.clone().unwrap_or_default();
                let more: String = [&options.propagation, &options.selinux].iter().filter(|o| !o.is_empty()).map(|o| format!(",{o}")).collect();
                binds.push(format!("{}:{}:{mode}{more}", volume.source, volume.target));
            }
            "bind" => {
                let propagation = volume.bind.as_ref().map(|b| b.propagation.clone()).unwrap_or_default();
                let mut mount = json!({"Type": "bind", "Source": volume.source, "Target": volume.target, "ReadOnly": volume.read_only});
                if let (false, Some(map)) = (propagation.is_empty(), mount.as_object_mut()) {
                    map.insert("BindOptions".to_owned(), json!({"Propagation": propagation}));
                }
                mounts.push(mount);
            }
            "tmpfs" => {
                let options = volume.tmpfs.clone().unwrap_or_default();
                mounts.push(json!({"Type": "tmpfs", "Target": volume.target, "ReadOnly": volume.read_only, "TmpfsOptions": {"SizeBytes": options.size.0, "Mode": options.mode}}));
            }
            "volume" if volume.source.is_empty() => match identity.inherited.get(&volume.target) {
                Some(old) => binds.push(format!("{old}:{}:{mode}", volume.target)),
                None => {
                    anonymous.insert(volume.target.clone(), json!({}));
                }
            },
            "volume" if plain(volume) => binds.push(format!("{name}:{}:{mode}", volume.target)),
            kind => {
                let options = volume.volume.clone().unwrap_or_default();
                let mut mount = json!({"Type": kind, "Source": name, "Target": volume.target, "ReadOnly": volume.read_only});
                if let Some(map) = mount.as_object_mut() {
                    let mut more = json!({"NoCopy": options.nocopy, "Labels": options.labels});
                    if let (false, Some(o)) = (options.subpath.is_empty(), more.as_object_mut()) {
                        o.insert("Subpath".to_owned(), json!(options.subpath));
                    }
                    map.insert("VolumeOptions".to_owned(), more);
                }
                mounts.push(mount);
            }
        }
    }
    for (references, objects, root) in [(&service.secrets, &model.secrets, "/run/secrets/"), (&service.configs, &model.configs, "/")] {
        for reference in references {
            let Some(object) = objects.get(&reference.source).filter(|o| !o.file.is_empty()) else { continue };
            let target = if reference.target.is_empty() { format!("{root}{}", reference.source) } else { reference.target.clone() };
            binds.push(format!("{}:{target}:ro", object.file));
        }
    }
    // Volumes that the image declares, taken over from the container that is replaced.
    for (target, volume) in &identity.inherited {
        if !service.volumes.iter().any(|v| v.target == *target) {
            binds.push(format!("{volume}:{target}:rw"));
        }
    }
    set(host, "Binds", json!(binds));
    set(host, "Mounts", json!(mounts));
    set(config, "Volumes", Value::Object(anonymous));
}

/// The network mode and the ends of the networks; the network of the highest priority gives the mode.
fn networking(model: &Model, service: &Service, identity: &Identity<'_>) -> Result<(String, Map<String, Value>)> {
    if !service.network_mode.is_empty() {
        return Ok((of_service(&service.network_mode, identity)?, Map::new()));
    }
    let mut ends = Map::new();
    let mut first: Option<(i64, String)> = None;
    for (key, end) in &service.networks {
        let Some(network) = model.networks.get(key) else { continue };
        let end = end.clone().unwrap_or_default();
        let mut aliases = vec![identity.name.clone(), service.name.clone()];
        aliases.extend(end.aliases.iter().cloned());
        let mut settings = Map::new();
        set(&mut settings, "Aliases", json!(aliases));
        set(&mut settings, "DriverOpts", json!(end.driver_opts));
        set(&mut settings, "MacAddress", json!(if end.mac_address.is_empty() { &service.mac_address } else { &end.mac_address }));
        let links: Vec<String> = service
            .links
            .iter()
            .filter_map(|l| {
                let (name, alias) = l.split_once(':').unwrap_or((l, l));
                identity.containers.get(name).map(|id| format!("{id}:{alias}"))
            })
            .collect();
        set(&mut settings, "Links", json!(links));
        let mut ipam = Map::new();
        set(&mut ipam, "IPv4Address", json!(end.ipv4_address));
        set(&mut ipam, "IPv6Address", json!(end.ipv6_address));
        set(&mut ipam, "LinkLocalIPs", json!(end.link_local_ips));
        set(&mut settings, "IPAMConfig", Value::Object(ipam));
        ends.insert(network.name.clone(), Value::Object(settings));
        if first.as_ref().is_none_or(|(p, _)| end.priority > *p) {
            first = Some((end.priority, network.name.clone()));
        }
    }
    Ok((first.map_or_else(|| "none".to_owned(), |(_, name)| name), ends))
}
