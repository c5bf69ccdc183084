//! Relative paths become absolute ones, from the folder that they are meant from.

use std::path::{Component, Path, PathBuf};

use super::node::{Entries, Node, Yaml};

/// An absolute path for `text`, without `.` and `..`.
pub(crate) fn absolute(folder: &Path, text: &str) -> String {
    let mut out = PathBuf::new();
    for part in folder.join(text).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            p => out.push(p),
        }
    }
    out.display().to_string()
}

/// A file that docker compose would fetch from another host.
pub(super) fn is_remote_file(text: &str) -> bool {
    text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/")
}

/// Makes paths absolute.
pub(super) struct Resolver<'a> {
    pub(super) folder: &'a Path,
    /// The home folder, for `~`.
    pub(super) home: Option<&'a str>,
}

pub(super) fn is_windows_absolute(text: &str) -> bool {
    let mut chars = text.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\\'), Some('\\'), _) => true,
        (Some(c), Some(':'), Some('/' | '\\')) => c.is_ascii_alphabetic(),
        _ => false,
    }
}

pub(super) fn is_remote_context(text: &str) -> bool {
    text.contains("://") || ["service:", "github.com/", "git@"].iter().any(|p| text.starts_with(p))
}

impl Resolver<'_> {
    /// A path of this or another system; one that is absolute stays as it is written: the hashes are made of it.
    fn any(&self, text: &str) -> String {
        match (text.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => absolute(self.folder, &format!("{home}/{rest}")),
            _ if text.starts_with('/') || is_windows_absolute(text) => text.to_owned(),
            _ => absolute(self.folder, text),
        }
    }

    fn change(&self, node: Option<&mut Node>, empty_too: bool) {
        if let Some(Node { value: Yaml::Text(t), .. }) = node
            && (empty_too || !t.is_empty())
        {
            *t = self.any(t);
        }
    }

    fn context(&self, node: Option<&mut Node>) {
        if let Some(node) = node
            && node.as_str().is_some_and(|c| !is_remote_context(c))
        {
            self.change(Some(node), false);
        }
    }

    /// The paths of one service.
    pub(super) fn service(&self, node: &mut Node) {
        if let Some(build) = node.get_mut("build") {
            self.context(build.get_mut("context"));
            for name in ["ssh", "additional_contexts"] {
                let Some(map) = build.get_mut(name).and_then(Node::entries_mut) else { continue };
                for (_, value) in map.iter_mut() {
                    if name == "ssh" { self.change(Some(value), true) } else { self.context(Some(value)) }
                }
            }
        }
        for item in node.get_mut("env_file").and_then(Node::items_mut).into_iter().flatten() {
            self.change(item.get_mut("path"), false);
        }
        for item in node.get_mut("label_file").and_then(Node::items_mut).into_iter().flatten() {
            self.change(Some(item), false);
        }
        for item in node.get_mut("volumes").and_then(Node::items_mut).into_iter().flatten() {
            if item.str("type") == Some("bind") {
                self.change(item.get_mut("source"), true);
            }
        }
        for item in node.get_mut("develop").and_then(|d| d.get_mut("watch")?.items_mut()).into_iter().flatten() {
            self.change(item.get_mut("path"), false);
            if let Some(Node { value: Yaml::Text(t), .. }) = item.get_mut("path") {
                *t = without_link(t);
            }
        }
    }

    /// The paths of a whole file.
    pub(super) fn file(&self, node: &mut Node) {
        let all = |node: &mut Node, section: &str, with: &dyn Fn(&mut Node)| {
            for (_, item) in node.get_mut(section).and_then(Node::entries_mut).into_iter().flat_map(Entries::iter_mut) {
                with(item);
            }
        };
        all(node, "services", &|s| self.service(s));
        for section in ["secrets", "configs"] {
            all(node, section, &|o| self.change(o.get_mut("file"), true));
        }
        all(node, "volumes", &|v| {
            // A bind mount in disguise.
            if v.str("driver") == Some("local")
                && let Some(options) = v.get_mut("driver_opts").filter(|o| o.str("o") == Some("bind"))
            {
                self.change(options.get_mut("device"), true);
            }
        });
    }
}

/// A path whose longest part that is a link is followed, as docker compose does for what it watches.
fn without_link(text: &str) -> String {
    let path = Path::new(text);
    if text.len() > super::files::LONGEST_PATH {
        return text.to_owned();
    }
    for part in path.ancestors() {
        if part.is_symlink()
            && let (Ok(real), Ok(rest)) = (std::fs::canonicalize(part), path.strip_prefix(part))
        {
            return real.join(rest).display().to_string();
        }
    }
    text.to_owned()
}
