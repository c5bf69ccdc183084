//! Makes three machines on this host, joins them, and spreads the shop over them: from nothing to there and back.
#![expect(clippy::print_stdout, reason = "a program that talks")]
use std::{fs, time::Instant};

use dockerkit::{App, Cluster, Engine, Error, Event, Project, Result, Stack};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shop");

fn show(event: Event) {
    println!("{event}");
}

/// What the shop's front says, at the node that its task runs on.
async fn ask(cluster: &Cluster, stack: &Stack) -> Result<String> {
    let tasks = stack.ps().await?;
    let web = tasks.iter().find(|t| t.service.ends_with("_web") && t.is_running()).ok_or_else(|| Error::not_found("the front does not run"))?;
    let machine = cluster.machines().iter().find(|m| m.name() == web.node).ok_or_else(|| Error::not_found("no such machine"))?;
    let url = format!("http://{}:8080/", machine.ip().await?);
    let answer = ureq::get(&url).call().and_then(|mut a| a.body_mut().read_to_string());
    answer.map_err(|e| Error::internal(e.to_string()))
}

async fn run(cluster: &Cluster) -> Result<()> {
    let begin = Instant::now();
    let project = Project::load(format!("{SHOP}/compose.yaml").as_str()).await?;
    App::new(&Engine::connect("").await?, &project).build().await?;
    for service in project.model().services.values() {
        cluster.push_image(&*service.image).on_event(show).await?;
    }
    println!("== images built and on every node: {:.1?}\n", begin.elapsed());

    let begin = Instant::now();
    let stack = cluster.stack(&project).await?;
    println!("{}", stack.plan().await?);
    stack.up().wait(true).on_event(show).await?;
    for task in stack.ps().await?.iter().filter(|t| t.is_running()) {
        println!("{} runs on {}", task.name, task.node);
    }
    println!("{}== up: {:.1?}\n", ask(cluster, &stack).await?, begin.elapsed());

    let begin = Instant::now();
    let greeting = format!("{SHOP}/config/greeting.txt");
    let before = fs::read(&greeting).map_err(|e| Error::file(&greeting, e))?;
    fs::write(&greeting, "Hello again, with nothing built anew\n").map_err(|e| Error::file(&greeting, e))?;
    println!("{}", stack.plan().await?);
    let result = stack.up().wait(true).on_event(show).await;
    fs::write(&greeting, before).map_err(|e| Error::file(&greeting, e))?;
    result?;
    println!("{}== another greeting: {:.1?}\n", ask(cluster, &stack).await?, begin.elapsed());

    let begin = Instant::now();
    let snapshot = cluster.snapshot().await?;
    println!("{snapshot}");
    let victim = snapshot.nodes.iter().find(|n| !n.leader && n.running_tasks > 0).ok_or_else(|| Error::not_found("no node to lose"))?;
    let mut changes = cluster.watch().await?;
    if let Some(machine) = cluster.machines().iter().find(|m| m.name() == victim.name) {
        machine.kill().await?;
    }
    let mut moved = 0;
    while moved < victim.running_tasks {
        let Some(change) = changes.next().await.transpose()? else { break };
        println!("{}", change.text);
        moved += u64::from(change.kind == "task_changed" && change.state == "running" && change.node != victim.name);
    }
    println!("== {} lost, and its tasks moved: {:.1?}\n", victim.name, begin.elapsed());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let begin = Instant::now();
    let cluster = Cluster::local("demo").nodes(3).on_event(show).await?;
    println!("== three machines, joined: {:.1?}\n", begin.elapsed());
    let result = run(&cluster).await;
    let begin = Instant::now();
    cluster.destroy().await?;
    println!("== gone: {:.1?}", begin.elapsed());
    result
}
