//! Compose: one file, on one engine.

pub(crate) mod hash;
pub(crate) mod load;
pub mod model;
mod project;
pub(crate) mod surface;

pub use load::{LoadOptions, LoadPolicy};
pub use project::{Files, Project, ProjectProperties};
