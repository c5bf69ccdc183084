//! Laying one tree over another, in whatever form they are written.

use std::{collections::HashSet, rc::Rc};

use super::{
    Problems,
    node::{Entries, Key, Mark, Node, Yaml},
    trail::{RULES, Trail},
};

/// Lays `over` onto `base`: mappings are merged, lists appended, single values replaced; the specification's exceptions
/// are found by their place. `!reset` and `!override` stay in the result where `keep` says so, for the tree that it is
/// laid over later.
pub(crate) fn merge(base: &mut Node, over: Node, trail: &Trail<'_>, keep: bool, problems: &mut Problems) {
    Merge { keep, problems }.node(base, over, trail);
}

/// Drops what is marked with `!reset`, and all marks, where there is nothing to lay over.
pub(crate) fn sweep(node: &mut Node) {
    node.mark = Mark::None;
    match &mut node.value {
        Yaml::Map(map) if map.iter().any(|(_, v)| marked(v)) => {
            let map = Rc::make_mut(map);
            map.retain(|_, v| v.mark != Mark::Reset);
            map.iter_mut().for_each(|(_, v)| sweep(v));
        }
        Yaml::List(list) if list.iter().any(marked) => Rc::make_mut(list).iter_mut().for_each(sweep),
        _ => {}
    }
}

fn marked(node: &Node) -> bool {
    node.mark != Mark::None
        || match &node.value {
            Yaml::Map(map) => map.iter().any(|(_, v)| marked(v)),
            Yaml::List(list) => list.iter().any(marked),
            _ => false,
        }
}

struct Merge<'p> {
    keep: bool,
    problems: &'p mut Problems,
}

/// How the values at a place are merged.
enum Rule {
    Plain,
    Replace,
    Sequence,
    Hosts,
    Named,
    Dependencies,
    Build,
    Logging,
    Ulimit,
    Ipam,
}

fn rule(trail: &Trail<'_>) -> Rule {
    let mut room = [""; RULES];
    match trail.names(&mut room) {
        Some(["services", _, rest @ ..]) => match rest {
            ["command" | "entrypoint"] | ["healthcheck", "test"] => Rule::Replace,
            ["annotations" | "dns" | "dns_opt" | "dns_search" | "env_file" | "label_file" | "environment" | "labels" | "sysctls" | "tmpfs"]
            | ["build", "args" | "additional_contexts" | "labels"]
            | ["deploy", "labels"]
            | ["volumes", "[]", "volume", "labels"] => Rule::Sequence,
            ["extra_hosts"] | ["build", "extra_hosts"] => Rule::Hosts,
            ["networks" | "models"] => Rule::Named,
            ["depends_on"] => Rule::Dependencies,
            ["build"] => Rule::Build,
            ["logging"] => Rule::Logging,
            ["ulimits", _] => Rule::Ulimit,
            _ => Rule::Plain,
        },
        Some(["networks" | "volumes", _, "labels"]) => Rule::Sequence,
        Some(["networks", _, "ipam", "config"]) => Rule::Ipam,
        _ => Rule::Plain,
    }
}

impl Merge<'_> {
    fn node(&mut self, base: &mut Node, over: Node, trail: &Trail<'_>) {
        if base.is_broken() || over.is_broken() {
            base.value = Yaml::Broken;
            return;
        }
        match rule(trail) {
            Rule::Replace => *base = over,
            Rule::Sequence => {
                take_out(base, &over);
                let mut items = sequence(base);
                items.extend(sequence(&over));
                if self.affords(base, &over, trail, items.len().saturating_mul(8)) {
                    self.list(base, &over, items);
                }
            }
            Rule::Hosts => {
                take_out(base, &over);
                let mut items = sequence(base);
                let known: HashSet<String> = items.iter().filter_map(|i| i.as_str().map(str::to_owned)).collect();
                let is_new = |n: &Node| n.as_str().map_or_else(|| !items.iter().any(|i| i.same(n)), |t| !known.contains(t));
                let more: Vec<Node> = sequence(&over).into_iter().filter(is_new).collect();
                items.extend(more);
                if self.affords(base, &over, trail, items.len().saturating_mul(8)) {
                    self.list(base, &over, items);
                }
            }
            Rule::Named => self.maps(base, over, trail, &|place| Node::new(Yaml::Null, place)),
            Rule::Dependencies => self.maps(base, over, trail, &dependency),
            Rule::Build => {
                let context = |node: Node| match &node.value {
                    Yaml::Text(_) => {
                        let place = node.place.clone();
                        Node::map([("context", node)], &place)
                    }
                    _ => node,
                };
                *base = context(std::mem::replace(base, Node::new(Yaml::Null, &over.place)));
                self.plain(base, context(over), trail);
            }
            Rule::Logging => {
                let other = matches!((base.str("driver"), over.str("driver")), (Some(a), Some(b)) if a != b);
                if other { *base = over } else { self.plain(base, over, trail) }
            }
            Rule::Ulimit => {
                if matches!((&base.value, &over.value), (Yaml::Map(_), Yaml::Map(_))) {
                    self.plain(base, over, trail)
                } else {
                    *base = over
                }
            }
            Rule::Ipam => self.ipam(base, over, trail),
            Rule::Plain => self.plain(base, over, trail),
        }
    }

    /// Takes the work of a rule that goes over lists more than once; a base that cannot be afforded is broken.
    fn affords(&mut self, base: &mut Node, over: &Node, trail: &Trail<'_>, work: usize) -> bool {
        if let Err(message) = self.problems.left.work(work) {
            self.problems.errors.push(over.problem(trail, message));
            base.value = Yaml::Broken;
            return false;
        }
        true
    }

    fn list(&mut self, base: &mut Node, over: &Node, items: Vec<Node>) {
        let place = if base.is_null() { over.place.clone() } else { base.place.clone() };
        *base = Node::list(items, &place);
    }

    fn plain(&mut self, base: &mut Node, over: Node, trail: &Trail<'_>) {
        if over.is_null() && !base.is_null() {
            return;
        }
        match (&mut base.value, &over.value) {
            (Yaml::Map(own), Yaml::Map(entries)) => self.entries(Rc::make_mut(own), entries, trail),
            (Yaml::List(own), Yaml::List(items)) => Rc::make_mut(own).extend(items.iter().cloned()),
            (Yaml::Map(_), _) => self.cannot(base, &over, trail, "a mapping"),
            (Yaml::List(_), _) => self.cannot(base, &over, trail, "a list"),
            _ => *base = over,
        }
    }

    fn cannot(&mut self, base: &mut Node, over: &Node, trail: &Trail<'_>, expected: &str) {
        let mut d = over.unexpected(trail, expected);
        d.message.push_str(&format!(": it cannot be laid over what {} says in line {}", base.place.source.file, base.place.line));
        self.problems.errors.push(d);
        base.value = Yaml::Broken;
    }

    fn entries(&mut self, own: &mut Entries, entries: &Entries, trail: &Trail<'_>) {
        for (key, value) in entries.iter() {
            let there = own.position(&key.name);
            match (value.mark, there) {
                (Mark::None, Some(_)) => {
                    if let Some(there) = own.get_mut(&key.name) {
                        self.node(there, value.clone(), &trail.key(&key.name));
                    }
                }
                (Mark::None, None) => own.set(key.clone(), self.fresh(value)),
                (Mark::Override, _) => own.set(key.clone(), self.fresh(value)),
                (Mark::Reset, _) if self.keep => own.set(key.clone(), value.clone()),
                (Mark::Reset, Some(_)) => drop(own.remove(&key.name)),
                (Mark::Reset, None) => {}
            }
        }
    }

    /// A value that nothing is below.
    fn fresh(&self, value: &Node) -> Node {
        let mut value = value.clone();
        if !self.keep {
            sweep(&mut value);
        }
        value
    }

    /// Lists of names become mappings before they are merged.
    fn maps(&mut self, base: &mut Node, over: Node, trail: &Trail<'_>, value: &dyn Fn(&super::node::Place) -> Node) {
        let map = |node: &Node| match &node.value {
            Yaml::List(items) => {
                let entry = |i: &Node| Some((Key { name: i.as_str()?.into(), place: i.place.clone() }, value(&i.place)));
                Node { value: Yaml::Map(Rc::new(items.iter().filter_map(entry).collect())), ..node.clone() }
            }
            _ => node.clone(),
        };
        *base = map(base);
        self.plain(base, map(&over), trail);
    }

    /// Pools of one subnet become one, the others stand beside each other.
    fn ipam(&mut self, base: &mut Node, over: Node, trail: &Trail<'_>) {
        if let (Yaml::List(own), Yaml::List(more)) = (&base.value, &over.value) {
            let pairs = own.len().saturating_mul(more.len());
            let work = pairs.saturating_mul(own.len() + more.len()) / 8;
            if !self.affords(base, &over, trail, work) {
                return;
            }
        }
        let (Yaml::List(own), Yaml::List(more)) = (&base.value, &over.value) else { return self.plain(base, over, trail) };
        let subnet = |n: &Node| n.str("subnet").map(str::to_owned);
        let mut out: Vec<Node> = Vec::new();
        for original in own.iter() {
            for laid in more.iter() {
                if subnet(original) != subnet(laid) && !out.iter().any(|o| subnet(o) == subnet(laid)) {
                    out.push(laid.clone());
                    continue;
                }
                let mut merged = original.clone();
                self.plain(&mut merged, laid.clone(), trail);
                match out.iter_mut().find(|o| subnet(o) == subnet(&merged)) {
                    Some(there) => *there = merged,
                    None => out.push(merged),
                }
            }
        }
        let place = base.place.clone();
        *base = Node::list(out, &place);
    }
}

/// Entries that the mapping above marks, before both become lists.
fn take_out(base: &mut Node, over: &Node) {
    if over.each().any(|(_, v)| v.mark != Mark::None)
        && let Some(own) = base.entries_mut()
    {
        own.retain(|name, _| over.get(name).is_none_or(|v| v.mark == Mark::None));
    }
}

fn dependency(place: &super::node::Place) -> Node {
    Node::map([("condition", Node::text("service_started", place)), ("required", Node::new(Yaml::Bool(true), place))], place)
}

/// A mapping as a sorted list of `key=value`, a single value as a list of one.
pub(crate) fn sequence(node: &Node) -> Vec<Node> {
    match &node.value {
        Yaml::List(items) => items.to_vec(),
        Yaml::Text(_) => vec![Node { mark: Mark::None, ..node.clone() }],
        Yaml::Map(map) => {
            let mut out: Vec<(String, Node)> = Vec::new();
            for (key, value) in map.iter().filter(|(_, v)| v.mark != Mark::Reset) {
                let mut add = |value: &Node| {
                    let text = match &value.value {
                        Yaml::Null => key.name.to_string(),
                        _ => format!("{}={}", key.name, value.scalar_text().unwrap_or_default()),
                    };
                    out.push((text.clone(), Node::text(text, &value.place).of(value)));
                };
                match &value.value {
                    Yaml::List(items) => items.iter().for_each(&mut add),
                    _ => add(value),
                }
            }
            out.sort_by(|(a, _), (b, _)| a.cmp(b));
            out.into_iter().map(|(_, n)| n).collect()
        }
        _ => Vec::new(),
    }
}
