//! Engine: one Docker daemon, whichever way it is reached.

mod build;
mod buildkit;
mod checkpoints;
pub(crate) mod client;
mod config;
mod connect;
mod container;
mod containers;
mod contexts;
mod copy;
mod events;
mod exec;
mod http;
mod ignore;
mod images;
mod logs;
mod manifests;
mod networks;
mod plugins;
mod progress;
mod ready;
mod row;
mod spec;
pub(crate) mod stats;
mod status;
pub(crate) mod surface;
mod system;
mod volumes;

use std::sync::Arc;

use serde::Serialize;

pub use build::{BuildOptions, Builder};
pub use checkpoints::{Checkpoints, CreateCheckpoint, FindCheckpoints};
pub use connect::ConnectOptions;
pub use container::{
    AttachOptions, CommitOptions, Container, ContainerDetails, ContainerProperties, ExitStatus, FileChange, InspectContainer, KillOptions, Processes,
    PublishedPort, RemoveContainer, StartContainer, StopOptions, TopOptions, UpdateContainer, WaitOptions,
};
pub use containers::{Containers, Filters, ListContainers, PruneOptions, PruneReport, RunOutput};
pub use contexts::{CreateContext, EngineContext};
pub use copy::{CopyFrom, CopyTo, PathStat, PutArchive};
pub use events::{EngineEvent, EventOptions};
pub use exec::{ExecOptions, ExecState, Session, SessionProperties};
pub use images::{
    FoundImage, HistoryEntry, HistoryOptions, Image, Images, ImportImage, InspectImage, ListImages, LoadImages, LoadReport, PruneBuildCache, PullOptions,
    PushOptions, RegistryAuth, RegistryInfo, RegistryInfoOptions, RemoveImage, SaveImages, SearchImages,
};
pub use logs::{CommandOutput, LogChunk, LogOptions};
pub use manifests::ImageManifest;
pub use networks::{ConnectContainer, CreateNetwork, DisconnectContainer, InspectNetwork, ListNetworks, Network, Networks, Subnet};
pub use plugins::{EnablePlugin, InstallPlugin, ListPlugins, Plugin, PluginPrivilege, Plugins, RemovePlugin};
pub use ready::WaitUntil;
pub(crate) use ready::{Question, Search};
pub use spec::{Command, ContainerSpec, HealthCheck, Mount, Ulimit};
pub use stats::{ContainerStats, StatsOptions};
pub use status::{ChangeKind, ContainerStatus, Health};
pub use system::{DiskUsage, DiskUsageOptions, Info, Ping, RawAnswer, RequestOptions, Version};
pub use volumes::{CreateVolume, ListVolumes, RemoveVolume, Volume, Volumes};

use crate::{
    call::{Call, NoOptions},
    surface::{Handle, handle},
    transport::Endpoint,
};
pub(crate) use build::tar_stream;
pub(crate) use client::{Client, Req};
pub(crate) use container::string_map;
pub(crate) use logs::demultiplex;
pub(crate) use spec::restart_policy;
pub(crate) use system::text;

/// A Docker engine. Cheap to clone, safe to use from many tasks; its connections are reused and closed with the last clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) client: Client,
    endpoint: Arc<Endpoint>,
    source: Arc<str>,
}

/// What can be read from an [`Engine`] at once.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct EngineProperties {
    /// Where the engine is, as in `DOCKER_HOST`.
    pub endpoint: String,
    /// The API version that calls are made with.
    pub api_version: String,
    /// What named the endpoint: `argument`, `DOCKER_HOST`, `context NAME` or `default`.
    pub source: String,
}

impl Engine {
    /// Where the engine is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What named this engine: `argument`, `DOCKER_HOST`, `context <name>` or `default`.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The API version that calls are made with, such as `1.51`.
    #[must_use]
    pub fn api_version(&self) -> String {
        self.client.known_version().unwrap_or(client::MIN_API).to_string()
    }

    /// Fails where the engine is too old for an option.
    pub(crate) async fn needs(&self, option: &str, api: client::ApiVersion) -> crate::error::Result<()> {
        let speaks = self.client.version().await?;
        if speaks >= api {
            return Ok(());
        }
        let message = format!("`{}` needs API {api}, and the engine speaks {speaks}", crate::surface::option_name(option));
        Err(crate::Error::new(crate::ErrorKind::Unsupported, message).hint("leave it out, or upgrade the engine").with("needs_api", api.to_string()))
    }

    /// Asks whether the engine answers.
    ///
    /// # Errors
    /// `unreachable`, `timeout`.
    pub fn ping(&self) -> Call<NoOptions, Ping> {
        let me = self.clone();
        Call::new("engine.ping", move |_, _| async move { me.ping_now().await })
    }
}

impl Handle for Engine {
    const CLASS: &'static str = "Engine";
    type Properties = EngineProperties;

    fn properties(&self) -> EngineProperties {
        EngineProperties { endpoint: self.endpoint.to_string(), api_version: self.api_version(), source: self.source.to_string() }
    }

    fn close(&self) {
        self.client.close();
    }
}

handle!(Engine);
