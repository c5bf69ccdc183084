//! x.
pub(crate) mod surface;
