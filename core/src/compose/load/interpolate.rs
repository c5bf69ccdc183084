//! Variables in texts: `$VAR`, `${VAR}`, `:-`, `-`, `:?`, `?`, `:+`, `+`, and `$$` for a dollar.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    Problems, casts,
    filled::Filled,
    node::{Mark, Node, Yaml},
    trail::Trail,
};

/// Texts that grow beyond this are refused.
const LONGEST: usize = 4 << 20;
/// So many bytes may the values have that one text asks for.
const MOST_LOOKED: usize = 16 << 20;

/// What interpolating a text came to.
pub(crate) struct Outcome {
    pub(crate) text: String,
    /// The variables that were used.
    pub(crate) used: Vec<String>,
    /// How many bytes the values have that were looked at, wanted or not.
    pub(crate) looked: usize,
}

impl Outcome {
    /// Whether the text holds nothing that does not stand in the file: no variable that was looked at has a value.
    fn is_written(&self) -> bool {
        self.looked == 0
    }
}

/// The variables of a text: how many there were, and the names of the first ones.
#[derive(Default)]
struct Used {
    count: usize,
    looked: usize,
    names: Vec<String>,
    /// Where the outermost expression begins that was filled in last.
    at: usize,
}

impl Used {
    const NAMED: usize = 20;

    fn look(&mut self, name: &str, lookup: Lookup<'_>) -> Result<Option<String>, Wrong> {
        self.add(name);
        let value = lookup(name);
        self.looked += value.as_ref().map_or(0, String::len);
        if self.looked > MOST_LOOKED { Err(Wrong::TooLong) } else { Ok(value) }
    }

    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < Self::NAMED && self.names.last().is_none_or(|last| last != name) {
            self.names.push(name.to_owned());
        }
    }
}

/// Why a text could not be interpolated; never holds a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Form,
    /// `clean`: its message holds no variable's value.
    Required {
        name: String,
        message: String,
        clean: bool,
    },
    TooLong,
}

impl Wrong {
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Form => "the variable is written wrongly; write ${NAME} or ${NAME:-default}, and $$ for a dollar".to_owned(),
            Self::TooLong => "the text is too long when its variables are filled in".to_owned(),
            Self::Required { name, message, clean } if *clean && !message.is_empty() => {
                format!("the variable `{name}` is required and has no value: {}", crate::error::escape(message))
            }
            Self::Required { name, .. } => format!("the variable `{name}` is required and has no value"),
        }
    }
}

/// Where the values come from.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces the variables of `text`. `missing` is told of names that have no value and no default.
pub(crate) fn text(text: &str, lookup: Lookup<'_>, missing: &mut dyn FnMut(&str)) -> Result<Outcome, Wrong> {
    placed(text, lookup, missing).map_err(|(wrong, _)| wrong)
}

/// The same; what is wrong comes with the place in `text` where its expression begins.
pub(crate) fn placed(text: &str, lookup: Lookup<'_>, missing: &mut dyn FnMut(&str)) -> Result<Outcome, (Wrong, usize)> {
    let mut used = Used::default();
    let out = expand(text, lookup, missing, &mut used, 0).map_err(|wrong| (wrong, used.at))?;
    Ok(Outcome { text: out, used: used.names, looked: used.looked })
}

fn name_length(text: &str) -> usize {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts { text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len()) } else { 0 }
}

fn expand(text: &str, lookup: Lookup<'_>, missing: &mut dyn FnMut(&str), used: &mut Used, depth: usize) -> Result<String, Wrong> {
    if depth > 50 {
        return Err(Wrong::Form);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        if depth == 0 {
            used.at = text.len() - rest.len() + at;
        }
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let tail = tail.get(1..).unwrap_or_default();
        if let Some(after) = tail.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = tail.strip_prefix('{') {
            let end = closing(inner).ok_or(Wrong::Form)?;
            let (body, after) = inner.split_at(end);
            out.push_str(&braced(body, lookup, missing, used, depth)?);
            rest = after.get(1..).unwrap_or_default();
        } else {
            let length = name_length(tail);
            if length == 0 {
                out.push('$');
                rest = tail;
            } else {
                let (name, after) = tail.split_at(length);
                match used.look(name, lookup)? {
                    Some(value) => out.push_str(&value),
                    None => missing(name),
                }
                rest = after;
            }
        }
        if out.len() > LONGEST {
            return Err(Wrong::TooLong);
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The end of a braced expression, with nested ones inside of it.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if previous == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        previous = c;
    }
    None
}

fn braced(body: &str, lookup: Lookup<'_>, missing: &mut dyn FnMut(&str), used: &mut Used, depth: usize) -> Result<String, Wrong> {
    let length = name_length(body);
    if length == 0 {
        return Err(Wrong::Form);
    }
    let (name, operation) = body.split_at(length);
    let value = used.look(name, lookup)?;
    if operation.is_empty() {
        return Ok(value.unwrap_or_else(|| {
            missing(name);
            String::new()
        }));
    }
    let filled = value.as_ref().is_some_and(|v| !v.is_empty());
    for (sign, decides) in [(":-", filled), (":?", filled), (":+", filled), ("-", value.is_some()), ("?", value.is_some()), ("+", value.is_some())] {
        let Some(text) = operation.strip_prefix(sign) else { continue };
        // The operand is filled in first, wanted or not: what is wrong in it is told in any case.
        let before = used.count;
        let operand = expand(text, lookup, missing, used, depth + 1)?;
        let clean = used.count == before;
        return match (sign.trim_start_matches(':'), decides) {
            ("-" | "?", true) => Ok(value.unwrap_or_default()),
            ("?", false) => Err(Wrong::Required { name: name.to_owned(), message: operand, clean }),
            ("+", false) => Ok(String::new()),
            _ => Ok(operand),
        };
    }
    Err(Wrong::Form)
}

/// Replaces the variables in all texts of a tree, and turns texts at typed places into their types. Keys are left as
/// they are.
pub(crate) fn tree(node: &mut Node, env: &BTreeMap<String, String>, problems: &mut Problems) {
    let lookup = |name: &str| env.get(name).cloned();
    walk(node, &Trail::ROOT, &lookup, problems);
}

/// Turns texts at typed places into their types, and leaves dollars alone.
pub(crate) fn typed(node: &mut Node, problems: &mut Problems) {
    fn walk(node: &mut Node, trail: &Trail<'_>, problems: &mut Problems) {
        match &mut node.value {
            Yaml::Text(_) => {
                if let Some(cast) = casts::at(trail) {
                    casts::apply(node, cast, trail, problems);
                }
            }
            Yaml::List(list) => Rc::make_mut(list).iter_mut().enumerate().for_each(|(i, item)| walk(item, &trail.index(i), problems)),
            Yaml::Map(map) => Rc::make_mut(map).iter_mut().for_each(|(key, value)| walk(value, &trail.key(&key.name), problems)),
            _ => {}
        }
    }
    walk(node, &Trail::ROOT, problems);
}

fn wants_change(node: &Node) -> bool {
    match &node.value {
        Yaml::Text(t) => t.contains('$'),
        Yaml::List(list) => list.iter().any(wants_change),
        Yaml::Map(map) => map.iter().any(|(_, v)| wants_change(v)),
        _ => false,
    }
}

fn walk(node: &mut Node, trail: &Trail<'_>, lookup: Lookup<'_>, problems: &mut Problems) {
    // What is taken away is never read.
    if node.mark == Mark::Reset {
        return;
    }
    match &mut node.value {
        Yaml::Text(t) => {
            if t.contains('$') {
                scalar(node, trail, lookup, problems);
            }
            if let Yaml::Text(_) = &node.value
                && let Some(cast) = casts::at(trail)
            {
                casts::apply(node, cast, trail, problems);
            }
        }
        Yaml::List(list) => {
            if Rc::strong_count(list) > 1 && !list.iter().any(wants_change) && !trail.has_casts() {
                return;
            }
            for (i, item) in Rc::make_mut(list).iter_mut().enumerate() {
                walk(item, &trail.index(i), lookup, problems);
            }
        }
        Yaml::Map(map) => {
            if Rc::strong_count(map) > 1 && !map.iter().any(|(_, v)| wants_change(v)) && !trail.has_casts() {
                return;
            }
            for (key, value) in Rc::make_mut(map).iter_mut() {
                walk(value, &trail.key(&key.name), lookup, problems);
            }
        }
        _ => {}
    }
}

fn scalar(node: &mut Node, trail: &Trail<'_>, lookup: Lookup<'_>, problems: &mut Problems) {
    let Yaml::Text(t) = &node.value else { return };
    let mut unset: Vec<String> = Vec::new();
    // Once there is too much, no more is made.
    let found = if problems.left.is_spent() { Err(Wrong::TooLong) } else { text(t, lookup, &mut |name| note(&mut unset, name)) };
    for name in &unset {
        if problems.warnings.is_full() {
            break;
        }
        let mut d = node.place.diagnostic(&trail.path(), format!("the variable `{name}` is not set; an empty text is used"));
        d.chain.insert(0, format!("interpolated from ${name}"));
        problems.warnings.push(d);
    }
    match found.and_then(|o| {
        let left = &mut problems.left;
        left.bytes(o.text.len()).and_then(|()| left.work(o.looked / super::limits::TEXT)).map(|()| o).map_err(|_| Wrong::TooLong)
    }) {
        Ok(outcome) => {
            if !outcome.used.is_empty() {
                node.variable = Some(Filled::new(&outcome.used, unset, !outcome.is_written()));
            }
            node.value = Yaml::Text(outcome.text);
        }
        Err(wrong) => {
            problems.errors.push(node.place.diagnostic(&trail.path(), wrong.message()));
            node.value = Yaml::Broken;
        }
    }
}

/// Notes a name that has no value; nobody reads all of many.
pub(crate) fn note(unset: &mut Vec<String>, name: &str) {
    const MOST: usize = 50;
    if unset.len() < MOST && !unset.iter().any(|n| n == name) {
        unset.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(template: &str) -> Result<String, Wrong> {
        let lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "E" => Some(String::new()),
            _ => None,
        };
        text(template, &lookup, &mut |_| {}).map(|o| o.text)
    }

    #[test]
    fn all_forms() {
        for (template, expected) in [
            ("$A", "a"),
            ("${A}x", "ax"),
            ("$$A", "$A"),
            ("$1 $ x$", "$1 $ x$"),
            ("${U:-d}", "d"),
            ("${E:-d}", "d"),
            ("${E-d}", ""),
            ("${U-d}", "d"),
            ("${A:+y}", "y"),
            ("${E:+y}", ""),
            ("${E+y}", "y"),
            ("${U+y}", ""),
            ("${U:-${A}b}", "ab"),
            ("${U:-${U:-z}}", "z"),
            ("${A:?no}", "a"),
            ("${E?no}", ""),
            ("${U}", ""),
            ("${U:-a:b-c}", "a:b-c"),
            ("${U:-$$x}", "$x"),
        ] {
            assert_eq!(run(template).as_deref(), Ok(expected), "{template}");
        }
        assert_eq!(run("${U:?needed}"), Err(Wrong::Required { name: "U".into(), message: "needed".into(), clean: true }));
        assert_eq!(run("${U:?$A}"), Err(Wrong::Required { name: "U".into(), message: "a".into(), clean: false }));
        assert!(run("${A:-${U:?no}}").is_err());
        for wrong in ["${A", "${}", "${1A}", "${a.b}", "${A!}"] {
            assert_eq!(run(wrong), Err(Wrong::Form), "{wrong}");
        }
    }
}
