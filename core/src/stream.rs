//! Streams of results: Rust's `Stream`, and batches for the other languages.

use std::{
    fmt,
    pin::Pin,
    sync::Mutex,
    task::{self, Poll},
};

use futures_util::{Stream, StreamExt};
use serde::Serialize;

use crate::error::Result;

/// The stream inside.
pub(crate) type Items<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// Puts an item at the end of another, or gives it back.
pub(crate) type Merge<T> = fn(&mut T, T) -> Option<T>;

/// A stream of results that ends when it is dropped.
pub struct Streaming<T> {
    inner: Mutex<Option<Items<T>>>,
    /// How items that come in a burst become one on their way into another language.
    merge: Option<Merge<T>>,
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streaming")
    }
}

impl<T> Streaming<T> {
    pub(crate) fn new(stream: impl Stream<Item = Result<T>> + Send + 'static) -> Self {
        Self { inner: Mutex::new(Some(Box::pin(stream))), merge: None }
    }

    /// A stream of parts whose borders mean nothing.
    pub(crate) fn of_parts(stream: impl Stream<Item = Result<T>> + Send + 'static, merge: Merge<T>) -> Self {
        Self { merge: Some(merge), ..Self::new(stream) }
    }

    pub(crate) fn take(&self) -> Option<(Items<T>, Option<Merge<T>>)> {
        Some((self.inner.lock().ok().and_then(|mut inner| inner.take())?, self.merge))
    }

    /// The next item, or none at the end.
    pub async fn next(&mut self) -> Option<Result<T>> {
        StreamExt::next(self).await
    }
}

impl<T> Stream for Streaming<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Result<T>>> {
        match self.inner.get_mut() {
            Ok(Some(inner)) => inner.as_mut().poll_next(cx),
            _ => Poll::Ready(None),
        }
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Streaming<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("StreamOf{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let items = generator.subschema_for::<T>();
        schemars::json_schema!({"x-dockerkit": "stream", "items": items})
    }
}

impl<T: Serialize + Send + 'static> Serialize for Streaming<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        crate::surface::attach::serialize_stream(self.take(), serializer)
    }
}
