//! A project written back: as the value that loads to the same project again, and as YAML.

use serde_json::{Map, Value, json};

use super::model::{Model, Service};

impl Model {
    /// The model in a form that can be loaded again: what [`to_value`](Self::to_value) says, with services that no profile
    /// selects, models, options and `x-` keys, and without the few values that docker compose prints but does not read.
    #[must_use]
    pub fn to_source(&self) -> Value {
        let mut out = self.to_value();
        let services: Map<String, Value> = self.services.iter().chain(&self.disabled).map(|(name, s)| (name.clone(), service(s))).collect();
        let at = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<String>>();
        put(&mut out, &at(&["services"]), &Value::Object(services));
        if !self.models.is_empty() {
            put(&mut out, &at(&["models"]), &serde_json::to_value(&self.models).unwrap_or_default());
        }
        for (name, network) in self.networks.iter().filter(|(_, n)| !n.ipam.options.is_empty()) {
            put(&mut out, &at(&["networks", name, "ipam", "options"]), &json!(network.ipam.options));
        }
        // A name of nothing is one, too; and a config may say nothing but that it is not external.
        for section in ["networks", "volumes", "secrets", "configs"] {
            for (_, item) in out.get_mut(section).and_then(Value::as_object_mut).into_iter().flatten() {
                let Some(item) = item.as_object_mut() else { continue };
                item.entry("name").or_insert_with(|| "".into());
                let ways = ["file", "environment", "content", "driver", "external"];
                if matches!(section, "secrets" | "configs") && !ways.iter().any(|w| item.contains_key(*w)) {
                    item.insert("external".to_owned(), false.into());
                }
            }
        }
        for (path, value) in &self.nested_extensions {
            put(&mut out, path, value);
        }
        out
    }
}

/// Puts a value at a path, where the path is there.
fn put(root: &mut Value, path: &[String], value: &Value) {
    let Some((last, way)) = path.split_last() else { return };
    let mut here = root;
    for name in way {
        let inner = match here {
            Value::Object(map) => map.get_mut(name),
            Value::Array(list) => name.parse::<usize>().ok().and_then(|i| list.get_mut(i)),
            _ => None,
        };
        match inner {
            Some(inner) => here = inner,
            None => return,
        }
    }
    if let Value::Object(map) = here {
        map.insert(last.clone(), value.clone());
    }
}

fn service(service: &Service) -> Value {
    let mut out = serde_json::to_value(service).unwrap_or_default();
    let Some(map) = out.as_object_mut() else { return out };
    for name in ["command", "entrypoint"] {
        if map.get(name).is_some_and(Value::is_null) {
            map.remove(name);
        }
    }
    // What is unlimited is a number only.
    for name in ["mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", "shm_size"] {
        if let Some(number) = map.get(name).and_then(Value::as_str).and_then(|t| t.parse::<i64>().ok()).filter(|n| *n < 0) {
            map.insert(name.to_owned(), number.into());
        }
    }
    for (_, limits) in map.get_mut("blkio_config").and_then(Value::as_object_mut).into_iter().flatten() {
        for limit in limits.as_array_mut().into_iter().flatten() {
            if let Some(fields) = limit.as_object_mut() {
                *fields = std::mem::take(fields).into_iter().map(|(k, v)| (k.to_lowercase(), v)).collect();
            }
        }
    }
    limits(map.get_mut("ulimits"), service.ulimits.iter().map(|(n, l)| (n, l.soft, l.hard, l.single)));
    if let Some(build) = &service.build {
        limits(map.get_mut("build").and_then(|b| b.get_mut("ulimits")), build.ulimits.iter().map(|(n, l)| (n, l.soft, l.hard, l.single)));
    }
    for rule in map.get_mut("develop").and_then(|d| d.get_mut("watch")?.as_array_mut()).into_iter().flatten() {
        if rule.get("exec") == Some(&json!({"command": null}))
            && let Some(rule) = rule.as_object_mut()
        {
            rule.remove("exec");
        }
    }
    if let Some(build) = map.get_mut("build").and_then(Value::as_object_mut) {
        build.entry("context").or_insert_with(|| "".into());
        for name in ["args", "labels"] {
            listed(build.get_mut(name));
        }
    }
    for name in ["environment", "labels", "annotations", "sysctls"] {
        listed(map.get_mut(name));
    }
    for secret in map.get_mut("secrets").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
        secret.entry("target").or_insert_with(|| "".into());
    }
    // In no network: else it would be in the default one.
    if service.networks.is_empty() && service.network_mode.is_empty() && service.provider.is_none() {
        map.insert("network_mode".to_owned(), "".into());
    }
    for port in map.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
        port.entry("target").or_insert_with(|| 0.into());
    }
    for device in map.get_mut("devices").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
        for name in ["source", "target"] {
            device.entry(name).or_insert_with(|| "".into());
        }
    }
    requests(map.get_mut("gpus"));
    requests(map.get_mut("deploy").and_then(|d| d.get_mut("resources")?.get_mut("reservations")?.get_mut("devices")));
    map.extend(service.extensions.clone());
    out
}

/// A key of nothing can be written in a list only.
fn listed(node: Option<&mut Value>) {
    let Some(node) = node else { return };
    let Some(map) = node.as_object().filter(|m| m.contains_key("")) else { return };
    let line = |(k, v): (&String, &Value)| Value::from(v.as_str().map_or_else(|| k.clone(), |v| format!("{k}={v}")));
    *node = Value::Array(map.iter().map(line).collect());
}

/// Requests for devices: nothing means none here, and all in a file.
fn requests(list: Option<&mut Value>) {
    for item in list.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
        item.entry("capabilities").or_insert_with(|| Value::Array(Vec::new()));
        if !item.contains_key("count") && !item.contains_key("device_ids") {
            item.insert("count".to_owned(), 0.into());
        }
    }
}

/// Limits of zero are printed as nothing.
fn limits<'a>(node: Option<&mut Value>, all: impl Iterator<Item = (&'a String, i64, i64, bool)>) {
    let Some(node) = node.and_then(Value::as_object_mut) else { return };
    for (name, soft, hard, single) in all {
        node.insert(name.clone(), if single { soft.into() } else { json!({"soft": soft, "hard": hard}) });
    }
}

/// Doubles every dollar in values, so that no variable is seen in them.
pub(crate) fn double_dollars(value: &mut Value) {
    match value {
        Value::String(s) if s.contains('$') => *s = s.replace('$', "$$"),
        Value::Array(list) => list.iter_mut().for_each(double_dollars),
        Value::Object(map) => map.values_mut().for_each(double_dollars),
        _ => {}
    }
}

/// A value as YAML, in block style.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut out),
        Value::Array(list) if !list.is_empty() => block(value, 0, &mut out),
        _ => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                out.push_str(&pad);
                out.push_str(&text(key));
                out.push(':');
                entry(inner, indent + 2, out);
            }
        }
        Value::Array(list) => {
            for item in list {
                out.push_str(&pad);
                out.push('-');
                let mut inner = String::new();
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        block(item, indent + 2, &mut inner);
                        // Its first line stands beside the dash.
                        out.push(' ');
                        out.push_str(inner.trim_start_matches(' '));
                    }
                    _ => entry(item, indent + 2, out),
                }
            }
        }
        _ => {}
    }
}

fn entry(value: &Value, indent: usize, out: &mut String) {
    let filled = value.as_object().is_some_and(|m| !m.is_empty()) || value.as_array().is_some_and(|l| !l.is_empty());
    if filled {
        out.push('\n');
        block(value, indent, out);
    } else {
        out.push(' ');
        out.push_str(&scalar(value));
        out.push('\n');
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(s) => text(s),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        // A whole number written with an exponent or a fraction stays a number.
        other => other.to_string(),
    }
}

/// A text: plain where it can mean nothing else, and else in quotes, with JSON's escapes.
fn text(text: &str) -> String {
    const WORDS: [&str; 11] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/' | b':' | b'@' | b'='))
        && !text.ends_with(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    let mut out = Value::from(text).to_string();
    for c in ['\u{7f}', '\u{85}', '\u{feff}', '\u{2028}', '\u{2029}'] {
        out = out.replace(c, &format!("\\u{:04x}", u32::from(c)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_that_means_the_same() {
        let value = json!({"a": {"b": [1, "x y", {"c": null, "d": []}], "yes": "no"}, "e": {}, "f": "a: b", "g": "1", "h": ["k:v", "l:"], "i": "é\u{85}\n"});
        let text = yaml(&value);
        assert_eq!(
            text,
            "a:\n  b:\n    - 1\n    - \"x y\"\n    - c: null\n      d: []\n  \"yes\": \"no\"\ne: {}\nf: \"a: b\"\ng: \"1\"\nh:\n  - k:v\n  - \"l:\"\ni: \"é\\u0085\\n\"\n"
        );
    }
}
