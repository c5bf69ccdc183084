//! One engine: containers, images and plugins, on each engine of the lab.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test fails with its test")]

#[macro_use]
mod lab;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use dockerkit::{Engine, ErrorKind, engine::Builder};
use lab::variable;

on_each_engine! {
    a_container_is_measured_and_exported
    a_container_is_waited_for_in_each_way
    a_plugin_is_made_set_and_removed
    both_builders_build_and_say_what_is_wrong
    buildkit_gets_secrets_and_an_agent_and_nothing_keeps_them
}

async fn a_container_is_measured_and_exported(engine: Engine, image: String, name: String) {
    let container = engine.containers().run(&*image, "sh -c 'echo kept >/kept; while true; do :; done'").name(&*name).await.unwrap();
    let mut stats = container.stats().await.unwrap();
    let mut last = stats.next().await.unwrap().unwrap();
    for _ in 0..2 {
        last = stats.next().await.unwrap().unwrap();
    }
    drop(stats);
    assert!(last.cpu_percent > 5.0 && last.cpu_seconds > 0.0 && last.pids > 0 && last.memory_limit > 0, "{last:?}");
    let once: Vec<_> = futures_util::StreamExt::collect(container.stats().stream(false).await.unwrap()).await;
    assert_eq!(once.len(), 1);

    let mut archive = Vec::new();
    let mut parts = container.export().await.unwrap();
    while let Some(part) = parts.next().await {
        archive.extend_from_slice(&part.unwrap());
    }
    let listed = lab::names_of(&archive);
    assert!(listed.iter().any(|n| n == "kept") && listed.iter().any(|n| n == "bin/busybox"), "{listed:?}");
    container.remove().force(true).await.unwrap();
    assert_eq!(container.stats().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(container.export().await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn a_container_is_waited_for_in_each_way(engine: Engine, image: String, name: String) {
    let begin = Instant::now();
    let script = "mkdir /www; echo here >/www/health; sleep 1; echo ready; sleep 1; echo ready; exec httpd -f -p 8080 -h /www";
    let container = engine.containers().run(&*image, ["sh", "-c", script]).name(&*name).await.unwrap();
    container.wait_until().await.unwrap();
    container.wait_until().log("ready").log_times(2u32).await.unwrap();
    assert!(begin.elapsed() > Duration::from_millis(1900), "{:?}", begin.elapsed());
    container.wait_until().port(8080u16).await.unwrap();
    container.wait_until().port(8080u16).http("/health").await.unwrap();
    container.wait_until().port(8080u16).http("/nothing").http_status(404u16).await.unwrap();
    let e = container.wait_until().port(8081u16).timeout(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout);
    assert!(e.to_string().contains("port 8081") && e.context()["output"].contains("ready"), "{e:?}");
    assert_eq!(container.wait_until().healthy(true).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(container.wait_until().http("/health").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    container.remove().force(true).await.unwrap();

    let sick = engine.containers().run(&*image, ["sh", "-c", "echo no luck; exit 3"]).name(&*name).await.unwrap();
    let e = sick.wait_until().log("never").await.unwrap_err();
    assert_eq!((e.kind(), e.context()["exit_code"].as_str(), e.context()["output"].as_str()), (ErrorKind::Unhealthy, "3", "no luck"), "{e}");
    sick.remove().force(true).await.unwrap();
}

async fn a_plugin_is_made_set_and_removed(engine: Engine, _image: String, name: String) {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(engine.plugins().create(&*name, folder.path()).await.unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::create_dir_all(folder.path().join("rootfs")).unwrap();
    let config = serde_json::json!({
        "Description": "does nothing", "Entrypoint": ["/nothing"], "WorkDir": "/", "Network": {"Type": "none"},
        "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "nothing.sock"},
        "Env": [{"Name": "LEVEL", "Description": "how much", "Value": "1", "Settable": ["value"]}],
        "Linux": {"Capabilities": null, "Devices": null, "AllowAllDevices": false}, "PropagatedMount": "", "Mounts": null, "Args": {"Name": "", "Description": "", "Settable": null, "Value": null},
    });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let made = engine.plugins().create(&*name, folder.path()).await.unwrap();
    assert_eq!((made.enabled, made.description.as_str(), made.interfaces[0].as_str()), (false, "does nothing", "docker.volumedriver/1.0"));
    assert!(engine.plugins().list().await.unwrap().iter().any(|p| p.name == made.name));
    engine.plugins().set(&*name, vec!["LEVEL=2".to_owned()]).await.unwrap();
    assert_eq!(engine.plugins().get(&*name).await.unwrap().raw["Settings"]["Env"][0], "LEVEL=2");
    assert!(engine.plugins().enable(&*name).await.is_err());
    engine.plugins().remove(&*name).force(true).await.unwrap();
    assert_eq!(engine.plugins().get(&*name).await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn both_builders_build_and_say_what_is_wrong(engine: Engine, image: String, name: String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kept"), "here").unwrap();
    std::fs::write(folder.path().join("left"), "out").unwrap();
    std::fs::write(folder.path().join(".dockerignore"), "left\n").unwrap();
    for builder in [Builder::Classic, Builder::Buildkit, Builder::Auto] {
        let steps = Arc::new(Mutex::new(Vec::new()));
        let seen = steps.clone();
        let text = format!(
            "FROM {image} AS base\nARG WORD\nCOPY . /all/\nRUN echo word $WORD of {name}; test ! -e /all/left\nFROM base AS more\nRUN echo more >/more\n"
        );
        let build = |o: &mut dockerkit::engine::BuildOptions| {
            o.builder = builder;
            o.dockerfile_inline = Some(text.clone());
            o.tags = vec![format!("{name}:1")];
            o.args = BTreeMap::from([("WORD".to_owned(), format!("{builder:?}"))]);
            o.labels = BTreeMap::from([("made".to_owned(), "here".to_owned())]);
            o.target = Some("base".to_owned());
        };
        let built = engine.images().build(folder.path()).with(build).on_event(move |e| seen.lock().unwrap().push(e.to_string())).await.unwrap();
        assert_eq!(built.labels.get("made").map(String::as_str), Some("here"), "{builder:?}");
        let told = steps.lock().unwrap().join("\n");
        assert!(told.contains(&format!("word {builder:?}")), "{told}");
        let out = engine.containers().run_output(format!("{name}:1"), "sh -c 'cat /all/kept; ls /more'").await.unwrap();
        assert_eq!((&*out.stdout.text(), out.exit_code), ("here", 1));

        let e = engine.images().build(folder.path()).builder(builder).dockerfile_inline(format!("FROM {image}\nRUN echo oh dear; exit 7\n")).await.unwrap_err();
        assert_eq!((e.kind(), e.context()["exit_code"].as_str()), (ErrorKind::CommandFailed, "7"), "{e:?}");
        assert!(e.context()["output"].contains("oh dear"), "{e:?}");
        let e = engine.images().build(folder.path()).builder(builder).dockerfile_inline("FROM\nNONSENSE\n").await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e:?}");
    }
    engine.images().remove(format!("{name}:1")).force(true).await.unwrap();
}

/// Says a word to the socket of an agent, and succeeds when it comes back.
const TALK: &str = r#"
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(void) {
    struct sockaddr_un at = {AF_UNIX, "/agent.sock"};
    char back[5] = "";
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(s, (struct sockaddr *)&at, sizeof at) || write(s, "ping", 4) != 4 || read(s, back, 4) != 4) return 2;
    return strcmp(back, "ping") != 0;
}
"#;

async fn buildkit_gets_secrets_and_an_agent_and_nothing_keeps_them(engine: Engine, image: String, name: String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "from-a-file").unwrap();
    // An agent that says back what it hears.
    let socket = folder.path().join("agent.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.ok();
            });
        }
    });
    // What talks to it in the build: busybox has nothing for such sockets.
    let context = tempfile::tempdir().unwrap();
    let source = context.path().join("talk.c");
    std::fs::write(&source, TALK).unwrap();
    lab::output("cc", &["-static", "-o", context.path().join("talk").to_str().unwrap(), source.to_str().unwrap()], &[]);
    let told = Arc::new(Mutex::new(String::new()));
    let text = format!(
        "FROM {image}\nRUN --mount=type=secret,id=key grep -qx h.nter2 /run/secrets/key\n\
         RUN --mount=type=secret,id=token grep -qx from-a-f.le /run/secrets/token\n\
         COPY talk /talk\nRUN --mount=type=ssh,target=/agent.sock /talk\n"
    );
    let build = |o: &mut dockerkit::engine::BuildOptions| {
        o.dockerfile_inline = Some(text.clone());
        o.tags = vec![format!("{name}:1")];
        o.secrets = BTreeMap::from([("key".to_owned(), "hunter2".into())]);
        o.secret_files = BTreeMap::from([("token".to_owned(), file.clone())]);
        o.ssh = BTreeMap::from([("default".to_owned(), socket.clone())]);
        o.no_cache = true;
    };
    let seen = told.clone();
    engine.images().build(context.path()).with(build).on_event(move |e| seen.lock().unwrap().push_str(&format!("{e:?}\n"))).await.unwrap();
    assert!(!told.lock().unwrap().contains("hunter2"));
    let history = engine.images().history(format!("{name}:1")).await.unwrap();
    assert!(!format!("{history:?}").contains("from-a-file"));
    engine.images().remove(format!("{name}:1")).await.unwrap();

    let e = engine.images().build(context.path()).with(build).builder(Builder::Classic).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput);
    assert!(!format!("{e:?}").contains("hunter2"));
    let missing = format!("FROM {image}\nRUN --mount=type=secret,id=other,required=true cat /run/secrets/other\n");
    let e = engine.images().build(context.path()).with(build).dockerfile_inline(missing).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e:?}");
    let e = engine.images().build(context.path()).secret_files(BTreeMap::from([("x".to_owned(), "/nothing/here".into())])).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}
