//! YAML text to a tree in which every node knows its place. Aliases, merge keys and depth are bounded.

use std::{collections::HashMap, rc::Rc};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag as YamlTag};

use super::scalar;
use crate::error::Diagnostic;

/// A place in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Rc<str>,
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// How the value came here, when it was not written where it is used.
    pub(crate) chain: Option<Rc<Link>>,
}

/// One step of how a value came to its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) text: String,
    pub(crate) before: Option<Rc<Link>>,
}

/// `!reset` and `!override`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    #[default]
    None,
    Reset,
    Override,
}

/// A node of the tree.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Yaml,
    pub(crate) place: Place,
    pub(crate) mark: Mark,
    /// The variables that its text came from, if any: such a text is never shown.
    pub(crate) variable: Option<Rc<str>>,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping, with its place.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

impl Node {
    pub(crate) fn new(value: Yaml, place: Place) -> Self {
        Self { value, place, mark: Mark::None, variable: None }
    }

    pub(crate) fn text(text: impl Into<String>, place: &Place) -> Self {
        Self::new(Yaml::Text(text.into()), place.clone())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Yaml::Map(map) => map.iter().find(|(k, _)| k.name == name).map(|(_, v)| v),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        match &mut self.value {
            Yaml::Map(map) => map.iter_mut().find(|(k, _)| k.name == name).map(|(_, v)| v),
            _ => None,
        }
    }

    pub(crate) fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Yaml::Map(map) => map,
            _ => &[],
        }
    }

    pub(crate) fn entries_mut(&mut self) -> &mut [(Key, Node)] {
        match &mut self.value {
            Yaml::Map(map) => map,
            _ => &mut [],
        }
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Yaml::List(list) => list,
            _ => &[],
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Yaml::Text(t) => Some(t),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Yaml::Null)
    }

    /// Puts or replaces an entry of a mapping.
    pub(crate) fn set(&mut self, name: &str, node: Node) {
        if let Yaml::Map(map) = &mut self.value {
            match map.iter_mut().find(|(k, _)| k.name == name) {
                Some((_, v)) => *v = node,
                None => map.push((Key { name: name.to_owned(), place: node.place.clone() }, node)),
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Node> {
        match &mut self.value {
            Yaml::Map(map) => map.iter().position(|(k, _)| k.name == name).map(|i| map.remove(i).1),
            _ => None,
        }
    }

    /// The scalar as docker compose turns it into text; none for lists and maps.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Yaml::Null => Some(String::new()),
            Yaml::Bool(b) => Some(b.to_string()),
            Yaml::Int(i) => Some(i.to_string()),
            Yaml::Float(f) => Some(scalar::float_text(*f)),
            Yaml::Text(t) => Some(t.clone()),
            Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    /// What kind of value this is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "a boolean",
            Yaml::Int(_) | Yaml::Float(_) => "a number",
            Yaml::Text(_) => "a text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a mapping",
        }
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.value {
            Yaml::Null => Value::Null,
            Yaml::Bool(b) => Value::Bool(*b),
            Yaml::Int(i) => Value::from(*i),
            Yaml::Float(f) => Value::from(*f),
            Yaml::Text(t) => Value::String(t.clone()),
            Yaml::List(l) => Value::Array(l.iter().map(Node::to_json).collect()),
            Yaml::Map(m) => Value::Object(m.iter().map(|(k, v)| (k.name.clone(), v.to_json())).collect()),
        }
    }

    /// Notes on this node and all below it how they came here.
    pub(crate) fn chain(&mut self, text: &str) {
        let link = |before: &Option<Rc<Link>>| Some(Rc::new(Link { text: text.to_owned(), before: before.clone() }));
        self.place.chain = link(&self.place.chain);
        match &mut self.value {
            Yaml::List(l) => l.iter_mut().for_each(|n| n.chain(text)),
            Yaml::Map(m) => m.iter_mut().for_each(|(k, v)| {
                k.place.chain = link(&k.place.chain);
                v.chain(text);
            }),
            _ => {}
        }
    }
}

impl Place {
    pub(crate) fn diagnostic(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        let mut chain = Vec::new();
        let mut link = self.chain.as_ref();
        while let Some(l) = link {
            chain.push(l.text.clone());
            link = l.before.as_ref();
        }
        Diagnostic {
            file: self.file.to_string(),
            line: self.line,
            column: self.column,
            path: path.to_owned(),
            message: message.into(),
            suggestion: None,
            chain,
        }
    }
}

/// Deeper nesting is refused.
const DEPTH: usize = 200;
/// More nodes, aliases written out, are refused.
const NODES: usize = 1_000_000;
/// Larger files are refused.
pub(crate) const BYTES: usize = 32 << 20;

struct Reader {
    file: Rc<str>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

enum Frame {
    List { node: Node, anchor: usize, from: usize },
    Map { node: Node, key: Option<Key>, anchor: usize, from: usize, merges: Vec<Node> },
}

/// Reads all documents of a file.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Node>, Box<Diagnostic>> {
    let mut reader = Reader { file: Rc::from(file), anchors: HashMap::new(), nodes: 0 };
    if let Some(at) = text.find('\0') {
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() as u32 + 1;
        return Err(Box::new(reader.place(line, 1).diagnostic("", "the file holds a NUL character")));
    }
    let mut documents = Vec::new();
    let mut stack: Vec<Frame> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| {
            let marker = e.marker();
            Box::new(reader.place(marker.line() as u32, marker.col() as u32 + 1).diagnostic("", format!("this is not YAML: {}", e.info())))
        })?;
        let place = reader.place(span.start.line() as u32, span.start.col() as u32 + 1);
        if stack.len() > DEPTH {
            return Err(Box::new(place.diagnostic("", format!("the file is nested deeper than {DEPTH}"))));
        }
        reader.nodes += 1;
        if reader.nodes > NODES {
            return Err(Box::new(place.diagnostic("", "the file is too large when its aliases are written out")));
        }
        let done = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let mut node = Node::new(scalar::resolve(&text, plain, tag.as_deref()), place);
                node.mark = mark(tag.as_deref());
                Some((node, anchor, reader.nodes))
            }
            Event::SequenceStart(anchor, tag) => {
                let mut node = Node::new(Yaml::List(Vec::new()), place);
                node.mark = mark(tag.as_deref());
                stack.push(Frame::List { node, anchor, from: reader.nodes });
                None
            }
            Event::MappingStart(anchor, tag) => {
                let mut node = Node::new(Yaml::Map(Vec::new()), place);
                node.mark = mark(tag.as_deref());
                stack.push(Frame::Map { node, key: None, anchor, from: reader.nodes, merges: Vec::new() });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Frame::List { node, anchor, from }) => Some((node, anchor, from)),
                Some(Frame::Map { mut node, anchor, from, merges, .. }) => {
                    apply_merges(&mut node, merges)?;
                    Some((node, anchor, from))
                }
                None => None,
            },
            Event::Alias(anchor) => {
                let Some((node, size)) = reader.anchors.get(&anchor) else {
                    return Err(Box::new(place.diagnostic("", "the alias stands inside of its own anchor, or before it")));
                };
                reader.nodes += size;
                if reader.nodes > NODES {
                    return Err(Box::new(place.diagnostic("", "the file is too large when its aliases are written out")));
                }
                let node = node.clone();
                let from = reader.nodes;
                Some((node, 0, from))
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => None,
        };
        let Some((node, anchor, from)) = done else { continue };
        if anchor > 0 {
            let size = reader.nodes.saturating_sub(from) + 1;
            reader.anchors.insert(anchor, (node.clone(), size));
        }
        match stack.last_mut() {
            None => documents.push(node),
            Some(Frame::List { node: list, .. }) => {
                if let Yaml::List(items) = &mut list.value {
                    items.push(node);
                }
            }
            Some(Frame::Map { node: map, key, merges, .. }) => match key.take() {
                None => {
                    let Some(name) = node.scalar_text() else {
                        return Err(Box::new(node.place.diagnostic("", "a key must be a text, and this is a list or a mapping")));
                    };
                    *key = Some(Key { name, place: node.place });
                }
                Some(k) if k.name == "<<" => merges.push(node),
                Some(k) => {
                    if let Yaml::Map(entries) = &mut map.value {
                        if let Some((first, _)) = entries.iter().find(|(e, _)| e.name == k.name) {
                            let message = format!("the key `{}` stands here a second time; first in line {}", crate::error::escape(&k.name), first.place.line);
                            return Err(Box::new(k.place.diagnostic("", message)));
                        }
                        entries.push((k, node));
                    }
                }
            },
        }
    }
    Ok(documents)
}

impl Reader {
    fn place(&self, line: u32, column: u32) -> Place {
        Place { file: self.file.clone(), line, column, chain: None }
    }
}

fn mark(tag: Option<&YamlTag>) -> Mark {
    match tag.map(|t| t.suffix.as_str()) {
        Some("reset") => Mark::Reset,
        Some("override") => Mark::Override,
        _ => Mark::None,
    }
}

/// `<<`: entries of the mappings that are named, where the mapping itself has none; the first one wins.
fn apply_merges(node: &mut Node, merges: Vec<Node>) -> Result<(), Box<Diagnostic>> {
    for merge in merges {
        let sources = match merge.value {
            Yaml::Map(_) => vec![merge],
            Yaml::List(list) => list,
            _ => return Err(Box::new(merge.place.diagnostic("", "`<<` needs a mapping or a list of mappings"))),
        };
        for source in sources {
            let Yaml::Map(entries) = source.value else {
                return Err(Box::new(source.place.diagnostic("", "`<<` needs a mapping or a list of mappings")));
            };
            if let Yaml::Map(own) = &mut node.value {
                for (key, value) in entries {
                    if !own.iter().any(|(k, _)| k.name == key.name) {
                        own.push((key, value));
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> serde_json::Value {
        parse("f", text).unwrap().remove(0).to_json()
    }

    #[test]
    fn scalars_as_go_reads_them() {
        assert_eq!(
            json("{a: 0777, b: 1_000, c: yes, d: true, e: 1.5, f: '1', g: ~, h: 0x10, i: 0b11, j: 0o17, k: null, l: .5}").to_string(),
            r#"{"a":511,"b":1000,"c":"yes","d":true,"e":1.5,"f":"1","g":null,"h":16,"i":3,"j":15,"k":null,"l":0.5}"#
        );
    }

    #[test]
    fn merge_keys_and_aliases() {
        assert_eq!(json("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n").to_string(), r#"{"x":{"a":1,"b":2},"y":{"b":3,"a":1}}"#);
    }

    #[test]
    fn wrong_files_say_where() {
        let e = parse("f.yaml", "a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!((e.line, e.column), (3, 1));
        assert!(parse("f", "a: &a {<<: *a}\n").is_err());
        assert!(parse("f", "a: [1\n").is_err());
        assert!(parse("f", &"[".repeat(1000)).is_err());
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for i in 1..12 {
            let prev = format!("*a{}", i - 1);
            text.push_str(&format!("a{i}: &a{i} [{}]\n", vec![prev; 10].join(",")));
        }
        assert!(parse("f", &text).unwrap_err().message.contains("too large"));
    }
}
