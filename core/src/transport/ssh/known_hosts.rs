//! Checking a host's key against the files that OpenSSH keeps.

use std::{io::Write, path::Path};

use base64::Engine as _;
use ssh2::{CheckResult, KnownHostFileKind, Session};

use super::HostKey;
use crate::{
    error::{Error, ErrorKind, Result},
    host::{make_private, private_file},
};

/// What the check of a key came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Yes,
    No,
    /// Another key is known for this host.
    Changed,
}

/// The files that are read.
pub(super) struct Files<'a> {
    pub(super) own: &'a Path,
    pub(super) system: &'a Path,
}

/// A host, and how its key is checked.
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) rule: &'a HostKey,
}

/// Whether the key that the host showed is known.
pub(super) fn check(session: &Session, files: &Files<'_>, place: &Place<'_>) -> Result<Known> {
    let (key, _) = session.host_key().ok_or_else(|| Error::new(ErrorKind::Untrusted, "the host showed no key"))?;
    if let HostKey::Pinned(wanted) = place.rule {
        return Ok(if fingerprint(session) == *wanted { Known::Yes } else { Known::Changed });
    }
    let mut known = session.known_hosts().map_err(|e| Error::internal(e.to_string()))?;
    for file in [files.own, files.system] {
        if file.is_file() {
            known.read_file(file, KnownHostFileKind::OpenSSH).map_err(|e| {
                Error::new(ErrorKind::Io, format!("{}: {}", file.display(), e.message()))
                    .hint("mend the line, or remove it")
                    .with("path", file.display().to_string())
            })?;
        }
    }
    // With the port, names are looked up in brackets; without, as they are. A host at the usual port is written without.
    let result = if place.port == 22 { known.check(place.host, key) } else { known.check_port(place.host, place.port, key) };
    Ok(match result {
        CheckResult::Match => Known::Yes,
        CheckResult::Mismatch => Known::Changed,
        CheckResult::NotFound | CheckResult::Failure => Known::No,
    })
}

impl Place<'_> {
    /// As it stands in a file of known hosts.
    fn name(&self) -> String {
        if self.port == 22 { self.host.to_owned() } else { format!("[{}]:{}", self.host, self.port) }
    }

    /// Acts on a key that is not known: takes it in, or refuses.
    pub(super) fn meet(&self, session: &Session, files: &Files<'_>) -> Result<()> {
        let place = self.name();
        if *self.rule == HostKey::Strict {
            return Err(Error::new(ErrorKind::Untrusted, format!("the key of {place} is not known"))
                .hint("add it to the known hosts, give its fingerprint as host_key, or let new keys be accepted with host_key=\"accept-new\"")
                .with("fingerprint", fingerprint(session)));
        }
        let key = session.host_key().map(|(key, _)| key).unwrap_or_default();
        let name = kind(key).ok_or_else(|| Error::new(ErrorKind::Untrusted, "the host showed a key that cannot be read"))?;
        let line = format!("{place} {name} {}\n", base64::engine::general_purpose::STANDARD.encode(key));
        let io = |e| Error::file(files.own, e);
        if let Some(folder) = files.own.parent() {
            make_private(folder)?;
        }
        // One write at the end of the file: lines of others stay whole.
        let mut file = private_file(std::fs::OpenOptions::new().append(true).create(true)).open(files.own).map_err(io)?;
        file.write_all(line.as_bytes()).map_err(io)
    }

    /// Says that the key is not the one that it should be.
    pub(super) fn changed(&self, session: &Session, files: &Files<'_>) -> Error {
        let place = self.name();
        let hint = match self.rule {
            HostKey::Pinned(_) => "when you know why, give the new fingerprint as host_key".to_owned(),
            _ => format!("when you know why, remove the old key: ssh-keygen -R '{place}' -f {}", files.own.display()),
        };
        Error::new(ErrorKind::Untrusted, format!("the key of {place} is not the one that is known: it was made anew, or someone is between"))
            .hint(hint)
            .with("fingerprint", fingerprint(session))
    }
}

/// The key's SHA-256, as ssh-keygen shows it.
fn fingerprint(session: &Session) -> String {
    let hash = session.host_key_hash(ssh2::HashType::Sha256).unwrap_or_default();
    format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(hash))
}

/// The name of a key's kind, which is its first part.
fn kind(key: &[u8]) -> Option<&str> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    std::str::from_utf8(rest.get(..u32::from_be_bytes(*length) as usize)?).ok()
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn the_kind_of_a_key_is_read_within_its_bounds() {
        assert_eq!(kind(b"\0\0\0\x0bssh-ed25519rest"), Some("ssh-ed25519"));
        assert_eq!(kind(b"\0\0\0\xffshort"), None);
        assert_eq!(kind(b"\0"), None);
    }
}
