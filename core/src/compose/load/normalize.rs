//! Defaults, implicit networks and dependencies, and the names of things on the engine.

use std::collections::BTreeMap;

use super::{
    Problems,
    yaml::{Node, Place, Yaml},
};
use crate::{
    compose::model::{Model, Service},
    error::{Diagnostic, Error, Result},
};

/// The old form `external: {name: x}`: its name becomes the thing's own.
pub(super) fn old_external_names(file: &mut Node) {
    for section in ["networks", "volumes", "secrets", "configs"] {
        let Some(section) = file.get_mut(section) else { continue };
        for (_, item) in section.entries_mut() {
            let name = item.get("external").and_then(|e| e.get("name")).cloned();
            if let (Some(name), None) = (name, item.get("name")) {
                item.set("name", name);
            }
        }
    }
}

fn empty_map(place: &Place) -> Node {
    Node::new(Yaml::Map(Vec::new()), place.clone())
}

pub(super) fn normalize(whole: &mut Node, project: &str, env: &BTreeMap<String, String>, problems: &mut Problems) {
    let place = whole.place.clone();
    for section in ["services", "networks", "volumes", "secrets", "configs"] {
        if whole.get(section).is_none_or(Node::is_null) && (section == "services" || section == "networks" || whole.get(section).is_some()) {
            whole.set(section, empty_map(&place));
        }
    }
    if let Some(version) = whole.remove("version") {
        problems.warnings.push(version.place.diagnostic("version", "`version` is obsolete and has no effect"));
    }
    let mut uses_default = false;
    if let Some(services) = whole.get_mut("services") {
        for (_, service) in services.entries_mut() {
            uses_default |= self::service(service, env);
        }
    }
    if let Some(networks) = whole.get_mut("networks") {
        if uses_default && networks.get("default").is_none() {
            networks.set("default", empty_map(&place));
        }
        if !uses_default {
            networks.remove("default");
        }
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        let Some(items) = whole.get_mut(section) else { continue };
        for (key, item) in items.entries_mut() {
            if item.is_null() {
                *item = empty_map(&key.place);
            }
            let external = item.get("external").is_some_and(|e| matches!(e.value, Yaml::Bool(true)));
            if item.get("name").is_none() {
                let name = if external { key.name.clone() } else { format!("{project}_{}", key.name) };
                item.set("name", Node::text(name, &key.place));
            }
            if section == "networks" && item.get("ipam").is_none() {
                item.set("ipam", empty_map(&key.place));
            }
        }
    }
}

/// One service; says whether it is in the default network.
fn service(service: &mut Node, env: &BTreeMap<String, String>) -> bool {
    let place = service.place.clone();
    if let Some(build) = service.get_mut("build") {
        if build.get("context").is_none() {
            build.set("context", Node::text(".", &place));
        }
        if build.get("dockerfile").is_none() && build.get("dockerfile_inline").is_none() {
            build.set("dockerfile", Node::text("Dockerfile", &place));
        }
        if let Some(args) = build.get_mut("args") {
            fill(args, env);
        }
    }
    if let Some(environment) = service.get_mut("environment") {
        fill(environment, env);
    }
    if service.get("pull_policy").and_then(Node::as_str) == Some("if_not_present") {
        service.set("pull_policy", Node::text("missing", &place));
    }
    for list in ["secrets", "configs"] {
        let Some(Node { value: Yaml::List(items), .. }) = service.get_mut(list) else { continue };
        for item in items {
            if list == "secrets" && item.get("target").is_none() {
                let target = format!("/run/secrets/{}", item.get("source").and_then(Node::as_str).unwrap_or_default());
                item.set("target", Node::text(target, &place));
            } else if list == "secrets" {
                let target = item.get("target").and_then(Node::as_str).unwrap_or_default().to_owned();
                if !target.starts_with('/') {
                    item.set("target", Node::text(format!("/run/secrets/{target}"), &place));
                }
            }
        }
    }
    if let Some(Node { value: Yaml::List(ports), .. }) = service.get_mut("ports") {
        for port in ports {
            for (name, default) in [("mode", "ingress"), ("protocol", "tcp")] {
                if port.get(name).is_none() {
                    port.set(name, Node::text(default, &place));
                }
            }
        }
    }
    implicit_dependencies(service);
    let mode = service.get("network_mode").and_then(Node::as_str).map(str::to_owned);
    let provided = service.get("provider").is_some();
    match service.get("networks").map(|n| n.entries().is_empty()) {
        _ if mode.is_some() || provided => false,
        Some(false) => service.get("networks").is_some_and(|n| n.get("default").is_some()),
        _ => {
            let mut networks = empty_map(&place);
            networks.set("default", Node::new(Yaml::Null, place.clone()));
            service.set("networks", networks);
            true
        }
    }
}

/// A variable without a value takes the one of the environment, or stays without.
fn fill(map: &mut Node, env: &BTreeMap<String, String>) {
    for (key, value) in map.entries_mut() {
        if value.is_null()
            && let Some(found) = env.get(&key.name)
        {
            value.value = Yaml::Text(found.clone());
            value.variable = Some(format!("${}", key.name).into());
        }
    }
}

fn implicit_dependencies(service: &mut Node) {
    let place = service.place.clone();
    let mut wanted: Vec<(String, bool)> = Vec::new();
    for link in service.get("links").map(|l| l.items().to_vec()).unwrap_or_default() {
        let name = link.as_str().unwrap_or_default();
        wanted.push((name.split(':').next().unwrap_or(name).to_owned(), true));
    }
    for name in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(other) = service.get(name).and_then(Node::as_str).and_then(|t| t.strip_prefix("service:")) {
            wanted.push((other.to_owned(), true));
        }
    }
    for from in service.get("volumes_from").map(|l| l.items().to_vec()).unwrap_or_default() {
        let name = from.as_str().unwrap_or_default();
        if !name.starts_with("container:") {
            wanted.push((name.split(':').next().unwrap_or(name).to_owned(), false));
        }
    }
    for (other, restart) in wanted {
        if service.get("depends_on").is_none() {
            service.set("depends_on", empty_map(&place));
        }
        if let Some(all) = service.get_mut("depends_on")
            && all.get(&other).is_none()
        {
            let mut dependency = empty_map(&place);
            dependency.set("condition", Node::text("service_started", &place));
            if restart {
                dependency.set("restart", Node::new(Yaml::Bool(true), place.clone()));
            }
            dependency.set("required", Node::new(Yaml::Bool(true), place.clone()));
            all.set(&other, dependency);
        }
    }
}

/// The tree as the typed model.
pub(super) fn typed(whole: &Node, name: &str) -> Result<Model> {
    let mut json = whole.to_json();
    let mut extensions = BTreeMap::new();
    if let Some(map) = json.as_object_mut() {
        map.insert("name".to_owned(), name.into());
        extensions.extend(map.iter().filter(|(k, _)| k.starts_with("x-")).map(|(k, v)| (k.clone(), v.clone())));
    }
    let services = json.get_mut("services").map(serde_json::Value::take).unwrap_or_default();
    let unreadable = |path: String, e: serde_json::Error| {
        Error::compose(vec![Diagnostic { file: whole.place.file.to_string(), path, message: e.to_string(), ..Diagnostic::default() }])
    };
    let mut model: Model = serde_json::from_value({
        json.as_object_mut().map(|m| m.remove("services"));
        json
    })
    .map_err(|e| unreadable(String::new(), e))?;
    model.extensions = extensions;
    for (key, value) in services.as_object().into_iter().flatten() {
        let mut service: Service = serde_json::from_value(value.clone()).map_err(|e| unreadable(format!("services.{key}"), e))?;
        service.name.clone_from(key);
        service.extensions = value.as_object().into_iter().flatten().filter(|(k, _)| k.starts_with("x-")).map(|(k, v)| (k.clone(), v.clone())).collect();
        service.extra_hosts.sort();
        model.services.insert(key.clone(), service);
    }
    Ok(model)
}
