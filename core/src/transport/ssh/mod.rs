//! SSH: one actor owns a session, many channels; host keys are always checked.

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Connector, Endpoint};
use crate::{
    call::options,
    error::{Error, ErrorKind, Result},
    secret::Secret,
    units::Seconds,
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
        /// The user; default: the configuration's, else the current one.
        pub user: Option<String>,
        /// The port; default: the configuration's, else 22.
        pub port: Option<u16>,
    }
}

pub(crate) fn connector(_endpoint: &Endpoint, _options: SshOptions) -> Result<Arc<dyn Connector>> {
    Err(Error::new(ErrorKind::Unsupported, "ssh"))
}
