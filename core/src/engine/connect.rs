//! Finding the engine: an argument, the environment, a docker context, or the default socket, as docker itself does.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Engine,
    client::{ApiVersion, Client},
};
use crate::{
    call::{Call, options},
    error::{Error, Result},
    transport::{self, Endpoint, SshOptions, TlsOptions},
    units::Seconds,
};

options! {
    /// Options of [`Engine::connect`].
    pub struct ConnectOptions {
        /// A docker context by name; not together with an endpoint.
        pub context: Option<String>,
        /// TLS for a `tcp://` endpoint.
        pub tls: Option<TlsOptions>,
        /// Login for an `ssh://` endpoint.
        pub ssh: Option<SshOptions>,
        /// How long an answer may take to begin; default 60 s. Calls that wait by nature are not bound by it.
        pub timeout: Option<Seconds>,
        /// The API version to speak, such as `1.41`; default: the newest that both sides know.
        pub api_version: Option<String>,
    }
}

struct Found {
    endpoint: Endpoint,
    tls: Option<TlsOptions>,
    source: String,
}

impl Engine {
    /// Connects to an engine: `unix:///path`, `tcp://host:port` or `ssh://[user@]host[:port][/socket]`.
    ///
    /// With an empty text the engine is found as the docker CLI finds it: `DOCKER_HOST` (with `DOCKER_TLS_VERIFY` and
    /// `DOCKER_CERT_PATH`), `DOCKER_CONTEXT`, the current context of `config.json`, the default socket.
    /// The engine is asked for its API version at once; 1.41 (Docker 20.10) is the oldest that is spoken.
    ///
    /// # Errors
    /// `invalid_input` for a wrong endpoint, `not_found` for an unknown context, `unreachable`, `untrusted`,
    /// `unauthorized`, `unsupported` when the engine is too old.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub fn connect(endpoint: impl Into<String>) -> Call<ConnectOptions, Engine> {
        let endpoint = endpoint.into();
        Call::new("engine.connect", move |o: ConnectOptions, _| async move {
            let engine = Self::prepare(&endpoint, o)?;
            engine.client.version().await?;
            Ok(engine)
        })
    }

    /// The engine of `endpoint`, with nothing sent yet.
    pub(crate) fn prepare(endpoint: &str, o: ConnectOptions) -> Result<Engine> {
        let found = find(endpoint, o.context.as_deref())?;
        let tls = o.tls.or(found.tls);
        let version = match &o.api_version {
            None => None,
            Some(text) => Some(ApiVersion::parse(text).ok_or_else(|| Error::invalid(format!("`{text}` is not an API version")).hint("write it as 1.41"))?),
        };
        let connector = transport::connector(&found.endpoint, tls.as_ref(), o.ssh.as_ref())?;
        let client = Client::new(connector, found.endpoint.to_string(), o.timeout.map(Into::into), version);
        Ok(Engine { client, endpoint: Arc::new(found.endpoint), source: found.source.into() })
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the docker variables are read")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

fn find(endpoint: &str, context: Option<&str>) -> Result<Found> {
    if !endpoint.is_empty() {
        if context.is_some() {
            return Err(Error::invalid("an endpoint and a context exclude each other").hint("give one of them"));
        }
        return Ok(Found { endpoint: Endpoint::parse(endpoint)?, tls: None, source: "argument".into() });
    }
    if let Some(name) = context {
        return from_context(name);
    }
    if let Some(host) = env("DOCKER_HOST") {
        let folder = env("DOCKER_CERT_PATH").map_or_else(config_folder, PathBuf::from);
        let tls = env("DOCKER_TLS_VERIFY").map(|_| TlsOptions::from_folder(folder));
        return Ok(Found { endpoint: Endpoint::parse(&host)?, tls, source: "DOCKER_HOST".into() });
    }
    if let Some(name) = env("DOCKER_CONTEXT") {
        return from_context(&name);
    }
    let config = config_folder().join("config.json");
    if let Ok(text) = std::fs::read_to_string(&config) {
        let config: Value = serde_json::from_str(&text).map_err(|e| Error::invalid(format!("{}: {e}", config.display())).hint("mend or remove the file"))?;
        if let Some(name) = config.get("currentContext").and_then(Value::as_str).filter(|n| !n.is_empty()) {
            return from_context(name);
        }
    }
    Ok(default_engine())
}

fn default_engine() -> Found {
    Found { endpoint: Endpoint::Unix { path: transport::DEFAULT_SOCKET.into() }, tls: None, source: "default".into() }
}

/// `DOCKER_CONFIG`, else `~/.docker`.
pub(crate) fn config_folder() -> PathBuf {
    env("DOCKER_CONFIG").map_or_else(|| Path::new(&env("HOME").unwrap_or_else(|| "/root".into())).join(".docker"), PathBuf::from)
}

/// Reads a context from docker's store: `contexts/meta/<sha256 of the name>/meta.json`, TLS files beside it.
fn from_context(name: &str) -> Result<Found> {
    use sha2::Digest;
    if name == "default" {
        return Ok(default_engine());
    }
    let id: String = sha2::Sha256::digest(name.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    let store = config_folder().join("contexts");
    let file = store.join("meta").join(&id).join("meta.json");
    let text = std::fs::read_to_string(&file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            let known = context_names(&store);
            let near = crate::error::nearest(name, known.iter().map(String::as_str)).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            Error::not_found(format!("no context `{}`{near}", crate::error::escape(name)))
                .hint(format!("known contexts: default{}", known.iter().map(|n| format!(", {n}")).collect::<String>()))
                .with("context", name)
        }
        _ => Error::file(&file, e),
    })?;
    let meta: Value = serde_json::from_str(&text).map_err(|e| Error::invalid(format!("{}: {e}", file.display())).hint("make the context again"))?;
    let host = meta.pointer("/Endpoints/docker/Host").and_then(Value::as_str).unwrap_or_default();
    let folder = store.join("tls").join(&id).join("docker");
    let tls = folder.join("ca.pem").exists().then(|| {
        let there = |n: &str| Some(folder.join(n)).filter(|p| p.exists());
        TlsOptions { ca_file: there("ca.pem"), cert_file: there("cert.pem"), key_file: there("key.pem"), ..TlsOptions::default() }
    });
    Ok(Found { endpoint: Endpoint::parse(host)?, tls, source: format!("context {name}") })
}

fn context_names(store: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(store.join("meta")) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|e| std::fs::read_to_string(e.ok()?.path().join("meta.json")).ok())
        .filter_map(|t| serde_json::from_str::<Value>(&t).ok()?.get("Name")?.as_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}
