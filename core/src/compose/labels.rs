//! The labels by which docker compose and dockerkit know what belongs to a project.

pub(crate) const PROJECT: &str = "com.docker.compose.project";
pub(crate) const SERVICE: &str = "com.docker.compose.service";
pub(crate) const NUMBER: &str = "com.docker.compose.container-number";
pub(crate) const HASH: &str = "com.docker.compose.config-hash";
pub(crate) const ONE_OFF: &str = "com.docker.compose.oneoff";
pub(crate) const VERSION: &str = "com.docker.compose.version";
pub(crate) const IMAGE: &str = "com.docker.compose.image";
pub(crate) const NETWORK: &str = "com.docker.compose.network";
pub(crate) const VOLUME: &str = "com.docker.compose.volume";
pub(crate) const DEPENDS_ON: &str = "com.docker.compose.depends_on";
pub(crate) const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
pub(crate) const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// On a container that takes another's place: the name that it will have.
pub(crate) const REPLACE: &str = "com.docker.compose.replace";

/// The version of docker compose whose format this is.
pub(crate) const FORMAT: &str = "2.40.3";
