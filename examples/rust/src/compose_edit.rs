//! Loads a Compose file, adds a service, changes an image, and prints the project.

use dockerkit::Project;
use serde_json::json;

#[tokio::main]
async fn main() -> dockerkit::Result<()> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../shop/compose.yaml");
    let project = Project::load(file).await?;

    // Each change makes a new project, checked as a file is; the first one stays as it is.
    let cache = json!({"image": "cache:2", "expose": [6379], "restart": "unless-stopped"});
    let changed = project.with_service("cache", cache.as_object().cloned().unwrap_or_default()).await?;
    let changed = changed.set("services.web.image", "shop/web:2").await?;
    let changed = changed.set("services.web.environment.CACHE", "cache:6379").await?;

    for warning in changed.warnings() {
        eprintln!("{warning}");
    }
    print!("{}", changed.to_yaml().await?);

    // What is wrong is told with its key path and the nearest name.
    if let Err(wrong) = changed.set("services.web.imag", "shop/web:3").await {
        eprintln!("{wrong}");
    }
    Ok(())
}
