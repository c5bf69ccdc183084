//! Connecting to a host, checking its key, and logging in.

use std::{path::PathBuf, time::Duration};

use ssh2::{ErrorCode, MethodType};

use super::{
    SshOptions,
    actor::Session,
    known_hosts::{self, Files, Known, Place},
    route::{self, Stop},
    socket::Plain,
};
use crate::{
    error::{Error, ErrorKind, Result},
    host::{agent, home, may_be_read_by_others, pair, system_known_hosts},
};

/// Kinds of keys that a host may show, best first. A known host may have shown an older kind.
const KINDS: [&str; 4] = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "ecdsa-sha2-nistp521"];
/// Names of files of keys that are tried where none are named.
const USUAL: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// All that logging in takes.
#[derive(Clone)]
pub(super) struct Login {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    options: SshOptions,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.host)
    }
}

impl Login {
    pub(super) fn new(user: Option<&str>, host: &str, port: Option<u16>, options: &SshOptions) -> Self {
        Self { user: user.map(str::to_owned), host: host.to_owned(), port, options: options.clone() }
    }

    fn limit(&self) -> Duration {
        self.options.connect_timeout.map_or(Duration::from_secs(15), |t| t.0)
    }

    /// Opens a session, through other hosts where the way goes through them.
    pub(super) async fn open(&self) -> Result<Session> {
        let me = self.clone();
        let read = move || route::plan(me.user.as_deref(), &me.host, me.port, &me.options);
        let stops = tokio::task::spawn_blocking(read).await.map_err(|e| Error::internal(e.to_string()))??;
        let mut session = None;
        for stop in &stops {
            let place = |e: Error| e.with("host", format!("{}:{}", stop.host, stop.port)).with("user", &*stop.user);
            session = match tokio::time::timeout(self.limit() + Duration::from_secs(1), self.enter(stop, session.as_ref())).await {
                Ok(opened) => Some(opened.map_err(place)?),
                Err(_) => return Err(place(Error::new(ErrorKind::Timeout, format!("no login within {}", crate::units::go_duration(self.limit()))))),
            };
        }
        session.ok_or_else(|| Error::internal("a way without a host"))
    }

    async fn enter(&self, stop: &Stop, through: Option<&Session>) -> Result<Session> {
        // A host shows one key. Where another kind is known, it is asked for that kind.
        for kind in std::iter::once(None).chain(KINDS.iter().map(|k| Some(*k))) {
            let stream = match through {
                None => self.connect(stop).await?,
                Some(session) => tunnel(session, stop).await?,
            };
            let try_now = Try { stop: stop.clone(), options: self.options.clone(), limit: self.limit(), kind, last: kind == KINDS.last().copied() };
            let opened = tokio::task::spawn_blocking(move || try_now.handshake(stream)).await.map_err(|e| Error::internal(e.to_string()))?;
            if let Some((session, stream)) = opened? {
                let alive = self.options.keepalive.map_or(Duration::from_secs(15), |t| t.0);
                return Session::start(session, stream, alive);
            }
        }
        Err(Error::internal("all kinds of keys were tried"))
    }

    async fn connect(&self, stop: &Stop) -> Result<Plain> {
        let unreachable = |e: std::io::Error| {
            Error::new(ErrorKind::Unreachable, format!("cannot connect to {}:{}: {e}", stop.host, stop.port))
                .hint("check the address, and that sshd runs there")
        };
        let connect = tokio::net::TcpStream::connect((stop.host.as_str(), stop.port));
        let stream = tokio::time::timeout(self.limit(), connect).await.map_err(|_| unreachable(std::io::ErrorKind::TimedOut.into()))?.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream = stream.into_std().map_err(unreachable)?;
        stream.set_nonblocking(false).map_err(unreachable)?;
        Ok(Plain::Tcp(stream))
    }
}

/// A carrier through a session. libssh2 wants a file descriptor: it gets one end of a pair, and a task moves what comes
/// between the other end and the channel. The channel keeps the session.
async fn tunnel(session: &Session, stop: &Stop) -> Result<Plain> {
    let mut channel = session.port(&stop.host, stop.port).await?;
    let broken = |e: std::io::Error| Error::new(ErrorKind::Io, format!("no pair of sockets: {e}"));
    let (near, mut far) = pair().await.map_err(broken)?;
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut far, &mut channel).await.ok() });
    Ok(Plain::Pair(near))
}

/// One try with one kind of host key. It blocks.
struct Try {
    stop: Stop,
    options: SshOptions,
    limit: Duration,
    kind: Option<&'static str>,
    last: bool,
}

impl Try {
    /// Agrees on keys, checks the host's, and logs in. None when the host showed a key of a kind that is not the known one.
    fn handshake(&self, stream: Plain) -> Result<Option<(ssh2::Session, Plain)>> {
        let failed = |e: ssh2::Error| {
            let kind = if e.code() == ErrorCode::Session(-9) { ErrorKind::Timeout } else { ErrorKind::Unreachable };
            Error::new(kind, format!("no SSH session: {}", e.message())).hint("check that sshd answers at this port")
        };
        let mut session = ssh2::Session::new().map_err(failed)?;
        session.set_timeout(u32::try_from(self.limit.as_millis()).unwrap_or(u32::MAX));
        session.set_tcp_stream(stream.try_clone().map_err(|e| Error::internal(e.to_string()))?);
        if let Some(kind) = self.kind {
            session.method_pref(MethodType::HostKey, kind).map_err(failed)?;
        }
        let own = self.options.known_hosts.clone().unwrap_or_else(|| home().join(".ssh/known_hosts"));
        let system = system_known_hosts();
        let files = Files { own: &own, system: &system };
        let place = Place { host: &self.stop.host, port: self.stop.port, rule: &self.options.host_key };
        match session.handshake() {
            // The host has no key of this kind.
            Err(_) if self.kind.is_some() && !self.last => return Ok(None),
            Err(_) if self.kind.is_some() => return Err(place.changed(&session, &files)),
            other => other.map_err(failed)?,
        }
        match known_hosts::check(&session, &files, &place)? {
            Known::Yes => {}
            Known::Changed if self.last => return Err(place.changed(&session, &files)),
            Known::Changed => return Ok(None),
            Known::No => place.meet(&session, &files)?,
        }
        self.authenticate(&session)?;
        Ok(Some((session, stream)))
    }

    /// The files of keys to try, those that must be there with true.
    fn keys(&self) -> Vec<(PathBuf, bool)> {
        if !self.options.identity_files.is_empty() {
            return self.options.identity_files.iter().map(|key| (key.clone(), true)).collect();
        }
        let named = &self.stop.identity_files;
        if !named.is_empty() {
            return named.iter().map(|key| (key.clone(), false)).collect();
        }
        USUAL.iter().map(|name| (home().join(".ssh").join(name), false)).collect()
    }

    fn authenticate(&self, session: &ssh2::Session) -> Result<()> {
        let mut tried = Vec::new();
        let user = &self.stop.user;
        let by_agent = self.options.agent.unwrap_or(self.options.identity_files.is_empty());
        if by_agent && agent().is_some() {
            if session.userauth_agent(user).is_ok() {
                return Ok(());
            }
            tried.push("the agent's keys".to_owned());
        }
        let passphrase = self.options.passphrase.as_ref().map(crate::secret::Secret::reveal);
        for (key, must) in self.keys() {
            let name = key.display().to_string();
            let Ok(found) = key.metadata() else {
                if must {
                    return Err(Error::not_found(format!("there is no key {name}")).hint("give the file of the private key").with("path", name));
                }
                continue;
            };
            if may_be_read_by_others(&found) {
                if must {
                    return Err(Error::new(ErrorKind::Forbidden, format!("others may read the private key {name}"))
                        .hint(format!("take that away: chmod 600 {name}"))
                        .with("path", name));
                }
                tried.push(format!("{name} (not used: others may read it)"));
                continue;
            }
            match session.userauth_pubkey_file(user, None, &key, passphrase) {
                Ok(()) => return Ok(()),
                // The host's answer, and no answer to the file.
                Err(e) if matches!(e.code(), ErrorCode::Session(-18 | -19)) => tried.push(name),
                Err(e) => tried.push(format!("{name} ({})", e.message())),
            }
        }
        if let Some(password) = &self.options.password {
            if session.userauth_password(user, password.reveal()).is_ok() {
                return Ok(());
            }
            tried.push("the password".to_owned());
        }
        let tried = if tried.is_empty() { "there was nothing to try".to_owned() } else { format!("tried {}", tried.join(", ")) };
        Err(Error::new(ErrorKind::Unauthorized, format!("{} does not let {user} in: {tried}", self.stop.host))
            .hint("give the file of a key that the host knows, or its passphrase, or a password"))
    }
}
