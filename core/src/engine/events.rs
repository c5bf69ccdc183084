//! What happens on an engine, as it happens.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
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

impl EngineEvent {
    fn read(raw: &Value) -> Self {
        Self {
            kind: text(raw, "Type"),
            action: text(raw, "Action"),
            id: raw.pointer("/Actor/ID").and_then(Value::as_str).unwrap_or_default().to_owned(),
            attributes: string_map(raw.pointer("/Actor/Attributes")),
            scope: text(raw, "scope"),
            time: Timestamp::from_unix_nanos(raw.get("timeNano").and_then(Value::as_i64).unwrap_or_default().into()),
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
        Ok(Streaming::new(json_stream(bytes).map(|v| v.map(|v| EngineEvent::read(&v)))))
    }
}

/// JSON objects, one after another, as they come.
pub(crate) fn json_stream(bytes: ByteStream) -> impl futures_util::Stream<Item = Result<Value>> + Send {
    let state = (bytes, Vec::new(), std::collections::VecDeque::new(), false);
    stream::unfold(state, |(mut bytes, mut buffer, mut ready, mut over)| async move {
        loop {
            if let Some(value) = ready.pop_front() {
                return Some((Ok(value), (bytes, buffer, ready, over)));
            }
            if over {
                return None;
            }
            match bytes.next().await {
                None => over = true,
                Some(Err(e)) => return Some((Err(e), (bytes, buffer, ready, true))),
                Some(Ok(part)) => {
                    let part: bytes::Bytes = part;
                    buffer.extend_from_slice(&part);
                    let mut read = serde_json::Deserializer::from_slice(&buffer).into_iter::<Value>();
                    let mut used = 0;
                    let mut wrong = None;
                    loop {
                        match read.next() {
                            Some(Ok(value)) => {
                                used = read.byte_offset();
                                ready.push_back(value);
                            }
                            Some(Err(e)) if !e.is_eof() => {
                                wrong = Some(Error::new(ErrorKind::Engine, format!("the engine's answer cannot be read: {e}")));
                                break;
                            }
                            _ => break,
                        }
                    }
                    buffer.drain(..used);
                    if let Some(e) = wrong {
                        return Some((Err(e), (bytes, buffer, ready, true)));
                    }
                }
            }
        }
    })
}
