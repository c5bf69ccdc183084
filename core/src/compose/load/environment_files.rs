//! `env_file` and `label_file`: their variables and labels are folded into the service, under what it says itself.

use std::{collections::BTreeMap, path::Path};

use super::{Loader, Problems, dotenv};
use crate::{
    compose::model::{Model, Service},
    error::Diagnostic,
};

pub(super) fn fold(model: &mut Model, loader: &Loader<'_>, problems: &mut Problems) {
    for (name, service) in &mut model.services {
        environment(name, service, loader, problems);
        labels(name, service, loader, problems);
    }
}

fn note(problems: &mut Problems, file: &str, line: u32, path: String, message: String) {
    problems.errors.push(Diagnostic { file: file.to_owned(), line, column: u32::from(line > 0), path, message, ..Diagnostic::default() });
}

fn environment(name: &str, service: &mut Service, loader: &Loader<'_>, problems: &mut Problems) {
    let mut all: BTreeMap<String, Option<String>> = BTreeMap::new();
    for file in &service.env_file {
        let path = format!("services.{name}.env_file");
        if !file.required && !Path::new(&file.path).exists() {
            continue;
        }
        let text = match loader.text(Path::new(&file.path)) {
            Ok(text) => text,
            Err(e) => {
                note(problems, &file.path, 0, path, e.message().to_owned());
                continue;
            }
        };
        let before = all.clone();
        let outer = |key: &str| loader.env.get(key).cloned().or_else(|| before.get(key).cloned().flatten());
        let read = if file.format == "raw" { dotenv::parse_raw(&text) } else { dotenv::parse(&text, &outer) };
        match read {
            Ok(found) => all.extend(found.into_iter().map(|(k, v)| (k, Some(v)))),
            Err(wrong) => note(problems, &file.path, wrong.line, path, wrong.message),
        }
    }
    all.extend(std::mem::take(&mut service.environment));
    service.environment = all;
    service.env_file.clear();
}

fn labels(name: &str, service: &mut Service, loader: &Loader<'_>, problems: &mut Problems) {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for file in &service.label_file {
        let path = format!("services.{name}.label_file");
        match loader.text(Path::new(file)).map(|text| dotenv::parse(&text, &|_| None)) {
            Ok(Ok(found)) => all.extend(found),
            Ok(Err(wrong)) => note(problems, file, wrong.line, path, wrong.message),
            Err(e) => note(problems, file, 0, path, e.message().to_owned()),
        }
    }
    all.extend(std::mem::take(&mut service.labels));
    service.labels = all;
    service.label_file.clear();
}
