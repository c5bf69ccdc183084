//! How to log in to a host, as a caller says it.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{call::options, secret::Secret, units::Seconds};

/// How the key of a host is checked. There is no way to switch the check off, and a changed key is always refused.
///
/// As a text: `strict`, `accept-new`, or a fingerprint such as `SHA256:…`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostKey {
    /// The key must be known.
    Strict,
    /// An unknown host's key is added to the known hosts.
    #[default]
    AcceptNew,
    /// The key must have this fingerprint, as `ssh-keygen -l` shows it; the known hosts are not asked.
    Pinned(String),
}

impl HostKey {
    fn parse(text: &str) -> Option<Self> {
        let is_hash = |hash: &str| hash.len() == 43 && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
        match text {
            "strict" => Some(Self::Strict),
            "accept-new" => Some(Self::AcceptNew),
            other => other.strip_prefix("SHA256:").filter(|hash| is_hash(hash)).map(|_| Self::Pinned(other.to_owned())),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Strict => "strict",
            Self::AcceptNew => "accept-new",
            Self::Pinned(fingerprint) => fingerprint,
        }
    }
}

impl Serialize for HostKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for HostKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("a host key is checked by `strict`, `accept-new` or a fingerprint `SHA256:…` of 43 characters"))
    }
}

impl schemars::JsonSchema for HostKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HostKey".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}

options! {
    /// How to log in to a host. What is not said here is taken from the SSH configuration of the user, as `ssh` takes it.
    pub struct SshOptions {
        /// The user; default: the address's, the configuration's, else the current one.
        pub user: Option<String>,
        /// The port; default: the address's, the configuration's, else 22.
        pub port: Option<u16>,
        /// Files of private keys, tried in order; default: the configuration's, else `~/.ssh/id_ed25519`, `id_ecdsa` and
        /// `id_rsa`, whichever are there. A file that others may read is refused.
        pub identity_files: Vec<PathBuf>,
        /// Whether the keys of the agent at `SSH_AUTH_SOCK` are tried, before the files; default: where no files are given here.
        pub agent: Option<bool>,
        /// What opens a private key that is locked.
        pub passphrase: Option<Secret>,
        /// The password, which is tried after keys.
        pub password: Option<Secret>,
        /// How the host's key is checked: `strict` (it must be known), `accept-new` (an unknown host's key is added to the
        /// known hosts; the default), or the fingerprint that it must have, `SHA256:…`. A key that has changed is always refused.
        pub host_key: HostKey,
        /// The file of known hosts; default `~/.ssh/known_hosts`. The system's own file is read too.
        pub known_hosts: Option<PathBuf>,
        /// Hosts to go through, as `[user@]host[:port]`, several with commas between; default: the configuration's, else none.
        /// Each is logged in to with these same options.
        pub jump: Option<String>,
        /// The SSH configuration; default `~/.ssh/config`. What it says of `HostName`, `User`, `Port`, `IdentityFile` and
        /// `ProxyJump` for a host counts.
        pub config_file: Option<PathBuf>,
        /// How long connecting and logging in may take; default 15 s.
        pub connect_timeout: Option<Seconds>,
        /// How often a session asks whether the host is there; default 15 s. After three times without an answer it is lost.
        pub keepalive: Option<Seconds>,
    }
}

#[cfg(test)]
mod tests {
    use super::HostKey;

    #[test]
    fn ways_to_check_a_host_key_are_texts() {
        let pin = format!("SHA256:{}", "a".repeat(43));
        for text in ["strict", "accept-new", &pin] {
            assert_eq!(HostKey::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "off", "no", "SHA256:short", "MD5:00"] {
            assert_eq!(HostKey::parse(text), None, "{text}");
        }
    }
}
