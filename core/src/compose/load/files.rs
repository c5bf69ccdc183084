//! Reading files, within the policy: regular files only, of a bounded size, and where the policy says so none outside of
//! its folders.

use std::{
    cell::Cell,
    io::Read,
    path::{Path, PathBuf},
};

use super::{LoadPolicy, yaml};
use crate::error::{Error, ErrorKind, Result};

/// So many files are read for one project.
const FILES: usize = 2_000;
/// So many bytes are read for one project.
const TRUSTED_BYTES: u64 = 128 << 20;
const UNTRUSTED_BYTES: u64 = 4 << 20;
const UNTRUSTED_FILE: u64 = 1 << 20;

/// Reads files within a policy.
pub(crate) struct Files {
    /// The real folders that files must lie in; none takes any.
    roots: Option<Vec<PathBuf>>,
    most: u64,
    bytes_left: Cell<u64>,
    files_left: Cell<usize>,
}

impl Files {
    pub(crate) fn new(policy: LoadPolicy, roots: &[&Path]) -> Self {
        let untrusted = policy == LoadPolicy::Untrusted;
        let real = |r: &&Path| std::fs::canonicalize(r).ok();
        Self {
            roots: untrusted.then(|| roots.iter().filter_map(real).collect()),
            most: if untrusted { UNTRUSTED_FILE } else { yaml::BYTES as u64 },
            bytes_left: Cell::new(if untrusted { UNTRUSTED_BYTES } else { TRUSTED_BYTES }),
            files_left: Cell::new(FILES),
        }
    }

    /// Whether a path, as far as it exists, lies in the policy's folders once all links are followed.
    pub(crate) fn allows(&self, path: &Path) -> bool {
        let Some(roots) = &self.roots else { return true };
        let mut rest = PathBuf::new();
        for part in path.ancestors() {
            match std::fs::canonicalize(part) {
                Ok(real) => {
                    let whole = real.join(&rest);
                    return roots.iter().any(|r| whole.starts_with(r));
                }
                // A link that leads nowhere may lead somewhere tomorrow.
                Err(_) if part.is_symlink() => return false,
                Err(_) => rest = part.file_name().map_or_else(PathBuf::new, |n| Path::new(n).join(&rest)),
            }
        }
        false
    }

    /// The project folder, where the policy has one.
    pub(crate) fn first_root(&self) -> Option<&Path> {
        self.roots.as_ref()?.first().map(PathBuf::as_path)
    }

    /// The text of a regular file that the policy allows.
    pub(crate) fn text(&self, path: &Path) -> Result<String> {
        let named = || path.display();
        if !self.allows(path) {
            let message = format!("{} lies outside the project folder", named());
            return Err(Error::new(ErrorKind::Forbidden, message).hint("move it into the project folder, or load with the policy `trusted`"));
        }
        let files = self.files_left.get().checked_sub(1).ok_or_else(|| Error::invalid(format!("the project is made of more than {FILES} files")))?;
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
            return Err(Error::invalid(format!("{} is too large: {} KiB are read at most", named(), most >> 10)));
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
