//! `env_file` and `label_file`: their variables and labels are folded into the service, under what it says itself.

use std::{collections::BTreeMap, path::Path};

use super::{Loader, Problems, dotenv, files::unread, node::Node, trail::Trail};
use crate::{compose::model::Model, error::Error};

/// A list of a service in the file.
fn list<'a>(whole: &'a Node, service: &str, name: &str) -> Option<&'a Node> {
    whole.get("services")?.get(service)?.get(name)
}

/// Folds the variables of files in.
pub(super) fn variables(model: &mut Model, whole: &Node, loader: &Loader<'_>, env: &BTreeMap<String, String>, problems: &mut Problems) {
    let root = Trail::ROOT;
    let section = root.key("services");
    for (name, service) in &mut model.services {
        let trail = section.key(name);
        let mut all: BTreeMap<String, Option<String>> = BTreeMap::new();
        let own = &service.environment;
        let files = trail.key("env_file");
        for (i, at, file) in Node::beside(list(whole, name, "env_file"), &service.env_file) {
            let (at, trail) = (at.unwrap_or(whole), files.index(i));
            if !file.required && !Path::new(&file.path).exists() {
                continue;
            }
            if !matches!(file.format.as_str(), "" | "raw") {
                let format = at.get("format").unwrap_or(at);
                problems.errors.push(format.unexpected(&trail.key("format"), "raw"));
                continue;
            }
            let Some(text) = text("env file", &file.path, at, &trail, loader, problems) else { continue };
            // What the project is loaded with goes before what the service says itself, and that before files.
            let outer = |key: &str| env.get(key).or_else(|| own.get(key)?.as_ref()).cloned();
            let earlier = |key: &str| all.get(key).cloned().flatten();
            let mut unset = Vec::new();
            let read = if file.format == "raw" {
                dotenv::parse_raw(&text, &outer)
            } else {
                dotenv::parse_after(&text, &outer, &earlier, &mut |n| super::interpolate::note(&mut unset, n))
            };
            warn(&unset, &file.path, &trail, problems);
            match read {
                Ok(found) => {
                    if let Err(message) = afford(&found, problems) {
                        problems.errors.push(at.problem(&trail, message));
                        return;
                    }
                    all.extend(found.into_iter().map(|(k, v)| (k, Some(v))));
                }
                Err(wrong) => {
                    problems.left.wrong_file(text.len());
                    problems.errors.push(wrong.diagnostic(&file.path, &trail.path()));
                }
            }
        }
        if !all.is_empty() {
            all.extend(std::mem::take(&mut service.environment));
            service.environment = all;
        }
        service.env_file.clear();
    }
}

/// Folds the labels of files in.
pub(super) fn labels(model: &mut Model, whole: &Node, loader: &Loader<'_>, problems: &mut Problems) {
    let root = Trail::ROOT;
    let section = root.key("services");
    for (name, service) in &mut model.services {
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        let trail = section.key(name);
        let files = trail.key("label_file");
        for (i, at, file) in Node::beside(list(whole, name, "label_file"), &service.label_file) {
            let (at, trail) = (at.unwrap_or(whole), files.index(i));
            let Some(text) = text("label file", file, at, &trail, loader, problems) else { continue };
            let mut unset = Vec::new();
            match dotenv::parse(&text, &|_| None, &mut |n| super::interpolate::note(&mut unset, n)) {
                Ok(found) => {
                    if let Err(message) = afford(&found, problems) {
                        problems.errors.push(at.problem(&trail, message));
                        return;
                    }
                    labels.extend(found);
                }
                Err(wrong) => {
                    problems.left.wrong_file(text.len());
                    problems.errors.push(wrong.diagnostic(file, &trail.path()));
                }
            }
            warn(&unset, file, &trail, problems);
        }
        if !labels.is_empty() {
            labels.extend(std::mem::take(&mut service.labels));
            service.labels = labels;
        }
        service.label_file.clear();
    }
}

/// Takes what a file says from what is left.
fn afford(found: &BTreeMap<String, String>, problems: &mut Problems) -> Result<(), String> {
    problems.left.fold(found.len())?;
    problems.left.bytes(found.iter().map(|(k, v)| k.len() + v.len()).sum())
}

fn warn(unset: &[String], file: &str, trail: &Trail<'_>, problems: &mut Problems) {
    for name in unset {
        let mut d = super::node::Place::default().diagnostic(&trail.path(), format!("the variable `{name}` is not set; an empty text is used"));
        file.clone_into(&mut d.file);
        problems.warnings.push(d);
    }
}

fn text(what: &str, file: &str, at: &Node, trail: &Trail<'_>, loader: &Loader<'_>, problems: &mut Problems) -> Option<std::rc::Rc<str>> {
    if let Err(message) = problems.left.may_fold() {
        problems.errors.push(at.problem(trail, message));
        return None;
    }
    let read = if file.is_empty() { Err(Error::invalid("a path is missing")) } else { loader.files.shared(Path::new(file)) };
    read.map_err(|e| problems.errors.push(at.problem(trail, unread(&e, what, Path::new(file))))).ok()
}
