//! Profiles choose services; what is left must hold together.

use std::collections::BTreeMap;

use super::{
    Problems, join,
    yaml::{Node, Place},
};
use crate::{compose::model::Model, error::nearest};

pub(super) fn select(model: &mut Model, profiles: &[String], whole: &Node, problems: &mut Problems) {
    let active = |wanted: &[String]| wanted.is_empty() || wanted.iter().any(|p| profiles.iter().any(|a| a == p || a == "*"));
    let (enabled, disabled) = std::mem::take(&mut model.services).into_iter().partition(|(_, s)| active(&s.profiles));
    model.services = enabled;
    model.disabled = disabled;
    check(model, whole, problems);
}

fn place<'a>(whole: &'a Node, path: &[&str]) -> &'a Place {
    let mut node = whole;
    for name in path {
        match node.get(name) {
            Some(inner) => node = inner,
            None => break,
        }
    }
    &node.place
}

/// References to what is not there, services without an image, and cycles.
fn check(model: &mut Model, whole: &Node, problems: &mut Problems) {
    let mut missing = |what: &str, name: &str, path: &[&str], known: Vec<&str>| {
        let key = path.iter().fold(String::new(), |a, b| join(&a, b));
        let mut d = place(whole, path).diagnostic(&key, format!("there is no {what} `{}`", crate::error::escape(name)));
        d.suggestion = nearest(name, known).map(str::to_owned);
        problems.errors.push(d);
    };
    let mut gone: Vec<(String, String)> = Vec::new();
    for (name, service) in &model.services {
        let at = |key: &'static str| ["services", name.as_str(), key];
        for (other, dependency) in &service.depends_on {
            if model.services.contains_key(other) {
                continue;
            }
            if !dependency.required {
                gone.push((name.clone(), other.clone()));
            } else if model.disabled.contains_key(other) {
                missing("active service", other, &at("depends_on"), Vec::new());
            } else {
                missing("service", other, &at("depends_on"), model.services.keys().map(String::as_str).collect());
            }
        }
        for network in service.networks.keys().filter(|n| !model.networks.contains_key(*n)) {
            missing("network", network, &at("networks"), model.networks.keys().map(String::as_str).collect());
        }
        for volume in service.volumes.iter().filter(|v| v.kind == "volume" && !v.source.is_empty() && !model.volumes.contains_key(&v.source)) {
            missing("volume", &volume.source, &at("volumes"), model.volumes.keys().map(String::as_str).collect());
        }
        for secret in service.secrets.iter().filter(|s| !model.secrets.contains_key(&s.source)) {
            missing("secret", &secret.source, &at("secrets"), model.secrets.keys().map(String::as_str).collect());
        }
        for config in service.configs.iter().filter(|c| !model.configs.contains_key(&c.source)) {
            missing("config", &config.source, &at("configs"), model.configs.keys().map(String::as_str).collect());
        }
    }
    for (name, other) in gone {
        if let Some(service) = model.services.get_mut(&name) {
            service.depends_on.remove(&other);
        }
    }
    for (name, service) in &model.services {
        let at = place(whole, &["services", name]);
        let key = join("services", name);
        if service.image.is_empty() && service.build.is_none() && service.provider.is_none() {
            problems.errors.push(at.diagnostic(&key, "the service has neither `image` nor `build`"));
        }
        if !service.network_mode.is_empty() && !service.networks.is_empty() {
            problems.errors.push(at.diagnostic(&key, "`network_mode` and `networks` exclude each other"));
        }
        if !service.container_name.is_empty() && service.replicas() > 1 {
            problems.errors.push(at.diagnostic(&key, "a service with `container_name` cannot have more than one container"));
        }
        if let (Some(scale), Some(replicas)) = (service.scale, service.deploy.as_ref().and_then(|d| d.replicas))
            && scale != replicas
        {
            problems.errors.push(at.diagnostic(&key, "`scale` and `deploy.replicas` say different things"));
        }
    }
    for (section, objects) in [("secrets", &model.secrets), ("configs", &model.configs)] {
        for (name, object) in objects {
            let sources = [&object.file, &object.environment, &object.content, &object.driver].iter().filter(|s| !s.is_empty()).count();
            if sources == 0 && !object.external {
                let message = "it needs one of `file`, `environment`, `content` or `external`";
                problems.errors.push(place(whole, &[section, name]).diagnostic(&join(section, name), message));
            }
        }
    }
    if let Some(cycle) = cycle(model) {
        let first = cycle.first().cloned().unwrap_or_default();
        let message = format!("the services depend on each other in a circle: {}", cycle.join(" -> "));
        problems.errors.push(place(whole, &["services", &first, "depends_on"]).diagnostic(&format!("services.{first}.depends_on"), message));
    }
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
