//! Plugins of an engine: drivers of volumes, networks and logs that it runs itself.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Engine, Filters, RegistryAuth, RegistryInfoOptions, Req,
    images::{login, registry},
    progress::follow,
    system::text,
    tar_stream,
};
use crate::{
    call::{Call, NoOptions, options},
    error::{Error, ErrorKind, Result},
    progress::Resource,
    units::Seconds,
};

/// A plugin of an engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Plugin {
    /// Its ID.
    pub id: String,
    /// Its name, with a tag.
    pub name: String,
    /// Whether it runs.
    pub enabled: bool,
    /// What it is for, in its maker's words.
    pub description: String,
    /// What it implements, such as `docker.volumedriver/1.0`.
    pub interfaces: Vec<String>,
    /// The engine's own answer.
    pub raw: Value,
}

/// Something of the host that a plugin wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PluginPrivilege {
    /// Such as `network`, `mount` or `device`.
    pub name: String,
    /// What it means.
    pub description: String,
    /// What is wanted of it.
    pub value: Vec<String>,
}

options! {
    /// Options of [`Plugins::list`].
    pub struct ListPlugins {
        /// The engine's filters: `capability` and `enabled`.
        pub filters: Filters,
    }
}

options! {
    /// Options of [`Plugins::install`] and [`Plugins::privileges`].
    pub struct InstallPlugin {
        /// Another name for it here.
        pub alias: Option<String>,
        /// The login for the registry; default: the one of the user's configuration.
        pub auth: Option<RegistryAuth>,
        /// Installs it and does not start it.
        pub disabled: bool,
        /// Its settings, as `NAME=value`.
        pub settings: Vec<String>,
    }
}

options! {
    /// Options of the calls that take a plugin away.
    pub struct RemovePlugin {
        /// Also when it is in use.
        pub force: bool,
    }
}

options! {
    /// Options of [`Plugins::enable`].
    pub struct EnablePlugin {
        /// How long it may take to answer; default: the engine's, 30 s.
        pub timeout: Option<Seconds>,
    }
}

/// The plugins of an [`Engine`].
#[derive(Debug, Clone)]
pub struct Plugins(Engine);

impl Engine {
    /// The plugins of this engine.
    #[must_use]
    pub fn plugins(&self) -> Plugins {
        Plugins(self.clone())
    }
}

fn read(raw: Value) -> Plugin {
    let interface = |t: &Value| match t.as_str() {
        Some(text) => text.to_owned(),
        None => format!("{}.{}/{}", text(t, "Prefix"), text(t, "Capability"), text(t, "Version")),
    };
    Plugin {
        id: text(&raw, "Id"),
        name: text(&raw, "Name"),
        enabled: raw.get("Enabled").and_then(Value::as_bool).unwrap_or_default(),
        description: raw.pointer("/Config/Description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        interfaces: raw.pointer("/Config/Interface/Types").and_then(Value::as_array).map(|l| l.iter().map(interface).collect()).unwrap_or_default(),
        raw,
    }
}

fn missing(e: Error, name: &str) -> Error {
    if e.kind() == ErrorKind::NotFound { e.hint("list the plugins").with("plugin", name) } else { e.with("plugin", name) }
}

impl Plugins {
    fn simple(&self, name: &'static str, req: impl FnOnce() -> Req + Send + 'static, plugin: String) -> Call<NoOptions, ()> {
        let engine = self.0.clone();
        Call::new(name, move |_, _| async move { engine.client.done(req()).await.map(drop).map_err(|e| missing(e, &plugin)) })
    }

    /// Lists plugins.
    ///
    /// # Errors
    /// `invalid_input` for a filter that the engine does not know.
    pub fn list(&self) -> Call<ListPlugins, Vec<Plugin>> {
        let engine = self.0.clone();
        Call::new("plugins.list", move |o: ListPlugins, _| async move {
            let rows: Vec<Value> = engine.client.fetch(Req::get(&["plugins"]).filters(&o.filters)).await?;
            Ok(rows.into_iter().map(read).collect())
        })
    }

    /// The plugin of this name.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, name: impl Into<String>) -> Call<NoOptions, Plugin> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("plugins.get", move |_, _| async move {
            let raw = engine.client.fetch(Req::get(&["plugins", &name, "json"])).await;
            raw.map(read).map_err(|e| missing(e, &name))
        })
    }

    /// What a plugin of a registry wants of the host. Installing it grants all of this.
    ///
    /// # Errors
    /// `not_found`, `unauthorized`, `unreachable`.
    pub fn privileges(&self, reference: impl Into<String>) -> Call<InstallPlugin, Vec<PluginPrivilege>> {
        let (engine, reference) = (self.0.clone(), reference.into());
        Call::new("plugins.privileges", move |o: InstallPlugin, _| async move {
            let raw = wanted(&engine, &reference, &auth(o.auth, &reference).await?).await?;
            let list = |v: &Value| v.as_array().map(|l| l.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect()).unwrap_or_default();
            let one =
                |p: &Value| PluginPrivilege { name: text(p, "Name"), description: text(p, "Description"), value: p.get("Value").map(list).unwrap_or_default() };
            Ok(raw.as_array().map(|l| l.iter().map(one).collect()).unwrap_or_default())
        })
    }

    /// Installs a plugin from a registry, grants what it wants of the host, and starts it.
    ///
    /// # Errors
    /// `not_found`, `unauthorized`, `unreachable`, `already_exists`.
    pub fn install(&self, reference: impl Into<String>) -> Call<InstallPlugin, Plugin> {
        let (engine, reference) = (self.0.clone(), reference.into());
        Call::new("plugins.install", move |o: InstallPlugin, cx| async move {
            let auth = auth(o.auth, &reference).await?;
            let privileges = wanted(&engine, &reference, &auth).await?;
            let name = o.alias.clone().unwrap_or_else(|| reference.clone());
            let req =
                Req::post(&["plugins", "pull"]).query("remote", &reference).maybe("name", o.alias).header("x-registry-auth", &auth).json(&privileges).patient();
            let resource = Resource::new("plugin", &reference);
            let work = async { follow(engine.client.bytes(req).await?, &cx.events, "install", &resource, |_| ()).await };
            cx.events.track("install", resource.clone(), work).await.map_err(|e| missing(e, &reference))?;
            let plugins = engine.plugins();
            if !o.settings.is_empty() {
                plugins.set(&*name, o.settings).await?;
            }
            if !o.disabled {
                plugins.enable(&*name).await?;
            }
            plugins.get(name).await
        })
    }

    /// Puts another version of a plugin in its place, grants what that wants of the host, and leaves it stopped. Its settings stay.
    ///
    /// # Errors
    /// `not_found`, `conflict` while it runs, `unauthorized`, `unreachable`.
    pub fn upgrade(&self, name: impl Into<String>, reference: impl Into<String>) -> Call<RegistryInfoOptions, Plugin> {
        let (engine, name, reference) = (self.0.clone(), name.into(), reference.into());
        Call::new("plugins.upgrade", move |o: RegistryInfoOptions, cx| async move {
            engine.plugins().get(&*name).await?;
            let auth = auth(o.auth, &reference).await?;
            let privileges = wanted(&engine, &reference, &auth).await?;
            let req = Req::post(&["plugins", &name, "upgrade"]).query("remote", &reference).header("x-registry-auth", &auth).json(&privileges).patient();
            let resource = Resource::new("plugin", &*name);
            let work = async { follow(engine.client.bytes(req).await?, &cx.events, "upgrade", &resource, |_| ()).await };
            cx.events.track("upgrade", resource.clone(), work).await.map_err(|e| missing(e, &name))?;
            engine.plugins().get(name).await
        })
    }

    /// Pushes a plugin to the registry that its name says.
    ///
    /// # Errors
    /// `not_found`, `unauthorized`, `unreachable` when the engine cannot reach the registry.
    pub fn push(&self, name: impl Into<String>) -> Call<RegistryInfoOptions, ()> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("plugins.push", move |o: RegistryInfoOptions, cx| async move {
            let auth = auth(o.auth, &name).await?;
            let req = Req::post(&["plugins", &name, "push"]).header("x-registry-auth", &auth).patient();
            let resource = Resource::new("plugin", &*name);
            let work = async { follow(engine.client.bytes(req).await?, &cx.events, "push", &resource, |_| ()).await };
            cx.events.track("push", resource.clone(), work).await.map_err(|e| registry(missing(e, &name), &name))
        })
    }

    /// Makes a plugin of a folder that holds `config.json` and `rootfs`.
    ///
    /// # Errors
    /// `not_found` for the folder, `invalid_input` for what is wrong in it, `already_exists`.
    pub fn create(&self, name: impl Into<String>, folder: impl Into<PathBuf>) -> Call<NoOptions, Plugin> {
        let (engine, name, folder) = (self.0.clone(), name.into(), folder.into());
        Call::new("plugins.create", move |_, _| async move {
            if !folder.join("config.json").is_file() {
                let message = format!("there is no config.json in {}", folder.display());
                return Err(Error::not_found(message).hint("a plugin's folder holds config.json and rootfs").with("path", folder.display().to_string()));
            }
            let body = tar_stream(move |writer| {
                let mut tar = tar::Builder::new(writer);
                tar.follow_symlinks(false);
                tar.append_dir_all(".", &folder).and_then(|()| tar.finish()).map_err(|e| Error::file(&folder, e))
            });
            let req = Req::post(&["plugins", "create"]).query("name", &name).stream("application/x-tar", body).patient();
            engine.client.done(req).await.map_err(|e| e.with("plugin", &*name))?;
            engine.plugins().get(name).await
        })
    }

    /// Changes settings of a plugin that does not run, each as `NAME=value`.
    ///
    /// # Errors
    /// `not_found`, `conflict` while it runs, `invalid_input` for a setting that it does not have.
    pub fn set(&self, name: impl Into<String>, settings: impl Into<Vec<String>>) -> Call<NoOptions, ()> {
        let (name, settings) = (name.into(), settings.into());
        let plugin = name.clone();
        self.simple("plugins.set", move || Req::post(&["plugins", &name, "set"]).json(&json!(settings)), plugin)
    }

    /// Starts a plugin.
    ///
    /// # Errors
    /// `not_found`, `conflict` when it runs, `engine` when it does not start.
    pub fn enable(&self, name: impl Into<String>) -> Call<EnablePlugin, ()> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("plugins.enable", move |o: EnablePlugin, _| async move {
            let seconds = o.timeout.map_or(30, |t| t.0.as_secs().max(1));
            let req = Req::post(&["plugins", &name, "enable"]).query("timeout", seconds.to_string()).patient();
            engine.client.done(req).await.map(drop).map_err(|e| missing(e, &name))
        })
    }

    /// Stops a plugin.
    ///
    /// # Errors
    /// `not_found`, `conflict` while it is in use.
    pub fn disable(&self, name: impl Into<String>) -> Call<RemovePlugin, ()> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("plugins.disable", move |o: RemovePlugin, _| async move {
            let req = Req::post(&["plugins", &name, "disable"]).flag("force", o.force).patient();
            engine.client.done(req).await.map(drop).map_err(|e| missing(e, &name))
        })
    }

    /// Removes a plugin.
    ///
    /// # Errors
    /// `not_found`, `conflict` while it runs.
    pub fn remove(&self, name: impl Into<String>) -> Call<RemovePlugin, ()> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("plugins.remove", move |o: RemovePlugin, _| async move {
            let req = Req::delete(&["plugins", &name]).flag("force", o.force).patient();
            engine.client.done(req).await.map(drop).map_err(|e| missing(e, &name))
        })
    }
}

async fn auth(given: Option<RegistryAuth>, reference: &str) -> Result<String> {
    Ok(login(given, reference).await?.unwrap_or_default().header())
}

async fn wanted(engine: &Engine, reference: &str, auth: &str) -> Result<Value> {
    let req = Req::get(&["plugins", "privileges"]).query("remote", reference).header("x-registry-auth", auth).patient();
    engine.client.fetch(req).await.map_err(|e| registry(e, reference))
}
