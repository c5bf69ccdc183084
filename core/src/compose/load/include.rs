//! `include`: files with a project folder and variables of their own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Loader, Problems, Scope, dotenv,
    files::unread,
    node::{Key, Node, Yaml},
    paths,
    trail::Trail,
};

/// So many files may stand behind each other.
const LONGEST: usize = 60;

/// Takes in what a file includes.
pub(super) fn resolve(file: &mut Node, name: &Path, loader: &Loader<'_>, scope: &Scope<'_>, problems: &mut Problems) {
    let Some(includes) = file.remove("include").filter(|n| n.mark != super::node::Mark::Reset) else { return };
    let root = Trail::ROOT;
    let trail = root.key("include");
    match &includes.value {
        Yaml::Null | Yaml::Broken => return,
        Yaml::List(_) => {}
        _ => {
            problems.errors.push(includes.unexpected(&trail, "a list"));
            return;
        }
    }
    for (i, include) in includes.items().iter().enumerate() {
        let trail = trail.index(i);
        let before = problems.errors.len();
        let found = one(include, &trail, name, loader, scope, problems);
        if let Some(Err(message)) = found.as_ref().map(|f| problems.left.work(f.count())) {
            problems.errors.push(include.problem(&trail, message));
            return;
        }
        if let Some(mut included) = found.filter(|_| problems.errors.len() == before) {
            included.chain(&format!("included by {}, line {}", include.place.source.file, include.place.line));
            import(file, &included, problems);
        }
    }
}

/// Texts, or one text.
fn texts<'a>(node: &'a Node, trail: &Trail<'_>, problems: &mut Problems) -> Vec<&'a Node> {
    let all: Vec<&Node> = match &node.value {
        Yaml::Null => Vec::new(),
        Yaml::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    all.into_iter()
        .filter(|n| {
            if n.as_str().is_none() && !n.is_broken() {
                problems.errors.push(n.unexpected(trail, "a path"));
            }
            n.as_str().is_some()
        })
        .collect()
}

fn one(include: &Node, trail: &Trail<'_>, name: &Path, loader: &Loader<'_>, scope: &Scope<'_>, problems: &mut Problems) -> Option<Node> {
    let nothing = Node::new(Yaml::Null, &include.place);
    let part = |name: &str| include.get(name).unwrap_or(&nothing);
    let files = match &include.value {
        Yaml::Text(_) => vec![include],
        Yaml::Map(_) => texts(part("path"), &trail.key("path"), problems),
        Yaml::Broken => return None,
        _ => {
            problems.errors.push(include.unexpected(trail, "a path, or a mapping with `path`"));
            return None;
        }
    };
    if let Some(remote) = files.iter().find(|f| f.as_str().is_some_and(paths::is_remote_file)) {
        problems.errors.push(remote.problem(trail, "files of other hosts are not fetched"));
        return None;
    }
    let folder_text = part("project_directory");
    let named = files.iter().copied().chain([folder_text]).chain(part("env_file").items()).chain([part("env_file")]);
    if let Some(absolute) = named.into_iter().find(|n| n.as_str().is_some_and(|t| !loader.files.may_name(t))) {
        problems.errors.push(absolute.problem(trail, format!("{} is an absolute path, which the policy does not allow", absolute.shown())));
        return None;
    }
    let full = |node: &Node| PathBuf::from(paths::absolute(scope.folder, node.as_str().unwrap_or_default()));
    let sources: Vec<(PathBuf, &Node)> = files.iter().map(|f| (full(f), *f)).collect();
    let first = sources.first().map(|(path, _)| path.clone());
    let folder = match (folder_text.as_str().filter(|d| !d.is_empty()), &first) {
        (Some(dir), _) => PathBuf::from(paths::absolute(scope.folder, dir)),
        (None, Some(path)) => path.parent().unwrap_or(scope.folder).to_owned(),
        (None, None) => scope.folder.to_owned(),
    };
    let mut chain = scope.chain.clone();
    chain.push(name.to_owned());
    if let Some(first) = first.as_ref().filter(|f| chain.contains(f) || chain.len() > LONGEST) {
        let names: Vec<String> = chain.iter().chain([first]).map(|p| p.display().to_string()).collect();
        problems.errors.push(include.problem(trail, format!("the file includes itself: {}", super::limits::row(&names))));
        return None;
    }
    let mut env_files: Vec<(PathBuf, &Node)> = texts(part("env_file"), &trail.key("env_file"), problems).into_iter().map(|n| (full(n), n)).collect();
    if part("env_file").is_null() && folder.join(".env").is_file() {
        env_files.push((folder.join(".env"), include));
    }
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    for (path, node) in env_files {
        if let Err(message) = problems.left.may_fold() {
            problems.errors.push(node.problem(&trail.key("env_file"), message));
            return None;
        }
        let text = match loader.text(&path) {
            Ok(text) => text,
            Err(e) => {
                problems.errors.push(node.problem(&trail.key("env_file"), unread(&e, "env file", &path)));
                continue;
            }
        };
        let (outer, earlier) = (|name: &str| scope.env.get(name).cloned(), |name: &str| env.get(name).cloned());
        match dotenv::parse_after(&text, &outer, &earlier, &mut |_| {}) {
            Ok(found) => {
                if let Err(message) = problems.left.fold(found.len()) {
                    problems.errors.push(node.problem(&trail.key("env_file"), message));
                    return None;
                }
                env.extend(found);
            }
            Err(wrong) => {
                problems.left.wrong_file(text.len());
                problems.errors.push(wrong.diagnostic(&path.display().to_string(), &trail.path()));
            }
        }
    }
    let has_own = !env.is_empty();
    if has_own {
        if let Err(message) = problems.left.work(scope.env.len()) {
            problems.errors.push(include.problem(trail, message));
            return None;
        }
        env.extend(scope.env.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    let (env, variables) = if has_own { (&env, loader.new_variables()) } else { (scope.env, scope.variables) };
    // Paths are meant from a project folder that is there; docker compose takes its parent where it is not.
    let base = if folder.is_dir() { folder.as_path() } else { folder.parent().unwrap_or(&folder) };
    let inner = Scope { env, variables, folder: base, chain };
    let whole = loader.model(&sources, trail, &inner, problems);
    loader.remember_secrets(whole.as_ref(), env);
    whole
}

/// What an included file defines must not be defined differently here.
fn import(file: &mut Node, included: &Node, problems: &mut Problems) {
    let root = Trail::ROOT;
    for section in ["services", "volumes", "networks", "secrets", "configs", "models"] {
        let Some(from) = included.get(section).filter(|s| s.entries().is_some()) else { continue };
        if file.get(section).is_none() {
            file.set(section, Node::map([], &from.place));
        }
        let Some(to) = file.get_mut(section).filter(|s| s.entries().is_some()) else { continue };
        let trail = root.key(section);
        for (key, item) in from.each() {
            match to.get(&key.name) {
                None => {
                    if let Some(map) = to.entries_mut() {
                        map.set(Key { name: key.name.clone(), place: key.place.clone() }, item.clone());
                    }
                }
                Some(there) if there.same(item) => {}
                Some(there) => {
                    let place = format!("{}, line {}", key.place.source.file, key.place.line);
                    problems.errors.push(there.problem(&trail.key(&key.name), format!("this is defined differently in a file that is included: {place}")));
                }
            }
        }
    }
}
