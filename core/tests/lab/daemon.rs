//! Engines of a test's own, which it may kill, hold, and starve. Nothing of the lab's engines is touched.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dockerkit::Engine;

use super::{output, skip, variable};

/// The engines' programs on this machine: its own, and that of the lab's second engine.
pub fn programs() -> Vec<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&folders).map(|f| f.join("dockerd")).find(|p| p.is_file());
    // It lies where its compose does.
    let newer = variable("DOCKERKIT_LAB_COMPOSE").and_then(|c| Some(Path::new(&c).ancestors().nth(5)?.join("usr/sbin/dockerd"))).filter(|p| p.is_file());
    let all: Vec<_> = own.into_iter().chain(newer).collect();
    if all.is_empty() {
        skip("there is no dockerd");
    }
    all
}

/// A `dockerd` with a socket, folders and a bridge of its own.
pub struct Daemon {
    folder: tempfile::TempDir,
    program: PathBuf,
    args: Vec<String>,
    child: Child,
}

impl Daemon {
    pub fn start(program: &Path, args: &[&str]) -> Self {
        Self::begin(program, args, None)
    }

    /// With a disk of this size, such as `64m`.
    pub fn on_small_disk(program: &Path, size: &str) -> Self {
        Self::begin(program, &[], Some(size))
    }

    fn begin(program: &Path, args: &[&str], disk: Option<&str>) -> Self {
        // The path of a socket must be short.
        let folder = tempfile::Builder::new().prefix("dk-d").tempdir_in("/tmp").unwrap();
        if let Some(size) = disk {
            std::fs::create_dir(folder.path().join("data")).unwrap();
            let place = folder.path().join("data").display().to_string();
            output("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "dk-disk", &place], &[]);
        }
        let args: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
        let child = spawn(program, folder.path(), &args);
        let mut daemon = Self { folder, program: program.to_owned(), args, child };
        daemon.wait();
        daemon
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub async fn engine(&self) -> Engine {
        Engine::connect(self.endpoint()).await.unwrap()
    }

    /// Gives it the lab's image.
    pub async fn image(&self) -> Option<String> {
        let (lab, image) = (variable("DOCKERKIT_LAB_ENGINE")?, variable("DOCKERKIT_LAB_IMAGE")?);
        let archive = archive_of(&lab, &image).await;
        self.engine().await.images().load().data(dockerkit::units::Data::from(archive)).await.unwrap();
        Some(image)
    }

    /// Ends it without a warning, and what it had started for itself; containers go on.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        if let Ok(pid) = std::fs::read_to_string(self.folder.path().join("exec/containerd/containerd.pid")) {
            Command::new("sh").args(["-c", &format!("kill -KILL {}", pid.trim())]).stderr(Stdio::null()).status().ok();
        }
    }

    pub fn restart(&mut self) {
        self.again();
        self.wait();
    }

    /// Starts it again; the files with process IDs are those of one that is gone.
    fn again(&mut self) {
        for left in ["docker.pid", "exec/containerd/containerd.pid"] {
            std::fs::remove_file(self.folder.path().join(left)).ok();
        }
        self.child = spawn(&self.program, self.folder.path(), &self.args);
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        output("sh", &["-c", &format!("kill -{name} {}", self.child.id())], &[]);
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        while !answers(&self.socket()) {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "dockerd ended: {}", log());
            assert!(begun.elapsed() < Duration::from_secs(60), "dockerd does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let over = |child: &mut Child| child.try_wait().ok().flatten().is_some();
        if over(&mut self.child) {
            // Containers of one that was killed are ended by the next one.
            self.again();
            let begun = Instant::now();
            while !answers(&self.socket()) && !over(&mut self.child) && begun.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        for signal in ["CONT", "TERM"] {
            Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.child.id())]).stderr(Stdio::null()).status().ok();
        }
        let begun = Instant::now();
        while !over(&mut self.child) && begun.elapsed() < Duration::from_secs(25) {
            std::thread::sleep(Duration::from_millis(50));
        }
        self.child.kill().ok();
        self.child.wait().ok();
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let own = format!("{}/", self.folder.path().display());
        for place in mounts.lines().filter_map(|l| l.split(' ').nth(1)).filter(|p| p.starts_with(&own)).collect::<Vec<_>>().into_iter().rev() {
            Command::new("umount").args(["-l", place]).stderr(Stdio::null()).status().ok();
        }
        Command::new("ip").args(["link", "delete", &bridge_name(self.folder.path())]).stderr(Stdio::null()).status().ok();
    }
}

/// An image of an engine as an archive.
pub async fn archive_of(endpoint: &str, image: &str) -> Vec<u8> {
    let mut parts = Engine::connect(endpoint).await.unwrap().images().save(vec![image.to_owned()]).await.unwrap();
    let mut archive = Vec::new();
    while let Some(part) = parts.next().await {
        archive.extend_from_slice(&part.unwrap());
    }
    archive
}

/// A bridge for the engine of `folder`, which is deleted with it.
fn own_bridge(folder: &Path) -> String {
    let name = bridge_name(folder);
    let subnet = name.bytes().fold(0u8, u8::wrapping_add);
    let ip = |args: &[&str]| Command::new("ip").args(args).stderr(Stdio::null()).status().unwrap();
    ip(&["link", "add", &name, "type", "bridge"]);
    ip(&["addr", "add", &format!("10.215.{subnet}.1/24"), "dev", &name]);
    ip(&["link", "set", &name, "up"]);
    name
}

fn bridge_name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.chars().take(15).collect()
}

fn spawn(program: &Path, folder: &Path, args: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    // What an engine starts lies beside it.
    let (sbin, bin) = (program.parent().unwrap().to_owned(), program.parent().unwrap().with_file_name("bin"));
    let mut path = std::ffi::OsString::from(format!("{}:{}:", sbin.display(), bin.display()));
    path.push(std::env::var_os("PATH").unwrap_or_default());
    Command::new(program)
        .env("PATH", path)
        .args(["--host", &format!("unix://{}", at("docker.sock")), "--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("docker.pid")])
        // A bridge of its own: with `--bridge=none` an engine deletes the usual one, which another engine on this machine uses.
        .args(["--bridge", &own_bridge(folder), "--iptables=false"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Whether an engine answers on a socket.
fn answers(socket: &Path) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|a| a.starts_with(b"HTTP/1.0 200"))
}

/// Runs each scenario with each engine's program on this machine.
#[allow(unused_macros, reason = "each test uses a part")]
macro_rules! with_each_daemon {
    ($($scenario:ident)+) => {
        $(#[test]
        fn $scenario() {
            // Each in a runtime of its own: starting and ending an engine is waited for in the thread.
            let all = lab::daemon::programs().into_iter().map(|program| {
                std::thread::spawn(move || tokio::runtime::Runtime::new().unwrap().block_on(scenarios::$scenario(&program)))
            });
            // All end before one fails the test: each stops its own engine.
            let done: Vec<bool> = all.collect::<Vec<_>>().into_iter().map(|thread| thread.join().is_ok()).collect();
            assert!(done.iter().all(|&well| well), "with each program: {done:?}");
        })+
    };
}
