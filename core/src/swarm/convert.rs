//! A project as what a swarm keeps: the same specs, names and labels as `docker stack deploy` makes of the same file.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::NAMESPACE;
use crate::{
    compose::model::{ConfigObject, Delay, Dependency, FileReference, Model, NetworkConfig, Resource, Service, UpdateConfig, VolumeMount},
    error::{Error, Result},
};

/// docker stack's label for the image as the file names it.
pub(crate) const IMAGE: &str = "com.docker.stack.image";

/// How objects of a stack are named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming<'a> {
    pub(crate) stack: &'a str,
    pub(crate) project: &'a str,
}

impl Naming<'_> {
    /// The name of an object: its own, or the key with the stack before it.
    pub(crate) fn of(&self, key: &str, name: &str) -> String {
        if name.is_empty() || name == format!("{}_{key}", self.project) { format!("{}_{key}", self.stack) } else { name.to_owned() }
    }

    pub(crate) fn labels(&self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut all = labels.clone();
        all.insert(NAMESPACE.to_owned(), self.stack.to_owned());
        all
    }
}

/// A service that should be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) spec: Value,
    pub(crate) depends_on: BTreeMap<String, Dependency>,
}

/// Attributes that swarm services do not have, with what says that they are used.
fn left_out(service: &Service) -> Vec<&'static str> {
    let s = service;
    let all = [
        ("privileged", s.privileged),
        ("devices", !s.devices.is_empty()),
        ("gpus", !s.gpus.is_empty()),
        ("pid", !s.pid.is_empty()),
        ("ipc", !s.ipc.is_empty()),
        ("uts", !s.uts.is_empty()),
        ("userns_mode", !s.userns_mode.is_empty()),
        ("cgroup_parent", !s.cgroup_parent.is_empty()),
        ("security_opt", !s.security_opt.is_empty()),
        ("links", !s.links.is_empty()),
        ("external_links", !s.external_links.is_empty()),
        ("volumes_from", !s.volumes_from.is_empty()),
        ("container_name", !s.container_name.is_empty()),
        ("mac_address", !s.mac_address.is_empty()),
        ("cpuset", !s.cpuset.is_empty()),
        ("cpu_shares", s.cpu_shares != 0),
        ("cpu_quota", s.cpu_quota != 0),
        ("blkio_config", s.blkio_config.is_some()),
        ("storage_opt", !s.storage_opt.is_empty()),
        ("platform", !s.platform.is_empty()),
        ("post_start", !s.post_start.is_empty()),
        ("pre_stop", !s.pre_stop.is_empty()),
        ("network_mode", !s.network_mode.is_empty() && s.network_mode != "host" && s.network_mode != "none"),
    ];
    all.into_iter().filter_map(|(name, used)| used.then_some(name)).collect()
}

/// What a file says that swarm services cannot do, one line each.
pub(crate) fn warnings(model: &Model) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, service) in &model.services {
        lines.extend(left_out(service).into_iter().map(|a| format!("services.{name}.{a}: a swarm has nothing like it, and it is left out")));
    }
    lines
}

fn nanos(d: Option<Delay>) -> Value {
    d.map_or(Value::Null, |d| json!(u64::try_from(d.0.as_nanos()).unwrap_or(u64::MAX)))
}

fn bad(service: &Service, attribute: &str, message: impl Into<String>) -> Error {
    Error::invalid(message).with("service", &*service.name).with("attribute", attribute.to_owned())
}

/// The body of the request that makes a network.
pub(crate) fn network(naming: Naming<'_>, name: &str, config: &NetworkConfig) -> Value {
    let pools: Vec<Value> = config
        .ipam
        .config
        .iter()
        .map(|p| json!({"Subnet": p.subnet, "Gateway": p.gateway, "IPRange": p.ip_range, "AuxiliaryAddresses": p.aux_addresses}))
        .collect();
    let mut body = json!({
        "Name": name,
        "CheckDuplicate": true,
        "Driver": if config.driver.is_empty() { "overlay" } else { &config.driver },
        "Options": config.driver_opts,
        "Labels": naming.labels(&config.labels),
        "Attachable": config.attachable,
        "Internal": config.internal,
    });
    if let Some(map) = body.as_object_mut() {
        if !pools.is_empty() || !config.ipam.driver.is_empty() {
            map.insert("IPAM".to_owned(), json!({"Driver": if config.ipam.driver.is_empty() { "default" } else { &config.ipam.driver }, "Config": pools}));
        }
        if let Some(on) = config.enable_ipv6 {
            map.insert("EnableIPv6".to_owned(), json!(on));
        }
    }
    body
}

/// A service's spec. `secrets` and `configs` give the names of the objects by their keys.
pub(crate) fn service(
    model: &Model,
    naming: Naming<'_>,
    service: &Service,
    secrets: &BTreeMap<String, String>,
    configs: &BTreeMap<String, String>,
) -> Result<Wanted> {
    let deploy = service.deploy.clone().unwrap_or_default();
    let image = service.image_name(naming.project);
    let mut labels = naming.labels(&deploy.labels);
    labels.insert(IMAGE.to_owned(), image.clone());
    let name = format!("{}_{}", naming.stack, service.name);
    let mut spec = json!({
        "Name": name,
        "Labels": labels,
        "TaskTemplate": {
            "ContainerSpec": container(model, naming, service, &image, secrets, configs)?,
            "Resources": resources(service),
            "RestartPolicy": restart(service)?,
            "Placement": {
                "Constraints": deploy.placement.constraints,
                "Preferences": deploy.placement.preferences.iter().map(|p| json!({"Spread": {"SpreadDescriptor": p.spread}})).collect::<Vec<_>>(),
                "MaxReplicas": deploy.placement.max_replicas_per_node,
            },
            "Networks": networks(model, naming, service),
            "ForceUpdate": 0,
        },
        "Mode": mode(service)?,
        "EndpointSpec": {"Mode": deploy.endpoint_mode.to_lowercase(), "Ports": ports(service)?},
    });
    if let Some(map) = spec.as_object_mut() {
        map.extend(deploy.update_config.as_ref().map(|u| ("UpdateConfig".to_owned(), update(u))));
        map.extend(deploy.rollback_config.as_ref().map(|u| ("RollbackConfig".to_owned(), update(u))));
    }
    if let (Some(logging), Some(template)) = (&service.logging, spec.get_mut("TaskTemplate").and_then(Value::as_object_mut)) {
        template.insert("LogDriver".to_owned(), json!({"Name": logging.driver, "Options": logging.options}));
    }
    Ok(Wanted { key: service.name.clone(), name, spec, depends_on: service.depends_on.clone() })
}

fn container(
    model: &Model,
    naming: Naming<'_>,
    service: &Service,
    image: &str,
    secrets: &BTreeMap<String, String>,
    configs: &BTreeMap<String, String>,
) -> Result<Value> {
    let mut environment: Vec<String> = service.environment.iter().map(|(k, v)| v.as_ref().map_or_else(|| k.clone(), |v| format!("{k}={v}"))).collect();
    environment.sort();
    // Compose writes `host=address`, the hosts file wants the address first.
    let hosts: Vec<String> =
        service.extra_hosts.iter().filter_map(|h| h.split_once('=').or_else(|| h.split_once(':'))).map(|(n, a)| format!("{a} {n}")).collect();
    let mut ulimits: Vec<Value> = service.ulimits.iter().map(|(name, u)| json!({"Name": name, "Soft": u.soft, "Hard": u.hard})).collect();
    ulimits.sort_by_key(|u| u.get("Name").and_then(Value::as_str).unwrap_or_default().to_owned());
    let mut out = json!({
        "Image": image,
        "Labels": naming.labels(&service.labels),
        "Command": service.entrypoint,
        "Args": service.command,
        "Hostname": service.hostname,
        "Hosts": hosts,
        "Env": environment,
        "Dir": service.working_dir,
        "User": service.user,
        "Groups": service.group_add,
        "StopSignal": service.stop_signal,
        "TTY": service.tty,
        "OpenStdin": service.stdin_open,
        "ReadOnly": service.read_only,
        "Init": service.init,
        "Isolation": service.isolation,
        "Sysctls": service.sysctls,
        "CapabilityAdd": service.cap_add,
        "CapabilityDrop": service.cap_drop,
        "Ulimits": ulimits,
        "OomScoreAdj": service.oom_score_adj,
        "DNSConfig": {"Nameservers": service.dns, "Search": service.dns_search, "Options": service.dns_opt},
        "Mounts": mounts(model, naming, service)?,
        "Secrets": files(service, &service.secrets, secrets, "Secret")?,
        "Configs": files(service, &service.configs, configs, "Config")?,
    });
    if let Some(map) = out.as_object_mut() {
        map.extend(service.stop_grace_period.map(|d| ("StopGracePeriod".to_owned(), nanos(Some(d)))));
        if let Some(check) = &service.healthcheck {
            let test = if check.disable { vec!["NONE".to_owned()] } else { check.test.clone() };
            let mut health = json!({
                "Test": test,
                "Interval": nanos(check.interval),
                "Timeout": nanos(check.timeout),
                "Retries": check.retries.unwrap_or_default(),
                "StartPeriod": nanos(check.start_period),
            });
            if let (Some(interval), Some(health)) = (check.start_interval, health.as_object_mut()) {
                health.insert("StartInterval".to_owned(), nanos(Some(interval)));
            }
            map.insert("Healthcheck".to_owned(), health);
        }
        // What says nothing is left out: engines differ in which of these fields they know.
        map.retain(|_, v| !matches!(v, Value::Null) && v != &json!([]) && v != &json!({}) && v != &json!("") && v != &json!(false) && v != &json!(0));
        if map.get("DNSConfig").and_then(Value::as_object).is_some_and(|d| d.values().all(|v| v == &json!([]))) {
            map.remove("DNSConfig");
        }
        map.extend(service.init.map(|i| ("Init".to_owned(), json!(i))));
    }
    Ok(out)
}

/// References to secrets or configs, by the names of the objects.
fn files(service: &Service, references: &[FileReference], names: &BTreeMap<String, String>, kind: &str) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for r in references {
        let name = names.get(&r.source).ok_or_else(|| bad(service, kind, format!("the {} {} is not defined", kind.to_lowercase(), r.source)))?;
        let mode = match &r.mode {
            None => 0o444,
            Some(text) => u32::from_str_radix(text.trim_start_matches("0o"), 8).map_err(|_| bad(service, kind, format!("`{text}` is not a file mode")))?,
        };
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        // The ID is filled in when it is known.
        all.push(json!({
            "File": {"Name": or(&r.target, &r.source), "UID": or(&r.uid, "0"), "GID": or(&r.gid, "0"), "Mode": mode},
            (format!("{kind}Name")): name,
        }));
    }
    let name = format!("{kind}Name");
    all.sort_by_key(|v| v.get(&name).and_then(Value::as_str).unwrap_or_default().to_owned());
    Ok(all)
}

fn mounts(model: &Model, naming: Naming<'_>, service: &Service) -> Result<Vec<Value>> {
    let mut all: Vec<Value> = service.volumes.iter().map(|v| mount(model, naming, service, v)).collect::<Result<_>>()?;
    for text in &service.tmpfs {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let size = options.split(',').find_map(|o| o.strip_prefix("size=")).and_then(|s| crate::units::parse_size(s).ok()).unwrap_or_default();
        let mut mount = json!({"Type": "tmpfs", "Target": target});
        if let (true, Some(map)) = (size > 0, mount.as_object_mut()) {
            map.insert("TmpfsOptions".to_owned(), json!({"SizeBytes": size}));
        }
        all.push(mount);
    }
    if service.shm_size.0 > 0 {
        all.push(json!({"Type": "tmpfs", "Target": "/dev/shm", "TmpfsOptions": {"SizeBytes": service.shm_size.0}}));
    }
    Ok(all)
}

fn mount(model: &Model, naming: Naming<'_>, service: &Service, volume: &VolumeMount) -> Result<Value> {
    let mut out = Map::from_iter([("Type".to_owned(), json!(volume.kind)), ("Target".to_owned(), json!(volume.target))]);
    if volume.read_only {
        out.insert("ReadOnly".to_owned(), json!(true));
    }
    if !volume.consistency.is_empty() {
        out.insert("Consistency".to_owned(), json!(volume.consistency));
    }
    match volume.kind.as_str() {
        "volume" if volume.source.is_empty() => {}
        "volume" => {
            let config = model.volumes.get(&volume.source).ok_or_else(|| bad(service, "volumes", format!("the volume {} is not defined", volume.source)))?;
            let own = volume.volume.clone().unwrap_or_default();
            out.insert("Source".to_owned(), json!(naming.of(&volume.source, &config.name)));
            let mut options = Map::new();
            if own.nocopy {
                options.insert("NoCopy".to_owned(), json!(true));
            }
            if !own.subpath.is_empty() {
                options.insert("Subpath".to_owned(), json!(own.subpath));
            }
            if !config.external {
                options.insert("Labels".to_owned(), json!(naming.labels(&config.labels)));
                if !config.driver.is_empty() || !config.driver_opts.is_empty() {
                    options.insert("DriverConfig".to_owned(), json!({"Name": config.driver, "Options": config.driver_opts}));
                }
            }
            out.insert("VolumeOptions".to_owned(), Value::Object(options));
        }
        "tmpfs" => {
            let options = volume.tmpfs.clone().unwrap_or_default();
            out.insert("TmpfsOptions".to_owned(), json!({"SizeBytes": options.size.0, "Mode": options.mode}));
        }
        "bind" => {
            out.insert("Source".to_owned(), json!(volume.source));
            let propagation = volume.bind.as_ref().map(|b| b.propagation.clone()).unwrap_or_default();
            if !propagation.is_empty() {
                out.insert("BindOptions".to_owned(), json!({"Propagation": propagation}));
            }
        }
        other => {
            out.insert("Source".to_owned(), json!(volume.source));
            if other.is_empty() {
                return Err(bad(service, "volumes", "a mount without a type"));
            }
        }
    }
    Ok(Value::Object(out))
}

fn resources(service: &Service) -> Value {
    let own = service.deploy.clone().unwrap_or_default().resources;
    let (mut limits, mut reservations) = (own.limits.unwrap_or_default(), own.reservations.unwrap_or_default());
    let or = |a: i64, b: i64| if a == 0 { b } else { a };
    limits.memory.0 = or(limits.memory.0, service.mem_limit.0);
    limits.pids = or(limits.pids, service.pids_limit);
    reservations.memory.0 = or(reservations.memory.0, service.mem_reservation.0);
    if limits.cpus == 0.0 {
        limits.cpus = service.cpus;
    }
    let cpus = |r: &Resource| (f64::from(r.cpus) * 1e9).round() as i64;
    let generic: Vec<Value> = reservations
        .generic_resources
        .iter()
        .filter_map(|g| g.discrete_resource_spec.as_ref())
        .map(|d| json!({"DiscreteResourceSpec": {"Kind": d.kind, "Value": d.value}}))
        .collect();
    json!({
        "Limits": {"NanoCPUs": cpus(&limits), "MemoryBytes": limits.memory.0, "Pids": limits.pids},
        "Reservations": {"NanoCPUs": cpus(&reservations), "MemoryBytes": reservations.memory.0, "GenericResources": generic},
    })
}

fn restart(service: &Service) -> Result<Value> {
    if let Some(policy) = service.deploy.as_ref().and_then(|d| d.restart_policy.clone()) {
        return Ok(json!({
            "Condition": policy.condition,
            "Delay": nanos(policy.delay),
            "MaxAttempts": policy.max_attempts,
            "Window": nanos(policy.window),
        }));
    }
    let (name, count) = service.restart.split_once(':').unwrap_or((&service.restart, ""));
    Ok(match name {
        "" | "no" => Value::Null,
        "always" | "unless-stopped" => json!({"Condition": "any"}),
        "on-failure" => json!({"Condition": "on-failure", "MaxAttempts": count.parse::<u64>().unwrap_or_default()}),
        other => return Err(bad(service, "restart", format!("`{other}` is not a restart policy")).hint("use no, always, on-failure or unless-stopped")),
    })
}

fn mode(service: &Service) -> Result<Value> {
    let deploy = service.deploy.clone().unwrap_or_default();
    let replicas = service.scale.or(deploy.replicas);
    Ok(match (deploy.mode.as_str(), replicas) {
        ("" | "replicated", Some(n)) => json!({"Replicated": {"Replicas": n}}),
        ("" | "replicated", None) => json!({"Replicated": {}}),
        ("global", None) => json!({"Global": {}}),
        ("global-job", None) => json!({"GlobalJob": {}}),
        ("replicated-job", n) => json!({"ReplicatedJob": {"MaxConcurrent": n.unwrap_or(1), "TotalCompletions": n.unwrap_or(1)}}),
        ("global" | "global-job", Some(_)) => {
            return Err(bad(service, "deploy.replicas", "a global service has one task on each node").hint("take replicas out"));
        }
        (other, _) => {
            return Err(bad(service, "deploy.mode", format!("`{other}` is not a mode")).hint("use replicated, global, replicated-job or global-job"));
        }
    })
}

fn update(config: &UpdateConfig) -> Value {
    json!({
        "Parallelism": config.parallelism.unwrap_or(1),
        "Delay": nanos(Some(config.delay)),
        "FailureAction": config.failure_action,
        "Monitor": nanos(Some(config.monitor)),
        "MaxFailureRatio": config.max_failure_ratio,
        "Order": config.order,
    })
}

fn ports(service: &Service) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for port in &service.ports {
        let published: u32 = match port.published.as_str() {
            "" => 0,
            text => text.parse().map_err(|_| {
                bad(service, "ports", format!("a swarm cannot publish a port of the range {text}")).hint("publish one port, or leave it to the swarm")
            })?,
        };
        let mut entry = json!({"Protocol": port.protocol, "TargetPort": port.target, "PublishMode": port.mode});
        if let (true, Some(map)) = (published > 0, entry.as_object_mut()) {
            map.insert("PublishedPort".to_owned(), json!(published));
        }
        all.push((published, entry));
    }
    all.sort_by_key(|(published, _)| *published);
    Ok(all.into_iter().map(|(_, entry)| entry).collect())
}

fn networks(model: &Model, naming: Naming<'_>, service: &Service) -> Vec<Value> {
    if !service.network_mode.is_empty() {
        // The host's own networks are known to the swarm by these names.
        return if matches!(service.network_mode.as_str(), "host" | "none") { vec![json!({"Target": service.network_mode})] } else { Vec::new() };
    }
    let mut all: Vec<Value> = service
        .networks
        .iter()
        .filter_map(|(key, end)| {
            let network = model.networks.get(key)?;
            let end = end.clone().unwrap_or_default();
            let mut aliases = end.aliases.clone();
            aliases.push(service.name.clone());
            let mut out = json!({"Target": naming.of(key, &network.name), "Aliases": aliases});
            if let (false, Some(map)) = (end.driver_opts.is_empty(), out.as_object_mut()) {
                map.insert("DriverOpts".to_owned(), json!(end.driver_opts));
            }
            Some(out)
        })
        .collect();
    all.sort_by_key(|n| n.get("Target").and_then(Value::as_str).unwrap_or_default().to_owned());
    all
}

/// Whether a secret or config is made by the stack.
pub(crate) fn is_own(object: &ConfigObject) -> bool {
    !object.external
}
