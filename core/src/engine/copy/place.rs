//! Where a copy comes from and goes to, by the rules of `docker cp`: a path that ends with `/.` means the contents of a folder,
//! one that ends with `/` a folder, and the name of what is copied depends on what is at the target.
//!
//! Paths are bytes here: those of a container are none of this host's, and neither need be UTF-8.

use crate::error::{Error, ErrorKind, Result};

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) is_folder: bool,
    /// Its name, which every name in its archive begins with; `.` for the contents of a folder.
    pub(super) base: Vec<u8>,
    /// The name to give it in place of its own: that of the link through which it was named.
    pub(super) rename: Option<Vec<u8>>,
}

/// Where it is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: Vec<u8>,
    pub(super) exists: bool,
    pub(super) is_folder: bool,
}

/// The folder that takes the copy, and the copy's name in it; none when its contents go into the folder itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) folder: Vec<u8>,
    pub(super) name: Option<Vec<u8>>,
}

pub(super) fn shown(path: &[u8]) -> String {
    crate::error::escape(&String::from_utf8_lossy(path)).into_owned()
}

/// The last part of a path, slashes at its end left out.
pub(super) fn base(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |p| p + 1);
    let path = path.get(..end).unwrap_or_default();
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
}

fn is_contents(path: &[u8]) -> bool {
    base(path) == b"."
}

fn asserts_folder(path: &[u8]) -> bool {
    path.ends_with(b"/") || is_contents(path)
}

/// An absolute path in its shortest form, by its text alone.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    [b"/", parts.join(&b'/').as_slice()].concat()
}

/// Puts the end that says more than a name back: `/.` or `/`.
pub(super) fn keep_end(mut cleaned: Vec<u8>, original: &[u8]) -> Vec<u8> {
    if is_contents(original) && !is_contents(&cleaned) {
        if !cleaned.ends_with(b"/") {
            cleaned.push(b'/');
        }
        cleaned.push(b'.');
    }
    if original.ends_with(b"/") && !cleaned.ends_with(b"/") {
        cleaned.push(b'/');
    }
    cleaned
}

/// The folder of a path, and the name in it.
pub(super) fn split(path: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let cleaned = clean(path);
    if is_contents(path) {
        return (cleaned, b".".to_vec());
    }
    match cleaned.iter().rposition(|b| *b == b'/') {
        Some(0) => (b"/".to_vec(), cleaned.get(1..).unwrap_or_default().to_vec()),
        Some(at) => (cleaned.get(..at).unwrap_or_default().to_vec(), cleaned.get(at + 1..).unwrap_or_default().to_vec()),
        None => (b"/".to_vec(), cleaned),
    }
}

/// A path in a container, from its root.
pub(super) fn in_container(path: &[u8]) -> Vec<u8> {
    keep_end(clean(path), path)
}

/// A link's target as a path from the root.
pub(super) fn through_link(link: &[u8], target: &[u8]) -> Vec<u8> {
    if target.starts_with(b"/") { target.to_vec() } else { clean(&[split(link).0.as_slice(), b"/", target].concat()) }
}

/// What a link was resolved to, with the end of the link's path, and the name that the link gives it.
pub(super) fn renamed(path: &[u8], resolved: Vec<u8>) -> (Vec<u8>, Option<Vec<u8>>) {
    let resolved = keep_end(resolved, path);
    let rename = (base(path) != base(&resolved)).then(|| base(path).to_vec());
    (resolved, rename)
}

/// Chooses where a copy goes.
pub(super) fn arrange(source: &Source, target: &Target) -> Result<Spot> {
    let name = |name: &[u8]| Some(name.to_vec()).filter(|n| n != b"." && !n.is_empty());
    if target.exists && target.is_folder {
        return Ok(Spot { folder: target.path.clone(), name: name(source.rename.as_deref().unwrap_or(&source.base)) });
    }
    if target.exists && source.is_folder {
        let message = format!("{} is a file, and a folder cannot take its place", shown(&target.path));
        return Err(Error::new(ErrorKind::Conflict, message).hint("copy it to another name, or remove the file first").with("path", shown(&target.path)));
    }
    if !target.exists && !source.is_folder && asserts_folder(&target.path) {
        let message = format!("the folder {} is not there", shown(&target.path));
        return Err(Error::not_found(message).hint("make the folder first, or leave the slash at its end out").with("path", shown(&target.path)));
    }
    let (folder, own) = split(&target.path);
    Ok(Spot { folder, name: name(&own) })
}

/// The error for a target that is a device.
pub(super) fn device(path: &[u8]) -> Error {
    Error::invalid(format!("{} is a device", shown(path))).hint("the target of a copy is a folder or a file").with("path", shown(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &[u8]) -> &str {
        std::str::from_utf8(path).unwrap()
    }

    #[test]
    fn the_end_of_a_path_is_kept_when_it_says_more_than_a_name() {
        for (given, wanted) in
            [("a", "/a"), ("/a/", "/a/"), ("/a/.", "/a/."), ("/a//b/../c/./", "/a/c/./"), (".", "/."), ("", "/"), ("/", "/"), ("../../x", "/x"), ("/a/..", "/")]
        {
            assert_eq!(text(&in_container(given.as_bytes())), wanted, "{given}");
        }
    }

    #[test]
    fn a_path_is_split_into_folder_and_name() {
        for (given, folder, name) in [("/a/b", "/a", "b"), ("/a/b/", "/a", "b"), ("/a/b/.", "/a/b", "."), ("/a", "/", "a"), ("/", "/", ""), ("/.", "/", ".")] {
            let (f, n) = split(given.as_bytes());
            assert_eq!((text(&f), text(&n)), (folder, name), "{given}");
        }
    }

    #[test]
    fn a_copy_goes_where_docker_cp_puts_it() {
        let source = |is_folder, base: &str, rename: Option<&str>| Source { is_folder, base: base.into(), rename: rename.map(Into::into) };
        let target = |path: &str, exists, is_folder| Target { path: path.into(), exists, is_folder };
        let spot = |folder: &str, name: &str| Ok(Spot { folder: folder.into(), name: (!name.is_empty()).then(|| name.into()) });
        let cases = [
            (source(false, "f", None), target("/d", true, true), spot("/d", "f")),
            (source(true, "s", None), target("/d/", true, true), spot("/d/", "s")),
            (source(true, ".", None), target("/d", true, true), spot("/d", "")),
            (source(true, "s", Some("link")), target("/d", true, true), spot("/d", "link")),
            (source(false, "f", None), target("/d/g", true, false), spot("/d", "g")),
            (source(false, "f", None), target("/d/g", false, false), spot("/d", "g")),
            (source(true, "s", None), target("/d/g", false, false), spot("/d", "g")),
            (source(true, ".", None), target("/d/g/", false, false), spot("/d", "g")),
            (source(true, "s", None), target("/d/g", true, false), Err(ErrorKind::Conflict)),
            (source(false, "f", None), target("/d/g/", false, false), Err(ErrorKind::NotFound)),
            (source(false, "f", None), target("/d/g/.", false, false), Err(ErrorKind::NotFound)),
        ];
        for (source, target, wanted) in cases {
            assert_eq!(arrange(&source, &target).map_err(|e| e.kind()), wanted, "{source:?} {target:?}");
        }
    }
}
