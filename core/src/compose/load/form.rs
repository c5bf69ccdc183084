//! The types of canonical values: each form checks a value and turns it into what the model holds.

use std::{rc::Rc, time::Duration};

use super::{
    Problems, casts,
    node::{Entries, Key, Node, Yaml},
    short,
    trail::Trail,
};

/// No system starts a program with more.
const LONGEST_COMMAND: usize = 1 << 20;

/// A table of the attributes of an object.
pub(crate) type Attributes = &'static [(&'static str, Form)];

/// The form of a value.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// A text; whole numbers become one.
    Text,
    /// A text; scalars of any kind become one.
    Scalar,
    /// A boolean, or a text that means one.
    Bool,
    /// A whole number, or a text that is one.
    Int,
    /// A whole number that is not negative.
    Unsigned,
    /// A whole number that is not negative, and never a text.
    Strict,
    /// A number.
    Number,
    /// A size, as a number of bytes.
    Size,
    /// A duration, as Go writes it.
    Duration,
    /// A mode, as octal text.
    Mode,
    /// How many devices; `all` is -1.
    Count,
    /// A list of texts, or one text.
    Texts,
    /// Words: a list, or a text that is split as a shell would.
    Words,
    /// The test of a health check.
    Test,
    /// `KEY=value` list or mapping; absent values become empty texts.
    Pairs,
    /// `KEY=value` list or mapping; absent values stay absent.
    PairsOrNull,
    /// Hosts: `name:address` or `name=address` list, or mapping; becomes a sorted list of `name=address`.
    Hosts,
    /// A mapping of scalars, as texts.
    Options,
    /// A mapping of texts and whole numbers.
    TextMap,
    /// A mapping of scalars or lists of them, each as a list of texts.
    ProviderOptions,
    /// SSH keys by ID, as a list.
    Ssh,
    /// A kernel limit.
    Ulimits,
    /// An object with these attributes.
    Object(Attributes),
    /// An object with these attributes, or nothing.
    Maybe(Attributes),
    /// A mapping of objects.
    Map(Attributes),
    /// A mapping of objects or nothing.
    MapOrNull(Attributes),
    /// A list of objects.
    List(Attributes),
}

/// Checks `node` against `form` and gives it its type. What is wrong is told, and broken.
pub(crate) fn apply(node: &mut Node, form: Form, trail: &Trail<'_>, problems: &mut Problems) {
    if node.is_broken() || problems.errors.is_full() {
        return;
    }
    if let Err(expected) = typed(node, form, trail, problems) {
        problems.errors.push(node.unexpected(trail, &expected));
        node.value = Yaml::Broken;
    }
}

type Typed = Result<(), String>;

fn typed(node: &mut Node, form: Form, trail: &Trail<'_>, problems: &mut Problems) -> Typed {
    let wrong = |expected: &str| Err(expected.to_owned());
    let value = match (form, &node.value) {
        (Form::Object(attributes), Yaml::Map(_)) | (Form::Maybe(attributes), Yaml::Map(_)) => return object(node, attributes, trail, problems),
        (Form::Object(_), Yaml::Null) => Yaml::Map(Rc::default()),
        (Form::Maybe(_), Yaml::Null) => Yaml::Null,
        (Form::Map(attributes) | Form::MapOrNull(attributes), Yaml::Map(_)) => {
            let inner = if matches!(form, Form::Map(_)) { Form::Object(attributes) } else { Form::Maybe(attributes) };
            for (key, value) in node.entries_mut().into_iter().flat_map(Entries::iter_mut) {
                apply(value, inner, &trail.key(&key.name), problems);
            }
            return Ok(());
        }
        (Form::Map(_) | Form::MapOrNull(_), Yaml::Null) => Yaml::Map(Rc::default()),
        (Form::List(attributes), Yaml::List(_)) => {
            for (i, item) in node.items_mut().into_iter().flatten().enumerate() {
                apply(item, Form::Object(attributes), &trail.index(i), problems);
            }
            return Ok(());
        }
        (Form::Object(_) | Form::Maybe(_) | Form::Map(_) | Form::MapOrNull(_), _) => return wrong("a mapping"),
        (Form::Ulimits, Yaml::Map(_)) => return ulimits(node, trail, problems),
        // What says nothing leaves the default.
        (_, Yaml::Null) => return Ok(()),
        (Form::List(_), _) => return wrong("a list"),
        (Form::Text, Yaml::Text(_)) => return Ok(()),
        (Form::Text, Yaml::Int(i)) => Yaml::Text(i.to_string()),
        (Form::Text, _) => return wrong("a text"),
        (Form::Scalar, _) => Yaml::Text(node.scalar_text().ok_or("a text")?),
        (Form::Bool, Yaml::Bool(_)) => return Ok(()),
        (Form::Bool, Yaml::Text(t)) => Yaml::Bool(casts::boolean(t, node, trail, problems).ok_or("true or false")?),
        (Form::Bool, _) => return wrong("true or false"),
        (Form::Int | Form::Unsigned | Form::Strict, value) => {
            let number = match value {
                Yaml::Int(i) => *i,
                Yaml::Float(f) if f.abs() < 9.2e18 => f.trunc() as i64,
                Yaml::Text(t) if !matches!(form, Form::Strict) => casts::integer(t).ok_or("a whole number")?,
                _ => return wrong("a whole number"),
            };
            if number < 0 && !matches!(form, Form::Int) {
                return wrong("a whole number from 0");
            }
            Yaml::Int(number)
        }
        (Form::Number, value) => Yaml::Float(match value {
            Yaml::Int(i) => *i as f64,
            Yaml::Uint(i) => *i as f64,
            Yaml::Float(f) => *f,
            Yaml::Text(t) => casts::float(t).ok_or("a number")?,
            _ => return wrong("a number"),
        })
        .finite()?,
        (Form::Size, value) => Yaml::Text(
            match value {
                Yaml::Int(i) => *i,
                // docker compose reads a fraction as no size at all.
                Yaml::Float(_) | Yaml::Uint(_) => 0,
                Yaml::Text(t) => size(t).ok_or("a size such as 512m")?,
                _ => return wrong("a size such as 512m"),
            }
            .to_string(),
        ),
        (Form::Duration, Yaml::Text(t)) => {
            let (sign, rest) = t.strip_prefix('-').map_or(("", t.as_str()), |rest| ("-", rest));
            let found = duration(rest).filter(|_| sign.is_empty() || !rest.starts_with('+')).ok_or("a duration such as 1m30s")?;
            Yaml::Text(if found.is_zero() { "0s".to_owned() } else { format!("{sign}{}", crate::units::go_duration(found)) })
        }
        (Form::Duration, _) => return wrong("a duration such as 1m30s"),
        (Form::Mode, value) => {
            let mode = match value {
                Yaml::Int(i) => Some(*i),
                Yaml::Text(t) if !t.starts_with('+') => i64::from_str_radix(t, 8).ok(),
                _ => None,
            };
            Yaml::Text(format!("0{:o}", mode.filter(|m| *m >= 0).ok_or("a mode such as 0440")?))
        }
        (Form::Count, value) => Yaml::Int(match value {
            Yaml::Int(i) => *i,
            Yaml::Text(t) if t.eq_ignore_ascii_case("all") => -1,
            Yaml::Text(t) => casts::integer(t).ok_or("`all` or a whole number")?,
            _ => return wrong("`all` or a whole number"),
        }),
        (Form::Words, Yaml::Text(t)) => {
            if t.len() > LONGEST_COMMAND {
                return wrong("a command of 1 MiB at most");
            }
            let words = short::words(t).ok_or("a command whose quotes are closed")?;
            problems.left.write(words.len() * 2)?;
            let variable = node.variable.clone();
            Yaml::List(Rc::new(words.into_iter().map(|w| Node { variable: variable.clone(), ..Node::text(w, &node.place) }).collect()))
        }
        (Form::Test, Yaml::Text(_)) => {
            let text = Node { mark: super::node::Mark::None, ..node.clone() };
            Yaml::List(Rc::new(vec![Node::text("CMD-SHELL", &node.place), text]))
        }
        (Form::Texts, Yaml::Text(_) | Yaml::Int(_)) => {
            let mut one = node.clone();
            apply(&mut one, Form::Text, trail, problems);
            Yaml::List(Rc::new(vec![one]))
        }
        (Form::Words | Form::Test | Form::Texts, Yaml::List(_)) => {
            for (i, item) in node.items_mut().into_iter().flatten().enumerate() {
                apply(item, Form::Text, &trail.index(i), problems);
                if item.is_null() {
                    item.value = Yaml::Text(String::new());
                }
            }
            return Ok(());
        }
        (Form::Words | Form::Test | Form::Texts, _) => return wrong("a text or a list of texts"),
        (Form::Pairs | Form::PairsOrNull | Form::Hosts, _) => return pairs(node, form, trail, problems),
        (Form::Options | Form::TextMap, Yaml::Map(_)) => {
            let inner = if matches!(form, Form::Options) { Form::Scalar } else { Form::Text };
            for (key, value) in node.entries_mut().into_iter().flat_map(Entries::iter_mut) {
                apply(value, inner, &trail.key(&key.name), problems);
                if value.is_null() {
                    value.value = Yaml::Text(String::new());
                }
            }
            return Ok(());
        }
        (Form::ProviderOptions, Yaml::Map(_)) => {
            for (key, value) in node.entries_mut().into_iter().flat_map(Entries::iter_mut) {
                let trail = trail.key(&key.name);
                if !matches!(value.value, Yaml::List(_)) {
                    *value = Node::list(vec![value.clone()], &value.place);
                }
                for item in value.items_mut().into_iter().flatten() {
                    apply(item, Form::Scalar, &trail, problems);
                }
            }
            return Ok(());
        }
        (Form::Ssh, Yaml::Map(map)) => {
            let key = |(key, path): &(Key, Node)| {
                let path = Node::text(path.scalar_text().unwrap_or_default(), &path.place).of(path);
                Node::map([("id", Node::text(&*key.name, &key.place)), ("path", path)], &key.place)
            };
            Yaml::List(Rc::new(map.iter().map(key).collect()))
        }
        (Form::Options | Form::TextMap | Form::ProviderOptions | Form::Ssh | Form::Ulimits, _) => return wrong("a mapping"),
    };
    node.value = value;
    Ok(())
}

trait Finite: Sized {
    fn finite(self) -> Result<Self, String>;
}

impl Finite for Yaml {
    /// JSON knows no others.
    fn finite(self) -> Result<Self, String> {
        if matches!(self, Self::Float(f) if !f.is_finite()) { Err("a number that ends".to_owned()) } else { Ok(self) }
    }
}

/// A size as docker reads it: a number with a unit of bytes, in powers of 1024.
pub(crate) fn size(text: &str) -> Option<i64> {
    let at = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, unit) = (text.get(..=at)?, text.get(at + 1..)?.to_ascii_lowercase());
    let number = casts::float(number.strip_suffix(' ').unwrap_or(number)).filter(|n| *n >= 0.0)?;
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit == "ib" => return None,
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let bytes = number * 1024f64.powi(power);
    // Beyond its range, Go's conversion gives the least number.
    Some(if bytes < 9.223_372_036_854_775e18 { bytes as i64 } else { i64::MIN })
}

/// A duration as docker compose reads it: Go's form, with days and weeks.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0u128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, tail) = rest.split_at(digits);
        let (fraction, tail) = match tail.strip_prefix('.') {
            Some(t) => t.split_at(t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len())),
            None => ("", tail),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let nanos: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(nanos)?)?;
        if !fraction.is_empty() {
            let digits = fraction.get(..fraction.len().min(18)).unwrap_or_default();
            let part: u128 = digits.parse().ok()?;
            total = total.checked_add(part * nanos / 10u128.pow(digits.len() as u32))?;
        }
        rest = tail;
    }
    // Go's durations end at 292 years.
    u64::try_from(total).ok().filter(|n| i64::try_from(*n).is_ok()).map(Duration::from_nanos)
}

fn object(node: &mut Node, attributes: Attributes, trail: &Trail<'_>, problems: &mut Problems) -> Typed {
    for (key, value) in node.entries_mut().into_iter().flat_map(Entries::iter_mut) {
        if let Some((_, form)) = attributes.iter().find(|(name, _)| *name == &*key.name) {
            apply(value, *form, &trail.key(&key.name), problems);
        }
    }
    Ok(())
}

fn ulimits(node: &mut Node, trail: &Trail<'_>, problems: &mut Problems) -> Typed {
    for (key, limit) in node.entries_mut().into_iter().flat_map(Entries::iter_mut) {
        let trail = trail.key(&key.name);
        let form = if limit.entries().is_some() { Form::Object(&[("soft", Form::Int), ("hard", Form::Int)]) } else { Form::Int };
        apply(limit, form, &trail, problems);
    }
    Ok(())
}

fn pairs(node: &mut Node, form: Form, trail: &Trail<'_>, problems: &mut Problems) -> Typed {
    let hosts = matches!(form, Form::Hosts);
    let mut out: Vec<(Key, Node)> = Vec::new();
    match &node.value {
        Yaml::List(items) => {
            problems.left.write(items.len() * 3)?;
            for (i, item) in items.iter().enumerate().filter(|(_, n)| !n.is_broken()) {
                let trail = trail.index(i);
                let mut wrong = |expected: &str| problems.errors.push(item.unexpected(&trail, expected));
                let Some(text) = item.as_str() else {
                    wrong("KEY=value");
                    continue;
                };
                let split = if hosts { text.split_once('=').or_else(|| text.split_once(':')) } else { text.split_once('=') };
                let (name, value) = match split {
                    Some((k, _)) if hosts && k.is_empty() => {
                        wrong("name=address");
                        continue;
                    }
                    Some((k, v)) => (k, Yaml::Text(v.to_owned())),
                    None if hosts => {
                        wrong("name=address");
                        continue;
                    }
                    None if matches!(form, Form::PairsOrNull) => (text, Yaml::Null),
                    None => (text, Yaml::Text(String::new())),
                };
                if matches!(form, Form::PairsOrNull) && !value_is_null(&value) && name.ends_with(char::is_whitespace) {
                    wrong("a name without a space before the `=`");
                    continue;
                }
                out.push((Key { name: name.into(), place: item.place.clone() }, Node::new(value, &item.place).of(item)));
            }
        }
        Yaml::Map(map) => {
            for (key, value) in map.iter().filter(|(_, n)| !n.is_broken()) {
                let values = match &value.value {
                    Yaml::List(list) if hosts => list.as_slice(),
                    _ => std::slice::from_ref(value),
                };
                for value in values {
                    let Some(text) = value.scalar_text() else {
                        problems.errors.push(value.unexpected(&trail.key(&key.name), "a text"));
                        continue;
                    };
                    let text = if value.is_null() && matches!(form, Form::PairsOrNull) { Yaml::Null } else { Yaml::Text(text) };
                    out.push((key.clone(), Node::new(text, &value.place).of(value)));
                }
            }
        }
        _ => return Err("a mapping or a list of KEY=value".to_owned()),
    }
    node.value = if hosts {
        let bare = |ip: &str| ip.strip_prefix('[').and_then(|i| i.strip_suffix(']')).unwrap_or(ip).to_owned();
        let line = |(k, v): (Key, Node)| Node::text(format!("{}={}", k.name, bare(v.as_str().unwrap_or_default())), &v.place).of(&v);
        let mut lines: Vec<Node> = out.into_iter().map(line).collect();
        lines.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        Yaml::List(Rc::new(lines))
    } else {
        Yaml::Map(Rc::new(out.into_iter().collect()))
    };
    Ok(())
}

fn value_is_null(value: &Yaml) -> bool {
    matches!(value, Yaml::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_docker_reads_them() {
        for (text, expected) in [
            ("1", Some(1)),
            ("1.5g", Some(1_610_612_736)),
            ("1KiB", Some(1024)),
            ("1 MB", Some(1_048_576)),
            ("1b", Some(1)),
            ("", None),
            ("x", None),
            ("-1", None),
            ("1ib", None),
            ("1bb", None),
            ("1.2.3m", None),
            ("1e3k", Some(1_024_000)),
            ("99999999t", Some(i64::MIN)),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_as_docker_compose_reads_them() {
        for (text, expected) in [
            ("1m30s", Some(90_000)),
            ("1d", Some(86_400_000)),
            (".5s", Some(500)),
            ("1.s", Some(1000)),
            ("0", Some(0)),
            ("1", None),
            ("", None),
            ("1 s", None),
            ("1M", None),
            ("-1s", None),
        ] {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }
}
