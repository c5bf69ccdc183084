//! The forms that values of attributes have: each checks a value and turns it into its canonical form.

use super::{
    Problems, join,
    yaml::{Key, Mark, Node, Yaml},
};
use crate::error::{Diagnostic, nearest};

/// A table of the attributes of an object.
pub(crate) type Attributes = &'static [(&'static str, Form)];

/// The form of a value.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// A text; numbers and booleans become one.
    Text,
    /// A boolean, or a text that means one.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Number,
    /// A size, as a number of bytes.
    Size,
    /// A duration, as Go writes it.
    Duration,
    /// A mode, as octal text.
    Mode,
    /// A list of texts.
    Texts,
    /// A list of texts, or one text.
    OneOrTexts,
    /// Words: a list, or a text that is split as a shell would.
    Words,
    /// `KEY=value` list or mapping; absent values become empty texts.
    Pairs,
    /// `KEY=value` list or mapping; absent values stay absent.
    PairsOrNull,
    /// Hosts: `name:address` or `name=address` list, or mapping; becomes a list of `name=address`.
    Hosts,
    /// A mapping of texts.
    TextMap,
    /// A text out of these.
    OneOf(&'static [&'static str]),
    /// An object with these attributes.
    Object(Attributes),
    /// An object or nothing.
    ObjectOrNull(Attributes),
    /// A mapping of objects.
    Map(Attributes),
    /// A mapping of objects or nothing.
    MapOrNull(Attributes),
    /// A list of objects.
    List(Attributes),
    /// A mapping whose values have a form of their own.
    MapOf(&'static Form),
    /// A list whose items are first made canonical by a function, and may become several.
    Short(fn(&Node) -> Result<Vec<Node>, String>, Attributes),
    /// A value that is first made canonical by a function, then read as this form.
    Via(fn(Node) -> Result<Node, String>, &'static Form),
    /// Anything.
    Any,
}

/// Checks `node` against `form` and makes it canonical. What is wrong is noted, and the value dropped.
pub(crate) fn apply(node: &mut Node, form: Form, path: &str, problems: &mut Problems) {
    if node.mark == Mark::Reset {
        return;
    }
    if node.is_null() && !matches!(form, Form::ObjectOrNull(_) | Form::Any | Form::Object(_) | Form::Map(_) | Form::MapOrNull(_) | Form::Via(..)) {
        return;
    }
    let place = node.place.clone();
    let variable = node.variable.clone();
    let shown = |node: &Node| match (&node.variable, &node.value) {
        (Some(names), _) => format!("the value of {names}"),
        (None, Yaml::Text(t)) => format!("`{}`", crate::error::escape(&t.chars().take(60).collect::<String>())),
        (None, _) => node.kind().to_owned(),
    };
    let wrong = |node: &Node, problems: &mut Problems, expected: &str| {
        let d: Diagnostic = node.place.diagnostic(path, format!("expected {expected}, found {}", shown(node)));
        problems.errors.push(d);
    };
    match form {
        Form::Any => {}
        Form::Text => match node.scalar_text() {
            Some(text) => node.value = Yaml::Text(text),
            None => wrong(node, problems, "a text"),
        },
        Form::Bool => {
            let value = match &node.value {
                Yaml::Bool(b) => Some(*b),
                Yaml::Text(t) => match t.to_ascii_lowercase().as_str() {
                    "true" | "y" | "yes" | "on" | "1" | "t" => Some(true),
                    "false" | "n" | "no" | "off" | "0" | "f" => Some(false),
                    _ => None,
                },
                _ => None,
            };
            match value {
                Some(b) => node.value = Yaml::Bool(b),
                None => wrong(node, problems, "true or false"),
            }
        }
        Form::Int => {
            let value = match &node.value {
                Yaml::Int(i) => Some(*i),
                Yaml::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Some(*f as i64),
                Yaml::Text(t) => t.trim().parse().ok(),
                _ => None,
            };
            match value {
                Some(i) => node.value = Yaml::Int(i),
                None => wrong(node, problems, "a whole number"),
            }
        }
        Form::Number => {
            let value = match &node.value {
                Yaml::Int(i) => Some(*i as f64),
                Yaml::Float(f) => Some(*f),
                Yaml::Text(t) => t.trim().parse().ok().filter(|f: &f64| f.is_finite()),
                _ => None,
            };
            match value {
                Some(f) => node.value = Yaml::Float(f),
                None => wrong(node, problems, "a number"),
            }
        }
        Form::Size => {
            let value = match &node.value {
                Yaml::Int(i) => Some(*i),
                Yaml::Text(t) if t.trim() == "-1" => Some(-1),
                Yaml::Text(t) => crate::units::parse_size(t).ok().map(u64::cast_signed),
                _ => None,
            };
            match value {
                Some(i) => node.value = Yaml::Text(i.to_string()),
                None => wrong(node, problems, "a size such as 512m"),
            }
        }
        Form::Duration => {
            let value = match &node.value {
                Yaml::Text(t) if t.parse::<f64>().is_err() || t == "0" => crate::units::parse_duration(t).ok(),
                Yaml::Int(0) => Some(std::time::Duration::ZERO),
                _ => None,
            };
            match value {
                Some(d) => node.value = Yaml::Text(crate::units::go_duration(d)),
                None => wrong(node, problems, "a duration such as 1m30s"),
            }
        }
        Form::Mode => {
            let value = match &node.value {
                Yaml::Int(i) => Some(*i),
                Yaml::Text(t) => i64::from_str_radix(t.trim_start_matches("0o"), 8).ok(),
                _ => None,
            };
            match value {
                Some(i) if (0..=0o7777).contains(&i) => node.value = Yaml::Text(format!("0{i:o}")),
                _ => wrong(node, problems, "a mode such as 0440"),
            }
        }
        Form::OneOf(known) => match node.as_str() {
            Some(t) if known.contains(&t) => {}
            Some(t) => {
                let near = if variable.is_some() { None } else { nearest(t, known.iter().copied()) };
                let mut d = place.diagnostic(path, format!("expected one of {}, found {}", known.join(", "), shown(node)));
                d.suggestion = near.map(str::to_owned);
                problems.errors.push(d);
            }
            None => wrong(node, problems, "a text"),
        },
        Form::Words => match &node.value {
            Yaml::Text(t) => match shlex::split(t) {
                Some(words) => node.value = Yaml::List(words.into_iter().map(|w| Node::text(w, &place)).collect()),
                None => wrong(node, problems, "a command whose quotes are closed"),
            },
            Yaml::List(_) => apply(node, Form::Texts, path, problems),
            _ => wrong(node, problems, "a text or a list of texts"),
        },
        Form::OneOrTexts => match &node.value {
            Yaml::List(_) => apply(node, Form::Texts, path, problems),
            _ => match node.scalar_text() {
                Some(t) => node.value = Yaml::List(vec![Node { variable, ..Node::text(t, &place) }]),
                None => wrong(node, problems, "a text or a list of texts"),
            },
        },
        Form::Texts => match &mut node.value {
            Yaml::List(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    apply(item, Form::Text, &format!("{path}[{i}]"), problems);
                }
            }
            _ => wrong(node, problems, "a list of texts"),
        },
        Form::Pairs | Form::PairsOrNull | Form::Hosts => pairs(node, form, path, problems),
        Form::TextMap => match &mut node.value {
            Yaml::Map(map) => {
                for (key, value) in map {
                    if value.is_null() {
                        value.value = Yaml::Text(String::new());
                    }
                    apply(value, Form::Text, &join(path, &key.name), problems);
                }
            }
            _ => wrong(node, problems, "a mapping"),
        },
        Form::Object(attributes) => {
            if node.is_null() {
                node.value = Yaml::Map(Vec::new());
            }
            object(node, attributes, path, problems);
        }
        Form::ObjectOrNull(attributes) => {
            if !node.is_null() {
                object(node, attributes, path, problems);
            }
        }
        Form::Map(attributes) | Form::MapOrNull(attributes) => match &mut node.value {
            Yaml::Map(map) => {
                for (key, value) in map {
                    let inner = join(path, &key.name);
                    let form = if matches!(form, Form::Map(_)) { Form::Object(attributes) } else { Form::ObjectOrNull(attributes) };
                    apply(value, form, &inner, problems);
                }
            }
            Yaml::Null => node.value = Yaml::Map(Vec::new()),
            _ => wrong(node, problems, "a mapping"),
        },
        Form::MapOf(form) => match &mut node.value {
            Yaml::Map(map) => {
                for (key, value) in map {
                    apply(value, *form, &join(path, &key.name), problems);
                }
            }
            _ => wrong(node, problems, "a mapping"),
        },
        Form::List(attributes) => match &mut node.value {
            Yaml::List(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    apply(item, Form::Object(attributes), &format!("{path}[{i}]"), problems);
                }
            }
            _ => wrong(node, problems, "a list"),
        },
        Form::Short(expand, attributes) => match &node.value {
            Yaml::List(items) => {
                let mut out = Vec::new();
                for (i, item) in items.iter().enumerate() {
                    let inner = format!("{path}[{i}]");
                    if matches!(item.value, Yaml::Map(_)) {
                        let mut item = item.clone();
                        apply(&mut item, Form::Object(attributes), &inner, problems);
                        out.push(item);
                        continue;
                    }
                    match expand(item) {
                        Ok(nodes) => out.extend(nodes),
                        Err(expected) => problems.errors.push(item.place.diagnostic(&inner, format!("expected {expected}, found {}", shown(item)))),
                    }
                }
                node.value = Yaml::List(out);
            }
            _ => wrong(node, problems, "a list"),
        },
        Form::Via(change, form) => match change(node.clone()) {
            Ok(changed) => {
                *node = changed;
                apply(node, *form, path, problems);
            }
            Err(expected) => wrong(node, problems, &expected),
        },
    }
}

fn object(node: &mut Node, attributes: Attributes, path: &str, problems: &mut Problems) {
    let Yaml::Map(map) = &mut node.value else {
        let message = format!("expected a mapping, found {}", node.kind());
        problems.errors.push(node.place.diagnostic(path, message));
        return;
    };
    for (key, value) in map {
        let inner = join(path, &key.name);
        match attributes.iter().find(|(name, _)| *name == key.name) {
            Some((_, form)) => apply(value, *form, &inner, problems),
            None if key.name.starts_with("x-") => {}
            None => {
                let mut d = key.place.diagnostic(&inner, format!("the key `{}` is not known here", crate::error::escape(&key.name)));
                d.suggestion = nearest(&key.name, attributes.iter().map(|(n, _)| *n)).map(str::to_owned);
                problems.errors.push(d);
            }
        }
    }
}

fn pairs(node: &mut Node, form: Form, path: &str, problems: &mut Problems) {
    let hosts = matches!(form, Form::Hosts);
    let mut out: Vec<(Key, Node)> = Vec::new();
    let place = node.place.clone();
    match &node.value {
        Yaml::List(items) => {
            for (i, item) in items.iter().enumerate() {
                let Some(text) = item.scalar_text() else {
                    problems.errors.push(item.place.diagnostic(&format!("{path}[{i}]"), format!("expected KEY=value, found {}", item.kind())));
                    continue;
                };
                let split = if hosts { text.split_once('=').or_else(|| text.split_once(':')) } else { text.split_once('=') };
                let (name, value) = match split {
                    Some((k, v)) => (k.to_owned(), Yaml::Text(if hosts { v.trim().trim_matches(['[', ']']).to_owned() } else { v.to_owned() })),
                    None if hosts => {
                        problems.errors.push(item.place.diagnostic(&format!("{path}[{i}]"), "expected name=address"));
                        continue;
                    }
                    None if matches!(form, Form::PairsOrNull) => (text, Yaml::Null),
                    None => (text, Yaml::Text(String::new())),
                };
                out.push((Key { name, place: item.place.clone() }, Node { variable: item.variable.clone(), ..Node::new(value, item.place.clone()) }));
            }
        }
        Yaml::Map(map) => {
            for (key, value) in map {
                if value.mark == Mark::Reset {
                    out.push((key.clone(), value.clone()));
                    continue;
                }
                let mut values = vec![value];
                if let (true, Yaml::List(list)) = (hosts, &value.value) {
                    values = list.iter().collect();
                }
                for value in values {
                    let Some(text) = value.scalar_text() else {
                        problems.errors.push(value.place.diagnostic(&join(path, &key.name), format!("expected a text, found {}", value.kind())));
                        continue;
                    };
                    let text = if value.is_null() && matches!(form, Form::PairsOrNull) { Yaml::Null } else { Yaml::Text(text) };
                    out.push((key.clone(), Node { variable: value.variable.clone(), ..Node::new(text, value.place.clone()) }));
                }
            }
        }
        _ => {
            problems.errors.push(place.diagnostic(path, format!("expected a mapping or a list of KEY=value, found {}", node.kind())));
            return;
        }
    }
    if hosts {
        let text = |(k, v): (Key, Node)| Node { place: v.place.clone(), ..Node::text(format!("{}={}", k.name, v.as_str().unwrap_or_default()), &v.place) };
        node.value = Yaml::List(out.into_iter().map(text).collect());
    } else {
        let mut map: Vec<(Key, Node)> = Vec::new();
        for (key, value) in out {
            map.retain(|(k, _)| k.name != key.name);
            map.push((key, value));
        }
        node.value = Yaml::Map(map);
    }
}
