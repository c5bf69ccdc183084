//! Service specs in one form, so that what is wanted and what is live can be compared: defaults and names filled in,
//! what says nothing left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::services::mode_of;
use crate::plan::Change;

/// Brings a spec into the form that is compared. `networks` gives the names of networks by their IDs.
pub(crate) fn spec(spec: &Value, networks: &BTreeMap<String, String>) -> Value {
    let mut out = spec.clone();
    let (mode, count) = mode_of(spec);
    if let Some(root) = out.as_object_mut() {
        root.insert("Mode".to_owned(), json!(count.map_or_else(|| mode.to_owned(), |n| format!("{mode} {n}"))));
        for name in ["UpdateConfig", "RollbackConfig"] {
            if let Some(config) = root.get_mut(name) {
                update_config(config);
            }
        }
        if let Some(ports) = root.get_mut("EndpointSpec") {
            drop_default(ports, "Mode", "vip");
            for port in list(ports, "Ports") {
                drop_default(port, "PublishMode", "ingress");
                drop_default(port, "Protocol", "tcp");
            }
        }
    }
    if let Some(template) = out.get_mut("TaskTemplate") {
        task(template, networks);
    }
    prune(&mut out);
    out
}

fn task(template: &mut Value, networks: &BTreeMap<String, String>) {
    if let Some(map) = template.as_object_mut() {
        map.remove("ForceUpdate");
    }
    drop_default(template, "Runtime", "container");
    if let Some(policy) = template.get_mut("RestartPolicy") {
        drop_default(policy, "Condition", "any");
        if policy.get("Delay").and_then(Value::as_u64) == Some(5_000_000_000) {
            remove(policy, "Delay");
        }
    }
    if let Some(placement) = template.get_mut("Placement") {
        // Managers fill in the platforms of the image.
        remove(placement, "Platforms");
    }
    for network in list(template, "Networks") {
        let name = network.get("Target").and_then(Value::as_str).and_then(|id| networks.get(id)).cloned();
        if let (Some(name), Some(map)) = (name, network.as_object_mut()) {
            map.insert("Target".to_owned(), json!(name));
        }
    }
    if let Some(container) = template.get_mut("ContainerSpec") {
        drop_default(container, "Isolation", "default");
        keep_zero(container, "StopGracePeriod");
        for file in list(container, "Secrets") {
            remove(file, "SecretID");
        }
        for file in list(container, "Configs") {
            remove(file, "ConfigID");
        }
        for mount in list(container, "Mounts") {
            drop_default(mount, "Consistency", "default");
        }
    }
    if let Some(networks) = template.get_mut("Networks").and_then(Value::as_array_mut) {
        networks.sort_by_key(|n| n.get("Target").and_then(Value::as_str).unwrap_or_default().to_owned());
    }
}

fn update_config(config: &mut Value) {
    drop_default(config, "FailureAction", "pause");
    drop_default(config, "Order", "stop-first");
    if config.get("Monitor").and_then(Value::as_u64) == Some(5_000_000_000) {
        remove(config, "Monitor");
    }
    keep_zero(config, "Parallelism");
}

/// A zero that says something is kept as a text.
fn keep_zero(value: &mut Value, name: &str) {
    if let Some(v) = value.get_mut(name)
        && v.as_f64() == Some(0.0)
    {
        *v = json!("0");
    }
}

fn list<'a>(value: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    value.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

fn remove(value: &mut Value, name: &str) {
    if let Some(map) = value.as_object_mut() {
        map.remove(name);
    }
}

fn drop_default(value: &mut Value, name: &str, default: &str) {
    if value.get(name).and_then(Value::as_str) == Some(default) {
        remove(value, name);
    }
}

/// Removes what says nothing, from the inside out.
fn prune(value: &mut Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !*b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => {
            items.iter_mut().for_each(|v| {
                prune(v);
            });
            items.is_empty()
        }
        Value::Object(map) => {
            let kept: Map<String, Value> = std::mem::take(map).into_iter().filter_map(|(k, mut v)| (!prune(&mut v)).then_some((k, v))).collect();
            *map = kept;
            map.is_empty()
        }
    }
}

/// What differs between two specs in normal form, leaf by leaf. Values of environment variables are not shown: they may be secrets.
pub(crate) fn changes(live: &Value, wanted: &Value) -> Vec<Change> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    flatten("", live, &mut before);
    flatten("", wanted, &mut after);
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let hidden = |v: Option<&String>| v.map(|_| "(hidden)".to_owned());
    paths
        .into_iter()
        .filter(|p| before.get(*p) != after.get(*p))
        .map(|path| {
            let (old, new) = (before.get(path), after.get(path));
            let secret = path.contains(".Env.");
            Change {
                path: path.trim_start_matches("TaskTemplate.").to_owned(),
                before: if secret { hidden(old) } else { old.cloned() },
                after: if secret { hidden(new) } else { new.cloned() },
            }
        })
        .collect()
}

fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| flatten(&join(k), v, out)),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                match item.as_str().filter(|_| path.ends_with(".Env")) {
                    Some(variable) => {
                        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
                        out.insert(join(name), value.to_owned());
                    }
                    None => flatten(&join(&label(item).unwrap_or_else(|| i.to_string())), item, out),
                }
            }
        }
        Value::String(s) => {
            out.insert(path.to_owned(), s.clone());
        }
        other => {
            out.insert(path.to_owned(), other.to_string());
        }
    }
}

/// What an element of a list is known by.
fn label(item: &Value) -> Option<String> {
    let name = |at: &str| item.pointer(at).and_then(Value::as_str).map(str::to_owned);
    name("/File/Name").or_else(|| name("/Target")).or_else(|| item.get("TargetPort").map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_that_a_manager_fills_in_are_no_difference() {
        let wanted = json!({"Name": "a", "Mode": {"Replicated": {}}, "TaskTemplate": {"Networks": [{"Target": "net"}], "ContainerSpec": {"Image": "i"}}});
        let live = json!({"Name": "a", "Labels": {}, "Mode": {"Replicated": {"Replicas": 1}}, "EndpointSpec": {"Mode": "vip"},
            "TaskTemplate": {"Networks": [{"Target": "n1"}], "ForceUpdate": 2, "Runtime": "container", "ContainerSpec": {"Image": "i", "Isolation": "default"}}});
        let names = BTreeMap::from([("n1".to_owned(), "net".to_owned())]);
        assert_eq!(spec(&wanted, &names), spec(&live, &names));
    }

    #[test]
    fn zero_replicas_are_not_the_default() {
        let none = BTreeMap::new();
        let (zero, one) = (json!({"Mode": {"Replicated": {"Replicas": 0}}}), json!({"Mode": {"Replicated": {}}}));
        let found = changes(&spec(&one, &none), &spec(&zero, &none));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].after.as_deref(), Some("replicated 0"));
    }

    #[test]
    fn values_of_variables_are_hidden() {
        let none = BTreeMap::new();
        let of = |v: &str| spec(&json!({"TaskTemplate": {"ContainerSpec": {"Env": [format!("KEY={v}")]}}}), &none);
        let found = changes(&of("hunter2"), &of("other"));
        assert_eq!(found[0].path, "ContainerSpec.Env.KEY");
        assert!(!format!("{found:?}").contains("hunter2"));
    }
}
