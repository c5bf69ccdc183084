//! Where an engine is, as a text and as data.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The socket of an engine on Linux when nothing else is said.
pub(crate) const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Where an engine is.
///
/// The text forms are those of `DOCKER_HOST`: `unix:///path`, `tcp://host:port`, `ssh://[user@]host[:port][/socket]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Endpoint {
    /// A Unix socket on this host.
    Unix {
        /// Its path.
        path: PathBuf,
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
    /// Reads the text form.
    ///
    /// # Errors
    /// `invalid_input` when the text is no endpoint, `unsupported` for named pipes on this platform.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!("`{}` is not an endpoint: {why}", crate::error::escape(text)))
                .hint("write unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host")
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
            "npipe" => Err(Error::new(ErrorKind::Unsupported, "named pipes exist on Windows only")),
            _ => Err(wrong("the scheme is unknown")),
        }
    }
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

    #[test]
    fn texts_round_trip() {
        for text in ["unix:///run/d.sock", "tcp://10.0.0.5:2375", "tcp://[::1]:2376", "ssh://deploy@host:2222", "ssh://host", "ssh://u@host/run/podman.sock"] {
            let parsed = Endpoint::parse(text).map(|e| e.to_string());
            assert_eq!(parsed.ok().as_deref(), Some(text));
        }
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in ["", "host", "unix://relative", "tcp://", "tcp://h:99999", "ssh://-oProxyCommand=x", "ssh://u:pw@h", "ftp://x", "ssh://a b", "tcp://h:0"] {
            assert_eq!(Endpoint::parse(text).map_err(|e| e.kind()).err(), Some(ErrorKind::InvalidInput), "{text}");
        }
    }
}
