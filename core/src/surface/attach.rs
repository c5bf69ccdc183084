//! What JSON cannot carry: raw bytes, objects and streams travel beside it, and the JSON names them by number.

use std::{any::Any, cell::RefCell, fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};

use super::{Handle, Reply};
use crate::{
    error::{Error, Result},
    stream::Items,
    units::Data,
};

/// An object of any class.
#[derive(Clone)]
pub struct AnyHandle {
    pub(crate) class: &'static str,
    pub(crate) object: Arc<dyn Any + Send + Sync>,
}

impl AnyHandle {
    /// Wraps an object.
    pub fn new<H: Handle>(object: H) -> Self {
        Self { class: H::CLASS, object: Arc::new(object) }
    }

    /// The name of its class.
    #[must_use]
    pub fn class(&self) -> &'static str {
        self.class
    }
}

impl fmt::Debug for AnyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyHandle({})", self.class)
    }
}

#[derive(Default)]
struct Table {
    data: Vec<Bytes>,
    handles: Vec<AnyHandle>,
    streams: Vec<BatchStream>,
}

thread_local! {
    static OUT: RefCell<Option<Table>> = const { RefCell::new(None) };
    static IN: RefCell<Option<Table>> = const { RefCell::new(None) };
}

/// Serialises `value` with its attachments.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Reply> {
    OUT.set(Some(Table::default()));
    let json = serde_json::to_string(value);
    let table = OUT.take().unwrap_or_default();
    let json = json.map_err(|e| Error::internal(e.to_string()))?;
    Ok(Reply { json, data: table.data, handles: table.handles, streams: table.streams })
}

/// Runs `read` while `{"$bytes": n}` and `{"$handle": n}` mean these attachments.
pub(crate) fn with_attachments<T>(data: Vec<Bytes>, handles: Vec<AnyHandle>, read: impl FnOnce() -> T) -> T {
    IN.set(Some(Table { data, handles, streams: Vec::new() }));
    let out = read();
    IN.set(None);
    out
}

fn attach<S: Serializer>(serializer: S, name: &'static str, number: usize) -> std::result::Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, &number)?;
    map.end()
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let number = OUT.with_borrow_mut(|out| {
            out.as_mut().map(|t| {
                t.data.push(self.0.clone());
                t.data.len() - 1
            })
        });
        match number {
            Some(n) => attach(serializer, "$bytes", n),
            None => serializer.serialize_str(&base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &self.0)),
        }
    }
}

#[derive(Deserialize)]
struct BytesAt {
    #[serde(rename = "$bytes")]
    at: usize,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            At(BytesAt),
            Text(String),
        }
        match Form::deserialize(deserializer).map_err(|_| D::Error::custom("expected bytes or text"))? {
            Form::Text(text) => Ok(Data(text.into())),
            Form::At(BytesAt { at }) => {
                IN.with_borrow(|t| t.as_ref().and_then(|t| t.data.get(at).cloned())).map(Data).ok_or_else(|| D::Error::custom("bytes are missing"))
            }
        }
    }
}

pub(crate) fn serialize_handle<H: Handle, S: Serializer>(object: &H, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let number = OUT.with_borrow_mut(|out| {
        out.as_mut().map(|t| {
            t.handles.push(AnyHandle::new(object.clone()));
            t.handles.len() - 1
        })
    });
    let properties = object.properties();
    match number {
        None => properties.serialize(serializer),
        Some(n) => {
            let mut map = serializer.serialize_map(Some(3))?;
            map.serialize_entry("$handle", &n)?;
            map.serialize_entry("class", H::CLASS)?;
            map.serialize_entry("properties", &properties)?;
            map.end()
        }
    }
}

pub(crate) fn deserialize_handle<'de, H: Handle, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<H, D::Error> {
    #[derive(Deserialize)]
    struct HandleAt {
        #[serde(rename = "$handle")]
        at: usize,
    }
    let wrong = || D::Error::custom(format!("expected an object of class {}", H::CLASS));
    let HandleAt { at } = HandleAt::deserialize(deserializer).map_err(|_| wrong())?;
    let found = IN.with_borrow(|t| t.as_ref().and_then(|t| t.handles.get(at).cloned()));
    found.and_then(|h| h.object.downcast_ref::<H>().cloned()).ok_or_else(wrong)
}

pub(crate) fn serialize_stream<T: Serialize + Send + 'static, S: Serializer>(stream: Option<Items<T>>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let number = OUT.with_borrow_mut(|out| match (out.as_mut(), stream) {
        (Some(table), Some(stream)) => {
            table.streams.push(BatchStream { next: Box::new(Batches { stream, items: Vec::new(), held: None, over: false }) });
            Some(table.streams.len() - 1)
        }
        _ => None,
    });
    match number {
        Some(n) => attach(serializer, "$stream", n),
        None => serializer.serialize_unit(),
    }
}

trait NextBatch: Send {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Result<Reply>>> + Send + '_>>;
}

/// A stream whose items come in batches: what comes in a burst crosses together.
pub struct BatchStream {
    next: Box<dyn NextBatch>,
}

impl fmt::Debug for BatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchStream")
    }
}

impl BatchStream {
    /// The next batch, a JSON list with attachments; none at the end.
    pub async fn next(&mut self) -> Option<Result<Reply>> {
        self.next.next().await
    }
}

/// How long a batch that has begun waits for one more item: what comes in a burst crosses together.
const LINGER: Duration = Duration::from_millis(1);
/// How long a batch may take from its first item.
const BATCH: Duration = Duration::from_millis(20);
/// How many items a batch may hold.
const ITEMS: usize = 256;

struct Batches<T> {
    stream: Items<T>,
    /// What the batch under way holds; it stays here when the wait for it is dropped.
    items: Vec<T>,
    held: Option<Error>,
    over: bool,
}

impl<T: Serialize + Send> Batches<T> {
    /// Takes in what the stream gave; says whether more may come.
    fn take(&mut self, next: Option<Result<T>>) -> bool {
        match next {
            Some(Ok(item)) => {
                self.items.push(item);
                true
            }
            Some(Err(e)) => {
                self.held = Some(e);
                self.over = true;
                false
            }
            None => {
                self.over = true;
                false
            }
        }
    }

    async fn fill(&mut self) {
        if self.items.is_empty() {
            let first = self.stream.next().await;
            if !self.take(first) {
                return;
            }
        }
        let until = tokio::time::Instant::now() + BATCH;
        while self.items.len() < ITEMS {
            let there = futures_util::FutureExt::now_or_never(self.stream.next());
            let next = match there {
                Some(next) => next,
                None => match tokio::time::timeout(LINGER, self.stream.next()).await {
                    Ok(next) => next,
                    Err(_) => return,
                },
            };
            if !self.take(next) || tokio::time::Instant::now() > until {
                return;
            }
        }
    }
}

impl<T: Serialize + Send> NextBatch for Batches<T> {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Result<Reply>>> + Send + '_>> {
        Box::pin(async move {
            if !self.over {
                self.fill().await;
            }
            if !self.items.is_empty() {
                return Some(encode(&std::mem::take(&mut self.items)));
            }
            self.held.take().map(Err)
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::Stream;

    use super::*;

    fn batches(stream: impl Stream<Item = Result<u32>> + Send + 'static) -> Batches<u32> {
        Batches { stream: Box::pin(stream), items: Vec::new(), held: None, over: false }
    }

    #[tokio::test]
    async fn a_burst_is_one_batch_and_an_error_comes_after_it() {
        let items = futures_util::stream::iter([Ok(1), Ok(2), Err(Error::invalid("no")), Ok(3)]);
        let mut batches = batches(items);
        assert_eq!(batches.next().await.unwrap().unwrap().json, "[1,2]");
        assert!(batches.next().await.unwrap().is_err());
        assert!(batches.next().await.is_none());
    }

    #[tokio::test]
    async fn what_was_taken_stays_when_the_wait_is_dropped() {
        let (to, from) = tokio::sync::mpsc::unbounded_channel::<u32>();
        let items = futures_util::stream::unfold(from, |mut from| async { from.recv().await.map(|item| (Ok(item), from)) });
        let mut batches = batches(items);
        to.send(7).unwrap();
        assert!(futures_util::FutureExt::now_or_never(batches.next()).is_none());
        assert_eq!(batches.next().await.unwrap().unwrap().json, "[7]");
    }
}
