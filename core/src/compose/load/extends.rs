//! `extends`: a service laid over another one, of the same file or of another.

use std::path::{Path, PathBuf};

use super::{
    Loader, Problems, join, merge,
    yaml::{Node, Yaml},
};

/// Resolves `extends` in all services of a file.
pub(super) fn resolve(file: &mut Node, folder: &Path, loader: &Loader<'_>, problems: &mut Problems) {
    let Some(services) = file.get("services").cloned() else { return };
    let names: Vec<String> = services.entries().iter().map(|(k, _)| k.name.clone()).collect();
    for name in names {
        let mut seen = Vec::new();
        if let Some(done) = service(&services, &name, folder, loader, problems, &mut seen)
            && let Some(all) = file.get_mut("services")
        {
            all.set(&name, done);
        }
    }
}

fn service(services: &Node, name: &str, folder: &Path, loader: &Loader<'_>, problems: &mut Problems, seen: &mut Vec<(PathBuf, String)>) -> Option<Node> {
    let path = join(&join("services", name), "extends");
    let mut own = services.get(name)?.clone();
    let Some(extends) = own.remove("extends") else { return Some(own) };
    let this = (folder.to_owned(), name.to_owned());
    if seen.contains(&this) {
        problems.errors.push(extends.place.diagnostic(&path, format!("`{name}` extends itself, by way of others")));
        return Some(own);
    }
    seen.push(this);
    let (target, file) = match &extends.value {
        Yaml::Text(t) => (t.clone(), None),
        Yaml::Map(_) => {
            (extends.get("service").and_then(Node::as_str).unwrap_or_default().to_owned(), extends.get("file").and_then(Node::as_str).map(str::to_owned))
        }
        _ => {
            problems.errors.push(extends.place.diagnostic(&path, "expected the name of a service, or file and service"));
            return Some(own);
        }
    };
    let base = match file {
        None => {
            if services.get(&target).is_none() {
                let mut d = extends.place.diagnostic(&path, format!("there is no service `{}` to extend", crate::error::escape(&target)));
                d.suggestion = crate::error::nearest(&target, services.entries().iter().map(|(k, _)| k.name.as_str())).map(str::to_owned);
                problems.errors.push(d);
                return Some(own);
            }
            service(services, &target, folder, loader, problems, seen)?
        }
        Some(file) => {
            let full = folder.join(&file);
            let inner = full.parent().unwrap_or(folder).to_owned();
            let other = loader.read(&full, &extends.place, &path, problems)?;
            let Some(others) = other.get("services").filter(|s| s.get(&target).is_some()) else {
                problems.errors.push(extends.place.diagnostic(&path, format!("{} has no service `{}`", full.display(), crate::error::escape(&target))));
                return Some(own);
            };
            let mut base = service(others, &target, &inner, loader, problems, seen)?;
            super::paths::service(&mut base, &inner);
            base
        }
    };
    let mut base = base;
    // What a service needs of others is not passed on.
    for name in ["depends_on", "links", "volumes_from"] {
        if name != "depends_on" {
            base.remove(name);
        }
    }
    base.chain(&format!("extended by service {name}"));
    merge::merge(&mut base, own, &["services", name]);
    Some(base)
}
