//! The way to a host: what the user's SSH configuration says of it, and the hosts to go through.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use ssh2_config::{ParseRule, SshConfig};

use super::SshOptions;
use crate::{
    error::{Error, Result},
    host::{self, home},
};

/// A host with all that is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Files of keys that the configuration names for it.
    pub(super) identity_files: Vec<PathBuf>,
}

/// The stops on the way to a host, the host itself last.
pub(super) fn plan(user: Option<&str>, host: &str, port: Option<u16>, options: &SshOptions) -> Result<Vec<Stop>> {
    let config = read(options.config_file.as_deref())?;
    let said = config.query(host);
    let through = match &options.jump {
        Some(list) => list.split(',').map(|place| place.trim().to_owned()).collect(),
        None => said.proxy_jump.clone().unwrap_or_default(),
    };
    let mut stops = Vec::new();
    for place in through.iter().filter(|place| !matches!(place.as_str(), "" | "none")) {
        let (user, host, port) = split(place).ok_or_else(|| {
            Error::invalid(format!("`{}` is not a host to go through", crate::error::escape(place)))
                .hint("write [user@]host[:port], with commas between several")
        })?;
        stops.push(stop(&config, user.as_deref(), &host, port));
    }
    stops.push(stop(&config, user.or(options.user.as_deref()), host, port.or(options.port)));
    Ok(stops)
}

fn stop(config: &SshConfig, user: Option<&str>, host: &str, port: Option<u16>) -> Stop {
    let said = config.query(host);
    let user = user.map(str::to_owned).or(said.user).or_else(host::user);
    Stop {
        user: user.unwrap_or_else(|| "root".to_owned()),
        host: said.host_name.map_or_else(|| host.to_owned(), |name| name.replace("%h", host)),
        port: port.or(said.port).unwrap_or(22),
        identity_files: said.identity_file.unwrap_or_default(),
    }
}

fn read(file: Option<&Path>) -> Result<SshConfig> {
    let own = home().join(".ssh/config");
    let path = file.unwrap_or(&own);
    let file = match (File::open(path), file) {
        (Err(e), None) if e.kind() == std::io::ErrorKind::NotFound => return Ok(SshConfig::default()),
        (opened, _) => opened.map_err(|e| Error::file(path, e).hint("give the SSH configuration that is meant"))?,
    };
    // What it says of other things than hosts, users, ports and keys is for ssh itself.
    let rules = ParseRule::ALLOW_UNKNOWN_FIELDS | ParseRule::ALLOW_UNSUPPORTED_FIELDS;
    SshConfig::default().parse(&mut BufReader::new(file), rules).map_err(|e| {
        let message = format!("{} is not an SSH configuration: {e}", path.display());
        Error::invalid(message).hint("mend the line").with("path", path.display().to_string())
    })
}

/// Takes `[user@]host[:port]` apart.
fn split(place: &str) -> Option<(Option<String>, String, Option<u16>)> {
    let place = place.strip_prefix("ssh://").unwrap_or(place);
    match super::Endpoint::parse(&format!("ssh://{place}")) {
        Ok(super::Endpoint::Ssh { user, host, port, .. }) => Some((user, host, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(config: &str, host: &str, change: impl Fn(&mut SshOptions)) -> Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let mut options = SshOptions::default().config_file(file.path().to_owned()).user("me");
        change(&mut options);
        Ok(plan(None, host, None, &options)?.iter().map(|s| format!("{}@{}:{}", s.user, s.host, s.port)).collect())
    }

    const CONFIG: &str = "Host inner\n  HostName 10.0.0.9\n  Port 2222\n  ProxyJump gate\n  IdentityFile /keys/inner\nHost gate\n  HostName gate.test\n  User door\n  UseKeychain yes\n";

    #[test]
    fn the_configuration_says_what_the_options_do_not() {
        assert_eq!(stops(CONFIG, "inner", |_| {}).unwrap(), ["door@gate.test:22", "me@10.0.0.9:2222"]);
        assert_eq!(
            stops(CONFIG, "inner", |o| (o.port, o.jump) = (Some(22), Some("a@b:9,c".into()))).unwrap(),
            ["a@b:9", &format!("{}@c:22", user()), "me@10.0.0.9:22"]
        );
        assert_eq!(stops(CONFIG, "inner", |o| o.jump = Some("none".into())).unwrap(), ["me@10.0.0.9:2222"]);
        assert_eq!(stops("", "plain", |_| {}).unwrap(), ["me@plain:22"]);
    }

    fn user() -> String {
        host::user().unwrap_or_else(|| "root".into())
    }

    #[test]
    fn what_is_no_host_or_no_file_is_said() {
        assert_eq!(stops("", "h", |o| o.jump = Some("-oProxyCommand=x".into())).unwrap_err().kind(), crate::ErrorKind::InvalidInput);
        let missing = SshOptions::default().config_file("/nothing/here");
        assert_eq!(plan(None, "h", None, &missing).unwrap_err().kind(), crate::ErrorKind::NotFound);
    }
}
