//! One of the workers of the engine's benchmark: reads the name of an operation from its input, and how often to do it, does it, and prints how
//! many milliseconds it took each time. `raw` is a socket with HTTP written by hand, the floor that all others are compared with.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    time::Instant,
};

use futures_util::StreamExt;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// HTTP over one socket that stays open.
struct Raw {
    stream: BufReader<UnixStream>,
}

impl Raw {
    fn new() -> Self {
        Self { stream: BufReader::with_capacity(256 << 10, UnixStream::connect(variable("BENCH_SOCKET")).unwrap()) }
    }

    /// Sends a request and reads the answer to its end. Gives the body where it is wanted.
    fn ask(&mut self, method: &str, path: &str, body: &[u8], kind: &str, keep: bool) -> Vec<u8> {
        let head = format!("{method} /v1.41{path} HTTP/1.1\r\nHost: engine\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        self.stream.get_mut().write_all(head.as_bytes()).unwrap();
        self.stream.get_mut().write_all(body).unwrap();
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(n) = line.strip_prefix("content-length: ") {
                length = n.parse().unwrap();
            }
            chunked |= line == "transfer-encoding: chunked";
        }
        let mut out = Vec::new();
        if method == "HEAD" {
            return out;
        }
        let mut space = vec![0; 256 << 10];
        loop {
            if chunked {
                let mut line = String::new();
                self.stream.read_line(&mut line).unwrap();
                length = usize::from_str_radix(line.trim_end(), 16).unwrap();
            }
            let end = chunked && length == 0;
            let mut left = length;
            while left > 0 {
                let want = left.min(space.len());
                let n = self.stream.read(&mut space[..want]).unwrap();
                left -= n;
                if keep {
                    out.extend_from_slice(&space[..n]);
                }
            }
            if chunked {
                let mut line = String::new();
                self.stream.read_line(&mut line).unwrap();
            }
            if !chunked || end {
                return out;
            }
        }
    }

    fn json(&mut self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let answer = self.ask(method, path, body.as_bytes(), "application/json", true);
        serde_json::from_slice(&answer).unwrap_or_default()
    }

    fn once(&mut self, op: &str, big: &[u8]) {
        let (target, image) = (variable("BENCH_CONTAINER"), variable("BENCH_IMAGE"));
        match op {
            "ping" => drop(self.ask("HEAD", "/_ping", b"", "", false)),
            "list0" => drop(self.json("GET", &format!("/containers/json?all=1&filters={}", label("none")), "")),
            "list50" => drop(self.json("GET", &format!("/containers/json?all=1&filters={}", label("fifty")), "")),
            "list500" => drop(self.json("GET", &format!("/containers/json?all=1&filters={}", label("many")), "")),
            "inspect" => drop(self.json("GET", &format!("/containers/{target}/json"), "")),
            "cycle" => {
                let made = self.json("POST", "/containers/create", &format!("{{\"Image\": \"{image}\", \"Cmd\": [\"sleep\", \"100\"]}}"));
                let id = made["Id"].as_str().unwrap();
                self.ask("POST", &format!("/containers/{id}/start"), b"", "", false);
                self.ask("DELETE", &format!("/containers/{id}?force=1&v=1"), b"", "", false);
            }
            "exec" => {
                let made = self.json("POST", &format!("/containers/{target}/exec"), "{\"AttachStdout\": true, \"AttachStderr\": true, \"Cmd\": [\"true\"]}");
                let id = made["Id"].as_str().unwrap();
                let mut other = Raw::new();
                let body = "{\"Detach\": false, \"Tty\": false}";
                let head = format!(
                    "POST /v1.41/exec/{id}/start HTTP/1.1\r\nHost: e\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                other.stream.get_mut().write_all(head.as_bytes()).unwrap();
                other.stream.read_to_end(&mut Vec::new()).unwrap();
                while self.json("GET", &format!("/exec/{id}/json"), "")["Running"] != false {}
            }
            "logs" => drop(self.ask("GET", &format!("/containers/{}/logs?stdout=1&stderr=1", variable("BENCH_LOGS")), b"", "", false)),
            "archive_out" => drop(self.ask("GET", &format!("/containers/{target}/archive?path=/big"), b"", "", false)),
            "archive_in" => drop(self.ask("PUT", &format!("/containers/{target}/archive?path=/tmp"), big, "application/x-tar", false)),
            "events" => {
                let past = variable("BENCH_PAST");
                let [since, until, noisy] = past.split(' ').collect::<Vec<_>>()[..] else { panic!("{past}") };
                for _ in 0..4 {
                    let path = format!("/events?since={since}&until={until}&filters=%7B%22container%22%3A%5B%22{noisy}%22%5D%7D");
                    let answer = self.ask("GET", &path, b"", "", true);
                    let count = serde_json::Deserializer::from_slice(&answer).into_iter::<serde_json::Value>().filter(|e| e.is_ok()).count();
                    assert!(count >= 250, "{count}");
                }
            }
            "at_once" => {
                let all: Vec<_> = (0..50)
                    .map(|_| {
                        let target = target.clone();
                        std::thread::spawn(move || drop(Raw::new().json("GET", &format!("/containers/{target}/json"), "")))
                    })
                    .collect();
                all.into_iter().for_each(|t| t.join().unwrap());
            }
            _ => panic!("{op}"),
        }
    }
}

fn label(name: &str) -> String {
    format!("%7B%22label%22%3A%5B%22bench%3D{name}%22%5D%7D")
}

fn filters(name: &str) -> std::collections::BTreeMap<String, Vec<String>> {
    [("label".to_owned(), vec![format!("bench={name}")])].into()
}

async fn ours(engine: &dockerkit::Engine, op: &str, big: &bytes::Bytes) -> dockerkit::Result<()> {
    let (target, image) = (variable("BENCH_CONTAINER"), variable("BENCH_IMAGE"));
    match op {
        "ping" => drop(engine.ping().await?),
        "list0" => drop(engine.containers().list().all(true).filters(filters("none")).await?),
        "list50" => drop(engine.containers().list().all(true).filters(filters("fifty")).await?),
        "list500" => drop(engine.containers().list().all(true).filters(filters("many")).await?),
        "inspect" => drop(engine.containers().get(target).await?),
        "cycle" => {
            let container = engine.containers().run(image, ["sleep", "100"]).await?;
            container.remove().force(true).volumes(true).await?;
        }
        "exec" => {
            static HELD: tokio::sync::OnceCell<dockerkit::engine::Container> = tokio::sync::OnceCell::const_new();
            let container = HELD.get_or_try_init(|| engine.containers().get(target).into_future()).await?;
            container.exec(["true"]).await?;
        }
        "logs" => {
            let mut logs = engine.containers().get(variable("BENCH_LOGS")).await?.logs().await?;
            while let Some(chunk) = logs.next().await {
                chunk?;
            }
        }
        "archive_out" => {
            let mut parts = engine.containers().get(target).await?.get_archive("/big").await?;
            while let Some(part) = parts.next().await {
                part?;
            }
        }
        "archive_in" => engine.containers().get(target).await?.put_archive("/tmp").with(|o| o.data = Some(dockerkit::units::Data(big.clone()))).await?,
        "events" => {
            let past = variable("BENCH_PAST");
            let [since, until, noisy] = past.split(' ').collect::<Vec<_>>()[..] else { panic!("{past}") };
            for _ in 0..4 {
                let filters = [("container".to_owned(), vec![noisy.to_owned()])].into();
                let events = engine.events().with(|o| (o.since, o.until, o.filters) = (Some(since.into()), Some(until.into()), filters)).await?;
                let count = events.filter(|e| std::future::ready(e.is_ok())).count().await;
                assert!(count >= 250, "{count}");
            }
        }
        "at_once" => {
            let all = (0..50).map(|_| engine.containers().get(target.clone()).into_future());
            futures_util::future::try_join_all(all).await?;
        }
        _ => panic!("{op}"),
    }
    Ok(())
}

async fn bollards(docker: &bollard::Docker, op: &str, big: &bytes::Bytes) -> Result<(), bollard::errors::Error> {
    use bollard::query_parameters as q;
    let (target, image) = (variable("BENCH_CONTAINER"), variable("BENCH_IMAGE"));
    let list = |name: &str| q::ListContainersOptions { all: true, filters: Some(filters(name).into_iter().collect()), ..Default::default() };
    match op {
        "ping" => drop(docker.ping().await?),
        "list0" => drop(docker.list_containers(Some(list("none"))).await?),
        "list50" => drop(docker.list_containers(Some(list("fifty"))).await?),
        "list500" => drop(docker.list_containers(Some(list("many"))).await?),
        "inspect" => drop(docker.inspect_container(&target, None::<q::InspectContainerOptions>).await?),
        "cycle" => {
            let body = bollard::models::ContainerCreateBody { image: Some(image), cmd: Some(vec!["sleep".into(), "100".into()]), ..Default::default() };
            let made = docker.create_container(None::<q::CreateContainerOptions>, body).await?;
            docker.start_container(&made.id, None::<q::StartContainerOptions>).await?;
            docker.remove_container(&made.id, Some(q::RemoveContainerOptions { force: true, v: true, ..Default::default() })).await?;
        }
        "exec" => {
            let options =
                bollard::models::ExecConfig { attach_stdout: Some(true), attach_stderr: Some(true), cmd: Some(vec!["true".into()]), ..Default::default() };
            let made = docker.create_exec(&target, options).await?;
            if let bollard::exec::StartExecResults::Attached { mut output, .. } = docker.start_exec(&made.id, None).await? {
                while output.next().await.is_some() {}
            }
            while docker.inspect_exec(&made.id).await?.running != Some(false) {}
        }
        "logs" => {
            let options = q::LogsOptions { stdout: true, stderr: true, ..Default::default() };
            let mut logs = docker.logs(&variable("BENCH_LOGS"), Some(options));
            while let Some(line) = logs.next().await {
                line?;
            }
        }
        "archive_out" => {
            let mut parts = docker.download_from_container(&target, Some(q::DownloadFromContainerOptions { path: "/big".into() }));
            while let Some(part) = parts.next().await {
                part?;
            }
        }
        "archive_in" => {
            let options = q::UploadToContainerOptions { path: "/tmp".into(), ..Default::default() };
            docker.upload_to_container(&target, Some(options), bollard::body_full(big.clone())).await?;
        }
        "events" => {
            let past = variable("BENCH_PAST");
            let [since, until, noisy] = past.split(' ').collect::<Vec<_>>()[..] else { panic!("{past}") };
            for _ in 0..4 {
                let filters = [("container".to_owned(), vec![noisy.to_owned()])].into();
                let options = q::EventsOptions { since: Some(since.into()), until: Some(until.into()), filters: Some(filters) };
                let count = docker.events(Some(options)).filter(|e| std::future::ready(e.is_ok())).count().await;
                assert!(count >= 250, "{count}");
            }
        }
        "at_once" => {
            let all = (0..50).map(|_| docker.inspect_container(&target, None::<q::InspectContainerOptions>));
            futures_util::future::try_join_all(all).await?;
        }
        _ => panic!("{op}"),
    }
    Ok(())
}

fn main() {
    let way = std::env::args().nth(1).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let big: bytes::Bytes = std::fs::read(variable("BENCH_TAR")).unwrap().into();
    let mut raw = Raw::new();
    let engine = runtime.block_on(dockerkit::Engine::connect(format!("unix://{}", variable("BENCH_SOCKET"))).into_future()).unwrap();
    let docker = bollard::Docker::connect_with_unix(&variable("BENCH_SOCKET"), 600, bollard::API_DEFAULT_VERSION).unwrap();
    for op in std::io::stdin().lines() {
        let line = op.unwrap();
        let (op, times) = line.split_once(' ').unwrap();
        let times: u32 = times.parse().unwrap();
        let begin = Instant::now();
        match way.as_str() {
            "raw" => (0..times).for_each(|_| raw.once(op, &big)),
            // In a task, as a server's calls are: `block_on` itself has each answer brought from another thread.
            way => {
                let (engine, docker, op, big, ours_too) = (engine.clone(), docker.clone(), op.to_owned(), big.clone(), way == "dockerkit");
                let work = async move {
                    for _ in 0..times {
                        if ours_too {
                            ours(&engine, &op, &big).await.unwrap();
                        } else {
                            bollards(&docker, &op, &big).await.unwrap();
                        }
                    }
                };
                runtime.block_on(runtime.spawn(work)).unwrap();
            }
        }
        println!("{:.4}", begin.elapsed().as_secs_f64() * 1e3 / f64::from(times));
    }
}
