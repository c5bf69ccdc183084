//! The typed model; profiles choose services, and what nothing uses is left out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::node::Node;
use crate::{
    compose::model::{Model, Service},
    error::{Error, Result},
};

/// The tree as the typed model.
pub(super) fn typed(whole: &Node, name: &str) -> Result<Model> {
    let misfit = |e: super::de::Misfit| Error::internal(format!("a checked value does not fit the model: {e}"));
    let mut model = Model::deserialize(whole).map_err(misfit)?;
    name.clone_into(&mut model.name);
    model.extensions = extensions(whole);
    for (key, service) in &mut model.services {
        key.clone_into(&mut service.name);
        service.extensions = whole.get("services").and_then(|s| s.get(key)).map(extensions).unwrap_or_default();
    }
    for section in ["services", "networks", "volumes", "secrets", "configs", "models"] {
        for (key, node) in whole.get(section).into_iter().flat_map(Node::each) {
            let mut path = vec![section.to_owned(), key.name.to_string()];
            nested(node, &mut path, section != "services", &mut model.nested_extensions);
        }
    }
    Ok(model)
}

/// The `x-` keys of a mapping.
fn extensions(node: &Node) -> BTreeMap<String, Value> {
    node.each().filter(|(k, _)| k.name.starts_with("x-")).map(|(k, v)| (k.name.to_string(), v.to_json())).collect()
}

/// The `x-` keys below a mapping, and its own where `own` says so. Names of the user's own may begin so, too.
fn nested(node: &Node, path: &mut Vec<String>, own: bool, out: &mut Vec<(Vec<String>, Value)>) {
    const FREE: [&str; 13] = [
        "environment",
        "labels",
        "annotations",
        "sysctls",
        "storage_opt",
        "args",
        "options",
        "driver_opts",
        "depends_on",
        "additional_contexts",
        "ulimits",
        "aux_addresses",
        "networks",
    ];
    let free = path.last().is_some_and(|name| FREE.contains(&name.as_str()));
    for (key, value) in node.each() {
        path.push(key.name.to_string());
        if !key.name.starts_with("x-") || free {
            nested(value, path, true, out);
        } else if own {
            out.push((path.clone(), value.to_json()));
        }
        path.pop();
    }
    for (i, item) in node.items().iter().enumerate() {
        path.push(i.to_string());
        nested(item, path, true, out);
        path.pop();
    }
}

/// Takes services without an active profile out.
pub(super) fn select(model: &mut Model, profiles: &[String]) {
    let active = |wanted: &[String]| wanted.is_empty() || wanted.iter().any(|p| profiles.iter().any(|a| a == p || a == "*"));
    let (enabled, disabled): (BTreeMap<String, Box<Service>>, _) = std::mem::take(&mut model.services).into_iter().partition(|(_, s)| active(&s.profiles));
    model.services = enabled;
    model.disabled = disabled;
}

/// Takes out what no active service uses, as docker compose does when it prints or starts a project.
pub(super) fn take_unused(model: &mut Model) -> Model {
    let mut used: [BTreeSet<String>; 5] = Default::default();
    let [networks, volumes, secrets, configs, models] = &mut used;
    for service in model.services.values() {
        networks.extend(service.networks.keys().cloned());
        volumes.extend(service.volumes.iter().filter(|v| v.kind == "volume" && !v.source.is_empty()).map(|v| v.source.clone()));
        secrets.extend(service.secrets.iter().chain(service.build.iter().flat_map(|b| &b.secrets)).map(|s| s.source.clone()));
        configs.extend(service.configs.iter().map(|c| c.source.clone()));
        models.extend(service.models.keys().cloned());
    }
    fn split<T>(all: &mut BTreeMap<String, T>, used: &BTreeSet<String>) -> BTreeMap<String, T> {
        let (kept, unused) = std::mem::take(all).into_iter().partition(|(name, _)| used.contains(name));
        *all = kept;
        unused
    }
    Model {
        networks: split(&mut model.networks, networks),
        volumes: split(&mut model.volumes, volumes),
        secrets: split(&mut model.secrets, secrets),
        configs: split(&mut model.configs, configs),
        models: split(&mut model.models, models),
        ..Model::default()
    }
}
