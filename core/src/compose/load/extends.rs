//! `extends`: a service laid over another one, of the same file or of another.

use std::path::{Path, PathBuf};

use super::{
    Loader, Problems, Scope,
    limits::row,
    merge,
    node::{Node, Yaml},
    paths,
    trail::Trail,
};
use crate::error::{escape, nearest};

/// So many services may stand behind each other.
const LONGEST: usize = 100;

/// Where the services that are resolved stand.
struct Here<'a> {
    file: &'a Path,
    folder: &'a Path,
    scope: &'a Scope<'a>,
}

/// Resolves `extends` in all services of a file.
pub(super) fn resolve(file: &mut Node, name: &Path, loader: &Loader<'_>, scope: &Scope<'_>, problems: &mut Problems) {
    let Some(services) = file.get_mut("services") else { return };
    let here = Here { file: name, folder: scope.folder, scope };
    let waiting: Vec<String> = services.each().filter(|(_, s)| s.get("extends").is_some()).map(|(k, _)| k.name.to_string()).collect();
    for name in waiting {
        if let Some(done) = service(services, &name, &here, loader, problems, &mut Vec::new()) {
            services.set(&name, done);
        }
    }
}

fn service(services: &mut Node, name: &str, here: &Here<'_>, loader: &Loader<'_>, problems: &mut Problems, seen: &mut Vec<(PathBuf, String)>) -> Option<Node> {
    let own = services.get(name)?.clone();
    let Some(extends) = own.get("extends").cloned() else { return Some(own) };
    let root = Trail::ROOT;
    let (section, key);
    section = root.key("services");
    key = section.key(name);
    let trail = key.key("extends");
    let without = |mut own: Node| {
        own.remove("extends");
        Some(own)
    };
    let this = (here.file.to_owned(), name.to_owned());
    if seen.contains(&this) || seen.len() > LONGEST {
        let names: Vec<String> = seen.iter().chain([&this]).map(|(_, n)| escape(n).into_owned()).collect();
        problems.errors.push(extends.problem(&trail, format!("the service extends itself: {}", row(&names))));
        return without(own);
    }
    seen.push(this);
    let (target, file) = match &extends.value {
        Yaml::Text(t) => (t.clone(), None),
        Yaml::Map(_) => match (extends.str("service"), extends.get("file")) {
            (Some(service), None) => (service.to_owned(), None),
            (Some(service), Some(file)) if file.is_null() => (service.to_owned(), None),
            (Some(service), Some(file)) if file.as_str().is_some() => (service.to_owned(), Some(file)),
            (None, _) => {
                problems.errors.push(extends.problem(&trail, "`service`, the name of the service to extend, is missing"));
                return without(own);
            }
            (_, Some(file)) => {
                problems.errors.push(file.unexpected(&trail.key("file"), "a path"));
                return without(own);
            }
        },
        Yaml::Broken => return without(own),
        _ => {
            problems.errors.push(extends.unexpected(&trail, "the name of a service, or file and service"));
            return without(own);
        }
    };
    let at = extends.get("service").unwrap_or(&extends);
    let missing = |services: &Node, place: String, problems: &mut Problems| {
        let mut d = at.problem(&trail, format!("there is no service {} in {place} to extend", at.shown()));
        d.expected = Some("the name of a service".to_owned());
        if at.hidden().is_none() {
            d.suggestion = nearest(&target, services.each().map(|(k, _)| &*k.name)).map(str::to_owned);
        }
        problems.errors.push(d);
    };
    let base = match file {
        None => {
            if services.get(&target).is_none() {
                missing(services, here.file.display().to_string(), problems);
                return without(own);
            }
            service(services, &target, here, loader, problems, seen)?
        }
        Some(file) => {
            let text = file.as_str().unwrap_or_default();
            if paths::is_remote_file(text) {
                problems.errors.push(file.problem(&trail.key("file"), "files of other hosts are not fetched"));
                return without(own);
            }
            if !loader.files.may_name(text) {
                problems.errors.push(file.problem(&trail.key("file"), format!("{} is an absolute path, which the policy does not allow", file.shown())));
                return without(own);
            }
            let full = PathBuf::from(paths::absolute(here.folder, text));
            let folder = full.parent().unwrap_or(here.folder).to_owned();
            let Some(mut other) = loader.base(&full, &folder, file, &trail.key("file"), here.scope, problems) else { return without(own) };
            let Some(others) = other.get("services").filter(|s| s.entries().is_some()) else {
                problems.errors.push(file.problem(&trail.key("file"), format!("{} has no services", full.display())));
                return without(own);
            };
            match others.get(&target) {
                None => {
                    missing(others, full.display().to_string(), problems);
                    return without(own);
                }
                Some(base) if base.get("extends").is_none() => base.clone(),
                Some(_) => {
                    if let Err(message) = problems.left.work(others.each().len()) {
                        problems.errors.push(file.problem(&trail.key("file"), message));
                        return without(own);
                    }
                    let inner = Here { file: &full, folder: &folder, scope: here.scope };
                    let others = other.get_mut("services")?;
                    let base = service(others, &target, &inner, loader, problems, seen)?;
                    others.set(&target, base.clone());
                    loader.keep_base(&full, here.scope, other);
                    base
                }
            }
        }
    };
    if base.is_null() {
        return without(own);
    }
    if let Err(message) = loader.spend(&base) {
        problems.errors.push(extends.problem(&trail, message));
        return without(own);
    }
    let mut base = base;
    merge::sweep(&mut base);
    base.chain(&format!("extended by services.{} in {}, line {}", escape(name), extends.place.source.file, extends.place.line));
    merge::merge(&mut base, own, &key, true, problems);
    let done = without(base)?;
    services.set(name, done.clone());
    Some(done)
}
