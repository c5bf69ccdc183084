//! The tree that the phases work on: every node knows its place, and how it came there.

use std::{collections::HashMap, rc::Rc};

use super::{filled::Filled, scalar, trail::Trail};
use crate::error::Diagnostic;

/// A file, and how its values came to where they are used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) file: String,
    chain: Option<Rc<Link>>,
}

/// One step of how a value came to its place.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    text: Rc<str>,
    before: Option<Rc<Link>>,
}

/// A place in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source: Rc<Source>,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// `!reset` and `!override`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    #[default]
    None,
    Reset,
    Override,
}

/// A node of the tree. Lists and mappings are shared until one of their holders changes them.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Yaml,
    pub(crate) place: Place,
    pub(crate) mark: Mark,
    /// The variables that its text came from, if any.
    pub(crate) variable: Option<Rc<Filled>>,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Int(i64),
    /// A whole number beyond the range of `Int`.
    Uint(u64),
    Float(f64),
    /// A date or time, as Go's JSON writes it.
    Time(String),
    Text(String),
    List(Rc<Vec<Node>>),
    Map(Rc<Entries>),
    /// A value that was found wrong and told: the phases after pass over it.
    Broken,
}

/// A key of a mapping, with its place.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: Rc<str>,
    pub(crate) place: Place,
}

/// The entries of a mapping, in their order. Long ones have an index.
#[derive(Debug, Clone, Default)]
#[expect(clippy::box_collection, reason = "most mappings have no index: a pointer is enough for it")]
pub(crate) struct Entries {
    list: Vec<(Key, Node)>,
    index: Option<Box<HashMap<Rc<str>, usize>>>,
}

/// From this length on, a mapping has an index.
const INDEXED: usize = 16;

impl Entries {
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.list.iter().position(|(k, _)| &*k.name == name),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&(Key, Node)> {
        self.list.get(self.position(name)?)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.find(name).map(|(_, v)| v)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        let at = self.position(name)?;
        self.list.get_mut(at).map(|(_, v)| v)
    }

    pub(crate) fn at_mut(&mut self, at: usize) -> Option<&mut Node> {
        self.list.get_mut(at).map(|(_, v)| v)
    }

    /// Adds an entry, or puts its value in the place of the one that is there.
    pub(crate) fn set(&mut self, key: Key, node: Node) {
        if let Some((_, there)) = self.position(&key.name).and_then(|at| self.list.get_mut(at)) {
            *there = node;
            return;
        }
        self.list.push((key, node));
        match self.list.len().cmp(&INDEXED) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => self.reindex(),
            std::cmp::Ordering::Greater => {
                if let (Some((key, _)), Some(index)) = (self.list.last(), &mut self.index) {
                    index.insert(key.name.clone(), self.list.len() - 1);
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Node> {
        let at = self.position(name)?;
        let (_, node) = self.list.remove(at);
        self.reindex();
        Some(node)
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &Node) -> bool) {
        let before = self.list.len();
        self.list.retain(|(k, v)| keep(&k.name, v));
        if self.list.len() != before {
            self.reindex();
        }
    }

    fn reindex(&mut self) {
        let long = self.list.len() >= INDEXED;
        self.index = long.then(|| Box::new(self.list.iter().enumerate().map(|(i, (k, _))| (k.name.clone(), i)).collect()));
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Gives back the room that it did not need.
    pub(crate) fn shrink(&mut self) {
        self.list.shrink_to_fit();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (Key, Node)> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Node)> {
        self.list.iter_mut().map(|(k, v)| (&*k, v))
    }
}

/// The text of a key: that of the others of the same name, for the names that Compose files are made of.
pub(crate) fn key_text(name: &str) -> Rc<str> {
    const LONGEST: usize = 24;
    const MOST: usize = 1024;
    thread_local! {
        static KNOWN: std::cell::RefCell<std::collections::HashSet<Rc<str>>> = std::cell::RefCell::default();
    }
    if name.len() > LONGEST {
        return name.into();
    }
    KNOWN.with_borrow_mut(|known| match known.get(name) {
        Some(text) => text.clone(),
        None => {
            let text: Rc<str> = name.into();
            if known.len() < MOST {
                known.insert(text.clone());
            }
            text
        }
    })
}

impl FromIterator<(Key, Node)> for Entries {
    fn from_iter<I: IntoIterator<Item = (Key, Node)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        // As much room as is needed and no more: most mappings are short, and there are many.
        let mut out = Self { list: Vec::with_capacity(entries.size_hint().0), index: None };
        for (key, node) in entries {
            out.set(key, node);
        }
        out
    }
}

impl Node {
    pub(crate) fn new(value: Yaml, place: &Place) -> Self {
        Self { value, place: place.clone(), mark: Mark::None, variable: None }
    }

    pub(crate) fn text(text: impl Into<String>, place: &Place) -> Self {
        Self::new(Yaml::Text(text.into()), place)
    }

    pub(crate) fn list(items: Vec<Node>, place: &Place) -> Self {
        Self::new(Yaml::List(Rc::new(items)), place)
    }

    /// A mapping of these keys.
    pub(crate) fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Node)>, place: &Place) -> Self {
        let entries = entries.into_iter().map(|(k, v)| (Key { name: key_text(k), place: v.place.clone() }, v));
        Self::new(Yaml::Map(Rc::new(entries.collect())), place)
    }

    /// A tree that holds what a JSON value does.
    pub(crate) fn from_json(value: &serde_json::Value, place: &Place) -> Self {
        use serde_json::Value;
        let value = match value {
            Value::Null => Yaml::Null,
            Value::Bool(b) => Yaml::Bool(*b),
            Value::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(i), _) => Yaml::Int(i),
                (None, Some(u)) => Yaml::Uint(u),
                (None, None) => Yaml::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(s) => Yaml::Text(s.clone()),
            Value::Array(list) => Yaml::List(Rc::new(list.iter().map(|v| Self::from_json(v, place)).collect())),
            Value::Object(map) => {
                let entry = |(k, v): (&String, &Value)| (Key { name: k.as_str().into(), place: place.clone() }, Self::from_json(v, place));
                Yaml::Map(Rc::new(map.iter().map(entry).collect()))
            }
        };
        Self::new(value, place)
    }

    /// The same variables as `other`: this value was made of it.
    pub(crate) fn of(mut self, other: &Node) -> Self {
        self.variable.clone_from(&other.variable);
        self
    }

    pub(crate) fn entries(&self) -> Option<&Entries> {
        match &self.value {
            Yaml::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn entries_mut(&mut self) -> Option<&mut Entries> {
        match &mut self.value {
            Yaml::Map(map) => Some(Rc::make_mut(map)),
            _ => None,
        }
    }

    /// The entries of a mapping; none for anything else.
    pub(crate) fn each(&self) -> std::slice::Iter<'_, (Key, Node)> {
        self.entries().map(Entries::iter).unwrap_or_default()
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Yaml::List(list) => list,
            _ => &[],
        }
    }

    pub(crate) fn items_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.value {
            Yaml::List(list) => Some(Rc::make_mut(list)),
            _ => None,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.entries()?.get(name)
    }

    /// The node, to be changed; nothing is unshared when it is not there.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        let at = self.entries()?.position(name)?;
        self.entries_mut()?.at_mut(at)
    }

    /// The text of an entry.
    pub(crate) fn str(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Yaml::Text(t) => Some(t),
            _ => None,
        }
    }

    /// The items as the model has them, which leaves broken ones out, each with its own place in the list.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.items().iter().enumerate().filter(|(_, item)| !item.is_broken())
    }

    /// The items of a list of the model, each with its place in the file's list and its node there. None is left out, whatever the file has.
    pub(crate) fn beside<'a, T>(list: Option<&'a Self>, items: &'a [T]) -> impl Iterator<Item = (usize, Option<&'a Self>, &'a T)> {
        let mut kept = list.into_iter().flat_map(Self::kept);
        items.iter().enumerate().map(move |(i, item)| kept.next().map_or((i, None, item), |(own, node)| (own, Some(node), item)))
    }

    /// The variables whose values may stand in this text, so that it is not to be shown.
    pub(crate) fn hidden(&self) -> Option<&Filled> {
        self.variable.as_deref().filter(|v| v.hidden)
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Yaml::Null)
    }

    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.value, Yaml::Broken)
    }

    /// Puts or replaces an entry of a mapping.
    pub(crate) fn set(&mut self, name: &str, node: Node) {
        let place = node.place.clone();
        if let Some(map) = self.entries_mut() {
            map.set(Key { name: key_text(name), place }, node);
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Node> {
        self.entries()?.position(name)?;
        self.entries_mut()?.remove(name)
    }

    /// The scalar as Go's `%v` prints it; none for lists and mappings.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Yaml::Null => Some(String::new()),
            Yaml::Bool(b) => Some(b.to_string()),
            Yaml::Int(i) => Some(i.to_string()),
            Yaml::Uint(i) => Some(i.to_string()),
            Yaml::Float(f) => Some(scalar::float_text(*f)),
            Yaml::Text(t) | Yaml::Time(t) => Some(t.clone()),
            Yaml::List(_) | Yaml::Map(_) | Yaml::Broken => None,
        }
    }

    /// What kind of value this is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "a boolean",
            Yaml::Int(_) | Yaml::Uint(_) | Yaml::Float(_) => "a number",
            Yaml::Text(_) => "a text",
            Yaml::Time(_) => "a date",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a mapping",
            Yaml::Broken => "a wrong value",
        }
    }

    /// The value for a message: never one that came from a variable, and no long one.
    pub(crate) fn shown(&self) -> String {
        match (self.hidden(), &self.value) {
            (Some(filled), _) => format!("the value of {}", filled.names),
            (None, Yaml::Text(t)) => {
                let short: String = t.chars().take(60).collect();
                let dots = if short.len() < t.len() { "…" } else { "" };
                format!("`{}{dots}`", crate::error::escape(&short))
            }
            (None, Yaml::Bool(_) | Yaml::Int(_) | Yaml::Uint(_) | Yaml::Float(_)) => self.scalar_text().unwrap_or_default(),
            (None, _) => self.kind().to_owned(),
        }
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.value {
            Yaml::Null | Yaml::Broken => Value::Null,
            Yaml::Bool(b) => Value::Bool(*b),
            Yaml::Int(i) => Value::from(*i),
            Yaml::Uint(i) => Value::from(*i),
            Yaml::Float(f) => scalar::float_json(*f),
            Yaml::Text(t) | Yaml::Time(t) => Value::String(t.clone()),
            // An empty list is Go's nil after its loader went over it.
            Yaml::List(l) if l.is_empty() => Value::Null,
            Yaml::List(l) => Value::Array(l.iter().map(Node::to_json).collect()),
            Yaml::Map(m) => Value::Object(m.iter().map(|(k, v)| (k.name.to_string(), v.to_json())).collect()),
        }
    }

    /// A text that is the same for trees that hold the same.
    pub(crate) fn sorted_text(&self) -> String {
        match &self.value {
            Yaml::Map(map) => {
                let mut parts: Vec<String> = map.iter().map(|(k, v)| format!("{:?}:{}", k.name, v.sorted_text())).collect();
                parts.sort();
                format!("{{{}}}", parts.join(","))
            }
            Yaml::List(list) => format!("[{}]", list.iter().map(Self::sorted_text).collect::<Vec<_>>().join(",")),
            other => format!("{other:?}"),
        }
    }

    /// How many values it has, with all below it; long texts count for several.
    pub(crate) fn count(&self) -> usize {
        match &self.value {
            Yaml::List(list) => list.iter().fold(1, |n, v| n.saturating_add(v.count())),
            Yaml::Map(map) => map.iter().fold(1, |n, (_, v)| n.saturating_add(1).saturating_add(v.count())),
            Yaml::Text(text) => 1 + text.len() / super::limits::TEXT,
            _ => 1,
        }
    }

    /// A problem of the whole, told of the part that most of it is.
    pub(crate) fn largest(&self, message: impl Into<String>) -> Diagnostic {
        fn part(node: &Node, trail: &Trail<'_>, message: String) -> Diagnostic {
            let half = node.count() / 2;
            let found = node.each().map(|(k, v)| (Some(&k.name), 0, v)).chain(node.items().iter().enumerate().map(|(i, v)| (None, i, v)));
            match found.max_by_key(|(.., v)| v.count()).filter(|(.., v)| v.count() > half) {
                Some((Some(name), _, inner)) => part(inner, &trail.key(name), message),
                Some((None, at, inner)) => part(inner, &trail.index(at), message),
                None => node.problem(trail, message),
            }
        }
        part(self, &Trail::ROOT, message.into())
    }

    /// Whether two trees hold the same, wherever they came from.
    pub(crate) fn same(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Yaml::Null, Yaml::Null) | (Yaml::Broken, Yaml::Broken) => true,
            (Yaml::Bool(a), Yaml::Bool(b)) => a == b,
            (Yaml::Int(a), Yaml::Int(b)) => a == b,
            (Yaml::Uint(a), Yaml::Uint(b)) => a == b,
            (Yaml::Float(a), Yaml::Float(b)) => a == b,
            (Yaml::Text(a), Yaml::Text(b)) | (Yaml::Time(a), Yaml::Time(b)) => a == b,
            (Yaml::List(a), Yaml::List(b)) => Rc::ptr_eq(a, b) || (a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.same(b))),
            (Yaml::Map(a), Yaml::Map(b)) => {
                Rc::ptr_eq(a, b) || (a.len() == b.len() && a.iter().all(|(k, v)| b.get(&k.name).is_some_and(|other| v.same(other))))
            }
            _ => false,
        }
    }

    /// Notes on this node and all below it how they came here.
    pub(crate) fn chain(&mut self, text: &str) {
        let mut known: HashMap<*const Source, Rc<Source>> = HashMap::new();
        self.relink(&Rc::from(text), &mut known);
    }

    fn relink(&mut self, text: &Rc<str>, known: &mut HashMap<*const Source, Rc<Source>>) {
        self.place.relink(text, known);
        match &mut self.value {
            Yaml::List(l) => Rc::make_mut(l).iter_mut().for_each(|n| n.relink(text, known)),
            Yaml::Map(m) => {
                for (k, v) in &mut Rc::make_mut(m).list {
                    k.place.relink(text, known);
                    v.relink(text, known);
                }
            }
            _ => {}
        }
    }

    /// What is wrong with this node, with the variables that its value came from, and which of them are not set.
    pub(crate) fn problem(&self, trail: &Trail<'_>, message: impl Into<String>) -> Diagnostic {
        let mut d = self.place.diagnostic(&trail.path(), message);
        if let Some(filled) = &self.variable {
            if let Some(missing) = filled.missing() {
                d.message.push_str("; ");
                d.message.push_str(&missing);
            }
            d.chain.insert(0, format!("interpolated from {}", filled.names));
        }
        d
    }

    /// A value of another kind than the one that is expected.
    pub(crate) fn unexpected(&self, trail: &Trail<'_>, expected: &str) -> Diagnostic {
        let mut d = self.problem(trail, format!("expected {expected}, found {}", self.shown()));
        d.expected = Some(expected.to_owned());
        d
    }
}

impl Place {
    pub(crate) fn new(source: &Rc<Source>, line: u32, column: u32) -> Self {
        Self { source: source.clone(), line, column }
    }

    fn relink(&mut self, text: &Rc<str>, known: &mut HashMap<*const Source, Rc<Source>>) {
        let source = known.entry(Rc::as_ptr(&self.source)).or_insert_with(|| {
            let link = Link { text: text.clone(), before: self.source.chain.clone() };
            Rc::new(Source { file: self.source.file.clone(), chain: Some(Rc::new(link)) })
        });
        self.source = source.clone();
    }

    pub(crate) fn diagnostic(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        let mut chain = Vec::new();
        let mut link = self.source.chain.as_ref();
        while let Some(l) = link {
            chain.push(l.text.to_string());
            link = l.before.as_ref();
        }
        Diagnostic {
            file: self.source.file.clone(),
            line: self.line,
            column: self.column,
            path: path.to_owned(),
            message: message.into(),
            expected: None,
            suggestion: None,
            chain,
        }
    }
}

impl Source {
    pub(crate) fn new(file: &str) -> Rc<Self> {
        Rc::new(Self { file: file.to_owned(), chain: None })
    }
}
