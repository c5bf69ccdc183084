//! Machines behind SSH: a Debian or Ubuntu host with nothing on it gets an engine from its own packages, and its socket is
//! reached through the session. Nothing listens on the network.

use std::{path::Path, sync::Arc, time::Duration};

use super::{EngineConfig, MachineState, SshDriver};
use crate::{
    call::Context,
    engine::{Command, CommandOutput, ConnectOptions, Engine, ExecOptions},
    error::{Error, ErrorKind, Result},
    progress::Resource,
    transport::ssh::Host,
    units::Data,
};

/// One machine of this driver.
pub(crate) struct Remote<'a> {
    pub(crate) name: &'a str,
    pub(crate) driver: &'a SshDriver,
}

/// What is found on the host: its system, whether systemd runs it, and whether an engine is there and answers.
const LOOK: &str = r#"
. /etc/os-release 2>/dev/null
echo "system=${ID:-unknown} ${ID_LIKE:-}"
[ -d /run/systemd/system ] && echo init=systemd || echo init=none
command -v dockerd >/dev/null && echo engine=installed || echo engine=missing
[ -S /var/run/docker.sock ] && $SUDO docker -H unix:///var/run/docker.sock version >/dev/null 2>&1 && echo answers=yes || echo answers=no
"#;

/// Debian's own packages; nothing is asked, and no service is started by the installation where it could not be.
const INSTALL: &str = r#"
export DEBIAN_FRONTEND=noninteractive
tries=0
# A call that was given up may still be at it, and apt does not wait for the lock of its lists.
until said=$($SUDO apt-get update -qq 2>&1); do
    tries=$((tries + 1))
    case $said in *lock*) [ $tries -lt 60 ] || { echo "$said" >&2; exit 1; } ;; *) echo "$said" >&2; exit 1 ;; esac
    sleep 2
done
$SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=120 --no-install-recommends docker.io iptables ca-certificates apparmor
"#;

/// Starts the engine by what starts services there; where nothing does, by itself.
const START: &str = r#"
if [ -d /run/systemd/system ]; then
    $SUDO systemctl enable docker >/dev/null 2>&1
    if [ "$CHANGED" = 1 ]; then $SUDO systemctl restart docker; else $SUDO systemctl start docker; fi
else
    if [ "$CHANGED" = 1 ] && [ -f /var/run/docker.pid ]; then
        $SUDO kill "$(cat /var/run/docker.pid)" 2>/dev/null || true
        for _ in $(seq 100); do [ -f /var/run/docker.pid ] || break; sleep 0.1; done
    fi
    if ! $SUDO docker -H unix:///var/run/docker.sock version >/dev/null 2>&1; then
        $SUDO sh -c 'setsid dockerd >>/var/log/docker.log 2>&1 </dev/null &'
    fi
fi
for _ in $(seq 300); do
    $SUDO docker -H unix:///var/run/docker.sock version >/dev/null 2>&1 && exit 0
    sleep 0.1
done
$SUDO tail -n 5 /var/log/docker.log >&2 2>/dev/null || true
exit 1
"#;

impl Remote<'_> {
    fn host(&self) -> Arc<Host> {
        Host::new(None, &self.driver.host, None, &self.driver.login)
    }

    pub(crate) fn url(&self) -> String {
        self.driver.url()
    }

    pub(crate) async fn engine(&self) -> Result<Engine> {
        Engine::connect(self.url()).with_options(ConnectOptions { ssh: Some(self.driver.login.clone()), ..ConnectOptions::default() }).await
    }

    /// Runs a script with `$SUDO` set to what makes it root.
    async fn script(&self, host: &Host, what: &str, script: &str, stdin: Option<Vec<u8>>) -> Result<String> {
        let full = format!("set -e\nif [ \"$(id -u)\" = 0 ]; then SUDO=; else SUDO='sudo -n'; fi\n{script}");
        let quoted = shlex::try_quote(&full).map_err(|e| Error::internal(e.to_string()))?.into_owned();
        let (code, out, err) = host.run(&format!("sh -c {quoted}"), stdin).await?;
        if code == 0 {
            return Ok(String::from_utf8_lossy(&out).into_owned());
        }
        let words = String::from_utf8_lossy(&err);
        let end: Vec<&str> = words.lines().rev().take(5).collect();
        let end: Vec<&str> = end.into_iter().rev().collect();
        let e = Error::new(ErrorKind::CommandFailed, format!("{what} failed on {} with {code}", self.driver.host)).with("output", end.join("\n"));
        Err(if words.contains("sudo:") {
            e.hint("log in as root, or let the user run sudo without a password")
        } else {
            e.hint("the end of its output is in the context")
        })
    }

    /// Brings the host to where an engine answers: installs what is missing, writes its settings, starts it.
    pub(crate) async fn create(&self, engine: &EngineConfig, cx: &Context) -> Result<()> {
        let host = self.host();
        let look = self.script(&host, "looking at the host", LOOK, None).await?;
        let says = |line: &str| look.lines().any(|l| l == line);
        let resource = || Resource::new("machine", self.name);
        if says("engine=missing") {
            let system = look.lines().find_map(|l| l.strip_prefix("system=")).unwrap_or_default().trim().to_owned();
            if !system.split(' ').any(|s| s == "debian" || s == "ubuntu") {
                return Err(Error::new(ErrorKind::Unsupported, format!("{} runs {system}, on which no engine can be installed yet", self.driver.host))
                    .hint("install Docker Engine there; the same call then goes on"));
            }
            cx.events.track("install", resource(), self.script(&host, "installing the engine", INSTALL, None)).await?;
        }
        let changed = self.configure(&host, engine).await?;
        if !says("answers=yes") || changed {
            let script = format!("CHANGED={}\n{START}", u8::from(changed));
            cx.events.track("start", resource(), self.script(&host, "starting the engine", &script, None)).await?;
        }
        // A user who is not root must be in the group that owns the socket; that counts from the next login on.
        self.script(&host, "letting the user in", "[ \"$(id -u)\" = 0 ] || $SUDO usermod -aG docker \"$(id -un)\"", None).await?;
        self.wait_engine().await
    }

    async fn configure(&self, host: &Host, engine: &EngineConfig) -> Result<bool> {
        let settings = engine.daemon_json();
        if settings.is_empty() {
            return Ok(false);
        }
        let text = serde_json::to_vec_pretty(&settings).map_err(|e| Error::internal(e.to_string()))?;
        let script = "new=$(mktemp); cat >\"$new\"; $SUDO mkdir -p /etc/docker
if $SUDO cmp -s \"$new\" /etc/docker/daemon.json; then rm \"$new\"; echo same; else $SUDO install -m 600 \"$new\" /etc/docker/daemon.json; rm \"$new\"; echo new; fi";
        Ok(self.script(host, "writing the engine's settings", script, Some(text)).await?.trim() == "new")
    }

    async fn wait_engine(&self) -> Result<()> {
        let until = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            match self.engine().await {
                Ok(_) => return Ok(()),
                Err(e) if tokio::time::Instant::now() > until || matches!(e.kind(), ErrorKind::Untrusted | ErrorKind::Unauthorized) => return Err(e),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    pub(crate) async fn state(&self) -> MachineState {
        if self.engine().await.is_ok() {
            return MachineState::Running;
        }
        // The host may be there with its engine down.
        match self.host().run("true", None).await {
            Ok(_) => MachineState::Stopped,
            Err(_) => MachineState::Unreachable,
        }
    }

    pub(crate) async fn start(&self, cx: &Context) -> Result<()> {
        self.create(&EngineConfig::default(), cx).await
    }

    pub(crate) async fn run(&self, command: &Command, o: ExecOptions) -> Result<CommandOutput> {
        if o.tty || o.privileged || o.user.is_some() || o.detach_keys.is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "a command over SSH takes env, workdir and stdin only").hint("log in as another user instead"));
        }
        let quote = |word: &str| shlex::try_quote(word).map(std::borrow::Cow::into_owned).map_err(|e| Error::invalid(e.to_string()));
        let mut text = String::new();
        if let Some(folder) = &o.workdir {
            text.push_str(&format!("cd {} && ", quote(folder)?));
        }
        if !o.env.is_empty() {
            // Values may be secrets: they go through standard input, not through the list of processes.
            return Err(Error::new(ErrorKind::Unsupported, "a command over SSH takes no variables: they would show in the list of processes")
                .hint("write them to its standard input, or to a file with copy_to"));
        }
        let words: Result<Vec<String>> = command.words().iter().map(|w| quote(w)).collect();
        text.push_str(&words?.join(" "));
        let (code, stdout, stderr) = self.host().run(&text, o.stdin.map(|d| d.0.to_vec())).await?;
        Ok(CommandOutput { exit_code: code.into(), stdout: Data(stdout.into()), stderr: Data(stderr.into()) })
    }

    pub(crate) async fn copy_to(&self, path: &Path, target: &str) -> Result<()> {
        let path = path.to_owned();
        let (parent, name) = target.trim_end_matches('/').rsplit_once('/').unwrap_or((".", target));
        let name = name.to_owned();
        let packed = tokio::task::spawn_blocking(move || pack(&path, &name)).await.map_err(|e| Error::internal(e.to_string()))??;
        let folder = shlex::try_quote(if parent.is_empty() { "/" } else { parent }).map_err(|e| Error::invalid(e.to_string()))?.into_owned();
        let host = self.host();
        self.script(&host, "copying", &format!("mkdir -p {folder} && tar -xf - -C {folder}"), Some(packed)).await.map(drop)
    }

    pub(crate) async fn copy_from(&self, path: &str, target: &Path) -> Result<()> {
        let (parent, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or((".", path));
        let quote = |word: &str| shlex::try_quote(word).map(std::borrow::Cow::into_owned).map_err(|e| Error::invalid(e.to_string()));
        let command = format!("tar -cf - -C {} -- {}", quote(if parent.is_empty() { "/" } else { parent })?, quote(name)?);
        let (code, out, err) = self.host().run(&command, None).await?;
        if code != 0 {
            return Err(Error::not_found(format!("{path} cannot be read on {}: {}", self.driver.host, String::from_utf8_lossy(&err).trim())));
        }
        let target = target.to_owned();
        tokio::task::spawn_blocking(move || unpack(&out, &target)).await.map_err(|e| Error::internal(e.to_string()))?
    }
}

fn pack(path: &Path, name: &str) -> Result<Vec<u8>> {
    let io = |e| Error::file(path, e);
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    if std::fs::metadata(path).map_err(io)?.is_dir() {
        tar.append_dir_all(name, path).map_err(io)?;
    } else {
        tar.append_path_with_name(path, name).map_err(io)?;
    }
    tar.into_inner().map_err(io)
}

/// Unpacks an archive whose first part is one file or folder, as `target`. Nothing is written outside of it.
fn unpack(data: &[u8], target: &Path) -> Result<()> {
    let io = |e| Error::file(target, e);
    let mut archive = tar::Archive::new(data);
    for entry in archive.entries().map_err(io)? {
        let mut entry = entry.map_err(io)?;
        let path = entry.path().map_err(io)?.into_owned();
        let inner: std::path::PathBuf = path.components().skip(1).collect();
        if inner.as_os_str().is_empty() {
            if entry.header().entry_type().is_dir() {
                std::fs::create_dir_all(target).map_err(io)?;
            } else {
                entry.unpack(target).map_err(io)?;
            }
            continue;
        }
        if inner.components().any(|c| !matches!(c, std::path::Component::Normal(_)))
            || !entry.header().entry_type().is_file() && !entry.header().entry_type().is_dir()
        {
            continue;
        }
        entry.unpack(target.join(inner)).map_err(io)?;
    }
    Ok(())
}
