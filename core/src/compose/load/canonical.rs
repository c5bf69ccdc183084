//! Every short form becomes its long form, and lists and mappings their usual one.

use std::cell::Cell;

use super::{
    Problems,
    node::{Entries, Key, Node, Place, Yaml},
    short,
    trail::Trail,
};

/// So many ports may the short forms of a file come to: all that an address has, and some.
const PORTS: usize = 70_000;

/// Makes a file canonical. What cannot be read is told and broken.
pub(crate) fn file(file: &mut Node, problems: &mut Problems) {
    let root = Trail::ROOT;
    let ports_left = Cell::new(PORTS);
    if let Some(services) = file.get_mut("services").and_then(Node::entries_mut) {
        let section = root.key("services");
        for (name, node) in services.iter_mut() {
            service(node, &section.key(&name.name), &ports_left, problems);
        }
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        let Some(items) = file.get_mut(section).and_then(Node::entries_mut) else { continue };
        let trail = root.key(section);
        for (name, node) in items.iter_mut() {
            external(node, &trail.key(&name.name), problems);
        }
    }
}

fn service(node: &mut Node, trail: &Trail<'_>, ports_left: &Cell<usize>, problems: &mut Problems) {
    if let Some(build) = node.get_mut("build") {
        self::build(build, &trail.key("build"), problems);
    }
    change(node, "depends_on", trail, problems, depends_on);
    change(node, "env_file", trail, problems, env_files);
    change(node, "label_file", trail, problems, text_or_list);
    change(node, "dns", trail, problems, text_or_list);
    change(node, "networks", trail, problems, names);
    change(node, "models", trail, problems, names);
    if let Some(extends) = node.get_mut("extends")
        && let Yaml::Text(_) = &extends.value
    {
        let place = extends.place.clone();
        *extends = Node::map([("service", extends.clone())], &place);
    }
    if let Some(gpus) = node.get_mut("gpus").filter(|g| g.as_str() == Some("all")) {
        let place = gpus.place.clone();
        *gpus = Node::list(vec![Node::map([("count", Node::text("all", &place))], &place)], &place);
    }
    each(node, "volumes", trail, problems, |item| match &item.value {
        Yaml::Text(t) => short::volume(item, t).map(|v| vec![v]),
        Yaml::Map(_) => Ok(vec![item.clone()]),
        _ => Err("a text or a mapping".to_owned()),
    });
    each(node, "devices", trail, problems, |item| match &item.value {
        Yaml::Text(t) => short::device(item, t).map(|v| vec![v]),
        _ => Ok(vec![item.clone()]),
    });
    for list in ["secrets", "configs"] {
        each(node, list, trail, problems, reference);
    }
    each(node, "ports", trail, problems, |item| match &item.value {
        Yaml::Text(_) if ports_left.get() == 0 => Err(format!("{PORTS} ports in all at most")),
        Yaml::Text(t) => {
            let found = short::ports(item, t)?;
            let left = ports_left.get().checked_sub(found.len());
            ports_left.set(left.unwrap_or_default());
            left.map(|_| found).ok_or_else(|| format!("{PORTS} ports in all at most"))
        }
        Yaml::Int(i) => short::ports(item, &i.to_string()),
        Yaml::Map(_) => Ok(vec![item.clone()]),
        _ => Err("a whole number, a text or a mapping".to_owned()),
    });
    ulimits(node.get_mut("ulimits"), &trail.key("ulimits"), problems);
}

fn build(node: &mut Node, trail: &Trail<'_>, problems: &mut Problems) {
    if let Yaml::Text(_) = &node.value {
        let (place, mark) = (node.place.clone(), node.mark);
        *node = Node { mark, ..Node::map([("context", node.clone())], &place) };
        return;
    }
    each(node, "secrets", trail, problems, reference);
    if let Some(contexts) = node.get_mut("additional_contexts")
        && let Yaml::List(items) = &contexts.value
    {
        let entries = items.iter().filter_map(|item| {
            let (name, value) = item.as_str()?.split_once('=')?;
            Some((Key { name: name.into(), place: item.place.clone() }, Node::text(value, &item.place).of(item)))
        });
        contexts.value = Yaml::Map(std::rc::Rc::new(entries.collect()));
    }
    if let Some(ssh) = node.get_mut("ssh") {
        let inner = trail.key("ssh");
        if let Yaml::List(items) = &ssh.value {
            let mut out = Entries::default();
            let mut wrong = false;
            for (i, item) in items.iter().enumerate() {
                let text = item.as_str().unwrap_or_default();
                let (id, path) = match text.split_once('=') {
                    Some((id, path)) => (id, Node::text(path, &item.place).of(item)),
                    None => (text, Node::new(Yaml::Null, &item.place)),
                };
                if path.is_null() && id != "default" {
                    problems.errors.push(item.unexpected(&inner.index(i), "`default` or id=path"));
                    wrong = true;
                }
                out.set(Key { name: id.into(), place: item.place.clone() }, path);
            }
            ssh.value = if wrong { Yaml::Broken } else { Yaml::Map(std::rc::Rc::new(out)) };
        }
    }
    ulimits(node.get_mut("ulimits"), &trail.key("ulimits"), problems);
}

fn change(node: &mut Node, name: &str, trail: &Trail<'_>, problems: &mut Problems, with: impl Fn(&Node) -> Option<Node>) {
    let Some(inner) = node.get_mut(name) else { return };
    // The most that an item of a list becomes: a mapping of two entries, and its key.
    let most = if matches!(inner.value, Yaml::List(_)) { inner.items().len() * 6 } else { 0 };
    if let Err(expected) = problems.left.write(most) {
        problems.errors.push(inner.unexpected(&trail.key(name), &expected));
        inner.value = Yaml::Broken;
    } else if let Some(changed) = with(inner) {
        *inner = Node { mark: inner.mark, ..changed };
    }
}

/// Each item of a list becomes none, one or several others.
fn each(node: &mut Node, name: &str, trail: &Trail<'_>, problems: &mut Problems, with: impl Fn(&Node) -> Result<Vec<Node>, String>) {
    let trail = trail.key(name);
    let Some(list) = node.get_mut(name) else { return };
    let Yaml::List(items) = &list.value else { return };
    let mut out = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        if item.is_broken() {
            out.push(item.clone());
            continue;
        }
        let is_short = item.entries().is_none();
        let found = with(item);
        let count = found.as_ref().map_or(0, |more| if is_short { more.iter().map(Node::count).sum() } else { 0 });
        if let Err(expected) = problems.left.write(count) {
            problems.errors.push(item.unexpected(&trail.index(i), &expected));
            list.value = Yaml::Broken;
            return;
        }
        match found {
            Ok(more) => out.extend(more),
            Err(expected) => {
                problems.errors.push(item.unexpected(&trail.index(i), &expected));
                out.push(Node::new(Yaml::Broken, &item.place));
            }
        }
    }
    list.value = Yaml::List(std::rc::Rc::new(out));
}

fn reference(item: &Node) -> Result<Vec<Node>, String> {
    match &item.value {
        Yaml::Text(_) => Ok(vec![Node::map([("source", item.clone())], &item.place).of(item)]),
        _ => Ok(vec![item.clone()]),
    }
}

fn text_or_list(node: &Node) -> Option<Node> {
    node.as_str().map(|_| Node::list(vec![node.clone()], &node.place))
}

fn started(place: &Place) -> Node {
    Node::map([("condition", Node::text("service_started", place)), ("required", Node::new(Yaml::Bool(true), place))], place)
}

fn depends_on(node: &Node) -> Option<Node> {
    let entries: Entries = match &node.value {
        Yaml::List(items) => {
            let entry = |i: &Node| Some((Key { name: i.as_str()?.into(), place: i.place.clone() }, started(&i.place).of(i)));
            items.iter().filter_map(entry).collect()
        }
        Yaml::Map(map) => {
            let mut map = (**map).clone();
            for (_, value) in map.iter_mut() {
                if value.entries().is_some() && value.get("required").is_none() {
                    let place = value.place.clone();
                    value.set("required", Node::new(Yaml::Bool(true), &place));
                }
            }
            map
        }
        _ => return None,
    };
    Some(Node { value: Yaml::Map(std::rc::Rc::new(entries)), ..node.clone() })
}

/// A list of names becomes a mapping with nothing in it.
fn names(node: &Node) -> Option<Node> {
    let Yaml::List(items) = &node.value else { return None };
    let entry = |i: &Node| Some((Key { name: i.as_str()?.into(), place: i.place.clone() }, Node::new(Yaml::Null, &i.place).of(i)));
    Some(Node { value: Yaml::Map(std::rc::Rc::new(items.iter().filter_map(entry).collect())), ..node.clone() })
}

fn env_files(node: &Node) -> Option<Node> {
    let one = |item: &Node| match &item.value {
        Yaml::Text(_) => Node::map([("path", item.clone()), ("required", Node::new(Yaml::Bool(true), &item.place))], &item.place),
        Yaml::Map(_) if item.get("required").is_none() => {
            let mut item = item.clone();
            let required = Node::new(Yaml::Bool(true), &item.place);
            item.set("required", required);
            item
        }
        _ => item.clone(),
    };
    match &node.value {
        Yaml::Text(_) => Some(Node::list(vec![one(node)], &node.place)),
        Yaml::List(items) => Some(Node::list(items.iter().map(one).collect(), &node.place)),
        _ => None,
    }
}

fn ulimits(node: Option<&mut Node>, trail: &Trail<'_>, problems: &mut Problems) {
    for (name, limit) in node.and_then(Node::entries_mut).into_iter().flat_map(Entries::iter_mut) {
        if !matches!(limit.value, Yaml::Map(_) | Yaml::Int(_) | Yaml::Uint(_) | Yaml::Broken) {
            problems.errors.push(limit.unexpected(&trail.key(&name.name), "a whole number, or soft and hard"));
            limit.value = Yaml::Broken;
        }
    }
}

/// The old form `external: {name: x}`: its name becomes the thing's own.
fn external(node: &mut Node, trail: &Trail<'_>, problems: &mut Problems) {
    let Some(external) = node.get("external") else { return };
    if external.entries().is_none() {
        return;
    }
    let (place, name) = (external.place.clone(), external.get("name").cloned());
    let inner = trail.key("external");
    if let Some(name) = name {
        problems.warnings.push(name.problem(&inner, "`external.name` is the old form; write `name` and `external: true`"));
        match node.get("name") {
            Some(own) if !own.same(&name) => problems.errors.push(name.problem(&inner.key("name"), "`name` says another name; write `name` only")),
            _ => node.set("name", name),
        }
    }
    node.set("external", Node::new(Yaml::Bool(true), &place));
}

/// Drops what has no meaning when it is empty.
pub(crate) fn omit_empty(file: &mut Node) {
    let Some(services) = file.get_mut("services").and_then(Node::entries_mut) else { return };
    for (_, service) in services.iter_mut() {
        let empty = |n: &Node| n.is_null() || n.as_str() == Some("");
        if service.get("dns").is_some_and(|d| d.items().iter().any(empty))
            && let Some(items) = service.get_mut("dns").and_then(Node::items_mut)
        {
            items.retain(|n| !empty(n));
        }
    }
}
