//! A real engine of the test's own that is killed, held, starved, or behind TLS: every call ends in time, with an error of
//! its kind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test fails with its test")]

#[macro_use]
mod lab;

use std::time::{Duration, Instant};

use dockerkit::{Engine, Error, ErrorKind, TlsOptions};
use lab::{certificates::Authority, daemon::Daemon};

with_each_daemon! {
    calls_end_when_the_engine_is_killed
    a_held_engine_is_given_up_in_time
    a_full_disk_is_told
    ten_thousand_lines_keep_their_order
    who_may_not_reach_the_engine_is_told
}

/// Waits for the error of a call, not for long.
async fn error_of<T: std::fmt::Debug>(what: &str, call: impl Future<Output = dockerkit::Result<T>>) -> Error {
    let began = Instant::now();
    let result = tokio::time::timeout(Duration::from_secs(10), call).await.unwrap_or_else(|_| panic!("{what} goes on"));
    result.map(|v| panic!("{what} gave {v:?} after {:?}", began.elapsed())).unwrap_err()
}

/// Reads a stream until it fails.
async fn to_the_end<T: Send + 'static>(mut stream: dockerkit::Streaming<T>) -> dockerkit::Result<()> {
    while let Some(item) = stream.next().await {
        item?;
    }
    Ok(())
}

/// What a user without any rights is told; nothing when the engine answers.
fn as_nobody(endpoint: String) -> Option<ErrorKind> {
    // Users are a matter of a thread: this one is nobody until it ends.
    let work = move || {
        rustix::thread::set_thread_groups(&[]).unwrap();
        let (group, user) = (rustix::process::Gid::from_raw(65534), rustix::process::Uid::from_raw(65534));
        rustix::thread::set_thread_res_gid(group, group, group).unwrap();
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Engine::connect(endpoint).await.map_err(|e| e.kind()).err() })
    };
    std::thread::spawn(work).join().unwrap()
}

/// What an engine is found by, and the error otherwise: the endpoint, what named it, and the API's version.
async fn found(endpoint: &str, context: Option<String>) -> String {
    let mut call = Engine::connect(endpoint);
    if let Some(context) = context {
        call = call.context(context);
    }
    match call.timeout(Duration::from_secs(5)).await {
        Ok(engine) => match engine.info().await {
            Ok(_) => format!("{} by {} as {}", engine.endpoint(), engine.source(), engine.api_version()),
            Err(e) => format!("{} in info", e.kind()),
        },
        Err(e) => e.kind().to_string(),
    }
}

/// An engine is found by variables, contexts and files, so each way has a process of its own: this test again.
#[allow(clippy::disallowed_methods, reason = "what this test tells itself is no part of the lab")]
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_behind_tls_is_found_in_each_way() {
    let set = lab::told;
    if let Some(way) = set("DK_WAY") {
        let (name, endpoint, certs) = (set("DK_NAME").unwrap_or_default(), set("DK_ENDPOINT").unwrap_or_default(), set("DK_CERTS").unwrap_or_default());
        let text = |file: &str| std::fs::read_to_string(std::path::Path::new(&certs).join(file)).unwrap();
        if way == "make" {
            Engine::create_context(&*name, &*endpoint).tls(TlsOptions::from_folder(&*certs)).await.unwrap();
        }
        if way == "make from memory" {
            let tls = TlsOptions::default().ca(text("ca.pem")).cert(text("cert.pem")).key(text("key.pem"));
            Engine::create_context(&*name, &*endpoint).tls(tls).await.unwrap();
        }
        if way == "make without" {
            Engine::create_context(&*name, &*endpoint).await.unwrap();
        }
        lab::tell("FOUND ", &found("", Some(name).filter(|n| !n.is_empty())).await);
        return;
    }
    for program in lab::daemon::programs() {
        let folder = tempfile::tempdir().unwrap();
        let (ca, other) = (Authority::new(folder.path(), "ca"), Authority::new(folder.path(), "other"));
        ca.sign("server", "IP:127.0.0.1,DNS:localhost", (-1, 9));
        ca.sign("cert", "DNS:me", (-1, 9));
        std::fs::rename(ca.path("cert-key.pem"), ca.path("key.pem")).unwrap();
        other.sign("stranger", "DNS:me", (-1, 9));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = format!("tcp://127.0.0.1:{port}");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let args = [
            format!("--host={place}"),
            "--tlsverify".to_owned(),
            format!("--tlscacert={}", file("ca.pem")),
            format!("--tlscert={}", file("server.pem")),
            format!("--tlskey={}", file("server-key.pem")),
        ];
        let daemon = Daemon::start(&program, &args.iter().map(String::as_str).collect::<Vec<_>>());
        let api = daemon.engine().await.api_version();
        // By files and from memory, and a whole life of a container through it.
        let connect = async |place: &str, tls: TlsOptions| Engine::connect(place).tls(tls).timeout(Duration::from_secs(5)).await;
        let files = || TlsOptions::from_folder(folder.path());
        let memory = TlsOptions::default().ca(ca.text("ca.pem")).cert(ca.text("cert.pem")).key(ca.text("key.pem"));
        for tls in [files(), memory] {
            let engine = connect(&place, tls).await.unwrap();
            assert_eq!(engine.api_version(), api);
            let Some(image) = daemon.image().await else { return };
            let container = engine.containers().run(&*image, SLEEP).await.unwrap();
            let data: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
            let back = container.exec(["cat"]).stdin(dockerkit::units::Data::from(data.clone())).await.unwrap();
            assert!(back.stdout.to_vec() == data, "{} bytes", back.stdout.len());
            container.remove().force(true).await.unwrap();
        }
        // What is wrong.
        for (what, place, tls, kind) in [
            ("another CA", place.clone(), files().ca_file(ca.path("other.pem")), ErrorKind::Untrusted),
            ("another name", place.clone(), files().server_name("elsewhere.test"), ErrorKind::Untrusted),
            ("no client certificate", place.clone(), TlsOptions::default().ca_file(ca.path("ca.pem")), ErrorKind::Unauthorized),
            ("a stranger", place.clone(), files().cert_file(ca.path("stranger.pem")).key_file(ca.path("stranger-key.pem")), ErrorKind::Unauthorized),
            ("the server's address by a name that resolves to it", format!("tcp://localhost:{port}"), files().server_name("127.0.0.2"), ErrorKind::Untrusted),
        ] {
            let e = connect(&place, tls).await.unwrap_err();
            assert_eq!(e.kind(), kind, "{what}: {e:?}");
        }
        connect(&format!("tcp://localhost:{port}"), files()).await.unwrap();
        let e = Engine::connect(&*place).await.unwrap_err();
        assert!(matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput | ErrorKind::Unreachable), "{e:?}");

        // As docker finds it: by variables, by contexts of ours, and by contexts of docker's.
        let config = folder.path().join("config").display().to_string();
        let certs = folder.path().display().to_string();
        let way = |more: &[(&str, &str)]| {
            let none = ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION"].map(|n| (n, ""));
            let all = [&none[..], &[("DOCKER_CONFIG", &*config), ("DK_WAY", "connect"), ("DK_ENDPOINT", &*place), ("DK_CERTS", &*certs)], more].concat();
            lab::child("an_engine_behind_tls_is_found_in_each_way", "FOUND ", &all)
        };
        let host = ("DOCKER_HOST", &*place);
        let verify = [host, ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", &*certs)];
        assert_eq!(way(&verify), format!("{place} by DOCKER_HOST as {api}"));
        assert_eq!(way(&[&verify[..], &[("DOCKER_API_VERSION", "1.41")]].concat()), format!("{place} by DOCKER_HOST as 1.41"));
        assert_eq!(way(&[&verify[..], &[("DOCKER_API_VERSION", "1.99")]].concat()), "unsupported");
        assert_eq!(way(&[&verify[..], &[("DOCKER_API_VERSION", "1.24")]].concat()), "unsupported");
        assert_eq!(way(&[&verify[..], &[("DOCKER_API_VERSION", "new")]].concat()), "invalid_input");
        assert_eq!(way(&[host, ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/nothing")]), "not_found");
        // Without the folder's name, it is that of the configuration.
        std::fs::create_dir_all(&config).unwrap();
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::copy(file(name), format!("{config}/{name}")).unwrap();
        }
        assert_eq!(way(&[host, ("DOCKER_TLS_VERIFY", "1")]), format!("{place} by DOCKER_HOST as {api}"));
        for (how, name) in [("make", "ours"), ("make from memory", "memory")] {
            assert_eq!(way(&[("DK_WAY", how), ("DK_NAME", name)]), format!("{place} by context {name} as {api}"));
            assert_eq!(way(&[("DOCKER_CONTEXT", name)]), format!("{place} by context {name} as {api}"));
        }
        // docker's own program uses what was made, and makes what is used here.
        let docker = |args: &[&str]| lab::output("docker", args, &[("DOCKER_CONFIG", &config), ("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "")]);
        for name in ["ours", "memory"] {
            assert_eq!(docker(&["--context", name, "version", "--format", "{{.Server.APIVersion}}"]).trim(), api);
        }
        docker(&["context", "create", "theirs", "--docker", &format!("host={place},ca={certs}/ca.pem,cert={certs}/cert.pem,key={certs}/key.pem")]);
        assert_eq!(way(&[("DK_NAME", "theirs")]), format!("{place} by context theirs as {api}"));
        docker(&["context", "use", "theirs"]);
        assert_eq!(way(&[]), format!("{place} by context theirs as {api}"));
        // One that is made anew without TLS forgets the old files.
        let told = way(&[("DK_WAY", "make without"), ("DK_NAME", "ours")]);
        assert!(["unsupported", "invalid_input", "unreachable"].contains(&&*told), "{told}");
    }
}

/// Sleeps, and ends at once when the engine does.
const SLEEP: [&str; 3] = ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"];

mod scenarios {
    use std::path::Path;

    use super::*;

    pub(super) async fn calls_end_when_the_engine_is_killed(program: &Path) {
        let mut daemon = Daemon::start(program, &[]);
        let Some(image) = daemon.image().await else { return };
        let engine = daemon.engine().await;
        let container =
            engine.containers().run(&*image, ["sh", "-c", "trap 'exit 0' TERM; while true; do echo tick; sleep 0.1; done"]).name("ticks").await.unwrap();
        let (events, stats) = (engine.events().await.unwrap(), container.stats().await.unwrap());
        let mut logs = container.logs().follow(true).await.unwrap();
        assert_eq!(logs.next().await.unwrap().unwrap().data.text().lines().next(), Some("tick"));
        let session = container.exec_session(["cat"]).await.unwrap();
        session.write("said\n").await.unwrap();
        assert_eq!(session.read().await.unwrap().unwrap().data.text(), "said\n");
        let attached = container.attach().no_stdin(true).await.unwrap();
        let archive = container.export().await.unwrap();
        let other = container.clone();
        let exec = tokio::spawn(async move { other.exec(["sleep", "60"]).await });
        let other = container.clone();
        let wait = tokio::spawn(async move { other.wait().await });
        let (other, own) = (engine.clone(), image.clone());
        let run = tokio::spawn(async move { other.containers().run_output(own, ["sleep", "60"]).await });
        tokio::time::sleep(Duration::from_millis(700)).await;
        daemon.kill();
        let began = Instant::now();
        let found = [
            ("events", error_of("events", to_the_end(events)).await),
            ("stats", error_of("stats", to_the_end(stats)).await),
            ("logs", error_of("logs", to_the_end(logs)).await),
            ("export", error_of("export", to_the_end(archive)).await),
            ("session", error_of("session", session.wait().into_future()).await),
            ("attach", error_of("attach", attached.wait().into_future()).await),
            ("exec", error_of("exec", async { exec.await.unwrap() }).await),
            ("wait", error_of("wait", async { wait.await.unwrap() }).await),
            ("run_output", error_of("run_output", async { run.await.unwrap() }).await),
            ("info", error_of("info", engine.info().into_future()).await),
            ("create", error_of("create", engine.containers().create(&*image, "true").into_future()).await),
            ("connect", error_of("connect", Engine::connect(daemon.endpoint()).into_future()).await),
        ];
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        for (what, e) in found {
            assert_eq!(e.kind(), ErrorKind::Unreachable, "{what}: {e:?}");
        }
        assert!(session.write("more\n").await.is_err());

        // The same handles go on when the engine is back.
        daemon.restart();
        assert_eq!(engine.containers().list().all(true).await.unwrap().iter().filter(|c| c.name() == "ticks").count(), 1);
        container.start().await.unwrap();
        assert_eq!(container.exec(["echo", "again"]).await.unwrap().stdout.text(), "again\n");
        // An engine that goes in peace ends its streams too.
        let events = tokio::spawn(to_the_end(engine.events().await.unwrap()));
        let logs = tokio::spawn(to_the_end(container.logs().follow(true).tail(1u64).await.unwrap()));
        let wait = tokio::spawn(container.wait().into_future());
        tokio::time::sleep(Duration::from_millis(300)).await;
        daemon.signal("TERM");
        let limit = Duration::from_secs(25);
        for (what, ended) in [("events", tokio::time::timeout(limit, events).await), ("logs", tokio::time::timeout(limit, logs).await)] {
            match ended.unwrap().unwrap() {
                Ok(()) => {}
                Err(e) => assert_eq!(e.kind(), ErrorKind::Unreachable, "{what}: {e:?}"),
            }
        }
        // The engine ends its containers first, so the end of the container may be told.
        match tokio::time::timeout(limit, wait).await.unwrap().unwrap() {
            Ok(ended) => assert!([137, 143, 0].contains(&ended.exit_code), "{ended:?}"),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Unreachable, "{e:?}"),
        }
    }

    pub(super) async fn a_held_engine_is_given_up_in_time(program: &Path) {
        let daemon = Daemon::start(program, &[]);
        let Some(image) = daemon.image().await else { return };
        // What is not held may take longer on a busy machine.
        let patient = daemon.engine().await;
        let container = patient.containers().run(&*image, SLEEP).await.unwrap();
        let session = container.exec_session(["cat"]).await.unwrap();
        let events = patient.events().await.unwrap();
        let engine = Engine::connect(daemon.endpoint()).timeout(Duration::from_secs(1)).await.unwrap();
        let bound = engine.containers().get(container.id()).await.unwrap();
        daemon.signal("STOP");
        let limit = Duration::from_secs(2);
        let timed = async |what: &str, wanted: Duration, call: dockerkit::call::BoxFuture<dockerkit::Result<()>>| {
            let began = Instant::now();
            let e = error_of(what, call).await;
            assert_eq!(e.kind(), ErrorKind::Timeout, "{what}: {e:?}");
            assert!(e.hint_text().is_some(), "{what}: {e:?}");
            let took = began.elapsed();
            assert!(took + Duration::from_millis(50) >= wanted && took < wanted + Duration::from_secs(1), "{what} took {took:?}");
        };
        // A deadline bounds a call that would wait for ever, and one whose answer must begin.
        macro_rules! held {
            ($what:literal, $wanted:expr, $call:expr) => {{
                let call = $call.into_future();
                timed($what, $wanted, Box::pin(async move { call.await.map(drop) })).await
            }};
        }
        held!("wait", limit, container.wait().deadline(limit));
        held!("exec", Duration::from_millis(500), container.exec(["true"]).deadline(Duration::from_millis(500)));
        held!("session", Duration::from_millis(500), session.read().deadline(Duration::from_millis(500)));
        held!("pull", Duration::from_millis(500), engine.images().pull("127.0.0.1:1/x").deadline(Duration::from_millis(500)));
        // The connection's own limit bounds the others.
        let one = Duration::from_secs(1);
        held!("info", one, engine.info());
        held!("list", one, engine.containers().list());
        held!("create", one, engine.containers().create(&*image, "true"));
        held!("update", one, bound.update().cpu_shares(100u64));
        held!("start", one, bound.start());
        held!("connect", one, Engine::connect(daemon.endpoint()).timeout(one));
        daemon.signal("CONT");
        // What was begun before goes on.
        session.write("here\n").await.unwrap();
        assert_eq!(session.read().await.unwrap().unwrap().data.text(), "here\n");
        patient.networks().create("after").driver("null").await.ok();
        container.kill().await.unwrap();
        let mut events = events;
        let seen = tokio::time::timeout(Duration::from_secs(10), async {
            while let Some(event) = events.next().await {
                if event.unwrap().action == "die" {
                    return true;
                }
            }
            false
        });
        assert!(seen.await.unwrap());
    }

    pub(super) async fn a_full_disk_is_told(program: &Path) {
        let daemon = Daemon::on_small_disk(program, "48m");
        let Some(image) = daemon.image().await else { return };
        let engine = daemon.engine().await;
        let container = engine.containers().run(&*image, SLEEP).await.unwrap();
        let big = vec![7; 64 << 20];
        let mut archive = tar::Builder::new(Vec::new());
        let mut head = tar::Header::new_gnu();
        head.set_size(big.len() as u64);
        head.set_mode(0o644);
        archive.append_data(&mut head, "big", &*big).unwrap();
        let archive = dockerkit::units::Data::from(archive.into_inner().unwrap());
        let context = tempfile::tempdir().unwrap();
        std::fs::write(context.path().join("small"), "x").unwrap();
        let full = |o: &mut dockerkit::engine::BuildOptions, builder| {
            o.builder = builder;
            o.no_cache = true;
            o.dockerfile_inline = Some(format!("FROM {image}\nRUN dd if=/dev/zero of=/big bs=1M count=100\n"));
        };
        let (classic, buildkit) = (dockerkit::engine::Builder::Classic, dockerkit::engine::Builder::Buildkit);
        let large = tempfile::tempdir().unwrap();
        let folder = large.path();
        std::fs::write(folder.join("big"), &big).unwrap();
        let mut found = Vec::new();
        for (what, builder) in [("classic", classic), ("buildkit", buildkit)] {
            let e = error_of(what, engine.images().build(context.path()).with(|o| full(o, builder)).into_future()).await;
            found.push((what, e, ErrorKind::CommandFailed));
            // The classic builder leaves the container of the step that failed.
            engine.containers().prune().await.unwrap();
        }
        found.push(("put_archive", error_of("put_archive", container.put_archive("/").data(archive.clone()).into_future()).await, ErrorKind::Engine));
        // Some engines keep the part that there was room for.
        container.exec(["rm", "-f", "/big"]).await.unwrap();
        found.push(("copy_to", error_of("copy_to", container.copy_to(folder.join("big"), "/").into_future()).await, ErrorKind::Engine));
        container.exec(["rm", "-f", "/big"]).await.unwrap();
        found.push(("import", error_of("import", engine.images().import("dk/big:1").data(archive).into_future()).await, ErrorKind::Engine));
        // An image that is too large for this engine, from another one.
        if let (Some(lab), Some(image)) = (lab::variable("DOCKERKIT_LAB_ENGINE"), lab::variable("DOCKERKIT_LAB_IMAGE")) {
            let tag = format!("{}:1", lab::name("dk-big"));
            let other = Engine::connect(&*lab).await.unwrap();
            other.images().build(folder).dockerfile_inline(format!("FROM {image}\nCOPY big /\n")).tags([&*tag]).await.unwrap();
            let archive = lab::daemon::archive_of(&lab, &tag).await;
            let e = error_of("load", engine.images().load().data(dockerkit::units::Data::from(archive)).into_future()).await;
            found.push(("load", e, ErrorKind::Engine));
            if let (Some(place), Some(user), Some(password)) =
                (lab::variable("DOCKERKIT_LAB_REGISTRY"), lab::variable("DOCKERKIT_LAB_REGISTRY_USER"), lab::variable("DOCKERKIT_LAB_REGISTRY_PASSWORD"))
            {
                let auth = dockerkit::engine::RegistryAuth::default().username(user).password(password);
                let reference = format!("{place}/lab/{tag}");
                other.images().tag(&*tag, &*reference).await.unwrap();
                other.images().push(&*reference).auth(auth.clone()).await.unwrap();
                let e = error_of("pull", engine.images().pull(&*reference).auth(auth).into_future()).await;
                found.push(("pull", e, ErrorKind::Engine));
                other.images().remove(&*reference).await.unwrap();
            }
            other.images().remove(&*tag).await.unwrap();
        }
        for (what, e, kind) in found {
            assert_eq!(e.kind(), kind, "{what}: {e:?}");
            let all = format!("{e:?}").to_lowercase();
            assert!(all.contains("no space left"), "{what}: {e:?}");
        }
        // Nothing of it is kept, and the engine goes on.
        assert_eq!(engine.images().get("dk/big:1").await.unwrap_err().kind(), ErrorKind::NotFound);
        container.remove().force(true).await.unwrap();
        assert_eq!(engine.containers().run_output(&*image, ["echo", "well"]).await.unwrap().stdout.text(), "well\n");
    }

    pub(super) async fn ten_thousand_lines_keep_their_order(program: &Path) {
        let daemon = Daemon::start(program, &[]);
        let Some(image) = daemon.image().await else { return };
        let engine = daemon.engine().await;
        // Docker 20.10 itself loses the last lines for who follows a container that ends at the same moment.
        let container = engine.containers().run(&*image, ["sh", "-c", "seq 10000; seq 10001 20000 >&2; sleep 1"]).await.unwrap();
        let wanted: String = (1..=10_000).map(|n| format!("{n}\n")).collect();
        let more: String = (10_001..=20_000).map(|n| format!("{n}\n")).collect();
        let mut text = [String::new(), String::new()];
        let mut logs = container.logs().follow(true).await.unwrap();
        while let Some(chunk) = logs.next().await {
            let chunk = chunk.unwrap();
            text[usize::from(chunk.stream == "stderr")].push_str(&chunk.data.text());
        }
        assert!(text == [wanted.clone(), more], "{} and {} bytes", text[0].len(), text[1].len());
        let out = engine.containers().run_output(&*image, ["seq", "10000"]).await.unwrap().stdout.text().into_owned();
        assert!(out == wanted, "{} bytes", out.len());
    }

    pub(super) async fn who_may_not_reach_the_engine_is_told(program: &Path) {
        let daemon = Daemon::start(program, &[]);
        let endpoint = daemon.endpoint();
        // Nobody may not enter where the socket lies.
        let e = as_nobody(endpoint.clone());
        assert_eq!(e, Some(ErrorKind::Forbidden));
        // The folder may be entered, the socket not be used.
        std::fs::set_permissions(daemon.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(as_nobody(endpoint.clone()), Some(ErrorKind::Forbidden));
        std::fs::set_permissions(daemon.socket(), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(as_nobody(endpoint), None);
        for other in ["docker.pid", "log", "data"] {
            let e = Engine::connect(format!("unix://{}", daemon.folder().join(other).display())).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Unreachable, "{other}: {e:?}");
        }
    }
}
