//! What an engine says of itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Engine, Req,
    client::{ApiVersion, status_error},
    images::{RegistryAuth, registry},
};
use crate::{
    call::{Call, NoOptions, options},
    error::{Error, ErrorKind, Result},
    units::Data,
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
        let response = self.client.send(Req::new(hyper::Method::HEAD, &["_ping"])).await?;
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

    /// What the engine says of itself and its host.
    ///
    /// # Errors
    /// `unreachable`, `timeout`.
    pub fn info(&self) -> Call<NoOptions, Info> {
        let me = self.clone();
        Call::new("engine.info", move |_, _| async move { me.info_now().await })
    }

    pub(crate) async fn info_now(&self) -> Result<Info> {
        let raw: Value = self.client.fetch(Req::get(&["info"])).await?;
        let number = |n: &str| raw.get(n).and_then(Value::as_u64).unwrap_or_default();
        Ok(Info {
            id: text(&raw, "ID"),
            name: text(&raw, "Name"),
            server_version: text(&raw, "ServerVersion"),
            storage_driver: text(&raw, "Driver"),
            operating_system: text(&raw, "OperatingSystem"),
            architecture: text(&raw, "Architecture"),
            kernel_version: text(&raw, "KernelVersion"),
            cpus: number("NCPU"),
            memory: number("MemTotal"),
            containers: number("Containers"),
            containers_running: number("ContainersRunning"),
            images: number("Images"),
            swarm: raw.pointer("/Swarm/LocalNodeState").and_then(Value::as_str).unwrap_or_default().to_owned(),
            swarm_node_id: raw.pointer("/Swarm/NodeID").and_then(Value::as_str).unwrap_or_default().to_owned(),
            swarm_manager: raw.pointer("/Swarm/ControlAvailable").and_then(Value::as_bool).unwrap_or_default(),
            warnings: raw
                .get("Warnings")
                .and_then(Value::as_array)
                .map(|l| l.iter().filter_map(|w| w.as_str().map(str::to_owned)).collect())
                .unwrap_or_default(),
            raw,
        })
    }

    /// What images, containers, volumes and the build cache take on disk.
    ///
    /// # Errors
    /// `unreachable`, `timeout`; `unsupported` for `types` where the engine is too old.
    pub fn disk_usage(&self) -> Call<DiskUsageOptions, DiskUsage> {
        let me = self.clone();
        Call::new("engine.disk_usage", move |o: DiskUsageOptions, _| async move {
            let mut req = Req::get(&["system", "df"]).patient();
            if !o.types.is_empty() {
                me.needs("types", ApiVersion(1, 42)).await?;
            }
            for kind in &o.types {
                let kind = match kind.as_str() {
                    "containers" => "container",
                    "images" => "image",
                    "volumes" => "volume",
                    "build_cache" => "build-cache",
                    other => {
                        let message = format!("`{}` takes no space", crate::error::escape(other));
                        return Err(Error::invalid(message).hint("use containers, images, volumes or build_cache"));
                    }
                };
                req = req.query("type", kind);
            }
            let raw: Value = me.client.fetch(req).await?;
            let sum = |list: &str, field: &str| -> u64 {
                raw.get(list).and_then(Value::as_array).map(|l| l.iter().filter_map(|v| v.pointer(field).and_then(Value::as_u64)).sum()).unwrap_or_default()
            };
            Ok(DiskUsage {
                layers: raw.get("LayersSize").and_then(Value::as_u64).unwrap_or_default(),
                containers: sum("Containers", "/SizeRw"),
                volumes: sum("Volumes", "/UsageData/Size"),
                build_cache: sum("BuildCache", "/Size"),
                raw,
            })
        })
    }

    /// Asks a registry, through the engine, whether a login is good.
    ///
    /// # Errors
    /// `unauthorized`, `unreachable` when the engine cannot reach the registry.
    pub fn login(&self) -> Call<RegistryAuth, String> {
        let me = self.clone();
        Call::new("engine.login", move |o: RegistryAuth, _| async move {
            let server = o.server.unwrap_or_default();
            let body = serde_json::json!({"username": o.username, "password": o.password.reveal(), "serveraddress": server});
            let raw: Value = me.client.fetch(Req::post(&["auth"]).json(&body).patient()).await.map_err(|e| {
                let refused = e.message().to_ascii_lowercase().contains("unauthorized");
                if refused { Error::new(ErrorKind::Unauthorized, e.message()).hint("check user name and password") } else { registry(e, &server) }
            })?;
            Ok(text(&raw, "Status"))
        })
    }

    /// Sends a request that this crate does not model. The version prefix is added; the answer comes back whole, whatever it is.
    ///
    /// # Errors
    /// By the status of the answer.
    pub fn request(&self, method: impl Into<String>, path: impl Into<String>) -> Call<RequestOptions, RawAnswer> {
        let (me, method, path) = (self.clone(), method.into(), path.into());
        Call::new("engine.request", move |o: RequestOptions, _| async move {
            let method = hyper::Method::from_bytes(method.to_ascii_uppercase().as_bytes())
                .map_err(|_| Error::invalid("the method is wrong").hint("use GET, POST, PUT, DELETE or HEAD"))?;
            let mut req = Req::raw(method, &path);
            for (name, value) in &o.query {
                req = req.query(name, value);
            }
            if let Some(body) = &o.body {
                req = req.json(body);
            } else if let Some(data) = o.data {
                req = req.bytes("application/octet-stream", data.0);
            }
            let (status, body) = me.client.whole(req).await?;
            let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
            if status.is_success() || status.is_redirection() {
                return Ok(RawAnswer { status: status.as_u16(), json, body: Data(body) });
            }
            let words = text(&json, "message");
            Err(status_error(status, if words.is_empty() { "the engine refused the request" } else { &words }))
        })
    }
}

/// What an engine says of itself and its host.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Info {
    /// The engine's ID.
    pub id: String,
    /// The host's name.
    pub name: String,
    /// The engine's version.
    pub server_version: String,
    /// Where images are kept, such as `overlay2`.
    pub storage_driver: String,
    /// The host's system.
    pub operating_system: String,
    /// The host's processor architecture.
    pub architecture: String,
    /// The host's kernel.
    pub kernel_version: String,
    /// Processors of the host.
    pub cpus: u64,
    /// Memory of the host in bytes.
    pub memory: u64,
    /// How many containers there are.
    pub containers: u64,
    /// How many of them run.
    pub containers_running: u64,
    /// How many images there are.
    pub images: u64,
    /// `inactive`, `pending`, `active`, `error` or `locked`.
    pub swarm: String,
    /// The ID of its node in the swarm.
    pub swarm_node_id: String,
    /// Whether it is a manager that can be used.
    pub swarm_manager: bool,
    /// What the engine warns of.
    pub warnings: Vec<String>,
    /// The engine's own answer.
    pub raw: Value,
}

options! {
    /// Options of [`Engine::disk_usage`].
    pub struct DiskUsageOptions {
        /// Only these of `containers`, `images`, `volumes`, `build_cache`, which is faster; default: all. What is left out is 0.
        /// Needs API 1.42.
        pub types: Vec<String>,
    }
}

/// What an engine takes on disk, in bytes.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DiskUsage {
    /// Layers of images.
    pub layers: u64,
    /// What containers wrote.
    pub containers: u64,
    /// Volumes.
    pub volumes: u64,
    /// Build cache.
    pub build_cache: u64,
    /// The engine's own answer.
    pub raw: Value,
}

options! {
    /// Options of [`Engine::request`].
    pub struct RequestOptions {
        /// Query parameters.
        pub query: std::collections::BTreeMap<String, String>,
        /// A JSON body.
        pub body: Option<Value>,
        /// A body of bytes.
        pub data: Option<Data>,
    }
}

/// The answer to [`Engine::request`].
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RawAnswer {
    /// The status.
    pub status: u16,
    /// The body as JSON, null where it is none.
    pub json: Value,
    /// The body.
    pub body: Data,
}
