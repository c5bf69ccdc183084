//! Defaults of what is left out, and what the schema cannot say about the parts of a file.

use std::net::IpAddr;

use super::{
    Problems,
    node::{Entries, Node, Yaml},
    trail::Trail,
};

/// Fills in what is left out, so that the checks and paths after need not ask.
pub(super) fn defaults(file: &mut Node) {
    for (_, service) in file.get_mut("services").and_then(Node::entries_mut).into_iter().flat_map(Entries::iter_mut) {
        if let Some(build) = service.get_mut("build").filter(|b| b.entries().is_some() && b.get("context").is_none()) {
            let place = build.place.clone();
            build.set("context", Node::text(".", &place));
        }
        for secret in items(service, "secrets").filter(|s| s.entries().is_some() && s.get("target").is_none()) {
            let target = Node::text(format!("/run/secrets/{}", secret.str("source").unwrap_or_default()), &secret.place).of(secret);
            secret.set("target", target);
        }
        for port in items(service, "ports").filter(|p| p.entries().is_some()) {
            let place = port.place.clone();
            for (name, default) in [("mode", "ingress"), ("protocol", "tcp")] {
                if port.get(name).is_none() {
                    port.set(name, Node::text(default, &place));
                }
            }
        }
        requests(service.get_mut("gpus"));
        requests(service.get_mut("deploy").and_then(|d| d.get_mut("resources")?.get_mut("reservations")?.get_mut("devices")));
    }
}

fn items<'a>(node: &'a mut Node, name: &str) -> impl Iterator<Item = &'a mut Node> + use<'a> {
    node.get_mut(name).and_then(Node::items_mut).into_iter().flatten()
}

/// Requests for devices that say neither how many nor which mean all.
fn requests(list: Option<&mut Node>) {
    for item in list.and_then(Node::items_mut).into_iter().flatten() {
        if item.entries().is_some() && item.get("count").is_none() && item.get("device_ids").is_none() {
            let place = item.place.clone();
            item.set("count", Node::text("all", &place));
        }
    }
}

/// Tells what cannot be.
pub(super) fn check(file: &Node, problems: &mut Problems) {
    let root = Trail::ROOT;
    let section = root.key("services");
    for (name, service) in file.get("services").into_iter().flat_map(Node::each) {
        self::service(service, &section.key(&name.name), problems);
    }
    let section = root.key("volumes");
    for (name, volume) in file.get("volumes").into_iter().flat_map(Node::each) {
        external_alone(volume, &section.key(&name.name), problems);
    }
    for (section, ways) in [("secrets", &["file", "environment"][..]), ("configs", &["file", "environment", "content"][..])] {
        let trail = root.key(section);
        for (name, object) in file.get(section).into_iter().flat_map(Node::each) {
            content(object, ways, &trail.key(&name.name), problems);
        }
    }
}

fn service(service: &Node, trail: &Trail<'_>, problems: &mut Problems) {
    for (i, port) in service.get("ports").map(Node::items).unwrap_or_default().iter().enumerate() {
        if let Some(ip) = port.get("host_ip")
            && ip.as_str().is_some_and(|t| t.parse::<IpAddr>().is_err())
        {
            problems.errors.push(ip.unexpected(&trail.key("ports").index(i).key("host_ip"), "an IP address"));
        }
    }
    for (i, volume) in service.get("volumes").map(Node::items).unwrap_or_default().iter().enumerate() {
        if volume.str("type") == Some("bind") && volume.get("source").is_none() {
            let mut d = volume.problem(&trail.key("volumes").index(i), "`source`, the path on the host, is missing");
            d.expected = Some("`source`: a path".to_owned());
            problems.errors.push(d);
        }
    }
    let watches = trail.key("develop");
    for (i, watch) in service.get("develop").and_then(|d| d.get("watch")).map(Node::items).unwrap_or_default().iter().enumerate() {
        if watch.str("path") == Some("") {
            problems.errors.push(watch.unexpected(&watches.key("watch").index(i).key("path"), "a path that is not empty"));
        }
    }
    exclusive(service.get("gpus"), &trail.key("gpus"), problems);
    let devices = service.get("deploy").and_then(|d| d.get("resources")?.get("reservations")?.get("devices"));
    exclusive(devices, &trail.key("deploy").key("resources").key("reservations").key("devices"), problems);
}

fn exclusive(list: Option<&Node>, trail: &Trail<'_>, problems: &mut Problems) {
    for (i, item) in list.map(Node::items).unwrap_or_default().iter().enumerate() {
        if item.get("count").is_some() && item.get("device_ids").is_some() {
            problems.errors.push(item.problem(&trail.index(i), "`count` and `device_ids` exclude each other"));
        }
    }
}

fn is_external(node: &Node) -> bool {
    matches!(node.get("external").map(|e| &e.value), Some(Yaml::Bool(true)))
}

fn external_alone(node: &Node, trail: &Trail<'_>, problems: &mut Problems) {
    if !is_external(node) {
        return;
    }
    for (key, value) in node.each().filter(|(k, _)| !matches!(&*k.name, "name" | "external") && !k.name.starts_with("x-")) {
        problems.errors.push(value.problem(&trail.key(&key.name), format!("an external volume exists already: `{}` says nothing here", key.name)));
    }
}

/// Secrets and configs have their content in one way.
fn content(object: &Node, ways: &[&str], trail: &Trail<'_>, problems: &mut Problems) {
    if object.entries().is_none() {
        return;
    }
    let known: Vec<&str> = ways.iter().copied().filter(|w| object.get(w).is_some()).collect();
    if known.len() > 1 {
        problems.errors.push(object.problem(trail, format!("`{}` exclude each other", known.join("` and `"))));
    }
    if known.is_empty() && object.get("driver").is_none() && object.get("external").is_none() {
        let mut d = object.problem(trail, format!("one of `{}` is missing", ways.join("`, `")));
        d.expected = Some(format!("one of {} or external", ways.join(", ")));
        problems.errors.push(d);
    }
}
