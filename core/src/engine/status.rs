//! What an engine says of a container in one word.

use crate::known::known;

known! {
    /// What a container does.
    pub enum ContainerStatus {
        /// It was made and never started.
        Created = "created",
        /// It runs.
        Running = "running",
        /// Its processes are frozen.
        Paused = "paused",
        /// It ended and is about to be started again.
        Restarting = "restarting",
        /// It is being removed.
        Removing = "removing",
        /// It has ended.
        Exited = "exited",
        /// Removing it failed; it can only be removed.
        Dead = "dead",
    }
}

known! {
    /// What the health check of a container says.
    pub enum Health {
        /// It has not said yet.
        Starting = "starting",
        /// The container does its work.
        Healthy = "healthy",
        /// The container does not do its work.
        Unhealthy = "unhealthy",
    }
}

known! {
    /// How a file differs from the image's.
    pub enum ChangeKind {
        /// Its content or what belongs to it has changed.
        Modified = "modified",
        /// It is new.
        Added = "added",
        /// It is gone.
        Deleted = "deleted",
    }
}
