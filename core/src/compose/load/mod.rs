//! Loading a project, phase by phase, in this order:
//!
//! 1. `discover`: which files, which folder, which variables, which name
//! 2. `yaml`: text to a tree with places; scalars as go-yaml reads them
//! 3. `interpolate`: variables
//! 4. `form` with `attributes` and `short`: every attribute is checked and made canonical
//! 5. `extends`
//! 6. `paths`: relative paths become absolute
//! 7. `include`, and `merge`: one file over another
//! 8. `normalize`: defaults, implicit networks and dependencies, names
//! 9. `select`: profiles; undefined references and cycles
//! 10. `environment_files`: files of variables and labels are folded in
//!
//! All problems of a project are gathered and reported at once.

mod attributes;
mod discover;
mod dotenv;
mod environment_files;
mod extends;
mod form;
mod interpolate;
mod merge;
mod normalize;
mod paths;
mod scalar;
mod select;
mod short;
pub(crate) mod yaml;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::model::Model;
use crate::{
    call::options,
    error::{Diagnostic, Error, ErrorKind, Result},
};
use yaml::{Node, Place, Yaml};

/// What files may reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadPolicy {
    /// Any file that this process can read, as with docker compose.
    #[default]
    Trusted,
    /// Files in the project folder only, whatever way they are named.
    Untrusted,
}

options! {
    /// Options of [`Project::load`](crate::Project::load) and [`Project::parse`](crate::Project::parse).
    pub struct LoadOptions {
        /// The project folder; default: that of the first file.
        pub project_dir: Option<PathBuf>,
        /// Files of variables in place of `.env`.
        pub env_files: Vec<PathBuf>,
        /// Variables that go before those of the process and of files.
        pub env: BTreeMap<String, String>,
        /// Leaves the variables of this process out.
        pub clear_env: bool,
        /// Active profiles; `*` is all.
        pub profiles: Vec<String>,
        /// The project's name in place of the file's.
        pub name: Option<String>,
        /// What files may reach; default: `trusted`.
        pub policy: LoadPolicy,
    }
}

/// What is wrong, and what is only worth a word.
#[derive(Default)]
pub(crate) struct Problems {
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// A project that was loaded.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    pub(crate) folder: PathBuf,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) warnings: Vec<Diagnostic>,
    /// Variables that secrets and configs are made of, and no others.
    pub(crate) variables: BTreeMap<String, String>,
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[expect(clippy::disallowed_methods, reason = "Compose files take variables of the process")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "Compose files take variables of the process")]
fn process_environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// Reads files for the phases, within the policy.
pub(crate) struct Loader<'a> {
    folder: &'a Path,
    policy: LoadPolicy,
    env: &'a BTreeMap<String, String>,
}

impl Loader<'_> {
    /// The text of a regular file that the policy allows.
    pub(crate) fn text(&self, path: &Path) -> Result<String> {
        let real = std::fs::canonicalize(path).map_err(|e| Error::file(path, e))?;
        if self.policy == LoadPolicy::Untrusted {
            let root = std::fs::canonicalize(self.folder).map_err(|e| Error::file(self.folder, e))?;
            if !real.starts_with(&root) {
                let message = format!("{} lies outside the project folder", path.display());
                return Err(Error::new(ErrorKind::Forbidden, message).hint("move it into the project folder, or load with the policy `trusted`"));
            }
        }
        let meta = std::fs::metadata(&real).map_err(|e| Error::file(path, e))?;
        if !meta.is_file() {
            return Err(Error::invalid(format!("{} is not a regular file", path.display())).hint("give a file"));
        }
        if meta.len() > yaml::BYTES as u64 {
            return Err(Error::invalid(format!("{} is larger than {} MiB", path.display(), yaml::BYTES >> 20)));
        }
        let bytes = std::fs::read(&real).map_err(|e| Error::file(path, e))?;
        String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{} is not UTF-8", path.display())).hint("save it as UTF-8"))
    }

    /// A file that another one names, made canonical; what is wrong is noted at the place that names it.
    fn read(&self, path: &Path, place: &Place, key: &str, problems: &mut Problems) -> Option<Node> {
        match self.text(path) {
            Ok(text) => self.documents(&path.display().to_string(), &text, problems),
            Err(e) => {
                problems.errors.push(place.diagnostic(key, e.message().to_owned()));
                None
            }
        }
    }

    /// The documents of one text, merged, interpolated and canonical.
    fn documents(&self, name: &str, text: &str, problems: &mut Problems) -> Option<Node> {
        let documents = match yaml::parse(name, text) {
            Ok(documents) => documents,
            Err(d) => {
                problems.errors.push(*d);
                return None;
            }
        };
        let mut whole: Option<Node> = None;
        for mut document in documents.into_iter().filter(|d| !d.is_null()) {
            if !matches!(document.value, Yaml::Map(_)) {
                problems.errors.push(document.place.diagnostic("", format!("expected a mapping, found {}", document.kind())));
                continue;
            }
            interpolate::tree(&mut document, "", self.env, problems);
            normalize::old_external_names(&mut document);
            form::apply(&mut document, attributes::FILE, "", problems);
            match &mut whole {
                None => whole = Some(document),
                Some(first) => merge::merge(first, document, &[]),
            }
        }
        if whole.is_none() && problems.errors.is_empty() {
            problems.errors.push(Diagnostic { file: name.to_owned(), message: "the file is empty".to_owned(), ..Diagnostic::default() });
        }
        whole
    }

    /// One file with what it extends and includes.
    fn file(&self, name: &str, text: &str, folder: &Path, seen: &mut Vec<PathBuf>, problems: &mut Problems) -> Option<Node> {
        let mut node = self.documents(name, text, problems)?;
        extends::resolve(&mut node, folder, self, problems);
        paths::file(&mut node, folder);
        if let Some(includes) = node.remove("include") {
            for (i, include) in includes.items().iter().enumerate() {
                let key = format!("include[{i}]");
                let files: Vec<String> = match &include.value {
                    Yaml::Text(t) => vec![t.clone()],
                    _ => match include.get("path").map(|p| &p.value) {
                        Some(Yaml::Text(t)) => vec![t.clone()],
                        Some(Yaml::List(l)) => l.iter().filter_map(|p| p.as_str().map(str::to_owned)).collect(),
                        _ => Vec::new(),
                    },
                };
                if files.is_empty() {
                    problems.errors.push(include.place.diagnostic(&key, "expected a path, or `path`"));
                }
                let mut whole: Option<Node> = None;
                for file in files {
                    let path = PathBuf::from(paths::absolute(folder, &file));
                    if seen.contains(&path) {
                        problems.errors.push(include.place.diagnostic(&key, format!("{} includes itself, by way of others", path.display())));
                        continue;
                    }
                    let own = include.get("project_directory").and_then(Node::as_str).map(|d| PathBuf::from(paths::absolute(folder, d)));
                    let inner = own.unwrap_or_else(|| path.parent().unwrap_or(folder).to_owned());
                    seen.push(path.clone());
                    let found = match self.text(&path) {
                        Ok(text) => self.file(&path.display().to_string(), &text, &inner, seen, problems),
                        Err(e) => {
                            problems.errors.push(include.place.diagnostic(&key, e.message().to_owned()));
                            None
                        }
                    };
                    seen.pop();
                    match (&mut whole, found) {
                        (Some(first), Some(next)) => merge::merge(first, next, &[]),
                        (None, Some(next)) => whole = Some(next),
                        _ => {}
                    }
                }
                if let Some(mut included) = whole {
                    included.remove("name");
                    included.chain(&format!("included by {name}"));
                    add_included(&mut node, included, problems);
                }
            }
        }
        Some(node)
    }
}

/// What an included file defines must not be defined differently here.
fn add_included(node: &mut Node, included: Node, problems: &mut Problems) {
    let Yaml::Map(sections) = included.value else { return };
    for (section, value) in sections {
        if node.get(&section.name).is_none() {
            node.set(&section.name, value);
            continue;
        }
        for (key, item) in value.entries() {
            let Some(own) = node.get_mut(&section.name) else { continue };
            match own.get(&key.name) {
                None => own.set(&key.name, item.clone()),
                Some(there) if there.to_json() == item.to_json() => {}
                Some(there) => {
                    let path = join(&section.name, &key.name);
                    problems.errors.push(there.place.diagnostic(&path, "this is defined differently in a file that is included"));
                }
            }
        }
    }
}

/// Loads a project from files, or from a text.
pub(crate) fn load(files: &[PathBuf], text: Option<&str>, options: &LoadOptions) -> Result<Loaded> {
    let found = discover::discover(files, text.is_some(), options)?;
    let mut problems = Problems::default();
    let loader = Loader { folder: &found.folder, policy: options.policy, env: &found.env };
    let mut whole: Option<Node> = None;
    let mut sources: Vec<(String, String)> = Vec::new();
    for path in &found.files {
        sources.push((path.display().to_string(), loader.text(path)?));
    }
    sources.extend(text.map(|t| ("compose.yaml".to_owned(), t.to_owned())));
    for (name, text) in &sources {
        let mut seen = vec![PathBuf::from(name)];
        let Some(node) = loader.file(name, text, &found.folder, &mut seen, &mut problems) else { continue };
        match &mut whole {
            None => whole = Some(node),
            Some(base) => merge::merge(base, node, &[]),
        }
    }
    let fail = |problems: Problems| Err(Error::compose(problems.errors));
    let Some(mut whole) = whole.filter(|_| problems.errors.is_empty()) else { return fail(problems) };
    merge::sweep(&mut whole);
    let name = discover::project_name(&found.name, &whole, &found.folder)?;
    normalize::normalize(&mut whole, &name, &found.env, &mut problems);
    if !problems.errors.is_empty() {
        return fail(problems);
    }
    let mut model = normalize::typed(&whole, &name)?;
    select::select(&mut model, &found.profiles, &whole, &mut problems);
    environment_files::fold(&mut model, &loader, &mut problems);
    if !problems.errors.is_empty() {
        return fail(problems);
    }
    let named = model.secrets.values().chain(model.configs.values()).map(|o| &o.environment);
    let variables = named.filter_map(|n| Some((n.clone(), found.env.get(n)?.clone()))).collect();
    Ok(Loaded { model, variables, folder: found.folder, files: found.files, warnings: problems.warnings })
}
