//! Compose: one file, on one engine.

mod app;
mod apply;
mod body;
mod edit;
pub(crate) mod hash;
mod labels;
pub(crate) mod load;
pub mod model;
mod observe;
mod ops;
mod project;
mod reconcile;
pub(crate) mod surface;
mod wait;
mod write;

pub use app::{App, AppInit, AppProperties, UpOptions, UpReport};
#[cfg(any(test, feature = "fuzzing"))]
pub use load::fuzz;
pub use load::{LoadOptions, LoadPolicy, Policy};
pub use ops::{AppLog, AppLogOptions, AppSummary, DownOptions, KillServices, PsOptions, ServiceOptions};
pub use project::{Files, Project, ProjectProperties};
pub use reconcile::Recreate;
