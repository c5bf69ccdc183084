//! Images that are there for many platforms: how one is chosen, and what an image is made of.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Engine, client::ApiVersion, system::text};
use crate::error::{Error, Result};

/// A part of an image: the image of one platform, or what was written about it when it was built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ImageManifest {
    /// Its digest, `sha256:…`.
    pub digest: String,
    /// `image`, `attestation` or `unknown`.
    pub kind: String,
    /// Its platform, such as `linux/arm64`, empty where it is no image.
    pub platform: String,
    /// Whether all of it is there.
    pub available: bool,
    /// Bytes that it takes, unpacked and as it was pulled.
    pub size: u64,
    /// IDs of containers that use it.
    pub containers: Vec<String>,
}

impl ImageManifest {
    pub(super) fn read(raw: &Value) -> Self {
        let kind = text(raw, "Kind");
        let platform = raw.pointer("/ImageData/Platform").cloned().unwrap_or_default();
        let parts = ["os", "architecture", "variant"].map(|n| text(&platform, n));
        Self {
            digest: raw.pointer("/Descriptor/digest").and_then(Value::as_str).map_or_else(|| text(raw, "ID"), str::to_owned),
            kind: if kind.is_empty() { "unknown".to_owned() } else { kind },
            platform: parts.iter().filter(|t| !t.is_empty()).cloned().collect::<Vec<_>>().join("/"),
            available: raw.get("Available").and_then(Value::as_bool).unwrap_or_default(),
            size: raw.pointer("/Size/Total").and_then(Value::as_u64).unwrap_or_default(),
            containers: raw
                .pointer("/ImageData/Containers")
                .and_then(Value::as_array)
                .map(|l| l.iter().filter_map(|c| c.as_str().map(str::to_owned)).collect())
                .unwrap_or_default(),
        }
    }
}

/// A platform in the engine's form, where one is given and the engine can choose.
pub(super) async fn platform(engine: &Engine, given: Option<&str>, api: ApiVersion) -> Result<Option<String>> {
    let Some(given) = given else { return Ok(None) };
    let written = write(given)?;
    engine.needs("platform", api).await?;
    Ok(Some(written))
}

fn write(given: &str) -> Result<String> {
    let parts: Vec<&str> = given.split('/').collect();
    let value = match parts.as_slice() {
        _ if parts.iter().any(|p| p.is_empty()) => None,
        [os, architecture] => Some(json!({"os": os, "architecture": architecture})),
        [os, architecture, variant] => Some(json!({"os": os, "architecture": architecture, "variant": variant})),
        _ => None,
    };
    let wrong = || Error::invalid(format!("`{}` is not a platform", crate::error::escape(given))).hint("write it as linux/amd64 or linux/arm/v7");
    value.map(|v| v.to_string()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_written_as_the_engine_reads_them() {
        assert_eq!(write("linux/amd64").unwrap(), r#"{"os":"linux","architecture":"amd64"}"#);
        assert_eq!(write("linux/arm/v7").unwrap(), r#"{"os":"linux","architecture":"arm","variant":"v7"}"#);
        for wrong in ["", "linux", "linux/", "/amd64", "a/b/c/d"] {
            assert_eq!(write(wrong).unwrap_err().kind(), crate::ErrorKind::InvalidInput, "{wrong}");
        }
    }

    #[test]
    fn manifests_are_read() {
        let raw = json!({"ID": "sha256:1", "Descriptor": {"digest": "sha256:2"}, "Available": true, "Kind": "image", "Size": {"Total": 7, "Content": 3},
            "ImageData": {"Platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}, "Containers": ["c"]}});
        let read = ImageManifest::read(&raw);
        let wanted = ImageManifest {
            digest: "sha256:2".into(),
            kind: "image".into(),
            platform: "linux/arm64/v8".into(),
            available: true,
            size: 7,
            containers: vec!["c".into()],
        };
        assert_eq!(read, wanted);
        let bare = ImageManifest::read(&json!({"ID": "sha256:1"}));
        assert_eq!((&*bare.digest, &*bare.kind, bare.available), ("sha256:1", "unknown", false));
    }
}
