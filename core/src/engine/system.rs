//! What an engine says of itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Engine, Req};
use crate::{
    call::{Call, NoOptions},
    error::Result,
};

/// An engine's answer to a ping.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Ping {
    /// The newest API version that the engine offers.
    pub api_version: String,
    /// Its operating system.
    pub os: String,
    /// Its builder: `1` classic, `2` BuildKit.
    pub builder: String,
    /// The swarm state of its node, such as `active/manager`, where the engine tells it.
    pub swarm: Option<String>,
}

/// The versions of an engine.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Version {
    /// The engine's version, such as `28.5.2`.
    pub version: String,
    /// The newest API version that it offers.
    pub api_version: String,
    /// The oldest API version that it offers.
    pub min_api_version: String,
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub arch: String,
    /// Kernel version.
    pub kernel_version: String,
    /// The engine's own answer.
    pub raw: Value,
}

/// Reads a text field of the engine's JSON, empty where it is absent.
pub(crate) fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Engine {
    pub(crate) async fn ping_now(&self) -> Result<Ping> {
        let response = self.client.send(Req::get(&["_ping"])).await?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok(Ping {
            api_version: header("api-version").unwrap_or_default(),
            os: header("ostype").unwrap_or_default(),
            builder: header("builder-version").unwrap_or_default(),
            swarm: header("swarm"),
        })
    }

    /// The versions of the engine and its parts.
    ///
    /// # Errors
    /// `unreachable`, `timeout`.
    pub fn version(&self) -> Call<NoOptions, Version> {
        let me = self.clone();
        Call::new("engine.version", move |_, _| async move {
            let raw: Value = me.client.fetch(Req::get(&["version"])).await?;
            Ok(Version {
                version: text(&raw, "Version"),
                api_version: text(&raw, "ApiVersion"),
                min_api_version: text(&raw, "MinAPIVersion"),
                os: text(&raw, "Os"),
                arch: text(&raw, "Arch"),
                kernel_version: text(&raw, "KernelVersion"),
                raw,
            })
        })
    }
}
