//! Files of variables, as docker compose reads them.

use std::collections::BTreeMap;

use super::interpolate::{self, Lookup};

/// A problem in such a file: its line and what is wrong. Never holds a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) line: u32,
    pub(crate) message: String,
}

/// Reads `text`; `outer` gives variables from outside. A key without a value takes the one from outside, if any.
pub(crate) fn parse(text: &str, outer: Lookup<'_>) -> Result<BTreeMap<String, String>, Wrong> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut rest = text.as_str();
    let mut line = 1u32;
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t']);
        if trimmed.is_empty() {
            return Ok(found);
        }
        let wrong = |line: u32, message: &str| Wrong { line, message: message.to_owned() };
        if let Some(after) = trimmed.strip_prefix('\n') {
            rest = after;
            line += 1;
            continue;
        }
        if trimmed.starts_with('#') {
            rest = trimmed.find('\n').map_or("", |at| trimmed.get(at..).unwrap_or_default());
            continue;
        }
        let entry = trimmed.strip_prefix("export ").unwrap_or(trimmed).trim_start_matches([' ', '\t']);
        let end = entry.find(['=', ':', '\n']).unwrap_or(entry.len());
        let (key, after) = entry.split_at(end);
        let key = key.trim();
        if key.is_empty() || key.contains(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']'))) {
            return Err(wrong(line, "a name may hold letters, digits, `_`, `.` and `-` only"));
        }
        if after.is_empty() || after.starts_with('\n') {
            if let Some(value) = outer(key) {
                found.insert(key.to_owned(), value);
            }
            rest = after;
            continue;
        }
        let value = after.get(1..).unwrap_or_default().trim_start_matches([' ', '\t']);
        let (value, after) = value_of(value, &found, outer).map_err(|m| wrong(line, m))?;
        line += trimmed.len().checked_sub(after.len()).and_then(|n| trimmed.get(..n)).map_or(0, |s| s.matches('\n').count() as u32);
        found.insert(key.to_owned(), value);
        rest = after;
    }
}

fn value_of<'a>(text: &'a str, found: &BTreeMap<String, String>, outer: Lookup<'_>) -> Result<(String, &'a str), &'static str> {
    let lookup = |name: &str| outer(name).or_else(|| found.get(name).cloned());
    let fill =
        |text: &str| interpolate::text(text, &lookup, &mut |_| {}).map(|o| o.text).map_err(|_| "a variable in the value is written wrongly or has no value");
    let to_end = |after: &'a str| after.find('\n').map_or("", |at| after.get(at..).unwrap_or_default());
    let mut chars = text.char_indices();
    match chars.next() {
        Some((_, quote @ ('\'' | '"'))) => {
            let mut escaped = false;
            for (at, c) in chars {
                if escaped {
                    escaped = false;
                } else if c == '\\' {
                    escaped = true;
                } else if c == quote {
                    let raw = text.get(1..at).unwrap_or_default();
                    let after = to_end(text.get(at + 1..).unwrap_or_default());
                    return Ok((if quote == '"' { fill(&unescape(raw))? } else { raw.replace("\\'", "'") }, after));
                }
            }
            Err("a quote is not closed")
        }
        _ => {
            let end = text.find('\n').unwrap_or(text.len());
            let (line, after) = text.split_at(end);
            let cut = line.find(" #").or_else(|| line.find("\t#")).unwrap_or(if line.starts_with('#') { 0 } else { line.len() });
            let raw = line.get(..cut).unwrap_or_default().trim_end();
            Ok((fill(raw)?, after))
        }
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('$') => out.push_str("$$"),
            Some(c @ ('"' | '\\' | '\'')) => out.push(c),
            Some(c) => {
                out.push('\\');
                out.push(c);
            }
            None => out.push('\\'),
        }
    }
    out
}

/// Reads a file in which values stand as they are: no quotes, no variables.
pub(crate) fn parse_raw(text: &str) -> Result<BTreeMap<String, String>, Wrong> {
    let mut found = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(Wrong { line: i as u32 + 1, message: "a line must be NAME=value".to_owned() })?;
        found.insert(key.trim().to_owned(), value.to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let outer = |n: &str| (n == "OUT").then(|| "o".to_owned());
        let text = "# c\nA=1\nexport B = two words # note\nC='$A lit'\nD=\"x\\n${A}\"\nE: y\nOUT\nNONE\nF=${A}-${OUT}\nG=a#b\nH=\nI=\"two\nlines\"\nJ=after\n";
        let found = parse(text, &outer).unwrap();
        let get = |k: &str| found.get(k).map(String::as_str);
        assert_eq!(get("A"), Some("1"));
        assert_eq!(get("B"), Some("two words"));
        assert_eq!(get("C"), Some("$A lit"));
        assert_eq!(get("D"), Some("x\n1"));
        assert_eq!(get("E"), Some("y"));
        assert_eq!(get("OUT"), Some("o"));
        assert_eq!(get("NONE"), None);
        assert_eq!(get("F"), Some("1-o"));
        assert_eq!(get("G"), Some("a#b"));
        assert_eq!(get("H"), Some(""));
        assert_eq!(get("I"), Some("two\nlines"));
        assert_eq!(get("J"), Some("after"));
        assert_eq!(parse("A=1\nB C=2\n", &outer).unwrap_err().line, 2);
    }
}
