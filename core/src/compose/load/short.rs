//! The short syntaxes, each turned into the long form.

use super::yaml::{Key, Node, Yaml};

type Many = Result<Vec<Node>, String>;

fn map(at: &Node, entries: Vec<(&str, Yaml)>) -> Node {
    let entries = entries
        .into_iter()
        .map(|(k, v)| (Key { name: k.to_owned(), place: at.place.clone() }, Node { variable: at.variable.clone(), ..Node::new(v, at.place.clone()) }));
    Node::new(Yaml::Map(entries.collect()), at.place.clone())
}

fn text(t: &str) -> Yaml {
    Yaml::Text(t.to_owned())
}

fn string(node: &Node, expected: &str) -> Result<String, String> {
    match &node.value {
        Yaml::Text(_) | Yaml::Int(_) | Yaml::Float(_) => node.scalar_text().ok_or_else(|| expected.to_owned()),
        _ => Err(expected.to_owned()),
    }
}

/// `build: ./folder`.
pub(super) fn build(node: Node) -> Result<Node, String> {
    match &node.value {
        Yaml::Text(t) => Ok(map(&node, vec![("context", text(t))])),
        Yaml::Map(_) => Ok(node),
        _ => Err("a folder or a mapping".to_owned()),
    }
}

/// A list of service names.
pub(super) fn depends_on(node: Node) -> Result<Node, String> {
    let mut node = keys(node)?;
    for (_, value) in node.entries_mut() {
        let place = value.place.clone();
        if value.is_null() {
            value.value = Yaml::Map(Vec::new());
            value.set("condition", Node::text("service_started", &place));
        }
        if value.get("required").is_none() {
            value.set("required", Node::new(Yaml::Bool(true), place));
        }
    }
    Ok(node)
}

/// A list of keys becomes a mapping with nothing in it.
pub(super) fn keys(node: Node) -> Result<Node, String> {
    match &node.value {
        Yaml::Map(_) | Yaml::Null => Ok(node),
        Yaml::List(items) => {
            let mut entries: Vec<(Key, Node)> = Vec::new();
            for item in items {
                let name = string(item, "a list of names or a mapping")?;
                if !entries.iter().any(|(k, _)| k.name == name) {
                    entries.push((Key { name, place: item.place.clone() }, Node::new(Yaml::Null, item.place.clone())));
                }
            }
            Ok(Node { value: Yaml::Map(entries), ..node })
        }
        _ => Err("a list of names or a mapping".to_owned()),
    }
}

pub(super) fn list_of_one(node: Node) -> Result<Node, String> {
    match &node.value {
        Yaml::List(_) => Ok(node),
        Yaml::Text(_) | Yaml::Map(_) => Ok(Node::new(Yaml::List(vec![node.clone()]), node.place)),
        _ => Err("a path or a list of paths".to_owned()),
    }
}

pub(super) fn env_file(node: &Node) -> Many {
    Ok(vec![map(node, vec![("path", text(&string(node, "a path")?)), ("required", Yaml::Bool(true))])])
}

pub(super) fn reference(node: &Node) -> Many {
    Ok(vec![map(node, vec![("source", text(&string(node, "a name")?))])])
}

pub(super) fn build_secret(node: &Node) -> Many {
    reference(node)
}

pub(super) fn device(node: &Node) -> Many {
    let t = string(node, "a device such as /dev/sda:/dev/sda:rwm")?;
    let mut parts = t.split(':');
    let source = parts.next().unwrap_or_default();
    let target = parts.next().filter(|p| !p.is_empty()).unwrap_or(source);
    let permissions = parts.next().unwrap_or("rwm");
    if parts.next().is_some() {
        return Err("a device such as /dev/sda:/dev/sda:rwm".to_owned());
    }
    Ok(vec![map(node, vec![("source", text(source)), ("target", text(target)), ("permissions", text(permissions))])])
}

pub(super) fn gpus(node: Node) -> Result<Node, String> {
    match &node.value {
        Yaml::Text(t) if t == "all" => Ok(Node::new(Yaml::List(vec![map(&node, vec![("count", Yaml::Int(-1))])]), node.place)),
        Yaml::List(_) => Ok(node),
        _ => Err("`all` or a list".to_owned()),
    }
}

pub(super) fn count(node: Node) -> Result<Node, String> {
    match &node.value {
        Yaml::Text(t) if t == "all" => Ok(Node { value: Yaml::Int(-1), ..node }),
        _ => Ok(node),
    }
}

pub(super) fn health_test(node: Node) -> Result<Node, String> {
    match &node.value {
        Yaml::Text(t) => {
            let words = vec![Node::text("CMD-SHELL", &node.place), Node::text(t.clone(), &node.place)];
            Ok(Node { value: Yaml::List(words), ..node })
        }
        Yaml::List(items) => match items.first().and_then(Node::as_str) {
            None | Some("CMD" | "CMD-SHELL" | "NONE") => Ok(node),
            Some(_) => Err("a list that begins with CMD, CMD-SHELL or NONE".to_owned()),
        },
        _ => Err("a text or a list of texts".to_owned()),
    }
}

pub(super) fn external(node: Node) -> Result<Node, String> {
    // The old form `external: {name: x}` says that it is external; the name is taken by the phase of names.
    match &node.value {
        Yaml::Map(_) => Ok(Node { value: Yaml::Bool(true), ..node }),
        _ => Ok(node),
    }
}

pub(super) fn ulimit(node: Node) -> Result<Node, String> {
    let whole = |n: &Node| match &n.value {
        Yaml::Int(i) => Some(*i),
        Yaml::Text(t) => t.parse().ok(),
        _ => None,
    };
    let expected = "a number, or soft and hard";
    match &node.value {
        Yaml::Map(_) => {
            let both = |name: &str| node.get(name).and_then(whole).ok_or(expected);
            let (soft, hard) = (both("soft")?, both("hard")?);
            Ok(map(&node, vec![("soft", Yaml::Int(soft)), ("hard", Yaml::Int(hard))]))
        }
        _ => whole(&node).map(|n| Node { value: Yaml::Int(n), ..node }).ok_or_else(|| expected.to_owned()),
    }
}

pub(super) fn ssh(node: Node) -> Result<Node, String> {
    let expected = "`default` or a list of id=path";
    let one = |t: &str, at: &Node| {
        let (id, path) = t.split_once('=').unwrap_or((t, ""));
        map(at, vec![("id", text(id)), ("path", text(path))])
    };
    let keys: Result<Vec<Node>, String> = match &node.value {
        Yaml::Text(t) => Ok(vec![one(t, &node)]),
        Yaml::List(items) => items.iter().map(|i| Ok(one(&string(i, expected)?, i))).collect(),
        Yaml::Map(entries) => {
            Ok(entries.iter().map(|(k, v)| map(v, vec![("id", text(&k.name)), ("path", text(&v.scalar_text().unwrap_or_default()))])).collect())
        }
        _ => Err(expected.to_owned()),
    };
    Ok(Node::new(Yaml::List(keys?), node.place))
}

/// `[[ip:]published:]target[/protocol]`, with ranges.
pub(super) fn port(node: &Node) -> Many {
    let expected = "a port such as 8080:80, 127.0.0.1:8080:80/tcp or 3000-3005";
    let whole = string(node, expected)?;
    let wrong = || expected.to_owned();
    let (rest, protocol) = whole.rsplit_once('/').unwrap_or((&whole, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(wrong());
    }
    let (rest, target) = rest.rsplit_once(':').map_or(("", rest), |(r, t)| (r, t));
    let (ip, published) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((ip, tail)) => (ip, tail.strip_prefix(':').unwrap_or(tail)),
        None => rest.rsplit_once(':').unwrap_or(("", rest)),
    };
    if !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err() {
        return Err(wrong());
    }
    let range = |t: &str| -> Option<(u32, u32)> {
        let (a, b) = t.split_once('-').unwrap_or((t, t));
        let (a, b): (u16, u16) = (a.parse().ok()?, b.parse().ok()?);
        (a <= b && a > 0).then_some((a.into(), b.into()))
    };
    let (first, last) = range(target).ok_or_else(wrong)?;
    let host = if published.is_empty() { None } else { Some(range(published).ok_or_else(wrong)?) };
    let single = first == last;
    if host.is_some_and(|(a, b)| !single && b - a != last - first) {
        return Err(wrong());
    }
    let mut out = Vec::new();
    for (offset, target) in (first..=last).enumerate() {
        let mut entries = vec![("mode", text("ingress"))];
        if !ip.is_empty() {
            entries.push(("host_ip", text(ip)));
        }
        entries.push(("target", Yaml::Int(target.into())));
        match host {
            Some((a, b)) if single && a != b => entries.push(("published", Yaml::Text(format!("{a}-{b}")))),
            Some((a, _)) => entries.push(("published", Yaml::Text((u64::from(a) + offset as u64).to_string()))),
            None => {}
        }
        entries.push(("protocol", text(&protocol)));
        out.push(map(node, entries));
    }
    Ok(out)
}

/// `[source:]target[:options]`.
pub(super) fn volume(node: &Node) -> Many {
    let expected = "a volume such as data:/data:ro or ./folder:/data";
    let t = string(node, expected)?;
    let parts: Vec<&str> = t.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => ("", *target, ""),
        // One letter and a colon reads as a drive of Windows.
        [drive, rest] if drive.len() == 1 && drive.starts_with(|c: char| c.is_ascii_alphabetic()) && rest.starts_with(['/', '\\']) => ("", t.as_str(), ""),
        [source, target] => (*source, *target, ""),
        [source, target, options] => (*source, *target, *options),
        _ => return Err(expected.to_owned()),
    };
    if target.is_empty() || (parts.len() > 1 && source.is_empty() && !t.contains(":/") && !t.contains(":\\")) {
        return Err(expected.to_owned());
    }
    let bind = source.starts_with(['/', '.', '~']);
    let kind = if bind { "bind" } else { "volume" };
    let mut entries = vec![("type", text(kind))];
    if !source.is_empty() {
        entries.push(("source", text(source)));
    }
    entries.push(("target", text(&clean(target))));
    let mut inner = if bind { vec![("create_host_path", Yaml::Bool(true))] } else { Vec::new() };
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option {
            "ro" => entries.push(("read_only", Yaml::Bool(true))),
            "rw" => {}
            "nocopy" if !bind => inner.push(("nocopy", Yaml::Bool(true))),
            "z" | "Z" if bind => inner.push(("selinux", text(option))),
            "cached" | "delegated" | "consistent" => entries.push(("consistency", text(option))),
            "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" if bind => inner.push(("propagation", text(option))),
            _ => {}
        }
    }
    entries.push((kind, map(node, inner).value));
    Ok(vec![map(node, entries)])
}

/// A path without repeated or trailing slashes and dots.
fn clean(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            p => parts.push(p),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::load::yaml::Place;

    fn run(f: fn(&Node) -> Many, t: &str) -> String {
        match f(&Node::text(t, &Place::default())) {
            Ok(nodes) => nodes.iter().map(|n| n.to_json().to_string()).collect::<Vec<_>>().join(" "),
            Err(e) => format!("error: {e}"),
        }
    }

    #[test]
    fn ports() {
        assert_eq!(run(port, "8080:80"), r#"{"mode":"ingress","target":80,"published":"8080","protocol":"tcp"}"#);
        assert_eq!(run(port, "127.0.0.1::80/udp"), r#"{"mode":"ingress","host_ip":"127.0.0.1","target":80,"protocol":"udp"}"#);
        assert_eq!(run(port, "[::1]:1-2:3-4").matches("::1").count(), 2);
        assert_eq!(run(port, "8000-8001:80"), r#"{"mode":"ingress","target":80,"published":"8000-8001","protocol":"tcp"}"#);
        for wrong in ["", "x", "0", "1-2:3-9", "80/ftp", "9.9:80:80"] {
            assert!(run(port, wrong).starts_with("error"), "{wrong}");
        }
    }

    #[test]
    fn volumes() {
        assert_eq!(run(volume, "/x"), r#"{"type":"volume","target":"/x","volume":{}}"#);
        assert_eq!(run(volume, "data:/x/:ro"), r#"{"type":"volume","source":"data","target":"/x","read_only":true,"volume":{}}"#);
        assert_eq!(run(volume, "./a:/x"), r#"{"type":"bind","source":"./a","target":"/x","bind":{"create_host_path":true}}"#);
        assert_eq!(run(volume, "v:/v"), r#"{"type":"volume","target":"v:/v","volume":{}}"#);
        assert!(run(volume, "a:b:c:d").starts_with("error"));
    }
}
