//! A bare Debian host behind a real sshd: `DOCKERKIT_LAB_SSH_HOST`, `_USER`, `_KEY` and `_KNOWN_HOSTS`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test fails with its test")]

mod lab;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dockerkit::{Engine, ErrorKind, HostKey, Machines, SshDriver, SshOptions, machine::MachineState, units::Data};
use lab::variable;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

struct Lab {
    driver: SshDriver,
    folder: tempfile::TempDir,
}

/// One of the lab's hosts.
fn open(host: &str) -> Option<Lab> {
    let mut driver = SshDriver::new(variable(host)?);
    driver.login.user = Some(variable("DOCKERKIT_LAB_SSH_USER")?);
    driver.login.identity_files = vec![variable("DOCKERKIT_LAB_SSH_KEY")?.into()];
    driver.login.known_hosts = Some(variable("DOCKERKIT_LAB_SSH_KNOWN_HOSTS")?.into());
    Some(Lab { driver, folder: tempfile::tempdir().unwrap() })
}

impl Lab {
    /// Connects to the host's engine, with other options or at another port.
    async fn connect(&self, change: impl Fn(&mut SshOptions)) -> dockerkit::Result<Engine> {
        let mut options = self.driver.login.clone().connect_timeout(Duration::from_secs(5));
        change(&mut options);
        Engine::connect(format!("ssh://{}", self.driver.host)).ssh(options).await
    }

    /// A file of known hosts with this text.
    fn known(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join(lab::name("known_hosts"));
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Lets an engine be installed on the host, where none is yet.
    async fn with_engine(&self) {
        Machines::at(self.folder.path().join("own")).unwrap().create("bare", self.driver.clone()).await.unwrap();
    }

    /// The line of the host's key, and its fingerprint.
    fn host_key(&self) -> (String, String) {
        let all = std::fs::read_to_string(self.driver.login.known_hosts.as_ref().unwrap()).unwrap();
        let line = all.lines().find(|l| l.starts_with(&format!("{} ", self.driver.host))).unwrap();
        let listed = lab::output("ssh-keygen", &["-lf", self.known(line).to_str().unwrap()], &[]);
        (line.to_owned(), listed.split(' ').nth(1).unwrap().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_host_gets_an_engine_that_is_used_through_the_session() {
    let Some(lab) = open("DOCKERKIT_LAB_SSH_HOST") else { return };
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

    // A port of a container that only the host can reach.
    let served = engine.containers().run(&*image, ["sh", "-c", "sleep 0.5; mkdir /www; echo ok >/www/health; exec httpd -f -p 8080 -h /www"]).await.unwrap();
    served.wait_until().port(8080u16).http("/health").timeout(Duration::from_secs(20)).await.unwrap();
    let e = served.wait_until().port(8081u16).timeout(Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout, "{e}");
    served.remove().force(true).await.unwrap();

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
async fn a_host_is_known_by_its_key() {
    let Some(lab) = open("DOCKERKIT_LAB_SSH_FAULTY") else { return };
    lab.with_engine().await;
    let (line, fingerprint) = lab.host_key();
    // Another key is known for it.
    let other = "AAAAC3NzaC1lZDI1NTE5AAAAIJz7mGJ1z0mZ8uGmXQm8c7o1yq0s1b2w3e4r5t6y7u8i";
    let path = lab.known(&format!("{} ssh-ed25519 {other}\n", lab.driver.host));
    let e = lab.connect(|o| o.known_hosts = Some(path.clone())).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Untrusted, "{e}");
    assert!(e.hint_text().unwrap().contains("ssh-keygen -R"), "{e}");
    // The host behind another port shows another key than the one that is known there.
    let moved = line.replacen(&lab.driver.host, &format!("[{}]:2201", lab.driver.host), 1);
    let path = lab.known(&format!("{moved}\n"));
    let e = lab.connect(|o| (o.port, o.known_hosts) = (Some(2201), Some(path.clone()))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Untrusted, "{e}");
    assert!(e.to_string().contains("[") && e.to_string().contains("]:2201"), "{e}");
    // None is known: refused where it must be, else taken in, and then it is known.
    let path = lab.known("");
    let e = lab.connect(|o| (o.known_hosts, o.host_key) = (Some(path.clone()), HostKey::Strict)).await.unwrap_err();
    assert_eq!((e.kind(), e.context()["fingerprint"].as_str()), (ErrorKind::Untrusted, fingerprint.as_str()), "{e}");
    lab.connect(|o| o.known_hosts = Some(path.clone())).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), line);
    lab.connect(|o| (o.known_hosts, o.host_key) = (Some(path.clone()), HostKey::Strict)).await.unwrap();
    // A fingerprint counts alone.
    let nothing = lab.known("");
    lab.connect(|o| (o.known_hosts, o.host_key) = (Some(nothing.clone()), HostKey::Pinned(fingerprint.clone()))).await.unwrap();
    let e = lab.connect(|o| (o.port, o.host_key) = (Some(2201), HostKey::Pinned(fingerprint.clone()))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Untrusted, "{e}");
    assert_eq!(std::fs::read_to_string(&nothing).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_lets_in_by_key_or_password_and_says_why_not() {
    let Some(lab) = open("DOCKERKIT_LAB_SSH_FAULTY") else { return };
    lab.with_engine().await;
    let known = lab.known("");
    let kind = async |change: &dyn Fn(&mut SshOptions)| {
        let known = known.clone();
        lab.connect(|o| {
            o.known_hosts = Some(known.clone());
            change(o);
        })
        .await
        .map_err(|e| e.kind())
        .err()
    };
    let own = lab.driver.login.identity_files[0].clone();
    let copy = |name: &str, mode: u32| -> PathBuf {
        let path = lab.folder.path().join(name);
        std::fs::copy(&own, &path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        path
    };
    let stranger = copy("stranger", 0o600);
    std::fs::write(&stranger, "no key at all").unwrap();
    assert_eq!(kind(&|o| o.identity_files = vec![stranger.clone()]).await, Some(ErrorKind::Unauthorized));
    assert_eq!(kind(&|o| o.identity_files = vec![stranger.clone(), own.clone()]).await, None);
    assert_eq!(kind(&|o| o.identity_files = vec!["/nothing/here".into()]).await, Some(ErrorKind::NotFound));
    assert_eq!(kind(&|o| o.identity_files = vec![copy("open", 0o644)]).await, Some(ErrorKind::Forbidden));
    let locked = copy("locked", 0o600);
    lab::output("ssh-keygen", &["-q", "-p", "-N", "open sesame", "-f", locked.to_str().unwrap()], &[]);
    assert_eq!(kind(&|o| o.identity_files = vec![locked.clone()]).await, Some(ErrorKind::Unauthorized));
    assert_eq!(kind(&|o| (o.identity_files, o.passphrase) = (vec![locked.clone()], Some("open sesame".into()))).await, None);
    // A sshd that knows no keys, and a user with a password.
    assert_eq!(kind(&|o| o.port = Some(2203)).await, Some(ErrorKind::Unauthorized));
    let Some(password) = variable("DOCKERKIT_LAB_SSH_PASSWORD") else { return };
    let as_ops = |o: &mut SshOptions, password: &str| {
        (o.user, o.password, o.identity_files, o.agent) = (Some("ops".into()), Some(password.into()), vec![stranger.clone()], Some(false));
    };
    assert_eq!(kind(&|o| as_ops(o, "wrong")).await, Some(ErrorKind::Unauthorized));
    // In, but not in the group that may use the socket.
    assert_eq!(kind(&|o| as_ops(o, &password)).await, Some(ErrorKind::Unreachable));
    assert_eq!(kind(&|o| o.port = Some(9)).await, Some(ErrorKind::Unreachable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_reached_where_forwarding_is_forbidden_or_the_way_goes_through_another() {
    let Some(lab) = open("DOCKERKIT_LAB_SSH_FAULTY") else { return };
    lab.with_engine().await;
    let known = lab.known("");
    // By a command instead of a channel to the socket.
    let engine = lab.connect(|o| (o.port, o.known_hosts) = (Some(2202), Some(known.clone()))).await.unwrap();
    assert!(!engine.version().await.unwrap().version.is_empty());
    let calls = (0..8).map(|_| async { engine.info().await.unwrap() });
    futures_util::future::join_all(calls).await;
    // Neither channel nor command.
    let e = lab.connect(|o| (o.port, o.known_hosts) = (Some(2204), Some(known.clone()))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}");
    assert!(e.context().contains_key("dial_stdio"), "{e:?}");

    // Through the host to itself, and by names of a configuration.
    let mut inner = lab.driver.login.clone().jump(format!("root@{}", lab.driver.host)).known_hosts(known.clone());
    let through = Engine::connect("ssh://127.0.0.1").ssh(inner.clone()).await.unwrap();
    assert_eq!(through.info().await.unwrap().raw["Name"], "faulty");
    let e = Engine::connect("ssh://127.0.0.1:1").ssh(inner.clone()).await.unwrap_err();
    assert_eq!((e.kind(), e.context()["host"].as_str()), (ErrorKind::Unreachable, "127.0.0.1:1"), "{e}");
    let key = inner.identity_files.pop().unwrap();
    let config = lab.folder.path().join("config");
    let text = format!(
        "Host gate\n  HostName {}\n  User root\n  IdentityFile {}\nHost inner\n  HostName localhost\n  User root\n  ProxyJump gate\n  IdentityFile {}\n",
        lab.driver.host,
        key.display(),
        key.display()
    );
    std::fs::write(&config, text).unwrap();
    let options = SshOptions::default().config_file(config).known_hosts(known);
    assert_eq!(Engine::connect("ssh://inner").ssh(options).await.unwrap().info().await.unwrap().raw["Name"], "faulty");
}

/// What stands between us and the host.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It takes connections and says nothing.
    Silent,
    /// It says what is no SSH.
    Garbage,
    /// It cuts the connection after so many bytes from the host.
    Cut(usize),
    /// It lets everything through.
    None,
}

/// A port that leads to the host, with a fault. What is said through the sender makes it stop moving data.
async fn fault(host: String, fault: Fault) -> (u16, tokio::sync::watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (host, stopped) = (host.clone(), stopped.clone());
            tokio::spawn(async move {
                match fault {
                    Fault::Silent => tokio::time::sleep(Duration::from_secs(60)).await,
                    Fault::Garbage => client.write_all(&[b'x'; 100_000]).await.unwrap_or_default(),
                    Fault::Cut(left) => pass(client, &host, left, stopped).await,
                    Fault::None => pass(client, &host, usize::MAX, stopped).await,
                }
            });
        }
    });
    (port, stop)
}

async fn pass(client: TcpStream, host: &str, mut left: usize, stopped: tokio::sync::watch::Receiver<bool>) {
    let server = TcpStream::connect((host, 22)).await.unwrap();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
    let up = tokio::spawn({
        let stopped = stopped.clone();
        async move {
            let mut space = vec![0; 16 << 10];
            while let Ok(n @ 1..) = from_client.read(&mut space).await {
                if !*stopped.borrow() && to_server.write_all(&space[..n]).await.is_err() {
                    return;
                }
            }
        }
    });
    let mut space = vec![0; 16 << 10];
    while let Ok(n @ 1..) = from_server.read(&mut space).await {
        let n = n.min(left);
        left -= n;
        if !*stopped.borrow() && to_client.write_all(&space[..n]).await.is_err() || left == 0 {
            break;
        }
    }
    up.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_ends_in_time_and_with_a_reason() {
    let Some(lab) = open("DOCKERKIT_LAB_SSH_FAULTY") else { return };
    lab.with_engine().await;
    let known = lab.known("");
    let connect = async |kind: Fault, limit: u64| {
        let (port, stop) = fault(lab.driver.host.clone(), kind).await;
        let mut options = lab.driver.login.clone().connect_timeout(Duration::from_secs(limit)).keepalive(Duration::from_secs(1)).known_hosts(known.clone());
        options.port = Some(port);
        (Engine::connect("ssh://127.0.0.1").ssh(options).await, stop)
    };
    let began = Instant::now();
    let e = connect(Fault::Silent, 2).await.0.unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::Timeout), "{e}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    for kind in [Fault::Garbage, Fault::Cut(10), Fault::Cut(300), Fault::Cut(1000), Fault::Cut(1700)] {
        let e = connect(kind, 5).await.0.unwrap_err();
        assert!(matches!(e.kind(), ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::Unauthorized), "{kind:?}: {e:?}");
        assert!(e.hint_text().is_some(), "{kind:?}: {e:?}");
    }
    // A line that goes dead in the middle: told after three questions without an answer, and then made anew.
    let (engine, stop) = connect(Fault::None, 5).await;
    let engine = engine.unwrap();
    let mut events = engine.events().await.unwrap();
    stop.send(true).unwrap();
    let began = Instant::now();
    let e = tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    stop.send(false).unwrap();
    assert!(!engine.version().await.unwrap().version.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opens_a_host_is_not_written_down() {
    let Some(lab) = open("DOCKERKIT_LAB_SSH_FAULTY") else { return };
    let mut driver = lab.driver.clone();
    (driver.login.password, driver.login.passphrase) = (Some("hunter2".into()), Some("hunter3".into()));
    let store = lab.folder.path().join("machine");
    let machines = Machines::at(store.clone()).unwrap();
    machines.create("bare", driver.clone()).await.unwrap();
    assert!(!format!("{driver:?}").contains("hunter"));
    let files = |folder: &Path| -> Vec<PathBuf> { std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect() };
    for file in files(&store.join("machines/bare")).iter().filter(|f| f.is_file()) {
        assert!(!std::fs::read_to_string(file).unwrap().contains("hunter"), "{}", file.display());
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&file.metadata().unwrap()) & 0o077, 0, "{}", file.display());
    }
    machines.get("bare").await.unwrap().remove().await.unwrap();
}
