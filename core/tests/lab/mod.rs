//! What the tests stand on: the lab's parts, found through environment variables. What is missing is said, and its test
//! is skipped.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::disallowed_methods, reason = "each test uses a part")]

pub mod certificates;
#[macro_use]
pub mod daemon;

use std::sync::atomic::{AtomicU32, Ordering};

/// Says why a test ends here.
pub fn skip(why: &str) {
    println!("SKIP {}: {why}", std::thread::current().name().unwrap_or_default());
}

/// A value of the lab.
pub fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|v| !v.is_empty());
    if value.is_none() {
        skip(&format!("{name} is not set"));
    }
    value
}

/// A name that no other test has.
pub fn name(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a program of this machine, which must succeed, and gives its output.
pub fn output(program: &str, args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = std::process::Command::new(program).args(args).envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a test that runs as a child was told by a variable.
pub fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Tells the parent a line, after its word.
pub fn tell(word: &str, line: &str) {
    println!("{word}{line}");
}

/// Runs this test's program again for one of its tests, with these variables, and gives the line that begins with a word.
pub fn child(test: &str, word: &str, variables: &[(&str, &str)]) -> String {
    let program = std::env::current_exe().unwrap();
    let said = output(program.to_str().unwrap(), &["--exact", test, "--nocapture", "--test-threads=1"], variables);
    // The harness writes before it, on the same line.
    let found = said.lines().find_map(|l| l.split_once(word).map(|(_, rest)| rest.trim().to_owned()));
    found.unwrap_or_else(|| panic!("no {word} in {said}"))
}

/// Runs each scenario on each engine of the lab, with an image and a name that no other test has.
#[allow(unused_macros, reason = "each test uses a part")]
macro_rules! on_each_engine {
    ($($scenario:ident)+) => {
        on_each_engine!(engine "DOCKERKIT_LAB_ENGINE" $($scenario)+);
        on_each_engine!(engine_28 "DOCKERKIT_LAB_ENGINE_28" $($scenario)+);
    };
    ($module:ident $variable:literal $($scenario:ident)+) => {
        mod $module {
            $(#[tokio::test]
            async fn $scenario() {
                let (Some(endpoint), Some(image)) = (super::variable($variable), super::variable("DOCKERKIT_LAB_IMAGE")) else { return };
                super::$scenario(super::Engine::connect(endpoint).await.unwrap(), image, super::lab::name("dk-")).await;
            })+
        }
    };
}

/// Prunes the steps of builds that have this text, and nothing that another test builds now; gives their number.
pub async fn prune_steps(engine: &dockerkit::Engine, text: &str) -> usize {
    let usage = engine.disk_usage().await.unwrap();
    let steps = usage.raw.pointer("/BuildCache").unwrap().as_array().unwrap().iter();
    let told = |step: &serde_json::Value, key: &str| step.get(key).unwrap().as_str().unwrap().to_owned();
    let ids: Vec<_> = steps.filter(|s| told(s, "Description").contains(text)).map(|s| told(s, "ID")).collect();
    for id in &ids {
        let filters = std::collections::BTreeMap::from([("id".to_owned(), vec![id.clone()])]);
        let pruned = engine.images().prune_build_cache().all(true).filters(filters).await.unwrap();
        assert_eq!(pruned.removed, std::slice::from_ref(id));
    }
    ids.len()
}

/// The names of the files in a tar.
pub fn names_of(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string().trim_start_matches("./").to_owned()).collect()
}
