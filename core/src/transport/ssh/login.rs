//! Connecting to a host, checking its key, and logging in.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ssh2::{ErrorCode, MethodType};

use super::{
    SshOptions,
    actor::Session,
    known_hosts::{self, Files, Known},
};
use crate::error::{Error, ErrorKind, Result};

/// Kinds of keys that a host may show, best first. A known host may have shown an older kind.
const KINDS: [&str; 4] = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "ecdsa-sha2-nistp521"];

/// All that logging in takes.
#[derive(Clone)]
pub(super) struct Login {
    user: String,
    host: String,
    port: u16,
    options: SshOptions,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}

#[expect(clippy::disallowed_methods, reason = "the user's name, folder and agent are said by the environment")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

fn home() -> PathBuf {
    env("HOME").unwrap_or_else(|| "/root".into()).into()
}

impl Login {
    pub(super) fn new(user: Option<&str>, host: &str, port: Option<u16>, options: &SshOptions) -> Self {
        let user = user.map(str::to_owned).or_else(|| options.user.clone()).or_else(|| env("USER")).unwrap_or_else(|| "root".to_owned());
        Self { user, host: host.to_owned(), port: port.or(options.port).unwrap_or(22), options: options.clone() }
    }

    fn limit(&self) -> Duration {
        self.options.connect_timeout.map_or(Duration::from_secs(15), |t| t.0)
    }

    fn place(&self, e: Error) -> Error {
        e.with("host", format!("{}:{}", self.host, self.port)).with("user", &*self.user)
    }

    /// Opens a session.
    pub(super) async fn open(&self) -> Result<Session> {
        match tokio::time::timeout(self.limit() + Duration::from_secs(1), self.open_now()).await {
            Ok(result) => result.map_err(|e| self.place(e)),
            Err(_) => Err(self.place(Error::new(ErrorKind::Timeout, format!("no login within {}", crate::units::go_duration(self.limit()))))),
        }
    }

    async fn open_now(&self) -> Result<Session> {
        let mut kinds = std::iter::once(None).chain(KINDS.iter().map(|k| Some(*k)));
        loop {
            // A host shows one key. Where another kind is known, it is asked for that kind.
            let Some(kind) = kinds.next() else {
                return Err(Error::internal("all kinds of keys were tried"));
            };
            let stream = self.connect().await?;
            let me = self.clone();
            let last = kind == KINDS.last().copied();
            let opened = tokio::task::spawn_blocking(move || me.handshake(stream, kind, last)).await.map_err(|e| Error::internal(e.to_string()))?;
            match opened {
                Ok(Some((session, stream))) => return Session::start(session, stream),
                Ok(None) => {}
                Err(e) => return Err(e),
            }
        }
    }

    async fn connect(&self) -> Result<std::net::TcpStream> {
        let unreachable = |e: std::io::Error| {
            Error::new(ErrorKind::Unreachable, format!("cannot connect to {}:{}: {e}", self.host, self.port))
                .hint("check the address, and that sshd runs there")
        };
        let connect = tokio::net::TcpStream::connect((self.host.as_str(), self.port));
        let stream = tokio::time::timeout(self.limit(), connect).await.map_err(|_| unreachable(std::io::ErrorKind::TimedOut.into()))?.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream = stream.into_std().map_err(unreachable)?;
        stream.set_nonblocking(false).map_err(unreachable)?;
        Ok(stream)
    }

    /// Agrees on keys, checks the host's, and logs in. None when the host showed a key of a kind that is not the known one.
    fn handshake(&self, stream: std::net::TcpStream, kind: Option<&str>, last: bool) -> Result<Option<(ssh2::Session, std::net::TcpStream)>> {
        let failed = |e: ssh2::Error| {
            let kind = if e.code() == ErrorCode::Session(-9) { ErrorKind::Timeout } else { ErrorKind::Unreachable };
            Error::new(kind, format!("no SSH session: {}", e.message())).hint("check that sshd answers at this port")
        };
        let mut session = ssh2::Session::new().map_err(failed)?;
        session.set_timeout(u32::try_from(self.limit().as_millis()).unwrap_or(u32::MAX));
        session.set_tcp_stream(stream.try_clone().map_err(|e| Error::internal(e.to_string()))?);
        if let Some(kind) = kind {
            session.method_pref(MethodType::HostKey, kind).map_err(failed)?;
        }
        match session.handshake() {
            // The host has no key of this kind.
            Err(_) if kind.is_some() && !last => return Ok(None),
            Err(_) if kind.is_some() => return Err(self.changed(&session)),
            other => other.map_err(failed)?,
        }
        let own = self.options.known_hosts.clone().unwrap_or_else(|| home().join(".ssh/known_hosts"));
        let files = Files { own: &own, system: Path::new("/etc/ssh/ssh_known_hosts") };
        match known_hosts::check(&session, &files, &self.host, self.port)? {
            Known::Yes => {}
            Known::Changed if last => return Err(known_hosts::changed(&session, &files, &self.host, self.port)),
            Known::Changed => return Ok(None),
            Known::No => known_hosts::meet(&session, &files, &self.host, self.port, &self.options.host_key)?,
        }
        self.authenticate(&session)?;
        Ok(Some((session, stream)))
    }

    fn changed(&self, session: &ssh2::Session) -> Error {
        let own = self.options.known_hosts.clone().unwrap_or_else(|| home().join(".ssh/known_hosts"));
        known_hosts::changed(session, &Files { own: &own, system: Path::new("/etc/ssh/ssh_known_hosts") }, &self.host, self.port)
    }

    fn authenticate(&self, session: &ssh2::Session) -> Result<()> {
        let mut tried = Vec::new();
        let passphrase = self.options.passphrase.as_ref().map(crate::secret::Secret::reveal);
        if let Some(key) = &self.options.key {
            if !key.is_file() {
                return Err(Error::not_found(format!("there is no key {}", key.display()))
                    .hint("give the file of the private key")
                    .with("path", key.display().to_string()));
            }
            tried.push(key.display().to_string());
            if session.userauth_pubkey_file(&self.user, None, key, passphrase).is_ok() {
                return Ok(());
            }
        } else {
            if env("SSH_AUTH_SOCK").is_some() {
                tried.push("the agent's keys".to_owned());
                if session.userauth_agent(&self.user).is_ok() {
                    return Ok(());
                }
            }
            for name in ["id_ed25519", "id_ecdsa", "id_rsa"] {
                let key = home().join(".ssh").join(name);
                if key.is_file() {
                    tried.push(key.display().to_string());
                    if session.userauth_pubkey_file(&self.user, None, &key, passphrase).is_ok() {
                        return Ok(());
                    }
                }
            }
        }
        if let Some(password) = &self.options.password {
            tried.push("the password".to_owned());
            if session.userauth_password(&self.user, password.reveal()).is_ok() {
                return Ok(());
            }
        }
        let tried = if tried.is_empty() { "there was nothing to try".to_owned() } else { format!("tried {}", tried.join(", ")) };
        Err(Error::new(ErrorKind::Unauthorized, format!("{} does not let {} in: {tried}", self.host, self.user))
            .hint("give the file of a key that the host knows, or its passphrase, or a password"))
    }
}
