//! Engine: one Docker daemon, whichever way it is reached.

pub(crate) mod client;
mod connect;
pub(crate) mod surface;
mod system;

use std::sync::Arc;

use serde::Serialize;

pub use connect::ConnectOptions;
pub use system::{Ping, Version};

use crate::{
    call::{Call, NoOptions},
    surface::{Handle, handle},
    transport::Endpoint,
};
pub(crate) use client::{Client, Req};

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

    /// The API version that calls are made with, such as `1.51`.
    #[must_use]
    pub fn api_version(&self) -> String {
        self.client.known_version().unwrap_or(client::MIN_API).to_string()
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
}

handle!(Engine);
