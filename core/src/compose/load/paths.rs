//! Relative paths become absolute ones, from the folder that they are meant from.

use std::path::{Component, Path, PathBuf};

use super::yaml::{Node, Yaml};

/// An absolute path for `text`, without `.` and `..`; `~` is the home folder.
pub(crate) fn absolute(folder: &Path, text: &str) -> String {
    let path = match text.strip_prefix('~').filter(|r| r.is_empty() || r.starts_with('/')) {
        Some(rest) => PathBuf::from(format!("{}{rest}", super::environment(crate::host::HOME).unwrap_or_default())),
        None => folder.join(text),
    };
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            p => out.push(p),
        }
    }
    out.display().to_string()
}

fn change(node: Option<&mut Node>, folder: &Path) {
    if let Some(Node { value: Yaml::Text(t), .. }) = node
        && !t.is_empty()
    {
        // A path that is absolute stays as it is written: the hashes are made of it.
        if !t.starts_with('/') {
            *t = absolute(folder, t);
        }
    }
}

fn is_remote(context: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "github.com/", "git@", "docker-image://", "oci-layout://", "target:", "service:"]
        .iter()
        .any(|p| context.starts_with(p))
}

/// The paths of one service.
pub(super) fn service(node: &mut Node, folder: &Path) {
    if let Some(build) = node.get_mut("build") {
        if build.get("context").and_then(Node::as_str).is_none_or(|c| !is_remote(c)) {
            change(build.get_mut("context"), folder);
        }
        if let Some(Node { value: Yaml::List(keys), .. }) = build.get_mut("ssh") {
            keys.iter_mut().for_each(|k| change(k.get_mut("path"), folder));
        }
        if let Some(contexts) = build.get_mut("additional_contexts") {
            for (_, value) in contexts.entries_mut() {
                if value.as_str().is_some_and(|c| !is_remote(c)) {
                    change(Some(value), folder);
                }
            }
        }
    }
    for list in ["env_file", "volumes"] {
        let Some(Node { value: Yaml::List(items), .. }) = node.get_mut(list) else { continue };
        for item in items {
            if list == "env_file" {
                change(item.get_mut("path"), folder);
            } else if item.get("type").and_then(Node::as_str) == Some("bind") {
                change(item.get_mut("source"), folder);
            }
        }
    }
    if let Some(Node { value: Yaml::List(items), .. }) = node.get_mut("label_file") {
        items.iter_mut().for_each(|i| change(Some(i), folder));
    }
    if let Some(credentials) = node.get_mut("credential_spec") {
        change(credentials.get_mut("file"), folder);
    }
}

/// The paths of a whole file.
pub(super) fn file(node: &mut Node, folder: &Path) {
    if let Some(services) = node.get_mut("services") {
        services.entries_mut().iter_mut().for_each(|(_, s)| service(s, folder));
    }
    for section in ["secrets", "configs"] {
        if let Some(objects) = node.get_mut(section) {
            objects.entries_mut().iter_mut().for_each(|(_, o)| change(o.get_mut("file"), folder));
        }
    }
}
