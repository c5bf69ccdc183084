//! Durations, sizes and raw bytes as they are written in options and files.

use std::{fmt, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::error::{Error, Result};

/// The name that marks a duration on its way to another language.
pub(crate) const DURATION: &str = "$duration";

/// A duration in an option or a result: seconds as a number, or a text such as `1m30s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub Duration);

impl From<Duration> for Seconds {
    fn from(value: Duration) -> Self {
        Self(value)
    }
}

impl From<Seconds> for Duration {
    fn from(value: Seconds) -> Self {
        value.0
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&go_duration(self.0))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(DURATION, &self.0.as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(n) => Duration::try_from_secs_f64(n).map(Self).map_err(|_| D::Error::custom("a duration is a number of seconds, not negative")),
            Form::Text(t) => parse_duration(&t).map(Self).map_err(D::Error::custom),
        }
    }
}

/// A size in bytes in an option: a number, or a text such as `512m`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl From<u64> for Size {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(n) => Ok(Self(n)),
            Form::Text(t) => parse_size(&t).map(Self).map_err(D::Error::custom),
        }
    }
}

macro_rules! unit_schema {
    ($name:ident, $text:literal, $tag:literal) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"x-dockerkit": $tag, "type": $text})
            }
        }
    };
}

pub(crate) use unit_schema;

unit_schema!(Seconds, "number", "duration");
unit_schema!(Size, "integer", "size");
unit_schema!(Data, "string", "bytes");

/// Raw bytes in an option or a result: `bytes` in Python, a `Buffer` in Node.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data(pub Bytes);

impl Data {
    /// The bytes as text, with wrong UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Puts the bytes of `other` behind these, or gives them back when both together would be a large piece.
    pub(crate) fn join(&mut self, other: Self) -> Option<Self> {
        const PIECE: usize = 128 << 10;
        if self.len() + other.len() > PIECE {
            return Some(other);
        }
        // Bytes that nobody else holds are extended in place.
        let mut all = std::mem::take(&mut self.0).try_into_mut().unwrap_or_else(|shared| {
            let mut all = bytes::BytesMut::with_capacity(PIECE);
            all.extend_from_slice(&shared);
            all
        });
        all.extend_from_slice(&other.0);
        self.0 = all.freeze();
        None
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<T: Into<Bytes>> From<T> for Data {
    fn from(value: T) -> Self {
        Self(value.into())
    }
}

impl std::ops::Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Reads a duration in Go's form: `1h2m3.5s`, `300ms`, or a bare number of seconds.
///
/// # Errors
/// `invalid_input` when the text is none of these.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let wrong = || Error::invalid(format!("`{}` is not a duration; write it as 1m30s, 500ms or a number of seconds", crate::error::escape(text)));
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    if let Ok(n) = rest.parse::<f64>() {
        return Duration::try_from_secs_f64(n).map_err(|_| wrong());
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(wrong()),
        };
        total += number * scale;
        rest = tail;
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

/// Writes a duration as Go's `Duration.String` does: `1m30s`, `500ms`, `0s`.
#[must_use]
pub fn go_duration(d: Duration) -> String {
    let nanos = d.as_nanos();
    let frac = |value: u128, unit: u128| {
        let whole = value / unit;
        let rest = value % unit;
        if rest == 0 {
            whole.to_string()
        } else {
            let digits = unit.ilog10() as usize;
            format!("{whole}.{}", format!("{rest:0digits$}").trim_end_matches('0'))
        }
    };
    match nanos {
        0 => "0s".to_owned(),
        n if n < 1_000 => format!("{n}ns"),
        n if n < 1_000_000 => format!("{}µs", frac(n, 1_000)),
        n if n < 1_000_000_000 => format!("{}ms", frac(n, 1_000_000)),
        n => {
            let (hours, minutes) = (n / 3_600_000_000_000, n / 60_000_000_000 % 60);
            let seconds = frac(n % 60_000_000_000, 1_000_000_000);
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, m) => format!("{m}m{seconds}s"),
                (h, m) => format!("{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// Reads a size: a number of bytes with an optional unit `b k kb m mb g gb t tb` or `kib mib gib tib`, powers of 1024.
///
/// # Errors
/// `invalid_input` when the text is no size.
pub fn parse_size(text: &str) -> Result<u64> {
    let wrong = || Error::invalid(format!("`{}` is not a size; write it as 512m, 2g or a number of bytes", crate::error::escape(text)));
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(wrong()),
    };
    let bytes = number * (1u64 << shift) as f64;
    if bytes.is_finite() && bytes < 9.0e18 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// A size for a person: `64.0 MiB`.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_in_go() {
        for (text, nanos, printed) in [
            ("1m30s", 90_000_000_000u64, "1m30s"),
            ("90", 90_000_000_000, "1m30s"),
            ("500ms", 500_000_000, "500ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
        ] {
            let d = parse_duration(text).unwrap_or_default();
            assert_eq!(d.as_nanos() as u64, nanos, "{text}");
            assert_eq!(go_duration(d), printed);
        }
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("512m").ok(), Some(512 << 20));
        assert_eq!(parse_size("64").ok(), Some(64));
        assert_eq!(parse_size("1.5g").ok(), Some(3 << 29));
        assert!(parse_size("lots").is_err());
    }
}
