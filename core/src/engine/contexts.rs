//! docker contexts: engines by name, kept in docker's own store.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Engine,
    config::{self, Config},
    system::text,
};
use crate::{
    call::{Call, NoOptions, options},
    error::{Error, ErrorKind, Result},
    host::{variable, write_private},
    transport::{Endpoint, TlsOptions},
};

/// A docker context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EngineContext {
    /// Its name.
    pub name: String,
    /// What it is for, in its maker's words.
    pub description: String,
    /// Where its engine is, as in `DOCKER_HOST`.
    pub endpoint: String,
    /// Whether it is the one that is used when nothing else is said.
    pub current: bool,
}

options! {
    /// Options of [`Engine::create_context`].
    pub struct CreateContext {
        /// What it is for.
        pub description: Option<String>,
        /// TLS for a `tcp://` endpoint: its files or texts are copied into the store.
        pub tls: Option<TlsOptions>,
    }
}

/// Where an engine is, and how that is known.
pub(crate) struct Found {
    pub(crate) endpoint: Endpoint,
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) source: String,
}

impl Found {
    pub(crate) fn default_engine() -> Self {
        Self { endpoint: Endpoint::usual(), tls: None, source: "default".into() }
    }
}

fn store() -> PathBuf {
    config::folder().join("contexts")
}

/// The name of a context's folder: the SHA-256 of its name.
fn id_of(name: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(name.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Reads a context from docker's store: `contexts/meta/<id>/meta.json`, TLS files in `contexts/tls/<id>/docker`.
pub(crate) fn find(name: &str) -> Result<Found> {
    if name == "default" {
        return Ok(Found::default_engine());
    }
    let (store, id) = (store(), id_of(name));
    let file = store.join("meta").join(&id).join("meta.json");
    let text = std::fs::read_to_string(&file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => unknown(name),
        _ => Error::file(&file, e),
    })?;
    let meta: Value = serde_json::from_str(&text).map_err(|e| Error::invalid(format!("{}: {e}", file.display())).hint("make the context again"))?;
    let host = meta.pointer("/Endpoints/docker/Host").and_then(Value::as_str).unwrap_or_default();
    let folder = store.join("tls").join(&id).join("docker");
    Ok(Found { endpoint: Endpoint::parse(host)?, tls: TlsOptions::found_in(&folder), source: format!("context {name}") })
}

fn unknown(name: &str) -> Error {
    let known: Vec<String> = all().into_iter().map(|c| c.name).collect();
    let near = crate::error::nearest(name, known.iter().map(String::as_str)).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    Error::not_found(format!("no context `{}`{near}", crate::error::escape(name))).hint(format!("known contexts: {}", known.join(", "))).with("context", name)
}

/// All contexts by name, the default one first. One that cannot be read is left out.
fn all() -> Vec<EngineContext> {
    let current = variable("DOCKER_CONTEXT").or_else(|| Config::read().ok()?.current_context().map(str::to_owned)).unwrap_or_else(|| "default".to_owned());
    let read = |entry: std::io::Result<std::fs::DirEntry>| -> Option<EngineContext> {
        let meta: Value = serde_json::from_str(&std::fs::read_to_string(entry.ok()?.path().join("meta.json")).ok()?).ok()?;
        let name = text(&meta, "Name");
        let endpoint = meta.pointer("/Endpoints/docker/Host").and_then(Value::as_str).unwrap_or_default().to_owned();
        let description = meta.pointer("/Metadata/Description").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(EngineContext { current: name == current, name, description, endpoint })
    };
    let mut found: Vec<EngineContext> = std::fs::read_dir(store().join("meta")).into_iter().flatten().filter_map(read).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let default = EngineContext {
        name: "default".to_owned(),
        description: "the engine of this host".to_owned(),
        endpoint: Endpoint::usual().to_string(),
        current: current == "default",
    };
    std::iter::once(default).chain(found).collect()
}

impl Engine {
    /// The docker contexts of this user, the default one first.
    ///
    /// # Errors
    /// None that a caller can cause: a context that cannot be read is left out.
    pub fn contexts() -> Call<NoOptions, Vec<EngineContext>> {
        Call::new("engine.contexts", |_, _| async { Ok(all()) })
    }

    /// Makes a docker context, or replaces the one of this name.
    ///
    /// # Errors
    /// `invalid_input` for a name or an endpoint that cannot be one, `io`.
    pub fn create_context(name: impl Into<String>, endpoint: impl Into<String>) -> Call<CreateContext, EngineContext> {
        let (name, endpoint) = (name.into(), endpoint.into());
        Call::new("engine.create_context", move |o: CreateContext, _| async move {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-');
            if name.len() < 2 || name == "default" || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(good) {
                return Err(Error::invalid(format!("`{}` cannot be the name of a context", crate::error::escape(&name)))
                    .hint("use letters, digits and `_.+-`, a letter or digit first, and two of them at least"));
            }
            let endpoint = Endpoint::parse(&endpoint)?.to_string();
            let (store, id) = (store(), id_of(&name));
            let folder = store.join("tls").join(&id);
            // Read before anything is written; what the context had before is not for this endpoint.
            let parts = o.tls.map(|tls| tls.parts()).transpose()?;
            match std::fs::remove_dir_all(&folder) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::file(&folder, e)),
                _ => {}
            }
            for (file, text) in parts.into_iter().flatten() {
                write_private(&folder.join("docker").join(file), text.reveal().as_bytes())?;
            }
            let description = o.description.unwrap_or_default();
            let meta = json!({"Name": name, "Metadata": {"Description": description}, "Endpoints": {"docker": {"Host": endpoint, "SkipTLSVerify": false}}});
            write_private(&store.join("meta").join(&id).join("meta.json"), meta.to_string().as_bytes())?;
            all().into_iter().find(|c| c.name == name).ok_or_else(|| Error::internal("the context was written and is not there"))
        })
    }

    /// Makes a context the one that is used when nothing else is said, as `docker context use` does.
    ///
    /// # Errors
    /// `not_found`, `io`.
    pub fn use_context(name: impl Into<String>) -> Call<NoOptions, ()> {
        let name = name.into();
        Call::new("engine.use_context", move |_, _| async move {
            if !all().iter().any(|c| c.name == name) {
                return Err(unknown(&name));
            }
            let config = Config::read()?.with_context(Some(name.as_str()).filter(|n| *n != "default"));
            let text = serde_json::to_vec_pretty(&config).map_err(|e| Error::internal(e.to_string()))?;
            write_private(&config::folder().join("config.json"), &text)
        })
    }

    /// Removes a docker context. What is gone already is fine.
    ///
    /// # Errors
    /// `invalid_input` for the default one, `conflict` for the current one, `io`.
    pub fn remove_context(name: impl Into<String>) -> Call<NoOptions, ()> {
        let name = name.into();
        Call::new("engine.remove_context", move |_, _| async move {
            if name == "default" {
                return Err(Error::invalid("the default context is no file and cannot be removed").hint("remove another one"));
            }
            if all().iter().any(|c| c.name == name && c.current) {
                return Err(Error::new(ErrorKind::Conflict, format!("{name} is the current context")).hint("use another one first").with("context", name));
            }
            for part in ["meta", "tls"] {
                let folder = store().join(part).join(id_of(&name));
                match std::fs::remove_dir_all(&folder) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::file(&folder, e)),
                    _ => {}
                }
            }
            Ok(())
        })
    }
}
