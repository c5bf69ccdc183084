//! Prints a project as `docker compose config --format json` does; with a second argument, its hashes.
use dockerkit::Project;

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "it prints")]
async fn main() -> dockerkit::Result<()> {
    let mut args = std::env::args().skip(1);
    let project = Project::load(args.next().unwrap_or_default().as_str()).await?;
    if args.next().is_some() {
        for (name, hash) in project.hashes().await? {
            println!("{name} {hash}");
        }
    } else {
        println!("{}", project.to_json().await?);
    }
    Ok(())
}
