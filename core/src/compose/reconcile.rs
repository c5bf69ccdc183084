//! What must be done so that an engine has what a project wants. Pure: it looks at data and decides; it does nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    body::image_of,
    hash, labels,
    model::{Model, Service},
    observe::{Found, World},
};
use crate::{
    error::{Error, ErrorKind, Result},
    plan::{Change, Step},
    progress::Resource,
};

/// One step's work, beside the step that shows it.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Build { service: String },
    Pull { service: String },
    CreateNetwork { key: String },
    OneNetwork { name: String },
    CreateVolume { key: String },
    Create { service: String, number: u64, name: String },
    Recreate { service: String, number: u64, name: String, old: Box<Found> },
    Rename { id: String, name: String },
    Remove { id: String },
    Start { service: String, number: u64 },
}

/// When containers that are there are replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recreate {
    /// When they differ from what is wanted.
    #[default]
    Diverged,
    /// Always.
    Force,
    /// Never.
    Never,
}

/// What is wanted of a reconciliation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) services: Vec<String>,
    pub(crate) recreate: Recreate,
    pub(crate) remove_orphans: bool,
    pub(crate) scale: BTreeMap<String, u64>,
    pub(crate) build: bool,
    pub(crate) pull_always: bool,
    pub(crate) start: bool,
}

/// The steps and their work, in the same order.
#[derive(Debug, Default)]
pub(crate) struct Reconciled {
    pub(crate) steps: Vec<Step>,
    pub(crate) work: Vec<Work>,
    /// Containers of services that the project does not know.
    pub(crate) orphans: Vec<String>,
}

impl Reconciled {
    fn push(&mut self, action: &str, resource: Resource, cause: impl Into<String>, after: Vec<usize>, work: Work) -> usize {
        self.steps.push(Step { action: action.to_owned(), resource, cause: cause.into(), changes: Vec::new(), after });
        self.work.push(work);
        self.steps.len() - 1
    }
}

/// The name of a service's container.
pub(crate) fn container_name(project: &str, service: &Service, number: u64) -> String {
    if service.container_name.is_empty() { format!("{project}-{}-{number}", service.name) } else { service.container_name.clone() }
}

/// The services that are named, with all that they need; all of them when none is named.
pub(crate) fn selected(model: &Model, names: &[String]) -> Result<BTreeSet<String>> {
    let mut open: Vec<String> = if names.is_empty() { model.services.keys().cloned().collect() } else { names.to_vec() };
    let mut out = BTreeSet::new();
    while let Some(name) = open.pop() {
        let Some(service) = model.services.get(&name) else {
            let near = crate::error::nearest(&name, model.services.keys().map(String::as_str));
            let near = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            return Err(Error::not_found(format!("no service `{}` in project {}{near}", crate::error::escape(&name), model.name))
                .hint("name a service of the project, with its profile active")
                .with("service", name));
        };
        if out.insert(name) {
            // What is not required may be missing: no profile selects it.
            open.extend(service.depends_on.keys().filter(|d| model.services.contains_key(*d)).cloned());
        }
    }
    Ok(out)
}

/// Services in the order of their dependencies.
pub(crate) fn in_order(model: &Model, names: &BTreeSet<String>) -> Vec<String> {
    let mut done: Vec<String> = Vec::new();
    while done.len() < names.len() {
        let ready =
            |n: &&String| !done.contains(*n) && model.services.get(*n).is_some_and(|s| s.depends_on.keys().all(|d| done.contains(d) || !names.contains(d)));
        let next: Vec<String> = names.iter().filter(ready).cloned().collect();
        if next.is_empty() {
            break;
        }
        done.extend(next);
    }
    done
}

/// The service as its hash sees it: other services by the IDs of their containers.
pub(crate) fn effective(service: &Service, ids: &HashMap<String, String>) -> Service {
    let mut service = service.clone();
    let resolve = |mode: &mut String| {
        if let Some(id) = mode.strip_prefix("service:").and_then(|s| ids.get(s)) {
            *mode = format!("container:{id}");
        }
    };
    resolve(&mut service.network_mode);
    resolve(&mut service.ipc);
    resolve(&mut service.pid);
    for from in &mut service.volumes_from {
        let (name, mode) = from.split_once(':').map_or((from.as_str(), None), |(n, m)| (n, Some(m)));
        if let Some(id) = ids.get(name) {
            *from = mode.map_or_else(|| id.clone(), |m| format!("{id}:{m}"));
        }
    }
    service
}

fn shares_with(service: &Service) -> Vec<String> {
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    let named = modes.iter().filter_map(|m| m.strip_prefix("service:")).map(str::to_owned);
    let from = service.volumes_from.iter().filter(|v| !v.starts_with("container:")).map(|v| v.split(':').next().unwrap_or(v).to_owned());
    named.chain(from).collect()
}

/// Compares what is with what is wanted.
pub(crate) fn reconcile(model: &Model, world: &World, wish: &Wish) -> Result<Reconciled> {
    let names = selected(model, &wish.services)?;
    let mut out = Reconciled::default();
    let mut networks: HashMap<&str, usize> = HashMap::new();
    let mut volumes: HashMap<&str, usize> = HashMap::new();
    let used = |f: &dyn Fn(&Service) -> Vec<String>| -> BTreeSet<String> { names.iter().filter_map(|n| model.services.get(n)).flat_map(|s| f(s)).collect() };
    for key in used(&|s| s.networks.keys().cloned().collect()) {
        let Some((key, network)) = model.networks.get_key_value(&key) else { continue };
        match world.networks.get(&network.name) {
            None if network.external => {
                return Err(Error::not_found(format!("the external network `{}` is not there", network.name))
                    .hint("make it first")
                    .with("network", &*network.name));
            }
            None => {
                let at = out.push("create", Resource::new("network", &network.name), "it is not there", Vec::new(), Work::CreateNetwork { key: key.clone() });
                networks.insert(key, at);
            }
            Some(found) if !network.external && found.iter().any(|labels| labels.get(labels::PROJECT) != Some(&model.name)) => {
                let message = format!("a network `{}` is there and belongs to something else", network.name);
                return Err(Error::new(ErrorKind::Conflict, message).hint("remove it, or declare it `external: true`").with("network", &*network.name));
            }
            Some(found) if !network.external && found.len() > 1 => {
                let (resource, work) = (Resource::new("network", &network.name), Work::OneNetwork { name: network.name.clone() });
                networks.insert(key, out.push("unite", resource, "two writers made it at once", Vec::new(), work));
            }
            Some(_) => {}
        }
    }
    for key in used(&|s| s.volumes.iter().filter(|v| v.kind == "volume" && !v.source.is_empty()).map(|v| v.source.clone()).collect()) {
        let Some((key, volume)) = model.volumes.get_key_value(&key) else { continue };
        if world.volumes.contains_key(&volume.name) {
            continue;
        }
        if volume.external {
            return Err(Error::not_found(format!("the external volume `{}` is not there", volume.name)).hint("make it first").with("volume", &*volume.name));
        }
        let at = out.push("create", Resource::new("volume", &volume.name), "it is not there", Vec::new(), Work::CreateVolume { key: key.clone() });
        volumes.insert(key, at);
    }
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut replaced: BTreeSet<String> = BTreeSet::new();
    let mut started: HashMap<String, Vec<usize>> = HashMap::new();
    for name in in_order(model, &names) {
        let Some(service) = model.services.get(&name).filter(|s| s.provider.is_none()) else { continue };
        let image = image_of(&model.name, service);
        let have = world.images.get(&image).cloned().flatten();
        let mut before: Vec<usize> = Vec::new();
        before.extend(service.networks.keys().filter_map(|n| networks.get(n.as_str())));
        before.extend(service.volumes.iter().filter_map(|v| volumes.get(v.source.as_str())));
        let resource = Resource::new("image", &image).of(&name);
        if service.build.is_some() && (wish.build || have.is_none()) {
            let cause = if have.is_none() { "it is not there" } else { "a build was asked for" };
            before.push(out.push("build", resource, cause, Vec::new(), Work::Build { service: name.clone() }));
        } else if have.is_none() || wish.pull_always {
            let cause = if have.is_none() { "it is not there" } else { "a pull was asked for" };
            before.push(out.push("pull", resource, cause, Vec::new(), Work::Pull { service: name.clone() }));
        }
        let shared = shares_with(service);
        before.extend(shared.iter().filter_map(|s| started.get(s)).flatten());
        let wanted = wish.scale.get(&name).copied().unwrap_or_else(|| service.replicas());
        let hash = hash::service(&effective(service, &ids));
        let mut own: BTreeMap<u64, Vec<&Found>> = BTreeMap::new();
        for found in world.containers.iter().filter(|f| f.service == name && !f.one_off) {
            own.entry(found.number).or_default().push(found);
        }
        let mut kept: Vec<(u64, &Found)> = Vec::new();
        for (number, list) in own {
            let right = container_name(&model.name, service, number);
            // A recreation that was cut short leaves two: the one that bears the right name is the one that is used.
            let chosen = list.iter().find(|f| f.name == right).or_else(|| list.first()).copied();
            let Some(chosen) = chosen else { continue };
            for extra in list.iter().filter(|f| f.id != chosen.id) {
                let resource = Resource::new("container", &extra.name).of(&name);
                out.push("remove", resource, "left by a recreation that was cut short", Vec::new(), Work::Remove { id: extra.id.clone() });
            }
            if chosen.name != right {
                let resource = Resource::new("container", &chosen.name).of(&name);
                let at =
                    out.push("rename", resource, "left by a recreation that was cut short", Vec::new(), Work::Rename { id: chosen.id.clone(), name: right });
                before.push(at);
            }
            kept.push((number, chosen));
        }
        // Too many: those that differ go first, then the highest numbers.
        kept.sort_by_key(|(number, f)| (f.hash != hash, *number));
        for (_, found) in kept.split_off(kept.len().min(usize::try_from(wanted).unwrap_or(usize::MAX))) {
            let resource = Resource::new("container", &found.name).of(&name);
            out.push("remove", resource, format!("{wanted} are wanted"), Vec::new(), Work::Remove { id: found.id.clone() });
        }
        kept.sort_by_key(|(number, _)| *number);
        let waits: Vec<usize> = service.depends_on.keys().filter_map(|d| started.get(d)).flatten().copied().collect();
        let mut starts = Vec::new();
        let mut highest = kept.iter().map(|(n, _)| *n).max().unwrap_or_default();
        let mut containers: Vec<(u64, Option<&Found>)> = kept.into_iter().map(|(n, f)| (n, Some(f))).collect();
        while (containers.len() as u64) < wanted {
            highest += 1;
            containers.push((highest, None));
        }
        for (number, found) in containers {
            let right = container_name(&model.name, service, number);
            let resource = Resource::new("container", &right).of(&name);
            let start_work = Work::Start { service: name.clone(), number };
            let made = match found {
                None => {
                    Some(out.push("create", resource.clone(), "it is not there", before.clone(), Work::Create { service: name.clone(), number, name: right }))
                }
                Some(f) => {
                    let cause = if shared.iter().any(|s| replaced.contains(s)) {
                        Some("a service that it shares with is recreated".to_owned())
                    } else {
                        diverged(f, &hash, have.as_deref(), model, service, wish)
                    };
                    cause.map(|cause| {
                        replaced.insert(name.clone());
                        let changes = if f.hash == hash {
                            Vec::new()
                        } else {
                            vec![Change { path: "config-hash".into(), before: Some(short(&f.hash)), after: Some(short(&hash)) }]
                        };
                        let work = Work::Recreate { service: name.clone(), number, name: right, old: Box::new(f.clone()) };
                        let at = out.push("recreate", resource.clone(), cause, before.clone(), work);
                        if let Some(step) = out.steps.get_mut(at) {
                            step.changes = changes;
                        }
                        at
                    })
                }
            };
            match (made, found) {
                (Some(at), _) if wish.start => {
                    let after = waits.iter().copied().chain([at]).collect();
                    starts.push(out.push("start", resource, "it was made", after, start_work));
                }
                (None, Some(f)) => {
                    ids.entry(name.clone()).or_insert_with(|| f.id.clone());
                    if wish.start && f.state != "running" {
                        let after = waits.iter().copied().chain(before.iter().copied()).collect();
                        starts.push(out.push("start", resource, format!("it is {}", f.state), after, start_work));
                    }
                }
                _ => {}
            }
        }
        started.insert(name, starts);
    }
    for found in world.containers.iter().filter(|f| !model.services.contains_key(&f.service) && !model.disabled.contains_key(&f.service) && !f.one_off) {
        out.orphans.push(found.name.clone());
        if wish.remove_orphans {
            let resource = Resource::new("container", &found.name).of(&found.service);
            out.push("remove", resource, "its service is not in the project", Vec::new(), Work::Remove { id: found.id.clone() });
        }
    }
    Ok(out)
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// Why a container must be replaced, if it must.
fn diverged(found: &Found, hash: &str, image: Option<&str>, model: &Model, service: &Service, wish: &Wish) -> Option<String> {
    match wish.recreate {
        Recreate::Never => return None,
        Recreate::Force => return Some("a recreation was asked for".to_owned()),
        Recreate::Diverged => {}
    }
    if found.hash != hash {
        return Some("its settings changed".to_owned());
    }
    if service.build.is_some() && wish.build {
        // Whether the new image differs is seen after its build.
        return None;
    }
    if let (Some(label), Some(image)) = (found.labels.get(labels::IMAGE), image)
        && label != image
    {
        return Some("its image changed".to_owned());
    }
    if found.state == "running" {
        let missing = service.networks.keys().filter_map(|n| model.networks.get(n)).find(|n| !found.networks.contains(&n.name));
        if let Some(network) = missing {
            return Some(format!("it is not in the network {}", network.name));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::Dependency;

    fn model() -> Model {
        let mut model = Model { name: "p".into(), ..Model::default() };
        for name in ["api", "web"] {
            model.services.insert(name.into(), Box::new(Service { name: name.into(), image: "i".into(), ..Service::default() }));
        }
        let needs = Dependency { condition: "service_started".into(), required: true, restart: false };
        model.services.get_mut("web").unwrap().depends_on.insert("api".into(), needs);
        model
    }

    fn world(model: &Model) -> World {
        let found = |s: &Service| Found {
            id: format!("id-{}", s.name),
            name: format!("p-{}-1", s.name),
            service: s.name.clone(),
            number: 1,
            hash: hash::service(s),
            state: "running".into(),
            ..Found::default()
        };
        World { containers: model.services.values().map(|s| found(s)).collect(), images: [("i".to_owned(), Some("x".to_owned()))].into(), ..World::default() }
    }

    fn actions(model: &Model, world: &World, wish: &Wish) -> Vec<String> {
        reconcile(model, world, wish).unwrap().steps.iter().map(|s| format!("{} {}", s.action, s.resource.name)).collect()
    }

    fn up() -> Wish {
        Wish { start: true, ..Wish::default() }
    }

    #[test]
    fn a_new_project_is_made_in_order() {
        let m = model();
        let w = World { containers: Vec::new(), ..world(&m) };
        assert_eq!(actions(&m, &w, &up()), ["create p-api-1", "start p-api-1", "create p-web-1", "start p-web-1"]);
        assert_eq!(reconcile(&m, &w, &up()).unwrap().steps[3].after, [1, 2]);
    }

    #[test]
    fn nothing_is_done_twice() {
        let m = model();
        assert!(actions(&m, &world(&m), &up()).is_empty());
    }

    #[test]
    fn a_change_recreates_its_service_only() {
        let mut m = model();
        let w = world(&m);
        m.services.get_mut("web").unwrap().hostname = "x".into();
        assert_eq!(actions(&m, &w, &up()), ["recreate p-web-1", "start p-web-1"]);
    }

    #[test]
    fn a_recreation_that_was_cut_short_is_mended() {
        let m = model();
        let mut w = world(&m);
        w.containers[0].name = "abc_p-api-1".into();
        assert_eq!(actions(&m, &w, &up()), ["rename abc_p-api-1"]);
        let twin = Found { id: "new".into(), name: "p-api-1".into(), ..w.containers[0].clone() };
        w.containers.push(twin);
        assert_eq!(actions(&m, &w, &up()), ["remove abc_p-api-1"]);
    }

    #[test]
    fn a_network_that_is_there_twice_is_united_first() {
        let mut m = model();
        m.networks.insert("default".into(), crate::compose::model::NetworkConfig { name: "p_default".into(), ..Default::default() });
        m.services.get_mut("web").unwrap().networks.insert("default".into(), None);
        let own = BTreeMap::from([(labels::PROJECT.to_owned(), "p".to_owned())]);
        let w = World { containers: Vec::new(), networks: [("p_default".to_owned(), vec![own.clone(), own])].into(), ..world(&m) };
        let found = reconcile(&m, &w, &up()).unwrap();
        assert_eq!(found.steps[0].action, "unite");
        assert_eq!(found.steps.iter().find(|s| s.resource.name == "p-web-1").unwrap().after, [0]);
        let foreign = World { networks: [("p_default".to_owned(), vec![BTreeMap::new()])].into(), ..world(&m) };
        assert_eq!(reconcile(&m, &foreign, &up()).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn scale_adds_and_takes_away() {
        let m = model();
        let w = world(&m);
        let to = |n| Wish { scale: [("web".to_owned(), n)].into(), ..up() };
        assert_eq!(actions(&m, &w, &to(2)), ["create p-web-2", "start p-web-2"]);
        assert_eq!(actions(&m, &w, &to(0)), ["remove p-web-1"]);
    }

    #[test]
    fn an_unknown_service_is_named_with_the_nearest() {
        let e = selected(&model(), &["wbe".into()]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert!(e.to_string().contains("did you mean `web`?"), "{e}");
    }
}
