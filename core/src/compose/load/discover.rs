//! Which files, which folder, which variables and which name a project has.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{LoadOptions, dotenv, paths, process_environment, yaml::Node};
use crate::error::{Diagnostic, Error, Result};

/// The names of files that are looked for, the first one first.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVERRIDES: [&str; 4] = ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    pub(super) folder: PathBuf,
    pub(super) env: BTreeMap<String, String>,
    pub(super) profiles: Vec<String>,
    /// The name that goes before the files' own.
    pub(super) name: Option<String>,
}

pub(super) fn discover(files: &[PathBuf], is_text: bool, o: &LoadOptions) -> Result<Found> {
    let here = std::env::current_dir().map_err(|e| Error::file(".", e))?;
    let process = if o.clear_env { BTreeMap::new() } else { process_environment() };
    let variable = |name: &str| o.env.get(name).or_else(|| process.get(name)).cloned().filter(|v| !v.is_empty());
    let mut files: Vec<PathBuf> = files.iter().map(|f| PathBuf::from(paths::absolute(&here, &f.display().to_string()))).collect();
    let start = o.project_dir.as_ref().map(|d| PathBuf::from(paths::absolute(&here, &d.display().to_string())));
    if files.is_empty() && !is_text {
        if let Some(list) = variable("COMPOSE_FILE") {
            let separator = variable("COMPOSE_PATH_SEPARATOR").unwrap_or_else(|| ":".to_owned());
            files = list.split(separator.as_str()).map(|f| PathBuf::from(paths::absolute(&here, f))).collect();
        } else {
            files = default_files(start.as_deref().unwrap_or(&here))?;
        }
    }
    for file in &files {
        if !file.exists() {
            return Err(Error::not_found(format!("no such file: {}", file.display()))
                .hint("check the path of the Compose file")
                .with("path", file.display().to_string()));
        }
    }
    let folder = start.or_else(|| files.first().and_then(|f| f.parent()).map(Path::to_owned)).unwrap_or_else(|| here.clone());
    let mut env_files: Vec<PathBuf> = o.env_files.iter().map(|f| PathBuf::from(paths::absolute(&here, &f.display().to_string()))).collect();
    if env_files.is_empty() {
        env_files = vec![folder.join(".env")];
        env_files.retain(|f| f.is_file());
    }
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    let outer = |name: &str| o.env.get(name).or_else(|| process.get(name)).cloned();
    for file in &env_files {
        let text = std::fs::read_to_string(file).map_err(|e| Error::file(file, e))?;
        let before = env.clone();
        let lookup = |name: &str| outer(name).or_else(|| before.get(name).cloned());
        let read = dotenv::parse(&text, &lookup).map_err(|w| {
            Error::compose(vec![Diagnostic { file: file.display().to_string(), line: w.line, column: 1, message: w.message, ..Diagnostic::default() }])
        })?;
        env.extend(read);
    }
    env.extend(process);
    env.extend(o.env.clone());
    let mut profiles = o.profiles.clone();
    if profiles.is_empty() {
        profiles = env.get("COMPOSE_PROFILES").map(|p| p.split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect()).unwrap_or_default();
    }
    let name = o.name.clone().or_else(|| env.get("COMPOSE_PROJECT_NAME").cloned().filter(|n| !n.is_empty()));
    Ok(Found { files, folder, env, profiles, name })
}

fn default_files(start: &Path) -> Result<Vec<PathBuf>> {
    for folder in start.ancestors() {
        let there = |names: &[&str]| names.iter().map(|n| folder.join(n)).find(|f| f.is_file());
        if let Some(file) = there(&NAMES) {
            return Ok([Some(file), there(&OVERRIDES)].into_iter().flatten().collect());
        }
    }
    Err(Error::not_found(format!("no Compose file in {} or above", start.display())).hint(format!("name a file, or make one of {}", NAMES.join(", "))))
}

/// What docker compose makes of a name: lower case, and only letters, digits, `-` and `_`.
pub(crate) fn normal_name(text: &str) -> String {
    let kept: String = text.to_lowercase().chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')).collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}

pub(super) fn project_name(given: &Option<String>, whole: &Node, folder: &Path) -> Result<String> {
    let checked = |name: &str| {
        if name == normal_name(name) && !name.is_empty() {
            return Ok(name.to_owned());
        }
        let message = format!("`{}` cannot be a project's name", crate::error::escape(name));
        Err(Error::invalid(message).hint("use lower-case letters, digits, `-` and `_`, and begin with a letter or digit"))
    };
    if let Some(name) = given {
        return checked(name);
    }
    if let Some(name) = whole.get("name").and_then(Node::as_str).filter(|n| !n.is_empty()) {
        return checked(name);
    }
    let name = normal_name(&folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default());
    if name.is_empty() { Err(Error::invalid("the project has no name").hint("give `name`, or put one into the file")) } else { Ok(name) }
}
