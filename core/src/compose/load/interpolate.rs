//! Variables in texts: `$VAR`, `${VAR}`, `:-`, `-`, `:?`, `?`, `:+`, `+`, and `$$` for a dollar.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    Problems,
    yaml::{Node, Yaml},
};
use crate::error::Diagnostic;

/// Texts that grow beyond this are refused.
const LONGEST: usize = 4 << 20;

/// What interpolating a text came to.
pub(crate) struct Outcome {
    pub(crate) text: String,
    /// The variables that were used.
    pub(crate) used: Vec<String>,
}

/// Why a text could not be interpolated; never holds a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Form,
    Required { name: String, message: String },
    TooLong,
}

/// Where the values come from.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces the variables of `text`. `missing` is told of names that have no value and no default.
pub(crate) fn text(text: &str, lookup: Lookup<'_>, missing: &mut dyn FnMut(&str)) -> Result<Outcome, Wrong> {
    let mut used = Vec::new();
    let out = expand(text, lookup, missing, &mut used, 0)?;
    Ok(Outcome { text: out, used })
}

fn name_length(text: &str) -> usize {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts { text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len()) } else { 0 }
}

fn expand(text: &str, lookup: Lookup<'_>, missing: &mut dyn FnMut(&str), used: &mut Vec<String>, depth: usize) -> Result<String, Wrong> {
    if depth > 50 {
        return Err(Wrong::Form);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
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
                used.push(name.to_owned());
                match lookup(name) {
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

fn braced(body: &str, lookup: Lookup<'_>, missing: &mut dyn FnMut(&str), used: &mut Vec<String>, depth: usize) -> Result<String, Wrong> {
    let length = name_length(body);
    if length == 0 {
        return Err(Wrong::Form);
    }
    let (name, operation) = body.split_at(length);
    used.push(name.to_owned());
    let value = lookup(name);
    let filled = value.as_ref().is_some_and(|v| !v.is_empty());
    let mut operand = |text: &str| expand(text, lookup, missing, used, depth + 1);
    if operation.is_empty() {
        return Ok(value.unwrap_or_else(|| {
            missing(name);
            String::new()
        }));
    }
    for (sign, decides) in [(":-", filled), (":?", filled), (":+", filled), ("-", value.is_some()), ("?", value.is_some()), ("+", value.is_some())] {
        let Some(text) = operation.strip_prefix(sign) else { continue };
        return match sign.trim_start_matches(':') {
            "-" if decides => Ok(value.unwrap_or_default()),
            "+" if !decides => Ok(String::new()),
            "?" if decides => Ok(value.unwrap_or_default()),
            "?" => Err(Wrong::Required { name: name.to_owned(), message: operand(text)? }),
            _ => operand(text),
        };
    }
    Err(Wrong::Form)
}

/// Replaces the variables in all texts of a tree; keys are left as they are.
pub(crate) fn tree(node: &mut Node, path: &str, env: &BTreeMap<String, String>, problems: &mut Problems) {
    match &mut node.value {
        Yaml::Text(t) if t.contains('$') => {
            let lookup = |name: &str| env.get(name).cloned();
            let mut unset = Vec::new();
            match text(t, &lookup, &mut |name| unset.push(name.to_owned())) {
                Ok(outcome) => {
                    *t = outcome.text;
                    if !outcome.used.is_empty() {
                        let names: Vec<String> = outcome.used.iter().map(|n| format!("${n}")).collect();
                        node.variable = Some(Rc::from(names.join(", ")));
                    }
                }
                Err(wrong) => {
                    problems.errors.push(describe(&wrong, node, path));
                    node.value = Yaml::Null;
                }
            }
            for name in unset {
                let message = format!("the variable `{name}` is not set; an empty text is used");
                problems.warnings.push(node.place.diagnostic(path, message));
            }
        }
        Yaml::List(list) => {
            for (i, item) in list.iter_mut().enumerate() {
                tree(item, &format!("{path}[{i}]"), env, problems);
            }
        }
        Yaml::Map(map) => {
            for (key, value) in map {
                tree(value, &super::join(path, &key.name), env, problems);
            }
        }
        _ => {}
    }
}

fn describe(wrong: &Wrong, node: &Node, path: &str) -> Diagnostic {
    let message = match wrong {
        Wrong::Form => "the variable is written wrongly; write ${NAME} or ${NAME:-default}, and $$ for a dollar".to_owned(),
        Wrong::TooLong => "the text is too long when its variables are filled in".to_owned(),
        Wrong::Required { name, message } if message.is_empty() => format!("the variable `{name}` is required and has no value"),
        Wrong::Required { name, message } => format!("the variable `{name}` is required and has no value: {message}"),
    };
    node.place.diagnostic(path, message)
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
        assert_eq!(run("${U:?needed}"), Err(Wrong::Required { name: "U".into(), message: "needed".into() }));
        for wrong in ["${A", "${}", "${1A}", "${a.b}", "${A!}"] {
            assert_eq!(run(wrong), Err(Wrong::Form), "{wrong}");
        }
    }
}
