//! Loads a Compose file so often, for `benches/compose` to measure: the file, then the rounds.
#![allow(clippy::unwrap_used, reason = "a program that measures")]

use dockerkit::Project;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // What cargo adds for test harnesses is passed over.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [file, rounds] = arguments.as_slice() else { return };
    for _ in 0..rounds.parse::<usize>().unwrap() {
        let project = Project::load(std::path::PathBuf::from(file)).await.unwrap();
        assert!(!project.hashes().await.unwrap().is_empty());
    }
}
