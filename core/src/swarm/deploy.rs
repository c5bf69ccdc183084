//! From what is to what a project wants: the steps, and their work.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    NAMESPACE, Swarm,
    convert::{self, IMAGE, Naming, Wanted},
    normal,
    observe::World,
    versions::{self, File},
};
use crate::{
    compose::{Project, model::ConfigObject},
    engine::{Req, text},
    error::{Error, ErrorKind, Result},
    plan::{Change, Step},
    progress::Resource,
};

/// All that a project wants of a swarm.
pub(crate) struct Desired {
    networks: BTreeMap<String, Option<Value>>,
    files: Vec<File>,
    pub(crate) services: Vec<Wanted>,
}

/// The work of one step.
#[derive(Debug)]
pub(crate) enum Work {
    RemoveService(String),
    CreateNetwork(Value),
    /// The kind, and the request's body.
    CreateFile(&'static str, zeroize::Zeroizing<String>),
    CreateService(Wanted),
    /// With the service as it is.
    UpdateService(Wanted, Value),
    /// The kind, and the ID.
    RemoveFile(&'static str, String),
}

/// Steps with their work, at the same positions.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    pub(crate) steps: Vec<Step>,
    pub(crate) work: Vec<Work>,
    /// Services of the stack that the project does not know.
    pub(crate) orphans: Vec<String>,
}

impl Planned {
    fn add(&mut self, action: &str, resource: Resource, cause: impl Into<String>, changes: Vec<Change>, after: Vec<usize>, work: Work) -> usize {
        self.steps.push(Step { action: action.to_owned(), resource, cause: cause.into(), changes, after });
        self.work.push(work);
        self.steps.len() - 1
    }
}

/// Turns a project into what a swarm keeps. Everything that can be wrong with it is wrong here, before anything is changed.
pub(crate) fn desired(project: &Project, stack: &str, salt: &str) -> Result<Desired> {
    let model = project.model();
    let naming = Naming { stack, project: &model.name };
    // Networks that no service joins are left out; secrets and configs are made, used or not: `docker stack deploy` does so.
    let unused = project.unused();
    let with = |used: &BTreeMap<String, ConfigObject>, unused: &BTreeMap<String, ConfigObject>| -> BTreeMap<String, ConfigObject> {
        used.iter().chain(unused.iter().filter(|(_, o)| !o.external)).map(|(k, o)| (k.clone(), o.clone())).collect()
    };
    let secrets = versions::files(project, naming, "secrets", &with(&model.secrets, &unused.secrets), salt)?;
    let configs = versions::files(project, naming, "configs", &with(&model.configs, &unused.configs), salt)?;
    let names = |files: &BTreeMap<String, File>| files.iter().map(|(k, f)| (k.clone(), f.name.clone())).collect::<BTreeMap<_, _>>();
    let (secret_names, config_names) = (names(&secrets), names(&configs));
    let mut services = Vec::new();
    for service in model.services.values() {
        services.push(convert::service(model, naming, service, &secret_names, &config_names)?);
    }
    let used: BTreeSet<&String> = model.services.values().flat_map(|s| s.networks.keys()).collect();
    let networks = model
        .networks
        .iter()
        .filter(|(key, _)| used.contains(key))
        .map(|(key, n)| {
            let name = naming.of(key, &n.name);
            let body = (!n.external).then(|| convert::network(naming, &name, n));
            (name, body)
        })
        .collect();
    Ok(Desired { networks, files: secrets.into_values().chain(configs.into_values()).collect(), services })
}

/// The steps from `world` to `desired`.
pub(crate) fn plan(desired: Desired, world: &World, stack: &str, prune: bool) -> Result<Planned> {
    let mut out = Planned::default();
    let wanted: BTreeSet<String> = desired.services.iter().map(|s| s.name.clone()).collect();
    let mut first = Vec::new();
    for (name, raw) in world.services.iter().filter(|(name, _)| !wanted.contains(*name)) {
        out.orphans.push(name.clone());
        if prune {
            first.push(out.add(
                "remove",
                Resource::new("service", name),
                "the project does not have it",
                Vec::new(),
                Vec::new(),
                Work::RemoveService(text(raw, "ID")),
            ));
        }
    }
    let mut made: BTreeMap<(&'static str, String), usize> = BTreeMap::new();
    for (name, body) in desired.networks {
        match (world.networks.get(&name), body) {
            (Some(live), body) => check_network(&name, live, body.as_ref(), stack)?,
            (None, None) if matches!(name.as_str(), "host" | "bridge" | "none") => {}
            (None, None) => return Err(Error::not_found(format!("there is no network {name}")).hint("make it, or take `external` out of the file")),
            (None, Some(body)) => {
                let step = out.add("create", Resource::new("network", &name), "it is missing", Vec::new(), first.clone(), Work::CreateNetwork(body));
                made.insert(("networks", name), step);
            }
        }
    }
    let mut keep: BTreeSet<(&str, String)> = BTreeSet::new();
    for file in desired.files {
        let kind = file.kind.trim_end_matches('s');
        keep.insert((file.kind, file.name.clone()));
        match (world.files(file.kind).get(&file.name), file.body) {
            (Some(live), _) => check_file(&file.name, kind, live, file.fixed.as_deref())?,
            (None, None) => return Err(Error::not_found(format!("there is no {kind} {}", file.name)).hint("make it, or take `external` out of the file")),
            (None, Some(body)) => {
                let step = out.add("create", Resource::new(kind, &file.name), "it is missing", Vec::new(), first.clone(), Work::CreateFile(file.kind, body));
                made.insert((file.kind, file.name), step);
            }
        }
    }
    let mut of_service: BTreeMap<String, usize> = BTreeMap::new();
    for wanted in in_order(desired.services)? {
        let mut after: Vec<usize> = needs(&wanted.spec).iter().filter_map(|n| made.get(n).copied()).collect();
        after.extend(wanted.depends_on.keys().filter_map(|d| of_service.get(d).copied()));
        after.extend(&first);
        let (key, name) = (wanted.key.clone(), wanted.name.clone());
        let resource = Resource::new("service", &name);
        let step = match world.services.get(&name) {
            None => Some(out.add("create", resource, "it is missing", Vec::new(), after, Work::CreateService(wanted))),
            Some(live) => {
                let wanted = with_live_image(wanted, live);
                let changes = normal::changes(
                    &normal::spec(live.get("Spec").unwrap_or(&Value::Null), &world.network_names),
                    &normal::spec(&wanted.spec, &BTreeMap::new()),
                );
                (!changes.is_empty()).then(|| out.add("update", resource, "", changes, after, Work::UpdateService(wanted, live.clone())))
            }
        };
        of_service.extend(step.map(|s| (key, s)));
    }
    let updated: Vec<String> = out.work.iter().filter_map(|w| if let Work::UpdateService(w, _) = w { Some(w.name.clone()) } else { None }).collect();
    let services: Vec<usize> = of_service.into_values().collect();
    for (kind, id, name) in unused(world, &keep, stack, &updated, prune) {
        let singular = kind.trim_end_matches('s');
        out.add("remove", Resource::new(singular, &name), "no service uses this version any more", Vec::new(), services.clone(), Work::RemoveFile(kind, id));
    }
    Ok(out)
}

fn check_network(name: &str, live: &Value, body: Option<&Value>, stack: &str) -> Result<()> {
    let scope = text(live, "Scope");
    if scope != "swarm" && !matches!(name, "host" | "bridge" | "none") {
        return Err(Error::new(ErrorKind::Conflict, format!("the network {name} is of one engine only"))
            .hint("choose another name; services of a swarm need a network with the driver overlay")
            .with("network", name));
    }
    let owner = live.pointer("/Labels").and_then(|l| l.get(NAMESPACE)).and_then(Value::as_str);
    if body.is_some() && owner != Some(stack) {
        return Err(Error::new(ErrorKind::Conflict, format!("the network {name} is there, and is not of the stack {stack}"))
            .hint("choose another name, or mark it as external in the file")
            .with("network", name));
    }
    Ok(())
}

fn check_file(name: &str, kind: &str, live: &Value, content: Option<&str>) -> Result<()> {
    let Some(content) = content else { return Ok(()) };
    if live.pointer("/Spec/Data").and_then(Value::as_str) == Some(content) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, format!("the {kind} {name} is there with another content, which cannot be changed"))
        .hint("take `name` out of the file: names are then made from the content; or give it a new name")
        .with("name", name))
}

/// What a spec refers to, by kind and name.
fn needs(spec: &Value) -> Vec<(&'static str, String)> {
    let list = |at: &str, name: &'static str, kind: &'static str| {
        let items = spec.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default();
        items.into_iter().map(move |v| (kind, text(&v, name))).collect::<Vec<_>>()
    };
    let mut all = list("/TaskTemplate/Networks", "Target", "networks");
    all.extend(list("/TaskTemplate/ContainerSpec/Secrets", "SecretName", "secrets"));
    all.extend(list("/TaskTemplate/ContainerSpec/Configs", "ConfigName", "configs"));
    all
}

/// Services in an order in which each comes after those it needs.
fn in_order(services: Vec<Wanted>) -> Result<Vec<Wanted>> {
    let mut left = services;
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut out = Vec::new();
    while !left.is_empty() {
        let all: BTreeSet<String> = left.iter().map(|s| s.key.clone()).collect();
        let (ready, waiting): (Vec<Wanted>, Vec<Wanted>) = left.into_iter().partition(|s| !s.depends_on.keys().any(|d| all.contains(d) && !done.contains(d)));
        if ready.is_empty() {
            return Err(Error::internal("services wait for each other"));
        }
        done.extend(ready.iter().map(|s| s.key.clone()));
        out.extend(ready);
        left = waiting;
    }
    Ok(out)
}

/// Keeps the image that was found for the same name in the file, so that nothing is started anew for it.
fn with_live_image(mut wanted: Wanted, live: &Value) -> Wanted {
    let file = wanted.spec.pointer("/Labels").and_then(|l| l.get(IMAGE)).cloned();
    let then = live.pointer("/Spec/Labels").and_then(|l| l.get(IMAGE)).cloned();
    if let (true, Some(image)) = (file == then, live.pointer("/Spec/TaskTemplate/ContainerSpec/Image"))
        && let Some(at) = wanted.spec.pointer_mut("/TaskTemplate/ContainerSpec/Image")
    {
        *at = image.clone();
    }
    if let (Some(force), Some(at)) = (live.pointer("/Spec/TaskTemplate/ForceUpdate"), wanted.spec.pointer_mut("/TaskTemplate/ForceUpdate")) {
        *at = force.clone();
    }
    wanted
}

/// Versions of secrets and configs that nothing uses, nor would after a rollback.
fn unused(world: &World, keep: &BTreeSet<(&str, String)>, stack: &str, updated: &[String], prune: bool) -> Vec<(&'static str, String, String)> {
    let mut used: BTreeSet<(&'static str, String)> = BTreeSet::new();
    for (name, service) in &world.services {
        used.extend(service.get("Spec").map(needs).unwrap_or_default());
        // The spec before the last one goes when this one becomes it.
        if !updated.contains(name) {
            used.extend(service.get("PreviousSpec").map(needs).unwrap_or_default());
        }
    }
    let mut out = Vec::new();
    for kind in ["secrets", "configs"] {
        for (name, raw) in world.files(kind) {
            let own = raw.pointer("/Spec/Labels").and_then(|l| l.get(NAMESPACE)).and_then(Value::as_str) == Some(stack);
            let old = versions::is_version(raw) || prune;
            if own && old && !keep.contains(&(kind, name.clone())) && !used.contains(&(kind, name.clone())) {
                out.push((kind, text(raw, "ID"), name.clone()));
            }
        }
    }
    out
}

/// Does the work of one step.
pub(crate) async fn perform(swarm: &Swarm, work: &Work) -> Result<()> {
    match work {
        Work::RemoveService(id) => gone_is_fine(swarm.done(|| Req::delete(&["services", id])).await),
        Work::CreateNetwork(body) => swarm.done(|| Req::post(&["networks", "create"]).json(body)).await,
        Work::CreateFile(kind, body) => swarm.done(|| Req::post(&[kind, "create"]).bytes("application/json", body.as_bytes().to_vec().into())).await,
        Work::CreateService(wanted) => {
            let spec = with_ids(swarm, &wanted.spec).await?;
            swarm.done(|| Req::post(&["services", "create"]).json(&spec)).await
        }
        Work::UpdateService(wanted, live) => {
            let spec = with_ids(swarm, &wanted.spec).await?;
            let id = text(live, "ID");
            swarm
                .change("services", &id, &[], |now| {
                    *now = spec.clone();
                    Ok(())
                })
                .await
        }
        // Something may have begun to use it since.
        Work::RemoveFile(kind, id) => match swarm.done(|| Req::delete(&[kind, id])).await {
            Err(e) if e.message().contains("in use") => Ok(()),
            other => gone_is_fine(other),
        },
    }
}

pub(crate) fn gone_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Services refer to secrets and configs by ID, which are known when these are there.
async fn with_ids(swarm: &Swarm, spec: &Value) -> Result<Value> {
    let mut out = spec.clone();
    for (kind, list, name, id) in [("secrets", "Secrets", "SecretName", "SecretID"), ("configs", "Configs", "ConfigName", "ConfigID")] {
        let at = format!("/TaskTemplate/ContainerSpec/{list}");
        for file in out.pointer_mut(&at).and_then(Value::as_array_mut).into_iter().flatten() {
            let wanted = text(file, name);
            // A filter by name takes beginnings of names too.
            let filters = BTreeMap::from([("name".to_owned(), vec![wanted.clone()])]);
            let rows: Vec<Value> = swarm.fetch(|| Req::get(&[kind]).filters(&filters)).await?;
            let found = rows.iter().find(|r| super::observe::spec_name(r) == wanted).map(|r| text(r, "ID"));
            let found = found.ok_or_else(|| Error::not_found(format!("the {} {wanted} is gone", kind.trim_end_matches('s'))).hint("call up again"))?;
            if let Some(map) = file.as_object_mut() {
                map.insert(id.to_owned(), json!(found));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `docker stack deploy` has it: of what no service uses, it makes secrets and configs, no networks, and it does
    /// not ask for external ones.
    #[tokio::test]
    async fn secrets_and_configs_that_nothing_uses_are_made_and_networks_are_not() {
        let text = "name: p\nservices: {web: {image: i, secrets: [used], networks: [front]}}\nnetworks: {front: , back: }\n\
            secrets: {used: {environment: S}, idle: {environment: S}, other: {external: true}}\n\
            configs: {idle: {content: c}, other: {external: true}}\n";
        let project = Project::parse(text).clear_env(true).env([("S", "s")]).await.unwrap();
        let found = desired(&project, "p", "salt").unwrap();
        let mut files: Vec<(&str, bool)> = found.files.iter().map(|f| (f.kind, f.name.contains("idle") || f.name.contains("used"))).collect();
        files.sort_unstable();
        assert_eq!(files, [("configs", true), ("secrets", true), ("secrets", true)]);
        assert_eq!(found.networks.keys().collect::<Vec<_>>(), ["p_front"]);
    }
}
