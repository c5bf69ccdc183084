//! Moments as results and options have them.

use std::{fmt, time::SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use crate::{
    error::{Error, Result},
    units::{parse_duration, unit_schema},
};

/// A moment, to the nanosecond, in UTC. Printed and written in RFC 3339 form; a `datetime` in Python, a `Date` in Node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        Self(OffsetDateTime::now_utc())
    }

    /// So many nanoseconds after 1970 began; the nearest that can be written where that is out of range.
    #[must_use]
    pub fn from_unix_nanos(nanos: i128) -> Self {
        Self(OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// So many seconds after 1970 began.
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self::from_unix_nanos(i128::from(seconds) * 1_000_000_000)
    }

    /// Whole seconds since 1970 began.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// Nanoseconds since 1970 began.
    #[must_use]
    pub fn unix_nanos(self) -> i128 {
        self.0.unix_timestamp_nanos()
    }

    /// What an engine wrote in RFC 3339 form; none where it wrote nothing, or the year 1 that Go's programs write for "never".
    pub(crate) fn read(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?.to_offset(time::UtcOffset::UTC);
        (time.year() > 1).then_some(Self(time))
    }

    /// As the engine's queries have it.
    pub(crate) fn to_query(self) -> String {
        let nanos = self.unix_nanos();
        format!("{}.{:09}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000))
    }
}

impl Default for Timestamp {
    /// The beginning of 1970.
    fn default() -> Self {
        Self(OffsetDateTime::UNIX_EPOCH)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(value: SystemTime) -> Self {
        Self(value.into())
    }
}

impl From<Timestamp> for SystemTime {
    fn from(value: Timestamp) -> Self {
        value.0.into()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nine digits always: other languages cut them at a fixed place, and texts sort as moments do.
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]Z");
        f.write_str(&self.0.format(&format).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        OffsetDateTime::parse(&text, &Rfc3339)
            .map(|t| Self(t.to_offset(time::UtcOffset::UTC)))
            .map_err(|_| D::Error::custom("a moment is written as in RFC 3339"))
    }
}

/// A moment in an option: RFC 3339, Unix seconds with or without a fraction, or how long ago, such as `10m`.
///
/// In Rust also a [`Timestamp`], in Python a `datetime`, in Node a `Date`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct When(String);

unit_schema!(Timestamp, "string", "time");
unit_schema!(When, "string", "when");

impl When {
    /// As the engine's queries have it: seconds since 1970 began.
    ///
    /// # Errors
    /// `invalid_input` when it is no moment.
    pub(crate) fn to_query(&self) -> Result<String> {
        let text = self.0.trim();
        if let Some(moment) = Timestamp::read(text) {
            return Ok(moment.to_query());
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.') && digits.parse::<f64>().is_ok() {
            return Ok(text.to_owned());
        }
        if text.ends_with(|c: char| c.is_ascii_alphabetic())
            && let Ok(ago) = parse_duration(text)
        {
            return Ok(Timestamp(OffsetDateTime::now_utc() - ago).to_query());
        }
        Err(Error::invalid(format!("`{}` is not a moment", crate::error::escape(text)))
            .hint("write it as 2026-01-31T12:00:00Z, as Unix seconds, or as how long ago: 10m"))
    }
}

impl From<&str> for When {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for When {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<Timestamp> for When {
    fn from(moment: Timestamp) -> Self {
        Self(moment.to_string())
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Whole(i64),
            Number(f64),
            Text(String),
        }
        let form =
            Form::deserialize(deserializer).map_err(|_| D::Error::custom("a moment is a text in RFC 3339 form, a number of Unix seconds, or how long ago"))?;
        Ok(Self(match form {
            Form::Whole(n) => n.to_string(),
            Form::Number(n) => format!("{n:.9}"),
            Form::Text(t) => t,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_printed() {
        let read = |t: &str| Timestamp::read(t).map(|t| t.to_string());
        assert_eq!(read("2026-01-31T12:00:00+02:00").as_deref(), Some("2026-01-31T10:00:00.000000000Z"));
        assert_eq!(read("2026-01-31T12:00:00.123456789Z").as_deref(), Some("2026-01-31T12:00:00.123456789Z"));
        assert_eq!(read("0001-01-01T00:00:00Z"), None);
        assert_eq!(read(""), None);
        assert_eq!(Timestamp::from_unix_seconds(-1).to_string(), "1969-12-31T23:59:59.000000000Z");
    }

    #[test]
    fn options_take_each_form() {
        let query = |t: &str| When::from(t).to_query().ok();
        assert_eq!(query("1970-01-01T00:00:01.5Z").as_deref(), Some("1.500000000"));
        assert_eq!(query("12").as_deref(), Some("12"));
        assert_eq!(query("12.25").as_deref(), Some("12.25"));
        let ago: f64 = query("10m").and_then(|t| t.parse().ok()).unwrap_or_default();
        let now = Timestamp::now().unix_seconds() as f64;
        assert!((now - 600.0 - ago).abs() < 5.0);
        for wrong in ["yesterday", "", "2026-13-01T00:00:00Z", "1.2.3"] {
            assert_eq!(query(wrong), None, "{wrong}");
        }
    }
}
