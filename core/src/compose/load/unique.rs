//! Lists whose items have an identity: a later item takes the place of an earlier one.

use std::collections::HashMap;

use super::{
    Problems,
    node::{Node, Yaml},
    short,
    trail::Trail,
};
use crate::error::Diagnostic;

type Identity = fn(&Node) -> Result<String, Wrong>;

/// Why an item has no identity.
enum Wrong {
    /// It is of another kind than this.
    Other(&'static str),
    /// It lacks this.
    Missing(&'static str),
}

impl Wrong {
    fn diagnostic(&self, item: &Node, trail: &Trail<'_>) -> Diagnostic {
        match self {
            Self::Other(expected) => item.unexpected(trail, expected),
            Self::Missing(what) => {
                let mut d = item.problem(trail, format!("{what}, is missing"));
                d.expected = Some((*what).to_owned());
                d
            }
        }
    }
}

const SERVICE: &[(&[&str], Identity)] = &[
    (&["annotations"], key),
    (&["build", "args"], key),
    (&["build", "additional_contexts"], key),
    (&["build", "labels"], key),
    (&["build", "tags"], key),
    (&["cap_add"], key),
    (&["cap_drop"], key),
    (&["configs"], config),
    (&["deploy", "labels"], key),
    (&["devices"], device),
    (&["dns"], key),
    (&["dns_opt"], key),
    (&["dns_search"], key),
    (&["env_file"], env_file),
    (&["environment"], key),
    (&["expose"], expose),
    (&["labels"], key),
    (&["links"], key),
    (&["ports"], port),
    (&["profiles"], key),
    (&["secrets"], secret),
    (&["sysctls"], key),
    (&["tmpfs"], key),
    (&["volumes"], volume),
];

/// Leaves one item for each identity. An item that can have none is told and broken.
pub(crate) fn enforce(file: &mut Node, problems: &mut Problems) {
    let root = Trail::ROOT;
    if let Some(services) = file.get_mut("services").and_then(Node::entries_mut) {
        let section = root.key("services");
        for (name, service) in services.iter_mut() {
            let trail = section.key(&name.name);
            for (path, identity) in SERVICE {
                match path {
                    [one] => at(service, &[one], *identity, &trail.key(one), problems),
                    [one, two] => at(service, &[one, two], *identity, &trail.key(one).key(two), problems),
                    _ => {}
                }
            }
            let joined = trail.key("networks");
            if let Some(networks) = service.get_mut("networks").and_then(Node::entries_mut) {
                for (name, network) in networks.iter_mut() {
                    for list in ["aliases", "link_local_ips"] {
                        at(network, &[list], key, &joined.key(&name.name).key(list), problems);
                    }
                }
            }
        }
    }
    if let Some(networks) = file.get_mut("networks").and_then(Node::entries_mut) {
        let section = root.key("networks");
        for (name, network) in networks.iter_mut() {
            at(network, &["labels"], key, &section.key(&name.name).key("labels"), problems);
        }
    }
}

fn at(node: &mut Node, path: &[&str], identity: Identity, trail: &Trail<'_>, problems: &mut Problems) {
    let mut here = &*node;
    for name in path {
        match here.get(name) {
            Some(inner) => here = inner,
            None => return,
        }
    }
    let Yaml::List(items) = &here.value else { return };
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut out: Vec<Node> = Vec::with_capacity(items.len());
    let mut changed = false;
    for (i, item) in items.iter().enumerate() {
        if item.is_broken() {
            out.push(item.clone());
            continue;
        }
        match identity(item) {
            Ok(name) => match known.get(&name).copied() {
                Some(first) => {
                    changed = true;
                    if let Some(first) = out.get_mut(first) {
                        *first = item.clone();
                    }
                }
                None => {
                    known.insert(name, out.len());
                    out.push(item.clone());
                }
            },
            Err(wrong) => {
                changed = true;
                problems.errors.push(wrong.diagnostic(item, &trail.index(i)));
                out.push(Node::new(Yaml::Broken, &item.place));
            }
        }
    }
    if !changed {
        return;
    }
    let mut here = node;
    for name in path {
        match here.get_mut(name) {
            Some(inner) => here = inner,
            None => return,
        }
    }
    here.value = Yaml::List(std::rc::Rc::new(out));
}

/// The part before `=`.
fn key(node: &Node) -> Result<String, Wrong> {
    let text = node.as_str().ok_or(Wrong::Other("a text"))?;
    Ok(text.split('=').next().unwrap_or_default().to_owned())
}

fn expose(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Yaml::Text(t) => Ok(t.clone()),
        Yaml::Int(i) => Ok(i.to_string()),
        _ => Err(Wrong::Other("a port or a range of ports")),
    }
}

fn mounted(node: &Node, folder: &str) -> Result<String, Wrong> {
    match &node.value {
        Yaml::Text(t) => Ok(format!("{folder}/{t}")),
        Yaml::Map(_) => match node.get("target") {
            Some(target) => target.scalar_text().ok_or(Wrong::Other("a path in `target`")),
            None => Ok(format!("{folder}/{}", node.get("source").and_then(Node::scalar_text).unwrap_or_default())),
        },
        _ => Err(Wrong::Other("a name or a mapping")),
    }
}

fn secret(node: &Node) -> Result<String, Wrong> {
    mounted(node, "/run/secrets")
}

fn config(node: &Node) -> Result<String, Wrong> {
    mounted(node, "")
}

fn env_file(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Yaml::Text(t) => Ok(t.clone()),
        Yaml::Map(_) => node.str("path").map(str::to_owned).ok_or(Wrong::Missing("`path`, the path of the file")),
        _ => Err(Wrong::Other("a path, or a mapping with `path`")),
    }
}

fn device(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Yaml::Map(_) => node.str("target").map(str::to_owned).ok_or(Wrong::Missing("`target`, the path in the container")),
        Yaml::Text(t) => {
            let mut parts = t.split(':');
            let source = parts.next().unwrap_or_default();
            Ok(parts.next().unwrap_or(source).to_owned())
        }
        _ => Err(Wrong::Other("a device such as /dev/sda:/dev/sda:rwm")),
    }
}

fn volume(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Yaml::Map(_) => node.str("target").map(str::to_owned).ok_or(Wrong::Missing("`target`, the path in the container")),
        Yaml::Text(t) => short::volume_parts(t).map(|v| v.target).map_err(Wrong::Other),
        _ => Ok(String::new()),
    }
}

fn port(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Yaml::Int(i) => Ok(i.to_string()),
        Yaml::Text(t) => Ok(t.clone()),
        Yaml::Map(_) => {
            let target = match node.get("target").map(|t| &t.value) {
                // Not the same as the whole number.
                Some(Yaml::Float(f)) => Some(format!("{f:?}")),
                _ => node.get("target").and_then(Node::scalar_text),
            };
            let Some(target) = target else {
                return Err(Wrong::Missing("`target`, the port in the container"));
            };
            let published = match node.get("published").map(|p| &p.value) {
                Some(Yaml::Text(t)) => t.clone(),
                Some(Yaml::Int(i)) => i.to_string(),
                // Not the same as an empty text.
                _ => "-".to_owned(),
            };
            let (ip, protocol) = (node.str("host_ip").unwrap_or("0.0.0.0"), node.str("protocol").unwrap_or("tcp"));
            Ok(format!("{ip}:{published}:{target}/{protocol}"))
        }
        _ => Ok(String::new()),
    }
}
