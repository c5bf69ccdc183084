//! Where an engine is, as a text and as data.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The socket of an engine on Linux when nothing else is said.
pub(crate) const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The pipe of an engine on Windows when nothing else is said.
const DEFAULT_PIPE: &str = "docker_engine";

/// Where an engine is.
///
/// The text forms are those of `DOCKER_HOST`: `unix:///path`, `tcp://host:port`, `ssh://[user@]host[:port][/socket]`,
/// `npipe:////./pipe/name`. All of them are read on every system; pipes can be connected to on Windows only, Unix sockets of this host
/// anywhere but there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Endpoint {
    /// A Unix socket on this host.
    Unix {
        /// Its path.
        path: PathBuf,
    },
    /// A named pipe of this host, where it is Windows.
    Npipe {
        /// Its name after `\\.\pipe\`, with `/` between the parts of a longer one.
        name: String,
    },
    /// A TCP port, with TLS when TLS options are given.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket on another host, through SSH.
    Ssh {
        /// The user, if not the SSH options' one.
        user: Option<String>,
        /// Host name, address or alias of an SSH configuration.
        host: String,
        /// The port, if not 22 or the configured one.
        port: Option<u16>,
        /// The engine's socket on that host.
        socket: PathBuf,
    },
}

impl Endpoint {
    /// Where the engine of this host is when nothing else is said: `unix:///var/run/docker.sock`, on Windows
    /// `npipe:////./pipe/docker_engine`.
    #[must_use]
    pub fn usual() -> Self {
        if cfg!(windows) { Self::Npipe { name: DEFAULT_PIPE.to_owned() } } else { Self::Unix { path: DEFAULT_SOCKET.into() } }
    }

    /// Reads the text form. A pipe may be written with backslashes too.
    ///
    /// # Errors
    /// `invalid_input` when the text is no endpoint, or the pipe of another host.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!("`{}` is not an endpoint: {why}", crate::error::escape(text)))
                .hint("write unix:///var/run/docker.sock, npipe:////./pipe/docker_engine, tcp://host:2376 or ssh://user@host")
        };
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix { path: rest.into() }),
            "unix" => Err(wrong("a Unix socket needs an absolute path")),
            "tcp" | "http" | "https" => {
                let (host, port) = host_port(rest.trim_end_matches('/')).ok_or_else(|| wrong("host or port is wrong"))?;
                let port = port.unwrap_or(if scheme == "https" { 2376 } else { 2375 });
                Ok(Self::Tcp { host, port })
            }
            "ssh" => {
                let (authority, socket) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
                let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(u, p)| (Some(u), p));
                if user.is_some_and(|u| u.contains(':')) {
                    return Err(wrong("a password does not belong into an address; use the SSH options"));
                }
                if user.is_some_and(|u| u.is_empty() || u.starts_with('-') || u.contains(char::is_whitespace)) {
                    return Err(wrong("the user name is wrong"));
                }
                let (host, port) = host_port(place).ok_or_else(|| wrong("host or port is wrong"))?;
                let socket = if socket.len() > 1 { socket } else { DEFAULT_SOCKET };
                Ok(Self::Ssh { user: user.map(str::to_owned), host, port, socket: socket.into() })
            }
            "npipe" => pipe_name(rest).map(|name| Self::Npipe { name }).ok_or_else(|| wrong("a pipe of this host is npipe:////./pipe/ and its name")),
            _ => Err(wrong("the scheme is unknown")),
        }
    }
}

/// The name of a pipe of this host; other hosts' are not reached, since they would be shown the user's login. Parts that the
/// system would take away must not be there: they lead to other devices.
fn pipe_name(path: &str) -> Option<String> {
    let path = path.replace('\\', "/");
    let (start, name) = path.split_at_checked("//./pipe/".len())?;
    let good = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
    (start.eq_ignore_ascii_case("//./pipe/") && name.len() <= 247 && name.split('/').all(good)).then(|| name.to_owned())
}

/// A pipe's name as the system wants it.
#[cfg(windows)]
pub(super) fn pipe_path(name: &str) -> String {
    format!(r"\\.\pipe\{}", name.replace('/', r"\"))
}

/// Splits `host:port`, with brackets around IPv6 addresses.
fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        (host, tail.strip_prefix(':').or(if tail.is_empty() { Some("") } else { None })?)
    } else {
        text.split_once(':').unwrap_or((text, ""))
    };
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '\\' | '\'' | '"' | '`' | '$' | ';' | '&' | '|');
    if host.is_empty() || host.starts_with('-') || host.contains(bad) {
        return None;
    }
    let port = if port.is_empty() { None } else { Some(port.parse().ok().filter(|p| *p > 0)?) };
    Some((host.to_owned(), port))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracket = |h: &str| if h.contains(':') { format!("[{h}]") } else { h.to_owned() };
        match self {
            Self::Unix { path } => write!(f, "unix://{}", path.display()),
            Self::Npipe { name } => write!(f, "npipe:////./pipe/{name}"),
            Self::Tcp { host, port } => write!(f, "tcp://{}:{port}", bracket(host)),
            Self::Ssh { user, host, port, socket } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                f.write_str(&bracket(host))?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                if socket.as_os_str() != DEFAULT_SOCKET {
                    write!(f, "{}", socket.display())?;
                }
                Ok(())
            }
        }
    }
}

impl std::str::FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn texts_round_trip() {
        for text in ["unix:///run/d.sock", "tcp://10.0.0.5:2375", "tcp://[::1]:2376", "ssh://deploy@host:2222", "ssh://host", "ssh://u@host/run/podman.sock"] {
            let parsed = Endpoint::parse(text).map(|e| e.to_string());
            assert_eq!(parsed.ok().as_deref(), Some(text));
        }
    }

    #[test]
    fn a_pipe_is_read_as_docker_writes_it_and_with_backslashes() {
        let texts =
            ["npipe:////./pipe/docker_engine", r"npipe://\\.\pipe\docker_engine", r"npipe:////./pipe\docker_engine", " npipe:////./PIPE/docker_engine "];
        for text in texts {
            assert_eq!(Endpoint::parse(text).unwrap(), Endpoint::Npipe { name: "docker_engine".to_owned() }, "{text}");
        }
        let longer = Endpoint::parse(r"npipe://\\.\pipe\mine\engine").unwrap();
        assert_eq!(longer.to_string(), "npipe:////./pipe/mine/engine");
    }

    #[test]
    fn what_is_no_pipe_of_this_host_is_refused() {
        let texts = [
            "npipe://",
            "npipe:////./pipe/",
            "npipe:////./pipe",
            "npipe://docker_engine",
            "npipe:////server/pipe/docker_engine",
            r"npipe://\\server\pipe\docker_engine",
            "npipe:////./pipe/../C:/file",
            "npipe:////./pipe/a//b",
            "npipe:////./pipe/a\0b",
            "npipe:////./pip\u{e9}/x",
        ];
        for text in texts {
            assert_eq!(Endpoint::parse(text).map_err(|e| e.kind()).err(), Some(ErrorKind::InvalidInput), "{text}");
        }
        assert_eq!(Endpoint::parse(&format!("npipe:////./pipe/{}", "x".repeat(248))).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn the_usual_endpoint_is_the_one_of_docker_on_this_system() {
        let wanted = if cfg!(windows) { "npipe:////./pipe/docker_engine" } else { "unix:///var/run/docker.sock" };
        assert_eq!(Endpoint::usual().to_string(), wanted);
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in ["", "host", "unix://relative", "tcp://", "tcp://h:99999", "ssh://-oProxyCommand=x", "ssh://u:pw@h", "ftp://x", "ssh://a b", "tcp://h:0"] {
            assert_eq!(Endpoint::parse(text).map_err(|e| e.kind()).err(), Some(ErrorKind::InvalidInput), "{text}");
        }
    }
}
