//! Durations and sizes as docker compose writes them: durations as `1m30s`, sizes as a decimal text.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::units::{go_duration, parse_duration, parse_size};

/// A duration, written as `1m30s`. A negative one counts as nothing, and is kept to be written as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delay(pub Duration, Below);

/// How far a duration lies below nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Below(Duration);

impl From<Duration> for Delay {
    fn from(duration: Duration) -> Self {
        Self(duration, Below::default())
    }
}

impl Serialize for Delay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.1 == Below::default() {
            serializer.serialize_str(&go_duration(self.0))
        } else {
            serializer.collect_str(&format_args!("-{}", go_duration(self.1.0)))
        }
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix('-') {
            Some(below) => parse_duration(below).map(|d| Self(Duration::ZERO, Below(d))).map_err(D::Error::custom),
            None => parse_duration(&text).map(Self::from).map_err(D::Error::custom),
        }
    }
}

/// A number of bytes, written as a decimal text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub i64);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        match value {
            serde_json::Value::Number(n) => n.as_i64().map(Self).ok_or_else(|| D::Error::custom("a size is a whole number of bytes")),
            serde_json::Value::String(s) => match s.parse::<i64>() {
                Ok(n) => Ok(Self(n)),
                Err(_) => parse_size(&s).map(|n| Self(n.cast_signed())).map_err(D::Error::custom),
            },
            _ => Err(D::Error::custom("a size is a number or a text such as 512m")),
        }
    }
}

/// A number as Go writes a short float: the fewest digits that mean it, and no fraction where there is none.
pub(super) fn short_float<S: Serializer>(number: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    if *number == number.trunc() && number.abs() < 9e15 {
        return serializer.serialize_i64(*number as i64);
    }
    serializer.serialize_f64(number.to_string().parse().unwrap_or_else(|_| f64::from(*number)))
}

macro_rules! text_schema {
    ($name:ident) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string"})
            }
        }
    };
}

text_schema!(Delay);
text_schema!(Bytes);
