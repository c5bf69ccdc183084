//! The networks of an engine.

use std::collections::BTreeMap;

use bollard::models::{ConfigReference, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Engine, Req,
    client::{ApiVersion, escape_segment},
    container::string_map,
    containers::{Filters, PruneOptions, PruneReport},
    system::text,
};
use crate::{
    call::{Call, NoOptions, options},
    error::{Error, ErrorKind, Result},
};

/// The networks of an [`Engine`].
#[derive(Debug, Clone)]
pub struct Networks(pub(crate) Engine);

/// A network.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Network {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its driver, such as `bridge` or `overlay`.
    pub driver: String,
    /// `local`, `swarm` or `global`.
    pub scope: String,
    /// Has no way out.
    pub internal: bool,
    /// Containers can join it although it belongs to a swarm.
    pub attachable: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The engine's own answer.
    pub raw: Value,
}

options! {
    /// Addresses of a network.
    pub struct Subnet {
        /// The subnet, such as `10.5.0.0/16`.
        pub subnet: Option<String>,
        /// The part of it that containers get addresses from.
        pub ip_range: Option<String>,
        /// The gateway's address.
        pub gateway: Option<String>,
        /// Addresses that are taken: name and address.
        pub aux_addresses: BTreeMap<String, String>,
    }
}

options! {
    /// Options of [`Networks::create`].
    pub struct CreateNetwork {
        /// The driver; default `bridge`.
        pub driver: Option<String>,
        /// Options of the driver.
        pub options: BTreeMap<String, String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// Has no way out.
        pub internal: bool,
        /// Containers can join it although it belongs to a swarm.
        pub attachable: bool,
        /// Carries a swarm's published ports.
        pub ingress: bool,
        /// With IPv6.
        pub ipv6: bool,
        /// Addresses; default: of the engine's choice.
        pub subnets: Vec<Subnet>,
        /// Driver of the addresses.
        pub ipam_driver: Option<String>,
        /// Options of that driver.
        pub ipam_options: BTreeMap<String, String>,
        /// Whether its containers get IPv4 addresses; default: yes. Needs API 1.48.
        pub ipv4: Option<bool>,
        /// `local` or `swarm`; default: the driver's.
        pub scope: Option<String>,
        /// Makes no network, only its settings, for others to be made from.
        pub config_only: bool,
        /// Takes the settings of this network, which is made with `config_only`.
        pub config_from: Option<String>,
    }
}

options! {
    /// Options of [`Networks::get`].
    pub struct InspectNetwork {
        /// Tells of an overlay's tasks on other nodes too.
        pub verbose: bool,
        /// Only a network of this scope: `local`, `swarm` or `global`.
        pub scope: Option<String>,
    }
}

options! {
    /// Options of [`Networks::list`].
    pub struct ListNetworks {
        /// The engine's filters, such as `{"driver": ["overlay"]}`.
        pub filters: Filters,
    }
}

options! {
    /// Options of [`Networks::connect`].
    pub struct ConnectContainer {
        /// Other names of the container in the network.
        pub aliases: Vec<String>,
        /// Its fixed IPv4 address.
        pub ipv4_address: Option<String>,
        /// Its fixed IPv6 address.
        pub ipv6_address: Option<String>,
        /// Options of the driver for this end.
        pub driver_opts: BTreeMap<String, String>,
        /// Its link-local addresses in the network.
        pub link_local_ips: Vec<String>,
        /// Other containers that it knows by another name, as `container:name`.
        pub links: Vec<String>,
        /// Its MAC address in the network. Needs API 1.44.
        pub mac_address: Option<String>,
        /// The network of the highest priority is its way out. Needs API 1.48.
        pub gateway_priority: Option<i64>,
    }
}

options! {
    /// Options of [`Networks::disconnect`].
    pub struct DisconnectContainer {
        /// Also when the container is gone.
        pub force: bool,
    }
}

impl Network {
    fn read(raw: Value) -> Self {
        let flag = |n: &str| raw.get(n).and_then(Value::as_bool).unwrap_or_default();
        Self {
            id: text(&raw, "Id"),
            name: text(&raw, "Name"),
            driver: text(&raw, "Driver"),
            scope: text(&raw, "Scope"),
            internal: flag("Internal"),
            attachable: flag("Attachable"),
            labels: string_map(raw.get("Labels")),
            raw,
        }
    }
}

fn missing(e: Error, name: &str) -> Error {
    if e.kind() == ErrorKind::NotFound { e.hint("list the networks").with("network", name) } else { e }
}

impl Engine {
    /// The networks of this engine.
    #[must_use]
    pub fn networks(&self) -> Networks {
        Networks(self.clone())
    }
}

impl Networks {
    /// Lists networks.
    ///
    /// # Errors
    /// `invalid_input` for a filter that the engine does not know.
    pub fn list(&self) -> Call<ListNetworks, Vec<Network>> {
        let engine = self.0.clone();
        Call::new("networks.list", move |o: ListNetworks, _| async move {
            let rows: Vec<Value> = engine.client.fetch(Req::get(&["networks"]).filters(&o.filters)).await?;
            Ok(rows.into_iter().map(Network::read).collect())
        })
    }

    /// All networks of exactly this name, the oldest first.
    pub(crate) async fn named(&self, name: &str) -> Result<Vec<Network>> {
        let filters = Filters::from([("name".to_owned(), vec![name.to_owned()])]);
        let mut all: Vec<Network> = self.list().filters(filters).await?.into_iter().filter(|n| n.name == name).collect();
        all.sort_by_key(|n| (text(&n.raw, "Created"), n.id.clone()));
        Ok(all)
    }

    /// Leaves one network of a name. Engines make two when two writers are at it at the same time. The oldest stays, or the
    /// one that containers run in already: so all writers keep the same one, whoever looks first.
    pub(crate) async fn unite(&self, name: &str) -> Result<()> {
        let all = self.named(name).await?;
        let mut left = all.len();
        for network in all.into_iter().rev() {
            if left <= 1 {
                return Ok(());
            }
            match self.remove(network.id).await {
                Err(e) if matches!(e.kind(), ErrorKind::Forbidden | ErrorKind::Conflict) => {}
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => left -= 1,
            }
        }
        if left <= 1 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, format!("there are {left} networks {name}, and containers run in each of them"))
            .hint("stop or remove what runs in them, then try again")
            .with("network", name))
    }

    /// The network with this name or ID.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, name: impl Into<String>) -> Call<InspectNetwork, Network> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("networks.get", move |o: InspectNetwork, _| async move {
            engine
                .client
                .fetch(Req::get(&["networks", &name]).flag("verbose", o.verbose).maybe("scope", o.scope))
                .await
                .map(Network::read)
                .map_err(|e| missing(e, &name))
        })
    }

    /// Makes a network. A name that is taken is refused, although engines would allow it twice.
    ///
    /// # Errors
    /// `already_exists`, `invalid_input`, `forbidden` when its addresses overlap with another's.
    pub fn create(&self, name: impl Into<String>) -> Call<CreateNetwork, Network> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("networks.create", move |o: CreateNetwork, _| async move {
            let config: Vec<IpamConfig> = o
                .subnets
                .into_iter()
                .map(|s| IpamConfig {
                    subnet: s.subnet,
                    ip_range: s.ip_range,
                    gateway: s.gateway,
                    auxiliary_addresses: if s.aux_addresses.is_empty() { None } else { Some(s.aux_addresses.into_iter().collect()) },
                })
                .collect();
            if o.ipv4.is_some() {
                engine.needs("ipv4", ApiVersion(1, 48)).await?;
            }
            let chosen = !config.is_empty() || o.ipam_driver.is_some() || !o.ipam_options.is_empty();
            let options = Some(o.ipam_options).filter(|m| !m.is_empty()).map(|m| m.into_iter().collect());
            let ipam = chosen.then_some(Ipam { driver: o.ipam_driver, config: Some(config), options });
            let body = NetworkCreateRequest {
                name: name.clone(),
                driver: Some(o.driver.unwrap_or_else(|| "bridge".to_owned())),
                internal: Some(o.internal),
                attachable: Some(o.attachable),
                ingress: Some(o.ingress),
                enable_ipv4: o.ipv4,
                enable_ipv6: o.ipv6.then_some(true),
                scope: o.scope,
                config_only: o.config_only.then_some(true),
                config_from: o.config_from.map(|network| ConfigReference { network: Some(network) }),
                options: Some(o.options.into_iter().collect()),
                labels: Some(o.labels.into_iter().collect()),
                ipam,
            };
            let mut body = serde_json::to_value(&body).map_err(|e| Error::internal(e.to_string()))?;
            // Older engines make a second network of the same name unless they are told to look.
            if let Some(map) = body.as_object_mut() {
                map.insert("CheckDuplicate".to_owned(), Value::Bool(true));
            }
            let made: Value = engine.client.fetch(Req::post(&["networks", "create"]).json(&body)).await.map_err(|e| match e.kind() {
                ErrorKind::AlreadyExists => e.hint("choose another name, or get the network of that name"),
                ErrorKind::Forbidden => e.hint("choose other addresses"),
                _ => e,
            })?;
            engine.networks().get(text(&made, "Id")).await
        })
    }

    /// Removes a network.
    ///
    /// # Errors
    /// `not_found`, `forbidden` while containers are in it.
    pub fn remove(&self, name: impl Into<String>) -> Call<NoOptions, ()> {
        let (engine, name) = (self.0.clone(), name.into());
        Call::new("networks.remove", move |_, _| async move {
            engine.client.done(Req::delete(&["networks", &name])).await.map(drop).map_err(|e| match e.kind() {
                ErrorKind::Forbidden => e.hint("remove or disconnect the containers in it first"),
                _ => missing(e, &name),
            })
        })
    }

    /// Puts a container into a network.
    ///
    /// # Errors
    /// `not_found`, `forbidden` when it is in it already.
    pub fn connect(&self, name: impl Into<String>, container: impl Into<String>) -> Call<ConnectContainer, ()> {
        let (engine, name, container) = (self.0.clone(), name.into(), container.into());
        Call::new("networks.connect", move |o: ConnectContainer, _| async move {
            let newer = [(o.mac_address.is_some(), "mac_address", ApiVersion(1, 44)), (o.gateway_priority.is_some(), "gateway_priority", ApiVersion(1, 48))];
            for (given, name, api) in newer {
                if given {
                    engine.needs(name, api).await?;
                }
            }
            let fixed = o.ipv4_address.is_some() || o.ipv6_address.is_some() || !o.link_local_ips.is_empty();
            let ipam_config = fixed.then_some(bollard::models::EndpointIpamConfig {
                ipv4_address: o.ipv4_address,
                ipv6_address: o.ipv6_address,
                link_local_ips: Some(o.link_local_ips).filter(|l| !l.is_empty()),
            });
            let endpoint = bollard::models::EndpointSettings {
                aliases: Some(o.aliases),
                ipam_config,
                driver_opts: Some(o.driver_opts.into_iter().collect()),
                links: Some(o.links).filter(|l| !l.is_empty()),
                mac_address: o.mac_address,
                gw_priority: o.gateway_priority,
                ..Default::default()
            };
            let body = NetworkConnectRequest { container, endpoint_config: Some(endpoint) };
            let segment = escape_segment(&name);
            engine.client.typed(|docker| async move { docker.connect_network(&segment, body).await }).await.map_err(|e| missing(e, &name))
        })
    }

    /// Takes a container out of a network.
    ///
    /// # Errors
    /// `not_found`.
    pub fn disconnect(&self, name: impl Into<String>, container: impl Into<String>) -> Call<DisconnectContainer, ()> {
        let (engine, name, container) = (self.0.clone(), name.into(), container.into());
        Call::new("networks.disconnect", move |o: DisconnectContainer, _| async move {
            let body = NetworkDisconnectRequest { container, force: Some(o.force) };
            let segment = escape_segment(&name);
            engine.client.typed(|docker| async move { docker.disconnect_network(&segment, body).await }).await.map_err(|e| missing(e, &name))
        })
    }

    /// Removes networks that nothing is in.
    ///
    /// # Errors
    /// `conflict` while another prune runs.
    pub fn prune(&self) -> Call<PruneOptions, PruneReport> {
        let engine = self.0.clone();
        Call::new("networks.prune", move |o: PruneOptions, _| async move {
            let raw: Value = engine.client.fetch(Req::post(&["networks", "prune"]).filters(&o.filters).patient()).await?;
            Ok(PruneReport::read(&raw, "NetworksDeleted"))
        })
    }
}
