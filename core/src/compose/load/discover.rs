//! Which files, which folder, which variables and which profiles a project has.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{LoadOptions, dotenv, files::unread, paths, process_environment};
use crate::error::{Diagnostic, Error, ErrorKind, Result};

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
    pub(super) warnings: Vec<Diagnostic>,
}

pub(super) fn discover(files: &[PathBuf], is_text: bool, o: &LoadOptions, read: &dyn Fn(&Path, &Path) -> Result<String>) -> Result<Found> {
    let here = std::env::current_dir().map_err(|e| Error::file(".", e))?;
    let full = |folder: &Path, path: &Path| PathBuf::from(paths::absolute(folder, &path.display().to_string()));
    let mut env = if o.clear_env { BTreeMap::new() } else { process_environment() };
    env.extend(o.env.clone());
    if let Some(here) = here.to_str().filter(|_| !o.clear_env) {
        // A process that no shell started may lack it; what a variable says stays, also where it is out of date.
        env.entry("PWD".to_owned()).or_insert_with(|| here.to_owned());
    }
    let mut warnings = Vec::new();
    let mut files: Vec<PathBuf> = files.iter().map(|f| full(&here, f)).collect();
    let start = o.project_dir.as_ref().map(|d| full(&here, d));
    let beside = |files: &[PathBuf]| start.clone().or_else(|| files.first().and_then(|f| f.parent()).map(Path::to_owned));
    let base = start.clone().unwrap_or_else(|| here.clone());
    // The files of variables: those that are named, else `.env` of the folder as far as it is known, and of the one that
    // the files are found in.
    let set = |env: &BTreeMap<String, String>, name: &str| env.get(name).filter(|v| !v.is_empty()).cloned();
    let mut named: Vec<PathBuf> = o.env_files.iter().map(|f| full(&here, f)).collect();
    if named.is_empty() {
        named.extend(set(&env, "COMPOSE_ENV_FILES").iter().flat_map(|l| l.split(',')).map(|f| full(&base, Path::new(f))));
    }
    let without = set(&env, "COMPOSE_DISABLE_ENV_FILE").is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "t" | "true"));
    let take = |folder: &Path, env: &mut BTreeMap<String, String>, warnings: &mut Vec<Diagnostic>| -> Result<()> {
        let default = folder.join(".env");
        let list: &[PathBuf] = if !named.is_empty() {
            &named
        } else if !without && default.is_file() {
            std::slice::from_ref(&default)
        } else {
            &[]
        };
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for file in list {
            let text = read(file, folder).map_err(|e| match e.kind() {
                ErrorKind::NotFound => Error::not_found(unread(&e, "env file", file)).with("path", file.display().to_string()),
                _ => e,
            })?;
            let (outer, earlier) = (|name: &str| env.get(name).cloned(), |name: &str| all.get(name).cloned());
            let mut unset = Vec::new();
            let found = dotenv::parse_after(&text, &outer, &earlier, &mut |n| super::interpolate::note(&mut unset, n))
                .map_err(|w| Error::compose(vec![w.diagnostic(&file.display().to_string(), "")]))?;
            all.extend(found);
            for name in unset {
                let message = format!("the variable `{name}` is not set; an empty text is used");
                warnings.push(Diagnostic { file: file.display().to_string(), message, ..Diagnostic::default() });
            }
        }
        for (key, value) in all {
            env.entry(key).or_insert(value);
        }
        Ok(())
    };
    let first = beside(&files).unwrap_or_else(|| here.clone());
    take(&first, &mut env, &mut warnings)?;
    if files.is_empty() && !is_text {
        if let Some(list) = set(&env, "COMPOSE_FILE") {
            let separator = set(&env, "COMPOSE_PATH_SEPARATOR").unwrap_or_else(|| ":".to_owned());
            files = list.split(separator.as_str()).map(|f| full(&base, Path::new(f))).collect();
        } else {
            files = default_files(&base, &mut warnings)?;
        }
    }
    for file in &files {
        if !file.exists() {
            return Err(Error::not_found(format!("no such file: {}", file.display()))
                .hint("check the path of the Compose file")
                .with("path", file.display().to_string()));
        }
    }
    let folder = beside(&files).unwrap_or(here);
    if folder != first && named.is_empty() {
        take(&folder, &mut env, &mut warnings)?;
    }
    let mut profiles = o.profiles.clone();
    if profiles.is_empty() {
        // Without any, the profile of no name is active.
        profiles.extend(env.get("COMPOSE_PROFILES").map_or("", String::as_str).split(',').map(|p| p.trim().to_owned()));
    }
    let name = o.name.clone().or_else(|| set(&env, "COMPOSE_PROJECT_NAME"));
    Ok(Found { files, folder, env, profiles, name, warnings })
}

fn default_files(start: &Path, warnings: &mut Vec<Diagnostic>) -> Result<Vec<PathBuf>> {
    for folder in start.ancestors() {
        let mut there = |names: &[&str]| {
            let all: Vec<PathBuf> = names.iter().map(|n| folder.join(n)).filter(|f| f.is_file()).collect();
            if let [first, rest @ ..] = all.as_slice()
                && !rest.is_empty()
            {
                let message = "other files of the usual names lie beside this one; it is used alone".to_owned();
                warnings.push(Diagnostic { file: first.display().to_string(), message, ..Diagnostic::default() });
            }
            all.into_iter().next()
        };
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

/// The project's name: the one that is given, else the files' own, else the folder's.
pub(super) fn project_name(given: Option<&str>, own: Option<&str>, folder: &Path) -> Result<String> {
    if let Some(name) = given {
        if name == normal_name(name) && !name.is_empty() {
            return Ok(name.to_owned());
        }
        let message = format!("`{}` cannot be a project's name", crate::error::escape(name));
        return Err(Error::invalid(message).hint("use lower-case letters, digits, `-` and `_`, and begin with a letter or digit"));
    }
    let name = match own {
        Some(own) => normal_name(own),
        None => normal_name(&folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()),
    };
    if name.is_empty() { Err(Error::invalid("the project has no name").hint("give `name`, or put one into the file")) } else { Ok(name) }
}
