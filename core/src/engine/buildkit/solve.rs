//! Builds that are asked of BuildKit itself, for what the engine's own way to it cannot take: contexts beside the main one, and
//! caches that are exported. The image lies in the engine's store afterwards, as with every build.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{
    Contexts, Session, Trace,
    control::Control,
    wire::{CacheEntry, CacheOptions, Solve},
};
use crate::{
    engine::{BuildOptions, Engine, Req, build::HOST_GATEWAY, client::ApiVersion, images::split_tag},
    error::{Error, ErrorKind, Result},
};

/// The first API whose builder knows named contexts: Docker 23.0.
const CONTEXTS_SINCE: ApiVersion = ApiVersion(1, 42);
/// How long the rest of the progress is waited for when the build is over.
const REST: Duration = Duration::from_secs(3);
/// The label in which an engine's worker says the address of its host.
const GATEWAY: &str = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";

/// What is built, beside what the options say.
pub(in crate::engine) struct Order<'a> {
    pub(in crate::engine) options: &'a BuildOptions,
    pub(in crate::engine) dockerfile: &'a str,
    /// The build arguments, with those of the user's configuration.
    pub(in crate::engine) args: &'a BTreeMap<String, String>,
    /// Names and addresses for `/etc/hosts`, checked.
    pub(in crate::engine) hosts: &'a [(String, String)],
    pub(in crate::engine) contexts: &'a Contexts,
    pub(in crate::engine) cache_from: &'a [String],
    pub(in crate::engine) cache_to: Vec<CacheEntry>,
}

/// Builds, and gives the image's ID.
pub(in crate::engine) async fn solve(engine: &Engine, order: Order<'_>, session: &Session, trace: &mut Trace) -> Result<String> {
    let control = Control::open(engine).await?;
    let request = request(&control, order, session).await?;
    let result = {
        let mut watching = std::pin::pin!(control.watch(&request.name, |status| trace.take(status)));
        let mut solving = std::pin::pin!(control.solve(&request));
        let mut watched = false;
        let result = loop {
            tokio::select! {
                result = &mut solving => break result,
                _ = &mut watching, if !watched => watched = true,
            }
        };
        if !watched {
            tokio::time::timeout(REST, watching).await.ok();
        }
        result
    };
    match result {
        Ok(solved) => {
            let id = solved.exporter_response.get("containerimage.digest").cloned();
            id.ok_or_else(|| Error::new(ErrorKind::Engine, "the engine did not name the image that it built"))
        }
        Err(e) => Err(session.trouble().unwrap_or_else(|| meaning(e))),
    }
}

/// Refuses contexts where the engine's frontend would take no notice of them.
pub(in crate::engine) async fn knows_contexts(engine: &Engine) -> Result<()> {
    let version: Value = engine.client.fetch(Req::get(&["version"])).await?;
    let text = |name: &str| version.get(name).and_then(Value::as_str).unwrap_or_default();
    if ApiVersion::parse(text("ApiVersion")).is_some_and(|v| v < CONTEXTS_SINCE) {
        return Err(Error::new(ErrorKind::Unsupported, format!("additional contexts need Docker 23.0 or newer, and the engine is {}", text("Version")))
            .hint("upgrade the engine, or leave additional_contexts out"));
    }
    Ok(())
}

/// An engine that cannot do a thing says so in its own words.
fn meaning(e: Error) -> Error {
    let words = e.message();
    let (needs, hint) = if words.contains("unknown cache exporter") {
        ("the engine exports no caches of this type", "turn on the engine's containerd image store, or use type=inline")
    } else if words.contains("unsupported frontend capability") {
        ("the Dockerfile's frontend knows no additional contexts", "use a newer `# syntax=` line, or Docker 23.0 or newer")
    } else {
        return e;
    };
    Error::new(ErrorKind::Unsupported, format!("{needs}: {words}")).hint(hint).source(e)
}

async fn request(control: &Control, order: Order<'_>, session: &Session) -> Result<Solve> {
    let o = order.options;
    let mut attrs = BTreeMap::from([("filename".to_owned(), order.dockerfile.to_owned()), ("context".to_owned(), session.context())]);
    let mut set = |name: &str, value: Option<String>| attrs.extend(value.map(|v| (name.to_owned(), v)));
    let joined = |all: Vec<String>| (!all.is_empty()).then(|| all.join(","));
    set("target", o.target.clone());
    set("platform", o.platform.clone());
    set("no-cache", o.no_cache.then(String::new));
    set("image-resolve-mode", Some(if o.pull { "pull" } else { "default" }.to_owned()));
    set("shm-size", o.shm_size.map(|s| s.0.to_string()));
    set("cache-from", joined(order.cache_from.to_vec()));
    set("add-hosts", joined(hosts(control, order.hosts).await?));
    set("frontend.caps", (!order.contexts.is_empty()).then(|| "moby.buildkit.frontend.contexts+forward".to_owned()));
    let mut entitlements = Vec::new();
    if let Some(mode @ ("host" | "none")) = o.network.as_deref() {
        set("force-network-mode", Some(mode.to_owned()));
        if mode == "host" {
            entitlements.push("network.host".to_owned());
        }
    }
    for (prefix, map) in [("build-arg:", order.args), ("label:", &o.labels), ("context:", &order.contexts.sources)] {
        attrs.extend(map.iter().map(|(name, value)| (format!("{prefix}{name}"), value.clone())));
    }
    // They go as one list.
    if let Some(tag) = o.tags.iter().find(|tag| tag.contains(',')) {
        return Err(Error::invalid(format!("`{}` cannot be an image's name", crate::error::escape(tag))).hint("write it as name:tag"));
    }
    let names = o.tags.iter().map(|tag| match split_tag(tag) {
        (_, None) if !tag.contains('@') => format!("{tag}:latest"),
        _ => tag.clone(),
    });
    Ok(Solve {
        name: format!("{:032x}", rand::random::<u128>()),
        exporter: "moby".to_owned(),
        exporter_attrs: joined(names.collect()).map(|names| ("name".to_owned(), names)).into_iter().collect(),
        session: session.id.clone(),
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: attrs,
        cache: Some(CacheOptions { exports: order.cache_to }),
        entitlements,
        frontend_inputs: order.contexts.inputs.clone(),
    })
}

/// Lines of `/etc/hosts`. The address of the engine's host is known to the engine only.
async fn hosts(control: &Control, hosts: &[(String, String)]) -> Result<Vec<String>> {
    let mut gateway = None;
    if hosts.iter().any(|(_, address)| address == HOST_GATEWAY) {
        gateway = control.workers().await?.records.into_iter().find_map(|mut worker| worker.labels.remove(GATEWAY));
    }
    let line = |(name, address): &(String, String)| match (address.as_str(), &gateway) {
        (HOST_GATEWAY, None) => Err(Error::new(ErrorKind::Unsupported, "the engine does not say the address of its host")
            .hint("give an address in place of host-gateway")
            .with("host", &**name)),
        // Of several addresses each is a line of its own.
        (HOST_GATEWAY, Some(all)) => Ok(all.split(',').map(|one| format!("{name}={}", one.trim())).collect()),
        (address, _) => Ok(vec![format!("{name}={address}")]),
    };
    let lines: Vec<Vec<String>> = hosts.iter().map(line).collect::<Result<_>>()?;
    Ok(lines.concat())
}
