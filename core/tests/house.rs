//! How the house is built: which module may use which, and how long a file may be.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its files fails")]

mod lab;

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

/// What a dependency may be licensed under; `deny.toml` says the same.
const LICENCES: [&str; 9] =
    ["MPL-2.0", "MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-3-Clause", "ISC", "Unicode-3.0", "Zlib", "CDLA-Permissive-2.0"];

#[test]
fn dependencies_have_a_licence_that_is_allowed_and_come_from_the_registry() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let args = ["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest.to_str().unwrap()];
    let all: serde_json::Value = serde_json::from_str(&lab::output(env!("CARGO"), &args, &[])).unwrap();
    let mut wrong = Vec::new();
    for package in all["packages"].as_array().unwrap() {
        let text = |name: &str| package[name].as_str().unwrap_or_default();
        let Some(source) = package["source"].as_str() else { continue };
        // One of those with OR between them is enough; of those with AND, each must be allowed.
        let licence = text("license").replace('/', " OR ").replace(['(', ')'], "");
        let one = licence.split(" OR ").any(|part| part.split(" AND ").all(|l| LICENCES.contains(&l.trim())));
        if !one || !source.starts_with("registry+") {
            wrong.push(format!("{} {}: {licence}, {source}", text("name"), text("version")));
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

#[test]
fn tests_that_the_documents_name_are_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(top.join("docs/features.md")).unwrap();
    let (mut named, mut wrong) = (0, Vec::new());
    // Every other part lies between backticks.
    for part in text.split('`').skip(1).step_by(2) {
        let Some((file, test)) = part.split_once(": ") else { continue };
        let (folder, begins) = match file.rsplit_once('.') {
            Some((_, "rs")) => ("core/tests", format!("fn {test}(")),
            Some((_, "py")) => ("tests/python", format!("def {test}(")),
            Some((_, "js")) => ("tests/node", format!("test('{test}'")),
            _ => continue,
        };
        named += 1;
        if !std::fs::read_to_string(top.join(folder).join(file)).is_ok_and(|source| source.contains(&begins)) {
            wrong.push(part);
        }
    }
    assert!(named > 60 && wrong.is_empty(), "{named} named, not there: {wrong:#?}");
}
