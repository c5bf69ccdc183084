//! Machines, Docker Engine, swarm and Compose apps from one embeddable SDK.
//!
//! dockerkit makes machines, puts Docker Engine on them, joins them into a swarm, and deploys Compose apps on one
//! engine or across the cluster, and watches them: in process, typed, asynchronous, with no CLI behind it.
//!
//! ```no_run
//! # async fn demo() -> dockerkit::Result<()> {
//! use dockerkit::{App, Engine, Project};
//! let engine = Engine::connect("ssh://deploy@10.0.0.5").await?;
//! let project = Project::load("compose.yaml").env([("TAG", "v2")]).await?;
//! let app = App::new(&engine, &project);
//! println!("{}", app.plan().await?);
//! app.up().wait(true).on_event(|e| println!("{e}")).await?;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

pub mod call;
pub mod cluster;
pub mod compose;
pub mod engine;
pub mod error;
mod host;
mod known;
pub mod machine;
pub mod monitor;
pub mod plan;
pub mod progress;
mod secret;
pub mod stream;
#[doc(hidden)]
pub mod surface;
pub mod swarm;
pub mod timestamp;
pub mod transport;
pub mod units;

pub use cluster::Cluster;
pub use compose::{App, Project};
pub use engine::Engine;
pub use error::{Error, ErrorKind, Result};

pub use machine::{EngineConfig, ExistingDriver, LocalDriver, Machine, MachineSpec, Machines, SshDriver};
pub use plan::Plan;
pub use progress::Event;
pub use secret::{Secret, Token};
pub use stream::Streaming;
pub use swarm::{Stack, Swarm};

pub use transport::{Endpoint, HostKey, SshOptions, TlsOptions};
