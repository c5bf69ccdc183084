//! Clusters, machines and stacks on real nodes: containers with an engine each, on the engine that `DOCKERKIT_LAB_ENGINE` names.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test fails with its test")]

mod lab;

use std::time::Duration;

use dockerkit::{
    Cluster, Engine, ErrorKind, LocalDriver, Machines, Project, Stack, Swarm,
    engine::WaitUntil,
    machine::{ExistingDriver, MachineSpec, MachineState},
    swarm::{NodeRole, Service},
};

use lab::{skip, variable};

/// An engine, an image, a folder for a store, and a name that no other test has.
struct Lab {
    endpoint: String,
    image: String,
    store: tempfile::TempDir,
    name: String,
}

impl Lab {
    fn open() -> Option<Self> {
        let (endpoint, image) = (variable("DOCKERKIT_LAB_ENGINE")?, variable("DOCKERKIT_LAB_IMAGE")?);
        Some(Self { endpoint, image, store: tempfile::tempdir().unwrap(), name: lab::name("dk") })
    }

    fn path(&self) -> std::path::PathBuf {
        self.store.path().join("machine")
    }

    fn machines(&self) -> Machines {
        Machines::at(self.path()).unwrap()
    }

    fn driver(&self) -> LocalDriver {
        LocalDriver::default().endpoint(&*self.endpoint).network(format!("net-{}", self.name))
    }

    async fn cluster(&self, nodes: u32) -> Cluster {
        let cluster = Cluster::local(&*self.name).nodes(nodes).endpoint(&*self.endpoint).path(self.path()).await.unwrap();
        let source = Engine::connect(&*self.endpoint).await.unwrap();
        cluster.push_image(&*self.image).source(source).await.unwrap();
        cluster
    }

    /// Nothing of the test is left on the engine and in the store.
    async fn nothing_is_left(&self) {
        let engine = Engine::connect(&*self.endpoint).await.unwrap();
        let named = |text: &str| text.contains(&self.name);
        let containers = engine.containers().list().all(true).await.unwrap();
        assert!(!containers.iter().any(|c| named(c.name())), "containers are left");
        assert!(!engine.networks().list().await.unwrap().iter().any(|n| named(&n.name)), "networks are left");
        assert!(!engine.volumes().list().await.unwrap().iter().any(|v| named(&v.name)), "volumes are left");
        assert!(!self.path().exists(), "files are left in the store");
        let sockets: Vec<_> = std::fs::read_dir("/run/dockerkit").into_iter().flatten().flatten().filter(|e| named(&e.file_name().to_string_lossy())).collect();
        assert!(sockets.is_empty(), "{sockets:?} are left");
    }
}

fn shop(image: &str, folder: &std::path::Path) -> String {
    std::fs::write(folder.join("token"), "hunter2").unwrap();
    format!(
        "name: duo
x-all: &all
  image: {image}
  stop_grace_period: 0s
  networks: [inner]
  deploy: {{endpoint_mode: dnsrr}}
services:
  web:
    <<: *all
    command: sh -c 'echo ready to serve; exec httpd -f -p 80 -h /'
    ports: [{{target: 80, published: 8080, mode: host}}]
    configs: [{{source: greeting, target: /greeting.txt}}]
    depends_on: {{api: {{condition: service_healthy}}}}
  api:
    <<: *all
    command: sleep 1000
    secrets: [token]
    healthcheck: {{test: ['CMD', 'test', '-s', '/run/secrets/token'], interval: 1s}}
networks: {{inner: {{}}}}
secrets: {{token: {{file: {0}/token}}}}
configs: {{greeting: {{file: {0}/greeting.txt}}}}
",
        folder.display()
    )
}

async fn version_of(service: &Service) -> u64 {
    service.inspect().await.unwrap().pointer("/Version/Index").and_then(serde_json::Value::as_u64).unwrap()
}

fn docker(url: &str, args: &[&str]) -> Option<String> {
    if !std::env::split_paths(&variable("PATH")?).any(|folder| folder.join("docker").is_file()) {
        skip("there is no docker CLI to compare with");
        return None;
    }
    Some(lab::output("docker", args, &[("DOCKER_HOST", url)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_goes_up_over_nodes_changes_and_goes_down() {
    let Some(lab) = Lab::open() else { return };
    let cluster = lab.cluster(3).await;
    let greeting = lab.store.path().join("greeting.txt");
    std::fs::write(&greeting, "one").unwrap();
    let text = shop(&lab.image, lab.store.path());
    let project = Project::parse(&*text).await.unwrap();
    let stack = cluster.stack(&project).await.unwrap();

    let plan = stack.plan().await.unwrap();
    let actions: Vec<String> = plan.steps.iter().map(|s| format!("{} {}", s.action, s.resource.kind)).collect();
    assert_eq!(actions, ["create network", "create secret", "create config", "create service", "create service"]);
    assert!(!plan.text.contains("hunter2"));
    stack.up().wait(true).await.unwrap();

    // Each on a node of its own, by docker stack's names and labels.
    let tasks: Vec<_> = stack.ps().await.unwrap().into_iter().filter(|t| t.is_running()).collect();
    let names: Vec<_> = tasks.iter().map(|t| t.service.as_str()).collect();
    assert_eq!(names, ["duo_api", "duo_web"]);
    assert_ne!(tasks[0].node, tasks[1].node);
    let services = stack.services().await.unwrap();
    assert_eq!(services[0].seen().labels["com.docker.stack.namespace"], "duo");
    assert_eq!(services[0].seen().labels["com.docker.stack.image"], lab.image);
    let listed = Stack::list(cluster.swarm()).await.unwrap();
    assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].services.len()), (1, "duo", 2));
    let url = cluster.machines()[0].url().to_owned();
    if let Some(out) = docker(&url, &["stack", "services", "--format", "{{.Name}} {{.Replicas}}", "duo"]) {
        let mut lines: Vec<_> = out.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["duo_api 1/1", "duo_web 1/1"]);
    }
    if let Some(out) = docker(&url, &["stack", "ls", "--format", "{{.Name}} {{.Services}}"]) {
        assert_eq!(out.trim(), "duo 2");
    }

    // The same again is nothing.
    assert!(stack.plan().await.unwrap().is_empty);
    assert!(stack.up().wait(true).await.unwrap().done.is_empty());

    // A service is waited for until it can be used.
    let until = |o: WaitUntil| std::collections::BTreeMap::from([("web".to_owned(), o)]);
    stack.up().wait_until(until(WaitUntil::default().port(80).http("/greeting.txt").log("ready to serve"))).await.unwrap();
    stack.wait_until("web").port(80).await.unwrap();
    stack.wait_until("api").await.unwrap();
    assert_eq!(stack.wait_until("api").port(80).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(stack.wait_until("nothing").await.unwrap_err().kind(), ErrorKind::NotFound);
    let soon = WaitUntil::default().port(80).http("/nothing").timeout(Duration::from_secs(2));
    assert_eq!(stack.up().wait_until(until(soon)).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(stack.wait_until("web").log("never said").timeout(Duration::from_secs(2)).await.unwrap_err().kind(), ErrorKind::Timeout);

    // Another content: only what uses it is updated, and a plan that is old is refused.
    let before = version_of(&services[0]).await;
    std::fs::write(&greeting, "two").unwrap();
    let plan = stack.plan().await.unwrap();
    let report = stack.up().wait(true).await.unwrap();
    assert!(report.done.iter().any(|d| d == "update service duo_web") && !report.done.iter().any(|d| d.contains("duo_api")), "{:?}", report.done);
    assert_eq!(version_of(&services[0]).await, before);
    assert_eq!(stack.apply(plan).await.unwrap_err().kind(), ErrorKind::Conflict);
    // The version before the last one is gone, the last one stays for a rollback.
    std::fs::write(&greeting, "three").unwrap();
    stack.up().await.unwrap();
    stack.up().await.unwrap();
    assert_eq!(cluster.swarm().configs().list().await.unwrap().len(), 2);

    // A service that the file no longer has stays, until it is pruned.
    let smaller = Project::parse(text.replace("  web:", "  other:")).await.unwrap();
    let stack = cluster.stack(&smaller).await.unwrap();
    assert_eq!(stack.up().await.unwrap().orphans, ["duo_web"]);
    assert!(stack.up().prune(true).await.unwrap().done.contains(&"remove service duo_web".to_owned()));

    stack.down().await.unwrap();
    stack.down().await.unwrap();
    assert!(cluster.swarm().services().list().await.unwrap().is_empty());
    assert!(cluster.swarm().configs().list().await.unwrap().is_empty() && cluster.swarm().secrets().list().await.unwrap().is_empty());
    let engine = cluster.machines()[0].engine().await.unwrap();
    assert!(!engine.networks().list().await.unwrap().iter().any(|n| n.name.starts_with("duo_")));
    cluster.destroy().await.unwrap();
    lab.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_short_goes_on() {
    let Some(lab) = Lab::open() else { return };
    let make = || Cluster::local(&*lab.name).nodes(2).endpoint(&*lab.endpoint).path(lab.path());
    for milliseconds in [5, 200, 700, 1200] {
        tokio::time::timeout(Duration::from_millis(milliseconds), make().into_future()).await.map(drop).ok();
    }
    let cluster = match make().await {
        Ok(cluster) => cluster,
        // The last attempt may have been quick enough.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Cluster::open(&*lab.name).path(lab.path()).await.unwrap_or_else(|open| panic!("{e}\nthen {open}")),
        Err(e) => panic!("{e}"),
    };
    let health = cluster.health().await.unwrap();
    assert_eq!((health.healthy, health.nodes, health.managers), (true, 2, 1), "{:?}", health.problems);
    assert_eq!(make().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let e = Cluster::open("nothing").path(lab.path()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);

    let source = Engine::connect(&*lab.endpoint).await.unwrap();
    let pushed = cluster.push_image(&*lab.image).source(source.clone()).await.unwrap();
    assert!(pushed.machines.iter().all(|m| m.bytes > 0));
    let again = cluster.push_image(&*lab.image).source(source.clone()).await.unwrap();
    assert!(again.machines.iter().all(|m| m.bytes == 0));
    assert_eq!(cluster.push_image("no/such:1").source(source).await.unwrap_err().kind(), ErrorKind::NotFound);

    // An up that is dropped at any moment is finished by the next one.
    std::fs::write(lab.store.path().join("greeting.txt"), "one").unwrap();
    let project = Project::parse(shop(&lab.image, lab.store.path())).await.unwrap();
    let stack = cluster.stack(&project).await.unwrap();
    for milliseconds in [2, 20, 60, 150, 800] {
        tokio::time::timeout(Duration::from_millis(milliseconds), stack.up().wait(true).into_future()).await.map(drop).ok();
    }
    stack.up().wait(true).await.unwrap();
    assert!(stack.plan().await.unwrap().is_empty);
    assert_eq!(cluster.swarm().configs().list().await.unwrap().len(), 1);

    // Logs come from the nodes that the tasks run on.
    let loud = Project::parse(format!("name: loud\nservices: {{a: {{image: {}, command: sh -c 'echo here; sleep 1000', stop_grace_period: 0s}}}}", lab.image))
        .await
        .unwrap();
    let loud = cluster.stack(&loud).await.unwrap();
    loud.up().wait(true).await.unwrap();
    let mut logs = loud.logs().tail(5).await.unwrap();
    let line = logs.next().await.unwrap().unwrap();
    assert_eq!((line.service.as_str(), line.data.text().as_ref()), ("loud_a", "here\n"));
    cluster.destroy().await.unwrap();
    lab.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_is_told_and_its_tasks_move() {
    let Some(lab) = Lab::open() else { return };
    let cluster = lab.cluster(3).await;
    std::fs::write(lab.store.path().join("greeting.txt"), "one").unwrap();
    let project = Project::parse(shop(&lab.image, lab.store.path())).await.unwrap();
    let stack = cluster.stack(&project).await.unwrap();
    let mut changes = cluster.watch().await.unwrap();
    let leader = cluster.health().await.unwrap().leader;
    let victim = cluster.machines().iter().rev().find(|m| m.name() != leader).unwrap();
    // In the middle of the up.
    let up = tokio::spawn({
        let stack = stack.clone();
        async move { stack.up().wait(true).timeout(Duration::from_secs(90)).await }
    });
    tokio::time::sleep(Duration::from_millis(900)).await;
    victim.kill().await.unwrap();
    if let Err(e) = up.await.unwrap() {
        assert!(matches!(e.kind(), ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::Unhealthy), "{e}");
        stack.up().wait(true).await.unwrap();
    }
    let mut told = false;
    while !told {
        let change = tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap().unwrap().unwrap();
        told = change.kind == "node_down" && change.node == victim.name();
    }
    assert_eq!(victim.state().await.unwrap(), MachineState::Stopped);
    let snapshot = cluster.snapshot().await.unwrap();
    let lost = snapshot.nodes.iter().find(|n| n.name == victim.name()).unwrap();
    assert_eq!((lost.state.as_str(), lost.cpu_percent), ("down", None));
    stack.up().wait(true).await.unwrap();
    let running: Vec<_> = stack.ps().await.unwrap().into_iter().filter(|t| t.is_running() && t.node != victim.name()).collect();
    assert_eq!(running.len(), 2);
    assert!(cluster.metrics().await.unwrap().contains("container_memory_working_set_bytes{"));
    // Back again, it is ready again.
    victim.start().await.unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while !cluster.health().await.unwrap().healthy {
        assert!(tokio::time::Instant::now() < until, "the node does not come back");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    cluster.destroy().await.unwrap();
    lab.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_made_used_and_removed() {
    let Some(lab) = Lab::open() else { return };
    let machines = lab.machines();
    let name = format!("{}-m", lab.name);
    assert_eq!(machines.get(&*name).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(machines.create("no name", lab.driver()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(!machines.plan(&*name, lab.driver()).await.unwrap().is_empty);
    let mut engine = dockerkit::EngineConfig::default();
    engine.labels.insert("rack".into(), "7".into());
    let machine = machines.create(&*name, lab.driver()).engine(engine).await.unwrap();
    assert_eq!(machines.create(&*name, lab.driver()).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let info = machine.engine().await.unwrap().info().await.unwrap();
    assert_eq!((info.raw["Name"].as_str(), info.raw["Labels"][0].as_str()), (Some(&*name), Some("rack=7")));
    assert_eq!(machine.ssh(["hostname"]).await.unwrap().stdout.text().trim(), name);
    let file = lab.store.path().join("note");
    std::fs::write(&file, "hello").unwrap();
    machine.copy_to(&*file, "/root/note").await.unwrap();
    assert_eq!(machine.ssh("cat /root/note").await.unwrap().stdout.text(), "hello");
    let env = machine.env().await.unwrap();
    assert_eq!(env.variables["DOCKER_HOST"].as_deref(), Some(machine.url()));
    assert!(env.text.contains("export DOCKER_MACHINE_NAME="));
    assert_eq!(machine.env().shell("ksh93").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    machine.stop().await.unwrap();
    assert_eq!(machine.state().await.unwrap(), MachineState::Stopped);
    assert_eq!(machine.engine().await.unwrap_err().kind(), ErrorKind::Unreachable);
    machine.start().await.unwrap();
    assert_eq!(machine.state().await.unwrap(), MachineState::Running);

    // An engine that ran already is a machine too, and is left as it is.
    let adopted = machines.create("other", ExistingDriver::new(&*lab.endpoint)).await.unwrap();
    assert_eq!(adopted.stop().await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(machines.list().await.unwrap().len(), 2);
    assert_eq!(machines.adopt("gone", "unix:///nothing/here.sock").await.unwrap_err().kind(), ErrorKind::Unreachable);
    adopted.remove().await.unwrap();

    // A swarm of one, and one that wants what is there already.
    let engine = machine.engine().await.unwrap();
    assert_eq!(Swarm::connect(&engine).await.unwrap_err().hint_text().map(|h| h.contains("Swarm.init")), Some(true));
    let swarm = Swarm::init(&engine).advertise_addr(machine.ip().await.unwrap()).await.unwrap();
    assert_eq!(Swarm::init(&engine).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(swarm.tokens().await.unwrap().worker.reveal().starts_with("SWMTKN-"));
    assert!(!format!("{:?}", swarm.tokens().await.unwrap()).contains("SWMTKN-"));
    let old = swarm.tokens().await.unwrap();
    assert_ne!(swarm.rotate_token(NodeRole::Manager).await.unwrap().manager, old.manager);
    let node = swarm.nodes().list().await.unwrap().remove(0);
    let node = node.update().labels(Some([("disk".to_owned(), "ssd".to_owned())].into())).await.unwrap();
    assert_eq!(node.inspect().await.unwrap()["Spec"]["Labels"]["disk"], "ssd");
    assert_eq!(node.demote().await.unwrap_err().kind(), ErrorKind::Conflict);
    swarm.secrets().create("key", "value").await.unwrap();
    assert_eq!(swarm.secrets().create("key", "value").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(swarm.secrets().get("key").await.unwrap().data.is_none());
    assert_eq!(swarm.leave(&engine).await.unwrap_err().kind(), ErrorKind::Conflict);
    swarm.leave(&engine).force(true).await.unwrap();
    machine.remove().await.unwrap();
    lab.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_made_together_and_what_was_not_finished_is_discarded() {
    let Some(lab) = Lab::open() else { return };
    let machines = lab.machines();
    let name = |end: &str| format!("{}-{end}", lab.name);
    let (one, two) = (MachineSpec::new(name("one"), lab.driver()), MachineSpec::new(name("two"), lab.driver()));
    let gone = MachineSpec::new(name("gone"), ExistingDriver::new("unix:///nothing/here.sock"));
    let e = machines.create_all([one.clone(), gone]).await.unwrap_err();
    assert_eq!((e.kind(), e.failures().len()), (ErrorKind::Partial, 1));
    assert_eq!(e.failures().first().map(|f| &*f.name), Some(&*name("gone")));
    // The same call goes on with those that are missing.
    let made = machines.create_all([two, one]).parallel(2).await.unwrap();
    assert_eq!(made.iter().map(|m| m.name().to_owned()).collect::<Vec<_>>(), [name("two"), name("one")]);
    for machine in made {
        machine.remove().await.unwrap();
    }

    // A cluster that was given up while it was made has a name, and is removed by it.
    let make = Cluster::local(&*lab.name).nodes(2).endpoint(&*lab.endpoint).path(lab.path());
    assert!(tokio::time::timeout(Duration::from_millis(600), make.into_future()).await.is_err(), "too quick to be cut short");
    assert_eq!(Cluster::list().path(lab.path()).await.unwrap(), [&*lab.name]);
    for _ in 0..2 {
        Cluster::discard(&*lab.name).path(lab.path()).await.unwrap();
    }
    lab.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_run_says_why() {
    let Some(lab) = Lab::open() else { return };
    let cluster = lab.cluster(1).await;
    let up = async |text: String| {
        let project = Project::parse(text).await.unwrap();
        cluster.stack(&project).await.unwrap().up().wait(true).timeout(Duration::from_secs(60)).await.unwrap_err()
    };
    let e = up(format!("name: a\nservices: {{bad: {{image: {}, command: 'false', deploy: {{restart_policy: {{delay: 0s}}}}}}}}", lab.image)).await;
    assert_eq!((e.kind(), e.context()["service"].as_str()), (ErrorKind::Unhealthy, "a_bad"), "{e}");
    let e = up(format!("name: b\nservices: {{bad: {{image: {}, ports: ['8000-8001:80']}}}}", lab.image)).await;
    assert!(matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Timeout | ErrorKind::Unhealthy), "{e}");
    let e = up(format!("name: c\nservices: {{bad: {{image: {}, networks: [away]}}}}\nnetworks: {{away: {{external: true}}}}", lab.image)).await;
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    // One that ends well is done, not waited for.
    let project =
        Project::parse(format!("name: d\nservices: {{once: {{image: {}, command: 'true', deploy: {{restart_policy: {{condition: none}}}}}}}}", lab.image))
            .await
            .unwrap();
    cluster.stack(&project).await.unwrap().up().wait(true).timeout(Duration::from_secs(60)).await.unwrap();
    cluster.destroy().await.unwrap();
    lab.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_is_looked_into_changed_locked_and_unlocked() {
    let Some(lab) = Lab::open() else { return };
    let cluster = lab.cluster(2).await;
    let swarm = cluster.swarm();
    // Secrets and configs by themselves, beside a service that uses one of each.
    let labels = [("made", "here")];
    assert!(swarm.secrets().create("key", "hunter2").labels(labels).await.unwrap().data.is_none());
    let note = swarm.configs().create("note", "hello").labels(labels).await.unwrap();
    assert_eq!((note.data.unwrap().text().as_ref(), note.labels["made"].as_str()), ("hello", "here"));
    swarm.configs().create("spare", "x").await.unwrap();
    let text = format!(
        "name: solo
services:
  a: {{image: {}, command: sh -c 'cat /note; echo; sleep 1000', stop_grace_period: 0s, secrets: [key], configs: [{{source: note, target: /note}}]}}
secrets: {{key: {{external: true}}}}
configs: {{note: {{external: true}}}}
",
        lab.image
    );
    cluster.stack(&Project::parse(text).await.unwrap()).await.unwrap().up().wait(true).await.unwrap();
    for e in [swarm.secrets().remove("key").await.unwrap_err(), swarm.configs().remove("note").await.unwrap_err()] {
        assert!(e.kind() == ErrorKind::Conflict && e.hint_text().is_some(), "{e:?}");
    }
    swarm.configs().remove("spare").await.unwrap();
    assert_eq!(swarm.configs().get("spare").await.unwrap_err().kind(), ErrorKind::NotFound);

    let service = swarm.services().get("solo_a").await.unwrap();
    assert_eq!(service.rollback().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(service.scale(2).await.unwrap().seen().desired_tasks, 2);
    let running = async || service.tasks().await.unwrap().into_iter().filter(|t| t.state == "running").count();
    while running().await < 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut logs = service.logs().follow(true).await.unwrap();
    assert_eq!(logs.next().await.unwrap().unwrap().data.text(), "hello\n");
    assert_eq!(service.rollback().await.unwrap().seen().desired_tasks, 1);

    let nodes = swarm.nodes().list().await.unwrap();
    for node in &nodes {
        assert_eq!(node.seen().state, "ready", "{:?}", node.seen());
        assert_eq!(node.drain().await.unwrap().seen().availability, "drain");
    }
    while running().await > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for node in &nodes {
        assert_eq!(node.activate().await.unwrap().seen().availability, "active");
    }
    let of = |role: &str| nodes.iter().find(|n| n.seen().role == role).unwrap();
    let (manager, worker) = (of("manager"), of("worker"));
    assert!(manager.seen().leader && !worker.seen().leader);
    assert_eq!(manager.remove().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(worker.promote().await.unwrap().seen().role, "manager");
    assert_eq!(swarm.nodes().get(&*worker.seen().id).await.unwrap().seen().reachability, "reachable");
    assert_eq!(worker.demote().await.unwrap().seen().role, "worker");
    service.remove().await.unwrap();
    assert_eq!(service.reload().await.unwrap_err().kind(), ErrorKind::NotFound);

    // Locked after a restart, until the key is given.
    assert_eq!(swarm.unlock_key().await.unwrap().reveal(), "");
    swarm.update().autolock(true).await.unwrap();
    let key = swarm.unlock_key().await.unwrap();
    assert!(key.reveal().starts_with("SWMKEY-") && !format!("{key:?}").contains("SWMKEY-"), "{key:?}");
    let all = lab.machines().list().await.unwrap();
    let machine = all.into_iter().find(|m| m.name() == manager.seen().hostname).unwrap();
    machine.stop().await.unwrap();
    machine.start().await.unwrap();
    let engine = machine.engine().await.unwrap();
    let e = Swarm::connect(&engine).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Forbidden && e.hint_text().is_some_and(|h| h.contains("unlock")), "{e:?}");
    assert_eq!(Swarm::unlock(&engine, "SWMKEY-1-wrong").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    Swarm::unlock(&engine, key.reveal()).await.unwrap();
    let again = Swarm::connect(&engine).await.unwrap();
    assert_eq!(again.id(), swarm.id());
    assert_eq!(Swarm::unlock(&engine, key.reveal()).await.unwrap_err().kind(), ErrorKind::Conflict);
    again.update().autolock(false).await.unwrap();
    cluster.destroy().await.unwrap();
    lab.nothing_is_left().await;
}
