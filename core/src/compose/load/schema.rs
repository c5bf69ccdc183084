//! The schema of the Compose Specification: what may stand where, before short forms are written out.

use std::{collections::HashMap, rc::Rc};

use super::{
    Problems,
    node::{Entries, Node, Yaml},
    trail::Trail,
};
use crate::error::{Diagnostic, nearest};

/// Attributes of an object, each with what it may hold.
pub(crate) type Attributes = &'static [(&'static str, Schema)];

/// What a value may be.
#[derive(Clone, Copy)]
pub(crate) enum Schema {
    /// A scalar of these kinds: see [`TEXT`] and the others.
    Of(u8),
    /// A text out of these.
    Enum(&'static [&'static str]),
    /// A text that a rule accepts, with what it expects.
    Rule(fn(&str) -> bool, &'static str),
    /// A whole number within these bounds.
    Range(i64, i64),
    /// An object with these attributes and no others; `x-` keys where it is open.
    Object { attributes: Attributes, required: &'static [&'static str], open: bool },
    /// An object whose attributes are known, but which may have any others.
    Loose { attributes: Attributes },
    /// A mapping whose keys follow a rule. Keys that do not are refused where it is closed, and else may hold anything.
    Map { key: Keys, value: &'static Schema, closed: bool },
    /// A list, whose items may have to differ.
    List { item: &'static Schema, unique: bool },
    /// One of these, each of another kind.
    Either(&'static [Schema]),
}

/// What the keys of a mapping may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Letters, digits, `.`, `_` and `-`.
    Name,
    /// Lower-case letters.
    Lower,
    /// Anything but nothing.
    Filled,
}

/// Kinds of scalars.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BOOL: u8 = 2;
pub(crate) const INT: u8 = 4;
pub(crate) const NUMBER: u8 = 8;
pub(crate) const NULL: u8 = 16;

impl Keys {
    fn fits(self, name: &str) -> bool {
        match self {
            Self::Name => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')),
            Self::Lower => !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()),
            Self::Filled => name.chars().any(|c| c != '\n'),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Name => "a name of letters, digits, `.`, `_` and `-`",
            Self::Lower => "a name of lower-case letters",
            Self::Filled => "a name",
        }
    }
}

fn kind(value: &Yaml) -> u8 {
    match value {
        Yaml::Text(_) => TEXT,
        Yaml::Bool(_) => BOOL,
        Yaml::Int(_) | Yaml::Uint(_) => INT | NUMBER,
        Yaml::Float(f) if *f == f.trunc() => INT | NUMBER,
        Yaml::Float(_) => NUMBER,
        Yaml::Null => NULL,
        _ => 0,
    }
}

fn scalars(kinds: u8) -> String {
    let number = if kinds & NUMBER != 0 { NUMBER } else { kinds & INT };
    let names = [(TEXT, "a text"), (INT, "a whole number"), (NUMBER, "a number"), (BOOL, "a boolean"), (NULL, "nothing")];
    let known: Vec<&str> = names.iter().filter(|(k, _)| if k & (INT | NUMBER) != 0 { *k == number } else { kinds & k != 0 }).map(|(_, n)| *n).collect();
    known.join(" or ")
}

impl Schema {
    /// What it expects, in words.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Of(kinds) => scalars(kinds),
            Self::Enum(known) => {
                if known.len() == 1 {
                    known.concat()
                } else {
                    format!("one of {}", known.join(", "))
                }
            }
            Self::Rule(_, expected) => expected.to_owned(),
            Self::Range(least, i64::MAX) => format!("a whole number from {least}"),
            Self::Range(least, most) => format!("a whole number from {least} to {most}"),
            Self::Object { .. } | Self::Loose { .. } | Self::Map { .. } => "a mapping".to_owned(),
            Self::List { .. } => "a list".to_owned(),
            Self::Either(forms) => forms.iter().map(|f| f.expected()).collect::<Vec<_>>().join(" or "),
        }
    }

    /// Whether a value is of the kind that this form is about, right or wrong in its parts.
    fn is_about(self, value: &Yaml) -> bool {
        match self {
            Self::Of(kinds) => kind(value) & kinds != 0,
            Self::Enum(_) | Self::Rule(..) => matches!(value, Yaml::Text(_)),
            Self::Range(..) => kind(value) & INT != 0,
            Self::Object { .. } | Self::Loose { .. } | Self::Map { .. } => matches!(value, Yaml::Map(_)),
            Self::List { .. } => matches!(value, Yaml::List(_)),
            Self::Either(forms) => forms.iter().any(|f| f.is_about(value)),
        }
    }
}

/// Checks a tree. What is wrong is told, and broken.
pub(crate) fn check(node: &mut Node, schema: Schema, problems: &mut Problems) {
    let mut checker = Checker { problems, at: Vec::new(), broken: Vec::new() };
    checker.node(node, schema, &Trail::ROOT);
    for path in std::mem::take(&mut checker.broken) {
        if let Some(wrong) = find(node, &path) {
            wrong.value = Yaml::Broken;
        }
    }
}

fn find<'n>(node: &'n mut Node, path: &[usize]) -> Option<&'n mut Node> {
    let [first, rest @ ..] = path else { return Some(node) };
    let inner = match &mut node.value {
        Yaml::List(list) => Rc::make_mut(list).get_mut(*first)?,
        Yaml::Map(map) => Rc::make_mut(map).at_mut(*first)?,
        _ => return None,
    };
    find(inner, rest)
}

struct Checker<'p> {
    problems: &'p mut Problems,
    /// Where the node stands, as places in its parents.
    at: Vec<usize>,
    broken: Vec<Vec<usize>>,
}

impl Checker<'_> {
    fn wrong(&mut self, node: &Node, trail: &Trail<'_>, expected: &str) {
        self.problems.errors.push(node.unexpected(trail, expected));
        self.broken.push(self.at.clone());
    }

    fn inner(&mut self, at: usize, node: &Node, schema: Schema, trail: &Trail<'_>) {
        self.at.push(at);
        self.node(node, schema, trail);
        self.at.pop();
    }

    fn node(&mut self, node: &Node, schema: Schema, trail: &Trail<'_>) {
        if node.is_broken() || self.problems.errors.is_full() {
            return;
        }
        if !schema.is_about(&node.value) {
            self.wrong(node, trail, &schema.expected());
            return;
        }
        match (schema, &node.value) {
            (Schema::Either(forms), value) => {
                if let Some(form) = forms.iter().find(|f| f.is_about(value)) {
                    self.node(node, *form, trail);
                }
            }
            (Schema::Enum(known), Yaml::Text(t)) if !known.contains(&t.as_str()) => {
                let near = if node.hidden().is_some() { None } else { nearest(t, known.iter().copied()).map(str::to_owned) };
                self.wrong(node, trail, &schema.expected());
                if let Some(last) = self.problems.errors.last_mut() {
                    last.suggestion = near;
                }
            }
            (Schema::Rule(fits, expected), Yaml::Text(t)) if !fits(t) => self.wrong(node, trail, expected),
            (Schema::Range(least, most), value) => {
                let within = match value {
                    Yaml::Int(i) => (least..=most).contains(i),
                    Yaml::Float(f) => *f >= least as f64 && *f <= most as f64,
                    _ => most == i64::MAX,
                };
                if !within {
                    self.wrong(node, trail, &schema.expected());
                }
            }
            (Schema::Object { attributes, required, open }, Yaml::Map(map)) => {
                self.attributes(map, attributes, Some(open), trail);
                for name in required.iter().filter(|n| map.get(n).is_none()) {
                    let mut d = node.problem(trail, format!("`{name}` is missing"));
                    d.expected = attributes.iter().find(|(n, _)| n == name).map(|(_, s)| format!("`{name}`: {}", s.expected()));
                    self.problems.errors.push(d);
                    self.broken.push(self.at.clone());
                }
            }
            (Schema::Loose { attributes }, Yaml::Map(map)) => self.attributes(map, attributes, None, trail),
            (Schema::Map { key: keys, value, closed }, Yaml::Map(map)) => {
                for (i, (key, inner)) in map.iter().enumerate() {
                    let trail = trail.key(&key.name);
                    if keys.fits(&key.name) {
                        self.inner(i, inner, *value, &trail);
                    } else if closed {
                        let mut d = key.place.diagnostic(&trail.path(), format!("`{}` cannot be a key here", crate::error::escape(&key.name)));
                        d.expected = Some(keys.expected().to_owned());
                        self.problems.errors.push(d);
                        self.at.push(i);
                        self.broken.push(self.at.clone());
                        self.at.pop();
                    }
                }
            }
            (Schema::List { item, unique }, Yaml::List(items)) => {
                for (i, inner) in items.iter().enumerate() {
                    self.inner(i, inner, *item, &trail.index(i));
                }
                if unique {
                    self.unique(items, trail);
                }
            }
            _ => {}
        }
    }

    /// `open`: none takes any other key, true takes `x-` keys.
    fn attributes(&mut self, map: &Entries, attributes: Attributes, open: Option<bool>, trail: &Trail<'_>) {
        for (i, (key, inner)) in map.iter().enumerate() {
            if self.problems.errors.is_full() {
                return;
            }
            let is_top = trail.is_root();
            let trail = trail.key(&key.name);
            match attributes.iter().find(|(name, _)| *name == &*key.name) {
                Some((_, schema)) => self.inner(i, inner, *schema, &trail),
                None if open.is_none() || (open == Some(true) && key.name.starts_with("x-")) => {}
                None => {
                    let mut d = key.place.diagnostic(&trail.path(), format!("the key `{}` is not known here", crate::error::escape(&key.name)));
                    d.expected = Some("a known key".to_owned());
                    if is_top && (inner.get("image").is_some() || inner.get("build").is_some()) {
                        d.message.push_str("; services stand below `services:`");
                    } else {
                        d.suggestion = nearest(&key.name, attributes.iter().map(|(n, _)| *n)).map(str::to_owned);
                    }
                    self.problems.errors.push(d);
                    self.at.push(i);
                    self.broken.push(self.at.clone());
                    self.at.pop();
                }
            }
        }
    }

    fn unique(&mut self, items: &[Node], trail: &Trail<'_>) {
        // A number and a text that says it are the same, as docker compose's schema has it.
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (i, item) in items.iter().enumerate() {
            let name = match &item.value {
                Yaml::Text(t) => format!("s{t}"),
                Yaml::Int(n) => format!("s{n}"),
                Yaml::Broken => continue,
                _ => format!("j{}", item.sorted_text()),
            };
            let first = *seen.entry(name).or_insert(i);
            if let Some(first) = items.get(first).filter(|_| first < i) {
                self.problems.errors.push(twice(item, first, &trail.index(i)));
            }
        }
    }
}

/// An item that stands in a list twice. One of the two may have come from another file or service.
fn twice(item: &Node, first: &Node, trail: &Trail<'_>) -> Diagnostic {
    let text = if matches!(item.value, Yaml::Text(_)) && item.hidden().is_none() { item.shown() } else { "this item".to_owned() };
    let (at, from) = (&item.place, first.place.diagnostic("", ""));
    let other = if from.file == at.source.file { String::new() } else { format!("{}, ", from.file) };
    let mut d = item.problem(trail, format!("{text} stands in the list a second time; first in {other}line {}", from.line));
    d.expected = Some("items that differ".to_owned());
    let new: Vec<String> = from.chain.into_iter().filter(|link| !d.chain.contains(link)).collect();
    d.chain.extend(new);
    d
}
