//! Laying one file over another, both in canonical form.

use super::yaml::{Mark, Node, Yaml};

/// Lays `over` onto `base`: mappings are merged, lists appended, single values replaced; the specification's exceptions
/// are found by path.
pub(crate) fn merge(base: &mut Node, over: Node, path: &[&str]) {
    match over.mark {
        Mark::Override => {
            *base = Node { mark: Mark::None, ..over };
            return;
        }
        Mark::Reset => {
            base.mark = Mark::Reset;
            return;
        }
        Mark::None => {}
    }
    if over.is_null() && !base.is_null() {
        return;
    }
    let inside = |names: &[&str]| match path {
        ["services", _, rest @ ..] => names.iter().any(|n| *n == rest.join(".")),
        _ => false,
    };
    if inside(&["command", "entrypoint", "healthcheck.test"]) || matches!(path, ["services", _, "ulimits", _]) {
        *base = over;
        return;
    }
    if inside(&["logging"]) {
        let driver = |n: &Node| n.get("driver").and_then(Node::as_str).map(str::to_owned);
        if let (Some(a), Some(b)) = (driver(base), driver(&over))
            && a != b
        {
            *base = over;
            return;
        }
    }
    match (&mut base.value, over.value) {
        (Yaml::Map(own), Yaml::Map(entries)) => {
            for (key, value) in entries {
                match own.iter_mut().find(|(k, _)| k.name == key.name) {
                    Some((_, there)) => {
                        let mut inner = path.to_vec();
                        inner.push(&key.name);
                        merge(there, value, &inner);
                    }
                    None => own.push((key, value)),
                }
            }
            own.retain(|(_, v)| v.mark != Mark::Reset);
        }
        (Yaml::List(own), Yaml::List(items)) => append(own, items, path),
        (_, value) => {
            base.value = value;
            base.place = over.place;
            base.variable = over.variable;
        }
    }
}

/// Appends to a list; where its items have an identity, a later one takes the place of an earlier one.
fn append(own: &mut Vec<Node>, items: Vec<Node>, path: &[&str]) {
    let identity = match path {
        ["services", _, rest @ ..] => identity_of(&rest.join(".")),
        ["networks", _, "ipam", "config"] => Some(by_subnet as fn(&Node) -> String),
        _ => None,
    };
    for item in items {
        let Some(identity) = identity else {
            own.push(item);
            continue;
        };
        let name = identity(&item);
        match own.iter_mut().find(|o| identity(o) == name) {
            Some(there) => *there = item,
            None => own.push(item),
        }
    }
}

fn field(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::scalar_text).unwrap_or_default()
}

fn by_subnet(node: &Node) -> String {
    field(node, "subnet")
}

fn identity_of(path: &str) -> Option<fn(&Node) -> String> {
    Some(match path {
        "volumes" | "devices" => |n| field(n, "target"),
        "ports" => |n| format!("{}:{}:{}/{}", field(n, "host_ip"), field(n, "published"), field(n, "target"), field(n, "protocol")),
        "secrets" | "configs" | "build.secrets" => |n| {
            let target = field(n, "target");
            if target.is_empty() { field(n, "source") } else { target }
        },
        "env_file" => |n| field(n, "path"),
        "cap_add" | "cap_drop" | "profiles" | "dns" | "dns_opt" | "dns_search" | "expose" | "links" | "external_links" | "label_file" | "extra_hosts"
        | "group_add" | "security_opt" | "tmpfs" | "build.tags" => |n| n.scalar_text().unwrap_or_default(),
        _ => return None,
    })
}

/// Drops what is marked with `!reset`.
pub(crate) fn sweep(node: &mut Node) {
    match &mut node.value {
        Yaml::Map(map) => {
            map.retain(|(_, v)| v.mark != Mark::Reset);
            map.iter_mut().for_each(|(_, v)| sweep(v));
        }
        Yaml::List(list) => {
            list.retain(|v| v.mark != Mark::Reset);
            list.iter_mut().for_each(sweep);
        }
        _ => {}
    }
}
