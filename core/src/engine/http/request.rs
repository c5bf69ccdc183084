//! One request: its path, made of names that stay names, its query, headers and body.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::{Either, Full, StreamBody};
use hyper::{
    Method,
    body::Frame,
    header::{HeaderName, HeaderValue},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use tokio::io::AsyncRead;

use crate::{error::Error, timestamp::When};

/// The body of a request; bollard's own type, so that one pool serves both.
pub(crate) type Body = Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = std::io::Result<Frame<Bytes>>> + Send>>>>;

/// One request that is not yet sent.
#[must_use]
pub(crate) struct Req {
    pub(in crate::engine) method: Method,
    pub(in crate::engine) path: String,
    pub(in crate::engine) query: String,
    pub(in crate::engine) headers: Vec<(HeaderName, HeaderValue)>,
    pub(in crate::engine) body: Body,
    pub(in crate::engine) timeout: Option<Option<Duration>>,
    pub(in crate::engine) bad: Option<Error>,
}

/// What may stay as it is in one segment of a path.
const SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}').add(b'\\').add(b'^').add(b'|');

/// Writes a name into a path so that it stays one name.
pub(crate) fn escape_segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

impl Req {
    /// A request to the path made of `segments`, each of which is escaped.
    pub(crate) fn new(method: Method, segments: &[&str]) -> Self {
        let mut bad = None;
        let mut path = String::new();
        for segment in segments {
            if segment.is_empty() || segment.split('/').any(|p| p == ".." || p == ".") {
                bad = Some(Error::invalid(format!("`{}` cannot be a name", crate::error::escape(segment))).hint("give a name or an ID"));
            }
            path.push('/');
            path.push_str(&escape_segment(segment));
        }
        Self { method, path, query: String::new(), headers: Vec::new(), body: Either::Left(Full::default()), timeout: None, bad }
    }

    pub(crate) fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    pub(crate) fn post(segments: &[&str]) -> Self {
        Self::new(Method::POST, segments)
    }

    pub(crate) fn delete(segments: &[&str]) -> Self {
        Self::new(Method::DELETE, segments)
    }

    /// A request to a path that the caller wrote, query and all.
    pub(crate) fn raw(method: Method, path: &str) -> Self {
        let mut req = Self::new(method, &[]);
        req.path = path.to_owned();
        if !path.starts_with('/') || path.contains(char::is_whitespace) || path.split(['/', '?']).any(|p| p == "..") {
            req.bad = Some(Error::invalid(format!("`{}` is not a path of the API", crate::error::escape(path))).hint("write it as /containers/json"));
        }
        req
    }

    /// Adds one query parameter.
    pub(crate) fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(&utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string());
        self.query.push('=');
        self.query.push_str(&utf8_percent_encode(value.as_ref(), percent_encoding::NON_ALPHANUMERIC).to_string());
        self
    }

    /// Adds a query parameter where there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(v) => self.query(name, v),
            None => self,
        }
    }

    /// Adds a moment where there is one.
    pub(crate) fn moment(mut self, name: &str, value: Option<&When>) -> Self {
        match value.map(When::to_query) {
            None => self,
            Some(Ok(text)) => self.query(name, text),
            Some(Err(e)) => {
                self.bad.get_or_insert(e.with("option", name));
                self
            }
        }
    }

    /// Adds `name=true` when `on`.
    pub(crate) fn flag(self, name: &str, on: bool) -> Self {
        if on { self.query(name, "true") } else { self }
    }

    /// Adds filters in the engine's form, a JSON object of lists.
    pub(crate) fn filters(self, filters: &std::collections::BTreeMap<String, Vec<String>>) -> Self {
        if filters.is_empty() {
            return self;
        }
        let text = serde_json::to_string(filters).unwrap_or_default();
        self.query("filters", text)
    }

    /// Sets a JSON body.
    pub(crate) fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(text) => {
                self.body = Either::Left(Full::new(text.into()));
                self.header("content-type", "application/json")
            }
            Err(e) => {
                self.bad = Some(Error::internal(e.to_string()));
                self
            }
        }
    }

    /// Sets a body of bytes.
    pub(crate) fn bytes(mut self, content_type: &str, bytes: Bytes) -> Self {
        self.body = Either::Left(Full::new(bytes));
        self.header("content-type", content_type)
    }

    /// Sets a body that is sent as it comes.
    pub(crate) fn stream(mut self, content_type: &str, stream: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static) -> Self {
        self.body = Either::Right(StreamBody::new(Box::pin(stream.map_ok(Frame::data))));
        self.header("content-type", content_type)
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(v) => self.headers.push((HeaderName::from_static(name), v)),
            Err(_) => self.bad = Some(Error::invalid(format!("the header {name} holds characters that cannot be sent"))),
        }
        self
    }

    /// The answer must begin within `limit`.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.timeout = Some(Some(limit));
        self
    }

    /// The answer may take as long as it takes.
    pub(crate) fn patient(mut self) -> Self {
        self.timeout = Some(None);
        self
    }
}

/// A reader's bytes as a stream for a request's body.
pub(crate) fn reader_stream(reader: impl AsyncRead + Send + 'static) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    tokio_util::io::ReaderStream::with_capacity(reader, 128 << 10)
}
