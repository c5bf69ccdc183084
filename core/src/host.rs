//! This host, as every module sees it: variables, the user's folder, and files that nobody else may read.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// A variable of the environment, where it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the place where single variables are read")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// The user's own folder.
pub(crate) fn home() -> PathBuf {
    variable("HOME").unwrap_or_else(|| "/root".to_owned()).into()
}

/// Makes a folder, and those above it, that nobody else may enter.
pub(crate) fn make_private(folder: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| Error::file(folder, e))
}

/// Writes a file that nobody else may read, all or nothing: its bytes and then its folder are on disk when this returns.
pub(crate) fn write_private(path: &Path, data: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_private(folder)?;
    let new = folder.join(format!(".{}.{}.new", path.file_name().unwrap_or_default().to_string_lossy(), std::process::id()));
    let io = |e| Error::file(path, e);
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(io)?;
    file.write_all(data).and_then(|()| file.sync_all()).map_err(io)?;
    std::fs::rename(&new, path).map_err(io)?;
    File::open(folder).and_then(|f| f.sync_all()).map_err(io)
}
