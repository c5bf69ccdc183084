//! Prints the time of ping, list and logs through the core, in rounds.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used, reason = "a program that measures")]

use std::time::Instant;

use dockerkit::Engine;

const LINES: u32 = 20_000;
const ROUNDS: usize = 15;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[tokio::main]
async fn main() -> dockerkit::Result<()> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let engine = Engine::connect(variable("DOCKERKIT_LAB_ENGINE", "unix:///var/run/docker.sock")).await?;
    let image = variable("DOCKERKIT_LAB_IMAGE", "dockerkit-lab/busybox:1");
    let script = format!("i=0; while [ $i -lt {LINES} ]; do echo line number $i; i=$((i+1)); done");
    let container = engine.containers().run(image, ["sh", "-c", &script]).await?;
    container.wait().await?;
    let (mut ping, mut list, mut logs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        engine.ping().await?;
        ping.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        engine.containers().list().all(true).await?;
        list.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let mut stream = container.logs().await?;
        let mut bytes = 0;
        while let Some(chunk) = stream.next().await {
            bytes += chunk?.data.len();
        }
        assert!(bytes > 0);
        logs.push(start.elapsed().as_secs_f64() * 1e3);
    }
    container.remove().force(true).await?;
    println!("ping dockerkit {:.2} ms\nlist dockerkit {:.2} ms\nlogs dockerkit {:.2} ms", median(ping), median(list), median(logs));
    Ok(())
}
