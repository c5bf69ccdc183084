//! Engines and hosts behind SSH: one session for each host, with a channel for each connection.
//!
//! The engine's socket is opened with a direct channel to it, so nothing has to be installed on the other side but sshd
//! and the engine. Where sshd forbids that, `docker system dial-stdio` is run instead.

mod actor;
mod known_hosts;
mod login;
mod options;
mod route;
mod socket;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Mutex;

use self::actor::Session;
pub use self::options::{HostKey, SshOptions};
use super::{Connector, Endpoint, Io};
use crate::{
    call::{BoxFuture, fork_epoch},
    error::{Error, Result},
};

/// A host that is logged in to when it is first needed, and again when the session was lost.
#[derive(Debug)]
pub(crate) struct Host {
    login: login::Login,
    /// With the number of forks when it was made: a session does not live on in a forked process.
    session: Mutex<Option<(u64, Session)>>,
}

impl Host {
    /// The host at an address, with what the options say.
    pub(crate) fn new(user: Option<&str>, host: &str, port: Option<u16>, options: &SshOptions) -> Arc<Self> {
        Arc::new(Self { login: login::Login::new(user, host, port, options), session: Mutex::new(None) })
    }

    async fn session(&self) -> Result<Session> {
        let mut held = self.session.lock().await;
        let now = fork_epoch();
        if let Some((epoch, session)) = held.as_ref() {
            if *epoch == now && session.is_alive() {
                return Ok(session.clone());
            }
            if *epoch != now {
                std::mem::forget(held.take());
            }
        }
        let session = self.login.open().await?;
        *held = Some((now, session.clone()));
        Ok(session)
    }

    /// Runs a command and gives its exit code, its output and its errors.
    pub(crate) async fn run(&self, command: &str, stdin: Option<Vec<u8>>) -> Result<(i32, Vec<u8>, Vec<u8>)> {
        self.session().await?.run(command, stdin.unwrap_or_default()).await
    }
}

struct Ssh {
    host: Arc<Host>,
    socket: String,
    /// Set when this host does not allow channels to sockets.
    by_command: Arc<AtomicBool>,
}

impl std::fmt::Debug for Ssh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ssh({:?})", self.host.login)
    }
}

impl Connector for Ssh {
    fn connect(&self) -> BoxFuture<Result<Box<dyn Io>>> {
        let me = Ssh { host: self.host.clone(), socket: self.socket.clone(), by_command: self.by_command.clone() };
        Box::pin(async move {
            let session = me.host.session().await?;
            match me.open(&session).await {
                // The session may have ended unseen: the first use tells, and a new one is opened.
                Err(_) if !session.is_alive() => me.open(&me.host.session().await?).await,
                other => other,
            }
        })
    }

    fn reach(&self, host: &str, port: u16) -> BoxFuture<Result<Box<dyn Io>>> {
        let (through, host) = (self.host.clone(), host.to_owned());
        Box::pin(async move { Ok(Box::new(through.session().await?.port(&host, port).await?) as Box<dyn Io>) })
    }
}

impl Ssh {
    async fn open(&self, session: &Session) -> Result<Box<dyn Io>> {
        if !self.by_command.load(Ordering::Relaxed) {
            let refused = match session.socket(&self.socket).await {
                Ok(io) => return Ok(Box::new(io)),
                Err(e) if !session.is_alive() => return Err(e),
                Err(e) => e,
            };
            // The socket may be missing, or channels to sockets be forbidden: the command tells the two apart.
            let command = dial(&self.socket);
            let probe = session.run(&command, Vec::new());
            match tokio::time::timeout(Duration::from_secs(10), probe).await {
                Ok(Ok((0, ..))) => self.by_command.store(true, Ordering::Relaxed),
                Ok(Ok((_, _, errors))) => return Err(refused.with("dial_stdio", String::from_utf8_lossy(&errors).trim())),
                _ => return Err(refused),
            }
        }
        Ok(Box::new(session.command(&dial(&self.socket)).await?))
    }
}

fn dial(socket: &str) -> String {
    format!("docker -H unix://{} system dial-stdio", shlex::try_quote(socket).unwrap_or_default())
}

/// The connector of an SSH endpoint.
pub(crate) fn connector(endpoint: &Endpoint, options: SshOptions) -> Result<Arc<dyn Connector>> {
    let Endpoint::Ssh { user, host, port, socket } = endpoint else {
        return Err(Error::internal("not an SSH endpoint"));
    };
    let host = Host::new(user.as_deref(), host, *port, &options);
    Ok(Arc::new(Ssh { host, socket: socket.display().to_string(), by_command: Arc::default() }))
}
