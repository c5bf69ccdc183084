//! What JSON cannot carry: raw bytes, objects and streams travel beside it, and the JSON names them by number.

use std::{any::Any, cell::RefCell, fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};

use super::{BatchStream, Handle, Reply};
use crate::{
    error::{Error, Result},
    stream::{Items, Merge},
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

pub(crate) fn serialize_stream<T: Serialize + Send + 'static, S: Serializer>(
    stream: Option<(Items<T>, Option<Merge<T>>)>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let number = OUT.with_borrow_mut(|out| match (out.as_mut(), stream) {
        (Some(table), Some((stream, merge))) => {
            table.streams.push(BatchStream::new(stream, merge));
            Some(table.streams.len() - 1)
        }
        _ => None,
    });
    match number {
        Some(n) => attach(serializer, "$stream", n),
        None => serializer.serialize_unit(),
    }
}
