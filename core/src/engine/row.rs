//! A container as the engine's list has it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    container::{ContainerProperties, PublishedPort, string_map},
    status::Health,
    system::text,
};

/// What is read of a row, without a tree of values for each.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Row {
    id: String,
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    state: String,
    status: String,
    labels: Option<BTreeMap<String, String>>,
    ports: Option<Vec<Port>>,
    network_settings: Option<Networks>,
    size_rw: Option<u64>,
    size_root_fs: Option<u64>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    private_port: Option<u16>,
    public_port: Option<u16>,
    r#type: String,
    #[serde(rename = "IP")]
    ip: String,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Networks {
    networks: Option<BTreeMap<String, Member>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Member {
    #[serde(rename = "IPAddress")]
    address: String,
}

/// A row of which each part is left out that is not as it should be, as other engines may write it.
impl From<&Value> for Row {
    fn from(row: &Value) -> Self {
        let list = |name: &str| row.get(name).and_then(Value::as_array).into_iter().flatten();
        let port = |p: &Value| {
            let number = |name: &str| p.get(name).and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok());
            Port { private_port: number("PrivatePort"), public_port: number("PublicPort"), r#type: text(p, "Type"), ip: text(p, "IP") }
        };
        let networks = row.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
        let networks = networks.map(|all| all.iter().map(|(name, member)| (name.clone(), Member { address: text(member, "IPAddress") })).collect());
        Self {
            id: text(row, "Id"),
            names: list("Names").filter_map(Value::as_str).map(str::to_owned).collect(),
            image: text(row, "Image"),
            image_id: text(row, "ImageID"),
            state: text(row, "State"),
            status: text(row, "Status"),
            labels: Some(string_map(row.get("Labels"))),
            ports: Some(list("Ports").map(port).collect()),
            network_settings: Some(Networks { networks }),
            size_rw: row.get("SizeRw").and_then(Value::as_u64),
            size_root_fs: row.get("SizeRootFs").and_then(Value::as_u64),
        }
    }
}

impl From<Row> for ContainerProperties {
    fn from(row: Row) -> Self {
        let health = ["healthy", "unhealthy", "health: starting"]
            .into_iter()
            .find(|h| row.status.contains(&format!("({h})")))
            .map(|h| Health::from(h.trim_start_matches("health: ")));
        let port = |p: Port| Some(PublishedPort { target: p.private_port?, protocol: p.r#type, published: p.public_port?, host_ip: p.ip });
        // A link to it is a name, too, and has the other container's before it.
        let name = row.names.iter().map(|n| n.trim_start_matches('/')).find(|n| !n.contains('/')).unwrap_or_default().to_owned();
        Self {
            id: row.id,
            name,
            image: row.image,
            image_id: row.image_id,
            status: row.state.into(),
            health,
            labels: row.labels.unwrap_or_default(),
            ports: row.ports.unwrap_or_default().into_iter().filter_map(port).collect(),
            addresses: row.network_settings.and_then(|s| s.networks).unwrap_or_default().into_iter().map(|(name, m)| (name, m.address)).collect(),
            size_written: row.size_rw,
            size_total: row.size_root_fs,
        }
    }
}

/// The rows of a list, whatever is strange in some of them.
pub(crate) fn rows(text: &[u8]) -> serde_json::Result<Vec<Row>> {
    serde_json::from_slice(text).or_else(|_| Ok(serde_json::from_slice::<Vec<Value>>(text)?.iter().map(Row::from).collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_read_in_both_ways() {
        let plain = json!([{
            "Id": "1", "Names": ["/other/alias", "/web"], "Image": "i", "ImageID": "sha256:2", "State": "running", "Status": "Up 3 hours (unhealthy)",
            "Labels": {"a": "b"}, "Ports": [{"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "IP": "0.0.0.0"}, {"PrivatePort": 81, "Type": "udp"}],
            "NetworkSettings": {"Networks": {"n": {"IPAddress": "10.0.0.2", "Links": null}}}, "SizeRw": 5, "Command": {"new": 1},
        }, {}]);
        let typed = rows(plain.to_string().as_bytes()).unwrap();
        let seen: Vec<ContainerProperties> = typed.into_iter().map(Into::into).collect();
        let lenient: Vec<ContainerProperties> = plain.as_array().unwrap().iter().map(|row| Row::from(row).into()).collect();
        assert_eq!(format!("{seen:?}"), format!("{lenient:?}"));
        let web = seen.first().unwrap();
        assert_eq!((&*web.name, web.health.clone(), web.ports.len(), &*web.addresses["n"]), ("web", Some(Health::from("unhealthy")), 1, "10.0.0.2"));
        let strange = r#"[{"Id": "1", "Names": null, "Labels": null, "Ports": [{"PrivatePort": "80"}], "SizeRw": -1, "NetworkSettings": 3}]"#;
        let seen: Vec<ContainerProperties> = rows(strange.as_bytes()).unwrap().into_iter().map(Into::into).collect();
        assert_eq!((seen.len(), &*seen.first().unwrap().id), (1, "1"));
        assert!(rows(b"{}").is_err());
    }
}
