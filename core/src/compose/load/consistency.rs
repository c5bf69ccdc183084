//! What is chosen must hold together: references, things that exclude each other, and circles.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use super::{Problems, node::Node, trail::Trail};
use crate::{
    compose::model::{Model, Service},
    error::{escape, nearest},
};

/// So many problems get a suggestion.
const SUGGESTED: usize = 50;

struct Checker<'a> {
    model: &'a Model,
    whole: &'a Node,
    problems: &'a mut Problems,
    /// For lists that were asked for: where the items stand in them that the model has.
    places: RefCell<HashMap<*const Node, Vec<usize>>>,
}

/// The number of containers stands in two places, where there is `deploy`.
pub(super) fn settle(model: &mut Model) {
    for service in model.services.values_mut() {
        if let (Some(scale), Some(deploy)) = (service.scale, &mut service.deploy) {
            deploy.replicas = Some(scale);
        }
    }
}

/// Tells what does not hold together.
pub(super) fn check(model: &Model, whole: &Node, problems: &mut Problems) {
    let mut checker = Checker { model, whole, problems, places: RefCell::default() };
    for (name, service) in &model.services {
        if checker.problems.errors.is_full() {
            return;
        }
        checker.references(name, service);
        checker.alone(name, service);
        checker.amounts(name, service);
        checker.targets(name, service);
    }
    checker.container_names();
    for (name, secret) in &model.secrets {
        if !secret.external && secret.file.is_empty() && secret.environment.is_empty() && !checker.is_broken(&["secrets", name]) {
            checker.wrong(&["secrets", name], "one of `file`, `environment` or `external` is missing", None);
        }
    }
    if let Some(cycle) = cycle(model) {
        let first = cycle.first().cloned().unwrap_or_default();
        let names: Vec<String> = cycle.iter().map(|n| escape(n).into_owned()).collect();
        checker.wrong(&["services", &first, "depends_on"], &format!("the services depend on each other in a circle: {}", super::limits::row(&names)), None);
    }
}

impl<'a> Checker<'a> {
    /// The node at a path of the model, or the last one on the way to it; and the path as the file has it, whose lists
    /// still hold what was found wrong.
    fn find(&self, path: &[&str]) -> (&'a Node, String) {
        let (mut node, mut own) = (Some(self.whole), String::new());
        let mut last = self.whole;
        for name in path {
            let index = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')?.parse::<usize>().ok());
            let item = index.and_then(|at| self.item(node?, at));
            node = if index.is_some() { item.map(|(_, inner)| inner) } else { node.and_then(|n| n.get(name)) };
            last = node.unwrap_or(last);
            own = match (index, item) {
                (Some(_), Some((at, _))) => format!("{own}[{at}]"),
                (Some(_), None) => format!("{own}{name}"),
                (None, _) => super::join(&own, &escape(name)),
            };
        }
        (last, own)
    }

    /// An item of a list by its place in the model, with its place in the file. There may be many to ask for.
    fn item<'n>(&self, list: &'n Node, at: usize) -> Option<(usize, &'n Node)> {
        let mut places = self.places.borrow_mut();
        let all = places.entry(std::ptr::from_ref(list)).or_insert_with(|| list.kept().map(|(own, _)| own).collect());
        let own = all.get(at).copied()?;
        Some((own, list.items().get(own)?))
    }

    fn is_broken(&self, path: &[&str]) -> bool {
        let mut node = self.whole;
        for name in path {
            match node.get(name) {
                Some(inner) if inner.is_broken() => return true,
                Some(inner) => node = inner,
                None => return false,
            }
        }
        node.each().any(|(_, v)| v.is_broken())
    }

    fn wrong(&mut self, path: &[&str], message: &str, suggestion: Option<String>) {
        let (node, _) = self.find(path);
        self.wrong_at(node, path, message, suggestion);
    }

    /// Something wrong with a node, told with a path.
    fn wrong_at(&mut self, node: &Node, path: &[&str], message: &str, suggestion: Option<String>) {
        let (_, own) = self.find(path);
        let mut d = node.problem(&Trail::ROOT, message);
        d.path = own;
        d.suggestion = suggestion;
        self.problems.errors.push(d);
    }

    fn missing<'k>(&mut self, path: &[&str], what: &str, name: &str, known: impl Iterator<Item = &'k String>) {
        if self.problems.errors.is_full() {
            return;
        }
        let (node, _) = self.find(path);
        let (shown, near) = match node.hidden() {
            Some(filled) => (format!("of the name that {} gives", filled.names), None),
            None => {
                // Looking for a name among many takes long: the first ones get a suggestion.
                let looks = self.problems.errors.len() < SUGGESTED;
                (format!("`{}`", escape(name)), nearest(name, known.filter(|_| looks).map(String::as_str)).map(str::to_owned))
            }
        };
        let hint = if what == "volume" && is_path(node, name) { "; a path begins with `./` or `/`" } else { "" };
        // A name that a variable gives stands in no path either.
        let is_key = path.last().is_some_and(|last| !last.starts_with('['));
        let shown_path = path.len() - usize::from(is_key && node.hidden().is_some());
        let message = if name.is_empty() { format!("the name of the {what} is missing") } else { format!("there is no {what} {shown}{hint}") };
        self.wrong_at(node, path.get(..shown_path).unwrap_or(path), &message, near.filter(|_| !name.is_empty()));
        if let Some(last) = self.problems.errors.last_mut() {
            last.expected = Some(format!("the name of a {what}"));
        }
    }

    fn references(&mut self, name: &str, service: &Service) {
        let model = self.model;
        let at = ["services", name];
        let path = |more: &[&'static str]| -> Vec<String> { at.iter().copied().chain(more.iter().copied()).map(str::to_owned).collect() };
        let with = |base: &[String], last: &str| -> Vec<String> { base.iter().cloned().chain([last.to_owned()]).collect() };
        let mut found: Vec<(Vec<String>, &str, String)> = Vec::new();
        // Of many, more than can be told are not kept.
        let mut add = |path: Vec<String>, what: &'static str, name: &str| {
            if found.len() < super::MOST_PROBLEMS {
                found.push((path, what, name.to_owned()));
            }
        };
        for (other, dependency) in &service.depends_on {
            if model.services.contains_key(other) || (!dependency.required && model.disabled.contains_key(other)) || self.is_broken(&["services", other]) {
                continue;
            }
            add(with(&path(&["depends_on"]), other), if model.disabled.contains_key(other) { "active service" } else { "service" }, other);
        }
        for network in service.networks.keys().filter(|n| !model.networks.contains_key(*n)) {
            add(with(&path(&["networks"]), network), "network", network);
        }
        for (i, volume) in service.volumes.iter().enumerate() {
            if volume.kind == "volume" && !volume.source.is_empty() && !model.volumes.contains_key(&volume.source) {
                add(with(&path(&["volumes"]), &format!("[{i}]")), "volume", &volume.source);
            }
        }
        for (list, references, known, what) in [
            (&["secrets"][..], &service.secrets, &model.secrets, "secret"),
            (&["configs"][..], &service.configs, &model.configs, "config"),
            (&["build", "secrets"][..], service.build.as_ref().map_or(&Vec::new(), |b| &b.secrets), &model.secrets, "secret"),
        ] {
            for (i, reference) in references.iter().enumerate().filter(|(_, r)| !known.contains_key(&r.source)) {
                let at = with(&path(list), &format!("[{i}]"));
                let names: Vec<&str> = at.iter().map(String::as_str).collect();
                // A name that could not be read has been told.
                if !self.find(&names).0.get("source").is_some_and(Node::is_broken) {
                    add(at, what, &reference.source);
                }
            }
        }
        for used in service.models.keys().filter(|m| !model.models.contains_key(*m)) {
            add(with(&path(&["models"]), used), "model", used);
        }
        for (path, what, name) in found {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let last = path.last().copied().unwrap_or_default();
            let (section, known): (_, Box<dyn Iterator<Item = &String>>) = match what {
                "network" => ("networks", Box::new(model.networks.keys())),
                "volume" => ("volumes", Box::new(model.volumes.keys())),
                "secret" => ("secrets", Box::new(model.secrets.keys())),
                "config" => ("configs", Box::new(model.configs.keys())),
                "model" => ("models", Box::new(model.models.keys())),
                _ => ("services", Box::new(model.services.keys())),
            };
            // What is there and wrong has been told.
            if !self.is_broken(&[section, if last.starts_with('[') { &name } else { last }]) {
                self.missing(&path, what, &name, known);
            }
        }
        for (context, value) in service.build.iter().flat_map(|b| &b.additional_contexts) {
            let Some(other) = value.strip_prefix("service:") else { continue };
            let path = ["services", name, "build", "additional_contexts", context];
            match model.services.get(other) {
                None => self.missing(&path, "service", other, model.services.keys()),
                Some(s) if s.build.is_none() => self.wrong(&path, &format!("the service `{}` is not built, so it is no context", escape(other)), None),
                Some(_) => {}
            }
        }
    }

    /// Things of one service that exclude or need each other.
    fn alone(&mut self, name: &str, service: &Service) {
        let at = ["services", name];
        if service.image.is_empty() && service.build.is_none() && service.provider.is_none() && !self.is_broken(&at) {
            self.no_image(name);
        }
        if let Some(build) = &service.build {
            if !build.dockerfile.is_empty() && !build.dockerfile_inline.is_empty() {
                self.wrong(&["services", name, "build", "dockerfile_inline"], "`dockerfile` and `dockerfile_inline` exclude each other", None);
            }
            if !build.platforms.is_empty() && !service.platform.is_empty() && !build.platforms.contains(&service.platform) {
                self.wrong(&["services", name, "build", "platforms"], "the service's own `platform` is not among them", None);
            }
        }
        if !service.network_mode.is_empty() && !service.networks.is_empty() {
            self.wrong(&["services", name, "network_mode"], "`network_mode` and `networks` exclude each other", None);
        }
        let test = service.healthcheck.as_ref().and_then(|h| h.test.first());
        if test.is_some_and(|t| !matches!(t.as_str(), "CMD" | "CMD-SHELL" | "NONE")) {
            self.wrong(&["services", name, "healthcheck", "test"], "expected a list that begins with CMD, CMD-SHELL or NONE", None);
        }
        for (i, watch) in service.develop.iter().flat_map(|d| &d.watch).enumerate() {
            if watch.target.is_empty() && !matches!(watch.action.as_str(), "rebuild" | "restart") {
                self.wrong(&["services", name, "develop", "watch", &format!("[{i}]")], "`target` is missing: only rebuild and restart need none", None);
            }
        }
    }

    fn no_image(&mut self, name: &str) {
        let services = self.whole.get("services");
        if services.and_then(|s| s.get(name)?.str("image")).is_some() {
            self.wrong(&["services", name, "image"], "`image` is empty, and there is no `build`", None);
            return;
        }
        self.wrong(&["services", name], "the service has neither `image` nor `build`", None);
        // Its first key is not to blame: the service's own name is the place.
        let key = services.and_then(|s| s.entries()?.find(name)).map(|(key, _)| &key.place);
        if let (Some(place), Some(last)) = (key, self.problems.errors.last_mut()) {
            *last = place.diagnostic(&last.path, std::mem::take(&mut last.message));
        }
    }

    fn amounts(&mut self, name: &str, service: &Service) {
        let replicas = service.deploy.as_ref().and_then(|d| d.replicas);
        if service.scale.is_some() && replicas.is_some() && service.scale != replicas {
            self.wrong(&["services", name, "scale"], "`scale` and `deploy.replicas` say different things", None);
        }
        if !service.container_name.is_empty() && service.replicas() > 1 {
            self.wrong(&["services", name, "container_name"], "a service with `container_name` cannot have more than one container", None);
        }
        let Some(deploy) = &service.deploy else { return };
        let (limits, reservations) = (deploy.resources.limits.as_ref(), deploy.resources.reservations.as_ref());
        let differs = [
            ("mem_limit", "limits.memory", service.mem_limit.0 != 0 && limits.is_some_and(|l| l.memory != service.mem_limit)),
            ("cpus", "limits.cpus", service.cpus != 0.0 && limits.is_some_and(|l| l.cpus != service.cpus)),
            ("pids_limit", "limits.pids", service.pids_limit != 0 && limits.is_some_and(|l| l.pids != service.pids_limit)),
            ("mem_reservation", "reservations.memory", service.mem_reservation.0 != 0 && reservations.is_some_and(|r| r.memory != service.mem_reservation)),
        ];
        for (own, other, _) in differs.iter().filter(|(_, _, wrong)| *wrong) {
            let (kind, amount) = other.split_once('.').unwrap_or_default();
            // One that could not be read differs from anything.
            let unread = [&["services", name, own][..], &["services", name, "deploy", "resources", kind, amount]].iter().any(|p| self.is_broken(p));
            if unread {
                continue;
            }
            self.wrong(&["services", name, own], &format!("`{own}` and `deploy.resources.{other}` say different things"), None);
        }
    }

    /// One place in a container has one thing mounted.
    fn targets(&mut self, name: &str, service: &Service) {
        let mut known: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
        let tmpfs = service.tmpfs.iter().enumerate().map(|(i, t)| ("tmpfs", i, t.split(':').next().unwrap_or(t)));
        let volumes = service.volumes.iter().enumerate().map(|(i, v)| ("volumes", i, v.target.as_str()));
        for (list, i, target) in tmpfs.chain(volumes) {
            if let Some((first, at)) = known.get(target) {
                let (_, first) = self.find(&["services", name, first, &format!("[{at}]")]);
                let first = first.rsplit('.').next().unwrap_or_default();
                let at = format!("[{i}]");
                let (node, _) = self.find(&["services", name, list, &at]);
                let shown = match node.get("target").unwrap_or(node).hidden() {
                    Some(filled) => format!("the value of {}", filled.names),
                    None => format!("`{}`", escape(target)),
                };
                let message = format!("{shown} is the target of {first} already");
                self.wrong(&["services", name, list, &at], &message, None);
            } else {
                known.insert(target, (list, i));
            }
        }
    }

    fn container_names(&mut self) {
        let mut known: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, service) in self.model.services.iter().filter(|(_, s)| !s.container_name.is_empty()) {
            match known.get(service.container_name.as_str()) {
                Some(first) => {
                    let message = format!("the service `{}` has the same `container_name`", escape(first));
                    self.wrong(&["services", name, "container_name"], &message, None);
                }
                None => drop(known.insert(&service.container_name, name)),
            }
        }
    }
}

/// Whether what is taken for a volume's name is most likely a path: it has folders, or is a file that is mounted under its name.
fn is_path(mount: &Node, name: &str) -> bool {
    let hidden = mount.hidden().or_else(|| mount.get("source")?.hidden()).or_else(|| mount.get("target")?.hidden()).is_some();
    let is_file = || name.contains('.') && mount.str("target").is_some_and(|t| t.rsplit('/').next() == Some(name));
    !hidden && (name.contains(['/', '\\']) || is_file())
}

/// A circle of dependencies, if there is one. Each service is walked once.
fn cycle(model: &Model) -> Option<Vec<String>> {
    let mut done: BTreeMap<&str, bool> = BTreeMap::new();
    for start in model.services.keys() {
        let mut path: Vec<(&str, Vec<&str>)> = Vec::new();
        let open = |name: &str| -> Vec<&str> { model.services.get(name).map(|s| s.depends_on.keys().map(String::as_str).collect()).unwrap_or_default() };
        if done.contains_key(start.as_str()) {
            continue;
        }
        done.insert(start, false);
        path.push((start, open(start)));
        while let Some((name, rest)) = path.last_mut() {
            let name = *name;
            match rest.pop() {
                None => {
                    done.insert(name, true);
                    path.pop();
                }
                Some(next) => match done.get(next) {
                    Some(true) => {}
                    Some(false) => {
                        let from = path.iter().position(|(n, _)| *n == next).unwrap_or_default();
                        let names = path.iter().skip(from).map(|(n, _)| (*n).to_owned());
                        return Some(names.chain([next.to_owned()]).collect());
                    }
                    None => {
                        done.insert(next, false);
                        path.push((next, open(next)));
                    }
                },
            }
        }
    }
    None
}
