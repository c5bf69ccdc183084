//! The files of this host that are copied.

mod pack;
mod unpack;

use std::{
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::FileTypeExt,
    },
    path::{Path, PathBuf},
};

pub(super) use self::{pack::pack, unpack::unpack};
use super::place::{Source, Target, base, clean, device, keep_end, renamed, shown, split, through_link};
use crate::error::{Error, Result};

/// How many links the target of a copy may lead through.
const LINKS: usize = 10;

/// Bytes as a path of this host.
fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
}

fn file_error(path: &[u8], e: std::io::Error) -> Error {
    if e.kind() == std::io::ErrorKind::NotADirectory {
        let message = format!("{}: a part of the path that must be a folder is none", shown(path));
        return Error::invalid(message).with("path", shown(path)).source(e);
    }
    Error::file(to_path(path), e)
}

fn absolute(path: &Path) -> Result<Vec<u8>> {
    let given = path.as_os_str().as_bytes();
    if given.is_empty() {
        return Err(Error::invalid("a path is empty").hint("give a file or a folder"));
    }
    let full = if path.is_absolute() {
        clean(given)
    } else {
        let here = std::env::current_dir().map_err(|e| Error::file(path, e))?;
        clean(&[here.as_os_str().as_bytes(), b"/", given].concat())
    };
    Ok(keep_end(full, given))
}

/// Finds what a path of this host names. Links in its folder are followed; one at its end only where that is asked for, or
/// where the path ends as a folder's does.
pub(super) fn host_source(path: &Path, follow: bool) -> Result<(PathBuf, Source)> {
    let path = absolute(path)?;
    let resolve = |p: &[u8]| std::fs::canonicalize(to_path(p)).map(|p| p.into_os_string().into_vec()).map_err(|e| file_error(&path, e));
    let (resolved, rename) = if follow {
        renamed(&path, resolve(&path)?)
    } else {
        let at = path.iter().rposition(|b| *b == b'/').map_or(0, |p| p + 1);
        let mut resolved = resolve(path.get(..at).unwrap_or_default())?;
        if !resolved.ends_with(b"/") {
            resolved.push(b'/');
        }
        resolved.extend_from_slice(path.get(at..).unwrap_or_default());
        let rename = (path.ends_with(b"/") && base(&path) != base(&resolved)).then(|| base(&path).to_vec());
        (resolved, rename)
    };
    let meta = std::fs::symlink_metadata(to_path(&resolved)).map_err(|e| file_error(&path, e))?;
    let source = Source { is_folder: meta.is_dir(), base: split(&resolved).1, rename };
    Ok((to_path(&resolved), source))
}

/// Finds where a path of this host leads, through links at its end. The target itself need not be there, its folder must.
pub(super) fn host_target(path: &Path) -> Result<Target> {
    let given = absolute(path)?;
    let parent_of = |path: &[u8]| to_path(&split(path).0);
    if let Some(parent) = to_path(&clean(&given)).parent() {
        std::fs::metadata(parent).map_err(|e| file_error(parent.as_os_str().as_bytes(), e).hint("make the folder first"))?;
    }
    if std::fs::metadata(to_path(&given)).is_ok_and(|m| m.file_type().is_char_device() || m.file_type().is_block_device()) {
        return Err(device(&given));
    }
    let mut path = given.clone();
    for _ in 0..=LINKS + 1 {
        match std::fs::symlink_metadata(to_path(&path)) {
            Ok(meta) if meta.is_symlink() => {
                let to = std::fs::read_link(to_path(&path)).map_err(|e| file_error(&path, e))?;
                path = through_link(&path, to.as_os_str().as_bytes());
            }
            Ok(meta) => return Ok(Target { path, exists: true, is_folder: meta.is_dir() }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let parent = parent_of(&path);
                let meta = std::fs::metadata(&parent).map_err(|e| Error::file(&parent, e).hint("make the folder first"))?;
                if !meta.is_dir() {
                    return Err(Error::invalid(format!("{} is not a folder", shown(parent.as_os_str().as_bytes()))));
                }
                return Ok(Target { path, exists: false, is_folder: false });
            }
            Err(e) => return Err(file_error(&path, e)),
        }
    }
    Err(Error::invalid(format!("{} leads through too many links", shown(&given))))
}
