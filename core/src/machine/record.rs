//! What is written of a machine: docker-machine's `config.json`, version 3, with our own part beside its parts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{DriverSpec, EngineConfig, store::Store};

/// A machine's record. What another version wrote, and this one does not know, is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Record {
    pub(crate) config_version: u32,
    #[serde(default)]
    pub(crate) driver: Value,
    #[serde(default)]
    pub(crate) driver_name: String,
    #[serde(default)]
    pub(crate) host_options: Value,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dockerkit: Option<Own>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// What only this library knows of a machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Own {
    pub(crate) driver: DriverSpec,
    pub(crate) engine: EngineConfig,
    pub(crate) phase: Phase,
    pub(crate) url: String,
    pub(crate) created: String,
}

/// How far the making of a machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Begun; the same call goes on.
    Creating,
    Ready,
    /// Its removal has begun.
    Removing,
}

impl Record {
    /// The record of a machine that is about to be made. docker-machine knows these machines as ones of its driver `none`:
    /// an engine at a URL.
    pub(crate) fn new(store: &Store, name: &str, driver: DriverSpec, engine: EngineConfig, url: &str) -> Self {
        let folder = store.folder("machines", name).display().to_string();
        let certs = store.path.join("certs").display().to_string();
        let host_options = json!({
            "Driver": "", "Memory": 0, "Disk": 0,
            "EngineOptions": {
                "ArbitraryFlags": [], "Dns": null, "GraphDir": "", "Env": [], "Ipv6": false,
                "InsecureRegistry": engine.insecure_registries,
                "Labels": engine.labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
                "LogLevel": "", "StorageDriver": engine.storage_driver.clone().unwrap_or_default(), "SelinuxEnabled": false,
                "TlsVerify": false, "RegistryMirror": engine.registry_mirrors, "InstallURL": "",
            },
            "SwarmOptions": {"IsSwarm": false, "Address": "", "Discovery": "", "Agent": false, "Master": false, "Host": "", "Image": "",
                "Strategy": "", "Heartbeat": 0, "Overcommit": 0, "ArbitraryFlags": [], "ArbitraryJoinFlags": [], "Env": null, "IsExperimental": false},
            "AuthOptions": {
                "CertDir": certs, "CaCertPath": format!("{certs}/ca.pem"), "CaPrivateKeyPath": format!("{certs}/ca-key.pem"),
                "CaCertRemotePath": "", "ServerCertPath": format!("{folder}/server.pem"), "ServerKeyPath": format!("{folder}/server-key.pem"),
                "ClientKeyPath": format!("{certs}/key.pem"), "ServerCertRemotePath": "", "ServerKeyRemotePath": "",
                "ClientCertPath": format!("{certs}/cert.pem"), "ServerCertSANs": [], "StorePath": folder,
            },
        });
        let created = crate::timestamp::Timestamp::now().to_string();
        let mut record = Self {
            config_version: 3,
            driver: json!({"IPAddress": "", "MachineName": name, "SSHUser": "", "SSHPort": 0, "SSHKeyPath": "", "StorePath": store.path.display().to_string(),
                "SwarmMaster": false, "SwarmHost": "", "SwarmDiscovery": "", "URL": url}),
            driver_name: "none".to_owned(),
            host_options,
            name: name.to_owned(),
            dockerkit: Some(Own { driver, engine, phase: Phase::Creating, url: String::new(), created }),
            rest: Map::new(),
        };
        record.set_url(url);
        record
    }

    pub(crate) fn set_url(&mut self, url: &str) {
        if let Some(own) = &mut self.dockerkit {
            url.clone_into(&mut own.url);
        }
        if let Some(driver) = self.driver.as_object_mut() {
            driver.insert("URL".to_owned(), json!(url));
        }
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        if let Some(own) = &mut self.dockerkit {
            own.phase = phase;
        }
    }

    /// Where the engine is, as far as the record says.
    pub(crate) fn url(&self) -> String {
        let text = |name: &str| self.driver.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match &self.dockerkit {
            Some(own) => own.url.clone(),
            None if !text("URL").is_empty() => text("URL"),
            // docker-machine's other drivers: the engine listens with TLS at its usual port.
            None if !text("IPAddress").is_empty() => {
                let port = self.driver.get("EnginePort").and_then(Value::as_u64).unwrap_or(2376);
                format!("tcp://{}:{port}", text("IPAddress"))
            }
            None => String::new(),
        }
    }

    /// The driver's name.
    pub(crate) fn driver(&self) -> &str {
        self.dockerkit.as_ref().map_or(&self.driver_name, |own| own.driver.name())
    }
}
