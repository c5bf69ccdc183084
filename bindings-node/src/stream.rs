//! Streams: each batch is a call of its own.

use std::sync::Arc;

use dockerkit::surface::{BatchStream, StreamCloser};
use napi_derive::napi;
use tokio::sync::Mutex;

use crate::call::{Begun, Callback, Running};

/// A stream of results.
#[napi]
pub struct Stream {
    inner: Arc<Mutex<BatchStream>>,
    closer: StreamCloser,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
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

#[napi]
impl Stream {
    /// Asks for the next batch, which may be there at once.
    #[napi]
    pub fn next(&self, callback: Callback<'_>) -> napi::Result<Begun> {
        let inner = self.inner.clone();
        Running::begin(&callback, async move { inner.lock().await.next().await.transpose() })
    }

    /// Ends the stream; a batch that is waited for is the end.
    #[napi]
    pub fn close(&self) {
        self.closer.close();
    }
}
