//! Secrets and configs of a swarm: small files that the managers keep.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Swarm;
use crate::{
    call::{Call, NoOptions, options},
    engine::{Filters, Req, string_map, text},
    error::{Error, ErrorKind, Result},
    timestamp::Timestamp,
    units::Data,
};

/// The secrets of a [`Swarm`].
#[derive(Debug, Clone)]
pub struct Secrets(pub(crate) Swarm);

/// The configs of a [`Swarm`].
#[derive(Debug, Clone)]
pub struct Configs(pub(crate) Swarm);

/// A secret or config of a swarm.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SwarmObject {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// Its content. A secret's is never given out.
    pub data: Option<Data>,
}

options! {
    /// Options of the calls that list secrets or configs.
    pub struct ListObjects {
        /// The engine's filters, such as `{"label": ["team=web"]}`.
        pub filters: Filters,
    }
}

options! {
    /// Options of the calls that make a secret or config.
    pub struct CreateObject {
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// The driver of templates in its content, such as `golang`; default: none.
        pub template_driver: Option<String>,
    }
}

pub(crate) fn encode(data: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(data)
}

pub(crate) fn read(raw: &Value) -> SwarmObject {
    let data = raw.pointer("/Spec/Data").and_then(Value::as_str).and_then(|d| base64::engine::general_purpose::STANDARD.decode(d).ok());
    SwarmObject {
        id: text(raw, "ID"),
        name: raw.pointer("/Spec/Name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        labels: string_map(raw.pointer("/Spec/Labels")),
        created: Timestamp::read(&text(raw, "CreatedAt")).unwrap_or_default(),
        data: data.map(|d| Data(d.into())),
    }
}

impl Swarm {
    /// The secrets of this swarm.
    #[must_use]
    pub fn secrets(&self) -> Secrets {
        Secrets(self.clone())
    }

    /// The configs of this swarm.
    #[must_use]
    pub fn configs(&self) -> Configs {
        Configs(self.clone())
    }

    async fn objects(&self, kind: &str, filters: &Filters) -> Result<Vec<SwarmObject>> {
        let rows: Vec<Value> = self.fetch(|| Req::get(&[kind]).filters(filters)).await?;
        let mut all: Vec<SwarmObject> = rows.iter().map(read).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    async fn create_object(&self, kind: &'static str, name: &str, data: &Data, o: &CreateObject) -> Result<SwarmObject> {
        let template = o.template_driver.as_ref().map(|name| json!({"Name": name}));
        let body = json!({"Name": name, "Labels": o.labels, "Data": encode(&data.0), "Templating": template});
        let made: Value = self.fetch(|| Req::post(&[kind, "create"]).json(&body)).await.map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => e.hint("its content cannot be changed: make one of another name").with("name", name),
            _ => e,
        })?;
        let raw: Value = self.fetch(|| Req::get(&[kind, &text(&made, "ID")])).await?;
        Ok(read(&raw))
    }

    async fn object(&self, kind: &str, name: &str) -> Result<SwarmObject> {
        let raw: Value = self.fetch(|| Req::get(&[kind, name])).await.map_err(|e| e.hint(format!("list the {kind}")))?;
        Ok(read(&raw))
    }

    async fn remove_object(&self, kind: &str, name: &str) -> Result<()> {
        self.done(|| Req::delete(&[kind, name])).await.map_err(|e| {
            if e.message().contains("in use") {
                Error::new(ErrorKind::Conflict, e.message().to_owned()).hint("remove or change the services that use it first").with("name", name)
            } else {
                e
            }
        })
    }
}

impl Secrets {
    /// Lists the secrets, by name.
    ///
    /// # Errors
    /// `conflict` when the engine is not a manager, or there is no leader.
    pub fn list(&self) -> Call<ListObjects, Vec<SwarmObject>> {
        let swarm = self.0.clone();
        Call::new("secrets.list", move |o: ListObjects, _| async move { swarm.objects("secrets", &o.filters).await })
    }

    /// The secret with this name or ID.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, name: impl Into<String>) -> Call<NoOptions, SwarmObject> {
        let (swarm, name) = (self.0.clone(), name.into());
        Call::new("secrets.get", move |_, _| async move { swarm.object("secrets", &name).await })
    }

    /// Makes a secret. Its content cannot be changed later.
    ///
    /// # Errors
    /// `already_exists`, `invalid_input` for a content that is too long.
    pub fn create(&self, name: impl Into<String>, data: impl Into<Data>) -> Call<CreateObject, SwarmObject> {
        let (swarm, name, data) = (self.0.clone(), name.into(), data.into());
        Call::new("secrets.create", move |o: CreateObject, _| async move { swarm.create_object("secrets", &name, &data, &o).await })
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// `not_found`, `conflict` while services use it.
    pub fn remove(&self, name: impl Into<String>) -> Call<NoOptions, ()> {
        let (swarm, name) = (self.0.clone(), name.into());
        Call::new("secrets.remove", move |_, _| async move { swarm.remove_object("secrets", &name).await })
    }
}

impl Configs {
    /// Lists the configs, by name.
    ///
    /// # Errors
    /// `conflict` when the engine is not a manager, or there is no leader.
    pub fn list(&self) -> Call<ListObjects, Vec<SwarmObject>> {
        let swarm = self.0.clone();
        Call::new("configs.list", move |o: ListObjects, _| async move { swarm.objects("configs", &o.filters).await })
    }

    /// The config with this name or ID.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, name: impl Into<String>) -> Call<NoOptions, SwarmObject> {
        let (swarm, name) = (self.0.clone(), name.into());
        Call::new("configs.get", move |_, _| async move { swarm.object("configs", &name).await })
    }

    /// Makes a config. Its content cannot be changed later.
    ///
    /// # Errors
    /// `already_exists`, `invalid_input` for a content that is too long.
    pub fn create(&self, name: impl Into<String>, data: impl Into<Data>) -> Call<CreateObject, SwarmObject> {
        let (swarm, name, data) = (self.0.clone(), name.into(), data.into());
        Call::new("configs.create", move |o: CreateObject, _| async move { swarm.create_object("configs", &name, &data, &o).await })
    }

    /// Removes a config.
    ///
    /// # Errors
    /// `not_found`, `conflict` while services use it.
    pub fn remove(&self, name: impl Into<String>) -> Call<NoOptions, ()> {
        let (swarm, name) = (self.0.clone(), name.into());
        Call::new("configs.remove", move |_, _| async move { swarm.remove_object("configs", &name).await })
    }
}
