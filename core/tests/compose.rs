//! Compose files beside docker compose: each folder of `tests/compose/cases` holds a case and what docker compose answers
//! to it. The same cases run through Python and Node.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its cases fails")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dockerkit::{Error, ErrorKind, Project};
use serde_json::Value;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/compose").canonicalize().unwrap()
}

fn json(path: &Path) -> Option<Value> {
    std::fs::read_to_string(path).ok().map(|text| serde_json::from_str(&text).unwrap())
}

fn texts(options: &Value, key: &str) -> Vec<String> {
    options[key].as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
}

/// Loads a case as its `case.json` says.
async fn load(folder: &Path) -> Result<Project, Error> {
    let options = json(&folder.join("case.json")).unwrap_or(Value::Null);
    let paths = |key: &str| texts(&options, key).iter().map(|f| folder.join(f)).collect::<Vec<PathBuf>>();
    let mut env: BTreeMap<String, String> =
        options["env"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
    env.insert("HOME".to_owned(), "/home/somebody".to_owned());
    let files = paths("files");
    let mut call = Project::load(files.clone()).clear_env(true).env(env).profiles(texts(&options, "profiles")).env_files(paths("env_files"));
    if let Some(name) = options["name"].as_str() {
        call = call.name(name);
    }
    if let Some(dir) = options["project_dir"].as_str() {
        call = call.project_dir(folder.join(dir));
    } else if files.is_empty() {
        call = call.project_dir(folder.to_owned());
    }
    call.await
}

/// Paths become the marks that the recorded answers have.
fn portable(value: &Value, folder: &Path) -> Value {
    let text = value.to_string().replace(folder.to_str().unwrap(), "<dir>").replace(folder.parent().unwrap().to_str().unwrap(), "<parent>");
    serde_json::from_str(&text).unwrap()
}

/// JSON has one kind of number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w))),
        _ => a == b,
    }
}

/// How our answer to a case differs from the recorded one.
async fn difference(folder: &Path) -> Option<String> {
    let expected = json(&folder.join("expected.json"));
    match (load(folder).await, expected) {
        (Err(e), None) => {
            let kind = matches!(e.kind(), ErrorKind::InvalidCompose | ErrorKind::NotFound | ErrorKind::InvalidInput | ErrorKind::Io);
            (!kind).then(|| format!("rejected as {:?}: {e}", e.kind()))
        }
        (Err(e), Some(_)) => Some(format!("rejected: {e}")),
        (Ok(_), None) => Some("loaded".to_owned()),
        (Ok(project), Some(expected)) => {
            let ours = portable(&project.config().await.unwrap(), folder);
            if !same(&ours, &expected) {
                return Some(format!("another model: {ours}"));
            }
            let hashes = project.hashes().await.unwrap();
            let recorded = json(&folder.join("hashes.json")).unwrap();
            let recorded = recorded.as_object().unwrap();
            let names = hashes.len() == recorded.len();
            // What names the folder has a hash of its own in each.
            let wrong = recorded.iter().find(|(name, hash)| hash.as_str().is_some_and(|h| hashes.get(*name).is_none_or(|ours| ours != h)));
            (!names || wrong.is_some()).then(|| format!("other hashes: {hashes:?}"))
        }
    }
}

#[tokio::test]
async fn every_case_is_answered_as_docker_compose_answers() {
    let listed = json(&top().join("differences.json")).unwrap();
    let listed = listed.as_object().unwrap();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(top().join("cases")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 300, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for folder in &cases {
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(folder.join("expected.json").exists() != folder.join("rejected.txt").exists(), "{name} has no answer: run make compose-golden");
        match (difference(folder).await, listed.contains_key(name)) {
            (Some(text), false) => wrong.push(format!("{name}: {text}")),
            (None, true) => wrong.push(format!("{name}: is listed as a difference, and there is none")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[tokio::test]
async fn every_rejection_says_where() {
    let (mut all, mut placed) = (0, 0);
    for entry in std::fs::read_dir(top().join("cases")).unwrap() {
        let folder = entry.unwrap().path();
        let Err(e) = load(&folder).await else { continue };
        for d in e.diagnostics() {
            all += 1;
            assert!(!d.file.is_empty() && !d.message.is_empty(), "{d:?}");
            placed += usize::from(d.line > 0 && d.column > 0);
        }
    }
    assert!(all > 300 && placed * 100 >= all * 95, "{placed} of {all}");
}
