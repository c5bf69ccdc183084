//! Streams: each batch is a call of its own.

use std::sync::Arc;

use dockerkit::surface::{BatchStream, StreamCloser};
use pyo3::prelude::*;
use tokio::sync::Mutex;

use crate::pending::{Pending, Shared};

/// A stream of results.
#[pyclass(frozen, module = "dockerkit._native")]
pub(crate) struct Stream {
    inner: Arc<Mutex<BatchStream>>,
    closer: StreamCloser,
}

impl Stream {
    pub(crate) fn new(stream: BatchStream) -> Self {
        Self { closer: stream.closer(), inner: Arc::new(Mutex::new(stream)) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.close();
    }
}

#[pymethods]
impl Stream {
    /// Asks for the next batch.
    fn next(&self) -> Pending {
        let inner = self.inner.clone();
        let work = async move { inner.lock().await.next().await.transpose() };
        Pending::new(Arc::new(Shared::default()), true, work)
    }

    /// Ends the stream; a batch that is waited for is the end.
    fn close(&self) {
        self.closer.close();
    }
}
