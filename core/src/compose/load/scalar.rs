//! Plain scalars as go-yaml v3 reads them.

use saphyr_parser::Tag;

use super::node::Yaml;

/// The value of a scalar, or none when its tag does not fit.
pub(crate) fn resolve(text: &str, plain: bool, tag: Option<&Tag>) -> Option<Yaml> {
    let core = tag.filter(|t| t.handle == "tag:yaml.org,2002:" || t.handle == "!!").map(|t| t.suffix.as_str());
    match (core, tag) {
        (Some("str"), _) => return Some(Yaml::Text(text.to_owned())),
        (Some("binary"), _) => {
            use base64::Engine as _;
            let packed: String = text.split_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(packed).ok()?;
            return Some(Yaml::Text(String::from_utf8_lossy(&bytes).into_owned()));
        }
        // A tag of somebody's own: the text as it is.
        (None, Some(_)) => return Some(Yaml::Text(text.to_owned())),
        (None, None) if !plain => return Some(Yaml::Text(text.to_owned())),
        _ => {}
    }
    let found = plain_value(text);
    match (core, &found) {
        (Some("float"), Yaml::Int(i)) => Some(Yaml::Float(*i as f64)),
        (Some("int"), Yaml::Int(_) | Yaml::Uint(_))
        | (Some("float"), Yaml::Float(_))
        | (Some("bool"), Yaml::Bool(_))
        | (Some("null"), Yaml::Null)
        | (Some("timestamp"), Yaml::Time(_))
        | (None, _) => Some(found),
        _ => None,
    }
}

fn plain_value(text: &str) -> Yaml {
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
    date(text).or_else(|| number(text)).unwrap_or_else(|| Yaml::Text(text.to_owned()))
}

fn number(text: &str) -> Option<Yaml> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let whole = |digits: &str, radix| {
        let n = u64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'))?;
        match (negative, i64::try_from(n)) {
            (false, Ok(i)) => Some(Yaml::Int(i)),
            (true, Ok(i)) => Some(Yaml::Int(-i)),
            (true, Err(_)) if n == 1 << 63 => Some(Yaml::Int(i64::MIN)),
            (true, Err(_)) => None,
            (false, Err(_)) => Some(Yaml::Uint(n)),
        }
    };
    for (prefix, base) in [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)] {
        if let Some(rest) = digits.strip_prefix(prefix) {
            return whole(rest, base);
        }
    }
    let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // A leading zero is octal; with an 8 or 9 in it, go-yaml falls back to a decimal float.
    let found = if decimal && digits.len() > 1 && digits.starts_with('0') { whole(digits, 8) } else { decimal.then(|| whole(digits, 10)).flatten() };
    if found.is_some() {
        return found;
    }
    if !float_like(digits) {
        return None;
    }
    plain.parse().ok().filter(|f: &f64| f.is_finite()).map(Yaml::Float)
}

/// `1`, `1.`, `.5`, `1.5`, each with an exponent or without.
fn float_like(digits: &str) -> bool {
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e)),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits_only = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let exponent = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits_only(e)
    });
    exponent && digits_only(whole) && digits_only(fraction) && !(whole.is_empty() && fraction.is_empty())
}

/// A date becomes the text that Go's JSON gives for its time.
fn date(text: &str) -> Option<Yaml> {
    use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset, format_description::well_known::Rfc3339};
    let year = text.get(..4).filter(|y| y.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    let rest = text.get(4..)?.strip_prefix('-')?;
    let digits = |t: &str, most: usize| t.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let part = |t: &str| -> Option<(u8, usize)> {
        let n = digits(t, 2);
        Some((t.get(..n)?.parse().ok()?, n))
    };
    let (month, n) = part(rest)?;
    let rest = rest.get(n..)?.strip_prefix('-')?;
    let (day, n) = part(rest)?;
    let rest = rest.get(n..)?;
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let finish = |time: Time, offset: UtcOffset| PrimitiveDateTime::new(date, time).assume_offset(offset).format(&Rfc3339).ok().map(Yaml::Time);
    if rest.is_empty() {
        return finish(Time::MIDNIGHT, UtcOffset::UTC);
    }
    let clock = rest.strip_prefix(['T', 't', ' '])?;
    let spaced = rest.starts_with(' ');
    let mut fields = clock.splitn(3, ':');
    let (hour, minute, tail) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?, fields.next()?);
    let n = digits(tail, 2);
    let second: u8 = tail.get(..n)?.parse().ok()?;
    let tail = tail.get(n..)?;
    let (nanos, tail) = match tail.strip_prefix('.') {
        Some(t) => {
            let n = digits(t, 9);
            (format!("{:0<9}", t.get(..n)?).parse::<u32>().ok()?, t.get(n..)?)
        }
        None => (0, tail),
    };
    let time = Time::from_hms_nano(hour, minute, second, nanos).ok()?;
    match tail {
        "Z" if !spaced => finish(time, UtcOffset::UTC),
        "" if spaced => finish(time, UtcOffset::UTC),
        zone if !spaced => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
            let (hours, minutes): (i8, i8) = (hours.parse().ok()?, minutes.parse().ok()?);
            finish(time, UtcOffset::from_hms(hours * sign, minutes * sign, 0).ok()?)
        }
        _ => None,
    }
}

/// A float as Go's `%v` prints it.
pub(crate) fn float_text(f: f64) -> String {
    if f.is_nan() {
        return "NaN".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let (mantissa, exponent) = split(f);
    if f != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{f}")
}

/// The shortest digits and the exponent.
fn split(f: f64) -> (String, i32) {
    let text = format!("{f:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.to_owned(), exponent.parse().unwrap_or_default())
}

/// A float as Go's JSON writes it, as far as a JSON value can say it: whole ones have no fraction.
pub(crate) fn float_json(f: f64) -> serde_json::Value {
    if f == f.trunc() && f.abs() < 9e15 { serde_json::Value::from(f as i64) } else { serde_json::Value::from(f) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_go_prints_them() {
        for (f, text) in [
            (1.0, "1"),
            (1.5, "1.5"),
            (1e21, "1e+21"),
            (1e20, "1e+20"),
            (123456.0, "123456"),
            (1234567.0, "1.234567e+06"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-0.0, "-0"),
        ] {
            assert_eq!(float_text(f), text);
        }
    }

    #[test]
    fn dates_and_what_only_looks_like_one() {
        let text = |t: &str| match plain_value(t) {
            Yaml::Time(t) => t,
            other => format!("{other:?}"),
        };
        assert_eq!(text("2024-01-01"), "2024-01-01T00:00:00Z");
        assert_eq!(text("2024-01-01T00:00:00+02:00"), "2024-01-01T00:00:00+02:00");
        assert_eq!(text("2024-01-01 10:00:00.5"), "2024-01-01T10:00:00.5Z");
        assert_eq!(text("2024-13-01"), "Text(\"2024-13-01\")");
        assert_eq!(text("1.2.3"), "Text(\"1.2.3\")");
        assert_eq!(text("1e5"), "Float(100000.0)");
    }
}
