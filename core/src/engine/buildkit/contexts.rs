//! The contexts that a build gets beside its own: folders, images, and what lies on the network.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use sha2::{Digest, Sha256};

use super::{inputs, wire::Definition};
use crate::error::{Error, ErrorKind, Result};

/// What the engine fetches by itself.
const REMOTE: [&str; 6] = ["docker-image://", "https://", "http://", "git://", "ssh://", "git@"];

/// Named contexts, checked.
#[derive(Debug, Default)]
pub(in crate::engine) struct Contexts {
    /// What the frontend is told, by the contexts' names.
    pub(super) sources: BTreeMap<String, String>,
    /// Files on the network, by the names of the inputs that they are.
    pub(super) inputs: BTreeMap<String, Definition>,
    /// The folders that are offered, by the names under which they are asked for.
    folders: BTreeMap<String, PathBuf>,
}

impl Contexts {
    /// Reads an option's map from names to what they stand for.
    pub(in crate::engine) fn read(given: &BTreeMap<String, String>) -> Result<Self> {
        let mut all = Self::default();
        for (name, value) in given {
            let key = familiar(name)?;
            let source = if is_file(value) {
                let input = format!("url-{key}");
                all.inputs.insert(input.clone(), inputs::fetched(&key, value));
                format!("input:{input}")
            } else if REMOTE.iter().any(|scheme| value.starts_with(scheme)) {
                value.clone()
            } else if let Some((scheme, _)) = value.split_once("://") {
                return Err(unsupported(name, scheme));
            } else {
                if cfg!(windows) {
                    return Err(unsupported(name, "a folder of a Windows host"));
                }
                let folder = folder(name, value)?;
                let asked = asked_as(&key, &folder);
                let source = format!("local:{asked}");
                all.folders.insert(asked, folder);
                source
            };
            if all.sources.insert(key, source).is_some() {
                return Err(Error::invalid(format!("the context {} is given twice", crate::error::escape(name))).hint("leave one of them out"));
            }
        }
        Ok(all)
    }

    /// The folders that the build may ask for, by the names under which it does.
    pub(in crate::engine) fn folders(&self) -> BTreeMap<String, PathBuf> {
        self.folders.clone()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

/// Whether an address is a file's: one that ends in `.git`, before what it says of a branch, is a repository's.
fn is_file(value: &str) -> bool {
    let place = value.split(['#', '?']).next().unwrap_or_default();
    (value.starts_with("https://") || value.starts_with("http://")) && !place.ends_with(".git")
}

fn unsupported(name: &str, scheme: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the context {}: {} is not supported", crate::error::escape(name), crate::error::escape(scheme)))
        .hint("give a folder, docker-image://<image>, or an address that begins with https://")
        .with("context", name)
}

/// The name as frontends look for it: an image's name without what is understood by itself.
fn familiar(name: &str) -> Result<String> {
    let short = name.strip_suffix(":latest").unwrap_or(name);
    let short = short.strip_prefix("docker.io/").unwrap_or(short);
    let short = short.strip_prefix("library/").unwrap_or(short);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:@".contains(c);
    if short.is_empty() || !short.chars().all(fits) || !short.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(Error::invalid(format!("`{}` cannot be a context's name", crate::error::escape(name)))
            .hint("use small letters, digits, and what image names have between them"));
    }
    Ok(short.to_owned())
}

fn folder(name: &str, value: &str) -> Result<PathBuf> {
    let failed = |e| Error::file(Path::new(value), e).hint("give a folder, docker-image://<image>, or an address").with("context", name);
    let path = std::fs::canonicalize(value).map_err(failed)?;
    if !path.is_dir() {
        return Err(Error::invalid(format!("{value} is not a folder")).hint("give the folder that holds the files").with("context", name));
    }
    Ok(path)
}

/// The name under which a folder is asked for. The engine keeps what it was sent under it, and takes a file of the same size
/// and moment for the same: so folders never share a name, and neither do processes.
fn asked_as(name: &str, folder: &Path) -> String {
    static OWN: OnceLock<[u8; 16]> = OnceLock::new();
    let mut hash = Sha256::new();
    hash.update(OWN.get_or_init(rand::random));
    hash.update(folder.as_os_str().as_encoded_bytes());
    let digest: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("{name}-{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Contexts> {
        Contexts::read(&[(name.to_owned(), value.to_owned())].into())
    }

    #[cfg(windows)]
    #[test]
    fn folders_are_refused() {
        assert_eq!(read("x", r"C:\").unwrap_err().kind(), ErrorKind::Unsupported);
    }

    // A Windows host sends no folders.
    #[cfg(unix)]
    #[test]
    fn each_kind_of_context_is_told_apart() {
        let all = read("base:latest", "docker-image://some/image:1").unwrap();
        assert_eq!(all.sources, [("base".to_owned(), "docker-image://some/image:1".to_owned())].into());
        assert!(all.folders.is_empty());
        for (value, source) in [
            ("https://host.test/x.tar#y", "input:url-far"),
            ("http://host.test/x?a=x.git", "input:url-far"),
            ("https://host.test/x.git", "https://host.test/x.git"),
            ("https://host.test/x.git#main:folder", "https://host.test/x.git#main:folder"),
            ("git@host.test:x", "git@host.test:x"),
        ] {
            let all = read("far", value).unwrap();
            assert_eq!((all.sources["far"].as_str(), all.inputs.len()), (source, usize::from(source.starts_with("input:"))), "{value}");
        }
        let here = tempfile::tempdir().unwrap();
        let all = read("shared", here.path().to_str().unwrap()).unwrap();
        let (asked, folder) = all.folders.first_key_value().unwrap();
        assert_eq!((all.sources["shared"].as_str(), folder.as_path()), (format!("local:{asked}").as_str(), here.path().canonicalize().unwrap().as_path()));
        for (name, value, kind) in [
            ("x", "oci-layout:///somewhere", ErrorKind::Unsupported),
            ("x", "ftp://host/file", ErrorKind::Unsupported),
            ("x", "/nothing/here", ErrorKind::NotFound),
            ("x", "/dev/null", ErrorKind::InvalidInput),
            ("X y", "/", ErrorKind::InvalidInput),
            ("", "/", ErrorKind::InvalidInput),
        ] {
            assert_eq!(read(name, value).unwrap_err().kind(), kind, "{name} {value}");
        }
    }
}
