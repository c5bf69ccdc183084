//! The volumes of an engine.

use std::collections::BTreeMap;

use bollard::models::VolumeCreateRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Engine, Req,
    container::string_map,
    containers::{Filters, PruneOptions, PruneReport},
    system::text,
};
use crate::{
    call::{Call, NoOptions, options},
    error::{Error, ErrorKind},
    timestamp::Timestamp,
};

/// The volumes of an [`Engine`].
#[derive(Debug, Clone)]
pub struct Volumes(pub(crate) Engine);

/// A volume.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Where it is on the host.
    pub mountpoint: String,
    /// When it was made, where its driver says.
    pub created: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Options of its driver.
    pub options: BTreeMap<String, String>,
    /// The engine's own answer.
    pub raw: Value,
}

options! {
    /// Options of [`Volumes::create`].
    pub struct CreateVolume {
        /// The driver; default `local`.
        pub driver: Option<String>,
        /// Options of the driver.
        pub options: BTreeMap<String, String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
    }
}

options! {
    /// Options of [`Volumes::list`].
    pub struct ListVolumes {
        /// The engine's filters, such as `{"dangling": ["true"]}`.
        pub filters: Filters,
    }
}

options! {
    /// Options of [`Volumes::remove`].
    pub struct RemoveVolume {
        /// Also when its driver says that it cannot be removed, and when it is gone already.
        pub force: bool,
    }
}

impl Volume {
    fn read(raw: Value) -> Self {
        Self {
            name: text(&raw, "Name"),
            driver: text(&raw, "Driver"),
            mountpoint: text(&raw, "Mountpoint"),
            created: Timestamp::read(&text(&raw, "CreatedAt")),
            labels: string_map(raw.get("Labels")),
            options: string_map(raw.get("Options")),
            raw,
        }
    }
}

fn missing(e: Error, name: &str) -> Error {
    if e.kind() == ErrorKind::NotFound { e.hint("list the volumes").with("volume", name) } else { e }
}

impl Engine {
    /// The volumes of this engine.
    #[must_use]
    pub fn volumes(&self) -> Volumes {
        Volumes(self.clone())
    }
}

impl Volumes {
    /// Lists volumes.
    ///
    /// # Errors
    /// `invalid_input` for a filter that the engine does not know.
    pub fn list(&self) -> Call<ListVolumes, Vec<Volume>> {
        let engine = self.0.clone();
        Call::new("volumes.list", move |o: ListVolumes, _| async move {
            let raw: Value = engine.client.fetch(Req::get(&["volumes"]).filters(&o.filters)).await?;
            Ok(raw.get("Volumes").and_then(Value::as_array).map(|l| l.iter().cloned().map(Volume::read).collect()).unwrap_or_default())
        })
    }

    /// The volume with this name.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, name: impl Into<String>) -> Call<NoOptions, Volume> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("volumes.get", move |_, _| async move {
            engine.client.fetch(Req::get(&["volumes", &name])).await.map(Volume::read).map_err(|e| missing(e, &name))
        })
    }

    /// Makes a volume, or gives the one that has this name, driver and options already. An empty name lets the engine choose.
    ///
    /// # Errors
    /// `conflict` when one of this name has another driver.
    pub fn create(&self, name: impl Into<String>) -> Call<CreateVolume, Volume> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("volumes.create", move |o: CreateVolume, _| async move {
            let body = VolumeCreateRequest {
                name: Some(name).filter(|n| !n.is_empty()),
                driver: o.driver,
                driver_opts: Some(o.options.into_iter().collect()),
                labels: Some(o.labels.into_iter().collect()),
                ..Default::default()
            };
            engine.client.fetch(Req::post(&["volumes", "create"]).json(&body)).await.map(Volume::read)
        })
    }

    /// Removes a volume and what is in it.
    ///
    /// # Errors
    /// `not_found`, `conflict` while a container uses it.
    pub fn remove(&self, name: impl Into<String>) -> Call<RemoveVolume, ()> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("volumes.remove", move |o: RemoveVolume, _| async move {
            engine.client.done(Req::delete(&["volumes", &name]).flag("force", o.force)).await.map(drop).map_err(|e| match e.kind() {
                ErrorKind::Conflict => e.hint("remove the containers that use it first"),
                _ => missing(e, &name),
            })
        })
    }

    /// Removes volumes that no container uses; anonymous ones only, unless the filter `all=true` is given.
    ///
    /// # Errors
    /// `conflict` while another prune runs.
    pub fn prune(&self) -> Call<PruneOptions, PruneReport> {
        let engine = self.0.clone();
        Call::new("volumes.prune", move |o: PruneOptions, _| async move {
            let raw: Value = engine.client.fetch(Req::post(&["volumes", "prune"]).filters(&o.filters).patient()).await?;
            Ok(PruneReport::read(&raw, "VolumesDeleted"))
        })
    }
}
