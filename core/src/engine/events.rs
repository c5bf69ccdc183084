//! What happens on an engine, as it happens.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Engine, Req, client::ByteStream, container::string_map, containers::Filters, system::text};
use crate::{
    call::{Call, options},
    error::{Error, ErrorKind, Result},
    stream::Streaming,
    timestamp::{Timestamp, When},
};

/// Something that happened on an engine.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EngineEvent {
    /// `container`, `image`, `network`, `volume`, `service`, `node` and so on.
    pub kind: String,
    /// What happened, such as `start`, `die`, `health_status: healthy`.
    pub action: String,
    /// The ID of what it happened to.
    pub id: String,
    /// Its name, image, labels, exit code and the like.
    pub attributes: BTreeMap<String, String>,
    /// `local` or `swarm`.
    pub scope: String,
    /// When it happened.
    pub time: Timestamp,
}

options! {
    /// Options of [`Engine::events`].
    pub struct EventOptions {
        /// From this moment on, past ones too: RFC 3339, Unix seconds, or how long ago, such as `10m`.
        pub since: Option<When>,
        /// Ends at this moment, in the same forms.
        pub until: Option<When>,
        /// The engine's filters, such as `{"type": ["container"], "event": ["die"]}`.
        pub filters: Filters,
    }
}

/// What is read of an event, without a tree of values for each.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Row {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    scope: String,
    #[serde(rename = "timeNano")]
    time: i64,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: Option<BTreeMap<String, String>>,
}

impl Row {
    /// What is as it should be in an event that is strange.
    fn lenient(raw: &Value) -> Self {
        Self {
            kind: text(raw, "Type"),
            action: text(raw, "Action"),
            actor: Actor {
                id: raw.pointer("/Actor/ID").and_then(Value::as_str).unwrap_or_default().to_owned(),
                attributes: Some(string_map(raw.pointer("/Actor/Attributes"))),
            },
            scope: text(raw, "scope"),
            time: raw.get("timeNano").and_then(Value::as_i64).unwrap_or_default(),
        }
    }
}

impl From<Row> for EngineEvent {
    fn from(row: Row) -> Self {
        Self {
            kind: row.kind,
            action: row.action,
            id: row.actor.id,
            attributes: row.actor.attributes.unwrap_or_default(),
            scope: row.scope,
            time: Timestamp::from_unix_nanos(row.time.into()),
        }
    }
}

impl Engine {
    /// Events of the engine, from now on and until the stream is dropped, unless times are given.
    ///
    /// # Errors
    /// `invalid_input` for a filter that the engine does not know; the stream ends with `unreachable` when the connection is lost.
    pub fn events(&self) -> Call<EventOptions, Streaming<EngineEvent>> {
        let me = self.clone();
        Call::new("engine.events", move |o: EventOptions, _| async move { me.events_now(o).await })
    }

    pub(crate) async fn events_now(&self, o: EventOptions) -> Result<Streaming<EngineEvent>> {
        let req = Req::get(&["events"]).moment("since", o.since.as_ref()).moment("until", o.until.as_ref()).filters(&o.filters).patient();
        let bytes = self.client.bytes(req).await?;
        Ok(Streaming::new(json_stream_of(bytes, Row::lenient).map(|row| row.map(EngineEvent::from))))
    }
}

/// JSON objects, one after another, as they come.
pub(crate) fn json_stream(bytes: ByteStream) -> impl futures_util::Stream<Item = Result<Value>> + Send {
    json_stream_of(bytes, Value::clone)
}

/// The same, read at once; one that is no `T` goes through `lenient`.
fn json_stream_of<T: DeserializeOwned + Send + 'static>(bytes: ByteStream, lenient: fn(&Value) -> T) -> impl futures_util::Stream<Item = Result<T>> + Send {
    let state = (bytes, Vec::new(), std::collections::VecDeque::new(), false);
    stream::unfold(state, move |(mut bytes, mut buffer, mut ready, mut over)| async move {
        loop {
            if let Some(result) = ready.pop_front() {
                return Some((result, (bytes, buffer, ready, over)));
            }
            if over {
                return None;
            }
            let part = match bytes.next().await {
                Some(Ok(part)) => part,
                end => {
                    over = true;
                    ready.extend(end.and_then(Result::err).map(Err));
                    continue;
                }
            };
            buffer.extend_from_slice(&part);
            let mut used = 0;
            while let Some((result, length)) = first_of(buffer.get(used..).unwrap_or_default(), lenient) {
                used += length;
                match result {
                    Ok(value) => ready.push_back(Ok(value)),
                    Err(e) if e.is_eof() => break,
                    Err(e) => {
                        over = true;
                        ready.push_back(Err(Error::new(ErrorKind::Engine, format!("the engine's answer cannot be read: {e}"))));
                        break;
                    }
                }
            }
            buffer.drain(..used);
        }
    })
}

/// The first object in `text`, and where it ends; nothing where there is none.
fn first_of<T: DeserializeOwned>(text: &[u8], lenient: fn(&Value) -> T) -> Option<(serde_json::Result<T>, usize)> {
    let mut read = serde_json::Deserializer::from_slice(text).into_iter::<T>();
    let (result, end) = match read.next()? {
        Err(e) if e.is_data() => {
            let mut read = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
            (read.next()?.map(|value| lenient(&value)), read.byte_offset())
        }
        result => (result, read.byte_offset()),
    };
    // What is not whole yet begins where it began.
    let end = if result.is_ok() { end } else { 0 };
    Some((result, end))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn strange_events_are_read_too_wherever_they_are_cut() {
        let text = concat!(
            r#"{"Type":"container","Action":"die","Actor":{"ID":"1","Attributes":{"exitCode":"3"}},"scope":"local","timeNano":5,"new":{"a":[1]}}"#,
            "\n",
            r#"{"Type":"image","Action":7,"Actor":{"ID":"2","Attributes":{"a":1}},"timeNano":"x"} {"Actor":null}"#,
        );
        for cut in 0..text.len() {
            let parts: Vec<Result<Bytes>> = vec![Ok(text[..cut].to_owned().into()), Ok(text[cut..].to_owned().into())];
            let events: Vec<EngineEvent> = json_stream_of(Box::pin(stream::iter(parts)), Row::lenient).map(|row| row.unwrap().into()).collect().await;
            let seen: Vec<_> = events.iter().map(|e| (&*e.kind, &*e.action, &*e.id, e.attributes.len())).collect();
            assert_eq!(seen, [("container", "die", "1", 1), ("image", "", "2", 1), ("", "", "", 0)], "{cut}");
        }
        let mut wrong = Box::pin(json_stream(Box::pin(stream::iter([Ok(Bytes::from_static(b"{} oops"))]))));
        assert!(wrong.next().await.unwrap().is_ok());
        assert_eq!(wrong.next().await.unwrap().unwrap_err().kind(), ErrorKind::Engine);
        assert!(wrong.next().await.is_none());
    }
}
