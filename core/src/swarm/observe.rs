//! What of a stack is there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Swarm, tasks::of_stack};
use crate::{
    engine::{Req, text},
    error::Result,
};

/// The objects of a swarm that a stack has to do with, by name.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// The services of the stack.
    pub(crate) services: BTreeMap<String, Value>,
    /// All networks that the manager knows.
    pub(crate) networks: BTreeMap<String, Value>,
    /// All secrets.
    pub(crate) secrets: BTreeMap<String, Value>,
    /// All configs.
    pub(crate) configs: BTreeMap<String, Value>,
    /// The names of networks by their IDs.
    pub(crate) network_names: BTreeMap<String, String>,
}

pub(crate) fn spec_name(raw: &Value) -> String {
    raw.pointer("/Spec/Name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl World {
    pub(crate) fn files(&self, kind: &str) -> &BTreeMap<String, Value> {
        if kind == "secrets" { &self.secrets } else { &self.configs }
    }
}

pub(crate) async fn world(swarm: &Swarm, stack: &str) -> Result<World> {
    let filters = of_stack(stack);
    let (services, networks, secrets, configs) = futures_util::try_join!(
        swarm.fetch::<Vec<Value>>(|| Req::get(&["services"]).filters(&filters)),
        swarm.fetch::<Vec<Value>>(|| Req::get(&["networks"])),
        swarm.fetch::<Vec<Value>>(|| Req::get(&["secrets"])),
        swarm.fetch::<Vec<Value>>(|| Req::get(&["configs"])),
    )?;
    let by_name = |rows: Vec<Value>| rows.into_iter().map(|r| (spec_name(&r), r)).collect();
    Ok(World {
        network_names: networks.iter().map(|n| (text(n, "Id"), text(n, "Name"))).collect(),
        networks: networks.into_iter().map(|n| (text(&n, "Name"), n)).collect(),
        services: by_name(services),
        secrets: by_name(secrets),
        configs: by_name(configs),
    })
}
