//! Secrets and configs of a stack, versioned by their content.
//!
//! A swarm does not let the content of a secret or config be changed. So the name carries the content's hash: other
//! content is another object, and only services that use it are updated.

use std::{collections::BTreeMap, path::Path};

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::convert::{Naming, is_own};
use crate::{
    compose::{Project, model::ConfigObject},
    error::{Error, Result},
};

/// Says which key of the file an object is a version of.
pub(crate) const KEY: &str = "dockerkit.stack.key";
/// How long a name may be.
const LONGEST: usize = 64;

/// A secret or config that should be.
pub(crate) struct File {
    /// `secrets` or `configs`.
    pub(crate) kind: &'static str,
    /// Its name in the swarm.
    pub(crate) name: String,
    /// The request's body; none for an external one, which must be there.
    pub(crate) body: Option<Zeroizing<String>>,
    /// The content in base64, where the name does not say it: an object of this name must have this content.
    pub(crate) fixed: Option<String>,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("kind", &self.kind).field("name", &self.name).finish_non_exhaustive()
    }
}

/// All secrets or configs of a project, by key. `salt` is the swarm's own ID: names then say nothing outside of it.
pub(crate) fn files(
    project: &Project,
    naming: Naming<'_>,
    kind: &'static str,
    objects: &BTreeMap<String, ConfigObject>,
    salt: &str,
) -> Result<BTreeMap<String, File>> {
    objects.iter().map(|(key, object)| file(project, naming, kind, key, object, salt).map(|f| (key.clone(), f))).collect()
}

fn file(project: &Project, naming: Naming<'_>, kind: &'static str, key: &str, object: &ConfigObject, salt: &str) -> Result<File> {
    let plain = naming.of(key, &object.name);
    if !is_own(object) {
        return Ok(File { kind, name: if object.name.is_empty() { key.to_owned() } else { object.name.clone() }, body: None, fixed: None });
    }
    let driver = (!object.driver.is_empty()).then(|| json!({"Name": object.driver, "Options": object.driver_opts}));
    let content = if driver.is_some() { Zeroizing::new(Vec::new()) } else { content(project, kind, key, object)? };
    let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(&*content));
    // A name that the file gives is its author's own versioning.
    let given = !object.name.is_empty() && plain != format!("{}_{key}", naming.stack);
    let name = if given || driver.is_some() { plain } else { versioned(&plain, &digest(salt, &plain, &content)) };
    let mut labels = naming.labels(&object.labels);
    if !given {
        labels.insert(KEY.to_owned(), key.to_owned());
    }
    let template = (!object.template_driver.is_empty()).then(|| json!({"Name": object.template_driver}));
    let body = json!({"Name": name, "Labels": labels, "Data": *encoded, "Driver": driver, "Templating": template});
    let fixed = (given && kind == "configs").then(|| encoded.to_string());
    Ok(File { kind, name, body: Some(Zeroizing::new(body.to_string())), fixed })
}

fn content(project: &Project, kind: &str, key: &str, object: &ConfigObject) -> Result<Zeroizing<Vec<u8>>> {
    let data = if !object.file.is_empty() {
        std::fs::read(Path::new(&object.file)).map_err(|e| Error::file(&object.file, e).with("attribute", format!("{kind}.{key}.file")))?
    } else if !object.environment.is_empty() {
        let value = project.variable(&object.environment).ok_or_else(|| {
            Error::invalid(format!("the variable {} is not set", object.environment))
                .hint("set it, or give it in the project's env")
                .with("attribute", format!("{kind}.{key}.environment"))
        })?;
        value.into_bytes()
    } else {
        object.content.clone().into_bytes()
    };
    Ok(Zeroizing::new(data))
}

fn digest(salt: &str, name: &str, content: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [salt.as_bytes(), name.as_bytes(), content] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(6).map(|b| format!("{b:02x}")).collect()
}

fn versioned(name: &str, hash: &str) -> String {
    let room = LONGEST.saturating_sub(hash.len() + 1);
    format!("{}_{hash}", name.chars().take(room).collect::<String>())
}

/// Whether a live object is a version that this library made.
pub(crate) fn is_version(raw: &Value) -> bool {
    raw.pointer("/Spec/Labels").and_then(|l| l.get(KEY)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_too_long_and_differ_by_content() {
        let long = "x".repeat(100);
        let of = |content: &[u8]| versioned(&long, &digest("swarm", &long, content));
        assert_eq!(of(b"a").len(), LONGEST);
        assert_ne!(of(b"a"), of(b"b"));
        assert_eq!(of(b"a"), of(b"a"));
    }
}
