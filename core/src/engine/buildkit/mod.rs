//! BuildKit, the engine's newer builder. A build is one request as with the classic builder; what a build may ask for while
//! it runs (secrets, the keys of an SSH agent, logins of registries) is answered over a session: a connection that the
//! engine uses for gRPC calls to us. Messages and names are those of BuildKit's own protocol.

mod session;
mod trace;
mod wire;

pub(super) use session::{Offer, Session};
pub(super) use trace::Trace;
