//! Implicit networks and dependencies, values from the environment, and the names of things on the engine.

use std::collections::BTreeMap;

use super::{
    Problems,
    filled::Filled,
    node::{Entries, Key, Node, Place, Yaml},
    short,
    trail::Trail,
};

type Env = BTreeMap<String, String>;

fn empty_map(place: &Place) -> Node {
    Node::map([], place)
}

fn each<'a>(file: &'a mut Node, section: &str) -> impl Iterator<Item = (&'a Key, &'a mut Node)> + use<'a> {
    file.get_mut(section).and_then(Node::entries_mut).into_iter().flat_map(Entries::iter_mut)
}

/// Variables of services that are named in a list without a value take the one that the file is loaded with.
pub(super) fn environment(file: &mut Node, env: &Env, problems: &mut Problems) {
    for (key, service) in each(file, "services") {
        let Some(Yaml::List(items)) = service.get("environment").map(|e| &e.value) else { continue };
        if !items.iter().any(|i| i.as_str().is_some_and(|t| env.contains_key(t))) {
            continue;
        }
        for item in service.get_mut("environment").and_then(Node::items_mut).into_iter().flatten() {
            if let Some((name, value)) = item.as_str().and_then(|t| env.get_key_value(t)) {
                if let Err(message) = problems.left.bytes(value.len()) {
                    problems.errors.push(item.problem(&Trail::ROOT.key("services").key(&key.name).key("environment"), message));
                    return;
                }
                let text = format!("{name}={value}");
                item.variable = Some(Filled::value_of(name));
                item.value = Yaml::Text(text);
            }
        }
    }
}

pub(super) fn normalize(whole: &mut Node, project: &str, env: &Env, problems: &mut Problems) {
    let place = whole.place.clone();
    if whole.get("services").is_none() {
        whole.set("services", empty_map(&place));
    }
    let mut uses_default = false;
    for (key, service) in each(whole, "services") {
        if service.entries().is_some() {
            let trail = Trail::ROOT.key("services");
            uses_default |= self::service(service, env, &trail.key(&key.name), problems);
        }
    }
    if uses_default {
        if whole.get("networks").is_none() {
            whole.set("networks", empty_map(&place));
        }
        if let Some(networks) = whole.get_mut("networks").filter(|n| n.get("default").is_none()) {
            networks.set("default", empty_map(&place));
        }
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        for (key, item) in each(whole, section) {
            if item.is_null() {
                *item = empty_map(&key.place);
            }
            if item.entries().is_none() {
                continue;
            }
            let external = matches!(item.get("external").map(|e| &e.value), Some(Yaml::Bool(true)));
            if item.get("name").is_none() {
                let name = if external { key.name.to_string() } else { format!("{project}_{}", key.name) };
                item.set("name", Node::text(name, &key.place));
            }
        }
    }
}

/// One service; says whether it is in the default network.
fn service(service: &mut Node, env: &Env, trail: &Trail<'_>, problems: &mut Problems) -> bool {
    let place = service.place.clone();
    if let Some(build) = service.get_mut("build").filter(|b| b.entries().is_some()) {
        let given = |b: &Node, name: &str| b.get(name).is_some_and(|n| !n.is_null());
        if !given(build, "dockerfile") && !given(build, "dockerfile_inline") {
            build.set("dockerfile", Node::text("Dockerfile", &place));
        }
        fill(build, "args", env, false, &trail.key("build"), problems);
    }
    fill(service, "environment", env, true, trail, problems);
    if service.str("pull_policy") == Some("if_not_present") {
        service.set("pull_policy", Node::text("missing", &place));
    }
    for volume in service.get_mut("volumes").and_then(Node::items_mut).into_iter().flatten() {
        if let Some(Node { value: Yaml::Text(target), .. }) = volume.get_mut("target") {
            *target = short::clean(target);
        }
    }
    implicit_dependencies(service, trail, problems);
    if service.get("network_mode").is_some() || service.get("provider").is_some() {
        return false;
    }
    match service.get("networks").map(|n| n.entries().map(Entries::is_empty)) {
        // Broken: nothing can be said.
        Some(None) => false,
        Some(Some(false)) => service.get("networks").is_some_and(|n| n.get("default").is_some()),
        _ => {
            service.set("networks", Node::map([("default", Node::new(Yaml::Null, &place))], &place));
            true
        }
    }
}

/// Names without a value take the one of the environment; those that have none there stay, or go.
fn fill(node: &mut Node, name: &str, env: &Env, keep: bool, trail: &Trail<'_>, problems: &mut Problems) {
    let trail = trail.key(name);
    let mut take = |node: &mut Node, name: &str, text: &dyn Fn() -> String, length: usize| {
        if let Err(message) = problems.left.bytes(length) {
            problems.errors.push(node.problem(&trail, message));
            return;
        }
        let text = text();
        node.value = Yaml::Text(text);
        node.variable = Some(Filled::value_of(name));
    };
    let Some(inner) = node.get_mut(name) else { return };
    match &inner.value {
        Yaml::Map(map) if map.iter().any(|(_, v)| v.is_null()) => {
            let Some(map) = inner.entries_mut() else { return };
            for (key, value) in map.iter_mut().filter(|(_, v)| v.is_null()) {
                if let Some(found) = env.get(&*key.name) {
                    take(value, &key.name, &|| found.clone(), found.len());
                }
            }
            if !keep {
                map.retain(|_, v| !v.is_null());
            }
        }
        Yaml::List(items) if items.iter().any(|i| i.as_str().is_some_and(|t| !t.contains('='))) => {
            let Some(items) = inner.items_mut() else { return };
            for item in items.iter_mut() {
                if let Some(name) = item.as_str().filter(|t| !t.contains('=')).map(str::to_owned)
                    && let Some(found) = env.get(&name)
                {
                    take(item, &name, &|| format!("{name}={found}"), found.len());
                }
            }
            if !keep {
                items.retain(|i| i.as_str().is_none_or(|t| t.contains('=')));
            }
        }
        _ => {}
    }
}

/// The service whose namespace is shared.
pub(super) const SHARED: [&str; 5] = ["network_mode", "ipc", "pid", "uts", "cgroup"];

fn implicit_dependencies(service: &mut Node, trail: &Trail<'_>, problems: &mut Problems) {
    let mut wanted: Vec<(String, bool, Node)> = Vec::new();
    let texts = |name: &str| service.get(name).map(Node::items).unwrap_or_default().iter().filter_map(|i| Some((i.as_str()?, i)));
    for (link, item) in texts("links") {
        // A link of more than two parts names nothing.
        let parts: Vec<&str> = link.split(':').collect();
        let name = if let [name, _] = parts.as_slice() { *name } else { link };
        wanted.push((name.to_owned(), true, item.clone()));
    }
    for name in SHARED {
        if let Some(node) = service.get(name)
            && let Some(other) = node.as_str().and_then(|t| t.strip_prefix("service:"))
        {
            wanted.push((other.to_owned(), true, node.clone()));
        }
    }
    for (from, item) in texts("volumes_from") {
        if !from.starts_with("container:") {
            wanted.push((from.split(':').next().unwrap_or(from).to_owned(), false, item.clone()));
        }
    }
    if let Err(message) = problems.left.write(wanted.len() * 8) {
        problems.errors.push(service.problem(trail, message));
        return;
    }
    for (other, restart, from) in wanted {
        let place = from.place.clone();
        if service.get("depends_on").is_none() {
            service.set("depends_on", empty_map(&place));
        }
        if let Some(all) = service.get_mut("depends_on").filter(|d| d.get(&other).is_none()) {
            let flag = || Node::new(Yaml::Bool(true), &place);
            let mut entries = vec![("condition", Node::text("service_started", &place)), ("required", flag())];
            if restart {
                entries.push(("restart", flag()));
            }
            all.set(&other, Node::map(entries, &place).of(&from));
        }
    }
}
