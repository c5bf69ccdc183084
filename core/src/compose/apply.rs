//! Doing the steps of a reconciliation. It decides nothing.

use std::{collections::BTreeMap, sync::Mutex};

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{
    app::{App, UpOptions, UpReport, first_ids},
    body::{self, Identity, image_of},
    hash, labels,
    model::ConfigObject,
    observe,
    reconcile::{Reconciled, Work, effective},
    wait,
};
use crate::{
    call::Context,
    engine::{Container, Engine, Req},
    error::{Error, ErrorKind, Result, escape},
    plan::{self, Step},
    units::Seconds,
};

/// So many steps at a time.
const PARALLEL: usize = 8;

impl Reconciled {
    /// The steps that build and pull, alone.
    pub(crate) fn images_only(self) -> Reconciled {
        let both = self.steps.into_iter().zip(self.work).filter(|(_, w)| matches!(w, Work::Build { .. } | Work::Pull { .. }));
        let (steps, work) = both.map(|(s, w)| (Step { after: Vec::new(), ..s }, w)).unzip();
        Reconciled { steps, work, orphans: self.orphans }
    }
}

/// Runs all steps.
pub(crate) async fn run(app: &App, found: &Reconciled, o: &UpOptions, cx: &Context, report: &mut UpReport) -> Result<()> {
    let done = Mutex::new(Vec::new());
    let result = plan::execute(&found.steps, PARALLEL, |i| {
        let (step, work, done) = (found.steps.get(i), found.work.get(i), &done);
        async move {
            let (Some(step), Some(work)) = (step, work) else { return Ok(()) };
            cx.events.track(&step.action, step.resource.clone(), one(app, work, o, cx)).await.map_err(|e| e.with("resource", step.resource.to_string()))?;
            if let Ok(mut list) = done.lock() {
                list.push(format!("{} {}", step.action, step.resource));
            }
            Ok(())
        }
    })
    .await;
    report.done.extend(done.into_inner().unwrap_or_default());
    result
}

async fn one(app: &App, work: &Work, o: &UpOptions, cx: &Context) -> Result<()> {
    let engine = &app.engine;
    let model = app.model()?;
    match work {
        Work::Build { service } => build(app, service, cx).await,
        Work::Pull { service } => {
            let Some(service) = model.services.get(service) else { return Ok(()) };
            let platform = Some(service.platform.clone()).filter(|p| !p.is_empty());
            engine
                .images()
                .pull(&service.image)
                .with(|p| p.platform = platform)
                .in_context(cx.clone())
                .await
                .map(drop)
                .map_err(|e| e.with("service", &*service.name))
        }
        Work::CreateNetwork { key } => network(app, key).await,
        Work::OneNetwork { name } => app.engine.networks().unite(name).await,
        Work::CreateVolume { key } => {
            let Some(volume) = model.volumes.get(key) else { return Ok(()) };
            let mut all = volume.labels.clone();
            all.extend(own_labels(&app.name, labels::VOLUME, key, hash::volume(volume)));
            let body = json!({"Name": volume.name, "Driver": volume.driver, "DriverOpts": volume.driver_opts, "Labels": all});
            engine.client.done(Req::post(&["volumes", "create"]).json(&body)).await.map(drop)
        }
        Work::Create { service, number, name } => create(app, service, *number, name, None).await.map(drop),
        Work::Recreate { service, number, name, old } => {
            let temporary = format!("{}_{name}", old.id.chars().take(12).collect::<String>());
            // A copy that an earlier try left is made anew, since it may not be what is wanted now.
            remove(engine, &temporary).await?;
            let made = create(app, service, *number, &temporary, Some(old)).await?;
            stop(engine, &old.id, o.stop_timeout).await?;
            remove(engine, &old.id).await?;
            rename(engine, &made, name).await
        }
        Work::Rename { id, name } => rename(engine, id, name).await,
        Work::Remove { id } => {
            stop(engine, id, o.stop_timeout).await?;
            remove(engine, id).await
        }
        Work::Start { service, number } => start(app, service, *number, o).await,
    }
}

/// Gives a container its name. It may have it by now: a call that was given up had asked for it, and the engine went on.
async fn rename(engine: &Engine, id: &str, name: &str) -> Result<()> {
    match engine.client.done(Req::post(&["containers", id, "rename"]).query("name", name)).await {
        Err(e) if e.message().contains("same name as its current name") => Ok(()),
        other => other.map(drop),
    }
}

fn own_labels(project: &str, kind: &str, key: &str, hash: String) -> BTreeMap<String, String> {
    [(labels::PROJECT, project.to_owned()), (kind, key.to_owned()), (labels::VERSION, labels::FORMAT.to_owned()), (labels::HASH, hash)]
        .map(|(k, v)| (k.to_owned(), v))
        .into()
}

pub(crate) async fn build(app: &App, name: &str, cx: &Context) -> Result<()> {
    let model = app.model()?;
    let Some((service, build)) = model.services.get(name).and_then(|s| s.build.as_ref().map(|b| (s, b))) else { return Ok(()) };
    let mut tags = vec![image_of(&model.name, service)];
    tags.extend(build.tags.iter().cloned());
    let mut all = build.labels.clone();
    for (key, value) in [(labels::PROJECT, &model.name), (labels::SERVICE, &service.name), (labels::VERSION, &labels::FORMAT.to_owned())] {
        all.insert(key.to_owned(), value.clone());
    }
    let text = |t: &String| Some(t.clone()).filter(|t| !t.is_empty());
    let platform = text(&service.platform).or_else(|| build.platforms.first().cloned());
    let mut hosts: BTreeMap<String, String> = BTreeMap::new();
    for (name, address) in build.extra_hosts.iter().filter_map(|h| h.split_once('=')) {
        // A name may have several addresses.
        hosts.entry(name.to_owned()).and_modify(|all| *all = format!("{all},{address}")).or_insert_with(|| address.to_owned());
    }
    let (mut secrets, mut secret_files) = (BTreeMap::new(), BTreeMap::new());
    for secret in &build.secrets {
        let Some(object) = model.secrets.get(&secret.source) else { continue };
        let id = if secret.target.is_empty() { &secret.source } else { &secret.target }.clone();
        if object.file.is_empty() {
            secrets.insert(id, text_of(app, &secret.source, object)?.into());
        } else {
            secret_files.insert(id, object.file.clone().into());
        }
    }
    // docker compose hands such builds to a builder of its own, which makes several images in one go.
    if let Some((context, value)) = build.additional_contexts.iter().find(|(_, v)| v.starts_with("service:") || v.starts_with("target:")) {
        return Err(Error::new(ErrorKind::Unsupported, format!("the context {}: {} is not supported", escape(context), escape(value)))
            .hint("give the other service an `image`, build it first, and write docker-image://<image>")
            .with("service", name));
    }
    let call = app.engine.images().build(build.context.clone()).in_context(cx.clone()).with(|o| {
        o.tags = tags;
        o.dockerfile = text(&build.dockerfile);
        o.dockerfile_inline = text(&build.dockerfile_inline);
        o.args = build.args.iter().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect();
        o.labels = all;
        o.target = text(&build.target);
        o.platform = platform;
        o.no_cache = build.no_cache;
        o.pull = build.pull;
        o.cache_from.clone_from(&build.cache_from);
        o.cache_to.clone_from(&build.cache_to);
        o.additional_contexts.clone_from(&build.additional_contexts);
        o.network = text(&build.network);
        o.extra_hosts = hosts;
        (o.secrets, o.secret_files) = (secrets, secret_files);
        o.ssh = build.ssh.iter().map(|key| (key.id.clone(), key.path.clone().into())).collect();
    });
    call.await.map(drop).map_err(|e| e.with("service", name))
}

async fn network(app: &App, key: &str) -> Result<()> {
    let Some(network) = app.model()?.networks.get(key) else { return Ok(()) };
    let mut all = network.labels.clone();
    all.extend(own_labels(&app.name, labels::NETWORK, key, hash::network(network)));
    let pools =
        network.ipam.config.iter().map(|p| json!({"Subnet": p.subnet, "Gateway": p.gateway, "IPRange": p.ip_range, "AuxiliaryAddresses": p.aux_addresses}));
    let mut body = json!({
        "Name": network.name,
        "CheckDuplicate": true,
        "Driver": if network.driver.is_empty() { "bridge" } else { &network.driver },
        "Options": network.driver_opts,
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Labels": all,
    });
    if let Some(map) = body.as_object_mut() {
        if !network.ipam.config.is_empty() || !network.ipam.driver.is_empty() {
            let driver = if network.ipam.driver.is_empty() { "default" } else { &network.ipam.driver };
            map.insert("IPAM".to_owned(), json!({"Driver": driver, "Config": pools.collect::<Vec<_>>(), "Options": network.ipam.options}));
        }
        map.extend(network.enable_ipv6.map(|v| ("EnableIPv6".to_owned(), json!(v))));
    }
    match app.engine.client.done(Req::post(&["networks", "create"]).json(&body)).await {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
        Ok(_) => app.engine.networks().unite(&network.name).await,
    }
}

async fn create(app: &App, name: &str, number: u64, container: &str, old: Option<&observe::Found>) -> Result<String> {
    let engine = &app.engine;
    let model = app.model()?;
    let service = model.services.get(name).ok_or_else(|| Error::internal(format!("no service {name}")))?;
    let ids = first_ids(&observe::containers(engine, &app.name).await?);
    let image = image_of(&model.name, service);
    let image_id = observe::image_id(engine, &image).await?;
    let image_id = image_id.ok_or_else(|| Error::not_found(format!("the image {image} is not there")).hint("build, pull or load it").with("image", &*image))?;
    let project = app.project.as_ref().map(crate::surface::Handle::properties);
    let identity = Identity {
        name: container.to_owned(),
        number,
        hash: hash::service(&effective(service, &ids)),
        image_id,
        working_dir: project.as_ref().map(|p| p.folder.clone()).unwrap_or_default(),
        config_files: project.map(|p| p.files.join(",")).unwrap_or_default(),
        replaces: old.map(|_| format!("{name}-{number}")),
        containers: &ids,
        inherited: old.map(|o| anonymous_volumes(&o.row)).unwrap_or_default(),
    };
    let mut body = body::body(model, service, &identity)?;
    // As docker compose does; it is no part of the hash.
    let proxies = engine.proxies()?.into_iter().filter(|(name, _)| !service.environment.contains_key(name));
    let proxies: Vec<Value> = proxies.map(|(name, value)| json!(format!("{name}={value}"))).collect();
    if let (false, Some(map)) = (proxies.is_empty(), body.as_object_mut())
        && let Some(env) = map.entry("Env").or_insert_with(|| json!([])).as_array_mut()
    {
        env.extend(proxies);
    }
    // Engines before API 1.44 take one network when a container is made; it is connected to the others afterwards.
    let mut later = Vec::new();
    if engine.api_version().split_once('.').and_then(|(_, m)| m.parse::<u32>().ok()).is_some_and(|m| m < 44) {
        let mode = body.pointer("/HostConfig/NetworkMode").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(ends) = body.pointer_mut("/NetworkingConfig/EndpointsConfig").and_then(Value::as_object_mut) {
            let (first, others) = std::mem::take(ends).into_iter().partition(|(n, _)| *n == mode);
            *ends = first;
            later.extend::<serde_json::Map<String, Value>>(others);
        }
    }
    let platform = Some(&service.platform).filter(|p| !p.is_empty());
    let made: Value = engine.client.fetch(Req::post(&["containers", "create"]).query("name", container).maybe("platform", platform).json(&body)).await?;
    let id = made.get("Id").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (network, end) in later {
        engine.client.done(Req::post(&["networks", &network, "connect"]).json(&json!({"Container": id, "EndpointConfig": end}))).await?;
    }
    Ok(id)
}

/// Volumes that were made without a name, by their targets: the container that takes the place gets them.
fn anonymous_volumes(row: &Value) -> BTreeMap<String, String> {
    let text = |m: &Value, n: &str| m.get(n).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_anonymous = |name: &str| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let mounts = row.get("Mounts").and_then(Value::as_array).cloned().unwrap_or_default();
    mounts.iter().filter(|m| text(m, "Type") == "volume" && is_anonymous(&text(m, "Name"))).map(|m| (text(m, "Destination"), text(m, "Name"))).collect()
}

pub(crate) async fn stop(engine: &Engine, id: &str, timeout: Option<Seconds>) -> Result<()> {
    let limit = timeout.map(|t| t.0.as_secs_f64().ceil().to_string());
    gone_is_fine(engine.client.done(Req::post(&["containers", id, "stop"]).maybe("t", limit).patient()).await.map(drop))
}

pub(crate) async fn remove(engine: &Engine, id: &str) -> Result<()> {
    gone_is_fine(engine.client.done(Req::delete(&["containers", id]).query("force", "true").patient()).await.map(drop))
}

pub(crate) fn gone_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == ErrorKind::Conflict && e.message().contains("already in progress") => Ok(()),
        other => other,
    }
}

async fn start(app: &App, name: &str, number: u64, o: &UpOptions) -> Result<()> {
    let engine = &app.engine;
    let model = app.model()?;
    let Some(service) = model.services.get(name) else { return Ok(()) };
    // What is not required may be missing: no profile selects it.
    let needed = service.depends_on.iter().filter(|(other, _)| model.services.contains_key(*other));
    let waits = needed.map(|(other, d)| wait::condition(app, other, &d.condition, o));
    futures_util::future::try_join_all(waits).await.map_err(|e| e.with("service", name))?;
    let all = observe::containers(engine, &app.name).await?;
    let found = all.into_iter().find(|f| f.service == name && f.number == number && !f.one_off);
    let Some(found) = found else {
        return Err(Error::not_found(format!("the container {number} of {name} is gone")).retryable().hint("make the same call again"));
    };
    if found.state == "running" {
        return Ok(());
    }
    if found.state == "paused" {
        return engine.client.done(Req::post(&["containers", &found.id, "unpause"])).await.map(drop);
    }
    inject(app, name, &found.id).await?;
    engine.client.done(Req::post(&["containers", &found.id, "start"])).await.map(drop)?;
    for hook in &service.post_start {
        let container = Container::load(engine, &found.id).await?;
        let output = container.exec(hook.command.clone().unwrap_or_default()).with(|e| {
            e.user = Some(hook.user.clone()).filter(|u| !u.is_empty());
            e.workdir = Some(hook.working_dir.clone()).filter(|w| !w.is_empty());
            e.privileged = hook.privileged;
        });
        let output = output.await?;
        if output.exit_code != 0 {
            let tail: String = output.stderr.text().chars().rev().take(500).collect::<String>().chars().rev().collect();
            return Err(Error::new(ErrorKind::CommandFailed, format!("a post_start hook of {name} ended with {}", output.exit_code))
                .with("stderr", tail)
                .with("exit_code", output.exit_code.to_string()));
        }
    }
    Ok(())
}

/// The content of a secret or config that is a text or a variable; empty for one that is a file.
fn text_of(app: &App, key: &str, object: &ConfigObject) -> Result<String> {
    if object.environment.is_empty() {
        return Ok(object.content.clone());
    }
    let value = app.project.as_ref().and_then(|p| p.variable(&object.environment));
    value.ok_or_else(|| Error::invalid(format!("the variable `{}` of `{key}` is not set", object.environment)).hint("set it, or give it in `env`"))
}

/// Secrets and configs that come from variables or texts are copied in before the start; those of files are mounted.
async fn inject(app: &App, name: &str, id: &str) -> Result<()> {
    let model = app.model()?;
    let Some(service) = model.services.get(name) else { return Ok(()) };
    let mut tar = tar::Builder::new(Vec::new());
    let mut any = false;
    let broken = |e: std::io::Error| Error::internal(e.to_string());
    for (references, objects, root) in [(&service.secrets, &model.secrets, "/run/secrets/"), (&service.configs, &model.configs, "/")] {
        for reference in references {
            let Some(object) = objects.get(&reference.source) else { continue };
            let data = text_of(app, &reference.source, object)?;
            if data.is_empty() {
                continue;
            }
            let target = if reference.target.is_empty() { format!("{root}{}", reference.source) } else { reference.target.clone() };
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            let mode = reference.mode.as_deref().and_then(|m| u32::from_str_radix(m, 8).ok());
            header.set_mode(mode.unwrap_or(0o444));
            header.set_uid(reference.uid.parse().unwrap_or_default());
            header.set_gid(reference.gid.parse().unwrap_or_default());
            tar.append_data(&mut header, target.trim_start_matches('/'), data.as_bytes()).map_err(broken)?;
            any = true;
        }
    }
    if !any {
        return Ok(());
    }
    let bytes = bytes::Bytes::from(tar.into_inner().map_err(broken)?);
    let body = futures_util::stream::once(async move { Ok(bytes) }).boxed();
    let container = Container::load(&app.engine, id).await?;
    container.upload("/", body, false, true).await
}
