//! A reader that stops. The memory of the whole process is measured, so this is a program of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails with its test")]

mod lab;

use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Memory that this process has in use, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// What a process has read so far, in bytes.
fn read_by(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    text.lines().find_map(|l| l.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_reader_that_stops_holds_the_engine_and_not_memory() {
    // The first engine has a log of a gigabyte, the others have less to write.
    for (n, program) in lab::daemon::programs().into_iter().enumerate() {
        with(&program, if n == 0 { 1 << 30 } else { 256 << 20 }).await;
    }
}

async fn with(program: &Path, length: u64) {
    let daemon = lab::daemon::Daemon::start(program, &[]);
    let Some(image) = daemon.image().await else { return };
    let engine = daemon.engine().await;
    let script = format!("head -c {length} /dev/zero | tr '\\0' x");
    let container = engine.containers().run(&*image, ["sh", "-c", &*script]).await.unwrap();
    container.wait().deadline(Duration::from_secs(120)).await.unwrap();
    let start = read_by(daemon.pid());
    let mut logs = container.logs().await.unwrap();
    let mut seen = 0;
    while seen < 8 << 20 {
        seen += logs.next().await.unwrap().unwrap().data.len();
    }
    // The engine fills what lies between, some tens of megabytes of its own among it, and then waits.
    let mut read = read_by(daemon.pid());
    let began = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = std::mem::replace(&mut read, read_by(daemon.pid()));
        if read - before < 1 << 20 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the engine goes on");
    }
    assert!(read - start < length / 2, "the engine read {} bytes", read - start);
    let memory = resident();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (grown, more) = (resident().saturating_sub(memory), read_by(daemon.pid()) - read);
    assert!(grown < 4 << 20, "{grown} bytes more in use");
    assert!(more < 4 << 20, "the engine went on for {more} bytes");
    // Other calls are not held up, and the reader can go on.
    engine.info().deadline(Duration::from_secs(2)).await.unwrap();
    while seen < 128 << 20 {
        seen += logs.next().await.unwrap().unwrap().data.len();
    }
    let grown = resident().saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown} bytes more in use");
    drop(logs);
    container.remove().force(true).await.unwrap();
}
