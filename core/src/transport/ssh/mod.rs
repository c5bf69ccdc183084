//! SSH endpoints: how they are described. This version does not open them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Connector, Endpoint};
use crate::{
    call::options,
    error::{Error, ErrorKind, Result},
};

/// How the key of a host is checked. There is no way to switch the check off, and a changed key is always refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostKey {
    /// The key must be known.
    Strict,
    /// An unknown host's key is added to the known hosts.
    #[default]
    AcceptNew,
}

options! {
    /// How to log in to a host.
    pub struct SshOptions {
        /// The user; default: the address's, else the current one.
        pub user: Option<String>,
        /// The port; default: the address's, else 22.
        pub port: Option<u16>,
        /// How the host's key is checked.
        pub host_key: HostKey,
    }
}

/// The connector of an SSH endpoint.
pub(crate) fn connector(endpoint: &Endpoint, _options: SshOptions) -> Result<Arc<dyn Connector>> {
    Err(Error::new(ErrorKind::Unsupported, format!("this version cannot reach {endpoint}: SSH is not in it"))
        .hint("forward the engine's socket, as with `ssh -L /tmp/engine.sock:/var/run/docker.sock host`, and connect to that"))
}
