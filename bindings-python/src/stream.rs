//! Streams: each batch is a call of its own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dockerkit::surface::BatchStream;
use pyo3::prelude::*;
use tokio::sync::{Mutex, Notify};

use crate::pending::{Pending, Shared};

struct Inner {
    stream: Mutex<Option<BatchStream>>,
    closed: AtomicBool,
    closing: Notify,
}

/// A stream of results.
#[pyclass(frozen, module = "dockerkit._native")]
pub(crate) struct Stream {
    inner: Arc<Inner>,
}

impl Stream {
    pub(crate) fn new(stream: BatchStream) -> Self {
        Self { inner: Arc::new(Inner { stream: Mutex::new(Some(stream)), closed: AtomicBool::new(false), closing: Notify::new() }) }
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
        let work = async move {
            let closing = inner.closing.notified();
            tokio::pin!(closing);
            closing.as_mut().enable();
            let mut slot = inner.stream.lock().await;
            let (false, Some(stream)) = (inner.closed.load(Ordering::SeqCst), slot.as_mut()) else { return Ok(None) };
            let next = tokio::select! {
                biased;
                () = closing => None,
                next = stream.next() => next,
            };
            if next.is_none() {
                *slot = None;
            }
            next.transpose()
        };
        Pending::new(Arc::new(Shared::default()), work)
    }

    /// Ends the stream; a batch that is waited for is the end.
    fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        self.inner.closing.notify_waiters();
        // When the lock is held, the batch that is under way ends and drops the stream.
        if let Ok(mut slot) = self.inner.stream.try_lock() {
            *slot = None;
        }
    }
}
