//! A bare Debian host behind a real sshd: `DOCKERKIT_LAB_SSH_HOST`, `_USER`, `_KEY` and `_KNOWN_HOSTS`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test fails with its test")]

use std::{path::PathBuf, time::Duration};

use dockerkit::{Engine, ErrorKind, Machines, SshDriver, SshOptions, machine::MachineState, units::Data};

fn variable(name: &str) -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "the lab is found through variables")]
    let value = std::env::var(name).ok().filter(|v| !v.is_empty());
    if value.is_none() {
        #[allow(clippy::print_stdout, reason = "a skip says why")]
        {
            println!("SKIP {}: {name} is not set", std::thread::current().name().unwrap_or_default());
        }
    }
    value
}

struct Lab {
    driver: SshDriver,
    folder: tempfile::TempDir,
}

fn lab() -> Option<Lab> {
    let mut driver = SshDriver::new(variable("DOCKERKIT_LAB_SSH_HOST")?);
    driver.user = Some(variable("DOCKERKIT_LAB_SSH_USER")?);
    driver.key = Some(variable("DOCKERKIT_LAB_SSH_KEY")?.into());
    driver.known_hosts = Some(variable("DOCKERKIT_LAB_SSH_KNOWN_HOSTS")?.into());
    Some(Lab { driver, folder: tempfile::tempdir().unwrap() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_host_gets_an_engine_that_is_used_through_the_session() {
    let Some(lab) = lab() else { return };
    let (Some(source), Some(image)) = (variable("DOCKERKIT_LAB_ENGINE"), variable("DOCKERKIT_LAB_IMAGE")) else { return };
    let machines = Machines::at(lab.folder.path().join("machine")).unwrap();
    let mut config = dockerkit::EngineConfig::default();
    config.labels.insert("room".into(), "4".into());
    // Given up in the middle, then finished.
    tokio::time::timeout(Duration::from_millis(250), machines.create("bare", lab.driver.clone()).engine(config.clone()).into_future()).await.map(drop).ok();
    let machine = machines.create("bare", lab.driver.clone()).engine(config).await.unwrap();
    assert_eq!(machine.state().await.unwrap(), MachineState::Running);
    assert!(machine.url().starts_with("ssh://"));

    let engine = machine.engine().await.unwrap();
    assert!(!engine.version().await.unwrap().version.is_empty());
    assert_eq!(engine.info().await.unwrap().raw["Labels"][0].as_str(), Some("room=4"));

    // An image through the session, both ways with megabytes.
    let source = Engine::connect(source).await.unwrap();
    let archive = lab.folder.path().join("image.tar");
    let mut bytes = source.images().save(vec![image.clone()]).await.unwrap();
    let mut file = std::fs::File::create(&archive).unwrap();
    while let Some(part) = bytes.next().await {
        std::io::Write::write_all(&mut file, &part.unwrap()).unwrap();
    }
    engine.images().load().path(archive).await.unwrap();
    let output = engine.containers().run_output(&*image, "sh -c 'echo out; echo err >&2; exit 3'").await;
    let output = output.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((output.exit_code, output.stdout.text().trim(), output.stderr.text().trim()), (3, "out", "err"));

    let container = engine.containers().run(&*image, "sh -c 'i=0; while true; do echo line $i; i=$((i+1)); sleep 0.05; done'").await.unwrap();
    let mut logs = container.logs().follow(true).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("line 5") {
        seen.push_str(&logs.next().await.unwrap().unwrap().data.text());
    }
    drop(logs);
    let session = container.exec_session(["sh"]).tty(true).await.unwrap();
    session.resize(100, 40).await.unwrap();
    session.write(Data::from(&b"stty size; exit 7\n"[..])).await.unwrap();
    let mut shown = String::new();
    while let Some(chunk) = session.read().await.unwrap() {
        shown.push_str(&chunk.data.text());
    }
    assert!(shown.contains("40 100"), "{shown}");
    assert_eq!(session.wait().await.unwrap(), 7);

    // Many at once on the one session.
    let calls = (0..40).map(|_| async { engine.containers().list().all(true).await.unwrap().len() });
    assert!(futures_util::future::join_all(calls).await.iter().all(|n| *n >= 1));
    let big = vec![7u8; 20 << 20];
    let path = lab.folder.path().join("big");
    std::fs::write(&path, &big).unwrap();
    container.copy_to(&*path, "/big").await.unwrap();
    let back = lab.folder.path().join("back");
    container.copy_from("/big", &*back).await.unwrap();
    assert!(std::fs::read(&back).unwrap() == big);
    container.remove().force(true).await.unwrap();

    // The host itself.
    let out = machine.ssh(["sh", "-c", "echo $1; cat", "x", "a b'c"]).stdin(Data::from(&b"from here"[..])).await.unwrap();
    assert_eq!(out.stdout.text(), "a b'c\nfrom here");
    assert_eq!(machine.ssh("false").await.unwrap().exit_code, 1);
    machine.copy_to(&*path, "/root/some/big").await.unwrap();
    let again = lab.folder.path().join("again");
    machine.copy_from("/root/some/big", &*again).await.unwrap();
    assert!(std::fs::read(&again).unwrap() == big);
    machine.remove().await.unwrap();
    assert!(!lab.folder.path().join("machine").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_known_by_its_key_and_lets_in_by_ours() {
    let Some(lab) = lab() else { return };
    let known = |text: String| -> PathBuf {
        let path = lab.folder.path().join("known_hosts");
        std::fs::write(&path, text).unwrap();
        path
    };
    let connect = async |change: &dyn Fn(&mut SshOptions)| {
        let mut options = SshOptions::default().connect_timeout(Duration::from_secs(5));
        (options.user, options.key, options.known_hosts) = (lab.driver.user.clone(), lab.driver.key.clone(), lab.driver.known_hosts.clone());
        change(&mut options);
        Engine::connect(format!("ssh://{}", lab.driver.host)).ssh(options).await.map(drop)
    };
    // Another key is known for it.
    let other = "AAAAC3NzaC1lZDI1NTE5AAAAIJz7mGJ1z0mZ8uGmXQm8c7o1yq0s1b2w3e4r5t6y7u8i";
    let path = known(format!("{} ssh-ed25519 {other}\n", lab.driver.host));
    let e = connect(&|o| o.known_hosts = Some(path.clone())).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Untrusted, "{e}");
    assert!(e.hint_text().unwrap().contains("ssh-keygen -R"), "{e}");
    // None is known: refused where it must be, else taken in.
    let path = known(String::new());
    let e = connect(&|o| (o.known_hosts, o.host_key) = (Some(path.clone()), dockerkit::HostKey::Strict)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Untrusted, "{e}");
    connect(&|o| o.known_hosts = Some(path.clone())).await.map_err(|e| assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}")).ok();
    assert!(std::fs::read_to_string(&path).unwrap().starts_with(&lab.driver.host));
    // A key that the host does not know, one that is not there, and a port where nothing is.
    let stranger = lab.folder.path().join("stranger");
    std::fs::write(&stranger, "no key at all").unwrap();
    assert_eq!(connect(&|o| o.key = Some(stranger.clone())).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(connect(&|o| o.key = Some("/nothing/here".into())).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(connect(&|o| o.port = Some(9)).await.unwrap_err().kind(), ErrorKind::Unreachable);
}
