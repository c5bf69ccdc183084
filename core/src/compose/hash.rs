//! docker compose's hashes: SHA-256 of the text that Go's `json.Marshal` gives.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::model::{NetworkConfig, Service, VolumeConfig};

/// The hash of a service, without what does not change its containers.
pub(crate) fn service(service: &Service) -> String {
    let mut service = service.clone();
    service.build = None;
    service.pull_policy.clear();
    service.scale = None;
    service.depends_on.clear();
    service.profiles.clear();
    if let Some(deploy) = &mut service.deploy {
        deploy.replicas = None;
    }
    digest(&service)
}

/// The hash of a network.
pub(crate) fn network(network: &NetworkConfig) -> String {
    digest(network)
}

/// The hash of a volume; without a driver, `local` is meant.
pub(crate) fn volume(volume: &VolumeConfig) -> String {
    let mut volume = volume.clone();
    if volume.driver.is_empty() {
        volume.driver = "local".to_owned();
    }
    digest(&volume)
}

fn digest<T: Serialize>(value: &T) -> String {
    let text = go_json(value);
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// JSON as Go writes it: some characters are escaped.
fn go_json<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_text_of_plain_things() {
        let network = NetworkConfig { name: "p_default".into(), ..NetworkConfig::default() };
        assert_eq!(go_json(&network), r#"{"name":"p_default","ipam":{}}"#);
        let service = Service { image: "a<b".into(), cpus: 2.0, ..Service::default() };
        assert_eq!(go_json(&service), r#"{"cpus":2,"command":null,"entrypoint":null,"image":"a\u003cb"}"#);
    }
}
