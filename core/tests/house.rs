//! How the house is built: which module may use which, and how long a file may be.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its files fails")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What each module may use besides itself and what all may use.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("plan", &[]),
    ("transport", &[]),
    ("engine", &["transport"]),
    ("compose", &["engine", "plan", "transport"]),
    ("swarm", &["compose", "engine", "plan"]),
    ("machine", &["engine", "plan", "transport"]),
    ("monitor", &["engine", "machine", "swarm"]),
    ("cluster", &["compose", "engine", "machine", "monitor", "swarm"]),
];
/// Longest file, in lines.
const LONGEST: usize = 800;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            all.extend(files(&entry));
        } else if entry.extension().is_some_and(|e| e == "rs") {
            all.push(entry);
        }
    }
    all
}

/// The modules that a text names after `crate::`, alone or in braces.
fn used(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for part in text.split("crate::").skip(1) {
        if let Some(list) = part.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    c if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            out.extend(name.split(',').map(|n| n.trim().split("::").next().unwrap_or_default().to_owned()));
        } else {
            out.push(part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    out
}

#[test]
fn imports_go_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rules: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let mut wrong = Vec::new();
    for file in files(&source) {
        let inner = file.strip_prefix(&source).unwrap();
        let module = inner.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let Some(allowed) = rules.get(module.as_str()) else { continue };
        let text = std::fs::read_to_string(&file).unwrap();
        let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for name in used(&code) {
            if rules.contains_key(name.as_str()) && name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{} uses {name}", inner.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_too_long() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["core/src", "core/codegen/src", "bindings-python/src", "bindings-node/src"] {
        for file in files(&top.join(folder)) {
            let lines = std::fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= LONGEST, "{} has {lines} lines", file.display());
        }
    }
}
