//! What `docs/features.md` says of the engine's calls, row by row, on each engine of the lab.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test fails with its test")]

#[macro_use]
mod lab;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use dockerkit::{
    Engine, ErrorKind,
    engine::{Builder, RegistryAuth},
    units::Data,
};
use lab::variable;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

on_each_engine! {
    containers_live_from_create_to_prune
    a_run_pulls_what_is_missing_and_loses_nothing
    commands_are_talked_with
    changes_are_listed_and_committed
    images_are_kept_and_moved
    progress_is_told_and_errors_in_it_are_raised
    builds_take_arguments_targets_platforms_and_caches
    networks_volumes_and_events
    the_engine_is_reached_by_tcp_and_asked_what_it_is
    a_version_is_agreed_on
}

/// What all objects of a test bear.
fn own(name: &str) -> [(&str, &str); 1] {
    [("dk.features", name)]
}

fn of(name: &str) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([("label".to_owned(), vec![format!("dk.features={name}")])])
}

async fn containers_live_from_create_to_prune(engine: Engine, image: String, name: String) {
    let containers = engine.containers();
    let made = containers.create(&*image, ["sh", "-c", "trap 'exit 3' TERM; while true; do sleep 0.05; done"]).name(&*name).labels(own(&name)).await.unwrap();
    assert_eq!(made.inspect().await.unwrap().status, "created");
    assert!(containers.list().filters(of(&name)).await.unwrap().is_empty());
    assert_eq!(containers.list().all(true).filters(of(&name)).await.unwrap()[0].id(), made.id());
    assert_eq!(containers.create(&*image, "true").name(&*name).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    made.start().await.unwrap();
    made.start().await.unwrap();
    let first = made.inspect().await.unwrap();
    assert!(first.status == "running" && first.pid > 0, "{first:?}");
    made.pause().await.unwrap();
    assert_eq!(made.inspect().await.unwrap().status, "paused");
    assert_eq!(made.pause().await.unwrap_err().kind(), ErrorKind::Conflict);
    made.unpause().await.unwrap();
    made.restart().timeout(Duration::from_secs(5)).await.unwrap();
    let second = made.inspect().await.unwrap();
    assert!(second.pid != first.pid && second.started_at > first.started_at, "{second:?}");
    let other = format!("{name}-other");
    made.rename(&*other).await.unwrap();
    assert_eq!(containers.get(&*other).await.unwrap().id(), made.id());
    assert_eq!(containers.get(&*name).await.unwrap_err().kind(), ErrorKind::NotFound);
    made.update().memory(64u64 << 20).memory_swap(64i64 << 20).restart("on-failure:2").await.unwrap();
    let host = made.inspect().await.unwrap().raw["HostConfig"].clone();
    assert_eq!((&host["Memory"], &host["RestartPolicy"]["MaximumRetryCount"]), (&(64 << 20).into(), &2.into()));
    made.update().restart("no").await.unwrap();
    assert_eq!(made.remove().await.unwrap_err().kind(), ErrorKind::Conflict);
    // The end is seen by one who waited for it before.
    let waiting = tokio::spawn(made.wait().into_future());
    let next = tokio::spawn(made.wait().condition("next-exit").into_future());
    tokio::time::sleep(Duration::from_millis(200)).await;
    made.stop().timeout(Duration::from_secs(5)).await.unwrap();
    made.stop().await.unwrap();
    assert_eq!((waiting.await.unwrap().unwrap().exit_code, next.await.unwrap().unwrap().exit_code), (3, 3));
    assert_eq!(made.kill().await.unwrap_err().kind(), ErrorKind::Conflict);
    let left = containers.create(&*image, "true").labels(own(&name)).await.unwrap();
    let gone = tokio::spawn(left.wait().condition("removed").into_future());
    left.start().await.unwrap();
    left.wait().await.unwrap();
    let report = containers.prune().filters(of(&name)).await.unwrap();
    assert_eq!(report.removed.len(), 2, "{report:?}");
    assert_eq!(gone.await.unwrap().unwrap().exit_code, 0);
    assert_eq!(made.inspect().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(made.start().await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn a_run_pulls_what_is_missing_and_loses_nothing(engine: Engine, image: String, name: String) {
    // A command that ends at once: its output and its exit code are there each time.
    let runs = (0..12).map(|n| engine.containers().run_output(&*image, ["sh", "-c", &*format!("echo {n}; exit {n}")]).into_future());
    for (n, done) in futures_util::future::join_all(runs).await.into_iter().enumerate() {
        let done = done.unwrap();
        assert_eq!((done.exit_code, done.stdout.text().into_owned()), (n as i64, format!("{n}\n")));
    }
    let e = engine.containers().run_output(&*image, ["sleep", "60"]).timeout(Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout);
    // One that cannot start is not left behind.
    let e = engine.containers().run(&*image, "/no/such/program").labels(own(&name)).await.unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound), "{e:?}");
    assert!(engine.containers().list().all(true).filters(of(&name)).await.unwrap().is_empty());
    let short = engine.containers().run(&*image, ["sleep", "0.3"]).auto_remove(true).labels(own(&name)).await.unwrap();
    short.wait().condition("removed").await.unwrap();
    assert!(engine.containers().list().all(true).filters(of(&name)).await.unwrap().is_empty());

    let (Some(place), Some(user), Some(password)) =
        (variable("DOCKERKIT_LAB_REGISTRY"), variable("DOCKERKIT_LAB_REGISTRY_USER"), variable("DOCKERKIT_LAB_REGISTRY_PASSWORD"))
    else {
        return;
    };
    let reference = format!("{place}/lab/{name}:1");
    engine.images().tag(&*image, &*reference).await.unwrap();
    engine.images().push(&*reference).auth(RegistryAuth::default().username(&*user).password(&*password)).await.unwrap();
    engine.images().remove(&*reference).await.unwrap();
    let e = engine.containers().run(&*reference, "true").await.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound && e.hint_text().unwrap().contains("pull"), "{e:?}");
    // The login is that of the configuration, which this process has not: the pull is tried, and says so.
    assert_eq!(engine.containers().run(&*reference, "true").pull(true).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    let e = engine.containers().run(format!("{place}/lab/nothing:1"), "true").pull(true).await.unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Unauthorized), "{e:?}");
    assert!(engine.login().username(user.clone()).password(password.clone()).server(format!("https://{place}")).await.is_ok());
    let e = engine.login().username(user).password("wrong").server(format!("https://{place}")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized, "{e:?}");
}

async fn commands_are_talked_with(engine: Engine, image: String, name: String) {
    let container = engine.containers().run(&*image, ["sh", "-c", "read x; echo \"heard $x\"; exit 4"]).name(&*name).stdin_open(true).await.unwrap();
    // The main process, by attaching.
    let main = container.attach().await.unwrap();
    let held = engine.containers().run(&*image, ["sleep", "600"]).name(format!("{name}-held")).await.unwrap();
    let all = async |session: &dockerkit::engine::Session| {
        let mut text = String::new();
        while let Some(chunk) = session.read().deadline(Duration::from_secs(20)).await.unwrap() {
            text.push_str(&chunk.data.text());
        }
        text
    };
    main.write("me\n").await.unwrap();
    assert_eq!(all(&main).await, "heard me\n");
    assert_eq!(main.wait().await.unwrap(), 4);

    // The input ends and the output goes on.
    let sorted = held.exec_session(["sh", "-c", "sort -n; echo err >&2; exit 6"]).await.unwrap();
    for n in (0..500).rev() {
        sorted.write(format!("{n}\n")).await.unwrap();
    }
    sorted.close_stdin().await.unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    while let Some(chunk) = sorted.read().await.unwrap() {
        if chunk.stream == "stderr" { &mut err } else { &mut out }.push_str(&chunk.data.text());
    }
    assert_eq!((out, err), ((0..500).map(|n| format!("{n}\n")).collect(), "err\n".to_owned()));
    assert_eq!(sorted.wait().await.unwrap(), 6);
    assert_eq!(sorted.resize(80, 25).await.unwrap_err().kind(), ErrorKind::InvalidInput);

    let screen = held.exec_session(["sh", "-c", "read x; stty size; exit 2"]).tty(true).await.unwrap();
    screen.resize(101, 37).await.unwrap();
    screen.write("go\n").await.unwrap();
    let text = all(&screen).await;
    assert!(text.contains("37 101"), "{text:?}");
    assert_eq!(screen.wait().await.unwrap(), 2);
    let done = held.exec(["sh", "-c", "echo $WORD; pwd; id -u"]).user("7:7").workdir("/tmp").env([("WORD", "said")]).await.unwrap();
    assert_eq!(done.stdout.text(), "said\n/tmp\n7\n");
    let e = held.exec("/no/such/program").await;
    assert!(e.as_ref().is_ok_and(|d| [126, 127].contains(&d.exit_code)) || e.as_ref().is_err_and(|e| e.kind() == ErrorKind::InvalidInput), "{e:?}");
    for one in [container, held] {
        one.remove().force(true).await.unwrap();
    }
}

async fn changes_are_listed_and_committed(engine: Engine, image: String, name: String) {
    let container = engine.containers().run(&*image, ["sh", "-c", "echo new >/new; rm /etc/passwd; echo x >>/tmp/x; sleep 600"]).name(&*name).await.unwrap();
    container.wait_until().log("").timeout(Duration::from_secs(5)).await.ok();
    for _ in 0..100 {
        if container.exec(["test", "-e", "/tmp/x"]).await.unwrap().exit_code == 0 {
            break;
        }
    }
    let changes: BTreeMap<_, _> = container.diff().await.unwrap().into_iter().map(|c| (c.path, c.kind)).collect();
    assert_eq!((changes["/new"].as_str(), changes["/etc/passwd"].as_str(), changes["/etc"].as_str()), ("added", "deleted", "modified"), "{changes:?}");
    let top = container.top().await.unwrap();
    assert!(top.processes.iter().flatten().any(|w| w.contains("sleep 600")), "{top:?}");
    let tag = format!("{name}:kept");
    let id = container.commit().tag(&*tag).comment("why").author("me").changes(["ENV WORD=said", "CMD [\"cat\", \"/new\"]"]).await.unwrap();
    let kept = engine.images().get(&*tag).await.unwrap();
    assert!(kept.id == id && kept.raw["Comment"] == "why" && kept.raw["Author"] == "me", "{}", kept.raw);
    let done = engine.containers().run_output(&*tag, "sh -c 'cat /new; echo $WORD; ls /etc/passwd'").await.unwrap();
    assert_eq!((done.stdout.text().as_ref(), done.exit_code == 0), ("new\nsaid\n", false));
    container.remove().force(true).await.unwrap();
    engine.images().remove(&*tag).await.unwrap();
    assert_eq!(container.diff().await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn images_are_kept_and_moved(engine: Engine, image: String, name: String) {
    let images = engine.images();
    let (one, two) = (format!("{name}:1"), format!("{name}:2"));
    // A file that makes the image this test's own.
    let mut archive = tar::Builder::new(Vec::new());
    let mut head = tar::Header::new_gnu();
    head.set_size(name.len() as u64);
    head.set_mode(0o644);
    archive.append_data(&mut head, "name", name.as_bytes()).unwrap();
    let label = format!("LABEL dk.features={name}");
    let made = images.import(&*one).data(Data::from(archive.into_inner().unwrap())).changes([&*label]).message("said").await.unwrap();
    assert_eq!(made.labels["dk.features"], name);
    images.tag(&*one, &*two).await.unwrap();
    let mut tags = images.get(&*two).await.unwrap().tags;
    tags.sort();
    assert_eq!(tags, [one.clone(), two.clone()]);
    assert_eq!(images.list().filters(of(&name)).await.unwrap()[0].id, made.id);
    assert_eq!(images.history(&*one).await.unwrap()[0].tags.len(), 2);
    // Out, away, and in again, by bytes and by a file.
    let mut parts = images.save(vec![one.clone()]).await.unwrap();
    let mut saved = Vec::new();
    while let Some(part) = parts.next().await {
        saved.extend_from_slice(&part.unwrap());
    }
    let gone = images.remove(&*made.id).force(true).await.unwrap();
    assert!(gone.len() >= 3, "{gone:?}");
    assert_eq!(images.get(&*one).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(images.load().data(Data::from(saved.clone())).await.unwrap().images, std::slice::from_ref(&one));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), saved).unwrap();
    images.load().path(file.path().to_owned()).await.unwrap();
    assert_eq!(images.get(&*one).await.unwrap().id, made.id);
    let e = images.load().data(Data::from(b"no archive".to_vec())).await.unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Engine), "{e:?}");
    let e = images.save(vec![format!("{name}:none")]).await;
    assert_eq!(e.unwrap_err().kind(), ErrorKind::NotFound);
    let mut filters = of(&name);
    filters.insert("dangling".to_owned(), vec!["false".to_owned()]);
    let report = images.prune().filters(filters).await.unwrap();
    assert!(report.removed.iter().any(|r| r.contains(&one) || *r == made.id), "{report:?}");
    assert_eq!(images.get(&*one).await.unwrap_err().kind(), ErrorKind::NotFound);
    let used = engine.containers().create(&*image, "true").await.unwrap();
    assert_eq!(images.remove(images.get(&*image).await.unwrap().id).await.unwrap_err().kind(), ErrorKind::Conflict);
    used.remove().await.unwrap();
}

async fn progress_is_told_and_errors_in_it_are_raised(engine: Engine, image: String, name: String) {
    let (Some(place), Some(user), Some(password)) =
        (variable("DOCKERKIT_LAB_REGISTRY"), variable("DOCKERKIT_LAB_REGISTRY_USER"), variable("DOCKERKIT_LAB_REGISTRY_PASSWORD"))
    else {
        return;
    };
    let auth = RegistryAuth::default().username(user).password(password);
    let folder = tempfile::tempdir().unwrap();
    let mut large = vec![0u8; 3 << 20];
    rand::Rng::fill(&mut rand::rng(), &mut large[..]);
    std::fs::write(folder.path().join("large"), large).unwrap();
    let reference = format!("{place}/lab/{name}:1");
    // BuildKit's cache would keep the layer on the engine.
    let build = engine.images().build(folder.path()).builder(Builder::Classic).dockerfile_inline(format!("FROM {image}\nCOPY large /\n"));
    build.tags([&*reference]).await.unwrap();
    let told: Arc<Mutex<Vec<dockerkit::Event>>> = Arc::default();
    let listen = || {
        let told = told.clone();
        move |e| told.lock().unwrap().push(e)
    };
    engine.images().push(&*reference).auth(auth.clone()).on_event(listen()).await.unwrap();
    let pushed = std::mem::take(&mut *told.lock().unwrap());
    assert!(pushed.iter().any(|e| e.resource.kind == "layer" && e.current.is_some_and(|c| c > 0)), "{pushed:?}");
    engine.images().remove(&*reference).await.unwrap();
    let pulled = engine.images().pull(&*reference).auth(auth.clone()).on_event(listen()).await.unwrap();
    // The call ends when the image is there.
    assert_eq!(engine.images().get(&*reference).await.unwrap().id, pulled.id);
    let seen = std::mem::take(&mut *told.lock().unwrap());
    assert!(seen.iter().any(|e| e.resource.kind == "layer" && e.total.is_some_and(|t| t > 1_000_000)), "{seen:?}");
    assert!(seen.iter().all(|e| !e.to_string().is_empty()));
    // An answer of 200 that holds an error.
    let e = engine.images().pull(format!("{place}/lab/{name}:none")).auth(auth.clone()).on_event(listen()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");
    assert_eq!(engine.images().push(&*reference).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    let e = engine.images().pull("127.0.0.1:1/nothing:1").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unreachable, "{e:?}");
    assert!(engine.images().registry_info(&*reference).auth(auth).await.unwrap().digest.starts_with("sha256:"));
    let e = engine.images().search("anything").deadline(Duration::from_secs(20)).await;
    assert!(e.is_ok() || matches!(e.as_ref().unwrap_err().kind(), ErrorKind::Unreachable | ErrorKind::Engine | ErrorKind::Timeout), "{e:?}");
    engine.images().remove(&*reference).await.unwrap();
}

async fn builds_take_arguments_targets_platforms_and_caches(engine: Engine, image: String, name: String) {
    let folder = tempfile::tempdir().unwrap();
    let own = engine.images().get(&*image).await.unwrap();
    let platform = format!("{}/{}", own.raw["Os"].as_str().unwrap(), own.raw["Architecture"].as_str().unwrap());
    for builder in [Builder::Classic, Builder::Buildkit] {
        let tag = format!("{name}-{builder:?}:1").to_lowercase();
        let told = Arc::new(Mutex::new(String::new()));
        let build = |no_cache: bool| {
            let (seen, tag) = (told.clone(), tag.clone());
            let text = format!(
                "FROM {image} AS first\nARG WORD=none\nRUN echo $WORD {name} >/word; cat /proc/sys/kernel/random/uuid >/uuid\nFROM first AS second\nRUN rm /word\n"
            );
            let change = move |o: &mut dockerkit::engine::BuildOptions| {
                o.builder = builder;
                o.dockerfile_inline = Some(text);
                o.args = BTreeMap::from([("WORD".to_owned(), "given".to_owned())]);
                o.target = Some("first".to_owned());
                o.tags = vec![tag];
                o.no_cache = no_cache;
                o.extra_hosts = BTreeMap::from([("pal".to_owned(), "10.1.2.3".to_owned())]);
            };
            engine.images().build(folder.path()).with(change).on_event(move |e| seen.lock().unwrap().push_str(&format!("{e}\n")))
        };
        let first = build(true).await.unwrap();
        assert_eq!(engine.containers().run_output(&*tag, ["cat", "/word"]).await.unwrap().stdout.text(), format!("given {name}\n"));
        told.lock().unwrap().clear();
        assert_eq!(build(false).await.unwrap().id, first.id, "{builder:?}");
        let said = told.lock().unwrap().to_lowercase();
        assert!(said.contains("using cache") || said.contains("nothing to do"), "{builder:?}: {said}");
        assert_ne!(build(true).await.unwrap().id, first.id, "{builder:?}");
        let e = engine.images().build(folder.path()).builder(builder).dockerfile_inline(format!("FROM {image}\n")).target("nothing").await.unwrap_err();
        assert!(matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Engine), "{e:?}");
        let with = engine.images().build(folder.path()).builder(builder).dockerfile_inline(format!("FROM {image}\n")).tags([&*tag]);
        assert_eq!(with.platform(&*platform).await.unwrap().raw["Architecture"], own.raw["Architecture"]);
        engine.images().remove(&*tag).force(true).await.unwrap();
    }
}

async fn networks_volumes_and_events(engine: Engine, image: String, name: String) {
    let mut events = engine.events().filters(BTreeMap::from([("type".to_owned(), vec!["network".to_owned(), "volume".to_owned()])])).await.unwrap();
    let network = engine.networks().create(&*name).labels(own(&name)).internal(true).await.unwrap();
    assert!(network.internal && network.driver == "bridge" && network.labels["dk.features"] == name);
    assert_eq!(engine.networks().create(&*name).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(engine.networks().list().filters(of(&name)).await.unwrap()[0].id, network.id);
    let volume = engine.volumes().create(&*name).labels(own(&name)).await.unwrap();
    assert_eq!((&*volume.driver, &*engine.volumes().get(&*name).await.unwrap().mountpoint), ("local", &*volume.mountpoint));
    assert_eq!(engine.volumes().list().filters(of(&name)).await.unwrap().len(), 1);
    let mount = dockerkit::engine::Mount::default().kind("volume").source(&*name).target("/v");
    let one = engine
        .containers()
        .run(&*image, ["sh", "-c", "echo kept >/v/x; exec sleep 600"])
        .name(&*name)
        .network(&*name)
        .mounts(vec![mount.clone()])
        .await
        .unwrap();
    engine.networks().disconnect(&*name, one.id()).await.unwrap();
    engine.networks().connect(&*name, one.id()).aliases(["pal"]).await.unwrap();
    assert!(one.reload().await.unwrap().seen().addresses.contains_key(&name));
    assert_eq!(engine.volumes().remove(&*name).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(matches!(engine.networks().remove(&*name).await.unwrap_err().kind(), ErrorKind::Conflict | ErrorKind::Forbidden));
    one.remove().force(true).await.unwrap();
    let again = engine.containers().create(&*image, ["cat", "/v/x"]).name(&*name).mounts(vec![mount]).await.unwrap();
    again.start().await.unwrap();
    again.wait().await.unwrap();
    assert_eq!(again.logs().await.unwrap().next().await.unwrap().unwrap().data.text(), "kept\n");
    again.remove().await.unwrap();
    assert!(engine.networks().prune().filters(of(&name)).await.unwrap().removed.contains(&name));
    // Newer engines prune named volumes only when they are asked to.
    let mut filters = of(&name);
    if engine.api_version() != "1.41" {
        filters.insert("all".to_owned(), vec!["true".to_owned()]);
    }
    assert_eq!(engine.volumes().prune().filters(filters).await.unwrap().removed, [&*name]);
    engine.volumes().remove(&*name).force(true).await.unwrap();
    assert_eq!(engine.networks().get(&*name).await.unwrap_err().kind(), ErrorKind::NotFound);
    let mut seen = Vec::new();
    let wanted = ["network create", "volume create", "network connect", "volume mount", "network disconnect", "network destroy"];
    let all = async {
        while !wanted.iter().all(|w| seen.iter().any(|s| s == w)) {
            let event = events.next().await.unwrap().unwrap();
            if event.id == network.id || event.id == name {
                seen.push(format!("{} {}", event.kind, event.action));
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), all).await.is_ok(), "{seen:?}");
}

async fn the_engine_is_reached_by_tcp_and_asked_what_it_is(engine: Engine, _image: String, _name: String) {
    // A port that leads to the engine's socket, and counts who came.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("tcp://{}", listener.local_addr().unwrap());
    let socket = engine.endpoint().to_string().trim_start_matches("unix://").to_owned();
    let came = Arc::new(AtomicU32::new(0));
    let count = came.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut engine = tokio::net::UnixStream::connect(socket).await.unwrap();
                tokio::io::copy_bidirectional(&mut client, &mut engine).await.ok();
            });
        }
    });
    let other = Engine::connect(&*place).await.unwrap();
    let (version, info) = (other.version().await.unwrap(), other.info().await.unwrap());
    assert_eq!(version.version, info.server_version);
    assert!(info.cpus > 0 && info.memory > 0 && info.id == engine.info().await.unwrap().id, "{info:?}");
    assert_eq!(other.ping().await.unwrap().api_version, version.api_version);
    let usage = other.disk_usage().deadline(Duration::from_secs(60)).await.unwrap();
    assert!(usage.layers > 0, "{usage:?}");
    let raw = other.request("GET", "/version").await.unwrap();
    assert_eq!((raw.status, raw.json["Version"].as_str()), (200, Some(&*version.version)));
    for _ in 0..20 {
        other.containers().list().await.unwrap();
    }
    assert_eq!(came.load(Ordering::Relaxed), 1, "calls that follow one another share a connection");
}

async fn a_version_is_agreed_on(engine: Engine, _image: String, _name: String) {
    let speaks = engine.version().await.unwrap();
    assert_eq!(engine.api_version(), speaks.api_version);
    let place = engine.endpoint().to_string();
    let old = Engine::connect(&*place).api_version("1.41").await.unwrap();
    assert_eq!(old.api_version(), "1.41");
    old.info().await.unwrap();
    assert_eq!(old.disk_usage().types(["images"]).await.unwrap_err().context()["needs_api"], "1.42");
    for (wanted, kind) in [("1.99", ErrorKind::Unsupported), ("1.12", ErrorKind::Unsupported), ("newest", ErrorKind::InvalidInput)] {
        let e = Engine::connect(&*place).api_version(wanted).await.unwrap_err();
        assert!(e.kind() == kind && e.hint_text().is_some(), "{wanted}: {e:?}");
    }
}

/// docker's configuration belongs to a process, so this test runs itself again with one of its own.
#[tokio::test]
async fn logins_and_proxies_come_from_the_configuration() {
    if let Some(endpoint) = lab::told("DK_ENGINE") {
        let (engine, reference) = (Engine::connect(endpoint).await.unwrap(), lab::told("DK_REFERENCE").unwrap());
        let pushed = engine.images().push(&*reference).await.map_or_else(|e| e.kind().to_string(), |()| "pushed".to_owned());
        let seen = engine.containers().run_output(lab::told("DOCKERKIT_LAB_IMAGE").unwrap(), ["sh", "-c", "echo $http_proxy"]).await.unwrap();
        lab::tell("FOUND ", &format!("{pushed} by {}", seen.stdout.text().trim()));
        return;
    }
    let (Some(place), Some(user), Some(password), Some(image)) = (
        variable("DOCKERKIT_LAB_REGISTRY"),
        variable("DOCKERKIT_LAB_REGISTRY_USER"),
        variable("DOCKERKIT_LAB_REGISTRY_PASSWORD"),
        variable("DOCKERKIT_LAB_IMAGE"),
    ) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let auth = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{user}:{password}"));
    // A helper that answers for this registry only, and one that has nothing.
    let program = |name: &str, script: &str| {
        let path = folder.path().join(format!("docker-credential-{name}"));
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    };
    let answer = serde_json::json!({"ServerURL": place, "Username": user, "Secret": password});
    program("good", &format!("read server; [ \"$1 $server\" = 'get {place}' ] && echo '{answer}'"));
    program("none", "echo 'credentials not found in native keychain'; exit 1");
    program("bad", "exit 1");
    let path = format!("{}:{}", folder.path().display(), lab::told("PATH").unwrap());
    for engine in ["DOCKERKIT_LAB_ENGINE", "DOCKERKIT_LAB_ENGINE_28"] {
        let Some(endpoint) = variable(engine) else { continue };
        let reference = format!("{place}/lab/{}:1", lab::name("config"));
        let own = Engine::connect(&*endpoint).await.unwrap();
        own.images().tag(&*image, &*reference).await.unwrap();
        for (config, wanted) in [
            (serde_json::json!({}), "unauthorized by"),
            (serde_json::json!({"auths": {(&*place): {"auth": auth}}}), "pushed by"),
            (serde_json::json!({"credHelpers": {(&*place): "good"}}), "pushed by"),
            (serde_json::json!({"credsStore": "good"}), "pushed by"),
            (serde_json::json!({"credsStore": "none"}), "unauthorized by"),
            (serde_json::json!({"credsStore": "bad"}), "command_failed by"),
            (serde_json::json!({"proxies": {"default": {"httpProxy": "http://p.test:1"}}}), "unauthorized by http://p.test:1"),
            (serde_json::json!({"proxies": {(&*endpoint): {"httpProxy": "http://own.test:1"}, "default": {}}}), "unauthorized by http://own.test:1"),
        ] {
            std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
            let variables = [("DK_ENGINE", &*endpoint), ("DK_REFERENCE", &*reference), ("DOCKER_CONFIG", folder.path().to_str().unwrap()), ("PATH", &*path)];
            let found = lab::child("logins_and_proxies_come_from_the_configuration", "FOUND ", &variables);
            assert_eq!(found, wanted, "{engine}: {config}");
        }
        own.images().remove(&*reference).await.unwrap();
    }
}

/// The configuration belongs to a process, as above.
#[tokio::test]
async fn headers_of_the_configuration_go_with_each_request() {
    if let Some(endpoint) = lab::told("DK_ENGINE") {
        let engine = Engine::connect(endpoint).await.unwrap();
        engine.request("GET", "/things").await.unwrap();
        engine.containers().create("image", "true").await.unwrap();
        lab::tell("FOUND ", "all");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), r#"{"HttpHeaders": {"X-Team": "ops"}}"#).unwrap();
    let path = folder.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let serve = move |mut stream: std::os::unix::net::UnixStream, told: Arc<Mutex<Vec<(String, bool)>>>| {
        use std::io::{Read, Write};
        let mut head = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            head.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&head).to_lowercase();
            let Some((top, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = top.split_once("content-length: ").map_or(0, |(_, l)| l.lines().next().unwrap().parse().unwrap());
            if body.len() < length {
                continue;
            }
            told.lock().unwrap().push((top.split(' ').next().unwrap().to_owned(), top.contains("\r\nx-team: ops")));
            head.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.43\r\nContent-Length: 29\r\n\r\n{\"Id\": \"abc\", \"Warnings\": []}").unwrap();
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = told.clone();
            std::thread::spawn(move || serve(stream, told));
        }
    });
    let endpoint = format!("unix://{}", path.display());
    let variables = [("DK_ENGINE", &*endpoint), ("DOCKER_CONFIG", folder.path().to_str().unwrap())];
    assert_eq!(lab::child("headers_of_the_configuration_go_with_each_request", "FOUND ", &variables), "all");
    // The ping, the request, the new container and what is read of it.
    let wanted = ["get", "get", "post", "get"].map(|method| (method.to_owned(), true));
    assert_eq!(*seen.lock().unwrap(), wanted);
}

/// An engine that counts its connections, and closes each when it gets the request after so many answers.
async fn counting(folder: &std::path::Path, answers: usize) -> (Engine, Arc<AtomicU32>, Arc<Mutex<Vec<String>>>) {
    let path = folder.join(lab::name("c"));
    let listener = UnixListener::bind(&path).unwrap();
    let (came, asked) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (count, told) = (came.clone(), asked.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let told = told.clone();
            tokio::spawn(async move {
                for left in (0..=answers).rev() {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let line = String::from_utf8(head).unwrap().lines().next().unwrap().to_owned();
                    let body = if line.contains("search") { r#"[{"name": "busy", "description": "d", "star_count": 7, "is_official": true}]"# } else { "[]" };
                    told.lock().unwrap().push(line);
                    if left == 0 {
                        return;
                    }
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nApi-Version: 1.43\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let engine = Engine::connect(format!("unix://{}", path.display())).await.unwrap();
    (engine, came, asked)
}

#[tokio::test]
async fn connections_are_used_again_and_requests_that_are_safe_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, came, asked) = counting(folder.path(), 1000).await;
    for _ in 0..50 {
        engine.containers().list().await.unwrap();
    }
    let found = engine.images().search("busy").limit(3u32).await.unwrap();
    assert_eq!((&*found[0].name, found[0].stars, found[0].official), ("busy", 7, true));
    assert_eq!((came.load(Ordering::Relaxed), asked.lock().unwrap().len()), (1, 52));
    // Many at once take more, and then these are used again.
    let many = || futures_util::future::join_all((0..8).map(|_| engine.containers().list().into_future()));
    assert!(many().await.iter().all(Result::is_ok));
    let most = came.load(Ordering::Relaxed);
    assert!(many().await.iter().all(Result::is_ok) && most <= 8 && came.load(Ordering::Relaxed) == most, "{most}");

    // The engine closes a connection that waited just as the next request comes: what only asks is asked again.
    let (engine, came, asked) = counting(folder.path(), 2).await;
    for _ in 0..6 {
        engine.containers().list().await.unwrap();
    }
    assert!(came.load(Ordering::Relaxed) >= 3, "{:?}", asked.lock().unwrap());
    // What changes something is not sent twice, and the caller is told.
    let (engine, _, asked) = counting(folder.path(), 1).await;
    let e = engine.networks().prune().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unreachable, "{e:?}");
    assert_eq!(asked.lock().unwrap().iter().filter(|l| l.starts_with("POST")).count(), 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_closes_its_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let (closed, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let closed = closed.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                loop {
                    let count = stream.read(&mut buffer).await.unwrap_or_default();
                    if count == 0 {
                        closed.send(()).ok();
                        return;
                    }
                    if buffer[..count].starts_with(b"GET /_ping") {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.43\r\nContent-Length: 2\r\n\r\nOK").await.unwrap();
                    }
                }
            });
        }
    });
    let place = format!("unix://{}", path.display());
    let engine = Engine::connect(&*place).timeout(Duration::from_millis(300)).await.unwrap();
    let began = Instant::now();
    // The first byte, the whole call, and one that is dropped.
    assert_eq!(engine.info().await.unwrap_err().kind(), ErrorKind::Timeout);
    told.recv().await.unwrap();
    let patient = Engine::connect(&*place).await.unwrap();
    assert_eq!(patient.info().deadline(Duration::from_millis(300)).await.unwrap_err().kind(), ErrorKind::Timeout);
    told.recv().await.unwrap();
    let patient = Engine::connect(&*place).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), patient.info().into_future()).await.is_err());
    told.recv().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}
