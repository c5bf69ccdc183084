//! HTTP to an engine: requests, connections that are used again, and answers that drive their own connection.

mod answer;
mod pool;
mod request;
mod upgraded;

pub(crate) use answer::{AnswerBody, collect, drain, fell_silent, gathered};
pub(crate) use pool::{Failure, Pool};
pub(crate) use request::{Body, Req, escape_segment, reader_stream};
