//! YAML text to a tree in which every node knows its place. Aliases share what they name; what they would come to when
//! written out, depth and bytes are bounded.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag as YamlTag};

use super::{
    limits,
    node::{Entries, Key, Mark, Node, Place, Source, Yaml, key_text},
    scalar,
};
use crate::error::Diagnostic;

/// Deeper nesting is refused.
const DEPTH: usize = 200;
/// More nodes, aliases written out, are refused.
pub(crate) const NODES: usize = 800_000;
/// Longer keys are refused, as YAML says.
const LONGEST_KEY: usize = 1024;
/// Larger files are refused.
pub(crate) const BYTES: usize = 8 << 20;

struct Reader {
    source: Rc<Source>,
    anchors: HashMap<usize, (Node, usize)>,
    open: HashSet<usize>,
    nodes: usize,
}

struct Frame {
    kind: Kind,
    place: Place,
    mark: Mark,
    anchor: usize,
    /// How many nodes there were before it.
    from: usize,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Entries, key: Option<Key>, merges: Vec<Node>, merge: Option<Place> },
}

type Wrong = Box<Diagnostic>;

/// So often is a text read again with a tab less.
const TABS: usize = 20;
/// So many bytes are read again in all.
const AGAIN: usize = 2 << 20;

/// Reads all documents of a file.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Node>, Wrong> {
    let mut found = read(file, text);
    // A tab between a key and its value is white space; the parser takes none there.
    let mut changed = if found.is_err() { text.to_owned() } else { String::new() };
    let mut again = AGAIN;
    for _ in 0..TABS {
        let Err(wrong) = &found else { break };
        if again < text.len() || !without_tab(&mut changed, wrong) {
            break;
        }
        again -= text.len();
        match read(file, &changed) {
            Err(next) if (next.line, next.column) == (wrong.line, wrong.column) => break,
            next => found = next,
        }
    }
    found
}

/// Puts a space in the place of the tab that a problem is about, when something stands before it in its line.
fn without_tab(text: &mut String, wrong: &Diagnostic) -> bool {
    let Some(line) = (wrong.line as usize).checked_sub(1) else { return false };
    let Some(start) = text.split_inclusive('\n').take(line).map(str::len).reduce(|a, b| a + b).or((line == 0).then_some(0)) else { return false };
    let rest = text.get(start..).unwrap_or_default();
    let rest = rest.split('\n').next().unwrap_or_default();
    let column = wrong.column as usize;
    let near =
        rest.char_indices().enumerate().filter(|(i, (_, c))| *c == '\t' && (column.saturating_sub(3)..=column).contains(i)).map(|(_, (at, _))| at).last();
    let Some(at) = near.filter(|at| rest.get(..*at).is_some_and(|before| before.trim_end().ends_with(':'))) else { return false };
    text.replace_range(start + at..=start + at, " ");
    true
}

fn read(file: &str, text: &str) -> Result<Vec<Node>, Wrong> {
    let mut reader = Reader { source: Source::new(file), anchors: HashMap::new(), open: HashSet::new(), nodes: 0 };
    let text = &usual_breaks(text.strip_prefix('\u{feff}').unwrap_or(text));
    if let Some((line, column, c)) = control(text) {
        let mut d = reader.wrong(line, column, format!("the file holds the character U+{:04X}, which YAML does not allow", u32::from(c)));
        d.path = path_at(text, line);
        return Err(d);
    }
    if let Some(line) = unknown_directive(text) {
        return Err(reader.wrong(line, 1, "this directive is not known: YAML has %YAML and %TAG"));
    }
    let mut documents = Vec::new();
    let mut stack: Vec<Frame> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| {
            let marker = e.marker();
            // The parser's own words for some problems quote the text; these do not.
            let info = e.info();
            let info = match info.split(['`', '\'', '"']).next().unwrap_or(info).trim_end() {
                "" => "a character does not belong here",
                info => info,
            };
            let (line, column) = (marker.line() as u32, marker.col() as u32 + 1);
            let anchor = info.ends_with("unknown anchor").then(|| alias_at(text, line, column)).flatten();
            let message = match &anchor {
                Some(name) => format!("unknown anchor `{}`", crate::error::escape(name)),
                None => format!("this is not YAML: {info}"),
            };
            let mut d = reader.wrong(line, column, message);
            d.path = Some(path(&stack)()).filter(|p| !p.is_empty()).unwrap_or_else(|| path_at(text, line));
            d.expected = Some(if anchor.is_some() { "an anchor that stands above" } else { "YAML" }.to_owned());
            d
        })?;
        let place = Place::new(&reader.source, span.start.line() as u32, span.start.col() as u32 + 1);
        if stack.len() > DEPTH {
            return Err(reader.at(&place, &stack, format!("the file is nested deeper than {DEPTH}")));
        }
        reader.nodes += 1;
        if reader.nodes > NODES {
            return Err(reader.at(&place, &stack, format!("the file has more than {NODES} values when its aliases are written out")));
        }
        let done = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mark = mark(tag.as_deref());
                let from = reader.nodes;
                reader.nodes += text.len() / limits::TEXT;
                let Some(value) = scalar::resolve(&text, style == ScalarStyle::Plain, tag.as_deref()) else {
                    return Err(reader.at(&place, &stack, "the value does not fit its tag"));
                };
                Some((Node { mark, ..Node::new(value, &place) }, anchor, from, style == ScalarStyle::Plain && &*text == "<<"))
            }
            Event::SequenceStart(anchor, tag) => {
                reader.open.insert(anchor);
                stack.push(Frame { kind: Kind::List(Vec::new()), place, mark: mark(tag.as_deref()), anchor, from: reader.nodes });
                None
            }
            Event::MappingStart(anchor, tag) => {
                reader.open.insert(anchor);
                let kind = Kind::Map { entries: Entries::default(), key: None, merges: Vec::new(), merge: None };
                stack.push(Frame { kind, place, mark: mark(tag.as_deref()), anchor, from: reader.nodes });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Frame { kind, place, mark, anchor, from }) => {
                    reader.open.remove(&anchor);
                    let value = match kind {
                        Kind::List(mut items) => {
                            items.shrink_to_fit();
                            Yaml::List(Rc::new(items))
                        }
                        Kind::Map { mut entries, merges, .. } => {
                            entries.shrink();
                            Yaml::Map(Rc::new(apply_merges(entries, merges).map_err(|p| reader.at(&p, &stack, "`<<` needs a mapping or a list of mappings"))?))
                        }
                    };
                    let mut node = Node { mark, ..Node::new(value, &place) };
                    if mark == Mark::Override {
                        unmark(&mut node);
                    }
                    Some((node, anchor, from, false))
                }
                None => None,
            },
            Event::Alias(anchor) => {
                let Some((node, size)) = reader.anchors.get(&anchor).filter(|_| !reader.open.contains(&anchor)) else {
                    return Err(reader.at(&place, &stack, "the alias stands inside of its own anchor, or before it"));
                };
                reader.nodes = reader.nodes.saturating_add(*size);
                if reader.nodes > NODES {
                    return Err(reader.at(&place, &stack, format!("the file has more than {NODES} values when its aliases are written out")));
                }
                Some((node.clone(), 0, reader.nodes, false))
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => None,
        };
        let Some((node, anchor, from, is_merge)) = done else { continue };
        if anchor > 0 {
            // Each is kept, which takes more than its value does.
            reader.nodes += 3;
            let size = reader.nodes.saturating_sub(from) + 1;
            reader.anchors.insert(anchor, (without_resets(&node), size));
        }
        let path = path(&stack);
        let is_item = matches!(stack.as_slice(), [.., Frame { kind: Kind::List(_), .. }, _]);
        match stack.last_mut().map(|f| &mut f.kind) {
            None => documents.push(node),
            Some(Kind::List(items)) if node.mark != Mark::Reset => items.push(Node { mark: Mark::None, ..node }),
            Some(Kind::List(_)) => {}
            Some(Kind::Map { entries, key, merges, merge }) => match key.take() {
                None => {
                    let name: Rc<str> = match &node.value {
                        Yaml::Text(name) => key_text(name),
                        _ => return Err(Box::new(node.place.diagnostic(&path(), no_key(&node, is_item && entries.is_empty())))),
                    };
                    if name.len() > LONGEST_KEY {
                        return Err(Box::new(node.place.diagnostic(&path(), format!("a key may have {LONGEST_KEY} bytes at most"))));
                    }
                    if is_merge && merge.is_none() {
                        *merge = Some(node.place.clone());
                        *key = Some(Key { name: Rc::from(""), place: node.place });
                        continue;
                    }
                    let first = if is_merge { merge.as_ref().map(|p| p.line) } else { entries.find(&name).map(|(k, _)| k.place.line) };
                    if let Some(line) = first {
                        let message = format!("the key `{}` stands here a second time; first in line {line}", crate::error::escape(&name));
                        return Err(Box::new(node.place.diagnostic(&super::join(&path(), &name), message)));
                    }
                    *key = Some(Key { name, place: node.place });
                }
                Some(k) if k.name.is_empty() && merge.as_ref() == Some(&k.place) => merges.push(node),
                Some(k) => entries.set(k, node),
            },
        }
    }
    Ok(documents)
}

/// Why a value is no key. One that begins an item is most likely a port whose colon a blank follows.
fn no_key(node: &Node, begins_item: bool) -> String {
    let hint = match &node.value {
        Yaml::Int(number) if begins_item => format!(": the blank after the colon makes it a key; without one it is a text, such as \"{number}:80\""),
        _ => String::new(),
    };
    format!("a key must be a text, and this is {}{hint}", node.kind())
}

/// The name of the alias at a place.
fn alias_at(text: &str, line: u32, column: u32) -> Option<String> {
    const LONGEST: usize = 100;
    let mut rest = text.split('\n').nth((line as usize).checked_sub(1)?)?.chars().skip((column as usize).checked_sub(1)?);
    (rest.next() == Some('*')).then(|| rest.take(LONGEST).take_while(|c| !c.is_whitespace() && !matches!(c, ',' | '[' | ']' | '{' | '}')).collect())
}

/// Line breaks of old systems become the usual one.
fn usual_breaks(text: &str) -> std::borrow::Cow<'_, str> {
    let bytes = text.as_bytes();
    let old = |(i, b): (usize, &u8)| (*b == b'\r' && bytes.get(i + 1) != Some(&b'\n')) || (*b == 0xc2 && bytes.get(i + 1) == Some(&0x85));
    if !bytes.iter().enumerate().any(old) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let lone = c == '\r' && chars.peek() != Some(&'\n');
        out.push(match c {
            _ if lone => '\n',
            '\u{85}' => ' ',
            c => c,
        });
    }
    out.into()
}

/// The line of a directive at the beginning of the file that YAML does not have.
fn unknown_directive(text: &str) -> Option<u32> {
    let head = text.lines().enumerate().take_while(|(_, l)| l.is_empty() || l.starts_with(['#', '%']));
    let mut directives = head.filter(|(_, l)| l.starts_with('%'));
    directives.find(|(_, l)| !["%YAML ", "%TAG "].iter().any(|known| l.starts_with(known))).map(|(i, _)| i as u32 + 1)
}

/// Inside of `!override`, marks mean nothing.
fn unmark(node: &mut Node) {
    match &mut node.value {
        Yaml::Map(map) => {
            for (_, value) in Rc::make_mut(map).iter_mut() {
                value.mark = Mark::None;
                unmark(value);
            }
        }
        Yaml::List(list) => Rc::make_mut(list).iter_mut().for_each(unmark),
        _ => {}
    }
}

/// What an alias stands for: `!reset` counts where it is written only.
fn without_resets(node: &Node) -> Node {
    let Yaml::Map(map) = &node.value else { return node.clone() };
    if !map.iter().any(|(_, v)| v.mark == Mark::Reset) {
        return node.clone();
    }
    let mut map = (**map).clone();
    map.retain(|_, v| v.mark != Mark::Reset);
    Node { value: Yaml::Map(Rc::new(map)), ..node.clone() }
}

/// The key path of what is open.
fn path(stack: &[Frame]) -> impl Fn() -> String + use<> {
    let mut parts: Vec<Result<Rc<str>, usize>> = Vec::new();
    // Built when it is asked for only: names are shared, so this costs a pointer each.
    if stack.len() < 32 {
        parts.extend(stack.iter().filter_map(|f| match &f.kind {
            Kind::List(items) => Some(Err(items.len())),
            // The key of a merge has no name.
            Kind::Map { key: Some(k), merge, .. } if k.name.is_empty() && merge.as_ref() == Some(&k.place) => Some(Ok(key_text("<<"))),
            Kind::Map { key, .. } => key.as_ref().map(|k| Ok(k.name.clone())),
        }));
    }
    move || {
        parts.iter().fold(String::new(), |out, part| match part {
            Ok(name) => super::join(&out, name),
            Err(at) => format!("{out}[{at}]"),
        })
    }
}

impl Reader {
    fn wrong(&self, line: u32, column: u32, message: impl Into<String>) -> Wrong {
        Box::new(Place::new(&self.source, line, column).diagnostic("", message))
    }

    fn at(&self, place: &Place, stack: &[Frame], message: impl Into<String>) -> Wrong {
        Box::new(place.diagnostic(&path(stack)(), message))
    }
}

/// The key path of a line, as its indentation tells it: for problems that come before there is a tree.
pub(super) fn path_at(text: &str, line: u32) -> String {
    let mut keys: Vec<(usize, &str)> = Vec::new();
    for line in text.split('\n').take(line as usize) {
        let bare = line.trim_start_matches(' ').trim_start_matches("- ");
        let Some((key, _)) = bare.split_once(':') else { continue };
        let key = key.trim_matches(['"', '\'', ' ', '{', '\t']);
        if key.is_empty() || key.len() > 60 || key.starts_with('#') || !key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
            continue;
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        keys.retain(|(i, _)| *i < indent);
        keys.push((indent, key));
    }
    keys.iter().fold(String::new(), |out, (_, key)| super::join(&out, key))
}

/// A character that no YAML file may hold, and its place.
fn control(text: &str) -> Option<(u32, u32, char)> {
    let bad =
        |c: char| matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\x7f' | '\u{fffe}' | '\u{ffff}' | '\u{80}'..='\u{84}' | '\u{86}'..='\u{9f}');
    let (at, c) = text.char_indices().find(|(_, c)| bad(*c))?;
    let before = text.get(..at)?;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count());
    Some((before.matches('\n').count() as u32 + 1, column as u32 + 1, c))
}

fn mark(tag: Option<&YamlTag>) -> Mark {
    match tag.map(|t| (t.handle.as_str(), t.suffix.as_str())) {
        Some(("!", "reset")) => Mark::Reset,
        Some(("!", "override")) => Mark::Override,
        _ => Mark::None,
    }
}

/// `<<`: entries of the mappings that are named, where the mapping itself has none; the first one wins.
fn apply_merges(mut own: Entries, merges: Vec<Node>) -> Result<Entries, Place> {
    for merge in merges {
        let sources = match &merge.value {
            Yaml::Map(_) => std::slice::from_ref(&merge),
            Yaml::List(list) => list.as_slice(),
            _ => return Err(merge.place),
        };
        for source in sources {
            let Yaml::Map(entries) = &source.value else { return Err(source.place.clone()) };
            for (key, value) in entries.iter() {
                if own.get(&key.name).is_none() {
                    own.set(key.clone(), value.clone());
                }
            }
        }
    }
    Ok(own)
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
        for wrong in ["a: &a {<<: *a}\n", "a: [1\n", &"[".repeat(1000), "{<<: {a: 1}, <<: {b: 1}}", "1: a", "? [a]\n: b", "a: \0"] {
            let e = parse("f", wrong).unwrap_err();
            assert!(e.line > 0 && e.column > 0, "{e:?}");
        }
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for i in 1..12 {
            let prev = format!("*a{}", i - 1);
            text.push_str(&format!("a{i}: &a{i} [{}]\n", vec![prev; 10].join(",")));
        }
        assert!(parse("f", &text).unwrap_err().message.contains("aliases"));
    }
}
