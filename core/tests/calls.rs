//! Options of the engine's calls, each on an engine that has it, and as `unsupported` on one that has it not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test fails with its test")]

#[macro_use]
mod lab;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use dockerkit::{Engine, ErrorKind, Result};
use lab::variable;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

on_each_engine! {
    containers_are_listed_measured_and_asked_in_each_way
    commands_run_without_being_waited_for
    images_are_chosen_by_platform_where_the_engine_can
    settings_of_containers_reach_the_engine
    networks_are_made_and_joined_in_each_way
    checkpoints_need_an_experimental_engine
    a_plugin_that_is_not_there_is_told
}

/// Whether the engine speaks an API as new as this.
fn speaks(engine: &Engine, minor: u32) -> bool {
    engine.api_version().split('.').nth(1).unwrap().parse::<u32>().unwrap() >= minor
}

/// Checks that a call works on new engines, and that older ones are told as too old.
#[track_caller]
fn since<T: std::fmt::Debug>(engine: &Engine, minor: u32, result: Result<T>) -> Option<T> {
    if speaks(engine, minor) {
        return Some(result.unwrap());
    }
    let e = result.unwrap_err();
    assert_eq!((e.kind(), e.context()["needs_api"].as_str()), (ErrorKind::Unsupported, format!("1.{minor}").as_str()), "{e}");
    None
}

async fn containers_are_listed_measured_and_asked_in_each_way(engine: Engine, image: String, name: String) {
    let label = |n: &str| BTreeMap::from([("label".to_owned(), vec![format!("calls={n}")])]);
    let script = "trap 'echo told; exit 7' USR1; dd if=/dev/zero of=/big bs=1024 count=100 2>/dev/null; echo out; while true; do sleep 0.1; done";
    let first = engine
        .containers()
        .run(&*image, ["sh", "-c", script])
        .name(format!("{name}-1"))
        .labels([("calls", &*name)])
        .env([("WORD", "said")])
        .log_options([("env", "WORD")])
        .await
        .unwrap();
    let second = engine.containers().create(&*image, "true").name(format!("{name}-2")).labels([("calls", &*name)]).await.unwrap();
    first.wait_until().log("out").await.unwrap();

    let listed = engine.containers().list().all(true).size(true).filters(label(&name)).await.unwrap();
    assert_eq!(listed.len(), 2);
    let size = listed.iter().find(|c| c.id() == first.id()).unwrap().seen();
    assert!(size.size_written.unwrap() >= 100 << 10 && size.size_total.unwrap() > size.size_written.unwrap(), "{size:?}");
    assert_eq!(engine.containers().list().filters(label(&name)).await.unwrap()[0].seen().size_total, None);
    assert_eq!(engine.containers().list().all(true).limit(1u32).filters(label(&name)).await.unwrap()[0].id(), second.id());
    for (filter, found) in [("before", first.id()), ("since", second.id())] {
        let mut filters = label(&name);
        filters.insert(filter.to_owned(), vec![if filter == "before" { second.id() } else { first.id() }.to_owned()]);
        let listed = engine.containers().list().all(true).filters(filters).await.unwrap();
        assert_eq!(listed.iter().map(|c| c.id()).collect::<Vec<_>>(), [found], "{filter}");
    }

    let details = first.inspect().size(true).await.unwrap();
    assert!(details.size_written.unwrap() >= 100 << 10 && details.size_total > details.size_written, "{details:?}");
    assert_eq!(first.inspect().await.unwrap().size_total, None);
    let plain = first.top().await.unwrap();
    let asked = first.top().ps_args("-o pid,comm").await.unwrap();
    assert!(plain.titles.len() > 2 && asked.titles == ["PID", "COMMAND"] && !asked.processes.is_empty(), "{plain:?} {asked:?}");

    let once: Vec<_> = futures_util::StreamExt::collect(first.stats().one_shot(true).await.unwrap()).await;
    let [Ok(once)] = &*once else { panic!("{once:?}") };
    // One look, with none before it.
    assert!(once.pids > 0 && once.raw["preread"] == "0001-01-01T00:00:00Z", "{once:?}");
    assert_eq!(first.stats().one_shot(true).stream(true).await.unwrap_err().kind(), ErrorKind::InvalidInput);

    let mut logs = first.logs().details(true).await.unwrap();
    let line = logs.next().await.unwrap().unwrap().data.text().into_owned();
    assert_eq!(line, "WORD=said out\n");
    let session = first.attach().logs(true).no_stdin(true).no_stderr(true).detach_keys("ctrl-x,q").await.unwrap();
    assert_eq!(session.read().await.unwrap().unwrap().data.text(), "out\n");
    drop(session);
    assert_eq!(first.attach().detach_keys("nonsense").await.unwrap_err().kind(), ErrorKind::InvalidInput);

    // The signal is sent, and the script ends by it.
    match since(&engine, 42, first.stop().signal("SIGUSR1").timeout(Duration::from_secs(20)).await) {
        Some(()) => assert_eq!(first.inspect().await.unwrap().exit_code, 7),
        None => assert_eq!(first.inspect().await.unwrap().status, "running"),
    }
    first.remove().force(true).await.unwrap();
    second.remove().await.unwrap();

    let screen = engine.containers().run(&*image, ["sh", "-c", "trap 'stty size' WINCH; while true; do sleep 0.1; done"]).name(&*name).tty(true).await.unwrap();
    let session = screen.attach().await.unwrap();
    // The shell may not listen for the signal yet.
    let mut seen = String::new();
    for n in 0..50u16 {
        screen.resize(90 + n % 2, 33).await.unwrap();
        if let Ok(chunk) = tokio::time::timeout(Duration::from_millis(300), session.read().into_future()).await {
            seen.push_str(&chunk.unwrap().unwrap().data.text());
        }
        if seen.contains("33 9") {
            break;
        }
    }
    assert!(seen.contains("33 9"), "{seen:?}");
    screen.update().memory(64u64 << 20).memory_swap(128i64 << 20).cpu_period(50_000i64).cpu_quota(20_000i64).cpuset("0").await.unwrap();
    let host = screen.inspect().await.unwrap().raw["HostConfig"].clone();
    assert_eq!((&host["MemorySwap"], &host["CpuQuota"], &host["CpusetCpus"]), (&(128 << 20).into(), &20_000.into(), &"0".into()));
    screen.remove().force(true).await.unwrap();
    assert_eq!(screen.resize(80, 25).await.unwrap_err().kind(), ErrorKind::NotFound);

    let part = engine.disk_usage().types(["images"]).await;
    if let Some(part) = since(&engine, 42, part) {
        assert!(part.layers > 0 && part.containers == 0 && part.raw["Volumes"].is_null(), "{part:?}");
        assert_eq!(engine.disk_usage().types(["nonsense"]).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

async fn commands_run_without_being_waited_for(engine: Engine, image: String, name: String) {
    let container = engine.containers().run(&*image, ["sleep", "600"]).name(&*name).await.unwrap();
    let script = "until test -e /tmp/go; do sleep 0.1; done; echo $WORD >/tmp/word; exit 5";
    let id = container.exec_detached(["sh", "-c", script]).env([("WORD", "kept")]).await.unwrap();
    let state = container.exec_state(&*id).await.unwrap();
    assert!(state.running && state.pid > 0 && state.exit_code.is_none() && state.id == id, "{state:?}");
    let keys = container.exec_session(["tail", "-f", "/dev/null"]).tty(true).detach_keys("ctrl-x,q").await.unwrap();
    keys.write("\x18q").await.unwrap();
    // The session ends, and what it was with goes on; the oldest engines end that too.
    while tokio::time::timeout(Duration::from_secs(10), keys.read().into_future()).await.unwrap().unwrap_or_default().is_some() {}
    assert!(container.exec(["pidof", "tail"]).await.unwrap().exit_code == 0 || !speaks(&engine, 42));
    assert_eq!(container.exec(["touch", "/tmp/go"]).await.unwrap().exit_code, 0);
    let mut state = state;
    for _ in 0..100 {
        state = container.exec_state(&*id).await.unwrap();
        if !state.running {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((state.exit_code, state.pid), (Some(5), 0));
    assert_eq!(container.exec(["cat", "/tmp/word"]).await.unwrap().stdout.text(), "kept\n");
    assert_eq!(container.exec_state("nothing").await.unwrap_err().kind(), ErrorKind::NotFound);
    let e = container.exec_detached(["cat"]).stdin(dockerkit::units::Data::from(b"x".to_vec())).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput);
    let other = engine.containers().create(&*image, "true").name(format!("{name}-other")).await.unwrap();
    assert_eq!(other.exec_state(&*id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(other.exec_detached(["true"]).await.unwrap_err().kind(), ErrorKind::Conflict);
    other.remove().await.unwrap();
    container.remove().force(true).await.unwrap();
}

async fn images_are_chosen_by_platform_where_the_engine_can(engine: Engine, image: String, name: String) {
    let images = engine.images();
    let own = images.get(&*image).await.unwrap();
    let platform = format!("{}/{}", own.raw["Os"].as_str().unwrap(), own.raw["Architecture"].as_str().unwrap());
    if let Some(found) = since(&engine, 49, images.get(&*image).platform(&*platform).await) {
        assert_eq!(found.id, own.id);
        assert_eq!(images.get(&*image).platform("linux/s390x").await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    // An engine that does not keep images with containerd says nothing of what they are made of.
    since(&engine, 48, images.get(&*image).manifests(true).await);
    since(&engine, 47, images.list().manifests(true).await);
    if let Some(listed) = since(&engine, 42, images.list().shared_size(true).await) {
        assert!(listed.iter().find(|i| i.id == own.id).unwrap().shared_size.is_some());
    }
    assert_eq!(images.list().await.unwrap().iter().find(|i| i.id == own.id).unwrap().shared_size, None);
    if let Some(history) = since(&engine, 48, images.history(&*image).platform(&*platform).await) {
        assert_eq!(history.len(), images.history(&*image).await.unwrap().len());
        assert_eq!(images.history(&*image).platform("linux/s390x").await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let tag = format!("{name}:1");
    images.tag(&*image, &*tag).await.unwrap();
    if let Some(mut parts) = since(&engine, 48, images.save(vec![tag.clone()]).platform(&*platform).await) {
        let mut archive = Vec::new();
        while let Some(part) = parts.next().await {
            archive.extend_from_slice(&part.unwrap());
        }
        assert!(lab::names_of(&archive).iter().any(|n| n == "manifest.json"));
        let data = || dockerkit::units::Data::from(archive.clone());
        assert_eq!(images.load().data(data()).platform(&*platform).await.unwrap().images, std::slice::from_ref(&tag));
        assert!(images.load().data(data()).platform("linux/s390x").await.is_err());
        assert!(images.save(vec![tag.clone()]).platform("linux/s390x").await.is_err());
    } else {
        let e = images.load().data(dockerkit::units::Data::from(vec![0; 1024])).platform(&*platform).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
    }
    for wrong in ["linux", "linux/", "a/b/c/d"] {
        assert_eq!(images.get(&*image).platform(wrong).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let e = images.push("127.0.0.1:1/x").platform(&*platform).await.unwrap_err();
    assert_eq!(e.kind() == ErrorKind::Unsupported, !speaks(&engine, 46), "{e}");
    let e = images.remove(&*tag).platforms(["linux/s390x"]).await;
    match e {
        Err(e) if e.kind() == ErrorKind::Unsupported => assert!(!speaks(&engine, 50)),
        // Without containerd there is one platform, and the engine leaves the option unheeded or says so.
        _ => assert!(speaks(&engine, 50)),
    }
    images.remove(&*tag).await.ok();
    // The platform of a container.
    let made = engine.containers().create(&*image, "true").name(&*name).platform(&*platform).await.unwrap();
    made.remove().await.unwrap();
    let e = engine.containers().create(&*image, "true").name(&*name).platform("linux/s390x").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");

    let folder = tempfile::tempdir().unwrap();
    let build = images.build(folder.path()).dockerfile_inline(format!("FROM {image}\nRUN echo {name} >/{name}\n")).tags([&*tag]);
    let build = build.builder(dockerkit::engine::Builder::Buildkit).await.unwrap();
    images.remove(&*build.id).force(true).await.unwrap();
    assert_eq!(lab::prune_steps(&engine, &name).await, 1);
    images.prune_build_cache().keep(1u64 << 40).await.unwrap();
    since(&engine, 48, images.prune_build_cache().max_used(1u64 << 40).await);
    since(&engine, 48, images.prune_build_cache().min_free(1u64).await);
}

/// All that a container wrote.
async fn said(container: &dockerkit::engine::Container) -> String {
    let parts: Vec<_> = futures_util::StreamExt::collect(container.logs().await.unwrap()).await;
    parts.into_iter().map(|p| p.unwrap().data.text().into_owned()).collect()
}

async fn settings_of_containers_reach_the_engine(engine: Engine, image: String, name: String) {
    let made = engine
        .containers()
        .create(&*image, "true")
        .name(&*name)
        .cpuset_mems("0")
        .cpu_period(50_000i64)
        .cpu_quota(20_000i64)
        .oom_score_adj(500i64)
        .cgroup_parent("/dk-test")
        .uts_mode("host")
        .network_disabled(true)
        .await
        .unwrap();
    let raw = made.inspect().await.unwrap().raw;
    let host = &raw["HostConfig"];
    let wanted: [(&str, serde_json::Value); 6] = [
        ("CpusetMems", "0".into()),
        ("CpuPeriod", 50_000.into()),
        ("CpuQuota", 20_000.into()),
        ("OomScoreAdj", 500.into()),
        ("CgroupParent", "/dk-test".into()),
        ("UTSMode", "host".into()),
    ];
    for (key, value) in wanted {
        assert_eq!(host[key], value, "{key}");
    }
    assert_eq!(raw["Config"]["NetworkDisabled"], true);
    made.remove().await.unwrap();

    let with = engine.containers().create(&*image, "true").name(&*name).annotations([("org.example", "x")]).await;
    if let Some(made) = since(&engine, 43, with) {
        assert_eq!(made.inspect().await.unwrap().raw["HostConfig"]["Annotations"]["org.example"], "x");
        made.remove().await.unwrap();
    }
    // Mounts of each kind.
    let of = |kind: &str, target: &str| dockerkit::engine::Mount::default().kind(kind).target(target);
    let folder = tempfile::tempdir().unwrap();
    let mounts = vec![
        of("volume", "/v").source(format!("{name}-v")).driver("local").labels([("made", "here")]),
        of("bind", "/b").source(folder.path().join("new").display().to_string()).create_source(true).non_recursive(true),
        of("tmpfs", "/t").size(1u64 << 20).mode(0o700u32),
    ];
    let device = std::fs::read_dir("/sys/block").unwrap().next().map(|d| format!("/dev/{}", d.unwrap().file_name().display()));
    let made = engine.containers().create(&*image, ["sh", "-c", "echo kept >/v/x; stat -c %a /t; ls -d /b"]).name(&*name).mounts(mounts);
    let limits: BTreeMap<String, u64> = device.iter().filter(|d| Path::new(d).exists()).map(|d| (d.clone(), 1000)).collect();
    let made = made.device_read_iops(limits.clone());
    // Older engines do not know how to make the source.
    std::fs::create_dir(folder.path().join("new")).unwrap();
    let made = made.await.unwrap();
    let raw = made.inspect().await.unwrap().raw;
    assert_eq!(raw["HostConfig"]["BlkioDeviceReadIOps"].as_array().map_or(0, Vec::len), limits.len());
    made.start().await.unwrap();
    made.wait().await.unwrap();
    assert_eq!(said(&made).await, "700\n/b\n");
    assert_eq!(engine.volumes().get(format!("{name}-v")).await.unwrap().labels["made"], "here");
    made.remove().await.unwrap();
    let part = of("volume", "/p").source(format!("{name}-v")).subpath("x");
    let with = engine.containers().create(&*image, ["cat", "/p"]).name(&*name).mounts(vec![part]).await;
    if let Some(made) = since(&engine, 45, with) {
        made.start().await.unwrap();
        made.wait().await.unwrap();
        assert_eq!(said(&made).await, "kept\n");
        made.remove().await.unwrap();
    }
    engine.volumes().remove(format!("{name}-v")).await.unwrap();
    if !speaks(&engine, 48) {
        let e = engine.containers().create(&*image, "true").mounts(vec![of("image", "/i").source(&*image)]).await.unwrap_err();
        assert_eq!(e.context()["needs_api"], "1.48");
    }
    assert_eq!(engine.containers().create(&*image, "true").mounts(vec![of("disk", "/i")]).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    // Graphics processors that are not there are the engine's error, and words that name none are ours.
    assert_eq!(engine.containers().create(&*image, "true").gpus("some").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let made = engine.containers().create(&*image, "true").name(&*name).gpus("all").await.unwrap();
    assert_eq!(made.inspect().await.unwrap().raw["HostConfig"]["DeviceRequests"][0]["Count"], -1);
    assert!(made.start().await.is_err());
    made.remove().await.unwrap();
}

async fn networks_are_made_and_joined_in_each_way(engine: Engine, image: String, name: String) {
    let networks = engine.networks();
    let subnet = |n: u32| dockerkit::engine::Subnet::default().subnet(format!("10.{}.{n}.0/24", 150 + std::process::id() % 100));
    let settings = networks.create(format!("{name}-settings")).config_only(true).subnets(vec![subnet(1)]).await.unwrap();
    let made = networks.create(&*name).config_from(&*settings.name).await.unwrap();
    assert_eq!((&made.raw["ConfigFrom"]["Network"], &settings.raw["ConfigOnly"]), (&serde_json::Value::from(&*settings.name), &true.into()));
    assert_eq!(made.raw["IPAM"]["Config"][0]["Subnet"], settings.raw["IPAM"]["Config"][0]["Subnet"]);
    assert_eq!(networks.get(&*name).scope("local").verbose(true).await.unwrap().id, made.id);
    assert_eq!(networks.get(&*name).scope("swarm").await.unwrap_err().kind(), ErrorKind::NotFound);

    let friend = engine.containers().run(&*image, ["sleep", "600"]).name(format!("{name}-friend")).network(&*name).await.unwrap();
    let mac = "02:42:0a:00:00:77";
    let spec = engine.containers().run(&*image, ["sleep", "600"]).name(format!("{name}-1")).network(&*name).links([&*format!("{name}-friend:pal")]);
    let one = spec.await.unwrap();
    let hosts = one.exec(["sh", "-c", "nslookup pal 2>&1 || cat /etc/hosts"]).await.unwrap().stdout.text().into_owned();
    assert!(hosts.contains("pal"), "{hosts}");
    let with = engine.containers().create(&*image, ["sleep", "600"]).name(format!("{name}-2")).network(&*name).mac_address(mac).await;
    if let Some(two) = since(&engine, 44, with) {
        two.start().await.unwrap();
        let seen = two.exec(["cat", "/sys/class/net/eth0/address"]).await.unwrap().stdout.text().trim().to_owned();
        assert_eq!(seen, mac);
        two.remove().force(true).await.unwrap();
    }
    let other = networks.create(format!("{name}-other")).subnets(vec![subnet(2)]).await.unwrap();
    since(&engine, 44, networks.connect(&*other.name, one.id()).mac_address(mac).await);
    networks.disconnect(&*other.name, one.id()).force(true).await.ok();
    since(&engine, 48, networks.connect(&*other.name, one.id()).gateway_priority(7i64).await);
    networks.disconnect(&*other.name, one.id()).force(true).await.ok();
    networks.connect(&*other.name, one.id()).links([&*format!("{name}-friend:second")]).link_local_ips(["169.254.9.9"]).await.unwrap();
    let raw = one.inspect().await.unwrap().raw;
    let joined = &raw["NetworkSettings"]["Networks"][&*other.name];
    assert_eq!((&joined["Links"][0], &joined["IPAMConfig"]["LinkLocalIPs"][0]), (&format!("{name}-friend:second").into(), &"169.254.9.9".into()));
    for container in [one, friend] {
        container.remove().force(true).await.unwrap();
    }
    if let Some(six) = since(&engine, 48, networks.create(format!("{name}-six")).ipv4(false).ipv6(true).internal(true).await) {
        assert_eq!(six.raw["EnableIPv4"], false);
        networks.remove(six.id).await.unwrap();
    }
    for network in [other.name, name, settings.name] {
        networks.remove(network).await.unwrap();
    }
}

async fn checkpoints_need_an_experimental_engine(engine: Engine, image: String, name: String) {
    let container = engine.containers().run(&*image, ["sleep", "600"]).name(&*name).await.unwrap();
    let experimental = engine.info().await.unwrap().raw["ExperimentalBuild"] == true;
    let points = container.checkpoints();
    if experimental {
        assert!(points.list().await.unwrap().is_empty());
    } else {
        let all = [
            points.list().await.map(drop).unwrap_err(),
            points.create("one").await.unwrap_err(),
            points.remove("one").await.unwrap_err(),
            container.start().checkpoint("one").await.unwrap_err(),
        ];
        for e in all {
            assert!(e.kind() == ErrorKind::Unsupported && e.hint_text().unwrap().contains("experimental"), "{e:?}");
        }
    }
    assert_eq!(container.start().checkpoint_dir("/x").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    container.remove().force(true).await.unwrap();
}

/// An engine that writes down what it is asked, and answers by a list.
async fn recorder(folder: &std::path::Path, answers: &'static [(&'static str, &'static str, &'static str)]) -> (Engine, Arc<Mutex<Vec<String>>>) {
    let path = folder.join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                loop {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let head = String::from_utf8(head).unwrap();
                    let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(|n| n.parse().unwrap())).unwrap_or(0);
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).await.unwrap();
                    let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
                    let found = answers.iter().find(|(begin, ..)| line.starts_with(begin)).map_or(("200 OK", "OK"), |(_, status, text)| (*status, *text));
                    if !line.ends_with("/_ping") {
                        told.lock().unwrap().push(format!("{line} {}", String::from_utf8(body).unwrap()).trim().to_owned());
                    }
                    let text = format!("HTTP/1.1 {}\r\nApi-Version: 1.51\r\nContent-Length: {}\r\n\r\n{}", found.0, found.1.len(), found.1);
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (Engine::connect(format!("unix://{}", path.display())).await.unwrap(), seen)
}

#[tokio::test]
async fn checkpoints_are_asked_for_as_the_engine_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let answers = &[
        ("GET /v1.51/info", "200 OK", r#"{"ExperimentalBuild": true}"#),
        ("GET /v1.51/containers/c/json", "200 OK", r#"{"Id": "c", "Name": "/c"}"#),
        ("GET /v1.51/containers/c/checkpoints", "200 OK", r#"[{"Name": "one"}, {"Name": "two"}]"#),
        ("POST /v1.51/containers/c/checkpoints", "201 Created", ""),
        ("POST /v1.51/containers/c/start", "204 No Content", ""),
        ("DELETE /v1.51/containers/c/checkpoints/none", "404 Not Found", r#"{"message": "checkpoint none does not exist"}"#),
        ("DELETE /v1.51/containers/c/checkpoints/nocriu", "500 Internal Server Error", r#"{"message": "criu binary not found"}"#),
        ("DELETE /v1.51/containers/c/checkpoints", "204 No Content", ""),
    ];
    let (engine, seen) = recorder(folder.path(), answers).await;
    let container = engine.containers().get("c").await.unwrap();
    let points = container.checkpoints();
    points.create("one").await.unwrap();
    points.create("two").keep_running(true).dir("/points").await.unwrap();
    assert_eq!(points.list().dir("/points").await.unwrap(), ["one", "two"]);
    container.start().checkpoint("one").checkpoint_dir("/points").await.unwrap();
    points.remove("one").dir("/points").await.unwrap();
    assert_eq!(points.remove("none").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(points.remove("nocriu").await.unwrap_err().kind(), ErrorKind::Unsupported);
    let asked: Vec<_> = seen.lock().unwrap().iter().filter(|l| !l.contains("/info") && !l.contains("/json")).cloned().collect();
    assert_eq!(
        asked,
        [
            r#"POST /v1.51/containers/c/checkpoints {"CheckpointID":"one","CheckpointDir":"","Exit":true}"#,
            r#"POST /v1.51/containers/c/checkpoints {"CheckpointID":"two","CheckpointDir":"/points","Exit":false}"#,
            "GET /v1.51/containers/c/checkpoints?dir=%2Fpoints",
            "POST /v1.51/containers/c/start?checkpoint=one&checkpoint%2Ddir=%2Fpoints",
            "DELETE /v1.51/containers/c/checkpoints/one?dir=%2Fpoints",
            "DELETE /v1.51/containers/c/checkpoints/none",
            "DELETE /v1.51/containers/c/checkpoints/nocriu",
        ]
    );
}

async fn a_plugin_that_is_not_there_is_told(engine: Engine, _image: String, name: String) {
    assert_eq!(engine.plugins().upgrade(&*name, "127.0.0.1:1/x:2").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(engine.plugins().push(&*name).await.unwrap_err().kind(), ErrorKind::NotFound);
}
