//! Finding the engine: an argument, the environment, a docker context, or the default socket, as docker itself does.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    Engine,
    client::{ApiVersion, Client, Limits, MIN_API},
    config::{self, Config},
    contexts::{self, Found},
};
use crate::{
    call::{Call, options},
    error::{Error, ErrorKind, Result},
    host::variable,
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
        /// How long making a connection may take, login and TLS and all; default 30 s.
        pub connect_timeout: Option<Seconds>,
        /// How long an answer may take to begin, and be silent once it has begun; default 60 s. Calls that wait by nature, and
        /// streams, are not bound by it. The time for the whole is the `deadline` of each call.
        pub timeout: Option<Seconds>,
        /// How long an answer may take to begin, once there is a connection; default `timeout`. It binds the same calls.
        pub first_byte_timeout: Option<Seconds>,
        /// How long an answer that has begun may be silent; default `timeout`. It binds the same calls.
        pub silence_timeout: Option<Seconds>,
        /// The API version to speak, such as `1.41`; default: `DOCKER_API_VERSION`, else the newest that both sides know.
        pub api_version: Option<String>,
    }
}

impl Engine {
    /// Connects to an engine: `unix:///path`, `tcp://host:port`, `ssh://[user@]host[:port][/socket]`, or on Windows
    /// `npipe:////./pipe/name`.
    ///
    /// With an empty text the engine is found as the docker CLI finds it: `DOCKER_HOST` (with `DOCKER_TLS_VERIFY` and
    /// `DOCKER_CERT_PATH`), `DOCKER_CONTEXT`, the current context of `config.json`, the default socket: `/var/run/docker.sock`, on
    /// Windows `npipe:////./pipe/docker_engine`. The engine is asked for its API version at once; 1.41 (Docker 20.10) is the oldest
    /// that is spoken. A version that the options or `DOCKER_API_VERSION` name is spoken as it is, when the engine knows it.
    ///
    /// # Errors
    /// `invalid_input` for a wrong endpoint, `not_found` for an unknown context, `unreachable`, `untrusted`,
    /// `unauthorized`, `forbidden`, `unsupported` when the engine is too old, or older than the version that is asked for, for a
    /// pipe anywhere but on Windows, and for a Unix socket there.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub fn connect(endpoint: impl Into<String>) -> Call<ConnectOptions, Engine> {
        let endpoint = endpoint.into();
        Call::new("engine.connect", move |o: ConnectOptions, _| async move {
            let engine = Self::prepare(&endpoint, o)?;
            engine.client.negotiate().await?;
            Ok(engine)
        })
    }

    /// The engine of `endpoint`, with nothing sent yet.
    pub(crate) fn prepare(endpoint: &str, o: ConnectOptions) -> Result<Engine> {
        let found = find(endpoint, o.context.as_deref())?;
        let tls = o.tls.or(found.tls);
        let version = o.api_version.or_else(|| variable("DOCKER_API_VERSION")).map(|text| wanted(&text)).transpose()?;
        let connector = transport::connector(&found.endpoint, tls.as_ref(), o.ssh.as_ref())?;
        let or = |given: Option<Seconds>, usual: Duration| given.map_or(usual, Into::into);
        let answer = or(o.timeout, Duration::from_secs(60));
        let limits = Limits {
            connect: or(o.connect_timeout, Duration::from_secs(30)),
            first_byte: or(o.first_byte_timeout, answer),
            silence: or(o.silence_timeout, answer),
        };
        let client = Client::new(connector, found.endpoint.to_string(), limits, version, &Config::read()?.headers());
        Ok(Engine { client, endpoint: Arc::new(found.endpoint), source: found.source.into() })
    }
}

/// The API version that a user asks for.
fn wanted(text: &str) -> Result<ApiVersion> {
    let bad =
        || Error::invalid(format!("`{}` is not an API version", crate::error::escape(text))).hint("write it as 1.41, in the options or in DOCKER_API_VERSION");
    let version = ApiVersion::parse(text).ok_or_else(bad)?;
    if version < MIN_API {
        return Err(Error::new(ErrorKind::Unsupported, format!("API {version} is asked for, and {MIN_API} is the oldest that is spoken here"))
            .hint("ask for a newer one, in the options or in DOCKER_API_VERSION, or for none"));
    }
    Ok(version)
}

fn find(endpoint: &str, context: Option<&str>) -> Result<Found> {
    if !endpoint.is_empty() {
        if context.is_some() {
            return Err(Error::invalid("an endpoint and a context exclude each other").hint("give one of them"));
        }
        return Ok(Found { endpoint: Endpoint::parse(endpoint)?, tls: None, source: "argument".into() });
    }
    if let Some(name) = context {
        return contexts::find(name);
    }
    if let Some(host) = variable("DOCKER_HOST") {
        let folder = variable("DOCKER_CERT_PATH").map_or_else(config::folder, PathBuf::from);
        let tls = variable("DOCKER_TLS_VERIFY").map(|_| TlsOptions::from_folder(folder));
        return Ok(Found { endpoint: Endpoint::parse(&host)?, tls, source: "DOCKER_HOST".into() });
    }
    if let Some(name) = variable("DOCKER_CONTEXT") {
        return contexts::find(&name);
    }
    match Config::read()?.current_context() {
        Some(name) => contexts::find(name),
        None => Ok(Found::default_engine()),
    }
}
