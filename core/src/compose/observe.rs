//! What an engine has of a project: its containers, networks and volumes, by label.

use std::collections::BTreeMap;

use serde_json::Value;

use super::labels;
use crate::{
    engine::{Engine, Req},
    error::{ErrorKind, Result},
};

/// A container of a project.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) number: u64,
    pub(crate) hash: String,
    pub(crate) state: String,
    pub(crate) health: Option<String>,
    pub(crate) one_off: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) networks: Vec<String>,
    pub(crate) row: Value,
}

/// What there is of a project.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) containers: Vec<Found>,
    /// Networks of the engine by name: the labels of each. An engine may have several of one name.
    pub(crate) networks: BTreeMap<String, Vec<BTreeMap<String, String>>>,
    /// Volumes of the engine by name: labels.
    pub(crate) volumes: BTreeMap<String, BTreeMap<String, String>>,
    /// Images of the services by name: ID, where they are there.
    pub(crate) images: BTreeMap<String, Option<String>>,
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn labels_of(value: Option<&Value>) -> BTreeMap<String, String> {
    let map = value.and_then(Value::as_object);
    map.map(|m| m.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()).unwrap_or_default()
}

fn filter(project: &str) -> BTreeMap<String, Vec<String>> {
    [("label".to_owned(), vec![format!("{}={project}", labels::PROJECT)])].into()
}

/// The project's containers, stopped ones too.
pub(crate) async fn containers(engine: &Engine, project: &str) -> Result<Vec<Found>> {
    let rows: Vec<Value> = engine.client.fetch(Req::get(&["containers", "json"]).query("all", "true").filters(&filter(project))).await?;
    let mut found: Vec<Found> = rows.into_iter().map(read).filter(|f| f.labels.contains_key(labels::HASH)).collect();
    found.sort_by(|a, b| (&a.service, a.number, &a.name).cmp(&(&b.service, b.number, &b.name)));
    Ok(found)
}

fn read(row: Value) -> Found {
    let labels = labels_of(row.get("Labels"));
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let names = row.get("Names").and_then(Value::as_array).cloned().unwrap_or_default();
    let status = text(&row, "Status");
    let health = ["healthy", "unhealthy", "health: starting"].iter().find(|h| status.contains(&format!("({h})")));
    Found {
        id: text(&row, "Id"),
        name: names.iter().filter_map(Value::as_str).map(|n| n.trim_start_matches('/')).find(|n| !n.contains('/')).unwrap_or_default().to_owned(),
        service: label(labels::SERVICE),
        number: label(labels::NUMBER).parse().unwrap_or_default(),
        hash: label(labels::HASH),
        state: text(&row, "State"),
        health: health.map(|h| h.trim_start_matches("health: ").to_owned()),
        one_off: label(labels::ONE_OFF) == "True",
        networks: row.pointer("/NetworkSettings/Networks").and_then(Value::as_object).map(|m| m.keys().cloned().collect()).unwrap_or_default(),
        labels,
        row,
    }
}

/// All that a plan needs to know. `images` are the images that services name.
pub(crate) async fn world(engine: &Engine, project: &str, images: &[String]) -> Result<World> {
    let networks = async {
        let rows: Vec<Value> = engine.client.fetch(Req::get(&["networks"])).await?;
        let mut by_name: BTreeMap<String, Vec<BTreeMap<String, String>>> = BTreeMap::new();
        for row in rows {
            by_name.entry(text(&row, "Name")).or_default().push(labels_of(row.get("Labels")));
        }
        Ok(by_name)
    };
    let volumes = async {
        let raw: Value = engine.client.fetch(Req::get(&["volumes"])).await?;
        let rows = raw.get("Volumes").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(rows.iter().map(|r| (text(r, "Name"), labels_of(r.get("Labels")))).collect())
    };
    let images = futures_util::future::try_join_all(images.iter().map(|name| async move { Ok((name.clone(), image_id(engine, name).await?)) }));
    let (containers, networks, volumes, images) = tokio::try_join!(containers(engine, project), networks, volumes, images)?;
    Ok(World { containers, networks, volumes, images: images.into_iter().collect() })
}

/// The ID of an image, if it is there.
pub(crate) async fn image_id(engine: &Engine, name: &str) -> Result<Option<String>> {
    match engine.client.fetch::<Value>(Req::get(&["images", name, "json"])).await {
        Ok(raw) => Ok(Some(text(&raw, "Id"))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
