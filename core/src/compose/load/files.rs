//! Reading files, within the policy: regular files only, of a bounded size, and where the policy says so none outside of
//! its folders.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io::Read,
    path::{Component, Path, PathBuf},
    rc::Rc,
};

use super::{policy::Rules, yaml};
use crate::error::{Error, ErrorKind, Result};

/// Longer paths are no paths: no system takes them, and following them part by part would take long.
pub(super) const LONGEST_PATH: usize = 4096;
/// Texts that are read again and again are kept: so large a one, and so much in all.
const SHARED: usize = 64 << 10;
const SHARED_ALL: usize = 4 << 20;

/// Why a file could not be read that is of a kind of its own, such as an env file.
pub(super) fn unread(e: &Error, what: &str, path: &Path) -> String {
    if e.kind() == ErrorKind::NotFound { format!("no such {what}: {}", path.display()) } else { e.message().to_owned() }
}

/// Reads files within a policy.
pub(crate) struct Files {
    /// The real folders that files must lie in, that of the project first; none takes any.
    roots: Option<Vec<PathBuf>>,
    absolute: bool,
    remotes: bool,
    most: u64,
    most_files: usize,
    bytes_left: Cell<u64>,
    files_left: Cell<usize>,
    shared: RefCell<HashMap<PathBuf, Rc<str>>>,
    shared_left: Cell<usize>,
}

impl Files {
    pub(crate) fn new(rules: &Rules, folder: &Path) -> Self {
        let real = |r: &Path| std::fs::canonicalize(r).ok();
        let all = |more: &Vec<PathBuf>| [folder].into_iter().chain(more.iter().map(PathBuf::as_path)).filter_map(real).collect();
        Self {
            roots: rules.roots.as_ref().map(all),
            absolute: rules.absolute,
            remotes: rules.remotes,
            most: rules.file,
            most_files: rules.files,
            bytes_left: Cell::new(rules.total),
            files_left: Cell::new(rules.files),
            shared: RefCell::default(),
            shared_left: Cell::new(SHARED_ALL),
        }
    }

    /// Whether any place may be reached.
    pub(crate) fn is_open(&self) -> bool {
        self.roots.is_none()
    }

    /// Whether all that a file may write may be reached.
    pub(crate) fn takes_anything(&self) -> bool {
        self.roots.is_none() && self.absolute && self.remotes
    }

    /// Whether contexts of other hosts may be named.
    pub(crate) fn remotes(&self) -> bool {
        self.remotes
    }

    /// Whether a file may name this path, as it is written.
    pub(crate) fn may_name(&self, text: &str) -> bool {
        self.absolute || !(text.starts_with(['/', '~', '\\']) || super::paths::is_windows_absolute(text))
    }

    /// Whether a path, as far as it exists, lies in the policy's folders once all links are followed.
    pub(crate) fn allows(&self, path: &Path) -> bool {
        let Some(roots) = &self.roots else { return true };
        if path.as_os_str().len() > LONGEST_PATH {
            return false;
        }
        // From the top down to the first part that is not there; that of a root that is named as it really is, at once.
        let known = roots.iter().find(|r| path.starts_with(r));
        let (mut there, rest) = match known.and_then(|r| Some((r.clone(), path.strip_prefix(r).ok()?))) {
            Some(found) => found,
            None => (PathBuf::new(), path),
        };
        let mut parts = rest.components();
        let mut missing: Vec<Component<'_>> = Vec::new();
        for part in parts.by_ref() {
            let next = there.join(part);
            match std::fs::symlink_metadata(&next) {
                Ok(_) => there = next,
                Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                    missing.push(part);
                    break;
                }
                // What cannot be looked at cannot be judged.
                Err(_) => return false,
            }
        }
        missing.extend(parts);
        // A link that leads nowhere may lead somewhere tomorrow, and the way back from what is not there anywhere.
        let Ok(real) = std::fs::canonicalize(&there) else { return false };
        !missing.iter().any(|p| matches!(p, Component::ParentDir)) && roots.iter().any(|r| real.starts_with(r))
    }

    /// The project folder, where the policy has one.
    pub(crate) fn first_root(&self) -> Option<&Path> {
        self.roots.as_ref()?.first().map(PathBuf::as_path)
    }

    /// The text of a file that many services may name: read once.
    pub(crate) fn shared(&self, path: &Path) -> Result<Rc<str>> {
        if let Some(text) = self.shared.borrow().get(path) {
            return Ok(text.clone());
        }
        let text: Rc<str> = self.text(path)?.into();
        if let Some(left) = self.shared_left.get().checked_sub(text.len()).filter(|_| text.len() <= SHARED) {
            self.shared_left.set(left);
            self.shared.borrow_mut().insert(path.to_owned(), text.clone());
        }
        Ok(text)
    }

    /// The text of a regular file that the policy allows.
    pub(crate) fn text(&self, path: &Path) -> Result<String> {
        let named = || path.display();
        if !self.allows(path) {
            let message = format!("{} lies outside the project folder", named());
            return Err(Error::new(ErrorKind::Forbidden, message).hint("move it into the project folder, or load with a policy that allows it"));
        }
        let files =
            self.files_left.get().checked_sub(1).ok_or_else(|| Error::invalid(format!("the project is made of more than {} files", self.most_files)))?;
        self.files_left.set(files);
        // An empty file that is always there: people name it to switch a file of variables off.
        if path == Path::new("/dev/null") {
            return Ok(String::new());
        }
        let file = open(path).map_err(|e| Error::file(path, e))?;
        let meta = file.metadata().map_err(|e| Error::file(path, e))?;
        if meta.is_dir() {
            return Err(Error::invalid(format!("{} is a folder", named())).hint("give a file"));
        }
        if !meta.is_file() {
            return Err(Error::invalid(format!("{} is not a regular file", named())).hint("give a file"));
        }
        let mut bytes = Vec::new();
        let most = self.most.min(self.bytes_left.get());
        file.take(most + 1).read_to_end(&mut bytes).map_err(|e| Error::file(path, e))?;
        if bytes.len() as u64 > most {
            return Err(Error::invalid(format!("{} is too large: {} are read at most", named(), kib(most))));
        }
        self.bytes_left.set(self.bytes_left.get() - bytes.len() as u64);
        String::from_utf8(bytes).map_err(|e| {
            let good = e.utf8_error().valid_up_to();
            let line = e.as_bytes().get(..good).unwrap_or_default().iter().filter(|b| **b == b'\n').count() + 1;
            let start = e.as_bytes().get(..good).unwrap_or_default().iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            let column = good - start + 1;
            let d = crate::error::Diagnostic {
                file: named().to_string(),
                line: line as u32,
                column: column as u32,
                path: yaml::path_at(&String::from_utf8_lossy(e.as_bytes().get(..good).unwrap_or_default()), line as u32),
                message: "the file is not UTF-8".to_owned(),
                expected: Some("UTF-8".to_owned()),
                ..crate::error::Diagnostic::default()
            };
            Error::compose(vec![d]).hint("save it as UTF-8")
        })
    }
}

fn kib(bytes: u64) -> String {
    if bytes.is_multiple_of(1024) { format!("{} KiB", bytes >> 10) } else { format!("{bytes} bytes") }
}

/// Opens a file without waiting for the other end of a pipe.
fn open(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        const NON_BLOCKING: i32 = 0o4000;
        options.custom_flags(NON_BLOCKING);
    }
    #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    options.open(path)
}
