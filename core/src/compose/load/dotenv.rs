//! Files of variables, as docker compose reads them.

use std::collections::BTreeMap;

use super::interpolate::{self, Lookup};
use crate::error::Diagnostic;

/// A problem in such a file: its place and what is wrong. Never holds a value, but for what a `:?` has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) line: u32,
    column: u32,
    pub(crate) message: String,
    /// Where a line is no entry.
    expected: Option<&'static str>,
}

impl Wrong {
    fn line(line: u32, message: &str) -> Self {
        Self { line, column: 1, message: message.to_owned(), expected: Some("lines of NAME=value") }
    }

    /// A value that is wrong `at` a place in `whole`.
    fn value(whole: &str, at: usize, name: &str, message: &str) -> Self {
        const LONGEST_NAME: usize = 100;
        let before = whole.get(..at).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
        let short: String = name.chars().take(LONGEST_NAME).collect();
        let message = format!("in the entry `{}`, {message}", crate::error::escape(&short));
        Self { line: before.matches('\n').count() as u32 + 1, column, message, expected: None }
    }

    pub(crate) fn diagnostic(self, file: &str, path: &str) -> Diagnostic {
        let expected = self.expected.map(str::to_owned);
        let (file, path) = (file.to_owned(), path.to_owned());
        Diagnostic { file, line: self.line, column: self.column, path, message: self.message, expected, ..Diagnostic::default() }
    }
}

/// So many entries may a file have.
const MOST_ENTRIES: usize = 100_000;
/// So many bytes may its values come to, with those that they are made of.
const MOST_BYTES: usize = 32 << 20;

struct Left {
    entries: usize,
    bytes: usize,
}

impl Left {
    fn take(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.entries = self.entries.checked_sub(1).ok_or("the file has more than 100,000 entries")?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or("the file's values come to more than 32 MiB when variables are filled in")?;
        Ok(())
    }
}

/// White space within a line.
fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// Reads `text`; `outer` gives variables from outside. A name without a value takes the one from outside, if any.
/// `missing` is told of variables in values that are not set.
pub(crate) fn parse(text: &str, outer: Lookup<'_>, missing: &mut dyn FnMut(&str)) -> Result<BTreeMap<String, String>, Wrong> {
    parse_after(text, outer, &|_| None, missing)
}

/// The same for a file that others stand before: `earlier` gives what they say, which the lines of this one go before.
pub(crate) fn parse_after(text: &str, outer: Lookup<'_>, earlier: Lookup<'_>, missing: &mut dyn FnMut(&str)) -> Result<BTreeMap<String, String>, Wrong> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut left = Left { entries: MOST_ENTRIES, bytes: MOST_BYTES };
    let whole = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut rest = whole.as_str();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(found);
        }
        let line = || whole.get(..whole.len() - rest.len()).unwrap_or_default().matches('\n').count() as u32 + 1;
        let wrong = |message: &str| Wrong::line(line(), message);
        if rest.starts_with('#') {
            rest = rest.find('\n').and_then(|at| rest.get(at..)).unwrap_or_default();
            continue;
        }
        let entry = match rest.strip_prefix("export") {
            Some(after) if after.starts_with(char::is_whitespace) => after.trim_start(),
            _ => rest,
        };
        let mut end = None;
        for (at, c) in entry.char_indices() {
            if matches!(c, '=' | ':' | '\n') {
                end = Some((at, c));
                break;
            }
            if !(is_space(c) || c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']')) {
                return Err(wrong("a name may hold letters, digits, `_`, `.`, `-`, `[` and `]` only"));
            }
        }
        // Without any sign, what is there is the value of no name.
        let (key, after) = match end {
            Some((at, _)) => (entry.get(..at).unwrap_or_default().trim_end(), entry.get(at + 1..).unwrap_or_default()),
            None => ("", entry),
        };
        if key.contains(' ') {
            return Err(wrong("a name cannot hold a space"));
        }
        if end.is_some_and(|(_, c)| c == '\n') {
            if let Some(value) = outer(key) {
                left.take(value.len()).map_err(wrong)?;
                found.insert(key.to_owned(), value);
            }
            rest = after;
            continue;
        }
        let lookup = |name: &str| outer(name).or_else(|| found.get(name).cloned()).or_else(|| earlier(name));
        let written = after.trim_start_matches(is_space);
        let (value, after, looked) =
            value_of(written, &lookup, missing).map_err(|(message, at)| Wrong::value(&whole, whole.len() - written.len() + at, key, &message))?;
        left.take(value.len() + looked).map_err(wrong)?;
        found.insert(key.to_owned(), value);
        rest = after;
    }
}

/// The value that `text` begins with, what follows it, and how many bytes it was made of; or what is wrong with it, and where.
fn value_of<'a>(text: &'a str, lookup: Lookup<'_>, missing: &mut dyn FnMut(&str)) -> Result<(String, &'a str, usize), (String, usize)> {
    let mut fill = |text: &str| match interpolate::placed(text, lookup, missing) {
        Ok(outcome) => Ok((outcome.text, outcome.looked)),
        Err((wrong, at)) => Err((wrong.message(), at)),
    };
    let Some(quote @ ('\'' | '"')) = text.chars().next() else {
        let end = text.find('\n').unwrap_or(text.len());
        let (line, after) = text.split_at(end);
        let raw = line.split(" #").next().unwrap_or_default().trim_end();
        let (value, looked) = fill(raw)?;
        return Ok((value, after, looked));
    };
    let mut escaped = false;
    let mut raw = String::new();
    for (end, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            // With escapes, places in the value are not those in the file: the value's own is told.
            let place = |at: usize| if raw.len() + 1 == end && !raw.contains('\\') { at + 1 } else { 0 };
            let (value, looked) = if quote == '"' { fill(&unescape(&raw)).map_err(|(message, at)| (message, place(at)))? } else { (raw, 0) };
            return Ok((value, text.get(end + 1..).unwrap_or_default(), looked));
        }
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        if escaped && c != quote {
            raw.push('\\');
        }
        escaped = false;
        raw.push(c);
    }
    Err(("a quote is not closed".to_owned(), 0))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.peek().copied() {
            Some('0') => {
                chars.next();
                let mut digits = String::new();
                while digits.len() < 3
                    && let Some(digit) = chars.next_if(char::is_ascii_digit)
                {
                    digits.push(digit);
                }
                match u8::from_str_radix(&digits, 8).ok().filter(|_| digits.len() == 3) {
                    Some(byte) => out.push(char::from(byte)),
                    None => {
                        out.push('\\');
                        out.push_str(&digits);
                    }
                }
            }
            Some(next) => {
                let plain = match next {
                    'a' => Some("\u{7}"),
                    'b' => Some("\u{8}"),
                    'f' => Some("\u{c}"),
                    'n' => Some("\n"),
                    'r' => Some("\r"),
                    't' => Some("\t"),
                    'v' => Some("\u{b}"),
                    // A dollar that stays one when variables are filled in.
                    '$' => Some("$$"),
                    '"' => Some("\""),
                    '\\' => Some("\\"),
                    _ => None,
                };
                match plain {
                    Some(plain) => {
                        chars.next();
                        out.push_str(plain);
                    }
                    None => out.push('\\'),
                }
            }
            None => out.push('\\'),
        }
    }
    out
}

/// Reads a file in which values stand as they are: no quotes, no variables.
pub(crate) fn parse_raw(text: &str, outer: Lookup<'_>) -> Result<BTreeMap<String, String>, Wrong> {
    let mut found = BTreeMap::new();
    let mut left = Left { entries: MOST_ENTRIES, bytes: MOST_BYTES };
    for (i, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |message: &str| Wrong::line(i as u32 + 1, message);
        let (name, value) = line.split_once('=').map_or((line, None), |(n, v)| (n, Some(v)));
        if name.is_empty() {
            return Err(wrong("a line has no name before its `=`"));
        }
        if name.contains(char::is_whitespace) {
            return Err(wrong("a name cannot hold white space"));
        }
        if let Some(value) = value.map(str::to_owned).or_else(|| outer(name)) {
            left.take(value.len()).map_err(wrong)?;
            found.insert(name.to_owned(), value);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let outer = |n: &str| (n == "OUT").then(|| "o".to_owned());
        let text = "# c\nA=1\nexport B = two words # note\nC='$A lit'\nD=\"x\\n${A}\"\nE: y\nOUT\nNONE\nF=${A}-${OUT}\nG=a#b\nH=\nI=\"two\nlines\"\nJ=after\nK=\"\\$A\\0101\" L=2\n";
        let found = parse(text, &outer, &mut |_| {}).unwrap();
        let expected = [
            ("A", Some("1")),
            ("B", Some("two words")),
            ("C", Some("$A lit")),
            ("D", Some("x\n1")),
            ("E", Some("y")),
            ("OUT", Some("o")),
            ("NONE", None),
            ("F", Some("1-o")),
            ("G", Some("a#b")),
            ("H", Some("")),
            ("I", Some("two\nlines")),
            ("J", Some("after")),
            ("K", Some("$AA")),
            ("L", Some("2")),
        ];
        for (name, value) in expected {
            assert_eq!(found.get(name).map(String::as_str), value, "{name}");
        }
        assert_eq!(parse("A=1\nB C=2\n", &outer, &mut |_| {}).unwrap_err().line, 2);
    }

    #[test]
    fn raw_files_keep_what_stands_there() {
        let found = parse_raw("A='x' # y\n B=$A\nOUT\nNONE\n", &|n| (n == "OUT").then(|| "o".to_owned())).unwrap();
        assert_eq!(found.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["A='x' # y", "B=$A", "OUT=o"]);
        assert!(parse_raw("export A=1", &|_| None).is_err());
    }
}
