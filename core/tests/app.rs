//! Compose apps on real engines: those that `DOCKERKIT_LAB_ENGINE` and `_28` name, with the image `DOCKERKIT_LAB_IMAGE`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test fails with its test")]

#[macro_use]
mod lab;

use std::time::Duration;

use dockerkit::{App, Engine, ErrorKind, Project, engine::WaitUntil};
use lab::variable;

on_each_engine! {
    up_twice_then_a_change_then_down
    an_up_that_is_dropped_anywhere_is_finished_by_the_next
    two_ups_at_once_both_succeed
    networks_that_two_writers_made_become_one
    scale_and_an_unhealthy_service
    a_service_is_waited_for_until_it_can_be_used
    docker_compose_takes_turns_with_us
    a_service_is_built_with_a_secret
    a_service_is_built_from_more_contexts
}

async fn project(name: &str, text: &str) -> Project {
    Project::parse(text).name(name).await.unwrap()
}

fn two(image: &str, extra: &str) -> String {
    format!(
        "services:
  api:
    image: {image}
    command: sh -c 'echo api is here; exec sleep 1000'
    stop_grace_period: 0s
    volumes: ['data:/data']
    healthcheck: {{test: ['CMD', 'true'], interval: 1s}}
  web:
    image: {image}
    command: sleep 1000
    stop_grace_period: 0s
    depends_on: {{api: {{condition: service_healthy}}}}
{extra}
volumes: {{data: {{}}}}
"
    )
}

async fn ids(app: &App) -> Vec<(String, String)> {
    app.ps().all(true).await.unwrap().iter().map(|c| (c.name().to_owned(), c.id().to_owned())).collect()
}

async fn nothing_is_left(engine: &Engine, name: &str) {
    let filter = || [("label".to_owned(), vec![format!("com.docker.compose.project={name}")])].into();
    assert!(engine.containers().list().all(true).with(|o| o.filters = filter()).await.unwrap().is_empty());
    assert!(engine.networks().list().with(|o| o.filters = filter()).await.unwrap().is_empty());
    assert!(engine.volumes().list().with(|o| o.filters = filter()).await.unwrap().is_empty());
}

async fn up_twice_then_a_change_then_down(engine: Engine, image: String, name: String) {
    let app = App::new(&engine, &project(&name, &two(&image, "")).await);
    let plan = app.plan().await.unwrap();
    assert_eq!(plan.steps.len(), 6, "{plan}");
    app.apply(plan.clone()).await.unwrap();
    assert!(app.plan().await.unwrap().is_empty);
    assert_eq!(app.apply(plan).await.unwrap_err().kind(), ErrorKind::Conflict);
    let before = ids(&app).await;
    assert!(app.up().wait(true).await.unwrap().done.is_empty());
    assert_eq!(ids(&app).await, before);

    let changed = App::new(&engine, &project(&name, &two(&image, "    environment: {A: b}")).await);
    let report = changed.up().await.unwrap();
    assert_eq!(report.done, [format!("recreate container {name}-web-1"), format!("start container {name}-web-1")]);
    let after = ids(&changed).await;
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);

    let output = changed.exec("web", ["sh", "-c", "echo $A; echo err >&2; exit 3"]).await.unwrap();
    assert_eq!((output.exit_code, &*output.stdout.text(), &*output.stderr.text()), (3, "b\n", "err\n"));
    let mut logs = changed.logs().services(["api"]).await.unwrap();
    assert_eq!(&*logs.next().await.unwrap().unwrap().data.text(), "api is here\n");

    App::named(&engine, &name).down().volumes(true).await.unwrap();
    nothing_is_left(&engine, &name).await;
}

async fn an_up_that_is_dropped_anywhere_is_finished_by_the_next(engine: Engine, image: String, name: String) {
    let old = App::new(&engine, &project(&name, &two(&image, "")).await);
    let new = App::new(&engine, &project(&name, &two(&image, "    environment: {NEW: '1'}")).await);
    for round in 0..12u64 {
        let app = if round % 2 == 0 { &old } else { &new };
        let cut = Duration::from_millis(30 * round);
        drop(tokio::time::timeout(cut, app.up().into_future()).await);
        app.up().wait(true).await.unwrap();
        assert!(app.plan().await.unwrap().is_empty);
        let names: Vec<String> = ids(app).await.into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, [format!("{name}-api-1"), format!("{name}-web-1")], "round {round}");
    }
    old.down().volumes(true).await.unwrap();
    nothing_is_left(&engine, &name).await;
}

async fn two_ups_at_once_both_succeed(engine: Engine, image: String, name: String) {
    let app = App::new(&engine, &project(&name, &two(&image, "")).await);
    let (a, b) = tokio::join!(app.up().into_future(), app.up().into_future());
    a.unwrap();
    b.unwrap();
    assert!(app.plan().await.unwrap().is_empty);
    app.down().volumes(true).await.unwrap();
    nothing_is_left(&engine, &name).await;
}

async fn networks_that_two_writers_made_become_one(engine: Engine, image: String, name: String) {
    let app = App::new(&engine, &project(&name, &two(&image, "")).await);
    app.up().await.unwrap();
    let network = engine.networks().get(format!("{name}_default")).await.unwrap();
    let twin = serde_json::json!({"Name": network.name, "Labels": network.raw["Labels"]});
    match engine.request("POST", "/networks/create").body(twin).await {
        // Newer engines never let it come to that.
        Err(e) => assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}"),
        Ok(_) => {
            let plan = app.plan().await.unwrap();
            assert_eq!(plan.steps.iter().map(|s| s.action.as_str()).collect::<Vec<_>>(), ["unite"], "{plan}");
            let before = ids(&app).await;
            app.up().await.unwrap();
            assert_eq!(ids(&app).await, before);
            assert_eq!(engine.networks().get(network.name).await.unwrap().id, network.id);
        }
    }
    app.down().volumes(true).await.unwrap();
    nothing_is_left(&engine, &name).await;
}

async fn scale_and_an_unhealthy_service(engine: Engine, image: String, name: String) {
    let app = App::new(&engine, &project(&name, &two(&image, "")).await);
    app.up().scale(std::collections::BTreeMap::from([("web".into(), 3)])).await.unwrap();
    assert_eq!(app.ps().await.unwrap().len(), 4);
    app.up().await.unwrap();
    assert_eq!(app.ps().await.unwrap().len(), 2);
    app.down().volumes(true).await.unwrap();

    let sick = two(&image, "").replace("['CMD', 'true'], interval: 1s", "['CMD-SHELL', 'echo not well; false'], interval: 1s, retries: 1");
    let app = App::new(&engine, &project(&name, &sick).await);
    let e = app.up().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unhealthy);
    assert_eq!(e.context().get("health_output").map(String::as_str), Some("not well"));
    app.down().volumes(true).await.unwrap();
    nothing_is_left(&engine, &name).await;
}

async fn a_service_is_waited_for_until_it_can_be_used(engine: Engine, image: String, name: String) {
    let text = format!(
        "services:
  web:
    image: {image}
    command: sh -c 'sleep 1; echo bereit; mkdir /w; echo ok >/w/health; exec httpd -f -p 80 -h /w'
    stop_grace_period: 0s
    scale: 2
  job: {{image: {image}, command: 'false'}}
"
    );
    let app = App::new(&engine, &project(&name, &text).await);
    let until = |service: &str, o: WaitUntil| std::collections::BTreeMap::from([(service.to_owned(), o)]);
    assert_eq!(app.wait_until("web").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(app.up().wait_until(until("wbe", WaitUntil::default())).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(app.ps().all(true).await.unwrap().is_empty());

    let begin = std::time::Instant::now();
    app.up().services(["web"]).wait_until(until("web", WaitUntil::default().port(80).http("/health").log("bereit"))).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    app.wait_until("web").port(80).await.unwrap();
    let e = app.up().services(["web"]).wait_until(until("web", WaitUntil::default().log("never"))).timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout);
    assert_eq!(e.context().get("service").map(String::as_str), Some("web"));
    let e = app.up().wait_until(until("job", WaitUntil::default().port(80))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unhealthy);
    app.down().await.unwrap();
    nothing_is_left(&engine, &name).await;
}

async fn docker_compose_takes_turns_with_us(engine: Engine, image: String, name: String) {
    let Some(compose) = variable("DOCKERKIT_LAB_COMPOSE") else { return };
    let folder = std::env::temp_dir().join(&name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("compose.yaml");
    std::fs::write(&file, two(&image, "")).unwrap();
    let app = App::new(&engine, &Project::load(file.clone()).await.unwrap());
    app.up().await.unwrap();
    let before = ids(&app).await;
    let theirs = |words: &[&str]| {
        let args: Vec<&str> = ["-f", file.to_str().unwrap()].iter().chain(words).copied().collect();
        lab::output(&compose, &args, &[("DOCKER_HOST", &engine.endpoint().to_string())])
    };
    theirs(&["up", "-d"]);
    assert_eq!(ids(&app).await, before);
    assert!(theirs(&["ls"]).contains(&name));
    assert!(theirs(&["ps", "--format", "{{.Name}} {{.State}}"]).contains(&format!("{name}-web-1 running")));
    // Their hashes of services are ours.
    let hashes: Vec<String> = app.ps().all(true).await.unwrap().iter().map(|c| c.seen().labels["com.docker.compose.config-hash"].clone()).collect();
    let listed = theirs(&["config", "--hash", "*"]);
    assert!(hashes.iter().all(|hash| listed.contains(hash)), "{listed}");
    theirs(&["up", "-d", "--force-recreate"]);
    assert!(app.plan().await.unwrap().is_empty);
    app.down().volumes(true).await.unwrap();
    nothing_is_left(&engine, &name).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn a_service_is_built_with_a_secret(engine: Engine, image: String, name: String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("Dockerfile"),
        format!("FROM {image}\nRUN --mount=type=secret,id=key grep -qx h.nter2 /run/secrets/key\nCMD sleep 1000\n"),
    )
    .unwrap();
    let text = "services: {web: {build: {context: ., secrets: [key]}, stop_grace_period: 0s}}\nsecrets: {key: {environment: KEY}}";
    let project = Project::parse(text).name(&*name).project_dir(folder.path().to_owned()).env([("KEY", "hunter2")]).await.unwrap();
    let app = App::new(&engine, &project);
    app.up().wait(true).await.unwrap();
    assert!(app.plan().await.unwrap().is_empty);
    app.down().await.unwrap();
    engine.images().remove(format!("{name}-web")).await.unwrap();
    nothing_is_left(&engine, &name).await;
}

async fn a_service_is_built_from_more_contexts(engine: Engine, image: String, name: String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("more")).unwrap();
    std::fs::write(folder.path().join("more/word"), "more").unwrap();
    std::fs::write(folder.path().join("Dockerfile"), "FROM base\nCOPY --from=more word /\nCMD sleep 1000\n").unwrap();
    let load = async |base: &str| {
        let text = format!(
            "services: {{web: {{build: {{context: ., cache_to: [type=inline], additional_contexts: {{more: ./more, base: \"{base}\"}}}}, stop_grace_period: 0s}}, \
             other: {{build: .}}}}"
        );
        Project::parse(text).name(&*name).project_dir(folder.path().to_owned()).await.unwrap()
    };
    let app = App::new(&engine, &load(&format!("docker-image://{image}")).await);
    let built = app.build().services(["web"]).await;
    if engine.version().await.unwrap().version.starts_with("20.10") {
        let e = built.unwrap_err();
        assert_eq!((e.kind(), e.context()["service"].as_str()), (ErrorKind::Unsupported, "web"), "{e:?}");
    } else {
        built.unwrap();
        let out = engine.containers().run_output(format!("{name}-web"), "cat /word").await.unwrap();
        assert_eq!(&*out.stdout.text(), "more");
        engine.images().remove(format!("{name}-web")).await.unwrap();
    }
    let e = App::new(&engine, &load("service:other").await).build().services(["web"]).await.unwrap_err();
    assert_eq!((e.kind(), e.context()["service"].as_str()), (ErrorKind::Unsupported, "web"), "{e:?}");
}

#[tokio::test]
async fn hashes_of_the_shop_are_those_of_docker_compose() {
    let Some(compose) = variable("DOCKERKIT_LAB_COMPOSE") else { return };
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/shop/compose.yaml");
    let ours = Project::load(file).await.unwrap().hashes().await.unwrap();
    let theirs = lab::output(&compose, &["-f", file, "config", "--hash", "*"], &[]);
    let theirs: Vec<(&str, &str)> = theirs.lines().filter_map(|l| l.split_once(' ')).collect();
    assert_eq!(theirs.len(), 3);
    for (service, hash) in theirs {
        assert_eq!(ours[service], hash, "{service}");
    }
}
