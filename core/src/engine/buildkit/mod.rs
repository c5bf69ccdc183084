//! BuildKit, the engine's newer builder. Most builds are one request as with the classic builder; those that need more are
//! asked of BuildKit itself (`solve.rs`). What a build may ask for while it runs (secrets, the keys of an SSH agent, logins of
//! registries, folders) is answered over a session: a connection that the engine uses for gRPC calls to us. Messages and names
//! are those of BuildKit's own protocol.

mod cache;
mod contexts;
mod control;
#[cfg(unix)]
mod files;
#[cfg(windows)]
#[path = "files_elsewhere.rs"]
mod files;
mod grpc;
mod inputs;
mod session;
mod solve;
mod trace;
mod wire;

pub(super) use cache::{exports, imports};
pub(super) use contexts::Contexts;
pub(super) use session::{Offer, Session};
pub(super) use solve::{Order, knows_contexts, solve};
pub(super) use trace::Trace;
