//! Watching: what a cluster is, what it uses, and what changes.

mod metrics;
mod snapshot;
mod usage;
mod watch;

pub(crate) use metrics::open_metrics;
pub(crate) use snapshot::snapshot;
pub use snapshot::{ClusterSnapshot, NodeSnapshot, ServiceSnapshot};
pub use usage::Usage;
pub(crate) use watch::watch;
pub use watch::{ClusterEvent, WatchOptions};

use crate::engine::Engine;

/// A node's engine, where it answers.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// The name of its machine, which is the host name of its node.
    pub(crate) name: String,
    pub(crate) engine: Option<Engine>,
}
