//! Builds that are asked of BuildKit itself: contexts beside the main one, and caches for others.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests say what they expect by failing")]

#[macro_use]
mod lab;

use std::{
    collections::BTreeMap,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use dockerkit::{
    Engine, ErrorKind,
    engine::{BuildOptions, Builder},
};
use lab::variable;

on_each_engine! {
    contexts_reach_a_build_beside_the_main_one
    a_folder_is_sent_as_its_rules_say_and_nothing_from_outside
    errors_are_those_of_the_other_way
    a_dropped_build_ends_at_the_engine
    a_cache_in_an_image_serves_another_build
    a_missing_secret_is_no_error_where_it_may_be_missing
    what_an_engine_cannot_do_is_said
    settings_mean_the_same_on_both_ways
    wrong_settings_are_told_on_both_ways
    what_lies_on_the_network_is_fetched_by_the_engine
}

fn contexts(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Whether the engine knows contexts; one that does not says so before anything is sent.
async fn knows_contexts(engine: &Engine) -> bool {
    if engine.version().await.unwrap().version.starts_with("20.10") {
        let here = tempfile::tempdir().unwrap();
        let build = engine.images().build(here.path()).dockerfile_inline("FROM scratch\nCOPY --from=x / /\n");
        let e = build.additional_contexts(contexts(&[("x", text(here.path()))])).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
        assert!(e.message().contains("23.0") && e.message().contains("20.10"), "{e:?}");
        return false;
    }
    true
}

async fn contexts_reach_a_build_beside_the_main_one(engine: Engine, image: String, name: String) {
    if !knows_contexts(&engine).await {
        return;
    }
    let (main, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(main.path().join("own"), "main").unwrap();
    std::fs::write(main.path().join("left"), "out").unwrap();
    std::fs::write(main.path().join(".dockerignore"), "left\n").unwrap();
    std::fs::write(other.path().join("word"), "one").unwrap();
    let dockerfile = "FROM base\nARG WORD\nCOPY . /main/\nCOPY --from=tools /bin/busybox /tool\nRUN --mount=type=bind,from=other,target=/o cp /o/word /word\n\
                      RUN --mount=type=secret,id=key grep -qx h.nter2 /run/secrets/key; echo say $WORD; test ! -e /main/left\n";
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let build = |o: &mut BuildOptions| {
        o.dockerfile_inline = Some(dockerfile.to_owned());
        o.tags = vec![format!("{name}:1"), format!("{name}-more")];
        o.labels = BTreeMap::from([("made".to_owned(), "here".to_owned())]);
        o.args = BTreeMap::from([("WORD".to_owned(), "hello".to_owned())]);
        o.secrets = BTreeMap::from([("key".to_owned(), "hunter2".into())]);
        o.additional_contexts =
            contexts(&[("base:latest", &format!("docker-image://{image}")), ("tools", &format!("docker-image://{image}")), ("other", text(other.path()))]);
    };
    let built = engine.images().build(main.path()).with(build).on_event(move |e| seen.lock().unwrap().push(e.to_string())).await.unwrap();
    assert_eq!(built.labels.get("made").map(String::as_str), Some("here"));
    assert_eq!(engine.images().get(format!("{name}-more:latest")).await.unwrap().id, built.id);
    let steps = told.lock().unwrap().join("\n");
    assert!(steps.contains("say hello") && steps.contains("[context other]") && !steps.contains("hunter2"), "{steps}");
    let out = engine.containers().run_output(format!("{name}:1"), "sh -c 'cat /main/own /word; test -x /tool'").await.unwrap();
    assert_eq!((&*out.stdout.text(), out.exit_code), ("mainone", 0));

    // What has changed since is sent, what has not is taken from before.
    std::fs::write(other.path().join("word"), "second").unwrap();
    let again = engine.images().build(main.path()).with(build).await.unwrap();
    assert_ne!(again.id, built.id);
    let out = engine.containers().run_output(format!("{name}:1"), "cat /word").await.unwrap();
    assert_eq!(&*out.stdout.text(), "second");
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let third = engine.images().build(main.path()).with(build).on_event(move |e| seen.lock().unwrap().push(e.to_string())).await.unwrap();
    assert_eq!(third.id, again.id, "{:#?}", told.lock().unwrap());
    for image in [&*built.id, &format!("{name}:1"), &format!("{name}-more:latest")] {
        engine.images().remove(image).force(true).await.unwrap();
    }
}

async fn a_folder_is_sent_as_its_rules_say_and_nothing_from_outside(engine: Engine, image: String, name: String) {
    if !knows_contexts(&engine).await {
        return;
    }
    let (main, other, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |path: &str| other.path().join(path);
    for folder in ["a", "a/deep", "a-b", "cache/kept", "cache/gone", "empty"] {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    for (path, content) in
        [("a/x", "x"), ("a/deep/y", ""), ("a-b/z", "z"), ("a.txt", "t"), ("cache/kept/k", "k"), ("cache/gone/g", "g"), ("w\u{f6}rd", "\u{f6}")]
    {
        std::fs::write(at(path), content).unwrap();
    }
    std::fs::write(at(".dockerignore"), "cache\n!cache/kept\n*.log\n# \u{e4}\n\u{e4}*\n").unwrap();
    std::fs::write(at("x.log"), "log").unwrap();
    std::fs::write(at("\u{e4}pfel"), "no").unwrap();
    std::fs::write(at("run"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(at("run"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    let large: Vec<u8> = (0..5_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(at("large"), &large).unwrap();
    for n in 0..300 {
        std::fs::write(at(&format!("a/n{n}")), n.to_string()).unwrap();
    }
    std::fs::write(outside.path().join("password"), "hunter2").unwrap();
    symlink(outside.path().join("password"), at("file-link")).unwrap();
    symlink(outside.path(), at("folder-link")).unwrap();
    symlink("a/x", at("inner-link")).unwrap();
    lab::output("mkfifo", &[text(&at("pipe"))], &[]);
    let dockerfile = format!("FROM {image}\nCOPY --from=other / /all/\n");
    engine
        .images()
        .build(main.path())
        .dockerfile_inline(&*dockerfile)
        .tags(vec![format!("{name}:1")])
        .additional_contexts(contexts(&[("other", text(other.path()))]))
        .await
        .unwrap();
    let script = "cd /all; echo .[a-z]* *; ls a/deep cache; cat a/x a-b/z a.txt cache/kept/k w*; ls a | grep -c ^n; for l in *-link; do readlink $l; done; \
                  stat -c %a:%u run; md5sum <large";
    let out = engine.containers().run_output(format!("{name}:1"), ["sh", "-c", script]).await.unwrap().stdout.text().into_owned();
    let digest = lab::output("md5sum", &[text(&at("large"))], &[]);
    let expected = format!(
        ".dockerignore a a-b a.txt cache empty file-link folder-link inner-link large run w\u{f6}rd\na/deep:\ny\n\ncache:\nkept\n\
         xztk\u{f6}300\n{0}/password\n{0}\na/x\n4755:0\n{1}  -\n",
        outside.path().display(),
        digest.split_whitespace().next().unwrap(),
    );
    assert_eq!(out, expected);
    engine.images().remove(format!("{name}:1")).await.unwrap();

    // A way through a link leads out of the context, and so to nothing.
    let through = format!("FROM {image}\nCOPY --from=other folder-link/password /x\n");
    let build = engine.images().build(main.path()).dockerfile_inline(through).additional_contexts(contexts(&[("other", text(other.path()))]));
    let e = build.await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e:?}");
}

async fn errors_are_those_of_the_other_way(engine: Engine, image: String, _: String) {
    if !knows_contexts(&engine).await {
        return;
    }
    let (main, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dockerfile in [
        format!("FROM {image}\nRUN echo oh dear; exit 7\n"),
        format!("FROM {image}\nNONSENSE here\n"),
        "FROM\n".to_owned(),
        format!("FROM {image}\nCOPY nothing /\n"),
        format!("FROM {image}\nRUN --mount=type=secret,id=none,required=true true\n"),
        format!("FROM {image} AS one\nFROM two\n"),
    ] {
        let usual = engine.images().build(main.path()).builder(Builder::Buildkit).dockerfile_inline(&*dockerfile).await.unwrap_err();
        let direct = engine.images().build(main.path()).dockerfile_inline(&*dockerfile).additional_contexts(contexts(&[("other", text(other.path()))]));
        let direct = direct.await.unwrap_err();
        let told = |e: &dockerkit::Error| (e.kind(), e.context().get("exit_code").cloned());
        assert_eq!(told(&direct), told(&usual), "{dockerfile}: {direct:?} {usual:?}");
        // Words with a colon inside are names of this one build.
        let words = |e: &dockerkit::Error| e.message().split(' ').filter(|w| !w.trim_end_matches(':').contains(':')).collect::<Vec<_>>().join(" ");
        assert_eq!(words(&direct), words(&usual), "{dockerfile}");
        assert_eq!(direct.context()["output"].contains("oh dear"), dockerfile.contains("oh dear"), "{direct:?}");
    }
    // What cannot be read here is said in this side's words.
    let e = engine.images().build(main.path()).dockerfile_inline("FROM scratch").additional_contexts(contexts(&[("x", "/nothing/here")])).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");
}

/// The processes of this machine with a word in their command line.
fn processes(word: &str) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|p| std::fs::read(p.ok()?.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
}

async fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..300 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} took too long");
}

async fn a_dropped_build_ends_at_the_engine(engine: Engine, image: String, name: String) {
    if !knows_contexts(&engine).await {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let dockerfile = format!("FROM {image}\nRUN echo {name}-sleeps; sleep 1000; echo more\n");
    let call = engine.images().build(here.path()).dockerfile_inline(dockerfile).additional_contexts(contexts(&[("x", text(here.path()))]));
    let task = tokio::spawn(async move { call.await });
    let word = format!("echo {name}-sleeps");
    until("the step's begin", || processes(&word) > 0 || task.is_finished()).await;
    assert!(!task.is_finished(), "{:?}", task.await);
    task.abort();
    until("the step's end", || processes(&word) == 0).await;
}

/// Whether the user's configuration holds a login for the registry. It is read from where the environment says, and that is a
/// matter of a process: the test is run once more, in one of its own.
#[allow(clippy::disallowed_methods, reason = "what the test tells its own second process is no part of the lab")]
fn logged_in(registry: &str) -> bool {
    if std::env::var_os("DOCKER_CONFIG").is_some() {
        return true;
    }
    let (Some(user), Some(password)) = (variable("DOCKERKIT_LAB_REGISTRY_USER"), variable("DOCKERKIT_LAB_REGISTRY_PASSWORD")) else { return false };
    let folder = tempfile::tempdir().unwrap();
    let auth = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{user}:{password}"));
    std::fs::write(folder.path().join("config.json"), serde_json::json!({"auths": {registry: {"auth": auth}}}).to_string()).unwrap();
    let test = std::thread::current().name().unwrap().to_owned();
    let program = std::env::current_exe().unwrap();
    let out = lab::output(text(&program), &["--exact", &test, "--nocapture"], &[("DOCKER_CONFIG", text(folder.path()))]);
    assert!(out.contains("1 passed") && !out.contains("SKIP"), "{out}");
    false
}

async fn a_cache_in_an_image_serves_another_build(engine: Engine, image: String, name: String) {
    let Some(registry) = variable("DOCKERKIT_LAB_REGISTRY") else { return };
    if !logged_in(&registry) {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let tag = format!("{registry}/{name}:cached");
    // Engines look no further for steps whose image another build uses at the same time.
    let base = format!("{name}:base");
    let builder = engine.images().build(here.path()).dockerfile_inline(format!("FROM {image}\nLABEL of={name}\n")).builder(Builder::Classic);
    builder.tags(vec![base.clone()]).await.unwrap();
    // A step whose result no other build gives.
    let dockerfile = format!("FROM {base}\nRUN echo {name}; head -c 16 /dev/urandom | md5sum >/made\n");
    let made = |id: String| {
        let engine = engine.clone();
        async move { engine.containers().run_output(id, "cat /made").await.unwrap().stdout.text().into_owned() }
    };
    let build = || engine.images().build(here.path()).dockerfile_inline(&*dockerfile).builder(Builder::Buildkit);
    let first = build().tags(vec![tag.clone()]).cache_to(vec!["type=inline".to_owned()]).await.unwrap();
    let before = made(first.id.clone()).await;
    engine.images().push(&*tag).await.unwrap();
    let forget = async |id: Option<&str>| {
        if let Some(id) = id {
            engine.images().remove(id).force(true).await.unwrap();
        }
        assert!(lab::prune_steps(&engine, &name).await > 0);
    };
    // The oldest engine's builder does not read the certificates of a registry: there the image itself has to stay.
    let stays = engine.version().await.unwrap().version.starts_with("20.10");
    forget(Some(&*first.id).filter(|_| !stays)).await;
    let without = build().await.unwrap();
    assert_ne!(made(without.id.clone()).await, before);
    forget(Some(&without.id)).await;
    for from in [format!("type=registry,ref={tag}"), tag.clone()] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = told.clone();
        let again = build().cache_from(vec![from.clone()]).on_event(move |e| seen.lock().unwrap().push(e.to_string())).await.unwrap();
        let steps = told.lock().unwrap().join("\n");
        assert_eq!(made(again.id.clone()).await, before, "{from}: {steps}");
        assert!(steps.contains("md5sum >/made: nothing to do"), "{steps}");
        forget(Some(&again.id)).await;
    }
    if stays {
        engine.images().remove(&*first.id).force(true).await.unwrap();
    }
    engine.images().remove(base).await.unwrap();
}

/// An engine that keeps images in containerd exports caches by themselves.
#[tokio::test]
async fn a_cache_in_a_registry_serves_another_build() {
    let Some(registry) = variable("DOCKERKIT_LAB_REGISTRY") else { return };
    let Some(program) = lab::daemon::programs().into_iter().find(|p| !lab::output(text(p), &["--version"], &[]).contains(" 20.10")) else {
        lab::skip("there is no dockerd that keeps images in containerd");
        return;
    };
    if !logged_in(&registry) {
        return;
    }
    let daemon = lab::daemon::Daemon::start(&program, &["--feature", "containerd-snapshotter=true"]);
    let Some(image) = daemon.image().await else { return };
    let engine = daemon.engine().await;
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("word"), "one").unwrap();
    let name = lab::name("dk-");
    let to = format!("type=registry,ref={registry}/{name}:cache,mode=max");
    // The first stage is in no image: only `mode=max` keeps it.
    let dockerfile = format!(
        "FROM {image} AS first\nRUN echo {name}; head -c 16 /dev/urandom | md5sum >/made\nFROM {image}\n\
         COPY --from=first /made /made\nCOPY --from=other word /word\nRUN cat /made /word >/all\n"
    );
    let build = || {
        let call = engine.images().build(here.path()).dockerfile_inline(&*dockerfile).tags(vec![format!("{name}:1")]);
        call.additional_contexts(contexts(&[("other", text(here.path()))]))
    };
    // Nothing is run here: the layers themselves say whether they are the same.
    let layers = |image: &dockerkit::engine::Image| image.raw["RootFS"]["Layers"].clone();
    let first = build().cache_to(vec![to.clone()]).await.unwrap();
    assert!(first.tags.iter().any(|t| t.contains(&name)), "{first:?}");
    let forget = async || {
        engine.images().remove(format!("{name}:1")).force(true).await.unwrap();
        engine.images().prune_build_cache().all(true).await.unwrap();
    };
    forget().await;
    assert_ne!(layers(&build().await.unwrap()), layers(&first));
    forget().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let again = build().cache_from(vec![format!("type=registry,ref={registry}/{name}:cache")]);
    let again = again.on_event(move |e| seen.lock().unwrap().push(e.to_string())).await.unwrap();
    let steps = told.lock().unwrap().join("\n");
    assert_eq!(layers(&again), layers(&first), "{steps}");
    assert!(steps.contains("md5sum >/made: nothing to do"), "{steps}");

    // A cache that cannot be pushed fails the build, as with the tools of docker.
    let e = build().cache_to(vec![format!("type=registry,ref={registry}/../x")]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e:?}");
}

/// A secret that a build may do without.
async fn a_missing_secret_is_no_error_where_it_may_be_missing(engine: Engine, image: String, _: String) {
    let here = tempfile::tempdir().unwrap();
    let dockerfile = format!("FROM {image}\nRUN --mount=type=secret,id=none test ! -e /run/secrets/none\n");
    engine.images().build(here.path()).dockerfile_inline(dockerfile).builder(Builder::Buildkit).no_cache(true).await.unwrap();
}

async fn what_an_engine_cannot_do_is_said(engine: Engine, image: String, name: String) {
    let here = tempfile::tempdir().unwrap();
    let build = || engine.images().build(here.path()).dockerfile_inline(format!("FROM {image}\nRUN echo {name}\n"));
    for to in ["type=local,dest=/tmp/x", "type=gha", "type=registry,ref=127.0.0.1:1/x:1,mode=max"] {
        let e = build().cache_to(vec![to.to_owned()]).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{to}: {e:?}");
    }
    let e = build().cache_to(vec!["type=registry".to_owned()]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e:?}");
    let e = build().cache_from(vec!["type=local,src=/tmp/x".to_owned()]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    let e = build().cache_to(vec!["type=inline".to_owned()]).builder(Builder::Classic).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e:?}");
    if knows_contexts(&engine).await {
        let e = build().additional_contexts(contexts(&[("x", "oci-layout:///tmp/x")])).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    }
}

/// The same build by the engine's own way to BuildKit, and by ours where the engine knows it.
fn both_ways(
    engine: &Engine,
    here: &Path,
    ours: bool,
    change: impl Fn(&mut BuildOptions),
) -> Vec<dockerkit::call::Call<BuildOptions, dockerkit::engine::Image>> {
    let build = |more: bool| {
        engine.images().build(here).builder(Builder::Buildkit).no_cache(true).with(|o| {
            change(o);
            if more {
                o.additional_contexts = contexts(&[("more", text(here))]);
            }
        })
    };
    [Some(build(false)), ours.then(|| build(true))].into_iter().flatten().collect()
}

async fn settings_mean_the_same_on_both_ways(engine: Engine, image: String, name: String) {
    let ours = knows_contexts(&engine).await;
    let here = tempfile::tempdir().unwrap();
    let script = "echo word $WORD; cat /run/secrets/key; echo; grep test /etc/hosts; readlink /proc/self/ns/net; awk 'NR > 2 && !/lo:/ {n = 1} END {print n + 0}' /proc/net/dev; \
                  df -k /dev/shm | tail -n 1 | awk '{print $2}'";
    let dockerfile =
        format!("FROM {image} AS wanted\nARG WORD=none\nRUN --mount=type=secret,id=key ({script}) >/seen\nFROM wanted AS rest\nRUN echo too far; false\n");
    // What a container is given says what a build must be given.
    let there = engine.containers().run_output(&*image, ["readlink", "/proc/self/ns/net"]).with(|o| o.spec.network = Some("host".to_owned())).await;
    let host_network = there.unwrap().stdout.text().trim().to_owned();
    let gate = engine.containers().run_output(&*image, ["grep", "gate.test", "/etc/hosts"]);
    let gate = gate
        .with(|o| o.spec.extra_hosts = contexts(&[("gate.test", "host-gateway")]))
        .await
        .unwrap()
        .stdout
        .text()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    for network in [None, Some("default"), Some("none"), Some("host")] {
        let mut all = Vec::new();
        for build in both_ways(&engine, here.path(), ours, |o| {
            o.dockerfile_inline = Some(dockerfile.clone());
            o.target = Some("wanted".to_owned());
            o.tags = vec![format!("{name}:1")];
            o.network = network.map(str::to_owned);
            o.args = contexts(&[("WORD", "given, \"quoted\" = $x")]);
            o.labels = contexts(&[("made", "here, and = there")]);
            o.extra_hosts = contexts(&[("one.test", "10.1.2.3"), ("two.test", "10.0.0.1, 10.0.0.2"), ("six.test", "fd00::7"), ("gate.test", "host-gateway")]);
            o.secrets = BTreeMap::from([("key".to_owned(), "hunter2".into())]);
            o.shm_size = Some((96u64 << 20).into());
        }) {
            let built = build.await.unwrap();
            assert_eq!(built.labels["made"], "here, and = there", "{network:?}");
            all.push(engine.containers().run_output(&*built.id, ["cat", "/seen"]).await.unwrap().stdout.text().into_owned());
            engine.images().remove(format!("{name}:1")).force(true).await.unwrap();
        }
        let mut lines: Vec<_> = all[0].lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let shm = lines.pop().unwrap();
        // The oldest engine's own way takes no size of it.
        assert!(shm == "98304" || !ours, "{all:?}");
        // Whether there are any, not how many: those of the host come and go with other containers.
        let linked = lines.pop().unwrap();
        let space = lines.pop().unwrap();
        assert_eq!((linked == "0", space == host_network), (network == Some("none"), network == Some("host")), "{network:?}: {all:?}");
        let hosts = [
            "word given, \"quoted\" = $x".to_owned(),
            "hunter2".to_owned(),
            format!("{gate} gate.test"),
            "10.1.2.3 one.test".to_owned(),
            "fd00::7 six.test".to_owned(),
            "10.0.0.1 two.test".to_owned(),
            "10.0.0.2 two.test".to_owned(),
        ];
        assert_eq!(lines, hosts, "{network:?}");
        // Each build has a network of its own, but with the host's.
        let same = |seen: &str| seen.lines().filter(|l| !l.starts_with("net:") || *l == host_network).collect::<Vec<_>>().join("\n");
        assert!(all.iter().all(|other| same(other) == same(&all[0])), "{network:?}: {all:#?}");
    }
}

async fn wrong_settings_are_told_on_both_ways(engine: Engine, image: String, name: String) {
    let ours = knows_contexts(&engine).await;
    let here = tempfile::tempdir().unwrap();
    type Change = fn(&mut BuildOptions);
    let cases: [(&str, Change); 9] = [
        ("a network that is none", |o| o.network = Some("nowhere".to_owned())),
        ("a network of the engine", |o| o.network = Some("bridge".to_owned())),
        ("a stage that is not there", |o| o.target = Some("nothing".to_owned())),
        ("an address that is none", |o| o.extra_hosts = contexts(&[("a.test", "nonsense")])),
        ("an address that is two lines", |o| o.extra_hosts = contexts(&[("a.test", "10.0.0.1,b.test=10.0.0.2")])),
        ("a name that is two lines", |o| o.extra_hosts = contexts(&[("a.test=10.0.0.1,b.test", "10.0.0.2")])),
        ("no address", |o| o.extra_hosts = contexts(&[("a.test", "")])),
        ("a tag that is two", |o| o.tags = vec!["dk-one:1,dk-two:1".to_owned()]),
        ("a tag that is none", |o| o.tags = vec!["Not A Name".to_owned()]),
    ];
    for (what, change) in cases {
        for (n, build) in both_ways(&engine, here.path(), ours, |o| {
            o.dockerfile_inline = Some(format!("FROM {image}\nRUN echo {name}\n"));
            change(o);
        })
        .into_iter()
        .enumerate()
        {
            let e = build.await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidInput, "{what}, way {n}: {e:?}");
            assert!(e.hint_text().is_some(), "{what}, way {n}: {e:?}");
        }
    }
}

/// A server of one word for every address that ends in `word`, with TLS where there is a certificate.
async fn web(tls: Option<(&lab::certificates::Authority, &str)>) -> u16 {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.ok()?);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let status = if head.lines().next()?.contains("/word ") { "200 OK" } else { "404 Not Found" };
            let body = if head.starts_with("HEAD") { "" } else { "from afar" };
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\n{body}").as_bytes()).await.ok()?;
        }
    }

    let acceptor = tls.map(|(ca, cert)| {
        let chain = vec![CertificateDer::from_pem_file(ca.path(&format!("{cert}.pem"))).unwrap()];
        let key = PrivateKeyDer::from_pem_file(ca.path(&format!("{cert}-key.pem"))).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                match acceptor {
                    None => answer(stream).await,
                    Some(acceptor) => answer(acceptor.accept(stream).await.ok()?).await,
                }
            });
        }
    });
    port
}

/// A git server on a port of its own, until it is dropped.
struct GitServer(std::process::Child, u16);

impl GitServer {
    fn start(folder: &Path) -> Self {
        let work = folder.join("repo");
        let git = |args: &[&str]| lab::output("git", &[&["-C", text(&work), "-c", "user.name=x", "-c", "user.email=x@x.test"], args].concat(), &[]);
        std::fs::create_dir_all(work.join("inner")).unwrap();
        std::fs::write(work.join("word"), "from git").unwrap();
        std::fs::write(work.join("inner/word"), "from inside").unwrap();
        git(&["init", "-q", "-b", "main"]);
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "words"]);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let args = [format!("--base-path={}", folder.display()), format!("--port={port}")];
        let child = std::process::Command::new("git")
            .args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .args(args)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Self(child, port)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        // It answers by a process of its own, which ends with it.
        std::process::Command::new("kill").arg(self.0.id().to_string()).status().ok();
        self.0.wait().ok();
    }
}

async fn what_lies_on_the_network_is_fetched_by_the_engine(engine: Engine, image: String, name: String) {
    if !knows_contexts(&engine).await {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let build = |source: String| {
        let dockerfile = format!("FROM {image}\nCOPY --from=far word /word\n");
        let call = engine.images().build(here.path()).no_cache(true).dockerfile_inline(dockerfile).tags(vec![format!("{name}:1")]);
        call.additional_contexts(contexts(&[("far", &source)]))
    };
    let git = GitServer::start(here.path());
    let (place, plain) = (format!("git://127.0.0.1:{}/repo", git.1), web(None).await);
    for (source, wanted) in
        [(format!("http://127.0.0.1:{plain}/word"), "from afar"), (format!("{place}#main"), "from git"), (format!("{place}#main:inner"), "from inside")]
    {
        let built = build(source.clone()).await.unwrap_or_else(|e| panic!("{source}: {e:?}"));
        let out = engine.containers().run_output(&*built.id, ["cat", "/word"]).await.unwrap();
        assert_eq!(&*out.stdout.text(), wanted, "{source}");
        engine.images().remove(format!("{name}:1")).await.unwrap();
    }
    let ca = lab::certificates::Authority::new(here.path(), "ca");
    ca.sign("server", "IP:127.0.0.1", (-1, 9));
    let behind_tls = web(Some((&ca, "server"))).await;
    for (source, kind) in [
        (format!("https://127.0.0.1:{behind_tls}/word"), ErrorKind::Untrusted),
        (format!("http://127.0.0.1:{plain}/none"), ErrorKind::NotFound),
        ("https://127.0.0.1:1/word".to_owned(), ErrorKind::Unreachable),
        ("https://nowhere.invalid/word".to_owned(), ErrorKind::Unreachable),
        ("https://127.0.0.1:1/repo.git".to_owned(), ErrorKind::Unreachable),
        ("git://127.0.0.1:1/repo".to_owned(), ErrorKind::Unreachable),
        (format!("git://127.0.0.1:{}/none", git.1), ErrorKind::InvalidInput),
        (format!("{place}#nowhere"), ErrorKind::InvalidInput),
        (format!("{place}#main:nothing"), ErrorKind::InvalidInput),
        ("ssh://git@127.0.0.1:1/repo".to_owned(), ErrorKind::InvalidInput),
    ] {
        let e = build(source.clone()).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{source}: {e:?}");
    }
}

/// What an engine trusts is a matter of its host: here, of its environment.
#[tokio::test(flavor = "multi_thread")]
async fn a_context_behind_tls_is_fetched_by_an_engine_that_trusts_it() {
    let Some(program) = lab::daemon::programs().into_iter().find(|p| !lab::output(text(p), &["--version"], &[]).contains(" 20.10")) else {
        lab::skip("there is no dockerd that knows contexts");
        return;
    };
    let here = tempfile::tempdir().unwrap();
    let ca = lab::certificates::Authority::new(here.path(), "ca");
    ca.sign("server", "IP:127.0.0.1", (-1, 9));
    let port = web(Some((&ca, "server"))).await;
    let trusting = here.path().join("dockerd");
    let (own, beside) = (program.parent().unwrap(), program.parent().unwrap().with_file_name("bin"));
    let script = format!(
        "#!/bin/sh\nPATH={}:{}:$PATH SSL_CERT_FILE={} exec {} \"$@\"\n",
        own.display(),
        beside.display(),
        ca.path("ca.pem").display(),
        program.display()
    );
    std::fs::write(&trusting, script).unwrap();
    std::fs::set_permissions(&trusting, std::fs::Permissions::from_mode(0o755)).unwrap();
    let daemon = lab::daemon::Daemon::start(&trusting, &[]);
    let Some(image) = daemon.image().await else { return };
    let engine = daemon.engine().await;
    let context = tempfile::tempdir().unwrap();
    let call = engine.images().build(context.path()).dockerfile_inline(format!("FROM {image}\nCOPY --from=far word /word\n"));
    let built = call.additional_contexts(contexts(&[("far", &format!("https://127.0.0.1:{port}/word"))])).await.unwrap();
    assert_eq!(&*engine.containers().run_output(&*built.id, ["cat", "/word"]).await.unwrap().stdout.text(), "from afar");
}
