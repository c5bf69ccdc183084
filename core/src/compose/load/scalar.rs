//! Plain scalars as go-yaml v3 reads them.

use saphyr_parser::Tag;

use super::yaml::Yaml;

/// The value of a scalar.
pub(crate) fn resolve(text: &str, plain: bool, tag: Option<&Tag>) -> Yaml {
    let core = tag.filter(|t| t.handle == "tag:yaml.org,2002:" || t.handle == "!!").map(|t| t.suffix.as_str());
    if core == Some("str") || (!plain && core.is_none()) {
        return Yaml::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Yaml::Null,
        "true" | "True" | "TRUE" => return Yaml::Bool(true),
        "false" | "False" | "FALSE" => return Yaml::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Yaml::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Yaml::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Yaml::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Yaml::Text(text.to_owned());
    }
    number(text).or_else(|| date(text)).unwrap_or_else(|| Yaml::Text(text.to_owned()))
}

fn number(text: &str) -> Option<Yaml> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(|n| Yaml::Int(if negative { -n } else { n }));
    for (prefix, base) in [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)] {
        if let Some(rest) = digits.strip_prefix(prefix) {
            return if rest.starts_with(['+', '-']) { None } else { radix(rest, base) };
        }
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
        // Old octal; with an 8 or 9 in it, go-yaml falls back to a decimal float.
        return radix(digits, 8).or_else(|| plain.parse().ok().map(Yaml::Float));
    }
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return plain.trim_start_matches('+').parse().ok().map(Yaml::Int).or_else(|| plain.parse().ok().map(Yaml::Float));
    }
    let looks = digits.bytes().any(|b| b.is_ascii_digit()) && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let float = looks && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if float { plain.parse().ok().map(Yaml::Float) } else { None }
}

/// A date becomes the text that Go's JSON gives for its time.
fn date(text: &str) -> Option<Yaml> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|b| b.iter().all(u8::is_ascii_digit));
    if !(digits(0..4) && bytes.get(4) == Some(&b'-') && digits(5..7) && bytes.get(7) == Some(&b'-') && digits(8..10)) {
        return None;
    }
    if text.len() == 10 {
        let month: u8 = text.get(5..7)?.parse().ok()?;
        let day: u8 = text.get(8..10)?.parse().ok()?;
        return ((1..=12).contains(&month) && (1..=31).contains(&day)).then(|| Yaml::Text(format!("{text}T00:00:00Z")));
    }
    let time = time::OffsetDateTime::parse(&text.replacen(' ', "T", 1), &time::format_description::well_known::Rfc3339).ok()?;
    time.format(&time::format_description::well_known::Rfc3339).ok().map(Yaml::Text)
}

/// A float as Go prints it in a text.
pub(crate) fn float_text(f: f64) -> String {
    if f == f.trunc() && f.abs() < 1e21 { format!("{f:.0}") } else { format!("{f}") }
}
